/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio/virtio.h"

#include <errno.h>
#include <string.h>

#define AGAIN_NS 100000

static void again(void *ctx)
{
    struct virtio *v = ctx;
    uint32_t queues = v->again_queues;
    v->again_queues = 0;
    for (unsigned n = 0; n < v->queue_count; n++)
        if (queues >> n & 1)
            virtio_notified(v, n);
}

int virtio_init(struct virtio *v, const struct virtio_env *env, const char *name,
                const struct virtio_ops *ops, void *dev, uint64_t features, unsigned queue_count,
                uint16_t queue_size, unsigned config_bytes)
{
    v->ops = ops;
    v->dev = dev;
    v->clock = env->clock;
    v->features = features | VIRTIO_F_ANY_LAYOUT | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX |
                  VIRTIO_F_VERSION_1;
    v->queue_count = queue_count;
    v->config_bytes = config_bytes;
    v->config_vector = UINT16_MAX;
    for (unsigned n = 0; n < queue_count; n++)
        vq_init(&v->queues[n], pci_bus_mem(env->pci), queue_size);
    timer_init(&v->again, env->clock, again, v);
    return virtio_pci_init(v, env, name);
}

void virtio_done(struct virtio *v)
{
    if (v->clock)
        timer_cancel(&v->again);
    pci_dev_done(&v->pci);
}

/* 2.4: what a write of zero to the status does. */
static void forget(struct virtio *v)
{
    v->ops->reset(v->dev);
    timer_cancel(&v->again);
    v->again_queues = 0;
    v->accepted = 0;
    v->status = v->isr = 0;
    v->config_vector = UINT16_MAX;
    v->queue_select = 0;
    v->feature_select[0] = v->feature_select[1] = 0;
    for (unsigned n = 0; n < v->queue_count; n++)
        vq_reset(&v->queues[n]);
    pci_set_intx(&v->pci, false);
}

void virtio_reset(struct virtio *v)
{
    forget(v);
    v->generation = 0;
    virtio_pci_reset(v);
}

void virtio_set_features(struct virtio *v, uint64_t accepted)
{
    if (v->status & VIRTIO_FEATURES_OK)
        return; /* 3.1.1: not after it has been agreed on */
    v->accepted = accepted & v->features;
    for (unsigned n = 0; n < v->queue_count; n++) {
        v->queues[n].event_idx = virtio_has(v, VIRTIO_F_EVENT_IDX);
        v->queues[n].indirect = virtio_has(v, VIRTIO_F_INDIRECT);
    }
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
    if (status == 0) {
        forget(v);
        return;
    }
    /* 3.1.1: a driver that agrees on features agrees on VERSION_1; a legacy one never does. */
    if (status & VIRTIO_FEATURES_OK && !virtio_has(v, VIRTIO_F_VERSION_1))
        status &= (uint8_t)~VIRTIO_FEATURES_OK;
    bool was = virtio_running(v);
    v->status = (uint8_t)((v->status & VIRTIO_NEEDS_RESET) | status);
    /* Legacy drivers fill queues before they say that they run. */
    if (!was && virtio_running(v) && v->ops->started)
        v->ops->started(v->dev);
    if (!was && virtio_running(v))
        for (unsigned n = 0; n < v->queue_count; n++)
            virtio_notified(v, n);
}

void virtio_notified(struct virtio *v, unsigned n)
{
    if (n < v->queue_count && v->queues[n].enabled && virtio_running(v) && v->ops->notify)
        v->ops->notify(v->dev, n);
}

void virtio_again(struct virtio *v, unsigned n)
{
    virtio_again_within(v, n, AGAIN_NS);
}

void virtio_again_within(struct virtio *v, unsigned n, uint64_t ns)
{
    uint64_t at_ns = clock_now_ns(v->clock) + ns;

    v->again_queues |= 1u << n;
    timer_set_idle(&v->again, MIN(at_ns, v->again.deadline_ns));
}

void virtio_signal(struct virtio *v, unsigned n)
{
    if (vq_should_signal(&v->queues[n]))
        virtio_pci_interrupt(v, v->queues[n].vector, 1);
}

void virtio_config_changed(struct virtio *v)
{
    if (v->status == 0)
        return; /* nobody has looked at it yet */
    v->generation++;
    if (v->status & VIRTIO_DRIVER_OK)
        virtio_pci_interrupt(v, v->config_vector, 3);
}

bool virtio_broken(struct virtio *v, int error)
{
    (void)error;
    if (!(v->status & VIRTIO_NEEDS_RESET)) {
        v->status |= VIRTIO_NEEDS_RESET;
        virtio_config_changed(v);
    }
    return false;
}

bool virtio_pop(struct virtio *v, unsigned n, struct vq_chain *chain)
{
    if (!virtio_running(v))
        return false;
    int r = vq_pop(&v->queues[n], chain);
    return r < 0 ? virtio_broken(v, r) : r > 0;
}

bool virtio_serve(struct virtio *v, unsigned n, unsigned most,
                  enum virtio_serving (*take)(void *dev, unsigned n))
{
    enum virtio_serving now = VIRTIO_EMPTY;
    unsigned taken = 0;

    do {
        while (taken < most && (now = take(v->dev, n)) == VIRTIO_TAKEN)
            taken++;
        if (taken == most && virtio_running(v)) {
            virtio_again(v, n);
            break;
        }
    } while (now == VIRTIO_EMPTY && virtio_running(v) && vq_arm(&v->queues[n]));
    return taken;
}

void virtio_state(struct virtio *v, struct state *s)
{
    pci_dev_state(&v->pci, s);
    state_u64(s, "accepted", &v->accepted);
    state_u8(s, "status", &v->status);
    state_u8(s, "isr", &v->isr);
    state_u16(s, "config_vector", &v->config_vector);
    state_u8(s, "generation", &v->generation);
    state_u16(s, "queue_select", &v->queue_select);
    state_u32(s, "feature_select.device", &v->feature_select[0]);
    state_u32(s, "feature_select.driver", &v->feature_select[1]);
    state_u32(s, "again_queues", &v->again_queues);
    state_timer(s, "again", &v->again);
    if (state_loading(s))
        timer_set_idle(&v->again, v->again.deadline_ns);
    /* Of the configuration only what the driver has written: the rest is the device's to know. */
    uint8_t config[VIRTIO_CONFIG_BYTES];
    memcpy(config, v->config, sizeof(config));
    state_bytes(s, "config", config, sizeof(config));
    for (unsigned i = 0; i < sizeof(config); i++)
        v->config[i] =
            (uint8_t)((v->config[i] & ~v->config_wmask[i]) | (config[i] & v->config_wmask[i]));
    state_check(s, !(v->accepted & ~v->features));
    for (unsigned n = 0; n < v->queue_count; n++)
        vq_state(&v->queues[n], n, s);
}
