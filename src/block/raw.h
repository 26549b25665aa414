/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose bytes lie in its file one after the other, from the start: raw images, host disks,
 * CD and floppy images, and fixed VHDs, which have a footer behind.
 */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

#include "block/blk.h"
#include "block/file.h"

/* What it is called; it is an array of bytes in any case. */
enum raw_kind { RAW_PLAIN, RAW_FIXED_VHD, RAW_HOST_DISK };

/* The first size_bytes of file, which then belongs to the blk. -ENOMEM. */
int raw_new(struct blk_file *file, uint64_t size_bytes, bool readonly, enum raw_kind kind,
            struct blk **ret_blk);

#endif
