/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NAT's router: it answers ARP, forwards ports, passes large segments whole. */
#include "nettest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "net/nat.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void do_lock(void *ctx)
{
    pthread_mutex_lock(ctx);
}

static void do_unlock(void *ctx)
{
    pthread_mutex_unlock(ctx);
}

static const struct net_lock cable = {.lock = do_lock, .unlock = do_unlock, .ctx = &lock};

static void send_bytes(struct end *e, void *bytes, size_t len)
{
    struct iovec iov = {bytes, len};
    struct net_frame f = net_frame_of(&iov);
    pthread_mutex_lock(&lock);
    assert_true(net_send(&e->port, &f));
    pthread_mutex_unlock(&lock);
}

/* The frame that holds for `want`, awaited for up to 20 s; its index. */
static unsigned await(struct end *e, unsigned from, bool (*want)(const uint8_t *b, size_t len))
{
    for (unsigned i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lock);
        for (unsigned n = from; n < e->count; n++) {
            if (want(e->frames[n].bytes, e->frames[n].len)) {
                pthread_mutex_unlock(&lock);
                return n;
            }
        }
        pthread_mutex_unlock(&lock);
        poll(NULL, 0, 10);
    }
    fail_msg("no such frame");
    return 0;
}

static const uint8_t router[4] = {10, 0, 2, 2}, me[4] = {10, 0, 2, 15};
static const uint8_t my_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static void arp(uint8_t *b, unsigned op, const uint8_t *target)
{
    memset(b, 0, 60);
    memset(b, 0xff, 6);
    memcpy(b + 6, my_mac, 6);
    memcpy(b + 12, "\x08\x06\0\1\x08\0\6\4\0", 9);
    b[21] = (uint8_t)op;
    memcpy(b + 22, my_mac, 6);
    memcpy(b + 28, me, 4);
    memcpy(b + 38, target, 4);
}

static bool is_arp_reply(const uint8_t *b, size_t len)
{
    return len >= 42 && be16_get(b + 12) == 0x0806 && b[21] == 2 && !memcmp(b + 28, router, 4);
}

static bool is_syn(const uint8_t *b, size_t len)
{
    return len >= 54 && be16_get(b + 12) == 0x0800 && b[23] == 6 && (b[47] & 0x12) == 2 &&
           be16_get(b + 36) == 22;
}

static bool is_data(const uint8_t *b, size_t len)
{
    return len > 3000 && be16_get(b + 12) == 0x0800 && b[23] == 6;
}

/* A connection of the host to a forwarded port, answered by hand: a large segment comes whole. */
static void forward(void **ctx)
{
    (void)ctx;
    struct end *e = end_new();
    struct nat *nat;
    struct error err = {""};
    struct nat_config config = {.forward_count = 1};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addr_len = sizeof(addr);
    uint8_t b[64];

    /* A port that is free now. */
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&addr, &addr_len), 0);
    close(probe);
    char text[64];
    snprintf(text, sizeof(text), "tcp::%u:22", ntohs(addr.sin_port));
    assert_int_equal(nat_parse_forward(text, &config.forwards[0], &err), 0);

    assert_int_equal(nat_new(&config, &cable, &nat, &err), 0);
    struct nat *other;
    assert_true(nat_new(&config, &cable, &other, &err) < 0); /* the port is taken */
    assert_non_null(strstr(err.text, "choose another"));
    pthread_mutex_lock(&lock);
    e->port.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4;
    net_connect(&e->port, nat_port(nat));
    pthread_mutex_unlock(&lock);
    assert_int_equal(nat_start(nat, &err), 0);

    arp(b, 1, router);
    send_bytes(e, b, 60);
    unsigned n = await(e, 0, is_arp_reply);
    uint8_t router_mac[6];
    memcpy(router_mac, e->frames[n].bytes + 22, 6);

    int s = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
    /* It may ask who has 10.0.2.15 first; say so. */
    arp(b, 2, router);
    memcpy(b + 32, router_mac, 6);
    send_bytes(e, b, 60);
    n = await(e, 0, is_syn);
    const uint8_t *syn = e->frames[n].bytes;

    uint8_t reply[64] = {0};
    memcpy(reply, router_mac, 6);
    memcpy(reply + 6, my_mac, 6);
    memcpy(reply + 12, "\x08\0\x45\0\0\x2c\0\1\0\0\x40\6", 12);
    memcpy(reply + 26, me, 4);
    memcpy(reply + 30, syn + 26, 4);
    be16_put(reply + 24, offload_sum_end(offload_sum(reply + 14, 20, 0)));
    be16_put(reply + 34, 22);
    be16_put(reply + 36, be16_get(syn + 34));
    be32_put(reply + 38, 1000);
    be32_put(reply + 42, be32_get(syn + 38) + 1);
    reply[46] = 0x60;
    reply[47] = 0x12; /* SYN ACK */
    be16_put(reply + 48, 65535);
    memcpy(reply + 54, "\2\4\x05\xb4", 4); /* segments of 1460 */
    struct offload_layout l;
    assert_true(offload_parse(reply, 58, &l));
    be16_put(reply + 50,
             offload_sum_end(offload_sum(reply + 34, 24, offload_pseudo(reply, &l, 24))));
    send_bytes(e, reply, 60);

    static uint8_t data[20000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 5);
    assert_int_equal(send(s, data, sizeof(data), 0), sizeof(data));
    n = await(e, 0, is_data);
    const uint8_t *got = e->frames[n].bytes;
    assert_int_equal(e->frames[n].offload.gso, NET_GSO_TCP4);
    assert_int_equal(e->frames[n].offload.flags, NET_NEEDS_CSUM);
    assert_int_equal(e->frames[n].offload.gso_bytes, 1460);
    assert_memory_equal(got + 54, data, 3000);
    close(s);
    assert_int_equal(nat_forward_remove(nat, &config.forwards[0], &err), 0);
    assert_int_equal(nat_forward_remove(nat, &config.forwards[0], &err), -ENOENT);
    nat_free(nat);
    assert_false(net_link_up(&e->port));
    free(e);
}

static void options(void **ctx)
{
    (void)ctx;
    struct nat_forward f;
    struct error err;
    static const char *const wrong[] = {"",
                                        "tcp",
                                        "tcp:127.0.0.1:22",
                                        "tcp:127.0.0.1:0:22",
                                        "tcp:127.0.0.1:65536:22",
                                        "sctp:127.0.0.1:1:2",
                                        "tcp:localhost:1:2",
                                        "tcp:1:2:3:4:5",
                                        "tcp::1:x:2",
                                        "tcp::1:-2"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(nat_parse_forward(wrong[i], &f, &err), -EINVAL);
    assert_int_equal(nat_parse_forward("udp:0.0.0.0:5353:10.0.2.77:53", &f, &err), 0);
    assert_true(f.udp);
    assert_int_equal(f.host.s_addr, 0);
    assert_int_equal(f.host_port, 5353);
    assert_int_equal(f.guest_port, 53);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a00024d);
    assert_int_equal(nat_parse_forward("tcp::1:2", &f, &err), 0);
    assert_int_equal(ntohl(f.host.s_addr), INADDR_LOOPBACK); /* not the whole world */

    struct nat *nat;
    struct nat_config config = {.tftp = "/nonexistent/folder"};
    assert_int_equal(nat_new(&config, &cable, &nat, &err), -ENOENT);
    config = (struct nat_config){.boot_file = "pxelinux.0"};
    assert_int_equal(nat_new(&config, &cable, &nat, &err), -EINVAL);
}

/* Frames that are garbage in every place leave the router alive. */
static void garbage(void **ctx)
{
    (void)ctx;
    struct end *e = end_new();
    struct nat *nat;
    struct error err;
    struct nat_config config = {0};
    uint8_t b[1514];
    uint32_t seed = 1;

    assert_int_equal(nat_new(&config, &cable, &nat, &err), 0);
    net_connect(&e->port, nat_port(nat));
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = tcp_frame(b, i & 1, i % 1400, 2 | i >> 8);
        for (unsigned k = 0; k < 4; k++) {
            seed = seed * 1664525 + 1013904223;
            b[(seed >> 8) % 74] = (uint8_t)(seed >> 24);
        }
        e->count = 0;
        send_bytes(e, b, len - (seed % 20));
    }
    e->count = 0;
    arp(b, 1, router);
    send_bytes(e, b, 60);
    await(e, 0, is_arp_reply);
    nat_free(nat);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward), cmocka_unit_test(options),
                                       cmocka_unit_test(garbage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
