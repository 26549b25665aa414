/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new image is built in a file of its own beside its place, FILE.PID.part, and gets its name when
 * it is whole. What a process that died has left of one is removed by the next that builds it.
 */
#ifndef BLOCK_PART_H
#define BLOCK_PART_H

#include "base/error.h"

#define PART_NAME_BYTES 4096u

/* The name to build path in, which is free; leftovers of path are gone. 0 or -ENAMETOOLONG. */
int part_begin(const char *path, char ret_name[PART_NAME_BYTES], struct error *err);

#endif
