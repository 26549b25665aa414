/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wires with more than one end: several outputs that meet at one input (wired OR, as shared
 * interrupt lines and the two sources of the A20 gate do).
 */
#ifndef HW_CORE_WIRE_H
#define HW_CORE_WIRE_H

#include "hw/core/device.h"

/* Up to 64 inputs; the output is high while any of them is. Has no state of its own to save: the
 * inputs are driven again when their devices are loaded. */
struct wire_or {
    uint64_t levels;
    struct line out;
};

/* The set function of an input n of a struct wire_or, for struct line. */
static inline void wire_or_set(void *ctx, unsigned n, bool level)
{
    struct wire_or *wire = ctx;
    uint64_t bit = 1ULL << (n & 63);
    wire->levels = level ? wire->levels | bit : wire->levels & ~bit;
    line_set(&wire->out, wire->levels != 0);
}

static inline struct line wire_or_input(struct wire_or *wire, unsigned n)
{
    return (struct line){.set = wire_or_set, .ctx = wire, .n = n};
}

#endif
