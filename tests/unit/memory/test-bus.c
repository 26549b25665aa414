/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address map: every access reaches the right register of the right device, whole. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "memory/bus.h"

/* A device that answers with its bytes and notes what it is asked. */
struct probe {
    uint8_t reg[64];
    struct {
        bool write;
        uint64_t offset, value;
        unsigned size;
    } log[16];
    unsigned count;
    struct bus *bus;
    struct region *move;
    uint64_t to;
};

static uint64_t probe_read(void *dev, uint64_t offset, unsigned size)
{
    struct probe *p = dev;
    uint64_t v = 0;
    memcpy(&v, p->reg + offset, size);
    if (p->count < 16) {
        p->log[p->count].write = false;
        p->log[p->count].offset = offset;
        p->log[p->count++].size = size;
    }
    return v | (size < 8 ? 0xabULL << 56 : 0); /* dirt above the size must not get through */
}

static void probe_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct probe *p = dev;
    memcpy(p->reg + offset, &value, size);
    if (p->count < 16) {
        p->log[p->count].write = true;
        p->log[p->count].offset = offset;
        p->log[p->count].value = value;
        p->log[p->count++].size = size;
    }
    if (p->move) {
        bus_begin(p->bus);
        bus_remove(p->bus, p->move);
        p->move->base = p->to;
        assert_int_equal(bus_add(p->bus, p->move), 0);
        bus_commit(p->bus);
    }
}

static const struct io_ops plain = {
    .name = "plain", .max_size = 8, .read = probe_read, .write = probe_write};
static const struct io_ops bytes_only = {
    .name = "bytes", .max_size = 1, .read = probe_read, .write = probe_write};
static const struct io_ops words = {
    .name = "words", .min_size = 4, .max_size = 4, .read = probe_read, .write = probe_write};
static const struct io_ops merged = {.name = "merged",
                                     .min_size = 4,
                                     .max_size = 4,
                                     .merge_writes = true,
                                     .read = probe_read,
                                     .write = probe_write};
static const struct io_ops mute = {.name = "mute"};

struct world {
    struct ram *ram;
    struct bus *bus;
};

static void world_new(struct world *w)
{
    assert_int_equal(ram_new(MIB(1), &w->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ULL << 40, w->ram, &w->bus), 0);
}

static void world_done(struct world *w)
{
    bus_free(w->bus);
    ram_free(w->ram);
}

static void check_view(struct bus *bus, unsigned count, const uint64_t (*want)[3])
{
    struct bus_view *v = bus_view_get(bus);
    assert_int_equal(v->count, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(v->ranges[i].base, want[i][0]);
        assert_int_equal(v->ranges[i].end, want[i][1]);
        assert_int_equal(v->ranges[i].region_offset, want[i][2]);
    }
    bus_view_put(v);
}

/* A BAR over RAM hides it, and the RAM behind is there again when the BAR goes. */
static void overlap(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe a = {.reg = {0x11}}, b = {.reg = {0x22}};
    struct region ram = {.name = "ram", .size_bytes = MIB(1), .kind = REGION_RAM};
    struct region one = {.name = "one",
                         .base = 0x1000,
                         .size_bytes = 0x100,
                         .priority = 1,
                         .ops = &plain,
                         .dev = &a};
    struct region two = {
        .name = "two", .base = 0x1080, .size_bytes = 0x20, .priority = 2, .ops = &plain, .dev = &b};
    assert_int_equal(bus_add(w.bus, &two), 0);
    assert_int_equal(bus_add(w.bus, &ram), 0);
    assert_int_equal(bus_add(w.bus, &one), 0);
    assert_int_equal(bus_add(w.bus, &one), -EBUSY);
    check_view(w.bus, 5,
               (const uint64_t[][3]){{0, 0xfff, 0},
                                     {0x1000, 0x107f, 0},
                                     {0x1080, 0x109f, 0},
                                     {0x10a0, 0x10ff, 0xa0},
                                     {0x1100, MIB(1) - 1, 0x1100}});
    assert_int_equal(bus_read(w.bus, 0x1000, 1), 0x11);
    assert_int_equal(bus_read(w.bus, 0x1080, 1), 0x22);
    bus_remove(w.bus, &two);
    bus_remove(w.bus, &two);
    check_view(
        w.bus, 3,
        (const uint64_t[][3]){{0, 0xfff, 0}, {0x1000, 0x10ff, 0}, {0x1100, MIB(1) - 1, 0x1100}});
    bus_remove(w.bus, &one);
    check_view(w.bus, 1, (const uint64_t[][3]){{0, MIB(1) - 1, 0}});
    world_done(&w);
    assert_false(ram.mapped);
}

/* With equal priority the one laid last is in front, and stays so when others change. */
static void equal_priority(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe a = {.reg = {1}}, b = {.reg = {2}};
    struct region one = {.size_bytes = 16, .priority = 1, .ops = &plain, .dev = &a};
    struct region two = {.size_bytes = 16, .priority = 1, .ops = &plain, .dev = &b};
    bus_add(w.bus, &one);
    bus_add(w.bus, &two);
    assert_int_equal(bus_read(w.bus, 0, 1), 2);
    bus_remove(w.bus, &one);
    bus_add(w.bus, &one);
    assert_int_equal(bus_read(w.bus, 0, 1), 1);
    world_done(&w);
}

/* Against a model: random regions come and go, every address has the right owner. */
static void random_maps(void **ctx)
{
    (void)ctx;
    struct world w;
    assert_int_equal(bus_new("small", 256, NULL, &w.bus), 0);
    static struct probe p[12];
    struct region r[12];
    uint64_t seed = 12345;
    unsigned stamp[12] = {0};
    for (unsigned i = 0; i < 12; i++)
        r[i] = (struct region){.ops = &plain, .dev = &p[i]};
    for (unsigned step = 1; step < 3000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned i = (unsigned)(seed >> 33) % 12;
        if (r[i].mapped) {
            bus_remove(w.bus, &r[i]);
        } else {
            r[i].base = seed >> 40 & 255;
            r[i].size_bytes = seed >> 48 & 127;
            r[i].priority = (int)(seed >> 56 & 3);
            if ((seed >> 60) == 15)
                r[i].size_bytes = UINT64_MAX; /* clipped at the end of the bus */
            assert_int_equal(bus_add(w.bus, &r[i]), 0);
            stamp[i] = step;
        }
        struct bus_view *v = bus_view_get(w.bus);
        for (unsigned addr = 0; addr < 300; addr++) {
            int best = -1;
            for (int k = 0; k < 12; k++)
                if (addr < 256 && r[k].mapped && addr >= r[k].base &&
                    addr - r[k].base < r[k].size_bytes &&
                    (best < 0 || r[k].priority > r[best].priority ||
                     (r[k].priority == r[best].priority && stamp[k] > stamp[best])))
                    best = k;
            const struct bus_range *f = bus_view_find(v, addr);
            assert_ptr_equal(f ? f->region : NULL, best < 0 ? NULL : &r[best]);
            if (f)
                assert_int_equal(f->region_offset + addr - f->base, addr - r[best].base);
        }
        bus_view_put(v);
    }
    bus_free(w.bus);
}

/* A 16-bit device register block behind 8-bit chips: `in ax` gives two registers. */
static void split(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe p = {.reg = {1, 2, 3, 4, 5, 6, 7, 8}};
    struct region r = {.size_bytes = 64, .ops = &bytes_only, .dev = &p};
    bus_add(w.bus, &r);
    assert_true(bus_read(w.bus, 1, 4) == 0x05040302);
    assert_int_equal(p.count, 4);
    assert_int_equal(p.log[0].offset, 1);
    assert_int_equal(p.log[3].offset, 4);
    p.count = 0;
    bus_write(w.bus, 8, 8, 0x8877665544332211);
    assert_int_equal(p.count, 8);
    assert_int_equal(p.log[0].value, 0x11);
    assert_int_equal(p.log[7].value, 0x88);
    world_done(&w);
}

/* Byte access to a register that is only 32 bits wide. */
static void widen(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe p = {.reg = {1, 2, 3, 4, 5, 6, 7, 8}}, m = {.reg = {1, 2, 3, 4, 5, 6, 7, 8}};
    struct region r = {.size_bytes = 64, .ops = &words, .dev = &p};
    struct region s = {.base = 64, .size_bytes = 64, .ops = &merged, .dev = &m};
    bus_add(w.bus, &r);
    bus_add(w.bus, &s);
    assert_int_equal(bus_read(w.bus, 2, 1), 3);
    assert_int_equal(p.log[0].offset, 0);
    assert_int_equal(p.log[0].size, 4);
    assert_int_equal(bus_read(w.bus, 3, 2), 0x0504);
    assert_true(bus_read(w.bus, 0, 8) == 0x0807060504030201);

    p.count = 0;
    bus_write(w.bus, 1, 1, 0xaa);
    assert_int_equal(p.count, 1);
    assert_true(p.log[0].offset == 0 && p.log[0].size == 4 && p.log[0].value == 0xaa00);
    bus_write(w.bus, 64 + 3, 2, 0xbbcc);
    assert_int_equal(le32_get(m.reg), 0xcc030201);
    assert_int_equal(le32_get(m.reg + 4), 0x080706bb);
    world_done(&w);
}

/* An access over the edge of two devices, or of RAM and nothing, is divided at the edge. */
static void straddle(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe a = {.reg = {0, 0, 0, 0x33}}, b = {.reg = {0x44, 0x55}};
    struct region one = {.base = 0x200000, .size_bytes = 4, .ops = &plain, .dev = &a};
    struct region two = {.base = 0x200004, .size_bytes = 2, .ops = &plain, .dev = &b};
    struct region ram = {.size_bytes = MIB(1), .kind = REGION_RAM};
    bus_add(w.bus, &one);
    bus_add(w.bus, &two);
    bus_add(w.bus, &ram);
    assert_true(bus_read(w.bus, 0x200003, 4) == 0xff554433);
    bus_write(w.bus, 0x200003, 4, 0x01020304);
    assert_true(a.reg[3] == 4 && b.reg[0] == 3 && b.reg[1] == 2);
    w.ram->host[MIB(1) - 1] = 0x77;
    assert_true(bus_read(w.bus, MIB(1) - 1, 2) == 0xff77);
    /* At the very end of the bus, and past it, nothing answers and nothing wraps to 0. */
    assert_true(bus_read(w.bus, (1ULL << 40) - 1, 4) == 0xffffffff);
    assert_true(bus_read(w.bus, UINT64_MAX, 8) == UINT64_MAX);
    bus_write(w.bus, UINT64_MAX, 8, 0);
    bus_write(w.bus, UINT64_MAX - 3, 8, 0);
    assert_int_equal(w.ram->host[0], 0);
    world_done(&w);
}

/* RAM written by a processor's slow path is seen by display and migration; ROM is not changed. */
static void ram_and_rom(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct probe p = {0};
    struct region ram = {.size_bytes = 0x8000, .kind = REGION_RAM, .ram_offset = 0x10000};
    struct region rom = {
        .base = 0xe0000, .size_bytes = 0x1000, .kind = REGION_ROM, .ram_offset = 0x20000};
    struct region flash = {.base = 0xf0000,
                           .size_bytes = 64,
                           .kind = REGION_ROM,
                           .ram_offset = 0x21000,
                           .ops = &plain,
                           .dev = &p};
    struct region beyond = {.size_bytes = MIB(1), .kind = REGION_RAM, .ram_offset = 1};
    struct region wraps = {.size_bytes = UINT64_MAX, .kind = REGION_RAM, .ram_offset = 16};
    bus_add(w.bus, &ram);
    bus_add(w.bus, &rom);
    bus_add(w.bus, &flash);
    assert_int_equal(bus_add(w.bus, &beyond), -EINVAL);
    assert_int_equal(bus_add(w.bus, &wraps), -EINVAL);
    static const unsigned sizes[] = {1, 2, 4, 8};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t v = 0x8182838485868788ULL;
        bus_write(w.bus, 0x100 + 16 * i, sizes[i], v);
        assert_true(bus_read(w.bus, 0x100 + 16 * i, sizes[i]) == bytes_mask(v, sizes[i]));
        assert_int_equal(w.ram->host[0x10100 + 16 * i + sizes[i]], 0);
    }
    assert_int_equal(*ram_flags(w.ram, 0x10100), RAM_DIRTY_ALL);
    assert_int_equal(*ram_flags(w.ram, 0x11000), 0);
    w.ram->host[0x20010] = 0x5a;
    bus_write(w.bus, 0xe0010, 4, 0);
    assert_int_equal(bus_read(w.bus, 0xe0010, 1), 0x5a);
    bus_write(w.bus, 0xf0004, 2, 0x1234);
    assert_true(p.count == 1 && p.log[0].offset == 4 && p.log[0].value == 0x1234);
    assert_int_equal(bus_read(w.bus, 0xf0004, 2), 0);
    world_done(&w);
}

/* A PCI BAR is moved by a write that goes through the very region that moves. */
static void moves_itself(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct region r = {.base = 0x1000, .size_bytes = 16, .ops = &bytes_only};
    struct probe p = {.bus = w.bus, .move = &r, .to = 0x5000};
    r.dev = &p;
    bus_add(w.bus, &r);
    struct bus_view *old = bus_view_get(w.bus);
    bus_write(w.bus, 0x1000, 4, 0x04030201);
    assert_true(le32_get(p.reg) == 0x04030201); /* the split write went on to its end */
    assert_true(bus_read(w.bus, 0x1000, 1) == 0xff);
    assert_int_equal(bus_read(w.bus, 0x5000, 1), 1);
    assert_non_null(bus_view_find(old, 0x1000)); /* a reader keeps what it has taken */
    assert_null(bus_view_find(old, 0x5000));
    bus_view_put(old);
    world_done(&w);
}

static void count_up(void *ctx)
{
    (*(unsigned *)ctx)++;
}

/* Programming six BARs at once is one change for the engine's caches, not twelve. */
static void batch(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    unsigned changes = 0;
    struct probe p = {0};
    struct region r[6];
    bus_watch(w.bus, count_up, &changes);
    bus_begin(w.bus);
    bus_begin(w.bus);
    for (unsigned i = 0; i < 6; i++) {
        r[i] = (struct region){.base = 64 * i, .size_bytes = 32, .ops = &plain, .dev = &p};
        assert_int_equal(bus_add(w.bus, &r[i]), 0);
    }
    bus_commit(w.bus);
    assert_int_equal(changes, 0);
    assert_int_equal(bus_read(w.bus, 0, 1), 0xff);
    bus_commit(w.bus);
    assert_int_equal(changes, 1);
    assert_int_equal(bus_read(w.bus, 0, 1), 0);
    bus_begin(w.bus);
    bus_commit(w.bus);
    assert_int_equal(changes, 1);
    world_done(&w);
}

static void silent_device(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct region r = {.size_bytes = 16, .ops = &mute};
    bus_add(w.bus, &r);
    assert_true(bus_read(w.bus, 0, 4) == 0xffffffff);
    bus_write(w.bus, 0, 4, 1);
    world_done(&w);
}

struct racer {
    struct bus *bus;
    _Atomic bool stop;
    uint64_t seen;
};

static void *race_reader(void *arg)
{
    struct racer *r = arg;
    while (!r->stop) {
        uint64_t v = bus_read(r->bus, 0x100, 4);
        struct bus_view *view = bus_view_get(r->bus);
        const struct bus_range *f = bus_view_find(view, 0x100);
        if (v != 0x5a5a5a5a || !f)
            abort();
        bus_view_put(view);
        r->seen++;
    }
    return NULL;
}

/* One vCPU moves a BAR while another reads RAM: no crash, no torn map, and no lock. */
static void change_while_read(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w);
    struct region ram = {.size_bytes = 0x1000, .kind = REGION_RAM};
    struct probe p = {0};
    struct region r = {.base = 0x2000, .size_bytes = 16, .ops = &plain, .dev = &p};
    memset(w.ram->host, 0x5a, 0x1000);
    bus_add(w.bus, &ram);
    struct racer racer = {.bus = w.bus};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, race_reader, &racer), 0);
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(bus_add(w.bus, &r), 0);
        bus_remove(w.bus, &r);
    }
    racer.stop = true;
    pthread_join(thread, NULL);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlap),
        cmocka_unit_test(equal_priority),
        cmocka_unit_test(random_maps),
        cmocka_unit_test(split),
        cmocka_unit_test(widen),
        cmocka_unit_test(straddle),
        cmocka_unit_test(ram_and_rom),
        cmocka_unit_test(moves_itself),
        cmocka_unit_test(batch),
        cmocka_unit_test(silent_device),
        cmocka_unit_test(change_while_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
