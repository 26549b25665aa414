/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as instructions see it: effective address, segment, soft TLB.
 */
#ifndef CPU_SOFT_MEM_H
#define CPU_SOFT_MEM_H

#include "cpu/soft/block.h"

/* Guest memory has no alignment. */
typedef uint16_t __attribute__((aligned(1), may_alias)) mem16;
typedef uint32_t __attribute__((aligned(1), may_alias)) mem32;
typedef uint64_t __attribute__((aligned(1), may_alias)) mem64;

/* The host address of plain memory when the TLB has it, else NULL. */
static inline void *tlb_read(const struct cpu *c, uint64_t lin, unsigned size)
{
    return tlb_hit(c->tlb, lin, size, false);
}
static inline void *tlb_write(const struct cpu *c, uint64_t lin, unsigned size)
{
    return tlb_hit(c->tlb, lin, size, true);
}

/* The effective address of a memory operand, cut to the address size. */
static inline uint64_t uop_ea(const struct cpu *c, const struct uop *u)
{
    return (c->gpr[u->base] + (c->gpr[u->index] << u->scale) + (uint64_t)u->disp) & u->addr_mask;
}

/* Segment check of [ea, ea + size): true, or #GP(0)/#SS(0) raised. SDM vol. 3, 5.3. */
bool seg_fault(struct cpu *c, unsigned seg);
static inline bool seg_check(struct cpu *c, unsigned seg, uint32_t ea, unsigned size, bool write)
{
    const struct seg *s = &c->seg[seg];
    uint32_t lo = write ? s->lo_w : s->lo, hi = write ? s->hi_w : s->hi_r;
    if (LIKELY(ea >= lo && ea <= hi && size - 1 <= hi - ea))
        return true;
    return seg_fault(c, seg);
}

/* Linear address of ea in a segment slot; false: fault raised. */
static inline bool seg_lin(struct cpu *c, bool legacy, unsigned seg, uint64_t ea, unsigned size,
                           bool write, uint64_t *ret_lin)
{
    if (!legacy) {
        *ret_lin = ea + c->seg[seg].base;
        return true;
    }
    if (!seg_check(c, seg, (uint32_t)ea, size, write))
        return false;
    *ret_lin = (uint32_t)(ea + c->seg[seg].base);
    return true;
}

/* Linear address of the memory operand; false: fault raised. */
static inline bool uop_lin(struct cpu *c, const struct uop *u, unsigned size, bool write,
                           uint64_t *ret_lin)
{
    return seg_lin(c, u->flags & U_LEGACY, u->seg, uop_ea(c, u), size, write, ret_lin);
}

static inline unsigned uop_access(const struct uop *u, unsigned access)
{
    return access | (u->flags & U_STACK_SEG ? ACC_STACK : 0);
}

/* Load or store 1, 2, 4 or 8 bytes; false: a fault is pending. */
static inline bool mem_load(struct cpu *c, uint64_t lin, unsigned size, unsigned access,
                            uint64_t *ret)
{
    const void *p = tlb_read(c, lin, size);
    if (LIKELY(p != NULL)) {
        switch (size) {
        case 1:
            *ret = *(const uint8_t *)p;
            return true;
        case 2:
            *ret = *(const mem16 *)p;
            return true;
        case 4:
            *ret = *(const mem32 *)p;
            return true;
        default:
            *ret = *(const mem64 *)p;
            return true;
        }
    }
    uint64_t v = 0;
    if (!slow_read(c, lin, &v, size, access))
        return false;
    *ret = v;
    return true;
}

static inline bool mem_store(struct cpu *c, uint64_t lin, unsigned size, unsigned access,
                             uint64_t v)
{
    void *p = tlb_write(c, lin, size);
    if (LIKELY(p != NULL)) {
        switch (size) {
        case 1:
            *(uint8_t *)p = (uint8_t)v;
            return true;
        case 2:
            *(mem16 *)p = (uint16_t)v;
            return true;
        case 4:
            *(mem32 *)p = (uint32_t)v;
            return true;
        default:
            *(mem64 *)p = v;
            return true;
        }
    }
    return slow_write(c, lin, &v, size, access | ACC_WRITE);
}

/* Implicit supervisor accesses to tables and gate stacks; false: a fault is pending. */
bool sys_load(struct cpu *c, uint64_t lin, unsigned size, uint64_t *ret);
bool sys_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v);

/* A store with supervisor rights when access says ACC_SYSTEM, else with those of the CPL. */
bool priv_store(struct cpu *c, uint64_t lin, unsigned size, unsigned access, uint64_t v);

/* Longer runs of bytes, checked whole before anything is written. */
bool mem_get(struct cpu *c, uint64_t lin, void *buf, unsigned size, unsigned access);
bool mem_put(struct cpu *c, uint64_t lin, const void *buf, unsigned size, unsigned access);

/* ---- registers by operand size ---- */

static inline uint64_t reg_get(const struct cpu *c, unsigned n, unsigned bytes)
{
    return bytes == 8 ? c->gpr[n] : bytes == 4 ? (uint32_t)c->gpr[n] : (uint16_t)c->gpr[n];
}
/* 32-bit writes clear the upper half, 16-bit ones keep the rest. */
static inline void reg_set(struct cpu *c, unsigned n, unsigned bytes, uint64_t v)
{
    if (bytes == 8)
        c->gpr[n] = v;
    else if (bytes == 4)
        c->gpr[n] = (uint32_t)v;
    else
        *(uint16_t *)&c->gpr[n] = (uint16_t)v;
}
static inline uint8_t *reg8(struct cpu *c, unsigned offset)
{
    return (uint8_t *)c->gpr + offset;
}
static inline uint64_t uop_reg(struct cpu *c, const struct uop *u)
{
    return u->bytes == 1 ? *reg8(c, u->reg8) : reg_get(c, u->reg, u->bytes);
}
static inline void uop_set_reg(struct cpu *c, const struct uop *u, uint64_t v)
{
    if (u->bytes == 1)
        *reg8(c, u->reg8) = (uint8_t)v;
    else
        reg_set(c, u->reg, u->bytes, v);
}

/* The rm operand of `bytes` bytes, register or memory; false: a fault is pending. */
static inline bool uop_rm(struct cpu *c, const struct uop *u, unsigned bytes, uint64_t *ret)
{
    uint64_t lin;
    if (u->flags & U_MEM)
        return uop_lin(c, u, bytes, false, &lin) &&
               mem_load(c, lin, bytes, uop_access(u, ACC_READ), ret);
    *ret = bytes == 1 ? *reg8(c, u->rm8) : reg_get(c, u->rm, bytes);
    return true;
}
static inline bool uop_set_rm(struct cpu *c, const struct uop *u, unsigned bytes, uint64_t v)
{
    uint64_t lin;
    if (u->flags & U_MEM)
        return uop_lin(c, u, bytes, true, &lin) &&
               mem_store(c, lin, bytes, uop_access(u, ACC_WRITE), v);
    if (bytes == 1)
        *reg8(c, u->rm8) = (uint8_t)v;
    else
        reg_set(c, u->rm, bytes, v);
    return true;
}

/* ---- the stack ---- */

/* Bytes of the stack pointer: 8, 4 or 2. */
static inline unsigned stack_bytes(const struct cpu *c)
{
    return c->mode & MODE_CODE64 ? 8 : c->mode & MODE_STACK32 ? 4 : 2;
}
static inline uint64_t stack_mask(const struct cpu *c)
{
    return c->mode & MODE_CODE64 ? ~0ULL : c->mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}
static inline void set_sp(struct cpu *c, uint64_t sp)
{
    reg_set(c, X86_RSP, stack_bytes(c), sp);
}
/* Access the stack at a pointer value (already cut to its width). */
static inline bool stack_load(struct cpu *c, uint64_t sp, unsigned size, uint64_t *ret)
{
    bool legacy = !(c->mode & MODE_CODE64);
    uint64_t lin;
    return seg_lin(c, legacy, legacy ? X86_SS : SEG_FLAT, sp, size, false, &lin) &&
           mem_load(c, lin, size, ACC_READ | ACC_STACK, ret);
}
static inline bool stack_store(struct cpu *c, uint64_t sp, unsigned size, uint64_t v)
{
    bool legacy = !(c->mode & MODE_CODE64);
    uint64_t lin;
    return seg_lin(c, legacy, legacy ? X86_SS : SEG_FLAT, sp, size, true, &lin) &&
           mem_store(c, lin, size, ACC_WRITE | ACC_STACK, v);
}
static inline bool push(struct cpu *c, unsigned size, uint64_t v)
{
    uint64_t sp = (c->gpr[X86_RSP] - size) & stack_mask(c);
    if (!stack_store(c, sp, size, v))
        return false;
    set_sp(c, sp);
    return true;
}
static inline bool pop(struct cpu *c, unsigned size, uint64_t *ret)
{
    uint64_t sp = c->gpr[X86_RSP] & stack_mask(c);
    if (!stack_load(c, sp, size, ret))
        return false;
    set_sp(c, sp + size);
    return true;
}

#endif
