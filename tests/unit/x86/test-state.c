/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor's state in a file: every field comes back, and what no processor can be in is
 * refused before an engine sees it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/bytes.h"
#include "base/state.h"
#include "cpu/x86/features.h"
#include "cpu/x86/regs.h"
#include "cpu/x86/state.h"

static struct x86_features features(void)
{
    struct x86_features f;

    memset(&f, 0xff, sizeof(f));
    return f;
}

/* Each byte of the structure that is a field is in the file: all are changed, all come back. */
static void test_every_field(void **state)
{
    static struct x86_state before, after;
    uint8_t *bytes = (uint8_t *)&before;
    struct state *save, *load;
    const void *data;
    size_t len, lost = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(before); i++)
        bytes[i] = (uint8_t)(1 + i % 250);
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(x86_state_walk(&before, save), 0);
    data = state_data(save, &len);
    assert_int_equal(state_new_load(data, len, &load), 0);
    assert_int_equal(x86_state_walk(&after, load), 0);
    for (size_t i = 0; i < sizeof(before); i++)
        lost += bytes[i] != ((uint8_t *)&after)[i];
    /* Only what the compiler put between fields: after gdtr.limit, idtr.limit, and to align. */
    assert_true(lost <= 6 + 6 + 7 + 3 + 63);
    assert_memory_equal(before.gpr, after.gpr, sizeof(before.gpr));
    assert_memory_equal(before.seg, after.seg, sizeof(before.seg));
    assert_memory_equal(before.xsave, after.xsave, sizeof(before.xsave));
    state_free(save);
    state_free(load);
}

static void test_valid(void **state)
{
    struct x86_features f = features();
    struct x86_state s;

    (void)state;
    x86_state_reset(&s, 1);
    assert_int_equal(x86_state_valid(&s, &f), 0);
    x86_state_reset(&s, 0);
    assert_int_equal(x86_state_valid(&s, &f), 0);
    s.cr0 = CR0_PE | CR0_PG | CR0_ET;
    s.cr4 = CR4_PAE | CR4_PCIDE;
    s.efer = EFER_LME | EFER_LMA;
    s.seg[X86_CS].attr |= SEG_L;
    s.rip = 0xffffffff81000000;
    assert_int_equal(x86_state_valid(&s, &f), 0);
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        x86_state_reset(&s, 1);                                                                    \
        change;                                                                                    \
        assert_int_equal(x86_state_valid(&s, &f), -EBADMSG);                                       \
    } while (0)

static void test_refused(void **state)
{
    struct x86_features f = features(), few = {0};
    struct x86_state s;

    (void)state;
    REFUSED(s.activity = 4);
    REFUSED(s.nmi_pending = 2);
    REFUSED(s.fault_vector = 32);
    REFUSED(s.trap_dr6 = 1 << 8);
    REFUSED(s.rflags |= 1 << 22);
    REFUSED(s.cr0 |= CR0_PG);
    REFUSED(s.cr0 &= ~(uint64_t)CR0_CD);
    REFUSED(s.cr0 |= 1ULL << 32);
    REFUSED(s.cr4 = 1 << 13);
    REFUSED(s.cr4 = CR4_PCIDE);
    REFUSED(s.efer = EFER_LMA);
    REFUSED(s.efer = 1 << 12);
    REFUSED(s.cr8 = 16);
    REFUSED(s.xcr0 = 0);
    REFUSED(s.xcr0 = XCR0_X87 | XCR0_AVX);
    REFUSED(s.xcr0 = 0x21);
    REFUSED(le64_put(s.xsave + 512, 0x20));
    REFUSED(le64_put(s.xsave + 520, 1ULL << 63));
    REFUSED(le32_put(s.xsave + 24, 0x10000));
    REFUSED(s.rflags |= FL_VM);
    REFUSED(s.seg[X86_CS].attr |= SEG_L);
    REFUSED(s.seg[X86_DS].attr |= 0x100);
    REFUSED(s.seg[X86_DS].base = 1ULL << 32);
    REFUSED(s.seg[X86_FS].base = 1ULL << 47);
    REFUSED(s.gdtr.base = 1ULL << 63);
    REFUSED(s.rip = 1ULL << 47);
    REFUSED(s.lstar = 1ULL << 47);
    REFUSED(s.pkru = 1ULL << 32);
    x86_state_reset(&s, 1);
    s.cr4 = CR4_SMEP;
    assert_int_equal(x86_state_valid(&s, &few), -EBADMSG);
}

static void test_features(void **state)
{
    struct x86_features have = {0}, wanted = {0};
    struct error err;

    (void)state;
    x86_add_feature(&have, X86_FEAT_SSE3);
    x86_add_feature(&have, X86_FEAT_AVX2);
    x86_add_feature(&wanted, X86_FEAT_SSE3);
    assert_int_equal(x86_features_limit(&have, &wanted, &err), 0);
    assert_false(x86_has(&have, X86_FEAT_AVX2));
    x86_add_feature(&wanted, X86_FEAT_AES);
    assert_int_equal(x86_features_limit(&have, &wanted, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "had AES"));
    assert_true(x86_has(&have, X86_FEAT_SSE3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
