/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "block"
#include "block/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/chain.h"
#include "block/part.h"
#include "block/vhd_tools.h"
#include "block/vhdx_edit.h"

#define STEP_BYTES (2u << 20)
#define GRAIN_BYTES 4096u

/* ---- VHD ---- */

static int look_at_vhd(const char *path, struct image_facts *ret_facts, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    int r = vhd_image_open(path, true, &image, err);
    if (r < 0)
        return r;
    *ret_facts = (struct image_facts){
        .kind = image.footer.type == VHD_FIXED     ? IMAGE_FIXED
                : image.footer.type == VHD_DYNAMIC ? IMAGE_DYNAMIC
                                                   : IMAGE_DIFFERENCING,
        .saved_state = image.footer.saved_state,
        .size_bytes = image.footer.current_size_bytes,
    };
    return 0;
}

static int create_vhd_child(const char *path, const char *parent_path, struct error *err)
{
    struct vhd_new what = {.kind = VHD_DIFFERENCING, .parent_path = parent_path};
    return vhd_create(path, &what, err);
}

/* Write an empty image into a new file. */
static int create_with(const char *path, int (*write)(void *ctx, struct blk_file *file), void *ctx,
                       struct error *err)
{
    struct blk_file *file;
    int r = file_create(path, &file, err);
    if (r < 0)
        return r;
    r = write(ctx, file);
    file_close(file);
    if (r < 0)
        unlink(path);
    return r < 0 ? error_set(err, r, "%s cannot be written: %s", path, strerror(-r)) : 0;
}

static int write_vhd_like(void *ctx, struct blk_file *file)
{
    return vhd_write_like(ctx, file);
}

static int create_vhd_like(const char *path, const char *like_path, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    int r = vhd_image_open(like_path, true, &image, err);
    return r < 0 ? r : create_with(path, write_vhd_like, &image, err);
}

static int renew_vhd_id(const char *path, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    int r = vhd_image_open(path, false, &image, err);
    return r < 0 ? r : vhd_renew_id(&image, err);
}

static const struct image_format format_vhd = {
    .name = "VHD",
    .look = look_at_vhd,
    .create_child = create_vhd_child,
    .create_like = create_vhd_like,
    .renew_id = renew_vhd_id,
    .resize = vhd_resize,
    .reparent = vhd_reparent,
    .verify = vhd_verify,
};

/* ---- VHDX ---- */

static int look_at_vhdx(const char *path, struct image_facts *ret_facts, struct error *err)
{
    struct vhdx_header header;
    struct vhdx_disk disk;
    int r = vhdx_look(path, &header, &disk, err);
    if (r < 0)
        return r;
    *ret_facts = (struct image_facts){
        .kind = disk.has_parent ? IMAGE_DIFFERENCING
                : disk.fixed    ? IMAGE_FIXED
                                : IMAGE_DYNAMIC,
        .size_bytes = disk.size_bytes,
    };
    return 0;
}

static int create_vhdx_child(const char *path, const char *parent_path, struct error *err)
{
    struct vhdx_new what = {.parent_path = parent_path};
    return vhdx_create(path, &what, err);
}

static int write_vhdx_like(void *ctx, struct blk_file *file)
{
    return vhdx_write_empty(file, ctx);
}

static int create_vhdx_like(const char *path, const char *like_path, struct error *err)
{
    AUTO_FREE uint8_t *locator = malloc(VHDX_LOCATOR_MAX);
    struct vhdx_header header;
    struct vhdx_disk disk;
    struct blk_file *file;
    int r = locator ? vhdx_look(like_path, &header, &disk, err)
                    : error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = file_open(like_path, true, &file, err);
    if (r < 0)
        return r;
    r = file_read(file, locator, disk.locator_bytes, disk.locator_at);
    file_close(file);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", like_path, strerror(-r));
    struct vhdx_layout layout = {.size_bytes = disk.size_bytes,
                                 .fixed = disk.fixed,
                                 .block_bytes = disk.block_bytes,
                                 .sector_bytes = disk.sector_bytes,
                                 .physical_bytes = disk.physical_bytes,
                                 .locator = disk.has_parent ? locator : NULL,
                                 .locator_bytes = disk.locator_bytes};
    memcpy(layout.page83, disk.page83, VHDX_ID_BYTES);
    memcpy(layout.data_write_id, header.data_write_id, VHDX_ID_BYTES);
    return create_with(path, write_vhdx_like, &layout, err);
}

static const struct image_format format_vhdx = {
    .name = "VHDX",
    .look = look_at_vhdx,
    .create_child = create_vhdx_child,
    .create_like = create_vhdx_like,
    .renew_id = vhdx_renew_id,
    .resize = vhdx_resize,
    .reparent = vhdx_reparent,
    .verify = vhdx_verify,
};

/* ---- either ---- */

int image_format_of(const char *path, const struct image_format **ret_format, struct error *err)
{
    struct blk_file *file;
    const char *name = NULL;
    int r = file_open(path, true, &file, err);
    if (r < 0)
        return r;
    r = chain_format(file, &name, err);
    file_close(file);
    if (r < 0)
        return r;
    if (r > 0 && !strcmp(name, format_vhd.name))
        *ret_format = &format_vhd;
    else if (r > 0 && !strcmp(name, format_vhdx.name))
        *ret_format = &format_vhdx;
    else
        return error_set(err, -EMEDIUMTYPE,
                         "%s is %s%s; that can be done with VHDs and VHDXs alone, and `yado disk "
                         "convert` makes one of it",
                         path, r > 0 ? "a " : "a raw image, or none", r > 0 ? name : "");
    return 0;
}

int image_create_child(const char *path, const char *parent_path, struct error *err)
{
    const struct image_format *format;
    int r = image_format_of(parent_path, &format, err);
    return r < 0 ? r : format->create_child(path, parent_path, err);
}

int image_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
                 struct image_verdict *ret_verdict, struct error *err)
{
    const struct image_format *format;
    int r = image_format_of(path, &format, err);
    return r < 0 ? r : format->verify(path, repair, say, ctx, ret_verdict, err);
}

/* For changes: what kind it is, unless a machine's saved memory depends on the disk. */
static int look(const char *path, const struct image_format **ret_format,
                struct image_facts *ret_facts, struct error *err)
{
    int r = image_format_of(path, ret_format, err);
    if (r == 0)
        r = (*ret_format)->look(path, ret_facts, err);
    if (r == 0 && ret_facts->saved_state)
        r = error_set(err, -EBUSY,
                      "%s belongs to a machine whose state is saved; start or discard that first",
                      path);
    return r;
}

/* ---- compact ---- */

/* Of a differencing disk: what it has and its parent does not. */
static int copy_differences(struct blk *from, struct blk *to, const struct freespace *unused,
                            const struct progress *progress, struct error *err)
{
    AUTO_FREE uint8_t *buf = malloc(STEP_BYTES), *old = malloc(STEP_BYTES);
    uint64_t size = from->size_bytes;
    int r = 0;
    if (!buf || !old)
        return error_set(err, -ENOMEM, "out of memory");
    for (uint64_t at = 0; at < size && r == 0;) {
        struct blk_extent extent;
        if (progress && progress->step && !progress->step(progress->ctx, at, size))
            return error_set(err, -ECANCELED, "cancelled");
        r = blk_map(from, at, MIN(size - at, (uint64_t)STEP_BYTES), &extent);
        if (r == 0 && !extent.zero && extent.depth == 0) {
            struct iovec iov = {old, extent.len_bytes};
            struct iov_cursor cursor = {.iov = &iov, .count = 1};
            r = blk_pread(from, buf, extent.len_bytes, at);
            if (r == 0)
                r = blk_read_cursor(from->parent, &cursor, extent.len_bytes, at);
            for (uint64_t i = 0; r == 0 && i < extent.len_bytes;) {
                uint64_t n = MIN(extent.len_bytes - i, GRAIN_BYTES - (at + i) % GRAIN_BYTES);
                if (memcmp(buf + i, old + i, n) && !freespace_covers(unused, at + i, n))
                    r = blk_pwrite(to, buf + i, n, at + i);
                i += n;
            }
        }
        at += extent.len_bytes;
    }
    return r < 0 ? error_set(err, r, "the disk cannot be copied: %s", strerror(-r)) : 0;
}

static int write_compact(struct blk *from, const char *part, const char *const *parent_folders,
                         const struct progress *progress, struct error *err)
{
    struct blk_options options = {.building = true, .parent_folders = parent_folders};
    AUTO(freespace_done) struct freespace unused = {.bits = NULL};
    struct blk *to = NULL;
    int r = blk_open_with(part, &options, &to, err);
    if (r < 0)
        return r;
    r = freespace_find(from, &unused);
    if (r < 0)
        error_set(err, r, "%s cannot be read: %s", from->name, strerror(-r));
    if (r == 0 && unused.unclean)
        log_warning("%s: a file system was not unmounted in order: what it does not use is kept",
                    from->name);
    if (r == 0)
        r = from->parent ? copy_differences(from, to, &unused, progress, err)
                         : copy_disk(from, to, &unused, progress, err);
    blk_close(to);
    return r;
}

int image_compact(const char *path, const char *const *parent_folders,
                  const struct progress *progress, struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = parent_folders};
    const struct image_format *format;
    struct image_facts facts;
    struct blk *from;
    char part[PART_NAME_BYTES];
    int r = image_format_of(path, &format, err);
    /* Read-only, but shared: nobody can write to it from here on. */
    if (r == 0)
        r = blk_open_with(path, &options, &from, err);
    if (r < 0)
        return r;
    r = look(path, &format, &facts, err);
    if (r == 0 && facts.kind == IMAGE_FIXED)
        r = error_set(err, -EINVAL,
                      "%s is a fixed disk and keeps its size; convert it to a dynamic one", path);
    if (r == 0)
        r = part_begin(path, part, err);
    if (r == 0)
        r = format->create_like(part, path, err);
    if (r == 0) {
        r = write_compact(from, part, parent_folders, progress, err);
        if (r == 0)
            r = file_settle(part, err);
        if (r == 0 && rename(part, path) < 0)
            r = error_set(err, -errno, "%s cannot be replaced: %s", path, strerror(errno));
        if (r < 0)
            unlink(part);
    }
    blk_close(from);
    return r;
}

/* ---- merge ---- */

/* What must hold before anything is written; gives the parent's path. */
static int prepare_merge(const char *path, const char *const *parent_folders, char **ret_parent,
                         const struct image_format **ret_format, struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = parent_folders};
    const struct image_format *format;
    struct image_facts facts;
    struct blk *blk;
    int r = look(path, &format, &facts, err);
    if (r == 0 && facts.kind != IMAGE_DIFFERENCING)
        r = error_set(err, -EINVAL, "%s is not a differencing disk; there is nothing to merge",
                      path);
    if (r == 0)
        r = blk_open_with(path, &options, &blk, err);
    if (r < 0)
        return r;
    uint64_t size = blk->size_bytes;
    bool grows = size > blk->parent->size_bytes;
    AUTO_FREE char *parent = strdup(blk->parent->name);
    blk_close(blk);
    if (!parent)
        return error_set(err, -ENOMEM, "out of memory");
    r = look(parent, &format, &facts, err);
    if (r == 0 && grows)
        r = format->resize(parent, size, false, err);
    if (r < 0)
        return r;
    *ret_parent = TAKE_PTR(parent);
    *ret_format = format;
    return 0;
}

int image_merge(const char *path, const char *const *parent_folders,
                const struct progress *progress, struct error *err)
{
    struct blk_options options = {.parent_folders = parent_folders, .parent_writable = true};
    const struct image_format *format = NULL;
    AUTO_FREE char *parent = NULL;
    struct blk *child;
    int r = prepare_merge(path, parent_folders, &parent, &format, err);
    if (r == 0)
        r = blk_open_with(path, &options, &child, err);
    if (r < 0)
        return r;
    r = copy_changes(child, child->parent, 0, progress, err);
    if (r == 0) {
        r = blk_flush(child->parent);
        if (r < 0)
            error_set(err, r, "%s cannot be flushed: %s", parent, strerror(-r));
    }
    blk_close(child);
    if (r == 0)
        r = format->renew_id(parent, err);
    if (r == 0 && unlink(path) < 0)
        r = error_set(err, -errno, "%s is merged but cannot be removed: %s", path, strerror(errno));
    return r;
}
