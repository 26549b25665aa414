/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the clients of the control socket how saving and restoring come along: events "progress"
 * while they last, then "saved", "restored", "save-cancelled", "save-failed" or "restore-failed".
 */
#ifndef MONITOR_WORK_H
#define MONITOR_WORK_H

#include <uv.h>

#include "machine/machine.h"
#include "wire/control.h"

struct work;

/* control may be NULL: then it only logs failures. -ENOMEM. */
int work_new(uv_loop_t *loop, struct machine *machine, struct control *control,
             struct work **ret_work);
/* Something has begun: report until it ends. */
void work_watch(struct work *work);
/* Before the machine and the control socket go. NULL is fine. Always returns NULL. */
struct work *work_free(struct work *work);

#endif
