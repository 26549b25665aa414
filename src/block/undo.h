/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Undo disks: what a machine writes goes to a differencing disk FILE.vud beside each of its disks,
 * and only at its end is it decided whether the changes are kept there, committed to the disk, or
 * discarded.
 */
#ifndef BLOCK_UNDO_H
#define BLOCK_UNDO_H

#include "block/blk.h"

enum undo { UNDO_OFF, UNDO_KEEP, UNDO_COMMIT, UNDO_DISCARD };

/*
 * Open a VHD or VHDX through its undo disk, which is made if there is none; *ret_made says so. The disk
 * itself is locked against writing as long.
 */
int undo_open(const char *path, const struct blk_options *options, bool *ret_made,
              struct blk **ret_blk, struct error *err);
/* -EEXIST when the disk has an undo disk: it must not be written to without it. */
int undo_absent(const char *path, struct error *err);
/* Do what was decided for a disk that nobody uses any more. */
int undo_end(const char *path, enum undo undo, const char *const *parent_folders,
             struct error *err);

#endif
