/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82371SB (PIIX3), function 1. Datasheet 290550-002, sections 2.5 (configuration) and 2.6
 * (bus master registers); "Programming Interface for Bus Master IDE Controller" 1.0.
 *
 * The channels answer at the legacy ports whatever the IDE timing registers say, as firmware
 * other than the PC BIOS leaves their decode bits alone; the timings are kept and have no effect.
 */
#include "hw/storage/ide_pci.h"

#include <errno.h>

#include "base/bytes.h"
#include "hw/core/statename.h"

enum {
    BM_START = 0x01,
    BM_TO_MEMORY = 0x08,
    BM_ACTIVE = 0x01,
    BM_ERROR = 0x02,
    BM_INTERRUPT = 0x04,
    BM_DRIVES = 0x60, /* "drive n can do DMA", set by software */
};

#define PRD_END 0x80000000u
/* The table lies within 64 KiB. */
#define PRD_MAX 8192u

struct bus_master {
    struct ide_pci *owner;
    struct ide *ide;
    struct ide_dma dma;
    struct line irq;
    bool irq_level;
    uint8_t command, status;
    uint32_t table; /* address of the list of buffers */
};

struct ide_pci {
    struct pci_dev pci;
    struct region registers;
    struct bus_master channel[2];
};

static bool bm_running(void *ctx)
{
    struct bus_master *bm = ctx;
    return bm->command & BM_START && bm->status & BM_ACTIVE;
}

static int bm_map(void *ctx, uint64_t want_bytes, bool to_memory, struct slices *s, bool *ret_end)
{
    struct bus_master *bm = ctx;
    const struct dma *dma = &bm->owner->pci.dma;
    if (!pci_bus_master(&bm->owner->pci))
        return -EFAULT;
    *ret_end = false;
    for (unsigned i = 0; i < PRD_MAX && want_bytes; i++) {
        uint8_t prd[8];
        int r = dma_read(dma, (uint64_t)bm->table + 8 * i, prd, sizeof(prd));
        if (r < 0)
            return r;
        uint32_t flags = le32_get(prd + 4), len_bytes = flags & 0xfffe;
        uint64_t piece = MIN(want_bytes, (uint64_t)(len_bytes ? len_bytes : 0x10000));
        r = slices_add(s, dma, le32_get(prd) & ~1u, piece, to_memory);
        if (r < 0)
            return r;
        want_bytes -= piece;
        if (flags & PRD_END) {
            *ret_end = piece == (len_bytes ? len_bytes : 0x10000);
            return 0;
        }
    }
    return 0;
}

static void bm_done(void *ctx, bool ok, bool end)
{
    struct bus_master *bm = ctx;
    if (!ok)
        bm->status |= BM_ERROR;
    if (!ok || end)
        bm->status &= (uint8_t)~BM_ACTIVE;
}

/* INTRQ of a channel: its rising edge is remembered in the status register. */
static void bm_irq(void *ctx, unsigned n, bool level)
{
    struct bus_master *bm = ctx;
    (void)n;
    if (level && !bm->irq_level)
        bm->status |= BM_INTERRUPT;
    bm->irq_level = level;
    line_set(&bm->irq, level);
}

static uint8_t bm_read(const struct bus_master *bm, unsigned offset)
{
    switch (offset) {
    case 0:
        return bm->command;
    case 2:
        return bm->status;
    case 4 ... 7:
        return (uint8_t)(bm->table >> (8 * (offset - 4)));
    }
    return 0;
}

static void bm_write(struct bus_master *bm, unsigned offset, uint8_t v)
{
    switch (offset) {
    case 0: {
        bool was = bm->command & BM_START;
        bm->command = v & (BM_START | BM_TO_MEMORY);
        if (!was && v & BM_START) {
            bm->status |= BM_ACTIVE;
            ide_dma_started(bm->ide);
        } else if (!(v & BM_START)) {
            bm->status &= (uint8_t)~BM_ACTIVE;
        }
        break;
    }
    case 2:
        bm->status = (uint8_t)((bm->status & ~BM_DRIVES & ~(v & (BM_ERROR | BM_INTERRUPT))) |
                               (v & BM_DRIVES));
        break;
    case 4 ... 7: {
        unsigned shift = 8 * (offset - 4);
        bm->table = (bm->table & ~(0xffu << shift)) | (uint32_t)v << shift;
        bm->table &= ~3u;
        break;
    }
    }
}

static uint64_t registers_read(void *dev, uint64_t offset, unsigned size)
{
    struct ide_pci *ide = dev;
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)(offset + i) & 15;
        v |= (uint64_t)bm_read(&ide->channel[at / 8], at % 8) << (8 * i);
    }
    return v;
}

static void registers_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide_pci *ide = dev;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = (unsigned)(offset + i) & 15;
        bm_write(&ide->channel[at / 8], at % 8, (uint8_t)(value >> (8 * i)));
    }
}

static const struct io_ops registers_io = {
    .name = "ide-bus-master",
    .min_size = 1,
    .max_size = 4,
    .read = registers_read,
    .write = registers_write,
};

static void ide_pci_reset(void *dev)
{
    struct ide_pci *ide = dev;
    for (unsigned i = 0; i < 2; i++) {
        struct bus_master *bm = &ide->channel[i];
        ide_dev_ops.reset(bm->ide);
        bm->command = bm->status = 0;
        bm->table = 0;
    }
    pci_dev_reset(&ide->pci);
    for (unsigned i = 0x40; i < 0x45; i++) /* IDETIM and SIDETIM */
        ide->pci.config[i] = 0;
}

static int ide_pci_state(void *dev, struct state *s)
{
    struct ide_pci *ide = dev;
    pci_dev_state(&ide->pci, s);
    for (unsigned i = 0; i < 2; i++) {
        struct bus_master *bm = &ide->channel[i];
        ide_dev_ops.state(bm->ide, s);
        state_u8(s, STATE_NAME("bm_command", i), &bm->command);
        state_u8(s, STATE_NAME("bm_status", i), &bm->status);
        state_u32(s, STATE_NAME("bm_table", i), &bm->table);
        bm->command &= BM_START | BM_TO_MEMORY;
        bm->table &= ~3u;
    }
    return state_error(s);
}

static void ide_pci_free(void *dev)
{
    struct ide_pci *ide = dev;
    for (unsigned i = 0; i < 2; i++)
        if (ide->channel[i].ide)
            ide_dev_ops.free(ide->channel[i].ide);
    if (ide->pci.bus)
        pci_dev_done(&ide->pci);
    free(ide);
}

const struct dev_ops ide_pci_dev_ops = {
    .name = "piix3-ide",
    .version = 1,
    .reset = ide_pci_reset,
    .state = ide_pci_state,
    .free = ide_pci_free,
};

struct ide *ide_pci_channel(struct ide_pci *ide, unsigned n)
{
    return ide->channel[n & 1].ide;
}

static int add_channel(struct ide_pci *ide, unsigned n, const struct ide_pci_env *env,
                       const struct ide_drive_config *drives)
{
    struct bus_master *bm = &ide->channel[n];
    bm->owner = ide;
    bm->irq = env->irq[n];
    bm->dma = (struct ide_dma){.running = bm_running, .map = bm_map, .done = bm_done, .ctx = bm};
    const struct ide_env ide_env = {
        .number = n,
        .irq = {.set = bm_irq, .ctx = bm},
        .mem = &ide->pci.dma,
        .dma = &bm->dma,
    };
    return ide_new(&ide_env, drives, &bm->ide);
}

int ide_pci_new(const struct ide_pci_env *env, const struct ide_drive_config drives[4],
                struct ide_pci **ret_ide)
{
    static const struct pci_ids ids = {
        .vendor = 0x8086,
        .device = 0x7010,
        .class_code = 0x010180, /* IDE, with bus master, at fixed legacy ports */
    };
    struct ide_pci *ide = calloc(1, sizeof(*ide));
    if (!ide)
        return -ENOMEM;
    int r = pci_dev_init(&ide->pci, env->pci, env->devfn, "piix3-ide", &ids, 0);
    for (unsigned i = 0; i < 2 && r == 0; i++)
        r = add_channel(ide, i, env, drives + 2 * i);
    if (r < 0) {
        ide_pci_free(ide);
        return r;
    }
    for (unsigned i = 0x40; i < 0x45; i++)
        ide->pci.wmask[i] = 0xff;
    ide->pci.dev = ide;
    ide->registers = (struct region){.name = "ide-bus-master",
                                     .size_bytes = 16,
                                     .priority = 1,
                                     .kind = REGION_IO,
                                     .ops = &registers_io,
                                     .dev = ide};
    pci_add_bar(&ide->pci, 4, &ide->registers, true, false, false);
    *ret_ide = ide;
    return 0;
}
