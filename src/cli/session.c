/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that is open for others (serve, mount), with its changes kept apart if that is wished.
 */
#include <string.h>

#include "cli/disk.h"

int session_undo(const char *verb, struct session *s, const char *text)
{
    static const char *const names[] = {"keep", "commit", "discard"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (!strcmp(text, names[i])) {
            s->undo = (enum undo)(UNDO_KEEP + i);
            return CLI_OK;
        }
    }
    return disk_usage(verb, "--undo: '%s' is not one of keep, commit, discard", text);
}

int session_open(struct session *s, struct error *err)
{
    struct blk_options options = {.readonly = s->readonly, .parent_folders = s->folders.folder};
    bool made;
    if (s->undo != UNDO_OFF)
        return undo_open(s->path, &options, &made, &s->blk, err);
    int r = s->readonly ? 0 : undo_absent(s->path, err);
    return r < 0 ? r : blk_open_with(s->path, &options, &s->blk, err);
}

int session_close(struct session *s, struct error *err)
{
    int r = s->blk->readonly ? 0 : blk_flush(s->blk);
    if (r < 0)
        error_set(err, r, "%s cannot be flushed: %s", s->path, strerror(-r));
    s->blk = blk_close(s->blk);
    if (r == 0 && s->undo != UNDO_OFF)
        r = undo_end(s->path, s->undo, s->folders.folder, err);
    return r;
}
