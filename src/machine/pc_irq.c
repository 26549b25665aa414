/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's interrupt wires: who may pull which line, where a line leads, messages, and what the
 * vCPUs ask of the interrupt chips.
 */
#include "cpu/engine.h"
#include "hw/iommu/vtd.h"
#include "hw/irq/i8259.h"
#include "hw/irq/ioapic.h"
#include "hw/irq/lapic.h"
#include "machine/pc.h"

#define ISA_IRQS 16

static void irq_out(void *ctx, unsigned n, bool level)
{
    struct pc *pc = ctx;

    if (n < ISA_IRQS)
        i8259_set_irq(pc->pic, n, level);
    /* Pin 2 is the clock's; IRQ 2 is the cascade and leads nowhere (ACPI 6.5, 5.2.12.5). */
    if (n != 2)
        ioapic_set_pin(pc->ioapic, n == 0 ? 2 : n, level);
}

struct line pc_irq_input(struct pc *pc, unsigned n)
{
    return (struct line){.set = irq_out, .ctx = pc, .n = n};
}

void pc_irq(struct pc *pc, enum irq_source source, unsigned n, bool level)
{
    if (n < PC_IRQS)
        wire_or_set(&pc->irqs[n], source, level);
}

#define SOURCE_LINE(source)                                                                        \
    static void line_##source(void *ctx, unsigned n, bool level)                                   \
    {                                                                                              \
        pc_irq(ctx, source, n, level);                                                             \
    }
SOURCE_LINE(IRQ_FROM_ISA)
SOURCE_LINE(IRQ_FROM_PCI)
SOURCE_LINE(IRQ_FROM_SCI)
SOURCE_LINE(IRQ_FROM_HPET)
SOURCE_LINE(IRQ_FROM_TEST)
SOURCE_LINE(IRQ_FROM_FERR)

struct line pc_line(struct pc *pc, enum irq_source source, unsigned n)
{
    static void (*const set[])(void *ctx, unsigned n, bool level) = {
        [IRQ_FROM_ISA] = line_IRQ_FROM_ISA,   [IRQ_FROM_PCI] = line_IRQ_FROM_PCI,
        [IRQ_FROM_SCI] = line_IRQ_FROM_SCI,   [IRQ_FROM_HPET] = line_IRQ_FROM_HPET,
        [IRQ_FROM_TEST] = line_IRQ_FROM_TEST, [IRQ_FROM_FERR] = line_IRQ_FROM_FERR,
    };

    return (struct line){.set = set[source], .ctx = pc, .n = n};
}

/* To the local APICs, which are a chip of ours or the engine's. */
void pc_msi_deliver(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct pc *pc = ctx;
    struct engine *engine = pc->m->engine;

    (void)source;
    if (engine->ops->msi)
        engine->ops->msi(engine, addr, data);
    else
        lapic_msi(pc->lapic, addr, data);
}

static void msi_out(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct pc *pc = ctx;

    if (pc->vtd)
        vtd_msi(pc->vtd, source, addr, data);
    else if (addr >> 20 == LAPIC_BASE >> 20)
        pc_msi_deliver(pc, source, addr, data);
}

struct msi_sink pc_msi(struct pc *pc)
{
    return (struct msi_sink){.send = msi_out, .ctx = pc};
}

int pc_pic_ack(void *ctx)
{
    struct pc *pc = ctx;

    return i8259_pending(pc->pic) ? i8259_ack(pc->pic) : -1;
}

int pc_intr_ack(struct machine *m, unsigned cpu)
{
    struct pc *pc = m->pc;

    return pc->lapic ? lapic_intr_ack(pc->lapic, cpu) : pc_pic_ack(pc);
}

bool pc_apic_msr(struct machine *m, unsigned cpu, uint32_t msr, uint64_t *value, bool write)
{
    return m->pc->lapic && lapic_msr(m->pc->lapic, cpu, msr, value, write);
}

uint8_t pc_tpr_get(struct machine *m, unsigned cpu)
{
    return m->pc->lapic ? lapic_tpr_get(m->pc->lapic, cpu) : 0;
}

void pc_tpr_set(struct machine *m, unsigned cpu, uint8_t cr8)
{
    if (m->pc->lapic)
        lapic_tpr_set(m->pc->lapic, cpu, cr8);
}

void pc_ferr(struct machine *m, bool level)
{
    pc_irq(m->pc, IRQ_FROM_FERR, 13, level);
}

void pc_ioapic_eoi(struct machine *m, uint8_t vector)
{
    ioapic_eoi(m->pc->ioapic, vector);
}

bool pc_apic_mmio(struct machine *m, unsigned cpu, uint64_t gpa, unsigned size, uint64_t *value,
                  bool write)
{
    struct lapic *lapic = m->pc->lapic;
    uint64_t offset = gpa & (LAPIC_BYTES - 1);

    if (!lapic || !lapic_claims(lapic, cpu, gpa))
        return false;
    if (write)
        lapic_mmio_write(lapic, cpu, offset, size, *value);
    else
        *value = lapic_mmio_read(lapic, cpu, offset, size);
    return true;
}

int pc_wires_state(struct pc *pc, struct state *s)
{
    bool ferr = pc->irqs[13].levels >> IRQ_FROM_FERR & 1;
    uint32_t version = 1;
    int r = state_section(s, "wires", &version);

    if (r < 0)
        return r;
    state_bool(s, "ferr", &ferr);
    if (!state_loading(s) || state_error(s))
        return state_error(s);
    pc_irq(pc, IRQ_FROM_FERR, 13, ferr);
    /*
     * The engine's local APICs report the end of an interrupt only for messages that were sent
     * here: what is still asked for is sent anew.
     */
    for (unsigned vector = 16; !pc->lapic && vector < 256; vector++)
        ioapic_eoi(pc->ioapic, (uint8_t)vector);
    return 0;
}
