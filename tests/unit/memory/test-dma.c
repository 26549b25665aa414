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
    struct dma dma;
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
    w->dma = (struct dma){.bus = w->bus};
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
    assert_int_equal(dma_write(&w.dma, 65536 - 100, buf, sizeof(buf)), 0);
    assert_memory_equal(w.ram->host + 131072 - 100, buf, 100);
    assert_memory_equal(w.ram->host, buf + 100, 156);
    assert_int_equal(*ram_flags(w.ram, 131071), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 0), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 4096), 0);
    assert_int_equal(dma_read(&w.dma, 65536 - 100, back, sizeof(back)), 0);
    assert_memory_equal(back, buf, sizeof(buf));
    assert_int_equal(dma_fill(&w.dma, 65536 - 2, 0xee, 4), 0);
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
    assert_int_equal(dma_read(&w.dma, 131072, buf, 1), 0); /* ROM reads */
    assert_int_equal(buf[0], 0x42);
    assert_int_equal(dma_read(&w.dma, 131072, buf, 4097), -EFAULT);
    assert_int_equal(dma_write(&w.dma, 131072 - 16, buf, 17), -EFAULT);
    assert_int_equal(dma_fill(&w.dma, 131072 - 16, 1, 17), -EFAULT);
    assert_int_equal(w.ram->host[65535], 0);
    assert_int_equal(dma_write(&w.dma, 135168, buf, 1), -EFAULT);
    assert_int_equal(dma_write(&w.dma, MIB(512), buf, 1), -EFAULT);
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
    assert_int_equal(dma_write(&w.dma, UINT64_MAX - 15, buf, 16), 0);
    assert_int_equal(dma_write(&w.dma, UINT64_MAX - 15, buf, 17), -EFAULT);
    assert_int_equal(dma_read(&w.dma, UINT64_MAX, buf, 2), -EFAULT);
    assert_int_equal(dma_fill(&w.dma, 16, 0, UINT64_MAX), -EFAULT);
    assert_int_equal(dma_fill(&w.dma, 0, 0, UINT64_MAX), -EFAULT);
    assert_int_equal(slices_add(&s, &w.dma, UINT64_MAX - 15, 17, true), -EFAULT);
    assert_int_equal(slices_add(&s, &w.dma, 4096, UINT64_MAX - 4095, true), -EFAULT);
    assert_int_equal(slices_add(&s, &w.dma, 0, UINT64_MAX, true), -EFAULT);
    assert_int_equal(s.count, 0);
    /* Nothing at all is allowed anywhere. */
    assert_int_equal(dma_read(&w.dma, MIB(512), buf, 0), 0);
    assert_int_equal(slices_add(&s, &w.dma, MIB(512), 0, true), 0);
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
    assert_int_equal(slices_add(&s, &w.dma, 65536 - 8, 24, true), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(slices_add(&s, &w.dma, 131072 - 8, 9, true), -EFAULT); /* runs into ROM */
    assert_int_equal(s.count, 2);
    assert_int_equal(s.len_bytes, 24);
    assert_int_equal(slices_add(&s, &w.dma, 0x2000, 16, true), 0);
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
    slices_wrote(&s, &w.dma, 9);
    assert_int_equal(*ram_flags(w.ram, 131071), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 0), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 65536 + 0x2000), 0);
    slices_wrote(&s, &w.dma, UINT64_MAX);
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
        r = slices_add(&s, &w.dma, 0, 1, true);
        n++;
    }
    assert_int_equal(r, -E2BIG);
    assert_int_equal(s.count, 1u << 16);
    assert_int_equal(s.len_bytes, 1u << 16);
    slices_done(&s);
    world_done(&w);
}

/* An IOMMU with pages of 4 KiB: 0–3 lie at 0x8000, 0x9000, 0x3000 and 0x4000, 2 cannot be written. */
static int translate(void *ctx, uint16_t requester, uint64_t addr, bool write, uint64_t *ret_gpa,
                     uint64_t *ret_len_bytes)
{
    static const uint64_t pages[4] = {0x8000, 0x9000, 0x3000, 0x4000};
    uint64_t n = addr >> 12;
    unsigned *asked = ctx;
    ++*asked;
    assert_int_equal(requester, 0x123);
    if (n >= 4 || (write && n == 2))
        return -EFAULT;
    *ret_gpa = pages[n] | (addr & 0xfff);
    *ret_len_bytes = 0x1000 - (addr & 0xfff);
    return 0;
}

/* A device behind an IOMMU reaches what it was given, page by page, in the directions allowed. */
static void translated(void **ctx)
{
    (void)ctx;
    struct world w;
    struct slices s = {0};
    uint8_t buf[0x2000], back[0x2000];
    unsigned asked = 0;
    world_new(&w);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 7 + (i >> 8));
    const struct dma dma = {
        .bus = w.bus, .map = {.translate = translate, .ctx = &asked}, .requester = 0x123};
    uint8_t *ram = w.ram->host + 65536;
    assert_int_equal(dma_write(&dma, 0x800, buf, 0x1800), 0);
    assert_memory_equal(ram + 0x8800, buf, 0x1800);
    memcpy(ram + 0x3000, buf, 0x2000);
    assert_int_equal(dma_read(&dma, 0x1ff0, back, 0x1020), 0);
    assert_memory_equal(back, ram + 0x9ff0, 16);
    assert_memory_equal(back + 16, ram + 0x3000, 0x1010);
    /* Not a byte is written where the end is not allowed. */
    assert_int_equal(dma_write(&dma, 0x1fff, "xy", 2), -EFAULT);
    assert_memory_equal(ram + 0x9fff, buf + 0x17ff, 1);
    assert_int_equal(dma_fill(&dma, 0x3fff, 0, 2), -EFAULT);
    assert_int_equal(dma_read(&dma, UINT64_MAX, back, 2), -EFAULT);
    asked = 0;
    assert_int_equal(dma_read(&dma, 0x5000, back, 0), 0);
    assert_int_equal(asked, 0);

    /* Pages that follow each other in the host's memory are one piece. */
    assert_int_equal(slices_add(&s, &dma, 0x10, 0x3ff0, false), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.iov[0].iov_len, 0x1ff0);
    assert_int_equal(s.ram_offset[1], 65536 + 0x3000);
    assert_int_equal(slices_add(&s, &dma, 0x1000, 0x1001, true), -EFAULT);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.len_bytes, 0x3ff0);
    assert_int_equal(slices_add(&s, &dma, 0x3000, 16, true), 0);
    assert_int_equal(s.count, 3);
    slices_done(&s);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),         cmocka_unit_test(refused),
        cmocka_unit_test(wraps),          cmocka_unit_test(slice_lists),
        cmocka_unit_test(slices_bounded), cmocka_unit_test(translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
