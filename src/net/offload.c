/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/offload.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

enum {
    ETHERTYPE_IP4 = 0x0800,
    ETHERTYPE_IP6 = 0x86dd,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_QINQ = 0x88a8
};
enum { PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { IP4_BYTES = 20, IP6_BYTES = 40, TCP_BYTES = 20, UDP_BYTES = 8 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

uint32_t offload_sum(const void *data, size_t len_bytes, uint32_t sum)
{
    const uint8_t *p = data;
    uint64_t wide = 0;

    for (; len_bytes >= 8; p += 8, len_bytes -= 8) {
        uint64_t v;
        memcpy(&v, p, sizeof(v));
        /* Byte order does not matter to a one's complement sum until the end. */
        wide += (v & 0xffffffff) + (v >> 32);
    }
    if (len_bytes) {
        uint8_t rest[8] = {0};
        uint64_t v;
        memcpy(rest, p, len_bytes);
        memcpy(&v, rest, sizeof(v));
        wide += (v & 0xffffffff) + (v >> 32);
    }
    wide = (wide & 0xffffffff) + (wide >> 32);
    wide = (wide & 0xffff) + (wide >> 16);
    wide = (wide & 0xffff) + (wide >> 16);
    wide = (wide & 0xffff) + (wide >> 16);
    return sum + __builtin_bswap16((uint16_t)wide);
}

uint16_t offload_sum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool parse_ip4(const uint8_t *frame, size_t len, struct offload_layout *l)
{
    const uint8_t *ip = frame + l->ip;
    unsigned header = (ip[0] & 15) * 4u;

    if (ip[0] >> 4 != 4 || header < IP4_BYTES || l->ip + header > len)
        return false;
    if (be16_get(ip + 6) & 0x3fff) /* a fragment: no transport header, or not all of it */
        return false;
    l->protocol = ip[9];
    l->transport = l->ip + header;
    return true;
}

static bool parse_ip6(const uint8_t *frame, size_t len, struct offload_layout *l)
{
    const uint8_t *ip = frame + l->ip;

    if (l->ip + IP6_BYTES > len || ip[0] >> 4 != 6)
        return false;
    l->protocol = ip[6];
    l->transport = l->ip + IP6_BYTES;
    return true;
}

bool offload_parse(const uint8_t *frame, size_t len_bytes, struct offload_layout *ret_layout)
{
    struct offload_layout l = {.ip = NET_ETHER_BYTES};
    bool ok;

    for (;;) {
        if (l.ip + IP4_BYTES > len_bytes)
            return false;
        l.ethertype = be16_get(frame + l.ip - 2);
        if ((l.ethertype != ETHERTYPE_VLAN && l.ethertype != ETHERTYPE_QINQ) ||
            l.ip > NET_ETHER_BYTES + 4)
            break;
        l.ip += 4;
    }
    if (l.ethertype == ETHERTYPE_IP4)
        ok = parse_ip4(frame, len_bytes, &l);
    else if (l.ethertype == ETHERTYPE_IP6)
        ok = parse_ip6(frame, len_bytes, &l);
    else
        return false;
    if (!ok)
        return false;
    if (l.protocol == PROTOCOL_UDP)
        l.payload = l.transport + UDP_BYTES;
    else if (l.protocol == PROTOCOL_TCP && l.transport + TCP_BYTES <= len_bytes)
        l.payload = l.transport + (frame[l.transport + 12] >> 4) * 4u;
    else
        return false;
    if (l.payload > len_bytes ||
        (l.protocol == PROTOCOL_TCP && l.payload < l.transport + TCP_BYTES))
        return false;
    *ret_layout = l;
    return true;
}

bool offload_accepted(const struct net_offload *o, unsigned accepts)
{
    unsigned needs = 0;

    if (o->flags & NET_NEEDS_CSUM)
        needs |= NET_ACCEPTS_CSUM;
    if ((o->gso & ~NET_GSO_ECN) == NET_GSO_TCP4)
        needs |= NET_ACCEPTS_TSO4;
    if ((o->gso & ~NET_GSO_ECN) == NET_GSO_TCP6)
        needs |= NET_ACCEPTS_TSO6;
    if (o->gso & NET_GSO_ECN)
        needs |= NET_ACCEPTS_ECN;
    return (needs & accepts) == needs;
}

/* The header's kind of segmentation is what the frame is. */
static bool gso_fits(const struct offload_layout *l, const struct net_offload *o)
{
    uint8_t gso = o->gso & (uint8_t)~NET_GSO_ECN;

    if (l->protocol != PROTOCOL_TCP || o->gso_bytes < OFFLOAD_SEGMENT_MIN)
        return false;
    return (gso == NET_GSO_TCP4 && l->ethertype == ETHERTYPE_IP4) ||
           (gso == NET_GSO_TCP6 && l->ethertype == ETHERTYPE_IP6);
}

int offload_check(const struct net_frame *frame)
{
    const struct net_offload *o = &frame->offload;
    struct offload_layout l;
    uint8_t start[OFFLOAD_HEADERS_MAX];
    size_t n;

    if (o->flags & NET_NEEDS_CSUM &&
        (uint32_t)o->csum_start + o->csum_offset + 2u > frame->len_bytes)
        return -EINVAL;
    if (o->gso == NET_GSO_NONE)
        return 0;
    /* VIRTIO 5.1.6.2: who asks for segmentation asks for the checksum. */
    if (!(o->flags & NET_NEEDS_CSUM))
        return -EINVAL;
    n = net_gather(frame->iov, frame->iov_count, 0, start, sizeof(start));
    if (!offload_parse(start, n, &l) || !gso_fits(&l, o) || o->csum_start != l.transport ||
        o->csum_offset != 16)
        return -EINVAL;
    return 0;
}

uint32_t offload_pseudo(const uint8_t *frame, const struct offload_layout *l,
                        size_t transport_bytes)
{
    uint32_t sum = l->protocol;

    sum += (uint32_t)(transport_bytes & 0xffff) + (uint32_t)(transport_bytes >> 16);
    if (l->ethertype == ETHERTYPE_IP4)
        return offload_sum(frame + l->ip + 12, 8, sum);
    return offload_sum(frame + l->ip + 8, 32, sum);
}

void offload_fill(uint8_t *frame, size_t len_bytes, const struct net_offload *o)
{
    uint16_t sum;

    if ((uint32_t)o->csum_start + o->csum_offset + 2u > len_bytes)
        return;
    sum = offload_sum_end(offload_sum(frame + o->csum_start, len_bytes - o->csum_start, 0));
    /* UDP has no zero: RFC 768. TCP does not mind the other zero. */
    be16_put(frame + o->csum_start + o->csum_offset, sum ? sum : 0xffff);
}

/* Make the headers of segment n those of a packet of its own. */
static void segment_headers(uint8_t *s, const struct offload_layout *l, unsigned n, size_t sent,
                            size_t payload, bool last)
{
    uint8_t *ip = s + l->ip, *tcp = s + l->transport;
    size_t transport_bytes = l->payload - l->transport + payload;
    struct net_offload o = {.csum_start = (uint16_t)l->transport, .csum_offset = 16};
    uint32_t sum;

    if (l->ethertype == ETHERTYPE_IP4) {
        be16_put(ip + 2, (uint16_t)(l->transport - l->ip + transport_bytes));
        be16_put(ip + 4, (uint16_t)(be16_get(ip + 4) + n));
        be16_put(ip + 10, 0);
        be16_put(ip + 10, offload_sum_end(offload_sum(ip, l->transport - l->ip, 0)));
    } else {
        be16_put(ip + 4, (uint16_t)transport_bytes);
    }
    be32_put(tcp + 4, (uint32_t)(be32_get(tcp + 4) + sent));
    if (!last)
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (n)
        tcp[13] &= (uint8_t)~TCP_CWR;
    /* The field holds the pseudo header's sum while the rest is added up. */
    sum = offload_pseudo(s, l, transport_bytes);
    be16_put(tcp + 16, (uint16_t)~offload_sum_end(sum));
    offload_fill(s, l->payload + payload, &o);
}

static int segment(const uint8_t *frame, size_t len, const struct net_offload *o,
                   bool (*emit)(void *ctx, const struct net_frame *frame), void *ctx)
{
    struct offload_layout l;
    uint8_t headers[OFFLOAD_HEADERS_MAX];
    size_t sent = 0;
    unsigned n = 0;
    AUTO_FREE uint8_t *buf = NULL;

    if (!offload_parse(frame, MIN(len, sizeof(headers)), &l) || !gso_fits(&l, o))
        return -EINVAL;
    buf = malloc(l.payload + o->gso_bytes);
    if (!buf)
        return -ENOMEM;
    do {
        size_t left = len - l.payload - sent, payload = MIN(left, (size_t)o->gso_bytes);
        struct iovec iov = {buf, l.payload + payload};
        struct net_frame out = net_frame_of(&iov);

        memcpy(buf, frame, l.payload);
        memcpy(buf + l.payload, frame + l.payload + sent, payload);
        segment_headers(buf, &l, n++, sent, payload, payload == left);
        out.offload.flags = NET_DATA_VALID;
        if (!emit(ctx, &out))
            break;
        sent += payload;
    } while (sent < len - l.payload);
    return 0;
}

int offload_make_plain(const struct net_frame *frame,
                       bool (*emit)(void *ctx, const struct net_frame *frame), void *ctx)
{
    AUTO_FREE uint8_t *flat = malloc(frame->len_bytes);
    struct iovec iov = {flat, frame->len_bytes};
    struct net_frame out = net_frame_of(&iov);

    if (!flat)
        return -ENOMEM;
    if (net_gather(frame->iov, frame->iov_count, 0, flat, frame->len_bytes) != frame->len_bytes)
        return -EINVAL;
    if (frame->offload.gso != NET_GSO_NONE)
        return segment(flat, frame->len_bytes, &frame->offload, emit, ctx);
    offload_fill(flat, frame->len_bytes, &frame->offload);
    out.offload.flags = NET_DATA_VALID;
    emit(ctx, &out);
    return 0;
}
