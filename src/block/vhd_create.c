/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New VHDs. The creator is given as "win ", Windows' own: QEMU and Bochs take a disk's size from
 * its geometry, up to a cylinder short, for every creator that they do not know, while Windows,
 * Azure, VirtualBox and we always go by the current size. With this mark all read the same disk.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "block/vhd.h"
#include "block/vhd_edit.h"
#include "block/vhd_parent.h"

#define TABLE_AT (VHD_FOOTER_BYTES + VHD_HEADER_BYTES)

int vhd_make_id(uint8_t ret_id[16])
{
    if (getrandom(ret_id, 16, 0) != 16)
        return -EIO;
    /* RFC 4122, 4.4: version 4, variant 1. */
    ret_id[6] = (uint8_t)((ret_id[6] & 0x0f) | 0x40);
    ret_id[8] = (uint8_t)((ret_id[8] & 0x3f) | 0x80);
    return 0;
}

static int fill_footer(enum vhd_type kind, uint64_t size_bytes, struct vhd_footer *footer)
{
    *footer = (struct vhd_footer){
        .features = 2, /* the bit that is always one */
        .version = 0x00010000,
        .data_offset = kind == VHD_FIXED ? UINT64_MAX : VHD_FOOTER_BYTES,
        .time_stamp = (uint32_t)(time(NULL) - VHD_EPOCH),
        .creator = {'w', 'i', 'n', ' '},
        .creator_version = 0x000a0000,
        .creator_os = {'W', 'i', '2', 'k'},
        .original_size_bytes = size_bytes,
        .current_size_bytes = size_bytes,
        .type = kind,
    };
    vhd_geometry(size_bytes / VHD_SECTOR_BYTES, footer);
    return vhd_make_id(footer->unique_id);
}

static int write_table(struct blk_file *file, uint64_t table_bytes)
{
    uint8_t unused[4096];
    memset(unused, 0xff, sizeof(unused));
    for (uint64_t at = 0; at < table_bytes; at += sizeof(unused)) {
        uint64_t piece = MIN(table_bytes - at, (uint64_t)sizeof(unused));
        int r = file_write(file, unused, piece, TABLE_AT + at);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What lies before the blocks: the header, the table, where the parent is. */
static int write_start(struct blk_file *file, const uint8_t *raw_footer, struct vhd_header *header,
                       const struct vhd_locator_data *data, uint64_t *ret_end)
{
    uint8_t raw[VHD_HEADER_BYTES];
    uint64_t table_bytes = align_up(4ull * header->max_table_entries, VHD_SECTOR_BYTES);
    uint64_t end = TABLE_AT + table_bytes;
    int r = file_write(file, raw_footer, VHD_FOOTER_BYTES, 0);
    for (unsigned i = 0; r == 0 && data && i < VHD_LOCATORS_WRITTEN; i++) {
        struct vhd_locator *l = &header->locators[i];
        l->data_offset = end;
        /* In bytes, as all others do; the book's sectors nobody has ever written. */
        l->data_space = (uint32_t)align_up(data[i].len_bytes, VHD_SECTOR_BYTES);
        r = file_write(file, data[i].bytes, data[i].len_bytes, end);
        end += l->data_space;
    }
    vhd_header_put(header, raw);
    if (r == 0)
        r = file_write(file, raw, sizeof(raw), VHD_FOOTER_BYTES);
    if (r == 0)
        r = write_table(file, table_bytes);
    *ret_end = end;
    return r;
}

static int write_image(struct blk_file *file, const struct vhd_new *what, struct vhd_header *header,
                       const struct vhd_locator_data *data, struct error *err)
{
    struct vhd_footer footer;
    uint8_t raw[VHD_FOOTER_BYTES];
    uint64_t end = what->size_bytes;
    int r = fill_footer(what->kind, what->size_bytes, &footer);
    vhd_footer_put(&footer, raw);
    if (r == 0 && what->kind != VHD_FIXED)
        r = write_start(file, raw, header, data, &end);
    /* A fixed disk is promised all of its room. */
    if (r == 0 && what->kind == VHD_FIXED && file->ops->reserve)
        r = file->ops->reserve(file, end + sizeof(raw));
    if (r == 0)
        r = file_write(file, raw, sizeof(raw), end);
    if (r == 0)
        r = file->ops->flush(file);
    return r < 0 ? error_set(err, r, "%s cannot be written: %s", file->name, strerror(-r)) : 0;
}

static int check_new(const struct blk_file *file, const struct vhd_new *what, struct error *err)
{
    uint32_t block = what->block_bytes;
    if (what->size_bytes == 0 || what->size_bytes % VHD_SECTOR_BYTES)
        return error_set(err, -EINVAL,
                         "%s: a disk of %llu bytes is not whole sectors; give a "
                         "multiple of 512",
                         file->name, (unsigned long long)what->size_bytes);
    if (what->size_bytes > VHD_MAX_BYTES)
        return error_set(err, -EFBIG, "%s: a VHD holds at most 2040 GiB; give a smaller size",
                         file->name);
    if (block < VHD_SECTOR_BYTES || (block & (block - 1)) || block > (256u << 20) ||
        (what->size_bytes - 1) / block >= 1u << 24)
        return error_set(err, -EINVAL,
                         "%s: blocks of %u bytes do not fit; give a power of two from 512K to 2M",
                         file->name, block);
    return 0;
}

/* The footer of a parent. */
static int look_at_parent(const char *path, struct vhd_footer *ret_footer, struct error *err)
{
    struct blk_file *file;
    uint64_t at;
    int r = file_open(path, true, &file, err);
    if (r < 0)
        return r;
    r = vhd_probe(file, ret_footer, &at, err);
    file_close(file);
    if (r == 0)
        return error_set(err, -EMEDIUMTYPE,
                         "%s is not a VHD and cannot be the parent of one; convert it with `yado "
                         "disk convert`, or give --vhdx if it is a VHDX",
                         path);
    return r < 0 ? r : 0;
}

int vhd_format(struct blk_file *file, const struct vhd_new *what, struct error *err)
{
    struct vhd_new full = *what;
    AUTO_FREE struct vhd_locator_data *data = NULL;
    struct vhd_header header = {.table_offset = TABLE_AT, .version = 0x00010000};
    struct vhd_footer parent;
    int r = 0;
    if ((full.kind == VHD_DIFFERENCING) != (full.parent_path != NULL))
        return error_set(err, -EINVAL, "%s: a differencing disk needs a parent, no other has one",
                         file->name);
    if (!full.block_bytes)
        full.block_bytes = VHD_DEFAULT_BLOCK_BYTES;
    if (full.kind == VHD_DIFFERENCING) {
        data = calloc(VHD_LOCATORS_WRITTEN, sizeof(*data));
        if (!data)
            return error_set(err, -ENOMEM, "out of memory");
        r = look_at_parent(full.parent_path, &parent, err);
        if (r == 0)
            r = vhd_parent_describe(file->name, full.parent_path, &parent, &header, data, err);
        if (r == 0 && !full.size_bytes)
            full.size_bytes = parent.current_size_bytes;
    }
    if (r == 0)
        r = check_new(file, &full, err);
    if (r < 0)
        return r;
    header.block_bytes = full.block_bytes;
    header.max_table_entries =
        (uint32_t)((full.size_bytes + full.block_bytes - 1) / full.block_bytes);
    return write_image(file, &full, &header, data, err);
}

int vhd_create(const char *path, const struct vhd_new *what, struct error *err)
{
    struct blk_file *file;
    int r = file_create(path, &file, err);
    if (r < 0)
        return r;
    r = vhd_format(file, what, err);
    if (r < 0)
        unlink(path);
    file_close(file);
    return r;
}
