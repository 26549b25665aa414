/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which adapter has which IPv4 address, until when: a table with a file behind it, so that a
 * network that is started again gives its guests the same addresses and nobody else's.
 *
 * An adapter (a MAC address) has at most one lease. Reserved addresses are given to their adapter
 * alone. Times are seconds since 1970, said by the caller.
 */
#ifndef SERVICES_LEASES_H
#define SERVICES_LEASES_H

#include <netinet/in.h>

#include "base/error.h"
#include "net/port.h"

#define LEASES_MAX 4096u
#define LEASES_RANGE_MAX 65536u
#define LEASE_NAME_BYTES 64u /* with its zero: a label of DNS */

struct lease {
    uint8_t mac[NET_MAC_BYTES]; /* all zero: nobody's, somebody said that it is in use */
    struct in_addr address;
    uint64_t ends_s;
    bool bound;                  /* else offered only */
    uint64_t ends6_s;            /* of the IPv6 address that goes with it; 0: none */
    char name[LEASE_NAME_BYTES]; /* what the guest calls itself; may be empty */
};

struct lease_reservation {
    uint8_t mac[NET_MAC_BYTES];
    struct in_addr address;
    char name[LEASE_NAME_BYTES]; /* may be empty */
};

struct leases_config {
    struct in_addr start, end; /* the range, both included; of at most LEASES_RANGE_MAX */
    struct in_addr taken[4];   /* addresses that are never given, 0.0.0.0: none */
    const struct lease_reservation *reservations; /* stay the caller's */
    unsigned reservation_count;
    const char *path; /* of the file; NULL: none. What is there is read. */
    /* There is something that the file does not have: leases_store() is due. May be NULL. */
    void (*changed)(void *ctx);
    void *ctx;
};

struct leases;

/*
 * A file that is damaged is passed over with a warning: guests then get new addresses. -EINVAL
 * with text, -ENOMEM.
 */
int leases_new(const struct leases_config *config, struct leases **ret_leases, struct error *err);
/* Writes the file. NULL is fine. Always returns NULL. */
struct leases *leases_free(struct leases *l);

/* The adapter's lease, even one that is over; NULL: none. */
struct lease *leases_find(struct leases *l, const uint8_t *mac);
/*
 * An address for the adapter: its reserved one, the one it had, the one it wants (0.0.0.0: none),
 * or a free one, kept for it until ends_s. -ENOSPC.
 */
int leases_offer(struct leases *l, const uint8_t *mac, struct in_addr wanted, uint64_t now_s,
                 uint64_t ends_s, struct lease **ret_lease);
/* May the adapter have this address? */
bool leases_may_have(struct leases *l, const uint8_t *mac, struct in_addr address, uint64_t now_s);
/* It has it now. */
void leases_bind(struct leases *l, struct lease *lease, uint64_t ends_s, const char *name);
/* The same of the IPv6 address; 0: it gives it back. */
void leases_bind6(struct leases *l, struct lease *lease, uint64_t ends6_s);
/* It gives it back; it is offered the same again while that is free. */
void leases_release(struct leases *l, struct lease *lease, uint64_t now_s);
/* Somebody else uses it: nobody gets it until ends_s. The lease is not the adapter's any more. */
void leases_decline(struct leases *l, struct lease *lease, uint64_t ends_s);

/* All leases, in no order. */
unsigned leases_count(const struct leases *l);
const struct lease *leases_get(const struct leases *l, unsigned i);
/* Write the file, whole or not at all; a failure is logged. */
void leases_store(struct leases *l);

#endif
