/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of images: resize, compact, merge, reparent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "block/vhd_tools.h"
#include "cli/disk.h"

static int resize_raw(struct blk_file *file, uint64_t size_bytes, bool shrink, struct error *err)
{
    uint64_t now;
    int r = file->ops->size(file, &now);
    if (r == 0 && size_bytes < now && !shrink)
        return error_set(err, -ERANGE,
                         "%s is larger now; --shrink cuts it off, and what lies there is lost",
                         file->name);
    if (r == 0)
        r = file->ops->truncate(file, size_bytes);
    return r < 0 ? error_set(err, r, "%s cannot be given that size: %s", file->name, strerror(-r))
                 : 0;
}

/* Its size now, by whatever format it has; raw files are resized here. */
static int resize(const char *path, const char *text, bool shrink, struct error *err)
{
    struct blk_file *file;
    struct vhd_footer footer;
    const char *format = NULL;
    uint64_t at, size, now;
    bool more = *text == '+';
    if (size_parse(text + more, &size) < 0)
        return error_set(err, -EINVAL, "'%s' is not a size; give a number, with K, M, G or T",
                         text);
    int r = file_open(path, false, &file, err);
    if (r < 0)
        return r;
    r = vhd_probe(file, &footer, &at, err);
    bool vhd = r > 0;
    if (r == 0)
        r = chain_format(file, &format, err);
    if (r > 0 && !vhd)
        r = error_set(err, -EMEDIUMTYPE, "%s is a %s image, which cannot be resized", path, format);
    now = footer.current_size_bytes;
    if (r == 0)
        r = file->ops->size(file, &now);
    if (r >= 0 && more)
        size += now;
    if (r >= 0 && !vhd)
        r = resize_raw(file, size, shrink, err);
    file_close(file);
    return r < 0 || !vhd ? r : vhd_resize(path, size, shrink, err);
}

int disk_resize(int argc, char **argv)
{
    static const struct option options[] = {{"shrink", no_argument, NULL, 's'}, {0}};
    struct error err = {""};
    bool shrink = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c != 's')
            return disk_bad_option("resize", argv);
        shrink = true;
    }
    if (optind + 2 != argc)
        return disk_usage("resize", "give the image and its new size");
    int r = resize(argv[optind], argv[optind + 1], shrink, &err);
    return r < 0 ? disk_error("resize", r, &err) : CLI_OK;
}

/* Work on one image that takes long, and may want its parents. */
static int long_work(int argc, char **argv, const char *what,
                     int (*work)(const char *path, const char *const *parent_folders,
                                 const struct progress *progress, struct error *err))
{
    static const struct option options[] = {{"parents", required_argument, NULL, 'p'}, {0}};
    struct parent_folders folders = {.count = 0};
    struct error err = {""};
    struct bar bar;
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c != 'p')
            return disk_bad_option(argv[0], argv);
        status = disk_add_parents(argv[0], &folders, optarg);
    }
    if (status != CLI_OK)
        return status;
    if (optind + 1 != argc)
        return disk_usage(argv[0], "give one image");
    bar_begin(&bar, what);
    int r = work(argv[optind], folders.folder, &bar.progress, &err);
    bar_end(&bar);
    return r < 0 ? disk_error(argv[0], r, &err) : CLI_OK;
}

int disk_compact(int argc, char **argv)
{
    return long_work(argc, argv, "compacting", vhd_compact);
}

int disk_merge(int argc, char **argv)
{
    return long_work(argc, argv, "merging", vhd_merge);
}

int disk_reparent(int argc, char **argv)
{
    static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {0}};
    struct error err = {""};
    bool force = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c != 'f')
            return disk_bad_option("reparent", argv);
        force = true;
    }
    if (optind + 2 != argc)
        return disk_usage("reparent", "give the image and its parent");
    int r = vhd_reparent(argv[optind], argv[optind + 1], force, &err);
    return r < 0 ? disk_error("reparent", r, &err) : CLI_OK;
}
