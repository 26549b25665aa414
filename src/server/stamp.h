/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Times as the API writes them (RFC 3339, UTC), random names, and digests.
 */
#ifndef SERVER_STAMP_H
#define SERVER_STAMP_H

#include "base/util.h"

#define STAMP_TEXT 32 /* room for a time */
#define ID_TEXT 17    /* room for an id */

/* Milliseconds since 1970. */
int64_t stamp_now_ms(void);
/* Milliseconds of a clock that nobody sets, for intervals. */
int64_t stamp_steady_ms(void);
/* "2026-11-27T06:30:00.123Z"; buf has STAMP_TEXT bytes. Returns buf. */
char *stamp_format(int64_t ms, char *buf);
/* A time with Z or an offset, seconds or finer. -EINVAL. */
int stamp_parse(const char *text, int64_t *ret_ms);

/* 16 hexadecimal digits of the kernel's random numbers. */
void id_new(char buf[ID_TEXT]);
/* True for 16 hexadecimal digits in lower case. */
bool id_valid(const char *text);

/* bytes random bytes as hexadecimal digits; text has 2 * bytes + 1. */
void secret_new(char *text, size_t bytes);
/* SHA-256 as 64 hexadecimal digits; text has 65 bytes. Returns text. */
char *digest_hex(const void *data, size_t len_bytes, char text[65]);
/* HMAC-SHA-256 (RFC 2104) as 64 hexadecimal digits. Returns text. */
char *digest_hmac_hex(const char *key, const void *data, size_t len_bytes, char text[65]);
/* Compare in a time that does not depend on where they differ. */
bool digest_equal(const char *a, const char *b);

#endif
