/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DVD-ROM drive behind the PACKET command: INCITS 333 (SFF-8020i, MMC-4), SPC-3 for the common
 * commands and sense codes. Discs are images of 2048-byte sectors with one data track. Left out:
 * audio, raw sectors (READ CD gives user data only), writing, DVD structures and keys.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/storage/ide_internal.h"

#define CHUNK_SECTORS (IDE_BUF_BYTES / CD_SECTOR_BYTES)
/* A disc of more sectors than 80 minutes of CD is a DVD. */
#define CD_MAX_SECTORS (80u * 60 * 75)
#define TRAY_OPEN 0x01
#define DISC_PRESENT 0x02

enum { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIA, EVENT_MEDIA_REMOVAL };

/* medium not present, with the tray closed and open */
static const struct ide_sense not_ready_no_disc = {2, 0x3a, 0x01};
static const struct ide_sense not_ready_tray_open = {2, 0x3a, 0x02};
/* unrecovered read error */
static const struct ide_sense medium_error = {3, 0x11, 0x00};
/* logical unit communication CRC error: what bad DMA comes nearest to */
static const struct ide_sense hardware_error = {4, 0x08, 0x03};
static const struct ide_sense illegal_opcode = {5, 0x20, 0x00};
static const struct ide_sense lba_out_of_range = {5, 0x21, 0x00};
static const struct ide_sense invalid_field = {5, 0x24, 0x00};
static const struct ide_sense saving_not_supported = {5, 0x39, 0x00};
static const struct ide_sense removal_prevented = {5, 0x53, 0x02};
static const struct ide_sense medium_changed = {6, 0x28, 0x00};
static const struct ide_sense power_on = {6, 0x29, 0x00};
static const struct ide_sense no_sense = {0, 0, 0};

static bool has_disc(const struct ide_drive *d)
{
    return d->blk && !d->tray_open;
}

static uint64_t disc_sectors(const struct ide_drive *d)
{
    return has_disc(d) ? d->blk->size_bytes / CD_SECTOR_BYTES : 0;
}

static void set_attention(struct ide_drive *d, struct ide_sense sense)
{
    d->attention = true;
    d->sense_attention = sense;
}

/* ---- ends of commands ---- */

static void good(struct ide_drive *d)
{
    d->nsector[0] = REASON_CD | REASON_IO;
    ide_finish(d);
}

static void check_condition(struct ide_drive *d, struct ide_sense sense)
{
    d->sense = sense;
    d->nsector[0] = REASON_CD | REASON_IO;
    ide_fail(d, (uint8_t)(sense.key << 4 | (sense.key == 5 ? ER_ABRT : 0)));
}

static void not_ready(struct ide_drive *d)
{
    check_condition(d, d->tray_open ? not_ready_tray_open : not_ready_no_disc);
}

/* How long a block of packet data may be: an even number unless everything fits. */
static uint32_t block_limit(const struct ide_drive *d, uint32_t bytes)
{
    uint32_t limit = d->byte_limit == 0 || d->byte_limit == 0xffff ? 0xfffe : d->byte_limit;
    if (bytes > limit)
        limit &= ~1u;
    return MAX(limit, 2u);
}

/* Send the first bytes of buf, no more than the host has allocated. */
static void reply(struct ide_drive *d, uint32_t bytes, uint32_t allocated)
{
    bytes = MIN(bytes, allocated);
    d->left = 0;
    if (bytes == 0)
        good(d);
    else if (d->packet_dma)
        ide_dma(d, bytes, false, true);
    else
        ide_pio_in(d, bytes, block_limit(d, bytes));
}

/* ---- reading ---- */

static void loaded(struct ide_drive *d, int result)
{
    if (result < 0) {
        check_condition(d, medium_error);
        return;
    }
    uint32_t bytes = (uint32_t)d->iov.iov_len;
    d->lba += bytes / CD_SECTOR_BYTES;
    d->left -= bytes / CD_SECTOR_BYTES;
    ide_pio_in(d, bytes, block_limit(d, bytes));
}

void ide_atapi_more(struct ide_drive *d)
{
    if (d->left == 0) {
        good(d);
        return;
    }
    if (!has_disc(d)) { /* taken out between two blocks */
        not_ready(d);
        return;
    }
    uint32_t bytes = MIN(d->left, CHUNK_SECTORS) * CD_SECTOR_BYTES;
    d->iov = (struct iovec){d->buf, bytes};
    ide_request(d, BLK_READ, d->lba * CD_SECTOR_BYTES, bytes, &d->iov, 1, loaded);
}

void ide_atapi_dma_done(struct ide_drive *d, int result)
{
    if (result == -ENOMEDIUM)
        not_ready(d);
    else if (result == -EFAULT || result == -E2BIG || result == -ENOMEM)
        check_condition(d, hardware_error);
    else if (result < 0)
        check_condition(d, medium_error);
    else
        good(d);
}

static void read_sectors(struct ide_drive *d, uint32_t lba, uint32_t count)
{
    if (!has_disc(d)) {
        not_ready(d);
        return;
    }
    if (lba > disc_sectors(d) || count > disc_sectors(d) - lba ||
        count > UINT32_MAX / CD_SECTOR_BYTES) {
        check_condition(d, lba_out_of_range);
        return;
    }
    if (count == 0) {
        good(d);
        return;
    }
    d->lba = lba;
    d->left = count;
    if (d->packet_dma)
        ide_dma(d, count * CD_SECTOR_BYTES, false, false);
    else
        ide_atapi_more(d);
}

static void read_cd(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint32_t count = (uint32_t)p[6] << 16 | be16_get(p + 7);
    if ((p[9] & 0xf8) == 0) /* no part of the sectors */
        good(d);
    else if ((p[9] & 0xf8) == 0x10 && p[10] == 0)
        read_sectors(d, be32_get(p + 2), count);
    else
        check_condition(d, invalid_field);
}

/* ---- what the drive and the disc are ---- */

static void inquiry(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    if (d->packet[1] & 1) {
        check_condition(d, invalid_field);
        return;
    }
    memset(b, 0, 36);
    b[0] = 0x05; /* CD-ROM */
    b[1] = 0x80; /* removable */
    b[3] = 0x21; /* ATAPI, response format 1 */
    b[4] = 31;
    memcpy(b + 8, "YADO    DVD-ROM         1.0 ", 28);
    reply(d, 36, d->packet[4]);
}

static void request_sense(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    struct ide_sense sense = d->sense;
    if (sense.key == 0 && d->attention) {
        sense = d->sense_attention;
        d->attention = false;
    }
    d->sense = no_sense;
    memset(b, 0, 18);
    b[0] = 0x70;
    b[2] = sense.key;
    b[7] = 10;
    b[12] = sense.asc;
    b[13] = sense.ascq;
    reply(d, 18, d->packet[4]);
}

static void read_capacity(struct ide_drive *d)
{
    if (!disc_sectors(d)) {
        not_ready(d);
        return;
    }
    be32_put(d->buf, (uint32_t)MIN(disc_sectors(d) - 1, 0xffffffffull));
    be32_put(d->buf + 4, CD_SECTOR_BYTES);
    reply(d, 8, 8);
}

/* A sector as minutes, seconds and frames, two seconds after its LBA. */
static void put_address(uint8_t *b, bool msf, uint64_t lba)
{
    if (!msf) {
        be32_put(b, (uint32_t)lba);
        return;
    }
    lba += 150;
    b[0] = 0;
    b[1] = (uint8_t)(lba / 75 / 60);
    b[2] = (uint8_t)(lba / 75 % 60);
    b[3] = (uint8_t)(lba % 75);
}

static unsigned toc_tracks(const struct ide_drive *d, uint8_t *b, bool msf)
{
    unsigned n = 4;
    b[2] = b[3] = 1; /* first and last track */
    if (d->packet[6] <= 1) {
        b[n + 1] = 0x14; /* a data track, current position */
        b[n + 2] = 1;
        put_address(b + n + 4, msf, 0);
        n += 8;
    }
    b[n + 1] = 0x16;
    b[n + 2] = 0xaa; /* lead-out */
    put_address(b + n + 4, msf, disc_sectors(d));
    return n + 8;
}

/* The table of contents as it stands in the lead-in: points A0, A1, A2 and track 1. */
static unsigned toc_raw(const struct ide_drive *d, uint8_t *b)
{
    static const uint8_t points[] = {0xa0, 0xa1, 0xa2, 1};
    unsigned n = 4;
    b[2] = b[3] = 1; /* first and last session */
    for (unsigned i = 0; i < ARRAY_LEN(points); i++, n += 11) {
        b[n] = 1;
        b[n + 1] = 0x14;
        b[n + 3] = points[i];
        if (points[i] == 0xa2)
            put_address(b + n + 7, true, disc_sectors(d));
        else if (points[i] == 1)
            put_address(b + n + 7, true, 0);
        else
            b[n + 8] = 1;
    }
    return n;
}

static void read_toc(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint8_t *b = d->buf;
    bool msf = p[1] & 2;
    unsigned format = p[2] & 0x0f, bytes;

    if (!disc_sectors(d)) {
        not_ready(d);
        return;
    }
    if (format == 0)
        format = p[9] >> 6; /* where SFF-8020i has it */
    memset(b, 0, 64);
    if (format == 0 && (p[6] <= 1 || p[6] == 0xaa)) {
        bytes = toc_tracks(d, b, msf);
    } else if (format == 1) { /* the last session begins with track 1 */
        b[2] = b[3] = 1;
        b[5] = 0x14;
        b[6] = 1;
        put_address(b + 8, msf, 0);
        bytes = 12;
    } else if (format == 2) {
        bytes = toc_raw(d, b);
    } else {
        check_condition(d, invalid_field);
        return;
    }
    be16_put(b, (uint16_t)(bytes - 2));
    reply(d, bytes, be16_get(p + 7));
}

static void read_disc_information(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    if (!disc_sectors(d)) {
        not_ready(d);
        return;
    }
    if (d->packet[1] & 7) {
        check_condition(d, invalid_field);
        return;
    }
    memset(b, 0, 34);
    be16_put(b, 32);
    b[2] = 0x0e; /* finished disc, last session complete */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20; /* use is not restricted */
    memset(b + 16, 0xff, 8);
    reply(d, 34, be16_get(d->packet + 7));
}

static uint16_t profile(const struct ide_drive *d)
{
    if (!disc_sectors(d))
        return 0;
    return disc_sectors(d) > CD_MAX_SECTORS ? 0x0010 : 0x0008;
}

/* MMC-4 5.3: a feature's head; its data follow. */
static uint8_t *feature(uint8_t *b, uint16_t code, uint8_t version, bool current, uint8_t len)
{
    be16_put(b, code);
    b[2] = (uint8_t)(version << 2 | (code <= 3 ? 2 : 0) | current);
    b[3] = len;
    return b + 4;
}

static void get_configuration(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    uint16_t now = profile(d), start = be16_get(p + 2);
    unsigned rt = p[1] & 3, n = 8;
    uint8_t *b = d->buf;
    static const struct {
        uint16_t code;
        uint8_t version, len;
    } list[] = {{0x0000, 0, 8}, {0x0001, 2, 8}, {0x0003, 0, 4},
                {0x0010, 0, 8}, {0x001e, 1, 4}, {0x001f, 1, 4}};

    if (rt == 3) {
        check_condition(d, invalid_field);
        return;
    }
    memset(b, 0, 128);
    be16_put(b + 6, now);
    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        uint16_t code = list[i].code;
        bool current = code <= 3 || (code == 0x10 && now) || (code == 0x1e && now == 8) ||
                       (code == 0x1f && now == 0x10);
        if (code < start || (rt == 1 && !current) || (rt == 2 && code != start))
            continue;
        uint8_t *data = feature(b + n, code, list[i].version, current, list[i].len);
        switch (code) {
        case 0x0000: /* profiles: DVD-ROM and CD-ROM */
            be16_put(data, 0x0010);
            data[2] = now == 0x10;
            be16_put(data + 4, 0x0008);
            data[6] = now == 8;
            break;
        case 0x0001: /* core: ATAPI, and the device interrupt is not masked */
            be32_put(data, 2);
            data[4] = 1;
            break;
        case 0x0003: /* tray with eject and lock */
            data[0] = 0x29;
            break;
        case 0x0010: /* random readable */
            be32_put(data, CD_SECTOR_BYTES);
            be16_put(data + 4, 1);
            break;
        }
        n += 4u + list[i].len;
    }
    be32_put(b, n - 4);
    reply(d, n, be16_get(p + 7));
}

static void get_event_status(struct ide_drive *d)
{
    uint8_t *b = d->buf;
    if (!(d->packet[1] & 1)) { /* asynchronous notification */
        check_condition(d, invalid_field);
        return;
    }
    memset(b, 0, 8);
    b[3] = 0x10; /* we know of media events */
    if (!(d->packet[4] & 0x10)) {
        be16_put(b, 2);
        b[2] = 0x80; /* none of the classes asked for */
        reply(d, 4, be16_get(d->packet + 7));
        return;
    }
    be16_put(b, 6);
    b[2] = 0x04;
    if (d->eject_event) {
        b[4] = d->eject_event;
        d->eject_event = EVENT_NONE;
    } else {
        b[4] = d->media_event;
        d->media_event = EVENT_NONE;
    }
    b[5] = (uint8_t)((d->tray_open ? TRAY_OPEN : 0) | (has_disc(d) ? DISC_PRESENT : 0));
    reply(d, 8, be16_get(d->packet + 7));
}

static void mode_sense(struct ide_drive *d)
{
    uint8_t *b = d->buf, code = d->packet[2] & 0x3f;
    unsigned n = 8;
    memset(b, 0, 64);
    if (d->packet[2] >> 6 == 3) {
        check_condition(d, saving_not_supported);
        return;
    }
    if (code == 0x01 || code == 0x3f) { /* error recovery */
        b[n] = 0x01;
        b[n + 1] = 0x06;
        b[n + 3] = 0x05; /* retries */
        n += 8;
    }
    if (code == 0x2a || code == 0x3f) { /* capabilities and mechanical status */
        b[n] = 0x2a;
        b[n + 1] = 0x12;
        b[n + 2] = 0x0b;                             /* reads CD-R, CD-RW, DVD-ROM */
        b[n + 4] = 0x70;                             /* mode 2 forms 1 and 2, multi-session */
        b[n + 6] = (uint8_t)(0x29 | d->locked << 1); /* tray, eject, lock */
        be16_put(b + n + 8, 8448);                   /* 48× in kB/s */
        be16_put(b + n + 10, 2);
        be16_put(b + n + 12, 512); /* buffer, kB */
        be16_put(b + n + 14, 8448);
        n += 20;
    }
    if (n == 8) {
        check_condition(d, invalid_field);
        return;
    }
    be16_put(b, (uint16_t)(n - 2));
    /* SFF-8020i: medium type. 0x70: door closed, no disc; 0x71: door open; 1: data CD. */
    b[2] = has_disc(d) ? 0x01 : d->tray_open ? 0x71 : 0x70;
    reply(d, n, be16_get(d->packet + 7));
}

static void mechanism_status(struct ide_drive *d)
{
    memset(d->buf, 0, 8);
    d->buf[1] = d->tray_open ? 0x10 : 0;
    d->buf[5] = 0; /* no changer */
    reply(d, 8, be16_get(d->packet + 8));
}

static void start_stop(struct ide_drive *d)
{
    bool load = d->packet[4] & 1;
    if (!(d->packet[4] & 2)) { /* spin up or down */
        good(d);
        return;
    }
    if (!load && d->locked) {
        check_condition(d, removal_prevented);
        return;
    }
    if (d->tray_open == load && d->blk) {
        d->media_event = load ? EVENT_NEW_MEDIA : EVENT_MEDIA_REMOVAL;
        if (load)
            set_attention(d, medium_changed);
    }
    d->tray_open = !load;
    good(d);
}

/* ---- the packet ---- */

void ide_atapi_packet(struct ide_drive *d)
{
    d->packet_dma = d->feature[0] & 1;
    d->byte_limit = (uint16_t)(d->lba2[0] << 8 | d->lba1[0]);
    if (d->packet_dma && !d->ide->env.dma) {
        ide_fail(d, ER_ABRT);
        return;
    }
    d->phase = PHASE_PACKET;
    d->pos = 0;
    d->end = d->filled = ATAPI_PACKET_BYTES;
    d->nsector[0] = REASON_CD;
    d->status = ST_READY | ST_DRQ;
}

void ide_atapi_command(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    /* SPC-3 4.5.6: these are answered in spite of a unit attention. */
    bool despite = p[0] == 0x03 || p[0] == 0x12 || p[0] == 0x46 || p[0] == 0x4a;
    if (d->attention && !despite) {
        d->attention = false;
        check_condition(d, d->sense_attention);
        return;
    }
    if (p[0] != 0x03)
        d->sense = no_sense;

    switch (p[0]) {
    case 0x00: /* TEST UNIT READY */
        if (has_disc(d))
            good(d);
        else
            not_ready(d);
        break;
    case 0x03:
        request_sense(d);
        break;
    case 0x12:
        inquiry(d);
        break;
    case 0x1b:
        start_stop(d);
        break;
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        d->locked = p[4] & 1;
        good(d);
        break;
    case 0x25:
        read_capacity(d);
        break;
    case 0x28:
        read_sectors(d, be32_get(p + 2), be16_get(p + 7));
        break;
    case 0xa8:
        read_sectors(d, be32_get(p + 2), be32_get(p + 6));
        break;
    case 0xbe:
        read_cd(d);
        break;
    case 0x2b: /* SEEK */
        if (be32_get(p + 2) < disc_sectors(d))
            good(d);
        else
            check_condition(d, lba_out_of_range);
        break;
    case 0x35: /* SYNCHRONIZE CACHE */
    case 0xbb: /* SET CD SPEED */
        good(d);
        break;
    case 0x43:
        read_toc(d);
        break;
    case 0x46:
        get_configuration(d);
        break;
    case 0x4a:
        get_event_status(d);
        break;
    case 0x51:
        read_disc_information(d);
        break;
    case 0x5a:
        mode_sense(d);
        break;
    case 0xbd:
        mechanism_status(d);
        break;
    default:
        check_condition(d, illegal_opcode);
    }
}

void ide_atapi_reset(struct ide_drive *d)
{
    d->sense = no_sense;
    d->locked = false;
    d->media_event = d->blk && !d->tray_open ? EVENT_NEW_MEDIA : EVENT_NONE;
    d->eject_event = EVENT_NONE;
    set_attention(d, power_on);
}

/* ---- the tray, from outside ---- */

static struct ide_drive *cd_drive(const struct ide *ide, unsigned unit)
{
    if (unit > 1 || ide->drives[unit].kind != IDE_CD)
        return NULL;
    return (struct ide_drive *)(uintptr_t)&ide->drives[unit];
}

int ide_eject(struct ide *ide, unsigned unit, bool force)
{
    struct ide_drive *d = cd_drive(ide, unit);
    if (!d)
        return -ENODEV;
    if (d->locked && !force) {
        d->eject_event = EVENT_EJECT_REQUEST;
        return -EBUSY;
    }
    if (d->blk)
        blk_drain(d->blk);
    if (d->blk && !d->tray_open)
        d->media_event = EVENT_MEDIA_REMOVAL;
    d->blk = NULL;
    d->locked = false;
    return 0;
}

int ide_insert(struct ide *ide, unsigned unit, struct blk *blk)
{
    struct ide_drive *d = cd_drive(ide, unit);
    if (!d)
        return -ENODEV;
    if (d->blk)
        return -EBUSY;
    d->blk = blk;
    d->tray_open = false;
    d->media_event = EVENT_NEW_MEDIA;
    set_attention(d, medium_changed);
    return 0;
}

struct blk *ide_disc(const struct ide *ide, unsigned unit, bool *ret_open)
{
    const struct ide_drive *d = cd_drive(ide, unit);
    *ret_open = d && d->tray_open;
    return d ? d->blk : NULL;
}
