/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/statename.h"

#define DESC_BYTES 16u
/* VIRTIO 2.7.5.3.1: a chain is not longer than its queue; also within an indirect table. */
#define CHAIN_MAX VQ_SIZE_MAX

enum {
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
    AVAIL_NO_INTERRUPT = 1,
};

struct desc {
    uint64_t gpa;
    uint32_t len_bytes;
    uint16_t flags, next;
};

void vq_init(struct virtqueue *vq, struct bus *mem, uint16_t size_max)
{
    *vq = (struct virtqueue){
        .dma = {.bus = mem}, .size_max = size_max, .size = size_max, .vector = UINT16_MAX};
}

void vq_reset(struct virtqueue *vq)
{
    vq_init(vq, vq->dma.bus, vq->size_max);
}

/* A part of the queue as one piece of host memory. */
static int map_part(struct virtqueue *vq, uint64_t gpa, uint64_t len_bytes, unsigned align,
                    uint8_t **ret_host, uint64_t *ret_ram_offset)
{
    struct slices s = {0};
    if (gpa & (align - 1))
        return -EINVAL;
    int r = slices_add(&s, &vq->dma, gpa, len_bytes, true);
    if (r == 0 && s.count != 1)
        r = -EFAULT;
    if (r == 0) {
        *ret_host = s.iov[0].iov_base;
        *ret_ram_offset = s.ram_offset[0];
    }
    slices_done(&s);
    return r;
}

int vq_enable(struct virtqueue *vq)
{
    uint64_t ignored;
    if (vq->size == 0 || vq->size > vq->size_max || vq->size & (vq->size - 1))
        return -EINVAL;
    int r = map_part(vq, vq->desc, DESC_BYTES * vq->size, 16, &vq->desc_host, &ignored);
    if (r == 0)
        r = map_part(vq, vq->avail, 6 + 2ull * vq->size, 2, &vq->avail_host, &ignored);
    if (r == 0)
        r = map_part(vq, vq->used, 6 + 8ull * vq->size, 4, &vq->used_host, &vq->used_ram_offset);
    vq->enabled = r == 0;
    return r;
}

/* ---- the rings: a 16-bit flags, a 16-bit index, the entries, an event index ---- */

static uint16_t load16(const uint8_t *p)
{
    return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store_used16(struct virtqueue *vq, unsigned at, uint16_t v)
{
    __atomic_store_n((uint16_t *)(void *)(vq->used_host + at), v, __ATOMIC_RELEASE);
    ram_wrote(bus_ram(vq->dma.bus), vq->used_ram_offset + at, 2);
}

static struct desc load_desc(const uint8_t *p)
{
    uint8_t copy[DESC_BYTES];
    memcpy(copy, p, sizeof(copy));
    return (struct desc){le64_get(copy), le32_get(copy + 8), le16_get(copy + 12),
                         le16_get(copy + 14)};
}

/* ---- chains ---- */

static void clear(struct slices *s)
{
    s->count = 0;
    s->len_bytes = 0;
}

static int add_buffer(struct virtqueue *vq, struct vq_chain *chain, const struct desc *d)
{
    if (d->flags & DESC_WRITE)
        return slices_add(&chain->in, &vq->dma, d->gpa, d->len_bytes, true);
    /* 2.7.4.2: what the device writes comes after what it reads. */
    if (chain->in.count)
        return -EPROTO;
    return slices_add(&chain->out, &vq->dma, d->gpa, d->len_bytes, false);
}

/* Walk an indirect table, which lies anywhere in guest memory. */
static int walk_indirect(struct virtqueue *vq, struct vq_chain *chain, const struct desc *table)
{
    unsigned count = table->len_bytes / DESC_BYTES;
    if (!vq->indirect || table->flags & DESC_NEXT || table->len_bytes % DESC_BYTES || count == 0)
        return -EPROTO;
    unsigned i = 0;
    for (unsigned n = 0; n < CHAIN_MAX; n++) {
        uint8_t raw[DESC_BYTES];
        int r = dma_read(&vq->dma, table->gpa + (uint64_t)DESC_BYTES * i, raw, sizeof(raw));
        if (r < 0)
            return r;
        struct desc d = load_desc(raw);
        if (d.flags & DESC_INDIRECT)
            return -EPROTO;
        r = add_buffer(vq, chain, &d);
        if (r < 0 || !(d.flags & DESC_NEXT))
            return r;
        i = d.next;
        if (i >= count)
            return -EPROTO;
    }
    return -EPROTO;
}

static int walk(struct virtqueue *vq, struct vq_chain *chain)
{
    unsigned i = chain->head;
    for (unsigned n = 0; n < vq->size && i < vq->size; n++) {
        struct desc d = load_desc(vq->desc_host + DESC_BYTES * i);
        if (d.flags & DESC_INDIRECT)
            return walk_indirect(vq, chain, &d);
        int r = add_buffer(vq, chain, &d);
        if (r < 0 || !(d.flags & DESC_NEXT))
            return r;
        i = d.next;
    }
    return -EPROTO;
}

int vq_pop(struct virtqueue *vq, struct vq_chain *chain)
{
    if (!vq->enabled)
        return 0;
    uint16_t ahead = (uint16_t)(load16(vq->avail_host + 2) - vq->next_avail);
    if (ahead == 0)
        return 0;
    if (ahead > vq->size)
        return -EPROTO;
    chain->head = load16(vq->avail_host + 4 + 2 * (vq->next_avail & (vq->size - 1)));
    clear(&chain->out);
    clear(&chain->in);
    int r = walk(vq, chain);
    if (r < 0)
        return r;
    vq->next_avail++;
    return 1;
}

void vq_unpop(struct virtqueue *vq)
{
    vq->next_avail--;
}

void vq_fill(struct virtqueue *vq, unsigned n, uint16_t head, uint32_t written_bytes)
{
    unsigned at = 4 + 8 * ((vq->next_used + n) & (vq->size - 1u));

    if (!vq->enabled)
        return;
    le32_put(vq->used_host + at, head);
    le32_put(vq->used_host + at + 4, written_bytes);
    ram_wrote(bus_ram(vq->dma.bus), vq->used_ram_offset + at, 8);
}

void vq_publish(struct virtqueue *vq, unsigned count)
{
    if (!vq->enabled)
        return;
    vq->next_used = (uint16_t)(vq->next_used + count);
    store_used16(vq, 2, vq->next_used);
}

void vq_push(struct virtqueue *vq, uint16_t head, uint32_t written_bytes)
{
    vq_fill(vq, 0, head, written_bytes);
    vq_publish(vq, 1);
}

bool vq_arm(struct virtqueue *vq)
{
    return vq_arm_beyond(vq, 0);
}

bool vq_arm_beyond(struct virtqueue *vq, unsigned count)
{
    uint16_t event = (uint16_t)(vq->next_avail + count);
    if (!vq->enabled)
        return false;
    if (vq->event_idx)
        store_used16(vq, 4 + 8u * vq->size, event);
    /* The driver writes its index and then looks at ours; we do it the other way round. */
    atomic_thread_fence(memory_order_seq_cst);
    return load16(vq->avail_host + 2) != event;
}

/* 2.7.7: with event indices the driver says after which used buffer it wants an interrupt. */
bool vq_should_signal(struct virtqueue *vq)
{
    if (!vq->enabled)
        return false;
    atomic_thread_fence(memory_order_seq_cst);
    bool valid = vq->signalled_valid;
    uint16_t old = vq->signalled;
    vq->signalled = vq->next_used;
    vq->signalled_valid = true;
    if (!vq->event_idx)
        return (!valid || old != vq->next_used) && !(load16(vq->avail_host) & AVAIL_NO_INTERRUPT);
    uint16_t event = load16(vq->avail_host + 4 + 2u * vq->size);
    return !valid || (uint16_t)(vq->next_used - event - 1) < (uint16_t)(vq->next_used - old);
}

void vq_chain_done(struct vq_chain *chain)
{
    slices_done(&chain->out);
    slices_done(&chain->in);
}

void vq_state(struct virtqueue *vq, unsigned n, struct state *s)
{
    state_u16(s, STATE_NAME("size", n), &vq->size);
    state_bool(s, STATE_NAME("enabled", n), &vq->enabled);
    state_bool(s, STATE_NAME("event_idx", n), &vq->event_idx);
    state_bool(s, STATE_NAME("indirect", n), &vq->indirect);
    state_u64(s, STATE_NAME("desc", n), &vq->desc);
    state_u64(s, STATE_NAME("avail", n), &vq->avail);
    state_u64(s, STATE_NAME("used", n), &vq->used);
    state_u16(s, STATE_NAME("next_avail", n), &vq->next_avail);
    state_u16(s, STATE_NAME("next_used", n), &vq->next_used);
    state_u16(s, STATE_NAME("signalled", n), &vq->signalled);
    state_bool(s, STATE_NAME("signalled_valid", n), &vq->signalled_valid);
    state_u16(s, STATE_NAME("vector", n), &vq->vector);
    if (state_loading(s)) {
        bool enabled = vq->enabled && state_error(s) == 0;
        vq->enabled = false;
        state_check(s, !enabled || vq_enable(vq) == 0);
    }
}
