/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID features by name, each with its place (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix
 * E), and the set of them that a guest's processor has.
 */
#ifndef CPU_X86_FEATURES_H
#define CPU_X86_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum x86_cpuid_word {
    W_1_EDX,
    W_1_ECX,
    W_7_EBX,
    W_7_ECX,
    W_7_EDX,
    W_80_1_EDX,
    W_80_1_ECX,
    W_D1_EAX,
    W_7_1_EAX,
    W_80_8_EBX,
    W_80_21_EAX,
    X86_CPUID_WORDS
};

/* clang-format off */
/* X(name, word, bit) */
#define X86_FEATURE_LIST(X) \
    X(FPU, W_1_EDX, 0) X(VME, W_1_EDX, 1) X(DE, W_1_EDX, 2) X(PSE, W_1_EDX, 3) \
    X(TSC, W_1_EDX, 4) X(MSR, W_1_EDX, 5) X(PAE, W_1_EDX, 6) X(MCE, W_1_EDX, 7) \
    X(CX8, W_1_EDX, 8) X(APIC, W_1_EDX, 9) X(SEP, W_1_EDX, 11) X(MTRR, W_1_EDX, 12) \
    X(PGE, W_1_EDX, 13) X(MCA, W_1_EDX, 14) X(CMOV, W_1_EDX, 15) X(PAT, W_1_EDX, 16) \
    X(PSE36, W_1_EDX, 17) X(CLFSH, W_1_EDX, 19) X(MMX, W_1_EDX, 23) X(FXSR, W_1_EDX, 24) \
    X(SSE, W_1_EDX, 25) X(SSE2, W_1_EDX, 26) X(HTT, W_1_EDX, 28) X(SSE3, W_1_ECX, 0) \
    X(PCLMUL, W_1_ECX, 1) X(MONITOR, W_1_ECX, 3) X(SSSE3, W_1_ECX, 9) X(FMA, W_1_ECX, 12) \
    X(CX16, W_1_ECX, 13) X(PCID, W_1_ECX, 17) X(SSE41, W_1_ECX, 19) X(SSE42, W_1_ECX, 20) \
    X(X2APIC, W_1_ECX, 21) X(MOVBE, W_1_ECX, 22) X(POPCNT, W_1_ECX, 23) \
    X(TSC_DEADLINE, W_1_ECX, 24) X(AES, W_1_ECX, 25) X(XSAVE, W_1_ECX, 26) \
    X(OSXSAVE, W_1_ECX, 27) X(AVX, W_1_ECX, 28) X(F16C, W_1_ECX, 29) X(RDRAND, W_1_ECX, 30) \
    X(HYPERVISOR, W_1_ECX, 31) X(FSGSBASE, W_7_EBX, 0) X(TSC_ADJUST, W_7_EBX, 1) \
    X(BMI1, W_7_EBX, 3) X(AVX2, W_7_EBX, 5) X(FDP_EXCPTN_ONLY, W_7_EBX, 6) X(SMEP, W_7_EBX, 7) \
    X(BMI2, W_7_EBX, 8) X(ERMS, W_7_EBX, 9) X(INVPCID, W_7_EBX, 10) X(FPU_CS_DS, W_7_EBX, 13) \
    X(RDSEED, W_7_EBX, 18) X(ADX, W_7_EBX, 19) X(SMAP, W_7_EBX, 20) X(CLFLUSHOPT, W_7_EBX, 23) \
    X(CLWB, W_7_EBX, 24) X(SHA, W_7_EBX, 29) X(UMIP, W_7_ECX, 2) X(PKU, W_7_ECX, 3) \
    X(OSPKE, W_7_ECX, 4) X(GFNI, W_7_ECX, 8) X(VAES, W_7_ECX, 9) X(VPCLMULQDQ, W_7_ECX, 10) \
    X(RDPID, W_7_ECX, 22) X(PKS, W_7_ECX, 31) \
    X(FSRM, W_7_EDX, 4) X(SPEC_CTRL, W_7_EDX, 26) X(STIBP, W_7_EDX, 27) X(SSBD, W_7_EDX, 31) \
    X(ARCH_CAPABILITIES, W_7_EDX, 29) X(SYSCALL, W_80_1_EDX, 11) \
    X(NX, W_80_1_EDX, 20) X(FXSR_OPT, W_80_1_EDX, 25) X(PDPE1GB, W_80_1_EDX, 26) \
    X(RDTSCP, W_80_1_EDX, 27) X(LM, W_80_1_EDX, 29) X(LAHF, W_80_1_ECX, 0) \
    X(CR8_LEGACY, W_80_1_ECX, 4) X(LZCNT, W_80_1_ECX, 5) X(SSE4A, W_80_1_ECX, 6) \
    X(MISALIGNSSE, W_80_1_ECX, 7) X(PREFETCHW, W_80_1_ECX, 8) X(MMXEXT, W_80_1_EDX, 22) X(XSAVEOPT, W_D1_EAX, 0) X(XSAVEC, W_D1_EAX, 1) \
    X(XSAVES, W_D1_EAX, 3) X(AVX_VNNI, W_7_1_EAX, 4) X(CLZERO, W_80_8_EBX, 0) \
    X(WBNOINVD, W_80_8_EBX, 9) X(IBPB, W_80_8_EBX, 12)
/* clang-format on */

enum x86_feature {
    X86_FEAT_NONE,
#define X(name, word, bit) X86_FEAT_##name,
    X86_FEATURE_LIST(X)
#undef X
        X86_FEATURES
};

struct x86_features {
    uint32_t words[X86_CPUID_WORDS];
};

extern const struct x86_feature_place {
    const char *name;
    uint8_t word, bit;
} x86_feature_places[X86_FEATURES];

/* True for X86_FEAT_NONE and for each feature in the set. */
static inline bool x86_has(const struct x86_features *f, enum x86_feature feature)
{
    const struct x86_feature_place *place = &x86_feature_places[feature];
    return !feature || (f->words[place->word] >> place->bit & 1);
}

static inline void x86_add_feature(struct x86_features *f, enum x86_feature feature)
{
    f->words[x86_feature_places[feature].word] |= 1u << x86_feature_places[feature].bit;
}

/*
 * Take from `have` what `wanted` does not have. -ENOTSUP, with a text that names it, when `have`
 * lacks something wanted.
 */
int x86_features_limit(struct x86_features *have, const struct x86_features *wanted,
                       struct error *err);

#endif
