/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a failure for a person. Functions return 0 or a negative errno; those that can fail
 * because of something a person gave (a file, an option, a name) also take a struct error * and
 * put one clear line there: what is wrong with which thing, and what to do. Only main() prints it.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/util.h"

struct error {
    char text[512]; /* one line, no newline at its end; empty: nothing set */
};

/* Set err's text (unless err is NULL) and return code, so that callers can `return error_set(…)`. */
int error_set(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "what: " before err's text (unless err is NULL); returns code. */
int error_prefix(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
