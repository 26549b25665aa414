/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts, exceptions and the way back. Intel SDM vol. 3, chapter 6; vol. 2, INT n and IRET.
 */
#include "cpu/soft/exec.h"

/* One delivery: what to push where, found out before anything is changed. */
struct frame {
    bool flat;     /* 64-bit: no segment checks */
    struct seg ss; /* the stack segment to push on */
    uint64_t sp, mask;
    uint32_t error;  /* selector error code for a fault on this stack */
    unsigned access; /* ACC_SYSTEM when the handler is a supervisor */
};

static bool frame_push(struct cpu *c, struct frame *f, unsigned size, uint64_t v)
{
    uint64_t sp = (f->sp - size) & f->mask, lin = sp;
    if (!f->flat) {
        uint32_t at = (uint32_t)sp;
        if (at < f->ss.lo_w || at > f->ss.hi_w || size - 1 > f->ss.hi_w - at) {
            raise_fault(c, VEC_SS, f->error);
            return false;
        }
        lin = (uint32_t)(sp + f->ss.base);
    }
    if (!priv_store(c, lin, size, ACC_STACK | f->access, v))
        return false;
    f->sp = sp;
    return true;
}

static struct frame frame_present(const struct cpu *c)
{
    return (struct frame){.flat = is_code64(c),
                          .ss = c->seg[X86_SS],
                          .sp = c->gpr[X86_RSP],
                          .mask = stack_mask(c),
                          .access = c->cpl < 3 ? ACC_SYSTEM : 0};
}

/* ---- real mode (SDM vol. 3, 20.1.4) ---- */

static void deliver_real(struct cpu *c, unsigned vector, uint64_t return_rip)
{
    struct frame f = frame_present(c);
    uint64_t entry;

    f.access = 0;
    if (vector * 4 + 3 > c->idtr.limit) {
        raise_fault(c, VEC_GP, 0);
        return;
    }
    if (!sys_load(c, (uint32_t)(c->idtr.base + vector * 4), 4, &entry) ||
        !frame_push(c, &f, 2, flags_get(c)) || !frame_push(c, &f, 2, c->seg[X86_CS].selector) ||
        !frame_push(c, &f, 2, return_rip))
        return;
    set_sp(c, f.sp);
    seg_load_real(c, X86_CS, (uint16_t)(entry >> 16));
    cpu_set_flags(c, 0, FL_IF | FL_TF | FL_AC | FL_RF);
    c->rip = entry & 0xffff;
}

/* ---- protected and long mode ---- */

struct gate {
    unsigned type;
    struct descriptor d;
    unsigned ist;
};

static bool gate_fetch(struct cpu *c, unsigned vector, enum int_kind kind, struct gate *g)
{
    bool longmode = is_long(c);
    unsigned size = longmode ? 16 : 8;
    uint32_t ext = kind == INT_SOFT ? 0 : 1, error = vector * 8 + 2 + ext;
    uint64_t at = c->idtr.base + vector * size;

    if (vector * size + size - 1 > c->idtr.limit) {
        raise_fault(c, VEC_GP, error);
        return false;
    }
    g->d = (struct descriptor){0};
    if (!sys_load(c, longmode ? at : (uint32_t)at, 8, &g->d.raw) ||
        (longmode && !sys_load(c, at + 8, 8, &g->d.raw_high)))
        return false;
    desc_parse(c, &g->d);
    g->type = desc_sys_type(&g->d);
    g->ist = longmode ? g->d.raw >> 32 & 7 : 0;
    bool known =
        g->type == SYS_INT || g->type == SYS_TRAP ||
        (!longmode && (g->type == SYS_INT16 || g->type == SYS_TRAP16 || g->type == SYS_TASK_GATE));
    if (!known || (kind == INT_SOFT && desc_dpl(&g->d) < c->cpl)) {
        raise_fault(c, VEC_GP, error);
        return false;
    }
    if (!(g->d.attr & SEG_P)) {
        raise_fault(c, VEC_NP, error);
        return false;
    }
    return true;
}

static bool handler_check(struct cpu *c, const struct gate *g, uint32_t ext,
                          struct descriptor *code)
{
    uint16_t selector = g->d.gate_selector;
    if (is_null(selector)) {
        raise_fault(c, VEC_GP, ext);
        return false;
    }
    bool found;
    if (!desc_try(c, selector, &found, code))
        return false;
    uint32_t error = sel_error(selector) | ext;
    if (!found || !desc_is_code(code) || desc_dpl(code) > c->cpl ||
        (is_long(c) && (code->attr & (SEG_L | SEG_DB)) != SEG_L)) {
        raise_fault(c, VEC_GP, error);
        return false;
    }
    if (!(code->attr & SEG_P)) {
        raise_fault(c, VEC_NP, error);
        return false;
    }
    uint64_t offset = g->d.gate_offset;
    if (is_long(c) ? !is_canonical48(offset) : offset > code->limit) {
        raise_fault(c, VEC_GP, ext);
        return false;
    }
    return true;
}

/* The stack of privilege cpl for a gate; fills ss_desc unless in long mode. */
static bool inner_stack(struct cpu *c, unsigned cpl, uint32_t ext, struct frame *f,
                        uint16_t *ret_ss, struct descriptor *ss_desc)
{
    if (!tss_stack(c, cpl, ret_ss, &f->sp) || !stack_seg_check(c, *ret_ss, cpl, VEC_TS, ss_desc)) {
        if (has_fault(c) && (c->vector == VEC_TS || c->vector == VEC_SS))
            c->error |= ext;
        return false;
    }
    f->ss = (struct seg){.base = ss_desc->base, .limit = ss_desc->limit, .attr = ss_desc->attr};
    seg_update(&f->ss, false);
    f->mask = ss_desc->attr & SEG_DB ? 0xffffffff : 0xffff;
    f->error = sel_error(*ret_ss) | ext;
    f->access = ACC_SYSTEM;
    return true;
}

static uint32_t flags_after(const struct gate *g)
{
    uint32_t clear = FL_TF | FL_NT | FL_RF | FL_VM;
    if (g->type == SYS_INT || g->type == SYS_INT16)
        clear |= FL_IF;
    return clear;
}

static void deliver_long(struct cpu *c, const struct gate *g, struct descriptor *code,
                         bool has_error, uint32_t error, uint64_t return_rip, uint32_t flags)
{
    bool inner = !(code->attr & SEG_CE) && desc_dpl(code) < c->cpl;
    unsigned cpl = code->attr & SEG_CE ? c->cpl : desc_dpl(code);
    struct frame f = {.flat = true, .mask = ~0ULL, .sp = c->gpr[X86_RSP]};
    uint16_t old_ss = c->seg[X86_SS].selector;

    if (g->ist ? !tss_rsp(c, 2 + g->ist, &f.sp) : inner && !tss_rsp(c, cpl, &f.sp))
        return;
    f.access = cpl < 3 ? ACC_SYSTEM : 0;
    f.sp &= ~15ULL;
    if (!frame_push(c, &f, 8, old_ss) || !frame_push(c, &f, 8, c->gpr[X86_RSP]) ||
        !frame_push(c, &f, 8, flags) || !frame_push(c, &f, 8, c->seg[X86_CS].selector) ||
        !frame_push(c, &f, 8, return_rip) || (has_error && !frame_push(c, &f, 8, error)) ||
        !desc_mark_accessed(c, code))
        return;
    cpu_set_flags(c, 0, flags_after(g));
    cs_set(c, g->d.gate_selector, code, cpl);
    if (inner)
        seg_set_null(c, X86_SS, (uint16_t)cpl);
    c->gpr[X86_RSP] = f.sp;
    c->rip = g->d.gate_offset;
}

static void deliver_legacy(struct cpu *c, const struct gate *g, struct descriptor *code,
                           bool has_error, uint32_t error, uint64_t return_rip, uint32_t flags,
                           uint32_t ext)
{
    bool inner = !(code->attr & SEG_CE) && desc_dpl(code) < c->cpl, v86 = is_v86(c);
    unsigned cpl = code->attr & SEG_CE ? c->cpl : desc_dpl(code);
    unsigned size = g->type == SYS_INT || g->type == SYS_TRAP ? 4 : 2;
    struct frame f = frame_present(c);
    struct descriptor ss_desc;
    uint16_t ss = 0;

    if (v86 && (code->attr & SEG_CE || desc_dpl(code) != 0)) {
        raise_fault(c, VEC_GP, sel_error(g->d.gate_selector) | ext);
        return;
    }
    if (inner) {
        if (!inner_stack(c, cpl, ext, &f, &ss, &ss_desc))
            return;
        if (v86) {
            static const uint8_t segs[] = {X86_GS, X86_FS, X86_DS, X86_ES};
            for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
                if (!frame_push(c, &f, size, c->seg[segs[i]].selector))
                    return;
        }
        if (!frame_push(c, &f, size, c->seg[X86_SS].selector) ||
            !frame_push(c, &f, size, c->gpr[X86_RSP]))
            return;
    } else {
        f.error = ext;
    }
    if (!frame_push(c, &f, size, flags) || !frame_push(c, &f, size, c->seg[X86_CS].selector) ||
        !frame_push(c, &f, size, return_rip) || (has_error && !frame_push(c, &f, size, error)) ||
        !desc_mark_accessed(c, code))
        return;
    cpu_set_flags(c, 0, flags_after(g));
    if (v86) {
        static const uint8_t segs[] = {X86_ES, X86_DS, X86_FS, X86_GS};
        for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
            seg_set_null(c, segs[i], 0);
    }
    cs_set(c, g->d.gate_selector, code, cpl);
    if (inner)
        seg_set(c, X86_SS, ss, &ss_desc);
    set_sp(c, f.sp);
    c->rip = g->d.gate_offset;
}

void deliver(struct cpu *c, unsigned vector, enum int_kind kind, bool has_error, uint32_t error,
             uint64_t return_rip)
{
    uint32_t flags = flags_get(c), ext = kind == INT_SOFT ? 0 : 1;
    struct descriptor code;
    struct gate g;

    c->events &= ~(uint32_t)EV_STEP;
    if (!(c->cr0 & CR0_PE)) {
        deliver_real(c, vector, return_rip);
        return;
    }
    if (kind == INT_FAULT)
        flags |= FL_RF;
    if (!gate_fetch(c, vector, kind, &g))
        return;
    if (g.type == SYS_TASK_GATE) {
        if (kind == INT_FAULT)
            c->eflags |= FL_RF;
        if (!task_switch(c, g.d.gate_selector, TASK_GATE, return_rip, has_error, error) &&
            c->vector != VEC_PF)
            c->error |= ext;
        return;
    }
    if (!handler_check(c, &g, ext, &code))
        return;
    if (is_long(c))
        deliver_long(c, &g, &code, has_error, error, return_rip, flags);
    else
        deliver_legacy(c, &g, &code, has_error, error, return_rip, flags, ext);
}

/* ---- INT n and its like ---- */

static void software(struct cpu *c, const struct uop *u, unsigned vector, enum int_kind kind)
{
    uint64_t at = uop_rip(c, u), next = rip_wrap(c, uop_next_rip(c, u));
    c->rip = at;
    deliver(c, vector, kind, false, 0, next);
}

/* With CR4.VME the bitmap in the TSS can send INT n in virtual-8086 mode to its own handler. */
static bool vme_redirects(struct cpu *c, unsigned vector, bool *ret_redirect)
{
    uint64_t base, map;
    *ret_redirect = false;
    if (!(c->cr4 & CR4_VME) || c->tr.limit < 103)
        return true;
    if (!sys_load(c, c->tr.base + 102, 2, &base))
        return false;
    base -= 32;
    if (base + vector / 8 > c->tr.limit)
        return true;
    if (!sys_load(c, c->tr.base + base + vector / 8, 1, &map))
        return false;
    *ret_redirect = !(map >> (vector & 7) & 1);
    return true;
}

/* Through the virtual-8086 task's own interrupt table (SDM vol. 3, 20.3.3.4). */
static void deliver_v86_table(struct cpu *c, const struct uop *u, unsigned vector)
{
    struct frame f = frame_present(c);
    uint64_t entry;
    uint32_t flags = flags_get(c);

    f.access = 0;
    if (iopl(c) < 3) {
        flags = (flags & ~FL_IF) | (c->eflags & FL_VIF ? FL_IF : 0);
        flags |= FL_IOPL;
    }
    if (!mem_load(c, vector * 4, 4, 0, &entry) || !frame_push(c, &f, 2, flags) ||
        !frame_push(c, &f, 2, c->seg[X86_CS].selector) || !frame_push(c, &f, 2, uop_next_rip(c, u)))
        FAULT(c, u);
    set_sp(c, f.sp);
    cpu_set_flags(c, 0, FL_TF | (iopl(c) == 3 ? FL_IF : FL_VIF));
    seg_load_real(c, X86_CS, (uint16_t)(entry >> 16));
    c->rip = entry & 0xffff;
}

void x_INT(struct cpu *c, const struct uop *u)
{
    unsigned vector = (uint8_t)u->imm;
    if (is_v86(c)) {
        bool redirect;
        if (!vme_redirects(c, vector, &redirect))
            FAULT(c, u);
        if (redirect) {
            deliver_v86_table(c, u, vector);
            return;
        }
        if (iopl(c) < 3)
            RAISE(c, u, VEC_GP, 0);
    }
    software(c, u, vector, INT_SOFT);
}

void x_INT3(struct cpu *c, const struct uop *u)
{
    software(c, u, VEC_BP, INT_SOFT);
}

void x_INTO(struct cpu *c, const struct uop *u)
{
    if (c->aflags & AF_OF)
        software(c, u, VEC_OF, INT_SOFT);
    else
        leave_after(c, u);
}

void x_INT1(struct cpu *c, const struct uop *u)
{
    /* A trap that MOV SS held back is the same exception. */
    if (c->events & EV_TRAP) {
        c->events &= ~(uint32_t)EV_TRAP;
        c->dr[6] = (c->dr[6] & ~0xfULL) | c->dr6_pending;
        c->dr6_pending = 0;
    }
    software(c, u, VEC_DB, INT_ICEBP);
}

/* ---- IRET ---- */

#define IRET_FLAGS (FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID)

static uint32_t iret_mask(const struct cpu *c, unsigned size, unsigned old_cpl)
{
    uint32_t mask = IRET_FLAGS;
    if (old_cpl <= iopl(c))
        mask |= FL_IF;
    if (old_cpl == 0)
        mask |= FL_IOPL | FL_VIF | FL_VIP;
    return size == 2 ? mask & 0xffff : mask;
}

static void iret_real(struct cpu *c, const struct uop *u)
{
    unsigned size = u->bytes;
    uint64_t mask = stack_mask(c), sp = c->gpr[X86_RSP] & mask, rip, cs, flags;
    uint32_t allowed = IRET_FLAGS | FL_IF | FL_IOPL;

    if (!stack_load(c, sp, size, &rip) || !stack_load(c, (sp + size) & mask, size, &cs) ||
        !stack_load(c, (sp + 2 * size) & mask, size, &flags))
        FAULT(c, u);
    if (is_v86(c)) {
        allowed &= ~FL_IOPL;
        if (iopl(c) < 3) {
            /* VME: only a 16-bit IRET, IF stands for VIF (SDM vol. 2, IRET). */
            bool pends = flags & FL_IF && c->eflags & FL_VIP;
            if (!(c->cr4 & CR4_VME) || size != 2 || pends || flags & FL_TF)
                RAISE(c, u, VEC_GP, 0);
            flags |= flags & FL_IF ? FL_VIF : 0;
            allowed = (allowed & ~FL_IF & 0xffff) | FL_VIF;
        }
    }
    if (rip > c->seg[X86_CS].limit)
        RAISE(c, u, VEC_GP, 0);
    set_sp(c, sp + 3 * size);
    seg_load_real(c, X86_CS, (uint16_t)cs);
    cpu_set_flags(c, (uint32_t)flags, size == 2 ? allowed & (0xffff | FL_VIF) : allowed);
    c->rip = rip;
}

static void iret_to_v86(struct cpu *c, const struct uop *u, uint64_t sp, uint64_t mask,
                        uint64_t rip, uint64_t cs, uint64_t flags)
{
    static const uint8_t segs[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    uint64_t v[6];

    for (unsigned i = 0; i < 6; i++)
        if (!stack_load(c, (sp + 12 + 4 * i) & mask, 4, &v[i]))
            FAULT(c, u);
    if ((rip & 0xffffffff) > 0xffff)
        RAISE(c, u, VEC_GP, 0);
    cpu_set_flags(c, (uint32_t)flags, IRET_FLAGS | FL_IF | FL_IOPL | FL_VM | FL_VIF | FL_VIP);
    seg_load_real(c, X86_CS, (uint16_t)cs);
    seg_load_real(c, X86_SS, (uint16_t)v[1]);
    for (unsigned i = 0; i < 4; i++)
        seg_load_real(c, segs[i], (uint16_t)v[2 + i]);
    cpu_set_cpl(c, 3);
    c->gpr[X86_RSP] = (uint32_t)v[0];
    c->rip = (uint16_t)rip;
}

void x_IRET(struct cpu *c, const struct uop *u)
{
    unsigned size = u->bytes, old_cpl = c->cpl;
    uint64_t mask = stack_mask(c), sp = c->gpr[X86_RSP] & mask, rip, cs, flags, new_sp = 0;
    uint64_t new_ss = 0;
    struct descriptor d, ss;

    if (!is_protected(c)) {
        iret_real(c, u);
        c->nmi_masked = false;
        return;
    }
    if (c->eflags & FL_NT) {
        uint64_t link;
        if (is_long(c))
            RAISE(c, u, VEC_GP, 0);
        if (!sys_load(c, c->tr.base, 2, &link))
            FAULT(c, u);
        uint64_t next = rip_wrap(c, uop_next_rip(c, u));
        leave_at(c, u);
        if (task_switch(c, (uint16_t)link, TASK_IRET, next, false, 0))
            c->nmi_masked = false;
        return;
    }
    if (!stack_load(c, sp, size, &rip) || !stack_load(c, (sp + size) & mask, size, &cs) ||
        !stack_load(c, (sp + 2 * size) & mask, size, &flags))
        FAULT(c, u);
    if (size == 4 && flags & FL_VM && c->cpl == 0 && !is_long(c)) {
        iret_to_v86(c, u, sp, mask, rip, cs, flags);
        c->nmi_masked = false;
        return;
    }
    uint16_t selector = (uint16_t)cs;
    if (is_null(selector))
        RAISE(c, u, VEC_GP, 0);
    if (!desc_read(c, selector, VEC_GP, &d))
        FAULT(c, u);
    unsigned cpl = rpl(selector);
    bool bad = !desc_is_code(&d) || cpl < c->cpl ||
               (is_long(c) && (d.attr & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB));
    if (!bad)
        bad = d.attr & SEG_CE ? desc_dpl(&d) > cpl : desc_dpl(&d) != cpl;
    if (bad)
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!(d.attr & SEG_P))
        RAISE(c, u, VEC_NP, sel_error(selector));

    /* In 64-bit mode SS:RSP is always popped. */
    bool pops_stack = cpl != c->cpl || is_code64(c), null_ss = false;
    if (pops_stack) {
        if (!stack_load(c, (sp + 3 * size) & mask, size, &new_sp) ||
            !stack_load(c, (sp + 4 * size) & mask, size, &new_ss))
            FAULT(c, u);
        null_ss = is_null((uint16_t)new_ss) && is_long(c) && d.attr & SEG_L && cpl < 3;
        if (null_ss && rpl((uint16_t)new_ss) != cpl)
            RAISE(c, u, VEC_GP, sel_error((uint16_t)new_ss));
        if (!null_ss && !stack_seg_check(c, (uint16_t)new_ss, cpl, VEC_GP, &ss))
            FAULT(c, u);
    }
    bool to64 = is_long(c) && d.attr & SEG_L;
    if (to64 ? !is_canonical48(rip) : (uint32_t)rip > d.limit)
        RAISE(c, u, VEC_GP, 0);
    if (!desc_mark_accessed(c, &d))
        FAULT(c, u);

    uint32_t fmask = iret_mask(c, size, old_cpl);
    cs_set(c, selector, &d, cpl);
    if (!pops_stack) {
        set_sp(c, sp + 3 * size);
    } else {
        if (null_ss)
            seg_set_null(c, X86_SS, (uint16_t)new_ss);
        else
            seg_set(c, X86_SS, (uint16_t)new_ss, &ss);
        if (to64)
            c->gpr[X86_RSP] = size == 8 ? new_sp : size == 4 ? (uint32_t)new_sp : (uint16_t)new_sp;
        else
            set_sp(c, new_sp);
    }
    cpu_set_flags(c, (uint32_t)flags, fmask);
    if (cpl != old_cpl)
        segs_drop_privileged(c);
    c->rip = to64 ? rip : (uint32_t)rip;
    c->nmi_masked = false;
}
