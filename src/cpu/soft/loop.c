/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running blocks, and everything that happens between them: exceptions, traps, interrupts, and
 * what other threads ask for. Order of events: Intel SDM vol. 3, table 6-2.
 */
#include "cpu/soft/loop.h"

#include "cpu/soft/check.h"
#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"
#include "cpu/soft/thunk.h"

static bool pushes_error(unsigned vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

void raise_fault(struct cpu *c, unsigned vector, uint32_t error)
{
    if (has_fault(c))
        return;
    c->events |= EV_FAULT;
    c->vector = (uint8_t)vector;
    c->has_error = pushes_error(vector);
    c->error = error;
}

void raise_pf(struct cpu *c, uint64_t lin, uint32_t error)
{
    if (has_fault(c))
        return;
    raise_fault(c, VEC_PF, error);
    c->cr2 = lin;
}

/* ---- exceptions (SDM vol. 3, 6.15, table 6-5 for the double fault) ---- */

static bool is_contributory(unsigned vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

static void deliver_exception(struct cpu *c)
{
    for (;;) {
        unsigned first = c->vector;
        c->events &= ~(uint32_t)EV_FAULT;
        deliver(c, first, INT_FAULT, c->has_error, c->error, c->rip);
        if (!has_fault(c))
            return;
        unsigned second = c->vector;
        if (first == VEC_DF) {
            c->events = (c->events & ~(uint32_t)EV_FAULT) | EV_SHUTDOWN;
            return;
        }
        if ((is_contributory(first) && is_contributory(second)) ||
            (first == VEC_PF && (is_contributory(second) || second == VEC_PF))) {
            c->vector = VEC_DF;
            c->has_error = true;
            c->error = 0;
        }
    }
}

static void deliver_trap(struct cpu *c)
{
    c->events &= ~(uint32_t)EV_TRAP;
    c->dr[6] = (c->dr[6] & ~0xfULL) | c->dr6_pending;
    c->dr6_pending = 0;
    deliver(c, VEC_DB, INT_TRAP, false, 0, c->rip);
}

/* An instruction breakpoint at RIP: a fault, before anything runs (SDM vol. 3, 17.3.1.1). */
static bool hits_breakpoint(struct cpu *c)
{
    uint64_t lin = is_code64(c) ? c->rip : (uint32_t)(c->rip + c->seg[X86_CS].base);
    uint64_t hits = 0;
    bool enabled = false;

    for (unsigned i = 0; i < 4; i++) {
        if (c->dr[7] >> (16 + 4 * i) & 3 || c->dr[i] != lin)
            continue;
        hits |= 1u << i;
        enabled |= c->dr[7] >> (2 * i) & 3;
    }
    if (enabled)
        c->dr[6] = (c->dr[6] & ~0xfULL) | hits;
    return enabled;
}

/* ---- INIT and SIPI (SDM vol. 3, 8.4) ---- */

#define CACHE_BITS ((uint64_t)(CR0_CD | CR0_NW))

static void do_init(struct cpu *c)
{
    struct x86_state *state = &c->soft->scratch_state[c->vcpu.index];
    struct x86_state old;
    uint64_t tsc_offset = c->tsc_offset;

    fpu_save(c);
    soft_get_state(c, &old);
    x86_state_reset(state, c->vcpu.index == 0);
    /* What INIT leaves alone: table 10-1. */
    state->cr0 = (state->cr0 & ~CACHE_BITS) | (old.cr0 & CACHE_BITS);
    copy_bytes(state->xsave, old.xsave, sizeof(state->xsave));
    state->xcr0 = old.xcr0;
    state->mtrr_def_type = old.mtrr_def_type;
    copy_bytes(state->mtrr_fixed, old.mtrr_fixed, sizeof(state->mtrr_fixed));
    copy_bytes(state->mtrr_base, old.mtrr_base, sizeof(state->mtrr_base));
    copy_bytes(state->mtrr_mask, old.mtrr_mask, sizeof(state->mtrr_mask));
    state->pat = old.pat;
    state->tsc_aux = old.tsc_aux;
    state->misc_enable = old.misc_enable;
    state->mcg_status = old.mcg_status;
    soft_put_state(c, state);
    c->tsc_offset = tsc_offset;
}

static void do_sipi(struct cpu *c)
{
    if (c->activity != X86_WAIT_SIPI)
        return;
    c->activity = X86_ACTIVE;
    c->seg[X86_CS].selector = (uint16_t)(c->sipi_vector << 8);
    c->seg[X86_CS].base = (uint64_t)c->sipi_vector << 12;
    c->rip = 0;
    cpu_update_mode(c);
}

/* ---- requests of other threads ---- */

static uint32_t take(struct cpu *c, uint32_t bits)
{
    return atomic_fetch_and(&c->requests, ~bits) & bits;
}

static void take_maintenance(struct cpu *c)
{
    if (take(c, REQ_REMAP)) {
        fpu_save(c);
        bus_view_put(c->view);
        c->view = bus_view_get(c->soft->engine.config.mem);
        c->ram_bytes = 0;
        c->a20_mask = c->soft->a20 ? ~0ULL : ~(1ULL << 20);
        tlb_flush(c);
        atomic_fetch_or(&c->requests, REQ_CODE); /* what was mapped may be gone */
    }
    if (take(c, REQ_FLUSH))
        tlb_flush(c);
    if (atomic_load(&c->requests) & REQ_CODE)
        block_take_writes(c);
    if (take(c, REQ_BLOCKS))
        block_flush(c);
}

bool cpu_runnable(struct cpu *c)
{
    uint32_t r = atomic_load(&c->requests);
    if (r & (REQ_INIT | (c->activity == X86_WAIT_SIPI ? REQ_SIPI : 0)))
        return true;
    if (c->activity == X86_WAIT_SIPI || c->activity == X86_SHUTDOWN)
        return false;
    if (c->activity == X86_ACTIVE)
        return true;
    return (r & REQ_NMI && !c->nmi_masked) || (r & REQ_INTR && c->eflags & FL_IF);
}

/* Interrupts at an instruction boundary; true when one was taken. */
static bool take_interrupt(struct cpu *c)
{
    if (!c->nmi_masked && take(c, REQ_NMI)) {
        c->activity = X86_ACTIVE;
        c->nmi_masked = true;
        deliver(c, VEC_NMI, INT_EXTERNAL, false, 0, c->rip);
        return true;
    }
    if (c->eflags & FL_IF && atomic_load(&c->requests) & REQ_INTR) {
        int vector = out_intr_ack(c);
        if (vector >= 0) {
            c->activity = X86_ACTIVE;
            deliver(c, (unsigned)vector, INT_EXTERNAL, false, 0, c->rip);
            return true;
        }
    }
    return false;
}

/*
 * Everything between two blocks. False: *ret_exit says why to leave the loop.
 */
static bool between(struct cpu *c, enum vcpu_exit *ret_exit)
{
    uint32_t requests = atomic_load(&c->requests);

    if (c->events & EV_FAULT) {
        deliver_exception(c);
        /* A handler that faults at once must not keep other threads waiting for ever. */
        if (!requests)
            return true;
    }
    if (c->events & (EV_SHUTDOWN | EV_ERROR)) {
        *ret_exit = c->events & EV_ERROR ? VCPU_EXIT_ERROR : VCPU_EXIT_SHUTDOWN;
        c->activity = X86_SHUTDOWN;
        c->events &= ~(uint32_t)EV_SHUTDOWN;
        return false;
    }
    c->events &= ~(uint32_t)EV_BREAK;
    /* Before interrupts are taken: one that is here already ends the halt, not the handler. */
    if (c->events & EV_HALT) {
        c->events &= ~(uint32_t)(EV_HALT | EV_SHADOW);
        c->activity = X86_HALTED;
    }
    if (requests & (REQ_REMAP | REQ_FLUSH | REQ_CODE | REQ_BLOCKS))
        take_maintenance(c);
    if (c->events & EV_INTR) {
        c->events &= ~(uint32_t)EV_INTR;
        c->activity = X86_ACTIVE;
        deliver(c, c->vector, INT_EXTERNAL, false, 0, c->rip);
        return true;
    }
    if (requests & REQ_INIT && take(c, REQ_INIT)) {
        do_init(c);
        return true;
    }
    if (requests & REQ_SIPI && take(c, REQ_SIPI))
        do_sipi(c);
    if (c->events & EV_TRAP && !(c->events & EV_SHADOW_SS)) {
        c->activity = X86_ACTIVE;
        deliver_trap(c);
        return true;
    }
    if (!(c->events & (EV_SHADOW | EV_SHADOW_SS)) && requests & (REQ_NMI | REQ_INTR) &&
        c->activity != X86_WAIT_SIPI && take_interrupt(c))
        return true;
    if (take(c, REQ_KICK)) {
        *ret_exit = VCPU_EXIT_KICKED;
        return false;
    }
    if (c->activity != X86_ACTIVE && !cpu_runnable(c)) {
        *ret_exit = VCPU_EXIT_HALTED;
        return false;
    }
    return true;
}

static void run_block(struct cpu *c)
{
    struct block *b = block_find(c);
    if (UNLIKELY(!b))
        return;
    if (t1_ready(c, b) && LIKELY(is_canonical48(c->gpr[X86_RSP]))) {
        if (UNLIKELY(c->check != NULL)) {
            check_block(c, b);
            return;
        }
        if (c->t1->pending || c->t1->pending_far)
            t1_link(c, b);
        t1_run(c, b);
        return;
    }
    b = block_ready(c, b);
    if (UNLIKELY(!b))
        return;
    c->stats[STAT_T0_BLOCKS]++;
    block_start(c, b);
}

/* One instruction, with single step, breakpoints and shadows looked after. */
static void run_single(struct cpu *c)
{
    uint32_t shadow = c->events & (EV_SHADOW | EV_SHADOW_SS);
    bool resume = c->eflags & FL_RF;

    if (c->dr[7] & 0xff && !resume && !(shadow & EV_SHADOW_SS) && hits_breakpoint(c)) {
        raise_fault(c, VEC_DB, 0);
        return;
    }
    cpu_update_mode(c);
    c->events &= ~shadow;
    if (c->eflags & FL_TF)
        c->events |= EV_STEP;
    c->eflags &= ~FL_RF;
    run_block(c);
    if (c->events & EV_STEP && !has_fault(c) && !(c->events & EV_SHADOW_SS)) {
        c->dr6_pending |= DR6_BS;
        c->events |= EV_TRAP;
    }
    if (has_fault(c) && resume)
        c->eflags |= FL_RF;
    c->events &= ~(uint32_t)EV_STEP;
    cpu_update_mode(c);
}

enum vcpu_exit cpu_loop(struct cpu *c)
{
    enum vcpu_exit why = VCPU_EXIT_KICKED;

    for (;;) {
        if (UNLIKELY(c->events | cpu_wanted(c) | c->activity)) {
            t1_no_link(c);
            if (!between(c, &why))
                return why;
            uint32_t first = EV_FAULT | EV_SHUTDOWN;
            if (!(c->events & EV_SHADOW_SS))
                first |= EV_TRAP;
            if (c->activity != X86_ACTIVE || c->events & first)
                continue;
        }
        if (UNLIKELY(c->mode & MODE_SINGLE || c->events & (EV_SHADOW | EV_SHADOW_SS)))
            run_single(c);
        else
            run_block(c);
    }
}
