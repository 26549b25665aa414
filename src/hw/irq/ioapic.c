/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82093AA I/O advanced programmable interrupt controller.
 * Intel 82093AA datasheet (290566-001), section 3. Messages leave in the format of MSIs, as they
 * do in chipsets without an APIC bus (Intel SDM vol. 3, 11.11). Of its successors it has bits 55:48
 * of an entry, so that an interrupt remapper can be asked for an entry of its table (VT-d
 * specification, 5.1.5.1: bits 63:49 and 11 are the entry's number, bit 48 says so).
 *
 * Left out: the arbitration register's life on the APIC bus (it mirrors the identification), SMI
 * and reserved delivery modes (sent on; no local APIC takes them).
 */
#include "hw/irq/ioapic.h"

#include <errno.h>

#include "hw/core/statename.h"

enum {
    IOREGSEL = 0x00,
    IOWIN = 0x10,
    REG_ID = 0,
    REG_VERSION = 1,
    REG_ARBITRATION = 2,
    REG_REDIRECTION = 0x10,
    VERSION = 0x11,
};

#define ENTRY_VECTOR 0xffull
#define ENTRY_MODE(e) ((unsigned)((e) >> 8 & 7))
#define ENTRY_LOGICAL (1ull << 11)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_READ_ONLY (1ull << 12 | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE 0xffff00000001afffull

enum { MODE_FIXED, MODE_LOWEST };

struct ioapic {
    struct ioapic_env env;
    uint8_t select;
    uint8_t id;
    uint32_t pins;
    uint64_t entries[IOAPIC_PINS];
};

static void pin_send(struct ioapic *io, unsigned n)
{
    uint64_t e = io->entries[n];
    uint64_t addr = 0xfee00000u | (e >> 48) << 4 | (e & ENTRY_LOGICAL ? 1 << 2 : 0);
    uint32_t data = (uint32_t)(e & ENTRY_VECTOR) | ENTRY_MODE(e) << 8;
    if (e & ENTRY_LEVEL)
        data |= 1u << 15 | 1u << 14; /* level-triggered, asserted */
    /* Lowest priority asks for the redirection hint. */
    if (ENTRY_MODE(e) == MODE_LOWEST)
        addr |= 1 << 3;
    msi_send(&io->env.msi, io->env.source, addr, data);
}

static bool entry_waits_for_eoi(uint64_t e)
{
    return e & ENTRY_LEVEL && ENTRY_MODE(e) <= MODE_LOWEST;
}

/* A level-triggered pin that is high and not yet accepted is sent. */
static void pin_service_level(struct ioapic *io, unsigned n)
{
    uint64_t *e = &io->entries[n];
    if (!(io->pins >> n & 1) || *e & (ENTRY_MASKED | ENTRY_REMOTE_IRR) || !entry_waits_for_eoi(*e))
        return;
    *e |= ENTRY_REMOTE_IRR;
    pin_send(io, n);
}

void ioapic_set_pin(void *dev, unsigned n, bool level)
{
    struct ioapic *io = dev;
    if (n >= IOAPIC_PINS || (io->pins >> n & 1) == level)
        return;
    io->pins ^= 1u << n;
    if (!level)
        return;
    if (entry_waits_for_eoi(io->entries[n]))
        pin_service_level(io, n);
    else if (!(io->entries[n] & ENTRY_MASKED))
        pin_send(io, n); /* edges on a masked pin are lost (3.2.4, bit 16) */
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
    for (unsigned n = 0; n < IOAPIC_PINS; n++) {
        uint64_t *e = &io->entries[n];
        if (!(*e & ENTRY_REMOTE_IRR) || (*e & ENTRY_VECTOR) != vector)
            continue;
        *e &= ~ENTRY_REMOTE_IRR;
        pin_service_level(io, n);
    }
}

static uint32_t ioapic_read_reg(const struct ioapic *io, unsigned reg)
{
    switch (reg) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)io->id << 24;
    case REG_VERSION:
        return VERSION | (IOAPIC_PINS - 1) << 16;
    default:
        if (reg < REG_REDIRECTION || reg >= REG_REDIRECTION + 2 * IOAPIC_PINS)
            return 0;
        return (uint32_t)(io->entries[(reg - REG_REDIRECTION) / 2] >> (reg & 1 ? 32 : 0));
    }
}

static void ioapic_write_reg(struct ioapic *io, unsigned reg, uint32_t value)
{
    if (reg == REG_ID)
        io->id = value >> 24 & 0x0f;
    if (reg < REG_REDIRECTION || reg >= REG_REDIRECTION + 2 * IOAPIC_PINS)
        return;
    unsigned n = (reg - REG_REDIRECTION) / 2, shift = reg & 1 ? 32 : 0;
    uint64_t *e = &io->entries[n];
    uint64_t next = (*e & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
    *e = (next & ENTRY_WRITABLE) | (*e & ENTRY_READ_ONLY);
    if (!entry_waits_for_eoi(*e))
        *e &= ~ENTRY_REMOTE_IRR; /* Linux ends an interrupt by a turn as edge-triggered */
    pin_service_level(io, n);
}

static uint64_t ioapic_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    struct ioapic *io = dev;
    switch (offset & 0xfc) {
    case IOREGSEL:
        return io->select;
    case IOWIN:
        return ioapic_read_reg(io, io->select);
    default:
        return 0;
    }
}

static void ioapic_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    struct ioapic *io = dev;
    switch (offset & 0xff) {
    case IOREGSEL:
        io->select = (uint8_t)value;
        break;
    case IOWIN:
        ioapic_write_reg(io, io->select, (uint32_t)value);
        break;
    default:
        break;
    }
}

static void ioapic_reset(void *dev)
{
    struct ioapic *io = dev;
    io->select = io->id = 0;
    for (unsigned n = 0; n < IOAPIC_PINS; n++)
        io->entries[n] = ENTRY_MASKED;
    /* The pins belong to others and keep their levels. */
}

static int ioapic_state(void *dev, struct state *s)
{
    struct ioapic *io = dev;
    state_u8(s, "select", &io->select);
    state_u8(s, "id", &io->id);
    state_u32(s, "pins", &io->pins);
    for (unsigned n = 0; n < IOAPIC_PINS; n++)
        state_u64(s, STATE_NAME("entry", n), &io->entries[n]);
    return state_error(s);
}

static void ioapic_free(void *dev)
{
    free(dev);
}

const struct dev_ops ioapic_dev_ops = {.name = "ioapic",
                                       .version = 1,
                                       .reset = ioapic_reset,
                                       .state = ioapic_state,
                                       .free = ioapic_free};

const struct io_ops ioapic_io = {
    .name = "ioapic", .min_size = 4, .max_size = 4, .read = ioapic_read, .write = ioapic_write};

int ioapic_new(const struct ioapic_env *env, struct ioapic **ret_ioapic)
{
    struct ioapic *io = calloc(1, sizeof(*io));
    if (!io)
        return -ENOMEM;
    io->env = *env;
    ioapic_reset(io);
    *ret_ioapic = io;
    return 0;
}
