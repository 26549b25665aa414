/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New images: `yado disk create` and `yado disk convert`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/size.h"
#include "block/part.h"
#include "block/vhd.h"
#include "block/vhdx.h"
#include "cli/disk.h"

/* What VHDs are made for holds at least a partition table and a file system: Hyper-V's least. */
#define SIZE_MIN MIB(3)

static int create_raw(const char *path, uint64_t size_bytes, struct error *err)
{
    struct blk_file *file;
    int r = file_create(path, &file, err);
    if (r < 0)
        return r;
    r = file->ops->truncate(file, size_bytes);
    if (r < 0) {
        error_set(err, r, "%s cannot be given that size: %s", path, strerror(-r));
        unlink(path);
    }
    file_close(file);
    return r;
}

static int parse_size(const char *verb, const char *text, uint64_t *ret_bytes)
{
    if (size_parse(text, ret_bytes) < 0)
        return disk_usage(verb, "'%s' is not a size; give a number, with K, M, G or T", text);
    return CLI_OK;
}

static int parse_block(const char *verb, const char *text, uint32_t *ret_bytes)
{
    uint64_t bytes;
    if (size_parse(text, &bytes) < 0 || bytes > UINT32_MAX)
        return disk_usage(verb, "--block: '%s' is not a size", text);
    *ret_bytes = (uint32_t)bytes;
    return CLI_OK;
}

/*
 * A file that stands for a disk of the host: a symbolic link. It is not resolved, so that a name
 * such as /dev/disk/by-id/… goes on to mean the same disk.
 */
static int create_linked(const char *device, int count, char **names)
{
    struct error err = {""};
    struct stat st;
    if (count != 1)
        return disk_usage("create", "--linked: give the name of the new file and nothing else");
    if (*device != '/')
        return disk_usage("create", "--linked: give the whole path of the disk, as /dev/…");
    if (stat(device, &st) < 0)
        return disk_usage("create", "--linked: %s: %s", device, strerror(errno));
    if (!S_ISBLK(st.st_mode))
        return disk_usage("create", "--linked: %s is not a disk of this host", device);
    if (symlink(device, names[0]) < 0) {
        error_set(&err, -errno, "%s cannot be created: %s", names[0], strerror(errno));
        return disk_error("create", -errno, &err);
    }
    return CLI_OK;
}

int disk_create(int argc, char **argv)
{
    static const struct option options[] = {{"linked", required_argument, NULL, 'l'},
                                            {"fixed", no_argument, NULL, 'f'},
                                            {"raw", no_argument, NULL, 'r'},
                                            {"vhdx", no_argument, NULL, 'x'},
                                            {"parent", required_argument, NULL, 'p'},
                                            {"block", required_argument, NULL, 'b'},
                                            {0}};
    struct vhd_new what = {.kind = VHD_DYNAMIC};
    struct error err = {""};
    const char *linked = NULL;
    bool raw = false, vhdx = false;
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c == 'f')
            what.kind = VHD_FIXED;
        else if (c == 'r')
            raw = true;
        else if (c == 'x')
            vhdx = true;
        else if (c == 'l')
            linked = optarg;
        else if (c == 'p')
            what.parent_path = optarg;
        else if (c == 'b')
            status = parse_block("create", optarg, &what.block_bytes);
        else
            return disk_bad_option("create", argv);
    }
    if (status != CLI_OK)
        return status;
    if (linked)
        return create_linked(linked, argc - optind, argv + optind);
    if (raw && vhdx)
        return disk_usage("create", "--raw and --vhdx exclude each other");
    if (what.parent_path && (raw || what.kind == VHD_FIXED))
        return disk_usage("create", "a raw or fixed disk has no parent");
    if (optind >= argc)
        return disk_usage("create", "the name of the new file is missing");
    if (optind + 1 >= argc && !what.parent_path)
        return disk_usage("create", "the size is missing");
    if (optind + 2 < argc)
        return disk_usage("create", "'%s' is too much", argv[optind + 2]);
    if (optind + 1 < argc) {
        status = parse_size("create", argv[optind + 1], &what.size_bytes);
        if (status != CLI_OK)
            return status;
        if (what.size_bytes < SIZE_MIN && !raw)
            return disk_usage("create", "a VHD has at least 3M");
    }
    if (what.parent_path)
        what.kind = VHD_DIFFERENCING;
    struct vhdx_new newer = {.fixed = what.kind == VHD_FIXED,
                             .size_bytes = what.size_bytes,
                             .block_bytes = what.block_bytes,
                             .parent_path = what.parent_path};
    int r = raw    ? create_raw(argv[optind], what.size_bytes, &err)
            : vhdx ? vhdx_create(argv[optind], &newer, &err)
                   : vhd_create(argv[optind], &what, &err);
    return r < 0 ? disk_error("create", r, &err) : CLI_OK;
}

/* ---- convert ---- */

struct conversion {
    const char *from, *to;
    struct vhd_new what;
    bool raw, vhdx, azure;
    struct parent_folders folders;
};

static int make_target(const struct conversion *c, const char *part, uint64_t size_bytes,
                       struct error *err)
{
    struct vhd_new what = c->what;
    what.size_bytes = size_bytes;
    if (c->azure)
        what.size_bytes = align_up(size_bytes, MIB(1));
    struct vhdx_new newer = {.fixed = what.kind == VHD_FIXED,
                             .size_bytes = what.size_bytes,
                             .block_bytes = what.block_bytes};
    if (c->vhdx)
        return vhdx_create(part, &newer, err);
    return c->raw ? create_raw(part, what.size_bytes, err) : vhd_create(part, &what, err);
}

/* A raw image that begins like something else is not opened as raw: it is known what this is. */
static int open_target(const char *part, struct blk **ret_blk, struct error *err)
{
    struct blk_options options = {.building = true};
    return blk_open_with(part, &options, ret_blk, err);
}

/* All of it into a file of another name, which is given the right one at the end. */
static int build(const struct conversion *c, struct blk *from, const char *part,
                 const struct progress *progress, struct error *err)
{
    struct blk *to = NULL;
    int r = make_target(c, part, from->size_bytes, err);
    if (r < 0)
        return r;
    r = open_target(part, &to, err);
    if (r == 0)
        r = copy_disk(from, to, NULL, progress, err);
    blk_close(to);
    if (r == 0)
        r = file_settle(part, err);
    if (r == 0 && renameat2(AT_FDCWD, part, AT_FDCWD, c->to, RENAME_NOREPLACE) < 0)
        r = error_set(err, -errno, "%s cannot be put in place: %s", c->to, strerror(errno));
    if (r < 0)
        unlink(part);
    return r;
}

static int convert(const struct conversion *c, struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = c->folders.folder};
    char part[PART_NAME_BYTES];
    struct blk *from = NULL;
    struct bar bar;
    int r = blk_open_with(c->from, &options, &from, err);
    if (r < 0)
        return r;
    r = part_begin(c->to, part, err);
    if (r == 0) {
        /* From before there is a file until there is none: a signal must not leave it behind. */
        bar_begin(&bar, "converting");
        r = build(c, from, part, &bar.progress, err);
        bar_end(&bar);
    }
    blk_close(from);
    return r;
}

static int parse_format(struct conversion *c, const char *name)
{
    if (!strcmp(name, "raw"))
        c->raw = true;
    else if (!strcmp(name, "vhdx") || !strcmp(name, "vhdx-fixed"))
        c->vhdx = true;
    else if (!strcmp(name, "vhd"))
        c->what.kind = VHD_DYNAMIC;
    else if (!strcmp(name, "vhd-fixed"))
        c->what.kind = VHD_FIXED;
    else
        return disk_usage("convert",
                          "--to: '%s' is not one of vhd, vhd-fixed, vhdx, vhdx-fixed, raw", name);
    if (!strcmp(name, "vhdx-fixed"))
        c->what.kind = VHD_FIXED;
    return CLI_OK;
}

int disk_convert(int argc, char **argv)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"azure", no_argument, NULL, 'a'},
                                            {"block", required_argument, NULL, 'b'},
                                            {"parents", required_argument, NULL, 'p'},
                                            {0}};
    struct conversion c = {.what = {.kind = VHD_DYNAMIC}};
    struct error err = {""};
    int opt, status = CLI_OK;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (opt == 't')
            status = parse_format(&c, optarg);
        else if (opt == 'a')
            c.azure = true;
        else if (opt == 'b')
            status = parse_block("convert", optarg, &c.what.block_bytes);
        else if (opt == 'p')
            status = disk_add_parents("convert", &c.folders, optarg);
        else
            return disk_bad_option("convert", argv);
    }
    if (status != CLI_OK)
        return status;
    if (optind + 2 != argc)
        return disk_usage("convert", "give the image and the name of the new file");
    if (c.azure)
        c.what.kind = VHD_FIXED;
    c.from = argv[optind];
    c.to = argv[optind + 1];
    if (access(c.to, F_OK) == 0)
        return disk_usage("convert", "%s exists already; remove it or choose another name", c.to);
    int r = convert(&c, &err);
    return r < 0 ? disk_error("convert", r, &err) : CLI_OK;
}
