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

/* Copy to or from RAM (ROM reads too). -EFAULT if any byte is not memory; then nothing is done. */
int dma_read(struct bus *bus, uint64_t gpa, void *buf, uint64_t len_bytes);
int dma_write(struct bus *bus, uint64_t gpa, const void *buf, uint64_t len_bytes);
/* len_bytes bytes of value. */
int dma_fill(struct bus *bus, uint64_t gpa, uint8_t value, uint64_t len_bytes);

/* A list of checked pieces of guest RAM. Free with slices_done(). */
struct slices {
    struct iovec *iov;
    uint64_t *ram_offset; /* of each piece */
    unsigned count, room;
    uint64_t len_bytes; /* sum */
};

/*
 * Append [gpa, gpa + len) to s as one or more pieces; -EFAULT if it is not all RAM (s is then
 * unchanged), -E2BIG above 1 << 16 pieces, -ENOMEM. RAM is never unmapped while the machine
 * lives, so the pieces may be kept across an asynchronous operation.
 */
int slices_add(struct slices *s, struct bus *bus, uint64_t gpa, uint64_t len_bytes);
/* The device has written the first len_bytes of s: report it to the store. */
void slices_wrote(const struct slices *s, struct bus *bus, uint64_t len_bytes);
/* Copy between s (from byte `at`) and buf; returns the bytes copied, less at the end of s. */
uint64_t slices_get(const struct slices *s, uint64_t at, void *buf, uint64_t len_bytes);
uint64_t slices_put(const struct slices *s, uint64_t at, const void *buf, uint64_t len_bytes);
/* Free the lists and make s empty. */
void slices_done(struct slices *s);

#endif
