/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A SCSI controller over virtio, for disks that may come and go while the guest runs.
 */
#ifndef HW_VIRTIO_VIRTIO_SCSI_H
#define HW_VIRTIO_VIRTIO_SCSI_H

#include "block/blk.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_SCSI_TARGETS 8u

struct virtio_scsi;

struct virtio_scsi_env {
    struct virtio_env virtio;
    unsigned queues; /* for requests, 1 to VIRTIO_QUEUES_MAX - 2; 0 means 1 */
};

extern const struct dev_ops virtio_scsi_dev_ops;

/* A controller without disks. Before saving, they must be quiet (blk_quiesce()). -ENOMEM, -EBUSY. */
int virtio_scsi_new(const struct virtio_scsi_env *env, struct virtio_scsi **ret_dev);

/*
 * A disk at a target, unit 0; the guest is told if it wants to know. serial: up to 20 characters.
 * -EBUSY: there is one, -ENODEV: no such target.
 */
int virtio_scsi_plug(struct virtio_scsi *dev, unsigned target, struct blk *blk, const char *serial);
/*
 * Take it away, as a hand would; the guest is told. Afterwards the blk is the caller's alone.
 * -ENODEV: there is none.
 */
int virtio_scsi_unplug(struct virtio_scsi *dev, unsigned target);

#endif
