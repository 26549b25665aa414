/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the local APIC share: lapic.c (registers), lapic_core.c (priorities, messages)
 * and lapic_timer.c.
 */
#ifndef HW_IRQ_LAPIC_PRIV_H
#define HW_IRQ_LAPIC_PRIV_H

#include "hw/irq/lapic.h"

#define APIC_BASE_BSP (1ull << 8)
#define APIC_BASE_X2 (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)

#define SVR_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define LVT_LEVEL 0x8000u
#define LVT_REMOTE_IRR 0x4000u
#define LVT_TIMER_MODE(lvt) ((lvt) >> 17 & 3)

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };
enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_SIPI, MODE_EXTINT };
enum { ESR_SEND_VECTOR = 0x20, ESR_RECEIVE_VECTOR = 0x40, ESR_REGISTER = 0x80 };

#define LAPIC_VERSION (0x14u | (LVT_COUNT - 1) << 16)

struct lapic_cpu {
    struct lapic *lapic;
    unsigned index;
    uint64_t base; /* IA32_APIC_BASE */
    uint8_t tpr;
    uint32_t ldr, dfr, svr, esr, esr_pending;
    uint64_t icr;
    uint32_t isr[8], tmr[8], irr[8];
    uint32_t lvt[LVT_COUNT];
    uint32_t dcr, initial_count;
    bool timer_running;      /* counting, or counted down and not yet looked at */
    uint64_t timer_start_ns; /* when the count was at its initial value */
    uint64_t tsc_deadline;
    struct timer timer;
    bool extint; /* an ExtINT message waits */
    bool intr;   /* level last driven */
};

struct lapic {
    struct lapic_env env;
    bool lint[2];
    unsigned next_lowest; /* where the search for the lowest priority begins */
    struct lapic_cpu *cpus;
};

struct lapic_msg {
    uint32_t dest;
    bool logical;
    bool dest32; /* from an x2APIC: 32-bit destination */
    uint8_t mode, vector;
    bool level;
};

static inline bool apic_x2(const struct lapic_cpu *cpu)
{
    return cpu->base & APIC_BASE_X2;
}

static inline bool apic_on(const struct lapic_cpu *cpu)
{
    return cpu->base & APIC_BASE_ENABLE;
}

/* lapic_core.c */
uint8_t apic_ppr(const struct lapic_cpu *cpu);
void apic_update(struct lapic_cpu *cpu);
void apic_error(struct lapic_cpu *cpu, uint32_t bits);
void apic_eoi(struct lapic_cpu *cpu);
void apic_local(struct lapic_cpu *cpu, unsigned n);
void apic_icr_send(struct lapic_cpu *cpu);
void apic_power_up(struct lapic_cpu *cpu);

/* lapic_timer.c */
void apic_timer_fire(void *ctx);
/* Set the timer for the next interrupt that the registers ask for. */
void apic_timer_arm(struct lapic_cpu *cpu);
uint32_t apic_timer_count(const struct lapic_cpu *cpu);
/* The count has `count` left to go; or the deadline is what the register says. */
void apic_timer_resume(struct lapic_cpu *cpu, uint32_t count);
void apic_timer_set_count(struct lapic_cpu *cpu, uint32_t initial);
void apic_timer_set_divider(struct lapic_cpu *cpu, uint32_t dcr);
void apic_timer_set_lvt(struct lapic_cpu *cpu, uint32_t lvt);
void apic_timer_set_deadline(struct lapic_cpu *cpu, uint64_t tsc);

#endif
