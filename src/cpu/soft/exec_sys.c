/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast system calls, interrupt flag, HLT, caches and fences. Intel SDM vol. 2.
 */
#include "cpu/soft/exec.h"

/* Flat segments as SYSCALL and its like load them, without looking at the tables. */
static void flat_cs(struct cpu *c, uint16_t selector, unsigned cpl, bool is64)
{
    struct seg *s = &c->seg[X86_CS];
    *s = (struct seg){.selector = (uint16_t)((selector & ~3u) | cpl), .limit = 0xffffffff};
    s->attr = (uint16_t)(SEG_G | SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | cpl << SEG_DPL_SHIFT |
                         (is64 ? SEG_L : SEG_DB));
    seg_update(s, false);
}

static void flat_ss(struct cpu *c, uint16_t selector, unsigned cpl)
{
    struct seg *s = &c->seg[X86_SS];
    *s = (struct seg){.selector = (uint16_t)((selector & ~3u) | cpl), .limit = 0xffffffff};
    s->attr = (uint16_t)(SEG_G | SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | cpl << SEG_DPL_SHIFT);
    seg_update(s, false);
}

/* All flags but VM, when the mode is going to be found anew. */
static void set_flags(struct cpu *c, uint32_t flags)
{
    flags_set_arith(c, flags);
    c->eflags = flags & ~(uint32_t)(FL_ARITH | FL_1 | FL_RF | FL_VM);
}

/*
 * SYSCALL and SYSRET trap if TF is set behind them, whatever it was before: a masked TF steps no
 * further, a returned one traps before the program's first instruction.
 */
static void step_by_new_tf(struct cpu *c)
{
    c->events &= ~(uint32_t)EV_STEP;
    if (c->eflags & FL_TF) {
        c->dr6_pending |= DR6_BS;
        c->events |= EV_TRAP;
    }
}

static bool is_amd(const struct cpu *c)
{
    return c->soft->model.vendor == X86_AMD;
}

/*
 * Intel has SYSCALL in 64-bit mode alone and SYSRET in long mode's (SDM vol. 2); AMD has both in
 * every protected mode (APM vol. 3), as 32-bit programs under a 64-bit kernel use them there.
 */
static bool syscall_known(const struct cpu *c)
{
    return c->efer & EFER_SCE && (is_amd(c) ? c->cr0 & CR0_PE : is_code64(c));
}

static void open_gate(struct cpu *c, struct cpu_gate *g)
{
    g->cs = c->seg[X86_CS];
    g->ss = c->seg[X86_SS];
    g->jump_tag = c->jump_tag;
    g->jumps = c->jumps;
    g->tlb = c->tlb;
    g->mode = c->mode;
    g->open = !(c->mode & MODE_SINGLE);
}

static void open_enter(struct cpu *c)
{
    struct cpu_gate *g = &c->enter;
    uint32_t mask = (uint32_t)c->sfmask;

    /* With TF it would trap; AC chooses the TLB's table. */
    if ((mask & (FL_TF | FL_AC)) != (FL_TF | FL_AC))
        return;
    g->eflags_kept = ~(mask | FL_RF | FL_VM);
    g->aflags_kept = ~((mask & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) << 8 | (mask >> 11 & 1));
    g->poll_kept = mask & FL_IF ? ~(uint32_t)REQ_INTR : ~0u;
    open_gate(c, g);
}

void x_SYSCALL(struct cpu *c, const struct uop *u)
{
    bool longmode = is_long(c);

    if (!syscall_known(c))
        RAISE(c, u, VEC_UD, 0);
    c->gpr[X86_RCX] = uop_next_rip(c, u);
    if (longmode) {
        c->gpr[X86_R11] = flags_get(c) & ~FL_RF;
        c->rip = is_code64(c) ? c->lstar : c->cstar;
        set_flags(c, (uint32_t)c->gpr[X86_R11] & ~(uint32_t)c->sfmask);
    } else {
        c->rip = (uint32_t)c->star;
        cpu_set_flags(c, 0, FL_VM | FL_IF);
    }
    flat_cs(c, (uint16_t)(c->star >> 32), 0, longmode);
    flat_ss(c, (uint16_t)(c->star >> 32) + 8, 0);
    step_by_new_tf(c);
    cpu_set_cpl(c, 0);
    if (longmode)
        open_enter(c);
}

void x_SYSRET(struct cpu *c, const struct uop *u)
{
    bool to64 = u->bytes == 8;
    uint16_t base = (uint16_t)(c->star >> 48);

    if (!syscall_known(c))
        RAISE(c, u, VEC_UD, 0);
    if (c->cpl || (to64 && !is_amd(c) && !is_canonical48(c->gpr[X86_RCX])))
        RAISE(c, u, VEC_GP, 0);
    c->rip = to64 ? c->gpr[X86_RCX] : (uint32_t)c->gpr[X86_RCX];
    flat_cs(c, to64 ? base + 16 : base, 3, to64);
    if (is_amd(c)) /* base, limit and attributes of SS stay */
        c->seg[X86_SS].selector = (uint16_t)((base + 8) | 3);
    else
        flat_ss(c, base + 8, 3);
    if (is_long(c))
        set_flags(c, (uint32_t)c->gpr[X86_R11] & 0x3c7fd7);
    else
        cpu_set_flags(c, FL_IF, FL_IF);
    step_by_new_tf(c);
    cpu_set_cpl(c, 3);
    if (to64 && !is_amd(c)) /* whose SS is not known by this */
        open_gate(c, &c->leave);
}

void x_SYSENTER(struct cpu *c, const struct uop *u)
{
    bool longmode = is_long(c);
    if (longmode && is_amd(c))
        RAISE(c, u, VEC_UD, 0);
    if (!(c->cr0 & CR0_PE) || !(c->sysenter_cs & 0xfffc))
        RAISE(c, u, VEC_GP, 0);
    c->rip = longmode ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    c->gpr[X86_RSP] = longmode ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    cpu_set_flags(c, 0, FL_VM | FL_IF);
    flat_cs(c, (uint16_t)c->sysenter_cs, 0, longmode);
    flat_ss(c, (uint16_t)c->sysenter_cs + 8, 0);
    cpu_set_cpl(c, 0);
}

void x_SYSEXIT(struct cpu *c, const struct uop *u)
{
    bool to64 = u->bytes == 8;
    uint64_t rip = c->gpr[X86_RDX], rsp = c->gpr[X86_RCX];
    uint16_t base = (uint16_t)c->sysenter_cs;

    if (is_long(c) && is_amd(c))
        RAISE(c, u, VEC_UD, 0);
    if (!(c->cr0 & CR0_PE) || !(c->sysenter_cs & 0xfffc) || c->cpl ||
        (to64 && (!is_canonical48(rip) || !is_canonical48(rsp))))
        RAISE(c, u, VEC_GP, 0);
    c->rip = to64 ? rip : (uint32_t)rip;
    c->gpr[X86_RSP] = to64 ? rsp : (uint32_t)rsp;
    flat_cs(c, (uint16_t)(base + (to64 ? 32 : 16)), 3, to64);
    flat_ss(c, (uint16_t)(base + (to64 ? 40 : 24)), 3);
    cpu_set_cpl(c, 3);
}

void x_SWAPGS(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_GP, 0);
    uint64_t base = c->seg[X86_GS].base;
    c->seg[X86_GS].base = c->kernel_gs_base;
    c->kernel_gs_base = base;
    NEXT(c, u);
}

static bool fsgsbase_on(struct cpu *c, const struct uop *u)
{
    if (c->cr4 & CR4_FSGSBASE)
        return true;
    raise_fault(c, VEC_UD, 0);
    leave_at(c, u);
    return false;
}

#define READ_BASE(name, segment)                                                                   \
    void x_RD##name##BASE(struct cpu *c, const struct uop *u)                                      \
    {                                                                                              \
        if (!fsgsbase_on(c, u))                                                                    \
            return;                                                                                \
        reg_set(c, u->rm, u->bytes == 8 ? 8 : 4, c->seg[segment].base);                            \
        NEXT(c, u);                                                                                \
    }                                                                                              \
    void x_WR##name##BASE(struct cpu *c, const struct uop *u)                                      \
    {                                                                                              \
        uint64_t v = reg_get(c, u->rm, u->bytes == 8 ? 8 : 4);                                     \
        if (!fsgsbase_on(c, u))                                                                    \
            return;                                                                                \
        if (!is_canonical48(v))                                                                    \
            RAISE(c, u, VEC_GP, 0);                                                                \
        c->seg[segment].base = v;                                                                  \
        NEXT(c, u);                                                                                \
    }
READ_BASE(FS, X86_FS)
READ_BASE(GS, X86_GS)

/* CLI and STI at less privilege than IOPL work on VIF where the extensions are on (SDM vol. 3,
 * 20.3 and 20.4). */
static bool virtual_if(const struct cpu *c)
{
    return (is_v86(c) && c->cr4 & CR4_VME) || (is_protected(c) && c->cpl == 3 && c->cr4 & CR4_PVI);
}

void x_CLI(struct cpu *c, const struct uop *u)
{
    if (UNLIKELY(c->cr0 & CR0_PE && c->cpl > iopl(c))) {
        if (!virtual_if(c))
            RAISE(c, u, VEC_GP, 0);
        c->eflags &= ~FL_VIF;
        NEXT(c, u);
    }
    c->eflags &= ~FL_IF;
    NEXT(c, u);
}

void x_STI(struct cpu *c, const struct uop *u)
{
    if (UNLIKELY(c->cr0 & CR0_PE && c->cpl > iopl(c))) {
        if (!virtual_if(c) || c->eflags & FL_VIP)
            RAISE(c, u, VEC_GP, 0);
        c->eflags |= FL_VIF;
        leave_after(c, u);
        return;
    }
    /* The next instruction of this block, its last, is held from interrupts already. */
    if (!(c->eflags & FL_IF) && (u[1].fn == x_end || c->mode & MODE_SINGLE)) {
        c->eflags |= FL_IF;
        c->events |= EV_SHADOW;
        leave_after(c, u);
        return;
    }
    c->eflags |= FL_IF;
    NEXT(c, u);
}

void x_HLT(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_GP, 0);
    leave_after(c, u);
    c->events |= EV_HALT;
}

void x_INVD(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_GP, 0);
    NEXT(c, u);
}

void x_CLFLUSH(struct cpu *c, const struct uop *u)
{
    uint64_t lin, v;
    if (!uop_lin(c, u, 1, false, &lin) || !mem_load(c, lin, 1, uop_access(u, 0), &v))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_LFENCE(struct cpu *c, const struct uop *u)
{
    NEXT(c, u);
}

void x_MFENCE(struct cpu *c, const struct uop *u)
{
    __sync_synchronize();
    NEXT(c, u);
}

void x_MONITOR(struct cpu *c, const struct uop *u)
{
    uint64_t ea = c->gpr[X86_RAX] & u->addr_mask, lin, v;
    unsigned seg = u->flags & U_LEGACY || u->seg >= X86_FS ? u->seg : SEG_FLAT;
    if (c->cpl)
        RAISE(c, u, VEC_UD, 0);
    if ((uint32_t)c->gpr[X86_RCX])
        RAISE(c, u, VEC_GP, 0);
    if (!seg_lin(c, u->flags & U_LEGACY, seg, ea, 1, false, &lin) ||
        !mem_load(c, lin, 1, ACC_READ, &v))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

/* A wait that ends at once is allowed (SDM vol. 2, MWAIT: other events). */
void x_MWAIT(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_UD, 0);
    leave_after(c, u);
}
