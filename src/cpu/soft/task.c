/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task-state segments: hardware task switches, stacks of inner levels, the I/O permission map.
 * Intel SDM vol. 3, chapter 7; vol. 1, 19.5.
 */
#include "cpu/soft/exec.h"

static bool tr_is_16(const struct cpu *c)
{
    return !(c->tr.attr & 8);
}

static bool ts_fault(struct cpu *c, uint16_t selector)
{
    raise_fault(c, VEC_TS, sel_error(selector));
    return false;
}

bool tss_stack(struct cpu *c, unsigned level, uint16_t *ret_ss, uint64_t *ret_sp)
{
    bool small = tr_is_16(c);
    unsigned at = small ? 2 + level * 4 : 4 + level * 8, width = small ? 2 : 4;
    uint64_t sp, ss;

    if (at + 2 * width - 1 > c->tr.limit)
        return ts_fault(c, c->tr.selector);
    if (!sys_load(c, (uint32_t)(c->tr.base + at), width, &sp) ||
        !sys_load(c, (uint32_t)(c->tr.base + at + width), 2, &ss))
        return false;
    *ret_sp = sp;
    *ret_ss = (uint16_t)ss;
    return true;
}

bool tss_rsp(struct cpu *c, unsigned index, uint64_t *ret_rsp)
{
    /* RSP0–2 at 4, 12, 20; IST1–7 at 36 … (index 3 is IST1) */
    unsigned at = index < 3 ? 4 + 8 * index : 36 + 8 * (index - 3);
    uint64_t rsp;

    if (at + 7 > c->tr.limit)
        return ts_fault(c, c->tr.selector);
    if (!sys_load(c, c->tr.base + at, 8, &rsp))
        return false;
    if (!is_canonical48(rsp)) {
        raise_fault(c, VEC_SS, 0);
        return false;
    }
    *ret_rsp = rsp;
    return true;
}

bool io_allowed(struct cpu *c, uint16_t port, unsigned size)
{
    uint64_t base, bits;

    if (!(c->cr0 & CR0_PE) || (!is_v86(c) && c->cpl <= iopl(c)))
        return true;
    /* Both bytes that may hold the bits are read, whatever the size. */
    if (c->tr.attr & SEG_P && !tr_is_16(c) && c->tr.limit >= 103) {
        uint64_t lin = c->tr.base;
        if (!sys_load(c, lin + 102, 2, &base))
            return false;
        if (base + port / 8 + 1 <= c->tr.limit) {
            if (!sys_load(c, lin + base + port / 8, 2, &bits))
                return false;
            if (!((bits >> (port & 7)) & ((1u << size) - 1)))
                return true;
        }
    }
    raise_fault(c, VEC_GP, 0);
    return false;
}

/* ---- task switch (SDM vol. 3, 7.3) ---- */

struct task_image {
    uint64_t cr3, eip, eflags, gpr[8], seg[6], ldt, trap;
};

/* Offsets in a 32-bit TSS; a 16-bit one has words in the same order from 14 on, without FS, GS. */
#define TSS32_CR3 28
#define TSS32_EIP 32
#define TSS32_GPR 40
#define TSS32_SEG 72
#define TSS32_LDT 96
#define TSS32_TRAP 100
#define TSS16_IP 14
#define TSS16_GPR 18
#define TSS16_SEG 34
#define TSS16_LDT 42

static bool save_task(struct cpu *c, uint64_t next_rip, uint32_t flags)
{
    uint64_t base = c->tr.base;

    if (tr_is_16(c)) {
        bool ok = sys_store(c, base + TSS16_IP, 2, next_rip) &&
                  sys_store(c, base + TSS16_IP + 2, 2, flags);
        for (unsigned i = 0; ok && i < 8; i++)
            ok = sys_store(c, base + TSS16_GPR + 2 * i, 2, c->gpr[i]);
        for (unsigned i = 0; ok && i < 4; i++)
            ok = sys_store(c, base + TSS16_SEG + 2 * i, 2, c->seg[i].selector);
        return ok;
    }
    bool ok =
        sys_store(c, base + TSS32_EIP, 4, next_rip) && sys_store(c, base + TSS32_EIP + 4, 4, flags);
    for (unsigned i = 0; ok && i < 8; i++)
        ok = sys_store(c, base + TSS32_GPR + 4 * i, 4, c->gpr[i]);
    for (unsigned i = 0; ok && i < 6; i++)
        ok = sys_store(c, base + TSS32_SEG + 4 * i, 2, c->seg[i].selector);
    return ok;
}

static bool load_task(struct cpu *c, uint64_t base, bool small, struct task_image *t)
{
    bool ok;
    *t = (struct task_image){0};
    if (small) {
        ok = sys_load(c, base + TSS16_IP, 2, &t->eip) &&
             sys_load(c, base + TSS16_IP + 2, 2, &t->eflags) &&
             sys_load(c, base + TSS16_LDT, 2, &t->ldt);
        for (unsigned i = 0; ok && i < 8; i++) {
            ok = sys_load(c, base + TSS16_GPR + 2 * i, 2, &t->gpr[i]);
            t->gpr[i] |= 0xffff0000;
        }
        for (unsigned i = 0; ok && i < 4; i++)
            ok = sys_load(c, base + TSS16_SEG + 2 * i, 2, &t->seg[i]);
        return ok;
    }
    ok = sys_load(c, base + TSS32_CR3, 4, &t->cr3) && sys_load(c, base + TSS32_EIP, 4, &t->eip) &&
         sys_load(c, base + TSS32_EIP + 4, 4, &t->eflags) &&
         sys_load(c, base + TSS32_LDT, 2, &t->ldt) && sys_load(c, base + TSS32_TRAP, 2, &t->trap);
    for (unsigned i = 0; ok && i < 8; i++)
        ok = sys_load(c, base + TSS32_GPR + 4 * i, 4, &t->gpr[i]);
    for (unsigned i = 0; ok && i < 6; i++)
        ok = sys_load(c, base + TSS32_SEG + 4 * i, 2, &t->seg[i]);
    return ok;
}

static bool load_ldt(struct cpu *c, uint16_t selector)
{
    struct descriptor d;
    bool found;

    c->ldtr = (struct x86_segment){.selector = selector};
    if (is_null(selector))
        return true;
    if (selector & 4)
        return ts_fault(c, selector);
    if (!desc_try(c, selector, &found, &d))
        return false;
    if (!found || desc_sys_type(&d) != SYS_LDT || !(d.attr & SEG_P))
        return ts_fault(c, selector);
    c->ldtr = (struct x86_segment){
        .selector = selector, .base = d.base, .limit = d.limit, .attr = d.attr};
    return true;
}

static bool load_cs(struct cpu *c, uint16_t selector)
{
    struct descriptor d;
    bool found;

    if (is_null(selector))
        return ts_fault(c, selector);
    if (!desc_try(c, selector, &found, &d))
        return false;
    if (!found || !desc_is_code(&d))
        return ts_fault(c, selector);
    if (d.attr & SEG_CE ? desc_dpl(&d) > rpl(selector) : desc_dpl(&d) != rpl(selector))
        return ts_fault(c, selector);
    if (!(d.attr & SEG_P)) {
        raise_fault(c, VEC_NP, sel_error(selector));
        return false;
    }
    if (!desc_mark_accessed(c, &d))
        return false;
    cs_set(c, selector, &d, rpl(selector));
    return true;
}

static bool load_data_seg(struct cpu *c, unsigned seg, uint16_t selector)
{
    struct descriptor d;
    bool found;

    if (is_null(selector)) {
        seg_set_null(c, seg, selector);
        return true;
    }
    if (!desc_try(c, selector, &found, &d))
        return false;
    bool conforming = found && desc_is_code(&d) && d.attr & SEG_CE;
    if (!found || !(d.attr & SEG_S) || (desc_is_code(&d) && !(d.attr & SEG_RW)) ||
        (!conforming && (rpl(selector) > desc_dpl(&d) || c->cpl > desc_dpl(&d))))
        return ts_fault(c, selector);
    if (!(d.attr & SEG_P)) {
        raise_fault(c, VEC_NP, sel_error(selector));
        return false;
    }
    if (!desc_mark_accessed(c, &d))
        return false;
    seg_set(c, seg, selector, &d);
    return true;
}

static bool load_ss(struct cpu *c, uint16_t selector)
{
    struct descriptor d;
    if (!stack_seg_check(c, selector, c->cpl, VEC_TS, &d))
        return false;
    seg_set(c, X86_SS, selector, &d);
    return true;
}

/* Segment registers of the new task, in the order whose faults the manual lists. */
static bool load_segments(struct cpu *c, const struct task_image *t)
{
    static const uint8_t segs[] = {X86_ES, X86_DS, X86_FS, X86_GS};

    if (c->eflags & FL_VM) {
        for (unsigned i = 0; i < X86_SEGS; i++)
            seg_load_real(c, i, (uint16_t)t->seg[i]);
        cpu_set_cpl(c, 3);
        return true;
    }
    if (!load_cs(c, (uint16_t)t->seg[X86_CS]) || !load_ss(c, (uint16_t)t->seg[X86_SS]))
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
        if (!load_data_seg(c, segs[i], (uint16_t)t->seg[segs[i]]))
            return false;
    return true;
}

static bool check_new_tss(struct cpu *c, uint16_t selector, enum task_switch kind,
                          struct descriptor *d)
{
    bool found;
    unsigned vector = kind == TASK_IRET ? VEC_TS : VEC_GP;

    if (selector & 4 || is_null(selector)) {
        raise_fault(c, vector, sel_error(selector));
        return false;
    }
    if (!desc_try(c, selector, &found, d))
        return false;
    unsigned type = found ? desc_sys_type(d) : 0;
    bool available = type == SYS_TSS16 || type == SYS_TSS;
    bool busy = type == SYS_TSS16_BUSY || type == SYS_TSS_BUSY;
    if (!(kind == TASK_IRET ? busy : available)) {
        raise_fault(c, vector, sel_error(selector));
        return false;
    }
    if (!(d->attr & SEG_P)) {
        raise_fault(c, VEC_NP, sel_error(selector));
        return false;
    }
    if (d->limit < (d->attr & 8 ? 103u : 43u))
        return ts_fault(c, selector);
    return true;
}

bool task_switch(struct cpu *c, uint16_t selector, enum task_switch kind, uint64_t next_rip,
                 bool has_error, uint32_t error)
{
    struct descriptor d;
    struct task_image t;
    uint16_t old = c->tr.selector;

    if (!check_new_tss(c, selector, kind, &d))
        return false;
    bool small = !(d.attr & 8), nests = kind == TASK_CALL || kind == TASK_GATE;
    /* Everything that can page-fault in either TSS does so before the switch is committed. */
    if (!load_task(c, d.base, small, &t))
        return false;
    uint32_t old_flags = flags_get(c);
    if (kind == TASK_IRET)
        old_flags &= ~FL_NT;
    if (!save_task(c, next_rip, old_flags))
        return false;
    if (nests && !sys_store(c, d.base, 2, old))
        return false;
    if (kind == TASK_JMP || kind == TASK_IRET)
        if (!desc_mark_busy(c, old, false))
            return false;
    if (kind != TASK_IRET && !desc_mark_busy(c, selector, true))
        return false;

    /* From here on faults belong to the new task. */
    c->tr = (struct x86_segment){
        .selector = selector, .base = d.base, .limit = d.limit, .attr = d.attr | 2};
    c->cr0 |= CR0_TS;
    if (!small && c->cr0 & CR0_PG) {
        c->cr3 = t.cr3;
        if (c->cr4 & CR4_PAE && !load_pdptes(c, c->cr3)) {
            raise_fault(c, VEC_GP, 0);
            return false;
        }
        tlb_switch(c, false);
    }
    c->rip = (uint32_t)t.eip;
    if (nests)
        t.eflags |= FL_NT;
    c->eflags = (uint32_t)t.eflags & ~FL_ARITH & 0x3f7fd5;
    c->eflags &= ~(FL_1 | 0x8028u);
    flags_set_arith(c, (uint32_t)t.eflags);
    for (unsigned i = 0; i < 8; i++)
        c->gpr[i] = (uint32_t)t.gpr[i];
    /* Until checked, segment registers hold their selectors without a usable descriptor. */
    for (unsigned i = 0; i < X86_SEGS; i++) {
        c->seg[i].selector = (uint16_t)t.seg[i];
        if (i != X86_CS && i != X86_SS) {
            c->seg[i].attr = 0;
            seg_update(&c->seg[i], false);
        }
    }
    cpu_set_cpl(c, c->eflags & FL_VM ? 3 : rpl((uint16_t)t.seg[X86_CS]));
    c->dr[7] &= ~0x155ULL; /* local breakpoints are of the old task */
    cpu_update_mode(c);
    if (!load_ldt(c, (uint16_t)t.ldt) || !load_segments(c, &t))
        return false;
    if (has_error && !push(c, small ? 2 : 4, error))
        return false;
    if (c->rip > c->seg[X86_CS].limit) {
        raise_fault(c, VEC_GP, 0);
        return false;
    }
    if (!small && t.trap & 1) {
        c->dr6_pending |= DR6_BT;
        c->events |= EV_TRAP;
    }
    return true;
}

/* ---- LTR, LLDT, STR, SLDT ---- */

static bool privileged(struct cpu *c, const struct uop *u)
{
    if (!is_protected(c)) {
        raise_fault(c, VEC_UD, 0);
    } else if (c->cpl) {
        raise_fault(c, VEC_GP, 0);
    } else {
        return true;
    }
    leave_at(c, u);
    return false;
}

void x_LTR(struct cpu *c, const struct uop *u)
{
    struct descriptor d;
    uint64_t v;

    if (!privileged(c, u))
        return;
    if (!uop_rm(c, u, 2, &v))
        FAULT(c, u);
    uint16_t selector = (uint16_t)v;
    if (is_null(selector) || selector & 4)
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!desc_read(c, selector, VEC_GP, &d))
        FAULT(c, u);
    unsigned type = desc_sys_type(&d);
    if (type != SYS_TSS && (type != SYS_TSS16 || is_long(c)))
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!(d.attr & SEG_P))
        RAISE(c, u, VEC_NP, sel_error(selector));
    if (is_long(c) && !is_canonical48(d.base))
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!desc_mark_busy(c, selector, true))
        FAULT(c, u);
    c->tr = (struct x86_segment){
        .selector = selector, .base = d.base, .limit = d.limit, .attr = d.attr | 2};
    leave_after(c, u);
}

void x_LLDT(struct cpu *c, const struct uop *u)
{
    struct descriptor d;
    uint64_t v;

    if (!privileged(c, u))
        return;
    if (!uop_rm(c, u, 2, &v))
        FAULT(c, u);
    uint16_t selector = (uint16_t)v;
    if (is_null(selector)) {
        c->ldtr.selector = selector;
        c->ldtr.attr = 0;
        leave_after(c, u);
        return;
    }
    if (selector & 4)
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!desc_read(c, selector, VEC_GP, &d))
        FAULT(c, u);
    if (desc_sys_type(&d) != SYS_LDT)
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!(d.attr & SEG_P))
        RAISE(c, u, VEC_NP, sel_error(selector));
    if (is_long(c) && !is_canonical48(d.base))
        RAISE(c, u, VEC_GP, sel_error(selector));
    c->ldtr = (struct x86_segment){
        .selector = selector, .base = d.base, .limit = d.limit, .attr = d.attr};
    leave_after(c, u);
}

static void store_selector(struct cpu *c, const struct uop *u, uint16_t selector)
{
    if (!is_protected(c))
        RAISE(c, u, VEC_UD, 0);
    if (c->cr4 & CR4_UMIP && c->cpl)
        RAISE(c, u, VEC_GP, 0);
    if (u->flags & U_MEM) {
        if (!uop_set_rm(c, u, 2, selector))
            FAULT(c, u);
    } else {
        reg_set(c, u->rm, u->bytes, selector);
    }
    NEXT_OR_LEAVE(c, u);
}

void x_SLDT(struct cpu *c, const struct uop *u)
{
    store_selector(c, u, c->ldtr.selector);
}

void x_STR(struct cpu *c, const struct uop *u)
{
    store_selector(c, u, c->tr.selector);
}
