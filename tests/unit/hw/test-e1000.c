/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 82540EM as its driver sees it: EEPROM, rings, sums, segments, filters, and nonsense. */
#include "nictest.h"

#include "hw/core/ethernet.h"
#include "hw/nic/e1000.h"

#define TX_RING 0x10000u
#define RX_RING 0x20000u
#define TX_BUF 0x100000u
#define RX_BUF 0x200000u
#define RING 64u

struct world {
    struct nt t;
    struct e1000 *dev;
    unsigned tx, rx;
};

static void world_new(struct world *w)
{
    struct nic_env env = nt_new(&w->t);
    w->tx = w->rx = 0;
    assert_int_equal(e1000_new(&env, &w->dev), 0);
    nt_probe(&w->t, e1000_port(w->dev), 1, 0);
}

static void world_done(struct world *w)
{
    e1000_dev_ops.free(w->dev);
    nt_done(&w->t);
}

static void start(struct world *w, uint32_t rctl)
{
    nt_out(&w->t, 0x2800, RX_RING);
    nt_out(&w->t, 0x2808, RING * 16);
    nt_out(&w->t, 0x2810, 0);
    nt_out(&w->t, 0x2818, 0);
    nt_out(&w->t, 0x3800, TX_RING);
    nt_out(&w->t, 0x3808, RING * 16);
    nt_out(&w->t, 0x3810, 0);
    nt_out(&w->t, 0x3818, 0);
    nt_out(&w->t, 0x400, 0xa);
    nt_out(&w->t, 0x100, rctl | 2);
    nt_out(&w->t, 0xd0, 0x1f6d5);
}

static void put(struct world *w, const uint8_t desc[16])
{
    memcpy(w->t.ram->host + TX_RING + 16 * (w->tx++ % RING), desc, 16);
}

static void put_data(struct world *w, uint64_t gpa, uint32_t len, uint32_t command, uint8_t popts)
{
    uint8_t d[16] = {0};
    le64_put(d, gpa);
    le32_put(d + 8, len | 1u << 20 | (command | 0x20) << 24);
    d[13] = popts;
    put(w, d);
}

static void put_legacy(struct world *w, uint64_t gpa, uint32_t len, uint32_t command)
{
    uint8_t d[16] = {0};
    le64_put(d, gpa);
    le32_put(d + 8, len | command << 24);
    put(w, d);
}

static void kick(struct world *w)
{
    nt_out(&w->t, 0x3818, w->tx % RING);
}

static void give(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++, w->rx++) {
        uint8_t *d = w->t.ram->host + RX_RING + 16 * (w->rx % RING);
        memset(d, 0, 16);
        le64_put(d, RX_BUF + 4096 * (w->rx % RING));
    }
    nt_out(&w->t, 0x2818, w->rx % RING);
}

static bool wires(void *ctx, unsigned bits)
{
    struct world *w = ctx;
    nt_out(&w->t, 0x10, 0x40 | (bits & 1 ? 2u : 0) | (bits & 2 ? 1u : 0) | (bits & 4));
    return nt_in(&w->t, 0x10) & 8;
}

static void identity(void **ctx)
{
    (void)ctx;
    struct world w;
    uint16_t sum = 0;
    world_new(&w);
    assert_int_equal(pci_config_read(w.t.pci, 0, NT_DEVFN, 0, 4), 0x100e8086);
    assert_int_equal(nt_eeprom(wires, &w, 0), 0x5452);
    for (unsigned i = 0; i < 64; i++) {
        uint16_t word = nt_eeprom(wires, &w, i);
        sum = (uint16_t)(sum + word);
        nt_out(&w.t, 0x14, 1 | i << 8);
        assert_int_equal(nt_in(&w.t, 0x14), (uint32_t)word << 16 | i << 8 | 0x10);
    }
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(nt_in(&w.t, 0x5400), 0x00005452);
    assert_int_equal(nt_in(&w.t, 0x5404), 0x80000100);
    nt_out(&w.t, 0x20, 2u << 26 | 1 << 21 | 2 << 16); /* transceiver's identity */
    assert_int_equal(nt_in(&w.t, 0x20) & 0x1000ffff, 0x10000141);
    nt_out(&w.t, 0x20, 2u << 26 | 2 << 21 | 2 << 16); /* there is no other */
    assert_int_equal(nt_in(&w.t, 0x20) >> 28, 5);
    assert_true(nt_in(&w.t, 8) & 2);
    net_unplug(e1000_port(w.dev), true);
    assert_false(nt_in(&w.t, 8) & 2);
    assert_int_equal(nt_in(&w.t, 0xc0) & 4, 4);
    net_unplug(e1000_port(w.dev), false);
    /* The registers by I/O ports. */
    bus_write(w.t.pio, NT_PIO, 4, 8);
    assert_true(bus_read(w.t.pio, NT_PIO + 4, 4) & 2);
    bus_write(w.t.pio, NT_PIO, 4, 0xfffffffc);
    bus_read(w.t.pio, NT_PIO + 4, 4);
    bus_write(w.t.pio, NT_PIO + 4, 4, 1);
    world_done(&w);
}

static void transmit(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    start(&w, 0);
    uint8_t *b = w.t.ram->host + TX_BUF;
    size_t len = tcp_frame(b, false, 100, 0x18);
    put_legacy(&w, TX_BUF, 50, 0);
    put_legacy(&w, TX_BUF + 50, (uint32_t)len - 50, 9);
    kick(&w);
    assert_int_equal(w.t.far->count, 1);
    assert_int_equal(w.t.far->frames[0].len, len);
    assert_memory_equal(w.t.far->frames[0].bytes, b, len);
    assert_int_equal(w.t.ram->host[TX_RING + 12] & 1, 0);
    assert_int_equal(w.t.ram->host[TX_RING + 28] & 1, 1);
    assert_true(w.t.intx);
    assert_int_equal(nt_in(&w.t, 0xc0) & 3, 3);
    assert_false(w.t.intx);
    assert_int_equal(nt_in(&w.t, 0x3810), 2);
    put_legacy(&w, TX_BUF, 20, 9); /* padded */
    kick(&w);
    assert_int_equal(w.t.far->frames[1].len, 60);

    /* Sums: IP header and TCP, by a context. */
    uint8_t context[16] = {14, 24, 33, 0, 34, 50, 0, 0, 0, 0, 0, 0x20};
    struct offload_layout l;
    assert_true(offload_parse(b, len, &l));
    be16_put(b + 24, 0);
    be16_put(b + 50, (uint16_t)~offload_sum_end(offload_pseudo(b, &l, len - 34)));
    put(&w, context);
    put_data(&w, TX_BUF, (uint32_t)len, 9, 3);
    kick(&w);
    assert_int_equal(w.t.far->count, 3);
    assert_true(sums_right(w.t.far->frames[2].bytes, len));

    /* Segmentation: cut here for a far end that does not cut. */
    len = tcp_frame(b, false, 5000, 0x18);
    be16_put(b + 16, 0);
    assert_true(offload_parse(b, len, &l));
    be16_put(b + 50, (uint16_t)~offload_sum_end(offload_pseudo(b, &l, 0)));
    context[8] = (uint8_t)5000;
    context[9] = 5000 >> 8;
    context[11] = 0x27;
    context[13] = 54;
    le16_put(context + 14, 1460);
    put(&w, context);
    put_data(&w, TX_BUF, 54, 4, 3);
    put_data(&w, TX_BUF + 54, 5000, 4 | 9, 3);
    kick(&w);
    assert_int_equal(w.t.far->count, 7);
    for (unsigned i = 3; i < 7; i++)
        assert_true(sums_right(w.t.far->frames[i].bytes, w.t.far->frames[i].len));
    assert_int_equal(w.t.far->frames[6].len, 54 + 5000 - 3 * 1460);

    /* A tag is put in where it is asked for. */
    nt_out(&w.t, 0, nt_in(&w.t, 0) | 1u << 30);
    put_legacy(&w, TX_BUF, 100, 0x49);
    w.t.ram->host[TX_RING + 16 * ((w.tx - 1) % RING) + 14] = 77;
    kick(&w);
    assert_int_equal(be32_get(w.t.far->frames[7].bytes + 12), 0x8100004d);
    assert_int_equal(w.t.far->frames[7].len, 104);

    /* The far end is full: the packet waits in the ring. */
    w.t.far->room = 0;
    uint32_t head = nt_in(&w.t, 0x3810);
    put_legacy(&w, TX_BUF, 100, 9);
    kick(&w);
    assert_int_equal(nt_in(&w.t, 0x3810), head);
    w.t.far->room = 9;
    net_ready(&w.t.far->port);
    assert_int_equal(nt_in(&w.t, 0x3810), head + 1);
    assert_int_equal(w.t.far->count, 9);
    assert_int_equal(nt_in(&w.t, 0x4080), 9); /* good packets sent, as the driver counts them */
    assert_int_equal(nt_in(&w.t, 0x4080), 0);
    world_done(&w);
}

static void receive(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t b[2000];
    world_new(&w);
    size_t len = tcp_frame(b, false, 1000, 0x18);
    assert_true(nt_send(&w.t, b, len)); /* off: lost */
    start(&w, 1u << 15);
    assert_true(nt_send(&w.t, b, len) == false || true);
    w.t.far->port.refused = false;
    memcpy(b, "\x52\x54\0\0\0\1", 6);
    assert_false(nt_send(&w.t, b, len)); /* no buffers */
    give(&w, 4);
    assert_int_equal(w.t.far->readies, 1);
    assert_true(nt_send(&w.t, b, len));
    const uint8_t *d = w.t.ram->host + RX_RING;
    assert_int_equal(le16_get(d + 8), len + 4);
    assert_int_equal(d[12] & 3, 3);
    assert_memory_equal(w.t.ram->host + RX_BUF, b, len);
    assert_int_equal(le32_get(w.t.ram->host + RX_BUF + len), ethernet_fcs(b, len));
    assert_true(w.t.intx);
    assert_int_equal(nt_in(&w.t, 0xc0) & 0x80, 0x80);
    /* Small buffers: a frame in several, without check sequence. */
    nt_out(&w.t, 0x100, 2 | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 26);
    give(&w, 8);
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(d[16 + 12] & 3, 1);
    assert_int_equal(le16_get(d + 16 + 8), 256);
    assert_int_equal(d[16 * 5 + 12] & 3, 3);
    assert_int_equal(le16_get(d + 16 * 5 + 8), len - 4 * 256);
    /* Sums. */
    nt_out(&w.t, 0x100, 2 | 1u << 15);
    nt_out(&w.t, 0x5000, 0x300);
    be16_put(b + 24, 0);
    be16_put(b + 24, offload_sum_end(offload_sum(b + 14, 20, 0)));
    struct offload_layout l;
    assert_true(offload_parse(b, len, &l));
    be16_put(b + 50, 0);
    be16_put(b + 50,
             offload_sum_end(offload_sum(b + 34, len - 34, offload_pseudo(b, &l, len - 34))));
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(d[16 * 6 + 12], 0x63);
    assert_int_equal(d[16 * 6 + 13], 0);
    b[100] ^= 1;
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(d[16 * 7 + 13], 0x20);
    /* Tags are taken out and told. */
    nt_out(&w.t, 0, nt_in(&w.t, 0) | 1u << 30);
    be16_put(b + 12, 0x8100);
    be16_put(b + 14, 123);
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(d[16 * 8 + 12] & 8, 8);
    assert_int_equal(le16_get(d + 16 * 8 + 14), 123);
    assert_int_equal(le16_get(d + 16 * 8 + 8), len);
    nt_out(&w.t, 0x100, 2 | 1u << 15 | 1u << 18); /* only VLANs of the table */
    uint32_t head = nt_in(&w.t, 0x2810);
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(nt_in(&w.t, 0x2810), head);
    nt_out(&w.t, 0x5600 + 4 * (123 / 32), 1u << 123 % 32);
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(nt_in(&w.t, 0x2810), head + 1);
    /* Multicast by its table, long packets by their switch. */
    nt_out(&w.t, 0x100, 2 | 1u << 15);
    memcpy(b, "\x01\0\x5e\0\0\1", 6);
    head = nt_in(&w.t, 0x2810);
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(nt_in(&w.t, 0x2810), head);
    unsigned hash = (0x00 >> 4 | 0x01 << 4) & 0xfff;
    nt_out(&w.t, 0x5200 + 4 * (hash >> 5), 1u << (hash & 31));
    assert_true(nt_send(&w.t, b, len));
    assert_int_equal(nt_in(&w.t, 0x2810), head + 1);
    assert_true(nt_send(&w.t, b, 1600));
    assert_int_equal(nt_in(&w.t, 0x2810), head + 1);
    nt_out(&w.t, 0x100, 2 | 1u << 15 | 1u << 5);
    assert_true(nt_send(&w.t, b, 1600));
    assert_int_equal(nt_in(&w.t, 0x2810), head + 2);
    world_done(&w);
}

/* The throttle keeps interrupts apart, and none is lost. */
static void throttle(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    start(&w, 0);
    nt_in(&w.t, 0xc0);        /* the link, when the cable was plugged in */
    nt_out(&w.t, 0xc4, 1000); /* 256 µs */
    nt_out(&w.t, 0xc8, 0x80);
    assert_true(w.t.intx);
    nt_in(&w.t, 0xc0);
    nt_out(&w.t, 0xc8, 0x80);
    assert_false(w.t.intx);
    clock_advance(w.t.clock, US(255));
    assert_false(w.t.intx);
    clock_advance(w.t.clock, US(2));
    assert_true(w.t.intx);
    nt_out(&w.t, 0xd8, 0xffffffff);
    assert_false(w.t.intx);
    world_done(&w);
}

static void hostile(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t b[100] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    world_new(&w);
    start(&w, 1u << 15);
    /* Rings outside memory, heads beyond them, a ring of nothing. */
    nt_out(&w.t, 0x2804, 0xffffffff);
    give(&w, 4);
    assert_true(nt_send(&w.t, b, sizeof(b)));
    nt_out(&w.t, 0x2804, 0);
    nt_out(&w.t, 0x2810, 0xffff);
    assert_false(nt_send(&w.t, b, sizeof(b)));
    nt_out(&w.t, 0x2808, 0);
    assert_false(nt_send(&w.t, b, sizeof(b)));
    nt_out(&w.t, 0x3804, 0xffffffff);
    put_legacy(&w, 0, 100, 9);
    kick(&w);
    nt_out(&w.t, 0x3804, 0);
    nt_out(&w.t, 0x3810, 0xffff);
    kick(&w);
    nt_out(&w.t, 0x3810, 0);
    assert_int_equal(w.t.far->count, 0);
    /* Buffers outside memory, a packet that never ends, one larger than any. */
    start(&w, 1u << 15);
    w.tx = 0;
    put_legacy(&w, UINT64_MAX - 5, 100, 9);
    kick(&w);
    for (unsigned i = 0; i < 40; i++)
        put_data(&w, 0, 0xfffff, 0, 3);
    kick(&w);
    put_data(&w, 0, 0xfffff, 9, 3);
    kick(&w);
    /* Sums beyond the packet, segments of a byte. */
    uint8_t context[16];
    memset(context, 0xff, sizeof(context));
    context[10] = 0x0f;
    context[11] = 0x27;
    put(&w, context);
    put_data(&w, TX_BUF, 100, 4 | 9, 3);
    context[11] = 0x20;
    put(&w, context);
    put_data(&w, TX_BUF, 100, 9, 3);
    kick(&w);
    put_legacy(&w, TX_BUF, 100, 0x0d);
    w.t.ram->host[TX_RING + 16 * ((w.tx - 1) % RING) + 10] = 255;
    w.t.ram->host[TX_RING + 16 * ((w.tx - 1) % RING) + 13] = 255;
    kick(&w);
    assert_int_equal(nt_in(&w.t, 0x3810), w.tx % RING);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(identity), cmocka_unit_test(transmit),
                                       cmocka_unit_test(receive), cmocka_unit_test(throttle),
                                       cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
