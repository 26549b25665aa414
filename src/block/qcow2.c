/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2, versions 2 and 3, read-only. QEMU, docs/interop/qcow2.txt. Left out: encryption, external
 * data files, subclusters (extended L2 entries), compression other than deflate: refused by name.
 * Snapshots inside of the image are not looked at.
 *
 * A guest address is an index into L1, one into an L2 table, and an offset into a cluster. The L1
 * table is kept in memory, L2 tables in a small cache.
 */
#include "block/qcow2.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

#define HEADER_BYTES 104u
#define CLUSTER_BITS_MIN 9u
#define CLUSTER_BITS_MAX 21u
#define L1_BYTES_MAX (32u << 20)
#define BACKING_NAME_MAX 1023u
#define L2_CACHE 16u
#define OFFSET_MASK 0x00fffffffffffe00ull
#define COMPRESSED (1ull << 62)
#define READS_ZERO 1ull

/* Incompatible features, header bytes 72 to 79. */
enum { DIRTY = 1, CORRUPT = 2, EXTERNAL_DATA = 4, COMPRESSION = 8, EXTENDED_L2 = 16 };

struct header {
    uint32_t version, backing_len, cluster_bits, crypt, l1_count;
    uint64_t backing_at, size_bytes, l1_at, incompatible;
    uint8_t compression;
};

struct l2_slot {
    uint64_t at; /* in the file; 0: empty */
    uint64_t *entries;
};

struct qcow2 {
    struct blk blk;
    struct blk_file *file;
    unsigned cluster_bits, l2_bits;
    uint64_t cluster_bytes, *l1;
    uint32_t l1_count;
    pthread_mutex_t lock; /* what is below */
    struct l2_slot slots[L2_CACHE];
    uint64_t unpacked_at; /* the compressed cluster in `unpacked`: its L2 entry; 0: none */
    uint8_t *unpacked, *packed;
};

bool qcow2_probe(const uint8_t *head)
{
    return be32_get(head) == 0x514649fb && (be32_get(head + 4) == 2 || be32_get(head + 4) == 3);
}

static int read_header(struct blk_file *file, struct header *h, struct error *err)
{
    uint8_t raw[HEADER_BYTES + 1];
    int r = file_read(file, raw, sizeof(raw), 0);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    *h = (struct header){
        .version = be32_get(raw + 4),
        .backing_at = be64_get(raw + 8),
        .backing_len = be32_get(raw + 16),
        .cluster_bits = be32_get(raw + 20),
        .size_bytes = be64_get(raw + 24),
        .crypt = be32_get(raw + 32),
        .l1_count = be32_get(raw + 36),
        .l1_at = be64_get(raw + 40),
    };
    if (h->version >= 3) {
        h->incompatible = be64_get(raw + 72);
        if (be32_get(raw + 100) > HEADER_BYTES)
            h->compression = raw[HEADER_BYTES];
    }
    return 0;
}

static int refuse(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EOPNOTSUPP, "%s is a qcow2 image with %s, which is not supported",
                     file->name, what);
}

static int damaged(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EBADMSG, "%s is a damaged qcow2 image: %s", file->name, what);
}

static int check_header(const struct blk_file *file, const struct header *h, struct error *err)
{
    if (h->crypt)
        return refuse(err, file, "encryption");
    if (h->incompatible & EXTERNAL_DATA)
        return refuse(err, file, "an external data file");
    if (h->incompatible & EXTENDED_L2)
        return refuse(err, file, "subclusters");
    if (h->incompatible & COMPRESSION && h->compression != 0)
        return refuse(err, file, "zstd compression");
    if (h->incompatible & ~(uint64_t)(DIRTY | CORRUPT | COMPRESSION))
        return refuse(err, file, "an unknown feature");
    if (h->cluster_bits < CLUSTER_BITS_MIN || h->cluster_bits > CLUSTER_BITS_MAX)
        return damaged(err, file, "its cluster size is impossible");
    if (h->size_bytes == 0 || h->size_bytes > 1ull << 62)
        return damaged(err, file, "its size is impossible");
    uint64_t per_l1 = 1ull << (2 * h->cluster_bits - 3);
    if (h->l1_count < (h->size_bytes + per_l1 - 1) / per_l1)
        return damaged(err, file, "its first table is too small for the disk");
    if (h->l1_count > L1_BYTES_MAX / 8)
        return damaged(err, file, "its first table is too large");
    return 0;
}

int qcow2_backing(struct blk_file *file, char **ret_name, struct error *err)
{
    struct header h;
    int r = read_header(file, &h, err);
    if (r == 0)
        r = check_header(file, &h, err);
    if (r < 0)
        return r;
    if (h.backing_at == 0 || h.backing_len == 0) {
        *ret_name = NULL;
        return 0;
    }
    if (h.backing_len > BACKING_NAME_MAX || h.backing_at > INT64_MAX / 2)
        return damaged(err, file, "the name of its backing file is too long");
    char *name = calloc(1, h.backing_len + 1);
    r = name ? file_read(file, name, h.backing_len, h.backing_at) : -ENOMEM;
    if (r < 0) {
        free(name);
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    *ret_name = name;
    return 0;
}

/* An L2 table, from the cache or the file. Lock held. */
static int load_l2(struct qcow2 *q, uint64_t at, uint64_t **ret_entries)
{
    struct l2_slot *slot = &q->slots[(at >> q->cluster_bits) % L2_CACHE];
    if (slot->at != at) {
        slot->at = 0;
        if (!slot->entries)
            slot->entries = malloc(q->cluster_bytes);
        int r = slot->entries ? file_read(q->file, slot->entries, q->cluster_bytes, at) : -ENOMEM;
        if (r < 0)
            return r;
        slot->at = at;
    }
    *ret_entries = slot->entries;
    return 0;
}

/* The L2 entry of a guest offset; 0 where there is no table. Lock held. */
static int find(struct qcow2 *q, uint64_t offset, uint64_t *ret_entry)
{
    uint64_t *entries, l1 = q->l1[offset >> (q->cluster_bits + q->l2_bits)] & OFFSET_MASK;
    if (l1 == 0) {
        *ret_entry = 0;
        return 0;
    }
    if (l1 & (q->cluster_bytes - 1) || l1 > INT64_MAX / 2)
        return -EIO;
    int r = load_l2(q, l1, &entries);
    if (r == 0)
        *ret_entry = be64_get(&entries[(offset >> q->cluster_bits) & ((1ull << q->l2_bits) - 1)]);
    return r;
}

/* Put a compressed cluster into q->unpacked. Lock held. */
static int unpack(struct qcow2 *q, uint64_t entry)
{
    if (q->unpacked_at == entry)
        return 0;
    /* "Compressed Clusters Descriptor": the offset has 62 - (cluster_bits - 8) bits. */
    unsigned bits = 62 - (q->cluster_bits - 8);
    uint64_t at = entry & ((1ull << bits) - 1);
    uint64_t sectors = ((entry & (COMPRESSED - 1)) >> bits) + 1;
    uint64_t len = MIN(sectors * 512 - at % 512, 2 * q->cluster_bytes);
    z_stream z = {.next_in = q->packed,
                  .avail_in = (uInt)len,
                  .next_out = q->unpacked,
                  .avail_out = (uInt)q->cluster_bytes};
    if (at > INT64_MAX / 2)
        return -EIO;
    q->unpacked_at = 0;
    int r = file_read(q->file, q->packed, len, at);
    if (r < 0)
        return r;
    if (inflateInit2(&z, -12) != Z_OK) /* raw deflate, a window of 4 KiB */
        return -ENOMEM;
    int z_result = inflate(&z, Z_FINISH);
    bool whole = z.avail_out == 0;
    inflateEnd(&z);
    if ((z_result != Z_STREAM_END && z_result != Z_BUF_ERROR) || !whole)
        return -EIO;
    q->unpacked_at = entry;
    return 0;
}

enum kind { ABSENT, ZERO, PLAIN, PACKED };

static enum kind kind_of(uint64_t entry)
{
    if (entry & COMPRESSED)
        return PACKED;
    if (entry & READS_ZERO)
        return ZERO;
    return entry & OFFSET_MASK ? PLAIN : ABSENT;
}

static int read_cluster(struct qcow2 *q, struct iov_cursor *cursor, uint64_t offset, uint64_t len)
{
    uint64_t entry = 0, inside = offset & (q->cluster_bytes - 1);
    pthread_mutex_lock(&q->lock);
    int r = find(q, offset, &entry);
    enum kind kind = kind_of(entry);
    if (r == 0 && kind == PACKED) {
        r = unpack(q, entry);
        struct iovec iov[IOV_BATCH];
        while (r == 0 && len) {
            unsigned n = iov_gather(cursor, len, iov);
            if (n == 0)
                r = -EINVAL;
            for (unsigned i = 0; i < n; i++) {
                memcpy(iov[i].iov_base, q->unpacked + inside, iov[i].iov_len);
                inside += iov[i].iov_len;
                len -= iov[i].iov_len;
                iov_advance(cursor, iov[i].iov_len);
            }
        }
    }
    pthread_mutex_unlock(&q->lock);
    if (r < 0 || kind == PACKED)
        return r;
    if (kind == PLAIN)
        return (entry & OFFSET_MASK) > INT64_MAX / 2
                   ? -EIO
                   : file_read_iov(q->file, cursor, len, (entry & OFFSET_MASK) + inside);
    if (kind == ABSENT && q->blk.parent)
        return blk_read_cursor(q->blk.parent, cursor, len, offset);
    iov_zero(cursor, len);
    return 0;
}

static int qcow2_run(struct blk *blk, const struct blk_req *req)
{
    struct qcow2 *q = CONTAINER_OF(blk, struct qcow2, blk);
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    if (req->op == BLK_FLUSH)
        return 0;
    if (req->op != BLK_READ)
        return -EROFS;
    while (at < end) {
        uint64_t len = MIN(end - at, q->cluster_bytes - (at & (q->cluster_bytes - 1)));
        int r = read_cluster(q, &cursor, at, len);
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

static int map_parent(struct qcow2 *q, uint64_t offset, uint64_t len, struct blk_extent *ret)
{
    struct blk *parent = q->blk.parent;
    *ret = (struct blk_extent){.len_bytes = len, .zero = true};
    if (!parent || offset >= parent->size_bytes)
        return 0;
    int r = blk_map(parent, offset, MIN(len, parent->size_bytes - offset), ret);
    if (r == 0)
        ret->depth++;
    return r;
}

static int qcow2_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                     struct blk_extent *ret_extent)
{
    struct qcow2 *q = CONTAINER_OF(blk, struct qcow2, blk);
    uint64_t inside = offset_bytes & (q->cluster_bytes - 1), entry = 0, next;
    uint64_t len = MIN(len_bytes, q->cluster_bytes - inside);
    if (how) /* images that are only converted need no short way */
        return -EAGAIN;
    pthread_mutex_lock(&q->lock);
    int r = find(q, offset_bytes, &entry);
    enum kind kind = kind_of(entry);
    /* Empty space is told in larger pieces. */
    while (r == 0 && kind <= ZERO && len < len_bytes && find(q, offset_bytes + len, &next) == 0 &&
           kind_of(next) == kind)
        len = MIN(len_bytes, len + q->cluster_bytes);
    pthread_mutex_unlock(&q->lock);
    if (r < 0)
        return r;
    if (kind == ABSENT)
        return map_parent(q, offset_bytes, len, ret_extent);
    *ret_extent = (struct blk_extent){
        .len_bytes = len,
        .zero = kind == ZERO,
        .file = kind == PLAIN ? q->file : NULL,
        .file_offset = kind == PLAIN ? (entry & OFFSET_MASK) + inside : 0,
    };
    return 0;
}

static void qcow2_free(struct qcow2 *q)
{
    for (unsigned i = 0; i < L2_CACHE; i++)
        free(q->slots[i].entries);
    free(q->l1);
    free(q->unpacked);
    free(q->packed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static void qcow2_close(struct blk *blk)
{
    struct qcow2 *q = CONTAINER_OF(blk, struct qcow2, blk);
    blk_done(blk);
    blk_close(blk->parent);
    file_close(q->file);
    qcow2_free(q);
}

static const struct blk_ops qcow2_ops = {
    .format = "qcow2", .run = qcow2_run, .map = qcow2_map, .close = qcow2_close};

static int load(struct qcow2 *q, const struct header *h)
{
    q->l1_count = h->l1_count;
    q->l1 = malloc(8ull * h->l1_count);
    q->unpacked = malloc(q->cluster_bytes);
    q->packed = malloc(2 * q->cluster_bytes);
    if (!q->l1 || !q->unpacked || !q->packed)
        return -ENOMEM;
    if (h->l1_at > INT64_MAX / 2)
        return -EBADMSG;
    int r = file_read(q->file, q->l1, 8ull * h->l1_count, h->l1_at);
    for (uint32_t i = 0; i < h->l1_count; i++)
        q->l1[i] = be64_get(&q->l1[i]);
    return r;
}

int qcow2_open(struct blk_file *file, struct blk *parent, struct blk **ret_blk, struct error *err)
{
    struct header h;
    int r = read_header(file, &h, err);
    if (r == 0)
        r = check_header(file, &h, err);
    if (r < 0)
        return r;
    struct qcow2 *q = calloc(1, sizeof(*q));
    if (!q)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&q->lock, NULL);
    q->file = file;
    q->cluster_bits = h.cluster_bits;
    q->l2_bits = h.cluster_bits - 3;
    q->cluster_bytes = 1ull << h.cluster_bits;
    q->blk.ops = &qcow2_ops;
    q->blk.name = file->name;
    q->blk.parent = parent;
    q->blk.size_bytes = align_up(h.size_bytes, BLK_SECTOR_BYTES);
    q->blk.readonly = true;
    /* A size that is not whole sectors must not lead past the first table. */
    if (((q->blk.size_bytes - 1) >> (q->cluster_bits + q->l2_bits)) >= h.l1_count)
        r = -EBADMSG;
    if (r == 0)
        r = load(q, &h);
    if (r == 0)
        r = blk_init(&q->blk);
    if (r < 0) {
        qcow2_free(q);
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    *ret_blk = &q->blk;
    return 0;
}
