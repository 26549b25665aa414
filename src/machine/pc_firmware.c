/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware of the PC: its ROM below 4 GiB, and what it reads in CMOS and fw_cfg.
 */
#include "machine/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hw/chipset/piix3.h"
#include "hw/chipset/piix4_pm.h"
#include "hw/firmware/acpi.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/firmware/fw_files.h"
#include "hw/firmware/smbios.h"
#include "hw/iommu/vtd.h"
#include "hw/timer/mc146818.h"

#define BIOS_PATH "/usr/share/seabios/bios-256k.bin"
#define UEFI_PATH "/usr/share/ovmf/OVMF.fd"
#define VGA_ROM_PATH "/usr/share/seabios/vgabios-stdvga.bin"
#define ROM_BYTES_MAX MIB(16)
#define VGA_ROM_BYTES_MAX KIB(64)
#define ROM_STEP KIB(4)
#define PCI_HOLE_END 0xfebfffffu
#define PATHS_MAX 24

static int rom_lay(struct pc *pc, const char *path, struct error *err)
{
    struct machine *m = pc->m;
    int r;

    pc->rom_bytes = pc->firmware.len_bytes;
    if (!pc->rom_bytes || pc->rom_bytes % ROM_STEP)
        return error_set(err, -EINVAL,
                         "--firmware: %s: %llu bytes are no ROM image (a multiple of 4096)", path,
                         (unsigned long long)pc->rom_bytes);
    r = ram_alloc(m->ram, pc->rom_bytes, &pc->rom_offset);
    if (r < 0)
        return r;
    memcpy(m->ram->host + pc->rom_offset, pc->firmware.data, pc->rom_bytes);
    pc->rom = (struct region){.name = "firmware",
                              .base = GIB(4) - pc->rom_bytes,
                              .size_bytes = pc->rom_bytes,
                              .priority = 1,
                              .kind = REGION_ROM,
                              .ram_offset = pc->rom_offset};
    return bus_add(m->mem, &pc->rom);
}

int firmware_open(struct pc *pc, struct error *err)
{
    const char *name = pc->config->firmware, *package = NULL, *path = name;
    struct error why = {""};
    int r;

    if (!name || !strcmp(name, "bios")) {
        path = BIOS_PATH;
        package = "seabios";
    } else if (!strcmp(name, "uefi")) {
        path = UEFI_PATH;
        package = "ovmf";
    }
    r = blob_read(&pc->firmware, path, ROM_BYTES_MAX, &why);
    if (r < 0 && package)
        return error_set(err, r, "--firmware: %s; install the package %s", why.text, package);
    if (r < 0)
        return error_set(err, r, "--firmware: %s", why.text);
    r = blob_read(&pc->vga_rom, VGA_ROM_PATH, VGA_ROM_BYTES_MAX, &why);
    if (r < 0)
        return error_set(err, r, "the screen's firmware: %s; install the package seabios",
                         why.text);
    return rom_lay(pc, path, err);
}

void firmware_close(struct pc *pc)
{
    pc->acpi = acpi_free(pc->acpi);
    blob_done(&pc->firmware);
    blob_done(&pc->vga_rom);
}

static void poke16(struct pc *pc, uint8_t index, uint64_t value)
{
    mc146818_poke(pc->rtc, index, (uint8_t)value);
    mc146818_poke(pc->rtc, (uint8_t)(index + 1), (uint8_t)(value >> 8));
}

void firmware_cmos(struct pc *pc)
{
    uint64_t low = pc->m->low_ram_bytes, high = pc->m->high_ram_bytes;
    uint64_t extended = MIN((low - MIB(1)) / 1024, 0xffffULL);
    uint64_t above_16m = low > MIB(16) ? MIN((low - MIB(16)) / KIB(64), 0xffffULL) : 0;
    /* First, second and third device to boot from: 1 floppy, 2 disk, 3 CD, 4 network. */
    static const uint8_t orders[][3] = {
        [MACHINE_BOOT_DISK] = {2, 3, 1},
        [MACHINE_BOOT_CDROM] = {3, 2, 1},
        [MACHINE_BOOT_FLOPPY] = {1, 2, 3},
        [MACHINE_BOOT_NETWORK] = {4, 2, 3},
    };
    const uint8_t *order = orders[pc->config->boot];

    poke16(pc, CMOS_BASE_MEM, 640);
    poke16(pc, CMOS_EXT_MEM, extended);
    poke16(pc, CMOS_EXT_MEM2, extended);
    poke16(pc, CMOS_EXT_MEM_64K, above_16m);
    poke16(pc, CMOS_HIGH_MEM, high / KIB(64));
    mc146818_poke(pc->rtc, CMOS_HIGH_MEM + 2, (uint8_t)(high / KIB(64) >> 16));
    mc146818_poke(pc->rtc, CMOS_SMP_COUNT, (uint8_t)(pc->m->config.cpus - 1));
    mc146818_poke(pc->rtc, CMOS_EQUIPMENT, 0x07); /* a floppy drive, coprocessor, PS/2 mouse */
    mc146818_poke(pc->rtc, CMOS_BOOT_FLAG2, (uint8_t)(order[1] << 4 | order[0]));
    mc146818_poke(pc->rtc, CMOS_BOOT_FLAG1, (uint8_t)(order[2] << 4 | 1));
}

struct paths {
    char text[PATHS_MAX][64];
    const char *list[PATHS_MAX];
    unsigned count;
};

/* The next place in the list, for snprintf(); the last is used again when all are full. */
static char *path_next(struct paths *p)
{
    unsigned n = MIN(p->count, PATHS_MAX - 1u);

    p->list[n] = p->text[n];
    p->count = n + 1;
    return p->text[n];
}

#define PATH_ADD(p, ...) snprintf(path_next(p), sizeof((p)->text[0]), __VA_ARGS__)

static void paths_disks(struct pc *pc, struct paths *p)
{
    unsigned virtio = 0;

    for (unsigned i = 0; i < pc->disk_count; i++) {
        unsigned place = pc->disks[i].place;

        switch (pc->disks[i].bus) {
        case MACHINE_BUS_VIRTIO:
            PATH_ADD(p, "/pci@i0cf8/scsi@%x/disk@0,0", PC_VIRTIO_BLK_SLOT + virtio++);
            break;
        case MACHINE_BUS_SATA:
            PATH_ADD(p, "/pci@i0cf8/*@%x/drive@%u/disk@0", PC_AHCI_SLOT, place);
            break;
        case MACHINE_BUS_SCSI:
            PATH_ADD(p, "/pci@i0cf8/*@%x/*@0/*@%u,0", PC_SCSI_SLOT, place);
            break;
        case MACHINE_BUS_IDE:
            PATH_ADD(p, "/pci@i0cf8/ide@1,1/drive@%u/disk@%u", place / 2, place % 2);
        }
    }
}

static void paths_nets(struct pc *pc, struct paths *p)
{
    for (unsigned n = 0; n < pc->config->net_count; n++)
        PATH_ADD(p, "/pci@i0cf8/ethernet@%x/ethernet-phy@0", pc_nic_slot(n));
}

static void paths_media(const struct pc *pc, struct paths *p, enum machine_boot what)
{
    if (what == MACHINE_BOOT_CDROM && pc->cdrom_sata)
        PATH_ADD(p, "/pci@i0cf8/*@%x/drive@%u/disk@0", PC_AHCI_SLOT, PC_SATA_CD);
    else if (what == MACHINE_BOOT_CDROM)
        PATH_ADD(p, "/pci@i0cf8/ide@1,1/drive@1/disk@0");
    if (what == MACHINE_BOOT_FLOPPY)
        PATH_ADD(p, "/pci@i0cf8/isa@1/fdc@03f0/floppy@0");
}

static int boot_order(struct pc *pc)
{
    enum machine_boot boot = pc->config->boot;
    struct paths p = {.count = 0};

    if (pc->linux_parts[0].data)
        PATH_ADD(&p, "/rom@genroms/yado-linux.bin");
    if (boot == MACHINE_BOOT_NETWORK)
        paths_nets(pc, &p);
    paths_media(pc, &p, boot);
    paths_disks(pc, &p);
    if (boot != MACHINE_BOOT_CDROM && pc->cdrom)
        paths_media(pc, &p, MACHINE_BOOT_CDROM);
    if (boot != MACHINE_BOOT_FLOPPY && pc->floppy)
        paths_media(pc, &p, MACHINE_BOOT_FLOPPY);
    return fw_files_boot_order(pc->fw_cfg, p.list, p.count, false);
}

static uint16_t pm_base(void *ctx)
{
    return piix4_pm_base(((struct pc *)ctx)->pm);
}

static int tables_install(struct pc *pc)
{
    struct machine *m = pc->m;
    uint64_t high_end = HIGH_RAM_BASE + m->high_ram_bytes;
    struct acpi_config acpi = {
        .cpus = m->config.cpus,
        .hpet = true,
        .floppy = true,
        .vtd_gpa = pc->vtd ? VTD_BASE : 0,
        .phys_bits = PHYS_BITS,
        .ioapic_source = PC_IOAPIC_SOURCE,
        .hpet_source = PC_HPET_SOURCE,
        .serial_ports = 2,
        .pci_first = (uint32_t)m->low_ram_bytes,
        .pci_first64 = align_up(high_end, GIB(1)),
        .pci_last64 = align_up(high_end, GIB(1)) + GIB(32) - 1,
        .pirq = piix3_pirq,
        .pm_base = pm_base,
        .ctx = pc,
    };
    struct smbios_config smbios = {.cpus = m->config.cpus,
                                   .ram_bytes = m->config.memory_bytes,
                                   .ram_low_bytes = m->low_ram_bytes};
    int r = acpi_install(pc->fw_cfg, &acpi, &pc->acpi);

    return r < 0 ? r : smbios_install(pc->fw_cfg, &smbios);
}

int firmware_fw_cfg(struct pc *pc, struct error *err)
{
    static const uint8_t uuid[16];
    struct machine *m = pc->m;
    struct fw_cfg *cfg = pc->fw_cfg;
    uint16_t cpus = (uint16_t)m->config.cpus;
    int r;

    if ((r = fw_cfg_add(cfg, FW_CFG_UUID, uuid, sizeof(uuid))) < 0 ||
        (r = fw_cfg_add_u64(cfg, FW_CFG_RAM_SIZE, m->config.memory_bytes)) < 0 ||
        (r = fw_cfg_add_u16(cfg, FW_CFG_NOGRAPHIC, 0)) < 0 ||
        (r = fw_cfg_add_u16(cfg, FW_CFG_NB_CPUS, cpus)) < 0 ||
        (r = fw_cfg_add_u16(cfg, FW_CFG_MAX_CPUS, cpus)) < 0 ||
        (r = fw_cfg_add_u32(cfg, FW_CFG_IRQ0_OVERRIDE, 1)) < 0 ||
        (r = fw_files_e820(cfg, m->low_ram_bytes, m->high_ram_bytes)) < 0 ||
        (r = fw_files_boot_menu(cfg, 0)) < 0 || (r = fw_files_system_states(cfg)) < 0 ||
        (r = boot_order(pc)) < 0 || (r = boot_linux_fw_cfg(pc)) < 0 || (r = tables_install(pc)) < 0)
        return error_set(err, r, "tables for the firmware: %s", strerror(-r));
    return 0;
}
