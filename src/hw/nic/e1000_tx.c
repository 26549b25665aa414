/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82540EM's transmitter: legacy, context and data descriptors (3.3), checksum insertion and
 * TCP segmentation (3.5). A packet is taken when all its descriptors are in the ring.
 */
#include "hw/nic/e1000_priv.h"

#include <string.h>

#include "base/bytes.h"
#include "net/offload.h"

enum {
    TXD_EOP = 0x01,
    TXD_IC = 0x04, /* legacy: insert checksum */
    TXD_TSE = 0x04,
    TXD_RS = 0x08,
    TXD_DEXT = 0x20,
    TXD_VLE = 0x40,
    TXD_DD = 0x01,
    POPTS_IXSM = 0x01,
    POPTS_TXSM = 0x02,
    TUCMD_TSE = 0x04,
};

#define MIN_BYTES 60u
/* Packets in one go, and when the next go is. */
#define BATCH 256u
#define AGAIN_NS 50000u

struct packet {
    size_t len;
    bool data; /* extended descriptors */
    bool tse;
    uint8_t popts;   /* of the first descriptor */
    uint8_t command; /* of the last */
    uint8_t css, cso;
    uint16_t special;
    uint32_t end; /* descriptor behind it */
    bool report;
};

static uint64_t ring_base(struct e1000 *e)
{
    return *e1000_reg(e, REG_TDBAL) | (uint64_t)*e1000_reg(e, REG_TDBAH) << 32;
}

static void context_load(struct e1000 *e, const uint8_t *d)
{
    struct e1000_context c = {
        .ipcss = d[0],
        .ipcso = d[1],
        .ipcse = le16_get(d + 2),
        .tucss = d[4],
        .tucso = d[5],
        .tucse = le16_get(d + 6),
        .paylen = le32_get(d + 8) & 0xfffff,
        .tucmd = d[11],
        .hdrlen = d[13],
        .mss = le16_get(d + 14),
    };

    if (c.tucmd & TUCMD_TSE)
        e->tso = c;
    else
        e->context = c;
}

static void write_back(struct e1000 *e, uint32_t n, const uint8_t *desc)
{
    uint8_t status = desc[12] | TXD_DD;

    dma_write(&e->pci.dma, ring_base(e) + (uint64_t)E1000_DESC_BYTES * n + 12, &status, 1);
}

/* Add a descriptor's bytes; what does not fit a packet of this card is cut off. */
static void packet_add(struct e1000 *e, struct packet *p, uint64_t gpa, size_t bytes)
{
    bytes = MIN(bytes, (size_t)NET_FRAME_MAX - p->len);
    if (dma_read(&e->pci.dma, gpa, e->tx + p->len, bytes) == 0)
        p->len += bytes;
}

/* ---- a packet's sums and segments ---- */

static void sum_insert(uint8_t *frame, size_t len, unsigned start, unsigned place, unsigned last)
{
    size_t end = last && last < len ? last + 1u : len;

    if (start < end && place + 2 <= len)
        be16_put(frame + place, offload_sum_end(offload_sum(frame + start, end - start, 0)));
}

/* 3.5.7: lengths and the pseudo header are for the card to fill in. */
static bool tso_frame(struct e1000 *e, struct packet *p, struct net_offload *o)
{
    struct offload_layout l;
    uint8_t *b = e->tx;

    if (!offload_parse(b, MIN(p->len, (size_t)OFFLOAD_HEADERS_MAX), &l) || l.protocol != 6 ||
        l.payload != e->tso.hdrlen || e->tso.mss < OFFLOAD_SEGMENT_MIN)
        return false;
    if (l.ethertype == 0x0800) {
        be16_put(b + l.ip + 2, (uint16_t)(p->len - l.ip));
        be16_put(b + l.ip + 10, 0);
        be16_put(b + l.ip + 10, offload_sum_end(offload_sum(b + l.ip, l.transport - l.ip, 0)));
    } else {
        be16_put(b + l.ip + 4, (uint16_t)(p->len - l.transport));
    }
    be16_put(b + l.transport + 16,
             (uint16_t)~offload_sum_end(offload_pseudo(b, &l, p->len - l.transport)));
    *o = (struct net_offload){.flags = NET_NEEDS_CSUM,
                              .gso = l.ethertype == 0x0800 ? NET_GSO_TCP4 : NET_GSO_TCP6,
                              .header = (uint16_t)l.payload,
                              .gso_bytes = e->tso.mss,
                              .csum_start = (uint16_t)l.transport,
                              .csum_offset = 16};
    return true;
}

static void sums_make(struct e1000 *e, const struct packet *p)
{
    const struct e1000_context *c = &e->context;

    if (!p->data) {
        if (p->command & TXD_IC)
            sum_insert(e->tx, p->len, p->css, p->cso, 0);
        return;
    }
    if (p->popts & POPTS_IXSM) {
        if (c->ipcso + 2u <= p->len)
            be16_put(e->tx + c->ipcso, 0);
        sum_insert(e->tx, p->len, c->ipcss, c->ipcso, c->ipcse);
    }
    /* The driver has put the pseudo header's sum where the checksum goes. */
    if (p->popts & POPTS_TXSM)
        sum_insert(e->tx, p->len, c->tucss, c->tucso, c->tucse);
}

static void tag_insert(struct e1000 *e, struct packet *p, struct net_offload *o)
{
    if (!(p->command & TXD_VLE) || !(*e1000_reg(e, REG_CTRL) & CTRL_VME) || p->len < 12)
        return;
    memmove(e->tx + 16, e->tx + 12, MIN(p->len - 12, (size_t)NET_FRAME_MAX - 12));
    be16_put(e->tx + 12, (uint16_t)*e1000_reg(e, REG_VET));
    be16_put(e->tx + 14, p->special);
    p->len += 4;
    if (o->flags & NET_NEEDS_CSUM) {
        o->csum_start = (uint16_t)(o->csum_start + 4);
        o->header = (uint16_t)(o->header + 4);
    }
}

/* False: no room at the far end. */
static bool packet_send(struct e1000 *e, struct packet *p)
{
    struct net_offload o = {0};
    struct iovec iov = {e->tx, 0};
    struct net_frame f;

    if (p->tse) {
        if (!tso_frame(e, p, &o))
            return true;
    } else {
        sums_make(e, p);
    }
    if (p->len < MIN_BYTES && *e1000_reg(e, REG_TCTL) & TCTL_PSP) {
        memset(e->tx + p->len, 0, MIN_BYTES - p->len);
        p->len = MIN_BYTES;
    }
    tag_insert(e, p, &o);
    iov.iov_len = p->len;
    f = net_frame_of(&iov);
    f.offload = o;
    return net_send(&e->port, &f);
}

static void counters(struct e1000 *e, const struct packet *p)
{
    /* Each segment is a packet. */
    uint64_t packets = p->tse && e->tso.mss && p->len > e->tso.hdrlen
                           ? (p->len - e->tso.hdrlen + e->tso.mss - 1) / e->tso.mss
                           : 1;

    e1000_count(e, REG_TPT, packets, false);
    e1000_count(e, REG_GPTC, packets, false);
    e1000_count(e, REG_GOTCL, p->len + 4, true);
    e1000_count(e, REG_TOTL, p->len + 4, true);
    if (e->tx[0] & 1)
        e1000_count(e, e->tx[0] == 0xff ? REG_BPTC : REG_MPTC, 1, false);
}

/* ---- the ring ---- */

/* Collect the packet that begins at head. False: it is not all there, or not in memory. */
static bool packet_collect(struct e1000 *e, uint32_t head, uint32_t tail, uint32_t count,
                           struct packet *p)
{
    bool first = true;

    *p = (struct packet){0};
    for (uint32_t n = head; n != tail; n = n + 1 == count ? 0 : n + 1) {
        uint8_t d[E1000_DESC_BYTES];
        uint8_t command;
        bool extended;

        if (dma_read(&e->pci.dma, ring_base(e) + (uint64_t)E1000_DESC_BYTES * n, d, sizeof(d)) < 0)
            return false;
        command = d[11];
        extended = command & TXD_DEXT;
        p->report |= command & TXD_RS;
        if (extended && (d[10] >> 4) == 0) {
            context_load(e, d);
            if (!first)
                continue;
            p->end = n + 1 == count ? 0 : n + 1;
            p->command = command;
            return true; /* by itself: nothing to send */
        }
        if (first) {
            p->data = extended;
            p->popts = extended ? d[13] : 0;
            p->tse = extended && command & TXD_TSE;
            p->css = d[13];
            p->cso = d[10];
        }
        first = false;
        packet_add(e, p, le64_get(d),
                   extended ? le32_get(d + 8) & 0xfffff : (size_t)le16_get(d + 8));
        if (command & TXD_EOP) {
            p->command = command;
            p->special = le16_get(d + 14);
            p->end = n + 1 == count ? 0 : n + 1;
            return true;
        }
    }
    return false;
}

static void packet_report(struct e1000 *e, uint32_t head, uint32_t count, uint32_t end)
{
    for (uint32_t n = head; n != end; n = n + 1 == count ? 0 : n + 1) {
        uint8_t d[E1000_DESC_BYTES];

        if (dma_read(&e->pci.dma, ring_base(e) + (uint64_t)E1000_DESC_BYTES * n, d, sizeof(d)) ==
                0 &&
            d[11] & TXD_RS)
            write_back(e, n, d);
    }
}

void e1000_transmit(struct e1000 *e)
{
    uint32_t count = *e1000_reg(e, REG_TDLEN) / E1000_DESC_BYTES;
    uint32_t head = *e1000_reg(e, REG_TDH), tail = *e1000_reg(e, REG_TDT);
    uint32_t cause = 0;
    unsigned done = 0;
    struct packet p;

    if (!(*e1000_reg(e, REG_TCTL) & TCTL_EN) || !pci_bus_master(&e->pci) || head >= count ||
        tail >= count)
        return;
    while (head != tail && done++ < BATCH && packet_collect(e, head, tail, count, &p)) {
        if (p.len && !packet_send(e, &p))
            break;
        if (p.len)
            counters(e, &p);
        if (p.report) {
            packet_report(e, head, count, p.end);
            cause |= ICR_TXDW;
        }
        head = p.end;
        *e1000_reg(e, REG_TDH) = head;
        if (head == tail)
            cause |= ICR_TXQE;
    }
    if (head != tail && done > BATCH)
        timer_set(&e->again, clock_now_ns(e->clock) + AGAIN_NS);
    if (cause)
        e1000_interrupt(e, cause);
}
