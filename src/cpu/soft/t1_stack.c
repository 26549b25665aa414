/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's stack: pushes, pops, and moving RSP. In 64-bit code it is all of RSP, else ESP,
 * or SP where the stack segment is 16 bits wide (SDM vol. 1, 6.2.3).
 */
#include "cpu/soft/t1.h"

static unsigned width(const struct t1_ctx *x)
{
    return x->code64 ? 8 : x->b->mode & MODE_STACK32 ? 4 : 2;
}

static struct t1_ea stack_ea(const struct t1_ctx *x, unsigned reg, int32_t disp)
{
    return (struct t1_ea){.base = (uint8_t)reg,
                          .index = X86_NO_REG,
                          .seg = x->segments ? X86_SS : X86_NO_REG,
                          .bytes = (uint8_t)width(x),
                          .disp = disp};
}

bool t1_stack_mem(struct t1_ctx *x, int32_t disp, unsigned size, bool write, struct host_mem *ret)
{
    struct t1_ea ea = stack_ea(x, X86_RSP, disp);
    return t1_mem(x, &ea, size, write, ret);
}

void t1_rsp_moved(struct t1_ctx *x, int32_t by)
{
    if (x->share_base != X86_RSP)
        return;
    x->share_lo -= by;
    x->share_hi -= by;
}

/* RSP = reg + by, as wide as the stack is. */
static void set_rsp(struct t1_ctx *x, unsigned reg, int32_t by, unsigned spare)
{
    struct host_mem m = {(uint8_t)reg, H_NONE, 0, by};

    if (width(x) != 2) {
        put_lea(&x->e, x->code64, H_RSP, &m);
        return;
    }
    put_lea(&x->e, false, spare, &m);
    put8(&x->e, 0x66);
    put_op_reg(&x->e, 0x8b, false, H_RSP, spare);
}

void t1_move_rsp(struct t1_ctx *x, int32_t by)
{
    set_rsp(x, H_RSP, by, H_R15);
    t1_rsp_moved(x, by);
}

bool t1_stack_size(const struct t1_ctx *x, const struct x86_insn *in)
{
    return x->segments || in->op_bytes == (x->code64 ? 8 : 4);
}

/* An instruction on a register and memory, of 2 bytes or more. */
static void put_sized(struct t1_ctx *x, unsigned opcode, unsigned bytes, unsigned reg,
                      const struct host_mem *m)
{
    if (bytes == 2)
        put8(&x->e, 0x66);
    put_op_mem(&x->e, opcode, bytes == 8, reg, m);
}

static bool push_gpr(struct t1_ctx *x, const struct x86_insn *in)
{
    struct host_mem m;
    unsigned n = in->rm, host = n, size = in->op_bytes;

    if (!t1_stack_size(x, in) || !t1_stack_mem(x, -(int32_t)size, size, true, &m))
        return false;
    if (n >= X86_R14) {
        host = H_R14; /* free: the operand is [rsp + r15 + disp] */
        t1_load_gpr(x, host, n);
    }
    put_sized(x, 0x89, size, host, &m);
    t1_move_rsp(x, -(int32_t)size);
    return true;
}

static bool push_number(struct t1_ctx *x, unsigned size, uint64_t number)
{
    struct host_mem m;

    if (!t1_stack_mem(x, -(int32_t)size, size, true, &m))
        return false;
    put_sized(x, 0xc7, size, 0, &m);
    put_le(&x->e, number, MIN(size, 4u));
    t1_move_rsp(x, -(int32_t)size);
    return true;
}

bool t1_push_scratch(struct t1_ctx *x, unsigned bytes, int32_t step)
{
    struct host_mem m, keep = CPU_FIELD(x, t1_keep[0]);

    put_op_mem(&x->e, 0x89, true, H_R14, &keep);
    if (!t1_stack_mem(x, -step, bytes, true, &m))
        return false;
    if (m.base == H_R14)
        t1_collapse(x, &m);
    put_op_mem(&x->e, 0x8b, true, H_R14, &keep);
    put_sized(x, 0x89, bytes, H_R14, &m);
    t1_move_rsp(x, -step);
    return true;
}

bool t1_push_address(struct t1_ctx *x, unsigned size, int64_t offset)
{
    struct host_mem m;

    if (x->segments)
        return push_number(x, size, t1_rip(x, offset));
    if (!x->code64) {
        t1_keep_flags(x);
        t1_put_address(x, offset);
        return t1_push_scratch(x, size, (int32_t)size);
    }
    if (!t1_stack_mem(x, -(int32_t)size, size, true, &m))
        return false;
    t1_put_address(x, offset); /* r14 is free: the operand is [rsp + r15 + disp] */
    put_op_mem(&x->e, 0x89, true, H_R14, &m);
    t1_move_rsp(x, -(int32_t)size);
    return true;
}

static bool push_memory(struct t1_ctx *x, const struct x86_insn *in)
{
    struct host_mem m;
    struct t1_ea ea;

    if (!in->mem)
        return push_gpr(x, in);
    if (!t1_stack_size(x, in) || !t1_ea(x, in, &ea) || !t1_mem(x, &ea, in->op_bytes, false, &m))
        return false;
    put_sized(x, 0x8b, in->op_bytes, H_R14, &m);
    return t1_push_scratch(x, in->op_bytes, in->op_bytes);
}

static bool pop_gpr(struct t1_ctx *x, const struct x86_insn *in)
{
    struct host_mem m;
    unsigned n = in->rm, size = in->op_bytes;

    if (!t1_stack_size(x, in) || (n == X86_RSP && size == 2))
        return false;
    if (n == X86_RSP)
        t1_keep_flags(x);
    if (!t1_stack_mem(x, 0, size, false, &m))
        return false;
    if (n == X86_RSP) {
        put_op_mem(&x->e, 0x8b, x->code64, H_R14, &m);
        t1_check_rsp(x);
        put_op_reg(&x->e, 0x8b, x->code64, H_RSP, H_R14);
        t1_wrote(x, X86_RSP);
        return true;
    }
    put_sized(x, 0x8b, size, n >= X86_R14 ? H_R14 : n, &m);
    if (n >= X86_R14)
        t1_store_gpr(x, H_R14, n);
    t1_move_rsp(x, (int32_t)size);
    t1_wrote(x, n);
    return true;
}

static bool leave(struct t1_ctx *x, const struct x86_insn *in)
{
    struct t1_ea ea = stack_ea(x, X86_RBP, 0);
    unsigned size = in->op_bytes;
    struct host_mem m;

    if (!t1_stack_size(x, in) || !t1_mem(x, &ea, size, false, &m))
        return false;
    if (width(x) == 2)
        t1_collapse(x, &m); /* r14 is free then */
    set_rsp(x, H_RBP, (int32_t)size, H_R14);
    put_sized(x, 0x8b, size, H_RBP, &m);
    t1_wrote(x, X86_RSP);
    t1_wrote(x, X86_RBP);
    return true;
}

bool t1_stack(struct t1_ctx *x, const struct x86_insn *in)
{
    switch (in->info->op) {
    case X86_PUSH_R:
        return push_gpr(x, in);
    case X86_PUSH_I:
        return t1_stack_size(x, in) && push_number(x, in->op_bytes, in->imm);
    case X86_PUSH_RM:
        return push_memory(x, in);
    case X86_POP_R:
        return pop_gpr(x, in);
    case X86_LEAVE:
        return leave(x, in);
    default:
        return t1_segment(x, in);
    }
}
