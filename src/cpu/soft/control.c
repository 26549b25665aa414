/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control and debug registers, and what follows from them: the mode bits that blocks are keyed
 * by, the TLB set in use. Intel SDM vol. 3, 2.5 and chapter 18.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"

#define CR0_KNOWN                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)

/* Any breakpoint that must be looked at instruction by instruction. */
static bool breakpoints_on(const struct cpu *c)
{
    return c->dr[7] & 0xff;
}

static bool is_whole(const struct seg *s)
{
    return s->lo == 0 && s->hi_r == 0xffffffff && s->lo_w == 0 && s->hi_w == 0xffffffff;
}

/* Segments that translated code need not check. */
static uint32_t flat_mode(const struct cpu *c, uint32_t m)
{
    const struct seg *s = c->seg;
    if (m & (MODE_CODE64 | MODE_REAL) || !(m & MODE_CODE32) || !(m & MODE_STACK32))
        return 0;
    if (s[X86_CS].base | s[X86_DS].base | s[X86_ES].base | s[X86_SS].base ||
        s[X86_CS].limit != 0xffffffff || s[X86_CS].hi_r != 0xffffffff || !is_whole(&s[X86_DS]) ||
        !is_whole(&s[X86_ES]) || !is_whole(&s[X86_SS]))
        return 0;
    return MODE_FLAT | (is_whole(&s[X86_FS]) ? MODE_FS_FLAT : 0) |
           (is_whole(&s[X86_GS]) ? MODE_GS_FLAT : 0);
}

void cpu_update_mode(struct cpu *c)
{
    uint32_t m = 0;

    if (is_long(c) && c->seg[X86_CS].attr & SEG_L)
        m |= MODE_CODE64;
    else if (c->seg[X86_CS].attr & SEG_DB)
        m |= MODE_CODE32;
    if (!(m & MODE_CODE64) && c->seg[X86_SS].attr & SEG_DB)
        m |= MODE_STACK32;
    if (!is_protected(c))
        m |= MODE_REAL;
    if (c->cpl == 3)
        m |= MODE_USER;
    else if (c->cpl)
        m |= MODE_MIDDLE;
    if (c->cr0 & (CR0_EM | CR0_TS))
        m |= MODE_X87_NM;
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        m |= MODE_WAIT_NM;
    if (c->cr0 & CR0_EM)
        m |= MODE_EM;
    if (c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR))
        m |= MODE_SSE_UD;
    if (c->cr0 & CR0_TS)
        m |= MODE_TS;
    if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & (XCR0_SSE | XCR0_AVX)) != (XCR0_SSE | XCR0_AVX))
        m |= MODE_AVX_UD;
    if (c->eflags & FL_TF || breakpoints_on(c) || c->events & (EV_SHADOW | EV_SHADOW_SS))
        m |= MODE_SINGLE;
    m |= flat_mode(c, m);
    if ((m ^ c->mode) & ~(uint32_t)MODE_USER)
        cpu_shut_gates(c);
    c->mode = m;
    c->tlb = tlb_present(c);
    jumps_update(c);
}

void cpu_set_cpl(struct cpu *c, unsigned cpl)
{
    c->cpl = (uint8_t)cpl;
    cpu_update_mode(c);
}

static void update_segments(struct cpu *c)
{
    for (unsigned i = 0; i < X86_SEGS; i++)
        seg_update(&c->seg[i], !is_protected(c));
}

void cpu_set_flags(struct cpu *c, uint32_t value, uint32_t mask)
{
    uint32_t before = c->eflags, system = mask & ~(FL_ARITH | FL_1);

    if (mask & FL_ARITH)
        flags_set_arith(c, (value & mask & FL_ARITH) | (flags_arith(c) & ~mask));
    c->eflags = (c->eflags & ~system) | (value & system);
    if (!breakpoints_on(c))
        c->eflags &= ~FL_RF; /* nothing for it to hold off at the next instruction */
    uint32_t changed = before ^ c->eflags;
    if (changed & FL_VM)
        update_segments(c);
    if (changed & (FL_VM | FL_TF | FL_AC))
        cpu_update_mode(c);
}

/* ---- CR0, CR3, CR4, XCR0: false means #GP(0) is pending ---- */

static bool gp(struct cpu *c)
{
    raise_fault(c, VEC_GP, 0);
    return false;
}

bool set_cr0(struct cpu *c, uint64_t v)
{
    uint64_t old = c->cr0, efer = c->efer;

    if (v >> 32 || (v & CR0_PG && !(v & CR0_PE)) || (v & CR0_NW && !(v & CR0_CD)))
        return gp(c);
    v = (v & CR0_KNOWN) | CR0_ET;
    if (v & CR0_PG && !(old & CR0_PG)) {
        if (efer & EFER_LME) {
            if (!(c->cr4 & CR4_PAE) || c->seg[X86_CS].attr & SEG_L || !(c->tr.attr & 8))
                return gp(c);
            efer |= EFER_LMA;
        } else if (c->cr4 & CR4_PAE && !load_pdptes(c, c->cr3)) {
            return gp(c);
        }
    } else if (!(v & CR0_PG) && old & CR0_PG) {
        if (is_code64(c) || c->cr4 & CR4_PCIDE)
            return gp(c);
        efer &= ~(uint64_t)EFER_LMA;
    } else if (v & CR0_PG && c->cr4 & CR4_PAE && !is_long(c) && (v ^ old) & (CR0_CD | CR0_NW) &&
               !load_pdptes(c, c->cr3)) {
        return gp(c);
    }
    c->cr0 = v;
    c->efer = efer;
    /* Without paging neither PE nor WP says what translations are. */
    if ((v ^ old) & CR0_PG || (v & CR0_PG && (v ^ old) & (CR0_WP | CR0_PE)))
        tlb_flush(c);
    if ((v ^ old) & CR0_PE)
        update_segments(c);
    cpu_update_mode(c);
    return true;
}

bool set_cr3(struct cpu *c, uint64_t v)
{
    bool keep = false;

    if (is_long(c)) {
        if (c->cr4 & CR4_PCIDE) {
            keep = v >> 63;
            v &= ~(1ULL << 63);
        }
        if (v >> X86_PHYS_BITS)
            return gp(c);
    } else {
        v = (uint32_t)v;
        if (c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !load_pdptes(c, v))
            return gp(c);
    }
    c->cr3 = v;
    tlb_switch(c, keep);
    return true;
}

static uint64_t cr4_known(const struct cpu *c)
{
    const struct x86_features *f = &c->soft->model.features;
    uint64_t known =
        CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE;
    static const struct {
        uint8_t feature;
        uint32_t bit;
    } by_feature[] = {
        {X86_FEAT_FXSR, CR4_OSFXSR}, {X86_FEAT_SSE, CR4_OSXMMEXCPT},
        {X86_FEAT_UMIP, CR4_UMIP},   {X86_FEAT_FSGSBASE, CR4_FSGSBASE},
        {X86_FEAT_PCID, CR4_PCIDE},  {X86_FEAT_XSAVE, CR4_OSXSAVE},
        {X86_FEAT_SMEP, CR4_SMEP},   {X86_FEAT_SMAP, CR4_SMAP},
        {X86_FEAT_PKU, CR4_PKE},     {X86_FEAT_PKS, CR4_PKS},
    };
    for (unsigned i = 0; i < ARRAY_LEN(by_feature); i++)
        if (x86_has(f, by_feature[i].feature))
            known |= by_feature[i].bit;
    return known;
}

bool set_cr4(struct cpu *c, uint64_t v)
{
    uint64_t changed = v ^ c->cr4;

    if (v & ~cr4_known(c) || (is_long(c) && !(v & CR4_PAE)))
        return gp(c);
    if (v & CR4_PCIDE && changed & CR4_PCIDE && (!is_long(c) || c->cr3 & 0xfff))
        return gp(c);
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP) && v & CR4_PAE &&
        c->cr0 & CR0_PG && !is_long(c) && !load_pdptes(c, c->cr3))
        return gp(c);
    c->cr4 = v;
    if (changed &
        (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE | CR4_PKS))
        tlb_flush(c);
    if (changed & CR4_SMAP) /* STAC and CLAC are translated to what they do now */
        atomic_fetch_or(&c->requests, REQ_BLOCKS);
    cpu_update_mode(c);
    return true;
}

bool set_xcr0(struct cpu *c, uint64_t v)
{
    uint64_t known = XCR0_X87 | XCR0_SSE;
    if (x86_has(&c->soft->model.features, X86_FEAT_AVX))
        known |= XCR0_AVX;
    if (x86_has(&c->soft->model.features, X86_FEAT_PKU))
        known |= XCR0_PKRU;
    if (!(v & XCR0_X87) || v & ~known || (v & XCR0_AVX && !(v & XCR0_SSE)))
        return gp(c);
    c->xcr0 = v;
    cpu_update_mode(c);
    return true;
}

/* TLB entries hold what the keys allowed when they were filled. */
static void set_keys(struct cpu *c, uint64_t *keys, uint64_t v, uint64_t enable)
{
    if (*keys != v && c->cr4 & enable)
        tlb_flush(c);
    *keys = v;
}

void set_pkru(struct cpu *c, uint32_t v)
{
    set_keys(c, &c->pkru, v, CR4_PKE);
}

void set_pkrs(struct cpu *c, uint32_t v)
{
    set_keys(c, &c->pkrs, v, CR4_PKS);
}

/* ---- instructions ---- */

#define NEED_CPL0(c, u)                                                                            \
    do {                                                                                           \
        if (UNLIKELY((c)->cpl != 0))                                                               \
            RAISE(c, u, VEC_GP, 0);                                                                \
    } while (0)

void x_MOV_R_CR(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    NEED_CPL0(c, u);
    switch (u->reg) {
    case 0:
        v = c->cr0;
        break;
    case 2:
        v = c->cr2;
        break;
    case 3:
        v = c->cr3;
        break;
    case 4:
        v = c->cr4;
        break;
    case 8:
        v = out_tpr_get(c);
        break;
    default:
        RAISE(c, u, VEC_UD, 0);
    }
    reg_set(c, u->rm, is_code64(c) ? 8 : 4, v);
    NEXT(c, u);
}

void x_MOV_CR_R(struct cpu *c, const struct uop *u)
{
    uint64_t v = reg_get(c, u->rm, is_code64(c) ? 8 : 4);
    bool ok = true;
    NEED_CPL0(c, u);
    uint64_t next = uop_next_rip(c, u);
    switch (u->reg) {
    case 0:
        ok = set_cr0(c, v);
        break;
    case 2:
        c->cr2 = v;
        break;
    case 3:
        ok = set_cr3(c, v);
        break;
    case 4:
        ok = set_cr4(c, v);
        break;
    case 8:
        if (v > 15)
            ok = gp(c);
        else
            out_tpr_set(c, (uint8_t)v);
        break;
    default:
        RAISE(c, u, VEC_UD, 0);
    }
    if (!ok)
        FAULT(c, u);
    c->rip = rip_wrap(c, next);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. False: fault pending. */
static bool dr_number(struct cpu *c, unsigned *n)
{
    if (*n > 7 || ((*n == 4 || *n == 5) && c->cr4 & CR4_DE)) {
        raise_fault(c, VEC_UD, 0);
        return false;
    }
    if (*n == 4 || *n == 5)
        *n += 2;
    if (c->dr[7] & DR7_GD) {
        c->dr[6] |= DR6_BD;
        c->dr[7] &= ~(uint64_t)DR7_GD;
        raise_fault(c, VEC_DB, 0);
        return false;
    }
    return true;
}

void x_MOV_R_DR(struct cpu *c, const struct uop *u)
{
    unsigned n = u->reg;
    NEED_CPL0(c, u);
    if (!dr_number(c, &n))
        FAULT(c, u);
    reg_set(c, u->rm, is_code64(c) ? 8 : 4, c->dr[n]);
    NEXT(c, u);
}

void x_MOV_DR_R(struct cpu *c, const struct uop *u)
{
    unsigned n = u->reg;
    uint64_t v = reg_get(c, u->rm, is_code64(c) ? 8 : 4), next = uop_next_rip(c, u);
    NEED_CPL0(c, u);
    if (!dr_number(c, &n))
        FAULT(c, u);
    if (n >= 6 && v >> 32)
        RAISE(c, u, VEC_GP, 0);
    if (n < 4 && is_code64(c) && !is_canonical48(v))
        RAISE(c, u, VEC_GP, 0);
    if (n == 6)
        v = (v & 0xe00f) | DR6_FIXED;
    if (n == 7)
        v = (v & 0xffff2bff) | DR7_FIXED;
    c->dr[n] = v;
    if (n != 6)
        tlb_flush(c); /* watched pages take the slow way */
    cpu_update_mode(c);
    c->rip = rip_wrap(c, next);
}

void x_CLTS(struct cpu *c, const struct uop *u)
{
    uint64_t next = uop_next_rip(c, u);
    NEED_CPL0(c, u);
    c->cr0 &= ~(uint64_t)CR0_TS;
    cpu_update_mode(c);
    c->rip = rip_wrap(c, next);
}

void x_SMSW(struct cpu *c, const struct uop *u)
{
    if (c->cr4 & CR4_UMIP && c->cpl)
        RAISE(c, u, VEC_GP, 0);
    if (u->flags & U_MEM) {
        if (!uop_set_rm(c, u, 2, c->cr0))
            FAULT(c, u);
    } else {
        reg_set(c, u->rm, u->bytes, c->cr0);
    }
    NEXT_OR_LEAVE(c, u);
}

/* LMSW can set PE but not clear it. */
void x_LMSW(struct cpu *c, const struct uop *u)
{
    uint64_t v, next = uop_next_rip(c, u);
    NEED_CPL0(c, u);
    if (!uop_rm(c, u, 2, &v))
        FAULT(c, u);
    uint64_t keep = c->cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS);
    if (!set_cr0(c, keep | (v & (CR0_PE | CR0_MP | CR0_EM | CR0_TS))))
        FAULT(c, u);
    c->rip = rip_wrap(c, next);
}

void x_XGETBV(struct cpu *c, const struct uop *u)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        RAISE(c, u, VEC_UD, 0);
    uint32_t index = (uint32_t)c->gpr[X86_RCX];
    if (index > 1)
        RAISE(c, u, VEC_GP, 0);
    /* XCR0, or with index 1 the components in use, for which all enabled is a right answer. */
    c->gpr[X86_RAX] = (uint32_t)c->xcr0;
    c->gpr[X86_RDX] = c->xcr0 >> 32;
    NEXT(c, u);
}

void x_XSETBV(struct cpu *c, const struct uop *u)
{
    uint64_t v = (uint32_t)c->gpr[X86_RAX] | c->gpr[X86_RDX] << 32, next = uop_next_rip(c, u);
    if (!(c->cr4 & CR4_OSXSAVE))
        RAISE(c, u, VEC_UD, 0);
    NEED_CPL0(c, u);
    if ((uint32_t)c->gpr[X86_RCX] != 0)
        RAISE(c, u, VEC_GP, 0);
    if (!set_xcr0(c, v))
        FAULT(c, u);
    c->rip = rip_wrap(c, next);
}

void x_RDPKRU(struct cpu *c, const struct uop *u)
{
    if (!(c->cr4 & CR4_PKE))
        RAISE(c, u, VEC_UD, 0);
    if ((uint32_t)c->gpr[X86_RCX])
        RAISE(c, u, VEC_GP, 0);
    c->gpr[X86_RAX] = c->pkru;
    c->gpr[X86_RDX] = 0;
    NEXT(c, u);
}

void x_WRPKRU(struct cpu *c, const struct uop *u)
{
    if (!(c->cr4 & CR4_PKE))
        RAISE(c, u, VEC_UD, 0);
    if ((uint32_t)c->gpr[X86_RCX] || (uint32_t)c->gpr[X86_RDX])
        RAISE(c, u, VEC_GP, 0);
    set_pkru(c, (uint32_t)c->gpr[X86_RAX]);
    leave_after(c, u);
}

void x_INVLPG(struct cpu *c, const struct uop *u)
{
    NEED_CPL0(c, u);
    uint64_t lin = uop_ea(c, u) + c->seg[u->seg].base;
    if (u->flags & U_LEGACY)
        lin = (uint32_t)lin;
    tlb_flush_page(c, lin);
    leave_after(c, u);
}

void x_INVPCID(struct cpu *c, const struct uop *u)
{
    uint64_t lin, pcid, addr, type = is_code64(c) ? c->gpr[u->reg] : (uint32_t)c->gpr[u->reg];

    NEED_CPL0(c, u);
    if (!(u->flags & U_MEM) || !is_protected(c))
        RAISE(c, u, VEC_UD, 0);
    if (!uop_lin(c, u, 16, false, &lin) || !mem_load(c, lin, 8, uop_access(u, 0), &pcid) ||
        !mem_load(c, lin + 8, 8, uop_access(u, 0), &addr))
        FAULT(c, u);
    if (type > 3 || pcid >> 12 || (type < 2 && pcid && !(c->cr4 & CR4_PCIDE)) ||
        (type == 0 && is_code64(c) && !is_canonical48(addr)))
        RAISE(c, u, VEC_GP, 0);
    if (type == 0 && pcid == (c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0))
        tlb_flush_page(c, addr);
    else if (type < 2)
        tlb_flush_pcid(c, (uint16_t)pcid);
    else
        tlb_flush(c);
    leave_after(c, u);
}

void x_CLAC(struct cpu *c, const struct uop *u)
{
    if (c->cpl || !(c->cr0 & CR0_PE))
        RAISE(c, u, VEC_UD, 0);
    cpu_set_flags(c, 0, FL_AC);
    NEXT(c, u);
}

void x_STAC(struct cpu *c, const struct uop *u)
{
    if (c->cpl || !(c->cr0 & CR0_PE))
        RAISE(c, u, VEC_UD, 0);
    cpu_set_flags(c, FL_AC, FL_AC);
    NEXT(c, u);
}

/* ---- descriptor table registers ---- */

static void table_load(struct cpu *c, const struct uop *u, struct x86_table *t)
{
    uint64_t lin, limit, base;
    unsigned n = is_code64(c) ? 8 : 4;

    NEED_CPL0(c, u);
    if (!uop_lin(c, u, 2 + n, false, &lin) || !mem_load(c, lin, 2, uop_access(u, 0), &limit))
        FAULT(c, u);
    uint64_t at = n == 8 ? lin + 2 : (uint32_t)(lin + 2);
    if (!mem_load(c, at, n, uop_access(u, 0), &base))
        FAULT(c, u);
    if (n == 4 && u->bytes == 2)
        base &= 0xffffff;
    if (n == 8 && !is_canonical48(base))
        RAISE(c, u, VEC_GP, 0);
    t->limit = (uint16_t)limit;
    t->base = base;
    NEXT_OR_LEAVE(c, u);
}

static void table_store(struct cpu *c, const struct uop *u, const struct x86_table *t)
{
    uint64_t lin;
    unsigned n = is_code64(c) ? 8 : 4;

    if (c->cr4 & CR4_UMIP && c->cpl)
        RAISE(c, u, VEC_GP, 0);
    if (!uop_lin(c, u, 2 + n, true, &lin) || !probe_write(c, lin, 2 + n, uop_access(u, ACC_WRITE)))
        FAULT(c, u);
    mem_store(c, lin, 2, uop_access(u, ACC_WRITE), t->limit);
    mem_store(c, n == 8 ? lin + 2 : (uint32_t)(lin + 2), n, uop_access(u, ACC_WRITE), t->base);
    NEXT_OR_LEAVE(c, u);
}

void x_LGDT(struct cpu *c, const struct uop *u)
{
    table_load(c, u, &c->gdtr);
}

void x_LIDT(struct cpu *c, const struct uop *u)
{
    table_load(c, u, &c->idtr);
}

void x_SGDT(struct cpu *c, const struct uop *u)
{
    table_store(c, u, &c->gdtr);
}

void x_SIDT(struct cpu *c, const struct uop *u)
{
    table_store(c, u, &c->idtr);
}
