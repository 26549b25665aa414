/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cable to a physical adapter of the host, through a packet socket: packet(7). The adapter stays
 * the host's, too; host and guest do not see each other through it.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include "net/tap.h"

/* Send and hear on `interface`; what comes back is used and freed as a TAP. -EPERM, -ENODEV… */
int packet_new(const char *interface, const struct net_lock *lock, struct tap **ret_tap,
               struct error *err);

#endif
