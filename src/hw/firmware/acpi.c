/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables: RSDP, RSDT, XSDT, FADT (revision 3), FACS, DSDT, MADT, HPET, DMAR, and the script by
 * which firmware places and links them. ACPI specification 3.0b, 5.2; IA-PC HPET specification
 * 1.0a, 3.2.4; VT-d specification 2.4, chapter 8; the script's commands as SeaBIOS (romfile_loader) and OVMF (QemuLoader.h) define
 * them.
 *
 * Pointers in the tables are offsets into the file they point to until the script adds where the
 * firmware has put that file; checksums are made by the script at the end.
 */
#include "hw/firmware/acpi.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP "etc/acpi/rsdp"
#define FILE_LOADER "etc/table-loader"

enum {
    HEADER_BYTES = 36,
    FACS_BYTES = 64,
    FADT_BYTES = 244,
    RSDP_BYTES = 36,
    FADT_FIRMWARE_CTRL = 36,
    FADT_DSDT = 40,
    FADT_PM1A_EVT = 56,
    FADT_PM1A_CNT = 64,
    FADT_PM_TMR = 76,
    FADT_GPE0 = 80,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVT = 148,
    FADT_X_PM1A_CNT = 172,
    FADT_X_PM_TMR = 208,
    FADT_X_GPE0 = 220,
    DEFAULT_PM_BASE = 0x600,
    IOAPIC_GPA = 0xfec00000,
    LAPIC_GPA = 0xfee00000,
    HPET_GPA = 0xfed00000,
};

enum { LOADER_ALLOCATE = 1, LOADER_POINTER = 2, LOADER_CHECKSUM = 3, LOADER_COMMAND_BYTES = 128 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct acpi {
    struct acpi_config config;
    struct aml tables, loader, rsdp;
    size_t fadt; /* in tables */
};

static void loader_name(uint8_t *at, const char *name)
{
    memcpy(at, name, strlen(name));
}

static void loader_allocate(struct acpi *acpi, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t c[LOADER_COMMAND_BYTES] = {LOADER_ALLOCATE};
    loader_name(c + 4, file);
    le32_put(c + 60, align);
    c[64] = zone;
    aml_raw(&acpi->loader, c, sizeof(c));
}

/* The field of `size` bytes at `offset` of file holds an offset into FILE_TABLES. */
static void loader_pointer(struct acpi *acpi, const char *file, size_t offset, uint8_t size)
{
    uint8_t c[LOADER_COMMAND_BYTES] = {LOADER_POINTER};
    loader_name(c + 4, file);
    loader_name(c + 60, FILE_TABLES);
    le32_put(c + 116, (uint32_t)offset);
    c[120] = size;
    aml_raw(&acpi->loader, c, sizeof(c));
}

static void loader_checksum(struct acpi *acpi, const char *file, size_t at, size_t start,
                            size_t len_bytes)
{
    uint8_t c[LOADER_COMMAND_BYTES] = {LOADER_CHECKSUM};
    loader_name(c + 4, file);
    le32_put(c + 60, (uint32_t)at);
    le32_put(c + 64, (uint32_t)start);
    le32_put(c + 68, (uint32_t)len_bytes);
    aml_raw(&acpi->loader, c, sizeof(c));
}

static void pad_to(struct aml *t, size_t align)
{
    while (!t->failed && t->len_bytes % align)
        aml_u8(t, 0);
}

static size_t table_begin(struct acpi *acpi, const char *signature, uint8_t revision)
{
    struct aml *t = &acpi->tables;
    pad_to(t, 16);
    size_t start = t->len_bytes;
    aml_raw(t, signature, 4);
    aml_u32(t, 0); /* length, by table_end() */
    aml_u8(t, revision);
    aml_u8(t, 0); /* checksum, by the script */
    aml_raw(t, "YADO  ", 6);
    aml_raw(t, "YADOPC  ", 8);
    aml_u32(t, 1);
    aml_raw(t, "YADO", 4);
    aml_u32(t, 1);
    return start;
}

static void table_end(struct acpi *acpi, size_t start)
{
    struct aml *t = &acpi->tables;
    if (t->failed)
        return;
    le32_put(t->bytes + start + 4, (uint32_t)(t->len_bytes - start));
    loader_checksum(acpi, FILE_TABLES, start + 9, start, t->len_bytes - start);
}

static void build_facs(struct acpi *acpi)
{
    uint8_t facs[FACS_BYTES] = "FACS";
    le32_put(facs + 4, FACS_BYTES);
    facs[32] = 1; /* version */
    aml_raw(&acpi->tables, facs, sizeof(facs));
}

static size_t build_dsdt(struct acpi *acpi)
{
    /* Revision 1: 32-bit integers, as systems of the time of this board expect. */
    size_t start = table_begin(acpi, "DSDT", 1);
    acpi_build_dsdt(&acpi->tables, &acpi->config);
    table_end(acpi, start);
    return start;
}

/* A generic address structure (5.2.3.1) of an I/O port. */
static void put_gas_io(uint8_t *at, uint8_t bits, uint64_t port)
{
    at[0] = 1;
    at[1] = bits;
    at[2] = 0;
    at[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3; /* access size */
    le64_put(at + 4, port);
}

/* The ports of power management lie where firmware has put them. */
static void fadt_set_ports(uint8_t *fadt, uint16_t base)
{
    le32_put(fadt + FADT_PM1A_EVT, base);
    le32_put(fadt + FADT_PM1A_CNT, base + 4u);
    le32_put(fadt + FADT_PM_TMR, base + 8u);
    le32_put(fadt + FADT_GPE0, base + 12u);
    put_gas_io(fadt + FADT_X_PM1A_EVT, 32, base);
    put_gas_io(fadt + FADT_X_PM1A_CNT, 16, base + 4u);
    put_gas_io(fadt + FADT_X_PM_TMR, 32, base + 8u);
    put_gas_io(fadt + FADT_X_GPE0, 32, base + 12u);
    fadt[FADT_X_PM1A_EVT + 3] = fadt[FADT_X_GPE0 + 3] = 2; /* words: status, then enable */
}

static size_t build_fadt(struct acpi *acpi, size_t dsdt)
{
    static const struct {
        uint8_t at, value;
    } fields[] = {
        {45, 1},                                         /* preferred profile: desktop */
        {46, 9},                                         /* SCI */
        {48, 0xb2},                                      /* SMI command port */
        {52, 0xf1},                                      /* to enable ACPI */
        {53, 0xf0},                                      /* to disable it */
        {88, 4},                                         /* length of PM1 events */
        {89, 2},                                         /* of PM1 control */
        {91, 4},                                         /* of the timer */
        {92, 4},                                         /* of general purpose events 0 */
        {96, 0xff},  {97, 0x0f}, {98, 0xff}, {99, 0x0f}, /* no C2, no C3 */
        {108, 0x32},                                     /* century in CMOS */
        {109, 0x03},                                     /* legacy devices, 8042 */
        {128, 0x06},                                     /* value for the reset register */
    };
    size_t start = table_begin(acpi, "FACP", 3);
    uint8_t fadt[FADT_BYTES] = {0};
    le32_put(fadt + FADT_DSDT, (uint32_t)dsdt);
    le64_put(fadt + FADT_X_DSDT, dsdt);
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        fadt[fields[i].at] = fields[i].value;
    /* WBINVD works, C1, no sleep button, RTC does not wake, reset register; physical destinations
     * only when flat logical ones do not reach all processors. */
    le32_put(fadt + 112, 1u << 0 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 10 |
                             (acpi->config.cpus > 8 ? 1u << 19 : 0));
    put_gas_io(fadt + 116, 8, 0xcf9);
    fadt_set_ports(fadt, DEFAULT_PM_BASE);
    aml_raw(&acpi->tables, fadt + HEADER_BYTES, FADT_BYTES - HEADER_BYTES);
    loader_pointer(acpi, FILE_TABLES, start + FADT_FIRMWARE_CTRL, 4); /* FACS is at 0 */
    loader_pointer(acpi, FILE_TABLES, start + FADT_DSDT, 4);
    loader_pointer(acpi, FILE_TABLES, start + FADT_X_DSDT, 8);
    table_end(acpi, start);
    return start;
}

static size_t build_madt(struct acpi *acpi)
{
    struct aml *t = &acpi->tables;
    size_t start = table_begin(acpi, "APIC", 3);
    aml_u32(t, LAPIC_GPA);
    aml_u32(t, 1); /* there are 8259s too */
    for (unsigned i = 0; i < acpi->config.cpus; i++) {
        aml_raw(t, "\x00\x08", 2);
        aml_u8(t, (uint8_t)i);
        aml_u8(t, (uint8_t)i);
        aml_u32(t, 1);
    }
    aml_raw(t, "\x01\x0c\x00\x00", 4); /* IOAPIC 0 */
    aml_u32(t, IOAPIC_GPA);
    aml_u32(t, 0);
    /* IRQ 0 is on pin 2; the SCI and the PCI interrupts are level-triggered, active high. */
    static const struct {
        uint8_t irq, pin, flags;
    } overrides[] = {{0, 2, 0}, {5, 5, 0x0d}, {9, 9, 0x0d}, {10, 10, 0x0d}, {11, 11, 0x0d}};
    for (unsigned i = 0; i < ARRAY_LEN(overrides); i++) {
        aml_raw(t, "\x02\x0a\x00", 3);
        aml_u8(t, overrides[i].irq);
        aml_u32(t, overrides[i].pin);
        aml_u16(t, overrides[i].flags);
    }
    aml_raw(t, "\x04\x06\xff\x00\x00\x01", 6); /* NMI at LINT1 of all */
    table_end(acpi, start);
    return start;
}

static size_t build_hpet(struct acpi *acpi)
{
    struct aml *t = &acpi->tables;
    size_t start = table_begin(acpi, "HPET", 1);
    aml_u32(t, 0x8086a201);
    aml_raw(t, "\x00\x40\x00\x00", 4); /* memory, 64 bits */
    aml_u64(t, HPET_GPA);
    aml_u8(t, 0);
    aml_u16(t, 100); /* smallest periodic tick */
    aml_u8(t, 0);
    table_end(acpi, start);
    return start;
}

/* A device scope (VT-d 8.3.1) of one step: a chip behind no bridge. */
static void dmar_scope(struct aml *t, uint8_t type, uint8_t id, uint16_t source)
{
    aml_u8(t, type);
    aml_u8(t, 8);
    aml_u16(t, 0);
    aml_u8(t, id);
    aml_u8(t, (uint8_t)(source >> 8));
    aml_u8(t, source >> 3 & 31);
    aml_u8(t, source & 7);
}

static size_t build_dmar(struct acpi *acpi)
{
    struct aml *t = &acpi->tables;
    const struct acpi_config *c = &acpi->config;
    size_t start = table_begin(acpi, "DMAR", 1);
    aml_u8(t, (uint8_t)(c->phys_bits - 1)); /* host address width */
    aml_u8(t, 1);                           /* interrupts are remapped */
    aml_raw(t, "\0\0\0\0\0\0\0\0\0", 10);
    /* 8.3: one unit, whose scope is all of segment 0 and what is named. */
    aml_u16(t, 0);
    aml_u16(t, (uint16_t)(16 + 8 + (c->hpet ? 8 : 0)));
    aml_u8(t, 1); /* INCLUDE_PCI_ALL */
    aml_u8(t, 0);
    aml_u16(t, 0);
    aml_u64(t, c->vtd_gpa);
    dmar_scope(t, 3, 0, c->ioapic_source); /* by its ID in the MADT */
    if (c->hpet)
        dmar_scope(t, 4, 0, c->hpet_source); /* by its number in the HPET table */
    table_end(acpi, start);
    return start;
}

static size_t build_list(struct acpi *acpi, const char *signature, unsigned width,
                         const size_t *tables, unsigned count)
{
    struct aml *t = &acpi->tables;
    size_t start = table_begin(acpi, signature, 1);
    for (unsigned i = 0; i < count; i++) {
        loader_pointer(acpi, FILE_TABLES, t->len_bytes, (uint8_t)width);
        if (width == 8)
            aml_u64(t, tables[i]);
        else
            aml_u32(t, (uint32_t)tables[i]);
    }
    table_end(acpi, start);
    return start;
}

static void build_rsdp(struct acpi *acpi, size_t rsdt, size_t xsdt)
{
    uint8_t rsdp[RSDP_BYTES] = "RSD PTR ";
    memcpy(rsdp + 9, "YADO  ", 6);
    rsdp[15] = 2;
    le32_put(rsdp + 16, (uint32_t)rsdt);
    le32_put(rsdp + 20, RSDP_BYTES);
    le64_put(rsdp + 24, xsdt);
    aml_raw(&acpi->rsdp, rsdp, sizeof(rsdp));
    loader_pointer(acpi, FILE_RSDP, 16, 4);
    loader_pointer(acpi, FILE_RSDP, 24, 8);
    loader_checksum(acpi, FILE_RSDP, 8, 0, 20);
    loader_checksum(acpi, FILE_RSDP, 32, 0, RSDP_BYTES);
}

static void acpi_build(struct acpi *acpi)
{
    size_t tables[4];
    unsigned count = 0;
    loader_allocate(acpi, FILE_TABLES, 64, ZONE_HIGH);
    loader_allocate(acpi, FILE_RSDP, 16, ZONE_FSEG);
    build_facs(acpi);
    acpi->fadt = build_fadt(acpi, build_dsdt(acpi));
    tables[count++] = acpi->fadt;
    tables[count++] = build_madt(acpi);
    if (acpi->config.hpet)
        tables[count++] = build_hpet(acpi);
    if (acpi->config.vtd_gpa)
        tables[count++] = build_dmar(acpi);
    size_t rsdt = build_list(acpi, "RSDT", 4, tables, count);
    size_t xsdt = build_list(acpi, "XSDT", 8, tables, count);
    build_rsdp(acpi, rsdt, xsdt);
}

/* The firmware fetches the tables: it has programmed the chipset by now. */
static void fill_tables(void *ctx, uint8_t *buf, size_t len_bytes)
{
    struct acpi *acpi = ctx;
    uint16_t base = acpi->config.pm_base ? acpi->config.pm_base(acpi->config.ctx) : 0;
    memcpy(buf, acpi->tables.bytes, len_bytes);
    fadt_set_ports(buf + acpi->fadt, base ? base : DEFAULT_PM_BASE);
}

struct acpi *acpi_free(struct acpi *acpi)
{
    if (acpi) {
        aml_done(&acpi->tables);
        aml_done(&acpi->loader);
        aml_done(&acpi->rsdp);
        free(acpi);
    }
    return NULL;
}

int acpi_install(struct fw_cfg *cfg, const struct acpi_config *config, struct acpi **ret_acpi)
{
    if (!config->cpus || config->cpus > 255 || !config->pirq)
        return -EINVAL;
    struct acpi *acpi = calloc(1, sizeof(*acpi));
    if (!acpi)
        return -ENOMEM;
    acpi->config = *config;
    acpi_build(acpi);
    int r = acpi->tables.failed || acpi->loader.failed || acpi->rsdp.failed ? -ENOMEM : 0;
    if (!r)
        r = fw_cfg_add_file_fn(cfg, FILE_TABLES, acpi->tables.len_bytes, fill_tables, acpi);
    if (!r)
        r = fw_cfg_add_file(cfg, FILE_RSDP, acpi->rsdp.bytes, acpi->rsdp.len_bytes);
    if (!r)
        r = fw_cfg_add_file(cfg, FILE_LOADER, acpi->loader.bytes, acpi->loader.len_bytes);
    if (r < 0) {
        acpi_free(acpi);
        return r;
    }
    *ret_acpi = acpi;
    return 0;
}
