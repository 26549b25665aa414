/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports for people who debug guests: a console of one port, and a way out of the machine.
 */
#ifndef HW_CHIPSET_DEBUGCON_H
#define HW_CHIPSET_DEBUGCON_H

#include "hw/core/chardev.h"
#include "hw/core/device.h"

struct debugcon;

struct debugcon_env {
    struct chardev chr;
    /* The guest wrote value to the exit port. May be NULL. */
    void (*exit)(void *ctx, uint32_t value);
    void *exit_ctx;
};

extern const struct dev_ops debugcon_dev_ops;
/* One port: 0xe9 (Bochs) and, as a second device, 0x402 (SeaBIOS, OVMF). */
extern const struct io_ops debugcon_io;
/* Four ports: 0xf4. */
extern const struct io_ops debugcon_exit_io;

/* -ENOMEM. */
int debugcon_new(const struct debugcon_env *env, struct debugcon **ret_con);

#endif
