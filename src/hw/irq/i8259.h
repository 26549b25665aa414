/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two interrupt controllers of a PC, master and slave, as one device.
 */
#ifndef HW_IRQ_I8259_H
#define HW_IRQ_I8259_H

#include "hw/core/device.h"

struct i8259;

struct i8259_env {
    struct line intr; /* the master's INT output: INTR of the processor or LINT0 */
};

extern const struct dev_ops i8259_dev_ops;
/* Two ports each; dev is the struct i8259. A PC has them at 0x20, 0xa0 and (ELCR) 0x4d0. */
extern const struct io_ops i8259_master_io;
extern const struct io_ops i8259_slave_io;
extern const struct io_ops i8259_elcr_io;

/* -ENOMEM. */
int i8259_new(const struct i8259_env *env, struct i8259 **ret_pic);

/* Level of interrupt request n, 0..15 (2 is the cascade and ignored). Fits struct line. */
void i8259_set_irq(void *pic, unsigned n, bool level);
/* Level of INT now. */
bool i8259_pending(const struct i8259 *pic);
/*
 * The two INTA cycles: returns the vector. When the request has gone away meanwhile this is the
 * vector of IRQ 7 (or 15), without a bit in service.
 */
uint8_t i8259_ack(struct i8259 *pic);

#endif
