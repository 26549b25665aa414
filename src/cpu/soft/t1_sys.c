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

/* AC chooses the TLB's table for explicit accesses, where SMAP is on. */
static void put_ac(struct t1_ctx *x, bool on)
{
    struct tlb_state *tlbs = x->c->tlbs;
    struct host_mem tlb = CPU_FIELD(x, tlb);

    t1_keep_flags(x);
    put_bits(x, offsetof(struct cpu, eflags), on ? OR : AND, on ? FL_AC : ~(uint32_t)FL_AC);
    x->share_base = X86_NO_REG;
    if (!(x->c->cr4 & CR4_SMAP))
        return;
    put_mov_imm(&x->e, H_R14, (uint64_t)(on ? &tlbs->kernel_ac : &tlbs->kernel));
    put_op_mem(&x->e, 0x89, true, H_R14, &tlb);
}

/* The counter of the host, moved; users may be forbidden to read it (CR4.TSD). */
static void put_rdtsc(struct t1_ctx *x, bool user)
{
    struct host_mem cr4 = CPU_FIELD(x, cr4), offset = CPU_FIELD(x, tsc_offset);

    t1_keep_flags(x);
    if (user) {
        put_op_mem(&x->e, 0xf6, false, 0, &cr4); /* test byte */
        put8(&x->e, CR4_TSD);
        t1_hand_over(x, put_jcc(&x->e, CC_NE, 0));
    }
    /* rdtsc; shl rdx, 32; or rax, rdx */
    PUT(&x->e, 0x0f, 0x31, 0x48, 0xc1, 0xe2, 32, 0x48, 0x09, 0xd0);
    put_op_mem(&x->e, 0x03, true, H_RAX, &offset);
    put_op_reg(&x->e, 0x8b, true, H_RDX, H_RAX);
    PUT(&x->e, 0x48, 0xc1, 0xea, 32, 0x89, 0xc0); /* shr rdx, 32; mov eax, eax */
    t1_wrote(x, X86_RAX);
    t1_wrote(x, X86_RDX);
}

/* EFLAGS as PUSHF shows them, RF and VM clear, to the stack. */
static bool put_pushf(struct t1_ctx *x, const struct x86_insn *in)
{
    struct emit *e = &x->e;
    struct host_mem aflags = CPU_FIELD(x, aflags), eflags = CPU_FIELD(x, eflags);

    bool v86 = x->b->mode & MODE_REAL && x->b->mode & MODE_USER; /* IOPL is looked at */

    if (!t1_stack_size(x, in) || v86)
        return false;
    t1_keep_flags(x);
    put_op_mem(e, 0x0fb7, false, H_R14, &aflags);
    put_op_reg(e, 0x8b, false, H_R15, H_R14);
    PUT(e, 0x41, 0xc1, 0xef, 8);  /* shr r15d, 8 */
    PUT(e, 0x41, 0x83, 0xe6, 1);  /* and r14d, 1 */
    PUT(e, 0x41, 0xc1, 0xe6, 11); /* shl r14d, 11 */
    put_op_reg(e, 0x0b, false, H_R14, H_R15);
    put_op_mem(e, 0x0b, false, H_R14, &eflags);
    PUT(e, 0x41, 0x81, 0xe6); /* and r14d, imm32 */
    put_le(e, ~(uint32_t)(FL_RF | FL_VM), 4);
    x->share_base = X86_NO_REG;
    return t1_push_scratch(x, in->op_bytes, in->op_bytes);
}

bool t1_system(struct t1_ctx *x, const struct x86_insn *in)
{
    bool user = x->b->mode & (MODE_USER | MODE_MIDDLE), last = x->i + 1u == x->count;

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
    case X86_CLAC:
    case X86_STAC:
        if (user)
            return false;
        put_ac(x, in->info->op == X86_STAC);
        return true;
    case X86_RDTSC:
        if (x->c->check) /* T1 is to get T0's answer */
            return false;
        put_rdtsc(x, user);
        return true;
    case X86_PUSHF:
        return put_pushf(x, in);
    case X86_SWAPGS:
        if (user)
            return false;
        put_swapgs(x);
        return true;
    case X86_MOVS:
    case X86_STOS:
    case X86_LODS:
        return t1_string(x, in);
    default:
        return false;
    }
}
