/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of PCI network cards share: a card in a world of its own, with a far end.
 */
#ifndef TESTS_UNIT_HW_NICTEST_H
#define TESTS_UNIT_HW_NICTEST_H

#include "../net/nettest.h"
#include "hwtest.h"

#include "hw/nic/nic.h"

#define NT_DEVFN PCI_DEVFN(3, 0)
#define NT_MMIO 0xe0000000u
#define NT_PIO 0xc000u

struct nt {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct clock *clock;
    struct region ram_region;
    struct end *far;
    bool intx;
    unsigned rises;
};

static inline void nt_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    struct nt *t = ctx;
    (void)devfn;
    (void)pin;
    t->rises += level && !t->intx;
    t->intx = level;
}

static inline struct nic_env nt_new(struct nt *t)
{
    memset(t, 0, sizeof(*t));
    assert_int_equal(ram_new(MIB(16), &t->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 36, t->ram, &t->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &t->pio), 0);
    t->ram_region = (struct region){.size_bytes = MIB(8), .kind = REGION_RAM};
    assert_int_equal(bus_add(t->mem, &t->ram_region), 0);
    const struct pci_env env = {.mem = t->mem, .pio = t->pio, .intx = nt_intx, .intx_ctx = t};
    assert_int_equal(pci_bus_new(&env, &t->pci), 0);
    t->clock = test_clock();
    t->far = end_new();
    return (struct nic_env){
        .pci = t->pci, .devfn = NT_DEVFN, .clock = t->clock, .mac = {0x52, 0x54, 0, 0, 0, 1}};
}

/* Plug the cable in and give the BARs addresses; I/O is BAR `io`, memory BAR `mmio`. */
static inline void nt_probe(struct nt *t, struct net_port *port, unsigned io, unsigned mmio)
{
    net_connect(port, &t->far->port);
    pci_config_write(t->pci, 0, NT_DEVFN, 0x10 + 4 * io, 4, NT_PIO);
    pci_config_write(t->pci, 0, NT_DEVFN, 0x10 + 4 * mmio, 4, NT_MMIO);
    pci_config_write(t->pci, 0, NT_DEVFN, 0x04, 2, 7);
}

static inline void nt_done(struct nt *t)
{
    assert_false(net_link_up(&t->far->port));
    free(t->far);
    pci_bus_free(t->pci);
    bus_free(t->pio);
    bus_free(t->mem);
    ram_free(t->ram);
    clock_free(t->clock);
}

static inline uint32_t nt_in(struct nt *t, uint32_t reg)
{
    return (uint32_t)bus_read(t->mem, NT_MMIO + reg, 4);
}

static inline void nt_out(struct nt *t, uint32_t reg, uint32_t v)
{
    bus_write(t->mem, NT_MMIO + reg, 4, v);
}

static inline bool nt_send(struct nt *t, const void *bytes, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct net_frame f = net_frame_of(&iov);
    return net_send(&t->far->port, &f);
}

/* Read a word of a 93C46 by its wires; out(ctx, wires) sets bits CS, SK, DI (1, 2, 4) and gives DO. */
static inline uint16_t nt_eeprom(bool (*wires)(void *ctx, unsigned bits), void *ctx, unsigned word)
{
    unsigned command = 1u << 8 | 2u << 6 | word;
    uint16_t value = 0;
    wires(ctx, 0);
    for (unsigned i = 9; i--;) {
        unsigned bit = command >> i & 1 ? 4 : 0;
        wires(ctx, 1 | bit);
        wires(ctx, 3 | bit);
    }
    assert_false(wires(ctx, 1)); /* the zero before the word */
    for (unsigned i = 0; i < 16; i++) {
        wires(ctx, 1);
        value = (uint16_t)(value << 1 | wires(ctx, 3));
    }
    wires(ctx, 0);
    return value;
}

#endif
