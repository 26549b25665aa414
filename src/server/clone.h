/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines made from what needs `yado disk` first: a new disk, or copies of another's.
 */
#ifndef SERVER_CLONE_H
#define SERVER_CLONE_H

#include "server/tasks.h"

enum clone_disks { CLONE_COPY, CLONE_DIFFERENCING, CLONE_NONE };

/* Make another machine like m, which is off. 0 with the task, or -1 with the problem. */
int clone_begin(struct machine *m, const char *name, enum clone_disks disks, const char *owner,
                const struct actor *actor, struct task **ret_task, struct problem *p);

/* Make disk.vhd in a new machine's folder and put it first. done comes with p NULL when it went
 * well; otherwise the machine is gone again. */
int clone_first_disk(struct machine *m, uint64_t size_bytes, const char *bus, bool fixed,
                     void (*done)(void *ctx, struct machine *m, const struct problem *p), void *ctx,
                     struct problem *p);

#endif
