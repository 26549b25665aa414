/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device that the public kvm-unit-tests expect beside the processor.
 */
#ifndef HW_CHIPSET_TESTDEV_H
#define HW_CHIPSET_TESTDEV_H

#include "hw/core/device.h"

#define TESTDEV_IRQS 24
#define TESTDEV_MEM_BASE 0xff000000u
#define TESTDEV_MEM_BYTES 0x10000u

struct testdev;

struct testdev_env {
    /* Level of interrupt line n, 0..23. */
    void (*irq)(void *ctx, unsigned n, bool level);
    void *ctx;
};

extern const struct dev_ops testdev_dev_ops;
extern const struct io_ops testdev_latch_io; /* four ports at 0xe0 */
extern const struct io_ops testdev_irq_io;   /* TESTDEV_IRQS ports at 0x2000 */
extern const struct io_ops testdev_mem_io;   /* memory at TESTDEV_MEM_BASE */

/* -ENOMEM. */
int testdev_new(const struct testdev_env *env, struct testdev **ret_dev);

#endif
