/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's newer images: fixed, dynamic and differencing ones.
 */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include "block/blk.h"
#include "block/vhdx_parent.h"

/*
 * A log is replayed, in memory if readonly. parent: of a differencing disk, else NULL. file and
 * parent belong to the blk if 0 is returned. A file that is being built is filled without the log
 * that a disk in use needs. -EBADMSG: to be written to, but its tables contradict themselves.
 */
int vhdx_open(struct blk_file *file, bool readonly, struct blk *parent, struct blk **ret_blk,
              struct error *err);

/* Hyper-V's. */
#define VHDX_DEFAULT_BLOCK_BYTES (32u << 20)
#define VHDX_CHILD_BLOCK_BYTES (2u << 20)

struct vhdx_new {
    bool fixed;
    uint64_t size_bytes;     /* a multiple of 512, at most VHDX_MAX_BYTES; of a child: 0, the
                                parent's */
    uint32_t block_bytes;    /* 0: VHDX_DEFAULT_BLOCK_BYTES, of a child VHDX_CHILD_BLOCK_BYTES */
    const char *parent_path; /* a VHDX, for a differencing disk; NULL: none */
};

/* As vhd_create() and vhd_format(). */
int vhdx_create(const char *path, const struct vhdx_new *what, struct error *err);
int vhdx_format(struct blk_file *file, const struct vhdx_new *what, struct error *err);

/* Everything that an empty image says. */
struct vhdx_layout {
    bool fixed;
    uint64_t size_bytes;
    uint32_t block_bytes, sector_bytes, physical_bytes;
    uint8_t page83[VHDX_ID_BYTES], data_write_id[VHDX_ID_BYTES];
    const uint8_t *locator; /* of the parent; NULL: none */
    uint32_t locator_bytes;
};
/* Write it into an empty file. 0 or -errno. */
int vhdx_write_empty(struct blk_file *file, const struct vhdx_layout *layout);

#endif
