/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chipset: without these, firmware cannot shadow itself, interrupts go astray, and a guest
 * cannot switch its machine off. */
#include "hw/chipset/debugcon.h"
#include "hw/chipset/i440fx.h"
#include "hw/chipset/piix3.h"
#include "hw/chipset/piix4_pm.h"
#include "hw/chipset/port92.h"
#include "hw/chipset/testdev.h"
#include "hwtest.h"

struct fixture {
    struct clock *clock;
    struct wires irqs, pins;
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct i440fx *host;
    struct piix3 *isa;
    struct piix4_pm *pm;
    struct region dram, config, apm;
    unsigned resets, offs;
};

static void on_reset(void *ctx)
{
    ((struct fixture *)ctx)->resets++;
}

static void on_off(void *ctx)
{
    ((struct fixture *)ctx)->offs++;
}

static void on_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    piix3_intx(((struct fixture *)ctx)->isa, devfn, pin, level);
}

static void on_irq(void *ctx, unsigned n, bool level)
{
    wires_set(&((struct fixture *)ctx)->irqs, n, level);
}

static void on_pirq(void *ctx, unsigned n, bool level)
{
    wires_set(&((struct fixture *)ctx)->pins, n, level);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint64_t dram, bios;
    f->clock = test_clock();
    assert_int_equal(ram_new(4 << 20, &f->ram, NULL), 0);
    assert_int_equal(ram_alloc(f->ram, 2 << 20, &dram), 0);
    assert_int_equal(ram_alloc(f->ram, 128 << 10, &bios), 0);
    memset(f->ram->host + bios, 0xb1, 128 << 10);
    assert_int_equal(bus_new("mem", 1ull << 40, f->ram, &f->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &f->pio), 0);
    struct pci_env env = {.mem = f->mem, .pio = f->pio, .intx = on_intx, .intx_ctx = f};
    assert_int_equal(pci_bus_new(&env, &f->pci), 0);
    f->dram = (struct region){
        .name = "dram", .size_bytes = 2 << 20, .kind = REGION_RAM, .ram_offset = dram};
    assert_int_equal(bus_add(f->mem, &f->dram), 0);
    struct i440fx_env host_env = {.pci = f->pci,
                                  .mem = f->mem,
                                  .ram_offset = dram,
                                  .bios_offset = bios,
                                  .bios_bytes = 128 << 10,
                                  .reset = on_reset,
                                  .reset_ctx = f};
    assert_int_equal(i440fx_new(&host_env, &f->host), 0);
    struct piix3_env isa_env = {
        .pci = f->pci, .devfn = PCI_DEVFN(1, 0), .irq = on_irq, .pirq = on_pirq, .ctx = f};
    assert_int_equal(piix3_new(&isa_env, &f->isa), 0);
    struct piix4_pm_env pm_env = {.pci = f->pci,
                                  .devfn = PCI_DEVFN(1, 3),
                                  .clock = f->clock,
                                  .sci = wire(&f->irqs, 9),
                                  .soft_off = on_off,
                                  .ctx = f};
    assert_int_equal(piix4_pm_new(&pm_env, &f->pm), 0);
    f->config = (struct region){.name = "config",
                                .base = 0xcf8,
                                .size_bytes = 8,
                                .priority = 1,
                                .ops = &i440fx_config_io,
                                .dev = f->host};
    f->apm = (struct region){.name = "apm",
                             .base = 0xb2,
                             .size_bytes = 2,
                             .priority = 1,
                             .ops = &piix4_apm_io,
                             .dev = f->pm};
    assert_int_equal(bus_add(f->pio, &f->config), 0);
    assert_int_equal(bus_add(f->pio, &f->apm), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    piix4_pm_dev_ops.free(f->pm);
    piix3_dev_ops.free(f->isa);
    i440fx_dev_ops.free(f->host);
    pci_bus_free(f->pci);
    bus_free(f->mem);
    bus_free(f->pio);
    ram_free(f->ram);
    clock_free(f->clock);
    free(f);
    return 0;
}

static uint32_t cfg_get(struct fixture *f, unsigned devfn, unsigned reg, unsigned size)
{
    bus_write(f->pio, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    return (uint32_t)bus_read(f->pio, 0xcfc + (reg & 3), size);
}

static void cfg_set(struct fixture *f, unsigned devfn, unsigned reg, unsigned size, uint32_t value)
{
    bus_write(f->pio, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    bus_write(f->pio, 0xcfc + (reg & 3), size, value);
}

static void test_configuration_mechanism(void **state)
{
    struct fixture *f = *state;
    /* Linux's test for mechanism 1. */
    bus_write(f->pio, 0xcfb, 1, 1);
    bus_write(f->pio, 0xcf8, 4, 0x80000000);
    assert_int_equal(bus_read(f->pio, 0xcf8, 4), 0x80000000);
    assert_int_equal(cfg_get(f, 0, 0, 4), 0x12378086);
    assert_int_equal(cfg_get(f, PCI_DEVFN(1, 0), 0, 4), 0x70008086);
    assert_int_equal(cfg_get(f, PCI_DEVFN(1, 0), 0x0e, 1), 0x80);
    assert_int_equal(cfg_get(f, PCI_DEVFN(1, 3), 2, 2), 0x7113);
    assert_int_equal(cfg_get(f, PCI_DEVFN(9, 0), 0, 4), 0xffffffff);
    /* The byte in the address, where others than this chip take it from. */
    bus_write(f->pio, 0xcf8, 4, 0x80000002);
    assert_int_equal(bus_read(f->pio, 0xcf8, 4), 0x80000000);
    assert_int_equal(bus_read(f->pio, 0xcfc, 2), 0x1237);
    assert_int_equal(bus_read(f->pio, 0xcfe, 2), 0x1237);
    assert_int_equal(bus_read(f->pio, 0xcfc, 4), 0x12378086);
    bus_write(f->pio, 0xcf8, 4, 0);
    assert_int_equal(bus_read(f->pio, 0xcfc, 4), 0xffffffff);
    assert_int_equal(f->resets, 0);
    bus_write(f->pio, 0xcf9, 1, 2);
    assert_int_equal(f->resets, 0);
    bus_write(f->pio, 0xcf9, 1, 6);
    assert_int_equal(f->resets, 1);
}

/* As SeaBIOS shadows itself. */
static void test_shadow_ram(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bus_read(f->mem, 0xffff0, 1), 0xb1);
    assert_int_equal(bus_read(f->mem, 0xe0000, 1), 0xb1);
    assert_int_equal(bus_read(f->mem, 0xc8000, 1), 0xff);
    bus_write(f->mem, 0xffff0, 1, 0x55); /* dropped */
    cfg_set(f, 0, 0x59, 1, 0x20);        /* write to DRAM, read from ROM: copy onto itself */
    bus_write(f->mem, 0xf1234, 4, 0x44332211);
    assert_int_equal(bus_read(f->mem, 0xf1234, 1), 0xb1);
    cfg_set(f, 0, 0x59, 1, 0x10);
    assert_int_equal(bus_read(f->mem, 0xf1234, 4), 0x44332211);
    assert_int_equal(bus_read(f->mem, 0xffff0, 1), 0);
    bus_write(f->mem, 0xf1234, 1, 0x99); /* write-protected */
    assert_int_equal(bus_read(f->mem, 0xf1234, 1), 0x11);
    cfg_set(f, 0, 0x5a, 1, 0x03); /* c0000–c3fff alone */
    bus_write(f->mem, 0xc0000, 1, 0x77);
    bus_write(f->mem, 0xc4000, 1, 0x77);
    assert_int_equal(bus_read(f->mem, 0xc0000, 1), 0x77);
    assert_int_equal(bus_read(f->mem, 0xc4000, 1), 0xff);
    cfg_set(f, 0, 0x5f, 1, 0x30); /* ec000–effff */
    bus_write(f->mem, 0xeffff, 1, 0x66);
    assert_int_equal(bus_read(f->mem, 0xeffff, 1), 0x66);
    assert_int_equal(bus_read(f->mem, 0xebfff, 1), 0xb1);
    i440fx_dev_ops.reset(f->host);
    assert_int_equal(bus_read(f->mem, 0xeffff, 1), 0xb1);
    assert_int_equal(bus_read(f->mem, 0xa0000, 1), 0xff);
    assert_int_equal(bus_read(f->mem, 0x9ffff, 1), 0);
}

static void test_smram_lock(void **state)
{
    struct fixture *f = *state;
    cfg_set(f, 0, 0x72, 1, 0x4a);
    bus_write(f->mem, 0xa0000, 1, 0x12);
    assert_int_equal(bus_read(f->mem, 0xa0000, 1), 0x12);
    cfg_set(f, 0, 0x72, 1, 0x5a);
    assert_int_equal(cfg_get(f, 0, 0x72, 1), 0x1a);
    assert_int_equal(bus_read(f->mem, 0xa0000, 1), 0xff);
    cfg_set(f, 0, 0x72, 1, 0x4a);
    assert_int_equal(cfg_get(f, 0, 0x72, 1) & 0x40, 0);
    i440fx_dev_ops.reset(f->host);
    assert_int_equal(cfg_get(f, 0, 0x72, 1), 0x02);
}

static void test_pirq_routing(void **state)
{
    struct fixture *f = *state;
    unsigned isa = PCI_DEVFN(1, 0);
    assert_int_equal(cfg_get(f, isa, 0x60, 4), 0x80808080);
    piix3_intx(f->isa, PCI_DEVFN(3, 0), 0, true); /* slot 3, INTA: PIRQC */
    assert_int_equal(f->irqs.levels, 0);
    assert_int_equal(f->pins.levels, 1 << 2);
    cfg_set(f, isa, 0x62, 1, 11);
    assert_int_equal(f->irqs.levels, 1 << 11);
    piix3_intx(f->isa, PCI_DEVFN(7, 0), 0, true); /* shares it */
    piix3_intx(f->isa, PCI_DEVFN(3, 0), 0, false);
    assert_int_equal(f->irqs.levels, 1 << 11);
    cfg_set(f, isa, 0x62, 1, 10);
    assert_int_equal(f->irqs.levels, 1 << 10);
    cfg_set(f, isa, 0x62, 1, 8); /* reserved: goes nowhere */
    assert_int_equal(f->irqs.levels, 0);
    piix3_intx(f->isa, PCI_DEVFN(7, 0), 0, false);
    assert_int_equal(f->pins.levels, 0);
}

/* As SeaBIOS sets it up. */
static void pm_enable(struct fixture *f)
{
    unsigned pm = PCI_DEVFN(1, 3);
    assert_int_equal(piix4_pm_base(f->pm), 0);
    cfg_set(f, pm, 0x40, 4, 0x601);
    cfg_set(f, pm, 0x80, 1, 1);
    cfg_set(f, pm, 0x90, 4, 0x701);
    cfg_set(f, pm, 0xd2, 1, 9);
    assert_int_equal(piix4_pm_base(f->pm), 0x600);
}

static void test_pm_timer(void **state)
{
    struct fixture *f = *state;
    pm_enable(f);
    uint64_t before = bus_read(f->pio, 0x608, 4);
    clock_advance(f->clock, NS_PER_SEC);
    assert_in_range((bus_read(f->pio, 0x608, 4) - before) & 0xffffff, 3579544, 3579546);
    bus_write(f->pio, 0x602, 2, 1);
    bus_write(f->pio, 0xb2, 1, 0xf1);
    assert_int_equal(bus_read(f->pio, 0x604, 2), 1);
    assert_false(wire_level(&f->irqs, 9));
    clock_advance(f->clock, 2 * NS_PER_SEC);
    assert_true(wire_level(&f->irqs, 9)); /* after 2^23 ticks, 2.34 s */
    bus_write(f->pio, 0x600, 2, 1);
    assert_false(wire_level(&f->irqs, 9));
}

static void test_power_button_and_off(void **state)
{
    struct fixture *f = *state;
    pm_enable(f);
    piix4_pm_power_button(f->pm);
    assert_false(wire_level(&f->irqs, 9));
    bus_write(f->pio, 0x602, 2, 0x100);
    bus_write(f->pio, 0x604, 2, 1);
    assert_true(wire_level(&f->irqs, 9));
    assert_int_equal(bus_read(f->pio, 0x600, 2), 0x100);
    bus_write(f->pio, 0x600, 2, 0x100);
    assert_false(wire_level(&f->irqs, 9));
    bus_write(f->pio, 0x60e, 2, 2);
    piix4_pm_gpe(f->pm, 1);
    assert_true(wire_level(&f->irqs, 9));
    bus_write(f->pio, 0x60c, 2, 2);
    assert_false(wire_level(&f->irqs, 9));
    bus_write(f->pio, 0x604, 2, 0x3401); /* another sleep type */
    assert_int_equal(f->offs, 0);
    assert_int_equal(bus_read(f->pio, 0x600, 2), 0x8000);
    bus_write(f->pio, 0x604, 2, 0x2001);
    assert_int_equal(f->offs, 1);
}

static void test_smbus_is_empty(void **state)
{
    struct fixture *f = *state;
    pm_enable(f);
    bus_write(f->pio, 0x704, 1, 0xa1);
    bus_write(f->pio, 0x702, 1, 0x49);
    assert_int_equal(bus_read(f->pio, 0x700, 1), 4); /* device error, not busy */
    assert_true(wire_level(&f->irqs, 9));
    bus_write(f->pio, 0x700, 1, 0x1e);
    assert_int_equal(bus_read(f->pio, 0x700, 1), 0);
    assert_false(wire_level(&f->irqs, 9));
}

/* SeaBIOS skips its SMM set-up when it sees this. */
static void test_no_smm_needed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(cfg_get(f, PCI_DEVFN(1, 3), 0x58, 4) & 0x02000000, 0x02000000);
}

static void test_port92(void **state)
{
    struct fixture *f = *state;
    struct port92 *port;
    struct port92_env env = {.a20 = wire(&f->pins, 20), .reset = on_reset, .reset_ctx = f};
    assert_int_equal(port92_new(&env, &port), 0);
    port92_io.write(port, 0, 1, 2);
    assert_true(wire_level(&f->pins, 20));
    assert_int_equal(port92_io.read(port, 0, 1), 2);
    port92_io.write(port, 0, 1, 3);
    port92_io.write(port, 0, 1, 3);
    assert_int_equal(f->resets, 1);
    port92_dev_ops.free(port);
}

static size_t host_write(void *ctx, const uint8_t *buf, size_t len)
{
    memcpy(ctx, buf, len);
    return len;
}

static void on_exit_code(void *ctx, uint32_t value)
{
    *(uint32_t *)ctx = value;
}

static void test_debug_ports(void **state)
{
    (void)state;
    char seen = 0;
    uint32_t code = 0;
    struct debugcon *con;
    struct debugcon_env env = {
        .chr = {.write = host_write, .ctx = &seen}, .exit = on_exit_code, .exit_ctx = &code};
    assert_int_equal(debugcon_new(&env, &con), 0);
    assert_int_equal(debugcon_io.read(con, 0, 1), 0xe9);
    debugcon_io.write(con, 0, 1, 'y');
    assert_int_equal(seen, 'y');
    debugcon_exit_io.write(con, 0, 4, 0x1234);
    assert_int_equal(code, 0x1234);
    debugcon_dev_ops.free(con);
}

static void test_testdev(void **state)
{
    struct fixture *f = *state;
    struct testdev *td;
    struct testdev_env env = {.irq = on_irq, .ctx = f};
    assert_int_equal(testdev_new(&env, &td), 0);
    testdev_latch_io.write(td, 0, 4, 0x12345678);
    assert_int_equal(testdev_latch_io.read(td, 1, 2), 0x3456);
    testdev_irq_io.write(td, 23, 1, 1);
    assert_true(wire_level(&f->irqs, 23));
    testdev_irq_io.write(td, 23, 1, 0);
    testdev_mem_io.write(td, TESTDEV_MEM_BYTES - 4, 8, UINT64_MAX);
    assert_int_equal(testdev_mem_io.read(td, TESTDEV_MEM_BYTES - 4, 4), 0xffffffff);
    testdev_dev_ops.free(td);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_configuration_mechanism),
        T(test_shadow_ram),
        T(test_smram_lock),
        T(test_pirq_routing),
        T(test_pm_timer),
        T(test_power_button_and_off),
        T(test_smbus_is_empty),
        T(test_no_smm_needed),
        T(test_port92),
        T(test_debug_ports),
        T(test_testdev),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
