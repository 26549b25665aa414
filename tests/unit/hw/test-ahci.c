/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A serial ATA disk and a CD drive, by a driver as AHCI 1.3.1, 5.5 has it. */
#include "hwtest.h"
#include "memdisk.h"

#include "base/bytes.h"
#include "hw/storage/ahci.h"

#define DEVFN PCI_DEVFN(5, 0)
#define ABAR 0xe0000000u
#define PORT(n) (ABAR + 0x100 + (n)*0x80u)
#define LIST 0x10000u
#define FISES 0x20000u
#define TABLE(slot) (0x30000u + (slot)*0x1000u)
#define DATA 0x100000u
#define SECTORS 4096u

struct world {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct region ram_region;
    bool intx;
    struct memdisk *disk, *disc;
    struct ahci *dev;
};

static void on_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    (void)devfn;
    (void)pin;
    ((struct world *)ctx)->intx = level;
}

static uint32_t in(struct world *w, uint32_t addr)
{
    return (uint32_t)bus_read(w->mem, addr, 4);
}

static void out(struct world *w, uint32_t addr, uint32_t v)
{
    bus_write(w->mem, addr, 4, v);
}

static void start_port(struct world *w, unsigned n)
{
    out(w, PORT(n) + 0x00, LIST);
    out(w, PORT(n) + 0x08, FISES);
    out(w, PORT(n) + 0x30, 0xffffffff);
    out(w, PORT(n) + 0x10, 0xffffffff);
    out(w, PORT(n) + 0x14, 0xffffffff);
    out(w, PORT(n) + 0x18, 0x16);
    out(w, PORT(n) + 0x18, 0x17);
}

static void world_new(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(ram_new(MIB(4), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 36, w->ram, &w->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &w->pio), 0);
    w->ram_region = (struct region){.size_bytes = MIB(4), .kind = REGION_RAM};
    assert_int_equal(bus_add(w->mem, &w->ram_region), 0);
    const struct pci_env pci = {.mem = w->mem, .pio = w->pio, .intx = on_intx, .intx_ctx = w};
    assert_int_equal(pci_bus_new(&pci, &w->pci), 0);
    w->disk = memdisk_new(SECTORS * 512);
    w->disc = memdisk_new(64 * 2048);
    const struct ahci_env env = {.pci = w->pci, .devfn = DEVFN};
    const struct ide_drive_config drives[AHCI_PORTS] = {
        {.kind = IDE_DISK, .blk = &w->disk->blk, .serial = "abc"},
        {.kind = IDE_CD, .blk = &w->disc->blk}};
    assert_int_equal(ahci_new(&env, drives, &w->dev), 0);
    pci_config_write(w->pci, 0, DEVFN, 0x24, 4, ABAR);
    pci_config_write(w->pci, 0, DEVFN, 0x04, 2, 6);
    out(w, ABAR + 4, 0x80000002);
    start_port(w, 0);
    start_port(w, 1);
}

static void world_done(struct world *w)
{
    ahci_dev_ops.free(w->dev);
    pci_bus_free(w->pci);
    bus_free(w->pio);
    bus_free(w->mem);
    ram_free(w->ram);
    blk_close(&w->disk->blk);
    blk_close(&w->disc->blk);
}

/* A command in its slot, its data in two buffers. */
static void put(struct world *w, unsigned slot, uint8_t command, uint64_t lba, uint32_t count,
                uint32_t bytes)
{
    uint8_t *header = w->ram->host + LIST + 32 * slot, *table = w->ram->host + TABLE(slot);
    bool queued = command == 0x60 || command == 0x61;
    memset(table, 0, 0x200);
    le32_put(header, 5 | 2u << 16);
    le32_put(header + 4, 0);
    le64_put(header + 8, TABLE(slot));
    table[0] = 0x27;
    table[1] = 0x80;
    table[2] = command;
    table[7] = 0x40;
    for (unsigned i = 0; i < 3; i++) {
        table[4 + i] = (uint8_t)(lba >> 8 * i);
        table[8 + i] = (uint8_t)(lba >> (24 + 8 * i));
    }
    if (queued) {
        table[3] = (uint8_t)count;
        table[11] = (uint8_t)(count >> 8);
        table[12] = (uint8_t)(slot << 3);
    } else {
        table[12] = (uint8_t)count;
        table[13] = (uint8_t)(count >> 8);
    }
    uint32_t half = bytes / 2;
    le64_put(table + 0x80, DATA + 0x10000 * slot);
    le32_put(table + 0x8c, half - 1);
    le64_put(table + 0x90, DATA + 0x10000 * slot + half);
    le32_put(table + 0x9c, bytes - half - 1);
}

static uint32_t issue(struct world *w, unsigned port, unsigned slot)
{
    out(w, PORT(port) + 0x38, 1u << slot);
    blk_drain(&w->disk->blk);
    blk_drain(&w->disc->blk);
    return in(w, PORT(port) + 0x20);
}

static void identify(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    assert_int_equal(pci_config_read(w.pci, 0, DEVFN, 0x08, 4) >> 8, 0x010601);
    assert_int_equal(in(&w, PORT(0) + 0x24), 0x00000101);
    assert_int_equal(in(&w, PORT(1) + 0x24), 0xeb140101);
    assert_int_equal(in(&w, PORT(0) + 0x28) & 0xf, 3);
    assert_int_equal(in(&w, PORT(2) + 0x28), 0);
    put(&w, 0, 0xec, 0, 0, 512);
    assert_int_equal(issue(&w, 0, 0) & 0xff, 0x50);
    const uint8_t *id = w.ram->host + DATA;
    assert_memory_equal(id + 20, "ba c", 4);
    assert_int_equal(le16_get(id + 2 * 76) & 0x100, 0x100);
    assert_int_equal(le16_get(id + 2 * 75), 31);
    assert_int_equal(le64_get(id + 2 * 100), SECTORS);
    uint8_t sum = 0;
    for (unsigned i = 0; i < 512; i++)
        sum += id[i];
    assert_int_equal(sum, 0);
    /* It was told by a PIO setup FIS, with the bytes counted, and by an interrupt. */
    assert_int_equal(w.ram->host[FISES + 0x20], 0x5f);
    assert_int_equal(le32_get(w.ram->host + LIST + 4), 512);
    assert_int_equal(in(&w, PORT(0) + 0x10) & 2, 2);
    assert_true(w.intx);
    out(&w, PORT(0) + 0x10, 0xffffffff);
    out(&w, ABAR + 8, 1);
    assert_false(w.intx);
    world_done(&w);
}

static void reads_and_writes(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    put(&w, 3, 0x25, 7, 16, 8192); /* READ DMA EXT */
    assert_int_equal(issue(&w, 0, 3) & 0xff, 0x50);
    assert_memory_equal(w.ram->host + DATA + 0x30000, w.disk->bytes + 7 * 512, 8192);
    assert_int_equal(in(&w, PORT(0) + 0x38), 0);
    memset(w.ram->host + DATA + 0x40000, 0x77, 4096);
    put(&w, 4, 0x35, 100, 8, 4096); /* WRITE DMA EXT */
    assert_int_equal(issue(&w, 0, 4) & 0xff, 0x50);
    assert_memory_equal(w.disk->bytes + 51200, w.ram->host + DATA + 0x40000, 4096);
    put(&w, 5, 0xea, 0, 0, 512); /* FLUSH CACHE EXT */
    assert_int_equal(issue(&w, 0, 5) & 0xff, 0x50);
    assert_int_equal(w.disk->flushes, 1);
    /* Beyond the end: an error, and the port stands still until it is stopped. */
    put(&w, 6, 0x25, SECTORS, 1, 512);
    assert_int_equal(issue(&w, 0, 6), 0x1051);
    assert_true(in(&w, PORT(0) + 0x10) & 1u << 30);
    put(&w, 7, 0x25, 0, 1, 512);
    assert_int_equal(issue(&w, 0, 7), 0x1051);
    out(&w, PORT(0) + 0x18, 0x16);
    start_port(&w, 0);
    assert_int_equal(issue(&w, 0, 7) & 0xff, 0x50);
    /* A list of buffers that is too short ends with an error, not with memory overwritten. */
    put(&w, 8, 0x25, 0, 16, 4096);
    assert_true(issue(&w, 0, 8) & 1);
    assert_true(in(&w, PORT(0) + 0x10) & 1u << 24);
    world_done(&w);
}

static void queued(void **ctx)
{
    struct world w;
    uint32_t all = 0;
    (void)ctx;
    world_new(&w);
    w.disk->hold = true;
    for (unsigned slot = 0; slot < 8; slot++) {
        memset(w.ram->host + DATA + 0x10000 * slot, 0x40 + (int)slot, 4096);
        put(&w, slot, slot & 1 ? 0x61 : 0x60, 64 * slot, 8, 4096);
        all |= 1u << slot;
    }
    out(&w, PORT(0) + 0x34, all);
    out(&w, PORT(0) + 0x38, all);
    assert_int_equal(in(&w, PORT(0) + 0x38), 0); /* the drive has them */
    assert_int_equal(in(&w, PORT(0) + 0x34), all);
    memdisk_release(w.disk);
    blk_poll(&w.disk->blk);
    assert_int_equal(in(&w, PORT(0) + 0x34), 0);
    for (unsigned slot = 0; slot < 8; slot++)
        assert_memory_equal(w.ram->host + DATA + 0x10000 * slot, w.disk->bytes + slot * 64 * 512,
                            4096);
    assert_int_equal(w.ram->host[FISES + 0x58], 0xa1);
    w.disk->hold = false;
    /* One fails: the log says which. */
    w.disk->bad_from = 1024 * 512;
    w.disk->bad_to = 1025 * 512;
    put(&w, 9, 0x60, 1020, 8, 4096);
    out(&w, PORT(0) + 0x34, 1u << 9);
    assert_int_equal(issue(&w, 0, 9), 0x4051);
    assert_int_equal(in(&w, PORT(0) + 0x34), 1u << 9);
    out(&w, PORT(0) + 0x18, 0x16);
    start_port(&w, 0);
    put(&w, 0, 0x2f, 0x10, 1, 512);
    assert_int_equal(issue(&w, 0, 0) & 0xff, 0x50);
    assert_int_equal(w.ram->host[DATA], 9);
    assert_int_equal(w.ram->host[DATA + 3], 0x40);
    assert_int_equal(le16_get(w.ram->host + DATA + 4), 1020);
    world_done(&w);
}

static void packets(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    for (unsigned i = 0; i < 3; i++) { /* the first tells of the power that came */
        put(&w, 0, 0xa0, 0, 0, 4096);
        uint8_t *table = w.ram->host + TABLE(0);
        table[3] = i < 2; /* by DMA, and the last one not */
        table[6] = 0x10;  /* 4096 bytes a block */
        table[0x40] = 0x28;
        table[0x45] = 3;
        table[0x48] = 2;
        memset(w.ram->host + DATA, 0, 4096);
        uint32_t tfd = issue(&w, 1, 0);
        if (i == 0) {
            assert_true(tfd & 1);
            out(&w, PORT(1) + 0x18, 0x16);
            start_port(&w, 1);
            continue;
        }
        assert_int_equal(tfd & 0xff, 0x50);
        assert_memory_equal(w.ram->host + DATA, w.disc->bytes + 3 * 2048, 4096);
    }
    world_done(&w);
}

static void hot_plug(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    struct memdisk *second = memdisk_new(1 << 20);
    const struct ide_drive_config drive = {.kind = IDE_DISK, .blk = &second->blk};
    start_port(&w, 2);
    out(&w, ABAR + 8, 0xff);
    assert_false(w.intx);
    assert_int_equal(ahci_plug(w.dev, 0, &drive), -EBUSY);
    assert_int_equal(ahci_plug(w.dev, AHCI_PORTS, &drive), -ENODEV);
    assert_int_equal(ahci_plug(w.dev, 2, &drive), 0);
    assert_true(w.intx);
    assert_int_equal(in(&w, PORT(2) + 0x28) & 0xf, 3);
    assert_int_equal(in(&w, PORT(2) + 0x10) & 0x40, 0x40);
    put(&w, 0, 0x25, 1, 8, 4096);
    out(&w, PORT(2) + 0x38, 1);
    blk_drain(&second->blk);
    assert_memory_equal(w.ram->host + DATA, second->bytes + 512, 4096);
    /* Out it comes, with a request under way. */
    second->hold = true;
    put(&w, 0, 0x60, 8, 8, 4096);
    out(&w, PORT(2) + 0x34, 1);
    out(&w, PORT(2) + 0x38, 1);
    second->hold = false;
    memdisk_release(second);
    assert_int_equal(ahci_unplug(w.dev, 2), 0);
    assert_int_equal(ahci_unplug(w.dev, 2), -ENODEV);
    assert_int_equal(in(&w, PORT(2) + 0x28), 0);
    assert_int_equal(second->blk.in_flight, 0);
    blk_close(&second->blk);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identify), cmocka_unit_test(reads_and_writes), cmocka_unit_test(queued),
        cmocka_unit_test(packets),  cmocka_unit_test(hot_plug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
