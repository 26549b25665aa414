/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network address translation without privilege: libslirp plays a router at the far end of the
 * cable and opens an ordinary socket of this process for each connection of the guest. It has a
 * DHCP server, a name server that asks the host's, a TFTP server, and forwards ports of the host.
 *
 * The guest's network is 10.0.2.0/24 unless said otherwise: router 10.0.2.2, name server 10.0.2.3,
 * leases from 10.0.2.15; and fec0::/64. To the guest 10.0.2.2 is also the host's own loopback
 * address.
 *
 * A thread waits for the sockets. TCP segments pass whole in both directions, as large as the
 * guest and libslirp make them, with the offload header that a card needs.
 */
#ifndef NET_NAT_H
#define NET_NAT_H

#include <netinet/in.h>

#include "base/error.h"
#include "net/lock.h"
#include "net/port.h"

#define NAT_FORWARDS_MAX 32u
#define NAT_TEXT_MAX 256u

/* A port of the host that leads to one of the guest. */
struct nat_forward {
    bool udp;
    struct in_addr host, guest; /* guest 0.0.0.0: the first lease */
    uint16_t host_port, guest_port;
};

struct nat_config {
    struct nat_forward forwards[NAT_FORWARDS_MAX];
    unsigned forward_count;
    const char *host_name;        /* offered to the guest by DHCP, may be NULL */
    const char *tftp;             /* folder that guests may read by TFTP, may be NULL */
    const char *boot_file;        /* of PXE, below tftp, may be NULL */
    bool isolated;                /* nothing but forwarded ports and this router */
    struct in_addr network, mask; /* 0.0.0.0: 10.0.2.0/24; else the router is .2 of it */
    bool no_dhcp;                 /* somebody else gives addresses */
};

struct nat;

/*
 * "tcp:127.0.0.1:2222:22", "udp::5353:10.0.2.16:53": kind, host address (empty: 127.0.0.1), host
 * port, guest address (may be left out), guest port. -EINVAL with text.
 */
int nat_parse_forward(const char *text, struct nat_forward *ret_forward, struct error *err);

/* Everything but the thread; the forwarded ports are taken. lock is that of the cable. */
int nat_new(const struct nat_config *config, const struct net_lock *lock, struct nat **ret_nat,
            struct error *err);
/* End the thread, close all connections. Not under the cable's lock. NULL is fine. */
struct nat *nat_free(struct nat *nat);
/* Begin to serve. -EAGAIN. */
int nat_start(struct nat *nat, struct error *err);
/* The router's address in a network (network order). */
struct in_addr nat_router(struct in_addr network);
/* The router's plug. */
struct net_port *nat_port(struct nat *nat);
/* Take a port of the host, or give it back; any thread. -EADDRINUSE, -ENOENT with text. */
int nat_forward_add(struct nat *nat, const struct nat_forward *forward, struct error *err);
int nat_forward_remove(struct nat *nat, const struct nat_forward *forward, struct error *err);

#endif
