/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes through the kernel's io_uring: what a format's map() finds in place goes from
 * the guest's buffers to the file without a thread of ours in between. Everything that goes wrong
 * (an error, a short transfer) is given to the pool to be done again, so that there is one place
 * that knows what errors mean.
 */
#ifndef BLOCK_RING_H
#define BLOCK_RING_H

#include "block/blk.h"

/* -errno where the kernel has no io_uring or does not allow it. */
int ring_new(struct blk *blk, struct blk_ring **ret_ring);
/* Nothing may be in flight. NULL is fine. Always returns NULL. */
struct blk_ring *ring_free(struct blk_ring *ring);

/* Take a READ or WRITE. False: it is not for us, nothing was done. */
bool ring_submit(struct blk_ring *ring, struct blk_req *req);
/* Hand to the kernel what ring_submit() has kept back. */
void ring_kick(struct blk_ring *ring);
/* From now on a thread collects what is finished, and tells the pool. */
void ring_start(struct blk_ring *ring);
/* Without that thread: give finished requests to the pool; wait for one if asked to. */
void ring_reap(struct blk_ring *ring, bool wait);
/* Requests that ring_reap() could wait for; 0 when a thread collects them. */
unsigned ring_waitable(const struct blk_ring *ring);

#endif
