/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file systems that block/freespace.c asks.
 */
#ifndef BLOCK_FREESPACE_FS_H
#define BLOCK_FREESPACE_FS_H

#include "block/freespace.h"

/* A partition that may hold one. */
struct volume {
    struct blk *blk;
    uint64_t at, len_bytes; /* on the disk */
    struct freespace *free;
    uint64_t run_at, run_bytes; /* what was said last: neighbours are one */
};

/* Read from a volume; -EINVAL beyond its end. */
int volume_read(const struct volume *v, void *buf, uint64_t len_bytes, uint64_t at);
/* [at, at + len) of the volume is free. What lies beyond its end is not noted. */
void volume_free(struct volume *v, uint64_t at, uint64_t len_bytes);

/*
 * 1: it is one, and what is free was noted; 0: it is none of this kind; -EUCLEAN: it was not
 * unmounted in order; -ENOTSUP: there is something in it that we do not know; other -errno.
 */
int freespace_ext(struct volume *v);
int freespace_ntfs(struct volume *v);
int freespace_fat(struct volume *v);

#endif
