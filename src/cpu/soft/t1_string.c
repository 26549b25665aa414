/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's string instructions: MOVS, STOS and LODS, going up. What stays within a page at
 * either end is one instruction of the host's, with RSI and RDI moved to host addresses around it;
 * T0 does what crosses one (exec_string.c).
 *
 * RCX, RSI, RDI and RAX are in the host's registers of the same names, which the host's
 * instruction uses and leaves as the guest's would.
 */
#include "cpu/soft/t1.h"

#define PAGE_BYTES 4096u

static void put_moved(struct t1_ctx *x, unsigned opcode, unsigned reg, unsigned by)
{
    put_op_reg(&x->e, opcode, true, reg, by);
}

#define ADD 0x03
#define SUB 0x2b

/* 32-bit code: what a change of mode may have left in the upper half. */
static void put_zero_upper(struct t1_ctx *x, unsigned reg)
{
    if (!x->code64)
        put_op_reg(&x->e, 0x8b, false, reg, reg);
}

/*
 * r15 = addend of the page that reg points into. With a count in RCX, of at most a page's
 * elements, all of them lie on it.
 */
static void put_end(struct t1_ctx *x, const struct x86_insn *in, unsigned reg, bool write)
{
    struct emit *e = &x->e;
    unsigned n = in->op_bytes;
    struct t1_ea ea = {(uint8_t)reg, X86_NO_REG, 0, X86_NO_REG, in->addr_bytes, 0};
    struct host_mem addend = {H_R15, H_NONE, 0, offsetof(struct tlb_entry, addend)};

    t1_put_check(x, &ea, (struct t1_range){0, (int32_t)n, write}, write, false);
    if (in->rep) {
        put_lea(e, true, H_R14, &(struct host_mem){H_R14, H_RCX, (uint8_t)__builtin_ctz(n), 0});
        PUT(e, 0x49, 0x81, 0xfe); /* cmp r14, imm32 */
        put_le(e, PAGE_BYTES, 4);
        t1_hand_over(x, put_jcc(e, CC_A, 0));
    }
    put_op_mem(e, 0x8b, true, H_R15, &addend);
}

/* Where RCX is 0 to the returned displacement; to T0 where it is more than a page. */
static uint8_t *put_count(struct t1_ctx *x, const struct x86_insn *in)
{
    struct emit *e = &x->e;

    put_op_reg(e, 0x85, x->code64, H_RCX, H_RCX); /* test */
    uint8_t *none = put_jcc(e, CC_E, 0);
    put_zero_upper(x, H_RCX);
    PUT(e, 0x48, 0x81, 0xf9); /* cmp rcx, imm32 */
    put_le(e, PAGE_BYTES / in->op_bytes, 4);
    t1_hand_over(x, put_jcc(e, CC_A, 0));
    return none;
}

static void put_going_up(struct t1_ctx *x)
{
    struct host_mem direction = cpu_mem(x->c, offsetof(struct cpu, eflags) + 1);
    put_op_mem(&x->e, 0xf6, false, 0, &direction); /* test byte */
    put8(&x->e, FL_DF >> 8);
    t1_hand_over(x, put_jcc(&x->e, CC_NE, 0));
}

static void put_opcode(struct t1_ctx *x, const struct x86_insn *in)
{
    if (in->rep)
        put8(&x->e, 0xf3);
    if (in->op_bytes == 2)
        put8(&x->e, 0x66);
    if (in->op_bytes == 8)
        put8(&x->e, 0x48);
    put8(&x->e, in->opcode);
}

bool t1_string(struct t1_ctx *x, const struct x86_insn *in)
{
    bool from = in->info->op != X86_STOS, to = in->info->op != X86_LODS;
    struct host_mem keep = CPU_FIELD(x, t1_keep[0]);
    uint8_t *none = NULL;

    if (x->c->soft->options.no_string || in->addr_bytes != (x->code64 ? 8 : 4) ||
        in->seg >= X86_FS || (in->rep && !to) || (!x->code64 && in->seg == X86_CS))
        return false;
    t1_keep_flags(x);
    x->share_base = X86_NO_REG;
    if (in->rep)
        none = put_count(x, in);
    put_going_up(x);
    if (from) {
        put_zero_upper(x, H_RSI);
        put_end(x, in, X86_RSI, false);
    }
    if (from && to)
        put_op_mem(&x->e, 0x89, true, H_R15, &keep);
    if (to) {
        put_zero_upper(x, H_RDI);
        put_end(x, in, X86_RDI, true);
    }
    if (from && to)
        put_op_mem(&x->e, 0x8b, true, H_R14, &keep);
    if (from)
        put_moved(x, ADD, H_RSI, to ? H_R14 : H_R15);
    if (to)
        put_moved(x, ADD, H_RDI, H_R15);
    put_opcode(x, in);
    if (from)
        put_moved(x, SUB, H_RSI, to ? H_R14 : H_R15);
    if (to)
        put_moved(x, SUB, H_RDI, H_R15);
    if (from)
        put_zero_upper(x, H_RSI);
    if (to)
        put_zero_upper(x, H_RDI);
    if (none)
        patch_rel32(none, x->e.run, emit_run(&x->e));
    return true;
}
