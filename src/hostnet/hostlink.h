/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's network interfaces: what they are, and changes to them, over rtnetlink(7) by libmnl.
 * Changes need CAP_NET_ADMIN. Not for several threads at once.
 */
#ifndef HOSTNET_HOSTLINK_H
#define HOSTNET_HOSTLINK_H

#include <net/if.h>
#include <netinet/in.h>

#include "base/error.h"

#define HOSTLINK_KIND_BYTES 16u

struct hostlink;

struct hostlink_info {
    unsigned index;
    unsigned master; /* index of the bridge or bond that it belongs to; 0: none */
    unsigned lower;  /* index of the interface that it sits on; 0: none */
    char name[IFNAMSIZ];
    char kind[HOSTLINK_KIND_BYTES]; /* "bridge", "macvtap", "tun", …; empty: a physical one */
    bool up;
    bool vlan_filtering; /* a bridge that knows VLANs */
};

/* An IPv4 address of the host with its prefix. */
struct hostlink_address {
    unsigned index;
    struct in_addr address;
    unsigned prefix_bits;
};

/* -errno with text. */
int hostlink_open(struct hostlink **ret_links, struct error *err);
/* NULL is fine. Always returns NULL. */
struct hostlink *hostlink_close(struct hostlink *l);

/* -ENODEV: there is none with this name, or this index. */
int hostlink_find(struct hostlink *l, const char *name, struct hostlink_info *ret_info);
int hostlink_find_index(struct hostlink *l, unsigned index, struct hostlink_info *ret_info);
/* All interfaces in turn; each() returns false to end it. */
int hostlink_each(struct hostlink *l, bool (*each)(void *ctx, const struct hostlink_info *info),
                  void *ctx);
/* Does the host itself use the interface: has it an IPv4 address, or an IPv6 address that is good
 * beyond its link? 1 or 0, or -errno. */
int hostlink_is_used(struct hostlink *l, unsigned index);
/* 1 with the interface that has an IPv4 address or subnet in common with this one; 0: none. */
int hostlink_overlap(struct hostlink *l, struct in_addr subnet, unsigned prefix_bits,
                     struct hostlink_address *ret_address);
/* The interface of the IPv4 default route with the least metric. -ENETUNREACH: there is none. */
int hostlink_default_route(struct hostlink *l, unsigned *ret_index);

/* A macvtap interface on `lower`, which it takes over whole (mode passthru). -EBUSY: another
 * interface of this sort is there; -EOPNOTSUPP: the kernel has none. */
int hostlink_add_macvtap(struct hostlink *l, const char *name, unsigned lower);
int hostlink_delete(struct hostlink *l, unsigned index);
int hostlink_set_up(struct hostlink *l, unsigned index, bool up);
/* Make it a port of the bridge. Its address becomes one that no bridge takes for its own. */
int hostlink_join(struct hostlink *l, unsigned index, unsigned bridge);
/* As a port of a bridge that knows VLANs: let these through, with tags; bit n of `vlans` (4096 bits)
 * is VLAN n. */
int hostlink_bridge_vlans(struct hostlink *l, unsigned index, const uint8_t *vlans);
/* No IPv6 address of its own: the host is not to speak there. */
int hostlink_no_ip6(struct hostlink *l, unsigned index);
int hostlink_add_address(struct hostlink *l, unsigned index, struct in_addr address,
                         unsigned prefix_bits);

#endif
