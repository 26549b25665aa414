/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the small host share: stack.c has Ethernet and IPv4, stack_ip6.c IPv6.
 */
#ifndef SERVICES_STACK_PRIV_H
#define SERVICES_STACK_PRIV_H

#include "services/stack.h"

#define STACK_BINDINGS_MAX 8u

struct stack_binding {
    uint8_t protocol;
    uint16_t first, last;
    stack_receive *receive;
    void *ctx;
};

struct stack {
    struct stack_config config;
    struct clock *clock;
    struct net_port port;
    struct stack_binding bindings[STACK_BINDINGS_MAX];
    unsigned binding_count;
    stack_arp *on_arp; /* may be NULL */
    void *on_arp_ctx;
    struct in6_addr link_local, global;
    struct timer advertise;
    unsigned advertised;
    uint16_t id; /* of IPv4 packets */
};

/* Send what follows the IP header, of at most NET_MTU bytes with it. */
bool stack_send_ip(struct stack *s, const struct stack_peer *peer, uint8_t protocol,
                   uint8_t hop_limit, const void *data, size_t len_bytes);
/* The sum of the pseudo header (RFC 768, 9293, 8200 8.1) for an answer to peer; the same for what
 * peer has sent. */
uint32_t stack_pseudo(const struct stack_peer *peer, uint8_t protocol, size_t len_bytes);
/* UDP and TCP: check it, and give it to whoever is bound. */
void stack_transport(struct stack *s, struct stack_peer *peer, uint8_t protocol,
                     const uint8_t *data, size_t len_bytes);

/* A domain as labels, RFC 1035 3.1; its length, 0 when it does not fit. */
size_t stack_put_domain(uint8_t *to, size_t room, const char *domain);
void stack_ip6_start(struct stack *s);
void stack_ip6_receive(struct stack *s, const uint8_t *frame, size_t len_bytes);

#endif
