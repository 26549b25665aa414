/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82540EM's receiver: address and VLAN filters (13.5, 9.3), descriptors (3.2), checksums (3.2.9).
 */
#include "hw/nic/e1000_priv.h"

#include <string.h>

#include "base/bytes.h"
#include "hw/core/ethernet.h"
#include "net/offload.h"

enum {
    RXD_DD = 0x01,
    RXD_EOP = 0x02,
    RXD_IXSM = 0x04,
    RXD_VP = 0x08,
    RXD_UDPCS = 0x10,
    RXD_TCPCS = 0x20,
    RXD_IPCS = 0x40,
    RXD_PIF = 0x80,
    RXD_ERROR_TCPE = 0x20,
    RXD_ERROR_IPE = 0x40,
};

#define FCS_BYTES 4u
#define MIN_BYTES 60u
#define LONG_BYTES 1518u /* without check sequence: with a VLAN tag */

static bool vlan_passes(struct e1000 *e, const uint8_t *frame)
{
    uint16_t vlan = be16_get(frame + 14) & 0xfff;

    if (!(*e1000_reg(e, REG_RCTL) & RCTL_VFE) ||
        be16_get(frame + 12) != (*e1000_reg(e, REG_VET) & 0xffff))
        return true;
    return e1000_reg(e, REG_VFTA)[vlan >> 5] >> (vlan & 31) & 1;
}

static bool address_passes(struct e1000 *e, const uint8_t *frame)
{
    static const uint8_t broadcast[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    /* 13.4.22: which bits of the address, by RCTL.MO. */
    static const uint8_t shifts[4] = {4, 3, 2, 0};
    uint32_t rctl = *e1000_reg(e, REG_RCTL);
    unsigned hash;

    if (!memcmp(frame, broadcast, sizeof(broadcast)) && rctl & RCTL_BAM)
        return true;
    if (rctl & (frame[0] & 1 ? RCTL_MPE : RCTL_UPE))
        return true;
    for (unsigned i = 0; i < 16; i++) {
        const uint32_t *ra = e1000_reg(e, REG_RA) + 2 * i;

        if (ra[1] >> 31 && le32_get(frame) == ra[0] && le16_get(frame + 4) == (uint16_t)ra[1])
            return true;
    }
    if (!(frame[0] & 1))
        return false;
    hash = (frame[4] | frame[5] << 8u) >> shifts[rctl >> 12 & 3] & 0xfff;
    return e1000_reg(e, REG_MTA)[hash >> 5] >> (hash & 31) & 1;
}

static unsigned buffer_bytes(struct e1000 *e)
{
    uint32_t rctl = *e1000_reg(e, REG_RCTL);
    unsigned bytes = 2048u >> (rctl >> 16 & 3);

    return rctl & RCTL_BSEX && bytes < 2048 ? bytes * 16 : bytes;
}

/* Look at the sums of a packet, as far as the driver wants that: status and errors. */
static void sums_look(struct e1000 *e, const uint8_t *frame, size_t len, uint8_t *status,
                      uint8_t *errors)
{
    uint32_t want = *e1000_reg(e, REG_RXCSUM);
    struct offload_layout l;
    size_t end;

    if (!(want & (RXCSUM_IP | RXCSUM_TU)) || !offload_parse(frame, len, &l)) {
        *status |= RXD_IXSM;
        return;
    }
    end = l.ethertype == 0x0800 ? l.ip + (size_t)be16_get(frame + l.ip + 2)
                                : l.transport + (size_t)be16_get(frame + l.ip + 4);
    if (end > len || end < l.payload) {
        *status |= RXD_IXSM;
        return;
    }
    if (want & RXCSUM_IP && l.ethertype == 0x0800) {
        *status |= RXD_IPCS;
        if (offload_sum_end(offload_sum(frame + l.ip, l.transport - l.ip, 0)))
            *errors |= RXD_ERROR_IPE;
    }
    /* RFC 768: a UDP packet may come without. */
    if (!(want & RXCSUM_TU) || (l.protocol == 17 && !be16_get(frame + l.transport + 6)))
        return;
    *status |= l.protocol == 17 ? RXD_UDPCS : RXD_TCPCS;
    if (offload_sum_end(offload_sum(frame + l.transport, end - l.transport,
                                    offload_pseudo(frame, &l, end - l.transport))))
        *errors |= RXD_ERROR_TCPE;
}

/* The frame as it goes to memory: padded, without its tag if the driver wants that, with its check
 * sequence unless the driver does not. Returns its length, 0 when it does not come in. */
static size_t frame_make(struct e1000 *e, const struct net_frame *f, uint16_t *ret_tag,
                         bool *ret_tagged)
{
    uint32_t rctl = *e1000_reg(e, REG_RCTL);
    size_t len = f->len_bytes;

    if (len > E1000_FRAME_MAX - FCS_BYTES || (len > LONG_BYTES && !(rctl & RCTL_LPE)))
        return 0;
    net_gather(f->iov, f->iov_count, 0, e->rx, len);
    if (len < MIN_BYTES) {
        memset(e->rx + len, 0, MIN_BYTES - len);
        len = MIN_BYTES;
    }
    if (!address_passes(e, e->rx) || !vlan_passes(e, e->rx))
        return 0;
    if (!(rctl & RCTL_SECRC))
        le32_put(e->rx + len, ethernet_fcs(e->rx, len));
    *ret_tagged = *e1000_reg(e, REG_CTRL) & CTRL_VME &&
                  be16_get(e->rx + 12) == (*e1000_reg(e, REG_VET) & 0xffff);
    len += rctl & RCTL_SECRC ? 0 : FCS_BYTES;
    if (*ret_tagged) {
        *ret_tag = be16_get(e->rx + 14);
        memmove(e->rx + 12, e->rx + 16, len - 16);
        len -= 4;
    }
    return len;
}

static unsigned free_descriptors(uint32_t head, uint32_t tail, uint32_t count)
{
    return head <= tail ? tail - head : count - head + tail;
}

static uint64_t ring_base(struct e1000 *e)
{
    return *e1000_reg(e, REG_RDBAL) | (uint64_t)*e1000_reg(e, REG_RDBAH) << 32;
}

static void counters(struct e1000 *e, size_t len)
{
    e1000_count(e, REG_TPR, 1, false);
    e1000_count(e, REG_GPRC, 1, false);
    e1000_count(e, REG_GORCL, len, true);
    e1000_count(e, REG_TORL, len, true);
    if (e->rx[0] & 1)
        e1000_count(e, e->rx[0] == 0xff ? REG_BPRC : REG_MPRC, 1, false);
}

bool e1000_receive(void *ctx, const struct net_frame *f)
{
    struct e1000 *e = ctx;
    const struct dma *dma = &e->pci.dma;
    uint32_t count = *e1000_reg(e, REG_RDLEN) / E1000_DESC_BYTES;
    uint32_t head = *e1000_reg(e, REG_RDH), tail = *e1000_reg(e, REG_RDT), left;
    unsigned room = buffer_bytes(e);
    uint8_t status = 0, errors = 0;
    uint16_t tag = 0;
    bool tagged = false;
    size_t len, at = 0;

    if (!(*e1000_reg(e, REG_RCTL) & RCTL_EN) || !pci_bus_master(&e->pci))
        return true; /* a receiver that is off loses what comes */
    len = frame_make(e, f, &tag, &tagged);
    if (!len)
        return true;
    if (head >= count || tail >= count ||
        free_descriptors(head, tail, count) < (len + room - 1) / room) {
        e1000_count(e, REG_RNBC, 1, false);
        return false;
    }
    if (tagged)
        status |= RXD_VP;
    sums_look(e, e->rx, len, &status, &errors);
    while (at < len) {
        uint64_t gpa = ring_base(e) + (uint64_t)E1000_DESC_BYTES * head;
        uint8_t desc[E1000_DESC_BYTES];
        size_t piece = MIN((size_t)room, len - at);
        bool last = at + piece == len;

        if (dma_read(dma, gpa, desc, sizeof(desc)) < 0)
            return true;
        dma_write(dma, le64_get(desc), e->rx + at, piece);
        at += piece;
        le16_put(desc + 8, (uint16_t)piece);
        le16_put(desc + 10, 0);
        desc[12] = (uint8_t)(RXD_DD | (last ? RXD_EOP | status : 0));
        desc[13] = last ? errors : 0;
        le16_put(desc + 14, tag);
        dma_write(dma, gpa + 8, desc + 8, 8);
        head = head + 1 == count ? 0 : head + 1;
    }
    *e1000_reg(e, REG_RDH) = head;
    counters(e, len);
    left = free_descriptors(head, tail, count);
    /* 13.4.22: RDMTS is a half, a quarter or an eighth of the ring. */
    e1000_interrupt(
        e, ICR_RXT0 | (left <= count >> (1 + (*e1000_reg(e, REG_RCTL) >> 8 & 3)) ? ICR_RXDMT0 : 0));
    return true;
}
