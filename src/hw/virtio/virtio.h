/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all virtio devices have in common, and their place on the PCI bus.
 * Virtual I/O Device (VIRTIO) Version 1.2: sections 2 (facilities), 3 (initialization), 4.1 (PCI).
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "hw/core/pci.h"
#include "hw/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 16
#define VIRTIO_CONFIG_BYTES 64

enum virtio_status {
    VIRTIO_ACKNOWLEDGE = 1,
    VIRTIO_DRIVER = 2,
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
    VIRTIO_FAILED = 128,
};

#define VIRTIO_F_ANY_LAYOUT (1ULL << 27)
#define VIRTIO_F_INDIRECT (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)

/* A kind of device. All functions but reset may be NULL. */
struct virtio_ops {
    uint16_t id;         /* section 5: 2 block, 3 console, … */
    uint32_t class_code; /* of the PCI function */
    /* The driver has put buffers into queue n. */
    void (*notify)(void *dev, unsigned n);
    /* The driver has written to the configuration, which has been stored. */
    void (*config_written)(void *dev, unsigned offset, unsigned size);
    /* The driver has begun to run; `accepted` is final. */
    void (*started)(void *dev);
    /* Forget everything; afterwards nothing of the device touches memory. */
    void (*reset)(void *dev);
};

struct virtio {
    struct pci_dev pci;
    const struct virtio_ops *ops;
    void *dev;
    struct clock *clock;
    struct timer again;
    uint32_t again_queues; /* bit n: queue n is to be looked at again */

    uint64_t features; /* offered */
    uint64_t accepted; /* by the driver */
    uint8_t status, isr;
    uint16_t config_vector;
    uint8_t generation; /* of the configuration */
    uint16_t queue_select;
    uint32_t feature_select[2]; /* of the device's, of the driver's */
    struct virtqueue queues[VIRTIO_QUEUES_MAX];
    unsigned queue_count;
    uint8_t config[VIRTIO_CONFIG_BYTES];
    unsigned config_bytes;
    uint8_t config_wmask[VIRTIO_CONFIG_BYTES]; /* bits the driver may write */

    struct region modern, legacy;
    uint8_t window; /* offset of the capability that reaches BARs by configuration space */
};

/* Where a virtio device is plugged in; the first member of every such device's environment. */
struct virtio_env {
    struct pci_bus *pci;
    uint8_t devfn;
    struct clock *clock;
};

/*
 * Put a device on the bus with queue_count queues of queue_size entries and `features`, to which
 * those of the rings are added. config_bytes of v->config are then the caller's to fill. A
 * transitional device: modern registers in BAR 4, legacy ones in BAR 0, MSI-X in BAR 1.
 */
int virtio_init(struct virtio *v, const struct virtio_env *env, const char *name,
                const struct virtio_ops *ops, void *dev, uint64_t features, unsigned queue_count,
                uint16_t queue_size, unsigned config_bytes);
void virtio_done(struct virtio *v);
/* The power-on state, also of the PCI function. Calls ops->reset. */
void virtio_reset(struct virtio *v);
/* Save or load; the device adds its own fields after. */
void virtio_state(struct virtio *v, struct state *s);

static inline bool virtio_has(const struct virtio *v, uint64_t feature)
{
    return v->accepted & feature;
}

/* The driver is running and has not been told to reset. */
static inline bool virtio_running(const struct virtio *v)
{
    return v->status & VIRTIO_DRIVER_OK && !(v->status & VIRTIO_NEEDS_RESET);
}

/* Interrupt the driver for queue n if it wants to know. */
void virtio_signal(struct virtio *v, unsigned n);
/* Tell the driver that the configuration has changed. */
void virtio_config_changed(struct virtio *v);
/* The driver has broken the rules: the device stops until it is reset. Returns false. */
bool virtio_broken(struct virtio *v, int error);
/*
 * Take the next buffer of queue n: true, or false when there is none or the driver has broken
 * the rules (the device has then been stopped).
 */
bool virtio_pop(struct virtio *v, unsigned n, struct vq_chain *chain);
/* What a device has done at a queue. */
enum virtio_serving {
    VIRTIO_TAKEN, /* one buffer has been taken, or has broken the device */
    VIRTIO_EMPTY, /* there is none; we want to be told of the next */
    VIRTIO_STOP,  /* it takes none now; whoever has room again, or the time, serves anew */
};
/*
 * Serve queue n: call take() until it takes no more, then ask to be told of what comes. Not more than `most`
 * in one go: the rest soon, as by virtio_again(). True when any was taken; virtio_signal() is the caller's.
 */
bool virtio_serve(struct virtio *v, unsigned n, unsigned most,
                  enum virtio_serving (*take)(void *dev, unsigned n));
/* Look at queue n again soon, so that a busy driver does not hold up all others. */
void virtio_again(struct virtio *v, unsigned n);
/* The same within ns, and as soon as a processor of the guest has nothing to do. */
void virtio_again_within(struct virtio *v, unsigned n, uint64_t ns);

/* virtio_pci.c */
int virtio_pci_init(struct virtio *v, const struct virtio_env *env, const char *name);
void virtio_pci_reset(struct virtio *v);
/* The status register was written; zero resets. */
void virtio_set_status(struct virtio *v, uint8_t status);
/* The driver has accepted these features. */
void virtio_set_features(struct virtio *v, uint64_t accepted);
void virtio_notified(struct virtio *v, unsigned n);
/* Raise the interrupt of a vector, or INTx with a bit of the ISR. */
void virtio_pci_interrupt(struct virtio *v, uint16_t vector, uint8_t isr);

#endif
