/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The floppy controller as a BIOS and a driver use it. */
#include "hwtest.h"
#include "memdisk.h"

#include "hw/storage/fdc.h"
#include "hw/storage/i8237.h"

#define IMAGE_BYTES 1474560u

struct world {
    struct ram *ram;
    struct bus *mem, *pio;
    struct i8237 *dma;
    struct fdc *fdc;
    struct memdisk *disk;
    struct wires wires;
    struct region ram_region, ports[5];
    uint8_t result[16];
};

static void out(struct world *w, unsigned port, unsigned v)
{
    bus_write(w->pio, port, 1, v);
}

static unsigned in(struct world *w, unsigned port)
{
    return (unsigned)bus_read(w->pio, port, 1);
}

/* Send a command; all requests are finished; returns the number of results. */
static unsigned run(struct world *w, unsigned len, const uint8_t *bytes)
{
    for (unsigned i = 0; i < len; i++) {
        assert_int_equal(in(w, 0x3f4) & 0xc0, 0x80);
        out(w, 0x3f5, bytes[i]);
    }
    blk_drain(&w->disk->blk);
    unsigned n = 0;
    while ((in(w, 0x3f4) & 0xd0) == 0xd0 && n < 16)
        w->result[n++] = (uint8_t)in(w, 0x3f5);
    return n;
}

#define RUN(w, ...) run(w, sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})

static void start(struct world *w)
{
    out(w, 0x3f2, 0x00);
    out(w, 0x3f2, 0x1c);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(RUN(w, 0x08), 2);
        assert_int_equal(w->result[0], 0xc0 + i);
    }
    out(w, 0x3f7, 0);
    assert_int_equal(RUN(w, 0x03, 0xaf, 0x02), 0);
    assert_int_equal(RUN(w, 0x07, 0), 0);
    assert_true(wire_level(&w->wires, 6));
    assert_int_equal(RUN(w, 0x08), 2);
    assert_false(wire_level(&w->wires, 6));
    assert_int_equal(w->result[0], 0x20);
    assert_int_equal(w->result[1], 0);
}

static void world_new_size(struct world *w, uint64_t image_bytes)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(ram_new(MIB(16), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 32, w->ram, &w->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &w->pio), 0);
    w->ram_region = (struct region){.size_bytes = MIB(16), .kind = REGION_RAM};
    assert_int_equal(bus_add(w->mem, &w->ram_region), 0);
    assert_int_equal(i8237_new(&(const struct dma){.bus = w->mem}, &w->dma), 0);
    w->disk = memdisk_new(image_bytes);
    const struct fdc_env env = {
        .irq = wire(&w->wires, 6), .dma = i8237_isa_dma(w->dma), .channel = 2, .drives = 1};
    assert_int_equal(fdc_new(&env, &w->fdc), 0);
    assert_int_equal(fdc_insert(w->fdc, 0, &w->disk->blk), 0);
    struct isa_dma_client client = fdc_dma_client(w->fdc);
    i8237_attach(w->dma, 2, &client);
    const struct region rows[5] = {
        {.base = 0, .size_bytes = 16, .ops = &i8237_first_io, .dev = w->dma},
        {.base = 0xc0, .size_bytes = 32, .ops = &i8237_second_io, .dev = w->dma},
        {.base = 0x80, .size_bytes = 16, .ops = &i8237_page_io, .dev = w->dma},
        {.base = 0x3f0, .size_bytes = 6, .ops = &fdc_io, .dev = w->fdc},
        {.base = 0x3f7, .size_bytes = 1, .ops = &fdc_dir_io, .dev = w->fdc},
    };
    for (unsigned i = 0; i < 5; i++) {
        w->ports[i] = rows[i];
        assert_int_equal(bus_add(w->pio, &w->ports[i]), 0);
    }
    start(w);
}

static void world_new(struct world *w)
{
    world_new_size(w, IMAGE_BYTES);
}

static void world_done(struct world *w)
{
    fdc_dev_ops.free(w->fdc);
    i8237_dev_ops.free(w->dma);
    bus_free(w->pio);
    bus_free(w->mem);
    ram_free(w->ram);
    blk_close(&w->disk->blk);
}

static void dma(struct world *w, unsigned mode, uint32_t addr, unsigned bytes)
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

static void seek(struct world *w, unsigned track)
{
    assert_int_equal(RUN(w, 0x0f, 0, (uint8_t)track), 0);
    assert_int_equal(RUN(w, 0x08), 2);
    assert_int_equal(w->result[1], track);
}

static void check_result(struct world *w, unsigned st0, unsigned st1, unsigned st2, unsigned c,
                         unsigned h, unsigned r)
{
    const uint8_t want[7] = {
        (uint8_t)st0, (uint8_t)st1, (uint8_t)st2, (uint8_t)c, (uint8_t)h, (uint8_t)r, 2};
    assert_memory_equal(w->result, want, 7);
}

static void reads(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    seek(&w, 3);
    dma(&w, 0x44, 0x20000, 3 * 512);
    unsigned rises = w.wires.rises[6];
    assert_int_equal(RUN(&w, 0xe6, 0x04, 3, 1, 5, 2, 18, 0x1b, 0xff), 7);
    assert_int_equal(w.wires.rises[6], rises + 1);
    check_result(&w, 0x04, 0, 0, 3, 1, 8);
    assert_memory_equal(w.ram->host + 0x20000, w.disk->bytes + ((3 * 2 + 1) * 18 + 4) * 512, 1536);
    /* Both sides in one command, ended by the count at the end of the cylinder. */
    dma(&w, 0x44, 0x20000, 36 * 512);
    assert_int_equal(RUN(&w, 0xe6, 0x00, 3, 0, 1, 2, 18, 0x1b, 0xff), 7);
    check_result(&w, 0x00, 0, 0, 4, 0, 1);
    assert_memory_equal(w.ram->host + 0x20000, w.disk->bytes + 3 * 36 * 512, 36 * 512);
    /* The count is larger than the track: end of cylinder. */
    dma(&w, 0x44, 0x20000, 36 * 512);
    assert_int_equal(RUN(&w, 0x46, 0x00, 3, 0, 17, 2, 18, 0x1b, 0xff), 7);
    check_result(&w, 0x40, 0x80, 0, 4, 0, 1);
    assert_memory_equal(w.ram->host + 0x20000, w.disk->bytes + (3 * 36 + 16) * 512, 1024);
    /* READ TRACK begins at the first sector. */
    dma(&w, 0x44, 0x20000, 18 * 512);
    assert_int_equal(RUN(&w, 0x42, 0x00, 3, 0, 9, 2, 18, 0x1b, 0xff), 7);
    assert_memory_equal(w.ram->host + 0x20000, w.disk->bytes + 3 * 36 * 512, 18 * 512);
    world_done(&w);
}

/* The driver unmasks the channel after it has sent the command. */
static void late_dma(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    assert_int_equal(RUN(&w, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff), 0);
    assert_int_equal(in(&w, 0x3f4), 0x10);
    assert_int_equal(in(&w, 0x08) & 0x40, 0x40);
    dma(&w, 0x44, 0x20000, 1024);
    blk_drain(&w.disk->blk);
    assert_int_equal(in(&w, 0x3f4), 0xd0);
    assert_memory_equal(w.ram->host + 0x20000, w.disk->bytes, 1024);
    assert_int_equal(in(&w, 0x08) & 0x40, 0);
    world_done(&w);
}

static void writes(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    memset(w.ram->host + 0x20000, 0xd1, 2048);
    seek(&w, 79);
    dma(&w, 0x48, 0x20000, 1024 + 100);
    assert_int_equal(RUN(&w, 0xc5, 0x04, 79, 1, 16, 2, 18, 0x1b, 0xff), 7);
    check_result(&w, 0, 0, 0, 80, 0, 1);
    const uint8_t *at = w.disk->bytes + IMAGE_BYTES - 3 * 512;
    assert_int_equal(at[0], 0xd1);
    assert_int_equal(at[1123], 0xd1);
    assert_int_equal(at[1124], 0);
    w.disk->blk.readonly = true;
    assert_int_equal(RUN(&w, 0xc5, 0x04, 79, 1, 1, 2, 18, 0x1b, 0xff), 7);
    assert_int_equal(w.result[0], 0x44);
    assert_int_equal(w.result[1], 2);
    assert_int_equal(RUN(&w, 0x04, 0x00), 1);
    assert_int_equal(w.result[0] & 0x40, 0x40);
    world_done(&w);
}

static void format(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    seek(&w, 2);
    for (unsigned i = 0; i < 18; i++) /* interleaved */
        memcpy(w.ram->host + 0x20000 + 4 * i, (uint8_t[]){2, 1, (uint8_t)(i * 5 % 18 + 1), 2}, 4);
    dma(&w, 0x48, 0x20000, 72);
    assert_int_equal(RUN(&w, 0x4d, 0x04, 2, 18, 0x54, 0xf6), 7);
    assert_int_equal(w.result[0], 4);
    for (unsigned i = 0; i < 18 * 512; i++)
        assert_int_equal(w.disk->bytes[5 * 18 * 512 + i], 0xf6);
    assert_int_not_equal(w.disk->bytes[6 * 18 * 512 + 5], 0xf6);
    world_done(&w);
}

/* A BIOS finds the density by trying rates until READ ID succeeds. */
static void density(void **ctx)
{
    (void)ctx;
    static const struct {
        unsigned bytes, rate, sectors, cmos;
    } rows[] = {{IMAGE_BYTES, 0, 18, 4}, {737280, 2, 9, 4},   {368640, 1, 9, 4},
                {1228800, 0, 15, 2},     {2949120, 3, 36, 5}, {500000, 2, 9, 4}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        world_new_size(&w, rows[i].bytes / 512 * 512);
        assert_int_equal(fdc_cmos_type(w.fdc, 0), rows[i].cmos);
        for (unsigned rate = 0; rate < 4; rate++) {
            out(&w, 0x3f7, rate);
            assert_int_equal(RUN(&w, 0x4a, 0), 7);
            if (rate == rows[i].rate)
                assert_int_equal(w.result[0], 0);
            else if (rows[i].rate == 0 || rows[i].rate == 3)
                assert_int_equal(w.result[1], 1);
        }
        out(&w, 0x3f7, rows[i].rate);
        unsigned highest = 0;
        for (unsigned k = 0; k < 50; k++) {
            RUN(&w, 0x4a, 0);
            highest = MAX(highest, w.result[5]);
        }
        assert_int_equal(highest, rows[i].sectors);
        world_done(&w);
    }
}

static void wrong(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    dma(&w, 0x44, 0x20000, 512);
    RUN(&w, 0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff); /* the head is elsewhere */
    check_result(&w, 0x40, 4, 0x10, 5, 0, 1);
    RUN(&w, 0x46, 0, 0, 0, 19, 2, 18, 0x1b, 0xff);
    check_result(&w, 0x40, 4, 0, 0, 0, 19);
    RUN(&w, 0x46, 0, 0, 0, 1, 3, 18, 0x1b, 0xff);
    assert_int_equal(w.result[0], 0x40);
    RUN(&w, 0x06, 0, 0, 0, 1, 2, 18, 0x1b, 0xff); /* FM */
    assert_int_equal(w.result[1], 1);
    RUN(&w, 0x46, 1, 0, 0, 1, 2, 18, 0x1b, 0xff); /* no such drive */
    assert_int_equal(w.result[0], 0x41);
    w.disk->bad_to = 512;
    RUN(&w, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    check_result(&w, 0x40, 0x20, 0x20, 0, 0, 1);
    assert_int_equal(RUN(&w, 0x1f), 1);
    assert_int_equal(w.result[0], 0x80);
    assert_int_equal(RUN(&w, 0x08), 1); /* nothing to sense */
    assert_int_equal(w.result[0], 0x80);
    assert_int_equal(RUN(&w, 0x07, 1), 0); /* recalibrating a drive that is not there */
    RUN(&w, 0x08);
    assert_int_equal(w.result[0], 0x71);
    world_done(&w);
}

static void disk_change(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0x80);
    seek(&w, 1);
    seek(&w, 0);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0);
    assert_int_equal(fdc_eject(w.fdc, 0), 0);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0x80);
    seek(&w, 1);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0x80); /* no disk, no reset of the line */
    RUN(&w, 0x4a, 0);
    assert_int_equal(w.result[1], 1);
    assert_int_equal(fdc_insert(w.fdc, 0, &w.disk->blk), 0);
    assert_int_equal(fdc_insert(w.fdc, 0, &w.disk->blk), -EBUSY);
    assert_int_equal(fdc_insert(w.fdc, 1, &w.disk->blk), -ENODEV);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0x80);
    seek(&w, 0);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0);
    out(&w, 0x3f2, 0x0c); /* the motor is off */
    fdc_eject(w.fdc, 0);
    assert_int_equal(in(&w, 0x3f7) & 0x80, 0);
    w.disk->blk.size_bytes = MIB(3);
    assert_int_equal(fdc_insert(w.fdc, 0, &w.disk->blk), -EFBIG);
    w.disk->blk.size_bytes = IMAGE_BYTES;
    world_done(&w);
}

/* Without DMA the host moves every byte. */
static void programmed_io(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    RUN(&w, 0x03, 0xaf, 0x03);
    static const uint8_t read[] = {0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff};
    run(&w, 0, NULL);
    for (unsigned i = 0; i < 9; i++)
        out(&w, 0x3f5, read[i]);
    for (unsigned i = 0; i < 1024; i++) {
        blk_drain(&w.disk->blk);
        assert_int_equal(in(&w, 0x3f4), 0xf0);
        assert_true(wire_level(&w.wires, 6));
        assert_int_equal(in(&w, 0x3f5), w.disk->bytes[16 * 512 + i]);
    }
    assert_int_equal(run(&w, 0, NULL), 7);
    check_result(&w, 0x40, 0x80, 0, 1, 0, 1);
    static const uint8_t write[] = {0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff};
    for (unsigned i = 0; i < 9; i++)
        out(&w, 0x3f5, write[i]);
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(in(&w, 0x3f4), 0xb0);
        out(&w, 0x3f5, i * 5);
    }
    assert_int_equal(run(&w, 0, NULL), 7);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(w.disk->bytes[17 * 512 + i], (uint8_t)(i * 5));
    world_done(&w);
}

static void settings(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    assert_int_equal(RUN(&w, 0x10), 1);
    assert_int_equal(w.result[0], 0x90);
    RUN(&w, 0x13, 0, 0x57, 0x11);
    RUN(&w, 0x94);
    assert_int_equal(w.result[0], 0x10);
    out(&w, 0x3f4, 0x80);
    for (unsigned i = 0; i < 4; i++)
        RUN(&w, 0x08);
    assert_int_equal(RUN(&w, 0x0e), 10);
    assert_int_equal(w.result[8], 0x57); /* kept by LOCK */
    RUN(&w, 0x14);
    out(&w, 0x3f2, 0);
    out(&w, 0x3f2, 0x1c);
    for (unsigned i = 0; i < 4; i++)
        RUN(&w, 0x08);
    RUN(&w, 0x0e);
    assert_int_equal(w.result[8], 0);
    RUN(&w, 0xcf, 0, 7);
    RUN(&w, 0x08);
    assert_int_equal(w.result[1], 7);
    RUN(&w, 0x8f, 0, 9);
    RUN(&w, 0x08);
    assert_int_equal(w.result[1], 0);
    /* VERIFY reads without moving anything. */
    assert_int_equal(RUN(&w, 0x56, 0x80, 0, 0, 1, 2, 18, 0x1b, 4), 7);
    check_result(&w, 0, 0, 0, 0, 0, 5);
    assert_int_equal(RUN(&w, 0x56, 0, 0, 0, 1, 2, 18, 0x1b, 0xff), 7);
    check_result(&w, 0, 0, 0, 1, 0, 1);
    world_done(&w);
}

static void reset_busy(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    dma(&w, 0x44, 0x20000, 512);
    static const uint8_t read[] = {0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff};
    for (unsigned i = 0; i < 9; i++)
        out(&w, 0x3f5, read[i]);
    assert_int_equal(w.disk->blk.in_flight, 1);
    out(&w, 0x3f2, 0);
    assert_int_equal(w.disk->blk.in_flight, 0);
    assert_false(wire_level(&w.wires, 6));
    assert_int_equal(in(&w, 0x3f4), 0);
    assert_int_equal(w.ram->host[0x20001], 0);
    start(&w);
    world_done(&w);
}

static void garbage(void **ctx)
{
    (void)ctx;
    struct world w;
    uint64_t seed = 4;
    world_new(&w);
    for (unsigned i = 0; i < 300000; i++) {
        static const uint8_t commands[] = {0x46, 0xc5, 0x4d, 0x0f, 0x07, 0x08, 0x4a, 0x56,
                                           0x03, 0x13, 0x12, 0xe6, 0x45, 0x42, 0x4c, 0x8f};
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned port = 0x3f0 + (unsigned)(seed >> 60 & 7), v = (unsigned)(seed >> 40) & 0xff;
        if (port == 0x3f2)
            v |= 0x0c;
        if (port >= 0x3f5)
            port = 0x3f5;
        if (seed >> 32 & 1)
            v = commands[v & 15];
        if (seed >> 33 & 1)
            v &= 3;
        if (seed >> 34 & 1)
            in(&w, port);
        else
            out(&w, port, v);
        if (i % 100 == 0)
            dma(&w, i & 1 ? 0x44 : 0x48, 0x20000, 1 + (seed >> 50));
        if (i % 5 == 0)
            blk_drain(&w.disk->blk);
    }
    blk_drain(&w.disk->blk);
    fdc_dev_ops.reset(w.fdc);
    start(&w);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),       cmocka_unit_test(late_dma),      cmocka_unit_test(writes),
        cmocka_unit_test(format),      cmocka_unit_test(density),       cmocka_unit_test(wrong),
        cmocka_unit_test(disk_change), cmocka_unit_test(programmed_io), cmocka_unit_test(settings),
        cmocka_unit_test(reset_busy),  cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
