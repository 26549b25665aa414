/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New VHDX files, [MS-VHDX] 2. Header section, log, metadata, table, payload, in this order, each
 * on boundaries of MiB.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "block/utf16.h"
#include "block/vhd_edit.h"
#include "block/vhdx.h"

#define LOG_AT VHDX_MIB
#define LOG_BYTES VHDX_MIB
#define METADATA_AT (2 * VHDX_MIB)
#define BAT_AT (3ull * VHDX_MIB)
#define ITEMS_AT 65536u
#define LOGICAL_BYTES 512u
#define PHYSICAL_BYTES 4096u
#define CHUNK_SECTORS (1ull << 23)

enum { IS_VIRTUAL_DISK = 2, IS_REQUIRED = 4 };

static uint64_t bat_entries(uint64_t size_bytes, uint32_t block_bytes)
{
    uint64_t blocks = (size_bytes + block_bytes - 1) / block_bytes;
    return blocks + (blocks - 1) / (CHUNK_SECTORS * LOGICAL_BYTES / block_bytes);
}

static int write_headers(struct blk_file *file)
{
    uint8_t raw[VHDX_HEADER_BYTES], id[512] = "vhdxfile";
    int r = utf16_from_utf8("Yado", false, id + 8, 64) ? file_write(file, id, sizeof(id), 0) : -EIO;
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        memset(raw, 0, sizeof(raw));
        memcpy(raw, "head", 4);
        le64_put(raw + 8, i + 1);
        r = vhd_make_id(raw + 16);
        if (r == 0)
            r = vhd_make_id(raw + 32);
        le16_put(raw + 66, 1); /* the format's version */
        le32_put(raw + 68, LOG_BYTES);
        le64_put(raw + 72, LOG_AT);
        le32_put(raw + 4, vhdx_checksum(raw, sizeof(raw), 4));
        if (r == 0)
            r = file_write(file, raw, sizeof(raw), (i + 1) * 65536);
    }
    return r;
}

static int write_regions(struct blk_file *file, uint64_t bat_bytes)
{
    AUTO_FREE uint8_t *raw = calloc(1, VHDX_REGIONS_BYTES);
    if (!raw)
        return -ENOMEM;
    memcpy(raw, "regi", 4);
    le32_put(raw + 8, 2);
    memcpy(raw + 16, vhdx_region_bat, VHDX_ID_BYTES);
    le64_put(raw + 32, BAT_AT);
    le32_put(raw + 40, (uint32_t)bat_bytes);
    le32_put(raw + 44, 1);
    memcpy(raw + 48, vhdx_region_metadata, VHDX_ID_BYTES);
    le64_put(raw + 64, METADATA_AT);
    le32_put(raw + 72, VHDX_MIB);
    le32_put(raw + 76, 1);
    le32_put(raw + 4, vhdx_checksum(raw, VHDX_REGIONS_BYTES, 4));
    int r = file_write(file, raw, VHDX_REGIONS_BYTES, 3 * 65536);
    return r == 0 ? file_write(file, raw, VHDX_REGIONS_BYTES, 4 * 65536) : r;
}

static int write_metadata(struct blk_file *file, const struct vhdx_new *what)
{
    uint8_t parameters[8] = {0}, size[8], logical[4], physical[4], page83[16],
            head[32] = "metadata";
    const struct {
        const uint8_t *id, *value;
        uint32_t len, flags;
    } items[] = {
        {vhdx_item_parameters, parameters, 8, IS_REQUIRED},
        {vhdx_item_size, size, 8, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_page83, page83, 16, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_logical, logical, 4, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_physical, physical, 4, IS_VIRTUAL_DISK | IS_REQUIRED},
    };
    le32_put(parameters, what->block_bytes);
    le32_put(parameters + 4, what->fixed);
    le64_put(size, what->size_bytes);
    le32_put(logical, LOGICAL_BYTES);
    le32_put(physical, PHYSICAL_BYTES);
    le16_put(head + 10, ARRAY_LEN(items));
    int r = vhd_make_id(page83);
    if (r == 0)
        r = file_write(file, head, sizeof(head), METADATA_AT);
    for (uint32_t i = 0, at = ITEMS_AT; r == 0 && i < ARRAY_LEN(items); at += items[i++].len) {
        uint8_t entry[32] = {0};
        memcpy(entry, items[i].id, VHDX_ID_BYTES);
        le32_put(entry + 16, at);
        le32_put(entry + 20, items[i].len);
        le32_put(entry + 24, items[i].flags);
        r = file_write(file, entry, sizeof(entry), METADATA_AT + 32 * (i + 1));
        if (r == 0)
            r = file_write(file, items[i].value, items[i].len, METADATA_AT + at);
    }
    return r;
}

/* All blocks of a fixed disk, one behind the other. */
static int write_table(struct blk_file *file, const struct vhdx_new *what, uint64_t *end)
{
    uint64_t ratio = CHUNK_SECTORS * LOGICAL_BYTES / what->block_bytes;
    uint64_t blocks = (what->size_bytes + what->block_bytes - 1) / what->block_bytes;
    for (uint64_t n = 0; n < blocks; n++, *end += what->block_bytes) {
        uint8_t entry[8];
        le64_put(entry, *end | VHDX_FULL);
        int r = file_write(file, entry, sizeof(entry), BAT_AT + 8 * (n + n / ratio));
        if (r < 0)
            return r;
    }
    return 0;
}

int vhdx_format(struct blk_file *file, const struct vhdx_new *given, struct error *err)
{
    struct vhdx_new what = *given;
    if (!what.block_bytes)
        what.block_bytes = VHDX_DEFAULT_BLOCK_BYTES;
    if (what.size_bytes == 0 || what.size_bytes % LOGICAL_BYTES || what.size_bytes > VHDX_MAX_BYTES)
        return error_set(err, -EINVAL, "%s: a VHDX has a multiple of 512 bytes, at most 64 TiB",
                         file->name);
    if (what.block_bytes < VHDX_MIB || what.block_bytes > 256 * VHDX_MIB ||
        (what.block_bytes & (what.block_bytes - 1)))
        return error_set(err, -EINVAL,
                         "%s: blocks of %u bytes do not fit; give a power of two from 1M to 256M",
                         file->name, what.block_bytes);
    uint64_t bat_bytes = align_up(8 * bat_entries(what.size_bytes, what.block_bytes), VHDX_MIB);
    uint64_t end = BAT_AT + bat_bytes;
    int r = write_regions(file, bat_bytes);
    if (r == 0)
        r = write_metadata(file, &what);
    if (r == 0 && what.fixed)
        r = write_table(file, &what, &end);
    if (r == 0)
        r = file->ops->truncate(file, end);
    if (r == 0 && what.fixed && file->ops->reserve)
        r = file->ops->reserve(file, end);
    /* Headers last: without them it is not a VHDX. */
    if (r == 0)
        r = write_headers(file);
    if (r == 0)
        r = file->ops->flush(file);
    return r < 0 ? error_set(err, r, "%s cannot be written: %s", file->name, strerror(-r)) : 0;
}

int vhdx_create(const char *path, const struct vhdx_new *what, struct error *err)
{
    struct blk_file *file;
    int r = file_create(path, &file, err);
    if (r < 0)
        return r;
    r = vhdx_format(file, what, err);
    if (r < 0)
        unlink(path);
    file_close(file);
    return r;
}
