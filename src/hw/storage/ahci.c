/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SATA function of an Intel ICH9 in AHCI mode. Intel, "I/O Controller Hub 9 Family Datasheet"
 * (316972-004), chapter 14; "Serial ATA AHCI 1.3.1 Specification", 3 (registers), 10 (resets,
 * interrupts). Left out: the ports of IDE mode, port multipliers, command completion coalescing,
 * enclosure management, power states of the link, SATA notifications.
 */
#include "hw/storage/ahci.h"

#include <errno.h>
#include <string.h>

#include "hw/core/statename.h"
#include "hw/storage/ahci_internal.h"

#define REGISTER_BYTES 2048u
#define PORTS_AT 0x100u
#define PORT_BYTES 0x80u

enum { GHC_HR = 1 << 0, GHC_IE = 1 << 1 };
#define GHC_AE (1u << 31)

/* Ports, 32 slots, AHCI only, 3 Gb/s, command list override, queuing, 64-bit addresses: 3.1.1 */
#define CAP                                                                                        \
    (1u << 31 | 1u << 30 | 1u << 24 | 2u << 20 | 1u << 18 | (AHCI_SLOTS - 1) << 8 |                \
     (AHCI_PORTS - 1))
#define VERSION_1_3_1 0x00010301u

#define CMD_WRITABLE (CMD_ST | CMD_SUD | CMD_POD | CMD_FRE | CMD_ATAPI | 0xfe000000u)
#define IS_WRITABLE (0xfdc000afu & ~(uint32_t)IS_PRCS)
#define IE_WRITABLE 0xfdc000ffu
#define SCTL_WRITABLE 0xfffu

/* ---- interrupts ---- */

/* 3.3.5: two bits follow PxSERR. */
static uint32_t port_is(const struct ahci_port *port)
{
    return port->is | (port->serr & SERR_X ? IS_PCS : 0) | (port->serr & SERR_N ? IS_PRCS : 0);
}

static void update_irq(struct ahci *ahci, bool news)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        if (port_is(&ahci->ports[i]) & ahci->ports[i].ie)
            ahci->is |= 1u << i;
    bool pending = ahci->is && ahci->ghc & GHC_IE;
    bool msi = pci_msi_enabled(&ahci->pci);
    pci_set_intx(&ahci->pci, pending && !msi);
    if (msi && pending && news)
        pci_msi_notify(&ahci->pci, 0);
}

void ahci_raise(struct ahci_port *port, uint32_t is)
{
    port->is |= is & ~(uint32_t)(IS_PCS | IS_PRCS);
    update_irq(port->ahci, true);
}

/* ---- links ---- */

static void link_changed(struct ahci_port *port)
{
    port->serr |= SERR_X | SERR_N;
    update_irq(port->ahci, true);
}

static void no_drive(struct ahci_port *port)
{
    port->status = 0x7f;
    port->error = 0;
    port->sig = 0xffffffff;
}

static uint32_t port_ssts(const struct ahci_port *port)
{
    if (!port->ide || (port->sctl & 0xf) == 4) /* nothing, or switched off */
        return (port->sctl & 0xf) == 4 ? 4 : 0;
    return (port->sctl & 0xf) == 1 ? 0 : 0x123; /* active, 3 Gb/s, there and talking */
}

/* 10.4.2: COMRESET lasts as long as DET is 1. */
static void write_sctl(struct ahci_port *port, uint32_t v)
{
    uint32_t was = port->sctl & 0xf, now = v & 0xf;
    port->sctl = v & SCTL_WRITABLE;
    if (now == 1 && was != 1) {
        ahci_port_stop(port);
        no_drive(port);
        port->status = ST_BSY;
    } else if (now == 0 && was != 0 && port->ide) {
        ide_control_io.write(port->ide, 0, 1, CTL_SRST);
        ide_control_io.write(port->ide, 0, 1, 0);
        ahci_port_link_up(port);
        port->serr |= SERR_X;
        update_irq(port->ahci, true);
    } else if (now == 0 && !port->ide) {
        no_drive(port);
    }
}

static void write_cmd(struct ahci_port *port, uint32_t v)
{
    uint32_t was = port->cmd;
    port->cmd = (was & ~CMD_WRITABLE) | (v & CMD_WRITABLE);
    if (v & CMD_CLO) /* 3.3.7: before ST is set, forget that the drive seems busy */
        port->status &= (uint8_t) ~(ST_BSY | ST_DRQ);
    if (was & CMD_ST && !(v & CMD_ST))
        ahci_port_stop(port);
    if (v & CMD_FRE && !(was & CMD_FRE) && port->ide)
        ahci_port_link_up(port); /* the FIS that the port has kept */
    ahci_port_run(port);
}

/* ---- registers ---- */

static uint32_t port_read(const struct ahci_port *port, unsigned offset)
{
    switch (offset) {
    case 0x00:
        return (uint32_t)port->clb;
    case 0x04:
        return (uint32_t)(port->clb >> 32);
    case 0x08:
        return (uint32_t)port->fb;
    case 0x0c:
        return (uint32_t)(port->fb >> 32);
    case 0x10:
        return port_is(port);
    case 0x14:
        return port->ie;
    case 0x18:
        return port->cmd | CMD_HPCP | (port->cmd & CMD_ST ? CMD_CR : 0) |
               (port->cmd & CMD_FRE ? CMD_FR : 0);
    case 0x20:
        return (uint32_t)port->error << 8 | port->status;
    case 0x24:
        return port->sig;
    case 0x28:
        return port_ssts(port);
    case 0x2c:
        return port->sctl;
    case 0x30:
        return port->serr;
    case 0x34:
        return port->sact;
    case 0x38:
        return port->ci;
    }
    return 0;
}

static void port_write(struct ahci_port *port, unsigned offset, uint32_t v)
{
    switch (offset) {
    case 0x00:
        port->clb = (port->clb & ~0xffffffffull) | (v & ~0x3ffu);
        break;
    case 0x04:
        port->clb = (uint64_t)v << 32 | (uint32_t)port->clb;
        break;
    case 0x08:
        port->fb = (port->fb & ~0xffffffffull) | (v & ~0xffu);
        break;
    case 0x0c:
        port->fb = (uint64_t)v << 32 | (uint32_t)port->fb;
        break;
    case 0x10:
        port->is &= ~(v & IS_WRITABLE);
        update_irq(port->ahci, false);
        break;
    case 0x14:
        port->ie = v & IE_WRITABLE;
        update_irq(port->ahci, true);
        break;
    case 0x18:
        write_cmd(port, v);
        break;
    case 0x2c:
        write_sctl(port, v);
        break;
    case 0x30:
        port->serr &= ~v;
        update_irq(port->ahci, false);
        break;
    case 0x34:
        if (port->cmd & CMD_ST)
            port->sact |= v;
        break;
    case 0x38:
        if (port->cmd & CMD_ST) {
            port->ci |= v;
            ahci_port_run(port);
        }
        break;
    }
}

static void hba_reset(struct ahci *ahci);

static uint64_t registers_read(void *dev, uint64_t offset, unsigned size)
{
    struct ahci *ahci = dev;
    unsigned port = (unsigned)(offset - PORTS_AT) / PORT_BYTES;
    (void)size;
    switch (offset) {
    case 0x00:
        return CAP;
    case 0x04:
        return ahci->ghc | GHC_AE;
    case 0x08:
        return ahci->is;
    case 0x0c:
        return (1u << AHCI_PORTS) - 1;
    case 0x10:
        return VERSION_1_3_1;
    }
    return offset >= PORTS_AT && port < AHCI_PORTS
               ? port_read(&ahci->ports[port], (unsigned)offset % PORT_BYTES)
               : 0;
}

static void registers_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ahci *ahci = dev;
    unsigned port = (unsigned)(offset - PORTS_AT) / PORT_BYTES;
    uint32_t v = (uint32_t)value;
    (void)size;
    if (offset == 0x04) {
        if (v & GHC_HR)
            hba_reset(ahci);
        else
            ahci->ghc = v & GHC_IE;
        update_irq(ahci, true);
    } else if (offset == 0x08) {
        ahci->is &= ~v;
        /* 10.7.2.1: what a port still has to say is said again. */
        update_irq(ahci, true);
    } else if (offset >= PORTS_AT && port < AHCI_PORTS) {
        port_write(&ahci->ports[port], (unsigned)offset % PORT_BYTES, v);
    }
}

static const struct io_ops registers_io = {
    .name = "ahci",
    .min_size = 4,
    .max_size = 4,
    .read = registers_read,
    .write = registers_write,
};

/* ---- drives ---- */

static bool drive_ready(void *ctx)
{
    (void)ctx;
    return true;
}

static int drive_map(void *ctx, uint64_t want_bytes, bool to_memory, struct slices *s,
                     bool *ret_end)
{
    struct ahci_port *port = ctx;
    *ret_end = false;
    int r =
        ahci_buffers(port, port->table, port->entries, port->moved_bytes, want_bytes, to_memory, s);
    if (r == 0 && s->len_bytes < want_bytes) {
        ahci_raise(port, IS_OFS);
        return -E2BIG;
    }
    if (r == 0)
        port->moved_bytes += s->len_bytes;
    return r;
}

static void drive_done(void *ctx, bool ok, bool end)
{
    (void)ctx;
    (void)ok;
    (void)end;
}

/* INTRQ, which a serial cable does not have: the drive has something to say. */
static void drive_irq(void *ctx, unsigned n, bool level)
{
    (void)n;
    if (level)
        ahci_port_run(ctx);
}

static int make_drive(struct ahci_port *port, const struct ide_drive_config *drive)
{
    const struct ide_drive_config drives[2] = {*drive};
    const struct ide_env env = {
        .number = port->n,
        .irq = {.set = drive_irq, .ctx = port},
        .mem = &port->ahci->pci.dma,
        .dma = &port->dma,
    };
    return ide_new(&env, drives, &port->ide);
}

int ahci_plug(struct ahci *ahci, unsigned n, const struct ide_drive_config *drive)
{
    if (n >= AHCI_PORTS)
        return -ENODEV;
    struct ahci_port *port = &ahci->ports[n];
    if (port->ide)
        return -EBUSY;
    int r = make_drive(port, drive);
    if (r < 0)
        return r;
    ahci_port_link_up(port);
    link_changed(port);
    return 0;
}

int ahci_unplug(struct ahci *ahci, unsigned n)
{
    if (n >= AHCI_PORTS || !ahci->ports[n].ide)
        return -ENODEV;
    struct ahci_port *port = &ahci->ports[n];
    ahci_port_stop(port);
    ide_dev_ops.free(port->ide);
    port->ide = NULL;
    no_drive(port);
    link_changed(port);
    return 0;
}

struct ide *ahci_drive(const struct ahci *ahci, unsigned n)
{
    return n < AHCI_PORTS ? ahci->ports[n].ide : NULL;
}

/* ---- the device ---- */

static void port_reset(struct ahci_port *port)
{
    ahci_port_stop(port);
    port->clb = port->fb = port->table = port->moved_bytes = 0;
    port->is = port->ie = port->sctl = port->serr = port->entries = 0;
    port->resetting = port->pio_in = false;
    port->cmd = CMD_SUD | CMD_POD;
    memset(port->failed_log, 0, sizeof(port->failed_log));
    no_drive(port);
    if (port->ide) {
        ide_dev_ops.reset(port->ide);
        ahci_port_link_up(port);
    }
}

static void hba_reset(struct ahci *ahci)
{
    ahci->ghc = ahci->is = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        port_reset(&ahci->ports[i]);
}

static void ahci_reset(void *dev)
{
    struct ahci *ahci = dev;
    hba_reset(ahci);
    pci_dev_reset(&ahci->pci);
    pci_set_intx(&ahci->pci, false);
}

static void port_state(struct ahci_port *port, struct state *s)
{
    unsigned n = port->n;
    bool plugged = port->ide, was_plugged = plugged;
    state_bool(s, STATE_NAME("plugged", n), &was_plugged);
    state_check(s, plugged == was_plugged);
    state_u64(s, STATE_NAME("clb", n), &port->clb);
    state_u64(s, STATE_NAME("fb", n), &port->fb);
    state_u32(s, STATE_NAME("is", n), &port->is);
    state_u32(s, STATE_NAME("ie", n), &port->ie);
    state_u32(s, STATE_NAME("cmd", n), &port->cmd);
    state_u32(s, STATE_NAME("sctl", n), &port->sctl);
    state_u32(s, STATE_NAME("serr", n), &port->serr);
    state_u32(s, STATE_NAME("sact", n), &port->sact);
    state_u32(s, STATE_NAME("ci", n), &port->ci);
    state_u32(s, STATE_NAME("sig", n), &port->sig);
    state_u8(s, STATE_NAME("status", 100 + n), &port->status);
    state_u8(s, STATE_NAME("error", 100 + n), &port->error);
    state_bool(s, STATE_NAME("halted", n), &port->halted);
    state_bool(s, STATE_NAME("resetting", n), &port->resetting);
    state_bytes(s, STATE_NAME("failed_log", n), port->failed_log, sizeof(port->failed_log));
    port->clb &= ~0x3ffull;
    port->fb &= ~0xffull;
    port->cmd &= CMD_WRITABLE | 0x1f00u;
    port->is &= ~(uint32_t)(IS_PCS | IS_PRCS);
    port->ie &= IE_WRITABLE;
    port->sctl &= SCTL_WRITABLE;
    if (port->ide)
        ide_dev_ops.state(port->ide, s);
}

static int ahci_state(void *dev, struct state *s)
{
    struct ahci *ahci = dev;
    pci_dev_state(&ahci->pci, s);
    state_u32(s, "ghc", &ahci->ghc);
    state_u32(s, "interrupts", &ahci->is);
    ahci->ghc &= GHC_IE;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        port_state(&ahci->ports[i], s);
    if (state_loading(s)) {
        update_irq(ahci, false);
        for (unsigned i = 0; i < AHCI_PORTS; i++)
            ahci_port_run(&ahci->ports[i]);
    }
    return state_error(s);
}

static void ahci_free(void *dev)
{
    struct ahci *ahci = dev;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ahci_port *port = &ahci->ports[i];
        if (!port->ide)
            continue;
        ahci_port_stop(port);
        ide_dev_ops.free(port->ide);
    }
    if (ahci->pci.bus)
        pci_dev_done(&ahci->pci);
    free(ahci);
}

const struct dev_ops ahci_dev_ops = {
    .name = "ahci",
    .version = 1,
    .reset = ahci_reset,
    .state = ahci_state,
    .free = ahci_free,
};

int ahci_new(const struct ahci_env *env, const struct ide_drive_config drives[AHCI_PORTS],
             struct ahci **ret_ahci)
{
    static const struct pci_ids ids = {
        .vendor = 0x8086,
        .device = 0x2922,
        .subsys_vendor = 0x8086,
        .subsys = 0x2922,
        .class_code = 0x010601,
        .revision = 2,
    };
    struct ahci *ahci = calloc(1, sizeof(*ahci));
    if (!ahci)
        return -ENOMEM;
    int r = pci_dev_init(&ahci->pci, env->pci, env->devfn, "ahci", &ids, 1);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ahci_port *port = &ahci->ports[i];
        port->ahci = ahci;
        port->n = i;
        port->current = -1;
        port->dma = (struct ide_dma){
            .running = drive_ready, .map = drive_map, .done = drive_done, .ctx = port};
        for (unsigned k = 0; k < AHCI_SLOTS; k++) {
            port->slots[k].port = port;
            port->slots[k].tag = k;
        }
        if (r == 0 && drives[i].kind != IDE_NONE)
            r = make_drive(port, &drives[i]);
    }
    if (r < 0) {
        ahci_free(ahci);
        return r;
    }
    ahci->pci.dev = ahci;
    ahci->registers = (struct region){.name = "ahci",
                                      .size_bytes = REGISTER_BYTES,
                                      .priority = 1,
                                      .kind = REGION_IO,
                                      .ops = &registers_io,
                                      .dev = ahci};
    pci_add_bar(&ahci->pci, 5, &ahci->registers, false, false, false);
    pci_add_msi(&ahci->pci);
    hba_reset(ahci);
    *ret_ahci = ahci;
    return 0;
}
