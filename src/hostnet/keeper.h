/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process beside this one that takes back what was changed on the host, when this one ends in
 * whatever way: kill -9 and a crash, too. It keeps the rights for that, which this process gives up;
 * nobody can tell it anything: it waits for the end of a pipe, undoes, and is gone.
 */
#ifndef HOSTNET_KEEPER_H
#define HOSTNET_KEEPER_H

#include "base/error.h"

struct keeper;

/*
 * Before there are threads. undo() runs in the other process, which has a copy of this one's memory
 * as of now, and of its descriptors keep_fd alone (-1: none). -errno with text.
 */
int keeper_start(void (*undo)(void *ctx), void *ctx, int keep_fd, struct keeper **ret_keeper,
                 struct error *err);
/* Undo now; returns when it is done. NULL is fine. Always returns NULL. */
struct keeper *keeper_stop(struct keeper *k);

/*
 * A name in this network namespace that one process at a time has, together with copies that keep the
 * descriptor: a locked file in /run, or in the user's folder there, so that only who may change the
 * host can be in the way. Waits for at most wait_ms. -EADDRINUSE.
 */
int keeper_lock(const char *name, unsigned wait_ms, int *ret_fd);
/* Give it back; the file goes. -1 is fine. */
void keeper_unlock(const char *name, int fd);

#endif
