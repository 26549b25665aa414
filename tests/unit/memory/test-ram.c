/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store: sparse, zeroed, and every write by a device is seen by display, migration, engine. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "memory/ram.h"

static unsigned code_calls;
static uint64_t code_offset, code_len;

static void code_written(void *ctx, uint64_t offset, uint64_t len_bytes)
{
    (void)ctx;
    code_calls++;
    code_offset = offset;
    code_len = len_bytes;
}

static void cleaned(void *ctx)
{
    (*(unsigned *)ctx)++;
}

/* A big guest costs only the pages it touches. */
static void sparse(void **ctx)
{
    (void)ctx;
    struct ram *ram;
    assert_int_equal(ram_new(GIB(64), &ram, NULL), 0);
    unsigned char present;
    ram->host[GIB(63)] = 1;
    assert_int_equal(mincore(ram->host + GIB(10), 4096, &present), 0);
    assert_false(present & 1);
    uint64_t a, b;
    assert_int_equal(ram_alloc(ram, 5000, &a), 0);
    assert_int_equal(ram_alloc(ram, 1, &b), 0);
    assert_int_equal(a, 0);
    assert_int_equal(b, 8192);
    assert_int_equal(ram->host[b], 0);
    assert_int_equal(ram_alloc(ram, GIB(64), &a), -ENOSPC);
    assert_int_equal(ram_alloc(ram, UINT64_MAX, &a), -ENOSPC);
    assert_int_equal(ram_alloc(ram, GIB(64) - 3 * 4096, &a), 0);
    assert_int_equal(ram_alloc(ram, 1, &a), -ENOSPC);
    assert_null(ram_free(ram));
    assert_null(ram_free(NULL));
}

/* Too much memory is a clear line, not a crash. */
static void too_much(void **ctx)
{
    (void)ctx;
    struct ram *ram = NULL;
    struct error err = {""};
    assert_int_equal(ram_new(1ULL << 60, &ram, &err), -EINVAL);
    assert_non_null(strstr(err.text, "MiB"));
    assert_int_equal(ram_new(0, &ram, &err), -EINVAL);
    assert_null(ram);
}

/* A device's write marks exactly its pages, for each reader of the flags on its own. */
static void dirty(void **ctx)
{
    (void)ctx;
    struct ram *ram;
    uint8_t map[2];
    unsigned told = 0;
    struct ram_watcher watcher = {.cleaned = cleaned, .ctx = &told};
    assert_int_equal(ram_new(16 * 4096, &ram, NULL), 0);
    ram_watch(ram, &watcher);
    assert_false(ram_clean(ram, RAM_DIRTY_DISPLAY, 0, 16 * 4096, map));
    assert_int_equal(told, 0);
    ram_wrote(ram, 2 * 4096 - 1, 2);
    ram_wrote(ram, 15 * 4096 + 4095, 1000000);
    ram_wrote(ram, 1ULL << 40, 1);
    ram_wrote(ram, 0, 0);
    assert_true(ram_clean(ram, RAM_DIRTY_DISPLAY, 0, 16 * 4096, map));
    assert_int_equal(told, 1);
    assert_int_equal(map[0], 0x06);
    assert_int_equal(map[1], 0x80);
    assert_false(ram_clean(ram, RAM_DIRTY_DISPLAY, 0, 16 * 4096, map));
    assert_true(ram_clean(ram, RAM_DIRTY_MIGRATE, 2 * 4096, 4096, map));
    assert_int_equal(map[0], 0x01);
    ram_free(ram);
}

/* A disk that loads a program over an old one: the engine must forget the old code. */
static void code(void **ctx)
{
    (void)ctx;
    struct ram *ram;
    struct ram_watcher watcher = {.code_written = code_written};
    assert_int_equal(ram_new(16 * 4096, &ram, NULL), 0);
    ram_watch(ram, &watcher);
    *ram_flags(ram, 3 * 4096) |= RAM_CODE;
    ram_wrote(ram, 0, 3 * 4096);
    assert_int_equal(code_calls, 0);
    ram_wrote(ram, 3 * 4096 - 100, 4396);
    assert_int_equal(code_calls, 1);
    assert_int_equal(code_offset, 3 * 4096);
    assert_int_equal(code_len, 4096);
    ram_wrote(ram, 3 * 4096 + 5, 2);
    assert_int_equal(code_calls, 2);
    assert_int_equal(code_offset, 3 * 4096 + 5);
    assert_int_equal(code_len, 2);
    ram_free(ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse),
        cmocka_unit_test(too_much),
        cmocka_unit_test(dirty),
        cmocka_unit_test(code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
