/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves, the stack, and specialised forms of the commonest of them: which size, register or
 * memory is known when the uop is made, so the functions below have nothing to decide.
 */
#include "cpu/soft/exec.h"

/* ---- MOV between registers and memory ---- */

#define MOV_FORMS(bits, type)                                                                      \
    static void load##bits(struct cpu *c, const struct uop *u)                                     \
    {                                                                                              \
        uint64_t lin, v;                                                                           \
        if (UNLIKELY(!uop_lin(c, u, sizeof(type), false, &lin)))                                   \
            FAULT(c, u);                                                                           \
        const type *p = tlb_read(c, lin, sizeof(type));                                            \
        if (LIKELY(p != NULL)) {                                                                   \
            SET##bits(c, u->reg, u->reg8, *p);                                                     \
            NEXT(c, u);                                                                            \
        }                                                                                          \
        if (!mem_load(c, lin, sizeof(type), uop_access(u, ACC_READ), &v))                          \
            FAULT(c, u);                                                                           \
        SET##bits(c, u->reg, u->reg8, (type)v);                                                    \
        NEXT_OR_LEAVE(c, u);                                                                       \
    }                                                                                              \
    static void store##bits(struct cpu *c, const struct uop *u)                                    \
    {                                                                                              \
        uint64_t lin;                                                                              \
        if (UNLIKELY(!uop_lin(c, u, sizeof(type), true, &lin)))                                    \
            FAULT(c, u);                                                                           \
        type v = (type)GET##bits(c, u->reg, u->reg8);                                              \
        type *p = tlb_write(c, lin, sizeof(type));                                                 \
        if (LIKELY(p != NULL)) {                                                                   \
            *p = v;                                                                                \
            NEXT(c, u);                                                                            \
        }                                                                                          \
        if (!mem_store(c, lin, sizeof(type), uop_access(u, ACC_WRITE), v))                         \
            FAULT(c, u);                                                                           \
        NEXT_OR_LEAVE(c, u);                                                                       \
    }                                                                                              \
    static void storei##bits(struct cpu *c, const struct uop *u)                                   \
    {                                                                                              \
        uint64_t lin;                                                                              \
        if (UNLIKELY(!uop_lin(c, u, sizeof(type), true, &lin)))                                    \
            FAULT(c, u);                                                                           \
        type *p = tlb_write(c, lin, sizeof(type));                                                 \
        if (LIKELY(p != NULL)) {                                                                   \
            *p = (type)u->imm;                                                                     \
            NEXT(c, u);                                                                            \
        }                                                                                          \
        if (!mem_store(c, lin, sizeof(type), uop_access(u, ACC_WRITE), u->imm))                    \
            FAULT(c, u);                                                                           \
        NEXT_OR_LEAVE(c, u);                                                                       \
    }                                                                                              \
    static void move##bits(struct cpu *c, const struct uop *u)                                     \
    {                                                                                              \
        SET##bits(c, u->reg, u->reg8, (type)GET##bits(c, u->rm, u->rm8));                          \
        NEXT(c, u);                                                                                \
    }                                                                                              \
    static void moveback##bits(struct cpu *c, const struct uop *u)                                 \
    {                                                                                              \
        SET##bits(c, u->rm, u->rm8, (type)GET##bits(c, u->reg, u->reg8));                          \
        NEXT(c, u);                                                                                \
    }                                                                                              \
    static void movei##bits(struct cpu *c, const struct uop *u)                                    \
    {                                                                                              \
        SET##bits(c, u->rm, u->rm8, (type)u->imm);                                                 \
        NEXT(c, u);                                                                                \
    }

#define SET8(c, n, n8, v) (*reg8(c, n8) = (v))
#define SET16(c, n, n8, v) (*(uint16_t *)&(c)->gpr[n] = (v))
#define SET32(c, n, n8, v) ((c)->gpr[n] = (v))
#define SET64(c, n, n8, v) ((c)->gpr[n] = (v))
#define GET8(c, n, n8) (*reg8(c, n8))
#define GET16(c, n, n8) ((c)->gpr[n])
#define GET32(c, n, n8) ((c)->gpr[n])
#define GET64(c, n, n8) ((c)->gpr[n])
MOV_FORMS(8, uint8_t)
MOV_FORMS(16, mem16)
MOV_FORMS(32, mem32)
MOV_FORMS(64, mem64)

#define BY_SIZE(name, bytes)                                                                       \
    ((bytes) == 8 ? name##64 : (bytes) == 4 ? name##32 : (bytes) == 2 ? name##16 : name##8)

/* Reached only before specialise() has chosen. */
void x_MOV_R_RM(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!uop_rm(c, u, u->bytes, &v))
        FAULT(c, u);
    uop_set_reg(c, u, v);
    NEXT_OR_LEAVE(c, u);
}

void x_MOV_RM_R(struct cpu *c, const struct uop *u)
{
    if (!uop_set_rm(c, u, u->bytes, uop_reg(c, u)))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_MOV_RM_I(struct cpu *c, const struct uop *u)
{
    if (!uop_set_rm(c, u, u->bytes, u->imm))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_MOV_R_I(struct cpu *c, const struct uop *u)
{
    if (u->bytes == 1)
        *reg8(c, u->rm8) = (uint8_t)u->imm;
    else
        reg_set(c, u->rm, u->bytes, u->imm);
    NEXT(c, u);
}

void x_MOV_MOFFS_LD(struct cpu *c, const struct uop *u)
{
    uint64_t lin, v;
    if (!uop_lin(c, u, u->bytes, false, &lin) || !mem_load(c, lin, u->bytes, ACC_READ, &v))
        FAULT(c, u);
    if (u->bytes == 1)
        *reg8(c, 0) = (uint8_t)v;
    else
        reg_set(c, X86_RAX, u->bytes, v);
    NEXT_OR_LEAVE(c, u);
}

void x_MOV_MOFFS_ST(struct cpu *c, const struct uop *u)
{
    uint64_t lin;
    if (!uop_lin(c, u, u->bytes, true, &lin) ||
        !mem_store(c, lin, u->bytes, ACC_WRITE, c->gpr[X86_RAX]))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_MOVZX(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!uop_rm(c, u, u->size, &v))
        FAULT(c, u);
    reg_set(c, u->reg, u->bytes, v);
    NEXT_OR_LEAVE(c, u);
}

void x_MOVSX(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!uop_rm(c, u, u->size, &v))
        FAULT(c, u);
    reg_set(c, u->reg, u->bytes, u->size == 1 ? (uint64_t)(int8_t)v : (uint64_t)(int16_t)v);
    NEXT_OR_LEAVE(c, u);
}

void x_MOVSXD(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!uop_rm(c, u, u->bytes == 2 ? 2 : 4, &v))
        FAULT(c, u);
    reg_set(c, u->reg, u->bytes, (uint64_t)(int32_t)v);
    NEXT_OR_LEAVE(c, u);
}

void x_LEA(struct cpu *c, const struct uop *u)
{
    reg_set(c, u->reg, u->bytes, uop_ea(c, u));
    NEXT(c, u);
}

static void lea64(struct cpu *c, const struct uop *u)
{
    c->gpr[u->reg] = c->gpr[u->base] + (c->gpr[u->index] << u->scale) + (uint64_t)u->disp;
    NEXT(c, u);
}

void x_XCHG_RAX(struct cpu *c, const struct uop *u)
{
    uint64_t v = reg_get(c, u->rm, u->bytes);
    if (u->rm != X86_RAX) {
        reg_set(c, u->rm, u->bytes, reg_get(c, X86_RAX, u->bytes));
        reg_set(c, X86_RAX, u->bytes, v);
    }
    NEXT(c, u);
}

void x_XLAT(struct cpu *c, const struct uop *u)
{
    uint64_t ea = (c->gpr[X86_RBX] + (uint8_t)c->gpr[X86_RAX]) & u->addr_mask, lin, v;
    unsigned seg = u->flags & U_LEGACY || u->seg >= X86_FS ? u->seg : SEG_FLAT;
    if (!seg_lin(c, u->flags & U_LEGACY, seg, ea, 1, false, &lin) ||
        !mem_load(c, lin, 1, ACC_READ, &v))
        FAULT(c, u);
    *reg8(c, 0) = (uint8_t)v;
    NEXT_OR_LEAVE(c, u);
}

/* ---- the stack ---- */

void x_PUSH_R(struct cpu *c, const struct uop *u)
{
    if (!push(c, u->bytes, c->gpr[u->rm]))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

static void push64(struct cpu *c, const struct uop *u)
{
    uint64_t lin = c->gpr[X86_RSP] - 8;
    mem64 *p = tlb_write(c, lin, 8);
    if (LIKELY(p != NULL)) {
        *p = c->gpr[u->rm];
        c->gpr[X86_RSP] = lin;
        NEXT(c, u);
    }
    x_PUSH_R(c, u);
}

void x_PUSH_I(struct cpu *c, const struct uop *u)
{
    if (!push(c, u->bytes, u->imm))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_PUSH_RM(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!uop_rm(c, u, u->bytes, &v) || !push(c, u->bytes, v))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_POP_R(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!pop(c, u->bytes, &v))
        FAULT(c, u);
    reg_set(c, u->rm, u->bytes, v);
    NEXT_OR_LEAVE(c, u);
}

static void pop64(struct cpu *c, const struct uop *u)
{
    uint64_t lin = c->gpr[X86_RSP];
    const mem64 *p = tlb_read(c, lin, 8);
    if (LIKELY(p != NULL)) {
        c->gpr[X86_RSP] = lin + 8;
        c->gpr[u->rm] = *p;
        NEXT(c, u);
    }
    x_POP_R(c, u);
}

/* The address is computed with RSP already moved (SDM vol. 2, POP). */
void x_POP_RM(struct cpu *c, const struct uop *u)
{
    uint64_t v, old = c->gpr[X86_RSP];
    if (!pop(c, u->bytes, &v))
        FAULT(c, u);
    if (!uop_set_rm(c, u, u->bytes, v)) {
        c->gpr[X86_RSP] = old;
        FAULT(c, u);
    }
    NEXT_OR_LEAVE(c, u);
}

void x_PUSHA(struct cpu *c, const struct uop *u)
{
    uint64_t sp = c->gpr[X86_RSP] & stack_mask(c);
    unsigned n = u->bytes;

    /* All eight are checked first: with a wrapping stack they may not be contiguous. */
    for (unsigned i = 0; i < X86_R8; i++) {
        uint64_t at = (sp - (i + 1) * n) & stack_mask(c), lin;
        if (!seg_lin(c, true, X86_SS, at, n, true, &lin) ||
            !probe_write(c, lin, n, ACC_WRITE | ACC_STACK))
            FAULT(c, u);
    }
    for (unsigned i = 0; i < X86_R8; i++)
        stack_store(c, (sp - (i + 1) * n) & stack_mask(c), n, c->gpr[i]);
    set_sp(c, sp - 8 * n);
    NEXT_OR_LEAVE(c, u);
}

void x_POPA(struct cpu *c, const struct uop *u)
{
    uint64_t sp = c->gpr[X86_RSP] & stack_mask(c), v[8];
    unsigned n = u->bytes;

    for (unsigned i = 0; i < X86_R8; i++)
        if (!stack_load(c, (sp + i * n) & stack_mask(c), n, &v[i]))
            FAULT(c, u);
    for (unsigned i = 0; i < X86_R8; i++)
        if (X86_RDI - i != X86_RSP)
            reg_set(c, X86_RDI - i, n, v[i]);
    set_sp(c, sp + 8 * n);
    NEXT_OR_LEAVE(c, u);
}

/* SDM vol. 2, ENTER. */
void x_ENTER(struct cpu *c, const struct uop *u)
{
    unsigned size = u->bytes, level = u->imm2 & 31;
    uint64_t mask = stack_mask(c), sp = (c->gpr[X86_RSP] - size) & mask;
    uint64_t bp = c->gpr[X86_RBP], v;

    if (!stack_store(c, sp, size, bp))
        FAULT(c, u);
    uint64_t frame = (c->gpr[X86_RSP] & ~mask) | sp; /* as ESP would be: the whole register */
    for (unsigned i = 1; i < level; i++) {
        bp = (bp & ~mask) | ((bp - size) & mask);
        sp = (sp - size) & mask;
        if (!stack_load(c, bp & mask, size, &v) || !stack_store(c, sp, size, v))
            FAULT(c, u);
    }
    if (level) {
        sp = (sp - size) & mask;
        if (!stack_store(c, sp, size, frame))
            FAULT(c, u);
    }
    sp = (sp - u->imm) & mask;
    /* The new frame must be writable at its end (SDM: #SS or #PF before any register changes). */
    bool legacy = !is_code64(c);
    uint64_t lin;
    if (!seg_lin(c, legacy, legacy ? X86_SS : SEG_FLAT, sp, size, true, &lin) ||
        !probe_write(c, lin, size, ACC_WRITE | ACC_STACK))
        FAULT(c, u);
    reg_set(c, X86_RBP, size, frame);
    set_sp(c, sp);
    NEXT_OR_LEAVE(c, u);
}

void x_LEAVE(struct cpu *c, const struct uop *u)
{
    uint64_t bp = c->gpr[X86_RBP] & stack_mask(c), v;
    if (!stack_load(c, bp, u->bytes, &v))
        FAULT(c, u);
    set_sp(c, bp + u->bytes);
    reg_set(c, X86_RBP, u->bytes, v);
    NEXT_OR_LEAVE(c, u);
}

void x_BOUND(struct cpu *c, const struct uop *u)
{
    uint64_t lin, lo, hi;
    unsigned n = u->bytes;
    if (!uop_lin(c, u, 2 * n, false, &lin) || !mem_load(c, lin, n, uop_access(u, 0), &lo) ||
        !mem_load(c, (uint32_t)(lin + n), n, uop_access(u, 0), &hi))
        FAULT(c, u);
    int64_t i = n == 2 ? (int16_t)c->gpr[u->reg] : (int32_t)c->gpr[u->reg];
    int64_t from = n == 2 ? (int16_t)lo : (int32_t)lo, to = n == 2 ? (int16_t)hi : (int32_t)hi;
    if (i < from || i > to)
        RAISE(c, u, VEC_BR, 0);
    NEXT_OR_LEAVE(c, u);
}

void x_NOP(struct cpu *c, const struct uop *u)
{
    NEXT(c, u);
}

/* ---- choosing the form ---- */

void specialise(struct cpu *c, const struct x86_insn *in, struct uop *u)
{
    switch (in->info->op) {
    case X86_MOV_R_RM:
        u->fn = in->mem ? BY_SIZE(load, u->bytes) : BY_SIZE(move, u->bytes);
        break;
    case X86_MOV_RM_R:
        u->fn = in->mem ? BY_SIZE(store, u->bytes) : BY_SIZE(moveback, u->bytes);
        break;
    case X86_MOV_RM_I:
        u->fn = in->mem ? BY_SIZE(storei, u->bytes) : BY_SIZE(movei, u->bytes);
        break;
    case X86_MOV_R_I:
        u->fn = BY_SIZE(movei, u->bytes);
        break;
    case X86_LEA:
        if (u->bytes == 8 && u->addr_bytes == 8)
            u->fn = lea64;
        break;
    case X86_PUSH_R:
        if (c->mode & MODE_CODE64 && u->bytes == 8)
            u->fn = push64;
        break;
    case X86_POP_R:
        if (c->mode & MODE_CODE64 && u->bytes == 8)
            u->fn = pop64;
        break;
    default:
        break;
    }
}
