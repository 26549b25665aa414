/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The controllers whose disks come and go: serial ATA and virtio SCSI. They are there when a disk
 * is on them, or when somebody wants one there later.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hw/storage/ahci.h"
#include "hw/virtio/virtio_scsi.h"
#include "machine/pc.h"

/* One for each processor, so that none waits for another's; more than eight gain nothing. */
#define SCSI_QUEUES 8u

/* Disks fill a controller from its first place on. */
_Static_assert(PC_SATA_DISKS == AHCI_PORTS - 1, "the last port is the CD drive's");
_Static_assert(PC_SCSI_DISKS == VIRTIO_SCSI_TARGETS, "a target for each disk");

static bool is_used(const struct pc *pc, enum machine_bus bus)
{
    for (unsigned i = 0; i < pc->disk_count; i++)
        if (pc->disks[i].bus == bus)
            return true;
    return false;
}

bool storage_wants_ahci(const struct pc *pc)
{
    return pc->config->sata || pc->cdrom_sata || is_used(pc, MACHINE_BUS_SATA);
}

bool storage_wants_scsi(const struct pc *pc)
{
    return pc->config->scsi || is_used(pc, MACHINE_BUS_SCSI);
}

static void serial_of(const struct pc_disk *disk, char serial[21])
{
    snprintf(serial, 21, "YD-%s-%u", disk->bus == MACHINE_BUS_SATA ? "SATA" : "SCSI",
             disk->place + 1);
}

int storage_make_ahci(struct pc *pc, struct error *err)
{
    struct ahci_env env = {.pci = pc->pci, .devfn = PCI_DEVFN(PC_AHCI_SLOT, 0)};
    struct ide_drive_config drives[AHCI_PORTS] = {0};
    char serials[AHCI_PORTS][21];

    (void)err;
    for (unsigned i = 0; i < pc->disk_count; i++) {
        const struct pc_disk *disk = &pc->disks[i];

        if (disk->bus != MACHINE_BUS_SATA)
            continue;
        serial_of(disk, serials[disk->place]);
        drives[disk->place] = (struct ide_drive_config){
            .kind = IDE_DISK, .blk = disk->blk, .serial = serials[disk->place]};
    }
    if (pc->cdrom_sata)
        drives[PC_SATA_CD] = (struct ide_drive_config){.kind = IDE_CD, .blk = pc->cdrom};
    return ahci_new(&env, drives, &pc->ahci);
}

static int scsi_plug(struct pc *pc, const struct pc_disk *disk)
{
    char serial[21];

    serial_of(disk, serial);
    return virtio_scsi_plug(pc->scsi, disk->place, disk->blk, serial);
}

int storage_make_scsi(struct pc *pc, struct error *err)
{
    struct virtio_scsi_env env = {
        .virtio = {.pci = pc->pci, .devfn = PCI_DEVFN(PC_SCSI_SLOT, 0), .clock = pc->m->clock},
        .queues = MIN(pc->m->config.cpus, SCSI_QUEUES)};
    int r = virtio_scsi_new(&env, &pc->scsi);

    (void)err;
    for (unsigned i = 0; i < pc->disk_count && r == 0; i++)
        if (pc->disks[i].bus == MACHINE_BUS_SCSI)
            r = scsi_plug(pc, &pc->disks[i]);
    return r;
}

struct ide *storage_cd_channel(const struct pc *pc)
{
    return pc->cdrom_sata ? ahci_drive(pc->ahci, PC_SATA_CD) : pc->ide_secondary;
}

/* ---- while the machine runs ---- */

static int plug(struct pc *pc, const struct pc_disk *disk)
{
    struct ide_drive_config drive = {.kind = IDE_DISK, .blk = disk->blk};
    char serial[21];

    if (disk->bus == MACHINE_BUS_SCSI)
        return scsi_plug(pc, disk);
    serial_of(disk, serial);
    drive.serial = serial;
    return ahci_plug(pc->ahci, disk->place, &drive);
}

static int check_bus(const struct pc *pc, enum machine_bus bus, struct error *err)
{
    if (bus != MACHINE_BUS_SATA && bus != MACHINE_BUS_SCSI)
        return error_set(err, -EINVAL, "bus: disks come and go on scsi and sata only");
    if (bus == MACHINE_BUS_SCSI ? !pc->scsi : !pc->ahci)
        return error_set(err, -ENODEV,
                         "the machine has no such controller; start it with --%s, or with a disk "
                         "on it",
                         bus == MACHINE_BUS_SCSI ? "scsi" : "sata");
    return 0;
}

int machine_disk_add(struct machine *m, const struct machine_disk *what, char name[16],
                     struct error *err)
{
    struct pc *pc = m->pc;
    struct pc_disk disk = {.bus = what->bus};
    int r = drives_idle(m, err);

    if (r < 0)
        return r;
    machine_lock(m);
    r = check_bus(pc, what->bus, err);
    if (r == 0 && pc->disk_count == MACHINE_DISKS_MAX)
        r = error_set(err, -ENOSPC, "the machine has %u disks, and has room for no more",
                      MACHINE_DISKS_MAX);
    if (r == 0)
        r = drives_place(pc, &disk, err);
    if (r == 0)
        r = drives_open_disk(pc, what, &disk, err);
    if (r == 0) {
        r = plug(pc, &disk);
        if (r < 0) {
            error_set(err, r, "the disk cannot be plugged in: %s", strerror(-r));
            drives_close_disk(pc, &disk);
        } else {
            pc->disks[pc->disk_count++] = disk;
            drives_name(&disk, name);
        }
    }
    machine_unlock(m);
    return r;
}

int machine_disk_remove(struct machine *m, const char *name, struct error *err)
{
    struct pc *pc = m->pc;
    int r = drives_idle(m, err);

    if (r < 0)
        return r;
    machine_lock(m);
    r = -ENOENT;
    for (unsigned i = 0; i < pc->disk_count && r == -ENOENT; i++) {
        struct pc_disk disk = pc->disks[i];
        char here[16];

        drives_name(&disk, here);
        if (strcmp(here, name))
            continue;
        r = check_bus(pc, disk.bus, err);
        if (r < 0)
            break;
        r = disk.bus == MACHINE_BUS_SCSI ? virtio_scsi_unplug(pc->scsi, disk.place)
                                         : ahci_unplug(pc->ahci, disk.place);
        if (r < 0) {
            error_set(err, r, "%s cannot be taken out: %s", name, strerror(-r));
            break;
        }
        memmove(&pc->disks[i], &pc->disks[i + 1], (pc->disk_count - i - 1) * sizeof(disk));
        pc->disks[--pc->disk_count] = (struct pc_disk){0};
        drives_close_disk(pc, &disk);
    }
    if (r == -ENOENT)
        error_set(err, r, "there is no disk '%s'; disk-list tells which there are", name);
    machine_unlock(m);
    return r;
}

bool machine_disk_get(struct machine *m, unsigned n, struct machine_disk_info *ret_info)
{
    bool found;

    machine_lock(m);
    found = n < m->pc->disk_count;
    if (found) {
        const struct pc_disk *disk = &m->pc->disks[n];

        drives_name(disk, ret_info->name);
        snprintf(ret_info->path, sizeof(ret_info->path), "%s", disk->blk->name);
        snprintf(ret_info->format, sizeof(ret_info->format), "%s", disk->blk->ops->format);
        ret_info->size_bytes = disk->blk->size_bytes;
        ret_info->readonly = disk->blk->readonly;
        blk_get_limits(disk->blk, &ret_info->limits);
    }
    machine_unlock(m);
    return found;
}

int machine_disk_limit(struct machine *m, unsigned n, const struct blk_limits *limits)
{
    int r = -ENOENT;

    machine_lock(m);
    if (n < m->pc->disk_count)
        r = blk_set_limits(m->pc->disks[n].blk, m->clock, limits);
    machine_unlock(m);
    return r;
}
