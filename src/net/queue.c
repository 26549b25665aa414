/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/queue.h"

#include <string.h>

unsigned net_queue_count(const struct net_queue *q)
{
    return atomic_load(&q->tail) - atomic_load(&q->head);
}

bool net_queue_put(struct net_queue *q, const void *frame, size_t len_bytes,
                   const struct net_offload *offload)
{
    unsigned tail = atomic_load(&q->tail);
    struct net_queued *copy;

    if (net_queue_count(q) >= NET_QUEUE_FRAMES || len_bytes > NET_FRAME_MAX)
        return false;
    copy = malloc(sizeof(*copy) + len_bytes);
    if (!copy)
        return false;
    copy->offload = *offload;
    copy->len_bytes = (uint32_t)len_bytes;
    memcpy(copy->bytes, frame, len_bytes);
    q->frames[tail % NET_QUEUE_FRAMES] = copy;
    atomic_store(&q->tail, tail + 1);
    return true;
}

const struct net_queued *net_queue_peek(const struct net_queue *q)
{
    return net_queue_count(q) ? q->frames[atomic_load(&q->head) % NET_QUEUE_FRAMES] : NULL;
}

void net_queue_drop(struct net_queue *q)
{
    unsigned head = atomic_load(&q->head);

    if (!net_queue_count(q))
        return;
    free(q->frames[head % NET_QUEUE_FRAMES]);
    atomic_store(&q->head, head + 1);
}

void net_queue_done(struct net_queue *q)
{
    while (net_queue_count(q))
        net_queue_drop(q);
}

void net_queue_send(struct net_queue *q, struct net_port *port)
{
    const struct net_queued *f;

    while ((f = net_queue_peek(q))) {
        struct iovec iov = {(void *)(uintptr_t)f->bytes, f->len_bytes};
        struct net_frame frame = net_frame_of(&iov);

        frame.offload = f->offload;
        if (!net_send(port, &frame))
            return;
        net_queue_drop(q);
    }
}
