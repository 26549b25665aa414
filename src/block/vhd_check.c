/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the blocks of a VHD can be where its table says: inside the file, clear of its
 * structures and of each other.
 */
#include <errno.h>
#include <string.h>

#include "block/vhd_priv.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* True when no two blocks share a sector. */
static int check_overlap(const struct vhd *vhd, bool *ret_ok)
{
    uint32_t *sorted = malloc(vhd->block_count * sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t n = 0; n < vhd->block_count; n++)
        if (vhd->table[n] != VHD_BAT_UNUSED)
            sorted[count++] = vhd->table[n];
    qsort(sorted, count, sizeof(*sorted), by_number);
    *ret_ok = true;
    for (uint32_t i = 1; i < count; i++) {
        /* Some writers cut the last block off where the disk ends. */
        uint32_t sectors = sorted[i - 1] == vhd->table[vhd->block_count - 1]
                               ? vhd_block_sectors(vhd, vhd->block_count - 1)
                               : vhd->block_bytes / VHD_SECTOR_BYTES;
        if (sorted[i] - sorted[i - 1] < vhd->bitmap_bytes / VHD_SECTOR_BYTES + sectors)
            *ret_ok = false;
    }
    free(sorted);
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
    for (uint32_t n = 0; n < vhd->block_count; n++) {
        if (vhd->table[n] == VHD_BAT_UNUSED)
            continue;
        uint64_t at = vhd_bitmap_offset(vhd, n);
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
    int r = check_overlap(vhd, ret_apart);
    if (r == 0)
        *ret_inside = inside;
    return r;
}
