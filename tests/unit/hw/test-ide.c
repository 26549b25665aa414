/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IDE disks and CD drives as a driver meets them: by ports, by bus master, and when it is rude. */
#include "hwtest.h"
#include "memdisk.h"

#include "base/bytes.h"
#include "hw/storage/ide_pci.h"

#define DISK_SECTORS 20000u
#define CD_SECTORS 400u
#define BM 0xc000u
#define CMD 0x1f0u

struct world {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct wires wires;
    struct memdisk *disk, *cd;
    struct ide_pci *ide;
    struct region ram_region, ports[4];
};

static void world_new(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(ram_new(MIB(64), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 36, w->ram, &w->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &w->pio), 0);
    w->ram_region = (struct region){.size_bytes = MIB(64), .kind = REGION_RAM};
    assert_int_equal(bus_add(w->mem, &w->ram_region), 0);
    const struct pci_env pci_env = {.mem = w->mem, .pio = w->pio};
    assert_int_equal(pci_bus_new(&pci_env, &w->pci), 0);
    w->disk = memdisk_new(DISK_SECTORS * 512);
    w->cd = memdisk_new(CD_SECTORS * 2048);
    w->cd->blk.readonly = true;
    const struct ide_drive_config drives[4] = {
        {.kind = IDE_DISK, .blk = &w->disk->blk, .serial = "SERIAL"},
        {.kind = IDE_NONE},
        {.kind = IDE_CD, .blk = &w->cd->blk},
        {.kind = IDE_NONE},
    };
    const struct ide_pci_env env = {
        .pci = w->pci, .devfn = PCI_DEVFN(1, 1), .irq = {wire(&w->wires, 14), wire(&w->wires, 15)}};
    assert_int_equal(ide_pci_new(&env, drives, &w->ide), 0);
    static const uint16_t bases[4] = {0x1f0, 0x3f6, 0x170, 0x376};
    for (unsigned i = 0; i < 4; i++) {
        w->ports[i] = (struct region){.base = bases[i],
                                      .size_bytes = i & 1 ? 1 : 8,
                                      .priority = 1,
                                      .ops = i & 1 ? &ide_control_io : &ide_command_io,
                                      .dev = ide_pci_channel(w->ide, i / 2)};
        assert_int_equal(bus_add(w->pio, &w->ports[i]), 0);
    }
    pci_config_write(w->pci, 0, PCI_DEVFN(1, 1), 0x20, 4, BM);
    pci_config_write(w->pci, 0, PCI_DEVFN(1, 1), 0x04, 2, 5);
}

static void world_done(struct world *w)
{
    memdisk_release(w->disk);
    memdisk_release(w->cd);
    w->disk->hold = w->cd->hold = false;
    ide_pci_dev_ops.free(w->ide);
    pci_bus_free(w->pci);
    bus_free(w->pio);
    bus_free(w->mem);
    ram_free(w->ram);
    blk_close(&w->disk->blk);
    blk_close(&w->cd->blk);
}

static uint32_t in(struct world *w, unsigned port, unsigned size)
{
    return (uint32_t)bus_read(w->pio, port, size);
}

static void out(struct world *w, unsigned port, uint32_t v)
{
    bus_write(w->pio, port, 1, v);
}

static void settle(struct world *w)
{
    blk_drain(&w->disk->blk);
    blk_drain(&w->cd->blk);
}

static void lba28(struct world *w, uint32_t lba, unsigned count)
{
    out(w, CMD + 2, count);
    out(w, CMD + 3, lba);
    out(w, CMD + 4, lba >> 8);
    out(w, CMD + 5, lba >> 16);
    out(w, CMD + 6, 0xe0 | lba >> 24);
}

static uint8_t command(struct world *w, uint8_t c)
{
    out(w, CMD + 7, c);
    settle(w);
    return (uint8_t)in(w, 0x3f6, 1);
}

/* A driver finds a disk, and nothing where there is nothing. */
static void identify(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t id[512], sum = 0;
    world_new(&w);
    out(&w, CMD + 6, 0xb0);
    assert_int_equal(in(&w, CMD + 7, 1), 0);
    out(&w, CMD + 2, 0x55);
    assert_int_not_equal(in(&w, CMD + 2, 1), 0x55);
    out(&w, CMD + 6, 0xa0);
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);
    assert_int_equal(command(&w, 0xec), 0x58);
    assert_true(wire_level(&w.wires, 14));
    assert_int_equal(in(&w, CMD + 7, 1), 0x58);
    assert_false(wire_level(&w.wires, 14));
    for (unsigned i = 0; i < 256; i++)
        le16_put(id + 2 * i, (uint16_t)in(&w, CMD, 2));
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);
    assert_int_equal(in(&w, CMD, 2), 0xffff);
    for (unsigned i = 0; i < 512; i++)
        sum += id[i];
    assert_int_equal(sum, 0);
    assert_int_equal(le16_get(id), 0x40);
    assert_int_equal(le32_get(id + 120), DISK_SECTORS);
    assert_true(le64_get(id + 200) == DISK_SECTORS);
    assert_int_equal(le16_get(id + 2), DISK_SECTORS / 1008);
    assert_memory_equal(id + 20, "ESIRLA", 6);
    assert_int_equal(le16_get(id + 2 * 83) & 0xc400, 0x4400);
    /* The packet device shows its signature instead. */
    out(&w, 0x176, 0xa0);
    out(&w, 0x177, 0xec);
    assert_int_equal(in(&w, 0x177, 1) & 1, 1);
    assert_int_equal(in(&w, 0x174, 1), 0x14);
    assert_int_equal(in(&w, 0x175, 1), 0xeb);
    world_done(&w);
}

/* One interrupt for each block, no more: what every PIO driver counts on. */
static void pio_read(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[300 * 512];
    world_new(&w);
    lba28(&w, 5, 3);
    command(&w, 0x20);
    for (unsigned s = 0; s < 3; s++) {
        assert_int_equal(w.wires.rises[14], s + 1);
        assert_int_equal(in(&w, CMD + 7, 1), 0x58);
        for (unsigned i = 0; i < 128; i++)
            le32_put(buf + 512 * s + 4 * i, in(&w, CMD, 4));
    }
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);
    assert_int_equal(w.wires.rises[14], 3);
    assert_memory_equal(buf, w.disk->bytes + 5 * 512, 1536);

    /* 256 sectors by READ MULTIPLE of 16, over the end of the drive's buffer. */
    out(&w, CMD + 2, 16);
    assert_int_equal(command(&w, 0xc6), 0x50);
    in(&w, CMD + 7, 1);
    w.wires.rises[14] = 0;
    lba28(&w, 100, 0);
    command(&w, 0xc4);
    for (unsigned i = 0; i < 256 * 256; i++) {
        if (i % (16 * 256) == 0) {
            settle(&w);
            assert_int_equal(in(&w, CMD + 7, 1), 0x58);
        }
        le16_put(buf + 2 * i, (uint16_t)in(&w, CMD, 2));
    }
    assert_int_equal(w.wires.rises[14], 16);
    assert_memory_equal(buf, w.disk->bytes + 100 * 512, 256 * 512);
    world_done(&w);
}

static void pio_write(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    /* 48-bit addresses: the bytes written before are the high ones. */
    out(&w, CMD + 6, 0x40);
    out(&w, CMD + 2, 0);
    out(&w, CMD + 2, 200);
    out(&w, CMD + 3, 0);
    out(&w, CMD + 3, 0x34);
    out(&w, CMD + 4, 0);
    out(&w, CMD + 4, 0x12);
    out(&w, CMD + 5, 0);
    out(&w, CMD + 5, 0);
    assert_int_equal(command(&w, 0x34), 0x58);
    assert_int_equal(w.wires.rises[14], 0); /* none before the first block */
    for (unsigned i = 0; i < 200 * 256; i++) {
        bus_write(w.pio, CMD, 2, i * 31);
        settle(&w);
        in(&w, CMD + 7, 1);
    }
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);
    assert_int_equal(w.wires.rises[14], 200);
    for (unsigned i = 0; i < 200 * 256; i++)
        assert_int_equal(le16_get(w.disk->bytes + 0x1234 * 512 + 2 * i), (uint16_t)(i * 31));
    assert_int_equal(w.disk->fuas, 0);
    /* Without a write cache every write is lasting when it is done. */
    out(&w, CMD + 1, 0x82);
    assert_int_equal(command(&w, 0xef), 0x50);
    lba28(&w, 0, 1);
    command(&w, 0x30);
    for (unsigned i = 0; i < 256; i++)
        bus_write(w.pio, CMD, 2, 0);
    settle(&w);
    assert_int_equal(w.disk->fuas, 1);
    unsigned flushes = w.disk->flushes;
    assert_int_equal(command(&w, 0xe7), 0x50);
    assert_int_equal(w.disk->flushes, flushes + 1);
    world_done(&w);
}

/* Old systems address by cylinder, head and sector, in a geometry they may set. */
static void chs(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    out(&w, CMD + 2, 17);
    out(&w, CMD + 6, 0xa3); /* 4 heads */
    assert_int_equal(command(&w, 0x91), 0x50);
    out(&w, CMD + 2, 1);
    out(&w, CMD + 3, 5);
    out(&w, CMD + 4, 10);
    out(&w, CMD + 5, 0);
    out(&w, CMD + 6, 0xa2);
    assert_int_equal(command(&w, 0x20), 0x58);
    uint32_t lba = (10 * 4 + 2) * 17 + 4;
    assert_int_equal(in(&w, CMD, 2), le16_get(w.disk->bytes + lba * 512));
    out(&w, CMD + 3, 0); /* there is no sector 0 */
    assert_int_equal(command(&w, 0x20), 0x51);
    assert_int_equal(in(&w, CMD + 1, 1), 0x10);
    world_done(&w);
}

/* Beyond the end, bad sectors, a read-only disk, unknown commands: an error, never silence. */
static void errors(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    lba28(&w, DISK_SECTORS - 1, 2);
    assert_int_equal(command(&w, 0x20), 0x51);
    assert_int_equal(in(&w, CMD + 1, 1), 0x10);
    lba28(&w, DISK_SECTORS, 1);
    assert_int_equal(command(&w, 0xca), 0x51);
    assert_int_equal(command(&w, 0x02), 0x51);
    assert_int_equal(in(&w, CMD + 1, 1), 0x04);
    w.disk->bad_from = 1000 * 512;
    w.disk->bad_to = 1001 * 512;
    lba28(&w, 1000, 1);
    assert_int_equal(command(&w, 0x20), 0x51);
    assert_int_equal(in(&w, CMD + 1, 1), 0x40);
    assert_int_equal(in(&w, CMD + 3, 1) | in(&w, CMD + 4, 1) << 8, 1000);
    lba28(&w, 900, 200);
    assert_int_equal(command(&w, 0x40), 0x51);
    lba28(&w, 100, 200);
    assert_int_equal(command(&w, 0x40), 0x50);
    w.disk->blk.readonly = true;
    lba28(&w, 0, 1);
    assert_int_equal(command(&w, 0x30), 0x51);
    assert_int_equal(in(&w, CMD + 1, 1), 0x04);
    world_done(&w);
}

static void prd(struct world *w, unsigned n, uint32_t addr, uint32_t flags)
{
    le32_put(w->ram->host + 0x1000 + 8 * n, addr);
    le32_put(w->ram->host + 0x1004 + 8 * n, flags);
}

static void bm_start(struct world *w, unsigned channel, uint8_t direction)
{
    bus_write(w->pio, BM + 8 * channel + 4, 4, 0x1000);
    out(w, BM + 8 * channel + 2, 0x06);
    out(w, BM + 8 * channel, direction | 1);
    settle(w);
}

static void dma(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    prd(&w, 0, 0x10000, 1024);
    prd(&w, 1, 0x20002, 0x80000000 | 3072);
    lba28(&w, 77, 8);
    assert_int_equal(command(&w, 0xc8), 0x80);
    assert_false(wire_level(&w.wires, 14));
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, BM + 2, 1), 0x04); /* interrupt, not active, no error */
    assert_true(wire_level(&w.wires, 14));
    assert_memory_equal(w.ram->host + 0x10000, w.disk->bytes + 77 * 512, 1024);
    assert_memory_equal(w.ram->host + 0x20002, w.disk->bytes + 79 * 512, 3072);
    assert_int_equal(*ram_flags(w.ram, 0x20002), RAM_DIRTY_ALL);
    out(&w, BM, 0);
    out(&w, BM + 2, 4);
    assert_int_equal(in(&w, BM + 2, 1), 0);
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);

    /* Writing; the bus master started before the command. */
    memset(w.ram->host + 0x10000, 0xab, 1024);
    bm_start(&w, 0, 0);
    lba28(&w, 500, 8);
    command(&w, 0xca);
    assert_int_equal(w.disk->bytes[500 * 512 + 1023], 0xab);
    assert_memory_equal(w.disk->bytes + 502 * 512, w.ram->host + 0x20002, 3072);
    out(&w, BM, 0);

    /* A list longer than the transfer: done, and still active. */
    prd(&w, 0, 0x30000, 0x80000000); /* 64 KiB */
    lba28(&w, 0, 1);
    command(&w, 0xc8);
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, BM + 2, 1), 0x05);
    out(&w, BM, 0);
    assert_int_equal(in(&w, BM + 2, 1), 0x04);

    /* A list that is too short: neither active nor interrupt; the data that fit are there. */
    in(&w, CMD + 7, 1);
    memset(w.ram->host + 0x30000, 0, 2048);
    prd(&w, 0, 0x30000, 0x80000000 | 700);
    lba28(&w, 9, 4);
    command(&w, 0xc8);
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, BM + 2, 1), 0);
    assert_false(wire_level(&w.wires, 14));
    assert_memory_equal(w.ram->host + 0x30000, w.disk->bytes + 9 * 512, 512);
    out(&w, 0x3f6, 4);
    out(&w, 0x3f6, 0);
    assert_int_equal(in(&w, CMD + 7, 1), 0x50);
    world_done(&w);
}

/* Lists that point outside RAM, without end, or with bus mastering off. */
static void dma_hostile(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    prd(&w, 0, 0xf0000000, 0x80000000 | 512);
    lba28(&w, 0, 1);
    command(&w, 0xc8);
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, BM + 2, 1), 0x06); /* error and interrupt */
    assert_int_equal(in(&w, CMD + 7, 1), 0x51);
    out(&w, BM, 0);
    bus_write(w.pio, BM + 4, 4, 0xfffffffc);
    lba28(&w, 0, 1);
    command(&w, 0xc8);
    out(&w, BM + 2, 6);
    out(&w, BM, 9);
    settle(&w);
    assert_int_equal(in(&w, BM + 2, 1), 0x06);
    out(&w, BM, 0);
    for (unsigned i = 0; i < 9000; i++)
        prd(&w, i, 0x100000, 2);
    out(&w, CMD + 6, 0x40);
    for (unsigned i = 0; i < 4; i++) {
        out(&w, CMD + 2, i == 0 ? 0x40 : 0);
        out(&w, CMD + 3 + i % 3, 0);
    }
    lba28(&w, 0, 0);
    command(&w, 0xc8);
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, CMD + 7, 1) & 0x80, 0);
    pci_config_write(w.pci, 0, PCI_DEVFN(1, 1), 0x04, 2, 1);
    out(&w, BM, 0);
    prd(&w, 0, 0x30000, 0x80000000 | 512);
    lba28(&w, 0, 1);
    command(&w, 0xc8);
    bm_start(&w, 0, 8);
    assert_int_equal(in(&w, BM + 2, 1), 0x06);
    world_done(&w);
}

/* Reset while the disk works: nothing comes after it, neither data nor interrupt. */
static void reset_busy(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    w.disk->hold = true;
    prd(&w, 0, 0x30000, 0x80000000 | 512);
    lba28(&w, 3, 1);
    out(&w, CMD + 7, 0xc8);
    bus_write(w.pio, BM + 4, 4, 0x1000);
    out(&w, BM, 9);
    assert_int_equal(in(&w, 0x3f6, 1), 0x80);
    out(&w, CMD + 2, 0x11); /* a busy drive does not listen */
    out(&w, CMD + 7, 0xec);
    assert_int_equal(in(&w, 0x3f6, 1), 0x80);
    memdisk_release(w.disk);
    ide_pci_dev_ops.reset(w.ide);
    assert_int_equal(w.disk->blk.in_flight, 0);
    assert_int_equal(in(&w, 0x3f6, 1), 0x50);
    assert_int_equal(w.wires.rises[14], 0);
    world_done(&w);
}

static void interrupt_mask(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    out(&w, 0x3f6, 2);
    command(&w, 0x10);
    assert_false(wire_level(&w.wires, 14));
    out(&w, 0x3f6, 0);
    assert_true(wire_level(&w.wires, 14)); /* it was only hidden */
    out(&w, CMD + 6, 0xb0);
    assert_false(wire_level(&w.wires, 14)); /* the other drive drives the wire now */
    out(&w, CMD + 6, 0xa0);
    in(&w, CMD + 7, 1);
    assert_false(wire_level(&w.wires, 14));
    assert_int_equal(command(&w, 0x90), 0x50);
    assert_int_equal(in(&w, CMD + 1, 1), 1);
    assert_int_equal(in(&w, CMD + 4, 1), 0);
    world_done(&w);
}

/* ---- the CD drive, on the secondary channel ---- */

static uint8_t packet(struct world *w, const uint8_t *p, bool use_dma, unsigned limit)
{
    out(w, 0x171, use_dma);
    out(w, 0x174, limit);
    out(w, 0x175, limit >> 8);
    out(w, 0x176, 0xa0);
    out(w, 0x177, 0xa0);
    assert_int_equal(in(w, 0x376, 1), 0x58);
    assert_int_equal(in(w, 0x172, 1) & 3, 1);
    for (unsigned i = 0; i < 6; i++)
        bus_write(w->pio, 0x170, 2, le16_get(p + 2 * i));
    settle(w);
    return (uint8_t)in(w, 0x376, 1);
}

/* The whole answer of a PIO command; returns its length. */
static unsigned answer(struct world *w, uint8_t *buf, unsigned limit)
{
    unsigned n = 0;
    while (in(w, 0x177, 1) & 8) {
        unsigned block = in(w, 0x174, 1) | in(w, 0x175, 1) << 8;
        assert_int_equal(in(w, 0x172, 1) & 3, 2);
        assert_true(block && block <= limit);
        for (unsigned i = 0; i < block; i += 2, n += 2)
            le16_put(buf + n, (uint16_t)in(w, 0x170, 2));
        settle(w);
    }
    assert_int_equal(in(w, 0x172, 1) & 3, 3);
    return n;
}

static void sense(struct world *w, unsigned key, unsigned asc)
{
    uint8_t buf[64];
    packet(w, (const uint8_t[12]){0x03, 0, 0, 0, 18}, false, 0xfffe);
    assert_int_equal(answer(w, buf, 0xfffe), 18);
    assert_int_equal(buf[2], key);
    assert_int_equal(buf[12], asc);
}

static void cd_read(void **ctx)
{
    (void)ctx;
    struct world w;
    static uint8_t buf[CD_SECTORS * 2048];
    world_new(&w);
    /* After power-on the first command is told so, the next works. */
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x51);
    sense(&w, 6, 0x29);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x50);
    packet(&w, (const uint8_t[12]){0x25}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 8);
    assert_int_equal(be32_get(buf), CD_SECTORS - 1);
    assert_int_equal(be32_get(buf + 4), 2048);
    /* 70 sectors, more than the buffer, in blocks of 2048 and of an odd size. */
    static const unsigned limits[] = {2048, 0xffff, 3001, 0, 1};
    for (unsigned i = 0; i < 5; i++) {
        memset(buf, 0, sizeof(buf));
        unsigned count = limits[i] == 1 ? 1 : 70;
        packet(&w, (const uint8_t[12]){0x28, 0, 0, 0, 0, 9, 0, 0, (uint8_t)count}, false,
               limits[i]);
        assert_int_equal(answer(&w, buf, limits[i] > 1 ? limits[i] : 0xfffe), count * 2048);
        assert_memory_equal(buf, w.cd->bytes + 9 * 2048, count * 2048);
    }
    /* By DMA. */
    prd(&w, 0, 0x40000, 0);
    prd(&w, 1, 0x50000, 0x80000000);
    assert_int_equal(packet(&w, (const uint8_t[12]){0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 64}, true, 0),
                     0x80);
    bm_start(&w, 1, 8);
    assert_int_equal(in(&w, BM + 10, 1), 4);
    assert_memory_equal(w.ram->host + 0x40000, w.cd->bytes + 3 * 2048, 64 * 2048);
    assert_int_equal(in(&w, 0x177, 1), 0x50);
    out(&w, BM + 8, 0);
    /* Out of range. */
    assert_int_equal(packet(&w, (const uint8_t[12]){0x28, 0, 0, 0, 1, 0x90, 0, 0, 1}, false, 0),
                     0x51);
    sense(&w, 5, 0x21);
    assert_int_equal(
        packet(&w, (const uint8_t[12]){0xa8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
               true, 0),
        0x51);
    w.cd->bad_to = 2048;
    assert_int_equal(packet(&w, (const uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1}, false, 0), 0x51);
    sense(&w, 3, 0x11);
    world_done(&w);
}

static void cd_information(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[256];
    world_new(&w);
    packet(&w, (const uint8_t[12]){0x12, 0, 0, 0, 36}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 36);
    assert_int_equal(buf[0], 5);
    assert_int_equal(buf[1], 0x80);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x51); /* power-on */
    packet(&w, (const uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0, 1, 0}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 20);
    assert_int_equal(be16_get(buf), 18);
    assert_int_equal(buf[6], 1);
    assert_memory_equal(buf + 8, "\0\0\2\0", 4);
    assert_int_equal(buf[14], 0xaa);
    assert_memory_equal(buf + 16, "\0\0\7\x19", 4); /* 400 + 150 frames */
    packet(&w, (const uint8_t[12]){0x43, 0, 0, 0, 0, 0, 0, 0, 4}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 4); /* no more than was allocated */
    packet(&w, (const uint8_t[12]){0x46, 0, 0, 0, 0, 0, 0, 1, 0}, false, 0xfffe);
    unsigned n = answer(&w, buf, 0xfffe);
    assert_int_equal(be32_get(buf), n - 4);
    assert_int_equal(be16_get(buf + 6), 8);
    packet(&w, (const uint8_t[12]){0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128}, false, 0xfffe);
    n = answer(&w, buf, 0xfffe);
    assert_int_equal(be16_get(buf), n - 2);
    assert_int_equal(buf[8], 0x2a);
    packet(&w, (const uint8_t[12]){0x51, 0, 0, 0, 0, 0, 0, 0, 64}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 34);
    assert_int_equal(packet(&w, (const uint8_t[12]){0xff}, false, 0), 0x51);
    sense(&w, 5, 0x20);
    world_done(&w);
}

/* A user changes discs: the guest is told, may lock the tray, and never reads the old disc. */
static void cd_change(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[64];
    bool open;
    world_new(&w);
    struct ide *ide = ide_pci_channel(w.ide, 1);
    packet(&w, (const uint8_t[12]){0}, false, 0);
    assert_int_equal(packet(&w, (const uint8_t[12]){0x1e, 0, 0, 0, 1}, false, 0), 0x50);
    assert_int_equal(ide_eject(ide, 0, false), -EBUSY);
    packet(&w, (const uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 8);
    assert_int_equal(buf[4], 1); /* eject request */
    assert_int_equal(buf[5], 2);
    assert_int_equal(packet(&w, (const uint8_t[12]){0x1b, 0, 0, 0, 2}, false, 0), 0x51);
    sense(&w, 5, 0x53);
    packet(&w, (const uint8_t[12]){0x1e}, false, 0);
    /* The guest ejects by itself and takes the disc in again. */
    assert_int_equal(packet(&w, (const uint8_t[12]){0x1b, 0, 0, 0, 2}, false, 0), 0x50);
    assert_non_null(ide_disc(ide, 0, &open));
    assert_true(open);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x51);
    sense(&w, 2, 0x3a);
    assert_int_equal(packet(&w, (const uint8_t[12]){0x1b, 0, 0, 0, 3}, false, 0), 0x50);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x51);
    sense(&w, 6, 0x28);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x50);
    /* From outside, in the middle of a read by DMA that waits for the bus master. */
    prd(&w, 0, 0x40000, 0x80000000 | 2048);
    packet(&w, (const uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1}, true, 0);
    assert_int_equal(ide_eject(ide, 0, false), 0);
    assert_null(ide_disc(ide, 0, &open));
    bm_start(&w, 1, 8);
    assert_int_equal(in(&w, 0x177, 1), 0x51);
    sense(&w, 2, 0x3a);
    packet(&w, (const uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, false, 0xfffe);
    assert_int_equal(answer(&w, buf, 0xfffe), 8);
    assert_int_equal(buf[4], 3);
    assert_int_equal(ide_insert(ide, 0, &w.cd->blk), 0);
    assert_int_equal(ide_insert(ide, 0, &w.cd->blk), -EBUSY);
    assert_int_equal(ide_insert(ide, 1, &w.cd->blk), -ENODEV);
    assert_int_equal(ide_eject(ide_pci_channel(w.ide, 0), 0, true), -ENODEV);
    assert_int_equal(packet(&w, (const uint8_t[12]){0}, false, 0), 0x51);
    sense(&w, 6, 0x28);
    world_done(&w);
}

/* Saved in the middle of a sector and loaded into another machine, the read goes on. */
static void saved_amid(void **ctx)
{
    (void)ctx;
    struct world a, b;
    struct state *save, *load;
    world_new(&a);
    world_new(&b);
    lba28(&a, 200, 4);
    command(&a, 0x20);
    for (unsigned i = 0; i < 300; i++)
        in(&a, CMD, 2);
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(ide_pci_dev_ops.state(a.ide, save), 0);
    size_t len;
    const void *data = state_data(save, &len);
    assert_int_equal(state_new_load(data, len, &load), 0);
    assert_int_equal(ide_pci_dev_ops.state(b.ide, load), 0);
    assert_true(wire_level(&b.wires, 14));
    for (unsigned i = 300; i < 1024; i++)
        assert_int_equal(in(&b, CMD, 2), le16_get(b.disk->bytes + 200 * 512 + 2 * i));
    assert_int_equal(in(&b, CMD + 7, 1), 0x50);
    state_free(save);
    state_free(load);
    world_done(&a);
    world_done(&b);
}

/* Random accesses to every port: no crash, and a reset always brings the drives back. */
static void garbage(void **ctx)
{
    (void)ctx;
    struct world w;
    uint64_t seed = 99;
    world_new(&w);
    for (unsigned i = 0; i < 0x1000; i++)
        w.ram->host[0x1000 + i] = (uint8_t)(i * 17);
    for (unsigned i = 0; i < 300000; i++) {
        static const uint16_t bases[] = {0x1f0, 0x170, 0x1f0, 0x170, 0x3f6, 0x376, BM, BM + 8};
        static const uint8_t commands[] = {0x20, 0x24, 0x30, 0xc4, 0xc5, 0xc8, 0xca, 0xa0,
                                           0x25, 0x35, 0xec, 0xa1, 0xef, 0xc6, 0x91, 0x40};
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned base = (unsigned)(seed >> 60) & 7, size = 1u << (seed >> 58 & 3) % 3;
        unsigned port = bases[base] + (base < 4 ? seed >> 40 & 7 : base < 6 ? 0 : seed >> 40 & 7);
        uint32_t v = (uint32_t)(seed >> 20);
        if (base < 4 && (port & 7) == 7)
            v = commands[v & 15];
        if (base >= 6 && (port & 7) >= 4)
            continue;
        if (seed >> 36 & 1)
            in(&w, port, size);
        else
            bus_write(w.pio, port, size, v);
        if (i % 7 == 0)
            settle(&w);
    }
    bus_write(w.pio, BM + 4, 4, 0x1000);
    ide_pci_dev_ops.reset(w.ide);
    assert_int_equal(command(&w, 0xec), 0x58);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identify),       cmocka_unit_test(pio_read),
        cmocka_unit_test(pio_write),      cmocka_unit_test(chs),
        cmocka_unit_test(errors),         cmocka_unit_test(dma),
        cmocka_unit_test(dma_hostile),    cmocka_unit_test(reset_busy),
        cmocka_unit_test(interrupt_mask), cmocka_unit_test(cd_read),
        cmocka_unit_test(cd_information), cmocka_unit_test(cd_change),
        cmocka_unit_test(saved_amid),     cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
