/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI power management and SMBus of the PC.
 */
#ifndef HW_CHIPSET_PIIX4_PM_H
#define HW_CHIPSET_PIIX4_PM_H

#include "hw/core/pci.h"

#define PIIX4_PM_BYTES 64 /* of the power management block */
#define PIIX4_SMB_BYTES 16
#define PIIX4_PM_TIMER_HZ 3579545
#define PIIX4_ACPI_ENABLE 0xf1 /* commands at the APM port, for the FADT */
#define PIIX4_ACPI_DISABLE 0xf0
#define PIIX4_SLEEP_S5 0 /* sleep type of soft-off, for the \_S5 object */

struct piix4_pm;

struct piix4_pm_env {
    struct pci_bus *pci;
    uint8_t devfn; /* function 3 of the ISA bridge's slot */
    struct clock *clock;
    struct line sci; /* IRQ 9, level-triggered */
    /* The guest switched the machine off. */
    void (*soft_off)(void *ctx);
    void *ctx;
};

extern const struct dev_ops piix4_pm_dev_ops;
/* Two ports, 0xb2: APM control and status. */
extern const struct io_ops piix4_apm_io;

/* -EBUSY when the slot is taken, -ENOMEM. The blocks of ports are mapped as firmware asks. */
int piix4_pm_new(const struct piix4_pm_env *env, struct piix4_pm **ret_pm);

/* The button was pressed (shortly): a guest with ACPI shuts down. */
void piix4_pm_power_button(struct piix4_pm *pm);
/* General purpose event n (0 to 15) happened. */
void piix4_pm_gpe(struct piix4_pm *pm, unsigned n);
/* First port of the power management block as programmed, 0 if it is off. For the FADT. */
uint16_t piix4_pm_base(const struct piix4_pm *pm);

#endif
