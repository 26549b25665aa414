/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * [MS-VHDX]. The region tables, the metadata and the block table are changed through the log
 * (2.2.3, 2.3). A larger block table than its region holds goes to the end of the file first, and
 * both region tables lead there from one moment to the next.
 */
#include "block/vhdx_edit.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "block/vhdx_priv.h"

#define TABLE_STEP 65536u

static int failed(const struct blk_file *file, int r, struct error *err)
{
    return r < 0 ? error_set(err, r, "%s cannot be changed: %s", file->name, strerror(-r)) : 0;
}

int vhdx_image_open(const char *path, bool readonly, struct blk_file **ret_file,
                    struct vhdx **ret_vhdx, struct error *err)
{
    struct blk_file *file;
    int r = vhdx_open_file(path, readonly, &file, err);
    if (r < 0)
        return r;
    struct vhdx *v = vhdx_alloc(file, readonly);
    r = v ? vhdx_load(v, file, err) : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        if (v)
            vhdx_free(v, file);
        file_close(file);
        return r;
    }
    *ret_file = file;
    *ret_vhdx = v;
    return 0;
}

void vhdx_image_close(struct blk_file *file, struct vhdx *v)
{
    vhdx_free(v, file);
    file_close(file);
}

/* For changes: it must be sound, and its log is put into it. */
static int make_ready(struct vhdx *v, struct blk_file *file, struct error *err)
{
    int r = vhdx_check_table(v, err);
    return r == 0 ? vhdx_recover(v, file, err) : r;
}

static int open_for_change(const char *path, struct blk_file **ret_file, struct vhdx **ret_vhdx,
                           struct error *err)
{
    struct blk_file *file;
    struct vhdx *v;
    int r = vhdx_image_open(path, false, &file, &v, err);
    if (r < 0)
        return r;
    r = make_ready(v, file, err);
    if (r < 0) {
        vhdx_image_close(file, v);
        return r;
    }
    *ret_file = file;
    *ret_vhdx = v;
    return 0;
}

/* Bytes anywhere in a structure, by the log. */
static int change_bytes(struct vhdx *v, uint64_t at, const uint8_t *bytes, size_t len)
{
    while (len) {
        uint8_t *sector;
        uint64_t inside = at % VHDX_SECTOR;
        size_t n = MIN(len, (size_t)(VHDX_SECTOR - inside));
        int r = vhdx_change(v, at - inside, &sector);
        if (r < 0)
            return r;
        memcpy(sector + inside, bytes, n);
        at += n;
        bytes += n;
        len -= n;
    }
    return 0;
}

/* ---- size ---- */

static uint64_t block_count(const struct vhdx *v, uint64_t size_bytes)
{
    return (size_bytes + v->d.block_bytes - 1) / v->d.block_bytes;
}

static int read_entry(struct vhdx *v, uint64_t index, uint64_t *ret_entry)
{
    const uint8_t *sector;
    uint64_t at = v->d.bat_at + 8 * index;
    int r = vhdx_cached(v, at / VHDX_SECTOR * VHDX_SECTOR, false, &sector);
    if (r == 0)
        *ret_entry = le64_get(sector + at % VHDX_SECTOR);
    return r;
}

/*
 * The old last block may hold more than the disk did, and some writers cut it off there: the whole
 * of it must be there, and zeroes, from now on.
 */
static int complete_last_block(struct vhdx *v, struct error *err)
{
    uint64_t old = v->d.size_bytes, used = old % v->d.block_bytes, entry = 0;
    int r = read_entry(v, vhdx_block_index(v, old / v->d.block_bytes), &entry);
    if (r < 0)
        return failed(v->file, r, err);
    uint64_t place = entry >> 20 << 20;
    if (used == 0 || ((entry & 7) != VHDX_FULL && (entry & 7) != VHDX_PARTIAL))
        return 0;
    if (v->file_bytes < place + v->d.block_bytes) {
        r = v->file->ops->truncate(v->file, place + v->d.block_bytes);
        if (r < 0)
            return failed(v->file, r, err);
        v->file_bytes = place + v->d.block_bytes;
    }
    v->d.size_bytes = align_up(old, v->d.block_bytes);
    bool apart = vhdx_check_table(v, NULL) == 0;
    v->d.size_bytes = old;
    if (!apart)
        return error_set(err, -EBADMSG,
                         "%s: another block follows its last one too soon; use `yado disk compact` "
                         "first",
                         v->file->name);
    r = file_zero(v->file, place + used, v->d.block_bytes - used);
    return failed(v->file, r == 0 ? v->file->ops->flush(v->file) : r, err);
}

/* Entries of blocks from first on lead nowhere, up to the end of the table. */
static int clear_entries(struct vhdx *v, uint64_t first)
{
    AUTO_FREE uint8_t *step = malloc(TABLE_STEP);
    uint64_t index = first ? vhdx_block_index(v, first - 1) + 1 : 0;
    /* The bitmap of a chunk in which there are still blocks. */
    uint64_t keep = first ? vhdx_bitmap_index(v, first - 1) : UINT64_MAX;
    uint64_t count = v->d.bat_bytes / 8, have = UINT64_MAX;
    int r = step ? 0 : -ENOMEM;
    for (; index < count && r == 0; index++) {
        uint64_t chunk = 8 * index / TABLE_STEP * TABLE_STEP;
        if (chunk != have)
            r = file_read(v->file, step, MIN((uint64_t)TABLE_STEP, v->d.bat_bytes - chunk),
                          v->d.bat_at + chunk);
        have = chunk;
        if (r == 0 && index != keep && le64_get(step + 8 * index - chunk))
            r = vhdx_set_entry(v, index, 0, VHDX_NOT_PRESENT);
    }
    return r;
}

/* In a region table: where the block table is. */
static int change_region(struct vhdx *v, uint64_t table_at, uint64_t at, uint64_t len)
{
    AUTO_FREE uint8_t *raw = malloc(VHDX_REGIONS_BYTES);
    int r = raw ? file_read(v->file, raw, VHDX_REGIONS_BYTES, table_at) : -ENOMEM;
    if (r < 0)
        return r;
    uint8_t *entry = raw + 16, *end = raw + VHDX_REGIONS_BYTES - 32;
    while (entry <= end && memcmp(entry, vhdx_region_bat, VHDX_ID_BYTES))
        entry += 32;
    if (entry > end)
        return -EBADMSG;
    le64_put(entry + 16, at);
    le32_put(entry + 24, (uint32_t)len);
    le32_put(raw + 4, vhdx_checksum(raw, VHDX_REGIONS_BYTES, 4));
    r = change_bytes(v, table_at, raw, 16);
    return r == 0 ? change_bytes(v, table_at + (uint64_t)(entry - raw), entry, 32) : r;
}

/* The whole table to the end of the file, with room for so many entries. */
static int move_table(struct vhdx *v, uint64_t entries)
{
    AUTO_FREE uint8_t *step = malloc(TABLE_STEP);
    uint64_t bytes = align_up(8 * entries, VHDX_MIB), to;
    uint64_t have = 8 * vhdx_table_entries(&v->d, v->d.size_bytes);
    int r = step ? vhdx_commit(v) : -ENOMEM;
    if (r == 0)
        r = vhdx_grow(v, bytes, &to);
    for (uint64_t at = 0; at < have && r == 0; at += TABLE_STEP) {
        uint64_t n = MIN(have - at, (uint64_t)TABLE_STEP);
        r = file_read(v->file, step, n, v->d.bat_at + at);
        if (r == 0)
            r = file_write(v->file, step, n, to + at);
    }
    if (r == 0)
        r = v->file->ops->flush(v->file);
    if (r == 0)
        r = change_region(v, VHDX_REGIONS_1_AT, to, bytes);
    if (r == 0)
        r = change_region(v, VHDX_REGIONS_2_AT, to, bytes);
    if (r == 0)
        r = vhdx_commit(v);
    if (r < 0)
        return r;
    v->d.bat_at = to;
    v->d.bat_bytes = bytes;
    return 0;
}

/* A fixed disk has all of its blocks. */
static int add_blocks(struct vhdx *v, uint64_t first, uint64_t end)
{
    int r = 0;
    for (uint64_t n = first; n < end && r == 0; n++) {
        uint64_t at = 0;
        r = vhdx_grow(v, v->d.block_bytes, &at);
        if (r == 0)
            r = vhdx_set_entry(v, vhdx_block_index(v, n), at, VHDX_FULL);
    }
    return r == 0 && v->file->ops->reserve ? v->file->ops->reserve(v->file, v->file_bytes) : r;
}

static int put_size(struct vhdx *v, uint64_t size_bytes)
{
    uint8_t raw[8];
    le64_put(raw, size_bytes);
    int r = vhdx_commit(v);
    if (r == 0)
        r = change_bytes(v, v->d.size_at, raw, sizeof(raw));
    if (r == 0)
        r = vhdx_commit(v);
    if (r == 0)
        v->d.size_bytes = v->blk.size_bytes = size_bytes;
    return r;
}

static int enlarge(struct vhdx *v, uint64_t size_bytes, struct error *err)
{
    uint64_t old = block_count(v, v->d.size_bytes);
    uint64_t blocks = block_count(v, size_bytes);
    uint64_t entries = vhdx_table_entries(&v->d, size_bytes);
    if (8 * entries > UINT32_MAX)
        return error_set(err, -EFBIG, "%s: its blocks of %u bytes are too small for that size",
                         v->file->name, v->d.block_bytes);
    int r = complete_last_block(v, err);
    if (r < 0)
        return r;
    r = clear_entries(v, old);
    if (r == 0 && 8 * entries > v->d.bat_bytes)
        r = move_table(v, entries);
    if (r == 0 && v->d.fixed)
        r = add_blocks(v, old, blocks);
    if (r == 0)
        r = put_size(v, size_bytes);
    return failed(v->file, r, err);
}

static int resize(struct vhdx *v, uint64_t size_bytes, struct error *err)
{
    if (size_bytes == 0 || size_bytes % v->d.sector_bytes)
        return error_set(err, -EINVAL, "%s: the disk's size is a multiple of %u bytes",
                         v->file->name, v->d.sector_bytes);
    if (size_bytes > VHDX_MAX_BYTES)
        return error_set(err, -EFBIG, "%s: a VHDX holds at most 64 TiB", v->file->name);
    int r = 0;
    if (size_bytes > v->d.size_bytes) {
        v->keep_id = true; /* a child reads zeroes there, as before */
        r = enlarge(v, size_bytes, err);
    } else if (size_bytes < v->d.size_bytes) {
        /* Entries of blocks that are no more are not looked at, whenever they go. */
        r = put_size(v, size_bytes);
        if (r == 0)
            r = clear_entries(v, block_count(v, size_bytes));
        r = failed(v->file, r, err);
    }
    return r == 0 ? failed(v->file, vhdx_end(v), err) : r;
}

int vhdx_resize_file(struct blk_file *file, uint64_t size_bytes, struct error *err)
{
    struct vhdx *v = vhdx_alloc(file, false);
    if (!v)
        return error_set(err, -ENOMEM, "out of memory");
    int r = vhdx_load(v, file, err);
    if (r == 0)
        r = make_ready(v, file, err);
    if (r == 0)
        r = resize(v, size_bytes, err);
    vhdx_free(v, file);
    return r;
}

int vhdx_resize(const char *path, uint64_t size_bytes, bool shrink, struct error *err)
{
    struct blk_file *file;
    struct vhdx *v;
    int r = open_for_change(path, &file, &v, err);
    if (r < 0)
        return r;
    if (size_bytes < v->d.size_bytes && size_bytes && !shrink)
        r = error_set(err, -ERANGE,
                      "%s is larger now; --shrink cuts it off, and what lies there is lost", path);
    else
        r = resize(v, size_bytes, err);
    vhdx_image_close(file, v);
    return r;
}

/* ---- parents ---- */

/* Whether so many bytes at an offset of the metadata region belong to no item. */
static bool is_free(const uint8_t *table, uint32_t count, uint64_t at, uint64_t len)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = table + VHDX_METADATA_ENTRY * (i + 1);
        uint64_t other = le32_get(entry + 16), other_len = le32_get(entry + 20);
        if (at < other + other_len && other < at + len)
            return false;
    }
    return true;
}

/* A place for a new item: at the start of the room for items, or behind one. */
static int find_room(struct vhdx *v, uint64_t len, uint32_t *ret_at)
{
    AUTO_FREE uint8_t *table = malloc(VHDX_METADATA_TABLE);
    int r = table ? file_read(v->file, table, VHDX_METADATA_TABLE, v->d.metadata_at) : -ENOMEM;
    if (r < 0)
        return r;
    uint32_t count =
        MIN((uint32_t)le16_get(table + 10), VHDX_METADATA_TABLE / VHDX_METADATA_ENTRY - 1);
    for (uint32_t i = 0; i <= count; i++) {
        const uint8_t *entry = table + VHDX_METADATA_ENTRY * i;
        uint64_t at = i ? (uint64_t)le32_get(entry + 16) + le32_get(entry + 20) : 0;
        at = align_up(MAX(at, (uint64_t)VHDX_METADATA_TABLE), 8);
        if (at + len <= v->d.metadata_bytes && is_free(table, count, at, len)) {
            *ret_at = (uint32_t)at;
            return 0;
        }
    }
    return -ENOSPC;
}

/* The new locator goes where nothing is; then the table leads there. */
static int put_locator(struct vhdx *v, const uint8_t *locator, uint32_t len)
{
    uint8_t lead[8];
    uint32_t at = 0;
    int r = find_room(v, len, &at);
    if (r == 0)
        r = vhdx_begin(v);
    if (r == 0)
        r = file_write(v->file, locator, len, v->d.metadata_at + at);
    if (r == 0)
        r = v->file->ops->flush(v->file);
    if (r < 0)
        return r;
    le32_put(lead, at);
    le32_put(lead + 4, len);
    r = change_bytes(v, v->d.locator_entry_at + 16, lead, sizeof(lead));
    return r == 0 ? vhdx_end(v) : r;
}

static int known_parent(struct vhdx *v, const char *child_path, const char *parent_path,
                        const uint8_t *id, struct error *err)
{
    struct vhdx_parent known = {.wanted = false};
    int r = vhdx_find_parent(v->file, "/", &known, err);
    if (r < 0)
        return r;
    parent_paths_done(&known.paths);
    return !memcmp(known.id, id, VHDX_ID_BYTES)
               ? 0
               : error_set(err, -EMEDIUMTYPE,
                           "%s is another disk than the one that %s differs from, or was written "
                           "to; --force takes it if you know that their contents are the same",
                           parent_path, child_path);
}

int vhdx_reparent(const char *child_path, const char *parent_path, bool force, struct error *err)
{
    AUTO_FREE uint8_t *locator = NULL;
    struct vhdx_header parent;
    struct vhdx_disk disk;
    struct blk_file *file;
    struct vhdx *v;
    uint32_t len;
    int r = open_for_change(child_path, &file, &v, err);
    if (r < 0)
        return r;
    v->keep_id = true;
    if (!v->d.has_parent || !v->d.locator_entry_at)
        r = error_set(err, -EINVAL, "%s is not a differencing disk and has no parent", child_path);
    if (r == 0)
        r = vhdx_look(parent_path, &parent, &disk, err);
    if (r == 0 && disk.sector_bytes != v->d.sector_bytes)
        r = error_set(err, -EINVAL, "%s has sectors of another size than %s", parent_path,
                      child_path);
    if (r == 0 && !force)
        r = known_parent(v, child_path, parent_path, parent.data_write_id, err);
    if (r == 0)
        r = vhdx_parent_describe(child_path, parent_path, parent.data_write_id, &locator, &len,
                                 err);
    if (r == 0)
        r = failed(file, put_locator(v, locator, len), err);
    vhdx_image_close(file, v);
    return r;
}

int vhdx_renew_id(const char *path, struct error *err)
{
    struct blk_file *file;
    struct vhdx *v;
    int r = open_for_change(path, &file, &v, err);
    if (r < 0)
        return r;
    r = vhdx_begin(v);
    if (r == 0)
        r = vhdx_end(v);
    r = failed(file, r, err);
    vhdx_image_close(file, v);
    return r;
}
