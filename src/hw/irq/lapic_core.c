/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs: acceptance and priorities of interrupts, messages between them.
 * Intel SDM vol. 3, 11.6 (interprocessor interrupts), 11.8 (handling), 11.11 (MSI), 11.12 (x2APIC).
 */
#include "hw/irq/lapic_priv.h"

#include <string.h>

static int highest(const uint32_t bits[8])
{
    for (int i = 7; i >= 0; i--)
        if (bits[i])
            return i * 32 + 31 - __builtin_clz(bits[i]);
    return -1;
}

static void bit_set(uint32_t bits[8], uint8_t vector, bool on)
{
    uint32_t bit = 1u << (vector & 31);
    bits[vector >> 5] = on ? bits[vector >> 5] | bit : bits[vector >> 5] & ~bit;
}

uint8_t apic_ppr(const struct lapic_cpu *cpu)
{
    int vector = highest(cpu->isr);
    uint8_t in_service = vector < 0 ? 0 : (uint8_t)(vector & 0xf0);
    return (cpu->tpr & 0xf0) >= in_service ? cpu->tpr : in_service;
}

/* The vector that would be delivered now, -1 if none. */
static int deliverable(const struct lapic_cpu *cpu)
{
    int vector = apic_on(cpu) ? highest(cpu->irr) : -1;
    return vector >= 0 && (vector & 0xf0) > (apic_ppr(cpu) & 0xf0) ? vector : -1;
}

/* The 8259 speaks through LINT0 as ExtINT, or directly when the APIC is switched off. */
static bool pic_speaks(const struct lapic_cpu *cpu)
{
    uint32_t lvt = cpu->lvt[LVT_LINT0];
    return cpu->lapic->lint[0] &&
           (!apic_on(cpu) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == MODE_EXTINT));
}

void apic_update(struct lapic_cpu *cpu)
{
    bool level = pic_speaks(cpu) || cpu->extint || deliverable(cpu) >= 0;
    if (level == cpu->intr)
        return;
    cpu->intr = level;
    cpu->lapic->env.intr(cpu->lapic->env.ctx, cpu->index, level);
}

void apic_error(struct lapic_cpu *cpu, uint32_t bits)
{
    cpu->esr_pending |= bits;
    apic_local(cpu, LVT_ERROR);
}

static void apic_accept(struct lapic_cpu *cpu, uint8_t vector, bool level)
{
    if (vector < 16) {
        /* An error entry with a bad vector must not report itself for ever. */
        if (!(cpu->esr_pending & ESR_RECEIVE_VECTOR))
            apic_error(cpu, ESR_RECEIVE_VECTOR);
        return;
    }
    bit_set(cpu->irr, vector, true);
    bit_set(cpu->tmr, vector, level);
    apic_update(cpu);
}

/* INIT leaves the mode and the identification alone (11.4.7.3, 11.12.5.1). */
static void apic_init(struct lapic_cpu *cpu)
{
    timer_cancel(&cpu->timer);
    cpu->tpr = 0;
    cpu->ldr = 0;
    cpu->dfr = UINT32_MAX;
    cpu->svr = 0xff;
    cpu->esr = cpu->esr_pending = 0;
    cpu->icr = 0;
    memset(cpu->isr, 0, sizeof(cpu->isr));
    memset(cpu->tmr, 0, sizeof(cpu->tmr));
    memset(cpu->irr, 0, sizeof(cpu->irr));
    for (unsigned i = 0; i < LVT_COUNT; i++)
        cpu->lvt[i] = LVT_MASKED;
    cpu->dcr = cpu->initial_count = 0;
    cpu->timer_running = false;
    cpu->timer_start_ns = cpu->tsc_deadline = 0;
    cpu->extint = false;
    apic_update(cpu);
}

void apic_power_up(struct lapic_cpu *cpu)
{
    cpu->base = LAPIC_BASE | APIC_BASE_ENABLE | (cpu->index ? 0 : APIC_BASE_BSP);
    apic_init(cpu);
    /* The state a BIOS leaves behind, for guests that are started without one and know nothing of
     * APICs: the boot processor takes the 8259's interrupts. */
    if (!cpu->index)
        cpu->lvt[LVT_LINT0] = MODE_EXTINT << 8;
    apic_update(cpu);
}

static void apic_take(struct lapic_cpu *cpu, const struct lapic_msg *msg)
{
    const struct lapic_env *env = &cpu->lapic->env;
    switch (msg->mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
        if (cpu->svr & SVR_ENABLE)
            apic_accept(cpu, msg->vector, msg->level);
        break;
    case MODE_NMI:
        env->nmi(env->ctx, cpu->index);
        break;
    case MODE_INIT:
        apic_init(cpu);
        env->init(env->ctx, cpu->index);
        break;
    case MODE_SIPI:
        env->sipi(env->ctx, cpu->index, msg->vector);
        break;
    case MODE_EXTINT:
        cpu->extint = true;
        apic_update(cpu);
        break;
    default: /* SMI: there is no system management mode */
        break;
    }
}

static bool apic_matches(const struct lapic_cpu *cpu, const struct lapic_msg *msg)
{
    uint32_t dest = msg->dest;
    if (!apic_on(cpu))
        return false;
    if (dest == (msg->dest32 ? UINT32_MAX : 0xff))
        return true;
    if (!msg->logical)
        return dest == cpu->index;
    if (apic_x2(cpu)) {
        uint32_t ldr = (cpu->index >> 4) << 16 | 1u << (cpu->index & 15);
        return dest >> 16 == ldr >> 16 && dest & ldr & 0xffff;
    }
    uint32_t ldr = cpu->ldr >> 24;
    if (dest > 0xff)
        return false;
    if (cpu->dfr >> 28 == 0xf) /* flat */
        return dest & ldr;
    return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && dest & ldr & 0xf;
}

/* One of the destinations with the lowest priority, in turn. */
static struct lapic_cpu *lowest_priority(struct lapic *lapic, const struct lapic_msg *msg)
{
    struct lapic_cpu *best = NULL;
    for (unsigned i = 0; i < lapic->env.cpus; i++) {
        struct lapic_cpu *cpu = &lapic->cpus[(lapic->next_lowest + i) % lapic->env.cpus];
        if (apic_matches(cpu, msg) && cpu->svr & SVR_ENABLE &&
            (!best || apic_ppr(cpu) < apic_ppr(best)))
            best = cpu;
    }
    if (best)
        lapic->next_lowest = (best->index + 1) % lapic->env.cpus;
    return best;
}

static void lapic_send(struct lapic *lapic, const struct lapic_msg *msg)
{
    if (msg->mode == MODE_LOWEST) {
        struct lapic_cpu *cpu = lowest_priority(lapic, msg);
        if (cpu)
            apic_take(cpu, msg);
        return;
    }
    for (unsigned i = 0; i < lapic->env.cpus; i++)
        if (apic_matches(&lapic->cpus[i], msg))
            apic_take(&lapic->cpus[i], msg);
}

static void msi_send_to(struct lapic *lapic, uint32_t dest, bool dest32, uint32_t addr,
                        uint32_t data)
{
    struct lapic_msg msg = {.dest = dest,
                            .dest32 = dest32,
                            .logical = addr & 1 << 2,
                            .mode = data >> 8 & 7,
                            .vector = (uint8_t)data,
                            .level = data & 1u << 15};
    lapic_send(lapic, &msg);
}

void lapic_msi(struct lapic *lapic, uint64_t addr, uint32_t data)
{
    if (addr >> 20 == LAPIC_BASE >> 20)
        msi_send_to(lapic, addr >> 12 & 0xff, false, (uint32_t)addr, data);
}

void lapic_msi_x2apic(struct lapic *lapic, uint32_t dest, uint32_t addr, uint32_t data)
{
    msi_send_to(lapic, dest, true, addr, data);
}

void apic_icr_send(struct lapic_cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    uint32_t low = (uint32_t)cpu->icr;
    bool x2 = apic_x2(cpu);
    struct lapic_msg msg = {.dest = (uint32_t)(cpu->icr >> 32) >> (x2 ? 0 : 24),
                            .logical = low & 1 << 11,
                            .dest32 = x2,
                            .mode = low >> 8 & 7,
                            .vector = (uint8_t)low};
    if (msg.mode <= MODE_LOWEST && msg.vector < 16) {
        apic_error(cpu, ESR_SEND_VECTOR);
        return;
    }
    if (msg.mode == MODE_INIT && low & 1 << 15 && !(low & 1 << 14))
        return; /* level de-assert: only the arbitration IDs of old took notice */
    unsigned shorthand = low >> 18 & 3;
    if (!shorthand) {
        lapic_send(lapic, &msg);
    } else if (shorthand == 1) {
        apic_take(cpu, &msg);
    } else {
        for (unsigned i = 0; i < lapic->env.cpus; i++)
            if (apic_on(&lapic->cpus[i]) && (&lapic->cpus[i] != cpu || shorthand == 2))
                apic_take(&lapic->cpus[i], &msg);
    }
}

/* Entry n of the local vector table has something to say. */
void apic_local(struct lapic_cpu *cpu, unsigned n)
{
    uint32_t *lvt = &cpu->lvt[n];
    if (*lvt & LVT_MASKED || !apic_on(cpu))
        return;
    unsigned mode = n == LVT_TIMER || n == LVT_ERROR ? MODE_FIXED : *lvt >> 8 & 7;
    bool lint = n == LVT_LINT0 || n == LVT_LINT1;
    struct lapic_msg msg = {.mode = (uint8_t)mode, .vector = (uint8_t)*lvt};
    if (mode == MODE_EXTINT) { /* a level, see pic_speaks() */
        apic_update(cpu);
        return;
    }
    if (mode == MODE_FIXED && lint && *lvt & LVT_LEVEL) {
        if (*lvt & LVT_REMOTE_IRR)
            return;
        *lvt |= LVT_REMOTE_IRR;
        msg.level = true;
    }
    if (mode != MODE_LOWEST && mode != MODE_SIPI)
        apic_take(cpu, &msg);
}

void lapic_lint(void *ctx, unsigned n, bool level)
{
    struct lapic *lapic = ctx;
    if (n > 1)
        return;
    bool rise = level && !lapic->lint[n];
    lapic->lint[n] = level;
    for (unsigned i = 0; i < lapic->env.cpus; i++) {
        if (rise)
            apic_local(&lapic->cpus[i], LVT_LINT0 + n);
        apic_update(&lapic->cpus[i]);
    }
}

void apic_eoi(struct lapic_cpu *cpu)
{
    int vector = highest(cpu->isr);
    if (vector < 0)
        return;
    bit_set(cpu->isr, (uint8_t)vector, false);
    bool level = cpu->tmr[vector >> 5] >> (vector & 31) & 1;
    if (level) {
        for (unsigned n = 0; n < 2; n++) {
            uint32_t *lvt = &cpu->lvt[LVT_LINT0 + n];
            if (!(*lvt & LVT_REMOTE_IRR) || (*lvt & 0xff) != (unsigned)vector)
                continue;
            *lvt &= ~LVT_REMOTE_IRR;
            if (cpu->lapic->lint[n])
                apic_local(cpu, LVT_LINT0 + n);
        }
        cpu->lapic->env.ioapic_eoi(cpu->lapic->env.ctx, (uint8_t)vector);
    }
    apic_update(cpu);
}

int lapic_intr_ack(struct lapic *lapic, unsigned index)
{
    struct lapic_cpu *cpu = &lapic->cpus[index];
    int vector = -1;
    /* ExtINT goes past the priorities of the APIC. */
    if (cpu->extint || pic_speaks(cpu)) {
        cpu->extint = false;
        vector = lapic->env.pic_ack(lapic->env.ctx);
    }
    if (vector < 0) {
        vector = deliverable(cpu);
        if (vector >= 0) {
            bit_set(cpu->irr, (uint8_t)vector, false);
            bit_set(cpu->isr, (uint8_t)vector, true);
        }
    }
    apic_update(cpu);
    return vector;
}

uint8_t lapic_tpr_get(const struct lapic *lapic, unsigned cpu)
{
    return lapic->cpus[cpu].tpr >> 4;
}

void lapic_tpr_set(struct lapic *lapic, unsigned cpu, uint8_t cr8)
{
    lapic->cpus[cpu].tpr = (uint8_t)(cr8 << 4);
    apic_update(&lapic->cpus[cpu]);
}
