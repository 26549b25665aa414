/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest time and its timers: order, and what a processor that has nothing to do may do before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

struct fired {
    struct timer timer;
    unsigned count;
    bool again; /* sets itself anew */
};

static void fire(void *ctx)
{
    struct fired *f = ctx;

    f->count++;
    if (f->again)
        timer_set_idle(&f->timer, clock_now_ns(f->timer.clock) + 10);
}

static void in_order(void **ctx)
{
    struct clock *clock;
    struct fired a = {0}, b = {0};

    (void)ctx;
    assert_int_equal(clock_new_manual(&clock), 0);
    timer_init(&a.timer, clock, fire, &a);
    timer_init(&b.timer, clock, fire, &b);
    timer_set(&a.timer, 100);
    timer_set(&b.timer, 50);
    assert_int_equal(clock_next_deadline_ns(clock), 50);
    clock_advance(clock, 60);
    assert_int_equal(a.count, 0);
    assert_int_equal(b.count, 1);
    timer_cancel(&a.timer);
    timer_cancel(&b.timer);
    clock_advance(clock, 60);
    assert_int_equal(a.count, 0);
    assert_int_equal(clock_run_timers(clock), CLOCK_NEVER);
    clock_free(clock);
}

static void when_idle(void **ctx)
{
    struct clock *clock;
    struct fired a = {0}, b = {.again = true}, c = {0};

    (void)ctx;
    assert_int_equal(clock_new_manual(&clock), 0);
    timer_init(&a.timer, clock, fire, &a);
    timer_init(&b.timer, clock, fire, &b);
    timer_init(&c.timer, clock, fire, &c);
    timer_set(&a.timer, 10);
    assert_false(clock_has_idle(clock));
    timer_set_idle(&b.timer, 20);
    timer_set_idle(&b.timer, 30);
    timer_set_idle(&c.timer, 40);
    assert_true(clock_has_idle(clock));
    clock_run_idle(clock);
    assert_int_equal(a.count, 0); /* has its time */
    assert_true(b.count >= 1 && b.count <= 2);
    assert_true(clock_has_idle(clock));
    /* At its deadline without such a processor; forgotten when it is cancelled, or set otherwise. */
    b.again = false;
    timer_set(&c.timer, 1000);
    clock_advance(clock, 100);
    assert_int_equal(a.count, 1);
    assert_false(clock_has_idle(clock));
    timer_set_idle(&b.timer, 500);
    timer_cancel(&b.timer);
    assert_false(clock_has_idle(clock));
    clock_free(clock);
}

/* While a machine is paused its processors start nothing. */
static void standing_still(void **ctx)
{
    struct clock *clock;
    struct fired a = {0};

    (void)ctx;
    assert_int_equal(clock_new(&clock), 0);
    timer_init(&a.timer, clock, fire, &a);
    timer_set_idle(&a.timer, 1000000000000);
    clock_run_idle(clock);
    assert_int_equal(a.count, 0);
    clock_start(clock);
    clock_run_idle(clock);
    assert_int_equal(a.count, 1);
    timer_cancel(&a.timer);
    clock_free(clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(when_idle),
        cmocka_unit_test(standing_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
