/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/ring.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "block/file.h"
#include "block/pool.h"

#define RING_ENTRIES 128u
#define REQUESTS 128u
/* So many places may one request be spread over, and so many buffers have. */
#define PARTS 4u
#define BUFFERS 16u

/* Writes that are done at once: how large, how long one may take, how long not when one did. */
#define NOW_MAX_BYTES KIB(64)
#define NOW_SLOW_NS 2000000u
#define NOW_PAUSE_NS 30000000000u

struct part {
    struct ring_req *owner;
    uint32_t len_bytes;
};

struct ring_req {
    struct blk_req *req;
    struct part parts[PARTS];
    struct iovec iov[BUFFERS];
    unsigned waiting; /* parts that the kernel has */
    bool failed;
    struct ring_req *next_free;
};

struct blk_ring {
    struct blk *blk;
    struct io_uring uring;
    pthread_t reaper;
    bool has_reaper;
    unsigned in_flight;   /* requests; the owner's, without a reaper */
    bool never_now;       /* the host's file system cannot say whether a read would wait */
    uint64_t slow_ns;     /* when a write last made its thread wait; 0: never */
    unsigned queued;      /* entries that the kernel has not been told of */
    pthread_mutex_t lock; /* the list of free requests */
    struct ring_req *free;
    struct ring_req requests[REQUESTS];
};

int ring_new(struct blk *blk, struct blk_ring **ret_ring)
{
    struct blk_ring *ring = calloc(1, sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    /* Requests come from whichever thread owns the disk at the time: no single-issuer flags. */
    int r = io_uring_queue_init(RING_ENTRIES * PARTS, &ring->uring, 0);
    if (r < 0) {
        free(ring);
        return r;
    }
    ring->blk = blk;
    pthread_mutex_init(&ring->lock, NULL);
    for (unsigned i = 0; i < REQUESTS; i++) {
        ring->requests[i].next_free = ring->free;
        ring->free = &ring->requests[i];
    }
    *ret_ring = ring;
    return 0;
}

struct blk_ring *ring_free(struct blk_ring *ring)
{
    if (!ring)
        return NULL;
    if (ring->has_reaper) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data(sqe, NULL); /* an entry without a request ends the thread */
        io_uring_submit(&ring->uring);
        pthread_join(ring->reaper, NULL);
    }
    io_uring_queue_exit(&ring->uring);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
    return NULL;
}

static struct ring_req *take_request(struct blk_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    struct ring_req *rr = ring->free;
    if (rr)
        ring->free = rr->next_free;
    pthread_mutex_unlock(&ring->lock);
    return rr;
}

static void give_request(struct blk_ring *ring, struct ring_req *rr)
{
    pthread_mutex_lock(&ring->lock);
    rr->next_free = ring->free;
    ring->free = rr;
    pthread_mutex_unlock(&ring->lock);
}

static void finish_part(struct blk_ring *ring, struct part *part, int result)
{
    struct ring_req *rr = part->owner;
    rr->failed |= result != (int)part->len_bytes;
    if (--rr->waiting)
        return;
    struct blk_req *req = rr->req;
    bool failed = rr->failed;
    give_request(ring, rr);
    if (failed)
        pool_submit(ring->blk->pool, req);
    else
        pool_finish(ring->blk->pool, req, 0);
}

/* Where the parts of a request are. Zeroes are filled in only when all of it is known. */
static bool find_parts(struct blk_ring *ring, const struct blk_req *req, struct blk_extent *extents,
                       unsigned *ret_count)
{
    struct blk *blk = ring->blk;
    unsigned how = BLK_MAP_NOWAIT | (req->op == BLK_WRITE ? BLK_MAP_INPLACE : 0), count = 0;
    for (uint64_t at = 0; at < req->len_bytes; count++) {
        struct blk_extent *e = &extents[count];
        if (count == PARTS ||
            blk->ops->map(blk, req->offset_bytes + at, req->len_bytes - at, how, e) < 0)
            return false;
        if (!e->zero && (!e->file || !e->file->ops->fd))
            return false;
        at += e->len_bytes;
    }
    *ret_count = count;
    return true;
}

static void queue_part(struct blk_ring *ring, const struct blk_req *req, struct part *part,
                       const struct blk_extent *extent, const struct iovec *iov, unsigned count)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    int fd = extent->file->ops->fd(extent->file);
    if (req->op == BLK_READ)
        io_uring_prep_readv(sqe, fd, iov, count, extent->file_offset);
    else
        io_uring_prep_writev2(sqe, fd, iov, count, extent->file_offset, req->fua ? RWF_DSYNC : 0);
    io_uring_sqe_set_data(sqe, part);
    ring->queued++;
}

/*
 * Read what is in the page cache, without waiting for anything. For one request io_uring would do
 * the same at the same cost, but then two threads are woken one after the other to say that it is
 * done. False: it is the ring's to do.
 */
static bool read_now(struct blk_ring *ring, const struct blk_req *req,
                     const struct blk_extent *extent)
{
    int fd = extent->file->ops->fd(extent->file);
    if (ring->never_now)
        return false;
    ssize_t n = preadv2(fd, req->iov, (int)req->iov_count, (off_t)extent->file_offset, RWF_NOWAIT);
    ring->never_now = n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM);
    return n == (ssize_t)req->len_bytes;
}

/*
 * Write a little into the page cache, for the same reason. The host makes a writer wait when too
 * much of the cache is dirty, and most file systems cannot be asked beforehand: where that has
 * happened the ring does the writes for a while. False: this one too.
 */
static bool write_now(struct blk_ring *ring, const struct blk_req *req,
                      const struct blk_extent *extent)
{
    uint64_t begin = clock_host_ns();
    if (req->fua || req->len_bytes > NOW_MAX_BYTES ||
        (ring->slow_ns && begin - ring->slow_ns < NOW_PAUSE_NS))
        return false;
    ssize_t n = pwritev(extent->file->ops->fd(extent->file), req->iov, (int)req->iov_count,
                        (off_t)extent->file_offset);
    uint64_t end = clock_host_ns();
    if (end - begin > NOW_SLOW_NS)
        ring->slow_ns = end;
    return n == (ssize_t)req->len_bytes;
}

static bool do_now(struct blk_ring *ring, const struct blk_req *req,
                   const struct blk_extent *extent)
{
    if (!ring->blk->polled || extent->zero || extent->len_bytes < req->len_bytes)
        return false;
    return req->op == BLK_READ ? read_now(ring, req, extent) : write_now(ring, req, extent);
}

static void finish_at_once(struct blk_ring *ring, struct blk_req *req)
{
    if (ring->blk->polled) {
        ring->blk->done_now = true;
        pool_finish_own(ring->blk->pool, req, 0);
    } else {
        pool_finish(ring->blk->pool, req, 0);
    }
}

bool ring_submit(struct blk_ring *ring, struct blk_req *req)
{
    struct blk_extent extents[PARTS];
    unsigned count = 0, used = 0;
    if (req->len_bytes == 0 || req->len_bytes > INT32_MAX || req->iov_count + PARTS > BUFFERS ||
        !find_parts(ring, req, extents, &count))
        return false;
    if (do_now(ring, req, &extents[0])) {
        finish_at_once(ring, req);
        return true;
    }
    struct ring_req *rr = take_request(ring);
    if (!rr)
        return false;
    if (io_uring_sq_space_left(&ring->uring) < PARTS)
        ring_kick(ring);
    if (io_uring_sq_space_left(&ring->uring) < PARTS) {
        give_request(ring, rr);
        return false;
    }

    rr->req = req;
    rr->failed = false;
    rr->waiting = 0;
    for (unsigned i = 0; i < count; i++)
        rr->waiting += !extents[i].zero;
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    for (unsigned i = 0; i < count; i++) {
        uint64_t len = extents[i].len_bytes;
        if (extents[i].zero) {
            iov_zero(&cursor, len);
            continue;
        }
        /* Each part adds at most one to the number of buffers: there is room. */
        unsigned pieces = iov_gather(&cursor, len, rr->iov + used);
        rr->parts[i] = (struct part){rr, (uint32_t)len};
        queue_part(ring, req, &rr->parts[i], &extents[i], rr->iov + used, pieces);
        iov_advance(&cursor, len);
        used += pieces;
    }
    if (rr->waiting == 0) { /* nothing but zeroes */
        give_request(ring, rr);
        finish_at_once(ring, req);
    } else if (!ring->has_reaper) {
        ring->in_flight++;
    }
    return true;
}

void ring_kick(struct blk_ring *ring)
{
    while (ring->queued) {
        int n = io_uring_submit(&ring->uring);
        /* -EBUSY, -EAGAIN: the kernel wants finished requests collected, or is short of memory. */
        if (n < 0 && n != -EINTR && !ring->has_reaper)
            ring_reap(ring, false);
        if (n > 0)
            ring->queued -= MIN((unsigned)n, ring->queued);
    }
}

static void *reap_thread(void *arg)
{
    struct blk_ring *ring = arg;
    for (;;) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe(&ring->uring, &cqe) < 0)
            continue;
        struct part *part = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&ring->uring, cqe);
        if (!part)
            return NULL;
        finish_part(ring, part, result);
    }
}

void ring_start(struct blk_ring *ring)
{
    sigset_t all, old;
    if (ring->has_reaper || ring->in_flight)
        return;
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ring->has_reaper = pthread_create(&ring->reaper, NULL, reap_thread, ring) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void ring_reap(struct blk_ring *ring, bool wait)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    if (ring->has_reaper || ring->in_flight == 0)
        return;
    if (wait && io_uring_wait_cqe(&ring->uring, &cqe) < 0)
        return;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        struct part *part = io_uring_cqe_get_data(cqe);
        if (part->owner->waiting == 1)
            ring->in_flight--;
        finish_part(ring, part, cqe->res);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
}

unsigned ring_waitable(const struct blk_ring *ring)
{
    return ring->has_reaper ? 0 : ring->in_flight;
}
