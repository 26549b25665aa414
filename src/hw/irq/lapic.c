/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APIC of the Pentium 4 and later, xAPIC and x2APIC: registers.
 * Intel SDM vol. 3, chapter 11.
 *
 * Left out: the corrected machine check entry of the local vector table, suppression of EOI
 * broadcasts (neither is announced), focus processor checking.
 */
#include "hw/irq/lapic.h"

#include <errno.h>

#include "hw/core/statename.h"
#include "hw/irq/lapic_priv.h"

enum {
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
};

/* Register numbers: the offset in the page divided by 16, or the MSR less 0x800. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_INITIAL_COUNT = 0x38,
    REG_CURRENT_COUNT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
};

#define ICR_WRITABLE 0x000ccfffu

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x000700ff, [LVT_THERMAL] = 0x000107ff, [LVT_PERF] = 0x000107ff,
    [LVT_LINT0] = 0x0001a7ff, [LVT_LINT1] = 0x0001a7ff,   [LVT_ERROR] = 0x000100ff,
};

/* False: there is no such register (in this mode). */
static bool reg_read(struct lapic_cpu *cpu, unsigned reg, uint64_t *ret)
{
    bool x2 = apic_x2(cpu);
    switch (reg) {
    case REG_ID:
        *ret = x2 ? cpu->index : (uint64_t)cpu->index << 24;
        return true;
    case REG_VERSION:
        *ret = LAPIC_VERSION;
        return true;
    case REG_TPR:
        *ret = cpu->tpr;
        return true;
    case REG_PPR:
        *ret = apic_ppr(cpu);
        return true;
    case REG_APR:
    case REG_RRD:
        *ret = 0;
        return !x2;
    case REG_LDR:
        *ret = x2 ? (cpu->index >> 4) << 16 | 1u << (cpu->index & 15) : cpu->ldr;
        return true;
    case REG_DFR:
        *ret = cpu->dfr;
        return !x2;
    case REG_SVR:
        *ret = cpu->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *ret = cpu->isr[reg - REG_ISR];
        return true;
    case REG_TMR ... REG_TMR + 7:
        *ret = cpu->tmr[reg - REG_TMR];
        return true;
    case REG_IRR ... REG_IRR + 7:
        *ret = cpu->irr[reg - REG_IRR];
        return true;
    case REG_ESR:
        *ret = cpu->esr;
        return true;
    case REG_ICR:
        *ret = x2 ? cpu->icr : (uint32_t)cpu->icr;
        return true;
    case REG_ICR_HIGH:
        *ret = cpu->icr >> 32;
        return !x2;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        *ret = cpu->lvt[reg - REG_LVT];
        return true;
    case REG_INITIAL_COUNT:
        *ret = cpu->initial_count;
        return true;
    case REG_CURRENT_COUNT:
        *ret = apic_timer_count(cpu);
        return true;
    case REG_DIVIDE:
        *ret = cpu->dcr;
        return true;
    case REG_EOI: /* write-only; reads are allowed in the page */
        *ret = 0;
        return !x2;
    default:
        return false;
    }
}

static void svr_write(struct lapic_cpu *cpu, uint32_t value)
{
    bool was = cpu->svr & SVR_ENABLE;
    cpu->svr = value & 0x3ff;
    if (!was || cpu->svr & SVR_ENABLE)
        return;
    /* Software-disabled: all entries are masked (11.4.7.2). */
    for (unsigned n = 0; n < LVT_COUNT; n++)
        cpu->lvt[n] |= LVT_MASKED;
    apic_timer_arm(cpu);
    apic_update(cpu);
}

static void lvt_write(struct lapic_cpu *cpu, unsigned n, uint32_t value)
{
    value = (value & lvt_writable[n]) | (cpu->lvt[n] & LVT_REMOTE_IRR);
    if (!(cpu->svr & SVR_ENABLE))
        value |= LVT_MASKED;
    if (n == LVT_TIMER) {
        apic_timer_set_lvt(cpu, value);
        return;
    }
    if (!(value & LVT_LEVEL))
        value &= ~LVT_REMOTE_IRR;
    cpu->lvt[n] = value;
    /* A level-triggered pin that is high speaks when it is unmasked. */
    if ((n == LVT_LINT0 || n == LVT_LINT1) && value & LVT_LEVEL && cpu->lapic->lint[n - LVT_LINT0])
        apic_local(cpu, n);
    apic_update(cpu);
}

/* Bits that may be set in a write by WRMSR; the page ignores the others. */
static bool x2_reserved(unsigned reg, uint64_t value)
{
    static const uint64_t masks[] = {
        [REG_TPR] = 0xff,
        [REG_EOI] = 0,
        [REG_SVR] = 0x3ff,
        [REG_ESR] = 0,
        [REG_ICR] = 0xffffffff00000000 | ICR_WRITABLE,
        [REG_INITIAL_COUNT] = 0xffffffff,
        [REG_DIVIDE] = 0x0b,
        [REG_SELF_IPI] = 0xff,
    };
    /* Delivery status and remote IRR of local vector table entries are read-only, not reserved. */
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT)
        return value & ~(uint64_t)(lvt_writable[reg - REG_LVT] | 0x5000);
    return value & ~masks[reg];
}

static bool reg_write(struct lapic_cpu *cpu, unsigned reg, uint64_t value)
{
    bool x2 = apic_x2(cpu);
    switch (reg) {
    case REG_LDR:
    case REG_DFR:
    case REG_ICR_HIGH:
        if (x2)
            return false;
        break;
    case REG_SELF_IPI:
        if (!x2)
            return false;
        break;
    case REG_TPR:
    case REG_EOI:
    case REG_SVR:
    case REG_ESR:
    case REG_ICR:
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
    case REG_INITIAL_COUNT:
    case REG_DIVIDE:
        break;
    default: { /* read-only: ignored in the page */
        uint64_t ignored;
        return !x2 && reg_read(cpu, reg, &ignored);
    }
    }
    if (x2 && x2_reserved(reg, value))
        return false;
    switch (reg) {
    case REG_TPR:
        cpu->tpr = (uint8_t)value;
        apic_update(cpu);
        break;
    case REG_EOI:
        apic_eoi(cpu);
        break;
    case REG_LDR:
        cpu->ldr = (uint32_t)value & 0xff000000;
        break;
    case REG_DFR:
        cpu->dfr = (uint32_t)value | 0x0fffffff;
        break;
    case REG_SVR:
        svr_write(cpu, (uint32_t)value);
        break;
    case REG_ESR: /* a write shows what has gathered since the last (11.5.3) */
        cpu->esr = cpu->esr_pending;
        cpu->esr_pending = 0;
        break;
    case REG_ICR:
        if (x2)
            cpu->icr = value;
        else
            cpu->icr = (cpu->icr & 0xffffffff00000000) | (value & ICR_WRITABLE);
        apic_icr_send(cpu);
        break;
    case REG_ICR_HIGH:
        cpu->icr = (uint32_t)cpu->icr | (value & 0xff000000) << 32;
        break;
    case REG_LVT ... REG_LVT + LVT_COUNT - 1:
        lvt_write(cpu, reg - REG_LVT, (uint32_t)value);
        break;
    case REG_INITIAL_COUNT:
        apic_timer_set_count(cpu, (uint32_t)value);
        break;
    case REG_DIVIDE:
        apic_timer_set_divider(cpu, (uint32_t)value);
        break;
    default: /* REG_SELF_IPI: ICR is not changed by it */
        if ((value & 0xff) < 16) {
            apic_error(cpu, ESR_SEND_VECTOR);
        } else {
            uint64_t icr = cpu->icr;
            cpu->icr = 1 << 18 | value;
            apic_icr_send(cpu);
            cpu->icr = icr;
        }
        break;
    }
    return true;
}

bool lapic_claims(const struct lapic *lapic, unsigned index, uint64_t gpa)
{
    const struct lapic_cpu *cpu = &lapic->cpus[index];
    return apic_on(cpu) && !apic_x2(cpu) && (gpa ^ cpu->base) < LAPIC_BYTES;
}

uint64_t lapic_mmio_read(struct lapic *lapic, unsigned index, uint64_t offset, unsigned size)
{
    struct lapic_cpu *cpu = &lapic->cpus[index];
    uint64_t value = 0;
    /* Registers are the low 32 bits of each 16 bytes. */
    if ((offset & 15) + size > 4)
        return 0;
    if (!reg_read(cpu, offset >> 4 & 0xff, &value)) {
        apic_error(cpu, ESR_REGISTER);
        return 0;
    }
    return value >> (offset & 3) * 8 & (size == 4 ? UINT32_MAX : (1ull << size * 8) - 1);
}

void lapic_mmio_write(struct lapic *lapic, unsigned index, uint64_t offset, unsigned size,
                      uint64_t value)
{
    struct lapic_cpu *cpu = &lapic->cpus[index];
    if (offset & 15 || size != 4)
        return;
    if (!reg_write(cpu, offset >> 4 & 0xff, (uint32_t)value))
        apic_error(cpu, ESR_REGISTER);
}

/* Transitions of the mode: SDM figure 11-27. */
static bool base_write(struct lapic_cpu *cpu, uint64_t value)
{
    unsigned phys_bits = cpu->lapic->env.phys_bits;
    uint64_t allowed =
        ((1ull << phys_bits) - LAPIC_BYTES) | APIC_BASE_BSP | APIC_BASE_X2 | APIC_BASE_ENABLE;
    uint64_t modes = APIC_BASE_X2 | APIC_BASE_ENABLE;
    uint64_t from = cpu->base & modes, to = value & modes;
    if (value & ~allowed || to == APIC_BASE_X2 || (from == modes && to == APIC_BASE_ENABLE) ||
        (!from && to == modes))
        return false;
    uint64_t bsp = cpu->base & APIC_BASE_BSP;
    if (from && !to)
        apic_power_up(cpu); /* switched off it forgets everything */
    cpu->base = (value & ~APIC_BASE_BSP) | bsp;
    if (from && !to)
        cpu->lvt[LVT_LINT0] = LVT_MASKED;
    apic_update(cpu);
    return true;
}

bool lapic_msr(struct lapic *lapic, unsigned index, uint32_t msr, uint64_t *value, bool write)
{
    struct lapic_cpu *cpu = &lapic->cpus[index];
    if (msr == MSR_APIC_BASE) {
        if (write)
            return base_write(cpu, *value);
        *value = cpu->base;
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        if (write)
            apic_timer_set_deadline(cpu, *value);
        else
            *value = cpu->tsc_deadline;
        return true;
    }
    if (msr < MSR_X2APIC || msr > MSR_X2APIC + 0xff || !apic_on(cpu) || !apic_x2(cpu))
        return false;
    unsigned reg = msr - MSR_X2APIC;
    return write ? reg_write(cpu, reg, *value) : reg_read(cpu, reg, value);
}

static void lapic_reset(void *dev)
{
    struct lapic *lapic = dev;
    lapic->next_lowest = 0;
    for (unsigned i = 0; i < lapic->env.cpus; i++)
        apic_power_up(&lapic->cpus[i]);
}

static void words_state(struct state *s, const char *name, unsigned i, uint32_t words[8])
{
    state_bytes(s, STATE_NAME(name, i), words, 8 * sizeof(uint32_t));
}

static void cpu_state(struct lapic_cpu *cpu, struct state *s)
{
    unsigned i = cpu->index;
    state_u64(s, STATE_NAME("base", i), &cpu->base);
    state_u8(s, STATE_NAME("tpr", i), &cpu->tpr);
    state_u32(s, STATE_NAME("ldr", i), &cpu->ldr);
    state_u32(s, STATE_NAME("dfr", i), &cpu->dfr);
    state_u32(s, STATE_NAME("svr", i), &cpu->svr);
    state_u32(s, STATE_NAME("esr", i), &cpu->esr);
    state_u32(s, STATE_NAME("esr_pending", i), &cpu->esr_pending);
    state_u64(s, STATE_NAME("icr", i), &cpu->icr);
    words_state(s, "isr", i, cpu->isr);
    words_state(s, "tmr", i, cpu->tmr);
    words_state(s, "irr", i, cpu->irr);
    state_bytes(s, STATE_NAME("lvt", i), cpu->lvt, sizeof(cpu->lvt));
    state_u32(s, STATE_NAME("dcr", i), &cpu->dcr);
    state_u32(s, STATE_NAME("initial_count", i), &cpu->initial_count);
    state_bool(s, STATE_NAME("timer_running", i), &cpu->timer_running);
    state_u64(s, STATE_NAME("timer_start_ns", i), &cpu->timer_start_ns);
    state_u64(s, STATE_NAME("tsc_deadline", i), &cpu->tsc_deadline);
    state_timer(s, STATE_NAME("timer", i), &cpu->timer);
    state_bool(s, STATE_NAME("extint", i), &cpu->extint);
}

static int lapic_state(void *dev, struct state *s)
{
    struct lapic *lapic = dev;
    state_bool(s, "lint0", &lapic->lint[0]);
    state_bool(s, "lint1", &lapic->lint[1]);
    state_u32(s, "next_lowest", &lapic->next_lowest);
    state_check(s, lapic->next_lowest < lapic->env.cpus);
    /* Counts mean something else to a timer of another rate; deadlines do not. */
    uint32_t tick_ns = lapic->env.tick_ns;
    state_u32(s, "tick_ns", &tick_ns);
    for (unsigned i = 0; i < lapic->env.cpus; i++) {
        struct lapic_cpu *cpu = &lapic->cpus[i];
        cpu_state(cpu, s);
        state_check(s, tick_ns == lapic->env.tick_ns || !cpu->timer_running ||
                           LVT_TIMER_MODE(cpu->lvt[LVT_TIMER]) == TIMER_TSC_DEADLINE);
    }
    if (state_loading(s) && !state_error(s))
        for (unsigned i = 0; i < lapic->env.cpus; i++)
            apic_update(&lapic->cpus[i]);
    return state_error(s);
}

static void lapic_free(void *dev)
{
    struct lapic *lapic = dev;
    for (unsigned i = 0; i < lapic->env.cpus; i++)
        timer_cancel(&lapic->cpus[i].timer);
    free(lapic->cpus);
    free(lapic);
}

const struct dev_ops lapic_dev_ops = {
    .name = "lapic", .version = 1, .reset = lapic_reset, .state = lapic_state, .free = lapic_free};

int lapic_new(const struct lapic_env *env, struct lapic **ret_lapic)
{
    if (!env->cpus || env->cpus > LAPIC_CPUS_MAX)
        return -EINVAL;
    struct lapic *lapic = calloc(1, sizeof(*lapic));
    if (!lapic)
        return -ENOMEM;
    lapic->cpus = calloc(env->cpus, sizeof(*lapic->cpus));
    if (!lapic->cpus) {
        free(lapic);
        return -ENOMEM;
    }
    lapic->env = *env;
    if (!lapic->env.phys_bits)
        lapic->env.phys_bits = 40;
    if (!lapic->env.tick_ns)
        lapic->env.tick_ns = 1;
    for (unsigned i = 0; i < env->cpus; i++) {
        struct lapic_cpu *cpu = &lapic->cpus[i];
        cpu->lapic = lapic;
        cpu->index = i;
        timer_init(&cpu->timer, env->clock, apic_timer_fire, cpu);
    }
    lapic_reset(lapic);
    *ret_lapic = lapic;
    return 0;
}
