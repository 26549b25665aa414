/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sizes as people write and read them.
 */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include "base/util.h"

/* "20G": bytes, with K, M, G or T (of 1024) behind the number; a bare one is bytes. -EINVAL. */
int size_parse(const char *text, uint64_t *ret_bytes);
/* "20 GiB", "1.5 MiB", "512 bytes". Returns buf. */
char *size_format(uint64_t bytes, char *buf, size_t room);

#endif
