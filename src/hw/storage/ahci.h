/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial ATA controller with six ports, for hard disks and CD-ROM drives that may come and go.
 */
#ifndef HW_STORAGE_AHCI_H
#define HW_STORAGE_AHCI_H

#include "hw/core/pci.h"
#include "hw/storage/ide.h"

#define AHCI_PORTS 6u

struct ahci;

struct ahci_env {
    struct pci_bus *pci;
    uint8_t devfn;
};

extern const struct dev_ops ahci_dev_ops;

/*
 * drives: what is plugged into each port; a disk's serial may be NULL. Before saving, the drives'
 * disks must be quiet (blk_quiesce()). -ENOMEM, -EINVAL for a disk without a blk, -EBUSY.
 */
int ahci_new(const struct ahci_env *env, const struct ide_drive_config drives[AHCI_PORTS],
             struct ahci **ret_ahci);

/* Plug a drive into a port. -EBUSY when there is one, -ENODEV: no such port, -ENOMEM. */
int ahci_plug(struct ahci *ahci, unsigned port, const struct ide_drive_config *drive);
/*
 * Pull a port's drive out, as a hand would: what is under way is forgotten. Afterwards its blk is
 * the caller's alone. -ENODEV: there is none.
 */
int ahci_unplug(struct ahci *ahci, unsigned port);
/* The drive of a port as a channel with one master, for ide_eject() and ide_insert(). NULL: none. */
struct ide *ahci_drive(const struct ahci *ahci, unsigned port);

#endif
