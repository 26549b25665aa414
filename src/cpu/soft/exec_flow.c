/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near control flow: the ends of most blocks.
 */
#include "cpu/soft/exec.h"

/* Conditions by opcode bits 3..1; bit 0 negates (SDM vol. 1, appendix B). */
static bool condition(const struct cpu *c, unsigned cc)
{
    uint16_t f = c->aflags;
    bool sf_ne_of = (f >> 15 & 1) != (f & 1), v = false;
    switch (cc >> 1 & 7) {
    case 0:
        v = f & AF_OF;
        break;
    case 1:
        v = f & AF_CF;
        break;
    case 2:
        v = f & AF_ZF;
        break;
    case 3:
        v = f & (AF_CF | AF_ZF);
        break;
    case 4:
        v = f & AF_SF;
        break;
    case 5:
        v = f & AF_PF;
        break;
    case 6:
        v = sf_ne_of;
        break;
    case 7:
        v = sf_ne_of || f & AF_ZF;
        break;
    }
    return v != (cc & 1);
}

/* Go to a near target; the operand size cuts it. A target outside CS faults here, at the jump. */
static bool near_target(struct cpu *c, const struct uop *u, uint64_t target)
{
    if (is_code64(c)) {
        if (UNLIKELY(!is_canonical48(target))) {
            raise_fault(c, VEC_GP, 0);
            return false;
        }
    } else {
        target = u->bytes == 2 ? (uint16_t)target : (uint32_t)target;
        if (UNLIKELY(target > c->seg[X86_CS].limit)) {
            raise_fault(c, VEC_GP, 0);
            return false;
        }
    }
    c->rip = target;
    return true;
}

static void jump(struct cpu *c, const struct uop *u)
{
    uint64_t at = c->rip;
    if (!near_target(c, u, uop_next_rip(c, u) + u->imm))
        c->rip = at + u->at;
}

void x_JCC(struct cpu *c, const struct uop *u)
{
    if (condition(c, u->opcode))
        jump(c, u);
    else
        leave_after(c, u);
}

void x_JMP(struct cpu *c, const struct uop *u)
{
    jump(c, u);
}

void x_CALL(struct cpu *c, const struct uop *u)
{
    uint64_t next = rip_wrap(c, uop_next_rip(c, u)), start = c->rip;
    uint64_t sp = (c->gpr[X86_RSP] - u->bytes) & stack_mask(c);

    if (!near_target(c, u, next + u->imm)) {
        c->rip = start + u->at;
        return;
    }
    if (!stack_store(c, sp, u->bytes, next)) {
        c->rip = start + u->at;
        return;
    }
    set_sp(c, sp);
}

void x_CALL_RM(struct cpu *c, const struct uop *u)
{
    uint64_t next = rip_wrap(c, uop_next_rip(c, u)), start = c->rip, target;
    uint64_t sp = (c->gpr[X86_RSP] - u->bytes) & stack_mask(c);

    if (!uop_rm(c, u, u->bytes, &target))
        FAULT(c, u);
    if (!near_target(c, u, target) || !stack_store(c, sp, u->bytes, next)) {
        c->rip = start + u->at;
        return;
    }
    set_sp(c, sp);
}

void x_JMP_RM(struct cpu *c, const struct uop *u)
{
    uint64_t target, start = c->rip;
    if (!uop_rm(c, u, u->bytes, &target))
        FAULT(c, u);
    if (!near_target(c, u, target))
        c->rip = start + u->at;
}

void x_RET(struct cpu *c, const struct uop *u)
{
    uint64_t sp = c->gpr[X86_RSP] & stack_mask(c), target, start = c->rip;
    if (!stack_load(c, sp, u->bytes, &target))
        FAULT(c, u);
    if (!near_target(c, u, target)) {
        c->rip = start + u->at;
        return;
    }
    set_sp(c, sp + u->bytes + u->imm);
}

/* LOOPcc and JCXZ count with the register that the address size names. */
static void loop(struct cpu *c, const struct uop *u, bool more)
{
    uint64_t count = (c->gpr[X86_RCX] - 1) & u->addr_mask, start = c->rip;
    if (count && more) {
        if (!near_target(c, u, uop_next_rip(c, u) + u->imm)) {
            c->rip = start + u->at;
            return;
        }
    } else {
        leave_after(c, u);
    }
    reg_set(c, X86_RCX, u->addr_bytes, count);
}

void x_LOOP(struct cpu *c, const struct uop *u)
{
    loop(c, u, true);
}

void x_LOOPE(struct cpu *c, const struct uop *u)
{
    loop(c, u, c->aflags & AF_ZF);
}

void x_LOOPNE(struct cpu *c, const struct uop *u)
{
    loop(c, u, !(c->aflags & AF_ZF));
}

void x_JCXZ(struct cpu *c, const struct uop *u)
{
    if (!(c->gpr[X86_RCX] & u->addr_mask))
        jump(c, u);
    else
        leave_after(c, u);
}

void x_PAUSE(struct cpu *c, const struct uop *u)
{
    __builtin_ia32_pause();
    leave_after(c, u);
}

void x_UD(struct cpu *c, const struct uop *u)
{
    RAISE(c, u, VEC_UD, 0);
}
