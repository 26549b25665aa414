/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC as its own files see it: every device by name, and the wiring table's walk.
 */
#ifndef MACHINE_PC_H
#define MACHINE_PC_H

#include "hw/core/pci.h"
#include "hw/core/wire.h"
#include "machine/machine_internal.h"

#define PC_IRQS 24
#define PC_REGIONS_MAX 64
#define PC_ROWS_MAX 60
#define PC_IDE_DRIVES 4
#define PC_AHCI_SLOT 19
#define PC_SCSI_SLOT 27 /* behind the cards: pc_nic_slot() */
/* Chips of the platform on a bus that no device is on, as the sources of their messages. */
#define PC_IOAPIC_SOURCE 0xf0f8u
#define PC_HPET_SOURCE 0xf078u
#define PC_SATA_DISKS 5u
#define PC_SATA_CD 5u /* its port */
#define PC_SCSI_DISKS 8u
#define PC_VIRTIO_BLK_SLOT 4 /* of the first disk; the others follow */
#define PC_BOOT_PIECES_MAX 32
#define PC_LINUX_PARTS 5

/* Who drives an interrupt line: inputs of its wired OR. */
enum irq_source {
    IRQ_FROM_ISA,
    IRQ_FROM_PCI,
    IRQ_FROM_SCI,
    IRQ_FROM_HPET,
    IRQ_FROM_TEST,
    IRQ_FROM_FERR
};

/* A file in memory. */
struct blob {
    uint8_t *data;
    size_t len_bytes;
};

/* What starts without firmware: where it goes and how the first processor begins. */
struct boot_piece {
    uint64_t gpa;
    uint8_t *data; /* allocated */
    size_t len_bytes;
    uint64_t zero_bytes; /* after the data */
};

struct direct_boot {
    bool used;
    struct boot_piece pieces[PC_BOOT_PIECES_MAX];
    unsigned count;
    uint32_t eip, eax, ebx;
};

struct pc_disk {
    struct blk *blk;
    enum machine_bus bus;
    unsigned place; /* on its bus, in order of appearance */
    char *path;     /* of a disk with an undo disk, else NULL */
    bool undo_made; /* just now */
};

struct pc_nic;

struct pc {
    struct machine *m;
    const struct machine_config *config; /* only while pc_new() runs */

    struct i8259 *pic;
    struct ioapic *ioapic;
    struct lapic *lapic; /* NULL: the engine has them */
    struct vtd *vtd;     /* NULL: there is no IOMMU */
    struct i8254 *pit;
    struct mc146818 *rtc;
    struct hpet *hpet;
    struct pci_bus *pci;
    struct i440fx *bridge;
    struct piix3 *isa;
    struct ide_pci *ide;
    struct ide *ide_primary, *ide_secondary;
    struct piix4_pm *pm;
    struct port92 *port92;
    struct ps2kbd *kbd;
    struct ps2mouse *mouse;
    struct i8042 *kbc;
    struct ns16550 *com1, *com2;
    struct i8237 *dma;
    struct fdc *fdc;
    struct debugcon *debug_bochs, *debug_bios, *debug_exit;
    struct testdev *testdev;
    struct edu *edu;
    struct fw_cfg *fw_cfg;
    struct vga *vga;
    struct virtio_blk *virtio_blk[MACHINE_DISKS_MAX];
    struct ahci *ahci;
    struct virtio_scsi *scsi;
    struct virtio_rng *rng;
    struct virtio_balloon *balloon;
    struct virtio_console *console;
    struct pc_nic *nics[MACHINE_NETS_MAX];

    struct wire_or irqs[PC_IRQS];
    struct wire_or a20;
    struct wire_or intr; /* the 8259's output as vCPU 0 sees it without local APIC of ours */

    struct region ram_low, ram_high, rom;
    struct region regions[PC_REGIONS_MAX];
    bool region_is_port[PC_REGIONS_MAX];
    unsigned region_count;
    unsigned rows_made;

    uint64_t rom_offset, rom_bytes;
    struct blob firmware, vga_rom;
    struct blob nic_roms[4]; /* by enum machine_nic; freed when all cards are made */
    struct acpi *acpi;
    struct direct_boot boot;
    struct blob linux_parts[PC_LINUX_PARTS]; /* what fw_cfg points to: boot_linux.c */
    uint32_t linux_setup_gpa, linux_kernel_gpa, linux_cmdline_gpa, linux_initrd_gpa;

    struct pc_disk disks[MACHINE_DISKS_MAX];
    unsigned disk_count;
    char *parents[MACHINE_PARENTS_MAX + 1];
    struct blk *cdrom, *floppy;
    bool cdrom_sata;
};

/* Interrupts (pc_irq.c): where line n leads, and the 8259s' answer to an acknowledge (or -1). */
struct line pc_irq_input(struct pc *pc, unsigned n);
int pc_pic_ack(void *pc);
/* Line `n` (of PC_IRQS) as driven by source; for struct line (ctx pc). */
struct line pc_line(struct pc *pc, enum irq_source source, unsigned n);
void pc_irq(struct pc *pc, enum irq_source source, unsigned n, bool level);
/* Messages of devices, on their way through the IOMMU if there is one; and what comes out of it. */
struct msi_sink pc_msi(struct pc *pc);
void pc_msi_deliver(void *pc, uint16_t source, uint64_t addr, uint32_t data);
/* What of the wires no device drives again when it is loaded. */
int pc_wires_state(struct pc *pc, struct state *s);

struct ide_drive_config;

/* pc_drives.c: open what was asked for; put it where guests look for it. */
int drives_open(struct pc *pc, struct error *err);
void drives_close(struct pc *pc);
void drives_poll(struct pc *pc);
void drives_retry(struct pc *pc);
void drives_flush(struct pc *pc);
int drives_quiesce(struct pc *pc, struct error *err);
/* The four positions of the IDE channels. */
void drives_ide(struct pc *pc, struct ide_drive_config *ret_drives);

/* A free place on disk->bus. -ENOSPC with text. */
int drives_place(const struct pc *pc, struct pc_disk *disk, struct error *err);
/* Open one disk; close it, and do what is wished with its changes. */
int drives_open_disk(struct pc *pc, const struct machine_disk *what, struct pc_disk *disk,
                     struct error *err);
void drives_close_disk(struct pc *pc, struct pc_disk *disk);
/* "scsi.0" */
void drives_name(const struct pc_disk *disk, char name[16]);
/* Media do not change while the machine is saved or restored. -EAGAIN with text. */
int drives_idle(const struct machine *m, struct error *err);

/* pc_storage.c: controllers whose disks come and go. */
bool storage_wants_ahci(const struct pc *pc);
bool storage_wants_scsi(const struct pc *pc);
int storage_make_ahci(struct pc *pc, struct error *err);
int storage_make_scsi(struct pc *pc, struct error *err);
/* The channel whose master is the CD drive. */
struct ide *storage_cd_channel(const struct pc *pc);

/* The n-th virtio disk's image, NULL: there is none. */
struct blk *drives_virtio(const struct pc *pc, unsigned n);

/* pc_iommu.c: what stands between devices and memory. */
bool iommu_wanted(const struct pc *pc);
int iommu_make(struct pc *pc, struct error *err);
struct dma_map iommu_map(const struct pc *pc);

/* pc_net.c: network cards, one interface for all kinds. */
extern const struct dev_ops pc_nic_dev_ops;
int pc_nic_make(struct pc *pc, unsigned n, struct error *err);
/* Where card n is on the PCI bus. */
unsigned pc_nic_slot(unsigned n);
void pc_nic_roms_done(struct pc *pc);

/* pc_firmware.c: ROM images, CMOS, fw_cfg contents. */
int firmware_open(struct pc *pc, struct error *err);
void firmware_close(struct pc *pc);
void firmware_cmos(struct pc *pc);
int firmware_fw_cfg(struct pc *pc, struct error *err);

/* boot.c: --kernel. Decides by the file's contents. */
int boot_open(struct pc *pc, struct error *err);
void boot_close(struct pc *pc);
/* After a reset: pieces into memory, registers of vCPU 0. Locked, vCPUs parked. */
int boot_apply(struct pc *pc);

/* A whole file; names it in the error. limit_bytes: larger ones are refused. */
int blob_read(struct blob *blob, const char *path, uint64_t limit_bytes, struct error *err);
void blob_done(struct blob *blob);
/* Room for a blob's data and a zero behind it, for blob_done() to free. NULL: out of memory. */
uint8_t *blob_alloc(size_t len_bytes);

#endif
