/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in memory for tests of devices: asynchronous as a real one, with errors on demand.
 */
#ifndef TESTS_UNIT_HW_MEMDISK_H
#define TESTS_UNIT_HW_MEMDISK_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blk.h"

struct memdisk {
    struct blk blk;
    uint8_t *bytes;
    uint64_t bad_from, bad_to; /* reading or writing here fails */
    struct blk_req *waiting;   /* submitted and not finished, the newest first */
    bool hold;                 /* requests wait for memdisk_release() */
    unsigned reads, writes, flushes, fuas, discards, zeroes;
};

static inline int memdisk_run(struct memdisk *m, struct blk_req *req)
{
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    m->reads += req->op == BLK_READ;
    m->writes += req->op == BLK_WRITE;
    m->flushes += req->op == BLK_FLUSH;
    m->discards += req->op == BLK_DISCARD;
    m->zeroes += req->op == BLK_WRITE_ZEROES;
    m->fuas += req->fua;
    if (req->op == BLK_FLUSH)
        return 0;
    if (at < m->bad_to && m->bad_from < end)
        return -EIO;
    if (req->op == BLK_WRITE_ZEROES || req->op == BLK_DISCARD)
        memset(m->bytes + at, 0, req->len_bytes);
    for (unsigned i = 0; i < req->iov_count; i++) {
        if (req->op == BLK_READ)
            memcpy(req->iov[i].iov_base, m->bytes + at, req->iov[i].iov_len);
        else
            memcpy(m->bytes + at, req->iov[i].iov_base, req->iov[i].iov_len);
        at += req->iov[i].iov_len;
    }
    return 0;
}

/* Finish what waits; it is then up to blk_poll(). */
static inline void memdisk_release(struct memdisk *m)
{
    while (m->waiting) {
        struct blk_req *req = m->waiting;
        m->waiting = req->next;
        blk_complete(&m->blk, req, memdisk_run(m, req));
    }
}

static inline void memdisk_submit(struct blk *blk, struct blk_req *req)
{
    struct memdisk *m = CONTAINER_OF(blk, struct memdisk, blk);
    if (m->hold) {
        req->next = m->waiting;
        m->waiting = req;
        return;
    }
    blk_complete(blk, req, memdisk_run(m, req));
}

static inline void memdisk_close(struct blk *blk)
{
    struct memdisk *m = CONTAINER_OF(blk, struct memdisk, blk);
    blk_done(blk);
    free(m->bytes);
    free(m);
}

static inline struct memdisk *memdisk_new(uint64_t size_bytes)
{
    static const struct blk_ops ops = {
        .format = "memory", .submit = memdisk_submit, .close = memdisk_close};
    struct memdisk *m = calloc(1, sizeof(*m));
    m->blk.ops = &ops;
    m->blk.size_bytes = size_bytes;
    m->bytes = calloc(1, size_bytes);
    if (blk_init(&m->blk) < 0)
        abort();
    /* Each sector is different, and knows its number. */
    for (uint64_t i = 0; i < size_bytes; i++)
        m->bytes[i] = (uint8_t)(i / 512 * 7 + i % 512 + (i >> 17));
    return m;
}

/* One with limits, by that clock; NULL: one without. */
static inline struct memdisk *memdisk_new_limited(uint64_t size_bytes, struct clock *clock)
{
    static const struct blk_limits limits = {
        .read_bytes = 4096, .write_bytes = 65536, .reads = 20, .writes = 20};
    struct memdisk *m = memdisk_new(size_bytes);

    if (m && clock)
        blk_set_limits(&m->blk, clock, &limits);
    return m;
}

#endif
