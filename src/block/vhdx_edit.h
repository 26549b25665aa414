/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHDX's own structures while nobody uses it. What must change together is one entry
 * of the log: at every moment the file opens, as it was or as it shall be.
 */
#ifndef BLOCK_VHDX_EDIT_H
#define BLOCK_VHDX_EDIT_H

#include "block/image.h"
#include "block/vhdx.h"

struct vhdx;

/*
 * An image without its parent, its log replayed in memory; to be changed, it has still to be
 * checked and recovered. *ret_file is what has been opened. -EMEDIUMTYPE: it is not a VHDX.
 */
int vhdx_image_open(const char *path, bool readonly, struct blk_file **ret_file,
                    struct vhdx **ret_vhdx, struct error *err);
void vhdx_image_close(struct blk_file *file, struct vhdx *v);

/*
 * Change the size of the disk: a multiple of its sectors. Less than it has is refused (-ERANGE)
 * unless shrink; what lay beyond is lost then, and children of the disk are refused from then on.
 * The same in a file that is open; a shorter disk then needs no leave.
 */
int vhdx_resize(const char *path, uint64_t size_bytes, bool shrink, struct error *err);
int vhdx_resize_file(struct blk_file *file, uint64_t size_bytes, struct error *err);

/*
 * Write down where a differencing disk's parent is now. A parent with other contents than the
 * child has seen is refused (-EMEDIUMTYPE) unless force.
 */
int vhdx_reparent(const char *child_path, const char *parent_path, bool force, struct error *err);

/* Give the contents a new id, so that children that differ from what they were are refused. */
int vhdx_renew_id(const char *path, struct error *err);

/* As vhd_verify(). */
int vhdx_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
                struct image_verdict *ret_verdict, struct error *err);

#endif
