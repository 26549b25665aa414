/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DMA controllers: bytes go to the page, address and count that the guest has set. */
#include "hwtest.h"

#include "hw/storage/i8237.h"

struct world {
    struct ram *ram;
    struct bus *mem, *pio;
    struct i8237 *dma;
    struct isa_dma isa;
    struct region ram_region, ports[3];
    unsigned told;
};

static void told(void *dev)
{
    ((struct world *)dev)->told++;
}

static void world_new(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(ram_new(MIB(16), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 32, w->ram, &w->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &w->pio), 0);
    w->ram_region = (struct region){.size_bytes = MIB(15), .kind = REGION_RAM};
    assert_int_equal(bus_add(w->mem, &w->ram_region), 0);
    assert_int_equal(i8237_new(&(const struct dma){.bus = w->mem}, &w->dma), 0);
    w->isa = i8237_isa_dma(w->dma);
    static const struct {
        unsigned base, size;
        const struct io_ops *ops;
    } rows[3] = {
        {0, 16, &i8237_first_io}, {0xc0, 32, &i8237_second_io}, {0x80, 16, &i8237_page_io}};
    for (unsigned i = 0; i < 3; i++) {
        w->ports[i] = (struct region){
            .base = rows[i].base, .size_bytes = rows[i].size, .ops = rows[i].ops, .dev = w->dma};
        assert_int_equal(bus_add(w->pio, &w->ports[i]), 0);
    }
    i8237_attach(w->dma, 2, &(struct isa_dma_client){told, w});
}

static void world_done(struct world *w)
{
    i8237_dev_ops.free(w->dma);
    bus_free(w->pio);
    bus_free(w->mem);
    ram_free(w->ram);
}

static void out(struct world *w, unsigned port, unsigned v)
{
    bus_write(w->pio, port, 1, v);
}

static unsigned in(struct world *w, unsigned port)
{
    return (unsigned)bus_read(w->pio, port, 1);
}

/* As a driver sets up channel 2. */
static void setup(struct world *w, unsigned mode, uint32_t addr, unsigned bytes)
{
    out(w, 0x0a, 6);
    out(w, 0x0c, 0);
    out(w, 0x0b, mode | 2);
    out(w, 0x04, addr);
    out(w, 0x04, addr >> 8);
    out(w, 0x81, addr >> 16);
    out(w, 0x05, bytes - 1);
    out(w, 0x05, (bytes - 1) >> 8);
    out(w, 0x0a, 2);
}

static void to_and_from_memory(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[1024];
    bool tc;
    world_new(&w);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 3);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 512, true, &tc), 0); /* masked */
    setup(&w, 0x44, 0x123400, 1000);
    assert_int_equal(w.told, 1);
    assert_true(w.isa.ready(w.isa.ctx, 2, true));
    assert_false(w.isa.ready(w.isa.ctx, 2, false));
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 512, false, &tc), 0);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 512, true, &tc), 512);
    assert_false(tc);
    out(&w, 0x0c, 0);
    assert_int_equal(in(&w, 0x04) | in(&w, 0x04) << 8, 0x3600);
    assert_int_equal(in(&w, 0x05) | in(&w, 0x05) << 8, 487);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf + 512, 512, true, &tc), 488);
    assert_true(tc);
    assert_memory_equal(w.ram->host + 0x123400, buf, 1000);
    assert_int_equal(w.ram->host[0x123400 + 1000], 0);
    assert_int_equal(in(&w, 0x08), 4); /* terminal count, cleared by reading */
    assert_int_equal(in(&w, 0x08), 0);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 1, true, &tc), 0); /* masked again */
    assert_int_equal(in(&w, 0x0f) & 15, 15);

    setup(&w, 0x48, 0x123400, 1000);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 1024, false, &tc), 1000);
    assert_memory_equal(buf, w.ram->host + 0x123400, 1000);
    world_done(&w);
}

/* The address counts within 64 KiB: a buffer over the edge comes out at the page's start. */
static void wraps(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[32];
    bool tc;
    world_new(&w);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i + 1);
    setup(&w, 0x44, 0x2fff0, 32);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 32, true, &tc), 32);
    assert_memory_equal(w.ram->host + 0x2fff0, buf, 16);
    assert_memory_equal(w.ram->host + 0x20000, buf + 16, 16);
    assert_int_equal(w.ram->host[0x30000], 0);
    setup(&w, 0x64, 0x20001, 4); /* downwards */
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 32, true, &tc), 4);
    assert_true(w.ram->host[0x20001] == 1 && w.ram->host[0x20000] == 2 &&
                w.ram->host[0x2ffff] == 3 && w.ram->host[0x2fffe] == 4);
    world_done(&w);
}

static void modes(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    bool tc;
    world_new(&w);
    setup(&w, 0x54, 0x1000, 4); /* auto-initialise: the next buffer begins where this did */
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 8, true, &tc), 4);
    assert_true(tc);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf + 4, 8, true, &tc), 4);
    assert_memory_equal(w.ram->host + 0x1000, buf + 4, 4);
    setup(&w, 0x40, 0x2000, 4); /* verify: counts and stores nothing */
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 8, true, &tc), 4);
    assert_int_equal(w.ram->host[0x2000], 0);
    setup(&w, 0x44, 0xfffff0, 8); /* no memory there */
    assert_int_equal(w.isa.transfer(w.isa.ctx, 2, buf, 8, true, &tc), 8);
    out(&w, 0x08, 4); /* controller off */
    setup(&w, 0x44, 0x1000, 4);
    assert_false(w.isa.ready(w.isa.ctx, 2, true));
    out(&w, 0x0d, 0);
    assert_int_equal(in(&w, 0x0f) & 15, 15);
    w.isa.request(w.isa.ctx, 2, true);
    assert_int_equal(in(&w, 0x08), 0x40);
    world_done(&w);
}

/* Channel 5 counts words, and bit 0 of its page means nothing. */
static void words(void **ctx)
{
    (void)ctx;
    struct world w;
    uint8_t buf[64];
    bool tc;
    world_new(&w);
    memset(buf, 0x5c, sizeof(buf));
    out(&w, 0xd8, 0);
    out(&w, 0xd6, 0x45);
    out(&w, 0xc4, 0x00);
    out(&w, 0xc4, 0x80);
    out(&w, 0x8b, 0x03);
    out(&w, 0xc6, 9);
    out(&w, 0xc6, 0);
    out(&w, 0xd4, 1);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 5, buf, 7, true, &tc), 6);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 5, buf, 64, true, &tc), 14);
    assert_true(tc);
    assert_int_equal(w.ram->host[0x30000 + 19], 0x5c);
    assert_int_equal(w.ram->host[0x30000 + 20], 0);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 4, buf, 2, true, &tc), 0);
    assert_int_equal(w.isa.transfer(w.isa.ctx, 99, buf, 2, true, &tc), 0);
    assert_int_equal(in(&w, 0x8b), 3);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_and_from_memory),
        cmocka_unit_test(wraps),
        cmocka_unit_test(modes),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
