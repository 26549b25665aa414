/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small virtio driver for tests: finds the structures as a real one does, by configuration
 * space, and keeps one split queue per index.
 */
#ifndef TESTS_UNIT_HW_VIRTIOTEST_H
#define TESTS_UNIT_HW_VIRTIOTEST_H

#include "hwtest.h"

#include "base/bytes.h"
#include "hw/virtio/virtio.h"

#define VT_DEVFN PCI_DEVFN(4, 0)
#define VT_MMIO 0xe0000000u
#define VT_MSIX 0xe0010000u
#define VT_PIO 0xc000u
#define VT_QUEUE(n) (0x100000u + (n)*0x10000u) /* descriptors; +0x4000 available; +0x6000 used */
#define VT_SIZE 64u

struct vt {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct clock *clock;
    struct region ram_region;
    unsigned intx_rises;
    bool intx;
    unsigned msis;
    uint32_t last_msi;
    uint32_t common, isr, config, notify; /* addresses found */
    uint16_t avail[4], used[4];
};

static inline void vt_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    struct vt *t = ctx;
    assert_int_equal(devfn, VT_DEVFN);
    assert_int_equal(pin, 0);
    t->intx_rises += level && !t->intx;
    t->intx = level;
}

static inline void vt_msi(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct vt *t = ctx;
    assert_int_equal(source, VT_DEVFN);
    assert_true(addr == 0xfee00000);
    t->msis++;
    t->last_msi = data;
}

/* The world around a device, which the test then makes in t->pci. */
static inline struct virtio_env vt_new(struct vt *t)
{
    memset(t, 0, sizeof(*t));
    assert_int_equal(ram_new(MIB(16), &t->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 36, t->ram, &t->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &t->pio), 0);
    t->ram_region = (struct region){.size_bytes = MIB(16), .kind = REGION_RAM};
    assert_int_equal(bus_add(t->mem, &t->ram_region), 0);
    const struct pci_env env = {.mem = t->mem,
                                .pio = t->pio,
                                .intx = vt_intx,
                                .intx_ctx = t,
                                .msi = {.send = vt_msi, .ctx = t}};
    assert_int_equal(pci_bus_new(&env, &t->pci), 0);
    t->clock = test_clock();
    return (struct virtio_env){.pci = t->pci, .devfn = VT_DEVFN, .clock = t->clock};
}

static inline void vt_done(struct vt *t)
{
    pci_bus_free(t->pci);
    bus_free(t->pio);
    bus_free(t->mem);
    ram_free(t->ram);
    clock_free(t->clock);
}

static inline uint32_t vt_cfg(struct vt *t, unsigned offset, unsigned size)
{
    return pci_config_read(t->pci, 0, VT_DEVFN, offset, size);
}

static inline uint64_t vt_in(struct vt *t, uint32_t addr, unsigned size)
{
    return bus_read(t->mem, addr, size);
}

static inline void vt_out(struct vt *t, uint32_t addr, unsigned size, uint64_t v)
{
    bus_write(t->mem, addr, size, v);
}

/* Give the BARs addresses and find the structures. */
static inline void vt_probe(struct vt *t)
{
    pci_config_write(t->pci, 0, VT_DEVFN, 0x10, 4, VT_PIO);
    pci_config_write(t->pci, 0, VT_DEVFN, 0x14, 4, VT_MSIX);
    pci_config_write(t->pci, 0, VT_DEVFN, 0x20, 4, VT_MMIO);
    pci_config_write(t->pci, 0, VT_DEVFN, 0x04, 2, 7);
    unsigned caps = 0;
    for (unsigned at = vt_cfg(t, 0x34, 1); at; at = vt_cfg(t, at + 1, 1)) {
        assert_true(++caps < 16);
        if (vt_cfg(t, at, 1) != 9)
            continue;
        uint32_t addr = VT_MMIO + vt_cfg(t, at + 8, 4);
        switch (vt_cfg(t, at + 3, 1)) {
        case 1:
            t->common = addr;
            break;
        case 2:
            t->notify = addr;
            assert_int_equal(vt_cfg(t, at + 16, 4), 4);
            break;
        case 3:
            t->isr = addr;
            break;
        case 4:
            t->config = addr;
            break;
        }
    }
    assert_true(t->common && t->notify && t->isr);
}

static inline void vt_status(struct vt *t, unsigned v)
{
    vt_out(t, t->common + 0x14, 1, v);
}

static inline unsigned vt_get_status(struct vt *t)
{
    return (unsigned)vt_in(t, t->common + 0x14, 1);
}

static inline void vt_queue(struct vt *t, unsigned n, unsigned vector)
{
    vt_out(t, t->common + 0x16, 2, n);
    vt_out(t, t->common + 0x18, 2, VT_SIZE);
    vt_out(t, t->common + 0x1a, 2, vector);
    vt_out(t, t->common + 0x20, 4, VT_QUEUE(n));
    vt_out(t, t->common + 0x28, 4, VT_QUEUE(n) + 0x4000);
    vt_out(t, t->common + 0x30, 4, VT_QUEUE(n) + 0x6000);
    vt_out(t, t->common + 0x1c, 2, 1);
    assert_int_equal(vt_in(t, t->common + 0x1c, 2), 1);
    t->avail[n] = t->used[n] = 0;
    memset(t->ram->host + VT_QUEUE(n), 0, 0x10000);
}

/* 3.1.1, with the features given (of those offered) and `queues` queues. */
static inline uint64_t vt_start(struct vt *t, uint64_t want, unsigned queues)
{
    vt_status(t, 0);
    vt_status(t, 1);
    vt_status(t, 3);
    vt_out(t, t->common, 4, 0);
    uint64_t offered = vt_in(t, t->common + 4, 4);
    vt_out(t, t->common, 4, 1);
    offered |= vt_in(t, t->common + 4, 4) << 32;
    uint64_t accept = (want | VIRTIO_F_VERSION_1) & offered;
    vt_out(t, t->common + 8, 4, 0);
    vt_out(t, t->common + 12, 4, (uint32_t)accept);
    vt_out(t, t->common + 8, 4, 1);
    vt_out(t, t->common + 12, 4, accept >> 32);
    vt_status(t, 11);
    assert_int_equal(vt_get_status(t), 11);
    for (unsigned n = 0; n < queues; n++)
        vt_queue(t, n, n + 1);
    vt_status(t, 15);
    return offered;
}

static inline void vt_desc(struct vt *t, unsigned n, unsigned i, uint64_t addr, uint32_t len,
                           unsigned flags, unsigned next)
{
    uint8_t *d = t->ram->host + VT_QUEUE(n) + 16 * i;
    le64_put(d, addr);
    le32_put(d + 8, len);
    le16_put(d + 12, (uint16_t)flags);
    le16_put(d + 14, (uint16_t)next);
}

static inline void vt_put(struct vt *t, unsigned n, unsigned head)
{
    uint8_t *avail = t->ram->host + VT_QUEUE(n) + 0x4000;
    le16_put(avail + 4 + 2 * (t->avail[n] % VT_SIZE), (uint16_t)head);
    le16_put(avail + 2, ++t->avail[n]);
}

static inline void vt_kick(struct vt *t, unsigned n)
{
    vt_out(t, t->notify + 4 * n, 2, n);
}

/* The next used buffer, if there is one. */
static inline bool vt_get(struct vt *t, unsigned n, unsigned *ret_head, uint32_t *ret_len)
{
    const uint8_t *used = t->ram->host + VT_QUEUE(n) + 0x6000;
    if (le16_get(used + 2) == t->used[n])
        return false;
    *ret_head = le32_get(used + 4 + 8 * (t->used[n] % VT_SIZE));
    *ret_len = le32_get(used + 8 + 8 * (t->used[n] % VT_SIZE));
    t->used[n]++;
    return true;
}

#endif
