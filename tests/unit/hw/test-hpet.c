/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HPET: without these, Linux and Windows lose their clock event device. */
#include "hw/timer/hpet.h"
#include "hwtest.h"

struct fixture {
    struct clock *clock;
    struct wires irqs, pins;
    struct hpet *hpet;
    unsigned sent;
    uint64_t addr;
    uint32_t data;
    uint16_t source;
};

static void on_pin(void *ctx, unsigned n, bool level)
{
    wires_set(&((struct fixture *)ctx)->pins, n, level);
}

static void on_msi(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct fixture *f = ctx;
    f->source = source;
    f->sent++;
    f->addr = addr;
    f->data = data;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    struct hpet_env env = {.clock = f->clock,
                           .irq0 = wire(&f->irqs, 0),
                           .irq8 = wire(&f->irqs, 8),
                           .pin = on_pin,
                           .ctx = f,
                           .msi = {.send = on_msi, .ctx = f}};
    assert_int_equal(hpet_new(&env, &f->hpet), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    hpet_dev_ops.free(f->hpet);
    clock_free(f->clock);
    free(f);
    return 0;
}

static uint64_t get(struct fixture *f, unsigned reg)
{
    return hpet_io.read(f->hpet, reg, 8);
}

static void set(struct fixture *f, unsigned reg, uint64_t value)
{
    hpet_io.write(f->hpet, reg, 8, value);
}

static void set32(struct fixture *f, unsigned reg, uint32_t value)
{
    hpet_io.write(f->hpet, reg, 4, value);
}

static void test_counter(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, 0) >> 32, 10000000);
    assert_int_equal(get(f, 0) & 0xffffffff, 0x8086a201);
    set(f, 0xf0, 1000);
    clock_advance(f->clock, US(1));
    assert_int_equal(get(f, 0xf0), 1000);
    set(f, 0x10, 1);
    clock_advance(f->clock, US(1));
    assert_int_equal(get(f, 0xf0), 1100);
    set(f, 0x10, 0);
    clock_advance(f->clock, US(1));
    assert_int_equal(get(f, 0xf0), 1100);
    hpet_io.write(f->hpet, 0xf4, 4, 1);
    assert_int_equal(get(f, 0xf0), (1ull << 32) + 1100);
}

/* As Linux drives its clock event: legacy replacement, periodic, 32-bit writes. */
static void test_legacy_periodic(void **state)
{
    struct fixture *f = *state;
    hpet_legacy_in(f->hpet, 0, true);
    assert_true(wire_level(&f->irqs, 0));
    set32(f, 0x10, 3);
    assert_false(wire_level(&f->irqs, 0));
    set32(f, 0x100, 0x14c); /* enable, periodic, set value, 32 bits */
    set32(f, 0x108, 500000);
    set32(f, 0x108, 100000); /* 1 ms */
    unsigned before = f->irqs.rises[0];
    clock_advance(f->clock, MS(4));
    assert_int_equal(f->irqs.rises[0], before);
    clock_advance(f->clock, MS(6));
    assert_in_range(f->irqs.rises[0] - before, 6, 6);
    set32(f, 0x10, 1);
    assert_true(wire_level(&f->irqs, 0)); /* the 8254 again */
}

static void test_one_shot_wraps_in_32_bits(void **state)
{
    struct fixture *f = *state;
    set(f, 0x140, 0x2804); /* enable, pin 20 */
    set(f, 0x148, 100);
    set(f, 0x10, 1);
    clock_advance(f->clock, US(1));
    assert_int_equal(f->pins.rises[20], 1);
    clock_advance(f->clock, 60 * NS_PER_SEC);
    assert_int_equal(f->pins.rises[20], 1); /* 64 bits: not for centuries */
    set(f, 0x140, 0x2904);
    set(f, 0x148, 100);
    clock_advance(f->clock, 43 * NS_PER_SEC);
    assert_int_equal(f->pins.rises[20], 2);
}

static void test_level_waits_for_status(void **state)
{
    struct fixture *f = *state;
    set(f, 0x120, 0x2a06); /* level, pin 21 */
    set(f, 0x128, 100);
    set(f, 0x10, 1);
    clock_advance(f->clock, US(2));
    assert_true(wire_level(&f->pins, 21));
    assert_int_equal(get(f, 0x20), 2);
    set(f, 0x20, 2);
    assert_false(wire_level(&f->pins, 21));
}

static void test_message(void **state)
{
    struct fixture *f = *state;
    set(f, 0x100, 0x4004);
    set(f, 0x110, 0xfee0300000000041ull);
    set(f, 0x108, 100);
    set(f, 0x10, 1);
    clock_advance(f->clock, US(2));
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee03000);
    assert_int_equal(f->data, 0x41);
}

static void test_tiny_period_is_bounded(void **state)
{
    struct fixture *f = *state;
    set(f, 0x140, 0x284c);
    set(f, 0x148, 1);
    set(f, 0x10, 1);
    clock_advance(f->clock, MS(10));
    assert_in_range(f->pins.rises[20], 1, 501);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_counter),
        T(test_legacy_periodic),
        T(test_one_shot_wraps_in_32_bits),
        T(test_level_waits_for_status),
        T(test_message),
        T(test_tiny_period_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
