/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port (COM1 to COM4 of a PC).
 */
#ifndef HW_SERIAL_NS16550_H
#define HW_SERIAL_NS16550_H

#include "hw/core/chardev.h"
#include "hw/core/device.h"

struct ns16550;

struct ns16550_env {
    struct clock *clock;
    struct line irq;
    struct chardev chr; /* the other end of the cable */
};

extern const struct dev_ops ns16550_dev_ops;
/* Eight ports; dev is the struct ns16550. */
extern const struct io_ops ns16550_io;

/* -ENOMEM. */
int ns16550_new(const struct ns16550_env *env, struct ns16550 **ret_uart);

/* Change what is at the other end. */
void ns16550_connect(struct ns16550 *uart, const struct chardev *chr);
/* Bytes that the receiver has room for now. */
size_t ns16550_can_receive(const struct ns16550 *uart);
/* Bytes arrive on the line; returns how many were taken. When fewer than len, chr.rx_ready is
 * called once there is room again. */
size_t ns16550_receive(struct ns16550 *uart, const uint8_t *buf, size_t len_bytes);
/* A break arrives. */
void ns16550_receive_break(struct ns16550 *uart);
/* The other end can take bytes again. */
void ns16550_tx_ready(struct ns16550 *uart);

#endif
