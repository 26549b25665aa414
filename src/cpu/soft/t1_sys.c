/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's system instructions: those that are a few loads and stores of struct cpu when
 * the privilege, which is part of the mode, allows them.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/t1.h"

/* op dword [field], imm32: AND (/4) or OR (/1) */
static void put_bits(struct t1_ctx *x, size_t field, unsigned op, uint32_t bits)
{
    struct host_mem m = cpu_mem(x->c, field);
    put_op_mem(&x->e, 0x81, false, op, &m);
    put_le(&x->e, bits, 4);
}

#define AND 4
#define OR 1

static void put_if(struct t1_ctx *x, bool on)
{
    t1_keep_flags(x);
    put_bits(x, offsetof(struct cpu, eflags), on ? OR : AND, on ? FL_IF : ~(uint32_t)FL_IF);
    put_bits(x, offsetof(struct cpu, poll_mask), on ? OR : AND,
             on ? REQ_INTR : ~(uint32_t)REQ_INTR);
}

static void put_df(struct t1_ctx *x, bool on)
{
    t1_keep_flags(x);
    put_bits(x, offsetof(struct cpu, eflags), on ? OR : AND, on ? FL_DF : ~(uint32_t)FL_DF);
}

static void put_swapgs(struct t1_ctx *x)
{
    struct host_mem base = cpu_mem(x->c, offsetof(struct cpu, seg[X86_GS].base));
    struct host_mem other = CPU_FIELD(x, kernel_gs_base);
    put_op_mem(&x->e, 0x8b, true, H_R14, &base);
    put_op_mem(&x->e, 0x8b, true, H_R15, &other);
    put_op_mem(&x->e, 0x89, true, H_R15, &base);
    put_op_mem(&x->e, 0x89, true, H_R14, &other);
    x->share_base = X86_NO_REG;
}

bool t1_system(struct t1_ctx *x, const struct x86_insn *in)
{
    bool user = x->b->mode & MODE_USER, last = x->i + 1u == x->count;

    switch (in->info->op) {
    case X86_CLD:
    case X86_STD:
        put_df(x, in->info->op == X86_STD);
        return true;
    case X86_LFENCE:
        PUT(&x->e, 0x0f, 0xae, 0xe8);
        return true;
    case X86_MFENCE:
        PUT(&x->e, 0x0f, 0xae, 0xf0);
        return true;
    case X86_CLI:
        if (user)
            return false;
        put_if(x, false);
        return true;
    case X86_STI:
        if (user || last) /* the instruction behind it belongs to it */
            return false;
        put_if(x, true);
        return true;
    case X86_SWAPGS:
        if (user)
            return false;
        put_swapgs(x);
        return true;
    default:
        return false;
    }
}
