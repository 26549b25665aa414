/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved state: what a user would miss is a machine that comes back exactly as it was left. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/state.h"

struct thing {
    bool on;
    uint8_t b;
    uint16_t w;
    uint32_t d;
    uint64_t q;
    uint8_t fifo[5];
    struct timer timer;
};

static void nothing(void *ctx)
{
    (void)ctx;
}

static int thing_state(struct thing *t, struct state *s)
{
    state_bool(s, "on", &t->on);
    state_u8(s, "b", &t->b);
    state_u16(s, "w", &t->w);
    state_u32(s, "d", &t->d);
    state_u64(s, "q", &t->q);
    state_bytes(s, "fifo", t->fifo, sizeof(t->fifo));
    state_timer(s, "timer", &t->timer);
    return state_error(s);
}

static struct clock *clock_of_test(void)
{
    struct clock *clock;
    assert_int_equal(clock_new_manual(&clock), 0);
    return clock;
}

/* Two devices in one file, loaded in another order: each gets its own fields back. */
static void round_trip(void **ctx)
{
    (void)ctx;
    struct clock *clock = clock_of_test();
    struct thing a = {true, 1, 0x1234, 0xdeadbeef, 1ULL << 63, {1, 2, 3, 4, 5}, {0}};
    struct thing b = {.b = 9};
    timer_init(&a.timer, clock, nothing, NULL);
    timer_init(&b.timer, clock, nothing, NULL);
    timer_set(&a.timer, 777);

    struct state *save, *load;
    assert_int_equal(state_new_save(&save), 0);
    assert_false(state_loading(save));
    uint32_t version = 3;
    assert_int_equal(state_section(save, "a", &version), 0);
    assert_int_equal(thing_state(&a, save), 0);
    version = 4;
    assert_int_equal(state_section(save, "b", &version), 0);
    assert_int_equal(thing_state(&b, save), 0);
    size_t len;
    const void *data = state_data(save, &len);

    struct thing a2 = {0}, b2 = {.q = 5, .on = true};
    timer_init(&a2.timer, clock, nothing, NULL);
    timer_init(&b2.timer, clock, nothing, NULL);
    timer_set(&b2.timer, 5);
    assert_int_equal(state_new_load(data, len, &load), 0);
    assert_true(state_loading(load));
    assert_int_equal(state_section(load, "b", &version), 0);
    assert_int_equal(version, 4);
    assert_int_equal(thing_state(&b2, load), 0);
    assert_int_equal(state_section(load, "a", &version), 0);
    assert_int_equal(version, 3);
    assert_int_equal(thing_state(&a2, load), 0);

    assert_true(a2.on && a2.b == 1 && a2.w == 0x1234 && a2.d == 0xdeadbeef && a2.q == 1ULL << 63);
    assert_memory_equal(a2.fifo, a.fifo, 5);
    assert_true(a2.timer.deadline_ns == 777);
    assert_true(b2.b == 9 && !b2.on && b2.q == 0 && b2.timer.deadline_ns == CLOCK_NEVER);
    state_free(save);
    state_free(load);
    clock_free(clock);
}

/* A newer version has more fields than the file, and other order: what is missing stays. */
static void older_file(void **ctx)
{
    (void)ctx;
    struct state *save, *load;
    uint16_t one = 1, two = 2, three = 3;
    uint32_t version = 1;
    assert_int_equal(state_new_save(&save), 0);
    state_section(save, "dev", &version);
    state_u16(save, "one", &one);
    state_u16(save, "two", &two);
    size_t len;
    const void *data = state_data(save, &len);
    assert_int_equal(state_new_load(data, len, &load), 0);
    assert_int_equal(state_section(load, "other", &version), -ENOENT);
    one = 50;
    state_u16(load, "one", &one);
    assert_int_equal(one, 50);
    assert_int_equal(state_error(load), 0);
    assert_int_equal(state_section(load, "dev", &version), 0);
    one = two = 0;
    state_u16(load, "two", &two);
    state_u16(load, "three", &three);
    state_u16(load, "one", &one);
    assert_int_equal(state_error(load), 0);
    assert_true(one == 1 && two == 2 && three == 3);
    state_free(save);
    state_free(load);
}

/* A field of the wrong width, a bool of 2, a refused check: an error that sticks, no change. */
static void wrong_fields(void **ctx)
{
    (void)ctx;
    struct state *save, *load;
    uint8_t two = 2;
    uint32_t version = 1, wide = 77;
    bool flag = true;
    assert_int_equal(state_new_save(&save), 0);
    state_section(save, "dev", &version);
    state_u8(save, "x", &two);
    size_t len;
    const void *data = state_data(save, &len);

    assert_int_equal(state_new_load(data, len, &load), 0);
    state_section(load, "dev", &version);
    state_u32(load, "x", &wide);
    assert_int_equal(state_error(load), -EBADMSG);
    assert_int_equal(wide, 77);
    two = 9;
    state_u8(load, "x", &two);
    assert_int_equal(two, 9);
    load = state_free(load);

    assert_int_equal(state_new_load(data, len, &load), 0);
    state_section(load, "dev", &version);
    state_bool(load, "x", &flag);
    assert_int_equal(state_error(load), -EBADMSG);
    assert_true(flag);
    load = state_free(load);

    assert_int_equal(state_new_load(data, len, &load), 0);
    state_section(load, "dev", &version);
    state_check(load, true);
    assert_int_equal(state_error(load), 0);
    state_check(load, false);
    assert_int_equal(state_error(load), -EBADMSG);
    state_free(load);
    state_check(save, false); /* only a loading walk fails */
    assert_int_equal(state_error(save), 0);
    state_free(save);
}

/* Two devices under one name would overwrite each other when loaded: saving refuses. */
static void same_name_twice(void **ctx)
{
    (void)ctx;
    struct state *s;
    uint32_t version = 1;
    uint8_t x = 0;
    assert_int_equal(state_new_save(&s), 0);
    state_section(s, "dev", &version);
    state_u8(s, "x", &x);
    state_u8(s, "x", &x);
    assert_int_equal(state_error(s), -EEXIST);
    s = state_free(s);
    assert_int_equal(state_new_save(&s), 0);
    assert_int_equal(state_section(s, "dev", &version), 0);
    assert_int_equal(state_section(s, "dev", &version), -EEXIST);
    s = state_free(s);
}

/* Every truncation and every flipped byte of a file: refused or read, never out of bounds. */
static void damaged_file(void **ctx)
{
    (void)ctx;
    struct state *save;
    uint32_t version = 1;
    uint64_t q = 5;
    uint8_t big[300] = {7};
    assert_int_equal(state_new_save(&save), 0);
    state_section(save, "device", &version);
    state_u64(save, "q", &q);
    state_bytes(save, "big", big, sizeof(big));
    state_section(save, "second", &version);
    state_u64(save, "q", &q);
    size_t len;
    const uint8_t *data = state_data(save, &len);
    unsigned refused = 0;
    for (size_t cut = 0; cut < 2 * len; cut++) {
        size_t now = cut < len ? cut : len;
        uint8_t *copy = malloc(now ? now : 1);
        memcpy(copy, data, now);
        if (cut >= len)
            copy[cut - len] ^= 0xff;
        struct state *load;
        if (state_new_load(copy, now, &load) == 0) {
            state_section(load, "second", &version);
            state_u64(load, "q", &q);
            state_section(load, "device", &version);
            state_bytes(load, "big", big, sizeof(big));
            state_u64(load, "q", &q);
            state_free(load);
        } else {
            refused++;
        }
        free(copy);
    }
    assert_true(refused > len / 2);
    state_free(save);
}

/* A machine's worth of fields: the buffer grows. */
static void many_fields(void **ctx)
{
    (void)ctx;
    struct state *save, *load;
    uint32_t version = 1;
    assert_int_equal(state_new_save(&save), 0);
    state_section(save, "dev", &version);
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        state_u32(save, name, &i);
    }
    size_t len;
    const void *data = state_data(save, &len);
    assert_int_equal(state_new_load(data, len, &load), 0);
    state_section(load, "dev", &version);
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        uint32_t v = 0;
        snprintf(name, sizeof(name), "f%u", 999 - i);
        state_u32(load, name, &v);
        assert_int_equal(v, 999 - i);
    }
    state_free(save);
    state_free(load);
    assert_null(state_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),   cmocka_unit_test(older_file),
        cmocka_unit_test(wrong_fields), cmocka_unit_test(same_name_twice),
        cmocka_unit_test(damaged_file), cmocka_unit_test(many_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
