/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ISA bridge: routes the four PCI interrupts to IRQs.
 */
#ifndef HW_CHIPSET_PIIX3_H
#define HW_CHIPSET_PIIX3_H

#include "hw/core/pci.h"

struct piix3;

struct piix3_env {
    struct pci_bus *pci;
    uint8_t devfn; /* function 0 of a slot; a PC has it in slot 1 */
    /* Level of IRQ n (1 to 15) as far as PCI interrupts drive it: goes to the 8259, and to the
     * pin of the IOAPIC with the same number. */
    void (*irq)(void *ctx, unsigned n, bool level);
    /* Level of PIRQA to PIRQD (0 to 3) whatever the routing; may be NULL. */
    void (*pirq)(void *ctx, unsigned n, bool level);
    void *ctx;
};

extern const struct dev_ops piix3_dev_ops;

/* -EBUSY when the slot is taken, -ENOMEM. */
int piix3_new(const struct piix3_env *env, struct piix3 **ret_bridge);
/* For struct pci_env.intx, with the struct piix3 as context. */
void piix3_intx(void *bridge, unsigned devfn, unsigned pin, bool level);
/* Which PIRQ pin (0 to 3) of a slot is wired to; the ACPI tables say the same. */
static inline unsigned piix3_pirq(unsigned slot, unsigned pin)
{
    return (slot + pin + 3) & 3;
}

#endif
