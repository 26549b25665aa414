/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes blocking formats asynchronous: a few threads per disk that run its requests, and the
 * list of finished ones that the owner collects; block/ring.h uses the list alone.
 */
#ifndef BLOCK_POOL_H
#define BLOCK_POOL_H

#include "block/blk.h"

/* -ENOMEM. Threads are made when they are first needed, or by pool_start(). */
int pool_new(struct blk *blk, struct blk_pool **ret_pool);
/* End the threads and free; nothing may be in flight. NULL is fine. Always returns NULL. */
struct blk_pool *pool_free(struct blk_pool *pool);

/* Make all threads now: later the process may have lost the right to. */
void pool_start(struct blk_pool *pool);
/* Have blk->ops->run(req) called by a thread, then pool_finish(). */
void pool_submit(struct blk_pool *pool, struct blk_req *req);
/* req is finished; tell the owner if it has not been told yet. Any thread. */
void pool_finish(struct blk_pool *pool, struct blk_req *req, int result);
/* The same, of the owner, who will call pool_take() soon. */
void pool_finish_own(struct blk_pool *pool, struct blk_req *req, int result);
/* All finished requests in the order in which they ended, linked by next; NULL if none. */
struct blk_req *pool_take(struct blk_pool *pool);
/* True when pool_take() would give something. */
bool pool_ready(struct blk_pool *pool);
/* Wait until pool_take() would give something. */
void pool_wait(struct blk_pool *pool);
/* Change what pool_finish() calls. */
void pool_set_notify(struct blk_pool *pool, void (*notify)(void *ctx), void *ctx);

#endif
