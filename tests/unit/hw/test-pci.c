/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI core: without these, guests find no devices or talk to them at wrong addresses. */
#include "hw/core/pci.h"
#include "hwtest.h"

struct fixture {
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct pci_dev pd;
    struct region io, mmio, rom;
    bool intx[4];
    unsigned sent;
    uint64_t addr;
    uint32_t data;
    uint16_t source;
};

static uint64_t reg_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)size;
    return 0xa0 + offset;
}

static const struct io_ops ops = {.name = "test", .min_size = 1, .max_size = 4, .read = reg_read};

static void on_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    assert_int_equal(devfn, PCI_DEVFN(3, 0));
    ((struct fixture *)ctx)->intx[pin] = level;
}

static void on_msi(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct fixture *f = ctx;
    f->source = source;
    f->sent++;
    f->addr = addr;
    f->data = data;
}

static uint32_t get(struct fixture *f, unsigned offset, unsigned size)
{
    return pci_config_read(f->pci, 0, PCI_DEVFN(3, 0), offset, size);
}

static void set(struct fixture *f, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(f->pci, 0, PCI_DEVFN(3, 0), offset, size, value);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(ram_new(1 << 20, &f->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ull << 40, f->ram, &f->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &f->pio), 0);
    struct pci_env env = {.mem = f->mem,
                          .pio = f->pio,
                          .intx = on_intx,
                          .intx_ctx = f,
                          .msi = {.send = on_msi, .ctx = f}};
    assert_int_equal(pci_bus_new(&env, &f->pci), 0);
    struct pci_ids ids = {.vendor = 0x1234,
                          .device = 0x5678,
                          .subsys_vendor = 0x9abc,
                          .subsys = 0xdef0,
                          .class_code = 0x020001,
                          .revision = 7};
    assert_int_equal(pci_dev_init(&f->pd, f->pci, PCI_DEVFN(3, 0), "test", &ids, 1), 0);
    f->io = (struct region){.name = "io", .size_bytes = 0x20, .priority = 1, .ops = &ops};
    f->mmio = (struct region){.name = "mmio", .size_bytes = 0x4000, .priority = 1, .ops = &ops};
    f->rom = (struct region){.name = "rom", .size_bytes = 0x1000, .priority = 1, .ops = &ops};
    pci_add_bar(&f->pd, 0, &f->io, true, false, false);
    pci_add_bar(&f->pd, 2, &f->mmio, false, true, true);
    pci_add_bar(&f->pd, PCI_ROM_BAR, &f->rom, false, false, false);
    pci_add_msi(&f->pd);
    assert_int_equal(pci_add_msix(&f->pd, 1, 3), 0);
    pci_dev_reset(&f->pd);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pci_dev_done(&f->pd);
    pci_bus_free(f->pci);
    bus_free(f->mem);
    bus_free(f->pio);
    ram_free(f->ram);
    free(f);
    return 0;
}

static void test_identity(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, 0, 4), 0x56781234);
    assert_int_equal(get(f, 8, 4), 0x02000107);
    assert_int_equal(get(f, 0x2c, 4), 0xdef09abc);
    assert_int_equal(get(f, 0x3d, 1), 1);
    set(f, 0, 4, 0);
    assert_int_equal(get(f, 0, 4), 0x56781234);
    assert_int_equal(pci_config_read(f->pci, 0, PCI_DEVFN(4, 0), 0, 2), 0xffff);
    assert_int_equal(pci_config_read(f->pci, 1, PCI_DEVFN(3, 0), 0, 4), 0xffffffff);
    struct pci_dev other = {.name = "other"};
    struct pci_ids ids = {.vendor = 1};
    assert_true(pci_dev_init(&other, f->pci, PCI_DEVFN(3, 0), "other", &ids, 0) < 0);
}

static void test_bars(void **state)
{
    struct fixture *f = *state;
    set(f, 0x10, 4, 0xffffffff);
    assert_int_equal(get(f, 0x10, 4), 0xffffffe1);
    set(f, 0x18, 4, 0xffffffff);
    set(f, 0x1c, 4, 0xffffffff);
    assert_int_equal(get(f, 0x18, 4), 0xffffc00c);
    assert_int_equal(get(f, 0x1c, 4), 0xffffffff);
    set(f, 4, 2, 7); /* decoding while sizing maps nothing */
    assert_int_equal(bus_read(f->pio, 0xffe4, 1), 0xff);
    set(f, 0x10, 4, 0xc001);
    set(f, 0x18, 4, 0xe0000000);
    set(f, 0x1c, 4, 0x12);
    assert_int_equal(bus_read(f->pio, 0xc004, 1), 0xa4);
    assert_int_equal(bus_read(f->mem, 0x12e0000008, 1), 0xa8);
    set(f, 0x30, 4, 0xd0000000);
    assert_int_equal(bus_read(f->mem, 0xd0000000, 1), 0xff);
    set(f, 0x30, 4, 0xd0000001);
    assert_int_equal(bus_read(f->mem, 0xd0000000, 1), 0xa0);
    set(f, 4, 2, 4);
    assert_int_equal(bus_read(f->pio, 0xc004, 1), 0xff);
    set(f, 4, 2, 7);
    pci_dev_reset(&f->pd);
    assert_int_equal(bus_read(f->mem, 0x12e0000008, 1), 0xff);
    assert_int_equal(get(f, 0x18, 4), 0xc);
}

static void test_intx(void **state)
{
    struct fixture *f = *state;
    pci_set_intx(&f->pd, true);
    assert_true(f->intx[0]);
    assert_int_equal(get(f, 6, 2) & 8, 8);
    set(f, 4, 2, 0x400);
    assert_false(f->intx[0]);
    assert_int_equal(get(f, 6, 2) & 8, 8);
    set(f, 4, 2, 0);
    assert_true(f->intx[0]);
    pci_dev_reset(&f->pd);
    assert_false(f->intx[0]);
}

static void test_msi(void **state)
{
    struct fixture *f = *state;
    unsigned cap = get(f, 0x34, 1);
    while (cap && get(f, cap, 1) != 5)
        cap = get(f, cap + 1, 1);
    assert_int_not_equal(cap, 0);
    pci_msi_notify(&f->pd, 0);
    assert_int_equal(f->sent, 0);
    set(f, cap + 4, 4, 0xfee01000);
    set(f, cap + 8, 4, 0);
    set(f, cap + 12, 2, 0x4041);
    set(f, cap + 2, 2, 1);
    set(f, 4, 2, 4);
    assert_true(pci_msi_enabled(&f->pd));
    pci_msi_notify(&f->pd, 0);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee01000);
    assert_int_equal(f->data, 0x4041);
    assert_int_equal(f->source, PCI_DEVFN(3, 0));
}

static void test_msix_pending(void **state)
{
    struct fixture *f = *state;
    unsigned cap = get(f, 0x34, 1);
    while (cap && get(f, cap, 1) != 0x11)
        cap = get(f, cap + 1, 1);
    assert_int_equal(get(f, cap + 2, 2), 2);
    set(f, 0x14, 4, 0xf0000000);
    set(f, 4, 2, 6);
    unsigned table = get(f, cap + 4, 4), pba = get(f, cap + 8, 4);
    assert_int_equal(table, 1);
    uint64_t entry = 0xf0000000 + 2 * 16;
    assert_int_equal(bus_read(f->mem, entry + 12, 4), 1);
    bus_write(f->mem, entry, 8, 0xfee02000);
    bus_write(f->mem, entry + 8, 4, 0x55);
    set(f, cap + 2, 2, 0x8000);
    pci_msix_notify(&f->pd, 2);
    pci_msix_notify(&f->pd, 3); /* there is no such vector */
    assert_int_equal(f->sent, 0);
    assert_int_equal(bus_read(f->mem, 0xf0000000 + (pba & ~7u), 4), 4);
    bus_write(f->mem, entry + 12, 4, 0);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->data, 0x55);
    assert_int_equal(bus_read(f->mem, 0xf0000000 + (pba & ~7u), 4), 0);
    set(f, cap + 2, 2, 0xc000);
    pci_msix_notify(&f->pd, 2);
    assert_int_equal(f->sent, 1);
    set(f, cap + 2, 2, 0x8000);
    assert_int_equal(f->sent, 2);
}

/* A saved file must not turn a device into another one. */
static void test_load_keeps_identity(void **state)
{
    struct fixture *f = *state;
    struct state *s;
    size_t len;
    uint32_t version = 1;
    f->pd.config[0] = 0x99;
    set(f, 4, 2, 1);
    set(f, 0x10, 4, 0xc000);
    assert_int_equal(state_new_save(&s), 0);
    state_section(s, "x", &version);
    pci_dev_state(&f->pd, s);
    const void *data = state_data(s, &len);
    struct state *load;
    assert_int_equal(state_new_load(data, len, &load), 0);
    state_free(s);
    f->pd.config[0] = 0x34;
    pci_dev_reset(&f->pd);
    assert_int_equal(state_section(load, "x", &version), 0);
    pci_dev_state(&f->pd, load);
    assert_int_equal(state_error(load), 0);
    state_free(load);
    assert_int_equal(get(f, 0, 2), 0x1234);
    assert_int_equal(bus_read(f->pio, 0xc001, 1), 0xa1);
}

/* A ROM for several devices is given the name of the one it is in, or firmware would not run it. */
static void test_rom(void **state)
{
    struct fixture *f = *state;
    uint8_t rom[3000] = {0x55, 0xaa, 5};
    struct pci_dev pd = {.name = "card"};
    struct region region = {0};
    struct pci_ids ids = {.vendor = 0x1af4, .device = 0x1000};
    uint8_t sum = 0;
    rom[0x18] = 0x40;
    memcpy(rom + 0x40, "PCIR\xf4\x1a\x41\x10", 8);
    for (unsigned i = 0; i < 2560; i++)
        sum = (uint8_t)(sum + rom[i]);
    assert_int_equal(pci_dev_init(&pd, f->pci, PCI_DEVFN(5, 0), "card", &ids, 0), 0);
    assert_true(pci_add_rom(&pd, &region, rom, 0) < 0);
    assert_int_equal(pci_add_rom(&pd, &region, rom, sizeof(rom)), 0);
    assert_int_equal(region.size_bytes, 4096);
    pci_config_write(f->pci, 0, PCI_DEVFN(5, 0), 0x30, 4, 0xe1000001);
    pci_config_write(f->pci, 0, PCI_DEVFN(5, 0), 0x04, 2, 2);
    assert_int_equal(bus_read(f->mem, 0xe1000044, 4), 0x10001af4);
    for (unsigned i = 0; i < 2560; i++)
        sum = (uint8_t)(sum - bus_read(f->mem, 0xe1000000 + i, 1));
    assert_int_equal(sum, 0);
    /* A header that points nowhere is left as it is. */
    struct pci_dev bad = {.name = "bad"};
    struct region bad_region = {0};
    rom[0x18] = rom[0x19] = 0xff;
    assert_int_equal(pci_dev_init(&bad, f->pci, PCI_DEVFN(6, 0), "bad", &ids, 0), 0);
    assert_int_equal(pci_add_rom(&bad, &bad_region, rom, sizeof(rom)), 0);
    pci_dev_done(&bad);
    pci_dev_done(&pd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_identity), T(test_bars),         T(test_intx),
        T(test_msi),      T(test_msix_pending), T(test_load_keeps_identity),
        T(test_rom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
