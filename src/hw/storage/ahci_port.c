/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port of the AHCI controller: commands from their slots to the drive, and its answers back.
 * AHCI 1.3.1: 4.2 (memory structures), 5.3 (port state machine), 6 (errors); Serial ATA 2.6, 10.3
 * (FISes). The drive is that of an IDE channel (ide_internal.h): a command FIS is written to its
 * registers, and its blocks of data are moved by us and not by the processor.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/storage/ahci_internal.h"

#define FIS_HOST 0x27
#define FIS_DEVICE 0x34
#define FIS_PIO_SETUP 0x5f
#define AT_PIO_SETUP 0x20
#define AT_DEVICE 0x40
#define FIS_INTERRUPT 0x40
#define HEADER_BYTES 32u
#define AT_PACKET 0x40u
#define AT_BUFFERS 0x80u

/* ---- guest memory ---- */

void ahci_post(struct ahci_port *port, unsigned at, const uint8_t *fis, unsigned len_bytes)
{
    if (port->cmd & CMD_FRE && pci_bus_master(&port->ahci->pci))
        dma_write(&port->ahci->pci.dma, port->fb + at, fis, len_bytes);
}

int ahci_buffers(struct ahci_port *port, uint64_t table, uint32_t entries, uint64_t from,
                 uint64_t want_bytes, bool to_memory, struct slices *s)
{
    const struct dma *dma = &port->ahci->pci.dma;
    if (!pci_bus_master(&port->ahci->pci))
        return -EFAULT;
    for (uint32_t i = 0; i < entries && want_bytes; i++) {
        uint8_t entry[16];
        int r = dma_read(dma, table + AT_BUFFERS + 16ull * i, entry, sizeof(entry));
        if (r < 0)
            return r;
        uint64_t len = (le32_get(entry + 12) & 0x3fffff) + 1ull;
        uint64_t skip = MIN(from, len), piece = MIN(len - skip, want_bytes);
        from -= skip;
        r = piece ? slices_add(s, dma, le64_get(entry) + skip, piece, to_memory) : 0;
        if (r < 0)
            return r;
        want_bytes -= piece;
    }
    return 0;
}

void ahci_fatal(struct ahci_port *port, unsigned slot)
{
    port->halted = true;
    port->cmd = (port->cmd & ~0x1f00u) | slot << 8;
    ahci_raise(port, IS_HBFS);
}

/* Between a block of the drive's and the guest's buffers. False: it was not possible. */
static bool move_block(struct ahci_port *port, uint8_t *buf, uint32_t len, bool to_guest)
{
    struct slices s = {0};
    int r = ahci_buffers(port, port->table, port->entries, port->moved_bytes, len, to_guest, &s);
    bool fits = r == 0 && s.len_bytes == len;
    if (fits && to_guest) {
        slices_put(&s, 0, buf, len);
        slices_wrote(&s, &port->ahci->pci.dma, len);
    } else if (fits) {
        slices_get(&s, 0, buf, len);
    }
    slices_done(&s);
    if (r < 0)
        ahci_fatal(port, (unsigned)port->current);
    else if (!fits)
        ahci_raise(port, IS_OFS);
    port->moved_bytes += len;
    return fits;
}

/* ---- FISes of the drive ---- */

static void fill_registers(const struct ide_drive *d, uint8_t *fis)
{
    fis[4] = d->lba0[0];
    fis[5] = d->lba1[0];
    fis[6] = d->lba2[0];
    fis[7] = d->head;
    fis[8] = d->lba0[1];
    fis[9] = d->lba1[1];
    fis[10] = d->lba2[1];
    fis[12] = d->nsector[0];
    fis[13] = d->nsector[1];
}

static void post_registers(struct ahci_port *port, bool interrupt)
{
    uint8_t fis[20] = {FIS_DEVICE, interrupt ? FIS_INTERRUPT : 0, port->status, port->error};
    fill_registers(ahci_port_drive(port), fis);
    ahci_post(port, AT_DEVICE, fis, sizeof(fis));
}

/* E_Status is what the status will be when the block has been moved. */
static void post_pio_setup(struct ahci_port *port, bool to_guest, uint32_t len, uint8_t end_status)
{
    uint8_t fis[20] = {FIS_PIO_SETUP, (uint8_t)(FIS_INTERRUPT | (to_guest ? 0x20 : 0)),
                       ST_READY | ST_DRQ, port->error};
    fill_registers(ahci_port_drive(port), fis);
    fis[15] = end_status;
    le16_put(fis + 16, (uint16_t)len);
    ahci_post(port, AT_PIO_SETUP, fis, sizeof(fis));
}

/* ---- the drive ---- */

static void write_register(struct ahci_port *port, unsigned offset, uint8_t v)
{
    ide_command_io.write(port->ide, offset, 1, v);
}

static void reset_drive(struct ahci_port *port)
{
    ide_control_io.write(port->ide, 0, 1, CTL_SRST);
    ide_control_io.write(port->ide, 0, 1, 0);
}

void ahci_port_link_up(struct ahci_port *port)
{
    const struct ide_drive *d = ahci_port_drive(port);
    port->status = d->status;
    port->error = d->error;
    port->sig = (uint32_t)d->lba2[0] << 24 | (uint32_t)d->lba1[0] << 16 |
                (uint32_t)d->lba0[0] << 8 | d->nsector[0];
    post_registers(port, false);
}

void ahci_port_stop(struct ahci_port *port)
{
    if (port->ide) {
        ahci_ncq_cancel(port);
        if (port->current >= 0) {
            port->current = -1;
            reset_drive(port);
            port->status = ahci_port_drive(port)->status;
        }
    }
    port->current = -1;
    port->halted = false;
    port->ci = port->sact = 0;
    port->cmd &= ~0x1f00u;
}

/* What a drive on a serial cable says otherwise: ATA8-ACS 7.16, words 75 to 79, 84, 87 and 93. */
static void amend_identity(const struct ahci_port *port, uint8_t *buf)
{
    bool disk = ahci_port_drive(port)->kind == IDE_DISK;
    uint8_t sum = 0;
    le16_put(buf + 2 * 76, disk ? 0x0106 : 0x0006); /* 1.5 and 3 Gb/s; queuing */
    le16_put(buf + 2 * 80, 0x01f0);                 /* up to ATA8 */
    le16_put(buf + 2 * 93, 0);
    if (disk) {
        le16_put(buf + 2 * 75, AHCI_SLOTS - 1);
        le16_put(buf + 2 * 84, le16_get(buf + 2 * 84) | 0x20); /* READ LOG EXT */
        le16_put(buf + 2 * 87, le16_get(buf + 2 * 87) | 0x20);
    }
    for (unsigned i = 0; i < ATA_SECTOR_BYTES - 1; i++)
        sum += buf[i];
    buf[ATA_SECTOR_BYTES - 1] = (uint8_t)-sum;
}

/* ---- the command in hand ---- */

static void finish(struct ahci_port *port, uint8_t status, uint8_t error)
{
    unsigned slot = (unsigned)port->current;
    uint8_t count[4];
    port->current = -1;
    port->status = status;
    port->error = error;
    if (status & ST_ERR) {
        port->halted = true;
        port->cmd = (port->cmd & ~0x1f00u) | slot << 8;
        post_registers(port, true);
        ahci_raise(port, IS_TFES | IS_DHRS);
        return;
    }
    le32_put(count, (uint32_t)port->moved_bytes);
    dma_write(&port->ahci->pci.dma, port->clb + HEADER_BYTES * slot + 4, count, sizeof(count));
    port->ci &= ~(1u << slot);
    if (port->pio_in) {
        ahci_raise(port, IS_PSS);
        return;
    }
    post_registers(port, true);
    ahci_raise(port, IS_DHRS);
}

/* The drive cannot be left in the middle of a transfer. */
static void abort_transfer(struct ahci_port *port)
{
    reset_drive(port);
    finish(port, ST_READY | ST_ERR, ER_ABRT);
}

static void pio_block(struct ahci_port *port)
{
    struct ide_drive *d = ahci_port_drive(port);
    bool to_guest = d->phase == PHASE_PIO_IN;
    uint32_t len = d->end - d->pos;
    bool whole = d->command == 0xec || d->command == 0xa1;
    if (to_guest && whole && d->pos == 0 && d->filled == ATA_SECTOR_BYTES)
        amend_identity(port, d->buf);
    if (!move_block(port, d->buf + d->pos, len, to_guest)) {
        abort_transfer(port);
        return;
    }
    ide_block_moved(d);
    bool more = d->phase != PHASE_IDLE;
    port->pio_in = to_guest && d->kind == IDE_DISK;
    post_pio_setup(port, to_guest, len, more ? ST_READY | ST_BSY : d->status);
}

/* One step of the command in hand; false: the drive is at work. */
static bool advance(struct ahci_port *port)
{
    struct ide_drive *d = ahci_port_drive(port);
    uint8_t packet[ATAPI_PACKET_BYTES];
    switch (d->phase) {
    case PHASE_PACKET:
        if (dma_read(&port->ahci->pci.dma, port->table + AT_PACKET, packet, sizeof(packet)) < 0) {
            ahci_fatal(port, (unsigned)port->current);
            abort_transfer(port);
            break;
        }
        memcpy(d->buf, packet, sizeof(packet));
        ide_block_moved(d);
        break;
    case PHASE_PIO_IN:
    case PHASE_PIO_OUT:
        pio_block(port);
        break;
    case PHASE_IDLE:
        finish(port, d->status, d->error);
        break;
    default:
        return false;
    }
    return true;
}

static void read_log(struct ahci_port *port, const uint8_t *fis)
{
    uint8_t page[ATA_SECTOR_BYTES];
    if (!ahci_read_log(port, fis, page)) {
        finish(port, ST_READY | ST_ERR, ER_ABRT);
    } else if (move_block(port, page, sizeof(page), true)) {
        port->pio_in = true;
        post_pio_setup(port, true, sizeof(page), ST_READY);
        finish(port, ST_READY, 0);
    } else {
        abort_transfer(port);
    }
}

static void issue(struct ahci_port *port, const uint8_t *fis)
{
    port->status = ST_READY | ST_BSY;
    port->error = 0;
    if (fis[2] == 0x2f && ahci_port_drive(port)->kind == IDE_DISK) {
        read_log(port, fis);
        return;
    }
    const uint8_t registers[][2] = {{6, (uint8_t)(fis[7] & ~DEV_SLAVE)},
                                    {1, fis[11]},
                                    {1, fis[3]},
                                    {2, fis[13]},
                                    {2, fis[12]},
                                    {3, fis[8]},
                                    {3, fis[4]},
                                    {4, fis[9]},
                                    {4, fis[5]},
                                    {5, fis[10]},
                                    {5, fis[6]}};
    for (unsigned i = 0; i < ARRAY_LEN(registers); i++)
        write_register(port, registers[i][0], registers[i][1]);
    write_register(port, 7, fis[2]);
}

/* A FIS that writes the device control register. */
static void control(struct ahci_port *port, unsigned slot, const uint8_t *fis)
{
    bool reset = fis[15] & CTL_SRST;
    port->ci &= ~(1u << slot);
    if (reset && !port->resetting) {
        ahci_ncq_cancel(port);
        port->sact = 0;
    } else if (!reset && port->resetting) {
        reset_drive(port);
        ahci_port_link_up(port);
        ahci_raise(port, IS_DHRS);
    }
    port->resetting = reset;
}

/* Begin the command of a slot; false: its turn is later. */
static bool begin(struct ahci_port *port, unsigned slot)
{
    const struct dma *dma = &port->ahci->pci.dma;
    uint8_t header[HEADER_BYTES], fis[FIS_COMMAND_BYTES];
    int r = pci_bus_master(&port->ahci->pci)
                ? dma_read(dma, port->clb + HEADER_BYTES * slot, header, sizeof(header))
                : -EFAULT;
    uint64_t table = r == 0 ? le64_get(header + 8) & ~127ull : 0;
    if (r == 0)
        r = dma_read(dma, table, fis, sizeof(fis));
    if (r < 0 || fis[0] != FIS_HOST) {
        ahci_fatal(port, slot);
        return false;
    }
    uint32_t entries = le32_get(header) >> 16;
    if (!(fis[1] & 0x80)) {
        control(port, slot, fis);
        return true;
    }
    bool queue = (fis[2] == 0x60 || fis[2] == 0x61) && ahci_port_drive(port)->kind == IDE_DISK;
    if (queue) {
        ahci_ncq_start(port, slot, fis, table, entries);
        return true;
    }
    if (port->queued)
        return false;
    port->current = (int)slot;
    port->table = table;
    port->entries = entries;
    port->moved_bytes = 0;
    port->pio_in = false;
    issue(port, fis);
    return true;
}

static bool begin_any(struct ahci_port *port)
{
    for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
        if (port->ci & 1u << slot && !(port->queued & 1u << slot) && !port->halted &&
            begin(port, slot))
            return true;
    return false;
}

void ahci_port_run(struct ahci_port *port)
{
    if (port->running || !port->ide)
        return;
    struct blk *blk = ahci_port_drive(port)->blk;
    port->running = true;
    if (blk)
        blk_plug(blk);
    while (port->cmd & CMD_ST && (port->current >= 0 ? advance(port) : begin_any(port)))
        ;
    if (blk)
        blk_unplug(blk);
    port->running = false;
}
