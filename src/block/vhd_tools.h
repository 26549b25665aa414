/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What block/image.h does with VHDs.
 */
#ifndef BLOCK_VHD_TOOLS_H
#define BLOCK_VHD_TOOLS_H

#include "block/image.h"
#include "block/vhd_edit.h"

/* The structures of a disk without contents that is otherwise the same. 0 or -errno. */
int vhd_write_like(struct vhd_image *from, struct blk_file *to);

/* As image_verify(). */
int vhd_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
               struct image_verdict *ret_verdict, struct error *err);

#endif
