/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every chip has in common. A chip is made by its constructor, which takes its whole world
 * (interrupt lines, clock, memory, disk) as arguments, and shows the machine: register blocks
 * (struct region or struct io_ops of memory/bus.h) and one struct dev_ops. All calls come with
 * the machine lock held.
 */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "base/clock.h"
#include "base/state.h"
#include "memory/bus.h"

struct dev_ops {
    const char *name; /* section name in saved state; unique with the device's instance name */
    uint32_t version; /* of the saved state, from 1 */
    void (*reset)(void *dev); /* to the power-on state; doing it twice equals doing it once */
    /* Save or load every guest-visible field (base/state.h). Returns state_error(). */
    int (*state)(void *dev, struct state *s);
    void (*free)(void *dev); /* destroy; never NULL is passed */
};

/* An interrupt or other wire: level is 0 or 1; setting the level it has is harmless. */
struct line {
    void (*set)(void *ctx, unsigned n, bool level);
    void *ctx;
    unsigned n;
};

static inline void line_set(const struct line *line, bool level)
{
    if (line->set)
        line->set(line->ctx, line->n, level);
}

#endif
