/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's qcow2 images, to be read and converted.
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "block/blk.h"
#include "block/file.h"

/* True when a file of these first 512 bytes is one. */
bool qcow2_probe(const uint8_t *head);
/* The name of the image that this one is based on, as it is written there; NULL: none. */
int qcow2_backing(struct blk_file *file, char **ret_name, struct error *err);
/* Read-only. file and parent (NULL: none) belong to the blk if 0 is returned. */
int qcow2_open(struct blk_file *file, struct blk *parent, struct blk **ret_blk, struct error *err);

#endif
