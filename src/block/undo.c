/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/undo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "block/image.h"

static int undo_path(const char *path, char **ret_path, struct error *err)
{
    if (asprintf(ret_path, "%s.vud", path) >= 0)
        return 0;
    *ret_path = NULL;
    return error_set(err, -ENOMEM, "out of memory");
}

int undo_open(const char *path, const struct blk_options *options, bool *ret_made,
              struct blk **ret_blk, struct error *err)
{
    AUTO_FREE char *undo = NULL;
    int r = undo_path(path, &undo, err);
    if (r < 0)
        return r;
    bool made = access(undo, F_OK) < 0;
    if (made)
        r = image_create_child(undo, path, err);
    if (r == 0)
        r = blk_open_with(undo, options, ret_blk, err);
    if (r < 0 && made)
        unlink(undo);
    if (r == 0)
        *ret_made = made;
    return r;
}

int undo_absent(const char *path, struct error *err)
{
    AUTO_FREE char *undo = NULL;
    int r = undo_path(path, &undo, err);
    if (r == 0 && access(undo, F_OK) == 0)
        r = error_set(err, -EEXIST,
                      "%s has changes in %s; go on with them by --undo, merge them with `yado disk "
                      "merge`, or remove that file",
                      path, undo);
    return r;
}

int undo_end(const char *path, enum undo undo, const char *const *parent_folders, struct error *err)
{
    AUTO_FREE char *file = NULL;
    int r = undo_path(path, &file, err);
    if (r < 0)
        return r;
    if (undo == UNDO_COMMIT)
        return image_merge(file, parent_folders, NULL, err);
    if (undo == UNDO_DISCARD && unlink(file) < 0)
        return error_set(err, -errno, "%s cannot be removed: %s", file, strerror(errno));
    return 0;
}
