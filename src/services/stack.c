/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/stack.h"

#include <errno.h>

#include "base/bytes.h"
#include "net/offload.h"
#include "services/stack_priv.h"

enum { ETHERTYPE_IP4 = 0x0800, ETHERTYPE_ARP = 0x0806, ETHERTYPE_IP6 = 0x86dd };
enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2 };
enum { IP4_BYTES = 20, IP6_BYTES = 40, UDP_BYTES = 8, TCP_BYTES = 20 };
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8 };
#define TTL 64u

/* ---- sending ---- */

static void send_frame(struct stack *s, const uint8_t *frame, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)frame, len};
    struct net_frame f = net_frame_of(&iov);

    (void)net_send(&s->port, &f);
}

static size_t put_ip4(struct stack *s, const struct stack_peer *peer, uint8_t protocol,
                      uint8_t hop_limit, size_t len, uint8_t *ip)
{
    memset(ip, 0, IP4_BYTES);
    ip[0] = 0x45;
    be16_put(ip + 2, (uint16_t)(IP4_BYTES + len));
    be16_put(ip + 4, s->id++);
    ip[8] = hop_limit;
    ip[9] = protocol;
    memcpy(ip + 12, &peer->own, 4);
    memcpy(ip + 16, &peer->addr, 4);
    be16_put(ip + 10, offload_sum_end(offload_sum(ip, IP4_BYTES, 0)));
    return IP4_BYTES;
}

static size_t put_ip6(const struct stack_peer *peer, uint8_t protocol, uint8_t hop_limit,
                      size_t len, uint8_t *ip)
{
    memset(ip, 0, 8);
    ip[0] = 0x60;
    be16_put(ip + 4, (uint16_t)len);
    ip[6] = protocol;
    ip[7] = hop_limit;
    memcpy(ip + 8, &peer->own, 16);
    memcpy(ip + 24, &peer->addr, 16);
    return IP6_BYTES;
}

bool stack_send_ip(struct stack *s, const struct stack_peer *peer, uint8_t protocol,
                   uint8_t hop_limit, const void *data, size_t len)
{
    uint8_t frame[NET_ETHER_BYTES + NET_MTU];
    uint8_t *ip = frame + NET_ETHER_BYTES;
    size_t at = NET_ETHER_BYTES;

    if (len + (peer->ip6 ? IP6_BYTES : IP4_BYTES) > NET_MTU)
        return false;
    memcpy(frame, peer->mac, NET_MAC_BYTES);
    memcpy(frame + 6, s->config.mac, NET_MAC_BYTES);
    be16_put(frame + 12, peer->ip6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    at += peer->ip6 ? put_ip6(peer, protocol, hop_limit, len, ip)
                    : put_ip4(s, peer, protocol, hop_limit, len, ip);
    memcpy(frame + at, data, len);
    send_frame(s, frame, at + len);
    return true;
}

uint32_t stack_pseudo(const struct stack_peer *peer, uint8_t protocol, size_t len)
{
    size_t bytes = peer->ip6 ? 16 : 4;
    uint32_t sum = protocol + (uint32_t)len;

    return offload_sum(&peer->addr, bytes, offload_sum(&peer->own, bytes, sum));
}

bool stack_send_udp(struct stack *s, const struct stack_peer *peer, const void *data, size_t len)
{
    uint8_t packet[NET_MTU];
    uint16_t sum;

    if (len > STACK_UDP_BYTES_MAX)
        return false;
    be16_put(packet, peer->own_port);
    be16_put(packet + 2, peer->port);
    be16_put(packet + 4, (uint16_t)(UDP_BYTES + len));
    be16_put(packet + 6, 0);
    memcpy(packet + UDP_BYTES, data, len);
    sum = offload_sum_end(
        offload_sum(packet, UDP_BYTES + len, stack_pseudo(peer, IPPROTO_UDP, UDP_BYTES + len)));
    be16_put(packet + 6, sum ? sum : 0xffff);
    return stack_send_ip(s, peer, IPPROTO_UDP, TTL, packet, UDP_BYTES + len);
}

bool stack_send_tcp(struct stack *s, const struct stack_peer *peer, uint8_t *segment, size_t len)
{
    be16_put(segment + 16, 0);
    be16_put(segment + 16,
             offload_sum_end(offload_sum(segment, len, stack_pseudo(peer, IPPROTO_TCP, len))));
    return stack_send_ip(s, peer, IPPROTO_TCP, TTL, segment, len);
}

/* ---- receiving ---- */

static void receive_arp(struct stack *s, const uint8_t *frame, size_t len)
{
    const uint8_t *arp = frame + NET_ETHER_BYTES;
    uint8_t reply[NET_ETHER_BYTES + ARP_BYTES];
    uint8_t *out = reply + NET_ETHER_BYTES;

    if (len < NET_ETHER_BYTES + ARP_BYTES || memcmp(arp, "\0\1\x08\0\6\4", 6))
        return;
    if (s->on_arp) {
        struct in_addr sender;

        memcpy(&sender, arp + 14, sizeof(sender));
        s->on_arp(s->on_arp_ctx, frame + 6, sender);
    }
    if (be16_get(arp + 6) != ARP_REQUEST || memcmp(arp + 24, &s->config.address, 4))
        return;
    memcpy(reply, frame + 6, NET_MAC_BYTES);
    memcpy(reply + 6, s->config.mac, NET_MAC_BYTES);
    be16_put(reply + 12, ETHERTYPE_ARP);
    memcpy(out, arp, 6);
    be16_put(out + 6, ARP_REPLY);
    memcpy(out + 8, s->config.mac, NET_MAC_BYTES);
    memcpy(out + 14, &s->config.address, 4);
    memcpy(out + 18, arp + 8, 10);
    send_frame(s, reply, sizeof(reply));
}

void stack_arp_probe(struct stack *s, struct in_addr address)
{
    uint8_t frame[NET_ETHER_BYTES + ARP_BYTES] = {0};
    uint8_t *arp = frame + NET_ETHER_BYTES;

    memset(frame, 0xff, NET_MAC_BYTES);
    memcpy(frame + 6, s->config.mac, NET_MAC_BYTES);
    be16_put(frame + 12, ETHERTYPE_ARP);
    memcpy(arp, "\0\1\x08\0\6\4\0\1", 8);
    memcpy(arp + 8, s->config.mac, NET_MAC_BYTES);
    memcpy(arp + 24, &address, sizeof(address));
    send_frame(s, frame, sizeof(frame));
}

void stack_on_arp(struct stack *s, stack_arp *on_arp, void *ctx)
{
    s->on_arp = on_arp;
    s->on_arp_ctx = ctx;
}

static void receive_icmp(struct stack *s, const struct stack_peer *peer, const uint8_t *data,
                         size_t len)
{
    uint8_t reply[NET_MTU];

    if (len < 8 || len > NET_MTU - IP4_BYTES || data[0] != ICMP_ECHO || data[1] ||
        offload_sum_end(offload_sum(data, len, 0)))
        return;
    memcpy(reply, data, len);
    reply[0] = ICMP_ECHO_REPLY;
    be16_put(reply + 2, 0);
    be16_put(reply + 2, offload_sum_end(offload_sum(reply, len, 0)));
    stack_send_ip(s, peer, IPPROTO_ICMP, TTL, reply, len);
}

void stack_transport(struct stack *s, struct stack_peer *peer, uint8_t protocol,
                     const uint8_t *data, size_t len)
{
    if (len < (protocol == IPPROTO_UDP ? UDP_BYTES : TCP_BYTES))
        return;
    peer->port = be16_get(data);
    peer->own_port = be16_get(data + 2);
    if (protocol == IPPROTO_UDP) {
        /* RFC 768: the length may be less than what is there; no sum over IPv4 is a zero. */
        size_t said = be16_get(data + 4);

        if (said < UDP_BYTES || said > len || (!be16_get(data + 6) && peer->ip6))
            return;
        len = said;
    }
    if ((protocol != IPPROTO_UDP || be16_get(data + 6)) &&
        offload_sum_end(offload_sum(data, len, stack_pseudo(peer, protocol, len))))
        return;
    /* An answer to what was for everybody is from us. */
    if (!peer->ip6)
        peer->own = stack_from_ip4(s->config.address);
    else if (peer->group)
        peer->own = s->link_local;
    for (unsigned i = 0; i < s->binding_count; i++) {
        const struct stack_binding *b = &s->bindings[i];
        unsigned skip = protocol == IPPROTO_UDP ? UDP_BYTES : 0;

        if (b->protocol != protocol || peer->own_port < b->first || peer->own_port > b->last)
            continue;
        b->receive(b->ctx, peer, data + skip, len - skip);
        return;
    }
}

/* To us, or to everybody. */
static bool is_for_us(const struct stack *s, uint32_t dst)
{
    uint32_t mask = s->config.mask.s_addr;

    return dst == s->config.address.s_addr || dst == INADDR_BROADCAST ||
           dst == (s->config.address.s_addr | ~mask);
}

static void receive_ip4(struct stack *s, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + NET_ETHER_BYTES;
    struct stack_peer peer = {0};
    size_t header, total;
    uint32_t dst;

    if (len < NET_ETHER_BYTES + IP4_BYTES)
        return;
    header = (ip[0] & 15) * 4u;
    total = be16_get(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP4_BYTES || total < header || total > len - NET_ETHER_BYTES ||
        be16_get(ip + 6) & 0x3fff || offload_sum_end(offload_sum(ip, header, 0)))
        return;
    memcpy(&dst, ip + 16, 4);
    /* RFC 1122, 3.2.1.3: a group is no sender. */
    if (!is_for_us(s, dst) || ip[12] >= 224 || ip[12] == 127)
        return;
    memcpy(peer.mac, frame + 6, NET_MAC_BYTES);
    memcpy(&peer.addr, ip + 12, 4);
    memcpy(&peer.own, &dst, 4);
    if (ip[9] == IPPROTO_ICMP && dst == s->config.address.s_addr)
        receive_icmp(s, &peer, ip + header, total - header);
    else if (ip[9] == IPPROTO_UDP)
        stack_transport(s, &peer, IPPROTO_UDP, ip + header, total - header);
    else if (ip[9] == IPPROTO_TCP && dst == s->config.address.s_addr)
        stack_transport(s, &peer, IPPROTO_TCP, ip + header, total - header);
}

static bool port_receive(void *ctx, const struct net_frame *f)
{
    struct stack *s = ctx;
    uint8_t frame[NET_WIRE_BYTES];
    size_t len;

    if (f->len_bytes > sizeof(frame))
        return true;
    len = net_gather(f->iov, f->iov_count, 0, frame, sizeof(frame));
    /* A frame from a group, or from ourselves, is forged. */
    if (len < NET_ETHER_BYTES || frame[6] & 1 || !memcmp(frame + 6, s->config.mac, NET_MAC_BYTES))
        return true;
    switch (be16_get(frame + 12)) {
    case ETHERTYPE_ARP:
        receive_arp(s, frame, len);
        break;
    case ETHERTYPE_IP4:
        receive_ip4(s, frame, len);
        break;
    case ETHERTYPE_IP6:
        if (s->config.ip6)
            stack_ip6_receive(s, frame, len);
        break;
    default:
        break;
    }
    return true;
}

static const struct net_port_ops port_ops = {.receive = port_receive};

/* ---- life ---- */

int stack_new(const struct stack_config *config, struct clock *clock, struct stack **ret_stack)
{
    struct stack *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->clock = clock;
    net_port_init(&s->port, &port_ops, s);
    stack_ip6_start(s);
    *ret_stack = s;
    return 0;
}

struct stack *stack_free(struct stack *s)
{
    if (!s)
        return NULL;
    net_disconnect(&s->port);
    timer_cancel(&s->advertise);
    free(s);
    return NULL;
}

struct net_port *stack_port(struct stack *s)
{
    return &s->port;
}

const struct stack_config *stack_config(const struct stack *s)
{
    return &s->config;
}

int stack_bind(struct stack *s, uint8_t protocol, uint16_t first, uint16_t last,
               stack_receive *receive, void *ctx)
{
    if (s->binding_count == STACK_BINDINGS_MAX)
        return -ENOSPC;
    s->bindings[s->binding_count++] = (struct stack_binding){protocol, first, last, receive, ctx};
    return 0;
}
