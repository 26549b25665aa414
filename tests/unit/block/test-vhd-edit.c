/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHD's structures: resize, reparent, merge, compact, check and repair. A user would
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
#include "block/vhd_tools.h"
#include "fake-file.h"

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

/* ---- resize, cut at every write ---- */

#define ROOM (512u << 10)

static int load(struct fake_file *f, struct vhd_image *image)
{
    struct error err;
    image->file = &f->file;
    int r = vhd_probe(image->file, &image->footer, &image->footer_at, &err);
    if (r == 1 && image->footer.type != VHD_FIXED)
        r = vhd_read_header(image->file, &image->footer, &image->header, &err) == 0;
    return r == 1 ? 0 : -EBADMSG;
}

static struct blk *open_fake(struct fake_file *f)
{
    struct vhd_image image;
    struct blk *blk = NULL;
    struct error err = {""};
    f->keep = true;
    assert_int_equal(load(f, &image), 0);
    if (vhd_open(&f->file, &image.footer, image.footer_at, false, NULL, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void fill(struct fake_file *f, enum vhd_type type, uint64_t size, uint8_t *bytes)
{
    struct error err;
    struct vhd_new what = {.kind = type, .size_bytes = size, .block_bytes = 4096};
    uint64_t seed = size;
    assert_int_equal(vhd_format(&f->file, &what, &err), 0);
    struct blk *blk = open_fake(f);
    for (uint64_t at = 0; at < size; at += 512) {
        if (next(&seed) % 3 == 0)
            continue;
        memset(bytes + at, (int)(at / 512 + 1), 512);
        assert_int_equal(blk_pwrite(blk, bytes + at, 512, at), 0);
    }
    blk_close(blk);
}

/* Returns whether the power was cut. */
static bool resize_cut(enum vhd_type type, uint64_t from, uint64_t to, unsigned cut)
{
    static uint8_t bytes[ROOM], buf[ROOM];
    struct fake_file *f = fake_new(ROOM);
    struct vhd_image image;
    struct error err;
    memset(bytes, 0, sizeof(bytes));
    fill(f, type, from, bytes);
    assert_int_equal(load(f, &image), 0);
    f->cut_at = f->changes + cut;
    int r = vhd_image_resize(&image, to, true, &err);
    bool happened = f->dead;
    assert_true(happened || r == 0);
    fake_power_on(f, cut * 977 + to);
    struct blk *blk = open_fake(f);
    uint64_t size = blk->size_bytes;
    if (happened)
        assert_true(size == from || size == to);
    else
        assert_true(size == to);
    assert_int_equal(blk_pread(blk, buf, size, 0), 0);
    uint64_t same = MIN(from, to);
    if (memcmp(buf, bytes, same) && type != VHD_FIXED)
        fail_msg("type %u, %lu to %lu, cut at %u: contents changed", type, (unsigned long)from,
                 (unsigned long)to, cut);
    for (uint64_t i = from; i < size; i++)
        assert_int_equal(buf[i], type == VHD_FIXED && happened ? buf[i] : 0);
    /* And it can be written to all over. */
    memset(buf, 0x5a, size);
    assert_int_equal(blk_pwrite(blk, buf, size, 0), 0);
    blk_close(blk);
    blk = open_fake(f);
    assert_int_equal(blk_pread(blk, bytes, size, 0), 0);
    assert_memory_equal(buf, bytes, size);
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
    return happened;
}

static void resize_powercut(void **ctx)
{
    (void)ctx;
    static const struct {
        enum vhd_type type;
        unsigned from, to; /* sectors */
    } cases[] = {
        {VHD_DYNAMIC, 40, 41}, {VHD_DYNAMIC, 40, 300}, /* the table still fits into its sector */
        {VHD_DYNAMIC, 37, 38}, {VHD_DYNAMIC, 60, 13},  {VHD_FIXED, 40, 41},
        {VHD_FIXED, 40, 200},  {VHD_FIXED, 60, 13},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned cut = 1;
        while (resize_cut(cases[i].type, cases[i].from * 512ull, cases[i].to * 512ull, cut))
            cut++;
        assert_true(cut > 2);
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
    snprintf(folder, sizeof(folder), "/tmp/yado-edit-XXXXXX");
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
    struct error err;
    if (blk_open(in_folder(name), readonly, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void make(const char *name, const char *parent, uint32_t block_bytes)
{
    struct error err;
    char path[128] = "";
    if (parent)
        snprintf(path, sizeof(path), "%s", in_folder(parent));
    struct vhd_new what = {.kind = parent ? VHD_DIFFERENCING : VHD_DYNAMIC,
                           .size_bytes = DISK_BYTES,
                           .block_bytes = block_bytes,
                           .parent_path = parent ? path : NULL};
    if (vhd_create(in_folder(name), &what, &err) < 0)
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

static void is_sound(const char *name)
{
    struct image_verdict verdict;
    struct error err;
    assert_int_equal(vhd_verify(in_folder(name), false, not_said, NULL, &verdict, &err), 0);
    assert_int_equal(verdict.problems, 0);
}

/* Base, child, grandchild: merged one after the other, the base reads as the last one did. */
static void merge(void **ctx)
{
    (void)ctx;
    struct error err;
    struct blk *blk;
    memset(model, 0, sizeof(model));
    make("base.vhd", NULL, 0);
    scribble("base.vhd", 1);
    make("child.vhd", "base.vhd", 64 << 10);
    make("sibling.vhd", "base.vhd", 0);
    scribble("child.vhd", 2);
    make("grandchild.vhd", "child.vhd", 512 << 10);
    scribble("grandchild.vhd", 3);
    assert_int_equal(image_merge(in_folder("base.vhd"), NULL, NULL, &err), -EINVAL);
    assert_int_equal(image_merge(in_folder("grandchild.vhd"), NULL, NULL, &err), 0);
    assert_int_equal(access(in_folder("grandchild.vhd"), F_OK), -1);
    compare("child.vhd", DISK_BYTES);
    assert_int_equal(image_merge(in_folder("child.vhd"), NULL, NULL, &err), 0);
    compare("base.vhd", DISK_BYTES);
    is_sound("base.vhd");
    /* The other child has not seen this base: it is not opened upon it. */
    assert_int_equal(blk_open(in_folder("sibling.vhd"), true, &blk, &err), -EMEDIUMTYPE);
    assert_int_equal(vhd_reparent(in_folder("sibling.vhd"), in_folder("base.vhd"), false, &err),
                     -EMEDIUMTYPE);
    assert_int_equal(vhd_reparent(in_folder("sibling.vhd"), in_folder("base.vhd"), true, &err), 0);
    compare("sibling.vhd", DISK_BYTES);
    is_sound("sibling.vhd");
}

/* A child that has grown makes its parent grow when it is merged. */
static void merge_larger(void **ctx)
{
    (void)ctx;
    struct error err;
    memset(model, 0, sizeof(model));
    make("base.vhd", NULL, 0);
    scribble("base.vhd", 4);
    make("child.vhd", "base.vhd", 0);
    assert_int_equal(vhd_resize(in_folder("child.vhd"), DISK_BYTES * 2, false, &err), 0);
    struct blk *blk = must_open("child.vhd", false);
    memset(model + DISK_BYTES + 12345, 9, 77777);
    assert_int_equal(blk_pwrite(blk, model + DISK_BYTES + 12345, 77777, DISK_BYTES + 12345), 0);
    blk_close(blk);
    assert_int_equal(image_merge(in_folder("child.vhd"), NULL, NULL, &err), 0);
    compare("base.vhd", DISK_BYTES * 2);
}

static uint64_t file_bytes(const char *name)
{
    struct stat st;
    assert_int_equal(stat(in_folder(name), &st), 0);
    return (uint64_t)st.st_size;
}

static bool stop_halfway(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    return done < total / 2;
}

/* Blocks of zeroes go, and of a child what its parent has as well; contents and ids stay. */
static void compact(void **ctx)
{
    (void)ctx;
    struct error err;
    struct progress half = {stop_halfway, NULL};
    memset(model, 0, sizeof(model));
    make("base.vhd", NULL, 64 << 10);
    struct blk *blk = must_open("base.vhd", false);
    memset(model, 3, DISK_BYTES);
    assert_int_equal(blk_pwrite(blk, model, DISK_BYTES, 0), 0);
    memset(model + (1 << 20), 0, 6 << 20);
    assert_int_equal(blk_pwrite(blk, model, DISK_BYTES, 0), 0);
    blk_close(blk);
    make("child.vhd", "base.vhd", 64 << 10);
    scribble("child.vhd", 5);
    blk = must_open("child.vhd", false);
    assert_int_equal(blk_pwrite(blk, model + (7 << 20), 1 << 20, 7 << 20), 0);
    blk_close(blk);
    uint64_t before = file_bytes("base.vhd");
    assert_int_equal(image_compact(in_folder("base.vhd"), NULL, &half, &err), -ECANCELED);
    assert_int_equal(file_bytes("base.vhd"), before);
    assert_int_equal(image_compact(in_folder("base.vhd"), NULL, NULL, &err), 0);
    assert_true(file_bytes("base.vhd") < before / 2);
    is_sound("base.vhd");
    compare("child.vhd", DISK_BYTES); /* its parent is still its parent */
    before = file_bytes("child.vhd");
    assert_int_equal(image_compact(in_folder("child.vhd"), NULL, NULL, &err), 0);
    assert_true(file_bytes("child.vhd") <= before);
    compare("child.vhd", DISK_BYTES);
    is_sound("child.vhd");
}

/* Growing over the end of the table, and back: contents stay, zeroes come. */
static void resize(void **ctx)
{
    (void)ctx;
    struct error err;
    memset(model, 0, sizeof(model));
    make("a.vhd", NULL, 4096); /* 2048 entries: a table that cannot stay where it is */
    scribble("a.vhd", 6);
    assert_int_equal(vhd_resize(in_folder("a.vhd"), DISK_BYTES - 512, false, &err), -ERANGE);
    assert_int_equal(vhd_resize(in_folder("a.vhd"), DISK_BYTES * 2, false, &err), 0);
    compare("a.vhd", DISK_BYTES * 2);
    is_sound("a.vhd");
    assert_int_equal(vhd_resize(in_folder("a.vhd"), 5 << 20, true, &err), 0);
    compare("a.vhd", 5 << 20);
    assert_int_equal(vhd_resize(in_folder("a.vhd"), DISK_BYTES, false, &err), 0);
    memset(model + (5 << 20), 0, DISK_BYTES - (5 << 20));
    compare("a.vhd", DISK_BYTES);
    assert_int_equal(image_compact(in_folder("a.vhd"), NULL, NULL, &err), 0);
    compare("a.vhd", DISK_BYTES);
    is_sound("a.vhd");
}

static void count_said(void *ctx, const char *text)
{
    (void)text;
    ++*(unsigned *)ctx;
}

static void poke(const char *name, const void *bytes, size_t len, long at, int whence)
{
    FILE *f = fopen(in_folder(name), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, whence), 0);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void repair(void **ctx)
{
    (void)ctx;
    struct image_verdict verdict;
    struct error err;
    uint8_t junk[512] = {1, 2, 3}, entry[4];
    static const struct {
        long at;
        int whence;
    } places[] = {{0, SEEK_SET}, {-512, SEEK_END}};
    memset(model, 0, sizeof(model));
    make("a.vhd", NULL, 0);
    scribble("a.vhd", 7);
    for (unsigned i = 0; i < 2; i++) {
        unsigned said = 0;
        poke("a.vhd", junk, sizeof(junk), places[i].at, places[i].whence);
        assert_int_equal(vhd_verify(in_folder("a.vhd"), false, count_said, &said, &verdict, &err),
                         0);
        assert_true(said == 1 && verdict.problems == 1 && verdict.repaired == 0);
        assert_int_equal(vhd_verify(in_folder("a.vhd"), true, count_said, &said, &verdict, &err),
                         0);
        assert_true(said == 2 && verdict.repaired == 1);
        is_sound("a.vhd");
        compare("a.vhd", DISK_BYTES);
    }
    /* A table entry that points nowhere is dropped: the disk can be written to again. */
    struct blk *blk;
    unsigned said = 0;
    be32_put(entry, 0x00ffffff);
    poke("a.vhd", entry, 4, 1536 + 4, SEEK_SET);
    assert_int_equal(blk_open(in_folder("a.vhd"), false, &blk, &err), -EBADMSG);
    assert_int_equal(vhd_verify(in_folder("a.vhd"), true, count_said, &said, &verdict, &err), 0);
    assert_true(verdict.problems == 1 && verdict.repaired == 1);
    memset(model + (2 << 20), 0, 2 << 20);
    compare("a.vhd", DISK_BYTES);
    is_sound("a.vhd");
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_powercut),
        cmocka_unit_test_setup_teardown(merge, setup, teardown),
        cmocka_unit_test_setup_teardown(merge_larger, setup, teardown),
        cmocka_unit_test_setup_teardown(compact, setup, teardown),
        cmocka_unit_test_setup_teardown(resize, setup, teardown),
        cmocka_unit_test_setup_teardown(repair, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
