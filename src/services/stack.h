/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host in a virtual network, as small as its servers need: ARP (RFC 826), IPv4 (RFC 791), ICMP
 * echo (RFC 792), UDP (RFC 768); IPv6 (RFC 8200), its neighbours (RFC 4861) and echo (RFC 4443).
 * It speaks when it is spoken to: an answer goes to the Ethernet address that asked, so it needs
 * no table of neighbours and nobody can make it keep anything. Not here: fragments, which are
 * dropped, routing, IP options.
 *
 * It has no socket of the host: all it sees are frames of the switch, all under the cable's lock.
 */
#ifndef SERVICES_STACK_H
#define SERVICES_STACK_H

#include <netinet/in.h>
#include <string.h>

#include "base/clock.h"
#include "net/port.h"

/* UDP data in one frame over IPv4; IPv6 takes 20 less. */
#define STACK_UDP_BYTES_MAX (NET_MTU - 28u)

struct stack_config {
    uint8_t mac[NET_MAC_BYTES];
    struct in_addr address, mask;
    bool ip6;               /* speak IPv6: at the link-local address, and at prefix::1 */
    struct in6_addr prefix; /* a /64 */
    bool managed, other;    /* DHCP there gives addresses; what else there is to know */
    const char *domain;     /* told to IPv6 guests with the name server; may be NULL */
    bool name_server;       /* there is one at these addresses */
};

/* The far end of a packet, and which of our addresses it was for: its answer goes the other way. */
struct stack_peer {
    uint8_t mac[NET_MAC_BYTES];
    bool ip6;
    bool group;                /* IPv6: it was sent to a group, not to us alone */
    struct in6_addr addr, own; /* of IPv4: the first 4 bytes, in network order, then zeroes */
    uint16_t port, own_port;
};

struct stack;

/* Data of a UDP packet, or a whole TCP segment with its right checksum; not kept. */
typedef void stack_receive(void *ctx, const struct stack_peer *peer, const uint8_t *data,
                           size_t len_bytes);

/* clock stays the caller's. -ENOMEM. */
int stack_new(const struct stack_config *config, struct clock *clock, struct stack **ret_stack);
/* Takes its cable off. NULL is fine. Always returns NULL. */
struct stack *stack_free(struct stack *s);
/* Its plug. */
struct net_port *stack_port(struct stack *s);
const struct stack_config *stack_config(const struct stack *s);

/* Packets of protocol (IPPROTO_UDP, IPPROTO_TCP) to ports first to last go to receive. -ENOSPC. */
int stack_bind(struct stack *s, uint8_t protocol, uint16_t first, uint16_t last,
               stack_receive *receive, void *ctx);
/* Send data of at most STACK_UDP_BYTES_MAX; false: it is too long. Lost when there is no room. */
bool stack_send_udp(struct stack *s, const struct stack_peer *peer, const void *data,
                    size_t len_bytes);
/* Send a TCP segment, whose checksum is filled in. */
bool stack_send_tcp(struct stack *s, const struct stack_peer *peer, uint8_t *segment,
                    size_t len_bytes);

/* Ask by ARP who has the address, for nobody (RFC 5227, 2.1.1). */
void stack_arp_probe(struct stack *s, struct in_addr address);
/* Tell of every ARP packet: which adapter sent it, and which address it calls its own. NULL: nobody. */
typedef void stack_arp(void *ctx, const uint8_t *mac, struct in_addr address);
void stack_on_arp(struct stack *s, stack_arp *on_arp, void *ctx);

/* An IPv4 address as a peer's, and back. */
static inline struct in6_addr stack_from_ip4(struct in_addr a)
{
    struct in6_addr r = {0};

    memcpy(&r, &a, sizeof(a));
    return r;
}

static inline struct in_addr stack_to_ip4(const struct in6_addr *a)
{
    struct in_addr r;

    memcpy(&r, a, sizeof(r));
    return r;
}

#endif
