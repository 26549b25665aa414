/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_services */
/*
 * What a hostile guest sends to the servers of its network: frames as they are, and packets whose
 * headers and sums are made right so that what is behind them is reached; answers to what was asked
 * of the world; and time. Every frame that comes back must be whole, with right sums.
 *
 * Input: steps of a byte (kind, ports), a length and bytes.
 */
#include <arpa/inet.h>

#include "base/bytes.h"
#include "fuzz/fuzzinput.h"
#include "net/offload.h"
#include "services/services.h"

#define STEPS_MAX 500u

static unsigned token;

static bool forward(void *ctx, unsigned t, bool tcp, const uint8_t *query, size_t len)
{
    static uint8_t copy[2048];

    (void)ctx;
    (void)tcp;
    fuzz_require(len <= sizeof(copy));
    memcpy(copy, query, len);
    token = t;
    return len % 5 != 0;
}

static uint64_t now_s(void *ctx)
{
    return *(uint64_t *)ctx;
}

static struct {
    uint8_t bytes[NET_WIRE_BYTES];
    size_t len;
} last;

static bool far_receive(void *ctx, const struct net_frame *f)
{
    struct offload_layout l;

    (void)ctx;
    fuzz_require(f->len_bytes <= NET_MTU + NET_ETHER_BYTES);
    last.len = net_gather(f->iov, f->iov_count, 0, last.bytes, sizeof(last.bytes));
    fuzz_require(last.len == f->len_bytes);
    if (offload_parse(last.bytes, last.len, &l)) {
        size_t n = last.len - l.transport;
        uint32_t sum = offload_pseudo(last.bytes, &l, n);
        fuzz_require(offload_sum_end(offload_sum(last.bytes + l.transport, n, sum)) == 0);
    }
    return true;
}

static const struct net_port_ops far_ops = {.receive = far_receive};

static void send_frame(struct net_port *port, uint8_t *bytes, size_t len)
{
    struct iovec iov = {bytes, len};
    struct net_frame f = net_frame_of(&iov);

    (void)net_send(port, &f);
}

/* Headers around `len` bytes of an IP packet's payload. */
static size_t dress(uint8_t *f, uint8_t protocol, uint16_t from, uint16_t to, size_t len)
{
    memcpy(f, "\x02\x79\x61\x64\x6f\x01\x52\x54\0\0\0\1", 12);
    be16_put(f + 12, 0x0800);
    memset(f + 14, 0, 20);
    f[14] = 0x45;
    be16_put(f + 16, (uint16_t)(20 + len));
    f[22] = 64;
    f[23] = protocol;
    memcpy(f + 26, "\x0a\1\0\x32\x0a\1\0\1", 8);
    be16_put(f + 24, offload_sum_end(offload_sum(f + 14, 20, 0)));
    if (from) {
        be16_put(f + 34, from);
        be16_put(f + 36, to);
    }
    if (protocol == 17)
        be16_put(f + 38, (uint16_t)len);
    if (protocol == 17 || protocol == 6) {
        unsigned at = 34 + (protocol == 6 ? 16 : 6);
        uint32_t sum = offload_sum(f + 26, 8, protocol + (uint32_t)len);
        be16_put(f + at, 0);
        be16_put(f + at, offload_sum_end(offload_sum(f + 34, len, sum)));
    } else {
        be16_put(f + 36, 0);
        be16_put(f + 36, offload_sum_end(offload_sum(f + 34, len, 0)));
    }
    return 34 + len;
}

/* The same over IPv6, to the server or to all that give addresses. */
static size_t dress6(uint8_t *f, uint8_t protocol, bool group, size_t len)
{
    memcpy(f, "\x33\x33\0\0\0\1\x52\x54\0\0\0\1", 12);
    be16_put(f + 12, 0x86dd);
    memset(f + 14, 0, 40);
    f[14] = 0x60;
    be16_put(f + 18, (uint16_t)len);
    f[20] = protocol;
    f[21] = 255;
    f[22] = 0xfe;
    f[23] = 0x80;
    f[37] = 9;
    memcpy(f + 38,
           group ? "\xff\2\0\0\0\0\0\0\0\0\0\0\0\1\0\2" : "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    if (group) {
        be16_put(f + 54, 546);
        be16_put(f + 56, 547);
        be16_put(f + 58, (uint16_t)len);
    }
    be16_put(f + 56, 0);
    be16_put(f + 56, offload_sum_end(offload_sum(
                         f + 54, len, offload_sum(f + 22, 32, protocol + (uint32_t)len))));
    return 54 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t f[NET_WIRE_BYTES + 600];
    uint64_t now = 1700000000;
    struct lease_reservation reserved = {.mac = {0x52, 0x54, 0, 0, 0, 7}, .name = "db"};
    struct services_config c = {
        .ip6 = true,
        .prefix = {{{0xfd}}},
        .dhcp6 = SERVICES_DHCP6_STATEFUL,
        .dhcp = true,
        .dns = true,
        .reservations = &reserved,
        .reservation_count = 1,
        .network = {.lease_s = 3600, .renewal_s = 1800, .rebinding_s = 3000, .boot_file = "file"},
        .folder = "/usr/share/doc",
        .forward = forward,
        .now_s = now_s,
        .ctx = &now};
    struct input in = {data, size};
    struct net_port port;
    struct services *s = NULL;
    struct clock *clock;
    struct error err;

    inet_pton(AF_INET, "10.1.0.1", &c.address);
    inet_pton(AF_INET, "255.255.255.0", &c.mask);
    inet_pton(AF_INET, "10.1.0.16", &c.start);
    inet_pton(AF_INET, "10.1.0.31", &c.end);
    inet_pton(AF_INET, "10.1.0.20", &reserved.address);
    fuzz_require(clock_new_manual(&clock) == 0 && services_new(&c, clock, &s, &err) == 0);
    net_port_init(&port, &far_ops, NULL);
    net_connect(&port, services_port(s));
    for (unsigned step = 0; in.left && step < STEPS_MAX; step++) {
        unsigned what = (unsigned)input_get(&in, 1);
        size_t len = input_get(&in, 2) % 600, i;
        static const uint16_t ports[] = {67, 53, 69, 80};

        memset(f, 0, sizeof(f));
        for (i = 0; i < len && in.left; i++)
            f[54 + i] = (uint8_t)input_get(&in, 1);
        switch (what & 7) {
        case 0:
            send_frame(&port, f + 54, len);
            break;
        case 1: /* UDP to one of the servers; a DHCP message speaks for its sender */
        case 2:
            memmove(f + 42, f + 54, len);
            if ((what >> 3 & 3) == 0 && len >= 240) {
                memcpy(f + 42, "\1\1\6\0", 4);
                memset(f + 42 + 24, 0, 4);
                memcpy(f + 42 + 28, "\x52\x54\0\0\0\1", 6);
                be32_put(f + 42 + 236, 0x63825363);
            }
            send_frame(&port, f, dress(f, 17, 1000, ports[what >> 3 & 3], 8 + len));
            break;
        case 3: /* to the port that has spoken last, as TFTP's transfers are */
            memmove(f + 42, f + 54, len);
            send_frame(&port, f, dress(f, 17, 1000, be16_get(last.bytes + 34), 8 + len));
            break;
        case 4: /* TCP that follows what was said last */
            memmove(f + 54, f + 54, len);
            be32_put(f + 38, what & 8 ? be32_get(last.bytes + 42) : (uint32_t)len);
            be32_put(f + 42, be32_get(last.bytes + 38) + (what & 16 ? 1 : 0));
            f[46] = 0x50;
            f[47] = (uint8_t[]){2, 4, 17, 16}[what >> 5 & 3];
            be16_put(f + 48, 0xffff);
            send_frame(&port, f, dress(f, 6, 1000, what >> 7 ? 53 : 80, 20 + len));
            break;
        case 5:
            send_frame(&port, f, dress6(f, what & 8 ? 58 : 17, what & 16, len < 8 ? 8 : len));
            break;
        case 6:
            services_dns_answer(s, token, f + 54, len);
            break;
        default:
            now += what;
            clock_advance(clock, (uint64_t)what << 26);
        }
    }
    net_disconnect(&port);
    services_free(s);
    clock_free(clock);
    return 0;
}
