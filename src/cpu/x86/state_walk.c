/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A processor's state to and from a file, and the rules that a state from a file must keep: those
 * that the instructions keep by which a processor gets into its states (Intel SDM vol. 3, 2.5,
 * 3.4.5, 4.1, 5.5; vol. 1, 13.3 and 13.4 for XSAVE).
 */
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/state.h"
#include "cpu/x86/features.h"
#include "cpu/x86/regs.h"
#include "cpu/x86/state.h"

#define XSAVE_HEADER 512
#define CR8_MAX 15

static void segment_walk(struct x86_segment *seg, const char *name, struct state *s)
{
    char field[24];

    snprintf(field, sizeof(field), "%s.base", name);
    state_u64(s, field, &seg->base);
    snprintf(field, sizeof(field), "%s.limit", name);
    state_u32(s, field, &seg->limit);
    snprintf(field, sizeof(field), "%s.selector", name);
    state_u16(s, field, &seg->selector);
    snprintf(field, sizeof(field), "%s.attr", name);
    state_u16(s, field, &seg->attr);
}

int x86_state_walk(struct x86_state *x, struct state *s)
{
    static const char *const segs[X86_SEGS] = {"es", "cs", "ss", "ds", "fs", "gs"};

    state_bytes(s, "gpr", x->gpr, sizeof(x->gpr));
    state_u64(s, "rip", &x->rip);
    state_u64(s, "rflags", &x->rflags);
    for (unsigned i = 0; i < X86_SEGS; i++)
        segment_walk(&x->seg[i], segs[i], s);
    segment_walk(&x->ldtr, "ldtr", s);
    segment_walk(&x->tr, "tr", s);
    state_u64(s, "gdtr.base", &x->gdtr.base);
    state_u16(s, "gdtr.limit", &x->gdtr.limit);
    state_u64(s, "idtr.base", &x->idtr.base);
    state_u16(s, "idtr.limit", &x->idtr.limit);
#define U64(name) state_u64(s, #name, &x->name);
    U64(cr0) U64(cr2) U64(cr3) U64(cr4) U64(cr8) U64(xcr0) U64(efer) U64(star) U64(lstar);
    U64(cstar) U64(sfmask) U64(kernel_gs_base) U64(sysenter_cs) U64(sysenter_esp);
    U64(sysenter_eip) U64(pat) U64(tsc) U64(tsc_aux) U64(tsc_adjust) U64(misc_enable);
    U64(spec_ctrl) U64(pkru) U64(pkrs) U64(mtrr_def_type) U64(mcg_status) U64(trap_dr6);
#undef U64
    state_bytes(s, "dr", x->dr, sizeof(x->dr));
    state_bytes(s, "mtrr_fixed", x->mtrr_fixed, sizeof(x->mtrr_fixed));
    state_bytes(s, "mtrr_base", x->mtrr_base, sizeof(x->mtrr_base));
    state_bytes(s, "mtrr_mask", x->mtrr_mask, sizeof(x->mtrr_mask));
    state_u32(s, "activity", &x->activity);
#define U8(name) state_u8(s, #name, &x->name);
    U8(shadow_sti) U8(shadow_mov_ss) U8(nmi_masked) U8(nmi_pending) U8(init_pending);
    U8(sipi_pending) U8(sipi_vector) U8(intr_pending) U8(intr_vector) U8(fault_pending);
    U8(fault_vector) U8(fault_has_error);
#undef U8
    state_u32(s, "fault_error", &x->fault_error);
    state_bytes(s, "xsave", x->xsave, sizeof(x->xsave));
    return state_error(s);
}

static bool canonical(uint64_t v)
{
    return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

static bool control_valid(const struct x86_state *x, const struct x86_features *f)
{
    const uint64_t cr0 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |
                         CR0_NW | CR0_CD | CR0_PG;
    const uint64_t efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    static const struct {
        uint32_t bits;
        uint8_t feature;
    } cr4[] = {
        {CR4_VME | CR4_PVI, X86_FEAT_VME},
        {CR4_TSD, X86_FEAT_TSC},
        {CR4_DE, X86_FEAT_DE},
        {CR4_PSE, X86_FEAT_PSE},
        {CR4_PAE, X86_FEAT_PAE},
        {CR4_MCE, X86_FEAT_MCE},
        {CR4_PGE, X86_FEAT_PGE},
        {CR4_PCE, X86_FEAT_NONE},
        {CR4_OSFXSR, X86_FEAT_FXSR},
        {CR4_OSXMMEXCPT, X86_FEAT_SSE},
        {CR4_UMIP, X86_FEAT_UMIP},
        {CR4_FSGSBASE, X86_FEAT_FSGSBASE},
        {CR4_PCIDE, X86_FEAT_PCID},
        {CR4_OSXSAVE, X86_FEAT_XSAVE},
        {CR4_SMEP, X86_FEAT_SMEP},
        {CR4_SMAP, X86_FEAT_SMAP},
        {CR4_PKE, X86_FEAT_PKU},
        {CR4_PKS, X86_FEAT_PKS},
    };
    uint64_t cr4_allowed = 0;
    bool lma = x->efer & EFER_LMA;

    for (unsigned i = 0; i < ARRAY_LEN(cr4); i++)
        if (x86_has(f, cr4[i].feature))
            cr4_allowed |= cr4[i].bits;
    if (x->cr0 & ~cr0 || x->cr4 & ~cr4_allowed || x->efer & ~efer || x->cr8 > CR8_MAX)
        return false;
    if ((x->cr0 & CR0_PG && !(x->cr0 & CR0_PE)) || (x->cr0 & CR0_NW && !(x->cr0 & CR0_CD)))
        return false;
    /* Long mode is what paging, LME and PAE make (4.1.1); PCIDs exist in it alone (4.10.1). */
    if (lma != (x->cr0 & CR0_PG && x->efer & EFER_LME) || (lma && !(x->cr4 & CR4_PAE)) ||
        (x->cr4 & CR4_PCIDE && !lma))
        return false;
    if (x->efer & EFER_LME && !x86_has(f, X86_FEAT_LM))
        return false;
    return !(x->efer & EFER_NXE) || x86_has(f, X86_FEAT_NX);
}

static bool fpu_valid(const struct x86_state *x, const struct x86_features *f)
{
    uint64_t components = XCR0_X87 | XCR0_SSE;
    uint64_t bv = le64_get(x->xsave + XSAVE_HEADER);

    if (x86_has(f, X86_FEAT_AVX))
        components |= XCR0_AVX;
    if (!(x->xcr0 & XCR0_X87) ||
        x->xcr0 & ~(components | (x86_has(f, X86_FEAT_PKU) ? XCR0_PKRU : 0)) ||
        (x->xcr0 & XCR0_AVX && !(x->xcr0 & XCR0_SSE)))
        return false;
    /* XRSTOR refuses these: vol. 1, 13.8.1. */
    if (bv & ~components || le32_get(x->xsave + 24) & ~MXCSR_MASK)
        return false;
    for (unsigned i = 8; i < 64; i += 8)
        if (le64_get(x->xsave + XSAVE_HEADER + i))
            return false;
    return true;
}

static bool segments_valid(const struct x86_state *x)
{
    bool lma = x->efer & EFER_LMA, v86 = x->rflags & FL_VM;
    const struct x86_segment *cs = &x->seg[X86_CS];

    if (v86 && (lma || !(x->cr0 & CR0_PE)))
        return false;
    if (cs->attr & SEG_L && (!lma || cs->attr & SEG_DB))
        return false;
    for (unsigned i = 0; i < X86_SEGS; i++) {
        const struct x86_segment *seg = &x->seg[i];

        /* Hidden parts: bits 8-11 do not exist; only FS and GS have bases of 64 bits. */
        if (seg->attr & 0x0f00 || !canonical(seg->base) || (i < X86_FS && seg->base > UINT32_MAX))
            return false;
    }
    return canonical(x->gdtr.base) && canonical(x->idtr.base) && canonical(x->ldtr.base) &&
           canonical(x->tr.base);
}

int x86_state_valid(const struct x86_state *x, const struct x86_features *f)
{
    const uint8_t flags[] = {x->shadow_sti,   x->shadow_mov_ss, x->nmi_masked,
                             x->nmi_pending,  x->init_pending,  x->sipi_pending,
                             x->intr_pending, x->fault_pending, x->fault_has_error};

    for (unsigned i = 0; i < sizeof(flags); i++)
        if (flags[i] > 1)
            return -EBADMSG;
    if (x->pkru >> 32 || x->pkrs >> 32)
        return -EBADMSG;
    if (x->activity > X86_SHUTDOWN || x->fault_vector > 31 || x->trap_dr6 & ~0xe00fULL)
        return -EBADMSG;
    if (x->rflags >> 22 || x->dr[6] >> 32 || x->dr[7] >> 32)
        return -EBADMSG;
    if (!control_valid(x, f) || !fpu_valid(x, f) || !segments_valid(x))
        return -EBADMSG;
    if (!canonical(x->rip) || !canonical(x->lstar) || !canonical(x->cstar) ||
        !canonical(x->kernel_gs_base) || !canonical(x->sysenter_esp) || !canonical(x->sysenter_eip))
        return -EBADMSG;
    return 0;
}
