/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor that a guest is told it has. Intel SDM vol. 2, CPUID.
 *
 * The model is synthetic: a recent GenuineIntel server core, or AuthenticAMD where asked for, with
 * every NO bit of IA32_ARCH_CAPABILITIES, so that guests leave out the mitigations (page-table
 * isolation, retpolines, VERW) that would cost time and protect nothing here. Its features are
 * those of the host that the engine can carry out.
 */
#ifndef CPU_X86_CPUID_H
#define CPU_X86_CPUID_H

#include "cpu/x86/features.h"

#define X86_PHYS_BITS 40
/* The core crystal: leaf 15H tells the guest, and the local APIC's timer counts with it. That of KVM's
 * counts so fast, and OVMF takes every local APIC for one of KVM's (PcdFSBClock). */
#define X86_CRYSTAL_HZ 1000000000u

/* Makers differ in SYSCALL and SYSENTER outside 64-bit mode, and in the leaves of CPUID. */
enum x86_vendor { X86_INTEL, X86_AMD };

struct x86_model {
    enum x86_vendor vendor; /* x86_model_init() says Intel; may be changed behind it */
    struct x86_features features;
    uint64_t tsc_hz;
    unsigned vcpus;
};

struct x86_cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

/* What CPUID shows of the present state of the processor that executes it. */
struct x86_cpuid_env {
    unsigned vcpu; /* its number, which is also its APIC id */
    uint64_t cr4, xcr0;
    bool apic; /* IA32_APIC_BASE has its enable bit set */
};

/*
 * The host's features that the engine's list (ending with X86_FEATURES) names, made consistent:
 * without XSAVE no AVX, without AVX no AVX2, FMA, F16C.
 */
void x86_model_init(struct x86_model *model, const uint8_t *engine_features, uint64_t tsc_hz,
                    unsigned vcpus);

/* The maker's name that CPUID gives, of 12 characters. */
const char *x86_vendor_name(enum x86_vendor vendor);
/* The maker of that name; -ENOENT: the model cannot be one of theirs. */
int x86_vendor_named(const char *name, enum x86_vendor *ret_vendor);
/* One CPUID. */
struct x86_cpuid_regs x86_cpuid(const struct x86_model *model, const struct x86_cpuid_env *env,
                                uint32_t leaf, uint32_t subleaf);

/* Places of the components behind the header in an XSAVE area of standard format (leaf 0xd). */
#define X86_XSAVE_AVX 576u
#define X86_XSAVE_AVX_BYTES 256u
#define X86_XSAVE_PKRU (X86_XSAVE_AVX + X86_XSAVE_AVX_BYTES)
#define X86_XSAVE_PKRU_BYTES 8u
/* Bytes of the XSAVE area that these components (bits of XCR0) need. */
unsigned x86_xsave_bytes(uint64_t components, bool compact);

/* IA32_ARCH_CAPABILITIES of the model. */
#define X86_ARCH_CAPABILITIES                                                                      \
    (1u << 0 /* RDCL_NO */ | 1u << 1 /* IBRS_ALL */ | 1u << 3 /* SKIP_L1DFL_VMENTRY */ |           \
     1u << 4 /* SSB_NO */ | 1u << 5 /* MDS_NO */ | 1u << 6 /* PSCHANGE_MC_NO */ |                  \
     1u << 8 /* TAA_NO */ | 1u << 13 /* SBDR_SSDP_NO */ | 1u << 14 /* FBSDP_NO */ |                \
     1u << 15 /* PSDP_NO */ | 1u << 20 /* BHI_NO */ | 1u << 24 /* PBRSB_NO */ |                    \
     1u << 26 /* GDS_NO */ | 1u << 27 /* RFDS_NO */ | 1ull << 62 /* ITS_NO */)

/* The rate of the host's TSC in Hz, from CPUID leaf 15H or measured (about 3 ms). */
uint64_t x86_host_tsc_hz(void);

#endif
