/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small host's IPv6: RFC 4861 (neighbours, router advertisements), RFC 4862 (addresses that
 * guests make up from the prefix), RFC 8106 (name server and domain in advertisements), RFC 4443
 * (echo). It advertises a prefix and a name server, never itself as a way out.
 */
#include "base/bytes.h"
#include "net/offload.h"
#include "services/stack_priv.h"

enum {
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ROUTER_SOLICIT = 133,
    ROUTER_ADVERT = 134,
    NEIGHBOR_SOLICIT = 135,
    NEIGHBOR_ADVERT = 136,
};
enum {
    OPTION_SOURCE_LINK = 1,
    OPTION_TARGET_LINK = 2,
    OPTION_PREFIX = 3,
    OPTION_MTU = 5,
    OPTION_RDNSS = 25,
    OPTION_DNSSL = 31,
};
enum { IP6_BYTES = 40, HOP_LIMIT_ND = 255, TTL = 64 };

/* RFC 4861, 6.2.1 and 10: the first few soon, then seldom; a lifetime outlasts several. */
#define FIRST_COUNT 3u
#define FIRST_NS (16 * NS_PER_SEC)
#define INTERVAL_NS (200 * NS_PER_SEC)
#define VALID_S 86400u
#define PREFERRED_S 14400u
#define NAMES_S 1800u

static const struct in6_addr all_nodes = {{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
static const struct in6_addr all_routers = {
    {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}};
/* RFC 8415, 7.1 */
static const struct in6_addr all_dhcp = {{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2}}};

static bool same(const void *a, const struct in6_addr *b)
{
    return !memcmp(a, b, sizeof(*b));
}

static void send_icmp6(struct stack *s, const struct stack_peer *peer, uint8_t hop_limit,
                       uint8_t *message, size_t len)
{
    be16_put(message + 2, 0);
    be16_put(message + 2,
             offload_sum_end(offload_sum(message, len, stack_pseudo(peer, IPPROTO_ICMPV6, len))));
    stack_send_ip(s, peer, IPPROTO_ICMPV6, hop_limit, message, len);
}

/* ---- advertisements ---- */

size_t stack_put_domain(uint8_t *to, size_t room, const char *domain)
{
    size_t at = 0;

    while (*domain) {
        size_t label = strcspn(domain, ".");

        if (!label || label > 63 || at + label + 2 > room)
            return 0;
        to[at] = (uint8_t)label;
        memcpy(to + at + 1, domain, label);
        at += label + 1;
        domain += label + (domain[label] == '.');
    }
    to[at++] = 0;
    return at;
}

static size_t put_names(struct stack *s, uint8_t *o)
{
    size_t at = 24, domain;

    memset(o, 0, 24 + 8 + 256);
    o[0] = OPTION_RDNSS;
    o[1] = 3;
    be32_put(o + 4, NAMES_S);
    memcpy(o + 8, &s->global, 16);
    domain = s->config.domain ? stack_put_domain(o + at + 8, 248, s->config.domain) : 0;
    if (!domain)
        return at;
    domain = align_up(8 + domain, 8);
    o[at] = OPTION_DNSSL;
    o[at + 1] = (uint8_t)(domain / 8);
    be32_put(o + at + 4, NAMES_S);
    return at + domain;
}

static void advertise(struct stack *s, const struct stack_peer *to)
{
    uint8_t m[512] = {ROUTER_ADVERT, 0, 0, 0, TTL};
    bool managed = s->config.managed;
    size_t at = 16; /* router lifetime 0: no way out; the other times are not specified */

    m[5] = (uint8_t)((managed ? 0x80 : 0) | (s->config.other ? 0x40 : 0)); /* 4.2 */
    m[at] = OPTION_SOURCE_LINK;
    m[at + 1] = 1;
    memcpy(m + at + 2, s->config.mac, NET_MAC_BYTES);
    at += 8;
    m[at] = OPTION_MTU;
    m[at + 1] = 1;
    be32_put(m + at + 4, NET_MTU);
    at += 8;
    m[at] = OPTION_PREFIX;
    m[at + 1] = 4;
    m[at + 2] = 64;
    m[at + 3] = managed ? 0x80 : 0xc0; /* on this link; addresses that guests make up */
    be32_put(m + at + 4, VALID_S);
    be32_put(m + at + 8, PREFERRED_S);
    memcpy(m + at + 16, &s->config.prefix, 8);
    at += 32;
    if (s->config.name_server)
        at += put_names(s, m + at);
    send_icmp6(s, to, HOP_LIMIT_ND, m, at);
}

static struct stack_peer everybody(const struct stack *s)
{
    return (struct stack_peer){
        .mac = {0x33, 0x33, 0, 0, 0, 1}, .ip6 = true, .addr = all_nodes, .own = s->link_local};
}

static void advertise_all(void *ctx)
{
    struct stack *s = ctx;
    struct stack_peer to = everybody(s);

    advertise(s, &to);
    s->advertised += s->advertised < FIRST_COUNT;
    timer_set(&s->advertise,
              clock_now_ns(s->clock) + (s->advertised < FIRST_COUNT ? FIRST_NS : INTERVAL_NS));
}

/* ---- receiving ---- */

/* RFC 4861, 7.1: all options have a length. */
static bool options_hold(const uint8_t *o, size_t len)
{
    for (size_t at = 0; at < len;) {
        if (len - at < 8 || !o[at + 1] || o[at + 1] * 8u > len - at)
            return false;
        at += o[at + 1] * 8u;
    }
    return true;
}

static void neighbor_solicited(struct stack *s, struct stack_peer *peer, const uint8_t *data,
                               size_t len)
{
    uint8_t m[32] = {NEIGHBOR_ADVERT};
    bool nobody = same(&in6addr_any, &peer->addr);

    if (len < 24 || !options_hold(data + 24, len - 24) ||
        (!same(data + 8, &s->link_local) && !same(data + 8, &s->global)))
        return;
    memcpy(&peer->own, data + 8, 16);
    /* 7.2.4: who has no address yet looks for one that is free; everybody is told. */
    if (nobody) {
        *peer = everybody(s);
        memcpy(&peer->own, data + 8, 16);
    }
    m[4] = nobody ? 0x20 : 0x60; /* override, solicited */
    memcpy(m + 8, data + 8, 16);
    m[24] = OPTION_TARGET_LINK;
    m[25] = 1;
    memcpy(m + 26, s->config.mac, NET_MAC_BYTES);
    send_icmp6(s, peer, HOP_LIMIT_ND, m, sizeof(m));
}

static void receive_icmp6(struct stack *s, struct stack_peer *peer, uint8_t hop_limit,
                          const uint8_t *data, size_t len)
{
    uint8_t reply[NET_MTU];

    if (len < 8 || offload_sum_end(offload_sum(data, len, stack_pseudo(peer, IPPROTO_ICMPV6, len))))
        return;
    if (data[0] == NEIGHBOR_SOLICIT && hop_limit == HOP_LIMIT_ND) {
        neighbor_solicited(s, peer, data, len);
    } else if (data[0] == ROUTER_SOLICIT && hop_limit == HOP_LIMIT_ND &&
               options_hold(data + 8, len - 8)) {
        struct stack_peer to = *peer;

        if (same(&in6addr_any, &peer->addr))
            to = everybody(s);
        to.own = s->link_local;
        advertise(s, &to);
    } else if (data[0] == ICMP6_ECHO && len <= NET_MTU - IP6_BYTES &&
               peer->own.s6_addr[0] != 0xff) {
        memcpy(reply, data, len);
        reply[0] = ICMP6_ECHO_REPLY;
        send_icmp6(s, peer, TTL, reply, len);
    }
}

/* RFC 4291, 2.7.1: the group in which an address is looked for. */
static bool is_solicited_node(const uint8_t *dst, const struct in6_addr *own)
{
    static const uint8_t group[13] = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};

    return !memcmp(dst, group, sizeof(group)) && !memcmp(dst + 13, own->s6_addr + 13, 3);
}

void stack_ip6_receive(struct stack *s, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + NET_ETHER_BYTES, *dst = ip + 24;
    struct stack_peer peer = {.ip6 = true};
    bool own;
    size_t payload;

    if (len < NET_ETHER_BYTES + IP6_BYTES || ip[0] >> 4 != 6 || ip[8] == 0xff)
        return;
    payload = be16_get(ip + 4);
    if (payload > len - NET_ETHER_BYTES - IP6_BYTES)
        return;
    own = same(dst, &s->link_local) || same(dst, &s->global);
    peer.group = same(dst, &all_dhcp);
    if (!own && !peer.group && !same(dst, &all_nodes) && !same(dst, &all_routers) &&
        !is_solicited_node(dst, &s->link_local) && !is_solicited_node(dst, &s->global))
        return;
    memcpy(peer.mac, frame + 6, NET_MAC_BYTES);
    memcpy(&peer.addr, ip + 8, 16);
    memcpy(&peer.own, dst, 16);
    if (ip[6] == IPPROTO_ICMPV6)
        receive_icmp6(s, &peer, ip[7], ip + IP6_BYTES, payload);
    else if ((own || (peer.group && ip[6] == IPPROTO_UDP)) &&
             (ip[6] == IPPROTO_UDP || ip[6] == IPPROTO_TCP) && !same(&in6addr_any, &peer.addr))
        stack_transport(s, &peer, ip[6], ip + IP6_BYTES, payload);
}

void stack_ip6_start(struct stack *s)
{
    uint8_t *a = s->link_local.s6_addr;
    const uint8_t *mac = s->config.mac;

    timer_init(&s->advertise, s->clock, advertise_all, s);
    if (!s->config.ip6)
        return;
    /* RFC 4291, appendix A. */
    a[0] = 0xfe;
    a[1] = 0x80;
    memcpy(a + 8, mac, 3);
    a[8] ^= 2;
    a[11] = 0xff;
    a[12] = 0xfe;
    memcpy(a + 13, mac + 3, 3);
    memcpy(&s->global, &s->config.prefix, 8);
    s->global.s6_addr[15] = 1;
    timer_set(&s->advertise, clock_now_ns(s->clock) + NS_PER_SEC);
}
