/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of dynamic and differencing VHDs: their bitmaps, and new ones. In which order things are
 * written is said in vhd.c.
 */
#define LOG_ROOM "vhd"
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/vhd_priv.h"

/* So many writes of a differencing disk may be known to memory alone. */
#define UNWRITTEN_MAX 4096u

/* Note that every sector of a block is written, if so: its bitmap is never asked again. */
static void note_full(struct vhd *vhd, uint32_t n, const uint8_t *bits)
{
    uint32_t sectors = vhd_block_sectors(vhd, n);
    for (uint32_t i = 0; i < sectors / 8; i++)
        if (bits[i] != 0xff)
            return;
    for (uint32_t i = sectors & ~7u; i < sectors; i++)
        if (!vhd_bit(bits, i))
            return;
    vhd_bit_set(vhd->full, n);
}

static struct vhd_bitmap_slot *slot_of(const struct vhd *vhd, uint32_t n)
{
    return &vhd->slots[n % vhd->slot_count];
}

const uint8_t *vhd_bitmap_cached(const struct vhd *vhd, uint32_t n)
{
    const struct vhd_bitmap_slot *slot = slot_of(vhd, n);
    return slot->block == n ? slot->bits : NULL;
}

int vhd_bitmap_load(struct vhd *vhd, uint32_t n, uint8_t **ret_bits)
{
    struct vhd_bitmap_slot *slot = slot_of(vhd, n);
    if (slot->block != n) {
        int r = slot->dirty ? vhd_write_bitmaps(vhd) : 0;
        if (r < 0)
            return r;
        slot->block = VHD_BAT_UNUSED;
        r = file_read(vhd->file, slot->bits, vhd->bitmap_bytes, vhd_bitmap_offset(vhd, n));
        if (r < 0)
            return r;
        slot->block = n;
        note_full(vhd, n, slot->bits);
    }
    *ret_bits = slot->bits;
    return 0;
}

int vhd_put_footer(struct vhd *vhd, uint64_t at)
{
    int r = file_write(vhd->file, vhd->footer, VHD_FOOTER_BYTES, at);
    return r < 0 ? r : vhd->file->ops->truncate(vhd->file, at + VHD_FOOTER_BYTES);
}

/* Step 1 of the head comment of vhd.c: a zeroed block and its bitmap, with the footer behind. */
static int grow(struct vhd *vhd, uint64_t *ret_at)
{
    uint8_t zeroes[VHD_DATA_ALIGN + VHD_SECTOR_BYTES] = {0};
    uint64_t data = align_up(vhd->end + vhd->bitmap_bytes, VHD_DATA_ALIGN);
    uint64_t at = data - vhd->bitmap_bytes;
    uint64_t end = data + vhd->block_bytes;
    if ((end + VHD_FOOTER_BYTES) / VHD_SECTOR_BYTES >= VHD_BAT_UNUSED)
        return -EFBIG;

    /* The old footer and the padding go with the bitmap; what is behind is new to the file. */
    int r = 0;
    for (uint64_t pos = vhd->end; r == 0 && pos < data; pos += sizeof(zeroes))
        r = file_write(vhd->file, zeroes, MIN(data - pos, (uint64_t)sizeof(zeroes)), pos);
    if (r == 0)
        r = file_write(vhd->file, vhd->footer, VHD_FOOTER_BYTES, end);
    if (r == 0)
        r = vhd->file->ops->flush(vhd->file);
    if (r < 0) {
        /* Most likely the host's disk is full. The file ends as before, so that it can go on. */
        if (vhd_put_footer(vhd, vhd->end) < 0)
            log_error("%s: its end could not be restored; the copy at its start is still good",
                      vhd->file->name);
        return r;
    }
    *ret_at = at;
    vhd->end = end;
    return 0;
}

int vhd_allocate(struct vhd *vhd, uint32_t n)
{
    struct vhd_bitmap_slot *slot = slot_of(vhd, n);
    uint64_t at;
    uint8_t entry[4];
    int r = slot->dirty ? vhd_write_bitmaps(vhd) : 0;
    if (r == 0)
        r = grow(vhd, &at);
    if (r < 0)
        return r;
    be32_put(entry, (uint32_t)(at / VHD_SECTOR_BYTES));
    r = file_write(vhd->file, entry, sizeof(entry), vhd->header.table_offset + 4ull * n);
    if (r < 0)
        return r;
    vhd->table[n] = (uint32_t)(at / VHD_SECTOR_BYTES);
    memset(slot->bits, 0, vhd->bitmap_bytes);
    slot->block = n;
    return 0;
}

int vhd_write_bitmaps(struct vhd *vhd)
{
    if (vhd->unwritten == 0)
        return 0;
    int r = vhd->file->ops->flush(vhd->file);
    for (unsigned i = 0; r == 0 && i < vhd->slot_count; i++) {
        struct vhd_bitmap_slot *slot = &vhd->slots[i];
        if (!slot->dirty)
            continue;
        r = file_write(vhd->file, slot->bits, vhd->bitmap_bytes,
                       vhd_bitmap_offset(vhd, slot->block));
        slot->dirty = r < 0;
    }
    if (r == 0)
        vhd->unwritten = 0;
    return r;
}

int vhd_mark_written(struct vhd *vhd, uint32_t n, uint32_t first, uint32_t count)
{
    uint8_t *bits;
    if (count == 0 || vhd_bit(vhd->full, n))
        return 0;
    int r = vhd_bitmap_load(vhd, n, &bits);
    if (r < 0)
        return r;
    uint32_t lo = UINT32_MAX, hi = 0;
    for (uint32_t i = first; i < first + count; i++) {
        if (vhd_bit(bits, i))
            continue;
        vhd_bit_set(bits, i);
        lo = MIN(lo, i);
        hi = i;
    }
    if (lo == UINT32_MAX)
        return 0;
    if (vhd->blk.parent) {
        slot_of(vhd, n)->dirty = true;
        note_full(vhd, n, bits);
        return ++vhd->unwritten >= UNWRITTEN_MAX ? vhd_write_bitmaps(vhd) : 0;
    }
    uint32_t from = lo / 8 / VHD_SECTOR_BYTES * VHD_SECTOR_BYTES;
    uint32_t to = (hi / 8 / VHD_SECTOR_BYTES + 1) * VHD_SECTOR_BYTES;
    r = file_write(vhd->file, bits + from, to - from, vhd_bitmap_offset(vhd, n) + from);
    if (r < 0) {
        slot_of(vhd, n)->block = VHD_BAT_UNUSED; /* it says more than the file */
        return r;
    }
    note_full(vhd, n, bits);
    return 0;
}
