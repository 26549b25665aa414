/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual Hard Disk images: what Virtual PC, Virtual Server, Hyper-V and Azure keep disks in.
 */
#ifndef BLOCK_VHD_H
#define BLOCK_VHD_H

#include "block/blk.h"
#include "block/file.h"
#include "block/vhd_format.h"

/*
 * Where a VHD's footer is. Returns 1 when file is a VHD: the footer, and where in the file its
 * end copy begins (UINT64_MAX: that copy is torn, the one at the start is used); 0 when it is
 * something else; -errno with text when it is a damaged VHD.
 */
int vhd_probe(struct blk_file *file, struct vhd_footer *ret_footer, uint64_t *ret_footer_at,
              struct error *err);

/*
 * Open a fixed or dynamic VHD after vhd_probe() has returned 1. file belongs to the blk if 0 is
 * returned. An image whose tables contradict themselves can be opened read-only; what its tables
 * do not give reads as -EIO.
 */
int vhd_open(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
             bool readonly, struct blk **ret_blk, struct error *err);

/*
 * Make an empty image of kind VHD_FIXED or VHD_DYNAMIC. The size is a multiple of 512, at most
 * VHD_MAX_BYTES. An existing file is never replaced; at a failure nothing is left behind.
 */
int vhd_create(const char *path, enum vhd_type kind, uint64_t size_bytes, struct error *err);
/* The same into an empty file of any kind. */
int vhd_format(struct blk_file *file, enum vhd_type kind, uint64_t size_bytes, struct error *err);

#endif
