/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 16550A: without these, consoles lose characters or hang waiting for an interrupt. */
#include "hw/serial/ns16550.h"
#include "hwtest.h"

struct fixture {
    struct wires wires;
    struct clock *clock;
    struct ns16550 *uart;
    char sent[256];
    size_t sent_len, room;
    unsigned ready_calls;
};

static size_t host_write(void *ctx, const uint8_t *buf, size_t len)
{
    struct fixture *f = ctx;
    size_t take = len < f->room ? len : f->room;
    memcpy(f->sent + f->sent_len, buf, take);
    f->sent_len += take;
    f->room -= take;
    return take;
}

static void host_ready(void *ctx)
{
    ((struct fixture *)ctx)->ready_calls++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    f->room = sizeof(f->sent);
    struct ns16550_env env = {
        .clock = f->clock,
        .irq = wire(&f->wires, 4),
        .chr = {.write = host_write, .rx_ready = host_ready, .ctx = f},
    };
    assert_int_equal(ns16550_new(&env, &f->uart), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ns16550_dev_ops.free(f->uart);
    clock_free(f->clock);
    free(f);
    return 0;
}

static void out(struct fixture *f, unsigned reg, uint8_t value)
{
    ns16550_io.write(f->uart, reg, 1, value);
}

static uint8_t in(struct fixture *f, unsigned reg)
{
    return (uint8_t)ns16550_io.read(f->uart, reg, 1);
}

static bool irq(struct fixture *f)
{
    return wire_level(&f->wires, 4);
}

static void test_probe(void **state)
{
    struct fixture *f = *state;
    out(f, 2, 1);
    assert_int_equal(in(f, 2), 0xc1); /* "16550A" */
    out(f, 7, 0x5a);
    assert_int_equal(in(f, 7), 0x5a);
    out(f, 3, 0x83);
    out(f, 0, 1);
    out(f, 1, 0);
    assert_int_equal(in(f, 0), 1);
    assert_int_equal(in(f, 1), 0);
    out(f, 3, 0x03);
    assert_int_equal(in(f, 5), 0x60);
    assert_int_equal(in(f, 6), 0xb0);
}

static void test_transmit_with_a_slow_host(void **state)
{
    struct fixture *f = *state;
    f->room = 5;
    out(f, 2, 1);
    for (unsigned i = 0; i < 12; i++)
        out(f, 0, (uint8_t)('a' + i));
    assert_int_equal(f->sent_len, 5);
    assert_int_equal(in(f, 5) & 0x60, 0); /* the guest waits */
    out(f, 4, 8);
    out(f, 1, 2);
    assert_false(irq(f));
    f->room = 100;
    ns16550_tx_ready(f->uart);
    assert_memory_equal(f->sent, "abcdefghijkl", 12);
    assert_int_equal(in(f, 5) & 0x60, 0x60);
    assert_true(irq(f));
    assert_int_equal(in(f, 2), 0xc2);
    assert_false(irq(f)); /* reading IIR takes THRE back */
    out(f, 1, 0);
    out(f, 1, 2);
    assert_true(irq(f)); /* and enabling it anew raises it */
}

static void test_receive_back_pressure(void **state)
{
    struct fixture *f = *state;
    out(f, 2, 0x81); /* trigger at 8 */
    out(f, 4, 8);
    out(f, 1, 1);
    uint8_t input[20];
    for (unsigned i = 0; i < 20; i++)
        input[i] = (uint8_t)i;
    assert_int_equal(ns16550_receive(f->uart, input, 7), 7);
    assert_false(irq(f));
    assert_int_equal(ns16550_receive(f->uart, input + 7, 13), 9);
    assert_true(irq(f));
    assert_int_equal(in(f, 2), 0xc4);
    assert_int_equal(f->ready_calls, 0);
    assert_int_equal(in(f, 0), 0);
    assert_int_equal(f->ready_calls, 1);
    assert_int_equal(ns16550_receive(f->uart, input + 16, 4), 1);
    for (unsigned i = 1; i < 17; i++)
        assert_int_equal(in(f, 0), i);
    assert_int_equal(in(f, 5) & 3, 0);
    assert_false(irq(f));
}

static void test_timeout_interrupt(void **state)
{
    struct fixture *f = *state;
    out(f, 3, 0x83);
    out(f, 0, 12); /* 9600 baud: ten bits take 1.04 ms */
    out(f, 3, 0x03);
    out(f, 2, 0xc1);
    out(f, 4, 8);
    out(f, 1, 1);
    ns16550_receive(f->uart, (const uint8_t *)"x", 1);
    clock_advance(f->clock, MS(4));
    assert_false(irq(f));
    clock_advance(f->clock, MS(1));
    assert_true(irq(f));
    assert_int_equal(in(f, 2), 0xcc);
    assert_int_equal(in(f, 0), 'x');
    assert_false(irq(f));
}

static void test_loopback(void **state)
{
    struct fixture *f = *state;
    out(f, 4, 0x1a);
    assert_int_equal(in(f, 6) & 0xf0, 0x90); /* RTS to CTS, OUT2 to DCD */
    out(f, 0, 0xae);
    assert_int_equal(in(f, 0), 0xae); /* SeaBIOS and memtest look for this */
    assert_int_equal(f->sent_len, 0);
    assert_int_equal(ns16550_can_receive(f->uart), 0);
    out(f, 0, 1);
    out(f, 0, 2);
    assert_int_equal(in(f, 5) & 3, 3); /* overrun */
    assert_int_equal(in(f, 5) & 2, 0);
    assert_int_equal(in(f, 0), 2);
    out(f, 4, 0x00);
    assert_int_equal(in(f, 6) & 0xf0, 0xb0);
}

static void test_modem_and_line_status(void **state)
{
    struct fixture *f = *state;
    out(f, 1, 0x0f);
    out(f, 4, 0x18);
    in(f, 2); /* takes THRE */
    in(f, 6);
    assert_int_equal(in(f, 2) & 15, 1);
    out(f, 4, 0x08);
    assert_int_equal(in(f, 2) & 15, 0);
    assert_true(irq(f));
    in(f, 6);
    assert_false(irq(f));
    ns16550_receive_break(f->uart);
    assert_int_equal(in(f, 2) & 15, 6);
    assert_int_equal(in(f, 5) & 0x11, 0x11);
    assert_int_equal(in(f, 2) & 15, 4);
    assert_int_equal(in(f, 0), 0);
}

static void test_out2_gates_interrupt(void **state)
{
    struct fixture *f = *state;
    out(f, 1, 2);
    assert_false(irq(f));
    out(f, 4, 8);
    assert_true(irq(f));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_probe),
        T(test_transmit_with_a_slow_host),
        T(test_receive_back_pressure),
        T(test_timeout_interrupt),
        T(test_loopback),
        T(test_modem_and_line_status),
        T(test_out2_gates_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
