/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers of the host over virtio.
 */
#ifndef HW_VIRTIO_VIRTIO_RNG_H
#define HW_VIRTIO_VIRTIO_RNG_H

#include "hw/virtio/virtio.h"

struct virtio_rng;

extern const struct dev_ops virtio_rng_dev_ops;

/* -ENOMEM, -EBUSY. */
int virtio_rng_new(const struct virtio_env *env, struct virtio_rng **ret_dev);

#endif
