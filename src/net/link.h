/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cable that ends in another process: two rings in shared memory and an eventfd for each side,
 * which says "look at the rings". Both processes use this; one is side 0, the other side 1.
 *
 * A frame is copied once into the ring, and read from there by whatever this end leads to; but for
 * its headers, which are copied first, so that they stay what they were found to be.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "net/port.h"
#include "net/ring.h"

#define LINK_BYTES (2 * (4096u + RING_BYTES))

struct link_fds {
    int memory;   /* LINK_BYTES, sealed against shrinking */
    int event[2]; /* to wake side 0, side 1 */
};

struct link {
    struct net_port port;
    struct ring out, in;
    uint8_t *map; /* NULL: not attached */
    struct link_fds fds;
    unsigned side;
};

/* New memory and events, for both sides. -errno. */
int link_make(struct link_fds *ret_fds);
void link_fds_done(struct link_fds *fds);

/* A plug whose cable is cut: it shows no link. */
void link_init(struct link *l);
/* Attach to the other process; takes fds over, also when it fails. -EPROTO: not what link_make()
 * makes. Under the lock of the cable, as all below. */
int link_attach(struct link *l, const struct link_fds *fds, unsigned side);
/* The other process is gone. Harmless when it never was. */
void link_detach(struct link *l);
/* To be watched for reading; link_pump() is to be called then. -1: not attached. */
int link_event_fd(const struct link *l);
/* Pass on what has come and tell who waits. -EPROTO: the other side breaks the rules. */
int link_pump(struct link *l);

#endif
