/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "vhd"
#include "block/vhd_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "block/vhd_parent.h"

#define STEP_BYTES (2u << 20)
#define GRAIN_BYTES 4096u

/* ---- compact ---- */

static int copy_locators(struct vhd_image *from, struct blk_file *to, struct vhd_header *header,
                         uint64_t *end)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        struct vhd_locator *l = &header->locators[i];
        if (!l->code)
            continue;
        if (l->data_length > VHD_LOCATOR_MAX_BYTES || l->data_offset > INT64_MAX / 2)
            return -EBADMSG;
        uint64_t room = align_up(l->data_length, VHD_SECTOR_BYTES);
        AUTO_FREE uint8_t *data = calloc(1, room ? room : 1);
        if (!data)
            return -ENOMEM;
        int r = file_read(from->file, data, l->data_length, l->data_offset);
        if (r == 0)
            r = file_write(to, data, room, *end);
        if (r < 0)
            return r;
        l->data_offset = *end;
        l->data_space = (uint32_t)room;
        *end += room;
    }
    return 0;
}

/* The structures of an empty disk that is otherwise the same. */
static int write_structures(struct vhd_image *from, struct blk_file *to)
{
    uint8_t raw[VHD_HEADER_BYTES], unused[VHD_SECTOR_BYTES];
    struct vhd_footer footer = from->footer;
    struct vhd_header header = from->header;
    uint64_t at = VHD_FOOTER_BYTES + VHD_HEADER_BYTES;
    uint32_t block = header.block_bytes;
    uint32_t count = (uint32_t)((footer.current_size_bytes + block - 1) / block);
    uint64_t end = at + align_up(4ull * count, VHD_SECTOR_BYTES);
    int r = 0;
    header.table_offset = at;
    header.max_table_entries = count;
    footer.data_offset = VHD_FOOTER_BYTES;
    memset(unused, 0xff, sizeof(unused));
    for (; r == 0 && at < end; at += sizeof(unused))
        r = file_write(to, unused, sizeof(unused), at);
    if (r == 0 && footer.type == VHD_DIFFERENCING)
        r = copy_locators(from, to, &header, &end);
    if (r == 0) {
        vhd_header_put(&header, raw);
        r = file_write(to, raw, sizeof(raw), VHD_FOOTER_BYTES);
    }
    vhd_footer_put(&footer, raw);
    if (r == 0)
        r = file_write(to, raw, VHD_FOOTER_BYTES, 0);
    return r == 0 ? file_write(to, raw, VHD_FOOTER_BYTES, end) : r;
}

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

static int write_compact(const char *path, const char *part, const char *const *parent_folders,
                         struct vhd_image *image, const struct progress *progress,
                         struct error *err)
{
    struct blk_options from_options = {.readonly = true, .parent_folders = parent_folders};
    struct blk_options to_options = {.building = true, .parent_folders = parent_folders};
    AUTO(freespace_done) struct freespace unused = {.bits = NULL};
    struct blk *from = NULL, *to = NULL;
    struct blk_file *file;
    int r = file_create(part, &file, err);
    if (r < 0)
        return r;
    r = write_structures(image, file);
    file_close(file);
    if (r < 0)
        return error_set(err, r, "%s cannot be written: %s", part, strerror(-r));
    r = blk_open_with(path, &from_options, &from, err);
    if (r == 0)
        r = blk_open_with(part, &to_options, &to, err);
    if (r == 0) {
        r = freespace_find(from, &unused);
        if (r < 0)
            error_set(err, r, "%s cannot be read: %s", path, strerror(-r));
    }
    if (r == 0 && unused.unclean)
        log_warning("%s: a file system was not unmounted in order: what it does not use is kept",
                    path);
    if (r == 0)
        r = from->parent ? copy_differences(from, to, &unused, progress, err)
                         : copy_disk(from, to, &unused, progress, err);
    blk_close(to);
    blk_close(from);
    return r;
}

int vhd_compact(const char *path, const char *const *parent_folders,
                const struct progress *progress, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    char part[4096];
    if (snprintf(part, sizeof(part), "%s.%d.part", path, getpid()) >= (int)sizeof(part))
        return error_set(err, -ENAMETOOLONG, "%s: the name is too long", path);
    /* Read-only, but shared: nobody can write to it from here on. */
    int r = vhd_image_open(path, true, &image, err);
    if (r < 0)
        return r;
    if (image.footer.type == VHD_FIXED)
        return error_set(err, -EINVAL,
                         "%s is a fixed disk and keeps its size; convert it to a dynamic one",
                         path);
    if (image.footer.saved_state)
        return error_set(
            err, -EBUSY,
            "%s belongs to a machine whose state is saved; start or discard that first", path);
    r = write_compact(path, part, parent_folders, &image, progress, err);
    if (r == 0)
        r = file_settle(part, err);
    if (r == 0 && rename(part, path) < 0)
        r = error_set(err, -errno, "%s cannot be replaced: %s", path, strerror(errno));
    if (r < 0)
        unlink(part);
    return r;
}

/* ---- merge ---- */

/* What must hold before anything is written; gives the parent's path. */
static int prepare_merge(const char *path, const char *const *parent_folders, char **ret_parent,
                         struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = parent_folders};
    AUTO(vhd_image_close) struct vhd_image image = {0};
    AUTO_FREE char *parent = NULL;
    struct blk *blk;
    int r = vhd_image_open(path, true, &image, err);
    if (r < 0)
        return r;
    if (image.footer.type != VHD_DIFFERENCING)
        return error_set(err, -EINVAL, "%s is not a differencing disk; there is nothing to merge",
                         path);
    if (image.footer.saved_state)
        return error_set(
            err, -EBUSY,
            "%s belongs to a machine whose state is saved; start or discard that first", path);
    r = blk_open_with(path, &options, &blk, err);
    if (r < 0)
        return r;
    uint64_t size = blk->size_bytes;
    bool grows = size > blk->parent->size_bytes;
    parent = strdup(blk->parent->name);
    blk_close(blk);
    if (!parent)
        return error_set(err, -ENOMEM, "out of memory");
    r = grows ? vhd_resize(parent, size, false, err) : 0;
    if (r == 0)
        *ret_parent = TAKE_PTR(parent);
    return r;
}

int vhd_merge(const char *path, const char *const *parent_folders, const struct progress *progress,
              struct error *err)
{
    struct blk_options options = {.parent_folders = parent_folders, .parent_writable = true};
    AUTO(vhd_image_close) struct vhd_image image = {0};
    AUTO_FREE char *parent = NULL;
    struct blk *child;
    int r = prepare_merge(path, parent_folders, &parent, err);
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
    if (r < 0)
        return r;
    r = vhd_image_open(parent, false, &image, err);
    if (r == 0)
        r = vhd_renew_id(&image, err);
    if (r == 0 && unlink(path) < 0)
        r = error_set(err, -errno, "%s is merged but cannot be removed: %s", path, strerror(errno));
    return r;
}
