/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MC146818: without these, guests read torn or wrong times and their alarms never ring. */
#include "hw/timer/mc146818.h"
#include "hwtest.h"

struct fixture {
    struct wires wires;
    struct clock *clock;
    struct mc146818 *rtc;
};

/* 2024-02-29 23:59:57, a Thursday. */
#define EPOCH_SEC 1709251197LL

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    struct mc146818_env env = {
        .clock = f->clock, .irq = wire(&f->wires, 8), .epoch_ns = EPOCH_SEC * (int64_t)NS_PER_SEC};
    assert_int_equal(mc146818_new(&env, &f->rtc), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    mc146818_dev_ops.free(f->rtc);
    clock_free(f->clock);
    free(f);
    return 0;
}

static uint8_t get(struct fixture *f, uint8_t index)
{
    mc146818_io.write(f->rtc, 0, 1, index);
    return (uint8_t)mc146818_io.read(f->rtc, 1, 1);
}

static void set(struct fixture *f, uint8_t index, uint8_t value)
{
    mc146818_io.write(f->rtc, 0, 1, index);
    mc146818_io.write(f->rtc, 1, 1, value);
}

static void assert_time(struct fixture *f, unsigned y, unsigned mo, unsigned d, unsigned h,
                        unsigned mi, unsigned s, unsigned weekday)
{
    assert_int_equal(get(f, 9), y);
    assert_int_equal(get(f, 8), mo);
    assert_int_equal(get(f, 7), d);
    assert_int_equal(get(f, 4), h);
    assert_int_equal(get(f, 2), mi);
    assert_int_equal(get(f, 0), s);
    assert_int_equal(get(f, 6), weekday);
}

static void test_time_runs_over_leap_day(void **state)
{
    struct fixture *f = *state;
    assert_time(f, 0x24, 0x02, 0x29, 0x23, 0x59, 0x57, 5);
    assert_int_equal(get(f, 0x32), 0x20);
    clock_advance(f->clock, 3 * NS_PER_SEC);
    assert_time(f, 0x24, 0x03, 0x01, 0, 0, 0, 6);
}

static void test_formats(void **state)
{
    struct fixture *f = *state;
    set(f, 11, 0x06); /* binary, 24 h */
    assert_time(f, 24, 2, 29, 23, 59, 57, 5);
    set(f, 11, 0x00); /* BCD, 12 h */
    assert_int_equal(get(f, 4), 0x91);
    clock_advance(f->clock, 3 * NS_PER_SEC);
    assert_int_equal(get(f, 4), 0x12);
}

static void test_uip_before_update(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, 10) & 0x80, 0);
    clock_advance(f->clock, US(1000000 - 2228));
    assert_int_equal(get(f, 10) & 0x80, 0x80);
    assert_int_equal(get(f, 0), 0x57);
    clock_advance(f->clock, US(2228));
    assert_int_equal(get(f, 10) & 0x80, 0);
    assert_int_equal(get(f, 0), 0x58);
}

static void test_setting_the_time(void **state)
{
    struct fixture *f = *state;
    clock_advance(f->clock, MS(400));
    set(f, 11, 0x82);
    set(f, 9, 0x99);
    set(f, 0x32, 0x19);
    set(f, 8, 0x12);
    set(f, 7, 0x31);
    set(f, 6, 0x06);
    set(f, 4, 0x23);
    set(f, 2, 0x59);
    set(f, 0, 0x59);
    clock_advance(f->clock, 5 * NS_PER_SEC);
    assert_int_equal(get(f, 0), 0x59); /* SET holds the registers */
    set(f, 11, 0x02);
    assert_time(f, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59, 6);
    clock_advance(f->clock, MS(599));
    assert_int_equal(get(f, 0), 0x59);
    clock_advance(f->clock, MS(2)); /* the divider kept its phase */
    assert_time(f, 0x00, 0x01, 0x01, 0, 0, 0, 7);
    assert_int_equal(get(f, 0x32), 0x20);
    /* Nonsense is taken without harm. */
    for (unsigned i = 0; i < 10; i++)
        set(f, (uint8_t)i, 0xff);
    set(f, 0x32, 0xff);
    get(f, 0);
    clock_advance(f->clock, NS_PER_SEC);
    get(f, 0);
}

static void test_divider_starts_after_half_second(void **state)
{
    struct fixture *f = *state;
    set(f, 10, 0x76);
    clock_advance(f->clock, 10 * NS_PER_SEC);
    assert_int_equal(get(f, 0), 0x57);
    set(f, 10, 0x26);
    clock_advance(f->clock, MS(499));
    assert_int_equal(get(f, 0), 0x57);
    clock_advance(f->clock, MS(2));
    assert_int_equal(get(f, 0), 0x58);
}

static void test_periodic_interrupt(void **state)
{
    struct fixture *f = *state;
    set(f, 11, 0x42); /* 1024 Hz */
    unsigned ticks = 0;
    for (unsigned i = 0; i < 10000; i++) {
        clock_advance(f->clock, US(100));
        if (wire_level(&f->wires, 8)) {
            assert_int_equal(get(f, 12) & 0xc0, 0xc0);
            assert_false(wire_level(&f->wires, 8));
            ticks++;
        }
    }
    assert_in_range(ticks, 1022, 1025);
    /* The flag comes without the interrupt as well. */
    set(f, 11, 0x02);
    get(f, 12);
    clock_advance(f->clock, MS(1));
    assert_int_equal(get(f, 12) & 0xc0, 0x40);
}

static void test_alarm_and_update(void **state)
{
    struct fixture *f = *state;
    set(f, 1, 0x02);
    set(f, 3, 0x00);
    set(f, 5, 0xc0); /* any hour */
    get(f, 12);
    set(f, 11, 0x22);
    clock_advance(f->clock, MS(4999));
    assert_false(wire_level(&f->wires, 8));
    clock_advance(f->clock, MS(2));
    assert_true(wire_level(&f->wires, 8));
    assert_int_equal(get(f, 12) & 0xb0, 0xb0);
    clock_advance(f->clock, 3600 * NS_PER_SEC);
    assert_true(wire_level(&f->wires, 8));
    set(f, 11, 0x12);
    get(f, 12);
    clock_advance(f->clock, NS_PER_SEC);
    assert_int_equal(get(f, 12) & 0x90, 0x90);
}

static void test_memory_and_reset(void **state)
{
    struct fixture *f = *state;
    set(f, 0x0f, 0x0a);
    mc146818_poke(f->rtc, CMOS_BASE_MEM, 0x80);
    mc146818_io.write(f->rtc, 2, 1, 0x7f);
    mc146818_io.write(f->rtc, 3, 1, 0x5a);
    set(f, 11, 0x72);
    clock_advance(f->clock, NS_PER_SEC);
    assert_true(wire_level(&f->wires, 8));
    mc146818_dev_ops.reset(f->rtc);
    assert_false(wire_level(&f->wires, 8));
    assert_int_equal(get(f, 11), 0x02);
    assert_int_equal(get(f, 0x0f), 0x0a);
    assert_int_equal(get(f, CMOS_BASE_MEM), 0x80);
    assert_int_equal(mc146818_peek(f->rtc, 0xff), 0x5a);
    assert_int_equal(get(f, 13), 0x80);
    assert_int_equal(get(f, 0x80 | 13), 0x80);
    assert_true(mc146818_nmi_masked(f->rtc));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_time_runs_over_leap_day),
        T(test_formats),
        T(test_uip_before_update),
        T(test_setting_the_time),
        T(test_divider_starts_after_half_second),
        T(test_periodic_interrupt),
        T(test_alarm_and_update),
        T(test_memory_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
