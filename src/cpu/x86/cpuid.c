/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "base/util.h"
#include "cpu/x86/regs.h"
#include "cpu/x86/state.h"

#define CACHE_LINE_BYTES 64u

static const struct vendor {
    char name[13];
    uint32_t leaf_max, leaf_ext_max;
    uint32_t signature;
} vendors[] = {
    [X86_INTEL] = {"GenuineIntel", 0x16, 0x80000008, 0x000806f8}, /* family 6, model 143 */
    [X86_AMD] = {"AuthenticAMD", 0xd, 0x80000021, 0x00a00f11},    /* family 25, model 1 */
};
static const char brand[48] = "Yado Virtual CPU";
static const char hypervisor[] = "YadoYadoYado";

static void host_features(struct x86_features *f)
{
    struct x86_cpuid_regs r;

    memset(f, 0, sizeof(*f));
    __cpuid(1, r.eax, r.ebx, f->words[W_1_ECX], f->words[W_1_EDX]);
    __cpuid_count(7, 0, r.eax, f->words[W_7_EBX], f->words[W_7_ECX], f->words[W_7_EDX]);
    __cpuid(0x80000001, r.eax, r.ebx, f->words[W_80_1_ECX], f->words[W_80_1_EDX]);
    __cpuid_count(0xd, 1, f->words[W_D1_EAX], r.ebx, r.ecx, r.edx);
}

static void drop(struct x86_features *f, enum x86_feature feature)
{
    f->words[x86_feature_places[feature].word] &= ~(1u << x86_feature_places[feature].bit);
}

/* Vector features need the operating system to have enabled their registers. */
static bool host_has_ymm(const struct x86_features *f)
{
    uint32_t eax, edx;
    if (!x86_has(f, X86_FEAT_OSXSAVE))
        return false;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return (eax & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX);
}

/* Features that an engine carries out itself, whatever the host has. */
static const uint8_t own_features[] = {
    X86_FEAT_VME,        X86_FEAT_DE,         X86_FEAT_PSE,
    X86_FEAT_TSC,        X86_FEAT_MSR,        X86_FEAT_PAE,
    X86_FEAT_MCE,        X86_FEAT_APIC,       X86_FEAT_SEP,
    X86_FEAT_MTRR,       X86_FEAT_PGE,        X86_FEAT_MCA,
    X86_FEAT_PAT,        X86_FEAT_PSE36,      X86_FEAT_CLFSH,
    X86_FEAT_PCID,       X86_FEAT_X2APIC,     X86_FEAT_TSC_DEADLINE,
    X86_FEAT_HYPERVISOR, X86_FEAT_FSGSBASE,   X86_FEAT_TSC_ADJUST,
    X86_FEAT_SMEP,       X86_FEAT_ERMS,       X86_FEAT_INVPCID,
    X86_FEAT_SMAP,       X86_FEAT_CLFLUSHOPT, X86_FEAT_CLWB,
    X86_FEAT_RDPID,      X86_FEAT_FSRM,       X86_FEAT_ARCH_CAPABILITIES,
    X86_FEAT_SYSCALL,    X86_FEAT_NX,         X86_FEAT_PDPE1GB,
    X86_FEAT_RDTSCP,     X86_FEAT_LM,         X86_FEAT_LAHF,
    X86_FEAT_FPU_CS_DS,  X86_FEAT_UMIP,       X86_FEAT_HTT,
    X86_FEAT_PKU,        X86_FEAT_PKS,
};

void x86_model_init(struct x86_model *model, const uint8_t *engine_features, uint64_t tsc_hz,
                    unsigned vcpus)
{
    struct x86_features host;

    host_features(&host);
    memset(model, 0, sizeof(*model));
    model->tsc_hz = tsc_hz;
    model->vcpus = vcpus;
    for (unsigned i = 0; i < sizeof(own_features); i++)
        x86_add_feature(&host, own_features[i]);
    if (vcpus < 2)
        drop(&host, X86_FEAT_HTT);
    for (; *engine_features != X86_FEATURES; engine_features++)
        if (x86_has(&host, *engine_features))
            x86_add_feature(&model->features, *engine_features);
    if (!host_has_ymm(&host) || !x86_has(&model->features, X86_FEAT_XSAVE))
        drop(&model->features, X86_FEAT_AVX);
    if (!x86_has(&model->features, X86_FEAT_AVX)) {
        drop(&model->features, X86_FEAT_AVX2);
        drop(&model->features, X86_FEAT_FMA);
        drop(&model->features, X86_FEAT_F16C);
    }
}

const char *x86_vendor_name(enum x86_vendor vendor)
{
    return vendors[vendor].name;
}

int x86_vendor_named(const char *name, enum x86_vendor *ret_vendor)
{
    for (unsigned i = 0; i < ARRAY_LEN(vendors); i++) {
        if (!strcmp(vendors[i].name, name)) {
            *ret_vendor = i;
            return 0;
        }
    }
    return -ENOENT;
}

static unsigned bits_for(unsigned count)
{
    unsigned bits = 0;
    while (1u << bits < count)
        bits++;
    return bits;
}

/* Deterministic cache parameters: 32 KiB L1D and L1I, 1 MiB L2, 16 MiB L3. */
static struct x86_cpuid_regs leaf_4(const struct x86_model *m, uint32_t subleaf)
{
    static const struct {
        uint8_t type, level;
        uint16_t ways;
        uint32_t sets;
        bool shared;
    } caches[] = {{1, 1, 8, 64, false},
                  {2, 1, 8, 64, false},
                  {3, 2, 16, 1024, false},
                  {3, 3, 16, 16384, true}};
    struct x86_cpuid_regs r = {0};

    if (subleaf >= sizeof(caches) / sizeof(caches[0]))
        return r;
    unsigned sharing = caches[subleaf].shared ? (1u << bits_for(m->vcpus)) - 1 : 0;
    r.eax = caches[subleaf].type | caches[subleaf].level << 5 | 1 << 8 | sharing << 14 |
            ((1u << bits_for(m->vcpus)) - 1) << 26;
    r.ebx = (CACHE_LINE_BYTES - 1) | (caches[subleaf].ways - 1u) << 22;
    r.ecx = caches[subleaf].sets - 1;
    return r;
}

/* Extended topology: one thread a core, all cores in one package. */
static struct x86_cpuid_regs leaf_b(const struct x86_model *m, const struct x86_cpuid_env *env,
                                    uint32_t subleaf)
{
    struct x86_cpuid_regs r = {.ecx = subleaf & 0xff, .edx = env->vcpu};

    if (subleaf == 0) {
        r.ebx = 1;
        r.ecx |= 1 << 8;
    } else if (subleaf == 1) {
        r.eax = bits_for(m->vcpus);
        r.ebx = m->vcpus;
        r.ecx |= 2 << 8;
    }
    return r;
}

unsigned x86_xsave_bytes(uint64_t components, bool compact)
{
    if (!(components & XCR0_PKRU))
        return components & XCR0_AVX ? X86_XSAVE_AVX + X86_XSAVE_AVX_BYTES : X86_XSAVE_AVX;
    return X86_XSAVE_PKRU_BYTES +
           (compact && !(components & XCR0_AVX) ? X86_XSAVE_AVX : X86_XSAVE_PKRU);
}

static struct x86_cpuid_regs leaf_d(const struct x86_model *m, const struct x86_cpuid_env *env,
                                    uint32_t subleaf)
{
    bool avx = x86_has(&m->features, X86_FEAT_AVX), pku = x86_has(&m->features, X86_FEAT_PKU);
    uint64_t all = XCR0_X87 | XCR0_SSE | (avx ? XCR0_AVX : 0) | (pku ? XCR0_PKRU : 0);
    struct x86_cpuid_regs r = {0};

    if (!x86_has(&m->features, X86_FEAT_XSAVE))
        return r;
    switch (subleaf) {
    case 0:
        r.eax = (uint32_t)all;
        r.ebx = x86_xsave_bytes(env->xcr0, false);
        r.ecx = x86_xsave_bytes(all, false);
        break;
    case 1:
        r.eax = m->features.words[W_D1_EAX];
        r.ebx = x86_xsave_bytes(env->xcr0, true);
        break;
    case 2:
        r.eax = avx ? X86_XSAVE_AVX_BYTES : 0;
        r.ebx = avx ? X86_XSAVE_AVX : 0;
        break;
    case 9:
        r.eax = pku ? X86_XSAVE_PKRU_BYTES : 0;
        r.ebx = pku ? X86_XSAVE_PKRU : 0;
        break;
    }
    return r;
}

static struct x86_cpuid_regs name_regs(const struct vendor *vendor, uint32_t leaf_max)
{
    struct x86_cpuid_regs r = {.eax = leaf_max};
    memcpy(&r.ebx, vendor->name, 4);
    memcpy(&r.edx, vendor->name + 4, 4);
    memcpy(&r.ecx, vendor->name + 8, 4);
    return r;
}

static struct x86_cpuid_regs text_regs(const char *text)
{
    struct x86_cpuid_regs r;
    memcpy(&r, text, sizeof(r));
    return r;
}

/*
 * The extended leaves that are AMD's alone, or say more there (APM vol. 3, E.4). Words of leaf
 * 80000001H that repeat leaf 1 repeat it.
 */
static void amd_leaf(const struct x86_model *m, uint32_t leaf, struct x86_cpuid_regs *r)
{
    const uint32_t repeated = 0x0183f3ff, l1 = 32u << 24 | 8 << 16 | 1 << 8 | CACHE_LINE_BYTES;

    switch (leaf) {
    case 0x80000001:
        r->eax = vendors[X86_AMD].signature;
        r->edx |= m->features.words[W_1_EDX] & repeated;
        r->ecx |= m->vcpus > 1 ? 1u << 1 /* CmpLegacy: cores, not threads */ : 0;
        break;
    case 0x80000005:
        r->ecx = r->edx = l1;
        break;
    case 0x80000006:
        r->ecx = 1024 << 16 | 6 /* 8 ways */ << 12 | 1 << 8 | CACHE_LINE_BYTES;
        r->edx = 32 /* half mebibytes */ << 18 | 8 /* 16 ways */ << 12 | 1 << 8 | CACHE_LINE_BYTES;
        break;
    case 0x80000008:
        r->ecx = bits_for(m->vcpus) << 12 | (m->vcpus - 1);
        break;
    case 0x80000021:
        r->eax = 1u << 2 /* LFENCE serializes */ | 1u << 6 /* null selectors clear the base */ |
                 1u << 29 /* SRSO_NO */;
        r->ecx = 1u << 1 /* TSA_SQ_NO */ | 1u << 2 /* TSA_L1_NO */;
        break;
    }
}

/* Linux multiplies the crystal's kHz in 32 bits (native_calibrate_tsc()); so does who copied it. */
#define RATIO_MAX (UINT32_MAX / (X86_CRYSTAL_HZ / 1000))

/* The fraction that comes nearest to the TSC's rate over the crystal's: within a part in a million from
 * some hundred MHz on. */
static void tsc_ratio(uint64_t tsc_hz, uint32_t *ret_numerator, uint32_t *ret_denominator)
{
    uint64_t best_error = UINT64_MAX, best = 1;

    *ret_numerator = 0; /* unknown */
    *ret_denominator = 1;
    for (uint64_t d = 1; d <= RATIO_MAX; d++) {
        uint64_t n = (tsc_hz * d + X86_CRYSTAL_HZ / 2) / X86_CRYSTAL_HZ;
        uint64_t is = n * X86_CRYSTAL_HZ, wanted = tsc_hz * d;
        uint64_t error = is > wanted ? is - wanted : wanted - is;

        if (n > RATIO_MAX)
            break;
        /* error / d, less than that of the best so far */
        if (n == 0 || (best_error != UINT64_MAX && error * best >= best_error * d))
            continue;
        best_error = error;
        best = d;
        *ret_numerator = (uint32_t)n;
        *ret_denominator = (uint32_t)d;
    }
}

/* Leaves 2, 4, 15H and 16H are Intel's; AMD has them reserved. */
static bool intel_only(uint32_t leaf)
{
    return leaf == 2 || leaf == 4 || leaf == 0x15 || leaf == 0x16;
}

struct x86_cpuid_regs x86_cpuid(const struct x86_model *m, const struct x86_cpuid_env *env,
                                uint32_t leaf, uint32_t subleaf)
{
    const struct vendor *vendor = &vendors[m->vendor];
    const uint32_t *words = m->features.words;
    struct x86_cpuid_regs r = {0};

    if ((leaf > vendor->leaf_max && leaf < 0x40000000) || leaf > vendor->leaf_ext_max ||
        (leaf > 0x40000000 && leaf < 0x80000000)) {
        if (m->vendor == X86_AMD)
            return r;
        /* A leaf above the highest basic one answers as the highest (SDM vol. 2, CPUID). */
        leaf = vendor->leaf_max;
    }
    if (m->vendor == X86_AMD && intel_only(leaf))
        return r;
    switch (leaf) {
    case 0:
        r = name_regs(vendor, vendor->leaf_max);
        break;
    case 1:
        r.eax = vendor->signature;
        r.ebx = env->vcpu << 24 | (1u << bits_for(m->vcpus)) << 16 | CACHE_LINE_BYTES / 8 << 8;
        r.ecx = words[W_1_ECX];
        if (env->cr4 & CR4_OSXSAVE)
            r.ecx |= 1u << x86_feature_places[X86_FEAT_OSXSAVE].bit;
        r.edx = words[W_1_EDX];
        if (!env->apic)
            r.edx &= ~(1u << x86_feature_places[X86_FEAT_APIC].bit);
        break;
    case 2:
        r.eax = 0x00feff01; /* TLB and cache information: see leaves 4 and 18H */
        break;
    case 4:
        r = leaf_4(m, subleaf);
        break;
    case 6:
        r.eax = 1 << 2; /* the APIC timer runs in every power state */
        break;
    case 7:
        if (subleaf == 0) {
            r.eax = 2;
            r.ebx = words[W_7_EBX];
            r.ecx = words[W_7_ECX];
            if (env->cr4 & CR4_PKE)
                r.ecx |= 1u << x86_feature_places[X86_FEAT_OSPKE].bit;
            r.edx = words[W_7_EDX];
            if (x86_has(&m->features, X86_FEAT_ARCH_CAPABILITIES))
                r.edx |= 1u << 26 | 1u << 31; /* SPEC_CTRL, SSBD: storage only */
        } else if (subleaf == 2 && x86_has(&m->features, X86_FEAT_ARCH_CAPABILITIES)) {
            /*
             * BHI_CTRL: Linux believes BHI_NO no longer and would run through a loop of branches
             * at each system call.
             */
            r.edx = 1u << 4;
        }
        break;
    case 0xb:
        r = leaf_b(m, env, subleaf);
        break;
    case 0xd:
        r = leaf_d(m, env, subleaf);
        break;
    case 0x15:
        tsc_ratio(m->tsc_hz, &r.ebx, &r.eax);
        r.ecx = X86_CRYSTAL_HZ;
        break;
    case 0x16:
        r.eax = r.ebx = (uint32_t)(m->tsc_hz / 1000000);
        r.ecx = 100;
        break;
    case 0x40000000:
        r.eax = 0x40000000;
        memcpy(&r.ebx, hypervisor, 4);
        memcpy(&r.ecx, hypervisor + 4, 4);
        memcpy(&r.edx, hypervisor + 8, 4);
        break;
    case 0x80000000:
        if (m->vendor == X86_AMD)
            r = name_regs(vendor, vendor->leaf_ext_max);
        else
            r.eax = vendor->leaf_ext_max;
        break;
    case 0x80000001:
        r.ecx = words[W_80_1_ECX];
        r.edx = words[W_80_1_EDX];
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        r = text_regs(brand + 16 * (leaf - 0x80000002));
        break;
    case 0x80000006:
        r.ecx = 1024 << 16 | 8 << 12 | CACHE_LINE_BYTES;
        break;
    case 0x80000007:
        r.edx = 1 << 8; /* invariant TSC */
        break;
    case 0x80000008:
        r.eax = X86_PHYS_BITS | 48 << 8;
        break;
    }
    if (m->vendor == X86_AMD)
        amd_leaf(m, leaf, &r);
    return r;
}

uint64_t x86_host_tsc_hz(void)
{
    uint32_t max, eax, ebx, ecx, edx;

    __cpuid(0, max, ebx, ecx, edx);
    if (max >= 0x15) {
        __cpuid(0x15, eax, ebx, ecx, edx);
        if (eax && ebx && ecx)
            return (uint64_t)ecx * ebx / eax;
    }

    /* Each reading of the clock is bracketed; the tightest of several pairs counts. */
    uint64_t tsc[2] = {0}, ns[2] = {0};
    for (unsigned end = 0; end < 2; end++) {
        uint64_t best = UINT64_MAX;
        for (unsigned i = 0; i < 16; i++) {
            struct timespec ts;
            uint64_t before = __rdtsc();
            clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
            uint64_t after = __rdtsc();
            if (after - before < best) {
                best = after - before;
                tsc[end] = before + best / 2;
                ns[end] = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
            }
        }
        if (!end)
            nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    }
    uint64_t hz = (uint64_t)((unsigned __int128)(tsc[1] - tsc[0]) * 1000000000 / (ns[1] - ns[0]));
    return (hz + 5000) / 10000 * 10000;
}
