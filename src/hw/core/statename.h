/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Field names for the n-th of several equal parts of a device: "count" of counter 2 is saved as
 * "count.2".
 */
#ifndef HW_CORE_STATENAME_H
#define HW_CORE_STATENAME_H

#include <stdio.h>

struct state_name {
    char text[40];
};

/* STATE_NAME("count", 2) is a string that lives until the end of the enclosing block. */
#define STATE_NAME(field, n) (state_name_make(&(struct state_name){""}, field, n))

static inline const char *state_name_make(struct state_name *name, const char *field, unsigned n)
{
    snprintf(name->text, sizeof(name->text), "%s.%u", field, n);
    return name->text;
}

#endif
