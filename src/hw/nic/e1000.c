/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM: registers, interrupts, EEPROM and transceiver. Intel 317453, "PCI/PCI-X Family of
 * Gigabit Ethernet Controllers Software Developer's Manual", chapters 3 (descriptors), 5 (EEPROM),
 * 13 (registers). Left out: wake-up, management, flow control frames, and the delay timers of
 * interrupts (they come at once; the throttle, ITR, is there).
 */
#include "hw/nic/e1000_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

enum {
    EECD_SK = 1 << 0,
    EECD_CS = 1 << 1,
    EECD_DI = 1 << 2,
    EECD_DO = 1 << 3,
    EECD_REQ = 1 << 6,
    EECD_GNT = 1 << 7,
    EECD_PRES = 1 << 8,
    EERD_START = 1 << 0,
    EERD_DONE = 1 << 4,
    MDIC_READY = 1 << 28,
    MDIC_ERROR = 1 << 30,
    IO_ADDRESS = 0,
    IO_DATA = 4,
};

#define EEPROM_CHECKSUM_WORD 63u
#define EEPROM_SUM 0xbabau /* 5.6.35 */
#define PHY_ADDRESS 1u
/* Marvell 88E1011, and its status register: 1000 Mbit/s, full duplex, resolved, link. */
#define PHY_ID 0x01410c20u
#define PHY_SPECIFIC_STATUS 17u
#define PHY_SPECIFIC_LINK 0xac08u
#define STATUS_SPEED 0x0780u
#define ITR_UNIT_NS 256u

/* ---- interrupts ---- */

static void line_update(struct e1000 *e)
{
    bool level = e->icr & e->ims;
    uint64_t now = clock_now_ns(e->clock);

    if (level && !e->pci.intx_level && now < e->quiet_until_ns) {
        timer_set(&e->quiet, e->quiet_until_ns);
        return;
    }
    if (level && !e->pci.intx_level)
        e->quiet_until_ns = now + (uint64_t)(*e1000_reg(e, REG_ITR) & 0xffff) * ITR_UNIT_NS;
    pci_set_intx(&e->pci, level);
}

static void quiet_over(void *ctx)
{
    line_update(ctx);
}

static void transmit_again(void *ctx)
{
    e1000_transmit(ctx);
}

void e1000_interrupt(struct e1000 *e, uint32_t cause)
{
    e->icr |= cause;
    line_update(e);
}

void e1000_count(struct e1000 *e, enum e1000_reg reg, uint64_t n, bool wide)
{
    uint32_t *low = e1000_reg(e, reg);
    uint64_t value = wide ? low[0] | (uint64_t)low[1] << 32 : low[0];
    uint64_t most = wide ? UINT64_MAX : UINT32_MAX;

    value = n > most - value ? most : value + n;
    low[0] = (uint32_t)value;
    if (wide)
        low[1] = (uint32_t)(value >> 32);
}

/* ---- link ---- */

static void link_set(struct e1000 *e, bool up)
{
    mii_set_link(&e->phy, up);
    e->phy.regs[PHY_SPECIFIC_STATUS] = up ? PHY_SPECIFIC_LINK : 0;
    *e1000_reg(e, REG_STATUS) = STATUS_SPEED | STATUS_FD | (up ? STATUS_LU : 0);
}

static void port_link(void *ctx, bool up)
{
    link_set(ctx, up);
    e1000_interrupt(ctx, ICR_LSC);
}

static void port_ready(void *ctx)
{
    e1000_transmit(ctx);
}

static const struct net_port_ops port_ops = {
    .receive = e1000_receive, .ready = port_ready, .link = port_link};

/* ---- registers ---- */

static void mdic_write(struct e1000 *e, uint32_t value)
{
    unsigned reg = value >> 16 & 31, op = value >> 26 & 3;

    value &= ~(uint32_t)(MDIC_READY | MDIC_ERROR);
    if ((value >> 21 & 31) != PHY_ADDRESS)
        value |= MDIC_ERROR;
    else if (op == 1)
        mii_write(&e->phy, reg, (uint16_t)value);
    else if (op == 2)
        value = (value & 0xffff0000) | mii_read(&e->phy, reg);
    else
        value |= MDIC_ERROR;
    *e1000_reg(e, REG_MDIC) = value | MDIC_READY;
    if (value & 1u << 29)
        e1000_interrupt(e, ICR_MDAC);
}

static void registers_reset(struct e1000 *e)
{
    uint32_t *ra = e1000_reg(e, REG_RA);

    timer_cancel(&e->quiet);
    timer_cancel(&e->again);
    e->quiet_until_ns = 0;
    memset(e->regs, 0, sizeof(e->regs));
    e->icr = e->ims = 0;
    e->context = e->tso = (struct e1000_context){0};
    *e1000_reg(e, REG_CTRL) = STATUS_FD | CTRL_SLU | 1u << 9;
    *e1000_reg(e, REG_PBA) = 0x00100030;
    *e1000_reg(e, REG_LEDCTL) = 0x00000602;
    *e1000_reg(e, REG_VET) = 0x8100;
    *e1000_reg(e, REG_TXCW) = 0x000001a0;
    *e1000_reg(e, REG_MANC) = 0;
    /* 13.5.3: the first address is loaded from the EEPROM. */
    ra[0] = e->eeprom.words[0] | (uint32_t)e->eeprom.words[1] << 16;
    ra[1] = e->eeprom.words[2] | 1u << 31;
    link_set(e, net_link_up(&e->port));
    pci_set_intx(&e->pci, false);
    if (net_link_up(&e->port)) /* found again */
        e->icr = ICR_LSC;
    net_ready(&e->port);
}

static void ctrl_write(struct e1000 *e, uint32_t value)
{
    if (value & CTRL_RST) {
        registers_reset(e);
        return;
    }
    if (value & CTRL_PHY_RST) {
        mii_reset(&e->phy);
        link_set(e, net_link_up(&e->port));
    }
    *e1000_reg(e, REG_CTRL) = value & ~(CTRL_PHY_RST | CTRL_RST);
}

static uint64_t regs_read(void *dev, uint64_t offset, unsigned size)
{
    struct e1000 *e = dev;
    unsigned at = (unsigned)offset & ~3u;
    uint32_t value;

    (void)size;
    if (at / 4 >= E1000_REGS)
        return 0;
    value = e->regs[at / 4];
    switch (at) {
    case REG_EECD:
        value = (value & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ)) | EECD_PRES |
                (value & EECD_REQ ? EECD_GNT : 0) | (eeprom93_out(&e->eeprom) ? EECD_DO : 0);
        break;
    case REG_CTRL_DUP:
        value = *e1000_reg(e, REG_CTRL);
        break;
    case REG_ICR: /* reading clears: 13.4.17 */
        value = e->icr;
        e->icr = 0;
        line_update(e);
        break;
    case REG_ICS:
        value = e->icr;
        break;
    case REG_IMS:
        value = e->ims;
        break;
    case REG_IMC:
        value = 0;
        break;
    default:
        if (at >= REG_STATS && at < REG_STATS_END)
            e->regs[at / 4] = 0; /* 13.7: cleared by reading */
    }
    return value;
}

static void eerd_write(struct e1000 *e, uint32_t value)
{
    unsigned word = value >> 8 & 0xff;

    if (!(value & EERD_START))
        return;
    value = (value & 0xff00) | EERD_DONE;
    if (word < 64)
        value |= (uint32_t)e->eeprom.words[word] << 16;
    *e1000_reg(e, REG_EERD) = value;
}

static void regs_write(void *dev, uint64_t offset, unsigned size, uint64_t v)
{
    struct e1000 *e = dev;
    unsigned at = (unsigned)offset & ~3u;
    uint32_t value = (uint32_t)v;

    (void)size;
    if (at / 4 >= E1000_REGS)
        return;
    switch (at) {
    case REG_CTRL:
    case REG_CTRL_DUP:
        ctrl_write(e, value);
        return;
    case REG_STATUS:
        return;
    case REG_EECD:
        eeprom93_wires(&e->eeprom, value & EECD_CS, value & EECD_SK, value & EECD_DI);
        break;
    case REG_EERD:
        eerd_write(e, value);
        return;
    case REG_MDIC:
        mdic_write(e, value);
        return;
    case REG_ICR: /* writing ones clears */
        e->icr &= ~value;
        line_update(e);
        return;
    case REG_ICS:
        e1000_interrupt(e, value & ICR_ALL);
        return;
    case REG_IMS:
        e->ims |= value & ICR_ALL;
        line_update(e);
        return;
    case REG_IMC:
        e->ims &= ~value;
        line_update(e);
        return;
    case REG_RDH:
    case REG_RDT:
    case REG_TDH:
    case REG_TDT:
        value &= 0xffff;
        break;
    case REG_RDLEN:
    case REG_TDLEN:
        value &= 0xfff80; /* multiples of 128 bytes: 13.4.27 */
        break;
    case REG_RDBAL:
    case REG_TDBAL:
        value &= ~15u;
        break;
    default:
        if (at >= REG_STATS && at < REG_STATS_END)
            return;
    }
    e->regs[at / 4] = value;
    if (at == REG_RDT || at == REG_RCTL)
        net_ready(&e->port);
    if (at == REG_TDT || at == REG_TCTL)
        e1000_transmit(e);
}

static const struct io_ops mmio_io = {.name = "e1000",
                                      .min_size = 4,
                                      .max_size = 4,
                                      .merge_writes = true,
                                      .read = regs_read,
                                      .write = regs_write};

/* 13.3.1: a window to the registers, in two ports. */
static uint64_t ports_read(void *dev, uint64_t offset, unsigned size)
{
    struct e1000 *e = dev;

    if (offset == IO_ADDRESS)
        return e->io_address;
    if (offset == IO_DATA && e->io_address < E1000_REGS_BYTES)
        return regs_read(e, e->io_address, size);
    return 0;
}

static void ports_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct e1000 *e = dev;

    if (offset == IO_ADDRESS)
        e->io_address = (uint32_t)value;
    else if (offset == IO_DATA && e->io_address < E1000_REGS_BYTES)
        regs_write(e, e->io_address, size, value);
}

static const struct io_ops ports_io = {.name = "e1000-io",
                                       .min_size = 4,
                                       .max_size = 4,
                                       .merge_writes = true,
                                       .read = ports_read,
                                       .write = ports_write};

/* ---- the device ---- */

/* 5.6: address, identity, and a sum that drivers check. */
static void eeprom_fill(struct e1000 *e)
{
    static const struct {
        uint8_t word;
        uint16_t value;
    } fill[] = {{0x03, 0x0000}, {0x08, 0x3000}, {0x09, 0x1000}, {0x0a, 0x6403}, {0x0b, 0x001e},
                {0x0c, 0x8086}, {0x0d, 0x100e}, {0x0e, 0x8086}, {0x0f, 0x3040}, {0x10, 0x0008}};
    uint16_t sum = 0;

    eeprom93_init(&e->eeprom, 6);
    for (unsigned i = 0; i < 3; i++)
        e->eeprom.words[i] = le16_get(e->mac + 2 * i);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++)
        e->eeprom.words[fill[i].word] = fill[i].value;
    for (unsigned i = 0; i < EEPROM_CHECKSUM_WORD; i++)
        sum = (uint16_t)(sum + e->eeprom.words[i]);
    e->eeprom.words[EEPROM_CHECKSUM_WORD] = (uint16_t)(EEPROM_SUM - sum);
}

static void e1000_reset(void *dev)
{
    struct e1000 *e = dev;

    pci_dev_reset(&e->pci);
    e->io_address = 0;
    eeprom_fill(e);
    mii_reset(&e->phy);
    registers_reset(e);
}

static void context_state(struct e1000_context *c, const char *prefix, struct state *s)
{
    uint8_t bytes[16] = {c->ipcss, c->ipcso, c->tucss, c->tucso, c->hdrlen, c->tucmd};

    le16_put(bytes + 6, c->ipcse);
    le16_put(bytes + 8, c->tucse);
    le16_put(bytes + 10, c->mss);
    le32_put(bytes + 12, c->paylen);
    state_bytes(s, prefix, bytes, sizeof(bytes));
    *c = (struct e1000_context){bytes[0],
                                bytes[1],
                                bytes[2],
                                bytes[3],
                                bytes[4],
                                bytes[5],
                                le16_get(bytes + 6),
                                le16_get(bytes + 8),
                                le16_get(bytes + 10),
                                le32_get(bytes + 12) & 0xfffff};
}

static int e1000_state(void *dev, struct state *s)
{
    struct e1000 *e = dev;

    pci_dev_state(&e->pci, s);
    state_bytes(s, "regs", e->regs, sizeof(e->regs));
    state_u32(s, "io_address", &e->io_address);
    state_u32(s, "icr", &e->icr);
    state_u32(s, "ims", &e->ims);
    state_u64(s, "quiet_until_ns", &e->quiet_until_ns);
    state_timer(s, "quiet", &e->quiet);
    state_timer(s, "again", &e->again);
    eeprom93_state(&e->eeprom, s);
    mii_state(&e->phy, s);
    context_state(&e->context, "context", s);
    context_state(&e->tso, "tso", s);
    if (state_loading(s) && state_error(s) == 0 &&
        !!(*e1000_reg(e, REG_STATUS) & STATUS_LU) != net_link_up(&e->port))
        port_link(e, net_link_up(&e->port));
    return state_error(s);
}

static void e1000_free(void *dev)
{
    struct e1000 *e = dev;

    net_disconnect(&e->port);
    timer_cancel(&e->quiet);
    timer_cancel(&e->again);
    pci_dev_done(&e->pci);
    free(e);
}

const struct dev_ops e1000_dev_ops = {
    .name = "e1000", .version = 1, .reset = e1000_reset, .state = e1000_state, .free = e1000_free};

int e1000_new(const struct nic_env *env, struct e1000 **ret_dev)
{
    static const struct pci_ids ids = {.vendor = 0x8086,
                                       .device = 0x100e,
                                       .subsys_vendor = 0x8086,
                                       .subsys = 0x001e,
                                       .class_code = 0x020000,
                                       .revision = 3};
    struct e1000 *e = calloc(1, sizeof(*e));
    int r;

    if (!e)
        return -ENOMEM;
    e->clock = env->clock;
    memcpy(e->mac, env->mac, sizeof(e->mac));
    net_port_init(&e->port, &port_ops, e);
    timer_init(&e->quiet, env->clock, quiet_over, e);
    timer_init(&e->again, env->clock, transmit_again, e);
    mii_init(&e->phy, PHY_ID, true);
    r = pci_dev_init(&e->pci, env->pci, env->devfn, "e1000", &ids, 1);
    if (r < 0) {
        free(e);
        return r;
    }
    e->pci.dev = e;
    e->mmio = (struct region){
        .name = "e1000", .size_bytes = E1000_REGS_BYTES, .priority = 1, .ops = &mmio_io, .dev = e};
    e->ports = (struct region){
        .name = "e1000-io", .size_bytes = E1000_PORTS, .priority = 1, .ops = &ports_io, .dev = e};
    pci_add_bar(&e->pci, 0, &e->mmio, false, false, false);
    pci_add_bar(&e->pci, 1, &e->ports, true, false, false);
    r = env->rom ? pci_add_rom(&e->pci, &e->rom, env->rom, env->rom_bytes) : 0;
    if (r < 0) {
        e1000_free(e);
        return r;
    }
    e1000_reset(e);
    *ret_dev = e;
    return 0;
}

struct net_port *e1000_port(struct e1000 *dev)
{
    return &dev->port;
}
