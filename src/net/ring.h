/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames from one process to another through shared memory: a ring of records, one side puts, the
 * other takes. Neither trusts the other: indices and lengths are copied once, then checked, and
 * what cannot be is -EPROTO, after which the ring is of no use.
 *
 * A record begins at a multiple of 16 bytes and does not go round the end: a filler does.
 *      0 length of the frame (all ones: filler to the end)   4 struct net_offload   16 the frame
 */
#ifndef NET_RING_H
#define NET_RING_H

#include <stdatomic.h>

#include "net/port.h"

/* What a reader that is not run for some milliseconds may be behind. Of it no more is touched than it
 * was: an empty ring begins anew at the start of its memory. */
#define RING_BYTES (4u << 20)

/* Both sides see it. Indices count bytes and run on. */
struct ring_shared {
    _Alignas(64) atomic_uint tail; /* who puts */
    atomic_uint base;              /* the index that lies at the start of the memory; who puts */
    _Alignas(64) atomic_uint head; /* who takes */
    /* Set before sleeping by who takes (for a frame) and who puts (for room). */
    _Alignas(64) atomic_uint taker_waits;
    _Alignas(64) atomic_uint putter_waits;
    _Alignas(64) atomic_uint accepts; /* of who takes: enum net_accepts */
};

struct ring {
    struct ring_shared *shared;
    uint8_t *data; /* RING_BYTES */
    uint32_t at;   /* our own index */
    uint32_t base; /* of who puts */
    uint32_t next; /* of who takes: behind the record that was peeked at */
};

void ring_init(struct ring *r, struct ring_shared *shared, void *data);

/* 1: the frame is in the ring; 0: no room; -EPROTO. */
int ring_put(struct ring *r, const struct net_frame *frame);
/* After a 0: true when who takes will tell of room, false when there is some now. */
bool ring_put_sleep(struct ring *r);
/* Is who takes asleep? It is to be told then, once. */
bool ring_taker_sleeps(struct ring *r);

/* 1 with the first frame, whose bytes stay in the ring; 0: none; -EPROTO. iov has one place. */
int ring_peek(struct ring *r, struct iovec *iov, struct net_frame *ret_frame);
/* Take the frame that was peeked at away. */
void ring_drop(struct ring *r);
/* After a 0: true when who puts will tell of a frame, false when there is one now. */
bool ring_take_sleep(struct ring *r);
/* Does who puts wait for room? It is to be told then, once. */
bool ring_putter_sleeps(struct ring *r);

#endif
