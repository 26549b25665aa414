/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the processor says of itself: here how fast its time stamp counter is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/x86/cpuid.h"

static const uint64_t rates[] = {
    /* Of processors; some a little off what they are sold as. */
    400000000,  1000000000, 1333333333, 1599999872, 1800000000, 2095076000, 2249998000,
    2445404000, 2449999123, 2600001000, 2899999000, 3187201000, 3600000000, 4200000000,
};

/* A guest that works it out in kHz and 32 bits, as Linux does, is right within a part in a million. */
static void test_tsc(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct x86_model m = {.vendor = X86_INTEL, .tsc_hz = rates[i], .vcpus = 1};
        struct x86_cpuid_env env = {0};
        struct x86_cpuid_regs r = x86_cpuid(&m, &env, 0x15, 0);
        uint32_t khz = r.ecx / 1000 * r.ebx / r.eax; /* in 32 bits on purpose */
        uint64_t right = rates[i] / 1000;

        assert_int_equal(r.ecx, X86_CRYSTAL_HZ);
        assert_true(r.eax > 0 && r.ebx > 0);
        assert_true(khz + 2 + right / 1000000 >= right && khz <= right + 2 + right / 1000000);
    }
}

/* A rate that is none, or that no fraction comes near, hurts nobody. */
static void test_odd(void **state)
{
    static const uint64_t odd[] = {0, 1, 100000, 100000000000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        struct x86_model m = {.vendor = X86_INTEL, .tsc_hz = odd[i], .vcpus = 1};
        struct x86_cpuid_env env = {0};
        struct x86_cpuid_regs r = x86_cpuid(&m, &env, 0x15, 0);

        assert_true(r.eax > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tsc), cmocka_unit_test(test_odd)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
