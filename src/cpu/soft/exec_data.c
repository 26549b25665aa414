/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data instructions with a memory operand: find the operand, run the thunk on it. What the soft
 * TLB cannot answer (devices, pages with code, page crossings) goes through cpu->bounce. Every
 * check is made before the thunk runs, so that a fault leaves nothing half done.
 */
#include <sched.h>
#include <signal.h>

#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/thunk.h"

#define RUN(c, u, p) return ((thunk_fn *)(u)->thunk)((c), (u), (p))

void x_fault(struct cpu *c, const struct uop *u)
{
    RAISE(c, u, (unsigned)u->imm, 0);
}

void x_end(struct cpu *c, const struct uop *u)
{
    c->rip = rip_wrap(c, c->rip + u->at);
}

static bool misaligned(struct cpu *c, const struct uop *u, uint64_t lin)
{
    if (LIKELY(!(u->flags & U_ALIGN) || !(lin & (u->size - 1u))))
        return false;
    raise_fault(c, VEC_GP, 0);
    return true;
}

/* ---- slow ways ---- */

static void load_slow(struct cpu *c, const struct uop *u, uint64_t lin)
{
    if (!mem_get(c, lin, c->bounce, u->size, uop_access(u, ACC_READ)))
        FAULT(c, u);
    if (UNLIKELY(c->events)) {
        c->slow_uop = u;
        thunk_call(c, u->thunk, c->bounce);
        if (has_fault(c))
            FAULT(c, u);
        leave_after(c, u);
        return;
    }
    RUN(c, u, c->bounce);
}

static void bus_lock(struct cpu *c, bool locked)
{
    if (locked)
        while (atomic_exchange_explicit(&c->soft->bus_lock, 1, memory_order_acquire))
            sched_yield();
}

static void bus_unlock(struct cpu *c, bool locked)
{
    if (locked)
        atomic_store_explicit(&c->soft->bus_lock, 0, memory_order_release);
}

static void write_slow(struct cpu *c, const struct uop *u, uint64_t lin)
{
    bool read = u->flags & U_READ, locked = u->flags & U_LOCK;
    uint8_t *host = slow_write_begin(c, lin, u->size, uop_access(u, ACC_WRITE));

    c->slow_uop = u;
    if (host) {
        /* In place, so that a LOCK is one. */
        thunk_call(c, u->thunk, host);
        if (has_fault(c))
            FAULT(c, u);
        slow_write_end(c, host, u->size);
        NEXT_OR_LEAVE(c, u);
    }
    if (has_fault(c))
        FAULT(c, u);
    if (!probe_write(c, lin, u->size, uop_access(u, ACC_WRITE)))
        FAULT(c, u);
    bus_lock(c, locked);
    if (read && !mem_get(c, lin, c->bounce, u->size, uop_access(u, ACC_READ))) {
        bus_unlock(c, locked);
        FAULT(c, u);
    }
    thunk_call(c, u->thunk, c->bounce);
    if (!has_fault(c))
        mem_put(c, lin, c->bounce, u->size, uop_access(u, ACC_WRITE));
    bus_unlock(c, locked);
    if (has_fault(c))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

static void run_load(struct cpu *c, const struct uop *u, uint64_t lin)
{
    if (UNLIKELY(misaligned(c, u, lin)))
        FAULT(c, u);
    void *p = tlb_read(c, lin, u->size);
    if (UNLIKELY(!p))
        return load_slow(c, u, lin);
    RUN(c, u, p);
}

static void run_write(struct cpu *c, const struct uop *u, uint64_t lin)
{
    if (UNLIKELY(misaligned(c, u, lin)))
        FAULT(c, u);
    void *p = tlb_write(c, lin, u->size);
    /* A page may be writable and not readable only where SMAP or segments say so: same answer. */
    if (UNLIKELY(!p))
        return write_slow(c, u, lin);
    RUN(c, u, p);
}

void x_data_load(struct cpu *c, const struct uop *u)
{
    uint64_t lin;
    if (UNLIKELY(!uop_lin(c, u, u->size, false, &lin)))
        FAULT(c, u);
    run_load(c, u, lin);
}

void x_data_store(struct cpu *c, const struct uop *u)
{
    uint64_t lin;
    if (UNLIKELY(!uop_lin(c, u, u->size, true, &lin)))
        FAULT(c, u);
    run_write(c, u, lin);
}

/* BT, BTS, BTR, BTC with a register: the bit may lie far from the address (SDM vol. 2, 3.1.1.9). */
void x_data_bits(struct cpu *c, const struct uop *u)
{
    int64_t bit = u->bytes == 8   ? (int64_t)c->gpr[u->reg]
                  : u->bytes == 4 ? (int32_t)c->gpr[u->reg]
                                  : (int16_t)c->gpr[u->reg];
    unsigned shift = u->bytes == 8 ? 6 : u->bytes == 4 ? 5 : 4;
    bool write = u->flags & U_WRITE;
    uint64_t ea = (uop_ea(c, u) + (uint64_t)((bit >> shift) * u->bytes)) & u->addr_mask;
    uint64_t lin;

    if (UNLIKELY(!seg_lin(c, u->flags & U_LEGACY, u->seg, ea, u->bytes, write, &lin)))
        FAULT(c, u);
    if (write)
        return run_write(c, u, lin);
    run_load(c, u, lin);
}

/* ---- x87: the address and opcode of the last instruction can be asked for ---- */

static void note_x87(struct cpu *c, const struct uop *u)
{
    c->fpu_ip = uop_rip(c, u);
    c->fpu_cs = c->seg[X86_CS].selector;
    c->fpu_op = (uint16_t)((u->opcode & 7) << 8);
}

void x_x87_reg(struct cpu *c, const struct uop *u)
{
    note_x87(c, u);
    c->fpu_op |= (uint16_t)(0xc0 | (u->reg & 7) << 3 | (u->rm & 7));
    RUN(c, u, NULL);
}

void x_x87_mem(struct cpu *c, const struct uop *u)
{
    note_x87(c, u);
    c->fpu_op |= (uint16_t)((u->reg & 7) << 3);
    c->fpu_dp = uop_ea(c, u);
    c->fpu_ds = u->seg == SEG_FLAT ? c->seg[X86_DS].selector : c->seg[u->seg].selector;
    if (u->flags & U_WRITE)
        return x_data_store(c, u);
    x_data_load(c, u);
}

/* ---- what the host's processor refused ---- */

void thunk_fault(struct cpu *c, const struct uop *u)
{
    bool called = u == thunk_stop; /* then the caller leaves the block */
    if (called)
        u = c->slow_uop;
    if (c->fault_signal == SIGILL)
        raise_fault(c, VEC_UD, 0);
    else if (c->fault_signal == SIGSEGV)
        raise_fault(c, VEC_GP, 0);
    else if (u->imm == CLASS_GENERAL)
        raise_fault(c, VEC_DE, 0);
    else if (u->imm == CLASS_X87 || (u->imm == CLASS_MMX && x87_pending(c)))
        x87_error(c);
    else
        raise_fault(c, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD, 0);
    if (!called)
        leave_at(c, u);
}
