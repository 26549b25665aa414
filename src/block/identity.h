/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether an image is still the one that it was: what a saved machine remembers of its disks.
 */
#ifndef BLOCK_IDENTITY_H
#define BLOCK_IDENTITY_H

#include "block/blk.h"

/*
 * An image whose file has the same size, time of last change (in ns) and CRC-32 of its first and
 * last 64 KiB, where the formats keep their unique ids and tables' places, is taken for unchanged.
 * A copy that keeps its time (cp -p) is as good as the file. A block device has no time.
 */
struct blk_identity {
    uint64_t size_bytes, mtime_ns;
    uint32_t digest;
};

/* Of the file of this image alone, by its name; not of its parents. -errno with text. */
int blk_identify(const struct blk *blk, struct blk_identity *ret_identity, struct error *err);

#endif
