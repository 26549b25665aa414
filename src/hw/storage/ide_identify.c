/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDENTIFY DEVICE and IDENTIFY PACKET DEVICE: ATA/ATAPI-7 volume 1, clauses 6.16 and 6.17.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/storage/ide_internal.h"

/* Strings have their first character in the upper byte of a word and are padded with blanks. */
static void put_string(uint8_t *buf, unsigned word, unsigned words, const char *text)
{
    size_t len = strlen(text);
    for (unsigned i = 0; i < words * 2; i++)
        buf[word * 2 + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
}

static void put(uint8_t *buf, unsigned word, uint16_t v)
{
    le16_put(buf + 2 * word, v);
}

/* Word 255: a signature and the byte that makes the sum of all 512 zero. */
static void put_checksum(uint8_t *buf)
{
    uint8_t sum = 0;
    buf[510] = 0xa5;
    for (unsigned i = 0; i < 511; i++)
        sum += buf[i];
    buf[511] = (uint8_t)-sum;
}

/* Words that say what transfer modes there are and which one is set. */
static void put_modes(const struct ide_drive *d, uint8_t *buf)
{
    uint8_t mode = d->transfer_mode;
    bool dma = d->ide->env.dma;
    unsigned mdma = dma ? 0x0007 : 0, udma = dma ? 0x003f : 0;
    if (dma && (mode & 0xf8) == 0x20)
        mdma |= 0x100u << (mode & 7);
    if (dma && (mode & 0xf8) == 0x40)
        udma |= 0x100u << (mode & 7);
    put(buf, 53, 0x0007); /* words 54–58, 64–70 and 88 are valid */
    put(buf, 63, (uint16_t)mdma);
    put(buf, 64, 0x0003); /* PIO modes 3 and 4 */
    put(buf, 65, 120);    /* cycle times in nanoseconds */
    put(buf, 66, 120);
    put(buf, 67, 120);
    put(buf, 68, 120);
    put(buf, 88, (uint16_t)udma);
    put(buf, 93, d->unit ? 0x4b00 : 0x600b); /* reset passed; 80-conductor cable */
}

void ide_default_geometry(struct ide_drive *d)
{
    uint64_t cylinders = ide_sectors(d) / (16 * 63);
    d->heads = 16;
    d->sectors = 63;
    d->cylinders = (uint16_t)MIN(MAX(cylinders, 1ull), 16383ull);
}

void ide_identify(const struct ide_drive *d, uint8_t *buf)
{
    uint64_t sectors = ide_sectors(d);
    uint32_t lba28 = (uint32_t)MIN(sectors, 0x0fffffffull);
    uint32_t chs = (uint32_t)d->cylinders * d->heads * d->sectors;
    uint64_t cylinders = MIN(MAX(sectors / (16 * 63), 1ull), 16383ull);

    memset(buf, 0, ATA_SECTOR_BYTES);
    put(buf, 0, 0x0040); /* a fixed device */
    put(buf, 1, (uint16_t)cylinders);
    put(buf, 3, 16);
    put(buf, 6, 63);
    put_string(buf, 10, 10, d->serial);
    put_string(buf, 23, 4, "1.0");
    put_string(buf, 27, 20, "YADO HARDDISK");
    put(buf, 47, 0x8000 | IDE_MAX_MULTIPLE);
    put(buf, 48, 1);                                 /* 32-bit PIO, as of old */
    put(buf, 49, d->ide->env.dma ? 0x0f00 : 0x0e00); /* IORDY, LBA, DMA */
    put(buf, 50, 0x4000);
    put(buf, 51, 0x0200);
    put(buf, 52, 0x0200);
    put(buf, 54, d->cylinders);
    put(buf, 55, d->heads);
    put(buf, 56, d->sectors);
    le32_put(buf + 57 * 2, chs);
    put(buf, 59, d->multiple ? 0x0100 | d->multiple : 0);
    le32_put(buf + 60 * 2, lba28);
    put_modes(d, buf);
    put(buf, 80, 0x00f0); /* ATA-4 to ATA-7 */
    put(buf, 82, 0x4069); /* NOP, look-ahead, write cache, power management, SMART */
    put(buf, 83, 0x7400); /* FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses */
    put(buf, 84, 0x4040); /* the FUA commands */
    put(buf, 85,
        (uint16_t)(0x4008 | (d->look_ahead ? 0x40 : 0) | (d->write_cache ? 0x20 : 0) |
                   (d->smart ? 1 : 0)));
    put(buf, 86, 0x3400);
    put(buf, 87, 0x4040);
    le64_put(buf + 100 * 2, sectors);
    put_checksum(buf);
}

void ide_identify_packet(const struct ide_drive *d, uint8_t *buf)
{
    memset(buf, 0, ATA_SECTOR_BYTES);
    put(buf, 0, 0x85c0); /* packet device, CD-ROM, removable, DRQ within 50 µs, 12 bytes */
    put_string(buf, 10, 10, d->serial);
    put_string(buf, 23, 4, "1.0");
    put_string(buf, 27, 20, "YADO DVD-ROM");
    put(buf, 48, 1);
    put(buf, 49, d->ide->env.dma ? 0x0f00 : 0x0e00);
    put_modes(d, buf);
    put(buf, 80, 0x00f0);
    put(buf, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
    put(buf, 83, 0x4000);
    put(buf, 84, 0x4000);
    put(buf, 85, 0x4210);
    put(buf, 87, 0x4000);
    put_checksum(buf);
}
