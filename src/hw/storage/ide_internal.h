/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the IDE channel share: ide.c (registers, transfers), ide_ata.c (commands of
 * disks), ide_identify.c (what drives say of themselves), atapi.c (packet commands).
 */
#ifndef HW_STORAGE_IDE_INTERNAL_H
#define HW_STORAGE_IDE_INTERNAL_H

#include "hw/storage/ide.h"

#define ATA_SECTOR_BYTES 512u
#define CD_SECTOR_BYTES 2048u
#define IDE_BUF_BYTES 65536u
#define IDE_MAX_MULTIPLE 16u
#define ATAPI_PACKET_BYTES 12u

enum {
    ST_ERR = 0x01, /* CHK for packet devices */
    ST_DRQ = 0x08,
    ST_DSC = 0x10,
    ST_DF = 0x20,
    ST_DRDY = 0x40,
    ST_BSY = 0x80,
    ST_READY = ST_DRDY | ST_DSC,
};

enum {
    ER_ABRT = 0x04,
    ER_IDNF = 0x10,
    ER_UNC = 0x40,
};

enum {
    DEV_SLAVE = 0x10,
    DEV_LBA = 0x40,
    DEV_HEAD = 0x0f,
    CTL_NIEN = 0x02,
    CTL_SRST = 0x04,
    CTL_HOB = 0x80,
    /* Interrupt reason of packet devices, in the sector count register. */
    REASON_CD = 0x01,
    REASON_IO = 0x02,
};

/* What a drive is doing. */
enum ide_phase {
    PHASE_IDLE,
    PHASE_PIO_IN,   /* the host reads the buffer */
    PHASE_PIO_OUT,  /* the host fills the buffer */
    PHASE_PACKET,   /* the host writes a command packet */
    PHASE_DMA_WAIT, /* until the bus master is started */
    PHASE_BUSY,     /* a request is under way at the disk */
    PHASE_MAX = PHASE_BUSY,
};

/* SCSI sense, MMC-4 and SPC-3. */
struct ide_sense {
    uint8_t key, asc, ascq;
};

struct ide_drive {
    struct ide *ide;
    unsigned unit;
    enum ide_kind kind;
    struct blk *blk;
    char serial[21];

    /* The task file; [1] are the bytes written before the present ones (48-bit addresses). */
    uint8_t error, status, feature[2], nsector[2], lba0[2], lba1[2], lba2[2], head;
    bool irq;
    uint8_t command;

    uint16_t cylinders; /* logical geometry set by the host */
    uint8_t heads, sectors;
    uint8_t multiple; /* sectors per block of READ/WRITE MULTIPLE; 0: disabled */
    uint8_t transfer_mode;
    bool write_cache, look_ahead, smart;

    uint8_t phase; /* enum ide_phase */
    uint8_t *buf;
    uint32_t pos, end, filled; /* next byte; end of this block; valid bytes in buf */
    uint32_t block_bytes;      /* of one DRQ block */
    uint64_t lba;              /* next sector at the disk */
    uint32_t left;             /* sectors not yet in or out of the buffer */
    uint32_t dma_bytes;        /* of the DMA transfer */
    bool dma_write;            /* from memory to the disk */
    bool dma_buf;              /* between memory and buf, not the disk */
    bool fua;

    struct blk_req req;
    struct iovec iov;
    struct slices slices;
    void (*req_done)(struct ide_drive *d, int result);
    bool in_flight, cancelled, dma_end;

    /* CD drives. */
    uint8_t packet[ATAPI_PACKET_BYTES];
    bool packet_dma;
    uint16_t byte_limit; /* of one block of packet data */
    struct ide_sense sense;
    bool attention; /* to be reported before the next command: sense_attention */
    struct ide_sense sense_attention;
    bool tray_open, locked;
    uint8_t media_event, eject_event; /* for GET EVENT STATUS NOTIFICATION */
};

struct ide {
    struct ide_env env;
    struct ide_drive drives[2];
    uint8_t select; /* the device register as written */
    uint8_t control;
};

/* ide.c */
/* The command is over: status and error as given, INTRQ. */
void ide_finish(struct ide_drive *d);
void ide_fail(struct ide_drive *d, uint8_t error);
/* Raise INTRQ. */
void ide_raise(struct ide_drive *d);
/* The power-on signature of this kind of drive in the task file. */
void ide_signature(struct ide_drive *d);
/* Let the host read buf[0, bytes) in blocks of block_bytes; then ide_ata_more() or the end. */
void ide_pio_in(struct ide_drive *d, uint32_t bytes, uint32_t block_bytes);
/* Let the host write buf[0, bytes); irq: tell it so. */
void ide_pio_out(struct ide_drive *d, uint32_t bytes, uint32_t block_bytes, bool irq);
/* The block buf[pos, end) has been read or filled by other means than the data register. */
void ide_block_moved(struct ide_drive *d);
/* Transfer bytes between guest memory and the disk at byte d->lba × sector, or buf. */
void ide_dma(struct ide_drive *d, uint32_t bytes, bool write, bool with_buf);
/* Start a request at the disk; BSY until done(d, result). With iov NULL: no data. */
void ide_request(struct ide_drive *d, enum blk_op op, uint64_t offset_bytes, uint64_t len_bytes,
                 const struct iovec *iov, unsigned iov_count,
                 void (*done)(struct ide_drive *d, int result));

/* ide_ata.c */
void ide_ata_command(struct ide_drive *d, uint8_t command);
/* The host has read, or filled, all of the buffer. */
void ide_ata_more(struct ide_drive *d);
/* A DMA transfer has ended with a result of the disk. */
void ide_ata_dma_done(struct ide_drive *d, int result);
uint64_t ide_sectors(const struct ide_drive *d);
/* Put the address of sector d->lba into the task file (errors). */
void ide_put_address(struct ide_drive *d);

/* ide_identify.c */
void ide_identify(const struct ide_drive *d, uint8_t *buf);
void ide_identify_packet(const struct ide_drive *d, uint8_t *buf);
/* The geometry a disk has until the host sets another. */
void ide_default_geometry(struct ide_drive *d);

/* atapi.c */
/* PACKET: get ready for the command packet. */
void ide_atapi_packet(struct ide_drive *d);
/* The packet is in d->packet. */
void ide_atapi_command(struct ide_drive *d);
/* The host has read all of the buffer. */
void ide_atapi_more(struct ide_drive *d);
void ide_atapi_dma_done(struct ide_drive *d, int result);
void ide_atapi_reset(struct ide_drive *d);

#endif
