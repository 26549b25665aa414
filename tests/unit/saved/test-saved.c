/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a saved machine: what was written comes back, under any damage it is refused, and
 * nothing half-written ever has the file's name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "saved/saved_format.h"

#define MEMORY_BYTES (5 * SAVED_CHUNK_BYTES + 3 * 4096)

static char folder[] = "/tmp/yado-test-saved-XXXXXX";
static char path[sizeof(folder) + 16], part[sizeof(folder) + 32];
static uint8_t *memory, *copy;
static const struct saved_part head = {"the manifest", 12}, devices = {"devices", 7};
static struct error err;

static uint8_t *map_pages(void)
{
    uint8_t *p =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    return p;
}

/* A chunk of one value, one of noise, two of zeroes, one with a last byte, and a short one. */
static int group_setup(void **state)
{
    uint32_t seed = 1;

    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/m.saved", folder);
    snprintf(part, sizeof(part), "%s.part", path);
    memory = map_pages();
    copy = map_pages();
    memset(memory, 7, SAVED_CHUNK_BYTES);
    for (size_t i = SAVED_CHUNK_BYTES; i < 2 * SAVED_CHUNK_BYTES; i++)
        memory[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
    memory[5 * SAVED_CHUNK_BYTES - 1] = 1;
    memory[MEMORY_BYTES - 1] = 2;
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    munmap(memory, MEMORY_BYTES);
    munmap(copy, MEMORY_BYTES);
    unlink(path);
    return rmdir(folder);
}

static struct saved_part memory_part(void)
{
    return (struct saved_part){memory, MEMORY_BYTES};
}

static void save(void)
{
    struct saved_part all = memory_part();
    struct saved_progress progress = {0};
    struct saved_out *out;

    assert_int_equal(saved_create(path, &out, &err), 0);
    assert_int_equal(saved_write(out, &head, &devices, &all, &progress, &err), 0);
    assert_int_equal(progress.done_bytes, MEMORY_BYTES);
    assert_int_equal(saved_commit(out, &err), 0);
    saved_out_free(out);
    assert_int_equal(access(part, F_OK), -1);
}

static int load(void)
{
    struct saved_in *in = NULL;
    int r = saved_open(path, &in, &err);

    memset(copy, 0x55, MEMORY_BYTES);
    if (r == 0)
        r = saved_read_memory(in, copy, MEMORY_BYTES, NULL, &err);
    saved_in_free(in);
    return r;
}

static void test_back_and_forth(void **state)
{
    struct saved_in *in;
    struct stat st;

    (void)state;
    save();
    assert_int_equal(stat(path, &st), 0);
    /* Only the chunk of noise costs its size. */
    assert_true(st.st_size > (off_t)SAVED_CHUNK_BYTES &&
                st.st_size < (off_t)(SAVED_CHUNK_BYTES + 8192));
    assert_true((uint64_t)st.st_size <= saved_bytes_max(MEMORY_BYTES));
    assert_int_equal(st.st_mode & 077, 0); /* a guest's memory is nobody else's business */
    assert_int_equal(saved_open(path, &in, &err), 0);
    assert_int_equal(saved_manifest(in).len_bytes, head.len_bytes);
    assert_memory_equal(saved_manifest(in).data, head.data, head.len_bytes);
    assert_memory_equal(saved_devices(in).data, devices.data, devices.len_bytes);
    saved_in_free(in);
    assert_int_equal(load(), 0);
    assert_memory_equal(memory, copy, MEMORY_BYTES);
}

/* A file for another size of memory is not taken, nor is one that has less than it says. */
static void test_other_size(void **state)
{
    struct saved_in *in;

    (void)state;
    save();
    assert_int_equal(saved_open(path, &in, &err), 0);
    assert_int_equal(saved_read_memory(in, copy, MEMORY_BYTES - 4096, NULL, &err), -EBADMSG);
    saved_in_free(in);
}

static void test_cut_off(void **state)
{
    struct stat st;

    (void)state;
    save();
    assert_int_equal(stat(path, &st), 0);
    for (off_t len = st.st_size - 1; len >= 0; len = len > 600 ? len - len / 5 : len - 1) {
        assert_int_equal(truncate(path, len), 0);
        assert_int_equal(load(), -EBADMSG);
        assert_non_null(strstr(err.text, path));
    }
}

/* Any byte that is not what it was is noticed: frames, payloads, compressed or not. */
static void test_damaged(void **state)
{
    struct stat st;
    int fd;

    (void)state;
    save();
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t at = 0; at < st.st_size; at += at < 700 || at > st.st_size - 600 ? 1 : 40009) {
        uint8_t byte, wrong;

        assert_int_equal(pread(fd, &byte, 1, at), 1);
        wrong = byte ^ 0x10;
        assert_int_equal(pwrite(fd, &wrong, 1, at), 1);
        assert_int_equal(load(), -EBADMSG);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    assert_int_equal(load(), 0);
}

/* Frames that are whole but lie: a hostile file. */
static void test_lies(void **state)
{
    static const struct saved_frame lies[] = {
        {.type = SAVED_MEMORY, .offset = MEMORY_BYTES + SAVED_CHUNK_BYTES, .raw_bytes = 1},
        {.type = SAVED_MEMORY, .offset = 4096, .raw_bytes = SAVED_CHUNK_BYTES},
        {.type = SAVED_MEMORY, .offset = UINT64_MAX - SAVED_CHUNK_BYTES + 1, .raw_bytes = 1},
        {.type = SAVED_MEMORY, .flags = SAVED_ZSTD, .raw_bytes = UINT32_MAX},
        {.type = SAVED_MEMORY, .flags = 0x80, .raw_bytes = SAVED_CHUNK_BYTES},
        {.type = SAVED_MEMORY, .stored_bytes = UINT32_MAX, .raw_bytes = UINT32_MAX},
        {.type = SAVED_MANIFEST, .raw_bytes = 1, .stored_bytes = 1},
        {.type = SAVED_END, .offset = 17},
        {.type = 99},
    };
    struct stat st;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        uint8_t frame[SAVED_FRAME_BYTES];
        int fd;

        save();
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(fstat(fd, &st), 0);
        saved_frame_put(&lies[i], frame); /* in the place of the end */
        assert_int_equal(pwrite(fd, frame, sizeof(frame), st.st_size - SAVED_FRAME_BYTES),
                         SAVED_FRAME_BYTES);
        close(fd);
        assert_int_equal(load(), -EBADMSG);
    }
}

static void test_other_files(void **state)
{
    int fd;

    (void)state;
    unlink(path);
    assert_int_equal(load(), -ENOENT);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "#!/bin/sh\necho this is a script\n", 32), 32);
    close(fd);
    assert_int_equal(load(), -EBADMSG);
    assert_non_null(strstr(err.text, "is not a saved machine"));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "YADOSAVE\x63\0\0\0", 12), 12);
    close(fd);
    assert_int_equal(load(), -EBADMSG);
    assert_non_null(strstr(err.text, "version 99"));
}

/* What was there before is there still when a save is given up. */
static void test_given_up(void **state)
{
    struct saved_part all = memory_part();
    struct saved_progress progress = {.cancel = true};
    struct saved_out *out, *second;

    (void)state;
    save();
    assert_int_equal(saved_create(path, &out, &err), 0);
    assert_int_equal(saved_create(path, &second, &err), -EBUSY);
    assert_int_equal(saved_write(out, &head, &devices, &all, &progress, &err), -ECANCELED);
    saved_out_free(out);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(load(), 0);
    assert_memory_equal(memory, copy, MEMORY_BYTES);
}

/* The room is taken at once and given back by what turns out not to be needed. */
static void test_reserved(void **state)
{
    struct saved_part all = memory_part();
    struct saved_out *out;
    struct stat st;

    (void)state;
    assert_int_equal(saved_create(path, &out, &err), 0);
    assert_int_equal(saved_reserve(out, saved_bytes_max(MEMORY_BYTES), &err), 0);
    assert_int_equal(stat(part, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= saved_bytes_max(MEMORY_BYTES));
    assert_int_equal(saved_write(out, &head, &devices, &all, NULL, &err), 0);
    assert_int_equal(saved_commit(out, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, saved_size_bytes(out));
    saved_out_free(out);
    assert_int_equal(load(), 0);
    /* More than any disk has. */
    assert_int_equal(saved_create(path, &out, &err), 0);
    assert_true(saved_reserve(out, 1ull << 62, &err) < 0);
    assert_non_null(strstr(err.text, "no room"));
    saved_out_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_and_forth), cmocka_unit_test(test_other_size),
        cmocka_unit_test(test_cut_off),        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_lies),           cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_given_up),       cmocka_unit_test(test_reserved),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
