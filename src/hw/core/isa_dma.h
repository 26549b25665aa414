/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between a device on the ISA bus that moves data by DMA and the controllers that do it.
 * The device asks for its channel's service when it has or wants bytes; the controller knows
 * where in memory they go, how many, and in which direction.
 */
#ifndef HW_CORE_ISA_DMA_H
#define HW_CORE_ISA_DMA_H

#include "hw/core/device.h"

/* What a DMA channel can do for its device. */
struct isa_dma {
    /*
     * Move up to len_bytes between buf and memory on `channel`. to_memory: the device gives bytes
     * (the channel's "write" transfer). Returns the bytes moved: 0 when the channel is masked, set
     * up for the other direction or at its end. A verify transfer takes bytes without storing
     * them. *ret_tc: the terminal count was reached with the last byte.
     */
    size_t (*transfer)(void *ctx, unsigned channel, uint8_t *buf, size_t len_bytes, bool to_memory,
                       bool *ret_tc);
    /* Is the channel ready to move bytes in that direction? */
    bool (*ready)(void *ctx, unsigned channel, bool to_memory);
    /* DREQ of the channel, as the status register shows it. */
    void (*request)(void *ctx, unsigned channel, bool level);
    void *ctx;
};

/* A device that waits for its channel: called when the guest has unmasked or set it up. */
struct isa_dma_client {
    void (*channel_ready)(void *dev);
    void *dev;
};

#endif
