/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much each disk of a machine may do in a second. The machine's own process keeps to it, for the
 * host's cgroups know devices and no files (docs/decisions/0035-disk-limits.md).
 */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "server/machine.h"

/* Put the limits of the disk `file` beside the other members of its part of yado-vm's definition. */
void limits_add(const struct machine *m, const char *file, json_t *disk);
/* Tell a machine that runs what its definition says now. */
void limits_send(struct machine *m);

#endif
