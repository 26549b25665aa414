/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "block"
#include "block/chain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "block/qcow2.h"
#include "block/raw.h"
#include "block/vhd.h"
#include "block/vhdx.h"
#include "block/vmdk.h"

/* An image whose parent is being opened. */
struct link {
    const struct link *child;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

struct chain {
    const struct blk_options *options;
    char *folder; /* of the image that was asked for */
};

/*
 * Formats that we cannot read. A raw disk may hold any bytes, but one that begins like these is
 * a mistake in all likelihood, and writing to it as to a raw disk would destroy it.
 */
static const struct {
    const char *name, *magic;
    unsigned at, len;
} foreign[] = {
    {"QCOW", "QFI\xfb", 0, 4},
    {"VHDX", "vhdxfile", 0, 8},
    {"VMDK", "KDMV", 0, 4},
    {"VMDK", "COWD", 0, 4},
    {"VMDK", "# Disk DescriptorFile", 0, 21},
    {"QED", "QED", 0, 4},
    {"VDI", "\x7f\x10\xda\xbe", 64, 4},
    {"Parallels", "WithoutFreeSpace", 0, 16},
    {"Parallels", "WithouFreSpacExt", 0, 16},
};

/* ---- folders ---- */

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len && folder[len - 1] == '/')
        len--;
    return !strncmp(path, folder, len) && path[len] == '/';
}

/* path is free of links and dots. */
static bool is_allowed(const struct chain *chain, const char *path)
{
    const char *const *folders = chain->options->parent_folders;
    if (is_below(path, chain->folder))
        return true;
    for (; folders && *folders; folders++) {
        AUTO_FREE char *real = realpath(*folders, NULL);
        if (real && is_below(path, real))
            return true;
    }
    return false;
}

static int not_allowed(const struct blk_file *file, const char *parent, struct error *err)
{
    return error_set(err, -EACCES,
                     "%s differs from %s, which is outside its folder; allow that with --parents",
                     file->name, parent);
}

/* ---- formats ---- */

static int foreign_format(struct blk_file *file, const char **ret_name, struct error *err)
{
    uint8_t head[512];
    int r = file_read(file, head, sizeof(head), 0);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    for (unsigned i = 0; i < ARRAY_LEN(foreign); i++) {
        if (!memcmp(head + foreign[i].at, foreign[i].magic, foreign[i].len)) {
            *ret_name = foreign[i].name;
            return 1;
        }
    }
    return 0;
}

int chain_format(struct blk_file *file, const char **ret_format, struct error *err)
{
    struct vhd_footer footer;
    uint64_t footer_at;
    int r = vhd_probe(file, &footer, &footer_at, err);
    if (r > 0) {
        *ret_format = "VHD";
        return 1;
    }
    return r < 0 ? r : foreign_format(file, ret_format, err);
}

static int open_raw(struct blk_file *file, bool readonly, struct blk **ret_blk, struct error *err)
{
    const char *name;
    uint64_t size_bytes;
    int r = foreign_format(file, &name, err);
    if (r < 0)
        return r;
    if (r > 0)
        return error_set(err, -EMEDIUMTYPE,
                         "%s is a %s image, which is not supported; convert it to a VHD with "
                         "`qemu-img convert -O vpc -o force_size=on`",
                         file->name, name);
    r = file->ops->size(file, &size_bytes);
    if (r < 0)
        return error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r));
    if (size_bytes == 0)
        return error_set(err, -EINVAL, "%s is empty; a disk image has at least one sector",
                         file->name);
    /* A last sector that is not whole is padded with zeroes. */
    r = raw_new(file, align_up(size_bytes, BLK_SECTOR_BYTES), readonly,
                file->host_disk ? RAW_HOST_DISK : RAW_PLAIN, ret_blk);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

static int open_image(const struct chain *chain, const char *path, bool readonly,
                      const struct link *child, const uint8_t *want_id, struct blk **ret_blk,
                      struct error *err);

/*
 * Open the parent that a differencing disk names. The first place where a file is counts, unless
 * that is another disk; what went wrong there is what the user is told.
 */
static int open_parent(const struct chain *chain, const struct blk_file *file,
                       const struct parent_paths *paths, const uint8_t *id, const struct link *link,
                       struct blk **ret_blk, struct error *err)
{
    struct error why = {""};
    int r = -ENOENT;
    for (unsigned i = 0; i < paths->count; i++) {
        AUTO_FREE char *real = realpath(paths->path[i], NULL);
        struct error here = {""};
        if (!real)
            continue;
        if (!is_allowed(chain, real))
            r = not_allowed(file, real, &here);
        else
            r = open_image(chain, real, !chain->options->parent_writable || link->depth, link, id,
                           ret_blk, &here);
        if (r == 0)
            return 0;
        if (!*why.text || r != -EMEDIUMTYPE)
            why = here;
    }
    if (*why.text)
        return error_set(err, r, "%s", why.text);
    return error_set(err, -ENOENT,
                     "%s needs its parent %s, which is not there; put it back, or name it with "
                     "`yado disk reparent`",
                     file->name, paths->count ? paths->path[0] : "(without a name)");
}

static int open_vhd_parent(const struct chain *chain, struct blk_file *file,
                           const struct vhd_footer *footer, const struct link *link,
                           struct blk **ret_blk, struct error *err)
{
    struct vhd_header header;
    AUTO(parent_paths_done) struct parent_paths paths = {.count = 0};
    AUTO_FREE char *folder = folder_of(file->name);
    int r = folder ? vhd_read_header(file, footer, &header, err)
                   : error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = vhd_parent_paths(file, &header, folder, &paths, err);
    return r < 0 ? r : open_parent(chain, file, &paths, header.parent_id, link, ret_blk, err);
}

static int open_vhdx(const struct chain *chain, struct blk_file *file, bool readonly,
                     const struct link *link, struct blk **ret_blk, struct error *err)
{
    struct vhdx_parent want = {.wanted = false};
    AUTO_FREE char *folder = folder_of(file->name);
    struct blk *parent = NULL;
    int r = folder ? vhdx_find_parent(file, folder, &want, err)
                   : error_set(err, -ENOMEM, "out of memory");
    if (r == 0 && want.wanted)
        r = open_parent(chain, file, &want.paths, want.id, link, &parent, err);
    if (r == 0)
        r = vhdx_open(file, readonly, parent, ret_blk, err);
    if (r < 0)
        blk_close(parent);
    parent_paths_done(&want.paths);
    return r;
}

/* Formats that are read, to be converted or looked at. */
static int open_readonly(const struct chain *chain, struct blk_file *file, const uint8_t *head,
                         const struct link *link, struct blk **ret_blk, struct error *err)
{
    AUTO_FREE char *backing = NULL;
    AUTO_FREE char *folder = folder_of(file->name);
    struct blk *parent = NULL;
    if (vmdk_probe(head))
        return vmdk_open(file, ret_blk, err);
    int r = folder ? qcow2_backing(file, &backing, err) : -ENOMEM;
    if (r == 0 && backing) {
        AUTO_FREE char *path = parent_path_for_host(backing, folder);
        AUTO_FREE char *real = path ? realpath(path, NULL) : NULL;
        if (!real)
            return error_set(err, -ENOENT, "%s needs its backing file %s, which is not there",
                             file->name, backing);
        r = is_allowed(chain, real) ? open_image(chain, real, true, link, NULL, &parent, err)
                                    : not_allowed(file, real, err);
    }
    if (r == 0)
        r = qcow2_open(file, parent, ret_blk, err);
    if (r < 0)
        blk_close(parent);
    return r;
}

static int open_vhd(const struct chain *chain, struct blk_file *file, bool readonly,
                    const struct vhd_footer *footer, uint64_t footer_at, const struct link *link,
                    struct blk **ret_blk, struct error *err)
{
    struct blk *parent = NULL;
    if (footer->type == VHD_DIFFERENCING) {
        int r = open_vhd_parent(chain, file, footer, link, &parent, err);
        if (r < 0)
            return r;
    }
    int r = vhd_open(file, footer, footer_at, readonly, parent, ret_blk, err);
    if (r < 0)
        blk_close(parent);
    return r;
}

/* Whether a file is the disk with that id: a VHD's own, or that of a VHDX's contents. */
static bool is_disk(struct blk_file *file, const struct vhd_footer *footer, const uint8_t *id)
{
    uint8_t head[BLK_SECTOR_BYTES];
    struct vhdx_header header;
    if (footer)
        return !memcmp(footer->unique_id, id, sizeof(footer->unique_id));
    return file_read(file, head, sizeof(head), 0) == 0 && vhdx_probe(head) &&
           vhdx_read_header(file, &header, NULL) == 0 &&
           !memcmp(header.data_write_id, id, VHDX_ID_BYTES);
}

static int open_format(const struct chain *chain, struct blk_file *file, bool readonly,
                       const struct link *link, const uint8_t *want_id, struct blk **ret_blk,
                       struct error *err)
{
    struct vhd_footer footer;
    uint64_t footer_at;
    int r = vhd_probe(file, &footer, &footer_at, err);
    if (r < 0)
        return r;
    if (want_id && !is_disk(file, r > 0 ? &footer : NULL, want_id))
        return error_set(err, -EMEDIUMTYPE,
                         "%s is not the disk that its child differs from (another unique id); put "
                         "the right one there, or name it with `yado disk reparent`",
                         file->name);
    if (r > 0)
        return open_vhd(chain, file, readonly, &footer, footer_at, link, ret_blk, err);
    uint8_t head[BLK_SECTOR_BYTES];
    r = file_read(file, head, sizeof(head), 0);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    if (vhdx_probe(head))
        return open_vhdx(chain, file, readonly, link, ret_blk, err);
    if (!qcow2_probe(head) && !vmdk_probe(head))
        return open_raw(file, readonly, ret_blk, err);
    if (!readonly)
        return error_set(
            err, -EMEDIUMTYPE,
            "%s is an image that can only be read; convert it to a VHD with `yado disk "
            "convert`",
            file->name);
    return open_readonly(chain, file, head, link, ret_blk, err);
}

static int open_image(const struct chain *chain, const char *path, bool readonly,
                      const struct link *child, const uint8_t *want_id, struct blk **ret_blk,
                      struct error *err)
{
    struct link link = {.child = child, .depth = child ? child->depth + 1 : 0};
    struct blk_file *file;
    struct stat st;
    if (link.depth >= CHAIN_DEPTH_MAX)
        return error_set(err, -ELOOP, "%s: more than %u disks differ from each other", path,
                         CHAIN_DEPTH_MAX);
    /* Before it is opened: the lock of a child that is its own parent would only say "in use". */
    if (stat(path, &st) == 0) {
        link.dev = st.st_dev;
        link.ino = st.st_ino;
        for (const struct link *l = child; l; l = l->child)
            if (l->dev == link.dev && l->ino == link.ino)
                return error_set(err, -ELOOP, "%s differs from itself; the image is damaged", path);
    }
    int r = file_open(path, readonly, &file, err);
    if (r < 0)
        return r;
    file->building = !child && chain->options->building;
    file->merging = child && !readonly;
    r = open_format(chain, file, readonly, &link, want_id, ret_blk, err);
    if (r < 0)
        file_close(file);
    return r;
}

int blk_open_with(const char *path, const struct blk_options *options, struct blk **ret_blk,
                  struct error *err)
{
    AUTO_FREE char *folder = folder_of(path);
    struct chain chain = {.options = options, .folder = folder};
    if (!folder)
        return error_set(err, -ENOMEM, "out of memory");
    return open_image(&chain, path, options->readonly, NULL, NULL, ret_blk, err);
}

int blk_open(const char *path, bool readonly, struct blk **ret_blk, struct error *err)
{
    return blk_open_with(path, &(struct blk_options){.readonly = readonly}, ret_blk, err);
}
