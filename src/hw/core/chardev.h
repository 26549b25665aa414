/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between a character device of the guest (serial port, debug console, console port) and
 * whatever carries its bytes on the host. Neither side buffers for the other: each says how much
 * it took, and calls when it can take more, so that no byte is lost and none is piled up.
 */
#ifndef HW_CORE_CHARDEV_H
#define HW_CORE_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

/* What the host offers to the device. Any function may be NULL (a host that takes everything). */
struct chardev {
    /* Take bytes from the guest; returns how many were taken. When fewer than len, the host
     * later calls the device's tx_ready function. */
    size_t (*write)(void *ctx, const uint8_t *buf, size_t len_bytes);
    /* The device refused bytes before and has room again. */
    void (*rx_ready)(void *ctx);
    void *ctx;
};

static inline size_t chardev_write(const struct chardev *chr, const uint8_t *buf, size_t len_bytes)
{
    return chr->write ? chr->write(chr->ctx, buf, len_bytes) : len_bytes;
}

static inline void chardev_rx_ready(const struct chardev *chr)
{
    if (chr->rx_ready)
        chr->rx_ready(chr->ctx);
}

#endif
