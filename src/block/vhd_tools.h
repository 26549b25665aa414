/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work on VHDs that nobody uses. Each can be stopped, or die, at any moment: the disk is as
 * before, or as it shall be, or the same work can be done again.
 */
#ifndef BLOCK_VHD_TOOLS_H
#define BLOCK_VHD_TOOLS_H

#include "block/copy.h"
#include "block/vhd_edit.h"

/*
 * Write a dynamic or differencing disk anew without blocks of zeroes, or without what is the
 * parent's anyway, and without what its file systems do not use (block/freespace.h), and put it in the place of the old one. Its id stays.
 */
int vhd_compact(const char *path, const char *const *parent_folders,
                const struct progress *progress, struct error *err);

/*
 * Write what a differencing disk has into its parent, and remove it. The parent gets a new unique
 * id, since its other children differ from what it was.
 */
int vhd_merge(const char *path, const char *const *parent_folders, const struct progress *progress,
              struct error *err);

struct vhd_verdict {
    unsigned problems; /* found */
    unsigned repaired;
    uint64_t blocks, allocated; /* of the table */
    uint64_t wasted_bytes;      /* of the file, that nothing leads to */
};

/*
 * Check a VHD's own structures (not its parent). say(ctx, text) is called for each problem. With
 * repair, what can be mended is. 0 with the verdict, or -errno: it cannot be checked at all.
 */
int vhd_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
               struct vhd_verdict *ret_verdict, struct error *err);

#endif
