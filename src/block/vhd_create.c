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

#define TABLE_AT (VHD_FOOTER_BYTES + VHD_HEADER_BYTES)

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
    if (getrandom(footer->unique_id, sizeof(footer->unique_id), 0) != 16)
        return -EIO;
    /* RFC 4122, 4.4: version 4, variant 1. */
    footer->unique_id[6] = (uint8_t)((footer->unique_id[6] & 0x0f) | 0x40);
    footer->unique_id[8] = (uint8_t)((footer->unique_id[8] & 0x3f) | 0x80);
    return 0;
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

static int write_image(struct blk_file *file, enum vhd_type kind, uint64_t size_bytes)
{
    struct vhd_footer footer;
    uint8_t raw[VHD_FOOTER_BYTES], raw_header[VHD_HEADER_BYTES];
    uint64_t end = size_bytes;
    int r = fill_footer(kind, size_bytes, &footer);
    if (r < 0)
        return r;
    vhd_footer_put(&footer, raw);

    if (kind == VHD_DYNAMIC) {
        struct vhd_header header = {
            .table_offset = TABLE_AT,
            .version = 0x00010000,
            .max_table_entries =
                (uint32_t)((size_bytes + VHD_DEFAULT_BLOCK_BYTES - 1) / VHD_DEFAULT_BLOCK_BYTES),
            .block_bytes = VHD_DEFAULT_BLOCK_BYTES,
        };
        uint64_t table_bytes = align_up(4ull * header.max_table_entries, VHD_SECTOR_BYTES);
        vhd_header_put(&header, raw_header);
        end = TABLE_AT + table_bytes;
        r = file_write(file, raw, sizeof(raw), 0);
        if (r == 0)
            r = file_write(file, raw_header, sizeof(raw_header), VHD_FOOTER_BYTES);
        if (r == 0)
            r = write_table(file, table_bytes);
    }
    if (r == 0)
        r = file_write(file, raw, sizeof(raw), end);
    return r < 0 ? r : file->ops->flush(file);
}

int vhd_format(struct blk_file *file, enum vhd_type kind, uint64_t size_bytes, struct error *err)
{
    if (kind != VHD_FIXED && kind != VHD_DYNAMIC)
        return error_set(err, -EINVAL, "%s: only fixed and dynamic VHDs can be made empty",
                         file->name);
    if (size_bytes == 0 || size_bytes % VHD_SECTOR_BYTES)
        return error_set(err, -EINVAL,
                         "%s: a disk of %llu bytes is not whole sectors; give a "
                         "multiple of 512",
                         file->name, (unsigned long long)size_bytes);
    if (size_bytes > VHD_MAX_BYTES)
        return error_set(err, -EFBIG, "%s: a VHD holds at most 2040 GiB; give a smaller size",
                         file->name);
    int r = write_image(file, kind, size_bytes);
    return r < 0 ? error_set(err, r, "%s cannot be written: %s", file->name, strerror(-r)) : 0;
}

int vhd_create(const char *path, enum vhd_type kind, uint64_t size_bytes, struct error *err)
{
    struct blk_file *file;
    int r = file_create(path, &file, err);
    if (r < 0)
        return r;
    r = vhd_format(file, kind, size_bytes, err);
    if (r < 0)
        unlink(path);
    file_close(file);
    return r;
}
