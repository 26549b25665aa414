/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE function of the PIIX3: two channels at their legacy ports and a bus master for each.
 */
#ifndef HW_STORAGE_IDE_PCI_H
#define HW_STORAGE_IDE_PCI_H

#include "hw/core/pci.h"
#include "hw/storage/ide.h"

struct ide_pci;

struct ide_pci_env {
    struct pci_bus *pci;
    uint8_t devfn;      /* function 1 of the south bridge */
    struct line irq[2]; /* IRQ 14 and 15 */
};

extern const struct dev_ops ide_pci_dev_ops;

/* drives: primary master, slave, secondary master, slave. -ENOMEM, -EINVAL, -EBUSY. */
int ide_pci_new(const struct ide_pci_env *env, const struct ide_drive_config drives[4],
                struct ide_pci **ret_ide);
/* Channel 0 or 1, whose register blocks (ide.h) the machine lays at the legacy ports. */
struct ide *ide_pci_channel(struct ide_pci *ide, unsigned n);

#endif
