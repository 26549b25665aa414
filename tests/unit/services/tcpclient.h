/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's end of TCP, which loses what it likes.
 */
#ifndef TESTS_UNIT_SERVICES_TCPCLIENT_H
#define TESTS_UNIT_SERVICES_TCPCLIENT_H

#include "servicetest.h"

struct client {
    struct world *w;
    uint16_t port, to;
    uint32_t next, expected; /* ours, theirs */
    uint8_t got[80000];
    size_t len;
    bool fin, reset;
    unsigned lose; /* each so many'th segment with data; 0: none */
    unsigned seen;
};

static inline void tcp_send(struct client *c, unsigned flags, uint32_t ack, const void *data,
                            size_t len)
{
    uint8_t s[1600] = {0};

    be16_put(s, c->port);
    be16_put(s + 2, c->to);
    be32_put(s + 4, c->next);
    be32_put(s + 8, ack);
    s[12] = 0x50;
    s[13] = (uint8_t)flags;
    be16_put(s + 14, 60000);
    memcpy(s + 20, data, len);
    send_ip4(c->w, guest_mac, "10.1.0.50", "10.1.0.1", 6, s, 20 + len);
}

/* What has come is taken in, acknowledged, until nothing more comes. */
static inline void tcp_take(struct client *c)
{
    static struct end copy;

    while (c->w->end->count) {
        unsigned count = c->w->end->count;

        memcpy(&copy, c->w->end, sizeof(copy));
        c->w->end->count = 0;
        for (unsigned i = 0; i < count; i++) {
            const uint8_t *b = copy.frames[i].bytes, *s = b + 34;
            size_t len = be16_get(b + 16) - 20u - (s[12] >> 4) * 4u;
            const uint8_t *data = s + (s[12] >> 4) * 4;

            assert_true(sums_right(b, copy.frames[i].len));
            c->reset |= (s[13] & 4) != 0;
            if (s[13] & 2)
                c->expected = be32_get(s + 4) + 1;
            else if (len && c->lose && ++c->seen % c->lose == 0)
                continue;
            else if (be32_get(s + 4) == c->expected && !c->fin) {
                assert_true(c->len + len <= sizeof(c->got));
                memcpy(c->got + c->len, data, len);
                c->len += len;
                c->expected += (uint32_t)len + (s[13] & 1);
                c->fin |= s[13] & 1;
            }
            if (len || s[13] & 3)
                tcp_send(c, 16, c->expected, "", 0);
        }
    }
}

static inline void tcp_open(struct client *c)
{
    c->next = 1000;
    c->w->end->count = 0;
    c->w->end->room = 1000000;
    tcp_send(c, 2, 0, "", 0);
    assert_int_equal(c->w->end->count, 1);
    c->next++;
    tcp_take(c);
}

#endif
