/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of an ATA disk: ATA/ATAPI-7 volume 1, clause 6, with 28-bit, 48-bit and
 * cylinder-head-sector addresses. Left out: security, host protected area, READ/WRITE BUFFER,
 * streaming, queued commands, the SMART self-tests.
 */
#include <errno.h>
#include <string.h>

#include "hw/storage/ide_internal.h"

#define CHUNK_SECTORS (IDE_BUF_BYTES / ATA_SECTOR_BYTES)

uint64_t ide_sectors(const struct ide_drive *d)
{
    return d->blk ? d->blk->size_bytes / ATA_SECTOR_BYTES : 0;
}

/* ---- addresses ---- */

static bool is_ext(const struct ide_drive *d)
{
    switch (d->command) {
    case 0x24:
    case 0x25:
    case 0x29:
    case 0x34:
    case 0x35:
    case 0x39:
    case 0x3d:
    case 0x42:
    case 0xce:
        return true;
    }
    return false;
}

/* Sector address and count of the command; false when there is no such sector. */
static bool get_address(struct ide_drive *d, uint32_t *ret_count)
{
    uint32_t count = d->nsector[0];
    if (is_ext(d)) {
        count |= (uint32_t)d->nsector[1] << 8;
        count = count ? count : 65536;
        d->lba = (uint64_t)d->lba2[1] << 40 | (uint64_t)d->lba1[1] << 32 |
                 (uint64_t)d->lba0[1] << 24 | (uint64_t)d->lba2[0] << 16 |
                 (uint64_t)d->lba1[0] << 8 | d->lba0[0];
    } else {
        count = count ? count : 256;
        if (d->head & DEV_LBA) {
            d->lba = (uint32_t)(d->head & DEV_HEAD) << 24 | (uint32_t)d->lba2[0] << 16 |
                     (uint32_t)d->lba1[0] << 8 | d->lba0[0];
        } else {
            uint32_t cylinder = (uint32_t)d->lba2[0] << 8 | d->lba1[0];
            uint32_t head = d->head & DEV_HEAD, sector = d->lba0[0];
            if (sector == 0 || sector > d->sectors || head >= d->heads)
                return false;
            d->lba = ((uint64_t)cylinder * d->heads + head) * d->sectors + sector - 1;
        }
    }
    *ret_count = count;
    return d->lba < ide_sectors(d) && count <= ide_sectors(d) - d->lba;
}

void ide_put_address(struct ide_drive *d)
{
    uint64_t lba = d->lba;
    if (!is_ext(d) && !(d->head & DEV_LBA)) {
        uint64_t track = lba / d->sectors;
        d->lba0[0] = (uint8_t)(lba % d->sectors + 1);
        d->head = (uint8_t)((d->head & ~DEV_HEAD) | (track % d->heads & DEV_HEAD));
        d->lba1[0] = (uint8_t)(track / d->heads);
        d->lba2[0] = (uint8_t)(track / d->heads >> 8);
        return;
    }
    d->lba0[0] = (uint8_t)lba;
    d->lba1[0] = (uint8_t)(lba >> 8);
    d->lba2[0] = (uint8_t)(lba >> 16);
    if (is_ext(d)) {
        d->lba0[1] = (uint8_t)(lba >> 24);
        d->lba1[1] = (uint8_t)(lba >> 32);
        d->lba2[1] = (uint8_t)(lba >> 40);
    } else {
        d->head = (uint8_t)((d->head & ~DEV_HEAD) | (lba >> 24 & DEV_HEAD));
    }
}

/* A read or write failed at or after sector d->lba. */
static void disk_error(struct ide_drive *d, bool write)
{
    ide_put_address(d);
    ide_fail(d, write ? ER_ABRT : ER_UNC);
}

/* ---- data ---- */

static void loaded(struct ide_drive *d, int result)
{
    if (result < 0) {
        disk_error(d, false);
        return;
    }
    uint32_t bytes = (uint32_t)d->iov.iov_len;
    d->lba += bytes / ATA_SECTOR_BYTES;
    d->left -= bytes / ATA_SECTOR_BYTES;
    ide_pio_in(d, bytes, d->block_bytes);
}

static void load(struct ide_drive *d)
{
    uint32_t bytes = MIN(d->left, CHUNK_SECTORS) * ATA_SECTOR_BYTES;
    d->iov = (struct iovec){d->buf, bytes};
    ide_request(d, BLK_READ, d->lba * ATA_SECTOR_BYTES, bytes, &d->iov, 1, loaded);
}

static void take(struct ide_drive *d, bool irq)
{
    uint32_t sectors = MIN(d->left, CHUNK_SECTORS);
    d->left -= sectors;
    ide_pio_out(d, sectors * ATA_SECTOR_BYTES, d->block_bytes, irq);
}

static void stored(struct ide_drive *d, int result)
{
    if (result < 0) {
        disk_error(d, true);
        return;
    }
    d->lba += d->iov.iov_len / ATA_SECTOR_BYTES;
    if (d->left)
        take(d, true);
    else
        ide_finish(d);
}

void ide_ata_more(struct ide_drive *d)
{
    if (d->phase == PHASE_PIO_OUT) {
        d->iov = (struct iovec){d->buf, d->filled};
        ide_request(d, BLK_WRITE, d->lba * ATA_SECTOR_BYTES, d->filled, &d->iov, 1, stored);
    } else if (d->left) {
        load(d);
    } else {
        /* The last block of a PIO-in command is its end; there is no further interrupt. */
        d->phase = PHASE_IDLE;
        d->status = ST_READY;
    }
}

void ide_ata_dma_done(struct ide_drive *d, int result)
{
    if (result == -EFAULT || result == -E2BIG || result == -ENOMEM)
        ide_fail(d, ER_ABRT);
    else if (result < 0)
        disk_error(d, d->dma_write);
    else
        ide_finish(d);
}

enum transfer { READ_PIO, READ_MULTIPLE, WRITE_PIO, WRITE_MULTIPLE, READ_DMA, WRITE_DMA };

static void transfer(struct ide_drive *d, enum transfer kind)
{
    bool multiple = kind == READ_MULTIPLE || kind == WRITE_MULTIPLE;
    bool write = kind == WRITE_PIO || kind == WRITE_MULTIPLE || kind == WRITE_DMA;
    bool dma = kind == READ_DMA || kind == WRITE_DMA;
    uint32_t count;

    if ((multiple && !d->multiple) || (dma && !d->ide->env.dma) || (write && d->blk->readonly)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    if (!get_address(d, &count)) {
        ide_fail(d, ER_IDNF);
        return;
    }
    if (dma) {
        ide_dma(d, count * ATA_SECTOR_BYTES, write, false);
        return;
    }
    d->left = count;
    d->block_bytes = (multiple ? d->multiple : 1u) * ATA_SECTOR_BYTES;
    if (write)
        take(d, false);
    else
        load(d);
}

/* ---- the rest ---- */

static void verified(struct ide_drive *d, int result)
{
    if (result < 0) {
        disk_error(d, false);
        return;
    }
    uint32_t sectors = (uint32_t)(d->iov.iov_len / ATA_SECTOR_BYTES);
    d->lba += sectors;
    d->left -= sectors;
    if (d->left == 0) {
        ide_finish(d);
        return;
    }
    d->iov.iov_len = MIN(d->left, CHUNK_SECTORS) * ATA_SECTOR_BYTES;
    ide_request(d, BLK_READ, d->lba * ATA_SECTOR_BYTES, d->iov.iov_len, &d->iov, 1, verified);
}

static void verify(struct ide_drive *d)
{
    uint32_t count;
    if (!get_address(d, &count)) {
        ide_fail(d, ER_IDNF);
        return;
    }
    d->left = count;
    d->iov = (struct iovec){d->buf, 0};
    verified(d, 0);
}

static void flushed(struct ide_drive *d, int result)
{
    if (result < 0)
        ide_fail(d, ER_ABRT);
    else
        ide_finish(d);
}

static void seek(struct ide_drive *d)
{
    uint32_t count;
    d->nsector[0] = 1;
    if (get_address(d, &count))
        ide_finish(d);
    else
        ide_fail(d, ER_IDNF);
}

static void set_geometry(struct ide_drive *d)
{
    uint8_t heads = (uint8_t)((d->head & DEV_HEAD) + 1), sectors = d->nsector[0];
    if (sectors == 0) {
        ide_fail(d, ER_ABRT);
        return;
    }
    d->heads = heads;
    d->sectors = sectors;
    d->cylinders = (uint16_t)MIN(ide_sectors(d) / ((uint32_t)heads * sectors), 65535ull);
    ide_finish(d);
}

static void set_multiple(struct ide_drive *d)
{
    uint8_t n = d->nsector[0];
    if (n > IDE_MAX_MULTIPLE || (n & (n - 1))) {
        ide_fail(d, ER_ABRT);
        return;
    }
    d->multiple = n;
    ide_finish(d);
}

static bool mode_is_valid(const struct ide_drive *d, uint8_t mode)
{
    switch (mode >> 3) {
    case 0: /* PIO default */
        return mode <= 1;
    case 1: /* PIO with flow control */
        return (mode & 7) <= 4;
    case 4: /* multiword DMA */
        return d->ide->env.dma && (mode & 7) <= 2;
    case 8: /* Ultra DMA */
        return d->ide->env.dma && (mode & 7) <= 5;
    }
    return false;
}

/* Clause 6.48. Both kinds of drives have it. */
static void set_features(struct ide_drive *d)
{
    bool ok = true;
    switch (d->feature[0]) {
    case 0x02:
        d->write_cache = true;
        break;
    case 0x82:
        d->write_cache = false;
        if (d->kind == IDE_DISK) { /* what the cache holds goes to the disk first */
            ide_request(d, BLK_FLUSH, 0, 0, NULL, 0, flushed);
            return;
        }
        break;
    case 0x03:
        ok = mode_is_valid(d, d->nsector[0]);
        if (ok)
            d->transfer_mode = d->nsector[0];
        break;
    case 0xaa:
        d->look_ahead = true;
        break;
    case 0x55:
        d->look_ahead = false;
        break;
    case 0x66: /* keep settings over a soft reset, or not: we always keep them */
    case 0xcc:
        break;
    default:
        ok = false;
    }
    if (ok)
        ide_finish(d);
    else
        ide_fail(d, ER_ABRT);
}

/* A data structure of 512 bytes whose sum is zero; it names no attributes, for there are none. */
static void smart_data(struct ide_drive *d, bool thresholds)
{
    uint8_t sum = 0;
    memset(d->buf, 0, ATA_SECTOR_BYTES);
    d->buf[0] = 0x10; /* revision */
    if (!thresholds) {
        d->buf[362] = 0x82; /* off-line data collection was completed, and is automatic */
        d->buf[368] = 0x03; /* SMART saves its data before power-down; autosave is supported */
    }
    for (unsigned i = 0; i < 511; i++)
        sum += d->buf[i];
    d->buf[511] = (uint8_t)-sum;
    ide_pio_in(d, ATA_SECTOR_BYTES, ATA_SECTOR_BYTES);
}

/* Clause 6.54: enable, disable, status, data and thresholds. */
static void smart(struct ide_drive *d)
{
    uint8_t sub = d->feature[0];
    if (d->lba1[0] != 0x4f || d->lba2[0] != 0xc2 || (!d->smart && sub != 0xd8)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    switch (sub) {
    case 0xd0:
    case 0xd1:
        smart_data(d, sub == 0xd1);
        break;
    case 0xd8:
        d->smart = true;
        ide_finish(d);
        break;
    case 0xd9:
        d->smart = false;
        ide_finish(d);
        break;
    case 0xd2: /* attribute autosave */
    case 0xda: /* status: 4f and c2 stay, no threshold is exceeded */
        ide_finish(d);
        break;
    default:
        ide_fail(d, ER_ABRT);
    }
}

static void disk_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case 0x10 ... 0x1f: /* RECALIBRATE */
        ide_finish(d);
        break;
    case 0x20:
    case 0x21:
    case 0x24:
        transfer(d, READ_PIO);
        break;
    case 0x29:
    case 0xc4:
        transfer(d, READ_MULTIPLE);
        break;
    case 0x25:
    case 0xc8:
    case 0xc9:
        transfer(d, READ_DMA);
        break;
    case 0x30:
    case 0x31:
    case 0x34:
        transfer(d, WRITE_PIO);
        break;
    case 0xce: /* WRITE MULTIPLE FUA EXT */
        d->fua = true;
        transfer(d, WRITE_MULTIPLE);
        break;
    case 0x39:
    case 0xc5:
        transfer(d, WRITE_MULTIPLE);
        break;
    case 0x3d: /* WRITE DMA FUA EXT */
        d->fua = true;
        transfer(d, WRITE_DMA);
        break;
    case 0x35:
    case 0xca:
    case 0xcb:
        transfer(d, WRITE_DMA);
        break;
    case 0x40:
    case 0x41:
    case 0x42:
        verify(d);
        break;
    case 0x70 ... 0x7f:
        seek(d);
        break;
    case 0x91:
        set_geometry(d);
        break;
    case 0xb0:
        smart(d);
        break;
    case 0xc6:
        set_multiple(d);
        break;
    case 0xe7:
    case 0xea:
        ide_request(d, BLK_FLUSH, 0, 0, NULL, 0, flushed);
        break;
    case 0xec:
        ide_identify(d, d->buf);
        ide_pio_in(d, ATA_SECTOR_BYTES, ATA_SECTOR_BYTES);
        break;
    default:
        ide_fail(d, ER_ABRT);
    }
}

static void packet_device_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case 0xa0:
        ide_atapi_packet(d);
        break;
    case 0xa1:
        ide_identify_packet(d, d->buf);
        ide_pio_in(d, ATA_SECTOR_BYTES, ATA_SECTOR_BYTES);
        break;
    case 0x20: /* READ SECTOR(S) and IDENTIFY DEVICE show what kind of device this is */
    case 0xec:
        ide_signature(d);
        ide_fail(d, ER_ABRT);
        break;
    default:
        ide_fail(d, ER_ABRT);
    }
}

void ide_ata_command(struct ide_drive *d, uint8_t command)
{
    switch (command) {
    case 0xef:
        set_features(d);
        break;
    case 0x94 ... 0x97: /* power management, and its commands before ATA-4 */
    case 0x99:
    case 0xe0 ... 0xe3:
    case 0xe6:
        ide_finish(d);
        break;
    case 0x98:
    case 0xe5: /* CHECK POWER MODE: active */
        d->nsector[0] = 0xff;
        ide_finish(d);
        break;
    default:
        if (d->kind == IDE_DISK)
            disk_command(d, command);
        else
            packet_device_command(d, command);
    }
}
