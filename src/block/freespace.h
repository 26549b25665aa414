/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a disk its file systems do not use: ext2 to ext4, NTFS, FAT12 to FAT32, on the whole disk
 * or in partitions (MBR with logical ones, GPT). Only one that was unmounted in order is believed,
 * and only one all of whose features are known; nothing else is ever called free.
 */
#ifndef BLOCK_FREESPACE_H
#define BLOCK_FREESPACE_H

#include "block/blk.h"

/* Free space is known in pieces of this size, at multiples of it from the start of the disk. */
#define FREESPACE_GRAIN_BYTES 4096u

struct freespace {
    uint8_t *bits; /* one for each piece, 1: free; NULL: nothing is */
    uint64_t grains;
    uint64_t free_bytes;
    unsigned filesystems; /* whose free space is in here */
    unsigned unclean;     /* that were left alone, for they were not unmounted in order */
};

/* Look at a disk. -ENOMEM, or -errno of reading it; *ret_free is to be given back by freespace_done(). */
int freespace_find(struct blk *blk, struct freespace *ret_free);
void freespace_done(struct freespace *free);
/* Whether all of [at, at + len) is free. */
bool freespace_covers(const struct freespace *free, uint64_t at, uint64_t len_bytes);
/* Zero what is free of a buffer with the bytes of [at, at + len). */
void freespace_clear(const struct freespace *free, uint8_t *buf, uint64_t at, uint64_t len_bytes);

#endif
