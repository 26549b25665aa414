/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82077AA floppy disk controller in AT mode: datasheet 290166-007, sections 2 (registers)
 * and 5 (commands). Disks are images of 512-byte sectors; the head moves and the disk turns in no
 * time. Left out: SCAN commands, tape drives, the FIFO as such (bytes are there when they are
 * asked for), deleted data marks (written as plain data), FM, sectors of other sizes.
 */
#include "hw/storage/fdc.h"

#include <errno.h>
#include <string.h>

#include "hw/core/statename.h"

#define SECTOR_BYTES 512u
#define MAX_PARAMS 9
#define MAX_RESULTS 10
#define RESET_SENSES 4

enum {
    DOR_SELECT = 0x03,
    DOR_RUN = 0x04, /* 0: reset */
    DOR_IRQ = 0x08, /* interrupts and DMA requests reach the bus */
    DSR_RESET = 0x80,
    MSR_RQM = 0x80,
    MSR_DIO = 0x40,
    MSR_NON_DMA = 0x20,
    MSR_BUSY = 0x10,
    DIR_CHANGED = 0x80,

    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_POLLING = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_EQUIPMENT = 0x10,
    ST1_END = 0x80,        /* end of cylinder */
    ST1_DATA_ERROR = 0x20, /* CRC */
    ST1_NO_DATA = 0x04,    /* no such sector */
    ST1_WRITE_PROTECT = 0x02,
    ST1_NO_MARK = 0x01, /* nothing readable on the track */
    ST2_DELETED = 0x40,
    ST2_DATA_ERROR = 0x20,
    ST2_WRONG_CYLINDER = 0x10,
    ST3_PROTECTED = 0x40,
    ST3_TRACK0 = 0x10,
    ST3_ALWAYS = 0x28, /* ready, and the fixed bit */

    CMD_MT = 0x80,
    CMD_MFM = 0x40,
    CONFIG_IMPLIED_SEEK = 0x40,
    SPECIFY_NON_DMA = 0x01,
};

enum fdc_phase { PHASE_COMMAND, PHASE_EXECUTE, PHASE_RESULT };
enum fdc_work {
    WORK_NONE,
    WORK_READ,
    WORK_WRITE,
    WORK_FORMAT,
    WORK_VERIFY,
    WORK_MAX = WORK_VERIFY
};

struct format {
    uint8_t cylinders, heads, sectors;
    uint8_t rates; /* bit n: readable at data rate n (0: 500, 1: 300, 2: 250 kb/s, 3: 1 Mb/s) */
};

/* From the smallest up. */
static const struct format formats[] = {
    {40, 1, 8, 0x06},  {40, 1, 9, 0x06},  {40, 2, 8, 0x06},  {40, 2, 9, 0x06},
    {80, 2, 9, 0x06},  {80, 2, 10, 0x06}, {80, 2, 15, 0x01}, {80, 2, 18, 0x01},
    {80, 2, 21, 0x01}, {82, 2, 21, 0x01}, {83, 2, 21, 0x01}, {80, 2, 36, 0x08},
};

struct fdc_drive {
    struct blk *blk;
    const struct format *format;
    uint8_t track;
    bool changed;
};

struct fdc {
    struct fdc_env env;
    struct fdc_drive drive[FDC_DRIVES];
    uint8_t dor, tdr, rate; /* rate: bits 0 and 1 of DSR and CCR */
    bool irq;

    uint8_t phase; /* enum fdc_phase */
    uint8_t command[MAX_PARAMS], params, expected;
    uint8_t result[MAX_RESULTS], results, result_at;

    uint8_t specify[2], config, precompensation, perpendicular;
    bool lock;
    uint8_t senses;    /* SENSE INTERRUPT STATUS answers due after a reset */
    uint8_t seek_done; /* bit n: drive n has ended a seek */
    uint8_t seek_st0[FDC_DRIVES + 2];
    uint8_t next_id; /* where the disk has turned to, for READ ID */

    /* The command that moves data. */
    uint8_t work; /* enum fdc_work */
    uint8_t unit, c, h, r, eot, verify_left;
    bool multi_track, deleted, tc, host_turn; /* host_turn: buf waits for the host or DMA */
    uint8_t st1, st2;
    uint16_t pos, len;
    uint8_t buf[SECTOR_BYTES];

    struct blk_req req;
    struct iovec iov;
    bool in_flight, cancelled;
};

static void next_sector(struct fdc *fdc);
static void pump(struct fdc *fdc);

static void set_irq(struct fdc *fdc, bool level)
{
    fdc->irq = level;
    line_set(&fdc->env.irq, level && fdc->dor & DOR_IRQ);
}

static struct fdc_drive *drive_of(struct fdc *fdc, unsigned unit)
{
    return unit < fdc->env.drives ? &fdc->drive[unit] : NULL;
}

static bool non_dma(const struct fdc *fdc)
{
    return fdc->specify[1] & SPECIFY_NON_DMA;
}

/* ---- phases ---- */

static void to_command(struct fdc *fdc)
{
    fdc->phase = PHASE_COMMAND;
    fdc->params = fdc->expected = 0;
    fdc->work = WORK_NONE;
    fdc->host_turn = false;
    if (fdc->env.dma.request)
        fdc->env.dma.request(fdc->env.dma.ctx, fdc->env.channel, false);
}

/* The results are in place: let the host read n of them. */
static void to_result(struct fdc *fdc, unsigned n)
{
    to_command(fdc);
    if (n == 0)
        return;
    fdc->phase = PHASE_RESULT;
    fdc->results = (uint8_t)n;
    fdc->result_at = 0;
}

/* The end of a command that moves data: seven result bytes and an interrupt. */
static void end(struct fdc *fdc, uint8_t st0)
{
    const uint8_t result[7] = {(uint8_t)(st0 | (fdc->h & 1) << 2 | fdc->unit),
                               fdc->st1,
                               fdc->st2,
                               fdc->c,
                               fdc->h,
                               fdc->r,
                               2};
    memcpy(fdc->result, result, sizeof(result));
    to_result(fdc, sizeof(result));
    set_irq(fdc, true);
}

static void end_error(struct fdc *fdc, uint8_t st1, uint8_t st2)
{
    fdc->st1 |= st1;
    fdc->st2 |= st2;
    end(fdc, ST0_ABNORMAL);
}

/* ---- the disk ---- */

static void request_done(struct blk_req *req, int result)
{
    struct fdc *fdc = CONTAINER_OF(req, struct fdc, req);
    fdc->in_flight = false;
    if (fdc->cancelled)
        return;
    if (result < 0) {
        end_error(fdc, ST1_DATA_ERROR, ST2_DATA_ERROR);
        return;
    }
    fdc->pos = 0;
    if (fdc->work == WORK_READ) {
        fdc->host_turn = true;
        pump(fdc);
    } else {
        next_sector(fdc);
    }
}

static void request(struct fdc *fdc, enum blk_op op, uint64_t sector)
{
    struct blk *blk = fdc->drive[fdc->unit].blk;
    uint64_t at = sector * SECTOR_BYTES;
    fdc->iov = (struct iovec){fdc->buf, SECTOR_BYTES};
    fdc->req = (struct blk_req){.op = op,
                                .offset_bytes = at,
                                .len_bytes = SECTOR_BYTES,
                                .iov = &fdc->iov,
                                .iov_count = 1,
                                .done = request_done};
    fdc->host_turn = false;
    fdc->in_flight = true;
    if (at + SECTOR_BYTES > blk->size_bytes) {
        /* The image is smaller than its disk: the rest is empty, and cannot be written. */
        memset(fdc->buf, 0, SECTOR_BYTES);
        request_done(&fdc->req, op == BLK_READ ? 0 : -EIO);
        return;
    }
    blk_submit(blk, &fdc->req);
}

/* Is sector r under the head? If not, the command ends and says why. */
static bool find_sector(struct fdc *fdc, uint64_t *ret_sector)
{
    struct fdc_drive *d = drive_of(fdc, fdc->unit);
    unsigned head = fdc->command[1] >> 2 & 1;
    if (fdc->multi_track)
        head = fdc->h & 1;
    if (!d || !d->blk || !(d->format->rates >> fdc->rate & 1) || !(fdc->command[0] & CMD_MFM) ||
        d->track >= d->format->cylinders || head >= d->format->heads) {
        end_error(fdc, ST1_NO_MARK, 0);
        return false;
    }
    if (fdc->c != d->track) {
        end_error(fdc, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return false;
    }
    if (fdc->h != head || fdc->r == 0 || fdc->r > d->format->sectors) {
        end_error(fdc, ST1_NO_DATA, 0);
        return false;
    }
    *ret_sector = ((uint64_t)d->track * d->format->heads + head) * d->format->sectors + fdc->r - 1;
    return true;
}

/* Datasheet table 5-2: the address after a sector. True when the cylinder is at its end. */
static bool advance(struct fdc *fdc)
{
    if (fdc->r != fdc->eot) {
        fdc->r++;
        return false;
    }
    fdc->r = 1;
    if (fdc->multi_track && !(fdc->h & 1)) {
        fdc->h |= 1;
        return false;
    }
    if (fdc->multi_track)
        fdc->h &= (uint8_t)~1;
    fdc->c++;
    return true;
}

/* ---- moving data between buf and the host ---- */

static bool to_host(const struct fdc *fdc)
{
    return fdc->work == WORK_READ;
}

/* The host has taken, or filled, buf, or ended the transfer with the terminal count. */
static void buf_over(struct fdc *fdc)
{
    uint64_t sector;
    if (fdc->work == WORK_READ) {
        next_sector(fdc);
        return;
    }
    if (fdc->work == WORK_FORMAT) {
        fdc->c = fdc->buf[0];
        fdc->h = fdc->buf[1];
        fdc->r = fdc->buf[2];
        memset(fdc->buf, fdc->command[5], SECTOR_BYTES);
    } else {
        /* The terminal count within a sector: the rest is zeroes. */
        memset(fdc->buf + fdc->pos, 0, SECTOR_BYTES - fdc->pos);
    }
    if (find_sector(fdc, &sector))
        request(fdc, BLK_WRITE, sector);
}

/* By DMA as far as the channel goes; by programmed I/O the host comes for each byte. */
static void pump(struct fdc *fdc)
{
    const struct isa_dma *dma = &fdc->env.dma;
    if (non_dma(fdc)) {
        set_irq(fdc, true);
        return;
    }
    if (!dma->transfer || !(fdc->dor & DOR_IRQ))
        return;
    dma->request(dma->ctx, fdc->env.channel, true);
    bool tc;
    size_t n = dma->transfer(dma->ctx, fdc->env.channel, fdc->buf + fdc->pos,
                             (size_t)(fdc->len - fdc->pos), to_host(fdc), &tc);
    fdc->pos = (uint16_t)(fdc->pos + n);
    fdc->tc |= tc;
    if (fdc->pos == fdc->len || tc)
        buf_over(fdc);
}

static void channel_ready(void *dev)
{
    struct fdc *fdc = dev;
    if (fdc->phase == PHASE_EXECUTE && fdc->host_turn && !non_dma(fdc))
        pump(fdc);
}

/* One sector is done (or none yet, at the start): go on, or end. */
static void continue_work(struct fdc *fdc)
{
    uint64_t sector;
    switch (fdc->work) {
    case WORK_READ:
    case WORK_VERIFY:
        if (find_sector(fdc, &sector))
            request(fdc, BLK_READ, sector);
        break;
    case WORK_WRITE:
    case WORK_FORMAT:
        fdc->pos = 0;
        fdc->len = fdc->work == WORK_FORMAT ? 4 : SECTOR_BYTES;
        fdc->host_turn = true;
        pump(fdc);
        break;
    }
}

static void next_sector(struct fdc *fdc)
{
    if (fdc->work == WORK_FORMAT) {
        if (--fdc->verify_left == 0)
            end(fdc, 0);
        else
            continue_work(fdc);
        return;
    }
    bool cylinder_over = advance(fdc);
    if (fdc->work == WORK_VERIFY) {
        /* With EC set a number of sectors is given, else the cylinder's end is the end. */
        bool counted = fdc->command[1] & 0x80;
        if (counted ? --fdc->verify_left == 0 : cylinder_over)
            end(fdc, 0);
        else if (cylinder_over)
            end_error(fdc, ST1_END, 0);
        else
            continue_work(fdc);
        return;
    }
    if (fdc->deleted) { /* a plain sector where deleted ones were asked for ends the command */
        fdc->st2 |= ST2_DELETED;
        end(fdc, 0);
    } else if (fdc->tc) {
        end(fdc, 0);
    } else if (cylinder_over) {
        end_error(fdc, ST1_END, 0);
    } else {
        continue_work(fdc);
    }
}

/* ---- commands ---- */

static void move_head(struct fdc *fdc, unsigned unit, uint8_t track)
{
    struct fdc_drive *d = drive_of(fdc, unit);
    if (!d)
        return;
    /* A step with a disk in the drive is what resets the change line. */
    if (d->track != track && d->blk)
        d->changed = false;
    d->track = track;
}

static void seek_over(struct fdc *fdc, unsigned unit, uint8_t track)
{
    move_head(fdc, unit, track);
    bool there = drive_of(fdc, unit);
    fdc->seek_done |= (uint8_t)(1u << unit);
    fdc->seek_st0[unit] = (uint8_t)(ST0_SEEK_END | (fdc->command[1] & 4) | unit |
                                    (there ? 0 : ST0_ABNORMAL | ST0_EQUIPMENT));
    to_command(fdc);
    set_irq(fdc, true);
}

static void relative_seek(struct fdc *fdc)
{
    unsigned unit = fdc->command[1] & 3;
    const struct fdc_drive *d = drive_of(fdc, unit);
    unsigned track = d ? d->track : 0;
    if (fdc->command[0] & 0x40)
        track = MIN(track + fdc->command[2], 255u);
    else
        track -= MIN(track, fdc->command[2]);
    seek_over(fdc, unit, (uint8_t)track);
}

static void sense_interrupt(struct fdc *fdc)
{
    unsigned n = 0;
    if (fdc->senses) {
        n = RESET_SENSES - fdc->senses--;
        fdc->result[0] = (uint8_t)(ST0_POLLING | n);
    } else if (fdc->seek_done) {
        while (!(fdc->seek_done >> n & 1))
            n++;
        fdc->seek_done &= (uint8_t) ~(1u << n);
        fdc->result[0] = fdc->seek_st0[n];
    } else {
        fdc->result[0] = ST0_INVALID;
        to_result(fdc, 1);
        return;
    }
    const struct fdc_drive *d = drive_of(fdc, n);
    fdc->result[1] = d ? d->track : 0;
    set_irq(fdc, false);
    to_result(fdc, 2);
}

static void sense_drive(struct fdc *fdc)
{
    unsigned unit = fdc->command[1] & 3;
    const struct fdc_drive *d = drive_of(fdc, unit);
    uint8_t st3 = (uint8_t)(ST3_ALWAYS | (fdc->command[1] & 7));
    if (d && d->track == 0)
        st3 |= ST3_TRACK0;
    if (d && d->blk && d->blk->readonly)
        st3 |= ST3_PROTECTED;
    fdc->result[0] = st3;
    to_result(fdc, 1);
}

static void read_id(struct fdc *fdc)
{
    struct fdc_drive *d = drive_of(fdc, fdc->unit);
    uint64_t sector;
    fdc->c = d ? d->track : 0;
    fdc->h = fdc->command[1] >> 2 & 1;
    fdc->r = 1;
    fdc->multi_track = false;
    if (!find_sector(fdc, &sector))
        return;
    fdc->r = (uint8_t)(fdc->next_id++ % d->format->sectors + 1);
    end(fdc, 0);
}

static void start_data(struct fdc *fdc, enum fdc_work work)
{
    struct fdc_drive *d = drive_of(fdc, fdc->unit);
    uint8_t op = fdc->command[0] & 0x1f;
    fdc->c = fdc->command[2];
    fdc->h = fdc->command[3];
    fdc->r = op == 0x02 ? 1 : fdc->command[4];
    fdc->eot = fdc->command[6];
    fdc->multi_track = fdc->command[0] & CMD_MT && op != 0x02;
    fdc->deleted = op == 0x0c;
    fdc->verify_left = fdc->command[8];
    fdc->work = (uint8_t)work;
    fdc->len = SECTOR_BYTES;
    if (fdc->config & CONFIG_IMPLIED_SEEK)
        move_head(fdc, fdc->unit, fdc->c);
    if (fdc->command[5] != 2) { /* the sectors here say that they have 512 bytes */
        end_error(fdc, ST1_NO_DATA, 0);
        return;
    }
    if (work == WORK_WRITE && d && d->blk && d->blk->readonly) {
        end_error(fdc, ST1_WRITE_PROTECT, 0);
        return;
    }
    uint64_t sector;
    if (work != WORK_WRITE || find_sector(fdc, &sector))
        continue_work(fdc);
}

static void format_track(struct fdc *fdc)
{
    struct fdc_drive *d = drive_of(fdc, fdc->unit);
    fdc->work = WORK_FORMAT;
    fdc->c = d ? d->track : 0;
    fdc->h = fdc->command[1] >> 2 & 1;
    fdc->r = 1;
    fdc->multi_track = false;
    fdc->verify_left = fdc->command[3];
    uint64_t sector;
    if (d && d->blk && d->blk->readonly)
        end_error(fdc, ST1_WRITE_PROTECT, 0);
    else if (fdc->command[2] != 2 || fdc->verify_left == 0)
        end_error(fdc, ST1_NO_DATA, 0);
    else if (find_sector(fdc, &sector))
        continue_work(fdc);
}

static void dump_registers(struct fdc *fdc)
{
    const uint8_t result[10] = {
        fdc->drive[0].track,
        fdc->drive[1].track,
        0,
        0,
        fdc->specify[0],
        fdc->specify[1],
        fdc->eot,
        (uint8_t)(fdc->lock << 7 | (fdc->perpendicular & 0x3f)),
        fdc->config,
        fdc->precompensation,
    };
    memcpy(fdc->result, result, sizeof(result));
    to_result(fdc, sizeof(result));
}

static void result_byte(struct fdc *fdc, uint8_t v)
{
    fdc->result[0] = v;
    to_result(fdc, 1);
}

/* How many bytes follow a command's first; 0xff: no such command. */
static uint8_t params_of(uint8_t command)
{
    if ((command & 0x9f) == 0x8f)
        return 2; /* RELATIVE SEEK */
    if ((command & 0x7f) == 0x14)
        return 0; /* LOCK, UNLOCK */
    switch (command & 0x1f) {
    case 0x02:
    case 0x05:
    case 0x06:
    case 0x09:
    case 0x0c:
    case 0x16:
        return 8;
    case 0x0a:
        return 1;
    case 0x0d:
        return 5;
    }
    switch (command) {
    case 0x03:
    case 0x0f:
        return 2;
    case 0x04:
    case 0x07:
    case 0x12:
        return 1;
    case 0x08:
    case 0x0e:
    case 0x10:
        return 0;
    case 0x13:
        return 3;
    }
    return 0xff;
}

static void execute_data(struct fdc *fdc)
{
    fdc->phase = PHASE_EXECUTE;
    fdc->unit = fdc->command[1] & 3;
    fdc->st1 = fdc->st2 = 0;
    fdc->tc = fdc->deleted = false;
    fdc->pos = 0;
    set_irq(fdc, false);
    switch (fdc->command[0] & 0x1f) {
    case 0x05:
    case 0x09:
        start_data(fdc, WORK_WRITE);
        break;
    case 0x0a:
        read_id(fdc);
        break;
    case 0x0d:
        format_track(fdc);
        break;
    case 0x16:
        start_data(fdc, WORK_VERIFY);
        break;
    default:
        start_data(fdc, WORK_READ);
    }
}

static void execute(struct fdc *fdc)
{
    const uint8_t *p = fdc->command;
    if ((p[0] & 0x9f) == 0x8f) {
        relative_seek(fdc);
        return;
    }
    if ((p[0] & 0x7f) == 0x14) {
        fdc->lock = p[0] & 0x80;
        result_byte(fdc, (uint8_t)(fdc->lock << 4));
        return;
    }
    switch (p[0]) {
    case 0x03:
        memcpy(fdc->specify, p + 1, 2);
        to_command(fdc);
        break;
    case 0x04:
        sense_drive(fdc);
        break;
    case 0x07:
        seek_over(fdc, p[1] & 3, 0);
        break;
    case 0x08:
        sense_interrupt(fdc);
        break;
    case 0x0e:
        dump_registers(fdc);
        break;
    case 0x0f:
        seek_over(fdc, p[1] & 3, p[2]);
        break;
    case 0x10:
        result_byte(fdc, 0x90); /* an enhanced controller */
        break;
    case 0x12: /* OW (bit 7) lets the drive bits be written */
        fdc->perpendicular =
            p[1] & 0x80 ? p[1] & 0x3f : (uint8_t)((fdc->perpendicular & 0x3c) | (p[1] & 3));
        to_command(fdc);
        break;
    case 0x13:
        fdc->config = p[2];
        fdc->precompensation = p[3];
        to_command(fdc);
        break;
    default:
        execute_data(fdc);
    }
}

/* ---- registers ---- */

static void cancel(struct fdc *fdc)
{
    if (fdc->in_flight) {
        fdc->cancelled = true;
        blk_drain(fdc->drive[fdc->unit].blk);
        fdc->cancelled = false;
    }
}

/* Datasheet 2.1.2 and 5.2: a reset by DOR or DSR; LOCK protects what CONFIGURE has set. */
static void soft_reset(struct fdc *fdc)
{
    cancel(fdc);
    to_command(fdc);
    set_irq(fdc, false);
    fdc->senses = fdc->seek_done = 0;
    fdc->perpendicular &= 0x3c;
    if (!fdc->lock) {
        fdc->config = 0;
        fdc->precompensation = 0;
    }
}

static void out_of_reset(struct fdc *fdc)
{
    fdc->senses = RESET_SENSES;
    set_irq(fdc, true);
}

static void dor_write(struct fdc *fdc, uint8_t v)
{
    uint8_t was = fdc->dor;
    fdc->dor = v;
    if (was & DOR_RUN && !(v & DOR_RUN))
        soft_reset(fdc);
    else if (!(was & DOR_RUN) && v & DOR_RUN)
        out_of_reset(fdc);
    else
        set_irq(fdc, fdc->irq);
    if (v & DOR_IRQ)
        channel_ready(fdc);
}

static uint8_t main_status(const struct fdc *fdc)
{
    if (!(fdc->dor & DOR_RUN))
        return 0;
    uint8_t v = 0;
    switch (fdc->phase) {
    case PHASE_COMMAND:
        return (uint8_t)(MSR_RQM | (fdc->params ? MSR_BUSY : 0));
    case PHASE_RESULT:
        return MSR_RQM | MSR_DIO | MSR_BUSY;
    default:
        v = MSR_BUSY;
        if (non_dma(fdc)) {
            v |= MSR_NON_DMA;
            if (fdc->host_turn)
                v |= (uint8_t)(MSR_RQM | (to_host(fdc) ? MSR_DIO : 0));
        }
        return v;
    }
}

static uint8_t fifo_read(struct fdc *fdc)
{
    uint8_t v = 0;
    if (fdc->phase == PHASE_RESULT) {
        set_irq(fdc, false);
        v = fdc->result[fdc->result_at++];
        if (fdc->result_at >= fdc->results)
            to_command(fdc);
    } else if (fdc->phase == PHASE_EXECUTE && fdc->host_turn && non_dma(fdc) && to_host(fdc)) {
        v = fdc->buf[fdc->pos++];
        if (fdc->pos == fdc->len) {
            set_irq(fdc, false);
            buf_over(fdc);
        }
    }
    return v;
}

static void fifo_write(struct fdc *fdc, uint8_t v)
{
    if (!(fdc->dor & DOR_RUN))
        return;
    if (fdc->phase == PHASE_EXECUTE && fdc->host_turn && non_dma(fdc) && !to_host(fdc)) {
        fdc->buf[fdc->pos++] = v;
        if (fdc->pos == fdc->len) {
            set_irq(fdc, false);
            buf_over(fdc);
        }
        return;
    }
    if (fdc->phase != PHASE_COMMAND)
        return;
    if (fdc->params == 0) {
        fdc->expected = params_of(v);
        memset(fdc->command, 0, sizeof(fdc->command));
        if (fdc->expected == 0xff) {
            result_byte(fdc, ST0_INVALID);
            return;
        }
    }
    fdc->command[fdc->params++] = v;
    if (fdc->params > fdc->expected) {
        fdc->params = fdc->expected = 0;
        execute(fdc);
    }
}

static uint64_t fdc_read(void *dev, uint64_t offset, unsigned size)
{
    struct fdc *fdc = dev;
    (void)size;
    switch (offset) {
    case 2:
        return fdc->dor;
    case 3:
        return fdc->tdr | 0xfc;
    case 4:
        return main_status(fdc);
    case 5:
        return fifo_read(fdc);
    }
    return 0xff; /* status registers A and B are not there in AT mode */
}

static void fdc_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct fdc *fdc = dev;
    uint8_t v = (uint8_t)value;
    (void)size;
    switch (offset) {
    case 2:
        dor_write(fdc, v);
        break;
    case 3:
        fdc->tdr = v & 3;
        break;
    case 4:
        fdc->rate = v & 3;
        if (v & DSR_RESET && fdc->dor & DOR_RUN) { /* ends by itself */
            soft_reset(fdc);
            out_of_reset(fdc);
        }
        break;
    case 5:
        fifo_write(fdc, v);
        break;
    }
}

static uint64_t dir_read(void *dev, uint64_t offset, unsigned size)
{
    struct fdc *fdc = dev;
    unsigned unit = fdc->dor & DOR_SELECT;
    const struct fdc_drive *d = drive_of(fdc, unit);
    (void)offset;
    (void)size;
    /* The drive shows its change line while its motor runs. */
    return d && d->changed && fdc->dor >> (4 + unit) & 1 ? DIR_CHANGED : 0;
}

static void ccr_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct fdc *fdc = dev;
    (void)offset;
    (void)size;
    fdc->rate = value & 3;
}

const struct io_ops fdc_io = {
    .name = "fdc", .min_size = 1, .max_size = 1, .read = fdc_read, .write = fdc_write};
const struct io_ops fdc_dir_io = {
    .name = "fdc-dir", .min_size = 1, .max_size = 1, .read = dir_read, .write = ccr_write};

/* ---- the device ---- */

static void fdc_reset(void *dev)
{
    struct fdc *fdc = dev;
    fdc->lock = false;
    fdc->dor = 0; /* so the interrupt is off while soft_reset() works */
    soft_reset(fdc);
    fdc->tdr = 0;
    fdc->rate = 2;
    memset(fdc->specify, 0, sizeof(fdc->specify));
    memset(fdc->command, 0, sizeof(fdc->command));
    memset(fdc->result, 0, sizeof(fdc->result));
    memset(fdc->seek_st0, 0, sizeof(fdc->seek_st0));
    memset(fdc->buf, 0, sizeof(fdc->buf));
    fdc->results = fdc->result_at = fdc->perpendicular = fdc->next_id = 0;
    fdc->unit = fdc->c = fdc->h = fdc->r = fdc->eot = fdc->verify_left = 0;
    fdc->multi_track = fdc->deleted = fdc->tc = false;
    fdc->st1 = fdc->st2 = 0;
    fdc->pos = fdc->len = 0;
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        fdc->drive[i].track = 0;
        fdc->drive[i].changed = true;
    }
}

static void work_state(struct fdc *fdc, struct state *s)
{
    state_u8(s, "work", &fdc->work);
    state_u8(s, "unit", &fdc->unit);
    state_u8(s, "c", &fdc->c);
    state_u8(s, "h", &fdc->h);
    state_u8(s, "r", &fdc->r);
    state_u8(s, "eot", &fdc->eot);
    state_u8(s, "verify_left", &fdc->verify_left);
    state_bool(s, "multi_track", &fdc->multi_track);
    state_bool(s, "deleted", &fdc->deleted);
    state_bool(s, "tc", &fdc->tc);
    state_bool(s, "host_turn", &fdc->host_turn);
    state_u8(s, "st1", &fdc->st1);
    state_u8(s, "st2", &fdc->st2);
    state_u16(s, "pos", &fdc->pos);
    state_u16(s, "len", &fdc->len);
    state_bytes(s, "buf", fdc->buf, sizeof(fdc->buf));
}

static int fdc_state(void *dev, struct state *s)
{
    struct fdc *fdc = dev;
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        state_u8(s, STATE_NAME("track", i), &fdc->drive[i].track);
        state_bool(s, STATE_NAME("changed", i), &fdc->drive[i].changed);
    }
    state_u8(s, "dor", &fdc->dor);
    state_u8(s, "tdr", &fdc->tdr);
    state_u8(s, "rate", &fdc->rate);
    state_bool(s, "irq", &fdc->irq);
    state_u8(s, "phase", &fdc->phase);
    state_bytes(s, "command", fdc->command, sizeof(fdc->command));
    state_u8(s, "params", &fdc->params);
    state_u8(s, "expected", &fdc->expected);
    state_bytes(s, "result", fdc->result, sizeof(fdc->result));
    state_u8(s, "results", &fdc->results);
    state_u8(s, "result_at", &fdc->result_at);
    state_bytes(s, "specify", fdc->specify, sizeof(fdc->specify));
    state_u8(s, "config", &fdc->config);
    state_u8(s, "precompensation", &fdc->precompensation);
    state_u8(s, "perpendicular", &fdc->perpendicular);
    state_bool(s, "lock", &fdc->lock);
    state_u8(s, "senses", &fdc->senses);
    state_u8(s, "seek_done", &fdc->seek_done);
    state_bytes(s, "seek_st0", fdc->seek_st0, sizeof(fdc->seek_st0));
    state_u8(s, "next_id", &fdc->next_id);
    work_state(fdc, s);

    state_check(s, fdc->rate <= 3 && fdc->phase <= PHASE_RESULT && fdc->work <= WORK_MAX);
    state_check(s, fdc->expected < MAX_PARAMS && fdc->params <= fdc->expected);
    state_check(s, fdc->results <= MAX_RESULTS && fdc->result_at <= fdc->results);
    state_check(s, fdc->phase != PHASE_RESULT || fdc->result_at < fdc->results);
    state_check(s, fdc->senses <= RESET_SENSES && fdc->seek_done < 16 && fdc->unit <= 3);
    state_check(s, fdc->len <= SECTOR_BYTES && fdc->pos <= fdc->len);
    state_check(s, fdc->phase != PHASE_EXECUTE || (fdc->host_turn && fdc->pos < fdc->len));
    state_check(s, fdc->phase != PHASE_EXECUTE || fdc->work == WORK_READ ||
                       fdc->work == WORK_WRITE || fdc->work == WORK_FORMAT);
    state_check(s, fdc->work != WORK_FORMAT || fdc->verify_left);
    if (state_loading(s) && state_error(s) < 0)
        fdc_reset(fdc);
    else if (state_loading(s))
        set_irq(fdc, fdc->irq);
    return state_error(s);
}

static void fdc_free(void *dev)
{
    cancel(dev);
    free(dev);
}

const struct dev_ops fdc_dev_ops = {
    .name = "fdc",
    .version = 1,
    .reset = fdc_reset,
    .state = fdc_state,
    .free = fdc_free,
};

int fdc_new(const struct fdc_env *env, struct fdc **ret_fdc)
{
    struct fdc *fdc = calloc(1, sizeof(*fdc));
    if (!fdc)
        return -ENOMEM;
    fdc->env = *env;
    fdc->env.drives = MIN(env->drives, (unsigned)FDC_DRIVES);
    fdc_reset(fdc);
    *ret_fdc = fdc;
    return 0;
}

struct isa_dma_client fdc_dma_client(struct fdc *fdc)
{
    return (struct isa_dma_client){.channel_ready = channel_ready, .dev = fdc};
}

int fdc_insert(struct fdc *fdc, unsigned unit, struct blk *blk)
{
    struct fdc_drive *d = drive_of(fdc, unit);
    if (!d)
        return -ENODEV;
    if (d->blk)
        return -EBUSY;
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        if (blk->size_bytes > (uint64_t)f->cylinders * f->heads * f->sectors * SECTOR_BYTES)
            continue;
        d->blk = blk;
        d->format = f;
        d->changed = true;
        return 0;
    }
    return -EFBIG;
}

int fdc_eject(struct fdc *fdc, unsigned unit)
{
    struct fdc_drive *d = drive_of(fdc, unit);
    if (!d)
        return -ENODEV;
    if (d->blk)
        blk_drain(d->blk);
    d->blk = NULL;
    d->format = NULL;
    d->changed = true;
    return 0;
}

struct blk *fdc_disk(const struct fdc *fdc, unsigned unit)
{
    return unit < fdc->env.drives ? fdc->drive[unit].blk : NULL;
}

uint8_t fdc_cmos_type(const struct fdc *fdc, unsigned unit)
{
    if (unit >= fdc->env.drives)
        return 0;
    const struct format *f = fdc->drive[unit].format;
    if (f && f->sectors == 15)
        return 2;
    return f && f->rates == 0x08 ? 5 : 4;
}
