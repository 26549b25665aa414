/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags as operands, PUSHF and POPF with their privileges (SDM vol. 2, POPF, table 4-16), and the
 * decimal adjustments, which have no 64-bit form to run natively.
 */
#include "cpu/soft/exec.h"

void x_CLC(struct cpu *c, const struct uop *u)
{
    c->aflags &= (uint16_t)~AF_CF;
    NEXT(c, u);
}

void x_STC(struct cpu *c, const struct uop *u)
{
    c->aflags |= AF_CF;
    NEXT(c, u);
}

void x_CMC(struct cpu *c, const struct uop *u)
{
    c->aflags ^= AF_CF;
    NEXT(c, u);
}

void x_CLD(struct cpu *c, const struct uop *u)
{
    c->eflags &= ~FL_DF;
    NEXT(c, u);
}

void x_STD(struct cpu *c, const struct uop *u)
{
    c->eflags |= FL_DF;
    NEXT(c, u);
}

void x_SAHF(struct cpu *c, const struct uop *u)
{
    uint8_t ah = (uint8_t)(c->gpr[X86_RAX] >> 8);
    c->aflags = (uint16_t)((ah & 0xd5) << 8 | 0x200 | (c->aflags & AF_OF));
    NEXT(c, u);
}

void x_LAHF(struct cpu *c, const struct uop *u)
{
    *reg8(c, 1) = (uint8_t)(c->aflags >> 8 | 2);
    NEXT(c, u);
}

void x_SALC(struct cpu *c, const struct uop *u)
{
    *reg8(c, 0) = c->aflags & AF_CF ? 0xff : 0;
    NEXT(c, u);
}

void x_PUSHF(struct cpu *c, const struct uop *u)
{
    uint32_t fl = flags_get(c) & ~(FL_VM | FL_RF);
    if (is_v86(c) && iopl(c) < 3) {
        if (!(c->cr4 & CR4_VME) || u->bytes != 2)
            RAISE(c, u, VEC_GP, 0);
        fl = (fl & ~FL_IF) | FL_IOPL | (c->eflags & FL_VIF ? FL_IF : 0);
    }
    if (!push(c, u->bytes, fl))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_POPF(struct cpu *c, const struct uop *u)
{
    uint32_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;
    uint64_t v, old = c->gpr[X86_RSP];

    if (is_v86(c) && iopl(c) < 3 && (!(c->cr4 & CR4_VME) || u->bytes != 2))
        RAISE(c, u, VEC_GP, 0);
    if (!pop(c, u->bytes, &v))
        FAULT(c, u);
    if (is_v86(c) && iopl(c) < 3) {
        if (v & FL_TF || (v & FL_IF && c->eflags & FL_VIP)) {
            c->gpr[X86_RSP] = old;
            RAISE(c, u, VEC_GP, 0);
        }
        v |= v & FL_IF ? FL_VIF : 0;
        cpu_set_flags(c, (uint32_t)v, (mask & 0xffff) | FL_VIF);
        leave_after(c, u);
        return;
    }
    if (c->cpl <= iopl(c) || !(c->cr0 & CR0_PE))
        mask |= FL_IF;
    if (c->cpl == 0 && !is_v86(c))
        mask |= FL_IOPL;
    if (u->bytes == 2)
        mask &= 0xffff;
    cpu_set_flags(c, (uint32_t)v, mask);
    if (u->bytes != 2)
        c->eflags &= ~FL_RF;
    leave_after(c, u);
}

/* ---- BCD (SDM vol. 2) ---- */

static void set_szp(struct cpu *c, uint8_t v, bool cf, bool af)
{
    uint32_t fl = (cf ? FL_CF : 0) | (af ? FL_AF : 0) | (v ? 0 : FL_ZF) | (v & FL_SF) |
                  (__builtin_parity(v) ? 0 : FL_PF);
    flags_set_arith(c, fl);
}

static void decimal_adjust(struct cpu *c, bool add)
{
    uint8_t *al = reg8(c, 0), old = *al;
    bool old_cf = c->aflags & AF_CF, cf = false, af = c->aflags & AF_AF;

    if ((old & 15) > 9 || af) {
        cf = old_cf || (add ? old > 0xff - 6 : old < 6);
        *al = (uint8_t)(add ? *al + 6 : *al - 6);
        af = true;
    }
    if (old > 0x99 || old_cf) {
        *al = (uint8_t)(add ? *al + 0x60 : *al - 0x60);
        cf = true;
    } else if (add) {
        cf = false;
    }
    set_szp(c, *al, cf, af);
}

void x_DAA(struct cpu *c, const struct uop *u)
{
    decimal_adjust(c, true);
    NEXT(c, u);
}

void x_DAS(struct cpu *c, const struct uop *u)
{
    decimal_adjust(c, false);
    NEXT(c, u);
}

static void ascii_adjust(struct cpu *c, bool add)
{
    uint16_t ax = (uint16_t)c->gpr[X86_RAX];
    bool adjust = (ax & 15) > 9 || c->aflags & AF_AF;

    if (adjust)
        ax = (uint16_t)(add ? ax + 0x106 : (uint16_t)(ax - 6) - 0x100);
    ax &= 0xff0f;
    reg_set(c, X86_RAX, 2, ax);
    set_szp(c, (uint8_t)ax, adjust, adjust);
}

void x_AAA(struct cpu *c, const struct uop *u)
{
    ascii_adjust(c, true);
    NEXT(c, u);
}

void x_AAS(struct cpu *c, const struct uop *u)
{
    ascii_adjust(c, false);
    NEXT(c, u);
}

void x_AAM(struct cpu *c, const struct uop *u)
{
    uint8_t base = (uint8_t)u->imm, al = *reg8(c, 0);
    if (!base)
        RAISE(c, u, VEC_DE, 0);
    reg_set(c, X86_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    set_szp(c, al % base, false, false);
    NEXT(c, u);
}

void x_AAD(struct cpu *c, const struct uop *u)
{
    uint8_t al = (uint8_t)(*reg8(c, 0) + *reg8(c, 1) * (uint8_t)u->imm);
    reg_set(c, X86_RAX, 2, al);
    set_szp(c, al, false, false);
    NEXT(c, u);
}
