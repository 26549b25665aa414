/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of a disk: requests that come faster wait their turn. Reads and writes wait apart, each in
 * order. What is paid for is reckoned as in ATM's generic cell rate algorithm (ITU-T I.371, annex A):
 * one number a limit, the time at which all that was let through is paid for. A tenth of a second may
 * be had in advance, so that a disk that does little is as quick as without a limit.
 *
 * Flushes never wait: a guest that waits for one does nothing else.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "base/clock.h"
#include "block/blk.h"

#define THROTTLE_ADVANCE_NS (NS_PER_SEC / 10)

struct blk_throttle;

/* due(ctx) is called, by the clock, when blk_throttle_next() has something. -ENOMEM. */
int blk_throttle_new(struct clock *clock, void (*due)(void *ctx), void *ctx,
                     struct blk_throttle **ret_throttle);
/* Nothing may wait any more. NULL is fine. Always returns NULL. */
struct blk_throttle *blk_throttle_free(struct blk_throttle *t);
/* Counts from now on, also for those that wait; blk_throttle_next() tells which need not any more. */
void blk_throttle_set(struct blk_throttle *t, const struct blk_limits *limits);
void blk_throttle_get(const struct blk_throttle *t, struct blk_limits *ret_limits);
/* True: the request waits, and blk_throttle_next() will give it back. False: it may go now. */
bool blk_throttle_hold(struct blk_throttle *t, struct blk_req *req);
/* Of those that wait, one that may go; `all`: whatever the limits say. NULL: none, due() tells. */
struct blk_req *blk_throttle_next(struct blk_throttle *t, bool all);

#endif
