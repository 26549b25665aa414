/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IA-PC HPET (High Precision Event Timers) Specification 1.0a: one block, three timers, all
 * periodic and 64 bits wide, 100 MHz.
 *
 * An edge-triggered interrupt is a line that falls and rises at each event. Left out: nothing.
 */
#include "hw/timer/hpet.h"

#include <errno.h>

#include "base/bytes.h"
#include "hw/core/statename.h"

enum {
    REG_CAPABILITIES = 0x000,
    REG_CONFIG = 0x010,
    REG_STATUS = 0x020,
    REG_COUNTER = 0x0f0,
    REG_TIMERS = 0x100,
    TIMER_BYTES = 0x20,
    TIMER_CONFIG = 0x00,
    TIMER_COMPARATOR = 0x08,
    TIMER_FSB = 0x10,
    CONFIG_ENABLE = 1,
    CONFIG_LEGACY = 2,
};

#define TN_LEVEL (1ull << 1)
#define TN_ENABLE (1ull << 2)
#define TN_PERIODIC (1ull << 3)
#define TN_PERIODIC_CAP (1ull << 4)
#define TN_SIZE_CAP (1ull << 5)
#define TN_SET_VALUE (1ull << 6)
#define TN_32 (1ull << 8)
#define TN_ROUTE(c) ((unsigned)((c) >> 9 & 31))
#define TN_FSB (1ull << 14)
#define TN_FSB_CAP (1ull << 15)
#define TN_ROUTES 0x00f00000ull /* pins 20 to 23 */
#define NOWHERE 31
#define TN_FIXED (TN_PERIODIC_CAP | TN_SIZE_CAP | TN_FSB_CAP | TN_ROUTES << 32)
#define TN_WRITABLE                                                                                \
    (TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_SET_VALUE | TN_32 | 31ull << 9 | TN_FSB)
/* Period in femtoseconds, then revision, timers, 64-bit counter, legacy replacement, vendor. */
#define CAPABILITIES (HPET_TICK_NS * 1000000ull << 32 | HPET_ID)
/* No guest can make the host spin: periods below this are merged. */
#define MIN_PERIOD_TICKS (20000 / HPET_TICK_NS)

struct hpet_timer {
    struct hpet *hpet;
    unsigned index;
    uint64_t config, comparator, period, fsb;
    bool level;     /* last driven */
    unsigned route; /* where to: see timer_route() */
    struct timer timer;
};

struct hpet {
    struct hpet_env env;
    uint64_t config, status;
    uint64_t counter;  /* while stopped; while running, its value at guest time 0 */
    bool legacy_in[2]; /* 8254, RTC */
    struct hpet_timer timers[HPET_TIMERS];
};

static bool hpet_running(const struct hpet *hpet)
{
    return hpet->config & CONFIG_ENABLE;
}

static bool hpet_legacy(const struct hpet *hpet)
{
    return hpet->config & CONFIG_LEGACY;
}

static uint64_t hpet_now(const struct hpet *hpet)
{
    uint64_t ticks = clock_now_ns(hpet->env.clock) / HPET_TICK_NS;
    return hpet_running(hpet) ? hpet->counter + ticks : hpet->counter;
}

/* 0 or 8: IRQs of legacy replacement; 20 to 23: pins; NOWHERE. */
static unsigned timer_route(const struct hpet_timer *t)
{
    if (hpet_legacy(t->hpet) && t->index < 2)
        return t->index ? 8 : 0;
    unsigned route = TN_ROUTE(t->config);
    return TN_ROUTES >> route & 1 ? route : NOWHERE;
}

static void route_set(struct hpet *hpet, unsigned route, bool level)
{
    if (route == 0 || route == 8) {
        if (hpet_legacy(hpet))
            line_set(route ? &hpet->env.irq8 : &hpet->env.irq0, level);
    } else if (route != NOWHERE && hpet->env.pin) {
        hpet->env.pin(hpet->env.ctx, route, level);
    }
}

static void timer_drive(struct hpet_timer *t, bool level)
{
    if (t->level == level)
        return;
    t->level = level;
    route_set(t->hpet, t->route, level);
}

static uint64_t timer_mask(const struct hpet_timer *t)
{
    return t->config & TN_32 ? UINT32_MAX : UINT64_MAX;
}

/* Ticks until the comparator matches. */
static uint64_t timer_distance(const struct hpet_timer *t, uint64_t now)
{
    uint64_t distance = (t->comparator - now) & timer_mask(t);
    return distance ? distance : timer_mask(t);
}

/* A periodic comparator moves past the counter, over periods that were missed. */
static void timer_catch_up(struct hpet_timer *t)
{
    uint64_t mask = timer_mask(t), period = t->period & mask;
    uint64_t late = (hpet_now(t->hpet) - t->comparator) & mask;
    if (t->config & TN_PERIODIC && period && hpet_running(t->hpet) && late <= mask / 2)
        t->comparator = (t->comparator + (late / period + 1) * period) & mask;
}

static void timer_arm(struct hpet_timer *t)
{
    struct hpet *hpet = t->hpet;
    /* Without interrupt and status bit nobody sees the match itself. */
    if (!hpet_running(hpet) || !(t->config & (TN_ENABLE | TN_LEVEL))) {
        timer_cancel(&t->timer);
        return;
    }
    uint64_t distance = timer_distance(t, hpet_now(hpet));
    if (t->config & TN_PERIODIC && t->period < MIN_PERIOD_TICKS && distance < MIN_PERIOD_TICKS)
        distance = MIN_PERIOD_TICKS;
    if (distance > UINT64_MAX / 4 / HPET_TICK_NS) {
        timer_cancel(&t->timer); /* centuries */
        return;
    }
    uint64_t ticks = clock_now_ns(hpet->env.clock) / HPET_TICK_NS;
    timer_set(&t->timer, (ticks + distance) * HPET_TICK_NS);
}

static void timer_match(void *ctx)
{
    struct hpet_timer *t = ctx;
    struct hpet *hpet = t->hpet;
    timer_catch_up(t);
    timer_arm(t);
    if (t->config & TN_LEVEL && !(t->config & TN_FSB))
        hpet->status |= 1u << t->index;
    if (!(t->config & TN_ENABLE))
        return;
    if (t->config & TN_FSB) {
        msi_send(&hpet->env.msi, hpet->env.source, t->fsb >> 32, (uint32_t)t->fsb);
        return;
    }
    if (!(t->config & TN_LEVEL))
        timer_drive(t, false);
    timer_drive(t, true);
}

/* The line as registers say, after a change of them. */
static void timer_update(struct hpet_timer *t)
{
    unsigned route = timer_route(t);
    if (route != t->route) {
        timer_drive(t, false);
        t->route = route;
    }
    bool able = t->config & TN_ENABLE && !(t->config & TN_FSB) && hpet_running(t->hpet);
    if (t->config & TN_LEVEL)
        timer_drive(t, able && t->hpet->status >> t->index & 1);
    else if (!able)
        timer_drive(t, false);
    timer_catch_up(t);
    timer_arm(t);
}

void hpet_legacy_in(void *ctx, unsigned n, bool level)
{
    struct hpet *hpet = ctx;
    hpet->legacy_in[n == 8] = level;
    if (!hpet_legacy(hpet))
        line_set(n == 8 ? &hpet->env.irq8 : &hpet->env.irq0, level);
}

static void hpet_write_config(struct hpet *hpet, uint64_t value)
{
    uint64_t changed = hpet->config ^ value;
    uint64_t ticks = clock_now_ns(hpet->env.clock) / HPET_TICK_NS;
    if (changed & CONFIG_LEGACY)
        for (unsigned i = 0; i < 2; i++)
            timer_drive(&hpet->timers[i], false);
    if (changed & CONFIG_ENABLE)
        hpet->counter = value & CONFIG_ENABLE ? hpet->counter - ticks : hpet->counter + ticks;
    hpet->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    if (changed & CONFIG_LEGACY) {
        line_set(&hpet->env.irq0, !hpet_legacy(hpet) && hpet->legacy_in[0]);
        line_set(&hpet->env.irq8, !hpet_legacy(hpet) && hpet->legacy_in[1]);
    }
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_update(&hpet->timers[i]);
}

static uint64_t timer_read(struct hpet_timer *t, unsigned reg)
{
    switch (reg) {
    case TIMER_CONFIG:
        return t->config | TN_FIXED;
    case TIMER_COMPARATOR:
        timer_catch_up(t);
        return t->comparator;
    case TIMER_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

static void timer_write_config(struct hpet_timer *t, uint64_t value)
{
    t->config = value & TN_WRITABLE;
    if (t->config & TN_32) {
        t->comparator &= UINT32_MAX;
        t->period &= UINT32_MAX;
    }
    if (!(t->config & TN_LEVEL))
        t->hpet->status &= ~(1ull << t->index);
    timer_update(t);
}

/* In periodic mode a write sets the period; with Tn_VAL_SET_CNF also the next match (2.3.9.2.2).
 * Either half may be written alone, the flag goes with the first write. */
static void timer_write_comparator(struct hpet_timer *t, uint64_t keep, uint64_t value)
{
    uint64_t mask = timer_mask(t);
    bool periodic = t->config & TN_PERIODIC;
    if (!periodic || t->config & TN_SET_VALUE)
        t->comparator = ((t->comparator & keep) | value) & mask;
    if (periodic)
        t->period = ((t->period & keep) | value) & mask & INT64_MAX;
    t->config &= ~TN_SET_VALUE;
    timer_arm(t);
}

static uint64_t reg_read(struct hpet *hpet, uint64_t reg)
{
    switch (reg) {
    case REG_CAPABILITIES:
        return CAPABILITIES;
    case REG_CONFIG:
        return hpet->config;
    case REG_STATUS:
        return hpet->status;
    case REG_COUNTER:
        return hpet_now(hpet);
    default:
        if (reg >= REG_TIMERS && reg < REG_TIMERS + HPET_TIMERS * TIMER_BYTES)
            return timer_read(&hpet->timers[(reg - REG_TIMERS) / TIMER_BYTES], reg % TIMER_BYTES);
        return 0;
    }
}

/* keep: bits of the register that this write does not reach. */
static void reg_write(struct hpet *hpet, uint64_t reg, uint64_t keep, uint64_t value)
{
    struct hpet_timer *t;
    switch (reg) {
    case REG_CONFIG:
        hpet_write_config(hpet, (hpet->config & keep) | value);
        return;
    case REG_STATUS:
        hpet->status &= ~value;
        for (unsigned i = 0; i < HPET_TIMERS; i++)
            timer_update(&hpet->timers[i]);
        return;
    case REG_COUNTER: { /* to be written while stopped; while running the result is as if it were */
        uint64_t was = hpet_now(hpet);
        hpet->counter += ((was & keep) | value) - was;
        for (unsigned i = 0; i < HPET_TIMERS; i++)
            timer_arm(&hpet->timers[i]);
        return;
    }
    default:
        break;
    }
    if (reg < REG_TIMERS || reg >= REG_TIMERS + HPET_TIMERS * TIMER_BYTES)
        return;
    t = &hpet->timers[(reg - REG_TIMERS) / TIMER_BYTES];
    switch (reg % TIMER_BYTES) {
    case TIMER_CONFIG:
        timer_write_config(t, (t->config & keep) | value);
        break;
    case TIMER_COMPARATOR:
        timer_write_comparator(t, keep, value);
        break;
    case TIMER_FSB:
        t->fsb = (t->fsb & keep) | value;
        break;
    default:
        break;
    }
}

static uint64_t hpet_read(void *dev, uint64_t offset, unsigned size)
{
    uint64_t value = reg_read(dev, offset & ~7ull);
    return bytes_mask(value >> 8 * (offset & 7), size);
}

static void hpet_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    unsigned shift = 8 * (offset & 7);
    uint64_t mask = bytes_mask(UINT64_MAX, size) << shift;
    reg_write(dev, offset & ~7ull, ~mask, value << shift & mask);
}

static void hpet_reset(void *dev)
{
    struct hpet *hpet = dev;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &hpet->timers[i];
        timer_drive(t, false);
        timer_cancel(&t->timer);
        t->config = t->period = t->fsb = 0;
        t->comparator = UINT64_MAX;
        t->route = NOWHERE;
    }
    hpet->config = hpet->status = hpet->counter = 0;
    line_set(&hpet->env.irq0, hpet->legacy_in[0]);
    line_set(&hpet->env.irq8, hpet->legacy_in[1]);
}

static int hpet_state(void *dev, struct state *s)
{
    struct hpet *hpet = dev;
    state_u64(s, "config", &hpet->config);
    state_u64(s, "status", &hpet->status);
    state_u64(s, "counter", &hpet->counter);
    state_bool(s, "pit_in", &hpet->legacy_in[0]);
    state_bool(s, "rtc_in", &hpet->legacy_in[1]);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &hpet->timers[i];
        state_u64(s, STATE_NAME("config", i), &t->config);
        state_u64(s, STATE_NAME("comparator", i), &t->comparator);
        state_u64(s, STATE_NAME("period", i), &t->period);
        state_u64(s, STATE_NAME("fsb", i), &t->fsb);
        state_bool(s, STATE_NAME("level", i), &t->level);
        state_timer(s, STATE_NAME("timer", i), &t->timer);
    }
    if (state_loading(s) && !state_error(s)) {
        hpet->config &= CONFIG_ENABLE | CONFIG_LEGACY;
        line_set(&hpet->env.irq0, !hpet_legacy(hpet) && hpet->legacy_in[0]);
        line_set(&hpet->env.irq8, !hpet_legacy(hpet) && hpet->legacy_in[1]);
        for (unsigned i = 0; i < HPET_TIMERS; i++) {
            struct hpet_timer *t = &hpet->timers[i];
            t->config &= TN_WRITABLE;
            t->route = timer_route(t);
            route_set(hpet, t->route, t->level);
        }
    }
    return state_error(s);
}

static void hpet_free(void *dev)
{
    struct hpet *hpet = dev;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_cancel(&hpet->timers[i].timer);
    free(hpet);
}

const struct dev_ops hpet_dev_ops = {
    .name = "hpet", .version = 1, .reset = hpet_reset, .state = hpet_state, .free = hpet_free};

const struct io_ops hpet_io = {
    .name = "hpet", .min_size = 4, .max_size = 8, .read = hpet_read, .write = hpet_write};

int hpet_new(const struct hpet_env *env, struct hpet **ret_hpet)
{
    struct hpet *hpet = calloc(1, sizeof(*hpet));
    if (!hpet)
        return -ENOMEM;
    hpet->env = *env;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &hpet->timers[i];
        t->hpet = hpet;
        t->index = i;
        timer_init(&t->timer, env->clock, timer_match, t);
    }
    hpet_reset(hpet);
    *ret_hpet = hpet;
    return 0;
}
