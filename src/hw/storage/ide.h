/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One IDE channel with up to two drives: hard disks (ATA) and CD-ROM drives (ATAPI).
 */
#ifndef HW_STORAGE_IDE_H
#define HW_STORAGE_IDE_H

#include "block/blk.h"
#include "hw/core/device.h"
#include "memory/dma.h"

struct ide;

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

struct ide_drive_config {
    enum ide_kind kind;
    struct blk *blk;    /* belongs to the caller; a CD drive may have none */
    const char *serial; /* up to 20 characters; NULL: made up from the position */
};

/* The bus master that moves a drive's data, if the channel has one. */
struct ide_dma {
    /* Has the guest started it? */
    bool (*running)(void *ctx);
    /*
     * The next want_bytes of the guest's list of buffers, or fewer when the list is shorter,
     * appended to s, to be written if to_memory; *ret_end: the list has no more. -EFAULT: it is not
     * all in RAM.
     */
    int (*map)(void *ctx, uint64_t want_bytes, bool to_memory, struct slices *s, bool *ret_end);
    /* The transfer is over. ok: no error; end: as map() said. */
    void (*done)(void *ctx, bool ok, bool end);
    void *ctx;
};

struct ide_env {
    unsigned number;           /* 0 primary, 1 secondary */
    struct line irq;           /* INTRQ: IRQ 14 or 15 */
    const struct dma *mem;     /* the way of DMA; as long as the channel lives */
    const struct ide_dma *dma; /* NULL: programmed I/O only */
};

extern const struct dev_ops ide_dev_ops;
/* Eight ports (0x1f0, 0x170) and one (0x3f6, 0x376); dev is the struct ide. */
extern const struct io_ops ide_command_io;
extern const struct io_ops ide_control_io;

/*
 * drives: master and slave. Before saving, the drives' disks must be drained (blk_drain()).
 * -ENOMEM, -EINVAL for a disk without a blk.
 */
int ide_new(const struct ide_env *env, const struct ide_drive_config drives[2],
            struct ide **ret_ide);

/* The bus master was started: a drive that waits for it goes on. */
void ide_dma_started(struct ide *ide);

/*
 * Take the disc out of CD drive unit. -EBUSY when the guest has locked the tray: it is told that
 * the button was pressed; force takes it all the same. -ENODEV: no such drive.
 */
int ide_eject(struct ide *ide, unsigned unit, bool force);
/* Put a disc into an empty CD drive, closing the tray. -EBUSY when there is one, -ENODEV. */
int ide_insert(struct ide *ide, unsigned unit, struct blk *blk);
/* The disc in a CD drive, or NULL; *ret_open tells whether the tray is open. */
struct blk *ide_disc(const struct ide *ide, unsigned unit, bool *ret_open);

#endif
