/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/throttle.h"

#include <errno.h>
#include <stdlib.h>

/* One limit. */
struct rate {
    uint64_t most; /* a second; 0: no limit */
    uint64_t paid_ns;
};

/* Reads, or what changes the disk. */
struct lane {
    struct rate bytes, requests;
    struct blk_req *first, **last;
};

struct blk_throttle {
    struct clock *clock;
    struct timer timer;
    void (*due)(void *ctx);
    void *ctx;
    struct lane read, write;
};

static void on_timer(void *ctx)
{
    struct blk_throttle *t = ctx;

    t->due(t->ctx);
}

int blk_throttle_new(struct clock *clock, void (*due)(void *ctx), void *ctx,
                     struct blk_throttle **ret_throttle)
{
    struct blk_throttle *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->clock = clock;
    t->due = due;
    t->ctx = ctx;
    t->read.last = &t->read.first;
    t->write.last = &t->write.first;
    timer_init(&t->timer, clock, on_timer, t);
    *ret_throttle = t;
    return 0;
}

struct blk_throttle *blk_throttle_free(struct blk_throttle *t)
{
    if (t)
        timer_cancel(&t->timer);
    free(t);
    return NULL;
}

static void rate_set(struct rate *rate, uint64_t most, uint64_t now_ns)
{
    /* What is not paid for yet is paid for as fast as is allowed from now on. */
    if (rate->most && most && rate->paid_ns > now_ns)
        rate->paid_ns = now_ns + clock_scale(rate->paid_ns - now_ns, rate->most, most);
    else
        rate->paid_ns = now_ns;
    rate->most = most;
}

static uint64_t rate_due_ns(const struct rate *rate)
{
    return rate->most && rate->paid_ns > THROTTLE_ADVANCE_NS ? rate->paid_ns - THROTTLE_ADVANCE_NS
                                                             : 0;
}

static void rate_take(struct rate *rate, uint64_t amount, uint64_t now_ns)
{
    if (rate->most)
        rate->paid_ns = MAX(rate->paid_ns, now_ns) + clock_scale(amount, NS_PER_SEC, rate->most);
}

static uint64_t lane_due_ns(const struct lane *lane)
{
    return MAX(rate_due_ns(&lane->bytes), rate_due_ns(&lane->requests));
}

/* What is only said of a range moves no bytes. */
static void lane_take(struct lane *lane, const struct blk_req *req, uint64_t now_ns)
{
    bool moves = req->op == BLK_READ || req->op == BLK_WRITE;

    rate_take(&lane->bytes, moves ? req->len_bytes : 0, now_ns);
    rate_take(&lane->requests, 1, now_ns);
}

static struct lane *lane_of(struct blk_throttle *t, enum blk_op op)
{
    return op == BLK_READ ? &t->read : &t->write;
}

static void timer_arm(struct blk_throttle *t)
{
    uint64_t read = t->read.first ? lane_due_ns(&t->read) : CLOCK_NEVER;
    uint64_t write = t->write.first ? lane_due_ns(&t->write) : CLOCK_NEVER;

    if (MIN(read, write) == CLOCK_NEVER)
        timer_cancel(&t->timer);
    else
        timer_set(&t->timer, MIN(read, write));
}

void blk_throttle_set(struct blk_throttle *t, const struct blk_limits *limits)
{
    uint64_t now_ns = clock_now_ns(t->clock);

    rate_set(&t->read.bytes, limits->read_bytes, now_ns);
    rate_set(&t->read.requests, limits->reads, now_ns);
    rate_set(&t->write.bytes, limits->write_bytes, now_ns);
    rate_set(&t->write.requests, limits->writes, now_ns);
    timer_arm(t);
}

void blk_throttle_get(const struct blk_throttle *t, struct blk_limits *ret_limits)
{
    *ret_limits = (struct blk_limits){.read_bytes = t->read.bytes.most,
                                      .write_bytes = t->write.bytes.most,
                                      .reads = t->read.requests.most,
                                      .writes = t->write.requests.most};
}

bool blk_throttle_hold(struct blk_throttle *t, struct blk_req *req)
{
    struct lane *lane = lane_of(t, req->op);
    uint64_t now_ns = clock_now_ns(t->clock);

    if (req->op == BLK_FLUSH)
        return false;
    if (!lane->first && lane_due_ns(lane) <= now_ns) {
        lane_take(lane, req, now_ns);
        return false;
    }
    req->next = NULL;
    *lane->last = req;
    lane->last = &req->next;
    timer_arm(t);
    return true;
}

static struct blk_req *lane_next(struct lane *lane, uint64_t now_ns, bool all)
{
    struct blk_req *req = lane->first;

    if (!req || (!all && lane_due_ns(lane) > now_ns))
        return NULL;
    lane->first = req->next;
    if (!lane->first)
        lane->last = &lane->first;
    lane_take(lane, req, now_ns);
    return req;
}

struct blk_req *blk_throttle_next(struct blk_throttle *t, bool all)
{
    uint64_t now_ns = clock_now_ns(t->clock);
    struct blk_req *req = lane_next(&t->read, now_ns, all);

    if (!req)
        req = lane_next(&t->write, now_ns, all);
    if (!req)
        timer_arm(t);
    return req;
}
