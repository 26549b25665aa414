/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 programmable interval timer, and port 0x61 (NMI status and control) that gates counter 2.
 * Intel 8254 datasheet (231164-005); 82371SB (PIIX3) datasheet 2.5.4 and 2.5.8.1.
 *
 * Nothing counts: each counter knows the tick at which its count was loaded, and value and output
 * are computed from the time. A timer is set only for edges of OUT0, the one output that goes
 * somewhere by itself. Left out: NMI sources of port 0x61 (no parity, no channel check).
 */
#include "hw/timer/i8254.h"

#include <errno.h>

#include "hw/core/statename.h"

#define COUNTERS 3
/* Periodic interrupts above 20 kHz are merged: no guest can make the host spin. */
#define MIN_PERIOD_TICKS (I8254_HZ / 20000)
#define REFRESH_TOGGLE_NS 15085 /* 18 ticks */

enum rw { RW_LATCH, RW_LOW, RW_HIGH, RW_WORD };

enum {
    PORT61_GATE2 = 0x01,
    PORT61_SPEAKER = 0x02,
    PORT61_WRITABLE = 0x0f,
    PORT61_REFRESH = 0x10,
    PORT61_OUT2 = 0x20,
};

struct counter {
    uint8_t mode, rw;
    bool bcd;
    bool gate;
    bool loaded;       /* a count was written since the control word */
    bool counting;     /* the counting element runs (or is held by the gate) */
    bool held;         /* modes 0 and 4: gate low, `start` holds the ticks gone by */
    bool next_pending; /* modes 2 and 3: `next` becomes the count when the period ends */
    bool null_count;
    uint16_t cr;    /* count register as written */
    uint32_t count; /* in use, 1..65536 */
    uint32_t next;
    uint32_t next_at;  /* tick of the period at which it does: its end, or of its half in mode 3 */
    uint64_t start;    /* tick of loading */
    uint8_t write_low; /* first byte of a word */
    bool write_high_next, read_high_next;
    uint16_t latched;
    uint8_t latched_bytes; /* of the count, still to be read */
    bool status_latched;
    uint8_t status;
};

struct i8254 {
    struct i8254_env env;
    struct counter counters[COUNTERS];
    uint8_t port61;
    bool out0;          /* level last driven */
    uint64_t out0_tick; /* when that was looked at */
    struct timer timer;
};

/* Ticks do not start at 0, so that the start of a period may lie before the start of time. */
#define FIRST_TICK 0x100000

static uint64_t pit_tick(const struct i8254 *pit)
{
    return FIRST_TICK + clock_scale(clock_now_ns(pit->env.clock), I8254_HZ, NS_PER_SEC);
}

/* The first nanosecond at which pit_tick() is `tick`. */
static uint64_t tick_to_ns(uint64_t tick)
{
    return clock_scale(tick - FIRST_TICK, NS_PER_SEC, I8254_HZ) + 1;
}

static uint32_t counter_modulus(const struct counter *c)
{
    return c->bcd ? 10000 : 0x10000;
}

static uint32_t count_decode(const struct counter *c, uint16_t cr)
{
    uint32_t count = cr;
    if (c->bcd)
        count = (cr & 15) + (cr >> 4 & 15) * 10 + (cr >> 8 & 15) * 100 + (cr >> 12) * 1000;
    return count ? count : counter_modulus(c);
}

static uint16_t count_encode(const struct counter *c, uint32_t value)
{
    value %= counter_modulus(c);
    if (!c->bcd)
        return (uint16_t)value;
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
                      value / 1000 << 12);
}

static bool counter_periodic(const struct counter *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Mode 3: the output is high for the first (N + 1) / 2 ticks. */
static uint32_t high_ticks(uint32_t count)
{
    return (count + 1) / 2;
}

static uint64_t counter_elapsed(const struct counter *c, uint64_t now)
{
    if (c->held)
        return c->start;
    return now > c->start ? now - c->start : 0;
}

/* Modes 2 and 3: bring `start` to the present period and load a waiting count at its end. */
static void counter_sync(struct counter *c, uint64_t now)
{
    if (!c->counting || !counter_periodic(c) || now <= c->start)
        return;
    if (c->next_pending) {
        if (now - c->start < c->next_at)
            return;
        c->start += c->next_at;
        if (c->next_at < c->count) /* mode 3, after the high half: the new low half follows */
            c->start -= high_ticks(c->next);
        c->count = c->next;
        c->next_pending = c->null_count = false;
    }
    c->start += (now - c->start) / c->count * c->count;
}

static bool counter_out(const struct counter *c, uint64_t now)
{
    uint64_t elapsed = counter_elapsed(c, now);
    switch (c->mode) {
    case 0:
        return c->counting && elapsed >= c->count;
    case 1:
        return !c->counting || elapsed >= c->count;
    case 2:
        return !c->counting || !c->gate || elapsed % c->count != c->count - 1 || c->count == 1;
    case 3:
        return !c->counting || !c->gate || elapsed % c->count < high_ticks(c->count);
    default: /* 4, 5: low for the one tick at terminal count */
        return !c->counting || elapsed != c->count;
    }
}

/* Ticks from now until OUT changes next, 0 if it does not. */
static uint64_t counter_next_edge(const struct counter *c, uint64_t now)
{
    if (!c->counting || c->held)
        return 0;
    uint64_t wait = now < c->start ? c->start - now : 0;
    uint64_t elapsed = counter_elapsed(c, now);
    switch (c->mode) {
    case 0:
    case 1:
        return elapsed < c->count ? wait + c->count - elapsed : 0;
    case 2:
    case 3: {
        if (!c->gate)
            return 0;
        uint64_t at = elapsed % c->count;
        uint64_t mid = c->mode == 2 ? c->count - 1 : high_ticks(c->count);
        return wait + (at < mid ? mid - at : c->count - at);
    }
    default:
        if (elapsed < c->count)
            return wait + c->count - elapsed;
        return elapsed == c->count ? 1 : 0;
    }
}

static uint16_t counter_value(const struct counter *c, uint64_t now)
{
    if (!c->counting)
        return count_encode(c, c->count);
    uint64_t elapsed = counter_elapsed(c, now);
    uint32_t modulus = counter_modulus(c);
    if (c->mode == 2)
        return count_encode(c, c->gate ? c->count - (uint32_t)(elapsed % c->count) : c->count);
    if (c->mode == 3) {
        /* Counts down by two, twice in a period; an odd count starts one lower. */
        if (!c->gate)
            return count_encode(c, c->count);
        uint32_t at = (uint32_t)(elapsed % c->count), high = high_ticks(c->count);
        uint32_t gone = at < high ? at : at - high;
        uint32_t value = (c->count & ~1u) - 2 * gone;
        return count_encode(c, 2 * gone > (c->count & ~1u) ? 0 : value);
    }
    /* The others wrap around after terminal count. */
    uint32_t gone = (uint32_t)(elapsed % modulus);
    return count_encode(c, (c->count % modulus + modulus - gone) % modulus);
}

/* Drive OUT0 and set the timer for its next edge. */
static void pit_update(struct i8254 *pit)
{
    struct counter *c = &pit->counters[0];
    uint64_t now = pit_tick(pit);
    /* Edges between the last look and now: an interrupt that came and went must be seen. */
    bool seen_edges = counter_periodic(c) && c->counting && now - pit->out0_tick >= c->count;
    counter_sync(c, now);
    bool out = counter_out(c, now);
    if (out == pit->out0 && seen_edges && out)
        line_set(&pit->env.out0, false);
    pit->out0 = out;
    pit->out0_tick = now;
    line_set(&pit->env.out0, out);
    uint64_t delta = counter_next_edge(c, now);
    if (!delta) {
        timer_cancel(&pit->timer);
        return;
    }
    if (counter_periodic(c) && c->count < MIN_PERIOD_TICKS && delta < MIN_PERIOD_TICKS)
        delta = MIN_PERIOD_TICKS;
    timer_set(&pit->timer, tick_to_ns(now + delta));
}

static void pit_fire(void *ctx)
{
    pit_update(ctx);
}

static void pit_speaker(struct i8254 *pit)
{
    const struct counter *c = &pit->counters[2];
    unsigned hz = 0;
    if ((pit->port61 & (PORT61_GATE2 | PORT61_SPEAKER)) == (PORT61_GATE2 | PORT61_SPEAKER) &&
        c->mode == 3 && c->counting)
        hz = I8254_HZ / c->count;
    if (pit->env.speaker)
        pit->env.speaker(pit->env.ctx, hz);
}

/* CR goes to CE with the next clock pulse. */
static void counter_start(struct counter *c, uint64_t now)
{
    c->count = count_decode(c, c->cr);
    c->counting = true;
    c->next_pending = c->null_count = false;
    c->held = false;
    c->start = now + 1;
    if ((c->mode == 0 || c->mode == 4) && !c->gate) {
        c->held = true;
        c->start = 0;
    }
}

static void counter_load(struct counter *c, uint16_t value, uint64_t now)
{
    c->cr = value;
    c->null_count = true;
    counter_sync(c, now);
    switch (c->mode) {
    case 1:
    case 5: /* waits for a trigger; OUT and a running count are left alone */
        c->loaded = true;
        break;
    case 2:
    case 3:
        if (c->counting && c->gate) {
            c->next = count_decode(c, value);
            c->next_at = c->count;
            if (c->mode == 3 && counter_elapsed(c, now) < high_ticks(c->count))
                c->next_at = high_ticks(c->count);
            c->next_pending = true;
        } else if (c->gate) {
            counter_start(c, now);
        }
        c->loaded = true;
        break;
    default:
        c->loaded = true;
        counter_start(c, now);
        break;
    }
}

static void counter_set_gate(struct counter *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    counter_sync(c, now);
    switch (c->mode) {
    case 0:
    case 4: /* level: low holds the count */
        if (c->counting && gate != !c->held) {
            uint64_t elapsed = counter_elapsed(c, now);
            c->held = !gate;
            c->start = gate ? now - MIN(elapsed, now) : elapsed;
        }
        c->gate = gate;
        break;
    default: /* rising edge triggers */
        c->gate = gate;
        if (gate && c->loaded)
            counter_start(c, now);
        break;
    }
}

static void counter_latch_count(struct counter *c, uint64_t now)
{
    if (c->latched_bytes)
        return;
    counter_sync(c, now);
    c->latched = counter_value(c, now);
    c->latched_bytes = c->rw == RW_WORD ? 2 : 1;
    c->read_high_next = false;
}

static void counter_latch_status(struct counter *c, uint64_t now)
{
    if (c->status_latched)
        return;
    counter_sync(c, now);
    c->status = (uint8_t)(counter_out(c, now) << 7 | c->null_count << 6 | c->rw << 4 |
                          c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void pit_control(struct i8254 *pit, uint8_t value, uint64_t now)
{
    unsigned n = value >> 6;
    if (n == 3) { /* read-back: bits 5 and 4 are active low */
        for (unsigned i = 0; i < COUNTERS; i++) {
            if (!(value & 2 << i))
                continue;
            if (!(value & 0x20))
                counter_latch_count(&pit->counters[i], now);
            if (!(value & 0x10))
                counter_latch_status(&pit->counters[i], now);
        }
        return;
    }
    struct counter *c = &pit->counters[n];
    if ((value >> 4 & 3) == RW_LATCH) {
        counter_latch_count(c, now);
        return;
    }
    uint32_t frozen = c->count;
    bool gate = c->gate;
    *c = (struct counter){.gate = gate,
                          .rw = value >> 4 & 3,
                          .mode = value >> 1 & 7,
                          .bcd = value & 1,
                          .count = frozen,
                          .null_count = true};
    if (c->mode > 5)
        c->mode -= 4; /* 110 and 111 are modes 2 and 3 */
}

static void counter_write(struct counter *c, uint8_t value, uint64_t now)
{
    switch (c->rw) {
    case RW_LOW:
        counter_load(c, value, now);
        break;
    case RW_HIGH:
        counter_load(c, (uint16_t)(value << 8), now);
        break;
    case RW_WORD:
        if (c->write_high_next) {
            counter_load(c, (uint16_t)(value << 8 | c->write_low), now);
        } else {
            c->write_low = value;
            if (c->mode == 0)
                c->counting = false; /* the first byte stops the count and sets OUT low */
        }
        c->write_high_next = !c->write_high_next;
        break;
    default: /* never programmed */
        break;
    }
}

static uint8_t counter_read(struct counter *c, uint64_t now)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    counter_sync(c, now);
    uint16_t value = c->latched_bytes ? c->latched : counter_value(c, now);
    if (c->latched_bytes)
        c->latched_bytes--;
    if (c->rw == RW_HIGH)
        return value >> 8;
    if (c->rw != RW_WORD)
        return value & 0xff;
    c->read_high_next = !c->read_high_next;
    return c->read_high_next ? value & 0xff : value >> 8;
}

static uint64_t pit_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    struct i8254 *pit = dev;
    if (offset >= COUNTERS)
        return 0xff; /* the control word cannot be read: the bus floats */
    return counter_read(&pit->counters[offset], pit_tick(pit));
}

static void pit_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    struct i8254 *pit = dev;
    uint64_t now = pit_tick(pit);
    pit_update(pit); /* edges so far belong to the old programming */
    if (offset >= COUNTERS)
        pit_control(pit, (uint8_t)value, now);
    else
        counter_write(&pit->counters[offset], (uint8_t)value, now);
    pit_update(pit);
    if (offset >= 2)
        pit_speaker(pit);
}

static uint64_t port61_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8254 *pit = dev;
    struct counter *c = &pit->counters[2];
    uint64_t now = pit_tick(pit);
    counter_sync(c, now);
    uint8_t value = pit->port61;
    if (counter_out(c, now))
        value |= PORT61_OUT2;
    if (clock_now_ns(pit->env.clock) / REFRESH_TOGGLE_NS & 1)
        value |= PORT61_REFRESH;
    return value;
}

static void port61_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset;
    (void)size;
    struct i8254 *pit = dev;
    pit->port61 = value & PORT61_WRITABLE;
    counter_set_gate(&pit->counters[2], value & PORT61_GATE2, pit_tick(pit));
    pit_speaker(pit);
}

static void pit_reset(void *dev)
{
    struct i8254 *pit = dev;
    timer_cancel(&pit->timer);
    pit->port61 = 0;
    /* The datasheet leaves mode and count undefined; idle counters with OUT low are as good. */
    for (unsigned i = 0; i < COUNTERS; i++)
        pit->counters[i] = (struct counter){.gate = i != 2, .rw = RW_WORD, .count = 0x10000};
    pit->out0 = false;
    pit->out0_tick = pit_tick(pit);
    line_set(&pit->env.out0, false);
    pit_speaker(pit);
}

static void counter_state(struct counter *c, unsigned i, struct state *s)
{
    state_u8(s, STATE_NAME("mode", i), &c->mode);
    state_u8(s, STATE_NAME("rw", i), &c->rw);
    state_bool(s, STATE_NAME("bcd", i), &c->bcd);
    state_bool(s, STATE_NAME("gate", i), &c->gate);
    state_bool(s, STATE_NAME("loaded", i), &c->loaded);
    state_bool(s, STATE_NAME("counting", i), &c->counting);
    state_bool(s, STATE_NAME("held", i), &c->held);
    state_bool(s, STATE_NAME("next_pending", i), &c->next_pending);
    state_bool(s, STATE_NAME("null_count", i), &c->null_count);
    state_u16(s, STATE_NAME("cr", i), &c->cr);
    state_u32(s, STATE_NAME("count", i), &c->count);
    state_u32(s, STATE_NAME("next", i), &c->next);
    state_u32(s, STATE_NAME("next_at", i), &c->next_at);
    state_u64(s, STATE_NAME("start", i), &c->start);
    state_u8(s, STATE_NAME("write_low", i), &c->write_low);
    state_bool(s, STATE_NAME("write_high_next", i), &c->write_high_next);
    state_bool(s, STATE_NAME("read_high_next", i), &c->read_high_next);
    state_u16(s, STATE_NAME("latched", i), &c->latched);
    state_u8(s, STATE_NAME("latched_bytes", i), &c->latched_bytes);
    state_bool(s, STATE_NAME("status_latched", i), &c->status_latched);
    state_u8(s, STATE_NAME("status", i), &c->status);
    bool next_valid =
        c->next >= 1 && c->next <= 0x10000 && c->next_at >= 1 && c->next_at <= c->count;
    state_check(s, c->mode < 6 && c->rw < 4 && c->count >= 1 && c->count <= 0x10000);
    state_check(s, !c->next_pending || next_valid);
}

static int pit_state(void *dev, struct state *s)
{
    struct i8254 *pit = dev;
    for (unsigned i = 0; i < COUNTERS; i++)
        counter_state(&pit->counters[i], i, s);
    state_u8(s, "port61", &pit->port61);
    state_bool(s, "out0", &pit->out0);
    state_u64(s, "out0_tick", &pit->out0_tick);
    state_timer(s, "timer", &pit->timer);
    if (state_loading(s) && !state_error(s)) {
        line_set(&pit->env.out0, pit->out0);
        pit_speaker(pit);
    }
    return state_error(s);
}

static void pit_free(void *dev)
{
    struct i8254 *pit = dev;
    timer_cancel(&pit->timer);
    free(pit);
}

const struct dev_ops i8254_dev_ops = {
    .name = "i8254", .version = 1, .reset = pit_reset, .state = pit_state, .free = pit_free};

const struct io_ops i8254_io = {
    .name = "i8254", .min_size = 1, .max_size = 1, .read = pit_read, .write = pit_write};
const struct io_ops i8254_port61_io = {
    .name = "port61", .min_size = 1, .max_size = 1, .read = port61_read, .write = port61_write};

int i8254_new(const struct i8254_env *env, struct i8254 **ret_pit)
{
    struct i8254 *pit = calloc(1, sizeof(*pit));
    if (!pit)
        return -ENOMEM;
    pit->env = *env;
    timer_init(&pit->timer, env->clock, pit_fire, pit);
    pit_reset(pit);
    *ret_pit = pit;
    return 0;
}
