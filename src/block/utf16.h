/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names inside of disk images: UTF-16 of either byte order, often without an end mark.
 */
#ifndef BLOCK_UTF16_H
#define BLOCK_UTF16_H

#include "base/util.h"

/* As UTF-8, up to a NUL; NULL when it is not text (a lone surrogate), or without memory. */
char *utf16_to_utf8(const uint8_t *text, size_t len_bytes, bool big_endian);
/* Returns the bytes made, at most room_bytes; 0 when it does not fit or is not UTF-8. */
size_t utf16_from_utf8(const char *text, bool big_endian, uint8_t *buf, size_t room_bytes);

#endif
