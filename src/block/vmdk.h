/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMware's images of one file (monolithicSparse, streamOptimized), to be read and converted.
 */
#ifndef BLOCK_VMDK_H
#define BLOCK_VMDK_H

#include "block/blk.h"
#include "block/file.h"

/* True when a file of these first 512 bytes is one. */
bool vmdk_probe(const uint8_t *head);
/* Read-only. file belongs to the blk if 0 is returned. */
int vmdk_open(struct blk_file *file, struct blk **ret_blk, struct error *err);

#endif
