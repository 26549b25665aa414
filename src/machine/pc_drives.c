/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks, the CD drive and the floppy drive of a PC: which image is where, and media that come and
 * go. The CD drive is the master of the second IDE channel, as guests expect, or on the last port of
 * the SATA controller; disks on IDE fill the other places.
 */
#define LOG_ROOM "machine"
#include "machine/pc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hw/storage/fdc.h"
#include "hw/storage/ide_pci.h"

#define CD_POSITION 2

/* The guest must not see this error: it would lose what it wrote. */
static void disk_full(void *ctx)
{
    machine_ask(ctx, REQUEST_DISK_FULL);
}

static void disk_opened(struct pc *pc, struct blk *blk)
{
    blk_set_notify(blk, machine_wake, pc->m);
    blk_set_full(blk, disk_full, pc->m);
}

/* A disk, through its undo disk if the machine has those. */
static int disk_open(struct pc *pc, const struct machine_disk *what, struct pc_disk *disk,
                     struct error *err)
{
    struct blk_options options = {.readonly = what->readonly,
                                  .parent_folders = (const char *const *)pc->parents};
    int r = 0;

    if (what->readonly)
        return blk_open_with(what->path, &options, &disk->blk, err);
    if (pc->m->config.undo == UNDO_OFF) {
        r = undo_absent(what->path, err);
        return r < 0 ? r : blk_open_with(what->path, &options, &disk->blk, err);
    }
    disk->path = strdup(what->path);
    if (!disk->path)
        return -ENOMEM;
    r = undo_open(what->path, &options, &disk->undo_made, &disk->blk, err);
    if (r < 0) {
        free(disk->path);
        disk->path = NULL;
    }
    return r;
}

int drives_open_disk(struct pc *pc, const struct machine_disk *what, struct pc_disk *disk,
                     struct error *err)
{
    int r = disk_open(pc, what, disk, err);

    if (r < 0)
        return r;
    disk_opened(pc, disk->blk);
    if (what->limits.read_bytes || what->limits.write_bytes || what->limits.reads ||
        what->limits.writes)
        r = blk_set_limits(disk->blk, pc->m->clock, &what->limits);
    if (r < 0)
        drives_close_disk(pc, disk);
    return r;
}

static const struct {
    const char *name;
    unsigned places;
} buses[] = {
    [MACHINE_BUS_IDE] = {"ide", PC_IDE_DRIVES},
    [MACHINE_BUS_VIRTIO] = {"virtio", MACHINE_DISKS_MAX},
    [MACHINE_BUS_SATA] = {"sata", PC_SATA_DISKS},
    [MACHINE_BUS_SCSI] = {"scsi", PC_SCSI_DISKS},
};

void drives_name(const struct pc_disk *disk, char name[16])
{
    snprintf(name, 16, "%s.%u", buses[disk->bus].name, disk->place);
}

int drives_place(const struct pc *pc, struct pc_disk *disk, struct error *err)
{
    bool with_cd = disk->bus == MACHINE_BUS_IDE && !pc->cdrom_sata;
    uint32_t taken = with_cd ? 1u << CD_POSITION : 0;

    for (unsigned i = 0; i < pc->disk_count; i++)
        if (pc->disks[i].bus == disk->bus)
            taken |= 1u << pc->disks[i].place;
    for (disk->place = 0; disk->place < buses[disk->bus].places; disk->place++)
        if (!(taken & 1u << disk->place))
            return 0;
    return error_set(err, -ENOSPC, "%s has room for %u disks; put the others on another bus",
                     buses[disk->bus].name, buses[disk->bus].places - with_cd);
}

static int parents_copy(struct pc *pc)
{
    for (unsigned i = 0; i < MACHINE_PARENTS_MAX && pc->config->parents[i]; i++)
        if (!(pc->parents[i] = strdup(pc->config->parents[i])))
            return -ENOMEM;
    return 0;
}

int drives_open(struct pc *pc, struct error *err)
{
    const struct machine_config *config = pc->config;
    int r = parents_copy(pc);

    pc->cdrom_sata = config->cdrom_sata;
    if (r < 0)
        return r;
    for (unsigned i = 0; i < config->disk_count; i++) {
        struct pc_disk *disk = &pc->disks[i];

        disk->bus = config->disks[i].bus;
        r = drives_place(pc, disk, err);
        if (r == 0)
            r = drives_open_disk(pc, &config->disks[i], disk, err);
        if (r < 0)
            return error_prefix(err, r, "--disk");
        pc->disk_count++;
    }
    if (config->cdrom) {
        r = blk_open(config->cdrom, true, &pc->cdrom, err);
        if (r < 0)
            return error_prefix(err, r, "--cdrom");
        disk_opened(pc, pc->cdrom);
    }
    if (config->floppy) {
        r = blk_open(config->floppy, false, &pc->floppy, err);
        if (r < 0)
            return error_prefix(err, r, "--floppy");
        disk_opened(pc, pc->floppy);
    }
    return 0;
}

/* Every image: fn may be NULL-safe only. */
static void each(struct pc *pc, void (*fn)(struct blk *blk))
{
    for (unsigned i = 0; i < pc->disk_count; i++)
        fn(pc->disks[i].blk);
    if (pc->cdrom)
        fn(pc->cdrom);
    if (pc->floppy)
        fn(pc->floppy);
}

void drives_poll(struct pc *pc)
{
    each(pc, blk_poll);
}

void drives_retry(struct pc *pc)
{
    each(pc, blk_retry);
}

static int quiesce(struct blk *blk, struct error *err)
{
    int r = blk_quiesce(blk);

    if (r == -ENOSPC)
        return error_set(err, r,
                         "the host has no room for what the guest writes to %s; make room, resume "
                         "the machine, then save it",
                         blk->name);
    return r < 0 ? error_set(err, r, "%s cannot be brought to stable storage: %s", blk->name,
                             strerror(-r))
                 : 0;
}

int drives_quiesce(struct pc *pc, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; i < pc->disk_count && r == 0; i++)
        r = quiesce(pc->disks[i].blk, err);
    if (r == 0 && pc->cdrom)
        r = quiesce(pc->cdrom, err);
    if (r == 0 && pc->floppy)
        r = quiesce(pc->floppy, err);
    return r;
}

static void drain_and_flush(struct blk *blk)
{
    blk_drain(blk);
    if (!blk->readonly)
        blk_flush(blk);
}

void drives_flush(struct pc *pc)
{
    each(pc, drain_and_flush);
}

/*
 * A machine that broke keeps its changes: whoever mends it decides. One that was saved needs them
 * to go on.
 */
static void disk_undo(struct pc *pc, const struct pc_disk *disk)
{
    struct machine *m = pc->m;
    bool keep =
        m->end == MACHINE_BROKEN || m->end == MACHINE_TRIPLE_FAULT || m->end == MACHINE_SAVED;
    enum undo undo = keep ? UNDO_KEEP : m->config.undo;
    struct error err;

    if (!m->started)
        undo = disk->undo_made ? UNDO_DISCARD : UNDO_KEEP;
    if (undo_end(disk->path, undo, (const char *const *)pc->parents, &err) < 0)
        log_error("%s", err.text);
}

void drives_close_disk(struct pc *pc, struct pc_disk *disk)
{
    blk_close(disk->blk);
    if (disk->path)
        disk_undo(pc, disk);
    free(disk->path);
}

void drives_close(struct pc *pc)
{
    while (pc->disk_count)
        drives_close_disk(pc, &pc->disks[--pc->disk_count]);
    for (unsigned i = 0; pc->parents[i]; i++)
        free(pc->parents[i]);
    pc->cdrom = blk_close(pc->cdrom);
    pc->floppy = blk_close(pc->floppy);
}

void drives_ide(struct pc *pc, struct ide_drive_config *ret_drives)
{
    memset(ret_drives, 0, PC_IDE_DRIVES * sizeof(*ret_drives));
    if (!pc->cdrom_sata)
        ret_drives[CD_POSITION] = (struct ide_drive_config){.kind = IDE_CD, .blk = pc->cdrom};
    for (unsigned i = 0; i < pc->disk_count; i++)
        if (pc->disks[i].bus == MACHINE_BUS_IDE)
            ret_drives[pc->disks[i].place] =
                (struct ide_drive_config){.kind = IDE_DISK, .blk = pc->disks[i].blk};
}

struct blk *drives_virtio(const struct pc *pc, unsigned n)
{
    for (unsigned i = 0; i < pc->disk_count; i++)
        if (pc->disks[i].bus == MACHINE_BUS_VIRTIO && n-- == 0)
            return pc->disks[i].blk;
    return NULL;
}

static int cd_eject(struct pc *pc, bool force, struct error *err)
{
    int r = ide_eject(storage_cd_channel(pc), 0, force);

    if (r == -EBUSY)
        return error_set(err, r,
                         "the guest has locked the tray and was asked to open it; try "
                         "again, or give \"force\": true");
    if (r == 0 && pc->cdrom) {
        blk_drain(pc->cdrom);
        pc->cdrom = blk_close(pc->cdrom);
    }
    return r;
}

static int floppy_eject(struct pc *pc)
{
    int r;

    if (pc->floppy)
        blk_drain(pc->floppy);
    r = fdc_eject(pc->fdc, 0);
    if (r == 0)
        pc->floppy = blk_close(pc->floppy);
    return r;
}

int machine_set_undo(struct machine *m, enum undo undo, struct error *err)
{
    int r = 0;

    machine_lock(m);
    if (m->config.undo == UNDO_OFF)
        r = error_set(err, -EINVAL, "the machine was started without --undo");
    else
        m->config.undo = undo;
    machine_unlock(m);
    return r;
}

/* The file of a saved machine names what is in the drives. */
int drives_idle(const struct machine *m, struct error *err)
{
    uint64_t done, total;

    return machine_working(m, &done, &total) == MACHINE_IDLE
               ? 0
               : error_set(err, -EAGAIN, "the machine is being saved or restored; wait for it");
}

int machine_eject(struct machine *m, const char *drive, bool force, struct error *err)
{
    int r = drives_idle(m, err);

    if (r < 0)
        return r;
    machine_lock(m);
    if (!strcmp(drive, "cdrom"))
        r = cd_eject(m->pc, force, err);
    else if (!strcmp(drive, "floppy"))
        r = floppy_eject(m->pc);
    else
        r = error_set(err, -ENODEV, "there is no removable drive '%s'; use cdrom or floppy", drive);
    machine_unlock(m);
    return r;
}

static int cd_insert(struct pc *pc, struct blk *blk, struct error *err)
{
    int r = cd_eject(pc, false, err);

    if (r == 0)
        r = ide_insert(storage_cd_channel(pc), 0, blk);
    if (r == 0)
        pc->cdrom = blk;
    return r;
}

static int floppy_insert(struct pc *pc, struct blk *blk, struct error *err)
{
    int r = floppy_eject(pc);

    if (r == 0)
        r = fdc_insert(pc->fdc, 0, blk);
    if (r == 0)
        pc->floppy = blk;
    else if (r == -EFBIG)
        error_set(err, r, "the image is larger than a floppy disk (2.88 MB)");
    return r;
}

int machine_insert(struct machine *m, const char *drive, const char *path, struct error *err)
{
    bool cd = !strcmp(drive, "cdrom");
    struct blk *blk = NULL;
    int r;

    if ((r = drives_idle(m, err)) < 0)
        return r;
    if (!cd && strcmp(drive, "floppy"))
        return error_set(err, -ENODEV, "there is no removable drive '%s'; use cdrom or floppy",
                         drive);
    r = blk_open(path, cd, &blk, err);
    if (r < 0)
        return r;
    machine_lock(m);
    disk_opened(m->pc, blk);
    r = cd ? cd_insert(m->pc, blk, err) : floppy_insert(m->pc, blk, err);
    if (r < 0)
        blk_close(blk);
    machine_unlock(m);
    return r;
}
