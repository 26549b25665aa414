/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware sets up before it starts a kernel, for kernels that start without it: addresses
 * of PCI devices, interrupt routes, the ports of power management, A20, shadow RAM at 0xf0000,
 * interrupts in real mode. The numbers are those that SeaBIOS chooses.
 */
#include "machine/boot.h"

#include "base/bytes.h"
#include "memory/dma.h"

#define MEM_WINDOW 0xe0000000u
#define MEM_WINDOW_END 0xfebf0000u
#define IO_WINDOW 0xc000u
#define IO_WINDOW_END 0xff00u

#define COMMAND 0x04
#define HEADER_TYPE 0x0e
#define BAR0 0x10
#define INTERRUPT_LINE 0x3c
#define CMD_IO 1
#define CMD_MEM 2

#define SOUTH_BRIDGE_SLOT 1
#define PM_BASE 0x600
#define SMB_BASE 0x700

/* Behind the tables that boot_acpi.c puts at 0xf0000. */
#define HANDLERS_GPA 0xfff00u
enum { HANDLER_NONE, HANDLER_SLAVE = 8, HANDLER_MASTER = 16, HANDLERS_BYTES = 24 };

static uint32_t get(struct pc *pc, uint8_t devfn, unsigned reg, unsigned size)
{
    return pci_config_read(pc->pci, 0, devfn, reg, size);
}

static void put(struct pc *pc, uint8_t devfn, unsigned reg, unsigned size, uint32_t value)
{
    pci_config_write(pc->pci, 0, devfn, reg, size, value);
}

/* The size a base address register asks for, and which bits of it are flags. */
static uint32_t bar_size(struct pc *pc, uint8_t devfn, unsigned reg, bool *ret_io, bool *ret_wide)
{
    uint32_t mask;

    put(pc, devfn, reg, 4, 0xffffffff);
    mask = get(pc, devfn, reg, 4);
    put(pc, devfn, reg, 4, 0);
    *ret_io = mask & 1;
    *ret_wide = !*ret_io && (mask & 6) == 4;
    mask &= *ret_io ? ~3u : ~15u;
    if (*ret_io)
        mask |= 0xffff0000;
    return mask == 0xffff0000 || !mask ? 0 : -mask;
}

static void place_bars(struct pc *pc, uint8_t devfn, uint64_t *mem, uint32_t *io)
{
    uint32_t command = get(pc, devfn, COMMAND, 2);

    for (unsigned n = 0; n < PCI_BARS; n++) {
        unsigned reg = BAR0 + 4 * n;
        bool is_io, wide;
        uint32_t size = bar_size(pc, devfn, reg, &is_io, &wide);

        if (size && is_io) {
            *io = (uint32_t)align_up(*io, size);
            if (*io + size <= IO_WINDOW_END) {
                put(pc, devfn, reg, 4, *io);
                *io += size;
                command |= CMD_IO;
            }
        } else if (size) {
            *mem = align_up(*mem, MAX(size, 4096u));
            if (*mem + size <= MEM_WINDOW_END) {
                put(pc, devfn, reg, 4, (uint32_t)*mem);
                *mem += size;
                command |= CMD_MEM;
            }
        }
        n += wide;
    }
    put(pc, devfn, COMMAND, 2, command);
}

static void place_devices(struct pc *pc)
{
    static const uint8_t pirq_irq[4] = {10, 10, 11, 11};
    uint64_t mem = MEM_WINDOW;
    uint32_t io = IO_WINDOW;

    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned fn = 0; fn < 8; fn++) {
            uint8_t devfn = PCI_DEVFN(slot, fn);
            uint32_t pin;

            if (get(pc, devfn, 0, 2) == 0xffff) {
                if (fn == 0)
                    break;
                continue;
            }
            place_bars(pc, devfn, &mem, &io);
            pin = get(pc, devfn, INTERRUPT_LINE + 1, 1);
            if (pin >= 1 && pin <= 4)
                put(pc, devfn, INTERRUPT_LINE, 1, pirq_irq[(slot + pin - 1 + 3) & 3]);
            if (fn == 0 && !(get(pc, devfn, HEADER_TYPE, 1) & 0x80))
                break;
        }
    }
}

static void route_interrupts(struct pc *pc)
{
    uint8_t isa = PCI_DEVFN(SOUTH_BRIDGE_SLOT, 0), pm = PCI_DEVFN(SOUTH_BRIDGE_SLOT, 3);

    for (unsigned i = 0; i < 4; i++)
        put(pc, isa, 0x60 + i, 1, i < 2 ? 10 : 11);
    bus_write(pc->m->pio, 0x4d1, 1, 0x0c); /* both level-triggered */
    put(pc, pm, 0x40, 4, PM_BASE | 1);
    put(pc, pm, 0x80, 1, 1);
    put(pc, pm, 0x90, 4, SMB_BASE | 1);
    put(pc, pm, 0xd2, 1, 9);
    put(pc, pm, COMMAND, 2, CMD_IO);
    put(pc, pm, INTERRUPT_LINE, 1, 9);
}

/*
 * A kernel that goes back to real mode finds the vectors where a PC has them and its clock
 * ticking; handlers only acknowledge. Interrupts that hardware does not raise return at once: the
 * services of a BIOS are not there.
 */
static int real_mode_interrupts(struct pc *pc)
{
    static const uint8_t handlers[HANDLERS_BYTES] = {
        [HANDLER_NONE] = 0xcf,                                       /* iret */
        [HANDLER_SLAVE] = 0x50,  0xb0, 0x20, 0xe6, 0xa0, 0xeb, 0x04, /* out 0xa0, 0x20 … */
        [HANDLER_MASTER] = 0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf, /* out 0x20, 0x20 */
    };
    /* ICW1 to ICW4 of both, then the masks: only the clock and the slave may come. */
    static const uint8_t pic[][2] = {{0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01},
                                     {0xa0, 0x11}, {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01},
                                     {0x21, 0xfa}, {0xa1, 0xff}};
    const struct dma dma = {.bus = pc->m->mem};
    uint8_t table[256 * 4];
    int r;

    for (unsigned vector = 0; vector < 256; vector++) {
        unsigned handler = vector >= 0x08 && vector < 0x10   ? HANDLER_MASTER
                           : vector >= 0x70 && vector < 0x78 ? HANDLER_SLAVE
                                                             : HANDLER_NONE;
        le32_put(table + 4 * vector, (HANDLERS_GPA >> 4) << 16 | handler);
    }
    if ((r = dma_write(&dma, 0, table, sizeof(table))) < 0 ||
        (r = dma_write(&dma, HANDLERS_GPA, handlers, sizeof(handlers))) < 0)
        return r;
    for (unsigned i = 0; i < ARRAY_LEN(pic); i++)
        bus_write(pc->m->pio, pic[i][0], 1, pic[i][1]);
    bus_write(pc->m->pio, 0x43, 1, 0x34); /* 8254: counter 0 in mode 2, 18.2 Hz */
    bus_write(pc->m->pio, 0x40, 1, 0);
    bus_write(pc->m->pio, 0x40, 1, 0);
    return 0;
}

int boot_platform(struct pc *pc)
{
    place_devices(pc);
    route_interrupts(pc);
    put(pc, PCI_DEVFN(0, 0), 0x59, 1, 0x30); /* 0xf0000: RAM, for tables and handlers */
    bus_write(pc->m->pio, 0x92, 1, 2);       /* A20 */
    return real_mode_interrupts(pc);
}
