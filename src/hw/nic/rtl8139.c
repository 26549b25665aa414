/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RTL8139C: Realtek, "RTL8139C(L) Single-Chip Fast Ethernet Controller", datasheet 1.4, chapter 5
 * (registers), 6 (EEPROM), 7 (transmit and receive). Left out: wake-up, boot ROM programming,
 * loopback, early interrupts, counters of collisions.
 */
#include "hw/nic/rtl8139.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/eeprom93.h"
#include "hw/core/ethernet.h"
#include "hw/core/mii.h"
#include "memory/dma.h"

#define REGS_BYTES 256u
#define TX_SLOTS 4u
#define FCS_BYTES 4u
#define MIN_BYTES 60u
#define HEADER_BYTES 4u
#define RX_FRAME_MAX (NET_WIRE_BYTES + FCS_BYTES)
#define TX_FRAME_MAX 1792u /* 5.2: larger ones hang the chip */
#define TIMER_NS 30u       /* of TCTR: one PCI clock */
#define HARDWARE_VERSION 0x74000000u

_Static_assert(HEADER_BYTES + RX_FRAME_MAX <= TX_FRAME_MAX, "one buffer");

enum reg {
    REG_IDR0 = 0x00,
    REG_MAR0 = 0x08,
    REG_TSD0 = 0x10,
    REG_TSAD0 = 0x20,
    REG_RBSTART = 0x30,
    REG_CR = 0x37,
    REG_CAPR = 0x38,
    REG_CBR = 0x3a,
    REG_IMR = 0x3c,
    REG_ISR = 0x3e,
    REG_TCR = 0x40,
    REG_RCR = 0x44,
    REG_TCTR = 0x48,
    REG_MPC = 0x4c,
    REG_9346CR = 0x50,
    REG_CONFIG0 = 0x51,
    REG_CONFIG1 = 0x52,
    REG_TIMER_INT = 0x54,
    REG_MSR = 0x58,
    REG_CONFIG3 = 0x59,
    REG_CONFIG4 = 0x5a,
    REG_RERID = 0x5e,
    REG_TSAD = 0x60,
    REG_BMCR = 0x62,
    REG_BMCR_END = 0x6c,
    REG_CSCR = 0x74,
    REG_CONFIG5 = 0xd8,
};

enum bits {
    CR_EMPTY = 1 << 0,
    CR_TE = 1 << 2,
    CR_RE = 1 << 3,
    CR_RST = 1 << 4,
    ISR_ROK = 1 << 0,
    ISR_TOK = 1 << 2,
    ISR_RX_FULL = 1 << 4,
    ISR_LINK = 1 << 5,
    ISR_TIMEOUT = 1 << 14,
    TSD_OWN = 1 << 13,
    TSD_TOK = 1 << 15,
    RCR_ALL = 1 << 0,
    RCR_PHYSICAL = 1 << 1,
    RCR_MULTICAST = 1 << 2,
    RCR_BROADCAST = 1 << 3,
    RCR_NO_WRAP = 1 << 7,
    RX_ROK = 1 << 0,
    RX_BROADCAST = 1 << 13,
    RX_PHYSICAL = 1 << 14,
    RX_MULTICAST = 1 << 15,
    MSR_LINK_DOWN = 1 << 2,
    EE_MODE = 0xc0,
    EE_PROGRAM = 0x80,
    EE_CONFIG = 0xc0,
};

struct rtl8139 {
    struct pci_dev pci;
    struct region ports, mmio, rom;
    struct net_port port;
    struct clock *clock;
    struct timer timer;
    uint8_t mac[NET_MAC_BYTES];
    uint8_t regs[REGS_BYTES];
    uint64_t tctr_base_ns; /* when the counter was zero */
    uint32_t received;     /* next byte of the receive ring to fill */
    uint8_t slot;          /* that is sent next */
    struct eeprom93 eeprom;
    struct mii phy;
    uint8_t frame[TX_FRAME_MAX];
};

static uint32_t reg32(const struct rtl8139 *c, unsigned at)
{
    return le32_get(c->regs + at);
}

static uint16_t reg16(const struct rtl8139 *c, unsigned at)
{
    return le16_get(c->regs + at);
}

/* ---- interrupts ---- */

static void line_update(struct rtl8139 *c)
{
    pci_set_intx(&c->pci, reg16(c, REG_ISR) & reg16(c, REG_IMR));
}

static void interrupt(struct rtl8139 *c, unsigned cause)
{
    le16_put(c->regs + REG_ISR, (uint16_t)(reg16(c, REG_ISR) | cause));
    line_update(c);
}

/* ---- the timer: 5.14 ---- */

static uint32_t tctr(const struct rtl8139 *c)
{
    return (uint32_t)((clock_now_ns(c->clock) - c->tctr_base_ns) / TIMER_NS);
}

static void timer_arm(struct rtl8139 *c)
{
    uint32_t at = reg32(c, REG_TIMER_INT), now = tctr(c);

    if (!at)
        timer_cancel(&c->timer);
    else /* the counter passes the value, now or after it has gone round */
        timer_set(&c->timer,
                  clock_now_ns(c->clock) + ((uint64_t)(uint32_t)(at - now - 1) + 1) * TIMER_NS);
}

static void timer_fired(void *ctx)
{
    struct rtl8139 *c = ctx;

    interrupt(c, ISR_TIMEOUT);
    timer_arm(c);
}

/* ---- transmit ---- */

static void transmit(struct rtl8139 *c)
{
    if (!(c->regs[REG_CR] & CR_TE) || !pci_bus_master(&c->pci))
        return;
    for (unsigned i = 0; i < TX_SLOTS; i++) {
        uint8_t *tsd = c->regs + REG_TSD0 + 4 * c->slot;
        size_t len = le32_get(tsd) & 0x1fff;
        struct iovec iov = {c->frame, MAX(len, (size_t)MIN_BYTES)};
        struct net_frame f;

        if (le32_get(tsd) & TSD_OWN)
            return;
        if (len > TX_FRAME_MAX ||
            dma_read(&c->pci.dma, reg32(c, REG_TSAD0 + 4u * c->slot), c->frame, len) < 0)
            len = 0; /* nothing is sent, but the driver gets its slot back */
        if (len < MIN_BYTES)
            memset(c->frame + len, 0, MIN_BYTES - len);
        f = net_frame_of(&iov);
        if (len && !net_send(&c->port, &f))
            return;
        le32_put(tsd, le32_get(tsd) | TSD_OWN | TSD_TOK);
        c->slot = (uint8_t)((c->slot + 1) % TX_SLOTS);
        interrupt(c, ISR_TOK);
    }
}

/* ---- receive ---- */

static uint32_t ring_bytes(const struct rtl8139 *c)
{
    return 8192u << (reg32(c, REG_RCR) >> 11 & 3);
}

/* 5.7: which kind of address let it in; 0: none. */
static unsigned address_passes(const struct rtl8139 *c, const uint8_t *frame)
{
    static const uint8_t broadcast[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t rcr = reg32(c, REG_RCR);
    unsigned bit;

    if (!memcmp(frame, broadcast, NET_MAC_BYTES))
        return rcr & (RCR_BROADCAST | RCR_ALL) ? RX_BROADCAST : 0;
    if (frame[0] & 1) {
        bit = ethernet_hash(frame) >> 26;
        if (rcr & RCR_ALL || (rcr & RCR_MULTICAST && c->regs[REG_MAR0 + bit / 8] >> (bit % 8) & 1))
            return RX_MULTICAST;
        return 0;
    }
    if (!memcmp(frame, c->regs + REG_IDR0, NET_MAC_BYTES))
        return rcr & (RCR_PHYSICAL | RCR_ALL) ? RX_PHYSICAL : 0;
    return rcr & RCR_ALL ? 0x10000 : 0; /* none of the bits of the status */
}

static uint32_t ring_used(const struct rtl8139 *c)
{
    /* CAPR is 16 behind what the driver has read: 5.9. */
    uint32_t size = ring_bytes(c), read = (reg16(c, REG_CAPR) + 16u) % size;

    return (c->received % size + size - read) % size;
}

static void ring_write(struct rtl8139 *c, uint32_t at, const uint8_t *bytes, size_t len)
{
    const struct dma *dma = &c->pci.dma;
    uint32_t size = ring_bytes(c), base = reg32(c, REG_RBSTART);
    size_t first = len;

    at %= size;
    if (!(reg32(c, REG_RCR) & RCR_NO_WRAP) || size == 65536)
        first = MIN(len, (size_t)(size - at));
    dma_write(dma, (uint64_t)base + at, bytes, first);
    if (first < len)
        dma_write(dma, base, bytes + first, len - first);
}

/* The frame behind its header in c->frame, padded and with its check sequence. */
static size_t frame_make(struct rtl8139 *c, const struct net_frame *f)
{
    uint8_t *frame = c->frame + HEADER_BYTES;
    size_t len = f->len_bytes;

    if (len > NET_WIRE_BYTES)
        return 0;
    net_gather(f->iov, f->iov_count, 0, frame, len);
    if (len < MIN_BYTES) {
        memset(frame + len, 0, MIN_BYTES - len);
        len = MIN_BYTES;
    }
    le32_put(frame + len, ethernet_fcs(frame, len));
    return len + FCS_BYTES;
}

static bool port_receive(void *ctx, const struct net_frame *f)
{
    struct rtl8139 *c = ctx;
    unsigned kind;
    uint32_t need;
    size_t len;

    if (!(c->regs[REG_CR] & CR_RE) || !pci_bus_master(&c->pci))
        return true;
    len = frame_make(c, f);
    kind = len ? address_passes(c, c->frame + HEADER_BYTES) : 0;
    if (!kind)
        return true;
    need = (uint32_t)align_up(HEADER_BYTES + len, 4);
    if (ring_used(c) + need + 4 > ring_bytes(c)) {
        le32_put(c->regs + REG_MPC, (reg32(c, REG_MPC) + 1) & 0xffffff);
        interrupt(c, ISR_RX_FULL);
        return false;
    }
    le16_put(c->frame, (uint16_t)(RX_ROK | kind));
    le16_put(c->frame + 2, (uint16_t)len);
    ring_write(c, c->received, c->frame, HEADER_BYTES + len);
    c->received = (c->received % ring_bytes(c) + need) % ring_bytes(c);
    interrupt(c, ISR_ROK);
    return true;
}

static void port_ready(void *ctx)
{
    transmit(ctx);
}

static void link_set(struct rtl8139 *c, bool up)
{
    mii_set_link(&c->phy, up);
    c->regs[REG_MSR] = (uint8_t)((c->regs[REG_MSR] & ~MSR_LINK_DOWN) | (up ? 0 : MSR_LINK_DOWN));
}

static void port_link(void *ctx, bool up)
{
    link_set(ctx, up);
    interrupt(ctx, ISR_LINK);
}

static const struct net_port_ops port_ops = {
    .receive = port_receive, .ready = port_ready, .link = port_link};

/* ---- registers ---- */

static void eeprom_fill(struct rtl8139 *c)
{
    eeprom93_init(&c->eeprom, 6);
    c->eeprom.words[0] = 0x8129;
    c->eeprom.words[1] = 0x10ec;
    c->eeprom.words[2] = 0x8139;
    c->eeprom.words[3] = 0x10ec;
    c->eeprom.words[4] = 0x8139;
    for (unsigned i = 0; i < 3; i++)
        c->eeprom.words[7 + i] = le16_get(c->mac + 2 * i);
}

/* 5.4: what the command register's reset does; addresses stay. */
static void soft_reset(struct rtl8139 *c)
{
    memset(c->regs + REG_TSD0, 0, REG_9346CR - REG_TSD0);
    for (unsigned i = 0; i < TX_SLOTS; i++)
        le32_put(c->regs + REG_TSD0 + 4 * i, TSD_OWN);
    le16_put(c->regs + REG_CAPR, 0xfff0);
    le32_put(c->regs + REG_TCR, HARDWARE_VERSION);
    c->received = 0;
    c->slot = 0;
    timer_cancel(&c->timer);
    le32_put(c->regs + REG_TIMER_INT, 0);
    line_update(c);
    net_ready(&c->port);
}

static unsigned tsad_summary(const struct rtl8139 *c)
{
    unsigned value = 0;

    for (unsigned i = 0; i < TX_SLOTS; i++) {
        uint32_t tsd = reg32(c, REG_TSD0 + 4 * i);

        value |= (tsd & TSD_OWN ? 1u : 0u) << i | (tsd & TSD_TOK ? 1u : 0u) << (12 + i);
    }
    return value;
}

/* The transceiver's registers, one after the other but in an order of their own: 5.20 to 5.25. */
static int phy_reg(unsigned at)
{
    static const uint8_t order[] = {MII_CONTROL, MII_STATUS, MII_ADVERTISEMENT, MII_PARTNER,
                                    MII_EXPANSION};

    return at >= REG_BMCR && at < REG_BMCR_END ? order[(at - REG_BMCR) / 2] : -1;
}

static uint8_t byte_read(struct rtl8139 *c, unsigned at)
{
    uint32_t value;

    switch (at) {
    case REG_CR:
        return (uint8_t)((c->regs[at] & (CR_TE | CR_RE)) | (ring_used(c) ? 0 : CR_EMPTY));
    case REG_CBR:
    case REG_CBR + 1:
        return (uint8_t)(c->received >> 8 * (at - REG_CBR));
    case REG_TCTR:
    case REG_TCTR + 1:
    case REG_TCTR + 2:
    case REG_TCTR + 3:
        return (uint8_t)(tctr(c) >> 8 * (at - REG_TCTR));
    case REG_TSAD:
    case REG_TSAD + 1:
        return (uint8_t)(tsad_summary(c) >> 8 * (at - REG_TSAD));
    case REG_9346CR:
        return (uint8_t)((c->regs[at] & ~1u) | eeprom93_out(&c->eeprom));
    case REG_RERID:
        return 0x10;
    }
    if (phy_reg(at & ~1u) >= 0) {
        value = mii_read(&c->phy, (unsigned)phy_reg(at & ~1u));
        return (uint8_t)(value >> 8 * (at & 1));
    }
    return c->regs[at];
}

static uint64_t regs_read(void *dev, uint64_t offset, unsigned size)
{
    struct rtl8139 *c = dev;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)byte_read(c, (unsigned)offset + i) << 8 * i;
    return value;
}

static void tsd_write(struct rtl8139 *c, unsigned at, uint32_t value)
{
    if (!(c->regs[REG_CR] & CR_TE) || at % 4)
        return;
    /* Writing a length gives the slot to the card. */
    le32_put(c->regs + at, value & ~(uint32_t)(TSD_TOK | 0x4000));
    transmit(c);
}

static void command_write(struct rtl8139 *c, uint8_t value)
{
    bool was_off = !(c->regs[REG_CR] & CR_RE);

    if (value & CR_RST) {
        soft_reset(c);
        return;
    }
    c->regs[REG_CR] = value & (CR_TE | CR_RE);
    if (was_off && value & CR_RE)
        c->received = 0;
    net_ready(&c->port);
    transmit(c);
}

static void eeprom_write(struct rtl8139 *c, uint8_t value)
{
    c->regs[REG_9346CR] = value & 0xce;
    if ((value & EE_MODE) == EE_PROGRAM)
        eeprom93_wires(&c->eeprom, value & 8, value & 4, value & 2);
}

static void phy_write(struct rtl8139 *c, unsigned at, unsigned size, uint32_t value)
{
    unsigned reg = (unsigned)phy_reg(at & ~1u);
    uint16_t old = mii_read(&c->phy, reg);

    if (size == 1 && at & 1)
        value = (old & 0xff) | (value & 0xff) << 8;
    else if (size == 1)
        value = (old & 0xff00) | (value & 0xff);
    mii_write(&c->phy, reg, (uint16_t)value);
}

/* Bits that a driver may change in a register of bytes; the identity and the configuration only
 * while 9346CR says so. */
static uint8_t writable(const struct rtl8139 *c, unsigned at)
{
    bool config = (c->regs[REG_9346CR] & EE_MODE) == EE_CONFIG;

    if (at < REG_MAR0 - 2)
        return config ? 0xff : 0;
    if (at < REG_TSD0 || (at >= REG_TSAD0 && at < REG_RBSTART + 4) || at == REG_CAPR ||
        at == REG_CAPR + 1 || at == REG_IMR || at == REG_IMR + 1)
        return 0xff;
    switch (at) {
    case REG_CONFIG1:
        return config ? 0xf3 : 0;
    case REG_CONFIG3:
    case REG_CONFIG4:
        return config ? 0xff : 0;
    case REG_CONFIG5:
    case REG_CSCR:
    case REG_CSCR + 1:
        return 0xff;
    case REG_TCR:
    case REG_TCR + 1:
    case REG_TCR + 2:
        return 0xff;
    case REG_TCR + 3:
        return 0x03;
    }
    return (at >= REG_RCR && at < REG_RCR + 4) || (at >= REG_TIMER_INT && at < REG_TIMER_INT + 4)
               ? 0xff
               : 0;
}

static void regs_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtl8139 *c = dev;
    unsigned at = (unsigned)offset;

    if (at >= REG_TSD0 && at < REG_TSAD0) {
        if (size == 4)
            tsd_write(c, at, (uint32_t)value);
        return;
    }
    if (phy_reg(at & ~1u) >= 0) {
        phy_write(c, at, size, (uint32_t)value);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i), mask = writable(c, at + i);

        c->regs[at + i] = (uint8_t)((c->regs[at + i] & ~mask) | (byte & mask));
        switch (at + i) {
        case REG_CR:
            command_write(c, byte);
            break;
        case REG_ISR:
        case REG_ISR + 1: /* writing ones clears */
            c->regs[at + i] &= (uint8_t)~byte;
            break;
        case REG_TCTR: /* any write starts it anew */
            c->tctr_base_ns = clock_now_ns(c->clock);
            timer_arm(c);
            break;
        case REG_MPC:
            le32_put(c->regs + REG_MPC, 0);
            break;
        case REG_9346CR:
            eeprom_write(c, byte);
            break;
        case REG_TIMER_INT + 3:
            timer_arm(c);
            break;
        }
    }
    line_update(c);
    if (at + size > REG_CAPR && at < REG_CAPR + 2)
        net_ready(&c->port);
    /* A frame that waits for room is like one that comes again and again: drivers clear the status
     * before they have read the ring to its end, and count on the next to tell them. */
    if (at + size > REG_ISR && at < REG_ISR + 2 && c->port.refused && c->regs[REG_CR] & CR_RE)
        interrupt(c, ISR_RX_FULL);
}

static const struct io_ops regs_io = {
    .name = "rtl8139", .min_size = 1, .max_size = 4, .read = regs_read, .write = regs_write};

/* ---- the device ---- */

static void rtl8139_reset(void *dev)
{
    struct rtl8139 *c = dev;

    pci_dev_reset(&c->pci);
    memset(c->regs, 0, sizeof(c->regs));
    memcpy(c->regs + REG_IDR0, c->mac, NET_MAC_BYTES);
    c->regs[REG_CONFIG1] = 0x0d; /* memory and I/O, and VPD off */
    c->tctr_base_ns = 0;
    eeprom_fill(c);
    mii_reset(&c->phy);
    link_set(c, net_link_up(&c->port));
    soft_reset(c);
    if (net_link_up(&c->port)) /* found again */
        interrupt(c, ISR_LINK);
}

static int rtl8139_state(void *dev, struct state *s)
{
    struct rtl8139 *c = dev;

    pci_dev_state(&c->pci, s);
    state_bytes(s, "regs", c->regs, sizeof(c->regs));
    state_u64(s, "tctr_base_ns", &c->tctr_base_ns);
    state_u32(s, "received", &c->received);
    state_u8(s, "slot", &c->slot);
    state_timer(s, "timer", &c->timer);
    eeprom93_state(&c->eeprom, s);
    mii_state(&c->phy, s);
    state_check(s, c->slot < TX_SLOTS && c->received < 65536);
    if (state_loading(s) && state_error(s) == 0)
        link_set(c, net_link_up(&c->port));
    return state_error(s);
}

static void rtl8139_free(void *dev)
{
    struct rtl8139 *c = dev;

    net_disconnect(&c->port);
    timer_cancel(&c->timer);
    pci_dev_done(&c->pci);
    free(c);
}

const struct dev_ops rtl8139_dev_ops = {.name = "rtl8139",
                                        .version = 1,
                                        .reset = rtl8139_reset,
                                        .state = rtl8139_state,
                                        .free = rtl8139_free};

int rtl8139_new(const struct nic_env *env, struct rtl8139 **ret_dev)
{
    static const struct pci_ids ids = {.vendor = 0x10ec,
                                       .device = 0x8139,
                                       .subsys_vendor = 0x10ec,
                                       .subsys = 0x8139,
                                       .class_code = 0x020000,
                                       .revision = 0x10};
    struct rtl8139 *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->clock = env->clock;
    memcpy(c->mac, env->mac, sizeof(c->mac));
    net_port_init(&c->port, &port_ops, c);
    timer_init(&c->timer, env->clock, timer_fired, c);
    mii_init(&c->phy, 0x00000000, false);
    r = pci_dev_init(&c->pci, env->pci, env->devfn, "rtl8139", &ids, 1);
    if (r < 0) {
        free(c);
        return r;
    }
    c->pci.dev = c;
    c->ports = (struct region){
        .name = "rtl8139", .size_bytes = REGS_BYTES, .priority = 1, .ops = &regs_io, .dev = c};
    c->mmio = c->ports;
    pci_add_bar(&c->pci, 0, &c->ports, true, false, false);
    pci_add_bar(&c->pci, 1, &c->mmio, false, false, false);
    r = env->rom ? pci_add_rom(&c->pci, &c->rom, env->rom, env->rom_bytes) : 0;
    if (r < 0) {
        rtl8139_free(c);
        return r;
    }
    rtl8139_reset(c);
    *ret_dev = c;
    return 0;
}

struct net_port *rtl8139_port(struct rtl8139 *dev)
{
    return &dev->port;
}
