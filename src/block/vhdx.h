/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's newer images: fixed, dynamic and differencing ones to be read and written to, fixed and
 * dynamic ones to be made.
 */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include "block/blk.h"
#include "block/chain.h"
#include "block/vhdx_format.h"

/* What a child knows of its parent. */
struct vhdx_parent {
    bool wanted;
    struct parent_paths paths;
    uint8_t id[VHDX_ID_BYTES]; /* the parent's data write id, when the child was made */
};

/* The parent of an image, of which folder is the folder; paths are the caller's to free. */
int vhdx_find_parent(struct blk_file *file, const char *folder, struct vhdx_parent *ret_parent,
                     struct error *err);
/*
 * A log is replayed, in memory if readonly. parent: of a differencing disk, else NULL. file and
 * parent belong to the blk if 0 is returned. A file that is being built is filled without the log
 * that a disk in use needs. -EBADMSG: to be written to, but its tables contradict themselves.
 */
int vhdx_open(struct blk_file *file, bool readonly, struct blk *parent, struct blk **ret_blk,
              struct error *err);

#define VHDX_DEFAULT_BLOCK_BYTES (32u << 20) /* Hyper-V's */

struct vhdx_new {
    bool fixed;
    uint64_t size_bytes;
    uint32_t block_bytes; /* 0: VHDX_DEFAULT_BLOCK_BYTES */
};

/* As vhd_create() and vhd_format(). */
int vhdx_create(const char *path, const struct vhdx_new *what, struct error *err);
int vhdx_format(struct blk_file *file, const struct vhdx_new *what, struct error *err);

#endif
