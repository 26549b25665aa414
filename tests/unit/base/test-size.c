/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes as people type them, and as they are told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"

static void parse(void **ctx)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"512", 512},
                {"3k", 3072},
                {"20G", 20ull << 30},
                {"1TiB", 1ull << 40},
                {"7mb", 7u << 20},
                {"16777215T", 16777215ull << 40}};
    static const char *const bad[] = {"",   "G",   "-1", "+1", " 1",        "1.5G",
                                      "1X", "1GG", "1 ", "0x", "16777216T", "99999999999999999999"};
    (void)ctx;
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t bytes = 1;
        assert_int_equal(size_parse(good[i].text, &bytes), 0);
        assert_true(bytes == good[i].bytes);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t bytes = 77;
        assert_int_equal(size_parse(bad[i], &bytes), -EINVAL);
        assert_int_equal(bytes, 77);
    }
}

static void format(void **ctx)
{
    char buf[32];
    (void)ctx;
    assert_string_equal(size_format(0, buf, sizeof(buf)), "0 bytes");
    assert_string_equal(size_format(1023, buf, sizeof(buf)), "1023 bytes");
    assert_string_equal(size_format(1536, buf, sizeof(buf)), "1.5 KiB");
    assert_string_equal(size_format(2040ull << 30, buf, sizeof(buf)), "1.9 TiB");
    assert_string_equal(size_format(64ull << 40, buf, sizeof(buf)), "64 TiB");
    assert_string_equal(size_format(UINT64_MAX, buf, sizeof(buf)), "16777215.9 TiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parse), cmocka_unit_test(format)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
