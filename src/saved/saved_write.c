/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing: threads take chunks of the memory in turn, compress each into a buffer of their own and
 * append it. Chunks stand in the file in the order in which they were ready.
 */
#include "saved/saved_format.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <zstd.h>

/* Fast enough for a disk to be the limit; higher levels gain little on memory. */
#define LEVEL 1

struct saved_out {
    char *path, *part;
    int fd;
    bool committed;
    uint64_t size_bytes; /* written so far */
    uint64_t records;
    uint64_t reserved_bytes;
};

uint64_t saved_bytes_max(uint64_t memory_bytes)
{
    uint64_t chunks = (memory_bytes + SAVED_CHUNK_BYTES - 1) / SAVED_CHUNK_BYTES;

    /* A chunk that does not shrink is stored as it is. Devices: some hundred KiB in fact. */
    return memory_bytes + (chunks + 3) * SAVED_FRAME_BYTES + SAVED_HEAD_BYTES + SAVED_MANIFEST_MAX +
           MIB(8);
}

/* The file is ours while it is locked, and only if it still has its name then. */
static int part_open(struct saved_out *out, struct error *err)
{
    struct stat st, named;

    out->fd = open(out->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out->fd < 0)
        return error_set(err, -errno, "%s cannot be written: %s", out->part, strerror(errno));
    if (fstat(out->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s is not a file; remove it", out->part);
    if (flock(out->fd, LOCK_EX | LOCK_NB) < 0 || stat(out->part, &named) < 0 ||
        st.st_ino != named.st_ino || st.st_dev != named.st_dev)
        return error_set(err, -EBUSY, "%s is being written by another process; wait for it",
                         out->part);
    return 0;
}

int saved_create(const char *path, struct saved_out **ret_out, struct error *err)
{
    struct saved_out *out = calloc(1, sizeof(*out));
    int r = -ENOMEM;

    if (!out)
        return error_set(err, -ENOMEM, "out of memory");
    out->fd = -1;
    out->path = strdup(path);
    if (asprintf(&out->part, "%s.part", path) < 0)
        out->part = NULL;
    if (out->path && out->part)
        r = part_open(out, err);
    else
        error_set(err, r, "out of memory");
    if (r < 0) {
        out->committed = true; /* nothing here is ours to remove */
        saved_out_free(out);
        return r;
    }
    *ret_out = out;
    return 0;
}

int saved_reserve(struct saved_out *out, uint64_t size_bytes, struct error *err)
{
    /* Where the file system cannot reserve, the C library writes. */
    int r = posix_fallocate(out->fd, 0, (off_t)size_bytes);

    if (r)
        return error_set(
            err, -r,
            "%s: no room for the %llu MiB that saving this machine may take (%s); make "
            "room, or start it without --reserve-state",
            out->path, (unsigned long long)((size_bytes >> 20) + 1), strerror(r));
    out->reserved_bytes = size_bytes;
    return 0;
}

uint64_t saved_size_bytes(const struct saved_out *out)
{
    return out->size_bytes;
}

const char *saved_path(const struct saved_out *out)
{
    return out->path;
}

static int write_at(int fd, const uint8_t *data, size_t len_bytes, uint64_t offset)
{
    while (len_bytes) {
        ssize_t n = pwrite(fd, data, len_bytes, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        offset += (uint64_t)n;
        len_bytes -= (size_t)n;
    }
    return 0;
}

/* What the threads share. */
struct writing {
    struct saved_out *out;
    const struct saved_part *memory;
    struct saved_progress *progress;
    _Atomic uint64_t next; /* chunk */
    pthread_mutex_t lock;  /* of out's sizes, and of result */
    int result;
};

static void writing_fail(struct writing *w, int r)
{
    pthread_mutex_lock(&w->lock);
    if (!w->result)
        w->result = r;
    pthread_mutex_unlock(&w->lock);
}

static bool writing_goes_on(struct writing *w)
{
    int r;

    if (w->progress && atomic_load(&w->progress->cancel))
        writing_fail(w, -ECANCELED);
    pthread_mutex_lock(&w->lock);
    r = w->result;
    pthread_mutex_unlock(&w->lock);
    return r == 0;
}

/* Append a record whose payload lies behind room for its frame. */
static int append(struct writing *w, struct saved_frame *frame, uint8_t *buf)
{
    size_t len = SAVED_FRAME_BYTES + frame->stored_bytes;
    uint64_t at;

    frame->crc = saved_crc(buf + SAVED_FRAME_BYTES, frame->stored_bytes);
    saved_frame_put(frame, buf);
    pthread_mutex_lock(&w->lock);
    at = w->out->size_bytes;
    w->out->size_bytes += len;
    w->out->records++;
    pthread_mutex_unlock(&w->lock);
    return write_at(w->out->fd, buf, len, at);
}

/* Compress into buf behind the frame if that makes it smaller. buf has room for either. */
static int pack_and_append(struct writing *w, ZSTD_CCtx *zstd, struct saved_frame *frame,
                           const void *data, uint8_t *buf, size_t buf_bytes)
{
    size_t room = buf_bytes - SAVED_FRAME_BYTES;
    size_t n =
        ZSTD_compressCCtx(zstd, buf + SAVED_FRAME_BYTES, room, data, frame->raw_bytes, LEVEL);

    if (!ZSTD_isError(n) && n < frame->raw_bytes) {
        frame->flags = SAVED_ZSTD;
        frame->stored_bytes = (uint32_t)n;
    } else {
        frame->flags = 0;
        frame->stored_bytes = frame->raw_bytes;
        memcpy(buf + SAVED_FRAME_BYTES, data, frame->raw_bytes);
    }
    return append(w, frame, buf);
}

static bool is_zero(const uint8_t *data, size_t len_bytes)
{
    return data[0] == 0 && memcmp(data, data + 1, len_bytes - 1) == 0;
}

static void write_chunks(void *ctx)
{
    struct writing *w = ctx;
    size_t buf_bytes = SAVED_FRAME_BYTES + ZSTD_compressBound(SAVED_CHUNK_BYTES);
    AUTO_FREE uint8_t *buf = malloc(buf_bytes);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();

    if (!buf || !zstd)
        writing_fail(w, -ENOMEM);
    while (writing_goes_on(w)) {
        uint64_t offset = atomic_fetch_add(&w->next, 1) * SAVED_CHUNK_BYTES;
        const uint8_t *data = w->memory->data;
        struct saved_frame frame = {.type = SAVED_MEMORY, .offset = offset};
        int r = 0;

        if (offset >= w->memory->len_bytes)
            break;
        frame.raw_bytes = (uint32_t)MIN(w->memory->len_bytes - offset, SAVED_CHUNK_BYTES);
        if (!is_zero(data + offset, frame.raw_bytes))
            r = pack_and_append(w, zstd, &frame, data + offset, buf, buf_bytes);
        if (r < 0)
            writing_fail(w, r);
        else if (w->progress)
            atomic_fetch_add(&w->progress->done_bytes, frame.raw_bytes);
    }
    ZSTD_freeCCtx(zstd);
}

static int write_part(struct writing *w, enum saved_type type, const struct saved_part *part)
{
    size_t buf_bytes = SAVED_FRAME_BYTES + ZSTD_compressBound(part->len_bytes);
    AUTO_FREE uint8_t *buf = malloc(buf_bytes);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    struct saved_frame frame = {.type = type, .raw_bytes = (uint32_t)part->len_bytes};
    int r = -ENOMEM;

    if (buf && zstd)
        r = pack_and_append(w, zstd, &frame, part->data, buf, buf_bytes);
    ZSTD_freeCCtx(zstd);
    return r;
}

static int write_end(struct writing *w)
{
    uint8_t buf[SAVED_FRAME_BYTES];
    struct saved_frame frame = {.type = SAVED_END, .offset = w->out->records};

    return append(w, &frame, buf);
}

int saved_write(struct saved_out *out, const struct saved_part *manifest,
                const struct saved_part *devices, const struct saved_part *memory,
                struct saved_progress *progress, struct error *err)
{
    struct writing w = {.out = out, .memory = memory, .progress = progress};
    uint8_t head[SAVED_HEAD_BYTES];
    int r;

    if (manifest->len_bytes > SAVED_MANIFEST_MAX || devices->len_bytes > SAVED_DEVICES_MAX)
        return error_set(err, -EFBIG, "%s: the machine's devices have too much state", out->path);
    pthread_mutex_init(&w.lock, NULL);
    memcpy(head, SAVED_MAGIC, 8);
    le32_put(head + 8, SAVED_VERSION);
    le32_put(head + 12, (uint32_t)SAVED_CHUNK_BYTES);
    out->size_bytes = SAVED_HEAD_BYTES;
    out->records = 0;
    r = write_at(out->fd, head, sizeof(head), 0);
    if (r == 0)
        r = write_part(&w, SAVED_MANIFEST, manifest);
    if (r == 0)
        r = write_part(&w, SAVED_DEVICES, devices);
    if (r == 0) {
        saved_work(write_chunks, &w);
        r = w.result;
    }
    if (r == 0)
        r = write_end(&w);
    if (r == 0 && (ftruncate(out->fd, (off_t)out->size_bytes) < 0 || fsync(out->fd) < 0))
        r = -errno;
    pthread_mutex_destroy(&w.lock);
    if (r == -ECANCELED)
        return error_set(err, r, "cancelled");
    return r < 0 ? error_set(err, r, "%s: %s", out->part, strerror(-r)) : 0;
}

/* A new name is there after a crash only when its folder has been written. */
static int folder_sync(const char *path)
{
    AUTO_FREE char *copy = strdup(path);
    AUTO_FD int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}

int saved_commit(struct saved_out *out, struct error *err)
{
    if (rename(out->part, out->path) < 0)
        return error_set(err, -errno, "%s: %s", out->path, strerror(errno));
    out->committed = true;
    return folder_sync(out->path) < 0
               ? error_set(err, -EIO, "%s: its folder cannot be brought to stable storage",
                           out->path)
               : 0;
}

struct saved_out *saved_out_free(struct saved_out *out)
{
    if (!out)
        return NULL;
    if (!out->committed)
        unlink(out->part);
    if (out->fd >= 0)
        close(out->fd);
    free(out->part);
    free(out->path);
    free(out);
    return NULL;
}
