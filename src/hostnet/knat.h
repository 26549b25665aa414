/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network address translation by the host's kernel: a TAP interface on the host that is the router
 * of the virtual network, and a table of nftables of our own, by libnftables. The table belongs to
 * this process: nobody else can flush or change it (nft(8), "owner"), and it goes with the process.
 * docs/decisions/0047 has the rules with their reasons, and how Docker's and others' are met.
 *
 * Needs CAP_NET_ADMIN while it is opened. IPv4 alone.
 */
#ifndef HOSTNET_KNAT_H
#define HOSTNET_KNAT_H

#include "net/nat.h"
#include "net/tap.h"

struct knat;

struct knat_config {
    const char *name; /* of the network, for people who look at the table */
    struct in_addr subnet;
    unsigned prefix_bits;
    const char *outside; /* the interface that leads out; NULL: that of the default route */
    const struct nat_forward *forwards; /* with a guest's address each */
    unsigned forward_count;
    bool isolated; /* nothing but forwarded ports and the router */
};

/*
 * Open all of it; ret_tap is the router's end of the cable, at nat_router(subnet). A forwarded port
 * is taken: nobody else can listen there. Before there are threads. -EPERM, -EEXIST (the subnet is in
 * use), -ENETUNREACH, -EADDRINUSE, -EOPNOTSUPP… with text.
 */
int knat_open(const struct knat_config *config, const struct net_lock *lock, struct knat **ret_knat,
              struct tap **ret_tap, struct error *err);
/* After the tap. NULL is fine. Always returns NULL. */
struct knat *knat_free(struct knat *k);
/* The router's interface, and the one that leads out. */
const char *knat_interface(const struct knat *k);
const char *knat_outside(const struct knat *k);

/* The table's rules as nft(8) reads them; freed with free(). NULL: no memory. For tests, too. */
char *knat_rules(const struct knat_config *config, const char *interface, const char *outside,
                 bool guard);

#endif
