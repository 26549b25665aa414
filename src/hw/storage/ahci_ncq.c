/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Native command queuing: READ and WRITE FPDMA QUEUED, the set device bits FIS that ends them, and
 * the page of the log that tells of the one that failed. ATA8-ACS (T13/1699D) 7.60 FPDMA QUEUED,
 * A.14 (log 10h); AHCI 1.3.1, 5.3.9 and 6.2.2 (errors).
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/storage/ahci_internal.h"

#define FIS_SET_DEVICE_BITS 0xa1
#define AT_SET_DEVICE_BITS 0x58

static void set_device_bits(struct ahci_port *port, uint32_t finished)
{
    uint8_t fis[8] = {FIS_SET_DEVICE_BITS, 0x40, port->status & 0x77, port->error};
    le32_put(fis + 4, finished);
    ahci_post(port, AT_SET_DEVICE_BITS, fis, sizeof(fis));
}

/* The drive stops at the first error; the others' fate is asked for with the log. */
static void failed(struct ahci_slot *slot, uint8_t error)
{
    struct ahci_port *port = slot->port;
    uint8_t *log = port->failed_log, sum = 0;
    memset(log, 0, ATA_SECTOR_BYTES);
    log[0] = (uint8_t)slot->tag;
    log[2] = ST_READY | ST_ERR;
    log[3] = error;
    for (unsigned i = 0; i < 3; i++) {
        log[4 + i] = (uint8_t)(slot->lba >> (8 * i));
        log[8 + i] = (uint8_t)(slot->lba >> (24 + 8 * i));
    }
    log[7] = DEV_LBA;
    for (unsigned i = 0; i < ATA_SECTOR_BYTES - 1; i++)
        sum += log[i];
    log[ATA_SECTOR_BYTES - 1] = (uint8_t)-sum;

    port->status = ST_READY | ST_ERR;
    port->error = error;
    port->halted = true;
    port->cmd = (port->cmd & ~0x1f00u) | slot->tag << 8;
    set_device_bits(port, 0);
    ahci_raise(port, IS_TFES | IS_SDBS);
}

static void queued_done(struct blk_req *req, int result)
{
    struct ahci_slot *slot = CONTAINER_OF(req, struct ahci_slot, req);
    struct ahci_port *port = slot->port;
    uint32_t bit = 1u << slot->tag;
    port->queued &= ~bit;
    if (result == 0 && !slot->write)
        slices_wrote(&slot->slices, &port->ahci->pci.dma, slot->slices.len_bytes);
    slices_done(&slot->slices);
    if (port->cancelled || port->halted)
        return;
    if (result < 0) {
        failed(slot, slot->write ? ER_ABRT : ER_UNC);
        return;
    }
    port->sact &= ~bit;
    set_device_bits(port, bit);
    ahci_raise(port, IS_SDBS);
    ahci_port_run(port);
}

void ahci_ncq_start(struct ahci_port *port, unsigned tag, const uint8_t *fis, uint64_t table,
                    uint32_t entries)
{
    struct ahci_slot *slot = &port->slots[tag];
    const struct ide_drive *d = ahci_port_drive(port);
    uint32_t count = (uint32_t)fis[11] << 8 | fis[3];
    uint64_t bytes = (uint64_t)(count ? count : 65536) * ATA_SECTOR_BYTES;
    uint8_t error = 0;

    port->ci &= ~(1u << tag);
    slot->write = fis[2] == 0x61;
    slot->lba = (uint64_t)le16_get(fis + 9) << 32 | (uint64_t)fis[8] << 24 |
                (uint64_t)fis[6] << 16 | le16_get(fis + 4);
    if (fis[12] >> 3 != tag || port->queued & 1u << tag || !(port->sact & 1u << tag))
        error = ER_ABRT;
    else if (slot->lba >= ide_sectors(d) || bytes / ATA_SECTOR_BYTES > ide_sectors(d) - slot->lba)
        error = ER_IDNF;
    else if (slot->write && d->blk->readonly)
        error = ER_ABRT;
    if (!error) {
        int r = ahci_buffers(port, table, entries, 0, bytes, !slot->write, &slot->slices);
        if (r < 0 || slot->slices.len_bytes < bytes) {
            slices_done(&slot->slices);
            if (r == 0)
                ahci_raise(port, IS_OFS);
            error = ER_ABRT;
        }
    }
    if (error) {
        failed(slot, error);
        return;
    }
    slot->req = (struct blk_req){
        .op = slot->write ? BLK_WRITE : BLK_READ,
        .fua = slot->write && (fis[7] & 0x80 || !d->write_cache),
        .offset_bytes = slot->lba * ATA_SECTOR_BYTES,
        .len_bytes = bytes,
        .iov = slot->slices.iov,
        .iov_count = slot->slices.count,
        .done = queued_done,
    };
    port->queued |= 1u << tag;
    blk_submit(d->blk, &slot->req);
}

void ahci_ncq_cancel(struct ahci_port *port)
{
    if (!port->queued)
        return;
    port->cancelled = true;
    blk_drain(ahci_port_drive(port)->blk);
    port->cancelled = false;
}

bool ahci_read_log(struct ahci_port *port, const uint8_t *fis, uint8_t *buf)
{
    uint32_t pages = (uint32_t)fis[13] << 8 | fis[12], page = (uint32_t)fis[9] << 8 | fis[5];
    if (pages != 1 || page != 0)
        return false;
    memset(buf, 0, ATA_SECTOR_BYTES);
    switch (fis[4]) {
    case 0x00: /* the directory: version 1, and how many pages each log has */
        buf[0] = 1;
        buf[2 * 0x10] = 1;
        return true;
    case 0x10:
        memcpy(buf, port->failed_log, ATA_SECTOR_BYTES);
        return true;
    }
    return false;
}
