/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programmable interval timer of a PC and the system control port 0x61 beside it.
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "hw/core/device.h"

#define I8254_HZ 1193182

struct i8254;

struct i8254_env {
    struct clock *clock;
    struct line out0; /* OUT of counter 0: IRQ 0 */
    /* Sound: the speaker is driven with hz (0: silent). May be NULL. */
    void (*speaker)(void *ctx, unsigned hz);
    void *ctx;
};

extern const struct dev_ops i8254_dev_ops;
/* Four ports at 0x40; dev is the struct i8254. */
extern const struct io_ops i8254_io;
/* One port, 0x61. */
extern const struct io_ops i8254_port61_io;

/* -ENOMEM. */
int i8254_new(const struct i8254_env *env, struct i8254 **ret_pit);

#endif
