/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A SCSI disk as its commands see it, whatever brings them. SPC-4 (INCITS 513) and SBC-3 (INCITS
 * 514), sections are given at the commands.
 *
 * scsi_start() says what a command wants: a reply, data of the disk, or first the parameters that
 * come with it. The transport moves bytes; no guest address is known here.
 */
#ifndef HW_VIRTIO_SCSI_DISK_H
#define HW_VIRTIO_SCSI_DISK_H

#include "base/state.h"
#include "block/blk.h"

#define SCSI_CDB_BYTES 16u
#define SCSI_SENSE_BYTES 18u
#define SCSI_REPLY_BYTES 256u
#define SCSI_BLOCK_BYTES 512u
/* Parameters of UNMAP with as many descriptors as we take. */
#define SCSI_RANGES 64u
#define SCSI_PARAMETER_BYTES (8u + 16u * SCSI_RANGES)

enum scsi_status { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02, SCSI_CONFLICT = 0x18 };

struct scsi_disk {
    struct blk *blk; /* belongs to the caller; NULL: there is no such disk */
    char serial[21];
    bool write_cache;
    /* To be reported before the next command; asc 0: nothing. */
    uint8_t attention_asc, attention_ascq;
};

enum scsi_next {
    SCSI_DONE,       /* status (and sense) tell the end */
    SCSI_REPLY,      /* reply[0, reply_bytes) is for the initiator */
    SCSI_PARAMETERS, /* want_bytes of its data first, then scsi_parameters() */
    SCSI_IO,         /* op with the data at offset_bytes */
    SCSI_RANGES_IO,  /* op for each of the ranges; no data */
};

struct scsi_range {
    uint64_t offset_bytes, len_bytes;
};

struct scsi_task {
    uint8_t cdb[SCSI_CDB_BYTES];
    enum scsi_next next;
    enum blk_op op;
    bool fua;
    uint64_t offset_bytes, len_bytes;
    uint32_t reply_bytes, want_bytes;
    struct scsi_range ranges[SCSI_RANGES];
    unsigned range_count;
    uint8_t status; /* enum scsi_status */
    uint8_t sense[SCSI_SENSE_BYTES];
    uint8_t reply[SCSI_REPLY_BYTES];
};

/* A disk in power-on state; serial: up to 20 characters. */
void scsi_disk_init(struct scsi_disk *d, struct blk *blk, const char *serial);
/* As after a reset of the bus or the unit. */
void scsi_disk_reset(struct scsi_disk *d);
/* Fields of disk n. */
void scsi_disk_state(struct scsi_disk *d, unsigned n, struct state *s);

/* Look at the command in t->cdb and fill in the rest of *t. */
void scsi_start(struct scsi_disk *d, struct scsi_task *t);
/* The parameters that were asked for; len_bytes of them, at most want_bytes. Changes t->next. */
void scsi_parameters(struct scsi_disk *d, struct scsi_task *t, const uint8_t *data,
                     uint32_t len_bytes);
/* The disk has answered t->op: status and sense. */
void scsi_finish(struct scsi_disk *d, struct scsi_task *t, int result);
/* A command for a unit that is not there: INQUIRY and REPORT LUNS answer all the same. */
void scsi_start_absent(struct scsi_task *t);

#endif
