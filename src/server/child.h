/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that is run for its result: arguments as they are (never a shell), input given, output
 * kept up to a bound, a time limit.
 */
#ifndef SERVER_CHILD_H
#define SERVER_CHILD_H

#include <uv.h>

#include "base/error.h"

#define CHILD_OUTPUT_MAX KIB(256)

struct child;

struct child_result {
    int status; /* exit status; -1: killed by signal */
    int signal;
    bool timed_out;
    const char *output; /* what it wrote, ended by a NUL; standard error behind it in errors */
    size_t output_bytes;
    const char *errors;
};

struct child_request {
    const char *const *args; /* args[0] is the program's path; ends with NULL */
    const char *const *env;  /* ends with NULL; NULL: PATH alone */
    const char *cwd;         /* NULL: the server's */
    const char *input;       /* NULL: none */
    unsigned timeout_ms;     /* 0: none */
    bool progress;           /* it writes a percentage a line to descriptor 3 */
    void (*on_progress)(void *ctx, int percent);
    /* Once, from the loop. The child is gone afterwards. */
    void (*on_end)(void *ctx, const struct child_result *result);
    void *ctx;
};

/* Start. -errno with text, and on_end is not called then. */
int child_start(uv_loop_t *loop, const struct child_request *request, struct child **ret_child,
                struct error *err);
/* SIGTERM: it shall stop; on_end comes. */
void child_stop(struct child *child);
/* SIGKILL, and forget it: on_end is not called. NULL is fine. */
void child_forget(struct child *child);

#endif
