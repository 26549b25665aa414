/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between struct cpu and the architectural state that is saved and moved (cpu/x86/state.h).
 */
#include "base/bytes.h"
#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/loop.h"

/* clang-format off */
/* Fields that have the same name and type in both. */
#define SAME_FIELDS(X) \
    X(rip) X(ldtr) X(tr) X(gdtr) X(idtr) X(cr0) X(cr2) X(cr3) X(cr4) X(xcr0) X(efer) X(star) \
    X(lstar) X(cstar) X(sfmask) X(kernel_gs_base) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) \
    X(pat) X(tsc_aux) X(tsc_adjust) X(misc_enable) X(spec_ctrl) X(mtrr_def_type) X(mcg_status) \
    X(pkru) X(pkrs)
/* clang-format on */

void soft_get_state(struct cpu *c, struct x86_state *s)
{
    fpu_save(c);
    zero_bytes(s, sizeof(*s));
    copy_bytes(s->gpr, c->gpr, sizeof(s->gpr));
    s->rflags = flags_get(c);
#define X(field) s->field = c->field;
    SAME_FIELDS(X)
#undef X
    for (unsigned i = 0; i < X86_SEGS; i++)
        s->seg[i] = (struct x86_segment){.base = c->seg[i].base,
                                         .limit = c->seg[i].limit,
                                         .selector = c->seg[i].selector,
                                         .attr = c->seg[i].attr};
    copy_bytes(s->dr, c->dr, sizeof(s->dr));
    copy_bytes(s->mtrr_fixed, c->mtrr_fixed, sizeof(s->mtrr_fixed));
    copy_bytes(s->mtrr_base, c->mtrr_base, sizeof(s->mtrr_base));
    copy_bytes(s->mtrr_mask, c->mtrr_mask, sizeof(s->mtrr_mask));
    s->tsc = guest_tsc(c);
    s->activity = c->activity;
    s->shadow_sti = !!(c->events & EV_SHADOW);
    s->shadow_mov_ss = !!(c->events & EV_SHADOW_SS);
    s->nmi_masked = c->nmi_masked;
    s->nmi_pending = !!(atomic_load(&c->requests) & REQ_NMI);
    s->init_pending = !!(atomic_load(&c->requests) & REQ_INIT);
    s->sipi_pending = !!(atomic_load(&c->requests) & REQ_SIPI);
    s->sipi_vector = c->sipi_vector;
    s->intr_pending = !!(c->events & EV_INTR);
    s->intr_vector = s->intr_pending ? c->vector : 0;
    if (c->events & EV_FAULT) {
        s->fault_pending = 1;
        s->fault_vector = c->vector;
        s->fault_has_error = c->has_error;
        s->fault_error = c->error;
    }
    s->trap_dr6 = c->events & EV_TRAP ? c->dr6_pending : 0;
    copy_bytes(s->xsave, c->xsave, sizeof(s->xsave));
    put_fpu_pointers(c, s->xsave);
}

void soft_put_state(struct cpu *c, const struct x86_state *s)
{
    bool real = !(s->cr0 & CR0_PE) || s->rflags & FL_VM;

    fpu_reset(c);
    copy_bytes(c->gpr, s->gpr, sizeof(s->gpr));
    c->gpr[GPR_ZERO] = 0;
#define X(field) c->field = s->field;
    SAME_FIELDS(X)
#undef X
    c->eflags = (uint32_t)s->rflags & ~(FL_ARITH | FL_1);
    flags_set_arith(c, (uint32_t)s->rflags);
    for (unsigned i = 0; i < X86_SEGS; i++) {
        c->seg[i] = (struct seg){.base = s->seg[i].base,
                                 .limit = s->seg[i].limit,
                                 .selector = s->seg[i].selector,
                                 .attr = s->seg[i].attr};
        seg_update(&c->seg[i], real);
    }
    c->seg[SEG_FLAT] = (struct seg){.limit = 0xffffffff, .hi_r = 0xffffffff, .hi_w = 0xffffffff};
    copy_bytes(c->dr, s->dr, sizeof(s->dr));
    copy_bytes(c->mtrr_fixed, s->mtrr_fixed, sizeof(s->mtrr_fixed));
    copy_bytes(c->mtrr_base, s->mtrr_base, sizeof(s->mtrr_base));
    copy_bytes(c->mtrr_mask, s->mtrr_mask, sizeof(s->mtrr_mask));
    c->tsc_offset = s->tsc - soft_tsc_now(c->soft);
    c->activity = (uint8_t)s->activity;
    c->events = (s->shadow_sti ? EV_SHADOW : 0) | (s->shadow_mov_ss ? EV_SHADOW_SS : 0);
    c->dr6_pending = 0;
    c->nmi_masked = s->nmi_masked;
    if (s->trap_dr6) {
        c->events |= EV_TRAP;
        c->dr6_pending = s->trap_dr6;
    }
    if (s->fault_pending) {
        c->events |= EV_FAULT;
        c->vector = s->fault_vector;
        c->has_error = s->fault_has_error;
        c->error = s->fault_error;
    } else if (s->intr_pending) {
        c->events |= EV_INTR;
        c->vector = s->intr_vector;
    }
    if (s->sipi_pending)
        c->sipi_vector = s->sipi_vector;
    atomic_fetch_or(&c->requests, (s->nmi_pending ? REQ_NMI : 0) |
                                      (s->init_pending ? REQ_INIT : 0) |
                                      (s->sipi_pending ? REQ_SIPI : 0));
    copy_bytes(c->xsave, s->xsave, sizeof(s->xsave));
    get_fpu_pointers(c, s->xsave);
    /* SS's DPL is the CPL in protected mode (SDM vol. 3, 5.5). */
    c->cpl = real ? (s->rflags & FL_VM ? 3 : 0) : (s->seg[X86_SS].attr & SEG_DPL) >> SEG_DPL_SHIFT;
    if (c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !is_long(c))
        load_pdptes(c, c->cr3);
    tlb_flush(c);
    cpu_update_mode(c);
}
