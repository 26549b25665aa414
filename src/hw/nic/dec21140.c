/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 21140A: "DIGITAL Semiconductor 21140A PCI Fast Ethernet LAN Controller Hardware Reference
 * Manual" (EC-QN7NF), chapters 3 (registers) and 4 (descriptors, filtering); "21X4 Serial ROM
 * Format", version 4.05. Left out: the boot ROM port of CSR9, big-endian descriptors, loopback, and
 * statistics of collisions, which do not happen here.
 */
#include "hw/nic/dec21140.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/eeprom93.h"
#include "hw/core/ethernet.h"
#include "hw/core/mii.h"
#include "memory/dma.h"

#define CSRS 16u
#define REGS_BYTES 128u
#define CFDD 0x40u /* 3.1.9, in configuration space */
#define DESC_BYTES 16u
#define FCS_BYTES 4u
#define MIN_BYTES 60u
#define FRAME_MAX 2560u /* 4.2.2.1: two buffers of 11 bits are larger than any frame */
#define SETUP_BYTES 192u
#define SETUP_ENTRIES 16u
#define HASH_BITS 512u
/* Descriptors in one go, and when the next go is. */
#define BATCH 256u
#define AGAIN_NS 50000u
#define RETRY_NS 1000000u
#define PHY_ADDRESS 0u
#define PHY_ID 0x20005c01u   /* National DP83840A */
#define TIMER_UNIT_NS 81920u /* 3.2.13: of the general-purpose timer, on 100 Mbit/s MII */

enum csr0 { BUS_RESET = 1 << 0 };
enum csr5 {
    INT_TX = 1 << 0,
    INT_TX_STOPPED = 1 << 1,
    INT_TX_EMPTY = 1 << 2,
    INT_RX = 1 << 6,
    INT_RX_EMPTY = 1 << 7,
    INT_RX_STOPPED = 1 << 8,
    INT_TIMER = 1 << 11,
    INT_FATAL = 1 << 13,
    INT_EARLY_RX = 1 << 14,
    INT_ABNORMAL = 1 << 15,
    INT_NORMAL = 1 << 16,
    INT_NORMAL_BITS = INT_TX | INT_TX_EMPTY | INT_RX | INT_EARLY_RX,
    INT_ABNORMAL_BITS =
        INT_TX_STOPPED | INT_RX_EMPTY | INT_RX_STOPPED | INT_TIMER | INT_FATAL | 0x638,
    INT_CLEARABLE = 0x1ffff,
};
enum csr6 {
    MODE_HASH = 1 << 0,
    MODE_RX = 1 << 1,
    MODE_HASH_ONLY = 1 << 2,
    MODE_INVERSE = 1 << 4,
    MODE_PROMISCUOUS = 1 << 6,
    MODE_MULTICAST = 1 << 7,
    MODE_TX = 1 << 13,
    MODE_MUST_BE_ONE = 1 << 25,
    MODE_ALL = 1 << 30,
};
enum csr9 {
    ROM_CS = 1 << 0,
    ROM_SK = 1 << 1,
    ROM_DI = 1 << 2,
    ROM_DO = 1 << 3,
    ROM_SELECT = 1 << 11,
    MII_MDC = 1 << 16,
    MII_MDO = 1 << 17,
    MII_READING = 1 << 18,
    MII_MDI = 1 << 19,
};
enum rdes0 {
    RX_OWN = 1u << 31,
    RX_MULTICAST = 1 << 10,
    RX_FIRST = 1 << 9,
    RX_LAST = 1 << 8,
    RX_TYPE = 1 << 5,
};
enum rdes1 { RING_END = 1 << 25, CHAINED = 1 << 24 };
enum tdes {
    TX_OWN = 1u << 31,
    TX_INTERRUPT = 1u << 31,
    TX_LAST = 1 << 30,
    TX_FIRST = 1 << 29,
    TX_FILTER1 = 1 << 28,
    TX_SETUP = 1 << 27,
    TX_FILTER0 = 1 << 22,
};

struct dec21140 {
    struct pci_dev pci;
    struct region ports, mmio, rom;
    struct net_port port;
    struct clock *clock;
    struct timer again, general;
    uint8_t mac[NET_MAC_BYTES];
    uint32_t csr[CSRS];
    uint32_t rx_at, tx_at; /* the next descriptors */
    uint8_t filter;        /* kind of the setup frame: FT1 in bit 1, FT0 in bit 0 */
    uint8_t macs[SETUP_ENTRIES][NET_MAC_BYTES];
    uint8_t hash[HASH_BITS / 8];
    struct eeprom93 srom;
    struct mii phy;
    uint8_t frame[FRAME_MAX + FCS_BYTES];
};

/* ---- interrupts ---- */

static void line_update(struct dec21140 *d)
{
    uint32_t on = d->csr[5] & d->csr[7];
    bool normal = on & INT_NORMAL_BITS, abnormal = on & INT_ABNORMAL_BITS;

    d->csr[5] &= ~(uint32_t)(INT_NORMAL | INT_ABNORMAL);
    d->csr[5] |= (normal ? INT_NORMAL : 0u) | (abnormal ? INT_ABNORMAL : 0u);
    pci_set_intx(&d->pci,
                 (normal && d->csr[7] & INT_NORMAL) || (abnormal && d->csr[7] & INT_ABNORMAL));
}

static void interrupt(struct dec21140 *d, uint32_t cause)
{
    d->csr[5] |= cause;
    line_update(d);
}

/* ---- descriptors ---- */

static bool desc_read(struct dec21140 *d, uint32_t at, uint32_t desc[4])
{
    uint8_t raw[DESC_BYTES];

    if (dma_read(&d->pci.dma, at, raw, sizeof(raw)) < 0) {
        d->csr[5] &= ~(7u << 23);
        interrupt(d, INT_FATAL | 2u << 23); /* target abort */
        return false;
    }
    for (unsigned i = 0; i < 4; i++)
        desc[i] = le32_get(raw + 4 * i);
    return true;
}

static void desc_write0(struct dec21140 *d, uint32_t at, uint32_t value)
{
    uint8_t raw[4];

    le32_put(raw, value);
    dma_write(&d->pci.dma, at, raw, sizeof(raw));
}

/* 4.2: the next is behind, or where the second address says, or at the start of the list. */
static uint32_t desc_next(const struct dec21140 *d, uint32_t at, const uint32_t desc[4],
                          uint32_t base)
{
    if (desc[1] & RING_END)
        return base;
    if (desc[1] & CHAINED)
        return desc[3] & ~3u;
    return at + DESC_BYTES + (d->csr[0] >> 2 & 31) * 4;
}

/* ---- address filter: 4.2.3 ---- */

static unsigned hash_of(const uint8_t *mac)
{
    uint32_t turned = ethernet_hash(mac), low = 0;

    for (unsigned i = 0; i < 9; i++)
        low |= (turned >> (31 - i) & 1) << i;
    return low;
}

static bool perfect(const struct dec21140 *d, const uint8_t *mac, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!memcmp(d->macs[i], mac, NET_MAC_BYTES))
            return true;
    return false;
}

static bool hashed(const struct dec21140 *d, const uint8_t *mac)
{
    unsigned n = hash_of(mac);

    return d->hash[n / 8] >> (n % 8) & 1;
}

static bool address_passes(const struct dec21140 *d, const uint8_t *frame)
{
    bool group = frame[0] & 1, match;

    if (d->csr[6] & (MODE_PROMISCUOUS | MODE_ALL))
        return true;
    if (group && d->csr[6] & MODE_MULTICAST)
        return true;
    switch (d->filter) {
    case 1: /* hash, and one perfect address */
        return group ? hashed(d, frame) : perfect(d, frame, 1);
    case 3: /* hash only */
        return hashed(d, frame);
    default:
        match = perfect(d, frame, SETUP_ENTRIES);
        return d->filter == 2 ? !match : match; /* inverse filtering */
    }
}

/* Each 16 bits of the frame are the low half of a doubleword. */
static void setup(struct dec21140 *d, uint32_t tdes1, uint32_t gpa)
{
    uint8_t b[SETUP_BYTES] = {0};
    unsigned single = 0;

    dma_read(&d->pci.dma, gpa, b, MIN((size_t)(tdes1 & 0x7ff), sizeof(b)));
    d->filter = (uint8_t)((tdes1 & TX_FILTER1 ? 2 : 0) | (tdes1 & TX_FILTER0 ? 1 : 0));
    d->csr[6] &= ~(uint32_t)(MODE_HASH | MODE_HASH_ONLY | MODE_INVERSE);
    d->csr[6] |= (d->filter & 1 ? MODE_HASH : 0u) | (d->filter == 3 ? MODE_HASH_ONLY : 0u) |
                 (d->filter == 2 ? MODE_INVERSE : 0u);
    memset(d->macs, 0, sizeof(d->macs));
    if (d->filter & 1) {
        for (unsigned i = 0; i < HASH_BITS / 16; i++)
            memcpy(d->hash + 2 * i, b + 4 * i, 2);
        single = 156; /* figure 4-8 */
        for (unsigned i = 0; i < 3; i++)
            memcpy(d->macs[0] + 2 * i, b + single + 4 * i, 2);
        return;
    }
    for (unsigned n = 0; n < SETUP_ENTRIES; n++)
        for (unsigned i = 0; i < 3; i++)
            memcpy(d->macs[n] + 2 * i, b + 12 * n + 4 * i, 2);
}

/* ---- transmit ---- */

static void add_buffer(struct dec21140 *d, size_t *len, uint32_t gpa, uint32_t bytes)
{
    bytes = (uint32_t)MIN((size_t)bytes, FRAME_MAX - *len);
    if (dma_read(&d->pci.dma, gpa, d->frame + *len, bytes) == 0)
        *len += bytes;
}

/* Collect the frame that begins at the next descriptor: its length, or 0 when it is not all there.
 * *ret_end is behind it, *ret_count how many descriptors it has. */
static bool collect(struct dec21140 *d, size_t *ret_len, unsigned *ret_count, bool *ret_setup)
{
    uint32_t at = d->tx_at, desc[4];

    *ret_len = 0;
    *ret_setup = false;
    for (unsigned n = 0; n < BATCH; n++) {
        if (!desc_read(d, at, desc) || !(desc[0] & TX_OWN))
            return false;
        if (desc[1] & TX_SETUP) {
            *ret_setup = true;
            *ret_count = n + 1;
            return true;
        }
        if (desc[1] & TX_FIRST)
            *ret_len = 0;
        add_buffer(d, ret_len, desc[2], desc[1] & 0x7ff);
        if (!(desc[1] & CHAINED))
            add_buffer(d, ret_len, desc[3], desc[1] >> 11 & 0x7ff);
        *ret_count = n + 1;
        if (desc[1] & TX_LAST)
            return true;
        at = desc_next(d, at, desc, d->csr[4]);
    }
    return true; /* a frame of so many pieces ends here */
}

/* Give the descriptors back. True when an interrupt was asked for. */
static bool give_back(struct dec21140 *d, unsigned count)
{
    uint32_t desc[4];
    bool interrupt_wanted = false;

    while (count-- && desc_read(d, d->tx_at, desc)) {
        desc_write0(d, d->tx_at, 0);
        interrupt_wanted |= desc[1] & TX_INTERRUPT;
        d->tx_at = desc_next(d, d->tx_at, desc, d->csr[4]);
    }
    return interrupt_wanted;
}

static bool send(struct dec21140 *d, size_t len)
{
    struct iovec iov = {d->frame, len};
    struct net_frame f;

    if (len < MIN_BYTES) {
        memset(d->frame + len, 0, MIN_BYTES - len);
        iov.iov_len = MIN_BYTES;
    }
    f = net_frame_of(&iov);
    return net_send(&d->port, &f);
}

static void transmit(struct dec21140 *d)
{
    unsigned count = 0, done = 0;
    uint32_t cause = 0;
    size_t len;
    bool is_setup;

    if (!(d->csr[6] & MODE_TX) || !pci_bus_master(&d->pci))
        return;
    while (done++ < BATCH) {
        uint32_t desc[4];

        if (!collect(d, &len, &count, &is_setup)) {
            cause |= INT_TX_EMPTY;
            break;
        }
        if (is_setup) {
            for (unsigned n = 1; n < count; n++)
                give_back(d, 1);
            if (desc_read(d, d->tx_at, desc))
                setup(d, desc[1], desc[2]);
            count = 1;
        } else if (len && !send(d, len)) {
            break;
        }
        if (give_back(d, count))
            cause |= INT_TX;
    }
    if (done > BATCH)
        timer_set(&d->again, clock_now_ns(d->clock) + AGAIN_NS);
    if (cause)
        interrupt(d, cause);
}

static void again(void *ctx)
{
    struct dec21140 *d = ctx;

    transmit(d);
    net_ready(&d->port);
}

/* ---- receive ---- */

/* The frame with padding and check sequence in d->frame; 0: it does not come in. */
static size_t frame_make(struct dec21140 *d, const struct net_frame *f)
{
    size_t len = f->len_bytes;

    if (len > NET_WIRE_BYTES)
        return 0;
    net_gather(f->iov, f->iov_count, 0, d->frame, len);
    if (len < MIN_BYTES) {
        memset(d->frame + len, 0, MIN_BYTES - len);
        len = MIN_BYTES;
    }
    if (!address_passes(d, d->frame))
        return 0;
    le32_put(d->frame + len, ethernet_fcs(d->frame, len));
    return len + FCS_BYTES;
}

static size_t buffer_room(const uint32_t desc[4])
{
    return (desc[1] & 0x7ff) + (desc[1] & CHAINED ? 0 : desc[1] >> 11 & 0x7ff);
}

/* Are there descriptors for so many bytes? A list without buffers is not walked for ever. */
static bool has_room(struct dec21140 *d, size_t len, unsigned *ret_count)
{
    uint32_t at = d->rx_at, desc[4];
    size_t room = 0;

    for (unsigned n = 0; n < BATCH; n++) {
        if (!desc_read(d, at, desc) || !(desc[0] & RX_OWN))
            return false;
        room += buffer_room(desc);
        *ret_count = n + 1;
        if (room >= len)
            return true;
        at = desc_next(d, at, desc, d->csr[3]);
    }
    return false;
}

static void fill(struct dec21140 *d, const uint32_t desc[4], size_t *at, size_t len)
{
    const struct dma *dma = &d->pci.dma;
    size_t first = MIN((size_t)(desc[1] & 0x7ff), len - *at), second;

    dma_write(dma, desc[2], d->frame + *at, first);
    *at += first;
    if (desc[1] & CHAINED)
        return;
    second = MIN((size_t)(desc[1] >> 11 & 0x7ff), len - *at);
    dma_write(dma, desc[3], d->frame + *at, second);
    *at += second;
}

static bool port_receive(void *ctx, const struct net_frame *f)
{
    struct dec21140 *d = ctx;
    unsigned count = 0;
    size_t len, at = 0;

    if (!(d->csr[6] & MODE_RX) || !pci_bus_master(&d->pci))
        return true;
    len = frame_make(d, f);
    if (!len)
        return true;
    if (!has_room(d, len, &count)) {
        d->csr[8] += (d->csr[8] & 0xffff) < 0xffff; /* missed frames */
        interrupt(d, INT_RX_EMPTY);
        /* 4.3.5: the next frame makes the chip look again; the one that waits is that. */
        timer_set(&d->again, clock_now_ns(d->clock) + RETRY_NS);
        return false;
    }
    for (unsigned n = 0; n < count; n++) {
        uint32_t desc[4], status = (uint32_t)len << 16 | RX_TYPE;

        if (!desc_read(d, d->rx_at, desc))
            return true;
        fill(d, desc, &at, len);
        status |= (n == 0 ? RX_FIRST : 0u) | (n + 1 == count ? RX_LAST : 0u) |
                  (d->frame[0] & 1 ? RX_MULTICAST : 0u);
        desc_write0(d, d->rx_at, status);
        d->rx_at = desc_next(d, d->rx_at, desc, d->csr[3]);
    }
    interrupt(d, INT_RX);
    return true;
}

static void port_ready(void *ctx)
{
    transmit(ctx);
}

static void port_link(void *ctx, bool up)
{
    mii_set_link(&((struct dec21140 *)ctx)->phy, up);
}

static const struct net_port_ops port_ops = {
    .receive = port_receive, .ready = port_ready, .link = port_link};

/* ---- registers ---- */

static void registers_reset(struct dec21140 *d)
{
    static const uint32_t values[CSRS] = {
        [0] = 0xfe000000, [5] = 0xf0000000,  [6] = 0x32000040,  [7] = 0xf3fe0000,  [8] = 0xe0000000,
        [9] = 0xfff483ff, [11] = 0xfffe0000, [12] = 0xfffffe00, [15] = 0x1ff00000,
    };

    memcpy(d->csr, values, sizeof(d->csr));
    d->csr[6] &= ~(uint32_t)MODE_PROMISCUOUS;
    d->rx_at = d->tx_at = 0;
    d->filter = 0;
    memset(d->macs, 0, sizeof(d->macs));
    memset(d->hash, 0, sizeof(d->hash));
    timer_cancel(&d->again);
    timer_cancel(&d->general);
    pci_set_intx(&d->pci, false);
    net_ready(&d->port);
}

static void state_set(struct dec21140 *d, unsigned shift, unsigned value)
{
    d->csr[5] = (d->csr[5] & ~(7u << shift)) | value << shift;
}

static void mode_write(struct dec21140 *d, uint32_t value)
{
    uint32_t old = d->csr[6], cause = 0;

    /* The filter bits come from the setup frame. */
    d->csr[6] = (value & ~(uint32_t)(MODE_HASH | MODE_HASH_ONLY | MODE_INVERSE)) |
                (old & (MODE_HASH | MODE_HASH_ONLY | MODE_INVERSE)) | MODE_MUST_BE_ONE;
    if (old & ~value & MODE_TX)
        cause |= INT_TX_STOPPED;
    if (old & ~value & MODE_RX)
        cause |= INT_RX_STOPPED;
    state_set(d, 20, value & MODE_TX ? 6 : 0); /* waiting for a descriptor, or stopped */
    state_set(d, 17, value & MODE_RX ? 3 : 0);
    if (cause)
        interrupt(d, cause);
    if (value & MODE_RX)
        net_ready(&d->port);
    if (value & MODE_TX)
        transmit(d);
}

static void general_set(struct dec21140 *d)
{
    uint64_t units = d->csr[11] & 0xffff;

    if (units)
        timer_set(&d->general, clock_now_ns(d->clock) + units * TIMER_UNIT_NS);
    else
        timer_cancel(&d->general);
}

static void general_fired(void *ctx)
{
    struct dec21140 *d = ctx;

    interrupt(d, INT_TIMER);
    if (d->csr[11] & 1u << 16) /* continuous */
        general_set(d);
}

static void rom_write(struct dec21140 *d, uint32_t value)
{
    d->csr[9] = 0xfff00000 | (value & 0x000fffff & ~(uint32_t)MII_MDI);
    if (value & ROM_SELECT)
        eeprom93_wires(&d->srom, value & ROM_CS, value & ROM_SK, value & ROM_DI);
    mii_wires(&d->phy, PHY_ADDRESS, value & MII_MDC, value & MII_MDO, value & MII_READING);
}

static uint32_t rom_read(const struct dec21140 *d)
{
    uint32_t value = d->csr[9] & ~(uint32_t)(MII_MDI | ROM_DO);

    return value | (mii_out(&d->phy) ? MII_MDI : 0u) |
           (value & ROM_SELECT && eeprom93_out(&d->srom) ? ROM_DO : 0u);
}

static uint64_t regs_read(void *dev, uint64_t offset, unsigned size)
{
    struct dec21140 *d = dev;
    unsigned n = (unsigned)(offset / 8);
    uint32_t value = d->csr[n];

    (void)size;
    if (offset % 8)
        return 0;
    if (n == 8) /* reading clears the counts */
        d->csr[8] = 0xe0000000;
    return n == 9 ? rom_read(d) : value;
}

static void regs_write(void *dev, uint64_t offset, unsigned size, uint64_t v)
{
    struct dec21140 *d = dev;
    unsigned n = (unsigned)(offset / 8);
    uint32_t value = (uint32_t)v;

    (void)size;
    if (offset % 8)
        return;
    switch (n) {
    case 0:
        if (value & BUS_RESET)
            registers_reset(d);
        else
            d->csr[0] = 0xfe000000 | value;
        break;
    case 1: /* poll demands */
        transmit(d);
        break;
    case 2:
        net_ready(&d->port);
        break;
    case 3:
        d->csr[3] = d->rx_at = value & ~3u;
        break;
    case 4:
        d->csr[4] = d->tx_at = value & ~3u;
        break;
    case 5:
        d->csr[5] &= ~(value & INT_CLEARABLE);
        line_update(d);
        break;
    case 6:
        mode_write(d, value);
        break;
    case 7:
        d->csr[7] = 0xf3fe0000 | value;
        line_update(d);
        break;
    case 9:
        rom_write(d, value);
        break;
    case 11:
        d->csr[11] = 0xfffe0000 | (value & 0x1ffff);
        general_set(d);
        break;
    case 12:
    case 15:
        d->csr[n] = value;
        break;
    }
}

static const struct io_ops regs_io = {.name = "21140",
                                      .min_size = 4,
                                      .max_size = 4,
                                      .merge_writes = true,
                                      .read = regs_read,
                                      .write = regs_write};

/* ---- the device ---- */

/* Format version 3: identity, address, and one medium, a transceiver at the MII. */
static void srom_fill(struct dec21140 *d)
{
    uint8_t b[128] = {0};
    static const uint8_t leaf[] = {
        0x00, 0x08,                          /* medium: chosen by negotiation */
        0x00,                                /* direction of the general-purpose pins */
        0x01,                                /* one block: */
        0x8d, 0x01, PHY_ADDRESS, 0x00, 0x00, /* MII, no pin sequences */
        0x00, 0x78, 0xe0,        0x01, 0x00,
        0x50, 0x00, 0x18, /* what it can, tells, full duplex, … */
    };
    eeprom93_init(&d->srom, 6);
    le16_put(b, 0x1011);
    le16_put(b + 2, 0x500b);
    b[18] = 3;
    b[19] = 1;
    memcpy(b + 20, d->mac, NET_MAC_BYTES);
    b[26] = 0; /* device number of the only controller, and where its leaf is */
    le16_put(b + 27, 30);
    memcpy(b + 30, leaf, sizeof(leaf));
    le16_put(b + 126, (uint16_t)ethernet_fcs(b, 126));
    for (unsigned i = 0; i < 64; i++)
        d->srom.words[i] = le16_get(b + 2 * i);
}

static void dec21140_reset(void *dev)
{
    struct dec21140 *d = dev;

    pci_dev_reset(&d->pci);
    le32_put(d->pci.config + CFDD, 0);
    srom_fill(d);
    mii_reset(&d->phy);
    mii_set_link(&d->phy, net_link_up(&d->port));
    registers_reset(d);
}

static int dec21140_state(void *dev, struct state *s)
{
    struct dec21140 *d = dev;

    pci_dev_state(&d->pci, s);
    state_bytes(s, "csr", d->csr, sizeof(d->csr));
    state_u32(s, "rx_at", &d->rx_at);
    state_u32(s, "tx_at", &d->tx_at);
    state_u8(s, "filter", &d->filter);
    state_bytes(s, "macs", d->macs, sizeof(d->macs));
    state_bytes(s, "hash", d->hash, sizeof(d->hash));
    state_timer(s, "again", &d->again);
    state_timer(s, "general", &d->general);
    eeprom93_state(&d->srom, s);
    mii_state(&d->phy, s);
    state_check(s, d->filter <= 3);
    if (state_loading(s) && state_error(s) == 0)
        mii_set_link(&d->phy, net_link_up(&d->port));
    return state_error(s);
}

static void dec21140_free(void *dev)
{
    struct dec21140 *d = dev;

    net_disconnect(&d->port);
    timer_cancel(&d->again);
    timer_cancel(&d->general);
    pci_dev_done(&d->pci);
    free(d);
}

const struct dev_ops dec21140_dev_ops = {.name = "21140",
                                         .version = 1,
                                         .reset = dec21140_reset,
                                         .state = dec21140_state,
                                         .free = dec21140_free};

int dec21140_new(const struct nic_env *env, struct dec21140 **ret_dev)
{
    static const struct pci_ids ids = {.vendor = 0x1011,
                                       .device = 0x0009,
                                       .subsys_vendor = 0x1011,
                                       .subsys = 0x500b,
                                       .class_code = 0x020000,
                                       .revision = 0x20};
    struct dec21140 *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->clock = env->clock;
    memcpy(d->mac, env->mac, sizeof(d->mac));
    net_port_init(&d->port, &port_ops, d);
    timer_init(&d->again, env->clock, again, d);
    timer_init(&d->general, env->clock, general_fired, d);
    mii_init(&d->phy, PHY_ID, false);
    r = pci_dev_init(&d->pci, env->pci, env->devfn, "21140", &ids, 1);
    if (r < 0) {
        free(d);
        return r;
    }
    d->pci.dev = d;
    d->ports = (struct region){
        .name = "21140", .size_bytes = REGS_BYTES, .priority = 1, .ops = &regs_io, .dev = d};
    d->mmio = d->ports;
    pci_add_bar(&d->pci, 0, &d->ports, true, false, false);
    pci_add_bar(&d->pci, 1, &d->mmio, false, false, false);
    /* It keeps what the driver writes: sleep modes and its own data. */
    le32_put(d->pci.wmask + CFDD, 0xc000ff00);
    r = env->rom ? pci_add_rom(&d->pci, &d->rom, env->rom, env->rom_bytes) : 0;
    if (r < 0) {
        dec21140_free(d);
        return r;
    }
    dec21140_reset(d);
    *ret_dev = d;
    return 0;
}

struct net_port *dec21140_port(struct dec21140 *dev)
{
    return &dev->port;
}
