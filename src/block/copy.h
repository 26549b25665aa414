/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work on whole disks: copying, comparing, merging, compacting. It reports how far it is, and
 * stops between two steps when it is told to; what it had begun is then taken back.
 */
#ifndef BLOCK_COPY_H
#define BLOCK_COPY_H

#include "block/blk.h"
#include "block/freespace.h"

struct progress {
    /* done of total; returns false to stop the work (-ECANCELED). NULL: nobody looks. */
    bool (*step)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/*
 * Everything of `from` that is not zero, to `to`, a new disk of at least its size that reads as
 * zeroes. unused: what need not be copied; NULL: all must be.
 */
int copy_disk(struct blk *from, struct blk *to, const struct freespace *unused,
              const struct progress *progress, struct error *err);

/*
 * Write what a differencing disk itself has, or all that its images up to `depth` have, to its
 * parent `to`. Can be repeated.
 */
int copy_changes(struct blk *from, struct blk *to, unsigned depth, const struct progress *progress,
                 struct error *err);

/* 0: the same, 1: they differ at *ret_offset. A longer disk may only have zeroes more. */
int compare_disks(struct blk *a, struct blk *b, const struct progress *progress,
                  uint64_t *ret_offset, struct error *err);

/* True when all of it is zero. */
bool bytes_are_zero(const void *buf, size_t len_bytes);

#endif
