/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text of a screen as a script sees it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/codepage.h"

static void expect(const char *codes, unsigned count, const char *text)
{
    char line[256 * CODEPAGE_BYTES_MAX + 1];

    codepage_line((const uint8_t *)codes, count, line);
    assert_string_equal(line, text);
}

static void test_lines(void **state)
{
    (void)state;
    expect("abc   ", 6, "abc");
    expect("  a b\0\0", 7, "  a b");
    expect("", 0, "");
    expect("    ", 4, "");
    expect("a\0b", 3, "a b");
}

/* Frames of dialogs are what tests of installers look for. */
static void test_frames(void **state)
{
    (void)state;
    expect("\xda\xc4\xbf", 3, "\xe2\x94\x8c\xe2\x94\x80\xe2\x94\x90");
    expect("\xb0\xdb", 2, "\xe2\x96\x91\xe2\x96\x88");
    expect("\x81", 1, "\xc3\xbc");
    expect("\x7f", 1, "\xe2\x8c\x82");
    expect("\xfe", 1, "\xe2\x96\xa0");
}

/* Every code gives valid UTF-8 that fits the promised room. */
static void test_all(void **state)
{
    uint8_t codes[256];
    char line[256 * CODEPAGE_BYTES_MAX + 1];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        codes[i] = (uint8_t)(255 - i);
    codes[255] = 'x';
    memset(line, 0x55, sizeof(line));
    codepage_line(codes, 256, line);
    assert_true(strlen(line) < sizeof(line));
    assert_int_equal(line[strlen(line) - 1], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
