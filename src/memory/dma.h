/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as a device sees it. Every length and address comes from the guest: all is
 * checked, nothing outside RAM is ever touched, and a failed access changes nothing it has not
 * said. Called with the machine lock held.
 */
#ifndef MEMORY_DMA_H
#define MEMORY_DMA_H

#include <sys/uio.h>

#include "memory/bus.h"

/* What stands between devices and memory: an IOMMU. */
struct dma_map {
    /*
     * Where a requester's byte lies, and how many from there on lie together (at least one).
     * -EFAULT: it is not allowed to read it, or to write it. NULL: there is no IOMMU.
     */
    int (*translate)(void *ctx, uint16_t requester, uint64_t addr, bool write, uint64_t *ret_gpa,
                     uint64_t *ret_len_bytes);
    void *ctx;
};

/*
 * A device's way to memory. Without a map, the addresses that it is given are guest physical ones:
 * (struct dma){.bus = bus} is the way of what is not behind an IOMMU. Copied freely.
 */
struct dma {
    struct bus *bus;
    struct dma_map map;
    uint16_t requester; /* who asks: bus, device and function on PCI */
};

/*
 * Copy to or from RAM (ROM reads too). -EFAULT if any byte is not memory, or not the device's; then
 * nothing is done.
 */
int dma_read(const struct dma *dma, uint64_t addr, void *buf, uint64_t len_bytes);
int dma_write(const struct dma *dma, uint64_t addr, const void *buf, uint64_t len_bytes);
/* len_bytes bytes of value. */
int dma_fill(const struct dma *dma, uint64_t addr, uint8_t value, uint64_t len_bytes);

/* A list of checked pieces of guest RAM. Free with slices_done(). */
struct slices {
    struct iovec *iov;
    uint64_t *ram_offset; /* of each piece */
    unsigned count, room;
    uint64_t len_bytes; /* sum */
};

/*
 * Append [addr, addr + len) to s as one or more pieces that the device is to read, or to write;
 * -EFAULT if it is not all RAM of the device's (s is then unchanged), -E2BIG above 1 << 16 pieces,
 * -ENOMEM. RAM is never unmapped while the machine lives, so the pieces may be kept across an
 * asynchronous operation: what an IOMMU allowed when it began is allowed until its end.
 */
int slices_add(struct slices *s, const struct dma *dma, uint64_t addr, uint64_t len_bytes,
               bool write);
/* The device has written the first len_bytes of s: report it to the store. */
void slices_wrote(const struct slices *s, const struct dma *dma, uint64_t len_bytes);
/* Copy between s (from byte `at`) and buf; returns the bytes copied, less at the end of s. */
uint64_t slices_get(const struct slices *s, uint64_t at, void *buf, uint64_t len_bytes);
uint64_t slices_put(const struct slices *s, uint64_t at, const void *buf, uint64_t len_bytes);
/* Free the lists and make s empty. */
void slices_done(struct slices *s);

#endif
