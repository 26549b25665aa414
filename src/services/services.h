/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The servers of one virtual network, at one address in it: DHCP, names, IPv6 advertisements, files
 * for booting. They are at a plug of the switch, not at a socket of the host. All under the cable's
 * lock.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include "services/dhcp.h"
#include "services/dns.h"

#define SERVICES_DOMAIN "yado.internal"
#define SERVICES_MACHINES_MAX 1024u

/* The server's Ethernet address, in every network: administered locally, and no machine's. */
#define SERVICES_MAC                                                                               \
    {                                                                                              \
        0x02, 0x79, 0x61, 0x64, 0x6f, 0x01                                                         \
    }

struct services_config {
    struct in_addr address, mask;
    bool ip6;
    struct in6_addr prefix; /* a /64 that is advertised with ip6 */
    enum services_dhcp6 {
        SERVICES_DHCP6_STATELESS, /* guests make up addresses, and are told the rest */
        SERVICES_DHCP6_STATEFUL,  /* they are given addresses; with dhcp alone */
        SERVICES_DHCP6_OFF,
    } dhcp6;
    bool dhcp, dns;
    struct in_addr start, end; /* of DHCP's range */
    const struct lease_reservation *reservations;
    unsigned reservation_count;
    const char *leases_path; /* may be NULL */
    /* Of struct dhcp_config: gateway, dns, wins, times, boot files. What it calls back is set here;
     * without dns addresses and with a name server here, that is the one. */
    struct dhcp_config network;
    const char *domain; /* NULL: SERVICES_DOMAIN */
    const char *folder; /* for TFTP and HTTP; may be NULL */
    /* As struct dns_config's; NULL: nobody is asked. */
    bool (*forward)(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len_bytes);
    void *ctx;
    uint64_t (*now_s)(void *ctx); /* seconds since 1970; NULL: the host's */
};

struct services;

/* The strings and reservations are copied; clock stays the caller's. -ENOENT… with text. */
int services_new(const struct services_config *config, struct clock *clock,
                 struct services **ret_services, struct error *err);
/* Writes the leases, takes the cable off. NULL is fine. Always returns NULL. */
struct services *services_free(struct services *s);
struct net_port *services_port(struct services *s);

/* A machine is on the network with this adapter: its name is known from now on. */
void services_machine(struct services *s, const uint8_t *mac, const char *name);
/* The adapter is gone. */
void services_machine_gone(struct services *s, const uint8_t *mac);

/* What the world has answered to forward(), or that it does not (len_bytes 0). */
void services_dns_answer(struct services *s, unsigned token, const uint8_t *data, size_t len_bytes);

/* NULL: there is no DHCP here. */
struct leases *services_leases(struct services *s);
/* The label that the adapter's machine has here; NULL: none. */
const char *services_name_of(void *services, const uint8_t *mac);

#endif
