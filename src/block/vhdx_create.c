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
#define ITEMS_AT VHDX_METADATA_TABLE
#define SECTOR_BYTES 512u
#define PHYSICAL_BYTES 4096u

enum { IS_VIRTUAL_DISK = 2, IS_REQUIRED = 4 };
enum { LEAVE_ALLOCATED = 1, HAS_PARENT = 2 };

static int write_headers(struct blk_file *file, const uint8_t *data_write_id)
{
    uint8_t raw[VHDX_HEADER_BYTES], id[512] = "vhdxfile";
    int r = utf16_from_utf8("Yado", false, id + 8, 64) ? file_write(file, id, sizeof(id), 0) : -EIO;
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        memset(raw, 0, sizeof(raw));
        memcpy(raw, "head", 4);
        le64_put(raw + 8, i + 1);
        r = vhd_make_id(raw + 16);
        memcpy(raw + 32, data_write_id, VHDX_ID_BYTES);
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
    int r = file_write(file, raw, VHDX_REGIONS_BYTES, VHDX_REGIONS_1_AT);
    return r == 0 ? file_write(file, raw, VHDX_REGIONS_BYTES, VHDX_REGIONS_2_AT) : r;
}

static int write_metadata(struct blk_file *file, const struct vhdx_layout *what)
{
    uint8_t parameters[8] = {0}, size[8], logical[4], physical[4], head[32] = "metadata";
    const struct {
        const uint8_t *id, *value;
        uint32_t len, flags;
    } items[] = {
        {vhdx_item_parameters, parameters, 8, IS_REQUIRED},
        {vhdx_item_size, size, 8, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_page83, what->page83, 16, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_logical, logical, 4, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_physical, physical, 4, IS_VIRTUAL_DISK | IS_REQUIRED},
        {vhdx_item_locator, what->locator, what->locator_bytes, IS_REQUIRED},
    };
    unsigned count = ARRAY_LEN(items) - !what->locator;
    le32_put(parameters, what->block_bytes);
    le32_put(parameters + 4,
             (what->fixed ? LEAVE_ALLOCATED : 0) | (what->locator ? HAS_PARENT : 0));
    le64_put(size, what->size_bytes);
    le32_put(logical, what->sector_bytes);
    le32_put(physical, what->physical_bytes);
    le16_put(head + 10, (uint16_t)count);
    int r = file_write(file, head, sizeof(head), METADATA_AT);
    for (uint32_t i = 0, at = ITEMS_AT; r == 0 && i < count; at += items[i++].len) {
        uint8_t entry[VHDX_METADATA_ENTRY] = {0};
        memcpy(entry, items[i].id, VHDX_ID_BYTES);
        le32_put(entry + 16, at);
        le32_put(entry + 20, items[i].len);
        le32_put(entry + 24, items[i].flags);
        r = file_write(file, entry, sizeof(entry), METADATA_AT + sizeof(entry) * (i + 1));
        if (r == 0)
            r = file_write(file, items[i].value, items[i].len, METADATA_AT + at);
    }
    return r;
}

/* All blocks of a fixed disk, one behind the other. */
static int write_table(struct blk_file *file, const struct vhdx_layout *what, uint64_t *end)
{
    uint64_t ratio = vhdx_chunk_ratio(what->sector_bytes, what->block_bytes);
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

int vhdx_write_empty(struct blk_file *file, const struct vhdx_layout *what)
{
    const struct vhdx_disk disk = {.block_bytes = what->block_bytes,
                                   .sector_bytes = what->sector_bytes,
                                   .has_parent = what->locator};
    uint64_t bat_bytes = align_up(8 * vhdx_table_entries(&disk, what->size_bytes), VHDX_MIB);
    uint64_t end = BAT_AT + bat_bytes;
    int r = write_regions(file, bat_bytes);
    if (r == 0)
        r = write_metadata(file, what);
    if (r == 0 && what->fixed)
        r = write_table(file, what, &end);
    if (r == 0)
        r = file->ops->truncate(file, end);
    if (r == 0 && what->fixed && file->ops->reserve)
        r = file->ops->reserve(file, end);
    /* Headers last: without them it is not a VHDX. */
    if (r == 0)
        r = write_headers(file, what->data_write_id);
    return r == 0 ? file->ops->flush(file) : r;
}

static int check_layout(const struct blk_file *file, const struct vhdx_layout *what,
                        struct error *err)
{
    if (what->size_bytes == 0 || what->size_bytes % what->sector_bytes ||
        what->size_bytes > VHDX_MAX_BYTES)
        return error_set(err, -EINVAL,
                         "%s: the size of a VHDX is a multiple of %u bytes, at most 64 TiB",
                         file->name, what->sector_bytes);
    if (what->block_bytes < VHDX_MIB || what->block_bytes > 256 * VHDX_MIB ||
        (what->block_bytes & (what->block_bytes - 1)))
        return error_set(err, -EINVAL,
                         "%s: blocks of %u bytes do not fit; give a power of two from 1M to 256M",
                         file->name, what->block_bytes);
    return 0;
}

/* What a child has from its parent. */
static int take_parent(const struct blk_file *file, const struct vhdx_new *what,
                       struct vhdx_layout *layout, uint8_t **ret_locator, struct error *err)
{
    struct vhdx_header header;
    struct vhdx_disk disk;
    if (what->fixed)
        return error_set(err, -EINVAL, "%s: a fixed disk has no parent", file->name);
    int r = vhdx_look(what->parent_path, &header, &disk, err);
    if (r == -EMEDIUMTYPE)
        return error_set(err, r,
                         "%s is not a VHDX and cannot be the parent of one; convert it with `yado "
                         "disk convert --to vhdx`",
                         what->parent_path);
    if (r < 0)
        return r;
    if (!layout->size_bytes)
        layout->size_bytes = disk.size_bytes;
    layout->sector_bytes = disk.sector_bytes;
    if (disk.physical_bytes)
        layout->physical_bytes = disk.physical_bytes;
    return vhdx_parent_describe(file->name, what->parent_path, header.data_write_id, ret_locator,
                                &layout->locator_bytes, err);
}

int vhdx_format(struct blk_file *file, const struct vhdx_new *what, struct error *err)
{
    AUTO_FREE uint8_t *locator = NULL;
    struct vhdx_layout layout = {.fixed = what->fixed,
                                 .size_bytes = what->size_bytes,
                                 .block_bytes = what->block_bytes,
                                 .sector_bytes = SECTOR_BYTES,
                                 .physical_bytes = PHYSICAL_BYTES};
    if (!layout.block_bytes)
        layout.block_bytes = what->parent_path ? VHDX_CHILD_BLOCK_BYTES : VHDX_DEFAULT_BLOCK_BYTES;
    int r = what->parent_path ? take_parent(file, what, &layout, &locator, err) : 0;
    layout.locator = locator;
    if (r == 0)
        r = check_layout(file, &layout, err);
    if (r < 0)
        return r;
    r = vhd_make_id(layout.page83);
    if (r == 0)
        r = vhd_make_id(layout.data_write_id);
    if (r == 0)
        r = vhdx_write_empty(file, &layout);
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
