/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk over virtio.
 */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "block/blk.h"
#include "hw/virtio/virtio.h"

struct virtio_blk;

struct virtio_blk_env {
    struct virtio_env virtio;
    struct blk *blk;    /* belongs to the caller */
    const char *serial; /* up to 20 characters, may be NULL */
    unsigned queues;    /* 1 to VIRTIO_QUEUES_MAX; 0 means 1 */
};

extern const struct dev_ops virtio_blk_dev_ops;

/* Before saving, the disk must be drained (blk_drain()). -ENOMEM, -EBUSY. */
int virtio_blk_new(const struct virtio_blk_env *env, struct virtio_blk **ret_dev);

#endif
