/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's string instructions: MOVS, STOS and LODS, going up. What lies on one page at
 * either end is one instruction of the host's, with RSI and RDI moved to host addresses around it;
 * T0 does an element that crosses from page to page, and goes on from there (exec_string.c).
 *
 * RCX, RSI, RDI and RAX are in the host's registers of the same names, which the host's
 * instruction uses and leaves as the guest's would.
 */
#include "cpu/soft/t1.h"

#define PAGE_BYTES 4096u

#define ADD 0x03
#define SUB 0x2b

/* 32-bit code: what a change of mode may have left in the upper half. */
static void put_zero_upper(struct t1_ctx *x, unsigned reg)
{
    if (!x->code64)
        put_op_reg(&x->e, 0x8b, false, reg, reg);
}

/* r14 = the offset in its page of where reg points, r15 = that page's addend. */
static void put_end(struct t1_ctx *x, const struct x86_insn *in, unsigned reg, bool write)
{
    struct t1_ea ea = {(uint8_t)reg, X86_NO_REG, 0, X86_NO_REG, in->addr_bytes, 0};
    struct host_mem addend = {H_R15, H_NONE, 0, offsetof(struct tlb_entry, addend)};

    put_zero_upper(x, reg);
    t1_put_check(x, &ea, (struct t1_range){0, in->op_bytes, write}, write, false);
    put_op_mem(&x->e, 0x8b, true, H_R15, &addend);
}

/* r14 = bytes from there to the page's end. */
static void put_room(struct t1_ctx *x)
{
    PUT(&x->e, 0x49, 0xf7, 0xde); /* neg r14 */
    PUT(&x->e, 0x49, 0x81, 0xc6); /* add r14, imm32 */
    put_le(&x->e, PAGE_BYTES, 4);
}

static void put_going_up(struct t1_ctx *x)
{
    struct host_mem direction = cpu_mem(x->c, offsetof(struct cpu, eflags) + 1);
    put_op_mem(&x->e, 0xf6, false, 0, &direction); /* test byte */
    put8(&x->e, FL_DF >> 8);
    t1_hand_over(x, put_jcc(&x->e, CC_NE, 0));
}

/* The host's instruction; r14: addend of the source where there are two ends, r15: the other. */
static void put_opcode(struct t1_ctx *x, const struct x86_insn *in, bool from, bool to)
{
    struct emit *e = &x->e;

    if (from)
        put_op_reg(e, ADD, true, H_RSI, to ? H_R14 : H_R15);
    if (to)
        put_op_reg(e, ADD, true, H_RDI, H_R15);
    if (in->rep)
        put8(e, 0xf3);
    if (in->op_bytes == 2)
        put8(e, 0x66);
    if (in->op_bytes == 8)
        put8(e, 0x48);
    put8(e, in->opcode);
    if (from)
        put_op_reg(e, SUB, true, H_RSI, to ? H_R14 : H_R15);
    if (to)
        put_op_reg(e, SUB, true, H_RDI, H_R15);
    if (from)
        put_zero_upper(x, H_RSI);
    if (to)
        put_zero_upper(x, H_RDI);
}

static void put_once(struct t1_ctx *x, const struct x86_insn *in, bool from, bool to)
{
    struct host_mem addend = CPU_FIELD(x, t1_keep[0]);

    if (from)
        put_end(x, in, X86_RSI, false);
    if (from && to)
        put_op_mem(&x->e, 0x89, true, H_R15, &addend);
    if (to)
        put_end(x, in, X86_RDI, true);
    if (from && to)
        put_op_mem(&x->e, 0x8b, true, H_R14, &addend);
    put_opcode(x, in, from, to);
}

/* As many at once as lie on a page at either end, until none is left or somebody else wants us. */
static void put_repeated(struct t1_ctx *x, const struct x86_insn *in, bool from)
{
    struct emit *e = &x->e;
    struct host_mem addend = CPU_FIELD(x, t1_keep[0]), kept = CPU_FIELD(x, t1_keep[1]);
    struct host_mem requests = CPU_FIELD(x, requests), mask = CPU_FIELD(x, poll_mask);

    put_op_reg(e, 0x85, x->code64, H_RCX, H_RCX); /* test */
    uint8_t *none = put_jcc(e, CC_E, 0);
    put_zero_upper(x, H_RCX);
    uint64_t again = emit_run(e);
    if (from) {
        put_end(x, in, X86_RSI, false);
        put_op_mem(e, 0x89, true, H_R15, &addend);
        put_room(x);
        put_op_mem(e, 0x89, true, H_R14, &kept);
    }
    put_end(x, in, X86_RDI, true);
    put_room(x);
    if (from) {
        put_op_mem(e, 0x3b, true, H_R14, &kept);
        put_op_mem(e, 0x0f47, true, H_R14, &kept); /* cmova */
    }
    if (in->op_bytes > 1) {
        PUT(e, 0x49, 0xc1, 0xee); /* shr r14, imm8 */
        put8(e, (unsigned)__builtin_ctz(in->op_bytes));
    }
    put_op_reg(e, 0x3b, true, H_R14, H_RCX);
    put_op_reg(e, 0x0f47, true, H_R14, H_RCX);
    put_op_reg(e, SUB, true, H_RCX, H_R14);
    put_op_mem(e, 0x89, true, H_RCX, &kept); /* left for later */
    put_op_reg(e, 0x8b, true, H_RCX, H_R14);
    if (from)
        put_op_mem(e, 0x8b, true, H_R14, &addend);
    put_opcode(x, in, from, true);
    put_op_mem(e, 0x8b, true, H_RCX, &kept);
    put_op_reg(e, 0x85, true, H_RCX, H_RCX);
    uint8_t *done = put_jcc(e, CC_E, 0);
    put_op_mem(e, 0x8b, false, H_R14, &requests);
    put_op_mem(e, 0x85, false, H_R14, &mask); /* test */
    put_jcc(e, CC_E, again);
    t1_hand_over(x, put_jmp(e, 0));
    patch_rel32(none, e->run, emit_run(e));
    patch_rel32(done, e->run, emit_run(e));
}

bool t1_string(struct t1_ctx *x, const struct x86_insn *in)
{
    bool from = in->info->op != X86_STOS, to = in->info->op != X86_LODS;

    if (x->c->soft->options.no_string || x->segments || in->addr_bytes != (x->code64 ? 8 : 4) ||
        in->seg >= X86_FS || (in->rep && !to) || (!x->code64 && in->seg == X86_CS))
        return false;
    t1_keep_flags(x);
    x->share_base = X86_NO_REG;
    put_going_up(x);
    if (in->rep)
        put_repeated(x, in, from);
    else
        put_once(x, in, from, to);
    return true;
}
