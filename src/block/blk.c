/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all disks have in common: the checks before a request, the choice of its way to the file,
 * and the way of finished requests back to their owner.
 */
#define LOG_ROOM "block"
#include "block/blk.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "block/file.h"
#include "block/pool.h"
#include "block/ring.h"
#include "block/throttle.h"

int blk_init(struct blk *blk)
{
    return pool_new(blk, &blk->pool);
}

void blk_done(struct blk *blk)
{
    blk->throttle = blk_throttle_free(blk->throttle);
    blk->ring = ring_free(blk->ring);
    blk->pool = pool_free(blk->pool);
}

struct blk *blk_close(struct blk *blk)
{
    if (blk) {
        blk_drain(blk);
        int r = blk->readonly ? 0 : blk_flush(blk);
        if (r < 0)
            log_error("a disk could not be brought to stable storage: %s", strerror(-r));
        blk->ops->close(blk);
    }
    return NULL;
}

/* Nothing a device asks for reaches a format unchecked. */
static int check(const struct blk *blk, const struct blk_req *req)
{
    if (req->op == BLK_FLUSH)
        return 0;
    if (req->op != BLK_READ && blk->readonly)
        return -EROFS;
    if (req->offset_bytes > blk->size_bytes || req->len_bytes > blk->size_bytes - req->offset_bytes)
        return -EINVAL;
    if (req->op == BLK_READ || req->op == BLK_WRITE) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < req->iov_count; i++)
            sum += req->iov[i].iov_len;
        return sum == req->len_bytes ? 0 : -EINVAL;
    }
    return req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES ? 0 : -EINVAL;
}

/* A disk that is only read by other disks, or by tools, needs no ring: make it when it is used. */
static void want_ring(struct blk *blk)
{
    if (blk->ring_tried)
        return;
    blk->ring_tried = true;
    if (blk->ops->map && ring_new(blk, &blk->ring) < 0)
        log_debug("io_uring cannot be used; threads do its work");
}

static void start(struct blk *blk, struct blk_req *req)
{
    want_ring(blk);
    if (blk->ops->submit)
        blk->ops->submit(blk, req);
    else if (!blk->ring || (req->op != BLK_READ && req->op != BLK_WRITE) ||
             !ring_submit(blk->ring, req))
        pool_submit(blk->pool, req);
    else if (!blk->plugged)
        ring_kick(blk->ring);
}

void blk_submit(struct blk *blk, struct blk_req *req)
{
    int r = check(blk, req);
    if (r < 0) {
        req->done(req, r);
        return;
    }
    blk->in_flight++;
    if (!blk->throttle || !blk_throttle_hold(blk->throttle, req))
        start(blk, req);
}

/* What waits because of a limit: as much as may go now, or all. */
static void let_go(struct blk *blk, bool all)
{
    struct blk_req *req;

    blk_plug(blk);
    while (blk->throttle && (req = blk_throttle_next(blk->throttle, all)))
        start(blk, req);
    blk_unplug(blk);
}

static void on_due(void *ctx)
{
    let_go(ctx, false);
}

int blk_set_limits(struct blk *blk, struct clock *clock, const struct blk_limits *limits)
{
    int r = blk->throttle ? 0 : blk_throttle_new(clock, on_due, blk, &blk->throttle);

    if (r < 0)
        return r;
    blk_throttle_set(blk->throttle, limits);
    let_go(blk, false);
    return 0;
}

void blk_get_limits(const struct blk *blk, struct blk_limits *ret_limits)
{
    *ret_limits = (struct blk_limits){0};
    if (blk->throttle)
        blk_throttle_get(blk->throttle, ret_limits);
}

void blk_complete(struct blk *blk, struct blk_req *req, int result)
{
    pool_finish(blk->pool, req, result);
}

void blk_plug(struct blk *blk)
{
    blk->plugged++;
}

void blk_plug_polled(struct blk *blk)
{
    blk_plug(blk);
    blk->polled = true;
}

void blk_unplug(struct blk *blk)
{
    blk->polled = false;
    if (--blk->plugged == 0 && blk->ring)
        ring_kick(blk->ring);
}

void blk_set_notify(struct blk *blk, void (*notify)(void *ctx), void *ctx)
{
    pool_set_notify(blk->pool, notify, ctx);
    if (!blk->ops->submit)
        pool_start(blk->pool);
    want_ring(blk);
    if (blk->ring)
        ring_start(blk->ring);
}

void blk_set_full(struct blk *blk, void (*full)(void *ctx), void *ctx)
{
    blk->full = full;
    blk->full_ctx = ctx;
}

bool blk_is_full(const struct blk *blk)
{
    return blk->held != NULL;
}

void blk_retry(struct blk *blk)
{
    struct blk_req *in_order = NULL;
    while (blk->held) {
        struct blk_req *req = blk->held;
        blk->held = req->next;
        req->next = in_order;
        in_order = req;
    }
    blk->held_count = 0;
    blk_plug(blk);
    while (in_order) {
        struct blk_req *next = in_order->next;
        start(blk, in_order);
        in_order = next;
    }
    blk_unplug(blk);
}

static bool host_is_full(int result)
{
    return result == -ENOSPC || result == -EDQUOT;
}

void blk_poll(struct blk *blk)
{
    bool was_held = blk->held;
    if (blk->ring)
        ring_reap(blk->ring, false);
    struct blk_req *req = pool_take(blk->pool);
    blk_plug(blk);
    while (req) {
        struct blk_req *next = req->next; /* done() may use req anew at once */
        if (blk->full && host_is_full(req->result)) {
            req->next = blk->held;
            blk->held = req;
            blk->held_count++;
        } else {
            blk->in_flight--;
            req->done(req, req->result);
        }
        req = next;
    }
    blk_unplug(blk);
    if (!was_held && blk->held)
        blk->full(blk->full_ctx);
}

void blk_poll_now(struct blk *blk)
{
    bool ready = blk->done_now;
    blk->done_now = false;
    if (ready)
        blk_poll(blk);
}

void blk_wait(struct blk *blk)
{
    let_go(blk, true);
    if (blk->ring && ring_waitable(blk->ring)) {
        ring_kick(blk->ring);
        /* A request can be finished at once, without the kernel having had it. */
        ring_reap(blk->ring, !pool_ready(blk->pool));
    } else if (blk->in_flight > blk->held_count) {
        pool_wait(blk->pool);
    }
    blk_poll(blk);
}

void blk_drain(struct blk *blk)
{
    void (*full)(void *ctx) = blk->full;
    blk->full = NULL;
    while (blk->held) {
        struct blk_req *req = blk->held;
        blk->held = req->next;
        blk->held_count--;
        blk->in_flight--;
        req->done(req, -ENOSPC);
    }
    while (blk->in_flight)
        blk_wait(blk);
    blk->full = full;
}

int blk_quiesce(struct blk *blk)
{
    while (blk->in_flight > blk->held_count)
        blk_wait(blk);
    if (blk->held)
        return -ENOSPC;
    return blk->readonly ? 0 : blk_flush(blk);
}

struct blocking {
    struct blk_req req;
    bool done;
    int result;
};

static void blocking_done(struct blk_req *req, int result)
{
    struct blocking *b = CONTAINER_OF(req, struct blocking, req);
    b->done = true;
    b->result = result;
}

/* In this thread, where the format does such a thing. */
static int blocking_run(struct blk *blk, enum blk_op op, void *buf, uint64_t len_bytes,
                        uint64_t offset_bytes)
{
    struct iovec iov = {buf, len_bytes};
    struct blocking b = {.req = {.op = op,
                                 .offset_bytes = offset_bytes,
                                 .len_bytes = len_bytes,
                                 .iov = &iov,
                                 .iov_count = buf != NULL,
                                 .done = blocking_done}};
    int r = check(blk, &b.req);
    if (r < 0)
        return r;
    if (blk->ops->run)
        return blk->ops->run(blk, &b.req);
    blk_submit(blk, &b.req);
    while (!b.done)
        blk_wait(blk);
    return b.result;
}

int blk_pread(struct blk *blk, void *buf, uint64_t len_bytes, uint64_t offset_bytes)
{
    return blocking_run(blk, BLK_READ, buf, len_bytes, offset_bytes);
}

int blk_pwrite(struct blk *blk, const void *buf, uint64_t len_bytes, uint64_t offset_bytes)
{
    return blocking_run(blk, BLK_WRITE, (void *)(uintptr_t)buf, len_bytes, offset_bytes);
}

int blk_flush(struct blk *blk)
{
    return blocking_run(blk, BLK_FLUSH, NULL, 0, 0);
}

int blk_zero(struct blk *blk, uint64_t len_bytes, uint64_t offset_bytes)
{
    return blocking_run(blk, BLK_WRITE_ZEROES, NULL, len_bytes, offset_bytes);
}

int blk_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes,
            struct blk_extent *ret_extent)
{
    if (offset_bytes >= blk->size_bytes || len_bytes == 0 ||
        len_bytes > blk->size_bytes - offset_bytes)
        return -EINVAL;
    if (blk->ops->map)
        return blk->ops->map(blk, offset_bytes, len_bytes, 0, ret_extent);
    *ret_extent = (struct blk_extent){.len_bytes = len_bytes};
    return 0;
}

int blk_read_cursor(struct blk *blk, struct iov_cursor *cursor, uint64_t len_bytes,
                    uint64_t offset_bytes)
{
    uint64_t end = MIN(offset_bytes + len_bytes, MAX(blk->size_bytes, offset_bytes));
    uint64_t beyond = offset_bytes + len_bytes - end;
    while (offset_bytes < end) {
        struct iovec iov[IOV_BATCH];
        struct blk_req req = {.op = BLK_READ, .offset_bytes = offset_bytes, .iov = iov};
        req.iov_count = iov_gather(cursor, end - offset_bytes, iov);
        for (unsigned i = 0; i < req.iov_count; i++)
            req.len_bytes += iov[i].iov_len;
        int r = req.len_bytes ? blk->ops->run(blk, &req) : -EINVAL;
        if (r < 0)
            return r;
        iov_advance(cursor, req.len_bytes);
        offset_bytes += req.len_bytes;
    }
    iov_zero(cursor, beyond);
    return 0;
}
