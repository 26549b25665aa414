/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A local APIC as its page of registers, which is how other keepers of local APICs hand them over.
 * Intel SDM vol. 3, table 11-1.
 */
#include "base/bytes.h"
#include "hw/irq/lapic_priv.h"

enum {
    AT_ID = 0x20,
    AT_VERSION = 0x30,
    AT_TPR = 0x80,
    AT_LDR = 0xd0,
    AT_DFR = 0xe0,
    AT_SVR = 0xf0,
    AT_ISR = 0x100,
    AT_TMR = 0x180,
    AT_IRR = 0x200,
    AT_ESR = 0x280,
    AT_LVT_CMCI = 0x2f0,
    AT_ICR = 0x300,
    AT_ICR_HIGH = 0x310,
    AT_LVT = 0x320,
    AT_INITIAL_COUNT = 0x380,
    AT_CURRENT_COUNT = 0x390,
    AT_DIVIDE = 0x3e0,
};

static void words_put(uint8_t *page, unsigned at, const uint32_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        le32_put(page + at + 16 * i, words[i]);
}

static void words_get(const uint8_t *page, unsigned at, uint32_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        words[i] = le32_get(page + at + 16 * i);
}

void lapic_page_get(const struct lapic *lapic, unsigned index, uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t *ret_base, uint64_t *ret_tsc_deadline)
{
    const struct lapic_cpu *cpu = &lapic->cpus[index];
    bool x2 = apic_x2(cpu);

    memset(page, 0, LAPIC_PAGE_BYTES);
    le32_put(page + AT_ID, x2 ? index : index << 24);
    le32_put(page + AT_VERSION, LAPIC_VERSION);
    le32_put(page + AT_TPR, cpu->tpr);
    le32_put(page + AT_LDR, x2 ? (index >> 4) << 16 | 1u << (index & 15) : cpu->ldr);
    le32_put(page + AT_DFR, cpu->dfr);
    le32_put(page + AT_SVR, cpu->svr);
    words_put(page, AT_ISR, cpu->isr, 8);
    words_put(page, AT_TMR, cpu->tmr, 8);
    words_put(page, AT_IRR, cpu->irr, 8);
    le32_put(page + AT_ESR, cpu->esr);
    le32_put(page + AT_LVT_CMCI, LVT_MASKED);
    le32_put(page + AT_ICR, (uint32_t)cpu->icr);
    le32_put(page + AT_ICR_HIGH, (uint32_t)(cpu->icr >> 32));
    words_put(page, AT_LVT, cpu->lvt, LVT_COUNT);
    le32_put(page + AT_INITIAL_COUNT, cpu->initial_count);
    le32_put(page + AT_CURRENT_COUNT, apic_timer_count(cpu));
    le32_put(page + AT_DIVIDE, cpu->dcr);
    *ret_base = cpu->base;
    *ret_tsc_deadline = cpu->tsc_deadline;
}

void lapic_page_put(struct lapic *lapic, unsigned index, const uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t base, uint64_t tsc_deadline)
{
    struct lapic_cpu *cpu = &lapic->cpus[index];

    cpu->base = base;
    cpu->tpr = (uint8_t)le32_get(page + AT_TPR);
    cpu->ldr = apic_x2(cpu) ? 0 : le32_get(page + AT_LDR);
    cpu->dfr = le32_get(page + AT_DFR);
    cpu->svr = le32_get(page + AT_SVR);
    words_get(page, AT_ISR, cpu->isr, 8);
    words_get(page, AT_TMR, cpu->tmr, 8);
    words_get(page, AT_IRR, cpu->irr, 8);
    cpu->esr = le32_get(page + AT_ESR);
    cpu->esr_pending = 0;
    cpu->icr = le32_get(page + AT_ICR) | (uint64_t)le32_get(page + AT_ICR_HIGH) << 32;
    words_get(page, AT_LVT, cpu->lvt, LVT_COUNT);
    cpu->dcr = le32_get(page + AT_DIVIDE) & 0x0b;
    cpu->initial_count = le32_get(page + AT_INITIAL_COUNT);
    cpu->tsc_deadline = tsc_deadline;
    cpu->extint = false;
    apic_timer_resume(cpu, le32_get(page + AT_CURRENT_COUNT));
    apic_update(cpu);
}
