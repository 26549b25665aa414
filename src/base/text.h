/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that grows at its end. When memory is short nothing more is added, and the end tells so.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/util.h"

/* Begins as zeroes. */
struct text {
    char *data; /* NULL: empty so far */
    size_t len, room;
    bool failed;
};

void text_add(struct text *t, const char *data, size_t len);
void text_puts(struct text *t, const char *string);
/* The whole with a NUL behind it, freed with free(); NULL: memory was short. t is empty again. */
char *text_take(struct text *t);

#endif
