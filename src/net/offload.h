/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksum and segmentation in software, for an end that does not take frames with them left to
 * do. RFC 1071 (Internet checksum), RFC 791 and 8200 (IP headers), RFC 9293 (TCP).
 */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "net/port.h"

/* A smaller segment than this would make thousands of frames of one. */
#define OFFLOAD_SEGMENT_MIN 32u
/* Headers to the end of TCP's: Ethernet with two tags, IPv6 or IPv4 with options, TCP options. */
#define OFFLOAD_HEADERS_MAX 256u

/* Where the headers of a TCP or UDP packet lie; made by offload_parse(). */
struct offload_layout {
    uint16_t ethertype; /* behind any VLAN tags */
    unsigned ip;        /* offset of the IP header */
    unsigned transport; /* … of the TCP or UDP header */
    unsigned payload;   /* … of what follows that */
    uint8_t protocol;   /* 6 TCP, 17 UDP */
};

/*
 * Find the headers at the start of a frame, of which len_bytes bytes are there. False when it is
 * not TCP or UDP over IPv4 or IPv6 (without extension headers), or a fragment, or cut short.
 */
bool offload_parse(const uint8_t *frame, size_t len_bytes, struct offload_layout *ret_layout);

/* Nothing is left to do for this frame. */
static inline bool offload_is_plain(const struct net_offload *o)
{
    return !(o->flags & NET_NEEDS_CSUM) && o->gso == NET_GSO_NONE;
}

/* Can an end that takes `accepts` (enum net_accepts) have the frame as it is? */
bool offload_accepted(const struct net_offload *o, unsigned accepts);
/* -EINVAL when the header does not fit the frame: places beyond its end, a kind it is not. */
int offload_check(const struct net_frame *frame);
/*
 * Do all that is left to do, and emit the frame or its segments, in order; stops when emit returns
 * false. -EINVAL, -ENOMEM: nothing was emitted.
 */
int offload_make_plain(const struct net_frame *frame,
                       bool (*emit)(void *ctx, const struct net_frame *frame), void *ctx);

/* The one's complement sum of bytes, on top of sum; for offload_sum_end(). */
uint32_t offload_sum(const void *data, size_t len_bytes, uint32_t sum);
/* What goes into the packet, as a number in host order. */
uint16_t offload_sum_end(uint32_t sum);
/* The sum of the pseudo header of a packet with these headers and transport_bytes bytes. */
uint32_t offload_pseudo(const uint8_t *frame, const struct offload_layout *l,
                        size_t transport_bytes);
/* Put the checksum where the header says, over the frame's bytes from csum_start on. */
void offload_fill(uint8_t *frame, size_t len_bytes, const struct net_offload *o);

#endif
