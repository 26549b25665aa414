/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is looked at every few seconds: what machines use, the room on the host's disks, what has
 * become too old.
 */
#ifndef SERVER_TICK_H
#define SERVER_TICK_H

#include "server/server.h"

#define TICK_SECONDS 5

void tick_start(struct server *server);
void tick_stop(struct server *server);

#endif
