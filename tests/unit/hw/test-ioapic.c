/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 82093AA: without these, interrupts of PCI devices stop coming or never stop. */
#include "hw/irq/ioapic.h"
#include "hwtest.h"

struct fixture {
    struct ioapic *io;
    unsigned sent;
    uint64_t addr;
    uint32_t data;
};

static void on_send(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct fixture *f = ctx;
    assert_int_equal(source, 0xf0f8);
    f->sent++;
    f->addr = addr;
    f->data = data;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ioapic_env env = {.msi = {.send = on_send, .ctx = f}, .source = 0xf0f8};
    assert_int_equal(ioapic_new(&env, &f->io), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ioapic_dev_ops.free(f->io);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, uint8_t reg)
{
    ioapic_io.write(f->io, 0, 4, reg);
    return (uint32_t)ioapic_io.read(f->io, 0x10, 4);
}

static void set(struct fixture *f, uint8_t reg, uint32_t value)
{
    ioapic_io.write(f->io, 0, 4, reg);
    ioapic_io.write(f->io, 0x10, 4, value);
}

static void route(struct fixture *f, unsigned pin, uint32_t low, uint32_t high)
{
    set(f, (uint8_t)(0x11 + 2 * pin), high);
    set(f, (uint8_t)(0x10 + 2 * pin), low);
}

static void test_registers(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, 1), 0x00170011);
    assert_int_equal(get(f, 0x10), 0x10000);
    set(f, 0, 0xff000000);
    assert_int_equal(get(f, 0), 0x0f000000);
    route(f, 0, 0xffffffff, 0xffffffff);
    assert_int_equal(get(f, 0x10), 0x1afff);
    assert_int_equal(get(f, 0x11), 0xffff0000);
    assert_int_equal(get(f, 0xff), 0);
}

static void test_edge(void **state)
{
    struct fixture *f = *state;
    ioapic_set_pin(f->io, 2, true); /* masked: lost */
    route(f, 2, 0x30, 0x03000000);
    assert_int_equal(f->sent, 0);
    ioapic_set_pin(f->io, 2, false);
    ioapic_set_pin(f->io, 2, true);
    ioapic_set_pin(f->io, 2, true);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee03000);
    assert_int_equal(f->data, 0x30);
    ioapic_set_pin(f->io, 2, false);
    ioapic_set_pin(f->io, 2, true);
    assert_int_equal(f->sent, 2);
}

/* In remappable format an entry becomes a handle: index 0x9234, which has its bit 15 elsewhere. */
static void test_remappable(void **state)
{
    struct fixture *f = *state;
    route(f, 4, 1 << 11 | 0x04, 0x1234u << 17 | 1 << 16);
    ioapic_set_pin(f->io, 4, true);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee00000 | 0x1234 << 5 | 1 << 4 | 1 << 2);
}

static void test_level_waits_for_eoi(void **state)
{
    struct fixture *f = *state;
    route(f, 11, 0x8841 | 1 << 8, 0x01000000); /* level, logical, lowest priority */
    ioapic_set_pin(f->io, 11, true);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee0100c);
    assert_int_equal(f->data, 0xc141);
    assert_int_equal(get(f, 0x10 + 22) & 0x4000, 0x4000);
    ioapic_set_pin(f->io, 11, false);
    ioapic_set_pin(f->io, 11, true);
    assert_int_equal(f->sent, 1);
    ioapic_eoi(f->io, 0x42);
    assert_int_equal(f->sent, 1);
    ioapic_eoi(f->io, 0x41);
    assert_int_equal(f->sent, 2); /* still high */
    ioapic_set_pin(f->io, 11, false);
    ioapic_eoi(f->io, 0x41);
    assert_int_equal(f->sent, 2);
    assert_int_equal(get(f, 0x10 + 22) & 0x4000, 0);
}

static void test_unmasking_a_high_level(void **state)
{
    struct fixture *f = *state;
    route(f, 9, 0x18050, 0);
    ioapic_set_pin(f->io, 9, true);
    assert_int_equal(f->sent, 0);
    route(f, 9, 0x08050, 0);
    assert_int_equal(f->sent, 1);
    /* Linux's way to end it without a broadcast: edge and back. */
    route(f, 9, 0x10050, 0);
    route(f, 9, 0x18050, 0);
    assert_int_equal(get(f, 0x10 + 18) & 0x4000, 0);
    route(f, 9, 0x08050, 0);
    assert_int_equal(f->sent, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_registers),
        T(test_edge),
        T(test_remappable),
        T(test_level_waits_for_eoi),
        T(test_unmasking_a_high_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
