/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names in disk images: every character comes back, what is no text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "block/utf16.h"

static void both_ways(void **ctx)
{
    static const char *const texts[] = {"",
                                        "a.vhd",
                                        "b\xc3\xa4se",
                                        "\xe5\xae\xbf",
                                        "\xf0\x9f\x92\xbe disk",
                                        "\x7f\xdf\xbf\xef\xbf\xbd"};
    (void)ctx;
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        for (unsigned big = 0; big < 2; big++) {
            uint8_t buf[64];
            size_t len = utf16_from_utf8(texts[i], big, buf, sizeof(buf));
            char *back = utf16_to_utf8(buf, len, big);
            assert_non_null(back);
            assert_string_equal(back, texts[i]);
            free(back);
        }
    }
}

static void refused(void **ctx)
{
    static const char *const bad[] = {
        "\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "a\xe5\xae"};
    static const uint8_t lone_high[] = {0xd8, 0x00, 0x00, 0x41}, lone_low[] = {0xdc, 0x00},
                         cut[] = {0xd8, 0x00};
    uint8_t buf[8];
    (void)ctx;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(utf16_from_utf8(bad[i], true, buf, sizeof(buf)), 0);
    assert_int_equal(utf16_from_utf8("abcde", true, buf, sizeof(buf)), 0); /* no room */
    assert_null(utf16_to_utf8(lone_high, sizeof(lone_high), true));
    assert_null(utf16_to_utf8(lone_low, sizeof(lone_low), true));
    assert_null(utf16_to_utf8(cut, sizeof(cut), true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways), cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
