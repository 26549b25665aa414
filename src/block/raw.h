/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk whose bytes lie in its file one after the other, from the start: raw images, host disks,
 * CD and floppy images, and fixed VHDs, which have a footer behind.
 */
#ifndef BLOCK_RAW_H
#define BLOCK_RAW_H

#include "block/blk.h"
#include "block/file.h"

/* The first size_bytes of file, which then belongs to the blk; fixed_vhd only changes its name. */
int raw_new(struct blk_file *file, uint64_t size_bytes, bool readonly, bool fixed_vhd,
            struct blk **ret_blk);

#endif
