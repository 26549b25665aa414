/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A place within a list of buffers, which moves on as bytes are taken.
 */
#ifndef BLOCK_IOV_H
#define BLOCK_IOV_H

#include <sys/uio.h>

#include "base/util.h"

struct iov_cursor {
    const struct iovec *iov;
    unsigned count; /* from iov on */
    size_t at;      /* byte within iov[0] */
};

/* How many pieces one call of iov_gather() gives at most. */
#define IOV_BATCH 64

/* Up to IOV_BATCH pieces from the cursor, which stays, at most len_bytes in sum; their number. */
unsigned iov_gather(const struct iov_cursor *cursor, uint64_t len_bytes, struct iovec *iov);
/* Move on. */
void iov_advance(struct iov_cursor *cursor, uint64_t len_bytes);
/* Fill the next len_bytes of the list with zeroes and move on. */
void iov_zero(struct iov_cursor *cursor, uint64_t len_bytes);

#endif
