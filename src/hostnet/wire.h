/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way from a virtual network to the wire of a host's adapter. docs/decisions/0046 says which is
 * chosen when, and why.
 */
#ifndef HOSTNET_WIRE_H
#define HOSTNET_WIRE_H

#include <net/if.h>

#include "net/tap.h"

enum wire_way {
    WIRE_AUTO,
    WIRE_BRIDGE,  /* a TAP interface of our own as a port of the Linux bridge */
    WIRE_MACVTAP, /* a macvtap interface of our own that takes the adapter over whole */
    WIRE_PACKET,  /* a packet socket beside the host's own use of the adapter */
};

/* Why it is this way. */
enum wire_reason {
    WIRE_CHOSEN,     /* it was asked for */
    WIRE_IS_BRIDGE,  /* the adapter is a bridge */
    WIRE_IN_BRIDGE,  /* the adapter is a port of one */
    WIRE_UNUSED,     /* the host does not use the adapter itself */
    WIRE_USED,       /* the host uses the adapter itself */
    WIRE_NO_RIGHTS,  /* the better way needs CAP_NET_ADMIN */
    WIRE_NO_MACVTAP, /* … or a kernel with macvtap, and its device */
};

struct wire;

struct wire_config {
    const char *interface;
    enum wire_way way;
    const uint8_t *vlans; /* that pass with tags (SWITCH_VLANS bits); NULL: none */
};

/*
 * Open the way; ret_tap is the cable's far end, of which ret_wire holds what was made on the host for
 * it. Before there are threads. -ENODEV, -EPERM, -EBUSY… with text.
 */
int wire_open(const struct wire_config *config, const struct net_lock *lock, struct wire **ret_wire,
              struct tap **ret_tap, struct error *err);
/* After the tap: remove what was made. NULL is fine. Always returns NULL. */
struct wire *wire_free(struct wire *w);

/* Is what was made still there? The adapter or its bridge may have been removed, or the port taken out
 * of that; a packet socket says so by itself. Any thread, but one at a time. */
bool wire_is_whole(struct wire *w);

enum wire_way wire_way(const struct wire *w);
enum wire_reason wire_reason(const struct wire *w);
/* The interface that was made, and the bridge; empty: none. */
const char *wire_interface(const struct wire *w);
const char *wire_bridge(const struct wire *w);

/* "auto", "bridge", "macvtap", "packet"; "chosen", "is-bridge", "in-bridge", "unused", "used",
 * "no-rights", "no-macvtap". */
const char *wire_way_name(enum wire_way way);
const char *wire_reason_name(enum wire_reason reason);

#endif
