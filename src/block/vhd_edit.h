/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHD's own structures while nobody uses it. Each is safe against a power cut: at
 * every moment the file opens, as it was or as it shall be.
 */
#ifndef BLOCK_VHD_EDIT_H
#define BLOCK_VHD_EDIT_H

#include "block/vhd.h"

/* A VHD file with its structures read, without its parent. */
struct vhd_image {
    struct blk_file *file;
    struct vhd_footer footer;
    uint64_t footer_at;       /* UINT64_MAX: the end is torn */
    struct vhd_header header; /* not of fixed disks */
};

/* -EMEDIUMTYPE when the file is not a VHD. */
int vhd_image_open(const char *path, bool readonly, struct vhd_image *ret_image, struct error *err);
void vhd_image_close(struct vhd_image *image);

/*
 * Change the size of the disk: a multiple of 512. Less than it has is refused (-ERANGE) unless
 * shrink; what lay beyond is lost then. A saved state refuses both (-EBUSY).
 */
int vhd_image_resize(struct vhd_image *image, uint64_t size_bytes, bool shrink, struct error *err);
int vhd_resize(const char *path, uint64_t size_bytes, bool shrink, struct error *err);

/*
 * Write down where a differencing disk's parent is now. A parent with another unique id than the
 * child has seen is refused (-EMEDIUMTYPE) unless force.
 */
int vhd_reparent(const char *child_path, const char *parent_path, bool force, struct error *err);

/* Give the disk a new unique id, so that children that differ from what it was are refused. */
int vhd_renew_id(struct vhd_image *image, struct error *err);

/* A random id, RFC 4122 version 4. 0 or -EIO. */
int vhd_make_id(uint8_t ret_id[16]);

#endif
