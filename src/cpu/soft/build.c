/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a decoded instruction to a uop: which function runs it, with which operands made ready.
 */
#include <string.h>

#include "cpu/soft/exec.h"
#include "cpu/soft/thunk.h"

static uop_fn *const op_functions[X86_OPS] = {
#define X(op) [X86_##op] = x_##op,
    X86_OP_LIST(X)
#undef X
};

static uint8_t byte_offset(const struct x86_insn *in, unsigned n)
{
    if (!in->rex_present && n >= 4 && n < 8)
        return (uint8_t)((n - 4) * 8 + 1);
    return (uint8_t)(n * 8);
}

static void build_memory(const struct cpu *c, const struct x86_insn *in, struct uop *u)
{
    u->base = in->base == X86_NO_REG ? GPR_ZERO : in->base == X86_RIP_REG ? GPR_RIP : in->base;
    u->index = in->index == X86_NO_REG ? GPR_ZERO : in->index;
    u->scale = in->scale;
    u->disp = in->disp;
    if (in->base == X86_RIP_REG)
        u->disp += u->at + u->len;
    if (c->mode & MODE_CODE64) {
        u->seg = in->seg >= X86_FS ? in->seg : SEG_FLAT;
        if (in->seg == X86_SS)
            u->flags |= U_STACK_SEG;
    } else {
        u->seg = in->seg;
        u->flags |= U_LEGACY;
        if (in->seg == X86_SS)
            u->flags |= U_STACK_SEG;
    }
}

/* ---- what stands in the way of x87, MMX and vector instructions (SDM vol. 3, 2.5, 13.1) ---- */

#define NO_FAULT 0xff

static unsigned fpu_obstacle(const struct cpu *c, const struct x86_insn *in, uint64_t *ret_class)
{
    const struct x86_opinfo *info = in->info;
    uint8_t kinds[] = {info->rm.kind, info->reg.kind, info->vvvv.kind};
    bool x87 = false, mmx = info->attrs & ATTR_EMMS, sse = in->vex && !in->has_modrm;

    for (unsigned i = 0; i < 3; i++) {
        x87 |= kinds[i] == K_X87;
        mmx |= kinds[i] == K_MMX;
        sse |= kinds[i] == K_XMM;
    }
    *ret_class = mmx ? CLASS_MMX : sse ? CLASS_SSE : x87 ? CLASS_X87 : CLASS_GENERAL;
    if (x87)
        return c->mode & MODE_X87_NM ? VEC_NM : NO_FAULT;
    if (in->vex && sse) {
        if (c->mode & MODE_AVX_UD)
            return VEC_UD;
    } else if (sse) {
        if (c->mode & MODE_SSE_UD)
            return VEC_UD;
    } else if (mmx) {
        if (c->mode & MODE_EM)
            return VEC_UD;
    } else {
        return NO_FAULT;
    }
    return c->mode & MODE_TS ? VEC_NM : NO_FAULT;
}

static bool build_data(struct cpu *c, const struct x86_insn *in, struct uop *u)
{
    const struct x86_opinfo *info = in->info;
    unsigned vector = fpu_obstacle(c, in, &u->imm);

    if (vector != NO_FAULT) {
        uop_build_fault(u, vector, u->at);
        return true;
    }
    u->thunk = thunk_make(c->thunks, in);
    if (!u->thunk)
        return false;
    if (!in->mem) {
        u->fn = u->imm == CLASS_X87 && !(info->attrs & ATTR_CTL) ? x_x87_reg : (uop_fn *)u->thunk;
        return true;
    }
    u->size = (uint8_t)x86_operand_bytes(in, info->rm.size);
    if (info->attrs & ATTR_AL || u->size == 16) {
        bool aligned = info->attrs & ATTR_AL || info->rm.size == SZ_P;
        if (aligned)
            u->flags |= U_ALIGN;
    }
    if (in->lock)
        u->flags |= U_LOCK;
    if (info->attrs & ATTR_VM && info->reg.kind == K_GPR)
        u->fn = x_data_bits;
    else if (info->rm.access == A_R)
        u->fn = x_data_load;
    else
        u->fn = x_data_store;
    if (info->rm.access & A_R)
        u->flags |= U_READ;
    if (info->rm.access & A_W)
        u->flags |= U_WRITE;
    if (u->imm == CLASS_X87 && !(info->attrs & ATTR_CTL))
        u->fn = x_x87_mem;
    return true;
}

bool uop_refuses(const struct cpu *c, const struct x86_insn *in)
{
    uint64_t class;
    return in->info->op == X86_DATA ? fpu_obstacle(c, in, &class) != NO_FAULT : in->lock;
}

bool uop_build(struct cpu *c, const struct x86_insn *in, struct uop *u, unsigned at)
{
    static const uint64_t masks[] = {[2] = 0xffff, [4] = 0xffffffff, [8] = ~0ULL};

    *u = (struct uop){.at = (uint16_t)at,
                      .len = in->len,
                      .imm = in->imm,
                      .imm2 = in->imm2,
                      .disp = in->disp,
                      .reg = in->reg,
                      .rm = in->rm,
                      .bytes = in->op_bytes,
                      .rep = in->rep,
                      .opcode = in->opcode,
                      .vvvv = in->vvvv,
                      .base = GPR_ZERO,
                      .index = GPR_ZERO,
                      .addr_bytes = in->addr_bytes,
                      .addr_mask = masks[in->addr_bytes]};
    u->seg = in->seg;
    u->reg8 = byte_offset(in, in->reg);
    u->rm8 = byte_offset(in, in->rm);
    if (in->rex_present)
        u->flags |= U_REX;
    if (in->mem) {
        u->flags |= U_MEM;
        build_memory(c, in, u);
    } else if (in->info->imm == IMM_O) {
        build_memory(c, in, u);
    } else if (!(c->mode & MODE_CODE64)) {
        u->flags |= U_LEGACY;
    }
    if (in->lock && in->info->op != X86_DATA) {
        uop_build_fault(u, VEC_UD, at);
        return true;
    }
    if (in->info->op == X86_DATA)
        return build_data(c, in, u);
    u->fn = op_functions[in->info->op];
    u->size = (uint8_t)MIN(x86_operand_bytes(in, in->info->rm.size), 255u);
    if (in->info->attrs & ATTR_VSIB) {
        u->index = in->index; /* a vector register */
        u->imm2 = in->vex_l;
    }
    if (in->info->op == X86_MASKMOV)
        u->size = in->info->reg.kind == K_MMX ? 8 : 16;
    specialise(c, in, u);
    return true;
}

void uop_build_fault(struct uop *u, unsigned vector, unsigned at)
{
    *u = (struct uop){.fn = x_fault, .imm = vector, .at = (uint16_t)at};
}

void uop_build_end(struct uop *u, unsigned at)
{
    *u = (struct uop){.fn = x_end, .at = (uint16_t)at};
}
