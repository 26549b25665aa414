/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sparse VMDKs of one file, read-only. VMware, "Virtual Disk Format", 5.0: "Hosted Sparse Extents"
 * and "Stream-Optimized Compressed Sparse Extents". Left out: images of several files, and those
 * with a parent, which their descriptor tells; the ESX formats (COWD, SEsparse).
 *
 * A guest sector is an entry of the grain directory, one of a grain table, and a place in a grain.
 * All numbers are little-endian, and in sectors.
 */
#include "block/vmdk.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

#define SECTOR BLK_SECTOR_BYTES
#define MAGIC 0x564d444bu
#define FLAG_ZERO_GRAINS 4u
#define FLAG_COMPRESSED 0x10000u
#define FLAG_MARKERS 0x20000u
#define AT_END UINT64_MAX
#define GRAIN_SECTORS_MAX (1u << 13)
#define TABLE_ENTRIES_MAX (1u << 16)
#define DIRECTORY_ENTRIES_MAX (1u << 23)
#define DESCRIPTOR_BYTES_MAX 65536u
#define TABLE_CACHE 16u

struct header {
    uint32_t version, flags, table_entries;
    uint64_t capacity, grain_sectors, descriptor_at, descriptor_sectors, directory_at;
    uint16_t compression;
};

struct table_slot {
    uint32_t at; /* sector; 0: empty */
    uint8_t *entries;
};

struct vmdk {
    struct blk blk;
    struct blk_file *file;
    struct header h;
    uint64_t grain_bytes;
    uint32_t *directory, directory_count;
    pthread_mutex_t lock; /* what is below */
    struct table_slot slots[TABLE_CACHE];
    uint32_t unpacked_at; /* the compressed grain in `unpacked`; 0: none */
    uint8_t *unpacked, *packed;
};

bool vmdk_probe(const uint8_t *head)
{
    return le32_get(head) == MAGIC;
}

static int refuse(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EOPNOTSUPP, "%s is a VMDK %s, which is not supported", file->name, what);
}

static int damaged(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EBADMSG, "%s is a damaged VMDK: %s", file->name, what);
}

static int read_header(struct blk_file *file, uint64_t at, struct header *h)
{
    uint8_t raw[SECTOR];
    int r = file_read(file, raw, sizeof(raw), at);
    if (r == 0 && !vmdk_probe(raw))
        r = -EBADMSG;
    if (r < 0)
        return r;
    *h = (struct header){
        .version = le32_get(raw + 4),
        .flags = le32_get(raw + 8),
        .capacity = le64_get(raw + 12),
        .grain_sectors = le64_get(raw + 20),
        .descriptor_at = le64_get(raw + 28),
        .descriptor_sectors = le64_get(raw + 36),
        .table_entries = le32_get(raw + 44),
        .directory_at = le64_get(raw + 56),
        .compression = le16_get(raw + 77),
    };
    return 0;
}

/* The embedded description says what no header does: more files, or a parent. */
static int check_descriptor(struct blk_file *file, const struct header *h, struct error *err)
{
    char text[DESCRIPTOR_BYTES_MAX + 1] = "";
    uint64_t len = MIN(h->descriptor_sectors, (uint64_t)DESCRIPTOR_BYTES_MAX / SECTOR) * SECTOR;
    if (h->descriptor_at == 0)
        return 0;
    if (h->descriptor_at > INT64_MAX / SECTOR / 2)
        return damaged(err, file, "its description lies outside the file");
    int r = file_read(file, text, len, h->descriptor_at * SECTOR);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    if (!strstr(text, "parentCID=ffffffff") && strstr(text, "parentCID="))
        return refuse(err, file, "with a parent");
    if (!strstr(text, "createType=\"monolithicSparse\"") &&
        !strstr(text, "createType=\"streamOptimized\""))
        return refuse(err, file, "of several files");
    return 0;
}

static int check_header(const struct blk_file *file, const struct header *h, struct error *err)
{
    if (h->version < 1 || h->version > 3)
        return refuse(err, file, "of an unknown version");
    if (h->flags & FLAG_COMPRESSED && h->compression != 1)
        return refuse(err, file, "with an unknown compression");
    if (h->grain_sectors < 1 || h->grain_sectors > GRAIN_SECTORS_MAX ||
        (h->grain_sectors & (h->grain_sectors - 1)))
        return damaged(err, file, "its grain size is impossible");
    if (h->table_entries < 1 || h->table_entries > TABLE_ENTRIES_MAX)
        return damaged(err, file, "its grain tables have an impossible size");
    if (h->capacity == 0 || h->capacity > INT64_MAX / SECTOR ||
        (h->capacity - 1) / (h->grain_sectors * h->table_entries) >= DIRECTORY_ENTRIES_MAX)
        return damaged(err, file, "its size is impossible");
    if (h->directory_at == 0 || h->directory_at > INT64_MAX / SECTOR / 2)
        return damaged(err, file, "its grain directory lies outside the file");
    return 0;
}

/* The sector of a grain: 0 none, 1 zeroes where the header says so. Lock held. */
static int find(struct vmdk *v, uint64_t offset, uint32_t *ret_sector)
{
    uint64_t grain = offset / v->grain_bytes;
    uint32_t at = v->directory[grain / v->h.table_entries];
    if (at == 0) {
        *ret_sector = 0;
        return 0;
    }
    struct table_slot *slot = &v->slots[at % TABLE_CACHE];
    if (slot->at != at) {
        uint64_t bytes = 4ull * v->h.table_entries;
        slot->at = 0;
        if (!slot->entries)
            slot->entries = malloc(bytes);
        int r = slot->entries ? file_read(v->file, slot->entries, bytes, (uint64_t)at * SECTOR)
                              : -ENOMEM;
        if (r < 0)
            return r;
        slot->at = at;
    }
    uint32_t sector = le32_get(slot->entries + 4 * (grain % v->h.table_entries));
    *ret_sector = sector == 1 && v->h.flags & FLAG_ZERO_GRAINS ? 0 : sector;
    return 0;
}

/* Put a compressed grain into v->unpacked: a marker of sector and length comes first. Lock held. */
static int unpack(struct vmdk *v, uint32_t sector)
{
    uint8_t marker[12];
    uint64_t at = (uint64_t)sector * SECTOR;
    bool markers = v->h.flags & FLAG_MARKERS;
    if (v->unpacked_at == sector)
        return 0;
    v->unpacked_at = 0;
    int r = file_read(v->file, marker, sizeof(marker), at);
    uint64_t skip = markers ? sizeof(marker) : 0;
    uint64_t len = markers ? le32_get(marker + 8) : 2 * v->grain_bytes;
    if (r == 0 && len > 2 * v->grain_bytes)
        r = -EIO;
    if (r == 0)
        r = file_read(v->file, v->packed, len, at + skip);
    if (r < 0)
        return r;
    uLongf out = v->grain_bytes;
    memset(v->unpacked, 0, v->grain_bytes);
    int z = uncompress(v->unpacked, &out, v->packed, len);
    if (z == Z_MEM_ERROR)
        return -ENOMEM;
    if (z != Z_OK)
        return -EIO;
    v->unpacked_at = sector;
    return 0;
}

static void put_unpacked(struct vmdk *v, struct iov_cursor *cursor, uint64_t inside, uint64_t len)
{
    struct iovec iov[IOV_BATCH];
    for (unsigned n; len && (n = iov_gather(cursor, len, iov)) != 0;) {
        for (unsigned i = 0; i < n; i++) {
            memcpy(iov[i].iov_base, v->unpacked + inside, iov[i].iov_len);
            inside += iov[i].iov_len;
            len -= iov[i].iov_len;
            iov_advance(cursor, iov[i].iov_len);
        }
    }
}

static int read_grain(struct vmdk *v, struct iov_cursor *cursor, uint64_t offset, uint64_t len)
{
    bool packed = v->h.flags & FLAG_COMPRESSED;
    uint64_t inside = offset % v->grain_bytes;
    uint32_t sector = 0;
    pthread_mutex_lock(&v->lock);
    int r = find(v, offset, &sector);
    if (r == 0 && sector && packed)
        r = unpack(v, sector);
    if (r == 0 && sector && packed)
        put_unpacked(v, cursor, inside, len);
    pthread_mutex_unlock(&v->lock);
    if (r < 0 || (sector && packed))
        return r;
    if (sector)
        return file_read_iov(v->file, cursor, len, (uint64_t)sector * SECTOR + inside);
    iov_zero(cursor, len);
    return 0;
}

static int vmdk_run(struct blk *blk, const struct blk_req *req)
{
    struct vmdk *v = CONTAINER_OF(blk, struct vmdk, blk);
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    if (req->op == BLK_FLUSH)
        return 0;
    if (req->op != BLK_READ)
        return -EROFS;
    while (at < end) {
        uint64_t len = MIN(end - at, v->grain_bytes - at % v->grain_bytes);
        int r = read_grain(v, &cursor, at, len);
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

static int vmdk_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                    struct blk_extent *ret_extent)
{
    struct vmdk *v = CONTAINER_OF(blk, struct vmdk, blk);
    uint64_t inside = offset_bytes % v->grain_bytes;
    uint64_t len = MIN(len_bytes, v->grain_bytes - inside);
    uint32_t sector = 0, next;
    if (how) /* images that are only converted need no short way */
        return -EAGAIN;
    pthread_mutex_lock(&v->lock);
    int r = find(v, offset_bytes, &sector);
    while (r == 0 && !sector && len < len_bytes && find(v, offset_bytes + len, &next) == 0 && !next)
        len = MIN(len_bytes, len + v->grain_bytes);
    pthread_mutex_unlock(&v->lock);
    if (r < 0)
        return r;
    bool plain = sector && !(v->h.flags & FLAG_COMPRESSED);
    *ret_extent = (struct blk_extent){
        .len_bytes = len,
        .zero = !sector,
        .file = plain ? v->file : NULL,
        .file_offset = plain ? (uint64_t)sector * SECTOR + inside : 0,
    };
    return 0;
}

static void vmdk_free(struct vmdk *v)
{
    for (unsigned i = 0; i < TABLE_CACHE; i++)
        free(v->slots[i].entries);
    free(v->directory);
    free(v->unpacked);
    free(v->packed);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

static void vmdk_close(struct blk *blk)
{
    struct vmdk *v = CONTAINER_OF(blk, struct vmdk, blk);
    blk_done(blk);
    file_close(v->file);
    vmdk_free(v);
}

static const struct blk_ops vmdk_ops = {
    .format = "vmdk", .run = vmdk_run, .map = vmdk_map, .close = vmdk_close};

static int load(struct vmdk *v)
{
    uint64_t covered = v->h.grain_sectors * v->h.table_entries;
    v->directory_count = (uint32_t)((v->h.capacity + covered - 1) / covered);
    v->directory = malloc(4ull * v->directory_count);
    v->unpacked = malloc(v->grain_bytes);
    v->packed = malloc(2 * v->grain_bytes);
    if (!v->directory || !v->unpacked || !v->packed)
        return -ENOMEM;
    int r = file_read(v->file, v->directory, 4ull * v->directory_count, v->h.directory_at * SECTOR);
    for (uint32_t i = 0; i < v->directory_count; i++)
        v->directory[i] = le32_get(&v->directory[i]);
    return r;
}

/* A stream's header does not know yet where the directory will be; its footer does. */
static int find_header(struct blk_file *file, struct header *h, struct error *err)
{
    uint64_t file_bytes;
    int r = read_header(file, 0, h);
    if (r == 0 && h->directory_at == AT_END) {
        struct header start = *h;
        r = file->ops->size(file, &file_bytes);
        if (r == 0)
            r = file_bytes < 3 * SECTOR ? -EBADMSG : read_header(file, file_bytes - 1024, h);
        if (r == 0) {
            h->descriptor_at = start.descriptor_at;
            h->descriptor_sectors = start.descriptor_sectors;
        }
    }
    if (r == -EBADMSG)
        return damaged(err, file, "its footer is not whole");
    return r < 0 ? error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r)) : 0;
}

int vmdk_open(struct blk_file *file, struct blk **ret_blk, struct error *err)
{
    struct header h;
    int r = find_header(file, &h, err);
    if (r == 0)
        r = check_header(file, &h, err);
    if (r == 0)
        r = check_descriptor(file, &h, err);
    if (r < 0)
        return r;
    struct vmdk *v = calloc(1, sizeof(*v));
    if (!v)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&v->lock, NULL);
    v->file = file;
    v->h = h;
    v->grain_bytes = h.grain_sectors * SECTOR;
    v->blk.ops = &vmdk_ops;
    v->blk.name = file->name;
    v->blk.size_bytes = h.capacity * SECTOR;
    v->blk.readonly = true;
    r = load(v);
    if (r == 0)
        r = blk_init(&v->blk);
    if (r < 0) {
        vmdk_free(v);
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    *ret_blk = &v->blk;
    return 0;
}
