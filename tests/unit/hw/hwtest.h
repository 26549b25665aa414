/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of devices share: wires that remember, a clock turned by hand.
 */
#ifndef TESTS_UNIT_HW_HWTEST_H
#define TESTS_UNIT_HW_HWTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hw/core/device.h"

/* Up to 32 wires: their levels and how often each rose. */
struct wires {
    uint32_t levels;
    unsigned rises[32];
};

static inline void wires_set(void *ctx, unsigned n, bool level)
{
    struct wires *wires = ctx;
    uint32_t bit = 1u << n;
    if (level && !(wires->levels & bit))
        wires->rises[n]++;
    wires->levels = level ? wires->levels | bit : wires->levels & ~bit;
}

static inline struct line wire(struct wires *wires, unsigned n)
{
    return (struct line){.set = wires_set, .ctx = wires, .n = n};
}

static inline bool wire_level(const struct wires *wires, unsigned n)
{
    return wires->levels >> n & 1;
}

static inline struct clock *test_clock(void)
{
    struct clock *clock;
    assert_int_equal(clock_new_manual(&clock), 0);
    return clock;
}

#define US(n) ((uint64_t)(n)*1000)
#define MS(n) ((uint64_t)(n)*1000000)

#endif
