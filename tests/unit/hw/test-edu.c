/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The educational device: without these a course's driver does not find what its text describes. */
#include <stdlib.h>

#include "hw/chipset/edu.h"
#include "hwtest.h"

#define DEVFN PCI_DEVFN(6, 0)
#define BAR 0xe0000000u

struct fixture {
    struct ram *ram;
    struct bus *mem, *pio;
    struct region dram;
    struct pci_bus *pci;
    struct clock *clock;
    struct edu *edu;
    bool intx;
    unsigned msis;
};

static void on_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    assert_int_equal(devfn, DEVFN);
    assert_int_equal(pin, 0);
    ((struct fixture *)ctx)->intx = level;
}

static void on_msi(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    assert_int_equal(source, DEVFN);
    assert_int_equal(addr, 0xfee01000);
    assert_int_equal(data, 0x42);
    ((struct fixture *)ctx)->msis++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(ram_new(MIB(1), &f->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ull << 40, f->ram, &f->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &f->pio), 0);
    f->dram = (struct region){.size_bytes = MIB(1), .kind = REGION_RAM};
    assert_int_equal(bus_add(f->mem, &f->dram), 0);
    const struct pci_env pci = {.mem = f->mem,
                                .pio = f->pio,
                                .intx = on_intx,
                                .intx_ctx = f,
                                .msi = {.send = on_msi, .ctx = f}};
    assert_int_equal(pci_bus_new(&pci, &f->pci), 0);
    f->clock = test_clock();
    const struct edu_env env = {.pci = f->pci, .devfn = DEVFN, .clock = f->clock};
    assert_int_equal(edu_new(&env, &f->edu), 0);
    pci_config_write(f->pci, 0, DEVFN, 0x10, 4, BAR);
    pci_config_write(f->pci, 0, DEVFN, 0x04, 2, 7);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    edu_dev_ops.free(f->edu);
    pci_bus_free(f->pci);
    bus_free(f->mem);
    bus_free(f->pio);
    ram_free(f->ram);
    clock_free(f->clock);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, unsigned reg)
{
    return (uint32_t)bus_read(f->mem, BAR + reg, 4);
}

static void set(struct fixture *f, unsigned reg, uint32_t value)
{
    bus_write(f->mem, BAR + reg, 4, value);
}

static void test_identity(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(pci_config_read(f->pci, 0, DEVFN, 0, 4), 0x11e81234);
    assert_int_equal(get(f, 0), 0x010000ed);
    set(f, 4, 0x12345678);
    assert_int_equal(get(f, 4), ~0x12345678u);
    assert_int_equal(bus_read(f->mem, BAR, 8), UINT64_MAX); /* too wide for these */
    assert_int_equal(bus_read(f->mem, BAR + 4, 1), 0xff);
}

static void test_factorial(void **state)
{
    struct fixture *f = *state;
    set(f, 8, 10);
    assert_int_equal(get(f, 0x20), 1);
    clock_advance(f->clock, MS(2));
    assert_int_equal(get(f, 0x20), 0);
    assert_int_equal(get(f, 8), 3628800);
    assert_false(f->intx);
    set(f, 0x20, 0x80);
    set(f, 8, UINT32_MAX);
    clock_advance(f->clock, MS(2));
    assert_int_equal(get(f, 8), 0);
    assert_true(f->intx);
    assert_int_equal(get(f, 0x24), 1);
    set(f, 0x64, 1);
    assert_false(f->intx);
}

static void test_interrupts(void **state)
{
    struct fixture *f = *state;
    unsigned cap = pci_config_read(f->pci, 0, DEVFN, 0x34, 1);
    set(f, 0x60, 0x30);
    assert_true(f->intx);
    set(f, 0x64, 0x10);
    assert_true(f->intx);
    set(f, 0x64, 0x20);
    assert_false(f->intx);
    pci_config_write(f->pci, 0, DEVFN, cap + 4, 4, 0xfee01000);
    pci_config_write(f->pci, 0, DEVFN, cap + 12, 2, 0x42);
    pci_config_write(f->pci, 0, DEVFN, cap + 2, 2, 1);
    set(f, 0x60, 1);
    assert_int_equal(f->msis, 1);
    assert_false(f->intx);
}

static void move(struct fixture *f, uint64_t from, uint64_t to, uint64_t bytes, unsigned command)
{
    bus_write(f->mem, BAR + 0x80, 8, from);
    bus_write(f->mem, BAR + 0x88, 8, to);
    set(f, 0x90, (uint32_t)bytes);
    set(f, 0x94, (uint32_t)(bytes >> 32));
    set(f, 0x98, command);
    assert_int_equal(get(f, 0x98), command);
    clock_advance(f->clock, MS(2));
    assert_int_equal(get(f, 0x98), command & ~1u);
}

static void test_transfers(void **state)
{
    struct fixture *f = *state;
    memcpy(f->ram->host + 0x1000, "taught", 6);
    move(f, 0x1000, 0x40010, 6, 1);
    move(f, 0x40010, 0x2000, 6, 7);
    assert_memory_equal(f->ram->host + 0x2000, "taught", 6);
    assert_true(f->intx);
    assert_int_equal(get(f, 0x24), 0x100);
    /* 28 bits of an address count. */
    move(f, 0x40010, 0x30003000, 6, 3);
    assert_memory_equal(f->ram->host + 0x3000, "taught", 6);
    /* Outside the buffer nothing is moved, whatever the numbers. */
    memset(f->ram->host + 0x4000, 0x99, 32);
    move(f, 0x40ffe, 0x4000, 3, 3);
    move(f, 0x3ffff, 0x4000, 1, 3);
    move(f, 0x40001, 0x4000, UINT64_MAX, 3);
    move(f, UINT64_MAX, 0x4000, 1, 3);
    assert_int_equal(f->ram->host[0x4000], 0x99);
    move(f, 0x40fff, 0x4000, 1, 3);
    assert_int_equal(f->ram->host[0x4000], 0);
    pci_config_write(f->pci, 0, DEVFN, 0x04, 2, 3); /* no bus master */
    move(f, 0x40010, 0x4000, 6, 3);
    assert_int_equal(f->ram->host[0x4000], 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_identity), T(test_factorial), T(test_interrupts),
                                       T(test_transfers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
