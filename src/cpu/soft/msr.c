/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers. Intel SDM vol. 4, and vol. 3 11.11 for the MTRRs, which only have to
 * remember what they are told: memory here is always coherent.
 */
#include "cpu/soft/exec.h"

#define MTRR_VARIABLE 8u
#define MTRRCAP (MTRR_VARIABLE | 1u << 8 /* fixed */ | 1u << 10 /* write-combining */)
#define UCODE_REV 0x2b000639ULL

uint64_t guest_tsc(const struct cpu *c)
{
    return soft_tsc_now(c->soft) + c->tsc_offset;
}

uint64_t soft_tsc_now(const struct soft_engine *soft)
{
    return soft->tsc_stopped ? soft->tsc_stopped : host_tsc();
}

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

static uint64_t *mtrr_slot(struct cpu *c, uint32_t msr)
{
    if (msr >= MSR_MTRR_PHYSBASE0 && msr <= MSR_MTRR_PHYSMASK7)
        return (msr & 1 ? c->mtrr_mask : c->mtrr_base) + ((msr - MSR_MTRR_PHYSBASE0) >> 1);
    if (msr == MSR_MTRR_FIX64K)
        return &c->mtrr_fixed[0];
    if (msr == MSR_MTRR_FIX16K_80000 || msr == MSR_MTRR_FIX16K_A0000)
        return &c->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K_80000];
    if (msr >= MSR_MTRR_FIX4K_C0000 && msr <= MSR_MTRR_FIX4K_F8000)
        return &c->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K_C0000];
    return NULL;
}

/*
 * What every AMD processor has and no leaf of CPUID tells of (PPR of family 19h model 01h, 2.1.15):
 * performance counters, which stand still here, and two configuration registers that say what
 * firmware set. Writes change nothing.
 */
static bool amd_msr_read(uint32_t msr, uint64_t *ret)
{
    if (msr >= MSR_AMD_PERF_FIRST && msr <= MSR_AMD_PERF_LAST)
        *ret = 0;
    else if (msr == MSR_AMD_HWCR)
        *ret = 1 << 24; /* TscFreqSel: the TSC counts at the P0 frequency */
    else if (msr == MSR_AMD_DE_CFG)
        *ret = 1 << 1; /* LFENCE is dispatch serializing */
    else
        return false;
    return true;
}

static bool is_amd_msr(const struct cpu *c, uint32_t msr)
{
    uint64_t ignored;
    return c->soft->model.vendor == X86_AMD && amd_msr_read(msr, &ignored);
}

bool msr_read(struct cpu *c, uint32_t msr, uint64_t *ret)
{
    uint64_t *mtrr = mtrr_slot(c, msr);

    if (is_amd_msr(c, msr))
        return amd_msr_read(msr, ret);
    if (is_apic_msr(msr))
        return out_apic_msr(c, msr, ret, false);
    if (mtrr) {
        *ret = *mtrr;
        return true;
    }
    /* The banks of machine check: none. */
    switch (msr) {
    case MSR_TSC:
        *ret = out_tsc(c) + c->tsc_offset;
        return true;
    case MSR_TSC_ADJUST:
        *ret = c->tsc_adjust;
        return true;
    case MSR_PLATFORM_ID:
    case MSR_MCG_CAP:
    case MSR_XSS:
    case MSR_MISC_FEATURES_ENABLES:
        *ret = 0;
        return true;
    case MSR_PKRS:
        *ret = c->pkrs;
        return x86_has(&c->soft->model.features, X86_FEAT_PKS);
    case MSR_FEATURE_CONTROL:
        *ret = 1; /* locked, nothing enabled */
        return true;
    case MSR_SPEC_CTRL:
        *ret = c->spec_ctrl;
        return true;
    case MSR_UCODE_REV:
        *ret = UCODE_REV << 32;
        return true;
    case MSR_PLATFORM_INFO:
        *ret = c->soft->model.tsc_hz / 100000000 << 8;
        return true;
    case MSR_MTRRCAP:
        *ret = MTRRCAP;
        return true;
    case MSR_MTRR_DEF_TYPE:
        *ret = c->mtrr_def_type;
        return true;
    case MSR_ARCH_CAPABILITIES:
        *ret = X86_ARCH_CAPABILITIES;
        return true;
    case MSR_SYSENTER_CS:
        *ret = c->sysenter_cs;
        return true;
    case MSR_SYSENTER_ESP:
        *ret = c->sysenter_esp;
        return true;
    case MSR_SYSENTER_EIP:
        *ret = c->sysenter_eip;
        return true;
    case MSR_MCG_STATUS:
        *ret = c->mcg_status;
        return true;
    case MSR_MISC_ENABLE:
        *ret = c->misc_enable;
        return true;
    case MSR_PAT:
        *ret = c->pat;
        return true;
    case MSR_EFER:
        *ret = c->efer;
        return true;
    case MSR_STAR:
        *ret = c->star;
        return true;
    case MSR_LSTAR:
        *ret = c->lstar;
        return true;
    case MSR_CSTAR:
        *ret = c->cstar;
        return true;
    case MSR_SFMASK:
        *ret = c->sfmask;
        return true;
    case MSR_FS_BASE:
        *ret = c->seg[X86_FS].base;
        return true;
    case MSR_GS_BASE:
        *ret = c->seg[X86_GS].base;
        return true;
    case MSR_KERNEL_GS_BASE:
        *ret = c->kernel_gs_base;
        return true;
    case MSR_TSC_AUX:
        *ret = c->tsc_aux;
        return true;
    default:
        return false;
    }
}

static bool pat_valid(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++, v >>= 8)
        if ((v & 0xff) > 7 || (v & 0xff) == 2 || (v & 0xff) == 3)
            return false;
    return true;
}

static bool write_efer(struct cpu *c, uint64_t v)
{
    uint64_t known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

    v &= ~(uint64_t)EFER_LMA;
    if (v & ~known || ((v ^ c->efer) & EFER_LME && c->cr0 & CR0_PG))
        return false;
    c->efer = v | (c->efer & EFER_LMA);
    tlb_flush(c);
    cpu_update_mode(c);
    return true;
}

static bool set_canonical(uint64_t *to, uint64_t v)
{
    if (!is_canonical48(v))
        return false;
    *to = v;
    return true;
}

bool msr_write(struct cpu *c, uint32_t msr, uint64_t v)
{
    uint64_t now;
    uint64_t *mtrr = mtrr_slot(c, msr);

    if (is_amd_msr(c, msr))
        return true;
    if (is_apic_msr(msr))
        return out_apic_msr(c, msr, &v, true);
    if (mtrr) {
        *mtrr = v;
        return true;
    }
    switch (msr) {
    case MSR_TSC:
        /* IA32_TSC_ADJUST moves with it (SDM vol. 3, 18.17.3). */
        now = out_tsc(c);
        c->tsc_adjust += v - (now + c->tsc_offset);
        c->tsc_offset = v - now;
        return true;
    case MSR_TSC_ADJUST:
        c->tsc_offset += v - c->tsc_adjust;
        c->tsc_adjust = v;
        return true;
    case MSR_SPEC_CTRL:
        if (v & ~0x407ULL) /* IBRS, STIBP, SSBD, BHI_DIS_S: SDM vol. 4, table 2-2 */
            return false;
        c->spec_ctrl = v;
        return true;
    case MSR_PRED_CMD:
        return !(v & ~1ULL);
    case MSR_UCODE_REV:
    case MSR_UCODE_WRITE:
    case MSR_MISC_FEATURES_ENABLES:
        return true;
    case MSR_MTRR_DEF_TYPE:
        c->mtrr_def_type = v & 0xcff;
        return true;
    case MSR_SYSENTER_CS:
        c->sysenter_cs = v;
        return true;
    case MSR_SYSENTER_ESP:
        return set_canonical(&c->sysenter_esp, v);
    case MSR_SYSENTER_EIP:
        return set_canonical(&c->sysenter_eip, v);
    case MSR_MCG_STATUS:
        if (v)
            return false;
        c->mcg_status = v;
        return true;
    case MSR_MISC_ENABLE:
        c->misc_enable = v;
        return true;
    case MSR_PAT:
        if (!pat_valid(v))
            return false;
        c->pat = v;
        return true;
    case MSR_XSS:
        return v == 0;
    case MSR_PKRS:
        if (!x86_has(&c->soft->model.features, X86_FEAT_PKS) || v >> 32)
            return false;
        set_pkrs(c, (uint32_t)v);
        return true;
    case MSR_EFER:
        cpu_shut_gates(c);
        return write_efer(c, v);
    case MSR_STAR:
        cpu_shut_gates(c);
        c->star = v;
        return true;
    case MSR_LSTAR:
        return set_canonical(&c->lstar, v);
    case MSR_CSTAR:
        return set_canonical(&c->cstar, v);
    case MSR_SFMASK:
        cpu_shut_gates(c);
        c->sfmask = (uint32_t)v;
        return !(v >> 32);
    case MSR_FS_BASE:
        return set_canonical(&c->seg[X86_FS].base, v);
    case MSR_GS_BASE:
        return set_canonical(&c->seg[X86_GS].base, v);
    case MSR_KERNEL_GS_BASE:
        return set_canonical(&c->kernel_gs_base, v);
    case MSR_TSC_AUX:
        if (v >> 32)
            return false;
        c->tsc_aux = v;
        return true;
    default:
        return false;
    }
}

/* ---- instructions ---- */

void x_RDMSR(struct cpu *c, const struct uop *u)
{
    uint64_t v = 0;
    if (c->cpl || !msr_read(c, (uint32_t)c->gpr[X86_RCX], &v))
        RAISE(c, u, VEC_GP, 0);
    c->gpr[X86_RAX] = (uint32_t)v;
    c->gpr[X86_RDX] = v >> 32;
    NEXT(c, u);
}

void x_WRMSR(struct cpu *c, const struct uop *u)
{
    uint64_t v = (uint32_t)c->gpr[X86_RAX] | c->gpr[X86_RDX] << 32, next = uop_next_rip(c, u);
    if (c->cpl || !msr_write(c, (uint32_t)c->gpr[X86_RCX], v))
        RAISE(c, u, VEC_GP, 0);
    c->rip = rip_wrap(c, next);
}

static bool tsc_allowed(struct cpu *c, const struct uop *u)
{
    if (!(c->cr4 & CR4_TSD) || c->cpl == 0 || !(c->cr0 & CR0_PE))
        return true;
    raise_fault(c, VEC_GP, 0);
    leave_at(c, u);
    return false;
}

static void put_tsc(struct cpu *c)
{
    uint64_t v = out_tsc(c) + c->tsc_offset;
    c->gpr[X86_RAX] = (uint32_t)v;
    c->gpr[X86_RDX] = v >> 32;
}

void x_RDTSC(struct cpu *c, const struct uop *u)
{
    if (!tsc_allowed(c, u))
        return;
    put_tsc(c);
    NEXT(c, u);
}

void x_RDTSCP(struct cpu *c, const struct uop *u)
{
    if (!tsc_allowed(c, u))
        return;
    put_tsc(c);
    c->gpr[X86_RCX] = c->tsc_aux;
    NEXT(c, u);
}

void x_RDPID(struct cpu *c, const struct uop *u)
{
    c->gpr[u->rm] = c->tsc_aux;
    NEXT(c, u);
}

/* No counters are offered. */
void x_RDPMC(struct cpu *c, const struct uop *u)
{
    RAISE(c, u, VEC_GP, 0);
}

void x_CPUID(struct cpu *c, const struct uop *u)
{
    struct x86_cpuid_regs r = out_cpuid(c, (uint32_t)c->gpr[X86_RAX], (uint32_t)c->gpr[X86_RCX]);
    c->gpr[X86_RAX] = r.eax;
    c->gpr[X86_RBX] = r.ebx;
    c->gpr[X86_RCX] = r.ecx;
    c->gpr[X86_RDX] = r.edx;
    NEXT(c, u);
}
