/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keyboard controller, keyboard and mouse: without these nobody can type or point. */
#include <errno.h>

#include "hw/input/i8042.h"
#include "hw/input/ps2kbd.h"
#include "hw/input/ps2mouse.h"
#include "hwtest.h"

struct fixture {
    struct wires wires;
    struct clock *clock;
    struct i8042 *kbc;
    struct ps2kbd *kbd;
    struct ps2mouse *mouse;
    unsigned resets;
    uint8_t leds;
};

enum { A20 = 20 };

static void on_reset(void *ctx)
{
    ((struct fixture *)ctx)->resets++;
}

static void on_leds(void *ctx, uint8_t leds)
{
    ((struct fixture *)ctx)->leds = leds;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    struct ps2kbd_env kbd_env = {.leds = on_leds, .ctx = f};
    assert_int_equal(ps2kbd_new(&kbd_env, &f->kbd), 0);
    assert_int_equal(ps2mouse_new(&f->mouse), 0);
    struct i8042_env env = {
        .clock = f->clock,
        .irq_kbd = wire(&f->wires, 1),
        .irq_aux = wire(&f->wires, 12),
        .a20 = wire(&f->wires, A20),
        .reset = on_reset,
        .reset_ctx = f,
        .kbd = ps2kbd_port(f->kbd),
        .aux = ps2mouse_port(f->mouse),
    };
    assert_int_equal(i8042_new(&env, &f->kbc), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    i8042_dev_ops.free(f->kbc);
    ps2kbd_dev_ops.free(f->kbd);
    ps2mouse_dev_ops.free(f->mouse);
    clock_free(f->clock);
    free(f);
    return 0;
}

static uint8_t status(struct fixture *f)
{
    return (uint8_t)i8042_command_io.read(f->kbc, 0, 1);
}

static void command(struct fixture *f, uint8_t value)
{
    i8042_command_io.write(f->kbc, 0, 1, value);
}

static void data(struct fixture *f, uint8_t value)
{
    i8042_data_io.write(f->kbc, 0, 1, value);
}

/* As a guest polls: -1 when nothing comes within 10 ms. Bytes of the mouse have bit 8 set. */
static int get(struct fixture *f)
{
    for (int i = 0; i < 100; i++) {
        uint8_t s = status(f);
        if (s & 1)
            return (int)i8042_data_io.read(f->kbc, 0, 1) | (s & 0x20 ? 0x100 : 0);
        clock_advance(f->clock, US(100));
    }
    return -1;
}

#define EXPECT(...)                                                                                \
    do {                                                                                           \
        const int expected_[] = {__VA_ARGS__, -1};                                                 \
        for (unsigned i_ = 0; i_ < sizeof(expected_) / sizeof(int); i_++)                          \
            assert_int_equal(get(f), expected_[i_]);                                               \
    } while (0)

static void set_ccb(struct fixture *f, uint8_t ccb)
{
    command(f, 0x60);
    data(f, ccb);
}

/* What SeaBIOS and Linux do to find the controller and its devices. */
static void test_initialisation(void **state)
{
    struct fixture *f = *state;
    command(f, 0xaa);
    EXPECT(0x55);
    assert_int_equal(status(f) & 4, 4);
    command(f, 0xab);
    EXPECT(0);
    command(f, 0xa9);
    EXPECT(0);
    set_ccb(f, 0x30);
    command(f, 0x20);
    EXPECT(0x30);
    data(f, 0xff);
    EXPECT(0xfa, 0xaa);
    data(f, 0xf2);
    EXPECT(0xfa, 0xab, 0x83);
    set_ccb(f, 0x40);
    data(f, 0xf2);
    EXPECT(0xfa, 0xab, 0x41);
    command(f, 0xd4);
    data(f, 0xff);
    EXPECT(0x1fa, 0x1aa, 0x100);
    command(f, 0xd3);
    data(f, 0xa5); /* AUX loop of Linux */
    EXPECT(0x1a5);
}

static void test_keys_in_sets(void **state)
{
    struct fixture *f = *state;
    set_ccb(f, 0x45);
    assert_int_equal(ps2kbd_key(f->kbd, key_by_name("a"), true), 0);
    assert_true(wire_level(&f->wires, 1));
    EXPECT(0x1e);
    assert_false(wire_level(&f->wires, 1));
    ps2kbd_key(f->kbd, KEY_a, false);
    EXPECT(0x9e);
    ps2kbd_key(f->kbd, key_by_name("up"), true);
    ps2kbd_key(f->kbd, KEY_up, false);
    EXPECT(0xe0, 0x48, 0xe0, 0xc8);
    ps2kbd_key(f->kbd, KEY_pause, true);
    EXPECT(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    ps2kbd_key(f->kbd, KEY_f7, true);
    EXPECT(0x41);
    set_ccb(f, 0x05);
    ps2kbd_key(f->kbd, KEY_a, true);
    ps2kbd_key(f->kbd, KEY_a, false);
    EXPECT(0x1c, 0xf0, 0x1c);
    ps2kbd_key(f->kbd, KEY_delete, false);
    EXPECT(0xe0, 0xf0, 0x71);
    ps2kbd_key(f->kbd, KEY_print, true);
    EXPECT(0xe0, 0x12, 0xe0, 0x7c);
    data(f, 0xf0);
    data(f, 1);
    EXPECT(0xfa, 0xfa);
    data(f, 0xf0);
    data(f, 0);
    EXPECT(0xfa, 0xfa, 1);
}

/* Every key gives the same code by translation as it does in set 1 itself. */
static void test_translation_agrees(void **state)
{
    struct fixture *f = *state;
    for (unsigned key = 1; key < KEY_COUNT; key++) {
        int translated[16], direct[16];
        unsigned counts[2] = {0, 0};
        for (int pass = 0; pass < 2; pass++) {
            data(f, 0xff);
            while (get(f) >= 0)
                ;
            if (pass) {
                data(f, 0xf0);
                data(f, 1);
                while (get(f) >= 0)
                    ;
            }
            set_ccb(f, pass ? 0x05 : 0x45);
            ps2kbd_key(f->kbd, (enum key)key, true);
            ps2kbd_key(f->kbd, (enum key)key, false);
            for (int byte; (byte = get(f)) >= 0;)
                (pass ? direct : translated)[counts[pass]++] = byte;
        }
        assert_true(counts[0] > 0);
        assert_int_equal(counts[0], counts[1]);
        assert_memory_equal(translated, direct, counts[0] * sizeof(int));
        assert_int_equal(key_by_name(key_name((enum key)key)), key);
    }
    assert_int_equal(key_by_name("no such key"), KEY_NONE);
    int shift;
    assert_int_equal(key_by_char('?', &shift), KEY_slash);
    assert_int_equal(shift, 1);
    assert_int_equal(key_by_char('\r', &shift), KEY_ret);
    assert_int_equal(key_by_char('\x7f', &shift), KEY_NONE);
}

static void test_full_keyboard_says_so(void **state)
{
    struct fixture *f = *state;
    set_ccb(f, 0x45);
    unsigned typed = 0, read = 0;
    while (ps2kbd_key(f->kbd, KEY_x, true) == 0)
        assert_true(++typed < 100);
    assert_int_equal(ps2kbd_key(f->kbd, KEY_x, true), -EAGAIN);
    while (get(f) == 0x2d)
        read++;
    assert_int_equal(read, typed);
    assert_int_equal(ps2kbd_key(f->kbd, KEY_NONE, true), -EINVAL);
}

static void test_leds(void **state)
{
    struct fixture *f = *state;
    data(f, 0xed);
    data(f, 0x02);
    EXPECT(0xfa, 0xfa);
    assert_int_equal(f->leds, 2);
}

static void test_a20_and_reset(void **state)
{
    struct fixture *f = *state;
    assert_true(wire_level(&f->wires, A20));
    command(f, 0xd1);
    data(f, 0xdd);
    assert_false(wire_level(&f->wires, A20));
    command(f, 0xd0);
    assert_int_equal(get(f) & 0x03, 0x01);
    command(f, 0xdf);
    assert_true(wire_level(&f->wires, A20));
    assert_int_equal(f->resets, 0);
    command(f, 0xff);
    assert_int_equal(f->resets, 0);
    command(f, 0xfe);
    assert_int_equal(f->resets, 1);
}

static void mouse_command(struct fixture *f, uint8_t value)
{
    command(f, 0xd4);
    data(f, value);
    assert_int_equal(get(f), 0x1fa);
}

static void test_mouse_packets(void **state)
{
    struct fixture *f = *state;
    set_ccb(f, 0x47);
    mouse_command(f, 0xf4);
    ps2mouse_move(f->mouse, 5, 3, 0);
    clock_advance(f->clock, MS(1));
    assert_true(wire_level(&f->wires, 12));
    EXPECT(0x128, 0x105, 0x1fd);
    ps2mouse_buttons(f->mouse, MOUSE_LEFT);
    ps2mouse_buttons(f->mouse, 0); /* a click between two looks */
    EXPECT(0x109, 0x100, 0x100, 0x108, 0x100, 0x100);
    ps2mouse_move(f->mouse, -300, 0, 0);
    EXPECT(0x118, 0x101, 0x100, 0x118, 0x1d3, 0x100);
    static const uint8_t rates[] = {200, 100, 80};
    for (int i = 0; i < 3; i++) {
        mouse_command(f, 0xf3);
        mouse_command(f, rates[i]);
    }
    mouse_command(f, 0xf2);
    EXPECT(0x103);
    ps2mouse_move(f->mouse, 1, 0, -1);
    EXPECT(0x108, 0x101, 0x100, 0x1ff);
    mouse_command(f, 0xe9);
    EXPECT(0x120, 0x102, 0x150);
    for (int i = 0; i < 100000; i++)
        ps2mouse_move(f->mouse, 1000, -1000, 1000);
    command(f, 0xd4);
    data(f, 0xf5);
    get(f); /* the byte that was on its way */
    EXPECT(0x1fa);
}

static void test_disabled_interfaces_wait(void **state)
{
    struct fixture *f = *state;
    set_ccb(f, 0x45);
    command(f, 0xad);
    ps2kbd_key(f->kbd, KEY_a, true);
    assert_int_equal(get(f), -1);
    command(f, 0xae);
    assert_int_equal(get(f), 0x1e);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_initialisation),
        T(test_keys_in_sets),
        T(test_translation_agrees),
        T(test_full_keyboard_says_so),
        T(test_leds),
        T(test_a20_and_reset),
        T(test_mouse_packets),
        T(test_disabled_interfaces_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
