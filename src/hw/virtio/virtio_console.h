/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A console port over virtio (hvc0 of Linux).
 */
#ifndef HW_VIRTIO_VIRTIO_CONSOLE_H
#define HW_VIRTIO_VIRTIO_CONSOLE_H

#include "hw/core/chardev.h"
#include "hw/virtio/virtio.h"

struct virtio_console;

struct virtio_console_env {
    struct virtio_env virtio;
    struct chardev chr; /* the other end */
};

extern const struct dev_ops virtio_console_dev_ops;

/* -ENOMEM, -EBUSY. */
int virtio_console_new(const struct virtio_console_env *env, struct virtio_console **ret_dev);

/* Change what is at the other end. */
void virtio_console_connect(struct virtio_console *con, const struct chardev *chr);
/* Bytes for the guest; returns how many were taken. When fewer than len, chr.rx_ready is called
 * once there is room again. */
size_t virtio_console_receive(struct virtio_console *con, const uint8_t *buf, size_t len_bytes);
/* The other end can take bytes again; also to be called after loading a saved machine. */
void virtio_console_tx_ready(struct virtio_console *con);

#endif
