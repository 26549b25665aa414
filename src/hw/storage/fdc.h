/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floppy disk controller with up to two drives.
 */
#ifndef HW_STORAGE_FDC_H
#define HW_STORAGE_FDC_H

#include "block/blk.h"
#include "hw/core/isa_dma.h"

#define FDC_DRIVES 2

struct fdc;

struct fdc_env {
    struct line irq; /* IRQ 6 */
    struct isa_dma dma;
    unsigned channel; /* 2 */
    unsigned drives;  /* how many there are, 0 to FDC_DRIVES */
};

extern const struct dev_ops fdc_dev_ops;
/* Six ports at 0x3f0 and one at 0x3f7 (0x3f6 is the hard disk's); dev is the struct fdc. */
extern const struct io_ops fdc_io;
extern const struct io_ops fdc_dir_io;

/* -ENOMEM. */
int fdc_new(const struct fdc_env *env, struct fdc **ret_fdc);
/* For the DMA controller: to be called when the channel becomes ready. */
struct isa_dma_client fdc_dma_client(struct fdc *fdc);

/*
 * Put a disk into a drive; its format follows from the size of the image, the next larger one
 * that floppy disks have. It belongs to the caller. -EFBIG above 2.88 MB, -EBUSY, -ENODEV.
 */
int fdc_insert(struct fdc *fdc, unsigned unit, struct blk *blk);
/* Take it out, when the request under way is over. -ENODEV. */
int fdc_eject(struct fdc *fdc, unsigned unit);
struct blk *fdc_disk(const struct fdc *fdc, unsigned unit);
/* What a PC's CMOS says of the drive (register 0x10): 0 none, 2 1.2M, 4 1.44M, 5 2.88M. */
uint8_t fdc_cmos_type(const struct fdc *fdc, unsigned unit);

#endif
