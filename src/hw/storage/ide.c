/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers and transfer protocols of an IDE channel: ATA/ATAPI-7 (T13/1532D) volume 2,
 * clauses 6 (interface registers) and 11 (protocols: PIO data-in, PIO data-out, DMA, PACKET).
 * Command sets are in ide_ata.c and atapi.c.
 *
 * Work at the disk is asynchronous: BSY is set until the answer comes. Reset waits for what is
 * under way and forgets it. Left out: overlap and queueing, power saving (accepted, without
 * effect), the 8-bit transfer mode of CFA cards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/statename.h"
#include "hw/storage/ide_internal.h"

static struct ide_drive *selected(struct ide *ide)
{
    return &ide->drives[ide->select & DEV_SLAVE ? 1 : 0];
}

static void update_irq(struct ide *ide)
{
    line_set(&ide->env.irq, selected(ide)->irq && !(ide->control & CTL_NIEN));
}

void ide_raise(struct ide_drive *d)
{
    d->irq = true;
    update_irq(d->ide);
}

void ide_finish(struct ide_drive *d)
{
    d->phase = PHASE_IDLE;
    d->status = ST_READY;
    ide_raise(d);
}

void ide_fail(struct ide_drive *d, uint8_t error)
{
    d->phase = PHASE_IDLE;
    d->error = error;
    d->status = ST_READY | ST_ERR;
    ide_raise(d);
}

void ide_signature(struct ide_drive *d)
{
    d->nsector[0] = d->lba0[0] = 1;
    d->lba1[0] = d->kind == IDE_CD ? 0x14 : 0;
    d->lba2[0] = d->kind == IDE_CD ? 0xeb : 0;
    d->nsector[1] = d->lba0[1] = d->lba1[1] = d->lba2[1] = 0;
}

/* ---- requests at the disk ---- */

static void request_done(struct blk_req *req, int result)
{
    struct ide_drive *d = CONTAINER_OF(req, struct ide_drive, req);
    d->in_flight = false;
    if (!d->cancelled)
        d->req_done(d, result);
}

void ide_request(struct ide_drive *d, enum blk_op op, uint64_t offset_bytes, uint64_t len_bytes,
                 const struct iovec *iov, unsigned iov_count,
                 void (*done)(struct ide_drive *d, int result))
{
    d->phase = PHASE_BUSY;
    d->status = ST_BSY;
    d->req = (struct blk_req){
        .op = op,
        .fua = op == BLK_WRITE && (d->fua || !d->write_cache),
        .offset_bytes = offset_bytes,
        .len_bytes = len_bytes,
        .iov = iov,
        .iov_count = iov_count,
        .done = request_done,
    };
    d->req_done = done;
    d->in_flight = true;
    blk_submit(d->blk, &d->req);
}

/* Forget what is under way; when the function returns the disk no longer touches our memory. */
static void cancel(struct ide_drive *d)
{
    if (d->in_flight) {
        d->cancelled = true;
        blk_drain(d->blk);
        d->cancelled = false;
    }
    slices_done(&d->slices);
    d->phase = PHASE_IDLE;
    d->left = d->pos = d->end = d->filled = 0;
}

/* ---- programmed I/O ---- */

/* Packet devices say in the cylinder registers how long each block is. */
static void begin_block(struct ide_drive *d)
{
    d->end = MIN(d->filled, d->pos + d->block_bytes);
    d->status = ST_READY | ST_DRQ;
    if (d->kind == IDE_CD && d->command == 0xa0) {
        d->lba1[0] = (uint8_t)(d->end - d->pos);
        d->lba2[0] = (uint8_t)((d->end - d->pos) >> 8);
        d->nsector[0] = REASON_IO;
    }
}

void ide_pio_in(struct ide_drive *d, uint32_t bytes, uint32_t block_bytes)
{
    d->phase = PHASE_PIO_IN;
    d->pos = 0;
    d->filled = bytes;
    d->block_bytes = block_bytes;
    begin_block(d);
    ide_raise(d);
}

void ide_pio_out(struct ide_drive *d, uint32_t bytes, uint32_t block_bytes, bool irq)
{
    d->phase = PHASE_PIO_OUT;
    d->pos = 0;
    d->filled = bytes;
    d->block_bytes = block_bytes;
    begin_block(d);
    if (irq)
        ide_raise(d);
}

static void block_over(struct ide_drive *d)
{
    if (d->phase == PHASE_PACKET) {
        memcpy(d->packet, d->buf, sizeof(d->packet));
        d->status = ST_BSY;
        ide_atapi_command(d);
    } else if (d->end < d->filled) {
        begin_block(d);
        ide_raise(d);
    } else if (d->kind == IDE_CD && d->command == 0xa0) {
        ide_atapi_more(d);
    } else {
        ide_ata_more(d);
    }
}

void ide_block_moved(struct ide_drive *d)
{
    d->pos = d->end;
    block_over(d);
}

static uint32_t data_read(struct ide_drive *d, unsigned size)
{
    uint32_t v = 0;
    if (d->phase != PHASE_PIO_IN)
        return (uint32_t)bytes_mask(UINT32_MAX, size);
    unsigned n = MIN(size, d->end - d->pos);
    memcpy(&v, d->buf + d->pos, n);
    d->pos += n;
    if (d->pos == d->end)
        block_over(d);
    return v;
}

static void data_write(struct ide_drive *d, unsigned size, uint32_t v)
{
    if (d->phase != PHASE_PIO_OUT && d->phase != PHASE_PACKET)
        return;
    unsigned n = MIN(size, d->end - d->pos);
    memcpy(d->buf + d->pos, &v, n);
    d->pos += n;
    if (d->pos == d->end)
        block_over(d);
}

/* ---- DMA ---- */

static void dma_over(struct ide_drive *d, int result)
{
    const struct ide_dma *dma = d->ide->env.dma;
    if (result == 0 && !d->dma_write)
        slices_wrote(&d->slices, d->ide->env.mem, d->slices.len_bytes);
    bool is_short = d->slices.len_bytes < d->dma_bytes;
    slices_done(&d->slices);
    dma->done(dma->ctx, true, d->dma_end);
    if (result == 0 && is_short) {
        /* The list of buffers ended first: the drive waits for more, which never comes. PIIX3
         * 2.6.2: neither Active nor Interrupt is set. The host resets the drive. */
        d->phase = PHASE_IDLE;
        d->status = ST_READY | ST_DRQ;
        return;
    }
    if (d->kind == IDE_CD)
        ide_atapi_dma_done(d, result);
    else
        ide_ata_dma_done(d, result);
}

/* Cut a list of pieces to its first len_bytes. */
static void slices_trim(struct slices *s, uint64_t len_bytes)
{
    while (s->count && s->len_bytes - s->iov[s->count - 1].iov_len >= len_bytes)
        s->len_bytes -= s->iov[--s->count].iov_len;
    if (s->count)
        s->iov[s->count - 1].iov_len -= s->len_bytes - len_bytes;
    s->len_bytes = len_bytes;
}

static void dma_go(struct ide_drive *d)
{
    const struct ide_dma *dma = d->ide->env.dma;
    uint32_t sector_bytes = d->kind == IDE_CD ? CD_SECTOR_BYTES : ATA_SECTOR_BYTES;
    int r = dma->map(dma->ctx, d->dma_bytes, !d->dma_write, &d->slices, &d->dma_end);
    if (r == 0 && !d->dma_buf && (!d->blk || d->tray_open))
        r = -ENOMEDIUM;
    if (r < 0) {
        slices_done(&d->slices);
        dma->done(dma->ctx, false, true);
        if (d->kind == IDE_CD)
            ide_atapi_dma_done(d, r);
        else
            ide_ata_dma_done(d, r);
        return;
    }
    if (d->dma_buf) {
        slices_put(&d->slices, 0, d->buf, d->dma_bytes);
        dma_over(d, 0);
        return;
    }
    /* A disk moves whole sectors only. */
    slices_trim(&d->slices, d->slices.len_bytes / sector_bytes * sector_bytes);
    ide_request(d, d->dma_write ? BLK_WRITE : BLK_READ, d->lba * sector_bytes, d->slices.len_bytes,
                d->slices.iov, d->slices.count, dma_over);
}

void ide_dma(struct ide_drive *d, uint32_t bytes, bool write, bool with_buf)
{
    d->phase = PHASE_DMA_WAIT;
    d->status = ST_BSY;
    d->dma_bytes = bytes;
    d->dma_write = write;
    d->dma_buf = with_buf;
    if (d->ide->env.dma->running(d->ide->env.dma->ctx))
        dma_go(d);
}

void ide_dma_started(struct ide *ide)
{
    for (unsigned i = 0; i < 2; i++)
        if (ide->drives[i].phase == PHASE_DMA_WAIT)
            dma_go(&ide->drives[i]);
}

/* ---- registers ---- */

static void soft_reset(struct ide_drive *d)
{
    cancel(d);
    d->irq = false;
    d->error = 0x01; /* diagnostic code: device 0 passed, device 1 passed or absent */
    d->head = 0;
    ide_signature(d);
    d->status = d->kind == IDE_CD ? 0 : ST_READY;
    if (d->kind == IDE_CD)
        ide_atapi_reset(d);
}

static void command_write(struct ide *ide, uint8_t command)
{
    struct ide_drive *d = selected(ide);
    if (command == 0x90) { /* EXECUTE DEVICE DIAGNOSTIC is for both, whichever is selected */
        for (unsigned i = 0; i < 2; i++)
            if (ide->drives[i].kind != IDE_NONE)
                soft_reset(&ide->drives[i]);
        ide->select &= (uint8_t)~DEV_SLAVE;
        if (ide->drives[0].kind != IDE_NONE)
            ide_raise(&ide->drives[0]);
        return;
    }
    if (d->kind == IDE_NONE)
        return;
    /* DEVICE RESET is the one command that a busy packet device takes. */
    if (command == 0x08 && d->kind == IDE_CD) {
        soft_reset(d);
        update_irq(ide);
        return;
    }
    if (d->status & ST_BSY)
        return;
    cancel(d);
    d->irq = false;
    update_irq(ide);
    d->command = command;
    d->error = 0;
    d->status = ST_READY;
    d->fua = false;
    ide_ata_command(d, command);
}

static void task_write(uint8_t *reg, uint8_t v)
{
    reg[1] = reg[0];
    reg[0] = v;
}

static void register_write(struct ide *ide, unsigned offset, uint8_t v)
{
    if (offset == 7) {
        command_write(ide, v);
        return;
    }
    if (offset == 6) {
        ide->select = v;
        update_irq(ide);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = &ide->drives[i];
        if (d->kind == IDE_NONE || d->status & ST_BSY)
            continue;
        switch (offset) {
        case 1:
            task_write(d->feature, v);
            break;
        case 2:
            task_write(d->nsector, v);
            break;
        case 3:
            task_write(d->lba0, v);
            break;
        case 4:
            task_write(d->lba1, v);
            break;
        case 5:
            task_write(d->lba2, v);
            break;
        case 6:
            d->head = v;
            break;
        }
    }
}

static uint8_t register_read(struct ide *ide, unsigned offset)
{
    struct ide_drive *d = selected(ide);
    unsigned hob = ide->control & CTL_HOB ? 1 : 0;
    if (d->kind == IDE_NONE)
        return 0; /* as the master answers for a slave that is not there */
    switch (offset) {
    case 1:
        return d->error;
    case 2:
        return d->nsector[hob];
    case 3:
        return d->lba0[hob];
    case 4:
        return d->lba1[hob];
    case 5:
        return d->lba2[hob];
    case 6:
        return (uint8_t)((ide->select & DEV_SLAVE) | (d->head & (DEV_LBA | DEV_HEAD)) | 0xa0);
    default: /* the status, whose reading takes the interrupt back */
        d->irq = false;
        update_irq(ide);
        return d->status;
    }
}

static uint64_t command_read(void *dev, uint64_t offset, unsigned size)
{
    struct ide *ide = dev;
    if (offset == 0)
        return data_read(selected(ide), size);
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)(offset + i < 8 ? register_read(ide, (unsigned)offset + i) : 0xff)
             << (8 * i);
    return v;
}

static void command_block_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide *ide = dev;
    if (offset == 0) {
        data_write(selected(ide), size, (uint32_t)value);
        return;
    }
    for (unsigned i = 0; i < size && offset + i < 8; i++) {
        ide->control &= (uint8_t)~CTL_HOB;
        register_write(ide, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    }
}

static uint64_t control_read(void *dev, uint64_t offset, unsigned size)
{
    struct ide *ide = dev;
    (void)offset;
    (void)size;
    return selected(ide)->kind == IDE_NONE ? 0 : selected(ide)->status;
}

static void control_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct ide *ide = dev;
    uint8_t was = ide->control;
    (void)offset;
    (void)size;
    ide->control = (uint8_t)value & (CTL_NIEN | CTL_SRST | CTL_HOB);
    for (unsigned i = 0; i < 2; i++) {
        struct ide_drive *d = &ide->drives[i];
        if (d->kind == IDE_NONE)
            continue;
        if (!(was & CTL_SRST) && ide->control & CTL_SRST) {
            soft_reset(d);
            d->status = ST_BSY;
        } else if (was & CTL_SRST && !(ide->control & CTL_SRST)) {
            d->status = d->kind == IDE_CD ? 0 : ST_READY;
        }
    }
    if (!(was & CTL_SRST) && ide->control & CTL_SRST)
        ide->select = 0;
    update_irq(ide);
}

const struct io_ops ide_command_io = {
    .name = "ide",
    .min_size = 1,
    .max_size = 4,
    .read = command_read,
    .write = command_block_write,
};
const struct io_ops ide_control_io = {
    .name = "ide-control",
    .min_size = 1,
    .max_size = 1,
    .read = control_read,
    .write = control_write,
};

/* ---- the device ---- */

static void drive_reset(struct ide_drive *d)
{
    soft_reset(d);
    memset(d->feature, 0, sizeof(d->feature));
    memset(d->buf, 0, IDE_BUF_BYTES);
    memset(d->packet, 0, sizeof(d->packet));
    d->command = 0;
    d->lba = 0;
    d->block_bytes = d->dma_bytes = 0;
    d->dma_write = d->dma_buf = d->dma_end = d->packet_dma = d->fua = false;
    d->byte_limit = 0;
    d->multiple = d->kind == IDE_DISK ? IDE_MAX_MULTIPLE : 0;
    d->transfer_mode = 0x08; /* PIO with flow control, mode 0 */
    d->write_cache = d->look_ahead = d->smart = true;
    ide_default_geometry(d);
}

static void ide_reset(void *dev)
{
    struct ide *ide = dev;
    ide->select = 0;
    ide->control = 0;
    for (unsigned i = 0; i < 2; i++)
        if (ide->drives[i].kind != IDE_NONE)
            drive_reset(&ide->drives[i]);
    update_irq(ide);
}

static void drive_state(struct ide_drive *d, struct state *s)
{
    unsigned n = d->ide->env.number * 2 + d->unit;
    state_u8(s, STATE_NAME("error", n), &d->error);
    state_u8(s, STATE_NAME("status", n), &d->status);
    state_bytes(s, STATE_NAME("feature", n), d->feature, 2);
    state_bytes(s, STATE_NAME("nsector", n), d->nsector, 2);
    state_bytes(s, STATE_NAME("lba0", n), d->lba0, 2);
    state_bytes(s, STATE_NAME("lba1", n), d->lba1, 2);
    state_bytes(s, STATE_NAME("lba2", n), d->lba2, 2);
    state_u8(s, STATE_NAME("head", n), &d->head);
    state_bool(s, STATE_NAME("irq", n), &d->irq);
    state_u8(s, STATE_NAME("command", n), &d->command);
    state_u16(s, STATE_NAME("cylinders", n), &d->cylinders);
    state_u8(s, STATE_NAME("heads", n), &d->heads);
    state_u8(s, STATE_NAME("sectors", n), &d->sectors);
    state_u8(s, STATE_NAME("multiple", n), &d->multiple);
    state_u8(s, STATE_NAME("transfer_mode", n), &d->transfer_mode);
    state_bool(s, STATE_NAME("write_cache", n), &d->write_cache);
    state_bool(s, STATE_NAME("look_ahead", n), &d->look_ahead);
    state_bool(s, STATE_NAME("smart", n), &d->smart);
    state_u8(s, STATE_NAME("phase", n), &d->phase);
    state_bytes(s, STATE_NAME("buf", n), d->buf, IDE_BUF_BYTES);
    state_u32(s, STATE_NAME("pos", n), &d->pos);
    state_u32(s, STATE_NAME("end", n), &d->end);
    state_u32(s, STATE_NAME("filled", n), &d->filled);
    state_u32(s, STATE_NAME("block_bytes", n), &d->block_bytes);
    state_u64(s, STATE_NAME("lba", n), &d->lba);
    state_u32(s, STATE_NAME("left", n), &d->left);
    state_u32(s, STATE_NAME("dma_bytes", n), &d->dma_bytes);
    state_bool(s, STATE_NAME("dma_write", n), &d->dma_write);
    state_bool(s, STATE_NAME("dma_buf", n), &d->dma_buf);
    state_bool(s, STATE_NAME("fua", n), &d->fua);
    state_bytes(s, STATE_NAME("packet", n), d->packet, sizeof(d->packet));
    state_bool(s, STATE_NAME("packet_dma", n), &d->packet_dma);
    state_u16(s, STATE_NAME("byte_limit", n), &d->byte_limit);
    state_bytes(s, STATE_NAME("sense", n), &d->sense, sizeof(d->sense));
    state_bool(s, STATE_NAME("attention", n), &d->attention);
    state_bytes(s, STATE_NAME("sense_attention", n), &d->sense_attention,
                sizeof(d->sense_attention));
    state_bool(s, STATE_NAME("tray_open", n), &d->tray_open);
    state_bool(s, STATE_NAME("locked", n), &d->locked);
    state_u8(s, STATE_NAME("media_event", n), &d->media_event);
    state_u8(s, STATE_NAME("eject_event", n), &d->eject_event);

    state_check(s, d->phase <= PHASE_MAX && d->phase != PHASE_BUSY);
    state_check(s, d->pos <= d->end && d->end <= d->filled && d->filled <= IDE_BUF_BYTES);
    state_check(s, d->heads >= 1 && d->heads <= 16 && d->sectors >= 1);
    state_check(s, d->multiple <= IDE_MAX_MULTIPLE && (d->multiple & (d->multiple - 1)) == 0);
    bool transfers = d->phase == PHASE_PIO_IN || d->phase == PHASE_PIO_OUT;
    state_check(s, !(transfers || d->phase == PHASE_PACKET) || d->pos < d->end);
    state_check(s, !transfers || (d->block_bytes >= 1 && d->block_bytes <= IDE_BUF_BYTES));
    state_check(s, d->phase != PHASE_PACKET || d->end == ATAPI_PACKET_BYTES);
    state_check(s, d->phase != PHASE_DMA_WAIT || d->ide->env.dma);
    state_check(s, d->phase != PHASE_DMA_WAIT || !d->dma_buf || d->dma_bytes <= IDE_BUF_BYTES);
    bool packets = d->kind == IDE_CD && d->command == 0xa0;
    state_check(s, d->kind == IDE_DISK || (d->phase != PHASE_PIO_OUT && !d->dma_write));
    state_check(s, d->kind == IDE_DISK || packets || d->left == 0);
    state_check(s, packets || d->phase != PHASE_PACKET);
    /* Not to be left hanging: without one of the phases nothing would ever clear BSY or DRQ. */
    state_check(s, !(d->status & ST_BSY) || d->phase != PHASE_IDLE || d->ide->control & CTL_SRST);
    if (state_loading(s) && state_error(s) < 0) {
        d->phase = PHASE_IDLE;
        d->pos = d->end = d->filled = 0;
    }
}

static int ide_state(void *dev, struct state *s)
{
    struct ide *ide = dev;
    state_u8(s, STATE_NAME("select", ide->env.number), &ide->select);
    state_u8(s, STATE_NAME("control", ide->env.number), &ide->control);
    for (unsigned i = 0; i < 2; i++)
        if (ide->drives[i].kind != IDE_NONE)
            drive_state(&ide->drives[i], s);
    if (state_loading(s))
        update_irq(ide);
    return state_error(s);
}

static void ide_free(void *dev)
{
    struct ide *ide = dev;
    for (unsigned i = 0; i < 2; i++) {
        if (ide->drives[i].kind != IDE_NONE)
            cancel(&ide->drives[i]);
        free(ide->drives[i].buf);
    }
    free(ide);
}

const struct dev_ops ide_dev_ops = {
    .name = "ide",
    .version = 1,
    .reset = ide_reset,
    .state = ide_state,
    .free = ide_free,
};

int ide_new(const struct ide_env *env, const struct ide_drive_config drives[2],
            struct ide **ret_ide)
{
    struct ide *ide = calloc(1, sizeof(*ide));
    int r = ide ? 0 : -ENOMEM;
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        struct ide_drive *d = &ide->drives[i];
        d->ide = ide;
        d->unit = i;
        d->kind = drives[i].kind;
        d->blk = drives[i].blk;
        if (d->kind == IDE_NONE)
            continue;
        if (d->kind == IDE_DISK && !d->blk)
            r = -EINVAL;
        if (drives[i].serial)
            snprintf(d->serial, sizeof(d->serial), "%s", drives[i].serial);
        else
            snprintf(d->serial, sizeof(d->serial), "YD%05u", env->number * 2 + i + 1);
        d->buf = calloc(1, IDE_BUF_BYTES);
        if (!d->buf)
            r = -ENOMEM;
    }
    if (r < 0) {
        if (ide) {
            free(ide->drives[0].buf);
            free(ide->drives[1].buf);
        }
        free(ide);
        return r;
    }
    ide->env = *env;
    ide_reset(ide);
    *ret_ide = ide;
    return 0;
}
