/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of a disk of one logical unit: SPC-4, SBC-3. Left out: reservations that persist
 * (a disk has one initiator), WRITE SAME of anything but zeroes, protection information, VERIFY
 * that compares, self-tests.
 */
#include "hw/virtio/scsi_disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/statename.h"

/* How much one command may ask to unmap or to zero: VPD page b0. */
#define MAX_RANGE_BLOCKS (1u << 22)
/* … to read or write: 16 MiB, which no driver exceeds by itself. */
#define MAX_TRANSFER_BLOCKS 32768u

enum {
    NO_SENSE = 0,
    NOT_READY = 2,
    MEDIUM_ERROR = 3,
    ILLEGAL_REQUEST = 5,
    UNIT_ATTENTION = 6,
    DATA_PROTECT = 7
};

static uint64_t blocks_of(const struct scsi_disk *d)
{
    return d->blk->size_bytes / SCSI_BLOCK_BYTES;
}

/* ---- ends of commands ---- */

static void fill_sense(uint8_t *sense, uint8_t key, uint8_t asc, uint8_t ascq)
{
    memset(sense, 0, SCSI_SENSE_BYTES);
    sense[0] = 0x70; /* current, fixed format: SPC-4 4.5.3 */
    sense[2] = key;
    sense[7] = SCSI_SENSE_BYTES - 8;
    sense[12] = asc;
    sense[13] = ascq;
}

static void good(struct scsi_task *t)
{
    t->next = SCSI_DONE;
    t->status = SCSI_GOOD;
}

static void check(struct scsi_task *t, uint8_t key, uint8_t asc, uint8_t ascq)
{
    t->next = SCSI_DONE;
    t->status = SCSI_CHECK_CONDITION;
    fill_sense(t->sense, key, asc, ascq);
}

static void invalid_field(struct scsi_task *t)
{
    check(t, ILLEGAL_REQUEST, 0x24, 0x00);
}

/* The first bytes of the reply, no more than the initiator has room for. */
static void reply(struct scsi_task *t, uint32_t len_bytes, uint32_t allocated)
{
    t->next = SCSI_REPLY;
    t->status = SCSI_GOOD;
    t->reply_bytes = MIN(len_bytes, allocated);
}

/* ---- data ---- */

/* Address and count of the 6, 10, 12 and 16-byte forms: SPC-4 4.2.2. */
static void get_range(const uint8_t *cdb, uint64_t *ret_lba, uint32_t *ret_count)
{
    switch (cdb[0] >> 5) {
    case 0:
        *ret_lba = (uint32_t)(cdb[1] & 0x1f) << 16 | be16_get(cdb + 2);
        *ret_count = cdb[4] ? cdb[4] : 256;
        break;
    case 1:
    case 2:
        *ret_lba = be32_get(cdb + 2);
        *ret_count = be16_get(cdb + 7);
        break;
    case 5:
        *ret_lba = be32_get(cdb + 2);
        *ret_count = be32_get(cdb + 6);
        break;
    default:
        *ret_lba = be64_get(cdb + 2);
        *ret_count = be32_get(cdb + 10);
    }
}

static bool on_disk(const struct scsi_disk *d, uint64_t lba, uint64_t count)
{
    return lba <= blocks_of(d) && count <= blocks_of(d) - lba;
}

static void transfer(struct scsi_disk *d, struct scsi_task *t, enum blk_op op)
{
    bool six = t->cdb[0] >> 5 == 0;
    uint64_t lba;
    uint32_t count;
    get_range(t->cdb, &lba, &count);
    if (!six && t->cdb[1] & 0xe0) { /* protection information */
        invalid_field(t);
        return;
    }
    if (!on_disk(d, lba, count)) {
        check(t, ILLEGAL_REQUEST, 0x21, 0x00);
        return;
    }
    if (count > MAX_TRANSFER_BLOCKS) {
        invalid_field(t);
        return;
    }
    if (op == BLK_WRITE && d->blk->readonly) {
        check(t, DATA_PROTECT, 0x27, 0x00);
        return;
    }
    if (count == 0) {
        good(t);
        return;
    }
    t->next = SCSI_IO;
    t->op = op;
    t->fua = op == BLK_WRITE && (!d->write_cache || (!six && t->cdb[1] & 0x08));
    t->offset_bytes = lba * SCSI_BLOCK_BYTES;
    t->len_bytes = (uint64_t)count * SCSI_BLOCK_BYTES;
}

/* SBC-3 5.28: without BYTCHK nothing is transferred; that the blocks can be read is taken as read. */
static void verify(struct scsi_disk *d, struct scsi_task *t)
{
    uint64_t lba;
    uint32_t count;
    get_range(t->cdb, &lba, &count);
    if (t->cdb[1] & 0xe6)
        invalid_field(t);
    else if (!on_disk(d, lba, count))
        check(t, ILLEGAL_REQUEST, 0x21, 0x00);
    else
        good(t);
}

static void flush(struct scsi_task *t)
{
    t->next = SCSI_RANGES_IO;
    t->op = BLK_FLUSH;
    t->range_count = 1;
    t->ranges[0] = (struct scsi_range){0, 0};
}

/* SBC-3 5.43: with NDOB there is no block of data, and it is zeroes. */
static void write_same(struct scsi_disk *d, struct scsi_task *t)
{
    bool sixteen = t->cdb[0] == 0x93, no_data = sixteen && t->cdb[1] & 1;
    uint64_t lba;
    uint32_t count;
    get_range(t->cdb, &lba, &count);
    if (t->cdb[1] & 0xe6 || (!sixteen && t->cdb[1] & 1)) {
        invalid_field(t);
        return;
    }
    if (!on_disk(d, lba, count)) {
        check(t, ILLEGAL_REQUEST, 0x21, 0x00);
        return;
    }
    if (count == 0 || count > MAX_RANGE_BLOCKS) { /* VPD page b0 says so */
        invalid_field(t);
        return;
    }
    if (d->blk->readonly) {
        check(t, DATA_PROTECT, 0x27, 0x00);
        return;
    }
    t->op = BLK_WRITE_ZEROES;
    t->range_count = 1;
    t->ranges[0] = (struct scsi_range){lba * SCSI_BLOCK_BYTES, (uint64_t)count * SCSI_BLOCK_BYTES};
    t->next = no_data ? SCSI_RANGES_IO : SCSI_PARAMETERS;
    t->want_bytes = SCSI_BLOCK_BYTES;
}

/* SBC-3 5.25 */
static void unmap(struct scsi_disk *d, struct scsi_task *t)
{
    t->want_bytes = be16_get(t->cdb + 7);
    if (t->cdb[1] & 1) { /* anchored */
        invalid_field(t);
    } else if (d->blk->readonly) {
        check(t, DATA_PROTECT, 0x27, 0x00);
    } else if (t->want_bytes > SCSI_PARAMETER_BYTES) {
        invalid_field(t);
    } else if (t->want_bytes == 0) {
        good(t);
    } else {
        t->next = SCSI_PARAMETERS;
    }
}

static void unmap_ranges(struct scsi_disk *d, struct scsi_task *t, const uint8_t *data,
                         uint32_t len)
{
    uint32_t bytes = len >= 8 ? be16_get(data + 2) : 0;
    if (len < 8 || bytes > len - 8) {
        check(t, ILLEGAL_REQUEST, 0x1a, 0x00); /* parameter list length error */
        return;
    }
    t->op = BLK_DISCARD;
    t->range_count = 0;
    for (uint32_t at = 8; at + 16 <= 8 + bytes && t->range_count < SCSI_RANGES; at += 16) {
        uint64_t lba = be64_get(data + at);
        uint32_t count = be32_get(data + at + 8);
        if (!on_disk(d, lba, count)) {
            check(t, ILLEGAL_REQUEST, 0x21, 0x00);
            return;
        }
        if (count > MAX_RANGE_BLOCKS) {
            check(t, ILLEGAL_REQUEST, 0x26, 0x00); /* invalid field in parameter list */
            return;
        }
        if (count)
            t->ranges[t->range_count++] =
                (struct scsi_range){lba * SCSI_BLOCK_BYTES, (uint64_t)count * SCSI_BLOCK_BYTES};
    }
    if (t->range_count)
        t->next = SCSI_RANGES_IO;
    else
        good(t);
}

/* ---- what the disk is ---- */

static unsigned vpd(const struct scsi_disk *d, uint8_t page, uint8_t *b)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb2};
    unsigned len = 0, serial = (unsigned)strlen(d->serial);
    switch (page) {
    case 0x00: /* SPC-4 7.8.13 */
        memcpy(b + 4, pages, sizeof(pages));
        len = sizeof(pages);
        break;
    case 0x80:
        memcpy(b + 4, d->serial, serial);
        len = serial;
        break;
    case 0x83: /* a designator of the unit: T10 vendor id */
        b[4] = 0x02;
        b[5] = 0x01;
        b[7] = (uint8_t)(8 + serial);
        memcpy(b + 8, "YADO    ", 8);
        memcpy(b + 16, d->serial, serial);
        len = 12 + serial;
        break;
    case 0xb0:    /* SBC-3 6.6.3: block limits */
        b[4] = 1; /* WRITE SAME with a count of zero is refused */
        be32_put(b + 8, MAX_TRANSFER_BLOCKS);
        be32_put(b + 20, MAX_RANGE_BLOCKS);
        be32_put(b + 24, SCSI_RANGES);
        be32_put(b + 28, 8); /* granularity of unmapping: 4 KiB */
        be64_put(b + 36, MAX_RANGE_BLOCKS);
        len = 60;
        break;
    case 0xb2: /* 6.6.4: UNMAP and both WRITE SAMEs; thin */
        b[5] = 0xe0;
        b[6] = 0x02;
        len = 4;
        break;
    default:
        return 0;
    }
    b[1] = page;
    be16_put(b + 2, (uint16_t)len);
    return 4 + len;
}

/* SPC-4 6.6 */
static void inquiry(const struct scsi_disk *d, struct scsi_task *t)
{
    uint8_t *b = t->reply;
    uint16_t allocated = be16_get(t->cdb + 3);
    if (t->cdb[1] & 1) {
        unsigned len = vpd(d, t->cdb[2], b);
        if (len)
            reply(t, len, allocated);
        else
            invalid_field(t);
        return;
    }
    if (t->cdb[2]) {
        invalid_field(t);
        return;
    }
    b[2] = 0x06; /* SPC-4 */
    b[3] = 0x02; /* format of this reply */
    b[4] = 91;
    b[7] = 0x02; /* command queuing */
    memcpy(b + 8, "YADO    HARDDISK        1.0 ", 28);
    be16_put(b + 58, 0x0460); /* SPC-4 */
    be16_put(b + 60, 0x04c0); /* SBC-3 */
    reply(t, 96, allocated);
}

static void read_capacity(const struct scsi_disk *d, struct scsi_task *t)
{
    uint64_t last = blocks_of(d) - 1;
    be32_put(t->reply, (uint32_t)MIN(last, 0xffffffffull));
    be32_put(t->reply + 4, SCSI_BLOCK_BYTES);
    reply(t, 8, 8);
}

/* SBC-3 5.16 */
static void read_capacity_16(const struct scsi_disk *d, struct scsi_task *t)
{
    uint8_t *b = t->reply;
    be64_put(b, blocks_of(d) - 1);
    be32_put(b + 8, SCSI_BLOCK_BYTES);
    b[13] = 3; /* eight blocks a physical one */
    if (!d->blk->readonly)
        b[14] = 0x80; /* thin; unmapped blocks may read as anything */
    reply(t, 32, be32_get(t->cdb + 10));
}

/* SPC-4 6.11; pages: caching (SBC-3 6.4.5), control (SPC-4 7.5.8). */
static void mode_sense(const struct scsi_disk *d, struct scsi_task *t)
{
    bool ten = t->cdb[0] == 0x5a;
    uint8_t *b = t->reply, page = t->cdb[2] & 0x3f, control = t->cdb[2] >> 6;
    uint8_t device = (uint8_t)(0x10 | (d->blk->readonly ? 0x80 : 0)); /* FUA is known */
    unsigned head = ten ? 8 : 4, n = head;
    if (control == 3) {
        check(t, ILLEGAL_REQUEST, 0x39, 0x00); /* there are no saved values */
        return;
    }
    if (!(t->cdb[1] & 0x08)) { /* a block descriptor */
        be32_put(b + n, (uint32_t)MIN(blocks_of(d), 0xffffffffull));
        be32_put(b + n + 4, SCSI_BLOCK_BYTES);
        n += 8;
    }
    unsigned descriptor = n - head, pages = n;
    if (page == 0x08 || page == 0x3f) {
        b[n] = 0x08;
        b[n + 1] = 0x12;
        b[n + 2] = control == 1 || d->write_cache ? 0x04 : 0; /* WCE, which can be changed */
        n += 20;
    }
    if (page == 0x0a || page == 0x3f) {
        b[n] = 0x0a;
        b[n + 1] = 0x0a;
        b[n + 3] = control == 1 ? 0 : 0x10; /* reordering as the disk likes */
        n += 12;
    }
    if (n == pages) {
        invalid_field(t);
        return;
    }
    if (ten) {
        be16_put(b, (uint16_t)(n - 2));
        b[3] = device;
        be16_put(b + 6, (uint16_t)descriptor);
        reply(t, n, be16_get(t->cdb + 7));
    } else {
        b[0] = (uint8_t)(n - 1);
        b[2] = device;
        b[3] = (uint8_t)descriptor;
        reply(t, n, t->cdb[4]);
    }
}

static void mode_select(struct scsi_task *t)
{
    t->want_bytes = t->cdb[0] == 0x55 ? be16_get(t->cdb + 7) : t->cdb[4];
    if (!(t->cdb[1] & 0x10) || t->cdb[1] & 1) /* pages as the standard has them, not saved */
        invalid_field(t);
    else if (t->want_bytes > SCSI_REPLY_BYTES)
        invalid_field(t);
    else if (t->want_bytes == 0)
        good(t);
    else
        t->next = SCSI_PARAMETERS;
}

static void mode_pages(struct scsi_disk *d, struct scsi_task *t, const uint8_t *data, uint32_t len)
{
    bool ten = t->cdb[0] == 0x55;
    uint32_t at = ten ? 8 : 4;
    if (len < at) {
        check(t, ILLEGAL_REQUEST, 0x1a, 0x00);
        return;
    }
    at += ten ? be16_get(data + 6) : data[3];
    bool cache = d->write_cache;
    while (at + 2 <= len) {
        uint32_t page_bytes = data[at + 1];
        if (page_bytes > len - at - 2) {
            check(t, ILLEGAL_REQUEST, 0x1a, 0x00);
            return;
        }
        if ((data[at] & 0x7f) == 0x08 && page_bytes == 0x12) {
            cache = data[at + 2] & 0x04;
        } else if ((data[at] & 0x7f) != 0x0a || page_bytes != 0x0a) {
            check(t, ILLEGAL_REQUEST, 0x26, 0x00);
            return;
        }
        at += 2 + page_bytes;
    }
    bool was = d->write_cache;
    d->write_cache = cache;
    if (was && !cache)
        flush(t); /* what the cache holds goes to the disk first */
    else
        good(t);
}

static void request_sense(struct scsi_disk *d, struct scsi_task *t)
{
    if (t->cdb[1] & 1) { /* descriptors */
        invalid_field(t);
        return;
    }
    if (d->attention_asc)
        fill_sense(t->reply, UNIT_ATTENTION, d->attention_asc, d->attention_ascq);
    else
        fill_sense(t->reply, NO_SENSE, 0, 0);
    d->attention_asc = 0;
    reply(t, SCSI_SENSE_BYTES, t->cdb[4]);
}

/* SPC-4 6.33: one unit, of number 0. */
static void report_luns(struct scsi_task *t)
{
    be32_put(t->reply, 8);
    reply(t, 16, be32_get(t->cdb + 6));
}

/* ---- all commands ---- */

void scsi_start(struct scsi_disk *d, struct scsi_task *t)
{
    uint8_t op = t->cdb[0];
    memset(t->reply, 0, sizeof(t->reply));
    t->reply_bytes = t->want_bytes = 0;
    t->range_count = 0;
    t->fua = false;
    /* SPC-4 5.14: these are answered in spite of a unit attention. */
    if (d->attention_asc && op != 0x03 && op != 0x12 && op != 0xa0) {
        check(t, UNIT_ATTENTION, d->attention_asc, d->attention_ascq);
        d->attention_asc = 0;
        return;
    }
    switch (op) {
    case 0x00: /* TEST UNIT READY */
    case 0x16: /* RESERVE and RELEASE: there is one initiator */
    case 0x17:
    case 0x1b: /* START STOP UNIT: it always spins */
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        good(t);
        break;
    case 0x03:
        request_sense(d, t);
        break;
    case 0x12:
        inquiry(d, t);
        break;
    case 0x15:
    case 0x55:
        mode_select(t);
        break;
    case 0x1a:
    case 0x5a:
        mode_sense(d, t);
        break;
    case 0x08:
    case 0x28:
    case 0xa8:
    case 0x88:
        transfer(d, t, BLK_READ);
        break;
    case 0x0a:
    case 0x2a:
    case 0xaa:
    case 0x8a:
        transfer(d, t, BLK_WRITE);
        break;
    case 0x25:
        read_capacity(d, t);
        break;
    case 0x9e: /* SERVICE ACTION IN (16) */
        if ((t->cdb[1] & 0x1f) == 0x10)
            read_capacity_16(d, t);
        else
            invalid_field(t);
        break;
    case 0x2f:
    case 0xaf:
    case 0x8f:
        verify(d, t);
        break;
    case 0x35:
    case 0x91:
        flush(t);
        break;
    case 0x41:
    case 0x93:
        write_same(d, t);
        break;
    case 0x42:
        unmap(d, t);
        break;
    case 0xa0:
        report_luns(t);
        break;
    default:
        check(t, ILLEGAL_REQUEST, 0x20, 0x00);
    }
}

void scsi_parameters(struct scsi_disk *d, struct scsi_task *t, const uint8_t *data,
                     uint32_t len_bytes)
{
    switch (t->cdb[0]) {
    case 0x41:
    case 0x93:
        for (uint32_t i = 0; i < SCSI_BLOCK_BYTES; i++) {
            if (i >= len_bytes || data[i]) {
                check(t, ILLEGAL_REQUEST, 0x26, 0x00);
                return;
            }
        }
        t->next = SCSI_RANGES_IO;
        break;
    case 0x42:
        unmap_ranges(d, t, data, len_bytes);
        break;
    default:
        mode_pages(d, t, data, len_bytes);
    }
}

void scsi_finish(struct scsi_disk *d, struct scsi_task *t, int result)
{
    (void)d;
    if (result == 0)
        good(t);
    else if (t->op == BLK_READ)
        check(t, MEDIUM_ERROR, 0x11, 0x00); /* unrecovered read error */
    else
        check(t, MEDIUM_ERROR, 0x0c, 0x00); /* write error */
}

void scsi_start_absent(struct scsi_task *t)
{
    memset(t->reply, 0, sizeof(t->reply));
    if (t->cdb[0] == 0x12 && !(t->cdb[1] & 1)) {
        t->reply[0] = 0x7f; /* no unit here, and none will be */
        t->reply[4] = 31;
        reply(t, 36, be16_get(t->cdb + 3));
    } else if (t->cdb[0] == 0xa0) {
        report_luns(t);
    } else {
        check(t, ILLEGAL_REQUEST, 0x25, 0x00); /* logical unit not supported */
    }
}

/* ---- the disk ---- */

void scsi_disk_init(struct scsi_disk *d, struct blk *blk, const char *serial)
{
    d->blk = blk;
    snprintf(d->serial, sizeof(d->serial), "%s", serial);
    scsi_disk_reset(d);
}

void scsi_disk_reset(struct scsi_disk *d)
{
    d->write_cache = true;
    d->attention_asc = 0x29; /* power on, reset */
    d->attention_ascq = 0;
}

void scsi_disk_state(struct scsi_disk *d, unsigned n, struct state *s)
{
    state_bool(s, STATE_NAME("write_cache", n), &d->write_cache);
    state_u8(s, STATE_NAME("attention_asc", n), &d->attention_asc);
    state_u8(s, STATE_NAME("attention_ascq", n), &d->attention_ascq);
}
