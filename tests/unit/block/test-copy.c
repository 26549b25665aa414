/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole disks by several threads: a user would miss bytes in a copy, an answer that is the same
 * each time, and the end of the work when it is told to stop.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/copy.h"
#include "block/vhd.h"

#define DISK_BYTES (24u << 20)

static char folder[] = "/tmp/yado-copy-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static unsigned n;
    snprintf(path[++n % 4], sizeof(path[0]), "%s/%s", folder, name);
    return path[n % 4];
}

static int setup(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '-'), "-XXXXXX", sizeof("-XXXXXX"));
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"raw", "a.vhd", "b.vhd", "fixed.vhd"};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        unlink(in_folder(names[i]));
    return rmdir(folder);
}

/* Data, zeroes and holes of many lengths. */
static void make_raw(void)
{
    FILE *file = fopen(in_folder("raw"), "w");
    uint64_t seed = 7, at = 0;
    static uint8_t run[300000];
    assert_non_null(file);
    while (at + sizeof(run) < DISK_BYTES) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t len = seed >> 33 & 0x3ffff;
        memset(run, seed >> 60 < 5 ? 0 : (int)(seed >> 50 | 1), len);
        if (seed >> 60 > 3)
            assert_int_equal(fwrite(run, 1, len, file), len);
        else
            assert_int_equal(fseek(file, (long)len, SEEK_CUR), 0);
        at += len;
    }
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), DISK_BYTES), 0);
    fclose(file);
}

static struct blk *open_disk(const char *name, bool building)
{
    struct blk_options options = {.readonly = !building, .building = building};
    struct blk *blk;
    struct error err = {""};
    if (blk_open_with(in_folder(name), &options, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void copy(const char *from, const char *to, enum vhd_type kind)
{
    struct vhd_new what = {.kind = kind, .size_bytes = DISK_BYTES};
    struct error err = {""};
    assert_int_equal(vhd_create(in_folder(to), &what, &err), 0);
    struct blk *a = open_disk(from, false), *b = open_disk(to, true);
    if (copy_disk(a, b, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    blk_close(b);
    blk_close(a);
}

static int compare(const char *a_name, const char *b_name, uint64_t *ret_offset)
{
    struct blk *a = open_disk(a_name, false), *b = open_disk(b_name, false);
    struct error err;
    int r = compare_disks(a, b, NULL, ret_offset, &err);
    blk_close(b);
    blk_close(a);
    return r;
}

static void poke(const char *name, uint64_t at)
{
    struct blk *blk = open_disk(name, true);
    uint8_t byte;
    assert_int_equal(blk_pread(blk, &byte, 1, at), 0);
    byte ^= 0x55;
    assert_int_equal(blk_pwrite(blk, &byte, 1, at), 0);
    blk_close(blk);
}

static void copies(void **state)
{
    uint64_t at = 0;
    (void)state;
    make_raw();
    copy("raw", "a.vhd", VHD_DYNAMIC);
    copy("raw", "fixed.vhd", VHD_FIXED);
    assert_int_equal(compare("raw", "a.vhd", &at), 0);
    assert_int_equal(compare("raw", "fixed.vhd", &at), 0);
    copy("fixed.vhd", "b.vhd", VHD_DYNAMIC);
    assert_int_equal(compare("a.vhd", "b.vhd", &at), 0);
    /* Holes are kept: there is no more in the file than in the disk. */
    struct stat a, b;
    assert_int_equal(stat(in_folder("a.vhd"), &a), 0);
    assert_int_equal(stat(in_folder("b.vhd"), &b), 0);
    assert_int_equal(a.st_size, b.st_size);
    assert_true(a.st_size <= (off_t)(DISK_BYTES + (1u << 20)));
}

/* However the threads are scheduled, blocks lie in the file in the order of the disk. */
static void in_order(void **state)
{
    uint64_t last = 0;
    (void)state;
    make_raw();
    copy("raw", "a.vhd", VHD_DYNAMIC);
    struct blk *blk = open_disk("a.vhd", false);
    for (uint64_t at = 0; at < DISK_BYTES;) {
        struct blk_extent extent;
        assert_int_equal(blk_map(blk, at, DISK_BYTES - at, &extent), 0);
        if (!extent.zero) {
            assert_true(extent.file_offset > last);
            last = extent.file_offset;
        }
        at += extent.len_bytes;
    }
    blk_close(blk);
}

/* It is the first difference that is told, though others are found before it. */
static void first_difference(void **state)
{
    static const uint64_t places[] = {DISK_BYTES - 1, 20u << 20, 5000001, 4999999, 3, 0};
    (void)state;
    make_raw();
    copy("raw", "a.vhd", VHD_DYNAMIC);
    copy("raw", "fixed.vhd", VHD_FIXED);
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        uint64_t at = 0;
        poke("fixed.vhd", places[i]);
        assert_int_equal(compare("a.vhd", "fixed.vhd", &at), 1);
        assert_int_equal(at, places[i]);
    }
}

static bool stop_half_way(void *ctx, uint64_t done, uint64_t total)
{
    *(unsigned *)ctx += 1;
    return done < total / 2;
}

static void cancelled(void **state)
{
    unsigned steps = 0;
    struct progress progress = {.step = stop_half_way, .ctx = &steps};
    struct vhd_new what = {.kind = VHD_DYNAMIC, .size_bytes = DISK_BYTES};
    struct error err = {""};
    (void)state;
    make_raw();
    assert_int_equal(vhd_create(in_folder("a.vhd"), &what, &err), 0);
    struct blk *a = open_disk("raw", false), *b = open_disk("a.vhd", true);
    assert_int_equal(copy_disk(a, b, NULL, &progress, &err), -ECANCELED);
    assert_true(steps > 1);
    blk_close(b);
    blk_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copies, setup, teardown),
        cmocka_unit_test_setup_teardown(in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(first_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
