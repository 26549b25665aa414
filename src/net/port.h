/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plug of a network cable: what a network card has at the back, and what a switch, a NAT or a
 * host interface has for each cable. Two plugs that are joined pass Ethernet frames to each other.
 *
 * A frame is a list of host memory pieces; nobody keeps it after the call. A plug that has no room
 * says so, and tells the other end when it has again: neither piles up frames for the other.
 *
 * Locking: all calls on one cable come under one lock, which is the machine lock where an end is a
 * card. receive() may be called from within net_send() of the same plug (an answer that needs no
 * waiting); it must not send in its turn.
 *
 * Frames come from guests: a length or an offload header that cannot be is counted and dropped
 * here, so that the far end sees only what holds together.
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include <sys/uio.h>

#include "base/util.h"

#define NET_ETHER_BYTES 14u
#define NET_MAC_BYTES 6u
#define NET_MTU 1500u
/* With two VLAN tags: what goes over a wire without segmentation. */
#define NET_WIRE_BYTES (NET_MTU + NET_ETHER_BYTES + 8u)
/* The largest that may be asked to be cut into such frames: an IP packet of 65,535 bytes. */
#define NET_FRAME_MAX (65535u + NET_ETHER_BYTES + 8u)
#define NET_IOV_MAX 1024u

/* struct virtio_net_hdr without num_buffers: VIRTIO 1.2, 5.1.6; the same words as the kernel's. */
struct net_offload {
    uint8_t flags;   /* enum net_flags */
    uint8_t gso;     /* enum net_gso */
    uint16_t header; /* bytes of all headers, a hint */
    uint16_t gso_bytes;
    uint16_t csum_start, csum_offset;
};

enum net_flags {
    NET_NEEDS_CSUM = 1, /* the sum from csum_start on is to be put at csum_start + csum_offset */
    NET_DATA_VALID = 2, /* the checksums have been looked at */
};

enum net_gso {
    NET_GSO_NONE = 0,
    NET_GSO_TCP4 = 1,
    NET_GSO_TCP6 = 4,
    NET_GSO_ECN = 0x80, /* flag: the segments after the first lose CWR */
};

/* What an end takes as it is; the rest is made plain for it. */
enum net_accepts {
    NET_ACCEPTS_CSUM = 1,
    NET_ACCEPTS_TSO4 = 2,
    NET_ACCEPTS_TSO6 = 4,
    NET_ACCEPTS_ECN = 8,
};

struct net_frame {
    const struct iovec *iov;
    unsigned iov_count;
    size_t len_bytes; /* sum of iov */
    struct net_offload offload;
};

struct net_port_ops {
    /* A frame for this end: true when it was taken (or dropped), false when there is no room;
     * net_ready() is then called later. */
    bool (*receive)(void *ctx, const struct net_frame *frame);
    /* The far end refused a frame and has room again. May be NULL. */
    void (*ready)(void *ctx);
    /* The cable was plugged in or pulled out. May be NULL. */
    void (*link)(void *ctx, bool up);
};

struct net_counters {
    uint64_t frames, bytes, drops;
};

struct net_port {
    const struct net_port_ops *ops;
    void *ctx;
    unsigned accepts; /* enum net_accepts; may change at any time */
    struct net_port *peer;
    bool unplugged; /* by whoever has the machine, though there is a peer */
    bool held;      /* takes nothing for now: its machine stands still */
    bool refused;   /* took nothing when it was asked; net_ready() is due */
    /* Segments of a frame that was cut, of which the far end has taken the first. NULL: none. */
    struct net_queue *rest;
    struct net_counters sent, received;
};

/* A plug without cable. */
void net_port_init(struct net_port *port, const struct net_port_ops *ops, void *ctx);
/* Join two free plugs; both hear of it. */
void net_connect(struct net_port *a, struct net_port *b);
/* Take the cable off; both ends hear of it. Harmless on a free plug. */
void net_disconnect(struct net_port *port);
/* Pull the cable out of this plug, or put it back, without forgetting where it leads. */
void net_unplug(struct net_port *port, bool unplugged);
/* Is there a far end, with both plugs in? */
bool net_link_up(const struct net_port *port);

/*
 * Send to the far end. True: gone (taken, or dropped and counted); false: no room, to be sent
 * again after ready().
 */
bool net_send(struct net_port *port, const struct net_frame *frame);
/* This end has room again: tells the far end if that was refused. */
void net_ready(struct net_port *port);
/* Take nothing from now on, or take frames again. */
void net_hold(struct net_port *port, bool held);

/* A frame of one piece of memory, without offloads. */
static inline struct net_frame net_frame_of(const struct iovec *iov)
{
    return (struct net_frame){.iov = iov, .iov_count = 1, .len_bytes = iov->iov_len};
}

/* Copy up to len_bytes from byte `at` of a list to buf; returns how many there were. */
size_t net_gather(const struct iovec *iov, unsigned count, size_t at, void *buf, size_t len_bytes);

#endif
