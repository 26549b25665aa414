/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.4: entropy device. Bytes come from getrandom(2), at most so many for one
 * buffer and one visit that a greedy driver does not keep the others waiting.
 */
#include "hw/virtio/virtio_rng.h"

#include <errno.h>
#include <sys/random.h>

#define QUEUE_SIZE 64
#define BUFFER_BYTES 4096u

struct virtio_rng {
    struct virtio virtio;
    struct vq_chain chain;
};

static enum virtio_serving take(void *dev, unsigned n)
{
    struct virtio_rng *rng = dev;
    struct virtqueue *vq = &rng->virtio.queues[n];
    uint8_t bytes[BUFFER_BYTES];
    uint64_t want, put;
    ssize_t got;

    if (!virtio_pop(&rng->virtio, n, &rng->chain))
        return VIRTIO_EMPTY;
    want = MIN(rng->chain.in.len_bytes, (uint64_t)sizeof(bytes));
    got = getrandom(bytes, want, 0);
    put = slices_put(&rng->chain.in, 0, bytes, got > 0 ? (uint64_t)got : 0);
    slices_wrote(&rng->chain.in, &vq->dma, put);
    vq_push(vq, rng->chain.head, (uint32_t)put);
    return VIRTIO_TAKEN;
}

static void rng_notify(void *dev, unsigned n)
{
    struct virtio_rng *rng = dev;

    if (virtio_serve(&rng->virtio, n, QUEUE_SIZE, take))
        virtio_signal(&rng->virtio, n);
}

static void rng_reset(void *dev)
{
    (void)dev; /* nothing is kept */
}

static void virtio_rng_reset(void *dev)
{
    virtio_reset(&((struct virtio_rng *)dev)->virtio);
}

static int virtio_rng_state(void *dev, struct state *s)
{
    virtio_state(&((struct virtio_rng *)dev)->virtio, s);
    return state_error(s);
}

static void virtio_rng_free(void *dev)
{
    struct virtio_rng *rng = dev;
    virtio_done(&rng->virtio);
    vq_chain_done(&rng->chain);
    free(rng);
}

const struct dev_ops virtio_rng_dev_ops = {
    .name = "virtio-rng",
    .version = 1,
    .reset = virtio_rng_reset,
    .state = virtio_rng_state,
    .free = virtio_rng_free,
};

static const struct virtio_ops rng_virtio_ops = {
    .id = 4,
    .class_code = 0x00ff00,
    .notify = rng_notify,
    .reset = rng_reset,
};

int virtio_rng_new(const struct virtio_env *env, struct virtio_rng **ret_dev)
{
    struct virtio_rng *rng = calloc(1, sizeof(*rng));
    if (!rng)
        return -ENOMEM;
    int r = virtio_init(&rng->virtio, env, "virtio-rng", &rng_virtio_ops, rng, 0, 1, QUEUE_SIZE, 0);
    if (r < 0) {
        virtio_rng_free(rng);
        return r;
    }
    *ret_dev = rng;
    return 0;
}
