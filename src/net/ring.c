/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/ring.h"

#include <errno.h>
#include <string.h>

#define RECORD_BYTES 16u
#define FILLER UINT32_MAX

_Static_assert(sizeof(struct net_offload) == 10, "the record's layout");

void ring_init(struct ring *r, struct ring_shared *shared, void *data)
{
    *r = (struct ring){.shared = shared, .data = data};
}

static uint32_t record_bytes(size_t len)
{
    return (uint32_t)align_up(RECORD_BYTES + len, RECORD_BYTES);
}

int ring_put(struct ring *r, const struct net_frame *f)
{
    uint32_t used = r->at - atomic_load_explicit(&r->shared->head, memory_order_acquire);
    uint32_t need = record_bytes(f->len_bytes), total = need;
    uint32_t len = (uint32_t)f->len_bytes, place, to_end;

    if (used > RING_BYTES || used % RECORD_BYTES)
        return -EPROTO;
    if (f->len_bytes > NET_FRAME_MAX)
        return 1; /* nobody sends such a frame; it is lost */
    if (used == 0 && r->base != r->at) {
        /* Who takes has left the memory, and looks at this after the next tail. */
        r->base = r->at;
        atomic_store_explicit(&r->shared->base, r->base, memory_order_relaxed);
    }
    place = (r->at - r->base) % RING_BYTES;
    to_end = RING_BYTES - place;
    if (need > to_end)
        total += to_end;
    if (total > RING_BYTES - used)
        return 0;
    if (need > to_end) {
        memcpy(r->data + place, &(uint32_t){FILLER}, 4);
        r->at += to_end;
        place = 0;
    }
    memcpy(r->data + place, &len, 4);
    memcpy(r->data + place + 4, &f->offload, sizeof(f->offload));
    net_gather(f->iov, f->iov_count, 0, r->data + place + RECORD_BYTES, f->len_bytes);
    r->at += need;
    atomic_store_explicit(&r->shared->tail, r->at, memory_order_release);
    return 1;
}

bool ring_put_sleep(struct ring *r)
{
    uint32_t before = atomic_load(&r->shared->head);

    atomic_store(&r->shared->putter_waits, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&r->shared->head) == before && r->at - before > RING_BYTES / 2)
        return true;
    /* It may have been looked at before it was set. */
    return atomic_exchange(&r->shared->putter_waits, 0) == 0;
}

bool ring_taker_sleeps(struct ring *r)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&r->shared->taker_waits, memory_order_relaxed) &&
           atomic_exchange(&r->shared->taker_waits, 0);
}

int ring_peek(struct ring *r, struct iovec *iov, struct net_frame *ret_frame)
{
    for (unsigned i = 0; i < 2; i++) {
        uint32_t ready = atomic_load_explicit(&r->shared->tail, memory_order_acquire) - r->at;
        uint32_t base = atomic_load_explicit(&r->shared->base, memory_order_relaxed);
        uint32_t place = (r->at - base) % RING_BYTES, to_end = RING_BYTES - place;
        struct net_offload offload;
        uint32_t len;

        if (ready == 0)
            return 0;
        if (ready > RING_BYTES || ready % RECORD_BYTES || place % RECORD_BYTES)
            return -EPROTO;
        memcpy(&len, r->data + place, 4);
        memcpy(&offload, r->data + place + 4, sizeof(offload));
        if (len == FILLER) {
            if (to_end > ready)
                return -EPROTO;
            r->at += to_end;
            continue;
        }
        if (len > NET_FRAME_MAX || record_bytes(len) > MIN(ready, to_end))
            return -EPROTO;
        r->next = r->at + record_bytes(len);
        *iov = (struct iovec){r->data + place + RECORD_BYTES, len};
        *ret_frame =
            (struct net_frame){.iov = iov, .iov_count = 1, .len_bytes = len, .offload = offload};
        return 1;
    }
    return -EPROTO; /* fillers behind fillers */
}

void ring_drop(struct ring *r)
{
    r->at = r->next;
    atomic_store_explicit(&r->shared->head, r->at, memory_order_release);
}

bool ring_take_sleep(struct ring *r)
{
    atomic_store(&r->shared->taker_waits, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&r->shared->tail) == r->at)
        return true;
    return atomic_exchange(&r->shared->taker_waits, 0) == 0;
}

bool ring_putter_sleeps(struct ring *r)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&r->shared->putter_waits, memory_order_relaxed) &&
           atomic_exchange(&r->shared->putter_waits, 0);
}
