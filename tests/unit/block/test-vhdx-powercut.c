/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The power fails at every write of a busy VHDX, and any part of what had not been flushed is lost.
 * What a user would miss: the disk opens again, by its log, everything that the guest had flushed
 * is there, and no sector holds what was never written to it. And a file that contradicts itself
 * is not written to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "block/copy.h"
#include "block/raw.h"
#include "block/vhdx.h"
#include "fake-file.h"

/* One sector of each so many bytes is used: four blocks, and all that is in between. */
#define SECTORS 16u
#define STRIDE (256u << 10)
#define DISK_BYTES (SECTORS * STRIDE)
#define ROOM (14u << 20)
#define STEPS 24
#define PARAMETERS_AT ((2u << 20) + 65536u)
#define TABLE_AT (3u << 20)

struct model {
    uint8_t flushed[SECTORS];
    bool maybe[SECTORS][256];
};

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static uint8_t parent_value(unsigned sector)
{
    return (uint8_t)(100 + sector);
}

static struct blk *make_parent(void)
{
    struct fake_file *f = fake_new(DISK_BYTES);
    struct blk *blk = NULL;
    for (unsigned i = 0; i < SECTORS; i++)
        memset(f->now + i * STRIDE, parent_value(i), 512);
    f->now_bytes = DISK_BYTES;
    if (raw_new(&f->file, DISK_BYTES, true, RAW_PLAIN, &blk) < 0)
        abort();
    return blk;
}

static int try_open(struct fake_file *f, bool child, bool readonly, struct blk **ret_blk)
{
    struct error err = {""};
    struct blk *parent = child ? make_parent() : NULL;
    f->keep = true;
    int r = vhdx_open(&f->file, readonly, parent, ret_blk, &err);
    if (r < 0)
        blk_close(parent);
    return r;
}

static struct blk *open_disk(struct fake_file *f, bool child, bool readonly)
{
    struct blk *blk = NULL;
    assert_int_equal(try_open(f, child, readonly, &blk), 0);
    return blk;
}

/* An empty disk; a child's says that it has a parent. */
static struct fake_file *make_disk(bool child)
{
    struct fake_file *f = fake_new(ROOM);
    struct vhdx_new what = {.size_bytes = DISK_BYTES, .block_bytes = 1 << 20};
    struct error err;
    uint8_t flags[4];
    assert_int_equal(vhdx_format(&f->file, &what, &err), 0);
    le32_put(flags, 2);
    if (child)
        assert_int_equal(file_write(&f->file, flags, 4, PARAMETERS_AT + 4), 0);
    fake_flush(&f->file);
    return f;
}

static void one_step(struct blk *blk, struct model *m, uint64_t *seed, uint8_t value)
{
    uint8_t buf[512];
    unsigned i = (unsigned)(next(seed) % SECTORS);
    unsigned kind = (unsigned)(next(seed) % 6);
    if (kind == 0) {
        uint8_t now[SECTORS];
        for (unsigned k = 0; k < SECTORS; k++) {
            if (blk_pread(blk, buf, sizeof(buf), k * STRIDE) < 0)
                return;
            now[k] = buf[0];
        }
        if (blk_flush(blk) < 0)
            return;
        memset(m->maybe, 0, sizeof(m->maybe));
        memcpy(m->flushed, now, sizeof(now));
        return;
    }
    m->maybe[i][kind == 1 ? 0 : value] = true;
    memset(buf, value, sizeof(buf));
    if (kind == 1)
        blk_zero(blk, sizeof(buf), i * STRIDE);
    else
        blk_pwrite(blk, buf, sizeof(buf), i * STRIDE);
}

static void check_disk(struct blk *blk, const struct model *m, bool child, unsigned cut,
                       uint64_t seed)
{
    uint8_t buf[512], beside[512];
    for (unsigned i = 0; i < SECTORS; i++) {
        assert_int_equal(blk_pread(blk, buf, sizeof(buf), i * STRIDE), 0);
        uint8_t v = buf[0];
        if (v != m->flushed[i] && !m->maybe[i][v])
            fail_msg("%s, seed %lu, power cut at write %u: sector %u is %u, flushed %u",
                     child ? "child" : "disk", (unsigned long)seed, cut, i, v, m->flushed[i]);
        for (unsigned k = 1; k < 512; k++)
            assert_int_equal(buf[k], v);
        /* What nobody wrote to is as it was. */
        assert_int_equal(blk_pread(blk, beside, sizeof(beside), i * STRIDE + 512), 0);
        for (unsigned k = 0; k < 512; k++)
            assert_int_equal(beside[k], 0);
    }
}

/* Returns false when the script ended before the cut. */
static bool run_cut(bool child, uint64_t seed, unsigned cut)
{
    static struct model m;
    struct fake_file *f = make_disk(child);
    uint64_t chance = seed;
    struct vhdx_header header;
    uint8_t buf[512];
    static const uint8_t none[VHDX_ID_BYTES];
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; child && i < SECTORS; i++)
        m.flushed[i] = parent_value(i);
    struct blk *blk = open_disk(f, child, false);
    f->cut_at = f->changes + cut;
    for (unsigned i = 0; i < STEPS && !f->dead; i++)
        one_step(blk, &m, &chance, (uint8_t)(i + 1));
    bool happened = f->dead;
    blk_close(blk);
    happened |= f->dead;

    fake_power_on(f, seed ^ (cut * 0x9e3779b97f4a7c15ULL));
    blk = open_disk(f, child, true); /* with the log in memory */
    check_disk(blk, &m, child, cut, seed);
    blk_close(blk);
    blk = open_disk(f, child, false); /* and with the log put into the file */
    check_disk(blk, &m, child, cut, seed);
    memset(buf, 0xcc, sizeof(buf));
    assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), STRIDE + 3 * 512), 0);
    blk_close(blk);
    assert_int_equal(vhdx_read_header(&f->file, &header, NULL), 0);
    assert_memory_equal(header.log_id, none, sizeof(none));
    blk = open_disk(f, child, true);
    check_disk(blk, &m, child, cut, seed);
    assert_int_equal(blk_pread(blk, buf, sizeof(buf), STRIDE + 3 * 512), 0);
    assert_int_equal(buf[0], 0xcc);
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
    return happened;
}

static void every_write(bool child)
{
    unsigned cuts = 0, seeds = getenv("YADO_SOAK") ? 12 : 1;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        unsigned cut = 1;
        while (run_cut(child, seed, cut))
            cut++;
        cuts += cut;
    }
    assert_true(cuts > 30);
}

static void dynamic(void **ctx)
{
    (void)ctx;
    every_write(false);
}

/* Here zeroes would be wrong: what is not in the child is the parent's. */
static void differencing(void **ctx)
{
    (void)ctx;
    every_write(true);
}

/* Writes of any length, discards and zeroes, against a plain array; the log goes round and round. */
/* ---- a child is merged into its parent ---- */

static struct blk *open_over(struct fake_file *f, struct blk *parent, bool readonly)
{
    struct blk *blk = NULL;
    struct error err = {""};
    f->keep = true;
    if (vhdx_open(&f->file, readonly, parent, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void fill(struct blk *blk, uint8_t value, unsigned first, unsigned step)
{
    uint8_t buf[512];
    memset(buf, value, sizeof(buf));
    for (unsigned i = first; i < SECTORS; i += step)
        assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), i * STRIDE), 0);
    blk_close(blk);
}

static void is_merged(struct blk *blk, unsigned cut)
{
    uint8_t buf[1024];
    for (unsigned i = 0; i < SECTORS; i++) {
        uint8_t wanted = i % 3 == 1 ? 0xc0 : i % 2 ? 0xb0 : parent_value(i);
        assert_int_equal(blk_pread(blk, buf, sizeof(buf), i * STRIDE), 0);
        for (unsigned k = 0; k < sizeof(buf); k++)
            if (buf[k] != (k < 512 ? wanted : 0))
                fail_msg("cut at %u: byte %u of sector %u is %u", cut, k, i, buf[k]);
    }
    blk_close(blk);
}

/* Returns false when the merge ended before the cut. */
static bool merge_cut(unsigned cut)
{
    struct fake_file *f = make_disk(true), *child = make_disk(true);
    struct vhdx_header before, after;
    struct error err;
    fill(open_disk(f, true, false), 0xb0, 1, 2);
    fill(open_over(child, open_disk(f, true, true), false), 0xc0, 1, 3);
    assert_int_equal(vhdx_read_header(&f->file, &before, NULL), 0);
    f->file.merging = true;
    f->cut_at = f->changes + cut;
    bool happened = true;
    struct blk *to, *blk = NULL, *parent = make_parent();
    if (vhdx_open(&f->file, false, parent, &to, &err) == 0) {
        blk = open_over(child, to, true);
        int r = copy_changes(blk, to, 0, NULL, &err);
        r = r < 0 ? r : blk_flush(to);
        happened = f->dead;
        assert_true(happened || r == 0);
        blk_close(blk);
    } else {
        blk_close(parent);
    }
    fake_power_on(f, cut * 977);
    /* The child's contents are whole, its parent is the one that it knows, and it can go on. */
    is_merged(open_over(child, open_disk(f, true, true), true), cut);
    assert_int_equal(vhdx_read_header(&f->file, &after, NULL), 0);
    assert_memory_equal(after.data_write_id, before.data_write_id, VHDX_ID_BYTES);
    to = open_disk(f, true, false);
    blk = open_over(child, to, true);
    assert_int_equal(copy_changes(blk, to, 0, NULL, &err), 0);
    blk_close(blk);
    is_merged(open_disk(f, true, true), cut);
    free(f->file.name);
    fake_free(f);
    free(child->file.name);
    fake_free(child);
    return happened;
}

static void merge(void **ctx)
{
    (void)ctx;
    unsigned cut = 1;
    while (merge_cut(cut))
        cut++;
    assert_true(cut > 8);
}

static void any_writes(void **ctx)
{
    static uint8_t model[DISK_BYTES], have[DISK_BYTES], buf[200000];
    (void)ctx;
    for (unsigned child = 0; child < 2; child++) {
        struct fake_file *f = make_disk(child);
        uint64_t seed = 5 + child;
        memset(model, 0, sizeof(model));
        for (unsigned i = 0; child && i < SECTORS; i++)
            memset(model + i * STRIDE, parent_value(i), 512);
        struct blk *blk = open_disk(f, child, false);
        for (unsigned i = 0; i < 300; i++) {
            uint64_t at = next(&seed) % DISK_BYTES;
            uint64_t len = 1 + next(&seed) % (i % 3 ? 3000 : sizeof(buf));
            len = MIN(len, DISK_BYTES - at);
            unsigned kind = (unsigned)(next(&seed) % 8);
            memset(buf, (int)i, len);
            if (kind == 0) {
                assert_int_equal(blk_zero(blk, len, at), 0);
                memset(model + at, 0, len);
            } else {
                assert_int_equal(blk_pwrite(blk, buf, len, at), 0);
                memcpy(model + at, buf, len);
            }
            if (kind < 3)
                assert_int_equal(blk_flush(blk), 0);
            if (i % 60 == 59) {
                blk_close(blk);
                blk = open_disk(f, child, false);
            }
        }
        assert_int_equal(blk_pread(blk, have, sizeof(have), 0), 0);
        assert_memory_equal(have, model, sizeof(model));
        blk_close(blk);
        free(f->file.name);
        fake_free(f);
    }
}

/* Two blocks in one place, or one over the table: it can be read, but not written to. */
static void hostile(void **ctx)
{
    static const uint64_t entries[][2] = {{(4u << 20) | 6, (4u << 20) | 6},
                                          {(3u << 20) | 6, 0},
                                          {(1u << 20) | 6, 0},
                                          {(200ull << 20) | 6, 0}};
    (void)ctx;
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        struct fake_file *f = make_disk(false);
        struct blk *blk = NULL;
        uint8_t raw[16];
        le64_put(raw, entries[i][0]);
        le64_put(raw + 8, entries[i][1]);
        assert_int_equal(file_write(&f->file, raw, sizeof(raw), TABLE_AT), 0);
        assert_int_equal(f->file.ops->truncate(&f->file, 6u << 20), 0);
        unsigned changes = f->changes;
        assert_int_equal(try_open(f, false, false, &blk), -EBADMSG);
        assert_int_equal(f->changes, changes);
        assert_int_equal(try_open(f, false, true, &blk), 0);
        blk_close(blk);
        free(f->file.name);
        fake_free(f);
    }
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr)) /* repairs are reported there */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dynamic),    cmocka_unit_test(differencing), cmocka_unit_test(merge),
        cmocka_unit_test(any_writes), cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
