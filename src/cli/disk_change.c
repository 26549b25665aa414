/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of images: resize, compact, merge, reparent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "block/chain.h"
#include "block/image.h"
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

/* A raw image, or another one that has a size of its own. */
static int resize_other(const char *path, uint64_t size_bytes, bool more, bool shrink,
                        struct error *err)
{
    struct blk_file *file;
    const char *format = NULL;
    uint64_t now = 0;
    int r = file_open(path, false, &file, err);
    if (r < 0)
        return r;
    r = chain_format(file, &format, err);
    if (r > 0)
        r = error_set(err, -EMEDIUMTYPE, "%s is a %s image, which cannot be resized", path, format);
    if (r == 0 && file->host_disk)
        r = error_set(err, -EINVAL, "%s is a disk of the host and keeps its size", path);
    if (r == 0)
        r = file->ops->size(file, &now);
    if (r == 0)
        r = resize_raw(file, size_bytes + (more ? now : 0), shrink, err);
    file_close(file);
    return r;
}

static int resize(const char *path, const char *text, bool shrink, struct error *err)
{
    const struct image_format *format;
    struct image_facts facts;
    uint64_t size;
    bool more = *text == '+';
    if (size_parse(text + more, &size) < 0)
        return error_set(err, -EINVAL, "'%s' is not a size; give a number, with K, M, G or T",
                         text);
    int r = image_format_of(path, &format, err);
    if (r == -EMEDIUMTYPE)
        return resize_other(path, size, more, shrink, err);
    if (r == 0)
        r = format->look(path, &facts, err);
    if (r == 0)
        r = format->resize(path, size + (more ? facts.size_bytes : 0), shrink, err);
    return r;
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
    return long_work(argc, argv, "compacting", image_compact);
}

int disk_merge(int argc, char **argv)
{
    return long_work(argc, argv, "merging", image_merge);
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
    const struct image_format *format;
    int r = image_format_of(argv[optind], &format, &err);
    if (r == 0)
        r = format->reparent(argv[optind], argv[optind + 1], force, &err);
    return r < 0 ? disk_error("reparent", r, &err) : CLI_OK;
}
