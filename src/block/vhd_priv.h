/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the VHD format share: an open dynamic or differencing disk.
 */
#ifndef BLOCK_VHD_PRIV_H
#define BLOCK_VHD_PRIV_H

#include <pthread.h>

#include "block/vhd.h"

/* Bounds of what we believe of a file: 64 MiB of table, blocks of up to 256 MiB. */
#define VHD_MAX_TABLE_ENTRIES (1u << 24)
#define VHD_MAX_BLOCK_BYTES (256u << 20)
/* Windows lays the data of a block on a 4 KiB boundary of the file, for 4 KiB disks. */
#define VHD_DATA_ALIGN 4096u

struct vhd_bitmap_slot {
    uint32_t block; /* VHD_BAT_UNUSED: empty */
    bool dirty;     /* has bits that the file does not have yet */
    uint8_t *bits;
};

struct vhd {
    struct blk blk; /* its parent: the disk that this one differs from */
    struct blk_file *file;
    uint8_t footer[VHD_FOOTER_BYTES];
    struct vhd_header header;
    uint64_t header_at;
    bool differencing;
    uint32_t block_bytes, bitmap_bytes, block_count;

    pthread_mutex_t lock; /* all below */
    uint32_t *table;      /* sector of each block's bitmap, in the host's byte order */
    uint8_t *full;        /* a bit for each block all of whose sectors are known to be written */
    uint8_t *bad;         /* a bit for each block that must not be used; NULL: none */
    uint64_t end;         /* the next block goes here or after: where the footer is now */
    struct vhd_bitmap_slot *slots;
    uint8_t *slot_bits;
    unsigned slot_count;
    unsigned unwritten; /* marks made in dirty bitmaps */
};

static inline bool vhd_bit(const uint8_t *bits, uint64_t n)
{
    return bits[n / 8] & 0x80 >> (n % 8);
}

static inline void vhd_bit_set(uint8_t *bits, uint64_t n)
{
    bits[n / 8] |= (uint8_t)(0x80 >> (n % 8));
}

/* Sectors of block n that lie on the disk: the last block may run over its end. */
static inline uint32_t vhd_block_sectors(const struct vhd *vhd, uint32_t n)
{
    uint64_t left = vhd->blk.size_bytes - (uint64_t)n * vhd->block_bytes;
    return (uint32_t)(MIN(left, (uint64_t)vhd->block_bytes) / VHD_SECTOR_BYTES);
}

static inline uint64_t vhd_bitmap_offset(const struct vhd *vhd, uint32_t n)
{
    return (uint64_t)vhd->table[n] * VHD_SECTOR_BYTES;
}

static inline uint64_t vhd_data_offset(const struct vhd *vhd, uint32_t n)
{
    return vhd_bitmap_offset(vhd, n) + vhd->bitmap_bytes;
}

/* vhd_block.c; the lock is held. */
/* The bitmap of an allocated block, from memory or the file. */
int vhd_bitmap_load(struct vhd *vhd, uint32_t n, uint8_t **ret_bits);
/* The same, only if it is in memory; NULL. */
const uint8_t *vhd_bitmap_cached(const struct vhd *vhd, uint32_t n);
/* Give block n its place. */
int vhd_allocate(struct vhd *vhd, uint32_t n);
/* Sectors [first, first + count) of block n have their data: set their bits. */
int vhd_mark_written(struct vhd *vhd, uint32_t n, uint32_t first, uint32_t count);
/* Bring all bits that are only in memory to the file, behind the data that they speak of. */
int vhd_write_bitmaps(struct vhd *vhd);
/* Put the footer at its place and end the file behind it. */
int vhd_put_footer(struct vhd *vhd, uint64_t at);

/* vhd.c */
extern const struct blk_ops vhd_dynamic_ops, vhd_differencing_ops;

/* vhd_open.c */
void vhd_free(struct vhd *vhd);

/* vhd_check.c: mark blocks that cannot be where the table says. */
int vhd_check_blocks(struct vhd *vhd, uint64_t limit, bool *ret_inside, bool *ret_apart);

#endif
