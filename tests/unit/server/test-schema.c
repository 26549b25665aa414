/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a request brings is refused with the place named, and times are read as RFC 3339 has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api_tables.h"
#include "server/merge.h"
#include "server/stamp.h"

static void refused(const char *text, const char *field)
{
    json_t *value = json_loads(text, 0, NULL);
    struct schema_fault fault;

    assert_non_null(value);
    assert_true(schema_check(&schema_Definition, value, &fault) < 0);
    assert_string_equal(fault.field, field);
    assert_true(*fault.error.text);
    json_decref(value);
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("{}", "/name");
    refused("{\"name\": 1}", "/name");
    refused("{\"name\": \"a/b\"}", "/name");
    refused("{\"name\": \"a\", \"cpus\": 65}", "/cpus");
    refused("{\"name\": \"a\", \"cpus\": 1.5}", "/cpus");
    refused("{\"name\": \"a\", \"memory\": \"much\"}", "/memory");
    refused("{\"name\": \"a\", \"disk\": [{\"file\": \"x\"}, {\"bus\": \"ide\"}]}", "/disk/1/file");
    refused("{\"name\": \"a\", \"server\": {\"autostart\": {\"when\": \"x\"}}}",
            "/server/autostart/when");
    refused("{\"name\": \"a\", \"b/c~\": 1}", "/b~1c~0");
}

static void test_what_fits_passes(void **state)
{
    json_t *value =
        json_loads("{\"name\": \"\xe5\xae\xbf\", \"memory\": 512, \"disk\": []}", 0, NULL);
    struct schema_fault fault;

    (void)state;
    assert_int_equal(schema_check(&schema_Definition, value, &fault), 0);
    assert_int_equal(schema_integer(&schema_Definition, value, "cpus"), 1);
    json_decref(value);
}

static void test_times(void **state)
{
    static const char *const wrong[] = {"", "2026-11-27", "2026-13-27T00:00:00Z",
                                        "2026-11-27T06:30:00", "2026-11-27T06:30:00+1"};
    char text[STAMP_TEXT];
    int64_t ms, other;

    (void)state;
    assert_int_equal(stamp_parse("2026-11-27T06:30:00.250Z", &ms), 0);
    assert_string_equal(stamp_format(ms, text), "2026-11-27T06:30:00.250Z");
    assert_int_equal(stamp_parse("2026-11-27T07:30:00.25+01:00", &other), 0);
    assert_true(ms == other);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_true(stamp_parse(wrong[i], &ms) < 0);
}

/* RFC 7396, appendix A. */
static void test_merge_patch(void **state)
{
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *target = json_loads(cases[i][0], 0, NULL),
               *patch = json_loads(cases[i][1], 0, NULL);
        json_t *wanted = json_loads(cases[i][2], 0, NULL), *got = merge_patch(target, patch);

        assert_true(json_equal(got, wanted));
        json_decref(target);
        json_decref(patch);
        json_decref(wanted);
        json_decref(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_what_fits_passes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_merge_patch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
