/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory taken from, and given back to, a guest that runs.
 */
#ifndef HW_VIRTIO_VIRTIO_BALLOON_H
#define HW_VIRTIO_VIRTIO_BALLOON_H

#include "hw/virtio/virtio.h"

struct virtio_balloon;

/* What the guest said last of its memory; UINT64_MAX: nothing yet. Bytes, or counts of events. */
struct virtio_balloon_stats {
    uint64_t swap_in, swap_out, major_faults, minor_faults, free_bytes, total_bytes,
        available_bytes, caches_bytes, hugetlb_allocated, hugetlb_failed;
};

extern const struct dev_ops virtio_balloon_dev_ops;

/* -ENOMEM, -EBUSY. */
int virtio_balloon_new(const struct virtio_env *env, struct virtio_balloon **ret_dev);

/* Ask the guest to give up size_bytes in all (rounded down to a page). */
void virtio_balloon_set_target(struct virtio_balloon *b, uint64_t size_bytes);
/* What it has given up by its own account. */
uint64_t virtio_balloon_actual_bytes(const struct virtio_balloon *b);
/* Ask for new statistics; -EAGAIN when the driver has not answered the last request. */
int virtio_balloon_request_stats(struct virtio_balloon *b);
const struct virtio_balloon_stats *virtio_balloon_stats(const struct virtio_balloon *b);

#endif
