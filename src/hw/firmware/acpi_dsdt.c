/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT: what is on the board, in AML. ACPI specification 3.0b, chapters 5, 6 and 9.
 *
 * Interrupts of PCI slots go through four link devices, so that one table serves systems that use
 * the 8259s and those that use the IOAPIC (both have the same interrupt numbers). The power button
 * is the fixed one. There is no _S3 or _S4: the machine does not sleep.
 */
#include <stdio.h>

#include "hw/firmware/acpi.h"

#define SCI_IRQ 9
#define SLOTS 32
#define PINS 4
#define ISA "\\_SB.PCI0.ISA"

static void add_irq_device(struct aml *aml, const char *name, const char *hid, unsigned uid,
                           const struct aml *resources)
{
    size_t dev = aml_begin_device(aml, name);
    aml_def_eisa_id(aml, "_HID", hid);
    if (uid)
        aml_def_int(aml, "_UID", uid);
    aml_def_resources(aml, "_CRS", resources);
    aml_end(aml, dev);
}

static void add_keyboard_and_mouse(struct aml *aml)
{
    struct aml kbd = {.bytes = NULL}, mouse = {.bytes = NULL};
    res_io(&kbd, 0x60, 1);
    res_io(&kbd, 0x64, 1);
    res_irq(&kbd, 1);
    res_irq(&mouse, 12);
    add_irq_device(aml, "KBD", "PNP0303", 0, &kbd);
    add_irq_device(aml, "MOU", "PNP0F13", 0, &mouse);
    aml_done(&kbd);
    aml_done(&mouse);
}

static void add_serial_ports(struct aml *aml, unsigned count)
{
    static const struct {
        uint16_t port;
        uint8_t irq;
    } ports[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
    for (unsigned i = 0; i < count && i < ARRAY_LEN(ports); i++) {
        struct aml res = {.bytes = NULL};
        char name[5] = {'C', 'O', 'M', (char)('1' + i), 0};
        res_io(&res, ports[i].port, 8);
        res_irq(&res, ports[i].irq);
        add_irq_device(aml, name, "PNP0501", i + 1, &res);
        aml_done(&res);
    }
}

static void add_rtc(struct aml *aml)
{
    struct aml res = {.bytes = NULL};
    res_io(&res, 0x70, 8);
    res_irq(&res, 8);
    add_irq_device(aml, "RTC", "PNP0B00", 0, &res);
    aml_done(&res);
}

static void add_floppy(struct aml *aml)
{
    struct aml res = {.bytes = NULL};
    res_io(&res, 0x3f2, 4);
    res_io(&res, 0x3f7, 1);
    res_irq(&res, 6);
    res_dma(&res, 2);
    add_irq_device(aml, "FDC0", "PNP0700", 0, &res);
    aml_done(&res);
}

/* The ISA bridge with the interrupt steering registers at 0x60 of its configuration space. */
static void add_isa(struct aml *aml, const struct acpi_config *config)
{
    size_t isa = aml_begin_device(aml, "ISA");
    aml_def_int(aml, "_ADR", 0x00010000);
    /* OperationRegion (P40C, PCI_Config, 0x60, 4), Field (P40C, ByteAcc, NoLock, Preserve) */
    aml_raw(aml, "\x5b\x80", 2);
    aml_name(aml, "P40C");
    aml_u8(aml, 2);
    aml_int(aml, 0x60);
    aml_int(aml, 4);
    aml_raw(aml, "\x5b\x81", 2);
    size_t field = aml->len_bytes;
    aml_raw(aml, "\0\0\0", 3);
    aml_name(aml, "P40C");
    aml_u8(aml, 1);
    for (unsigned i = 0; i < PINS; i++) {
        char name[5] = {'P', 'R', 'Q', (char)('0' + i), 0};
        aml_name(aml, name);
        aml_u8(aml, 8);
    }
    aml_end(aml, field);
    add_keyboard_and_mouse(aml);
    add_rtc(aml);
    add_serial_ports(aml, config->serial_ports);
    if (config->floppy)
        add_floppy(aml);
    aml_end(aml, isa);
}

/* Method IQCR (Arg0): the resources of a link whose steering register holds Arg0. */
static void add_link_resources(struct aml *aml)
{
    static const uint32_t none = 0;
    struct aml res = {.bytes = NULL};
    res_interrupt(&res, &none, 1);
    size_t method = aml_begin_method(aml, "IQCR", 1, true);
    aml_def_resources(aml, "PRR0", &res);
    aml_u8(aml, AML_CREATE_DWORD_FIELD);
    aml_name(aml, "PRR0");
    aml_int(aml, 5);
    aml_name(aml, "PRRI");
    size_t if_mark = aml_begin_if(aml);
    aml_u8(aml, AML_LLESS);
    aml_u8(aml, AML_ARG0);
    aml_int(aml, 0x80);
    aml_u8(aml, AML_STORE);
    aml_u8(aml, AML_ARG0);
    aml_name(aml, "PRRI");
    aml_end(aml, if_mark);
    aml_u8(aml, AML_RETURN);
    aml_name(aml, "PRR0");
    aml_end(aml, method);
    aml_done(&res);
}

static void add_link(struct aml *aml, unsigned n)
{
    static const uint32_t choices[] = {5, 10, 11};
    struct aml res = {.bytes = NULL};
    char name[5] = {'L', 'N', 'K', (char)('A' + n), 0}, reg[32];
    snprintf(reg, sizeof(reg), ISA ".PRQ%u", n);
    res_interrupt(&res, choices, ARRAY_LEN(choices));
    size_t link = aml_begin_device(aml, name);
    aml_def_eisa_id(aml, "_HID", "PNP0C0F");
    aml_def_int(aml, "_UID", n);
    aml_def_resources(aml, "_PRS", &res);

    size_t method = aml_begin_method(aml, "_STA", 0, false);
    size_t if_mark = aml_begin_if(aml);
    aml_u8(aml, AML_AND);
    aml_name(aml, reg);
    aml_int(aml, 0x80);
    aml_u8(aml, AML_NULL_NAME);
    aml_u8(aml, AML_RETURN);
    aml_int(aml, 0x09);
    aml_end(aml, if_mark);
    aml_u8(aml, AML_RETURN);
    aml_int(aml, 0x0b);
    aml_end(aml, method);

    method = aml_begin_method(aml, "_DIS", 0, false);
    aml_u8(aml, AML_OR);
    aml_name(aml, reg);
    aml_int(aml, 0x80);
    aml_name(aml, reg);
    aml_end(aml, method);

    method = aml_begin_method(aml, "_CRS", 0, false);
    aml_u8(aml, AML_RETURN);
    aml_name(aml, "IQCR");
    aml_name(aml, reg);
    aml_end(aml, method);

    method = aml_begin_method(aml, "_SRS", 1, true);
    aml_u8(aml, AML_CREATE_DWORD_FIELD);
    aml_u8(aml, AML_ARG0);
    aml_int(aml, 5);
    aml_name(aml, "PRRI");
    aml_u8(aml, AML_STORE);
    aml_name(aml, "PRRI");
    aml_name(aml, reg);
    aml_end(aml, method);
    aml_end(aml, link);
    aml_done(&res);
}

static void add_routing_entry(struct aml *aml, unsigned slot, unsigned pin, int link)
{
    size_t entry = aml_begin_package(aml, 4);
    aml_int(aml, (uint64_t)slot << 16 | 0xffff);
    aml_int(aml, pin);
    if (link < 0) { /* wired to the SCI */
        aml_int(aml, 0);
        aml_int(aml, SCI_IRQ);
    } else {
        char name[24];
        snprintf(name, sizeof(name), "\\_SB.LNK%c", 'A' + link);
        aml_name(aml, name);
        aml_int(aml, 0);
    }
    aml_end(aml, entry);
}

static void add_routing(struct aml *aml, const struct acpi_config *config)
{
    aml_def_name(aml, "_PRT");
    size_t package = aml_begin_package(aml, SLOTS * PINS);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        for (unsigned pin = 0; pin < PINS; pin++)
            /* Pin A of slot 1 is the power management function's. */
            add_routing_entry(aml, slot, pin,
                              slot == 1 && pin == 0 ? -1 : (int)(config->pirq(slot, pin) & 3));
    aml_end(aml, package);
}

static void add_pci(struct aml *aml, const struct acpi_config *config)
{
    struct aml res = {.bytes = NULL};
    size_t pci = aml_begin_device(aml, "PCI0");
    aml_def_eisa_id(aml, "_HID", "PNP0A03");
    aml_def_int(aml, "_ADR", 0);
    aml_def_int(aml, "_UID", 0);
    aml_def_int(aml, "_BBN", 0);
    res_bus_numbers(&res, 0, 0xff);
    res_io(&res, 0xcf8, 8);
    res_io_window(&res, 0, 0xcf7);
    res_io_window(&res, 0xd00, 0xffff);
    res_memory_window(&res, 0xa0000, 0xbffff, true);
    res_memory_window(&res, config->pci_first, 0xfebfffff, false);
    if (config->pci_last64)
        res_memory_window64(&res, config->pci_first64, config->pci_last64);
    aml_def_resources(aml, "_CRS", &res);
    aml_done(&res);
    add_routing(aml, config);
    add_isa(aml, config);
    aml_end(aml, pci);
}

static void add_hpet(struct aml *aml)
{
    struct aml res = {.bytes = NULL};
    size_t hpet = aml_begin_device(aml, "HPET");
    aml_def_eisa_id(aml, "_HID", "PNP0103");
    aml_def_int(aml, "_UID", 0);
    res_memory32(&res, 0xfed00000, 0x400);
    aml_def_resources(aml, "_CRS", &res);
    aml_end(aml, hpet);
    aml_done(&res);
}

/* Linux finds the configuration device by this. */
static void add_fw_cfg(struct aml *aml)
{
    struct aml res = {.bytes = NULL};
    size_t dev = aml_begin_device(aml, "FWCF");
    aml_def_name(aml, "_HID");
    aml_string(aml, "QEMU0002");
    aml_def_int(aml, "_STA", 0x0b);
    res_io(&res, 0x510, FW_CFG_PORTS);
    aml_def_resources(aml, "_CRS", &res);
    aml_end(aml, dev);
    aml_done(&res);
}

void acpi_build_dsdt(struct aml *aml, const struct acpi_config *config)
{
    size_t sb = aml_begin_scope(aml, "\\_SB");
    add_pci(aml, config);
    add_link_resources(aml);
    for (unsigned n = 0; n < PINS; n++)
        add_link(aml, n);
    if (config->hpet)
        add_hpet(aml);
    add_fw_cfg(aml);
    for (unsigned i = 0; i < config->cpus; i++) {
        char name[8];
        snprintf(name, sizeof(name), "C%03X", i & 0xfff);
        aml_processor(aml, name, (uint8_t)i);
    }
    aml_end(aml, sb);

    aml_def_name(aml, "\\_S5");
    size_t package = aml_begin_package(aml, 4);
    for (unsigned i = 0; i < 4; i++)
        aml_int(aml, 0); /* sleep type 0 is soft-off in the PIIX4 */
    aml_end(aml, package);
}
