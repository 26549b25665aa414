/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image by its contents, with the images that it differs from. The path of a parent
 * comes out of an image that may be hostile: it is followed only within the folders that the
 * opener allows, never in a circle, and what is found there must be the very disk that is meant.
 */
#ifndef BLOCK_CHAIN_H
#define BLOCK_CHAIN_H

#include "block/blk.h"
#include "block/file.h"
#include "block/parent_path.h"

/* No format has a limit; this one keeps a hostile chain from using up our stack. */
#define CHAIN_DEPTH_MAX 256u

/* The format of an open file by its contents: 1 and its name, 0 none that we know, -errno. */
int chain_format(struct blk_file *file, const char **ret_format, struct error *err);

#endif
