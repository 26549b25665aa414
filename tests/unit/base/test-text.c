/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text that grows: what was added is there in its order, and a lack of memory is not passed over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void test_what_was_added_is_there(void **state)
{
    struct text t = {.data = NULL};
    char *whole;

    (void)state;
    whole = text_take(&t);
    assert_string_equal(whole, "");
    free(whole);
    for (unsigned i = 0; i < 5000; i++)
        text_puts(&t, i % 2 ? "odd," : "even,");
    text_add(&t, "end and more", 3);
    whole = text_take(&t);
    assert_int_equal(strlen(whole), 2500 * 9 + 3);
    assert_memory_equal(whole, "even,odd,even,", 14);
    assert_string_equal(whole + 2500 * 9, "end");
    assert_null(t.data);
    free(whole);
}

static void test_a_lack_of_memory_is_told(void **state)
{
    struct text t = {.data = NULL};

    (void)state;
    text_puts(&t, "begun");
    text_add(&t, "x", SIZE_MAX / 2);
    text_puts(&t, "and so on");
    assert_null(text_take(&t));
    text_puts(&t, "anew");
    assert_int_equal(t.len, 4);
    free(text_take(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_added_is_there),
        cmocka_unit_test(test_a_lack_of_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
