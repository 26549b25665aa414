/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI device for people who learn to write drivers: it computes, moves memory and interrupts.
 */
#ifndef HW_CHIPSET_EDU_H
#define HW_CHIPSET_EDU_H

#include "hw/core/pci.h"

struct edu;

struct edu_env {
    struct pci_bus *pci;
    uint8_t devfn;
    struct clock *clock;
};

extern const struct dev_ops edu_dev_ops;

/* On the bus, with its registers in BAR 0. -ENOMEM, those of pci_dev_init(). */
int edu_new(const struct edu_env *env, struct edu **ret_edu);

#endif
