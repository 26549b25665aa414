/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_hw */
/*
 * Guest memory as a driver may leave it, under a virtqueue and under a virtio disk. Input: a byte
 * of options, then up to 16 KiB of memory, in which the three parts of the queue lie at 0, 0x800
 * and 0xc00.
 */
#include "base/bytes.h"
#include "fuzz/fuzzinput.h"
#include "hw/virtio/virtio_blk.h"
#include "unit/hw/memdisk.h"

#define RAM_BYTES 0x10000u

struct world {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct clock *clock;
    struct region ram_region;
};

static void walk(struct world *w, uint8_t options)
{
    struct virtqueue vq;
    struct vq_chain chain = {0};
    vq_init(&vq, w->mem, 64);
    vq.desc = 0;
    vq.avail = 0x800;
    vq.used = 0xc00;
    vq.size = (uint16_t)(8u << (options & 3));
    vq.event_idx = options & 4;
    vq.indirect = options & 8;
    fuzz_require(vq_enable(&vq) == 0);
    for (unsigned i = 0; i < 100; i++) {
        int r = vq_pop(&vq, &chain);
        if (r < 0)
            break;
        if (r == 0 && !vq_arm(&vq))
            break;
        if (r == 0)
            continue;
        uint8_t buf[512];
        uint64_t n = slices_get(&chain.out, 3, buf, sizeof(buf));
        n = slices_put(&chain.in, 1, buf, n);
        slices_wrote(&chain.in, &vq.dma, n);
        if (i % 5 == 4)
            vq_unpop(&vq);
        else
            vq_push(&vq, chain.head, (uint32_t)n);
        (void)vq_should_signal(&vq);
    }
    vq_chain_done(&chain);
}

static void disk(struct world *w, uint8_t options)
{
    struct memdisk *m = memdisk_new(64 * 512);
    const struct virtio_blk_env env = {.virtio = {.pci = w->pci, .devfn = 32, .clock = w->clock},
                                       .blk = &m->blk};
    struct virtio_blk *dev;
    fuzz_require(virtio_blk_new(&env, &dev) == 0);
    pci_config_write(w->pci, 0, 32, 0x20, 4, 0xe0000000);
    pci_config_write(w->pci, 0, 32, 0x04, 2, 7);
    const uint32_t base = 0xe0000000;
    bus_write(w->mem, base + 8, 4, 0);
    bus_write(w->mem, base + 12, 4, 0xffffffff);
    bus_write(w->mem, base + 8, 4, 1);
    bus_write(w->mem, base + 12, 4, 1);
    bus_write(w->mem, base + 0x14, 1, 11);
    bus_write(w->mem, base + 0x18, 2, 8u << (options & 3));
    bus_write(w->mem, base + 0x28, 4, 0x800);
    bus_write(w->mem, base + 0x30, 4, 0xc00);
    bus_write(w->mem, base + 0x1c, 2, 1);
    bus_write(w->mem, base + 0x14, 1, 15);
    for (unsigned i = 0; i < 3; i++) {
        bus_write(w->mem, base + 0x3000, 2, 0);
        if (!(options & 16)) /* else the requests are under way until the end */
            blk_drain(&m->blk);
        clock_advance(w->clock, NS_PER_SEC);
    }
    if (options & 32)
        bus_write(w->mem, base + 0x14, 1, 0);
    virtio_blk_dev_ops.free(dev);
    blk_close(&m->blk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t options = (uint8_t)input_get(&in, 1);
    struct world w = {0};
    fuzz_require(ram_new(RAM_BYTES, &w.ram, NULL) == 0);
    fuzz_require(bus_new("mem", 1ULL << 36, w.ram, &w.mem) == 0);
    fuzz_require(bus_new("pio", 0x10000, NULL, &w.pio) == 0);
    fuzz_require(clock_new_manual(&w.clock) == 0);
    w.ram_region = (struct region){.size_bytes = RAM_BYTES, .kind = REGION_RAM};
    fuzz_require(bus_add(w.mem, &w.ram_region) == 0);
    const struct pci_env env = {.mem = w.mem, .pio = w.pio};
    fuzz_require(pci_bus_new(&env, &w.pci) == 0);
    memcpy(w.ram->host, in.at, MIN(in.left, (size_t)0x4000));
    if (options & 64)
        walk(&w, options);
    else
        disk(&w, options);
    pci_bus_free(w.pci);
    clock_free(w.clock);
    bus_free(w.pio);
    bus_free(w.mem);
    ram_free(w.ram);
    return 0;
}
