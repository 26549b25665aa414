/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on their way from one thread to another: a ring of copies, bounded in number. One puts at
 * a time and one takes at a time (each under a lock of its own, or one thread); putting and taking
 * need no common lock.
 */
#ifndef NET_QUEUE_H
#define NET_QUEUE_H

#include <stdatomic.h>

#include "net/port.h"

#define NET_QUEUE_FRAMES 512u

struct net_queued {
    struct net_offload offload;
    uint32_t len_bytes;
    uint8_t bytes[];
};

struct net_queue {
    struct net_queued *frames[NET_QUEUE_FRAMES];
    atomic_uint head; /* next to take; written by the taker */
    atomic_uint tail; /* next to fill; written by who puts */
};

/* How many frames wait. Any thread. */
unsigned net_queue_count(const struct net_queue *q);
/* A copy at the end; false when the queue is full or there is no memory. */
bool net_queue_put(struct net_queue *q, const void *frame, size_t len_bytes,
                   const struct net_offload *offload);
/* The first frame, which stays; NULL when there is none. */
const struct net_queued *net_queue_peek(const struct net_queue *q);
/* Take the first frame away. */
void net_queue_drop(struct net_queue *q);
/* Free all frames. */
void net_queue_done(struct net_queue *q);

/* Send what waits through port until it refuses; under the lock of port's cable. */
void net_queue_send(struct net_queue *q, struct net_port *port);

#endif
