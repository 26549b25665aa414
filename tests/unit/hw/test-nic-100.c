/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two cards of 100 Mbit/s, 21140A and RTL8139: EEPROM, transceiver, rings, filters, nonsense. */
#include "nictest.h"

#include "hw/core/ethernet.h"
#include "hw/nic/dec21140.h"
#include "hw/nic/rtl8139.h"

#define TX_RING 0x10000u
#define RX_RING 0x20000u
#define SETUP 0x30000u
#define TX_BUF 0x100000u
#define RX_BUF 0x200000u

static const uint8_t mine[6] = {0x52, 0x54, 0, 0, 0, 1};

/* ---- 21140A ---- */

#define CSR(n) (8u * (n))

static struct dec21140 *dec_new(struct nt *t)
{
    struct nic_env env = nt_new(t);
    struct dec21140 *d;
    assert_int_equal(dec21140_new(&env, &d), 0);
    nt_probe(t, dec21140_port(d), 0, 1);
    return d;
}

static void desc(struct nt *t, uint32_t at, uint32_t d0, uint32_t d1, uint32_t d2, uint32_t d3)
{
    uint8_t *p = t->ram->host + at;
    le32_put(p, d0);
    le32_put(p + 4, d1);
    le32_put(p + 8, d2);
    le32_put(p + 12, d3);
}

static bool dec_wires(void *ctx, unsigned bits)
{
    struct nt *t = ctx;
    nt_out(t, CSR(9), 0x4800 | (bits & 1) | (bits & 2) | (bits & 4));
    return nt_in(t, CSR(9)) & 8;
}

/* A transceiver register by its wires. */
static unsigned dec_phy(struct nt *t, unsigned phy, unsigned reg)
{
    unsigned header = 6u << 10 | phy << 5 | reg, value = 0;
    for (unsigned i = 0; i < 32; i++) {
        nt_out(t, CSR(9), 0x20000);
        nt_out(t, CSR(9), 0x30000);
    }
    for (unsigned i = 14; i--;) {
        unsigned data = header >> i & 1 ? 0x20000 : 0;
        nt_out(t, CSR(9), data);
        nt_out(t, CSR(9), data | 0x10000);
    }
    for (unsigned i = 0; i < 17; i++) {
        nt_out(t, CSR(9), 0x40000);
        nt_out(t, CSR(9), 0x50000);
        value = value << 1 | (nt_in(t, CSR(9)) >> 19 & 1);
    }
    return value & 0xffff;
}

static void dec_setup(struct nt *t, uint32_t at, uint32_t bits, const uint8_t *macs, unsigned count)
{
    uint8_t *p = t->ram->host + SETUP;
    memset(p, 0, 192);
    for (unsigned n = 0; n < 16; n++)
        for (unsigned i = 0; i < 3; i++)
            memcpy(p + 12 * n + 4 * i, macs + 6 * (n < count ? n : 0) + 2 * i, 2);
    desc(t, at, 1u << 31, 1u << 31 | 1u << 27 | bits | 192, SETUP, 0);
    nt_out(t, CSR(1), 1);
}

static void dec_basics(void **ctx)
{
    (void)ctx;
    struct nt t;
    struct dec21140 *d = dec_new(&t);
    assert_int_equal(pci_config_read(t.pci, 0, NT_DEVFN, 0, 4), 0x00091011);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(nt_eeprom(dec_wires, &t, 10 + i), le16_get(mine + 2 * i));
    assert_int_equal(dec_phy(&t, 0, 2), 0x2000);
    assert_int_equal(dec_phy(&t, 0, 1) & 0x24, 0x24);
    assert_int_equal(dec_phy(&t, 1, 1), 0xffff);
    net_unplug(dec21140_port(d), true);
    assert_int_equal(dec_phy(&t, 0, 1) & 0x24, 0);
    net_unplug(dec21140_port(d), false);

    nt_out(&t, CSR(3), RX_RING);
    nt_out(&t, CSR(4), TX_RING);
    nt_out(&t, CSR(7), 0x1ffff);
    dec_setup(&t, TX_RING, 0, mine, 1);
    nt_out(&t, CSR(6), 0x2002);
    assert_int_equal(le32_get(t.ram->host + TX_RING), 0); /* the setup frame is taken */
    assert_true(t.intx);
    nt_out(&t, CSR(5), 0x1ffff);
    assert_false(t.intx);

    /* A frame in two descriptors with three buffers. */
    uint8_t *b = t.ram->host + TX_BUF;
    size_t len = tcp_frame(b, false, 300, 0x18);
    desc(&t, TX_RING + 16, 1u << 31, 1u << 29 | 50 << 11 | 100, TX_BUF, TX_BUF + 100);
    desc(&t, TX_RING + 32, 1u << 31, 1u << 31 | 1u << 30 | 1u << 25 | (uint32_t)(len - 150),
         TX_BUF + 150, 0);
    nt_out(&t, CSR(1), 1);
    assert_int_equal(t.far->count, 1);
    assert_int_equal(t.far->frames[0].len, len);
    assert_memory_equal(t.far->frames[0].bytes, b, len);
    assert_int_equal(nt_in(&t, CSR(5)) & 0x10005, 0x10005);
    nt_out(&t, CSR(5), 0x1ffff);
    /* The end of the ring leads to its start. */
    desc(&t, TX_RING, 1u << 31, 1u << 29 | 1u << 30 | 20, TX_BUF, 0);
    t.far->room = 0;
    nt_out(&t, CSR(1), 1);
    assert_int_equal(le32_get(t.ram->host + TX_RING), 1u << 31);
    t.far->room = 9;
    net_ready(&t.far->port);
    assert_int_equal(t.far->frames[1].len, 60);

    /* Receive: three buffers, chained. */
    uint8_t f[1514];
    len = tcp_frame(f, false, 1000, 0x18);
    memcpy(f, mine, 6);
    assert_false(nt_send(&t, f, len));
    desc(&t, RX_RING, 1u << 31, 200 << 11 | 300, RX_BUF, RX_BUF + 300);
    desc(&t, RX_RING + 16, 1u << 31, 1u << 24 | 1536, RX_BUF + 500, RX_RING + 64);
    nt_out(&t, CSR(2), 1);
    assert_int_equal(t.far->readies, 1);
    assert_true(nt_send(&t, f, len));
    assert_memory_equal(t.ram->host + RX_BUF, f, len);
    assert_int_equal(le32_get(t.ram->host + RX_BUF + len), ethernet_fcs(f, len));
    assert_int_equal(le32_get(t.ram->host + RX_RING) >> 9 & 1, 1);
    assert_int_equal(le32_get(t.ram->host + RX_RING + 16) >> 16, len + 4);
    assert_int_equal(le32_get(t.ram->host + RX_RING + 16) & 0x8000ff00, 0x100);
    assert_true(t.intx);
    desc(&t, RX_RING + 64, 1u << 31, 1u << 25 | 1536, RX_BUF, 0);
    f[5] = 2; /* not to us */
    assert_true(nt_send(&t, f, len));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 64), 1u << 31);
    /* By hash, inverse, and with everything let in. */
    static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 9};
    memcpy(f, group, 6);
    nt_out(&t, CSR(6), 0x2082); /* all multicast */
    assert_true(nt_send(&t, f, len));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 64) >> 31, 0);
    nt_out(&t, CSR(0), 1);
    assert_int_equal(nt_in(&t, CSR(6)) & 0x2002, 0);
    dec21140_dev_ops.free(d);
    nt_done(&t);
}

static void dec_filters(void **ctx)
{
    (void)ctx;
    struct nt t;
    struct dec21140 *d = dec_new(&t);
    uint8_t f[64] = {0};
    uint8_t *setup = t.ram->host + SETUP;
    nt_out(&t, CSR(3), RX_RING);
    nt_out(&t, CSR(4), TX_RING);
    for (unsigned i = 0; i < 8; i++)
        desc(&t, RX_RING + 16 * i, 1u << 31, 1536, RX_BUF, 0);
    nt_out(&t, CSR(6), 0x2002);
    /* Hash, as drivers make it: the low 9 bits of the check sequence, uninverted. */
    static const uint8_t group[6] = {1, 0, 0x5e, 0, 0, 9};
    unsigned bit = ~ethernet_fcs(group, 6) & 0x1ff;
    memset(setup, 0, 192);
    setup[bit / 16 * 4 + bit % 16 / 8] = (uint8_t)(1u << bit % 8);
    for (unsigned i = 0; i < 3; i++)
        memcpy(setup + 156 + 4 * i, mine + 2 * i, 2);
    desc(&t, TX_RING, 1u << 31, 1u << 27 | 1u << 22 | 192, SETUP, 0);
    nt_out(&t, CSR(1), 1);
    memcpy(f, group, 6);
    assert_true(nt_send(&t, f, sizeof(f)));
    memcpy(f, mine, 6);
    assert_true(nt_send(&t, f, sizeof(f)));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 16) >> 31, 0);
    f[5] = 7;
    assert_true(nt_send(&t, f, sizeof(f)));
    memcpy(f, "\1\0\x5e\0\0\x0a", 6);
    assert_true(nt_send(&t, f, sizeof(f)));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 32) >> 31, 1);
    dec_setup(&t, TX_RING + 16, 1u << 28, mine, 1); /* inverse */
    assert_true(nt_send(&t, f, sizeof(f)));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 32) >> 31, 0);
    memcpy(f, mine, 6);
    assert_true(nt_send(&t, f, sizeof(f)));
    assert_int_equal(le32_get(t.ram->host + RX_RING + 48) >> 31, 1);
    dec21140_dev_ops.free(d);
    nt_done(&t);
}

static void dec_hostile(void **ctx)
{
    (void)ctx;
    struct nt t;
    struct dec21140 *d = dec_new(&t);
    uint8_t f[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    nt_out(&t, CSR(7), 0x1ffff);
    nt_out(&t, CSR(6), 0x2042);
    /* Lists outside memory are a fatal bus error; lists that lead to themselves end. */
    nt_out(&t, CSR(4), 0xfffffff0);
    nt_out(&t, CSR(1), 1);
    assert_int_equal(nt_in(&t, CSR(5)) & 0xa000, 0xa000);
    nt_out(&t, CSR(3), 0xfffffff0);
    assert_false(nt_send(&t, f, sizeof(f)));
    desc(&t, RX_RING, 1u << 31, 1u << 24 | 1, RX_BUF, RX_RING);
    nt_out(&t, CSR(3), RX_RING);
    nt_send(&t, f, sizeof(f));
    desc(&t, RX_RING, 1u << 31, 1u << 24, RX_BUF, RX_RING);
    assert_false(nt_send(&t, f, sizeof(f)));
    desc(&t, TX_RING, 1u << 31, 1u << 24, TX_BUF, TX_RING);
    nt_out(&t, CSR(4), TX_RING);
    nt_out(&t, CSR(1), 1);
    desc(&t, TX_RING, 1u << 31, 1u << 24 | 1u << 29 | 0x7ff, 0xfffffff0, TX_RING);
    nt_out(&t, CSR(1), 1);
    desc(&t, TX_RING, 1u << 31, 1u << 27 | 0x7ff, 0xfffffff0, 0);
    nt_out(&t, CSR(1), 1);
    clock_advance(t.clock, MS(10));
    dec21140_dev_ops.free(d);
    nt_done(&t);
}

/* ---- RTL8139 ---- */

static struct rtl8139 *rtl_new(struct nt *t)
{
    struct nic_env env = nt_new(t);
    struct rtl8139 *c;
    assert_int_equal(rtl8139_new(&env, &c), 0);
    nt_probe(t, rtl8139_port(c), 0, 1);
    return c;
}

static void rtl8(struct nt *t, unsigned reg, unsigned v)
{
    bus_write(t->mem, NT_MMIO + reg, 1, v);
}

static void rtl16(struct nt *t, unsigned reg, unsigned v)
{
    bus_write(t->mem, NT_MMIO + reg, 2, v);
}

static unsigned rtl_in(struct nt *t, unsigned reg, unsigned size)
{
    return (unsigned)bus_read(t->mem, NT_MMIO + reg, size);
}

static bool rtl_wires(void *ctx, unsigned bits)
{
    struct nt *t = ctx;
    rtl8(t, 0x50, 0x80 | (bits & 1 ? 8u : 0) | (bits & 2 ? 4u : 0) | (bits & 4 ? 2u : 0));
    return rtl_in(t, 0x50, 1) & 1;
}

static void rtl_start(struct nt *t, uint32_t rcr)
{
    rtl8(t, 0x37, 0x10);
    nt_out(t, 0x30, RX_RING);
    rtl8(t, 0x37, 0x0c);
    nt_out(t, 0x44, rcr);
    rtl16(t, 0x3c, 0xffff);
}

static void rtl_basics(void **ctx)
{
    (void)ctx;
    struct nt t;
    struct rtl8139 *c = rtl_new(&t);
    assert_int_equal(pci_config_read(t.pci, 0, NT_DEVFN, 0, 4), 0x813910ec);
    assert_int_equal(nt_eeprom(rtl_wires, &t, 0), 0x8129);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(nt_eeprom(rtl_wires, &t, 7 + i), le16_get(mine + 2 * i));
    assert_int_equal(nt_in(&t, 0), le32_get(mine));
    assert_int_equal(rtl_in(&t, 0x64, 2) & 0x24, 0x24);
    net_unplug(rtl8139_port(c), true);
    assert_int_equal(rtl_in(&t, 0x64, 2) & 0x24, 0);
    assert_int_equal(rtl_in(&t, 0x58, 1) & 4, 4);
    net_unplug(rtl8139_port(c), false);
    rtl16(&t, 0x3e, 0xffff);

    rtl_start(&t, 0x0e); /* own, multicast, broadcast; a ring of 8 KiB */
    uint8_t *b = t.ram->host + TX_BUF;
    size_t len = tcp_frame(b, false, 300, 0x18);
    nt_out(&t, 0x20, TX_BUF);
    nt_out(&t, 0x10, (uint32_t)len);
    assert_int_equal(t.far->count, 1);
    assert_memory_equal(t.far->frames[0].bytes, b, len);
    assert_int_equal(nt_in(&t, 0x10) & 0xa000, 0xa000);
    assert_int_equal(rtl_in(&t, 0x60, 2) & 0x1001, 0x1001);
    assert_true(t.intx);
    rtl16(&t, 0x3e, 4);
    assert_false(t.intx);
    t.far->room = 0;
    nt_out(&t, 0x24, TX_BUF);
    nt_out(&t, 0x14, 20);
    assert_int_equal(nt_in(&t, 0x14) & 0x2000, 0);
    t.far->room = 9;
    net_ready(&t.far->port);
    assert_int_equal(t.far->frames[1].len, 60);
    rtl16(&t, 0x3e, 4);

    /* The ring: header, frame, check sequence; it is full, is read, goes round. */
    static uint8_t f[1514];
    len = tcp_frame(f, false, 1400, 0x18);
    assert_int_equal(rtl_in(&t, 0x37, 1) & 1, 1);
    memcpy(f, mine, 6);
    uint32_t at = 0, step = (uint32_t)((4 + len + 4 + 3) & ~3ul);
    for (unsigned i = 0; i < 5; i++)
        assert_true(nt_send(&t, f, len));
    assert_false(nt_send(&t, f, len));
    assert_int_equal(rtl_in(&t, 0x3e, 2) & 0x11, 0x11);
    rtl16(&t, 0x3e, 0x11); /* a frame still waits: that is told again */
    assert_int_equal(rtl_in(&t, 0x3e, 2) & 0x11, 0x10);
    assert_int_equal(rtl_in(&t, 0x37, 1) & 1, 0);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t packet[1600];
        for (unsigned k = 0; k < step; k++)
            packet[k] = t.ram->host[RX_RING + (at + k) % 8192];
        assert_int_equal(le16_get(packet), 0x4001);
        assert_int_equal(le16_get(packet + 2), len + 4);
        assert_memory_equal(packet + 4, f, len);
        assert_int_equal(le32_get(packet + 4 + len), ethernet_fcs(f, len));
        at += step;
        unsigned readies = t.far->readies;
        rtl16(&t, 0x38, (at - 16) & 0xffff);
        assert_int_equal(t.far->readies, readies + (t.far->readies != readies));
        assert_true(nt_send(&t, f, len));
    }
    assert_int_equal(rtl_in(&t, 0x3a, 2), (at + 5 * step) % 8192);
    /* With the driver's choice not to wrap, a frame goes on behind the ring's end. */
    rtl_start(&t, 0x8e);
    at = 0;
    for (unsigned i = 0; i < 6; i++) {
        assert_true(nt_send(&t, f, len));
        if (i < 5) {
            at += step;
            rtl16(&t, 0x38, (at - 16) & 0xffff);
        }
    }
    assert_memory_equal(t.ram->host + RX_RING + at % 8192 + 4, f, len);

    /* Filters. */
    rtl_start(&t, 0x0e);
    f[5] = 9;
    assert_true(nt_send(&t, f, len));
    memcpy(f, "\1\0\x5e\0\0\x0a", 6);
    assert_true(nt_send(&t, f, len));
    assert_int_equal(rtl_in(&t, 0x37, 1) & 1, 1);
    nt_out(&t, 8, 0xffffffff);
    nt_out(&t, 12, 0xffffffff);
    assert_true(nt_send(&t, f, len));
    assert_int_equal(rtl_in(&t, 0x37, 1) & 1, 0);
    assert_int_equal(le16_get(t.ram->host + RX_RING), 0x8001);

    /* The timer. */
    rtl16(&t, 0x3e, 0xffff);
    nt_out(&t, 0x48, 0);
    nt_out(&t, 0x54, 1000);
    clock_advance(t.clock, US(29));
    assert_int_equal(rtl_in(&t, 0x3e, 2) & 0x4000, 0);
    clock_advance(t.clock, US(2));
    assert_int_equal(rtl_in(&t, 0x3e, 2) & 0x4000, 0x4000);
    rtl8139_dev_ops.free(c);
    nt_done(&t);
}

static void rtl_hostile(void **ctx)
{
    (void)ctx;
    struct nt t;
    struct rtl8139 *c = rtl_new(&t);
    static uint8_t f[1514] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    rtl_start(&t, 0x188f);
    nt_out(&t, 0x30, 0xfffffffc); /* a ring outside memory */
    for (unsigned i = 0; i < 100; i++)
        nt_send(&t, f, 14 + i * 14);
    nt_out(&t, 0x30, 0xfffffff0);
    rtl16(&t, 0x38, 0xffff);
    for (unsigned i = 0; i < 100; i++)
        nt_send(&t, f, 14 + i * 14);
    nt_out(&t, 0x44, 0x8f); /* a smaller ring than what is in it */
    for (unsigned i = 0; i < 100; i++)
        nt_send(&t, f, 14 + i * 14);
    for (unsigned i = 0; i < 8; i++) {
        nt_out(&t, 0x20 + 4 * (i % 4), 0xfffffffc);
        nt_out(&t, 0x10 + 4 * (i % 4), i & 1 ? 0x1fff : 100);
    }
    assert_int_equal(t.far->count, 0);
    for (unsigned i = 0; i < 256; i++) {
        bus_read(t.mem, NT_MMIO + i, 1);
        bus_write(t.mem, NT_MMIO + i, 4, 0xffffffff);
    }
    rtl8139_dev_ops.free(c);
    nt_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dec_basics), cmocka_unit_test(dec_filters),
                                       cmocka_unit_test(dec_hostile), cmocka_unit_test(rtl_basics),
                                       cmocka_unit_test(rtl_hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
