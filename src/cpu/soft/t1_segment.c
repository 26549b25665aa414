/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's segment registers: showing their selectors, and loading them where that is no
 * more than a shift, in real and virtual-8086 mode (SDM vol. 3, 21.1.1). Their limits and rights
 * are there already: limits last until protected mode changes them.
 */
#include "cpu/soft/t1.h"

static struct host_mem seg_field(const struct t1_ctx *x, unsigned seg, size_t field)
{
    return cpu_mem(x->c, offsetof(struct cpu, seg[0]) + seg * sizeof(struct seg) + field);
}

/* movzx r14d, selector */
static void put_load(struct t1_ctx *x, unsigned seg)
{
    struct host_mem from = seg_field(x, seg, offsetof(struct seg, selector));
    put_op_mem(&x->e, 0x0fb7, false, H_R14, &from);
}

/* mov word m, r14w */
static void put_store(struct t1_ctx *x, const struct host_mem *m)
{
    put8(&x->e, 0x66);
    put_op_mem(&x->e, 0x89, false, H_R14, m);
}

void t1_put_selector(struct t1_ctx *x, unsigned seg, size_t to)
{
    struct host_mem at = cpu_mem(x->c, to);
    put_load(x, seg);
    put_store(x, &at);
}

static bool show(struct t1_ctx *x, const struct x86_insn *in)
{
    unsigned seg = in->reg & 7, n = in->rm;
    struct host_mem m;
    struct t1_ea ea;

    if (seg > X86_GS)
        return false;
    if (in->mem) {
        if (!t1_ea(x, in, &ea) || !t1_mem(x, &ea, 2, true, &m))
            return false;
        t1_collapse(x, &m);
        put_load(x, seg);
        put_store(x, &m);
        return true;
    }
    if (n == X86_RSP || (n >= X86_R14 && in->op_bytes == 2))
        return false;
    put_load(x, seg);
    if (in->op_bytes == 2) {
        put8(&x->e, 0x66);
        put_op_reg(&x->e, 0x8b, false, n, H_R14);
    } else if (n >= X86_R14) {
        t1_store_gpr(x, H_R14, n);
    } else {
        put_op_reg(&x->e, 0x8b, false, n, H_R14);
    }
    t1_wrote(x, n);
    return true;
}

/* r14: the selector; the flags have been kept. */
static void put_real(struct t1_ctx *x, unsigned seg)
{
    struct host_mem selector = seg_field(x, seg, offsetof(struct seg, selector));
    struct host_mem base = seg_field(x, seg, offsetof(struct seg, base));

    put_store(x, &selector);
    PUT(&x->e, 0x41, 0xc1, 0xe6, 4); /* shl r14d, 4 */
    put_op_mem(&x->e, 0x89, true, H_R14, &base);
}

/* SS holds off interrupts, CS is no destination. */
static bool is_loaded_here(const struct t1_ctx *x, unsigned seg)
{
    return x->b->mode & MODE_REAL && x->segments &&
           (seg == X86_ES || seg == X86_DS || seg == X86_FS || seg == X86_GS);
}

static bool load(struct t1_ctx *x, const struct x86_insn *in)
{
    unsigned seg = in->reg & 7;
    struct host_mem m;
    struct t1_ea ea;

    if (!is_loaded_here(x, seg))
        return false;
    t1_keep_flags(x);
    if (in->mem) {
        if (!t1_ea(x, in, &ea) || !t1_mem(x, &ea, 2, false, &m))
            return false;
        put_op_mem(&x->e, 0x0fb7, false, H_R14, &m);
    } else {
        put_op_reg(&x->e, 0x0fb7, false, H_R14, in->rm);
    }
    put_real(x, seg);
    return true;
}

static unsigned seg_of_opcode(const struct x86_insn *in)
{
    return (in->opcode >> 3) & 7; /* 06 0E 16 1E, 0F A0, 0F A8, and the pops behind them */
}

/* The rest of a slot that is wider than the selector keeps its bytes (SDM vol. 2, PUSH). */
static bool push(struct t1_ctx *x, const struct x86_insn *in)
{
    if (!t1_stack_size(x, in))
        return false;
    x->share_base = X86_NO_REG;
    put_load(x, seg_of_opcode(in));
    return t1_push_scratch(x, x->code64 ? 8 : 2, in->op_bytes);
}

static bool pop(struct t1_ctx *x, const struct x86_insn *in)
{
    unsigned seg = seg_of_opcode(in);
    struct host_mem m;

    if (!is_loaded_here(x, seg))
        return false;
    t1_keep_flags(x);
    if (!t1_stack_mem(x, 0, 2, false, &m))
        return false;
    put_op_mem(&x->e, 0x0fb7, false, H_R14, &m);
    t1_move_rsp(x, in->op_bytes);
    put_real(x, seg);
    return true;
}

bool t1_segment(struct t1_ctx *x, const struct x86_insn *in)
{
    switch (in->info->op) {
    case X86_MOV_RM_SEG:
        return show(x, in);
    case X86_MOV_SEG_RM:
        return load(x, in);
    case X86_PUSH_SEG:
        return push(x, in);
    case X86_POP_SEG:
        return pop(x, in);
    default:
        return t1_flow(x, in);
    }
}
