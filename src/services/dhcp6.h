/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DHCP for IPv6 of a virtual network: RFC 8415, RFC 3646 (name server and domain). It says what router
 * advertisements say that it does: other information only (stateless), or addresses, too (stateful).
 *
 * An adapter has one address, the prefix with the IPv4 address that the network keeps for it behind:
 * one table of leases holds both. Like IPv4's, it knows clients by the adapter that asks.
 *
 * Not here: relays, prefixes, temporary addresses, reconfiguration, authentication.
 */
#ifndef SERVICES_DHCP6_H
#define SERVICES_DHCP6_H

#include "services/leases.h"
#include "services/stack.h"

struct dhcp6_config {
    bool stateful;
    uint32_t lease_s, renewal_s, rebinding_s;
    const char *domain; /* may be NULL */
    uint64_t (*now_s)(void *ctx);
    void *ctx;
};

struct dhcp6;

/* Serve on the stack, which speaks IPv6; leases may be NULL when it is not stateful. What it is given
 * stays the caller's. -ENOMEM, -ENOSPC. */
int dhcp6_new(const struct dhcp6_config *config, struct stack *stack, struct leases *leases,
              struct dhcp6 **ret_dhcp6);
/* NULL is fine. Always returns NULL. */
struct dhcp6 *dhcp6_free(struct dhcp6 *d);

/* The IPv6 address that belongs to an IPv4 address in a network with this prefix, and back; false: it
 * is none of those. */
struct in6_addr dhcp6_address(const struct in6_addr *prefix, struct in_addr a);
bool dhcp6_address_back(const struct in6_addr *prefix, const struct in6_addr *a,
                        struct in_addr *ret_address);

#endif
