/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/iov.h"

#include <string.h>

unsigned iov_gather(const struct iov_cursor *cursor, uint64_t len_bytes, struct iovec *iov)
{
    size_t at = cursor->at;
    unsigned n = 0;
    for (unsigned i = 0; i < cursor->count && n < IOV_BATCH && len_bytes; i++, at = 0) {
        size_t piece = MIN((uint64_t)(cursor->iov[i].iov_len - at), len_bytes);
        if (piece == 0)
            continue;
        iov[n].iov_base = (char *)cursor->iov[i].iov_base + at;
        iov[n].iov_len = piece;
        len_bytes -= piece;
        n++;
    }
    return n;
}

void iov_advance(struct iov_cursor *cursor, uint64_t len_bytes)
{
    while (cursor->count) {
        size_t left = cursor->iov->iov_len - cursor->at;
        if (len_bytes < left) {
            cursor->at += len_bytes;
            return;
        }
        len_bytes -= left;
        cursor->iov++;
        cursor->count--;
        cursor->at = 0;
    }
}

void iov_zero(struct iov_cursor *cursor, uint64_t len_bytes)
{
    while (len_bytes && cursor->count) {
        size_t piece = MIN((uint64_t)(cursor->iov->iov_len - cursor->at), len_bytes);
        memset((char *)cursor->iov->iov_base + cursor->at, 0, piece);
        iov_advance(cursor, piece);
        len_bytes -= piece;
    }
}
