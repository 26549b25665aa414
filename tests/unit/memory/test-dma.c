/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bus masters: a guest's addresses, however hostile, reach its RAM and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "memory/dma.h"

struct world {
    struct ram *ram;
    struct bus *bus;
    struct region low, high, rom, io, top;
};

static const struct io_ops io_ops = {.name = "io"};

/*
 * 0–64K RAM (store 64K), 64K–128K RAM (store 0), 128K ROM of 4K, 132K device, then nothing; and
 * RAM at the last addresses there are.
 */
static void world_new(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(ram_new(MIB(1), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 0, w->ram, &w->bus), 0); /* all 2^64 addresses */
    w->low = (struct region){.size_bytes = 65536, .kind = REGION_RAM, .ram_offset = 65536};
    w->high = (struct region){.base = 65536, .size_bytes = 65536, .kind = REGION_RAM};
    w->rom = (struct region){
        .base = 131072, .size_bytes = 4096, .kind = REGION_ROM, .ram_offset = 262144};
    w->io = (struct region){.base = 135168, .size_bytes = 4096, .ops = &io_ops};
    w->top = (struct region){
        .base = UINT64_MAX - 4095, .size_bytes = 4096, .kind = REGION_RAM, .ram_offset = 524288};
    assert_int_equal(bus_add(w->bus, &w->low), 0);
    assert_int_equal(bus_add(w->bus, &w->high), 0);
    assert_int_equal(bus_add(w->bus, &w->rom), 0);
    assert_int_equal(bus_add(w->bus, &w->io), 0);
    assert_int_equal(bus_add(w->bus, &w->top), 0);
}

static void world_done(struct world *w)
{
    bus_free(w->bus);
    ram_free(w->ram);
}

static void copies(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[256], back[256];
    world_new(&w);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)i;
    /* Over the joint of two pieces of RAM that lie apart in the store. */
    assert_int_equal(dma_write(w.bus, 65536 - 100, buf, sizeof(buf)), 0);
    assert_memory_equal(w.ram->host + 131072 - 100, buf, 100);
    assert_memory_equal(w.ram->host, buf + 100, 156);
    assert_int_equal(*ram_flags(w.ram, 131071), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 0), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 4096), 0);
    assert_int_equal(dma_read(w.bus, 65536 - 100, back, sizeof(back)), 0);
    assert_memory_equal(back, buf, sizeof(buf));
    assert_int_equal(dma_fill(w.bus, 65536 - 2, 0xee, 4), 0);
    assert_true(w.ram->host[131071] == 0xee && w.ram->host[1] == 0xee && w.ram->host[2] != 0xee);
    world_done(&w);
}

/* Writes to ROM, devices and nothing fail whole: not one byte of RAM before them changes. */
static void refused(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[8192];
    world_new(&w);
    memset(buf, 0x99, sizeof(buf));
    w.ram->host[262144] = 0x42;
    assert_int_equal(dma_read(w.bus, 131072, buf, 1), 0); /* ROM reads */
    assert_int_equal(buf[0], 0x42);
    assert_int_equal(dma_read(w.bus, 131072, buf, 4097), -EFAULT);
    assert_int_equal(dma_write(w.bus, 131072 - 16, buf, 17), -EFAULT);
    assert_int_equal(dma_fill(w.bus, 131072 - 16, 1, 17), -EFAULT);
    assert_int_equal(w.ram->host[65535], 0);
    assert_int_equal(dma_write(w.bus, 135168, buf, 1), -EFAULT);
    assert_int_equal(dma_write(w.bus, MIB(512), buf, 1), -EFAULT);
    world_done(&w);
}

/* Lengths and addresses whose sum runs over 2^64 do not come out at address 0. */
static void wraps(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[64] = {0};
    struct slices s = {0};
    world_new(&w);
    assert_int_equal(dma_write(w.bus, UINT64_MAX - 15, buf, 16), 0);
    assert_int_equal(dma_write(w.bus, UINT64_MAX - 15, buf, 17), -EFAULT);
    assert_int_equal(dma_read(w.bus, UINT64_MAX, buf, 2), -EFAULT);
    assert_int_equal(dma_fill(w.bus, 16, 0, UINT64_MAX), -EFAULT);
    assert_int_equal(dma_fill(w.bus, 0, 0, UINT64_MAX), -EFAULT);
    assert_int_equal(slices_add(&s, w.bus, UINT64_MAX - 15, 17), -EFAULT);
    assert_int_equal(slices_add(&s, w.bus, 4096, UINT64_MAX - 4095), -EFAULT);
    assert_int_equal(slices_add(&s, w.bus, 0, UINT64_MAX), -EFAULT);
    assert_int_equal(s.count, 0);
    /* Nothing at all is allowed anywhere. */
    assert_int_equal(dma_read(w.bus, MIB(512), buf, 0), 0);
    assert_int_equal(slices_add(&s, w.bus, MIB(512), 0), 0);
    slices_done(&s);
    world_done(&w);
}

static void slice_lists(void **ctx)
{
    (void)ctx;
    struct world w;
    struct slices s = {0};
    uint8_t buf[64], back[64];
    world_new(&w);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i + 1);
    assert_int_equal(slices_add(&s, w.bus, 65536 - 8, 24), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(slices_add(&s, w.bus, 131072 - 8, 9), -EFAULT); /* runs into ROM */
    assert_int_equal(s.count, 2);
    assert_int_equal(s.len_bytes, 24);
    assert_int_equal(slices_add(&s, w.bus, 0x2000, 16), 0);
    assert_int_equal(s.len_bytes, 40);
    assert_int_equal(s.ram_offset[0], 131072 - 8);
    assert_int_equal(s.ram_offset[1], 0);

    assert_int_equal(slices_put(&s, 4, buf, sizeof(buf)), 36);
    assert_memory_equal(w.ram->host + 131072 - 4, buf, 4);
    assert_memory_equal(w.ram->host, buf + 4, 16);
    assert_memory_equal(w.ram->host + 65536 + 0x2000, buf + 20, 16);
    assert_int_equal(slices_get(&s, 6, back, 20), 20);
    assert_memory_equal(back, buf + 2, 20);
    assert_int_equal(slices_get(&s, 40, back, 1), 0);
    assert_int_equal(slices_get(&s, UINT64_MAX, back, 1), 0);

    assert_int_equal(*ram_flags(w.ram, 0), 0);
    slices_wrote(&s, w.bus, 9);
    assert_int_equal(*ram_flags(w.ram, 131071), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 0), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 65536 + 0x2000), 0);
    slices_wrote(&s, w.bus, UINT64_MAX);
    assert_int_equal(*ram_flags(w.ram, 65536 + 0x2000), RAM_DIRTY_ALL);
    slices_done(&s);
    assert_int_equal(s.count, 0);
    world_done(&w);
}

/* A guest that chains descriptors for ever makes a list of bounded length. */
static void slices_bounded(void **ctx)
{
    (void)ctx;
    struct world w;
    struct slices s = {0};
    world_new(&w);
    int r = 0;
    unsigned n = 0;
    while (r == 0 && n < 1000000) {
        r = slices_add(&s, w.bus, 0, 1);
        n++;
    }
    assert_int_equal(r, -E2BIG);
    assert_int_equal(s.count, 1u << 16);
    assert_int_equal(s.len_bytes, 1u << 16);
    slices_done(&s);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),      cmocka_unit_test(refused),        cmocka_unit_test(wraps),
        cmocka_unit_test(slice_lists), cmocka_unit_test(slices_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
