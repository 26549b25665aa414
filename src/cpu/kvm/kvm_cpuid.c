/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPUID that a KVM guest sees: what the host's KVM supports, less what this engine cannot
 * carry. SDM vol. 2A, CPUID; KVM api.rst 4.46 (KVM_GET_SUPPORTED_CPUID) and cpuid.rst.
 *
 * Taken out: extended state beyond AVX (struct x86_state has no room for it) and all features
 * that live in it, nested virtualisation, SMM-dependent and tracing leaves, what KVM offers to
 * guests that know it (docs/decisions/0011-kvm-paravirtual.md), and the host's topology, which is
 * replaced with one package of single-thread cores.
 */
#include "cpu/kvm/kvm_internal.h"

#include <asm/kvm_para.h>
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define XCR0_KEPT 7u

struct mask {
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx; /* bits that are cleared */
};

#define BIT(n) (1u << (n))
#define BITS(lo, hi) ((uint32_t)((1ULL << ((hi) + 1)) - (1ULL << (lo))))

static const struct mask masks[] = {
    /* DTES64, DS-CPL, VMX, SMX, EIST, TM2, SDBG, xTPR, PDCM, DCA; DTS, ACPI, SS, TM, PBE */
    {.leaf = 1,
     .ecx = BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(14) | BIT(15) |
            BIT(18),
     .edx = BIT(21) | BIT(22) | BIT(27) | BIT(29) | BIT(31)},
    /* SGX, PQM, MPX, PQE, AVX-512 in all parts, Intel PT */
    {.leaf = 7,
     .subleaf = 0,
     .ebx = BIT(2) | BIT(12) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(21) | BIT(25) | BIT(26) |
            BIT(27) | BIT(28) | BIT(30) | BIT(31),
     /* PKU, OSPKE, WAITPKG, VBMI, VBMI2, CET_SS, VNNI, BITALG, TME, VPOPCNTDQ, LA57, MAWAU,
        KL, ENQCMD, SGX_LC, PKS */
     .ecx = BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(11) | BIT(12) | BIT(13) |
            BIT(14) | BIT(16) | BITS(17, 21) | BIT(23) | BIT(29) | BIT(30) | BIT(31),
     /* 4VNNIW, 4FMAPS, UINTR, VP2INTERSECT, HYBRID, PCONFIG, ARCH_LBR, CET_IBT, AMX, FP16 */
     .edx = BIT(2) | BIT(3) | BIT(5) | BIT(8) | BIT(15) | BIT(18) | BIT(19) | BIT(20) | BIT(22) |
            BIT(23) | BIT(24) | BIT(25)},
    /* AVX512_BF16 and what comes after it; AVX-VNNI stays */
    {.leaf = 7,
     .subleaf = 1,
     .eax = BIT(5) | BITS(17, 22) | BIT(26),
     .ebx = ~0u,
     .ecx = ~0u,
     .edx = ~0u},
    {.leaf = 0xd, .subleaf = 0, .eax = ~XCR0_KEPT, .edx = ~0u},
    /* XSAVES and XFD need supervisor state */
    {.leaf = 0xd, .subleaf = 1, .eax = BIT(3) | BIT(4), .ecx = ~0u, .edx = ~0u},
    /* All but NOP_IO_DELAY, CLOCKSOURCE2 and CLOCKSOURCE_STABLE; all hints */
    {.leaf = KVM_CPUID_FEATURES, .eax = ~(BIT(1) | BIT(3) | BIT(24)), .edx = ~0u},
    /* SVM, SKINIT, WDT, IBS, LWP, TCE, NODEID, PerfCtr parts, MWAITX */
    {.leaf = 0x80000001,
     .ecx = BIT(2) | BIT(3) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(17) | BIT(19) | BIT(22) |
            BIT(23) | BIT(24) | BIT(26) | BIT(27) | BIT(28) | BIT(29)},
};

/* Leaves that go whole: MONITOR, power, DCA, PMU, RDT, SGX, PT, AMX, key locker, SVM, IBS, SEV. */
static bool leaf_dropped(uint32_t leaf)
{
    switch (leaf) {
    case 5:
    case 6:
    case 9:
    case 0xa:
    case 0xf:
    case 0x10:
    case 0x12:
    case 0x14:
    case 0x17:
    case 0x18:
    case 0x19:
    case 0x1b:
    case 0x1c:
    case 0x1d:
    case 0x1e:
    case 0x1f:
    case 0x20:
    case 0x23:
    case 0x24:
    case 0x8000000a:
    case 0x8000001b:
    case 0x8000001c:
    case 0x8000001d:
    case 0x8000001e:
    case 0x8000001f:
    case 0x80000020:
    case 0x80000022:
        return true;
    default:
        return false;
    }
}

static void mask_entry(struct kvm_cpuid_entry2 *e)
{
    for (size_t i = 0; i < ARRAY_LEN(masks); i++) {
        const struct mask *m = &masks[i];
        bool sub = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

        if (m->leaf != e->function || (sub && m->subleaf != e->index))
            continue;
        e->eax &= ~m->eax;
        e->ebx &= ~m->ebx;
        e->ecx &= ~m->ecx;
        e->edx &= ~m->edx;
    }
}

static void filter_entry(int kvm_fd, struct kvm_cpuid_entry2 *e, unsigned vcpus)
{
    mask_entry(e);
    switch (e->function) {
    case 1:
        /* x2APIC and the deadline timer are the in-kernel APIC's, whatever the processor has. */
        e->ecx |= BIT(21) | BIT(31);
        if (kvm_ioctl_number(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
            e->ecx |= BIT(24);
        e->ebx = (e->ebx & 0xff00) | vcpus << 16;
        e->edx = vcpus > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28);
        break;
    case 4:
        /* Caches: first and second level of one core, the third of the package. */
        e->eax &= ~(BITS(14, 25) | BITS(26, 31));
        e->eax |= (vcpus - 1) << 26;
        if ((e->eax >> 5 & 7) == 3)
            e->eax |= (vcpus - 1) << 14;
        break;
    case 0xd:
        if (e->index == 0) {
            e->ebx = X86_XSAVE_BYTES;
            e->ecx = X86_XSAVE_BYTES;
        } else if (e->index > 2) {
            e->eax = e->ebx = e->ecx = e->edx = 0;
        }
        break;
    case 0x80000008:
        e->ecx = (e->ecx & ~0xf0ffu) | (vcpus - 1);
        break;
    default:
        break;
    }
}

int kvm_cpuid_new(int kvm_fd, struct kvm_cpuid2 **ret_cpuid, struct error *err)
{
    AUTO_FREE struct kvm_cpuid2 *cpuid = NULL;
    unsigned kept = 0;
    int r;

    cpuid = calloc(1, sizeof(*cpuid) + KVM_CPUID_MAX * sizeof(cpuid->entries[0]));
    if (!cpuid)
        return -ENOMEM;
    cpuid->nent = KVM_CPUID_MAX;
    r = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
    if (r < 0)
        return error_set(err, r, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-r));
    for (unsigned i = 0; i < cpuid->nent; i++)
        if (!leaf_dropped(cpuid->entries[i].function) && cpuid->entries[i].function != 0xb)
            cpuid->entries[kept++] = cpuid->entries[i];
    cpuid->nent = kept;
    *ret_cpuid = TAKE_PTR(cpuid);
    return 0;
}

/* Where the words of struct x86_features are in CPUID. */
static const struct {
    uint32_t leaf, subleaf;
    uint8_t reg; /* 0 EAX … 3 EDX */
} word_places[X86_CPUID_WORDS] = {
    [W_1_EDX] = {1, 0, 3},
    [W_1_ECX] = {1, 0, 2},
    [W_7_EBX] = {7, 0, 1},
    [W_7_ECX] = {7, 0, 2},
    [W_7_EDX] = {7, 0, 3},
    [W_80_1_EDX] = {0x80000001, 0, 3},
    [W_80_1_ECX] = {0x80000001, 0, 2},
    [W_D1_EAX] = {0xd, 1, 0},
    [W_7_1_EAX] = {7, 1, 0},
    [W_80_8_EBX] = {0x80000008, 0, 1},
    [W_80_21_EAX] = {0x80000021, 0, 0},
};

static uint32_t *entry_word(struct kvm_cpuid_entry2 *e, unsigned word)
{
    uint32_t *const regs[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

    return e->function == word_places[word].leaf && e->index == word_places[word].subleaf
               ? regs[word_places[word].reg]
               : NULL;
}

/* Without a /dev/kvm: what it would begin with, the processor itself. Freed with free(). */
static struct kvm_cpuid2 *host_cpuid(void)
{
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + KVM_CPUID_MAX * sizeof(cpuid->entries[0]));
    struct kvm_cpuid_entry2 *e = cpuid ? cpuid->entries : NULL;

    if (!cpuid)
        return NULL;
    __cpuid(0, e->eax, e->ebx, e->ecx, e->edx);
    for (unsigned w = 0; w < X86_CPUID_WORDS; w++) {
        unsigned max;

        e = &cpuid->entries[w + 1];
        e->function = word_places[w].leaf;
        e->index = word_places[w].subleaf;
        max = __get_cpuid_max(e->function & 0x80000000, NULL);
        if (e->function <= max)
            __cpuid_count(e->function, e->index, e->eax, e->ebx, e->ecx, e->edx);
        if (e->function == 7 || e->function == 0xd)
            e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    }
    cpuid->nent = X86_CPUID_WORDS + 1;
    return cpuid;
}

int kvm_cpuid_model(unsigned vcpus, struct x86_features *ret_features, char ret_vendor[13],
                    struct error *err)
{
    struct kvm_engine ke = {.engine.config.vcpus = vcpus, .kvm_fd = -1};
    int r = kvm_open(&ke.kvm_fd, NULL);

    if (r == 0)
        r = kvm_cpuid_new(ke.kvm_fd, &ke.cpuid, err);
    else
        r = (ke.cpuid = host_cpuid()) ? 0 : error_set(err, -ENOMEM, "out of memory");
    if (r == 0) {
        kvm_cpuid_tell(&ke);
        *ret_features = ke.engine.features;
        memcpy(ret_vendor, ke.engine.vendor, sizeof(ke.engine.vendor));
    }
    free(ke.cpuid);
    if (ke.kvm_fd >= 0)
        close(ke.kvm_fd);
    return r;
}

void kvm_cpuid_tell(struct kvm_engine *ke)
{
    for (unsigned i = 0; i < ke->cpuid->nent; i++) {
        struct kvm_cpuid_entry2 e = ke->cpuid->entries[i];

        filter_entry(ke->kvm_fd, &e, ke->engine.config.vcpus);
        for (unsigned w = 0; w < X86_CPUID_WORDS; w++)
            if (entry_word(&e, w))
                ke->engine.features.words[w] = *entry_word(&e, w);
        if (e.function == 0) {
            memcpy(ke->engine.vendor, &e.ebx, 4);
            memcpy(ke->engine.vendor + 4, &e.edx, 4);
            memcpy(ke->engine.vendor + 8, &e.ecx, 4);
        }
    }
    /* Follows CR4; not a feature of its own. */
    ke->engine.features.words[W_1_ECX] &= ~BIT(27);
}

/* Leaf 0xb: one thread a core, the cores in one package. */
static void add_topology(struct kvm_cpuid2 *cpuid, unsigned index, unsigned vcpus)
{
    unsigned shift = vcpus > 1 ? 32 - (unsigned)__builtin_clz(vcpus - 1) : 0;

    for (unsigned level = 0; level < 3 && cpuid->nent < KVM_CPUID_MAX; level++) {
        struct kvm_cpuid_entry2 *e = &cpuid->entries[cpuid->nent++];

        *e = (struct kvm_cpuid_entry2){.function = 0xb,
                                       .index = level,
                                       .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                       .eax = level == 1 ? shift : 0,
                                       .ebx = level == 0   ? 1
                                              : level == 1 ? vcpus
                                                           : 0,
                                       .ecx = level | (level < 2 ? (level + 1) << 8 : 0),
                                       .edx = index};
    }
}

int kvm_cpuid_set(const struct kvm_engine *ke, int vcpu_fd, unsigned index, struct error *err)
{
    unsigned vcpus = ke->engine.config.vcpus;
    size_t bytes = sizeof(*ke->cpuid) + KVM_CPUID_MAX * sizeof(ke->cpuid->entries[0]);
    AUTO_FREE struct kvm_cpuid2 *cpuid = malloc(bytes);
    int r;

    if (!cpuid)
        return -ENOMEM;
    memcpy(cpuid, ke->cpuid, bytes);
    for (unsigned i = 0; i < cpuid->nent; i++) {
        filter_entry(ke->kvm_fd, &cpuid->entries[i], vcpus);
        if (cpuid->entries[i].function == 1)
            cpuid->entries[i].ebx |= index << 24;
        for (unsigned w = 0; w < X86_CPUID_WORDS; w++)
            if (entry_word(&cpuid->entries[i], w))
                *entry_word(&cpuid->entries[i], w) &= ke->engine.features.words[w];
    }
    add_topology(cpuid, index, vcpus);
    r = kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid);
    return r < 0 ? error_set(err, r, "KVM_SET_CPUID2: %s", strerror(-r)) : 0;
}
