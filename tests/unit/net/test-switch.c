/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The switch: who gets which frame, who may send what, and what a flood costs others. */
#include "nettest.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/switch.h"

#define PORTS 4u

struct world {
    struct clock *clock;
    struct net_switch *sw;
    struct end *ends[PORTS];
    struct switch_port *ports[PORTS];
};

static struct switch_config config_of(unsigned n)
{
    struct switch_config c = {.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)(n + 1)}};
    snprintf(c.name, sizeof(c.name), "port %u", n);
    return c;
}

static void world_new(struct world *w)
{
    assert_int_equal(clock_new_manual(&w->clock), 0);
    assert_int_equal(switch_new(w->clock, &w->sw), 0);
    for (unsigned i = 0; i < PORTS; i++) {
        struct switch_config c = config_of(i);
        w->ends[i] = end_new();
        assert_int_equal(switch_port_add(w->sw, &c, &w->ports[i]), 0);
        net_connect(&w->ends[i]->port, switch_port_plug(w->ports[i]));
    }
}

static void world_done(struct world *w)
{
    switch_free(w->sw);
    for (unsigned i = 0; i < PORTS; i++) {
        assert_false(net_link_up(&w->ends[i]->port));
        free(w->ends[i]);
    }
    clock_free(w->clock);
}

static void clear(struct world *w)
{
    for (unsigned i = 0; i < PORTS; i++)
        w->ends[i]->count = 0;
}

#define EVERYBODY 0xff

/* From port to port; with a tag if vlan ≥ 0. True: the switch took it. */
static bool send_frame(struct world *w, unsigned from, unsigned to, int vlan, size_t len)
{
    static uint8_t b[2048];
    struct iovec iov[2] = {{b, 9}, {b + 9, len - 9}};
    struct net_frame f = {.iov = iov, .iov_count = 2, .len_bytes = len};
    memset(b, 0x77, sizeof(b));
    memcpy(b, "\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0", 11);
    if (to != EVERYBODY) {
        memcpy(b, "\x52\x54\0\0\0", 5);
        b[5] = (uint8_t)(to + 1);
    }
    b[11] = (uint8_t)(from + 1);
    be16_put(b + 12, 0x88b5);
    if (vlan >= 0) {
        be16_put(b + 12, 0x8100);
        be16_put(b + 14, (uint16_t)vlan);
        be16_put(b + 16, 0x88b5);
    }
    return net_send(&w->ends[from]->port, &f);
}

static unsigned counts(const struct world *w)
{
    unsigned v = 0;
    for (unsigned i = 0; i < PORTS; i++)
        v = v * 10 + w->ends[i]->count;
    return v;
}

static void learning(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    assert_true(send_frame(&w, 0, 1, -1, 60)); /* not known yet: to all others */
    assert_int_equal(counts(&w), 111);
    clear(&w);
    send_frame(&w, 1, 0, -1, 60);
    assert_int_equal(counts(&w), 1000);
    send_frame(&w, 0, 1, -1, 60);
    assert_int_equal(counts(&w), 1100);
    send_frame(&w, 0, EVERYBODY, -1, 60);
    assert_int_equal(counts(&w), 1211);
    assert_int_equal(switch_addresses(w.sw), 2);
    clear(&w);
    send_frame(&w, 1, 1, -1, 60); /* to itself: goes nowhere */
    assert_int_equal(counts(&w), 0);
    clock_advance(w.clock, SWITCH_AGE_NS + 1);
    assert_int_equal(switch_addresses(w.sw), 0);
    send_frame(&w, 0, 1, -1, 60);
    assert_int_equal(counts(&w), 111);
    /* What is for switches alone stays here. */
    uint8_t b[60] = {0x01, 0x80, 0xc2, 0, 0, 0x0e, 0x52, 0x54, 0, 0, 0, 1};
    struct iovec iov = {b, sizeof(b)};
    struct net_frame f = net_frame_of(&iov);
    clear(&w);
    assert_true(net_send(&w.ends[0]->port, &f));
    assert_int_equal(counts(&w), 0);
    /* Adapters that move take their address along. */
    struct switch_config any = config_of(3);
    any.any_source = true;
    assert_int_equal(switch_port_configure(w.ports[3], &any), 0);
    send_frame(&w, 1, EVERYBODY, -1, 60);
    memcpy(b, "\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0\2", 12);
    assert_true(net_send(&w.ends[3]->port, &f));
    clear(&w);
    send_frame(&w, 0, 1, -1, 60);
    assert_int_equal(counts(&w), 1);
    switch_port_remove(w.ports[3]);
    clear(&w);
    send_frame(&w, 0, 1, -1, 60);
    assert_int_equal(counts(&w), 110);
    world_done(&w);
}

static void spoofing(void **ctx)
{
    (void)ctx;
    struct world w;
    struct switch_counters c;
    uint8_t b[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 2};
    struct iovec iov = {b, sizeof(b)};
    struct net_frame f = net_frame_of(&iov);
    world_new(&w);
    assert_true(net_send(&w.ends[0]->port, &f)); /* with another's address */
    b[6] = 0x53;
    assert_true(net_send(&w.ends[0]->port, &f)); /* with a group's */
    assert_int_equal(counts(&w), 0);
    switch_port_counters(w.ports[0], &c);
    assert_int_equal(c.spoofed, 2);
    assert_int_equal(c.in.drops, 2);
    assert_int_equal(switch_addresses(w.sw), 0);
    /* A port that may: a flood of addresses costs no memory, and others stay reachable or are
     * found by flooding. */
    struct switch_config any = config_of(0);
    any.any_source = true;
    assert_int_equal(switch_port_configure(w.ports[0], &any), 0);
    send_frame(&w, 1, EVERYBODY, -1, 60);
    for (unsigned i = 0; i < 20000; i++) {
        w.ends[1]->count = w.ends[2]->count = w.ends[3]->count = 0;
        b[6] = 0x02;
        le32_put(b + 7, i);
        assert_true(net_send(&w.ends[0]->port, &f));
    }
    assert_true(switch_addresses(w.sw) <= 8192);
    for (unsigned i = 0; i < PORTS; i++)
        w.ends[i]->room = 1000;
    clear(&w);
    send_frame(&w, 2, 1, -1, 60);
    assert_int_equal(w.ends[1]->count, 1);
    /* Promiscuous ports hear all. */
    struct switch_config prom = config_of(3);
    prom.promiscuous = true;
    assert_int_equal(switch_port_configure(w.ports[3], &prom), 0);
    send_frame(&w, 1, EVERYBODY, -1, 60);
    clear(&w);
    send_frame(&w, 2, 1, -1, 60);
    assert_int_equal(counts(&w), 101);
    world_done(&w);
}

static void vlans(void **ctx)
{
    (void)ctx;
    struct world w;
    struct switch_counters c;
    struct switch_config a = config_of(0), b = config_of(1), trunk = config_of(2);
    world_new(&w);
    a.vlan = b.vlan = 10;
    trunk.trunk = true;
    trunk.vlan = 1;
    trunk.vlans[10 / 8] |= 1 << 10 % 8;
    trunk.vlans[20 / 8] |= 1 << 20 % 8;
    assert_int_equal(switch_port_configure(w.ports[0], &a), 0);
    assert_int_equal(switch_port_configure(w.ports[1], &b), 0);
    assert_int_equal(switch_port_configure(w.ports[2], &trunk), 0);
    /* Ports 0 and 1 are in 10, the trunk carries 10 and 20, port 3 is in none. */
    send_frame(&w, 0, EVERYBODY, -1, 60);
    assert_int_equal(counts(&w), 110);
    const uint8_t *got = w.ends[2]->frames[0].bytes;
    assert_int_equal(be32_get(got + 12), 0x8100000a);
    assert_int_equal(be16_get(got + 16), 0x88b5);
    assert_int_equal(w.ends[2]->frames[0].len, 64);
    assert_int_equal(w.ends[1]->frames[0].len, 60);
    clear(&w);
    send_frame(&w, 2, EVERYBODY, 10 | 0xa000, 64); /* with a priority */
    assert_int_equal(counts(&w), 1100);
    assert_int_equal(w.ends[0]->frames[0].len, 60);
    assert_int_equal(be16_get(w.ends[0]->frames[0].bytes + 12), 0x88b5);
    clear(&w);
    send_frame(&w, 2, EVERYBODY, 20, 64); /* nobody is in it */
    send_frame(&w, 2, EVERYBODY, 30, 64); /* the trunk itself is not */
    send_frame(&w, 2, EVERYBODY, 4095, 64);
    send_frame(&w, 2, EVERYBODY, -1, 64);
    send_frame(&w, 0, EVERYBODY, 10, 64); /* an access port sends no tags, hopping is refused */
    send_frame(&w, 0, EVERYBODY, 20, 64);
    assert_int_equal(counts(&w), 0);
    switch_port_counters(w.ports[0], &c);
    assert_int_equal(c.vlan_drops, 2);
    switch_port_counters(w.ports[2], &c);
    assert_int_equal(c.vlan_drops, 2);
    send_frame(&w, 0, EVERYBODY, 0x6000, 64); /* a priority without VLAN */
    assert_int_equal(counts(&w), 110);
    assert_int_equal(w.ends[1]->frames[0].len, 60);
    assert_int_equal(be32_get(w.ends[2]->frames[0].bytes + 12), 0x8100600a);
    /* An address known in one VLAN is not in another. */
    clear(&w);
    send_frame(&w, 0, 2, -1, 60);
    assert_int_equal(counts(&w), 10);
    send_frame(&w, 3, 0, -1, 60);
    assert_int_equal(w.ends[0]->count, 0);
    a.vlan = 4095;
    assert_int_equal(switch_port_configure(w.ports[0], &a), -EINVAL);

    /* A large segment keeps its offload header when a tag is put in. */
    static uint8_t large[9000];
    size_t len = tcp_frame(large, false, 8000, 0x10);
    memcpy(large, "\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0\1", 12);
    struct iovec iov = {large, len};
    struct net_frame f = net_frame_of(&iov);
    f.offload = (struct net_offload){.flags = NET_NEEDS_CSUM,
                                     .gso = NET_GSO_TCP4,
                                     .header = 54,
                                     .gso_bytes = 1400,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    w.ends[2]->port.accepts = ~0u;
    clear(&w);
    assert_true(net_send(&w.ends[0]->port, &f));
    assert_int_equal(w.ends[2]->frames[0].offload.csum_start, 38);
    assert_int_equal(w.ends[2]->frames[0].len, len + 4);
    assert_int_equal(w.ends[1]->count, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_true(sums_right(w.ends[1]->frames[i].bytes, w.ends[1]->frames[i].len));
    world_done(&w);
}

/* A slow port loses frames, a fast one does not; a rate is kept. */
static void limits(void **ctx)
{
    (void)ctx;
    struct world w;
    struct switch_counters c;
    struct switch_config slow = config_of(0);
    world_new(&w);
    w.ends[1]->room = 3;
    for (unsigned i = 0; i < 10; i++)
        assert_true(send_frame(&w, 0, EVERYBODY, -1, 100));
    assert_int_equal(w.ends[1]->count, 3);
    assert_int_equal(w.ends[2]->count, 10);
    switch_port_counters(w.ports[1], &c);
    assert_int_equal(c.full_drops, 7);
    assert_int_equal(c.out.frames, 3);
    assert_int_equal(c.out.bytes, 300);
    switch_port_counters(w.ports[0], &c);
    assert_int_equal(c.in.frames, 10);

    slow.rate_bytes = 1000000;
    assert_int_equal(switch_port_configure(w.ports[0], &slow), 0);
    uint64_t sent = 0;
    for (unsigned ms = 0; ms < 2000; ms++) {
        while (send_frame(&w, 0, EVERYBODY, -1, 1000))
            sent += 1000;
        w.ends[2]->count = w.ends[3]->count = w.ends[1]->count = 0;
        w.ends[2]->room = w.ends[3]->room = 1000;
        clock_advance(w.clock, 1000000);
    }
    assert_true(w.ends[0]->readies > 1000); /* it waits, and is told when it may go on */
    assert_true(sent > 2000000 && sent < 2000000 + 150000);
    world_done(&w);
}

static void captures(void **ctx)
{
    (void)ctx;
    struct world w;
    struct pcapng *file;
    int fd = memfd_create("capture", MFD_CLOEXEC);
    static uint8_t b[65536];
    world_new(&w);
    assert_int_equal(pcapng_new(dup(fd), 4096, 0, &file), 0);
    switch_capture(w.sw, NULL, file);
    for (unsigned i = 0; i < 40; i++)
        send_frame(&w, 0, EVERYBODY, -1, 61);
    switch_capture(w.sw, w.ports[1], NULL);
    send_frame(&w, 0, EVERYBODY, -1, 61);
    assert_true(pcapng_missed(file) > 100);
    pcapng_free(file);
    /* Every block says its length at both ends; no block is cut off. */
    ssize_t len = pread(fd, b, sizeof(b), 0);
    assert_true(len > 3000 && len <= 4096);
    unsigned interfaces = 0, packets = 0;
    for (ssize_t at = 0; at < len;) {
        uint32_t n = le32_get(b + at + 4);
        assert_true(n >= 12 && n % 4 == 0 && at + (ssize_t)n <= len);
        assert_int_equal(le32_get(b + at + n - 4), n);
        switch (le32_get(b + at)) {
        case 0x0a0d0d0a:
            assert_int_equal(at, 0);
            break;
        case 1:
            assert_int_equal(le16_get(b + at + 8), 1);
            assert_memory_equal(b + at + 20, "port ", 5);
            interfaces++;
            break;
        case 6:
            assert_true(le32_get(b + at + 8) < interfaces);
            assert_int_equal(le32_get(b + at + 20), 61);
            assert_memory_equal(b + at + 28, "\xff\xff\xff\xff\xff\xff\x52\x54\0\0\0\1\x88\xb5",
                                14);
            packets++;
            break;
        default:
            fail_msg("no such block");
        }
        at += n;
    }
    assert_int_equal(interfaces, 4);
    assert_true(packets > 20);
    close(fd);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(learning), cmocka_unit_test(spoofing),
                                       cmocka_unit_test(vlans), cmocka_unit_test(limits),
                                       cmocka_unit_test(captures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
