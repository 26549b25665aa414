/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far jumps, calls and returns: through descriptors, call gates and task gates. Intel SDM vol. 2
 * (CALL, JMP, RET) and vol. 3, 5.8.
 */
#include "cpu/soft/exec.h"

/* A destination offset must lie within its code segment. */
static bool offset_ok(struct cpu *c, const struct descriptor *d, uint64_t offset)
{
    bool bad = is_long(c) && d->attr & SEG_L ? !is_canonical48(offset) : offset > d->limit;
    if (bad)
        raise_fault(c, VEC_GP, 0);
    return !bad;
}

/* In long mode a code descriptor with L and D both set is reserved. */
static bool code_reserved(const struct cpu *c, const struct descriptor *d)
{
    return is_long(c) && (d->attr & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB);
}

static bool fault(struct cpu *c, unsigned vector, uint16_t selector)
{
    raise_fault(c, vector, sel_error(selector));
    return false;
}

/* The checks of a direct far jump or call to a code segment; CPL does not change. */
static bool check_direct(struct cpu *c, uint16_t selector, struct descriptor *d)
{
    bool conforming = d->attr & SEG_CE;
    if (code_reserved(c, d))
        return fault(c, VEC_GP, selector);
    if (conforming ? desc_dpl(d) > c->cpl : (rpl(selector) > c->cpl || desc_dpl(d) != c->cpl))
        return fault(c, VEC_GP, selector);
    if (!(d->attr & SEG_P))
        return fault(c, VEC_NP, selector);
    return true;
}

static bool gate_read(struct cpu *c, uint16_t selector, struct descriptor *gate,
                      struct descriptor *code)
{
    if (desc_dpl(gate) < c->cpl || desc_dpl(gate) < rpl(selector))
        return fault(c, VEC_GP, selector);
    if (!(gate->attr & SEG_P))
        return fault(c, VEC_NP, selector);
    if (desc_sys_type(gate) == SYS_TASK_GATE)
        return true;
    if (is_null(gate->gate_selector)) {
        raise_fault(c, VEC_GP, 0);
        return false;
    }
    if (!desc_read(c, gate->gate_selector, VEC_GP, code))
        return false;
    bool wants64 = is_long(c);
    if (!desc_is_code(code) || desc_dpl(code) > c->cpl ||
        (wants64 && (code->attr & (SEG_L | SEG_DB)) != SEG_L))
        return fault(c, VEC_GP, gate->gate_selector);
    if (!(code->attr & SEG_P))
        return fault(c, VEC_NP, gate->gate_selector);
    return true;
}

/* What a selector names, sorted by what is to be done. */
enum target { TARGET_CODE, TARGET_GATE, TARGET_TASK, TARGET_FAULT };

static enum target look_up(struct cpu *c, uint16_t selector, struct descriptor *d)
{
    if (is_null(selector)) {
        raise_fault(c, VEC_GP, 0);
        return TARGET_FAULT;
    }
    if (!desc_read(c, selector, VEC_GP, d))
        return TARGET_FAULT;
    if (desc_is_code(d))
        return TARGET_CODE;
    switch (desc_sys_type(d)) {
    case SYS_CALL16:
        if (is_long(c))
            break;
        return TARGET_GATE;
    case SYS_CALL:
        return TARGET_GATE;
    case SYS_TASK_GATE:
    case SYS_TSS16:
    case SYS_TSS:
        if (is_long(c))
            break;
        return TARGET_TASK;
    }
    fault(c, VEC_GP, selector);
    return TARGET_FAULT;
}

/* JMP or CALL to a TSS or a task gate. */
static void far_task(struct cpu *c, const struct uop *u, uint16_t selector, struct descriptor *d,
                     enum task_switch kind)
{
    uint16_t tss = selector;
    if (desc_dpl(d) < c->cpl || desc_dpl(d) < rpl(selector)) {
        fault(c, VEC_GP, selector);
        FAULT(c, u);
    }
    if (!(d->attr & SEG_P)) {
        fault(c, VEC_NP, selector);
        FAULT(c, u);
    }
    if (desc_sys_type(d) == SYS_TASK_GATE)
        tss = d->gate_selector;
    uint64_t at = uop_rip(c, u);
    uint64_t next = rip_wrap(c, uop_next_rip(c, u));
    c->rip = at;
    task_switch(c, tss, kind, next, false, 0);
}

static void far_jump(struct cpu *c, const struct uop *u, uint16_t selector, uint64_t offset)
{
    struct descriptor d, code;

    if (!is_protected(c)) {
        if (offset > c->seg[X86_CS].limit)
            RAISE(c, u, VEC_GP, 0);
        seg_load_real(c, X86_CS, selector);
        c->rip = offset;
        return;
    }
    switch (look_up(c, selector, &d)) {
    case TARGET_CODE:
        if (!check_direct(c, selector, &d) || !offset_ok(c, &d, offset) ||
            !desc_mark_accessed(c, &d))
            FAULT(c, u);
        cs_set(c, selector, &d, c->cpl);
        c->rip = offset;
        return;
    case TARGET_GATE:
        if (!gate_read(c, selector, &d, &code))
            FAULT(c, u);
        if (code.attr & SEG_CE ? desc_dpl(&code) > c->cpl : desc_dpl(&code) != c->cpl) {
            fault(c, VEC_GP, d.gate_selector);
            FAULT(c, u);
        }
        if (!offset_ok(c, &code, d.gate_offset) || !desc_mark_accessed(c, &code))
            FAULT(c, u);
        cs_set(c, d.gate_selector, &code, c->cpl);
        c->rip = d.gate_offset;
        return;
    case TARGET_TASK:
        far_task(c, u, selector, &d, TASK_JMP);
        return;
    case TARGET_FAULT:
        FAULT(c, u);
    }
}

/* Pushes for the stack that ss and mask describe, committed by the caller. */
struct far_stack {
    const struct descriptor *ss; /* NULL: the present SS */
    bool flat;                   /* 64-bit */
    uint64_t sp, mask;
};

static bool far_push(struct cpu *c, struct far_stack *s, unsigned size, uint64_t v, unsigned access)
{
    uint64_t sp = (s->sp - size) & s->mask, lin = sp;
    if (!s->flat) {
        struct seg tmp;
        const struct seg *seg = &c->seg[X86_SS];
        if (s->ss) {
            tmp = (struct seg){.base = s->ss->base, .limit = s->ss->limit, .attr = s->ss->attr};
            seg_update(&tmp, false);
            seg = &tmp;
        }
        uint32_t at = (uint32_t)sp;
        if (at < seg->lo_w || at > seg->hi_w || size - 1 > seg->hi_w - at) {
            raise_fault(c, VEC_SS, s->ss ? sel_error(s->ss->selector) : 0);
            return false;
        }
        lin = (uint32_t)(sp + seg->base);
    }
    if (!priv_store(c, lin, size, access | ACC_STACK, v))
        return false;
    s->sp = sp;
    return true;
}

static struct far_stack present_stack(const struct cpu *c)
{
    return (struct far_stack){.flat = is_code64(c), .sp = c->gpr[X86_RSP], .mask = stack_mask(c)};
}

/* A call gate to more privilege: new stack, parameters copied (SDM vol. 3, 5.8.5). */
static void call_inner(struct cpu *c, const struct uop *u, const struct descriptor *gate,
                       struct descriptor *code)
{
    unsigned cpl = desc_dpl(code), size = desc_sys_type(gate) == SYS_CALL16 ? 2 : 4;
    uint64_t next = rip_wrap(c, uop_next_rip(c, u)), old_sp = c->gpr[X86_RSP];
    uint16_t old_ss = c->seg[X86_SS].selector, old_cs = c->seg[X86_CS].selector, ss = 0;
    struct descriptor ss_desc;
    struct far_stack s = {0};

    if (is_long(c)) {
        size = 8;
        s.flat = true;
        s.mask = ~0ULL;
        if (!tss_rsp(c, cpl, &s.sp))
            FAULT(c, u);
    } else {
        if (!tss_stack(c, cpl, &ss, &s.sp) || !stack_seg_check(c, ss, cpl, VEC_TS, &ss_desc))
            FAULT(c, u);
        s.ss = &ss_desc;
        s.mask = ss_desc.attr & SEG_DB ? 0xffffffff : 0xffff;
    }
    if (!offset_ok(c, code, gate->gate_offset))
        FAULT(c, u);
    if (!far_push(c, &s, size, old_ss, ACC_SYSTEM) || !far_push(c, &s, size, old_sp, ACC_SYSTEM))
        FAULT(c, u);
    for (unsigned i = is_long(c) ? 0 : gate->gate_count; i > 0; i--) {
        uint64_t v;
        uint64_t at = (old_sp + (i - 1) * size) & stack_mask(c);
        if (!stack_load(c, at, size, &v) || !far_push(c, &s, size, v, ACC_SYSTEM))
            FAULT(c, u);
    }
    if (!far_push(c, &s, size, old_cs, ACC_SYSTEM) || !far_push(c, &s, size, next, ACC_SYSTEM) ||
        !desc_mark_accessed(c, code))
        FAULT(c, u);
    cs_set(c, gate->gate_selector, code, cpl);
    if (is_long(c))
        seg_set_null(c, X86_SS, (uint16_t)cpl);
    else
        seg_set(c, X86_SS, ss, &ss_desc);
    set_sp(c, s.sp);
    c->rip = gate->gate_offset;
}

static void call_gate(struct cpu *c, const struct uop *u, uint16_t selector,
                      struct descriptor *gate)
{
    struct descriptor code;
    if (!gate_read(c, selector, gate, &code))
        FAULT(c, u);
    if (!(code.attr & SEG_CE) && desc_dpl(&code) < c->cpl) {
        call_inner(c, u, gate, &code);
        return;
    }
    unsigned size = is_long(c) ? 8 : desc_sys_type(gate) == SYS_CALL16 ? 2 : 4;
    struct far_stack s = present_stack(c);
    if (!offset_ok(c, &code, gate->gate_offset) ||
        !far_push(c, &s, size, c->seg[X86_CS].selector, 0) ||
        !far_push(c, &s, size, rip_wrap(c, uop_next_rip(c, u)), 0) || !desc_mark_accessed(c, &code))
        FAULT(c, u);
    set_sp(c, s.sp);
    cs_set(c, gate->gate_selector, &code, c->cpl);
    c->rip = gate->gate_offset;
}

static void far_call(struct cpu *c, const struct uop *u, uint16_t selector, uint64_t offset)
{
    struct far_stack s = present_stack(c);
    uint64_t next = rip_wrap(c, uop_next_rip(c, u));
    struct descriptor d;

    if (!is_protected(c)) {
        if (offset > c->seg[X86_CS].limit)
            RAISE(c, u, VEC_GP, 0);
        if (!far_push(c, &s, u->bytes, c->seg[X86_CS].selector, 0) ||
            !far_push(c, &s, u->bytes, next, 0))
            FAULT(c, u);
        set_sp(c, s.sp);
        seg_load_real(c, X86_CS, selector);
        c->rip = offset;
        return;
    }
    switch (look_up(c, selector, &d)) {
    case TARGET_CODE:
        if (!check_direct(c, selector, &d) || !offset_ok(c, &d, offset) ||
            !far_push(c, &s, u->bytes, c->seg[X86_CS].selector, 0) ||
            !far_push(c, &s, u->bytes, next, 0) || !desc_mark_accessed(c, &d))
            FAULT(c, u);
        set_sp(c, s.sp);
        cs_set(c, selector, &d, c->cpl);
        c->rip = offset;
        return;
    case TARGET_GATE:
        call_gate(c, u, selector, &d);
        return;
    case TARGET_TASK:
        far_task(c, u, selector, &d, TASK_CALL);
        return;
    case TARGET_FAULT:
        FAULT(c, u);
    }
}

void x_JMP_FAR(struct cpu *c, const struct uop *u)
{
    far_jump(c, u, u->imm2, u->imm);
}

void x_CALL_FAR(struct cpu *c, const struct uop *u)
{
    far_call(c, u, u->imm2, u->imm);
}

static bool load_pointer(struct cpu *c, const struct uop *u, uint64_t *ret_offset,
                         uint64_t *ret_selector)
{
    uint64_t lin;
    if (!uop_lin(c, u, u->bytes + 2u, false, &lin))
        return false;
    uint64_t at = is_code64(c) ? lin + u->bytes : (uint32_t)(lin + u->bytes);
    return mem_load(c, lin, u->bytes, uop_access(u, 0), ret_offset) &&
           mem_load(c, at, 2, uop_access(u, 0), ret_selector);
}

void x_JMP_FAR_M(struct cpu *c, const struct uop *u)
{
    uint64_t offset, selector;
    if (!load_pointer(c, u, &offset, &selector))
        FAULT(c, u);
    far_jump(c, u, (uint16_t)selector, offset);
}

void x_CALL_FAR_M(struct cpu *c, const struct uop *u)
{
    uint64_t offset, selector;
    if (!load_pointer(c, u, &offset, &selector))
        FAULT(c, u);
    far_call(c, u, (uint16_t)selector, offset);
}

/* ---- RETF ---- */

void x_RETF(struct cpu *c, const struct uop *u)
{
    unsigned size = u->bytes;
    uint64_t mask = stack_mask(c), sp = c->gpr[X86_RSP] & mask, rip, cs, new_sp, new_ss;
    struct descriptor d, ss;

    if (!stack_load(c, sp, size, &rip) || !stack_load(c, (sp + size) & mask, size, &cs))
        FAULT(c, u);
    uint16_t selector = (uint16_t)cs;
    if (!is_protected(c)) {
        if (rip > c->seg[X86_CS].limit)
            RAISE(c, u, VEC_GP, 0);
        set_sp(c, sp + 2 * size + u->imm);
        seg_load_real(c, X86_CS, selector);
        c->rip = rip;
        return;
    }
    if (is_null(selector))
        RAISE(c, u, VEC_GP, 0);
    if (!desc_read(c, selector, VEC_GP, &d))
        FAULT(c, u);
    bool bad = !desc_is_code(&d) || rpl(selector) < c->cpl || code_reserved(c, &d);
    if (!bad)
        bad = d.attr & SEG_CE ? desc_dpl(&d) > rpl(selector) : desc_dpl(&d) != rpl(selector);
    if (bad)
        RAISE(c, u, VEC_GP, sel_error(selector));
    if (!(d.attr & SEG_P))
        RAISE(c, u, VEC_NP, sel_error(selector));
    if (rpl(selector) == c->cpl) {
        if (!offset_ok(c, &d, rip) || !desc_mark_accessed(c, &d))
            FAULT(c, u);
        set_sp(c, sp + 2 * size + u->imm);
        cs_set(c, selector, &d, c->cpl);
        c->rip = rip;
        return;
    }

    uint64_t at = sp + 2 * size + u->imm;
    unsigned cpl = rpl(selector);
    if (!stack_load(c, at & mask, size, &new_sp) ||
        !stack_load(c, (at + size) & mask, size, &new_ss))
        FAULT(c, u);
    bool null_ss = is_null((uint16_t)new_ss) && is_long(c) && d.attr & SEG_L && cpl < 3;
    if (!null_ss && !stack_seg_check(c, (uint16_t)new_ss, cpl, VEC_GP, &ss))
        FAULT(c, u);
    if (!offset_ok(c, &d, rip) || !desc_mark_accessed(c, &d))
        FAULT(c, u);
    cs_set(c, selector, &d, cpl);
    if (null_ss)
        seg_set_null(c, X86_SS, (uint16_t)new_ss);
    else
        seg_set(c, X86_SS, (uint16_t)new_ss, &ss);
    set_sp(c, new_sp + u->imm);
    segs_drop_privileged(c);
    c->rip = rip;
}
