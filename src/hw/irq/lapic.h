/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local interrupt controllers of all processors of a machine. One object, for they speak to
 * each other; what differs by processor takes its number.
 *
 * These functions are what an engine's upward calls want (apic_msr, intr_ack, tpr_get, tpr_set);
 * the machine glues them together, and wires IOAPIC and PCI messages to lapic_msi().
 */
#ifndef HW_IRQ_LAPIC_H
#define HW_IRQ_LAPIC_H

#include "hw/core/device.h"

#define LAPIC_BASE 0xfee00000u
#define LAPIC_BYTES 0x1000u
#define LAPIC_CPUS_MAX 255
#define LAPIC_PAGE_BYTES 1024u /* of the page that have registers */

struct lapic;

struct lapic_env {
    unsigned cpus;      /* 1 to LAPIC_CPUS_MAX; the APIC ID is the number */
    unsigned phys_bits; /* width of physical addresses, for checks of IA32_APIC_BASE; 0: 40 */
    unsigned tick_ns;   /* the timer's input clock, before the divider; 0: 1 */
    struct clock *clock;
    /* Level of INTR of a processor; edges of NMI and INIT; start-up. */
    void (*intr)(void *ctx, unsigned cpu, bool level);
    void (*nmi)(void *ctx, unsigned cpu);
    void (*init)(void *ctx, unsigned cpu);
    void (*sipi)(void *ctx, unsigned cpu, uint8_t vector);
    /* A level-triggered interrupt was ended. */
    void (*ioapic_eoi)(void *ctx, uint8_t vector);
    /* Acknowledge the 8259: its vector, -1 if it asks for nothing (any more). */
    int (*pic_ack)(void *ctx);
    /* The guest time at which the processor's TSC reaches tsc (the past is fine). */
    uint64_t (*tsc_to_ns)(void *ctx, unsigned cpu, uint64_t tsc);
    void *ctx;
};

extern const struct dev_ops lapic_dev_ops;

/* -EINVAL for a bad number of processors, -ENOMEM. */
int lapic_new(const struct lapic_env *env, struct lapic **ret_lapic);

/* Does gpa fall into the register page of this processor (which may move it or switch it off)? */
bool lapic_claims(const struct lapic *lapic, unsigned cpu, uint64_t gpa);
/* Registers of the page. */
uint64_t lapic_mmio_read(struct lapic *lapic, unsigned cpu, uint64_t offset, unsigned size);
void lapic_mmio_write(struct lapic *lapic, unsigned cpu, uint64_t offset, unsigned size,
                      uint64_t value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, the x2APIC range. False: #GP(0). */
bool lapic_msr(struct lapic *lapic, unsigned cpu, uint32_t msr, uint64_t *value, bool write);
/* Acknowledge: the vector to be delivered, -1 if nothing is deliverable (any more). */
int lapic_intr_ack(struct lapic *lapic, unsigned cpu);
/* CR8. */
uint8_t lapic_tpr_get(const struct lapic *lapic, unsigned cpu);
void lapic_tpr_set(struct lapic *lapic, unsigned cpu, uint8_t cr8);

/*
 * One APIC as the contents of its page, IA32_APIC_BASE and IA32_TSC_DEADLINE, out of and into this
 * chip. Not in the page, and so lost: an ExtINT message that waits, errors not yet shown in ESR.
 */
void lapic_page_get(const struct lapic *lapic, unsigned cpu, uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t *ret_base, uint64_t *ret_tsc_deadline);
void lapic_page_put(struct lapic *lapic, unsigned cpu, const uint8_t page[LAPIC_PAGE_BYTES],
                    uint64_t base, uint64_t tsc_deadline);

/* Level of local interrupt pin n of all processors: 0 the 8259's INTR, 1 NMI. Fits struct line. */
void lapic_lint(void *lapic, unsigned n, bool level);
/* A message written to 0xfeexxxxx. */
void lapic_msi(struct lapic *lapic, uint64_t addr, uint32_t data);
/* The same from an interrupt remapper, with a destination as x2APICs have them. */
void lapic_msi_x2apic(struct lapic *lapic, uint32_t dest, uint32_t addr, uint32_t data);

#endif
