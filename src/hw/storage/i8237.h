/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two DMA controllers of a PC and their page registers, as one device.
 */
#ifndef HW_STORAGE_I8237_H
#define HW_STORAGE_I8237_H

#include "hw/core/isa_dma.h"
#include "memory/dma.h"

struct i8237;

extern const struct dev_ops i8237_dev_ops;
/* 16 ports at 0x00, 32 at 0xc0, 16 at 0x80; dev is the struct i8237. */
extern const struct io_ops i8237_first_io;
extern const struct io_ops i8237_second_io;
extern const struct io_ops i8237_page_io;

/* memory: the way that the transfers go. -ENOMEM. */
int i8237_new(const struct dma *memory, struct i8237 **ret_dma);
/* What a device on the bus is given. */
struct isa_dma i8237_isa_dma(struct i8237 *dma);
/* Who is told when `channel` becomes ready. */
void i8237_attach(struct i8237 *dma, unsigned channel, const struct isa_dma_client *client);

#endif
