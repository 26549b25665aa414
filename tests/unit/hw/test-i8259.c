/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8259A: without these, guests lose or invent interrupts. */
#include "hw/irq/i8259.h"
#include "hwtest.h"

struct fixture {
    struct wires wires;
    struct i8259 *pic;
};

static void out(struct fixture *f, unsigned port, uint8_t value)
{
    const struct io_ops *ops = port >= 0x4d0  ? &i8259_elcr_io
                               : port >= 0xa0 ? &i8259_slave_io
                                              : &i8259_master_io;
    ops->write(f->pic, port & 1, 1, value);
}

static uint8_t in(struct fixture *f, unsigned port)
{
    const struct io_ops *ops = port >= 0x4d0  ? &i8259_elcr_io
                               : port >= 0xa0 ? &i8259_slave_io
                                              : &i8259_master_io;
    return (uint8_t)ops->read(f->pic, port & 1, 1);
}

static void init(struct fixture *f, uint8_t icw4)
{
    static const uint16_t ports[] = {0x20, 0xa0};
    for (int i = 0; i < 2; i++) {
        out(f, ports[i], 0x11);
        out(f, ports[i] + 1, i ? 0x70 : 0x08);
        out(f, ports[i] + 1, i ? 2 : 4);
        out(f, ports[i] + 1, icw4);
        out(f, ports[i] + 1, 0);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct i8259_env env = {.intr = wire(&f->wires, 0)};
    assert_int_equal(i8259_new(&env, &f->pic), 0);
    init(f, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    i8259_dev_ops.free(f->pic);
    free(f);
    return 0;
}

static void test_slave_interrupt(void **state)
{
    struct fixture *f = *state;
    i8259_set_irq(f->pic, 12, true);
    assert_true(wire_level(&f->wires, 0));
    assert_int_equal(i8259_ack(f->pic), 0x74);
    assert_false(wire_level(&f->wires, 0));
    out(f, 0xa0, 0x0b);
    out(f, 0x20, 0x0b);
    assert_int_equal(in(f, 0xa0), 0x10);
    assert_int_equal(in(f, 0x20), 0x04);
    out(f, 0xa0, 0x20);
    out(f, 0x20, 0x20);
    assert_int_equal(in(f, 0xa0), 0);
    assert_int_equal(in(f, 0x20), 0);
    /* Still high, but an edge-triggered input speaks once. */
    assert_false(wire_level(&f->wires, 0));
}

static void test_priority_and_nesting(void **state)
{
    struct fixture *f = *state;
    i8259_set_irq(f->pic, 5, true);
    assert_int_equal(i8259_ack(f->pic), 0x0d);
    i8259_set_irq(f->pic, 6, true);
    assert_false(i8259_pending(f->pic));
    i8259_set_irq(f->pic, 1, true);
    assert_int_equal(i8259_ack(f->pic), 0x09);
    out(f, 0x20, 0x20); /* ends IRQ 1, the highest in service */
    assert_false(i8259_pending(f->pic));
    out(f, 0x20, 0x20);
    assert_int_equal(i8259_ack(f->pic), 0x0e);
}

static void test_spurious(void **state)
{
    struct fixture *f = *state;
    i8259_set_irq(f->pic, 3, true);
    i8259_set_irq(f->pic, 3, false);
    assert_false(i8259_pending(f->pic));
    assert_int_equal(i8259_ack(f->pic), 0x0f);
    out(f, 0x20, 0x0b);
    assert_int_equal(in(f, 0x20), 0); /* nothing in service */
    /* The slave's request goes away between the two INTA cycles' cause and effect: the master
     * has IR2 in service, the slave answers with its IR7. */
    out(f, 0x21, 0xff);
    i8259_set_irq(f->pic, 9, true);
    out(f, 0xa1, 0xff);
    out(f, 0x21, 0);
    assert_int_equal(i8259_ack(f->pic), 0x0f);
}

static void test_level_triggered(void **state)
{
    struct fixture *f = *state;
    out(f, 0x4d0, 0xff);
    out(f, 0x4d1, 0xff);
    assert_int_equal(in(f, 0x4d0), 0xf8);
    assert_int_equal(in(f, 0x4d1), 0xde);
    i8259_set_irq(f->pic, 11, true);
    assert_int_equal(i8259_ack(f->pic), 0x73);
    out(f, 0xa0, 0x63);
    out(f, 0x20, 0x62);
    assert_true(i8259_pending(f->pic)); /* asks again while the line is high */
    i8259_set_irq(f->pic, 11, false);
    assert_false(i8259_pending(f->pic));
}

static void test_poll(void **state)
{
    struct fixture *f = *state;
    out(f, 0x20, 0x0c);
    assert_int_equal(in(f, 0x20), 0);
    i8259_set_irq(f->pic, 4, true);
    out(f, 0x20, 0x0c);
    assert_int_equal(in(f, 0x20), 0x84);
    assert_false(i8259_pending(f->pic));
    out(f, 0x20, 0x0b);
    assert_int_equal(in(f, 0x20), 0x10);
}

static void test_special_mask(void **state)
{
    struct fixture *f = *state;
    i8259_set_irq(f->pic, 3, true);
    assert_int_equal(i8259_ack(f->pic), 0x0b);
    i8259_set_irq(f->pic, 6, true);
    assert_false(i8259_pending(f->pic));
    out(f, 0x21, 0x08);
    out(f, 0x20, 0x68); /* special mask mode: the masked IRQ 3 holds nobody back */
    assert_int_equal(i8259_ack(f->pic), 0x0e);
    out(f, 0x20, 0x20); /* a non-specific EOI spares the masked one */
    out(f, 0x20, 0x0b);
    assert_int_equal(in(f, 0x20), 0x08);
    out(f, 0x20, 0x48);
    out(f, 0x20, 0x20);
    assert_int_equal(in(f, 0x20), 0);
}

static void test_rotation_and_auto_eoi(void **state)
{
    struct fixture *f = *state;
    init(f, 3);
    out(f, 0x20, 0x80);
    i8259_set_irq(f->pic, 4, true);
    assert_int_equal(i8259_ack(f->pic), 0x0c);
    out(f, 0x20, 0x0b);
    assert_int_equal(in(f, 0x20), 0);
    i8259_set_irq(f->pic, 3, true);
    i8259_set_irq(f->pic, 5, true); /* 4 is lowest now: 5 comes first */
    assert_int_equal(i8259_ack(f->pic), 0x0d);
    assert_int_equal(i8259_ack(f->pic), 0x0b);
    init(f, 1);
    out(f, 0x20, 0xc2); /* IRQ 2 lowest: IRQ 3 highest */
    i8259_set_irq(f->pic, 0, true);
    i8259_set_irq(f->pic, 3, false);
    i8259_set_irq(f->pic, 3, true);
    assert_int_equal(i8259_ack(f->pic), 0x0b);
}

static void test_special_fully_nested(void **state)
{
    struct fixture *f = *state;
    init(f, 0x11);
    i8259_set_irq(f->pic, 12, true);
    assert_int_equal(i8259_ack(f->pic), 0x74);
    i8259_set_irq(f->pic, 8, true);
    assert_true(i8259_pending(f->pic));
    assert_int_equal(i8259_ack(f->pic), 0x70);
}

static void test_init_forgets_edges(void **state)
{
    struct fixture *f = *state;
    i8259_set_irq(f->pic, 1, true);
    init(f, 1);
    assert_false(i8259_pending(f->pic));
    i8259_set_irq(f->pic, 1, false);
    i8259_set_irq(f->pic, 1, true);
    assert_int_equal(i8259_ack(f->pic), 0x09);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_slave_interrupt),
        T(test_priority_and_nesting),
        T(test_spurious),
        T(test_level_triggered),
        T(test_poll),
        T(test_special_mask),
        T(test_rotation_and_auto_eoi),
        T(test_special_fully_nested),
        T(test_init_forgets_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
