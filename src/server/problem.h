/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a request was refused or a task has failed, as RFC 9457 has it.
 */
#ifndef SERVER_PROBLEM_H
#define SERVER_PROBLEM_H

#include "api_tables.h"

struct problem {
    enum problem_code code;
    struct error detail; /* one line for a person */
    char field[256];     /* of the request; empty: none */
    int state;           /* an enum machine_state, or -1 */
};

/* Fill in; always -1, so that one can `return problem_set(…)`. field may be NULL. */
int problem_set(struct problem *p, enum problem_code code, const char *field, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* The HTTP status that goes with a code. */
unsigned problem_status(enum problem_code code);
/* As the API writes it; NULL: no memory. */
json_t *problem_json(const struct problem *p);
/* The code for an errno value (negative) of a file or process operation. */
enum problem_code problem_from_errno(int r);

#endif
