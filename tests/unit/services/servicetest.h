/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the services share: a guest at the far end of the cable, with packets of its
 * own, and a clock that is turned by hand.
 */
#ifndef TESTS_UNIT_SERVICES_SERVICETEST_H
#define TESTS_UNIT_SERVICES_SERVICETEST_H

#include "../net/nettest.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "services/services.h"

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0, 0, 1};

struct world {
    struct clock *clock;
    struct services *services;
    struct end *end;
    uint64_t now_s;
};

static inline uint64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now_s;
}

static inline struct in_addr ip4(const char *text)
{
    struct in_addr a;
    assert_int_equal(inet_pton(AF_INET, text, &a), 1);
    return a;
}

/* 10.1.0.0/24: the servers at .1, leases from .16 to .31. */
static inline struct services_config world_config(struct world *w)
{
    return (struct services_config){
        .address = ip4("10.1.0.1"),
        .mask = ip4("255.255.255.0"),
        .dhcp = true,
        .dns = true,
        .start = ip4("10.1.0.16"),
        .end = ip4("10.1.0.31"),
        .network = {.lease_s = 3600, .renewal_s = 1800, .rebinding_s = 3000},
        .now_s = world_now,
        .ctx = w,
    };
}

static inline void world_start(struct world *w, const struct services_config *c)
{
    struct error err = {""};
    if (!w->clock)
        assert_int_equal(clock_new_manual(&w->clock), 0);
    w->now_s = w->now_s ? w->now_s : 1700000000;
    if (services_new(c, w->clock, &w->services, &err) < 0)
        fail_msg("%s", err.text);
    w->end = end_new();
    net_connect(&w->end->port, services_port(w->services));
}

static inline void world_stop(struct world *w)
{
    services_free(w->services);
    assert_false(net_link_up(&w->end->port));
    free(w->end);
}

static inline void world_done(struct world *w)
{
    world_stop(w);
    clock_free(w->clock);
}

/* ARP packets that came are none of what is looked at; how many there were. */
static inline unsigned drop_arp(struct world *w)
{
    unsigned kept = 0, count = w->end->count;
    for (unsigned i = 0; i < count; i++)
        if (be16_get(w->end->frames[i].bytes + 12) != 0x0806)
            w->end->frames[kept++] = w->end->frames[i];
    w->end->count = kept;
    return count - kept;
}

static inline void send_bytes(struct world *w, const void *bytes, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct net_frame f = net_frame_of(&iov);
    assert_true(net_send(&w->end->port, &f));
}

/* An IPv4 packet from the guest, with right sums. */
static inline void send_ip4(struct world *w, const uint8_t *mac, const char *from, const char *to,
                            uint8_t protocol, const void *data, size_t len)
{
    uint8_t f[1600] = {0};
    struct in_addr a = ip4(from), b = ip4(to);
    memset(f, 0xff, 6);
    memcpy(f + 6, mac, 6);
    be16_put(f + 12, 0x0800);
    f[14] = 0x45;
    be16_put(f + 16, (uint16_t)(20 + len));
    f[22] = 64;
    f[23] = protocol;
    memcpy(f + 26, &a, 4);
    memcpy(f + 30, &b, 4);
    be16_put(f + 24, offload_sum_end(offload_sum(f + 14, 20, 0)));
    memcpy(f + 34, data, len);
    if (protocol == 6 || protocol == 17) {
        unsigned at = 34 + (protocol == 6 ? 16 : 6);
        be16_put(f + at, 0);
        be16_put(f + at, offload_sum_end(offload_sum(
                             f + 34, len, offload_sum(f + 26, 8, protocol + (uint32_t)len))));
    }
    send_bytes(w, f, 34 + len);
}

static inline void send_udp(struct world *w, const uint8_t *mac, const char *from, uint16_t port,
                            const char *to, uint16_t to_port, const void *data, size_t len)
{
    uint8_t p[1600];
    be16_put(p, port);
    be16_put(p + 2, to_port);
    be16_put(p + 4, (uint16_t)(8 + len));
    memcpy(p + 8, data, len);
    send_ip4(w, mac, from, to, 17, p, 8 + len);
}

/* The i-th frame that came: the data of its UDP packet, with right sums; NULL: it is none. */
static inline const uint8_t *udp_of(struct world *w, unsigned i, size_t *ret_len,
                                    uint16_t *ret_from)
{
    const uint8_t *b = w->end->frames[i].bytes;
    size_t len = w->end->frames[i].len;
    assert_true(i < w->end->count);
    *ret_len = *ret_from = 0;
    if (be16_get(b + 12) != 0x0800 || b[23] != 17)
        return NULL;
    assert_true(sums_right(b, len));
    *ret_len = be16_get(b + 38) - 8u;
    *ret_from = be16_get(b + 34);
    return b + 42;
}

/* A question of DNS, number 0x1234; its length. */
static inline size_t question(uint8_t *m, const char *name, uint16_t type)
{
    size_t at = 12;

    memset(m, 0, 12);
    be16_put(m, 0x1234);
    be16_put(m + 2, 0x0100);
    be16_put(m + 4, 1);
    while (*name) {
        size_t n = strcspn(name, ".");
        m[at] = (uint8_t)n;
        memcpy(m + at + 1, name, n);
        at += n + 1;
        name += n + (name[n] == '.');
    }
    m[at++] = 0;
    be16_put(m + at, type);
    be16_put(m + at + 2, 1);
    return at + 4;
}

#endif
