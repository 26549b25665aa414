/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of the PC, handed to firmware as files of the configuration device.
 */
#ifndef HW_FIRMWARE_ACPI_H
#define HW_FIRMWARE_ACPI_H

#include "hw/firmware/aml.h"
#include "hw/firmware/fw_cfg.h"

struct acpi_config {
    unsigned cpus; /* APIC IDs 0 to cpus - 1; at most 255 */
    bool hpet;
    bool floppy;
    /* A VT-d unit for all of PCI at this address (0: none), and as which sources the messages of the
     * IOAPIC and the HPET come to it. */
    uint64_t vtd_gpa;
    unsigned phys_bits;
    uint16_t ioapic_source, hpet_source;
    unsigned serial_ports; /* COM1, COM2, …, at most 4 */
    /* Guest addresses for PCI devices: from the end of RAM below 4 GiB to 0xfebfffff, and a window
     * above RAM (last64 0: none). */
    uint32_t pci_first;
    uint64_t pci_first64, pci_last64;
    /* IRQ n that the four PCI interrupts start with is firmware's choice; which PIRQ a slot's pin
     * is wired to is the board's: 0 to 3. */
    unsigned (*pirq)(unsigned slot, unsigned pin);
    /* First port of the power management block as the firmware has placed it, 0: not yet. Asked
     * when the firmware fetches the tables. */
    uint16_t (*pm_base)(void *ctx);
    void *ctx;
};

struct acpi;

/* Make the tables and add etc/acpi/tables, etc/acpi/rsdp and etc/table-loader. Free acpi after
 * cfg. -EINVAL, -ENOMEM, -ENOSPC. */
int acpi_install(struct fw_cfg *cfg, const struct acpi_config *config, struct acpi **ret_acpi);
/* NULL is fine. Always returns NULL. */
struct acpi *acpi_free(struct acpi *acpi);

/* The differentiated system description without its header: what acpi_install() puts in. */
void acpi_build_dsdt(struct aml *aml, const struct acpi_config *config);

#endif
