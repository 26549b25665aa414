/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The power fails at every single write of a busy dynamic or differencing VHD, and any part of what had not been
 * flushed is lost. What a user would miss: the disk opens again, everything that the guest had
 * flushed is there, and no sector holds what was never written to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "block/raw.h"
#include "block/vhd.h"
#include "fake-file.h"

#define SECTORS 90u /* 11 blocks of 4 KiB and a part of one */
#define ROOM (160u << 10)
#define STEPS 40

/* For each sector: its flushed contents, and those it may have had since. */
struct model {
    uint8_t flushed[SECTORS];
    bool maybe[SECTORS][256];
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

/* A parent that has something else in every sector. */
static uint8_t parent_value(unsigned sector)
{
    return (uint8_t)(100 + sector);
}

static struct blk *make_parent(void)
{
    struct fake_file *f = fake_new(SECTORS * 512);
    struct blk *blk = NULL;
    for (unsigned i = 0; i < SECTORS; i++)
        memset(f->now + i * 512, parent_value(i), 512);
    f->now_bytes = SECTORS * 512;
    if (raw_new(&f->file, SECTORS * 512, true, RAW_PLAIN, &blk) < 0)
        abort();
    return blk;
}

static struct blk *open_disk(struct fake_file *f, bool readonly)
{
    struct vhd_footer footer;
    uint64_t at = 0;
    struct blk *blk = NULL;
    struct error err;
    f->keep = true;
    int r = vhd_probe(&f->file, &footer, &at, &err);
    if (r == 1)
        r = vhd_open(&f->file, &footer, at, readonly,
                     footer.type == VHD_DIFFERENCING ? make_parent() : NULL, &blk, &err);
    if (r != 0)
        fail_msg("%s", err.text);
    return blk;
}

static void settle(struct model *m)
{
    memset(m->maybe, 0, sizeof(m->maybe));
}

static void one_step(struct blk *blk, struct model *m, uint64_t *seed, uint8_t value)
{
    uint8_t buf[SECTORS * 512];
    unsigned first = (unsigned)(next(seed) % SECTORS);
    unsigned count = 1 + (unsigned)(next(seed) % 20);
    unsigned kind = (unsigned)(next(seed) % 8);
    count = MIN(count, SECTORS - first);
    if (kind == 0) {
        /* What has been written up to now is what must be found, once the flush is done. */
        uint8_t now[SECTORS * 512];
        if (blk_pread(blk, now, sizeof(now), 0) == 0 && blk_flush(blk) == 0) {
            settle(m);
            for (unsigned i = 0; i < SECTORS; i++)
                m->flushed[i] = now[i * 512];
        }
        return;
    }
    struct blk_req req = {
        .op = BLK_WRITE_ZEROES, .offset_bytes = first * 512, .len_bytes = count * 512};
    if (kind == 1) {
        for (unsigned i = first; i < first + count; i++)
            m->maybe[i][0] = true;
        blk->ops->run(blk, &req);
        return;
    }
    for (unsigned i = first; i < first + count; i++)
        m->maybe[i][value] = true;
    memset(buf, value, count * 512);
    blk_pwrite(blk, buf, count * 512, first * 512);
}

static void check_disk(struct blk *blk, const struct model *m, unsigned cut, uint64_t seed)
{
    uint8_t buf[SECTORS * 512];
    assert_int_equal(blk_pread(blk, buf, sizeof(buf), 0), 0);
    for (unsigned i = 0; i < SECTORS; i++) {
        uint8_t v = buf[i * 512];
        if (v != m->flushed[i] && !m->maybe[i][v])
            fail_msg("seed %lu, power cut at write %u: sector %u is %u, flushed %u",
                     (unsigned long)seed, cut, i, v, m->flushed[i]);
        for (unsigned k = 1; k < 512; k++)
            if (buf[i * 512 + k] != v)
                fail_msg("seed %lu, power cut at write %u: sector %u is torn", (unsigned long)seed,
                         cut, i);
    }
}

/* Returns false when the script ended before the cut. */
static bool run_cut(enum vhd_type type, uint64_t seed, unsigned cut)
{
    static struct model m;
    struct fake_file *f = fake_new(ROOM);
    uint64_t chance = seed;
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; type == VHD_DIFFERENCING && i < SECTORS; i++)
        m.flushed[i] = parent_value(i);
    fake_make(f, type, SECTORS * 512, 4096);
    f->cut_at = f->changes + cut;
    struct blk *blk = open_disk(f, false);
    for (unsigned i = 0; i < STEPS && !f->dead; i++)
        one_step(blk, &m, &chance, (uint8_t)(i + 1));
    bool cut_happened = f->dead;
    blk_close(blk);

    fake_power_on(f, seed ^ (cut * 0x9e3779b97f4a7c15ULL));
    blk = open_disk(f, true);
    check_disk(blk, &m, cut, seed);
    blk_close(blk);

    /* And it can be used on: written, closed, and opened by its end footer again. */
    blk = open_disk(f, false);
    check_disk(blk, &m, cut, seed);
    uint8_t buf[SECTORS * 512];
    memset(buf, 0xcc, sizeof(buf));
    assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), 0), 0);
    blk_close(blk);
    struct vhd_footer footer;
    uint64_t at;
    assert_int_equal(vhd_probe(&f->file, &footer, &at, NULL), 1);
    assert_int_equal(at, f->now_bytes - 512);
    blk = open_disk(f, false);
    memset(buf, 0, sizeof(buf));
    assert_int_equal(blk_pread(blk, buf, sizeof(buf), 0), 0);
    for (unsigned i = 0; i < sizeof(buf); i++)
        assert_int_equal(buf[i], 0xcc);
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
    return cut_happened;
}

static void every_write(enum vhd_type type)
{
    unsigned cuts = 0;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        unsigned cut = 1;
        while (run_cut(type, seed, cut))
            cut++;
        cuts += cut;
    }
    assert_true(cuts > 600);
}

static void dynamic(void **ctx)
{
    (void)ctx;
    every_write(VHD_DYNAMIC);
}

/* Here zeroes would be wrong: what is not in the child is the parent's. */
static void differencing(void **ctx)
{
    (void)ctx;
    every_write(VHD_DIFFERENCING);
}

/* The host's disk fills up: the write fails, the image stays whole, and later writes succeed. */
static void disk_full(void **ctx)
{
    (void)ctx;
    for (uint64_t full = 2048; full < 14000; full += 256) {
        struct fake_file *f = fake_new(ROOM);
        uint8_t buf[4096], back[4096];
        fake_make_dynamic(f, SECTORS * 512, 4096);
        struct blk *blk = open_disk(f, false);
        memset(buf, 1, sizeof(buf));
        f->full_bytes = MAX(full, f->now_bytes);
        int r = blk_pwrite(blk, buf, sizeof(buf), 0);
        int r2 = blk_pwrite(blk, buf, sizeof(buf), 8192);
        blk_close(blk);
        blk = open_disk(f, false);
        assert_int_equal(blk_pread(blk, back, sizeof(back), 0), 0);
        assert_int_equal(back[0], r == 0 ? 1 : 0);
        assert_int_equal(blk_pread(blk, back, sizeof(back), 8192), 0);
        assert_int_equal(back[0], r2 == 0 ? 1 : 0);
        f->full_bytes = 0;
        assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), 8192), 0);
        assert_int_equal(blk_pread(blk, back, sizeof(back), 8192), 0);
        assert_memory_equal(buf, back, sizeof(buf));
        assert_int_equal(blk_pread(blk, back, sizeof(back), 16384), 0);
        assert_int_equal(back[0], 0);
        blk_close(blk);
        free(f->file.name);
        fake_free(f);
    }
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr)) /* hundreds of repairs are reported there */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dynamic),
        cmocka_unit_test(differencing),
        cmocka_unit_test(disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
