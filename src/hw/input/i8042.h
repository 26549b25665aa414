/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyboard controller of a PC.
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "hw/core/device.h"
#include "hw/core/ps2.h"

struct i8042;

struct i8042_env {
    struct clock *clock;
    struct line irq_kbd; /* IRQ 1 */
    struct line irq_aux; /* IRQ 12 */
    struct line a20;     /* high: address line 20 passes */
    /* The guest pulled the processor's reset line. */
    void (*reset)(void *ctx);
    void *reset_ctx;
    struct ps2_port *kbd, *aux;
};

extern const struct dev_ops i8042_dev_ops;
/* One port each: 0x60 and 0x64. */
extern const struct io_ops i8042_data_io;
extern const struct io_ops i8042_command_io;

/* -ENOMEM. */
int i8042_new(const struct i8042_env *env, struct i8042 **ret_kbc);

#endif
