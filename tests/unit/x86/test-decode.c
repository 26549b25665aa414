/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder against Zydis: every opcode of every map, with every prefix that matters and every
 * ModRM byte, in 16-, 32- and 64-bit code. What we take must be an instruction for Zydis too and
 * have the same length, or a guest would run something else than it wrote; what we refuse must be
 * of an extension that no guest is told it has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "base/util.h"
#include "cpu/x86/decode.h"

static struct x86_features all_features(void)
{
    struct x86_features f;
    memset(&f, 0xff, sizeof(f));
    return f;
}

/* Extensions that the guest's processor never has, or that we refuse on purpose. */
static bool is_unoffered(const ZydisDecodedInstruction *z)
{
    switch (z->meta.isa_ext) {
    case ZYDIS_ISA_EXT_XOP:
    case ZYDIS_ISA_EXT_AMD3DNOW:
    case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
    case ZYDIS_ISA_EXT_FMA4:
    case ZYDIS_ISA_EXT_TBM:
    case ZYDIS_ISA_EXT_SSE4A:
    case ZYDIS_ISA_EXT_VTX:
    case ZYDIS_ISA_EXT_SVM:
    case ZYDIS_ISA_EXT_SMX:
    case ZYDIS_ISA_EXT_MPX:
    case ZYDIS_ISA_EXT_RTM:
    case ZYDIS_ISA_EXT_CET:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_KNC:
    case ZYDIS_ISA_EXT_KNCE:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_PADLOCK:
    case ZYDIS_ISA_EXT_SNP:
    case ZYDIS_ISA_EXT_SGX:
    case ZYDIS_ISA_EXT_SGX_ENCLV:
    case ZYDIS_ISA_EXT_PKU:
    case ZYDIS_ISA_EXT_PCONFIG:
    case ZYDIS_ISA_EXT_WAITPKG:
    case ZYDIS_ISA_EXT_ENQCMD:
    case ZYDIS_ISA_EXT_MOVDIR:
    case ZYDIS_ISA_EXT_SERIALIZE:
    case ZYDIS_ISA_EXT_TSX_LDTRK:
    case ZYDIS_ISA_EXT_UINTR:
    case ZYDIS_ISA_EXT_HRESET:
    case ZYDIS_ISA_EXT_AMX_TILE:
    case ZYDIS_ISA_EXT_AMX_INT8:
    case ZYDIS_ISA_EXT_AMX_BF16:
    case ZYDIS_ISA_EXT_CLZERO:
    case ZYDIS_ISA_EXT_MONITORX:
    case ZYDIS_ISA_EXT_MCOMMIT:
    case ZYDIS_ISA_EXT_RDPRU:
    case ZYDIS_ISA_EXT_AMD_INVLPGB:
    case ZYDIS_ISA_EXT_CLDEMOTE:
    case ZYDIS_ISA_EXT_PT:
    case ZYDIS_ISA_EXT_KEYLOCKER:
    case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
        return true;
    default:
        break;
    }
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_RSM: /* there is no system management mode */
    case ZYDIS_MNEMONIC_GETSEC:
    case ZYDIS_MNEMONIC_VMFUNC:
    case ZYDIS_MNEMONIC_TDCALL:
    case ZYDIS_MNEMONIC_SEAMCALL:
    case ZYDIS_MNEMONIC_SEAMRET:
    case ZYDIS_MNEMONIC_SEAMOPS:
    case ZYDIS_MNEMONIC_JKZD:
    case ZYDIS_MNEMONIC_JKNZD:
    case ZYDIS_MNEMONIC_SYSCALL: /* outside 64-bit code: AMD's alone */
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_FFREEP: /* undocumented aliases */
        return true;
    default:
        return false;
    }
}

struct tally {
    ZydisDecoder zydis;
    struct x86_decode_env env;
    struct x86_features features;
    uint64_t seen, taken;
    unsigned wrong;
    bool said_op[X86_OPS];
    bool said[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

static void report(struct tally *t, const uint8_t *bytes, const char *what, unsigned ours,
                   unsigned theirs)
{
    if (t->wrong++ > 60)
        return;
    char text[64] = "";
    for (unsigned i = 0; i < 8; i++)
        snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", bytes[i]);
    print_error("code%u: %s(ours %u, Zydis %u): %s\n", 16u << t->env.code, text, ours, theirs,
                what);
}

/*
 * Data that is no instruction is refused by the host's processor when it runs; register numbers
 * that do not exist are refused by the instruction's own code.
 */
static bool is_refused_later(uint8_t op)
{
    switch (op) {
    case X86_DATA:
    case X86_UD:
    case X86_NOP:
    case X86_MOV_R_CR:
    case X86_MOV_CR_R:
    case X86_MOV_RM_SEG:
    case X86_MOV_SEG_RM:
    case X86_GATHER:
        return true;
    default:
        return false;
    }
}

static void compare(struct tally *t, const uint8_t *bytes)
{
    ZydisDecodedInstruction z;
    struct x86_insn in;
    bool theirs = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&t->zydis, NULL, bytes, 15, &z));
    enum x86_decode_result r = x86_decode(&t->env, bytes, 15, &in);

    t->seen++;
    if (r == X86_DECODE_OK && theirs) {
        t->taken++;
        if (in.len != z.length)
            report(t, bytes, "length differs", in.len, z.length);
    } else if (r == X86_DECODE_OK && !is_refused_later(in.info->op)) {
        if (!t->said_op[in.info->op])
            report(t, bytes, "no instruction for Zydis", in.len, 0);
        t->said_op[in.info->op] = true;
    } else if (r == X86_DECODE_UD && theirs && !is_unoffered(&z)) {
        if (!t->said[z.mnemonic])
            report(t, bytes, ZydisMnemonicGetString(z.mnemonic), 0, z.length);
        t->said[z.mnemonic] = true;
    }
}

static const uint8_t prefixes[][3] = {
    {0},    {0x66}, {0xf2},       {0xf3},       {0x67},       {0x2e},       {0x65},
    {0x48}, {0x41}, {0x66, 0x48}, {0xf3, 0x48}, {0x66, 0xf2}, {0x66, 0xf3},
};

static void walk_map(struct tally *t, const uint8_t *escape, unsigned escape_len)
{
    for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++) {
        if (t->env.code != X86_CODE64 && (prefixes[p][0] >> 4 == 4 || prefixes[p][1] >> 4 == 4))
            continue;
        for (unsigned opcode = 0; opcode < 256; opcode++)
            for (unsigned modrm = 0; modrm < 256; modrm++) {
                uint8_t bytes[16] = {0};
                unsigned n = 0;
                for (unsigned i = 0; i < 3 && prefixes[p][i]; i++)
                    bytes[n++] = prefixes[p][i];
                for (unsigned i = 0; i < escape_len; i++)
                    bytes[n++] = escape[i];
                bytes[n++] = (uint8_t)opcode;
                bytes[n++] = (uint8_t)modrm;
                bytes[n] = 0x25; /* a SIB byte, or the start of a displacement */
                compare(t, bytes);
            }
    }
}

static void walk_vex(struct tally *t)
{
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned last = 0; last < 16; last++) /* W, L, pp; vvvv unused */
            for (unsigned opcode = 0; opcode < 256; opcode++)
                for (unsigned modrm = 0; modrm < 256; modrm += 1 + (modrm % 7)) {
                    uint8_t w = last & 8 ? 0x80 : 0;
                    uint8_t bytes[16] = {0xc4,
                                         (uint8_t)(0xe0 | map),
                                         (uint8_t)(w | 0x78 | (last & 7)),
                                         (uint8_t)opcode,
                                         (uint8_t)modrm,
                                         0x25};
                    compare(t, bytes);
                }
}

static void agrees_with_zydis(void **unused)
{
    static const uint8_t escapes[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    static const unsigned escape_lens[] = {0, 1, 2, 2};
    static const struct {
        enum x86_code code;
        ZydisMachineMode mode;
        ZydisStackWidth width;
    } modes[] = {{X86_CODE16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
                 {X86_CODE32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
                 {X86_CODE64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64}};
    unsigned wrong = 0;
    (void)unused;
    for (unsigned m = 0; m < ARRAY_LEN(modes); m++) {
        struct tally t = {.features = all_features()};
        t.env = (struct x86_decode_env){.code = modes[m].code, .features = &t.features};
        ZydisDecoderInit(&t.zydis, modes[m].mode, modes[m].width);
        for (unsigned e = 0; e < ARRAY_LEN(escapes); e++)
            walk_map(&t, escapes[e], escape_lens[e]);
        walk_vex(&t);
        wrong += t.wrong;
        assert_true(t.taken > t.seen / 10);
    }
    assert_int_equal(wrong, 0);
}

/* A guest may end a page anywhere: too few bytes must be said, never guessed. */
static void asks_for_more_bytes(void **unused)
{
    static const uint8_t code[] = {0x48, 0x81, 0x84, 0x24, 1, 2, 3, 4, 5, 6, 7, 8};
    struct x86_features f = all_features();
    struct x86_decode_env env = {.code = X86_CODE64, .features = &f};
    struct x86_insn in;
    (void)unused;
    for (unsigned n = 0; n < sizeof(code); n++)
        assert_int_equal(x86_decode(&env, code, n, &in), X86_DECODE_MORE);
    assert_int_equal(x86_decode(&env, code, sizeof(code), &in), X86_DECODE_OK);
    assert_int_equal(in.len, sizeof(code));
}

static void refuses_more_than_15_bytes(void **unused)
{
    uint8_t code[20];
    struct x86_features f = all_features();
    struct x86_decode_env env = {.code = X86_CODE32, .features = &f};
    struct x86_insn in;
    (void)unused;
    memset(code, 0x66, sizeof(code));
    code[14] = 0x90;
    assert_int_equal(x86_decode(&env, code, 20, &in), X86_DECODE_OK);
    code[14] = 0x66;
    code[15] = 0x90;
    assert_int_equal(x86_decode(&env, code, 20, &in), X86_DECODE_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_zydis),
        cmocka_unit_test(asks_for_more_bytes),
        cmocka_unit_test(refuses_more_than_15_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
