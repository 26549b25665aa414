/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/vhdx_format.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define HEADER_1_AT 65536u
#define HEADER_2_AT 131072u
#define REGIONS_MAX 2047u
#define ITEMS_MAX 2047u

/* Ids as they lie in the file: the first three fields are little-endian. */
const uint8_t vhdx_region_bat[VHDX_ID_BYTES] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                                0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
const uint8_t vhdx_region_metadata[VHDX_ID_BYTES] = {
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
const uint8_t vhdx_item_parameters[VHDX_ID_BYTES] = {
    0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
const uint8_t vhdx_item_size[VHDX_ID_BYTES] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                               0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
const uint8_t vhdx_item_page83[VHDX_ID_BYTES] = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                                 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
const uint8_t vhdx_item_logical[VHDX_ID_BYTES] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                                  0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
const uint8_t vhdx_item_physical[VHDX_ID_BYTES] = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                                   0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};
const uint8_t vhdx_item_locator[VHDX_ID_BYTES] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                                  0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

bool vhdx_probe(const uint8_t *head)
{
    return !memcmp(head, "vhdxfile", 8);
}

int vhdx_open_file(const char *path, bool readonly, struct blk_file **ret_file, struct error *err)
{
    struct blk_file *file;
    uint8_t head[512];
    int r = file_open(path, readonly, &file, err);
    if (r < 0)
        return r;
    r = file_read(file, head, sizeof(head), 0);
    if (r < 0)
        error_set(err, r, "%s cannot be read: %s", path, strerror(-r));
    else if (!vhdx_probe(head))
        r = error_set(err, -EMEDIUMTYPE, "%s is not a VHDX", path);
    if (r < 0)
        file_close(file);
    else
        *ret_file = file;
    return r;
}

int vhdx_damaged(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EBADMSG, "%s is a damaged VHDX: %s", file->name, what);
}

static int unreadable(struct error *err, const struct blk_file *file, int r)
{
    return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
}

uint32_t vhdx_checksum(const uint8_t *bytes, size_t len_bytes, size_t checksum_at)
{
    uint32_t table[256], crc = ~0u;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (unsigned bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
        table[i] = c;
    }
    for (size_t i = 0; i < len_bytes; i++) {
        uint8_t byte = i - checksum_at < 4 ? 0 : bytes[i];
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff];
    }
    return ~crc;
}

uint64_t vhdx_chunk_ratio(uint32_t sector_bytes, uint32_t block_bytes)
{
    return VHDX_CHUNK_SECTORS * sector_bytes / block_bytes;
}

uint64_t vhdx_table_entries(const struct vhdx_disk *disk, uint64_t size_bytes)
{
    uint64_t ratio = vhdx_chunk_ratio(disk->sector_bytes, disk->block_bytes);
    uint64_t blocks = (size_bytes + disk->block_bytes - 1) / disk->block_bytes;
    return disk->has_parent ? (blocks + ratio - 1) / ratio * (ratio + 1)
                            : blocks + (blocks - 1) / ratio;
}

static bool get_header(const uint8_t *raw, struct vhdx_header *ret)
{
    if (memcmp(raw, "head", 4) || le32_get(raw + 4) != vhdx_checksum(raw, VHDX_HEADER_BYTES, 4) ||
        le16_get(raw + 66) != 1)
        return false;
    struct vhdx_header h = {
        .sequence = le64_get(raw + 8),
        .log_bytes = le32_get(raw + 68),
        .log_at = le64_get(raw + 72),
    };
    memcpy(h.file_write_id, raw + 16, VHDX_ID_BYTES);
    memcpy(h.data_write_id, raw + 32, VHDX_ID_BYTES);
    memcpy(h.log_id, raw + 48, VHDX_ID_BYTES);
    *ret = h;
    return true;
}

static int get_headers(struct blk_file *file, struct vhdx_header headers[2], bool good[2])
{
    uint8_t raw[VHDX_HEADER_BYTES];
    for (unsigned i = 0; i < 2; i++) {
        int r = file_read(file, raw, sizeof(raw), i ? HEADER_2_AT : HEADER_1_AT);
        if (r < 0)
            return r;
        good[i] = get_header(raw, &headers[i]);
    }
    return 0;
}

int vhdx_whole_headers(struct blk_file *file, unsigned *ret_count)
{
    struct vhdx_header headers[2];
    bool good[2];
    int r = get_headers(file, headers, good);
    if (r == 0)
        *ret_count = (unsigned)good[0] + good[1];
    return r;
}

int vhdx_read_header(struct blk_file *file, struct vhdx_header *ret_header, struct error *err)
{
    struct vhdx_header headers[2];
    bool good[2];
    int r = get_headers(file, headers, good);
    if (r < 0)
        return unreadable(err, file, r);
    if (!good[0] && !good[1])
        return vhdx_damaged(err, file, "no copy of its header is whole");
    bool second = good[1] && (!good[0] || headers[1].sequence > headers[0].sequence);
    *ret_header = headers[second];
    ret_header->second = second;
    return 0;
}

/* 2.2.3: regions lie behind the first MiB, on boundaries of MiB. */
static int take_region(const struct blk_file *file, const uint8_t *entry, uint64_t file_bytes,
                       struct vhdx_disk *disk, struct error *err)
{
    uint64_t at = le64_get(entry + 16), len = le32_get(entry + 24);
    bool bat = !memcmp(entry, vhdx_region_bat, VHDX_ID_BYTES);
    if (!bat && memcmp(entry, vhdx_region_metadata, VHDX_ID_BYTES))
        return le32_get(entry + 28) & 1
                   ? error_set(err, -EOPNOTSUPP, "%s needs a feature of VHDX that is not known",
                               file->name)
                   : 0;
    if (at < VHDX_MIB || at % VHDX_MIB || len == 0 || at > file_bytes || len > file_bytes - at)
        return vhdx_damaged(err, file, "a region lies outside the file");
    if (bat) {
        disk->bat_at = at;
        disk->bat_bytes = len;
    } else {
        disk->metadata_at = at;
        disk->metadata_bytes = len;
    }
    return 0;
}

static int read_regions(struct blk_file *file, struct vhdx_disk *disk, struct error *err)
{
    AUTO_FREE uint8_t *raw = malloc(VHDX_REGIONS_BYTES);
    uint64_t file_bytes;
    bool good = false;
    int r = raw ? file->ops->size(file, &file_bytes) : -ENOMEM;
    for (unsigned i = 0; r == 0 && !good && i < 2; i++) {
        r = file_read(file, raw, VHDX_REGIONS_BYTES, i ? VHDX_REGIONS_2_AT : VHDX_REGIONS_1_AT);
        good = r == 0 && !memcmp(raw, "regi", 4) &&
               le32_get(raw + 4) == vhdx_checksum(raw, VHDX_REGIONS_BYTES, 4);
    }
    if (r < 0)
        return unreadable(err, file, r);
    uint32_t count = good ? le32_get(raw + 8) : 0;
    if (count == 0 || count > REGIONS_MAX)
        return vhdx_damaged(err, file, "no copy of its region table is whole");
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = take_region(file, raw + 16 + i * VHDX_METADATA_ENTRY, file_bytes, disk, err);
    if (r == 0 && (!disk->bat_at || disk->metadata_bytes < VHDX_METADATA_TABLE))
        r = vhdx_damaged(err, file, "it lacks a region");
    return r;
}

/* 2.6.1.2: an item of the metadata table. */
static int take_item(struct blk_file *file, const uint8_t *entry, uint64_t entry_at,
                     struct vhdx_disk *disk, unsigned *seen, struct error *err)
{
    uint32_t at = le32_get(entry + 16), len = le32_get(entry + 20);
    uint8_t value[VHDX_ID_BYTES] = {0};
    if (len > disk->metadata_bytes || at > disk->metadata_bytes - len ||
        (len && at < VHDX_METADATA_TABLE))
        return vhdx_damaged(err, file, "its metadata lie outside their region");
    int r = file_read(file, value, MIN(len, (uint32_t)sizeof(value)), disk->metadata_at + at);
    if (r < 0)
        return unreadable(err, file, r);
    if (!memcmp(entry, vhdx_item_parameters, VHDX_ID_BYTES) && len == 8) {
        disk->block_bytes = le32_get(value);
        disk->fixed = le32_get(value + 4) & 1;
        disk->has_parent = le32_get(value + 4) & 2;
        *seen |= 1;
    } else if (!memcmp(entry, vhdx_item_size, VHDX_ID_BYTES) && len == 8) {
        disk->size_bytes = le64_get(value);
        disk->size_at = disk->metadata_at + at;
        *seen |= 2;
    } else if (!memcmp(entry, vhdx_item_logical, VHDX_ID_BYTES) && len == 4) {
        disk->sector_bytes = le32_get(value);
        *seen |= 4;
    } else if (!memcmp(entry, vhdx_item_locator, VHDX_ID_BYTES)) {
        disk->locator_at = disk->metadata_at + at;
        disk->locator_bytes = MIN(len, VHDX_LOCATOR_MAX);
        disk->locator_entry_at = entry_at;
    } else if (!memcmp(entry, vhdx_item_page83, VHDX_ID_BYTES)) {
        memcpy(disk->page83, value, VHDX_ID_BYTES);
    } else if (!memcmp(entry, vhdx_item_physical, VHDX_ID_BYTES)) {
        disk->physical_bytes = le32_get(value);
    } else if (le32_get(entry + 24) & 4) {
        return error_set(err, -EOPNOTSUPP, "%s needs metadata of VHDX that are not known",
                         file->name);
    }
    return 0;
}

static int check_disk(const struct blk_file *file, const struct vhdx_disk *d, unsigned seen,
                      struct error *err)
{
    if (seen != 7)
        return vhdx_damaged(err, file, "its metadata are incomplete");
    if (d->block_bytes < VHDX_MIB || d->block_bytes > 256 * VHDX_MIB ||
        (d->block_bytes & (d->block_bytes - 1)))
        return vhdx_damaged(err, file, "its block size is impossible");
    if (d->sector_bytes != 512 && d->sector_bytes != 4096)
        return vhdx_damaged(err, file, "its sector size is impossible");
    if (d->size_bytes == 0 || d->size_bytes % d->sector_bytes || d->size_bytes > VHDX_MAX_BYTES)
        return vhdx_damaged(err, file, "its size is impossible");
    if (vhdx_table_entries(d, d->size_bytes) > d->bat_bytes / 8)
        return vhdx_damaged(err, file, "its block table is too small for the disk");
    return 0;
}

int vhdx_read_disk(struct blk_file *file, struct vhdx_disk *ret_disk, struct error *err)
{
    AUTO_FREE uint8_t *table = malloc(VHDX_METADATA_TABLE);
    struct vhdx_disk disk = {0};
    unsigned seen = 0;
    if (!table)
        return error_set(err, -ENOMEM, "out of memory");
    int r = read_regions(file, &disk, err);
    if (r < 0)
        return r;
    r = file_read(file, table, VHDX_METADATA_TABLE, disk.metadata_at);
    if (r < 0)
        return unreadable(err, file, r);
    uint32_t count = le16_get(table + 10);
    if (memcmp(table, "metadata", 8) || count > ITEMS_MAX)
        return vhdx_damaged(err, file, "its metadata are not whole");
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = take_item(file, table + 32 + i * VHDX_METADATA_ENTRY,
                      disk.metadata_at + 32 + i * VHDX_METADATA_ENTRY, &disk, &seen, err);
    if (r == 0)
        r = check_disk(file, &disk, seen, err);
    if (r == 0)
        *ret_disk = disk;
    return r;
}
