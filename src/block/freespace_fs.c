/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of free space as file systems keep them: ext2 to ext4 (Linux,
 * Documentation/filesystems/ext4), FAT (Microsoft, "FAT32 File System Specification" 1.03), NTFS
 * (as ntfs-3g's layout.h has it). All that is read is bounded by the volume.
 */
#include "block/freespace_fs.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* ---- ext2, ext3, ext4 ---- */

enum {
    EXT_RECOVER = 0x4, /* the journal has what is not in its place */
    /* File types, extents, 64 bits, flexible groups, values in inodes, seeds of checksums, large
     * folders, data in inodes, encryption, folded names: none of them changes the bitmaps. */
    EXT_KNOWN = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000,
    EXT_64BIT = 0x80,
    EXT_GROUP_CHECKSUMS = 0x10 | 0x400,
    EXT_BIGALLOC = 0x200,
    EXT_BITMAP_UNUSED = 0x2, /* of a group: its bitmap was never written */
};

struct ext {
    uint64_t blocks, first, groups;
    uint32_t block_bytes, group_blocks, cluster_blocks, descriptor_bytes;
    bool wide, checksums;
};

static int ext_group(struct volume *v, const struct ext *e, uint64_t group, uint8_t *bits)
{
    uint8_t d[64] = {0};
    /* The table is in the block behind the one with the superblock. */
    uint64_t at = (1024 / e->block_bytes + 1ull) * e->block_bytes + group * e->descriptor_bytes;
    int r = volume_read(v, d, MIN(e->descriptor_bytes, (uint32_t)sizeof(d)), at);
    if (r < 0 || (e->checksums && le16_get(d + 0x12) & EXT_BITMAP_UNUSED))
        return r; /* nobody has ever written there: it is zero already */
    uint64_t bitmap = le32_get(d) | (e->wide ? (uint64_t)le32_get(d + 0x20) << 32 : 0);
    uint64_t begin = e->first + group * e->group_blocks;
    uint64_t count = MIN((uint64_t)e->group_blocks, e->blocks - begin) / e->cluster_blocks;
    if (bitmap == 0 || bitmap >= e->blocks || count > 8ull * e->block_bytes)
        return -EINVAL;
    r = volume_read(v, bits, e->block_bytes, bitmap * e->block_bytes);
    uint64_t cluster_bytes = (uint64_t)e->cluster_blocks * e->block_bytes;
    for (uint64_t i = 0; i < count && r == 0; i++)
        if (!(bits[i / 8] >> (i % 8) & 1))
            volume_free(v, begin * e->block_bytes + i * cluster_bytes, cluster_bytes);
    return r;
}

int freespace_ext(struct volume *v)
{
    uint8_t s[1024];
    if (volume_read(v, s, sizeof(s), 1024) < 0 || le16_get(s + 0x38) != 0xef53)
        return 0;
    uint32_t incompatible = le32_get(s + 0x60), readonly = le32_get(s + 0x64);
    uint32_t shift = le32_get(s + 0x18), cluster_shift = le32_get(s + 0x1c);
    if (incompatible & EXT_RECOVER || !(le16_get(s + 0x3a) & 1))
        return -EUCLEAN;
    if (incompatible & ~(uint32_t)EXT_KNOWN)
        return -ENOTSUP;
    struct ext e = {
        .blocks = le32_get(s + 4),
        .first = le32_get(s + 0x14),
        .group_blocks = le32_get(s + 0x20),
        .wide = incompatible & EXT_64BIT,
        .checksums = readonly & EXT_GROUP_CHECKSUMS,
        .cluster_blocks = 1,
        .descriptor_bytes = 32,
    };
    if (e.wide) {
        e.blocks |= (uint64_t)le32_get(s + 0x150) << 32;
        e.descriptor_bytes = le16_get(s + 0xfe);
    }
    if (shift > 6 || (readonly & EXT_BIGALLOC && (cluster_shift < shift || cluster_shift > 20)))
        return -EINVAL;
    e.block_bytes = 1024u << shift;
    if (readonly & EXT_BIGALLOC)
        e.cluster_blocks = 1u << (cluster_shift - shift);
    if (e.descriptor_bytes < (e.wide ? 64u : 32u) || e.descriptor_bytes > 1024 ||
        e.group_blocks == 0 || e.blocks <= e.first || e.blocks > v->len_bytes / e.block_bytes)
        return -EINVAL;
    e.groups = (e.blocks - e.first + e.group_blocks - 1) / e.group_blocks;
    AUTO_FREE uint8_t *bits = malloc(e.block_bytes);
    if (!bits)
        return -ENOMEM;
    for (uint64_t group = 0; group < e.groups; group++) {
        int r = ext_group(v, &e, group, bits);
        if (r < 0)
            return r;
    }
    return 1;
}

/* ---- FAT ---- */

static uint32_t fat_entry(const uint8_t *table, unsigned width, uint64_t n)
{
    if (width == 12) {
        uint32_t pair = le16_get(table + n + n / 2);
        return n & 1 ? pair >> 4 : pair & 0xfff;
    }
    return width == 16 ? le16_get(table + 2 * n) : le32_get(table + 4 * n) & 0x0fffffff;
}

/* The two flags that say that it was not unmounted: in the table's second entry, in the sector. */
static bool fat_is_dirty(const uint8_t *boot, const uint8_t *table, unsigned width)
{
    uint32_t second = fat_entry(table, width, 1);
    if (width == 12)
        return false;
    return boot[width == 16 ? 0x25 : 0x41] & 1 || !(second & (width == 16 ? 0x8000 : 0x08000000));
}

int freespace_fat(struct volume *v)
{
    uint8_t b[512];
    if (volume_read(v, b, sizeof(b), 0) < 0 || b[510] != 0x55 || b[511] != 0xaa ||
        (b[0] != 0xeb && b[0] != 0xe9))
        return 0;
    uint32_t sector = le16_get(b + 11), cluster = b[13], reserved = le16_get(b + 14);
    uint32_t tables = b[16], root = le16_get(b + 17);
    uint64_t sectors = le16_get(b + 19) ? le16_get(b + 19) : le32_get(b + 32);
    uint64_t table_sectors = le16_get(b + 22) ? le16_get(b + 22) : le32_get(b + 36);
    if (sector < 512 || sector > 4096 || (sector & (sector - 1)) || cluster == 0 ||
        (cluster & (cluster - 1)) || reserved == 0 || tables == 0 || tables > 2 ||
        table_sectors == 0 || (b[21] < 0xf0))
        return 0;
    uint64_t data = reserved + tables * table_sectors + (root * 32ull + sector - 1) / sector;
    if (sectors <= data || sectors > v->len_bytes / sector)
        return -EINVAL;
    uint64_t clusters = (sectors - data) / cluster;
    unsigned width = clusters < 4085 ? 12 : clusters < 65525 ? 16 : 32;
    uint64_t bytes = table_sectors * sector;
    if (clusters > 0x0ffffff5 || (clusters + 2) * width / 8 + 2 > bytes)
        return -EINVAL;
    AUTO_FREE uint8_t *table = malloc(bytes + 4);
    int r = table ? volume_read(v, table, bytes, (uint64_t)reserved * sector) : -ENOMEM;
    if (r < 0)
        return r;
    if (fat_is_dirty(b, table, width))
        return -EUCLEAN;
    for (uint64_t n = 0; n < clusters; n++)
        if (fat_entry(table, width, n + 2) == 0)
            volume_free(v, (data + n * cluster) * sector, (uint64_t)cluster * sector);
    return 1;
}

/* ---- NTFS ---- */

#define NTFS_RECORD_MAX 65536u
#define NTFS_STEP 65536u

struct ntfs {
    struct volume *v;
    uint64_t clusters;
    uint32_t cluster_bytes, record_bytes;
    uint64_t mft_at;
    uint8_t *record;
    uint8_t *pages; /* the start of the log */
};

/* One of the first 16 records, which lie behind one another; its sectors' ends are put right. */
static int ntfs_record(struct ntfs *n, unsigned number)
{
    uint8_t *rec = n->record;
    int r = volume_read(n->v, rec, n->record_bytes, n->mft_at + (uint64_t)number * n->record_bytes);
    if (r < 0)
        return r;
    uint32_t at = le16_get(rec + 4), count = le16_get(rec + 6);
    if (memcmp(rec, "FILE", 4) != 0 || count != n->record_bytes / 512 + 1 ||
        at + 2 * count > n->record_bytes)
        return -EINVAL;
    for (uint32_t i = 1; i < count; i++) {
        uint8_t *end = rec + i * 512 - 2;
        if (memcmp(end, rec + at, 2) != 0)
            return -EINVAL;
        memcpy(end, rec + at + 2 * i, 2);
    }
    return 0;
}

/* An attribute without a name; NULL: it is not in this record. */
static const uint8_t *ntfs_attribute(const struct ntfs *n, uint32_t type, uint32_t *ret_len)
{
    for (uint32_t at = le16_get(n->record + 20); at + 24 <= n->record_bytes;) {
        const uint8_t *a = n->record + at;
        uint32_t len = le32_get(a + 4);
        if (le32_get(a) == 0xffffffff || len < 24 || len > n->record_bytes - at)
            return NULL;
        if (le32_get(a) == type && a[9] == 0) {
            *ret_len = len;
            return a;
        }
        at += len;
    }
    return NULL;
}

/* A number of 1 to 8 bytes. */
static int64_t ntfs_number(const uint8_t *p, unsigned bytes, bool is_signed)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    if (is_signed && bytes && bytes < 8 && p[bytes - 1] & 0x80)
        value |= ~0ull << (8 * bytes);
    return (int64_t)value;
}

/* Give each piece of the data of the record's unnamed stream to use(), at most max_bytes. */
static int ntfs_data(struct ntfs *n, uint64_t max_bytes,
                     void (*use)(struct ntfs *n, const uint8_t *data, uint64_t at, uint64_t len))
{
    AUTO_FREE uint8_t *step = malloc(NTFS_STEP);
    uint32_t len, at;
    const uint8_t *a = ntfs_attribute(n, 0x80, &len);
    if (!step)
        return -ENOMEM;
    if (!a || !a[8] || len < 64)
        return -EINVAL;
    uint64_t left = MIN(le64_get(a + 48), max_bytes), done = 0;
    int64_t place = 0;
    for (at = le16_get(a + 32); left && at < len && a[at];) {
        unsigned length_bytes = a[at] & 15, place_bytes = a[at] >> 4;
        if (length_bytes == 0 || length_bytes > 8 || place_bytes == 0 || place_bytes > 8 ||
            at + 1 + length_bytes + place_bytes > len)
            return -EINVAL;
        int64_t run = ntfs_number(a + at + 1, length_bytes, false);
        int64_t jump = ntfs_number(a + at + 1 + length_bytes, place_bytes, true);
        at += 1 + length_bytes + place_bytes;
        if (__builtin_add_overflow(place, jump, &place) || run <= 0 || place < 0 ||
            (uint64_t)place > n->clusters || (uint64_t)run > n->clusters - (uint64_t)place)
            return -EINVAL;
        uint64_t from = (uint64_t)place * n->cluster_bytes;
        uint64_t bytes = MIN((uint64_t)run * n->cluster_bytes, left);
        for (uint64_t i = 0; i < bytes;) {
            uint64_t piece = MIN(bytes - i, (uint64_t)NTFS_STEP);
            int r = volume_read(n->v, step, piece, from + i);
            if (r < 0)
                return r;
            use(n, step, done, piece);
            i += piece;
            done += piece;
        }
        left -= bytes;
    }
    return left ? -EINVAL : 0;
}

static void ntfs_bitmap(struct ntfs *n, const uint8_t *data, uint64_t at, uint64_t len)
{
    for (uint64_t i = 0; i < 8 * len && 8 * at + i < n->clusters; i++)
        if (!(data[i / 8] >> (i % 8) & 1))
            volume_free(n->v, (8 * at + i) * n->cluster_bytes, n->cluster_bytes);
}

/* The first 64 KiB of the log hold both restart pages. */
static void ntfs_keep(struct ntfs *n, const uint8_t *data, uint64_t at, uint64_t len)
{
    if (at == 0)
        memcpy(n->pages, data, MIN(len, (uint64_t)NTFS_RECORD_MAX));
}

/* A Windows that sleeps, or lost its power, has clients in its log that have not closed it. */
static int ntfs_log_is_clean(struct ntfs *n)
{
    const uint8_t *page = n->pages, *newest = NULL;
    uint64_t lsn = 0;
    int r = ntfs_record(n, 2);
    if (r == 0)
        r = ntfs_data(n, NTFS_RECORD_MAX, ntfs_keep);
    if (r < 0)
        return r;
    if (le32_get(page) == 0xffffffff)
        return 0; /* as it was made: never used */
    for (unsigned i = 0; i < 2; i++, page += 4096) {
        uint32_t area = le16_get(page + 24);
        if (memcmp(page, "RSTR", 4) != 0 || area < 30 || area > 512 - 48)
            continue;
        if (!newest || le64_get(page + area) > lsn) {
            newest = page + area;
            lsn = le64_get(newest);
        }
    }
    if (!newest)
        return -EUCLEAN;
    bool in_use = le16_get(newest + 12) != 0xffff, closed = le16_get(newest + 14) & 2;
    return in_use && !closed ? -EUCLEAN : 0;
}

static int ntfs_is_clean(struct ntfs *n)
{
    uint32_t len;
    int r = ntfs_record(n, 3);
    if (r < 0)
        return r;
    const uint8_t *a = ntfs_attribute(n, 0x70, &len);
    uint32_t at = a ? le16_get(a + 20) : 0;
    if (!a || a[8] || at + 12 > len)
        return -EINVAL;
    return le16_get(a + at + 10) & 1 ? -EUCLEAN : ntfs_log_is_clean(n);
}

/* Sizes of clusters and records: small numbers as they are, negative ones as powers of two. */
static uint32_t ntfs_size(uint8_t code, uint32_t unit)
{
    if (code <= 0x80)
        return code * unit;
    return (uint8_t)-code < 32 ? 1u << (uint8_t)-code : 0;
}

int freespace_ntfs(struct volume *v)
{
    uint8_t b[512];
    if (volume_read(v, b, sizeof(b), 0) < 0 || memcmp(b + 3, "NTFS    ", 8) != 0 ||
        b[510] != 0x55 || b[511] != 0xaa)
        return 0;
    uint32_t sector = le16_get(b + 11);
    struct ntfs n = {.v = v};
    if (sector < 512 || sector > 4096 || (sector & (sector - 1)))
        return -EINVAL;
    n.cluster_bytes = b[13] <= 0x80 ? b[13] * sector : ntfs_size(b[13], 1) * sector;
    if (n.cluster_bytes < 512 || n.cluster_bytes > 2u << 20 ||
        (n.cluster_bytes & (n.cluster_bytes - 1)))
        return -EINVAL;
    n.record_bytes = ntfs_size(b[0x40], n.cluster_bytes);
    if (n.record_bytes < 512 || n.record_bytes > NTFS_RECORD_MAX || n.record_bytes % 512)
        return -EINVAL;
    if (le64_get(b + 0x28) > v->len_bytes / sector)
        return -EINVAL;
    n.clusters = le64_get(b + 0x28) * sector / n.cluster_bytes;
    if (le64_get(b + 0x30) >= n.clusters)
        return -EINVAL;
    n.mft_at = le64_get(b + 0x30) * n.cluster_bytes;
    AUTO_FREE uint8_t *record = calloc(1, NTFS_RECORD_MAX);
    AUTO_FREE uint8_t *pages = calloc(1, NTFS_RECORD_MAX);
    if (!record || !pages)
        return -ENOMEM;
    n.record = record;
    n.pages = pages;
    int r = ntfs_is_clean(&n);
    if (r == 0)
        r = ntfs_record(&n, 6);
    if (r == 0)
        r = ntfs_data(&n, (n.clusters + 7) / 8, ntfs_bitmap);
    return r < 0 ? r : 1;
}
