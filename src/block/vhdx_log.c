/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * [MS-VHDX] 2.3. The log is a ring of entries of whole 4 KiB sectors. Valid is the run of entries
 * with consecutive numbers whose last one has the greatest number and names a tail within the run.
 * From that tail to the end its sectors are put over the file.
 */
#include "block/vhdx_log.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define SECTOR 4096u
#define LOG_BYTES_MAX (64u << 20)
/* So many times its own length may a hostile log make us compute checksums. */
#define CHECKSUM_BUDGET 16u
#define ENTRY_HEADER 64u
#define DESCRIPTOR 32u

struct patch {
    uint64_t at, len_bytes;
    uint8_t *bytes; /* NULL: zeroes */
};

struct patched {
    struct blk_file file;
    struct blk_file *inner;
    uint64_t size_bytes;
    struct patch *patches;
    size_t count;
};

struct log {
    uint8_t *ring;
    uint32_t bytes;
    const uint8_t *id;
    uint64_t budget;
};

struct entry {
    uint32_t at, bytes, tail, descriptors;
    uint64_t sequence, flushed_bytes, last_bytes;
};

/* ---- the file as it is meant ---- */

static struct patched *patched_of(struct blk_file *file)
{
    return CONTAINER_OF(file, struct patched, file);
}

/* Put a patch over what was read into a list of buffers from offset on. */
static void apply(const struct patch *patch, const struct iovec *iov, int count, uint64_t offset)
{
    for (int i = 0; i < count; i++) {
        uint64_t from = MAX(patch->at, offset);
        uint64_t to = MIN(patch->at + patch->len_bytes, offset + iov[i].iov_len);
        if (from < to && patch->bytes)
            memcpy((uint8_t *)iov[i].iov_base + (from - offset), patch->bytes + (from - patch->at),
                   to - from);
        else if (from < to)
            memset((uint8_t *)iov[i].iov_base + (from - offset), 0, to - from);
        offset += iov[i].iov_len;
    }
}

static ssize_t patched_preadv(struct blk_file *file, const struct iovec *iov, int count,
                              uint64_t offset)
{
    struct patched *p = patched_of(file);
    struct iov_cursor cursor = {.iov = iov, .count = (unsigned)count};
    uint64_t len = 0;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    int r = file_read_iov(p->inner, &cursor, len, offset);
    if (r < 0)
        return r;
    for (size_t i = 0; i < p->count; i++)
        apply(&p->patches[i], iov, count, offset);
    return (ssize_t)len;
}

static ssize_t patched_pwritev(struct blk_file *file, const struct iovec *iov, int count,
                               uint64_t offset)
{
    (void)file;
    (void)iov;
    (void)count;
    (void)offset;
    return -EROFS;
}

static int patched_flush(struct blk_file *file)
{
    (void)file;
    return 0;
}

static int patched_truncate(struct blk_file *file, uint64_t size_bytes)
{
    (void)file;
    (void)size_bytes;
    return -EROFS;
}

static int patched_punch(struct blk_file *file, uint64_t offset, uint64_t len_bytes)
{
    (void)offset;
    return patched_truncate(file, len_bytes);
}

static int patched_size(struct blk_file *file, uint64_t *ret_size_bytes)
{
    *ret_size_bytes = patched_of(file)->size_bytes;
    return 0;
}

static void patched_free(struct patched *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->patches[i].bytes);
    free(p->patches);
    free(p);
}

static void patched_close(struct blk_file *file)
{
    struct patched *p = patched_of(file);
    file_close(p->inner);
    patched_free(p);
}

void vhdx_log_release(struct blk_file *replayed)
{
    free(replayed->name);
    patched_free(patched_of(replayed));
}

int vhdx_log_apply(struct blk_file *replayed)
{
    struct patched *p = patched_of(replayed);
    uint64_t size_bytes;
    int r = p->inner->ops->size(p->inner, &size_bytes);
    if (r == 0 && size_bytes < p->size_bytes)
        r = p->inner->ops->truncate(p->inner, p->size_bytes);
    for (size_t i = 0; i < p->count && r == 0; i++) {
        const struct patch *patch = &p->patches[i];
        r = patch->bytes ? file_write(p->inner, patch->bytes, patch->len_bytes, patch->at)
                         : file_zero(p->inner, patch->at, patch->len_bytes);
    }
    return r < 0 ? r : p->inner->ops->flush(p->inner);
}

static const struct blk_file_ops patched_ops = {
    .preadv = patched_preadv,
    .pwritev = patched_pwritev,
    .flush = patched_flush,
    .truncate = patched_truncate,
    .punch = patched_punch,
    .size = patched_size,
    .close = patched_close,
};

static int add_patch(struct patched *p, uint64_t at, uint64_t len_bytes, uint8_t *bytes)
{
    struct patch *more = realloc(p->patches, (p->count + 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    p->patches = more;
    more[p->count++] = (struct patch){at, len_bytes, bytes};
    return 0;
}

/* ---- the log ---- */

/* Bytes of the ring; they may go on at its start. */
static void ring_get(const struct log *log, uint64_t at, void *buf, size_t len)
{
    at %= log->bytes;
    size_t first = MIN(len, (size_t)(log->bytes - at));
    memcpy(buf, log->ring + at, first);
    memcpy((uint8_t *)buf + first, log->ring, len - first);
}

static bool check_entry(struct log *log, const struct entry *e, uint32_t checksum)
{
    AUTO_FREE uint8_t *copy = NULL;
    if (e->bytes > log->budget || !(copy = malloc(e->bytes)))
        return false;
    log->budget -= e->bytes;
    ring_get(log, e->at, copy, e->bytes);
    if (vhdx_checksum(copy, e->bytes, 4) != checksum)
        return false;
    uint32_t data = (ENTRY_HEADER + e->descriptors * DESCRIPTOR + SECTOR - 1) / SECTOR * SECTOR;
    for (uint32_t i = 0; i < e->descriptors; i++) {
        const uint8_t *d = copy + ENTRY_HEADER + (size_t)i * DESCRIPTOR;
        if (le64_get(d + 24) != e->sequence || le64_get(d + 16) % SECTOR ||
            le64_get(d + 16) > INT64_MAX / 2)
            return false;
        if (!memcmp(d, "zero", 4)) {
            if (le64_get(d + 8) > INT64_MAX / 2)
                return false;
            continue;
        }
        const uint8_t *sector = copy + data;
        if (memcmp(d, "desc", 4) || data + SECTOR > e->bytes || memcmp(sector, "data", 4) ||
            le32_get(sector + 4) != e->sequence >> 32 ||
            le32_get(sector + SECTOR - 4) != (uint32_t)e->sequence)
            return false;
        data += SECTOR;
    }
    return data == e->bytes;
}

static bool get_entry(struct log *log, uint32_t at, struct entry *ret)
{
    uint8_t h[ENTRY_HEADER];
    ring_get(log, at, h, sizeof(h));
    struct entry e = {
        .at = at,
        .bytes = le32_get(h + 8),
        .tail = le32_get(h + 12),
        .sequence = le64_get(h + 16),
        .descriptors = le32_get(h + 24),
        .flushed_bytes = le64_get(h + 48),
        .last_bytes = le64_get(h + 56),
    };
    if (memcmp(h, "loge", 4) || memcmp(h + 32, log->id, VHDX_ID_BYTES) || e.sequence == 0 ||
        e.bytes < SECTOR || e.bytes % SECTOR || e.bytes > log->bytes || e.tail % SECTOR ||
        e.tail >= log->bytes || e.descriptors > (e.bytes - ENTRY_HEADER) / DESCRIPTOR)
        return false;
    if (!check_entry(log, &e, le32_get(h + 4)))
        return false;
    *ret = e;
    return true;
}

/* 2.3.2: the head of the active sequence; its tail is where replay begins. */
static bool find_head(struct log *log, struct entry *ret_head)
{
    bool found = false;
    for (uint32_t start = 0; start < log->bytes;) {
        struct entry head, next;
        uint32_t at = start, run = 0;
        bool has_tail = false;
        if (!get_entry(log, start, &head)) {
            start += SECTOR;
            continue;
        }
        for (next = head; run == 0 || next.sequence == head.sequence + 1;) {
            head = next;
            run += head.bytes;
            at = (uint32_t)(((uint64_t)at + head.bytes) % log->bytes);
            if (run >= log->bytes || !get_entry(log, at, &next))
                break;
        }
        has_tail = (uint32_t)((head.tail + (uint64_t)log->bytes - start) % log->bytes) < run;
        if (has_tail && (!found || head.sequence > ret_head->sequence)) {
            *ret_head = head;
            found = true;
        }
        start += run;
    }
    return found;
}

static int replay_entry(const struct log *log, const struct entry *e, struct patched *p)
{
    uint64_t data = e->at + align_up(ENTRY_HEADER + (uint64_t)e->descriptors * DESCRIPTOR, SECTOR);
    for (uint32_t i = 0; i < e->descriptors; i++) {
        uint8_t d[DESCRIPTOR], *bytes = NULL;
        ring_get(log, e->at + ENTRY_HEADER + (uint64_t)i * DESCRIPTOR, d, sizeof(d));
        uint64_t at = le64_get(d + 16), len = le64_get(d + 8);
        if (memcmp(d, "zero", 4)) {
            /* The sector's first 8 and last 4 bytes gave way to marks, and are in here. */
            len = SECTOR;
            bytes = malloc(SECTOR);
            if (!bytes)
                return -ENOMEM;
            ring_get(log, data, bytes, SECTOR);
            memcpy(bytes, d + 8, 8);
            memcpy(bytes + SECTOR - 4, d + 4, 4);
            data += SECTOR;
        }
        int r = add_patch(p, at, len, bytes);
        if (r < 0) {
            free(bytes);
            return r;
        }
    }
    p->size_bytes = MAX(p->size_bytes, e->last_bytes);
    return 0;
}

static int replay(struct log *log, struct patched *p, struct error *err)
{
    struct entry head = {0}, e;
    if (!find_head(log, &head))
        return vhdx_damaged(err, p->inner, "its log is not whole");
    if (p->size_bytes < head.flushed_bytes)
        return vhdx_damaged(err, p->inner, "the file is shorter than its log says");
    log->budget = (uint64_t)log->bytes * CHECKSUM_BUDGET;
    for (uint64_t at = head.tail;; at += e.bytes) {
        if (!get_entry(log, (uint32_t)(at % log->bytes), &e))
            return vhdx_damaged(err, p->inner, "its log is not whole");
        int r = replay_entry(log, &e, p);
        if (r < 0)
            return error_set(err, r, "out of memory");
        if (e.at == head.at)
            return 0;
    }
}

int vhdx_log_replay(struct blk_file *file, const struct vhdx_header *header,
                    struct blk_file **ret_file, struct error *err)
{
    static const uint8_t none[VHDX_ID_BYTES];
    struct log log = {.bytes = header->log_bytes, .id = header->log_id};
    AUTO_FREE uint8_t *ring = NULL;
    if (!memcmp(header->log_id, none, sizeof(none))) {
        *ret_file = file;
        return 0;
    }
    if (log.bytes == 0 || log.bytes % VHDX_MIB || log.bytes > LOG_BYTES_MAX ||
        header->log_at < VHDX_MIB || header->log_at > INT64_MAX / 2)
        return vhdx_damaged(err, file, "its log is in an impossible place");
    struct patched *p = calloc(1, sizeof(*p));
    ring = malloc(log.bytes);
    int r = p && ring ? file_read(file, ring, log.bytes, header->log_at) : -ENOMEM;
    if (r == 0)
        r = file->ops->size(file, &p->size_bytes);
    if (r < 0) {
        free(p);
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    log.ring = ring;
    log.budget = (uint64_t)log.bytes * CHECKSUM_BUDGET;
    p->inner = file;
    p->file.ops = &patched_ops;
    p->file.name = strdup(file->name);
    r = p->file.name ? replay(&log, p, err) : error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        free(p->file.name);
        patched_free(p);
        return r;
    }
    *ret_file = &p->file;
    return 0;
}
