/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHDX's structures: resize, reparent, merge, compact, check and repair. A user would
 * miss the disk's contents after any of them, and after a power cut in the middle.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "block/vhdx_edit.h"
#include "fake-file.h"

#define BLOCK (1u << 20)
#define TABLE_AT (3u << 20)

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

/* ---- resize, cut at every write ---- */

#define ROOM (12u << 20)
/* One sector of each so many bytes has contents. */
#define STRIDE (128u << 10)

static uint8_t value(uint64_t at)
{
    return (uint8_t)(at / STRIDE * 7 + 1);
}

static struct blk *open_fake(struct fake_file *f, bool readonly)
{
    struct blk *blk = NULL;
    struct error err = {""};
    f->keep = true;
    if (vhdx_open(&f->file, readonly, NULL, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static struct fake_file *make_fake(bool fixed, uint64_t size)
{
    struct fake_file *f = fake_new(ROOM);
    struct vhdx_new what = {.fixed = fixed, .size_bytes = size, .block_bytes = BLOCK};
    struct error err = {""};
    uint8_t buf[512];
    assert_int_equal(vhdx_format(&f->file, &what, &err), 0);
    struct blk *blk = open_fake(f, false);
    for (uint64_t at = 0; at < size; at += STRIDE) {
        memset(buf, value(at), sizeof(buf));
        assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), at), 0);
    }
    blk_close(blk);
    return f;
}

/* What lies beyond the disk is not zeroes when it was written to before it was cut off. */
static void is_right(struct blk *blk, uint64_t from, unsigned cut)
{
    uint8_t buf[1024];
    for (uint64_t at = 0; at < blk->size_bytes; at += STRIDE) {
        uint64_t len = MIN(sizeof(buf), blk->size_bytes - at);
        assert_int_equal(blk_pread(blk, buf, len, at), 0);
        for (unsigned i = 0; i < len; i++)
            if (buf[i] != (i < 512 && at < from ? value(at) : 0))
                fail_msg("cut at %u: byte %u at %lu is %u", cut, i, (unsigned long)at, buf[i]);
    }
}

/* Returns whether the power was cut. Each is: from its size down to low, and up to high. */
static bool resize_cut(bool fixed, uint64_t from, uint64_t low, uint64_t high, unsigned cut)
{
    struct fake_file *f = make_fake(fixed, from);
    struct error err = {""};
    uint8_t buf[512];
    f->keep = true;
    f->cut_at = f->changes + cut;
    int r = low < from ? vhdx_resize_file(&f->file, low, &err) : 0;
    if (r == 0)
        r = vhdx_resize_file(&f->file, high, &err);
    bool happened = f->dead;
    assert_true(happened || r == 0);
    fake_power_on(f, cut * 977 + high);
    struct blk *blk = open_fake(f, true);
    uint64_t size = blk->size_bytes;
    assert_true(size == high || (happened && (size == from || size == low)));
    is_right(blk, size == from ? from : low, cut);
    blk_close(blk);
    /* And the last sector can be written to. */
    blk = open_fake(f, false);
    memset(buf, 0x5a, sizeof(buf));
    assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), size - sizeof(buf)), 0);
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
    return happened;
}

static void resize_powercut(void **ctx)
{
    (void)ctx;
    static const struct {
        bool fixed;
        unsigned from, low, high; /* sectors of 64 KiB */
    } cases[] = {
        {false, 20, 20, 21}, {false, 40, 40, 90}, {false, 70, 9, 72},
        {true, 20, 20, 60},  {true, 40, 9, 41},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned cut = 1;
        while (resize_cut(cases[i].fixed, cases[i].from * 65536ull, cases[i].low * 65536ull,
                          cases[i].high * 65536ull, cut))
            cut++;
        assert_true(cut > 4);
    }
}

/* ---- on files ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int setup(void **ctx)
{
    (void)ctx;
    snprintf(folder, sizeof(folder), "/tmp/yado-vhdx-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **ctx)
{
    char line[128];
    (void)ctx;
    snprintf(line, sizeof(line), "rm -rf %s", folder);
    return system(line);
}

#define DISK_BYTES (8u << 20)

static uint8_t model[DISK_BYTES * 2], buffer[DISK_BYTES * 2];

static struct blk *must_open(const char *name, bool readonly)
{
    struct blk *blk = NULL;
    struct error err = {""};
    if (blk_open(in_folder(name), readonly, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void make(const char *name, const char *parent, uint64_t size, uint32_t block_bytes)
{
    struct error err = {""};
    char path[128] = "";
    if (parent)
        snprintf(path, sizeof(path), "%s", in_folder(parent));
    struct vhdx_new what = {
        .size_bytes = size, .block_bytes = block_bytes, .parent_path = parent ? path : NULL};
    if (vhdx_create(in_folder(name), &what, &err) < 0)
        fail_msg("%s", err.text);
}

static void scribble(const char *name, uint64_t seed)
{
    struct blk *blk = must_open(name, false);
    for (unsigned i = 0; i < 30; i++) {
        uint64_t at = next(&seed) % DISK_BYTES, len = MIN(next(&seed) % 100000, DISK_BYTES - at);
        if (i % 7 == 0) {
            memset(model + at, 0, len);
            assert_int_equal(blk_zero(blk, len, at), 0);
            continue;
        }
        for (uint64_t k = 0; k < len; k++)
            model[at + k] = (uint8_t)next(&seed);
        assert_int_equal(blk_pwrite(blk, model + at, len, at), 0);
    }
    blk_close(blk);
}

static void compare(const char *name, uint64_t size)
{
    struct blk *blk = must_open(name, true);
    assert_int_equal(blk->size_bytes, size);
    assert_int_equal(blk_pread(blk, buffer, size, 0), 0);
    assert_memory_equal(buffer, model, size);
    blk_close(blk);
}

static void not_said(void *ctx, const char *text)
{
    (void)ctx;
    fail_msg("%s", text);
}

static void count_said(void *ctx, const char *text)
{
    (void)text;
    ++*(unsigned *)ctx;
}

static void is_sound(const char *name)
{
    struct image_verdict verdict;
    struct error err = {""};
    assert_int_equal(image_verify(in_folder(name), false, not_said, NULL, &verdict, &err), 0);
    assert_int_equal(verdict.problems, 0);
}

static bool stop_halfway(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    return done < total / 2;
}

/* Base, child, grandchild: merged one after the other, the base reads as the last one did. */
static void merge(void **ctx)
{
    struct error err = {""};
    struct progress half = {stop_halfway, NULL};
    struct blk *blk;
    (void)ctx;
    memset(model, 0, sizeof(model));
    make("base.vhdx", NULL, DISK_BYTES, BLOCK);
    scribble("base.vhdx", 1);
    make("child.vhdx", "base.vhdx", 0, 0);
    make("sibling.vhdx", "base.vhdx", 0, BLOCK);
    scribble("child.vhdx", 2);
    make("grandchild.vhdx", "child.vhdx", 0, 4 * BLOCK);
    scribble("grandchild.vhdx", 3);
    is_sound("grandchild.vhdx");
    compare("grandchild.vhdx", DISK_BYTES);
    assert_int_equal(image_merge(in_folder("base.vhdx"), NULL, NULL, &err), -EINVAL);
    /* Stopped halfway, the child still reads the same, and the rest can be done. */
    assert_int_equal(image_merge(in_folder("grandchild.vhdx"), NULL, &half, &err), -ECANCELED);
    compare("grandchild.vhdx", DISK_BYTES);
    assert_int_equal(image_merge(in_folder("grandchild.vhdx"), NULL, NULL, &err), 0);
    assert_int_equal(access(in_folder("grandchild.vhdx"), F_OK), -1);
    compare("child.vhdx", DISK_BYTES);
    assert_int_equal(image_merge(in_folder("child.vhdx"), NULL, NULL, &err), 0);
    compare("base.vhdx", DISK_BYTES);
    is_sound("base.vhdx");
    /* The other child has not seen this base: it is not opened upon it. */
    assert_int_equal(blk_open(in_folder("sibling.vhdx"), true, &blk, &err), -EMEDIUMTYPE);
    assert_int_equal(vhdx_reparent(in_folder("sibling.vhdx"), in_folder("base.vhdx"), false, &err),
                     -EMEDIUMTYPE);
    assert_int_equal(vhdx_reparent(in_folder("sibling.vhdx"), in_folder("base.vhdx"), true, &err),
                     0);
    compare("sibling.vhdx", DISK_BYTES);
    is_sound("sibling.vhdx");
}

/* A child that has grown makes its parent grow when it is merged. */
static void merge_larger(void **ctx)
{
    struct error err = {""};
    (void)ctx;
    memset(model, 0, sizeof(model));
    make("base.vhdx", NULL, DISK_BYTES, BLOCK);
    scribble("base.vhdx", 4);
    make("child.vhdx", "base.vhdx", 0, 0);
    assert_int_equal(vhdx_resize(in_folder("child.vhdx"), DISK_BYTES * 2, false, &err), 0);
    struct blk *blk = must_open("child.vhdx", false);
    memset(model + DISK_BYTES + 12345, 9, 77777);
    assert_int_equal(blk_pwrite(blk, model + DISK_BYTES + 12345, 77777, DISK_BYTES + 12345), 0);
    blk_close(blk);
    assert_int_equal(image_merge(in_folder("child.vhdx"), NULL, NULL, &err), 0);
    compare("base.vhdx", DISK_BYTES * 2);
    is_sound("base.vhdx");
}

static uint64_t file_bytes(const char *name)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    return (uint64_t)st.st_size;
}

/* Blocks of zeroes go, and of a child what its parent has as well; contents and ids stay. */
static void compact(void **ctx)
{
    struct error err = {""};
    struct progress half = {stop_halfway, NULL};
    (void)ctx;
    memset(model, 0, sizeof(model));
    make("base.vhdx", NULL, DISK_BYTES, BLOCK);
    struct blk *blk = must_open("base.vhdx", false);
    memset(model, 3, DISK_BYTES);
    assert_int_equal(blk_pwrite(blk, model, DISK_BYTES, 0), 0);
    memset(model + (1 << 20), 0, 6 << 20);
    assert_int_equal(blk_pwrite(blk, model, DISK_BYTES, 0), 0);
    blk_close(blk);
    make("child.vhdx", "base.vhdx", 0, BLOCK);
    scribble("child.vhdx", 5);
    blk = must_open("child.vhdx", false);
    memset(model + (3 << 20), 0, 1 << 20);
    assert_int_equal(blk_pwrite(blk, model + (3 << 20), 1 << 20, 3 << 20), 0);
    blk_close(blk);
    uint64_t before = file_bytes("base.vhdx");
    assert_int_equal(image_compact(in_folder("base.vhdx"), NULL, &half, &err), -ECANCELED);
    assert_int_equal(file_bytes("base.vhdx"), before);
    assert_int_equal(image_compact(in_folder("base.vhdx"), NULL, NULL, &err), 0);
    assert_int_equal(file_bytes("base.vhdx"), before - (6 << 20));
    is_sound("base.vhdx");
    compare("child.vhdx", DISK_BYTES); /* its parent is still its parent */
    before = file_bytes("child.vhdx");
    assert_int_equal(image_compact(in_folder("child.vhdx"), NULL, NULL, &err), 0);
    assert_true(file_bytes("child.vhdx") < before);
    compare("child.vhdx", DISK_BYTES);
    is_sound("child.vhdx");
}

/* Over the end of the table's region, which then is elsewhere; and of a child in mid-chunk. */
static void resize(void **ctx)
{
    struct error err = {""};
    uint64_t large = 200ull << 30; /* a table of more than 1 MiB */
    (void)ctx;
    memset(model, 0, sizeof(model));
    make("a.vhdx", NULL, DISK_BYTES, BLOCK);
    scribble("a.vhdx", 6);
    make("child.vhdx", "a.vhdx", 0, BLOCK);
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), DISK_BYTES - 512, false, &err), -ERANGE);
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), DISK_BYTES + 1, false, &err), -EINVAL);
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), DISK_BYTES * 2, false, &err), 0);
    compare("a.vhdx", DISK_BYTES * 2);
    compare("child.vhdx", DISK_BYTES); /* sees what it saw */
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), large, false, &err), 0);
    is_sound("a.vhdx");
    struct blk *blk = must_open("a.vhdx", false);
    assert_int_equal(blk->size_bytes, large);
    assert_int_equal(blk_pread(blk, buffer, DISK_BYTES, 0), 0);
    assert_memory_equal(buffer, model, DISK_BYTES);
    assert_int_equal(blk_pwrite(blk, buffer, 4096, large - 4096), 0);
    blk_close(blk);
    is_sound("a.vhdx");
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), 5 << 20, true, &err), 0);
    compare("a.vhdx", 5 << 20);
    /* What it was cut off from, its child has had from it. */
    assert_int_equal(blk_open(in_folder("child.vhdx"), true, &blk, &err), -EMEDIUMTYPE);
    assert_int_equal(vhdx_resize(in_folder("a.vhdx"), DISK_BYTES, false, &err), 0);
    memset(model + (5 << 20), 0, DISK_BYTES - (5 << 20));
    compare("a.vhdx", DISK_BYTES);
    is_sound("a.vhdx");

    scribble("a.vhdx", 7);
    make("b.vhdx", "a.vhdx", 0, BLOCK);
    scribble("b.vhdx", 8);
    assert_int_equal(vhdx_resize(in_folder("b.vhdx"), 3 << 20, true, &err), 0);
    compare("b.vhdx", 3 << 20);
    assert_int_equal(vhdx_resize(in_folder("b.vhdx"), DISK_BYTES * 2, false, &err), 0);
    is_sound("b.vhdx");
    blk = must_open("b.vhdx", false);
    assert_int_equal(blk_zero(blk, DISK_BYTES * 2 - (3 << 20), 3 << 20), 0);
    blk_close(blk);
    memset(model + (3 << 20), 0, sizeof(model) - (3 << 20));
    compare("b.vhdx", DISK_BYTES * 2);
    is_sound("b.vhdx");
}

static void poke(const char *name, const void *bytes, size_t len, long at)
{
    FILE *f = fopen(in_folder(name), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* So many problems are found, and mended, and found no more. */
static void is_mended(const char *name, unsigned problems)
{
    struct image_verdict verdict;
    struct error err = {""};
    unsigned said = 0;
    assert_int_equal(image_verify(in_folder(name), false, count_said, &said, &verdict, &err), 0);
    assert_int_equal(verdict.problems, problems);
    assert_int_equal(verdict.repaired, 0);
    assert_int_equal(image_verify(in_folder(name), true, count_said, &said, &verdict, &err), 0);
    assert_int_equal(verdict.repaired, problems);
    assert_int_equal(said, 2 * problems);
    is_sound(name);
}

static void repair(void **ctx)
{
    static const long copies[] = {65536, 131072, 196608, 262144};
    struct error err = {""};
    uint8_t junk[32] = {1, 2, 3}, entry[8];
    struct blk *blk;
    (void)ctx;
    memset(model, 0, sizeof(model));
    make("a.vhdx", NULL, DISK_BYTES, BLOCK);
    scribble("a.vhdx", 7);
    for (unsigned i = 0; i < ARRAY_LEN(copies); i++) {
        poke("a.vhdx", junk, sizeof(junk), copies[i]);
        is_mended("a.vhdx", 1);
        compare("a.vhdx", DISK_BYTES);
    }
    /* Entries that lead nowhere, or say what cannot be, are dropped. */
    le64_put(entry, (4000ull << 20) | 6);
    poke("a.vhdx", entry, 8, TABLE_AT + 8);
    le64_put(entry, (5ull << 20) | 7);
    poke("a.vhdx", entry, 8, TABLE_AT + 24);
    assert_int_equal(blk_open(in_folder("a.vhdx"), false, &blk, &err), -EBADMSG);
    is_mended("a.vhdx", 2);
    memset(model + (1 << 20), 0, 1 << 20);
    memset(model + (3 << 20), 0, 1 << 20);
    compare("a.vhdx", DISK_BYTES);
    /* The bitmap of a chunk: what is there in part is not known any more, the parent's shows. */
    memset(model, 0, sizeof(model));
    make("base.vhdx", NULL, DISK_BYTES, BLOCK);
    scribble("base.vhdx", 8);
    make("child.vhdx", "base.vhdx", 0, BLOCK);
    memcpy(buffer, model, DISK_BYTES);
    blk = must_open("child.vhdx", false);
    assert_int_equal(blk_pwrite(blk, "abc", 3, 12345), 0);
    blk_close(blk);
    le64_put(entry, 0);
    poke("child.vhdx", entry, 8, TABLE_AT + 8 * 4096);
    is_mended("child.vhdx", 1);
    compare("child.vhdx", DISK_BYTES);
    /* Two blocks in one place: which one it is nobody knows. */
    struct image_verdict verdict;
    unsigned said = 0;
    blk = must_open("base.vhdx", false);
    memset(buffer, 1, DISK_BYTES);
    assert_int_equal(blk_pwrite(blk, buffer, DISK_BYTES, 0), 0);
    blk_close(blk);
    le64_put(entry, (4ull << 20) | 6);
    poke("base.vhdx", entry, 8, TABLE_AT);
    poke("base.vhdx", entry, 8, TABLE_AT + 8);
    assert_int_equal(image_verify(in_folder("base.vhdx"), true, count_said, &said, &verdict, &err),
                     0);
    assert_true(verdict.problems > verdict.repaired);
}

/* A VHD has VHD children, a VHDX has VHDX children, and undo disks are made alike. */
static void formats(void **ctx)
{
    struct error err = {""};
    struct image_facts facts;
    const struct image_format *format;
    (void)ctx;
    make("a.vhdx", NULL, DISK_BYTES, 0);
    assert_int_equal(image_create_child(in_folder("b"), in_folder("a.vhdx"), &err), 0);
    assert_int_equal(image_format_of(in_folder("b"), &format, &err), 0);
    assert_string_equal(format->name, "VHDX");
    assert_int_equal(format->look(in_folder("b"), &facts, &err), 0);
    assert_int_equal(facts.kind, IMAGE_DIFFERENCING);
    assert_int_equal(facts.size_bytes, DISK_BYTES);
    struct vhdx_new what = {.parent_path = in_folder("raw")};
    FILE *raw = fopen(what.parent_path, "w");
    assert_non_null(raw);
    assert_int_equal(fwrite(model, 4096, 1, raw), 1);
    fclose(raw);
    assert_int_equal(vhdx_create(in_folder("c"), &what, &err), -EMEDIUMTYPE);
    assert_int_equal(access(in_folder("c"), F_OK), -1);
    assert_int_equal(image_create_child(in_folder("c"), in_folder("raw"), &err), -EMEDIUMTYPE);
    assert_int_equal(image_merge(in_folder("raw"), NULL, NULL, &err), -EMEDIUMTYPE);
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr)) /* repairs are reported there */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_powercut),
        cmocka_unit_test_setup_teardown(merge, setup, teardown),
        cmocka_unit_test_setup_teardown(merge_larger, setup, teardown),
        cmocka_unit_test_setup_teardown(compact, setup, teardown),
        cmocka_unit_test_setup_teardown(resize, setup, teardown),
        cmocka_unit_test_setup_teardown(repair, setup, teardown),
        cmocka_unit_test_setup_teardown(formats, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
