/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading: threads take one record after the other from the file, each decompresses its own into
 * its place. A file is believed only as far as its frames and checksums agree.
 */
#include "saved/saved_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zstd.h>

struct saved_in {
    char *path;
    int fd;
    uint64_t size_bytes;
    uint64_t at; /* of the next record */
    uint64_t records;
    struct saved_part manifest, devices; /* allocated */
};

static int damaged(const struct saved_in *in, struct error *err)
{
    return error_set(err, -EBADMSG,
                     "%s is damaged or cut off; the saved machine in it cannot go on. Start the "
                     "machine without it",
                     in->path);
}

static int read_at(const struct saved_in *in, void *buf, size_t len_bytes, uint64_t offset)
{
    uint8_t *p = buf;

    if (offset > in->size_bytes || len_bytes > in->size_bytes - offset)
        return -EBADMSG;
    while (len_bytes) {
        ssize_t n = pread(in->fd, p, len_bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        p += n;
        offset += (uint64_t)n;
        len_bytes -= (size_t)n;
    }
    return 0;
}

/* The next frame; its payload is skipped: it stands at *ret_at. */
static int next_frame(struct saved_in *in, struct saved_frame *ret_frame, uint64_t *ret_at)
{
    uint8_t buf[SAVED_FRAME_BYTES];
    struct saved_frame f;
    int r = read_at(in, buf, sizeof(buf), in->at);

    if (r < 0 || (r = saved_frame_get(buf, &f)) < 0)
        return r;
    if (f.flags & ~(uint32_t)SAVED_ZSTD || (!f.flags && f.raw_bytes != f.stored_bytes) ||
        f.stored_bytes > in->size_bytes - in->at - SAVED_FRAME_BYTES)
        return -EBADMSG;
    *ret_at = in->at + SAVED_FRAME_BYTES;
    in->at = *ret_at + f.stored_bytes;
    *ret_frame = f;
    return 0;
}

/* Check and unpack a payload into to[0, raw_bytes). */
static int unpack(ZSTD_DCtx *zstd, const struct saved_frame *f, const uint8_t *stored, uint8_t *to)
{
    size_t n;

    if (saved_crc(stored, f->stored_bytes) != f->crc)
        return -EBADMSG;
    if (!(f->flags & SAVED_ZSTD)) {
        memcpy(to, stored, f->raw_bytes);
        return 0;
    }
    n = ZSTD_decompressDCtx(zstd, to, f->raw_bytes, stored, f->stored_bytes);
    return ZSTD_isError(n) || n != f->raw_bytes ? -EBADMSG : 0;
}

static int read_part(struct saved_in *in, enum saved_type type, uint64_t max_bytes,
                     struct saved_part *ret_part)
{
    struct saved_frame f;
    AUTO_FREE uint8_t *stored = NULL;
    uint8_t *data;
    uint64_t at;
    int r = next_frame(in, &f, &at);

    if (r < 0)
        return r;
    /* What compresses is never stored longer than it was. */
    if (f.type != type || !f.raw_bytes || f.raw_bytes > max_bytes || f.stored_bytes > f.raw_bytes)
        return -EBADMSG;
    stored = malloc((size_t)f.stored_bytes + 1);
    data = malloc(f.raw_bytes);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    r = stored && data && zstd ? read_at(in, stored, f.stored_bytes, at) : -ENOMEM;
    if (r == 0)
        r = unpack(zstd, &f, stored, data);
    ZSTD_freeDCtx(zstd);
    if (r < 0) {
        free(data);
        return r;
    }
    in->records++;
    *ret_part = (struct saved_part){data, f.raw_bytes};
    return 0;
}

static int read_head(struct saved_in *in, struct error *err)
{
    uint8_t head[SAVED_HEAD_BYTES];
    int r = read_at(in, head, sizeof(head), 0);

    if (r < 0 || memcmp(head, SAVED_MAGIC, 8))
        return error_set(err, -EBADMSG, "%s is not a saved machine; give what `save` has made",
                         in->path);
    if (le32_get(head + 8) != SAVED_VERSION)
        return error_set(err, -EBADMSG,
                         "%s has version %u of the format, this program knows %u; restore it with "
                         "the version that saved it",
                         in->path, le32_get(head + 8), SAVED_VERSION);
    if (le32_get(head + 12) != SAVED_CHUNK_BYTES)
        return damaged(in, err);
    in->at = SAVED_HEAD_BYTES;
    r = read_part(in, SAVED_MANIFEST, SAVED_MANIFEST_MAX, &in->manifest);
    if (r == 0)
        r = read_part(in, SAVED_DEVICES, SAVED_DEVICES_MAX, &in->devices);
    if (r == -ENOMEM)
        return error_set(err, r, "out of memory");
    return r < 0 ? damaged(in, err) : 0;
}

int saved_open(const char *path, struct saved_in **ret_in, struct error *err)
{
    struct saved_in *in = calloc(1, sizeof(*in));
    struct stat st;
    int r;

    if (!in)
        return error_set(err, -ENOMEM, "out of memory");
    in->path = strdup(path);
    in->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in->fd < 0 || fstat(in->fd, &st) < 0)
        r = error_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = error_set(err, -EINVAL, "%s is not a file", path);
    else if (!in->path)
        r = error_set(err, -ENOMEM, "out of memory");
    else {
        in->size_bytes = (uint64_t)st.st_size;
        r = read_head(in, err);
    }
    if (r < 0) {
        saved_in_free(in);
        return r;
    }
    *ret_in = in;
    return 0;
}

struct saved_part saved_manifest(const struct saved_in *in)
{
    return in->manifest;
}

struct saved_part saved_devices(const struct saved_in *in)
{
    return in->devices;
}

struct reading {
    struct saved_in *in;
    uint8_t *memory;
    uint64_t len_bytes;
    struct saved_progress *progress;
    pthread_mutex_t lock; /* of what follows, and of in */
    uint8_t *seen;        /* a bit per chunk */
    bool ended;
    int result;
};

/* Is this a chunk of our memory that has not come yet? Locked. */
static bool chunk_is_new(struct reading *rd, const struct saved_frame *f)
{
    uint64_t n = f->offset / SAVED_CHUNK_BYTES;

    if (f->type != SAVED_MEMORY || f->offset % SAVED_CHUNK_BYTES || f->offset >= rd->len_bytes ||
        f->raw_bytes != MIN(rd->len_bytes - f->offset, SAVED_CHUNK_BYTES) ||
        f->stored_bytes > f->raw_bytes || rd->seen[n / 8] >> (n % 8) & 1)
        return false;
    rd->seen[n / 8] |= (uint8_t)(1u << (n % 8));
    return true;
}

/* Locked: the next chunk; 0 at the end. */
static int take(struct reading *rd, struct saved_frame *f, uint64_t *ret_at)
{
    struct saved_in *in = rd->in;
    int r;

    if (rd->result < 0 || rd->ended)
        return rd->result;
    if (rd->progress && atomic_load(&rd->progress->cancel))
        return -ECANCELED;
    r = next_frame(in, f, ret_at);
    if (r < 0)
        return r;
    if (f->type == SAVED_END) {
        rd->ended = true;
        return f->offset == in->records && !f->stored_bytes && in->at == in->size_bytes ? 0
                                                                                        : -EBADMSG;
    }
    in->records++;
    return chunk_is_new(rd, f) ? 1 : -EBADMSG;
}

static void read_chunks(void *ctx)
{
    struct reading *rd = ctx;
    AUTO_FREE uint8_t *stored = malloc(SAVED_CHUNK_BYTES);
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    struct saved_frame f;
    uint64_t at;
    int r;

    do {
        pthread_mutex_lock(&rd->lock);
        r = stored && zstd ? take(rd, &f, &at) : -ENOMEM;
        if (r < 0 && !rd->result)
            rd->result = r;
        pthread_mutex_unlock(&rd->lock);
        if (r <= 0)
            break;
        r = read_at(rd->in, stored, f.stored_bytes, at);
        if (r == 0)
            r = unpack(zstd, &f, stored, rd->memory + f.offset);
        if (r < 0) {
            pthread_mutex_lock(&rd->lock);
            rd->result = r;
            pthread_mutex_unlock(&rd->lock);
        } else if (rd->progress) {
            atomic_fetch_add(&rd->progress->done_bytes, f.raw_bytes);
        }
    } while (r == 0);
    ZSTD_freeDCtx(zstd);
}

/* Chunks that were all zeroes are not in the file. */
static void zero_others(struct reading *rd)
{
    for (uint64_t at = 0, n = 0; at < rd->len_bytes; at += SAVED_CHUNK_BYTES, n++) {
        size_t bytes = (size_t)MIN(rd->len_bytes - at, SAVED_CHUNK_BYTES);

        if (rd->seen[n / 8] >> (n % 8) & 1)
            continue;
        /* Giving the pages back makes them zeroes without touching them. */
        if ((uintptr_t)(rd->memory + at) % 4096 || bytes % 4096 ||
            madvise(rd->memory + at, bytes, MADV_DONTNEED) < 0)
            memset(rd->memory + at, 0, bytes);
        if (rd->progress)
            atomic_fetch_add(&rd->progress->done_bytes, bytes);
    }
}

int saved_read_memory(struct saved_in *in, uint8_t *memory, uint64_t len_bytes,
                      struct saved_progress *progress, struct error *err)
{
    struct reading rd = {.in = in, .memory = memory, .len_bytes = len_bytes, .progress = progress};

    rd.seen = calloc(1, (len_bytes / SAVED_CHUNK_BYTES + 8) / 8);
    if (!rd.seen)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&rd.lock, NULL);
    saved_work(read_chunks, &rd);
    if (rd.result == 0)
        zero_others(&rd);
    pthread_mutex_destroy(&rd.lock);
    free(rd.seen);
    if (rd.result == -ECANCELED)
        return error_set(err, rd.result, "cancelled");
    if (rd.result == -ENOMEM)
        return error_set(err, rd.result, "out of memory");
    return rd.result < 0 ? damaged(in, err) : 0;
}

struct saved_in *saved_in_free(struct saved_in *in)
{
    if (!in)
        return NULL;
    if (in->fd >= 0)
        close(in->fd);
    free((void *)(uintptr_t)in->manifest.data);
    free((void *)(uintptr_t)in->devices.data);
    free(in->path);
    free(in);
    return NULL;
}
