/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues, the device's side. Virtual I/O Device (VIRTIO) Version 1.2, section 2.7.
 *
 * Everything in a queue is the driver's to write, at any time, so each descriptor is copied once
 * and only the copy is looked at; chains are bounded, and what breaks the rules is an error that
 * the caller answers with DEVICE_NEEDS_RESET.
 */
#ifndef HW_VIRTIO_VIRTQUEUE_H
#define HW_VIRTIO_VIRTQUEUE_H

#include "base/state.h"
#include "memory/dma.h"

#define VQ_SIZE_MAX 1024u

struct virtqueue {
    struct dma dma;
    uint16_t size_max, size;
    bool enabled;
    bool event_idx, indirect;   /* negotiated */
    uint64_t desc, avail, used; /* guest physical addresses */
    uint16_t next_avail;        /* the next entry of the available ring to take */
    uint16_t next_used;         /* the next entry of the used ring to fill */
    uint16_t signalled;         /* next_used when the driver was last interrupted */
    bool signalled_valid;
    uint16_t vector; /* kept for the transport */
    /* Where the three parts lie in host memory while the queue is enabled. */
    uint8_t *desc_host, *avail_host, *used_host;
    uint64_t used_ram_offset;
};

/* One buffer of the driver's: what it has written, then what the device may write. */
struct vq_chain {
    uint16_t head;
    struct slices out, in;
};

/* An empty queue of up to size_max entries. */
void vq_init(struct virtqueue *vq, struct bus *mem, uint16_t size_max);
/* Back to the state after vq_init(). */
void vq_reset(struct virtqueue *vq);
/*
 * Begin to use the queue at the addresses and of the size that are set. -EINVAL: the size is not
 * a power of two up to size_max, or a part is not aligned; -EFAULT: a part is not in RAM.
 */
int vq_enable(struct virtqueue *vq);

/*
 * Take the next available buffer: 1, or 0 when there is none. The lists in *chain are used anew
 * and keep their memory (start with zeroes, end with vq_chain_done()). -EPROTO, -EFAULT, -E2BIG:
 * the driver breaks the rules; -ENOMEM.
 */
int vq_pop(struct virtqueue *vq, struct vq_chain *chain);
/* Undo the last vq_pop(): the buffer will be taken again. */
void vq_unpop(struct virtqueue *vq);
/* Give a buffer back, the first written_bytes of its `in` written. */
void vq_push(struct virtqueue *vq, uint16_t head, uint32_t written_bytes);
/*
 * Several buffers that the driver is to find at once: vq_fill() notes the n-th (from 0, fewer than
 * the queue has), vq_publish() shows the first `count`.
 */
void vq_fill(struct virtqueue *vq, unsigned n, uint16_t head, uint32_t written_bytes);
void vq_publish(struct virtqueue *vq, unsigned count);
/* Ask for a notification of the next buffer; true when there is one already. */
bool vq_arm(struct virtqueue *vq);
/* The same for the buffer behind the next `count`, which are not enough for somebody. */
bool vq_arm_beyond(struct virtqueue *vq, unsigned count);
/* Does the driver want to hear of what has been pushed since this last returned true? */
bool vq_should_signal(struct virtqueue *vq);
void vq_chain_done(struct vq_chain *chain);

/* Save or load queue n of a device; a loaded queue is enabled again. */
void vq_state(struct virtqueue *vq, unsigned n, struct state *s);

#endif
