/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the next instructions access memory around the same register, so that one check serves
 * them all. Whatever would end the sharing when it is translated ends the look ahead.
 */
#include "cpu/soft/t1.h"

#define RANGE_MAX 256 /* bytes: the more, the likelier it lies on two pages */

/* What one instruction means for the accesses around a base register. */
struct effect {
    bool access, write;
    int32_t disp; /* from the base's value before the instruction */
    uint32_t size;
    int32_t step; /* by which the base moves */
    bool last;    /* nothing behind it is looked at */
};

/* Bits: R14, R15. */
static unsigned spares(const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    unsigned bits = 0;

    if (info->reg.kind == K_GPR && in->reg >= X86_R14)
        bits |= 1u << (in->reg - X86_R14);
    if (info->rm.kind == K_GPR && !in->mem && in->rm >= X86_R14)
        bits |= 1u << (in->rm - X86_R14);
    if (info->vvvv.kind == K_GPR && in->vvvv >= X86_R14)
        bits |= 1u << (in->vvvv - X86_R14);
    return bits;
}

bool t1_names_spare(const struct x86_insn *in)
{
    return spares(in);
}

bool t1_names_both(const struct x86_insn *in)
{
    return spares(in) == 3;
}

static bool has_high_byte(const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    return info->reg.kind == K_GPR && info->reg.size == SZ_1 && !in->rex_present && in->reg >= 4;
}

bool t1_writes(const struct x86_insn *in, unsigned reg)
{
    const struct x86_opinfo *info = in->info;
    return (info->reg.kind == K_GPR && info->reg.access & A_W && in->reg == reg) ||
           (info->rm.kind == K_GPR && !in->mem && info->rm.access & A_W && in->rm == reg) ||
           (info->vvvv.kind == K_GPR && info->vvvv.access & A_W && in->vvvv == reg) ||
           (reg < 4 && info->implied_w >> reg & 1);
}

bool t1_rsp_step(const struct x86_insn *in, int32_t *ret_step)
{
    bool group = in->info->map == MAP_1 && (in->opcode == 0x83 || in->opcode == 0x81);
    if (!group || in->mem || in->rm != X86_RSP || in->op_bytes != 8 ||
        (int64_t)in->imm > INT16_MAX || (int64_t)in->imm < INT16_MIN)
        return false;
    if ((in->reg & 7) == 0)
        *ret_step = (int32_t)in->imm;
    else if ((in->reg & 7) == 5)
        *ret_step = -(int32_t)in->imm;
    else
        return false;
    return true;
}

static bool data_effect(const struct t1_ctx *x, const struct x86_insn *in, unsigned base,
                        struct effect *e)
{
    const struct x86_opinfo *info = in->info;

    /* Beside memory either of them takes the place of what is shared. */
    if ((in->mem ? t1_names_spare(in) : t1_names_both(in)) || info->rm.kind == K_X87 ||
        (insn_uses_fpu(in) && !x->fpu_known))
        return false;
    if (base == X86_RSP && t1_rsp_step(in, &e->step))
        return true;
    if (t1_writes(in, base) || t1_writes(in, X86_RSP))
        return false;
    if (!in->mem)
        return true;
    if (info->attrs & ATTR_VM || has_high_byte(in) || in->base != base || in->index != X86_NO_REG ||
        in->addr_bytes != 8 || in->seg >= X86_FS)
        return false;
    e->access = true;
    e->write = info->rm.access & A_W;
    e->disp = (int32_t)in->disp;
    e->size = x86_operand_bytes(in, info->rm.size);
    return e->size && e->size <= 64;
}

static bool stack_effect(const struct x86_insn *in, unsigned base, bool push, struct effect *e)
{
    if (base != X86_RSP || in->op_bytes != 8)
        return false;
    *e = (struct effect){
        .access = true, .write = push, .disp = push ? -8 : 0, .size = 8, .step = push ? -8 : 8};
    return true;
}

static bool find_effect(const struct t1_ctx *x, const struct x86_insn *in, unsigned base,
                        struct effect *e)
{
    *e = (struct effect){0};
    switch (in->info->op) {
    case X86_DATA:
    case X86_MOV_R_RM:
    case X86_MOV_RM_R:
    case X86_MOV_RM_I:
    case X86_MOVZX:
    case X86_MOVSX:
    case X86_MOVSXD:
        return data_effect(x, in, base, e);
    case X86_LEA:
        return in->op_bytes != 2 && in->reg != base && in->reg < X86_R14 && in->reg != X86_RSP &&
               in->base < X86_R14 && (in->index < X86_R14 || in->index == X86_NO_REG) &&
               in->addr_bytes == 8;
    case X86_MOV_R_I:
        return in->rm != base && in->rm != X86_RSP;
    case X86_MOV_RM_SEG:
        return !in->mem && in->rm != base && in->rm != X86_RSP;
    case X86_NOP:
        return true;
    case X86_PUSH_R:
    case X86_PUSH_I:
        return stack_effect(in, base, true, e);
    case X86_POP_R:
        return in->rm != X86_RSP && stack_effect(in, base, false, e);
    case X86_CALL:
        e->last = true;
        return stack_effect(in, base, true, e);
    case X86_RET:
        e->last = true;
        return stack_effect(in, base, false, e);
    default:
        return false;
    }
}

void t1_share(const struct t1_ctx *x, unsigned base, struct t1_range *range)
{
    struct effect e;
    int32_t moved = 0;

    if (x->c->soft->options.no_share || x->b->no_share)
        return;
    /* The present instruction's own step, then those behind it. */
    if (!find_effect(x, &x->insns[x->i], base, &e) || e.last)
        return;
    moved = e.step;
    for (unsigned j = x->i + 1; j < x->count; j++) {
        if (!find_effect(x, &x->insns[j], base, &e))
            return;
        if (e.access) {
            int32_t lo = MIN(range->lo, moved + e.disp);
            int32_t hi = MAX(range->hi, moved + e.disp + (int32_t)e.size);
            if (hi - lo > RANGE_MAX)
                return;
            range->lo = lo;
            range->hi = hi;
            range->write |= e.write;
        }
        moved += e.step;
        if (e.last)
            return;
    }
}
