/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words behind "soft,": a wrong one must be named, not ignored, or a person who looks for a
 * fault with "no-link" would believe it was off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cpu/soft/options.h"

static void takes_words(void **unused)
{
    struct soft_options o;
    struct error err = {0};

    (void)unused;
    assert_int_equal(soft_options_parse(NULL, &o, &err), 0);
    assert_false(o.check || o.no_link || o.no_share);
    unsigned usual = o.runs;
    assert_int_equal(soft_options_parse("check,seed=77,no-link", &o, &err), 0);
    assert_true(o.check && o.no_link && !o.no_share);
    assert_int_equal(o.seed, 77);
    assert_int_equal(o.runs, usual);
    assert_int_equal(soft_options_parse("runs=0,no-share", &o, &err), 0);
    assert_true(o.no_share);
    assert_int_equal(o.runs, 0);
    assert_int_equal(soft_options_parse("perf-map,no-loop,dump=0xffffffff81000000", &o, &err), 0);
    assert_true(o.perf_map && o.no_loop && o.dump);
    assert_int_equal(o.dump_lin, 0xffffffff81000000);
    assert_int_equal(o.vendor, X86_INTEL);
    assert_int_equal(o.cache_mib, 0);
    assert_int_equal(soft_options_parse("cache=16,no-fall", &o, &err), 0);
    assert_true(o.no_fall);
    assert_int_equal(o.cache_mib, 16);
    assert_int_equal(soft_options_parse("vendor=amd,t0", &o, &err), 0);
    assert_int_equal(o.vendor, X86_AMD);
    assert_int_equal(soft_options_parse("t0", &o, &err), 0);
    assert_true(o.runs > 254);
}

static void names_wrong_words(void **unused)
{
    static const char *const wrong[] = {"checks",
                                        "chec",
                                        "runs=255",
                                        "runs=",
                                        "runs=-1",
                                        "seed=x",
                                        "cache=1",
                                        "cache=1025",
                                        "check,,no-link,warp",
                                        "t1",
                                        "dump=",
                                        "vendor=via",
                                        "dump=xyz",
                                        "dump=12345678123456789"};
    (void)unused;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct soft_options o = {.seed = 5};
        struct error err = {0};
        assert_int_equal(soft_options_parse(wrong[i], &o, &err), -EINVAL);
        assert_int_equal(o.seed, 5);
        assert_non_null(strstr(err.text, "--engine soft"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_words),
        cmocka_unit_test(names_wrong_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
