/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A: the fast A20 gate and the fast reset.
 */
#ifndef HW_CHIPSET_PORT92_H
#define HW_CHIPSET_PORT92_H

#include "hw/core/device.h"

struct port92;

struct port92_env {
    struct line a20; /* meets the keyboard controller's in a wired OR */
    void (*reset)(void *ctx);
    void *reset_ctx;
};

extern const struct dev_ops port92_dev_ops;
/* One port, 0x92. */
extern const struct io_ops port92_io;

/* -ENOMEM. */
int port92_new(const struct port92_env *env, struct port92 **ret_port);

#endif
