/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the net room share: a plug that remembers what came, and frames.
 */
#ifndef TESTS_UNIT_NET_NETTEST_H
#define TESTS_UNIT_NET_NETTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "net/offload.h"

#define ENDS_FRAMES 64u

struct end {
    struct net_port port;
    unsigned count, room, readies;
    int links; /* ups less downs */
    struct {
        uint8_t bytes[NET_FRAME_MAX];
        size_t len;
        struct net_offload offload;
    } frames[ENDS_FRAMES];
};

static inline bool end_receive(void *ctx, const struct net_frame *f)
{
    struct end *e = ctx;
    if (!e->room || e->count == ENDS_FRAMES)
        return false;
    e->room--;
    e->frames[e->count].len =
        net_gather(f->iov, f->iov_count, 0, e->frames[e->count].bytes, NET_FRAME_MAX);
    assert_int_equal(e->frames[e->count].len, f->len_bytes);
    e->frames[e->count++].offload = f->offload;
    return true;
}

static inline void end_ready(void *ctx)
{
    ((struct end *)ctx)->readies++;
}

static inline void end_link(void *ctx, bool up)
{
    ((struct end *)ctx)->links += up ? 1 : -1;
}

static const struct net_port_ops end_ops = {
    .receive = end_receive, .ready = end_ready, .link = end_link};

static inline struct end *end_new(void)
{
    struct end *e = calloc(1, sizeof(*e));
    assert_non_null(e);
    net_port_init(&e->port, &end_ops, e);
    e->room = 1000;
    return e;
}

/* A TCP packet of `payload` bytes over IPv4 or IPv6; its length. Checksums are left out. */
static inline size_t tcp_frame(uint8_t *b, bool ip6, size_t payload, unsigned flags)
{
    unsigned ip = ip6 ? 40 : 20;
    memset(b, 0, 14 + ip + 20);
    memcpy(b, "\x52\x54\0\0\0\1\x52\x54\0\0\0\2", 12);
    be16_put(b + 12, ip6 ? 0x86dd : 0x0800);
    if (ip6) {
        b[14] = 0x60;
        be16_put(b + 18, (uint16_t)(20 + payload));
        b[20] = 6;
        memset(b + 22, 0x11, 16);
        memset(b + 38, 0x22, 16);
    } else {
        b[14] = 0x45;
        be16_put(b + 16, (uint16_t)(40 + payload));
        be16_put(b + 18, 0x1234);
        b[22] = 64;
        b[23] = 6;
        memcpy(b + 26, "\x0a\0\2\x0f\x0a\0\2\2", 8);
    }
    uint8_t *tcp = b + 14 + ip;
    be16_put(tcp, 1000);
    be16_put(tcp + 2, 2000);
    be32_put(tcp + 4, 0xfffff000);
    tcp[12] = 0x50;
    tcp[13] = (uint8_t)flags;
    for (size_t i = 0; i < payload; i++)
        tcp[20 + i] = (uint8_t)(i * 7 + i / 256);
    return 14 + ip + 20 + payload;
}

/* Are the sums of a TCP packet right? */
static inline bool sums_right(const uint8_t *b, size_t len)
{
    struct offload_layout l;
    if (!offload_parse(b, len, &l))
        return false;
    if (l.ethertype == 0x0800 && offload_sum_end(offload_sum(b + l.ip, l.transport - l.ip, 0)))
        return false;
    uint32_t sum = offload_pseudo(b, &l, len - l.transport);
    return offload_sum_end(offload_sum(b + l.transport, len - l.transport, sum)) == 0;
}

#endif
