/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file in memory that can lose its power. What was written since the last flush is kept as a
 * list of single sectors and of new ends; when the power fails any subset of it survives.
 */
#ifndef TESTS_FAKE_FILE_H
#define TESTS_FAKE_FILE_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "block/file.h"
#include "block/vhd_format.h"

struct fake_change {
    bool truncate;
    uint64_t offset;
    unsigned len;
    uint8_t bytes[512];
};

struct fake_file {
    struct blk_file file;
    uint8_t *now, *stable;
    uint64_t now_bytes, stable_bytes, room_bytes;
    struct fake_change *pending;
    unsigned pending_count, pending_room;
    unsigned changes;    /* operations so far that change the file */
    unsigned cut_at;     /* the power fails in this one; 0: never */
    uint64_t full_bytes; /* the host's disk is full here; 0: never */
    bool dead, no_punch, keep;
    pthread_mutex_t lock; /* formats write from several threads */
};

static inline struct fake_file *fake_of(struct blk_file *file)
{
    return CONTAINER_OF(file, struct fake_file, file);
}

static inline struct fake_file *fake_lock(struct blk_file *file)
{
    struct fake_file *f = fake_of(file);
    pthread_mutex_lock(&f->lock);
    return f;
}

static inline void fake_unlock(struct fake_file **f)
{
    pthread_mutex_unlock(&(*f)->lock);
}

/* The file, locked until the end of the function. */
#define FAKE_LOCKED(f, file)                                                                       \
    __attribute__((cleanup(fake_unlock))) struct fake_file *f = fake_lock(file)

static inline void fake_note(struct fake_file *f, bool truncate, uint64_t offset,
                             const uint8_t *bytes, unsigned len)
{
    if (f->pending_count == f->pending_room) {
        f->pending_room = f->pending_room ? f->pending_room * 2 : 256;
        f->pending = realloc(f->pending, f->pending_room * sizeof(*f->pending));
    }
    struct fake_change *c = &f->pending[f->pending_count++];
    c->truncate = truncate;
    c->offset = offset;
    c->len = len;
    if (len)
        memcpy(c->bytes, bytes, len);
}

static inline void fake_apply(uint8_t *image, uint64_t *size, const struct fake_change *c)
{
    if (c->truncate) {
        if (c->offset < *size)
            memset(image + c->offset, 0, *size - c->offset);
        *size = c->offset;
        return;
    }
    memcpy(image + c->offset, c->bytes, c->len);
    if (c->offset + c->len > *size)
        *size = c->offset + c->len;
}

/* One more change; false when the power is off. The change at the cut is still in the list. */
static inline bool fake_alive(struct fake_file *f)
{
    return !f->dead;
}

static inline void fake_changed(struct fake_file *f)
{
    if (++f->changes == f->cut_at)
        f->dead = true;
}

static inline ssize_t fake_preadv(struct blk_file *file, const struct iovec *iov, int count,
                                  uint64_t offset)
{
    FAKE_LOCKED(f, file);
    ssize_t done = 0;
    if (f->dead)
        return -EIO;
    for (int i = 0; i < count && offset < f->now_bytes; i++) {
        size_t n = MIN((uint64_t)iov[i].iov_len, f->now_bytes - offset);
        memcpy(iov[i].iov_base, f->now + offset, n);
        offset += n;
        done += (ssize_t)n;
    }
    return done;
}

static inline ssize_t fake_pwritev(struct blk_file *file, const struct iovec *iov, int count,
                                   uint64_t offset)
{
    FAKE_LOCKED(f, file);
    ssize_t done = 0;
    if (!fake_alive(f))
        return -EIO;
    for (int i = 0; i < count; i++) {
        for (size_t at = 0; at < iov[i].iov_len;) {
            unsigned n = 512 - (unsigned)(offset % 512);
            n = (unsigned)MIN((size_t)n, iov[i].iov_len - at);
            if (offset + n > (f->full_bytes ? f->full_bytes : f->room_bytes))
                return done ? done : -ENOSPC;
            fake_note(f, false, offset, (uint8_t *)iov[i].iov_base + at, n);
            fake_apply(f->now, &f->now_bytes, &f->pending[f->pending_count - 1]);
            at += n;
            offset += n;
            done += n;
        }
    }
    fake_changed(f);
    return f->dead ? -EIO : done;
}

static inline int fake_flush(struct blk_file *file)
{
    FAKE_LOCKED(f, file);
    if (f->dead)
        return -EIO;
    for (unsigned i = 0; i < f->pending_count; i++)
        fake_apply(f->stable, &f->stable_bytes, &f->pending[i]);
    f->pending_count = 0;
    return 0;
}

static inline int fake_truncate(struct blk_file *file, uint64_t size_bytes)
{
    FAKE_LOCKED(f, file);
    if (!fake_alive(f))
        return -EIO;
    if (size_bytes > f->room_bytes)
        return -ENOSPC;
    fake_note(f, true, size_bytes, NULL, 0);
    fake_apply(f->now, &f->now_bytes, &f->pending[f->pending_count - 1]);
    fake_changed(f);
    return f->dead ? -EIO : 0;
}

static inline int fake_punch(struct blk_file *file, uint64_t offset, uint64_t len_bytes)
{
    FAKE_LOCKED(f, file);
    static uint8_t zeroes[512];
    if (f->dead)
        return -EIO;
    if (f->no_punch)
        return -EOPNOTSUPP;
    while (len_bytes && offset < f->now_bytes) {
        unsigned n = (unsigned)MIN(len_bytes, 512 - offset % 512);
        n = (unsigned)MIN((uint64_t)n, f->now_bytes - offset);
        fake_note(f, false, offset, zeroes, n);
        fake_apply(f->now, &f->now_bytes, &f->pending[f->pending_count - 1]);
        offset += n;
        len_bytes -= n;
    }
    fake_changed(f);
    return f->dead ? -EIO : 0;
}

static inline int fake_size(struct blk_file *file, uint64_t *ret_size_bytes)
{
    *ret_size_bytes = fake_of(file)->now_bytes;
    return 0;
}

static inline void fake_free(struct fake_file *f)
{
    free(f->now);
    free(f->stable);
    free(f->pending);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static inline void fake_close(struct blk_file *file)
{
    if (fake_of(file)->keep)
        file->name = strdup("fake");
    else
        fake_free(fake_of(file));
}

static inline struct fake_file *fake_new(uint64_t room_bytes)
{
    static const struct blk_file_ops ops = {
        .preadv = fake_preadv,
        .pwritev = fake_pwritev,
        .flush = fake_flush,
        .truncate = fake_truncate,
        .punch = fake_punch,
        .size = fake_size,
        .close = fake_close,
    };
    struct fake_file *f = calloc(1, sizeof(*f));
    pthread_mutex_init(&f->lock, NULL);
    f->file.ops = &ops;
    f->file.name = strdup("fake");
    f->room_bytes = room_bytes;
    f->now = calloc(1, room_bytes);
    f->stable = calloc(1, room_bytes);
    return f;
}

/* The power comes back: what was not flushed survives by chance. */
static inline void fake_power_on(struct fake_file *f, uint64_t seed)
{
    for (unsigned i = 0; i < f->pending_count; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        if (seed >> 63)
            fake_apply(f->stable, &f->stable_bytes, &f->pending[i]);
    }
    memcpy(f->now, f->stable, f->room_bytes);
    f->now_bytes = f->stable_bytes;
    f->pending_count = 0;
    f->cut_at = 0;
    f->dead = false;
}

/* An empty dynamic or differencing disk with blocks of any size, as a foreign tool might make it. */
static inline void fake_make(struct fake_file *f, enum vhd_type type, uint64_t size_bytes,
                             uint32_t block_bytes)
{
    uint8_t raw[1024];
    uint32_t count = (uint32_t)((size_bytes + block_bytes - 1) / block_bytes);
    uint64_t table_bytes = align_up(4ull * count, 512);
    struct vhd_footer footer = {.features = 2,
                                .version = 0x10000,
                                .data_offset = 512,
                                .creator = "test",
                                .original_size_bytes = size_bytes,
                                .current_size_bytes = size_bytes,
                                .type = type};
    struct vhd_header header = {.table_offset = 1536,
                                .version = 0x10000,
                                .max_table_entries = count,
                                .block_bytes = block_bytes};
    uint8_t *table = malloc(table_bytes);
    memset(table, 0xff, table_bytes);
    vhd_geometry(size_bytes / 512, &footer);
    vhd_footer_put(&footer, raw);
    file_write(&f->file, raw, 512, 0);
    file_write(&f->file, raw, 512, 1536 + table_bytes);
    vhd_header_put(&header, raw);
    file_write(&f->file, raw, 1024, 512);
    file_write(&f->file, table, table_bytes, 1536);
    fake_flush(&f->file);
    free(table);
}

static inline void fake_make_dynamic(struct fake_file *f, uint64_t size_bytes, uint32_t block_bytes)
{
    fake_make(f, VHD_DYNAMIC, size_bytes, block_bytes);
}

#endif
