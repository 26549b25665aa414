/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timer of a local APIC: one-shot, periodic, TSC-deadline. Intel SDM vol. 3, 11.5.4.
 *
 * The input clock's period is the machine's to choose: it is the crystal that CPUID tells of.
 */
#include "hw/irq/lapic_priv.h"

/* No guest can make the host spin: periods below this are merged. */
#define MIN_PERIOD_NS 20000

static uint64_t now_ns(const struct lapic_cpu *cpu)
{
    return clock_now_ns(cpu->lapic->env.clock);
}

static unsigned divider(const struct lapic_cpu *cpu)
{
    unsigned code = (cpu->dcr & 3) | (cpu->dcr & 8) >> 1;
    return code == 7 ? 1 : 2u << code;
}

/* Of one count. */
static uint64_t tick_ns(const struct lapic_cpu *cpu)
{
    return (uint64_t)cpu->lapic->env.tick_ns * divider(cpu);
}

static uint64_t period_ns(const struct lapic_cpu *cpu)
{
    return cpu->initial_count * tick_ns(cpu);
}

static unsigned mode(const struct lapic_cpu *cpu)
{
    return LVT_TIMER_MODE(cpu->lvt[LVT_TIMER]);
}

uint32_t apic_timer_count(const struct lapic_cpu *cpu)
{
    uint64_t period = period_ns(cpu), now = now_ns(cpu);
    if (mode(cpu) == TIMER_TSC_DEADLINE || !cpu->timer_running || !period)
        return 0;
    uint64_t elapsed = now > cpu->timer_start_ns ? now - cpu->timer_start_ns : 0;
    if (mode(cpu) == TIMER_PERIODIC)
        elapsed %= period;
    if (elapsed >= period)
        return 0;
    return (uint32_t)((period - elapsed + tick_ns(cpu) - 1) / tick_ns(cpu));
}

void apic_timer_arm(struct lapic_cpu *cpu)
{
    uint64_t now = now_ns(cpu), period = period_ns(cpu), deadline = CLOCK_NEVER;
    if (mode(cpu) == TIMER_TSC_DEADLINE) {
        if (cpu->tsc_deadline)
            deadline =
                cpu->lapic->env.tsc_to_ns(cpu->lapic->env.ctx, cpu->index, cpu->tsc_deadline);
    } else if (cpu->timer_running && period && !(cpu->lvt[LVT_TIMER] & LVT_MASKED)) {
        uint64_t elapsed = now > cpu->timer_start_ns ? now - cpu->timer_start_ns : 0;
        if (mode(cpu) == TIMER_ONE_SHOT) {
            if (elapsed < period)
                deadline = cpu->timer_start_ns + period;
        } else {
            deadline = cpu->timer_start_ns + (elapsed / period + 1) * period;
            if (period < MIN_PERIOD_NS)
                deadline = MAX(deadline, now + MIN_PERIOD_NS);
        }
    }
    if (deadline == CLOCK_NEVER)
        timer_cancel(&cpu->timer);
    else
        timer_set(&cpu->timer, deadline);
}

void apic_timer_fire(void *ctx)
{
    struct lapic_cpu *cpu = ctx;
    if (mode(cpu) == TIMER_TSC_DEADLINE) {
        if (!cpu->tsc_deadline)
            return;
        cpu->tsc_deadline = 0;
    } else if (mode(cpu) == TIMER_ONE_SHOT) {
        cpu->timer_running = false;
    }
    apic_timer_arm(cpu);
    apic_local(cpu, LVT_TIMER);
}

void apic_timer_set_count(struct lapic_cpu *cpu, uint32_t initial)
{
    if (mode(cpu) == TIMER_TSC_DEADLINE)
        return; /* 11.5.4.1: ignored */
    cpu->initial_count = initial;
    cpu->timer_running = initial != 0;
    cpu->timer_start_ns = now_ns(cpu);
    apic_timer_arm(cpu);
}

/* The count goes on from `count`. */
static void timer_rebase(struct lapic_cpu *cpu, uint32_t count)
{
    uint64_t gone = (uint64_t)(cpu->initial_count - MIN(count, cpu->initial_count)) * tick_ns(cpu);
    uint64_t now = now_ns(cpu);
    cpu->timer_running = count != 0;
    cpu->timer_start_ns = now - MIN(gone, now);
}

void apic_timer_resume(struct lapic_cpu *cpu, uint32_t count)
{
    timer_rebase(cpu, count);
    apic_timer_arm(cpu);
}

void apic_timer_set_divider(struct lapic_cpu *cpu, uint32_t dcr)
{
    uint32_t count = apic_timer_count(cpu);
    cpu->dcr = dcr & 0x0b;
    timer_rebase(cpu, count);
    apic_timer_arm(cpu);
}

void apic_timer_set_lvt(struct lapic_cpu *cpu, uint32_t lvt)
{
    uint32_t count = apic_timer_count(cpu);
    unsigned old = mode(cpu);
    cpu->lvt[LVT_TIMER] = lvt;
    if (old != mode(cpu)) {
        /* To or from TSC-deadline disarms; one-shot and periodic go on from where they are. */
        if (old == TIMER_TSC_DEADLINE || mode(cpu) == TIMER_TSC_DEADLINE) {
            cpu->timer_running = false;
            cpu->tsc_deadline = 0;
        } else {
            timer_rebase(cpu, count);
        }
    }
    apic_timer_arm(cpu);
}

void apic_timer_set_deadline(struct lapic_cpu *cpu, uint64_t tsc)
{
    if (mode(cpu) != TIMER_TSC_DEADLINE)
        return;
    cpu->tsc_deadline = tsc;
    const struct lapic_env *env = &cpu->lapic->env;
    if (tsc && env->tsc_to_ns(env->ctx, cpu->index, tsc) <= now_ns(cpu))
        apic_timer_fire(cpu); /* past already: not when some thread gets to it */
    else
        apic_timer_arm(cpu);
}
