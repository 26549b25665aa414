/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's newer images, to be read and converted: fixed, dynamic and differencing.
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
 * Read-only; a log is replayed in memory. parent: of a differencing disk, else NULL. file and
 * parent belong to the blk if 0 is returned.
 */
int vhdx_open(struct blk_file *file, struct blk *parent, struct blk **ret_blk, struct error *err);

#endif
