/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers and descriptors. Intel SDM vol. 3, chapters 3 and 5.
 */
#include "cpu/soft/exec.h"

bool is_canonical48(uint64_t v)
{
    return (uint64_t)((int64_t)(v << 16) >> 16) == v;
}

void seg_update(struct seg *s, bool real)
{
    bool readable = real || !(s->attr & SEG_CODE) || s->attr & SEG_RW;
    bool writable = real || (s->attr & (SEG_CODE | SEG_RW)) == SEG_RW;

    s->lo = 0;
    s->hi_r = s->hi_w = s->limit;
    if (!real && (s->attr & (SEG_S | SEG_CODE | SEG_CE)) == (SEG_S | SEG_CE)) {
        s->hi_r = s->hi_w = s->attr & SEG_DB ? 0xffffffff : 0xffff;
        if (s->limit >= s->hi_r) {
            s->lo = 1;
            s->hi_r = s->hi_w = 0;
        } else {
            s->lo = s->limit + 1;
        }
    }
    if (!real && !(s->attr & SEG_P))
        readable = writable = false;
    /* A range of nothing: no offset is at least 1 and at most 0. */
    s->lo_w = s->lo;
    if (!writable) {
        s->lo_w = 1;
        s->hi_w = 0;
    }
    if (!readable) {
        s->lo = 1;
        s->hi_r = 0;
    }
    s->end[0] = s->lo ? 0 : (uint64_t)s->hi_r + 1;
    s->end[1] = s->lo_w ? 0 : (uint64_t)s->hi_w + 1;
}

bool seg_fault(struct cpu *c, unsigned seg)
{
    raise_fault(c, seg == X86_SS ? VEC_SS : VEC_GP, 0);
    return false;
}

/* ---- descriptors ---- */

void desc_parse(const struct cpu *c, struct descriptor *d)
{
    uint64_t raw = d->raw;

    d->attr = (uint16_t)(raw >> 40 & 0xf0ff);
    d->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
    d->limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
    if (d->attr & SEG_G)
        d->limit = d->limit << 12 | 0xfff;
    d->gate_selector = (uint16_t)(raw >> 16);
    d->gate_offset = (raw & 0xffff) | (raw >> 32 & 0xffff0000);
    d->gate_count = raw >> 32 & 0x1f;
    if (!(d->attr & SEG_S) && is_long(c)) {
        d->base |= (d->raw_high & 0xffffffff) << 32;
        d->gate_offset |= (d->raw_high & 0xffffffff) << 32;
    } else if (!(d->attr & SEG_S) && !(d->attr & 8)) {
        d->gate_offset &= 0xffff; /* 16-bit gates */
    }
}

bool desc_try(struct cpu *c, uint16_t selector, bool *ret_found, struct descriptor *d)
{
    uint64_t base = c->gdtr.base, limit = c->gdtr.limit;
    uint32_t at = selector & 0xfff8;

    *ret_found = false;
    if (selector & 4) {
        base = c->ldtr.base;
        limit = is_null(c->ldtr.selector) || !(c->ldtr.attr & SEG_P) ? 0 : c->ldtr.limit;
        if (!limit)
            return true;
    }
    if (at + 7 > limit)
        return true;
    *d = (struct descriptor){.selector = selector};
    uint64_t lin = is_long(c) ? base + at : (uint32_t)(base + at);
    if (!sys_load(c, lin, 8, &d->raw))
        return false;
    if (is_long(c) && !(d->raw >> 44 & 1)) {
        if (at + 15 > limit)
            return true;
        if (!sys_load(c, base + at + 8, 8, &d->raw_high))
            return false;
    }
    desc_parse(c, d);
    *ret_found = true;
    return true;
}

bool desc_read(struct cpu *c, uint16_t selector, unsigned vector, struct descriptor *ret)
{
    bool found;
    if (!desc_try(c, selector, &found, ret))
        return false;
    if (!found)
        raise_fault(c, vector, sel_error(selector));
    return found;
}

static uint64_t desc_lin(const struct cpu *c, uint16_t selector)
{
    uint64_t lin = (selector & 4 ? c->ldtr.base : c->gdtr.base) + (selector & 0xfff8);
    return is_long(c) ? lin : (uint32_t)lin;
}

bool desc_mark_accessed(struct cpu *c, struct descriptor *d)
{
    uint64_t lin = desc_lin(c, d->selector) + 5, v;
    if (d->attr & SEG_A)
        return true;
    if (!sys_load(c, lin, 1, &v) || !sys_store(c, lin, 1, v | 1))
        return false;
    d->attr |= SEG_A;
    return true;
}

bool desc_mark_busy(struct cpu *c, uint16_t selector, bool busy)
{
    uint64_t lin = desc_lin(c, selector) + 5, v;
    return sys_load(c, lin, 1, &v) && sys_store(c, lin, 1, busy ? v | 2 : v & ~2ULL);
}

/* ---- loading registers ---- */

void seg_set(struct cpu *c, unsigned seg, uint16_t selector, const struct descriptor *d)
{
    struct seg *s = &c->seg[seg];
    s->selector = selector;
    s->base = d->base;
    s->limit = d->limit;
    s->attr = d->attr;
    seg_update(s, false);
    if (seg == X86_SS || seg == X86_CS || !is_code64(c))
        cpu_update_mode(c);
}

void seg_set_null(struct cpu *c, unsigned seg, uint16_t selector)
{
    struct seg *s = &c->seg[seg];
    s->selector = selector;
    s->base = 0;
    s->limit = 0;
    s->attr = 0;
    seg_update(s, false);
    if (seg == X86_SS) {
        /* In 64-bit mode a null SS keeps the CPL as its DPL (SDM vol. 3, 5.4.1.1). */
        s->attr = (uint16_t)(c->cpl << SEG_DPL_SHIFT);
        cpu_update_mode(c);
    } else if (!is_code64(c)) {
        cpu_update_mode(c);
    }
}

void seg_load_real(struct cpu *c, unsigned seg, uint16_t selector)
{
    struct seg *s = &c->seg[seg];
    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    if (is_v86(c)) {
        s->limit = 0xffff;
        s->attr = SEG_P | SEG_S | SEG_RW | SEG_A | 3 << SEG_DPL_SHIFT;
    } else if (seg == X86_CS) {
        s->attr = SEG_P | SEG_S | SEG_RW | SEG_A | (s->attr & SEG_DB);
    }
    seg_update(s, true);
    if (seg == X86_SS || seg == X86_CS)
        cpu_update_mode(c);
}

void cs_set(struct cpu *c, uint16_t selector, const struct descriptor *d, unsigned cpl)
{
    c->seg[X86_CS].selector = (uint16_t)((selector & ~3u) | cpl);
    c->seg[X86_CS].base = d->base;
    c->seg[X86_CS].limit = d->limit;
    c->seg[X86_CS].attr = d->attr;
    seg_update(&c->seg[X86_CS], false);
    cpu_set_cpl(c, cpl);
}

bool stack_seg_check(struct cpu *c, uint16_t selector, unsigned cpl, unsigned vector,
                     struct descriptor *ret)
{
    if (is_null(selector)) {
        raise_fault(c, vector, 0);
        return false;
    }
    if (!desc_read(c, selector, vector, ret))
        return false;
    if (rpl(selector) != cpl || desc_dpl(ret) != cpl || !desc_is_data(ret) ||
        !(ret->attr & SEG_RW)) {
        raise_fault(c, vector, sel_error(selector));
        return false;
    }
    if (!(ret->attr & SEG_P)) {
        raise_fault(c, VEC_SS, sel_error(selector));
        return false;
    }
    return desc_mark_accessed(c, ret);
}

bool seg_load(struct cpu *c, unsigned seg, uint16_t selector)
{
    struct descriptor d;

    if (!is_protected(c)) {
        seg_load_real(c, seg, selector);
        return true;
    }
    if (seg == X86_SS) {
        if (is_null(selector) && is_code64(c) && c->cpl < 3 && rpl(selector) == c->cpl) {
            seg_set_null(c, seg, selector);
            return true;
        }
        if (!stack_seg_check(c, selector, c->cpl, VEC_GP, &d))
            return false;
        seg_set(c, seg, selector, &d);
        return true;
    }
    if (is_null(selector)) {
        seg_set_null(c, seg, selector);
        return true;
    }
    if (!desc_read(c, selector, VEC_GP, &d))
        return false;
    bool conforming = desc_is_code(&d) && d.attr & SEG_CE;
    if (!(d.attr & SEG_S) || (desc_is_code(&d) && !(d.attr & SEG_RW)) ||
        (!conforming && (rpl(selector) > desc_dpl(&d) || c->cpl > desc_dpl(&d)))) {
        raise_fault(c, VEC_GP, sel_error(selector));
        return false;
    }
    if (!(d.attr & SEG_P)) {
        raise_fault(c, VEC_NP, sel_error(selector));
        return false;
    }
    if (!desc_mark_accessed(c, &d))
        return false;
    seg_set(c, seg, selector, &d);
    return true;
}

void segs_drop_privileged(struct cpu *c)
{
    static const uint8_t segs[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    for (unsigned i = 0; i < ARRAY_LEN(segs); i++) {
        struct seg *s = &c->seg[segs[i]];
        bool conforming = (s->attr & (SEG_S | SEG_CODE | SEG_CE)) == (SEG_S | SEG_CODE | SEG_CE);
        if (is_null(s->selector) ||
            (!conforming && (s->attr & SEG_DPL) >> SEG_DPL_SHIFT < c->cpl)) {
            /* In long mode the base stays, as loading a null selector leaves it. */
            uint64_t base = s->base;
            seg_set_null(c, segs[i], 0);
            if (is_long(c))
                s->base = base;
        }
    }
}

/* ---- instructions ---- */

static void mov_seg(struct cpu *c, const struct uop *u, unsigned seg, uint64_t selector)
{
    if (!seg_load(c, seg, (uint16_t)selector))
        FAULT(c, u);
    leave_after(c, u);
    if (seg == X86_SS)
        c->events |= EV_SHADOW_SS;
}

void x_MOV_SEG_RM(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    unsigned seg = u->reg & 7;
    if (seg == X86_CS || seg > X86_GS)
        RAISE(c, u, VEC_UD, 0);
    if (!uop_rm(c, u, 2, &v))
        FAULT(c, u);
    mov_seg(c, u, seg, v);
}

void x_MOV_RM_SEG(struct cpu *c, const struct uop *u)
{
    unsigned seg = u->reg & 7;
    if (seg > X86_GS)
        RAISE(c, u, VEC_UD, 0);
    if (u->flags & U_MEM) {
        if (!uop_set_rm(c, u, 2, c->seg[seg].selector))
            FAULT(c, u);
    } else {
        reg_set(c, u->rm, u->bytes, c->seg[seg].selector);
    }
    NEXT_OR_LEAVE(c, u);
}

static unsigned seg_of_opcode(const struct uop *u)
{
    return (u->opcode >> 3) & 7; /* 06 0E 16 1E, 0F A0, 0F A8 */
}

/* The selector is written as a word; the rest of a wider slot keeps its bytes (SDM vol. 2, PUSH). */
void x_PUSH_SEG(struct cpu *c, const struct uop *u)
{
    uint64_t sp = (c->gpr[X86_RSP] - u->bytes) & stack_mask(c);
    uint16_t selector = c->seg[seg_of_opcode(u)].selector;
    if (!stack_store(c, sp, u->bytes == 8 ? 8 : 2, selector))
        FAULT(c, u);
    set_sp(c, sp);
    NEXT_OR_LEAVE(c, u);
}

void x_POP_SEG(struct cpu *c, const struct uop *u)
{
    uint64_t sp = c->gpr[X86_RSP] & stack_mask(c), v;
    unsigned seg = seg_of_opcode(u), bytes = u->bytes;
    uint64_t mask = stack_mask(c);
    if (!stack_load(c, sp, bytes == 8 ? 8 : 2, &v))
        FAULT(c, u);
    if (!seg_load(c, seg, (uint16_t)v))
        FAULT(c, u);
    /* The pointer moves by the stack's width from before SS was loaded. */
    uint64_t moved = (sp + bytes) & mask;
    if (mask == 0xffff)
        reg_set(c, X86_RSP, 2, moved);
    else
        reg_set(c, X86_RSP, mask == 0xffffffff ? 4 : 8, moved);
    leave_after(c, u);
    if (seg == X86_SS)
        c->events |= EV_SHADOW_SS;
}

/* LES, LDS, LSS, LFS, LGS */
void x_LSEG(struct cpu *c, const struct uop *u)
{
    static const uint8_t segs[] = {
        [0xc4] = X86_ES, [0xc5] = X86_DS, [0xb2] = X86_SS, [0xb4] = X86_FS, [0xb5] = X86_GS};
    uint64_t lin, offset, selector;
    if (!(u->flags & U_MEM))
        RAISE(c, u, VEC_UD, 0);
    if (!uop_lin(c, u, u->bytes + 2u, false, &lin) ||
        !mem_load(c, lin, u->bytes, uop_access(u, 0), &offset) ||
        !mem_load(c, is_code64(c) ? lin + u->bytes : (uint32_t)(lin + u->bytes), 2,
                  uop_access(u, 0), &selector) ||
        !seg_load(c, segs[u->opcode], (uint16_t)selector))
        FAULT(c, u);
    reg_set(c, u->reg, u->bytes, offset);
    leave_after(c, u);
    if (segs[u->opcode] == X86_SS)
        c->events |= EV_SHADOW_SS;
}

void x_ARPL(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!is_protected(c))
        RAISE(c, u, VEC_UD, 0);
    if (!uop_rm(c, u, 2, &v))
        FAULT(c, u);
    unsigned want = c->gpr[u->reg] & 3;
    if ((v & 3) < want) {
        if (!uop_set_rm(c, u, 2, (v & ~3ULL) | want))
            FAULT(c, u);
        c->aflags |= AF_ZF;
    } else {
        c->aflags &= (uint16_t)~AF_ZF;
    }
    NEXT_OR_LEAVE(c, u);
}

/* May LAR, LSL, VERR, VERW look at this descriptor? (SDM vol. 2) */
static bool visible(const struct cpu *c, const struct descriptor *d)
{
    if (desc_is_code(d) && d->attr & SEG_CE)
        return true;
    return desc_dpl(d) >= c->cpl && desc_dpl(d) >= rpl(d->selector);
}

static bool lar_type(const struct cpu *c, const struct descriptor *d, bool lsl)
{
    switch (desc_sys_type(d)) {
    case 0x80:
    case SYS_LDT:
    case SYS_TSS:
    case SYS_TSS_BUSY:
        return true;
    case SYS_TSS16:
    case SYS_TSS16_BUSY:
        return !is_long(c);
    case SYS_CALL16:
    case SYS_TASK_GATE:
        return !lsl && !is_long(c);
    case SYS_CALL:
        return !lsl;
    default:
        return false;
    }
}

static void set_zf(struct cpu *c, bool on)
{
    c->aflags = (uint16_t)(on ? c->aflags | AF_ZF : c->aflags & ~AF_ZF);
}

static void lar_lsl(struct cpu *c, const struct uop *u, bool lsl)
{
    struct descriptor d;
    uint64_t selector;
    bool found = false;

    if (!is_protected(c))
        RAISE(c, u, VEC_UD, 0);
    if (!uop_rm(c, u, 2, &selector))
        FAULT(c, u);
    if (!is_null((uint16_t)selector) && !desc_try(c, (uint16_t)selector, &found, &d))
        FAULT(c, u);
    found = found && lar_type(c, &d, lsl) && visible(c, &d);
    set_zf(c, found);
    if (found)
        reg_set(c, u->reg, u->bytes, lsl ? d.limit : d.raw >> 32 & 0x00ffff00);
    NEXT_OR_LEAVE(c, u);
}

void x_LAR(struct cpu *c, const struct uop *u)
{
    lar_lsl(c, u, false);
}

void x_LSL(struct cpu *c, const struct uop *u)
{
    lar_lsl(c, u, true);
}

static void verify(struct cpu *c, const struct uop *u, bool write)
{
    struct descriptor d;
    uint64_t selector;
    bool found = false;

    if (!is_protected(c))
        RAISE(c, u, VEC_UD, 0);
    if (!uop_rm(c, u, 2, &selector))
        FAULT(c, u);
    if (!is_null((uint16_t)selector) && !desc_try(c, (uint16_t)selector, &found, &d))
        FAULT(c, u);
    found = found && d.attr & SEG_S && visible(c, &d);
    if (found && write)
        found = desc_is_data(&d) && d.attr & SEG_RW;
    else if (found)
        found = desc_is_data(&d) || d.attr & SEG_RW;
    set_zf(c, found);
    NEXT_OR_LEAVE(c, u);
}

void x_VERR(struct cpu *c, const struct uop *u)
{
    verify(c, u, false);
}

void x_VERW(struct cpu *c, const struct uop *u)
{
    verify(c, u, true);
}
