/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The name server of a virtual network: RFC 1034, 1035; RFC 6891 (EDNS, for the size of answers).
 * It knows the machines by name, below the network's domain and by their bare names, and their
 * addresses in reverse; the rest it passes on, or refuses. Over UDP, where an answer that is too large
 * says so, and over TCP (RFC 7766), where it is passed on by TCP, too.
 */
#ifndef SERVICES_DNS_H
#define SERVICES_DNS_H

#include "services/tcp.h"

#define DNS_NAME_BYTES 256u
#define DNS_ADDRESSES_MAX 8u
#define DNS_PENDING_MAX 128u
#define DNS_PENDING_EACH 32u /* of one adapter */

struct dns_config {
    const char *domain; /* lower case, without a dot at its ends */
    /* Addresses of the machine with this label (lower case); how many, at most DNS_ADDRESSES_MAX;
     * -ENOENT: there is no such machine. */
    int (*lookup)(void *ctx, const char *label, struct in_addr *ret_addresses);
    /* The same with IPv6; 0 also where there is no such machine. */
    int (*lookup6)(void *ctx, const char *label, struct in6_addr *ret_addresses);
    /* The label of the machine with this address; NULL: none. */
    const char *(*reverse)(void *ctx, struct in_addr address);
    /* Ask the world, by TCP if that is said; what comes is given to dns_answer() with the token. NULL:
     * nobody is asked. */
    bool (*forward)(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len_bytes);
    void *ctx;
};

struct dns;

/* Serve on the stack and its TCP, which stay the caller's, as do the strings. -ENOMEM, -ENOSPC. */
int dns_new(const struct dns_config *config, struct stack *stack, struct tcp *tcp,
            struct clock *clock, struct dns **ret_dns);
/* After tcp has been freed. NULL is fine. Always returns NULL. */
struct dns *dns_free(struct dns *d);
/* An answer of the world to what was forwarded; one that is none is dropped. */
void dns_answer(struct dns *d, unsigned token, const uint8_t *data, size_t len_bytes);
/* Nobody answers. */
void dns_no_answer(struct dns *d, unsigned token);

/* A label of DNS (RFC 1123, 2.1) from any name: lower case, hyphens for what is none. It needs 64
 * bytes; empty when nothing is left. */
void dns_label(const char *name, char *ret_label);

#endif
