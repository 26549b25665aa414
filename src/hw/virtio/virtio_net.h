/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card over virtio.
 */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/virtio/virtio.h"
#include "net/port.h"

#define VIRTIO_NET_PAIRS_MAX 4u

struct virtio_net;

struct virtio_net_env {
    struct virtio_env virtio;
    uint8_t mac[NET_MAC_BYTES];
    unsigned pairs;  /* of queues: 1 to VIRTIO_NET_PAIRS_MAX, one for each processor */
    const void *rom; /* option ROM, NULL: none. Copied. */
    uint64_t rom_bytes;
};

extern const struct dev_ops virtio_net_dev_ops;

/* -ENOMEM, -EBUSY. */
int virtio_net_new(const struct virtio_net_env *env, struct virtio_net **ret_dev);
/* The card's plug. */
struct net_port *virtio_net_port(struct virtio_net *dev);

#endif
