/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the blocks of a VHD can be where its table says: inside the file, clear of its
 * structures and of each other.
 */
#include <errno.h>
#include <string.h>

#include "block/vhd_priv.h"

/* So many places for blocks are looked at for each entry of the table, in a file with gaps. */
#define PLACES_MAX 4ull

static bool overlap(const struct vhd *vhd, uint32_t a, uint32_t a_sectors, uint32_t b,
                    uint32_t b_sectors)
{
    uint32_t bitmap = vhd->bitmap_bytes / VHD_SECTOR_BYTES;
    return a != VHD_BAT_UNUSED && b != VHD_BAT_UNUSED && a < (uint64_t)b + bitmap + b_sectors &&
           b < (uint64_t)a + bitmap + a_sectors;
}

static uint32_t table_sectors(const struct vhd *vhd, uint32_t n)
{
    return n == vhd->block_count - 1 ? vhd_block_sectors(vhd, n)
                                     : vhd->block_bytes / VHD_SECTOR_BYTES;
}

/* Most disks have their blocks one behind the other. */
static bool in_order(const struct vhd *vhd)
{
    uint64_t end = 0;
    for (uint32_t n = 0; n < vhd->block_count; n++) {
        if (vhd->table[n] == VHD_BAT_UNUSED)
            continue;
        if (vhd->table[n] < end)
            return false;
        end =
            vhd->table[n] + (uint64_t)vhd->bitmap_bytes / VHD_SECTOR_BYTES + table_sectors(vhd, n);
    }
    return true;
}

/*
 * And most others have them at equal distances, in some order: no two in one place is enough then.
 * What lies beyond the limit is wrong already. With a bit for each place, and no division
 * (Lemire et al., "Faster remainder by direct computation", 2019, 3.1), a million blocks in any
 * order take a few milliseconds.
 */
static int at_equal_distances(const struct vhd *vhd, uint64_t limit, uint32_t distance,
                              bool *ret_ok)
{
    uint64_t inverse = UINT64_MAX / distance + 1, places = limit / VHD_SECTOR_BYTES / distance + 1;
    uint32_t n = 0, rest = 0;
    bool ok = true;
    *ret_ok = false;
    if (places > PLACES_MAX * vhd->block_count + 1024)
        return 0;
    uint8_t *taken = calloc(places / 8 + 1, 1);
    if (!taken)
        return -ENOMEM;
    while (n < vhd->block_count && vhd->table[n] == VHD_BAT_UNUSED)
        n++;
    if (n < vhd->block_count)
        rest = vhd->table[n] % distance;
    for (; n < vhd->block_count && ok; n++) {
        uint32_t at = vhd->table[n];
        uint64_t place = (uint64_t)((unsigned __int128)at * inverse >> 64);
        if (at == VHD_BAT_UNUSED || place >= places)
            continue;
        uint8_t bit = (uint8_t)(1u << place % 8);
        ok = at - place * distance == rest && !(taken[place / 8] & bit);
        taken[place / 8] |= bit;
    }
    free(taken);
    *ret_ok = ok;
    return 0;
}

/*
 * True when no two blocks share a sector. The file is cut into places as long as a block: two that
 * begin in the same one overlap, and others only if their places are next to each other. The last
 * block of the disk may be shorter, for some writers cut it off where the disk ends. Blocks that
 * lie beyond the limit are wrong already.
 */
static int check_overlap(const struct vhd *vhd, uint64_t limit, bool *ret_ok)
{
    uint32_t whole = vhd->block_bytes / VHD_SECTOR_BYTES, last = vhd->block_count - 1;
    uint32_t stride = vhd->bitmap_bytes / VHD_SECTOR_BYTES + whole;
    uint64_t places = limit / VHD_SECTOR_BYTES / stride + 2;
    *ret_ok = in_order(vhd);
    /* One behind the other, or with their data on 4 KiB boundaries. */
    const uint32_t distances[] = {stride, (uint32_t)align_up(stride, 8)};
    for (unsigned i = 0; i < ARRAY_LEN(distances) && !*ret_ok; i++) {
        int r = at_equal_distances(vhd, limit, distances[i], ret_ok);
        if (r < 0)
            return r;
    }
    if (*ret_ok)
        return 0;
    /* A file of little but gaps is not one that any program makes. */
    if (places > PLACES_MAX * vhd->block_count + 1024)
        return 0;
    uint32_t *begin = malloc(places * sizeof(*begin));
    if (!begin)
        return -ENOMEM;
    memset(begin, 0xff, places * sizeof(*begin));
    bool ok = true;
    for (uint32_t n = 0; n < vhd->block_count && ok; n++) {
        uint32_t at = vhd->table[n], place = at / stride;
        if (at == VHD_BAT_UNUSED || place >= places)
            continue;
        for (uint32_t k = place ? place - 1 : 0; k <= place + 1 && k < places; k++)
            ok = ok && !overlap(vhd, at, table_sectors(vhd, n), begin[k], whole);
        if (n != last)
            begin[place] = at;
    }
    free(begin);
    *ret_ok = ok;
    return 0;
}

/* Where structures lie that no block may cover. */
struct extent {
    uint64_t at, len_bytes;
};

/* Mark blocks that reach outside the file or into its structures; true when there are none. */
static bool check_inside(struct vhd *vhd, const struct extent *taken, unsigned taken_count,
                         uint64_t limit)
{
    bool ok = true;
    uint64_t clear = 0, whole = vhd->bitmap_bytes + (uint64_t)vhd->block_bytes;
    for (unsigned i = 0; i < taken_count; i++)
        clear = MAX(clear, taken[i].at + taken[i].len_bytes);
    for (uint32_t n = 0; n < vhd->block_count; n++) {
        uint64_t at = vhd_bitmap_offset(vhd, n);
        if (vhd->table[n] == VHD_BAT_UNUSED || (at >= clear && at + whole <= limit))
            continue;
        uint64_t end =
            vhd_data_offset(vhd, n) + (uint64_t)vhd_block_sectors(vhd, n) * VHD_SECTOR_BYTES;
        bool good = end <= limit;
        for (unsigned i = 0; i < taken_count; i++)
            if (at < taken[i].at + taken[i].len_bytes && taken[i].at < end)
                good = false;
        if (!good) {
            vhd_bit_set(vhd->bad, n);
            ok = false;
        }
    }
    return ok;
}

int vhd_check_blocks(struct vhd *vhd, uint64_t limit, bool *ret_inside, bool *ret_apart)
{
    struct extent taken[3 + VHD_LOCATORS] = {
        {0, VHD_FOOTER_BYTES},
        {vhd->header_at, VHD_HEADER_BYTES},
        {vhd->header.table_offset, 4ull * vhd->block_count},
    };
    unsigned count = 3;
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const struct vhd_locator *l = &vhd->header.locators[i];
        /* Only what we would read of it: some writers' lengths of the space are in sectors. */
        if (vhd->differencing && l->code && l->data_offset < limit)
            taken[count++] = (struct extent){l->data_offset, l->data_length};
    }
    bool inside = check_inside(vhd, taken, count, limit);
    int r = check_overlap(vhd, limit, ret_apart);
    if (r == 0)
        *ret_inside = inside;
    return r;
}
