/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8254: without these, guests' clocks run wrong or their delay loops never end. */
#include "hw/timer/i8254.h"
#include "hwtest.h"

struct fixture {
    struct wires wires;
    struct clock *clock;
    struct i8254 *pit;
    unsigned hz;
};

static void speaker(void *ctx, unsigned hz)
{
    ((struct fixture *)ctx)->hz = hz;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    struct i8254_env env = {
        .clock = f->clock, .out0 = wire(&f->wires, 0), .speaker = speaker, .ctx = f};
    assert_int_equal(i8254_new(&env, &f->pit), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    i8254_dev_ops.free(f->pit);
    clock_free(f->clock);
    free(f);
    return 0;
}

static void out(struct fixture *f, unsigned port, uint8_t value)
{
    if (port == 0x61)
        i8254_port61_io.write(f->pit, 0, 1, value);
    else
        i8254_io.write(f->pit, port & 3, 1, value);
}

static uint8_t in(struct fixture *f, unsigned port)
{
    return (uint8_t)(port == 0x61 ? i8254_port61_io.read(f->pit, 0, 1)
                                  : i8254_io.read(f->pit, port & 3, 1));
}

static unsigned in_word(struct fixture *f, unsigned port)
{
    unsigned low = in(f, port);
    return low | (unsigned)in(f, port) << 8;
}

static void program(struct fixture *f, unsigned n, unsigned mode, unsigned count)
{
    out(f, 0x43, (uint8_t)(n << 6 | 0x30 | mode << 1));
    out(f, 0x40 + n, (uint8_t)count);
    out(f, 0x40 + n, (uint8_t)(count >> 8));
}

/* Turn the clock to the n-th tick from 0. */
static void to_tick(struct fixture *f, uint64_t tick)
{
    uint64_t ns = clock_scale(tick, NS_PER_SEC, I8254_HZ) + 1;
    clock_advance(f->clock, ns - clock_now_ns(f->clock));
}

static void test_mode2_rate(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 11932);
    clock_advance(f->clock, NS_PER_SEC);
    /* 100 Hz: OUT rises at every reload after the first. */
    assert_in_range(f->wires.rises[0], 100, 101);
    assert_true(wire_level(&f->wires, 0));
}

static void test_mode3_square(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 3, 0);
    assert_true(wire_level(&f->wires, 0));
    clock_advance(f->clock, NS_PER_SEC);
    assert_int_equal(f->wires.rises[0], 19); /* at once, then 18.2 Hz */
    out(f, 0x43, 0x00);
    unsigned a = in_word(f, 0x40);
    clock_advance(f->clock, US(84)); /* 100 ticks, counted by two */
    out(f, 0x43, 0x00);
    unsigned b = in_word(f, 0x40);
    assert_in_range((a - b) & 0xffff, 198, 202);
}

static void test_mode0_one_shot(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 0, 1000);
    to_tick(f, 1000);
    assert_false(wire_level(&f->wires, 0));
    to_tick(f, 1001);
    assert_true(wire_level(&f->wires, 0));
    assert_int_equal(in_word(f, 0x40), 0);
    to_tick(f, 1011);
    assert_int_equal(in_word(f, 0x40), 0xfff6); /* goes on counting */
    clock_advance(f->clock, NS_PER_SEC);
    assert_int_equal(f->wires.rises[0], 1);
    /* The first byte of a new count already takes OUT low. */
    out(f, 0x40, 1);
    assert_false(wire_level(&f->wires, 0));
}

static void test_gate2_and_port61(void **state)
{
    struct fixture *f = *state;
    /* How Linux calibrates the TSC: mode 0 with the gate, wait for OUT2. */
    out(f, 0x61, (in(f, 0x61) & ~2) | 1);
    program(f, 2, 0, 1193);
    assert_int_equal(in(f, 0x61) & 0x20, 0);
    to_tick(f, 500);
    out(f, 0x61, 0); /* gate low: held */
    to_tick(f, 5000);
    assert_int_equal(in(f, 0x61) & 0x20, 0);
    out(f, 0x43, 0x80);
    assert_int_equal(in_word(f, 0x42), 1193 - 499);
    out(f, 0x61, 1);
    to_tick(f, 5000 + 1193 - 499);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
    program(f, 2, 3, 1193);
    out(f, 0x61, 3);
    assert_int_equal(f->hz, 1000);
    out(f, 0x61, 0);
    assert_int_equal(f->hz, 0);
    /* Refresh toggles for those who count it. */
    unsigned toggles = 0, last = in(f, 0x61) & 0x10;
    for (int i = 0; i < 1000; i++) {
        clock_advance(f->clock, US(1));
        unsigned now = in(f, 0x61) & 0x10;
        toggles += now != last;
        last = now;
    }
    assert_in_range(toggles, 64, 68);
}

static void test_hardware_triggered(void **state)
{
    struct fixture *f = *state;
    program(f, 2, 1, 100);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
    to_tick(f, 500);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20); /* nothing without a trigger */
    out(f, 0x61, 1);
    to_tick(f, 502);
    assert_int_equal(in(f, 0x61) & 0x20, 0);
    to_tick(f, 550);
    out(f, 0x61, 0);
    out(f, 0x61, 1); /* retriggered */
    to_tick(f, 640);
    assert_int_equal(in(f, 0x61) & 0x20, 0);
    to_tick(f, 651);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
    out(f, 0x61, 0);
    program(f, 2, 5, 100);
    out(f, 0x61, 1);
    to_tick(f, 750);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
    to_tick(f, 752);
    assert_int_equal(in(f, 0x61) & 0x20, 0); /* one tick */
    to_tick(f, 753);
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
}

static void test_read_back(void **state)
{
    struct fixture *f = *state;
    out(f, 0x43, 0x34);
    out(f, 0x43, 0xe2); /* status of counter 0: no count yet */
    assert_int_equal(in(f, 0x40), 0x80 | 0x40 | 0x34);
    out(f, 0x40, 0x00);
    out(f, 0x40, 0x10);
    to_tick(f, 0x101);
    out(f, 0x43, 0xc2); /* both; status first, then the count of that moment */
    to_tick(f, 0x300);
    assert_int_equal(in(f, 0x40), 0x80 | 0x34);
    assert_int_equal(in_word(f, 0x40), 0x1000 - 0x100);
    assert_int_equal(in_word(f, 0x40), 0x1000 - 0x2ff);
}

static void test_bcd_and_single_bytes(void **state)
{
    struct fixture *f = *state;
    out(f, 0x43, 0x31); /* mode 0, word, BCD */
    out(f, 0x40, 0x00);
    out(f, 0x40, 0x10); /* 1000 */
    to_tick(f, 2);
    assert_int_equal(in_word(f, 0x40), 0x0999);
    out(f, 0x43, 0x20); /* mode 0, high byte only */
    out(f, 0x40, 0x12);
    assert_int_equal(in(f, 0x40), 0x12);
    assert_int_equal(in(f, 0x40), 0x12);
}

static void test_new_count_waits_for_period(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 1000);
    to_tick(f, 500);
    out(f, 0x40, 0xd0);
    out(f, 0x40, 0x07); /* 2000 */
    to_tick(f, 1001);
    assert_in_range(in_word(f, 0x40), 1998, 2000);
}

/* A guest that asks for a million interrupts a second must not stop the host. */
static void test_tiny_count_is_bounded(void **state)
{
    struct fixture *f = *state;
    program(f, 0, 2, 1);
    clock_advance(f->clock, MS(100));
    program(f, 0, 3, 2);
    clock_advance(f->clock, MS(100));
    assert_in_range(f->wires.rises[0], 100, 5000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_mode2_rate),
        T(test_mode3_square),
        T(test_mode0_one_shot),
        T(test_gate2_and_port61),
        T(test_hardware_triggered),
        T(test_read_back),
        T(test_bcd_and_single_bytes),
        T(test_new_count_waits_for_period),
        T(test_tiny_count_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
