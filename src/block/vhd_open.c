/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening VHDs: finding the footer, believing nothing that the file says before it is checked.
 */
#define LOG_ROOM "vhd"
#include "block/vhd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/raw.h"
#include "block/vhd_priv.h"

/* Memory for bitmaps. */
#define CACHE_BYTES (1u << 20)
/* The processor's large pages. */
#define HUGE_BYTES (2u << 20)

void vhd_free(struct vhd *vhd)
{
    free(vhd->table);
    free(vhd->full);
    free(vhd->bad);
    free(vhd->slots);
    free(vhd->slot_bits);
    pthread_mutex_destroy(&vhd->lock);
    free(vhd);
}

static int damaged(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EBADMSG, "%s is a damaged VHD: %s; restore it from a copy", file->name,
                     what);
}

static int damaged_for_writing(struct error *err, const struct blk_file *file, const char *what)
{
    return error_set(err, -EBADMSG,
                     "%s is a damaged VHD: %s; restore it from a copy, or use it read-only to "
                     "rescue what is left",
                     file->name, what);
}

int vhd_probe(struct blk_file *file, struct vhd_footer *ret_footer, uint64_t *ret_footer_at,
              struct error *err)
{
    uint8_t end[VHD_FOOTER_BYTES] = {0}, start[VHD_FOOTER_BYTES] = {0};
    uint64_t size_bytes;
    int r = file->ops->size(file, &size_bytes);
    if (r < 0)
        return error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r));
    if (size_bytes < VHD_FOOTER_BYTES - 1)
        return 0;

    /* Before Virtual PC 2004 the footer had 511 bytes; the last one is 0 anyway. */
    uint64_t at = size_bytes % VHD_SECTOR_BYTES == VHD_FOOTER_BYTES - 1
                      ? size_bytes - (VHD_FOOTER_BYTES - 1)
                      : size_bytes - VHD_FOOTER_BYTES;
    r = file_read(file, end, size_bytes - at, at);
    if (r == 0)
        r = file_read(file, start, sizeof(start), 0);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));

    if (vhd_footer_get(end, ret_footer)) {
        *ret_footer_at = at;
        return 1;
    }
    /* A fixed disk has no copy: what its guest writes to sector 0 is not looked at. */
    struct vhd_footer copy;
    if (vhd_footer_get(start, &copy) && copy.type != VHD_FIXED) {
        *ret_footer = copy;
        *ret_footer_at = UINT64_MAX;
        return 1;
    }
    if (vhd_footer_cookie(end) || vhd_footer_cookie(start))
        return error_set(err, -EBADMSG,
                         "%s is a damaged VHD: no copy of its footer is whole; restore it from a "
                         "copy",
                         file->name);
    return 0;
}

static int read_table(struct vhd *vhd)
{
    int r = file_read(vhd->file, vhd->table, 4ull * vhd->block_count, vhd->header.table_offset);
    for (uint32_t n = 0; n < vhd->block_count; n++)
        vhd->table[n] = be32_get(&vhd->table[n]);
    return r;
}

/* A large table in large pages: touching it costs a few faults, and not one for each 4 KiB. */
static void *allocate_table(size_t len_bytes)
{
    if (len_bytes < HUGE_BYTES)
        return malloc(len_bytes);
    len_bytes = align_up(len_bytes, HUGE_BYTES);
    void *table = aligned_alloc(HUGE_BYTES, len_bytes);
    if (table)
        madvise(table, len_bytes, MADV_HUGEPAGE); /* a wish: it may fail */
    return table;
}

static int allocate_tables(struct vhd *vhd)
{
    uint32_t bit_bytes = (vhd->block_count + 7) / 8;
    vhd->slot_count = MAX(CACHE_BYTES / vhd->bitmap_bytes, 4u);
    vhd->slot_count = MIN(vhd->slot_count, vhd->block_count);
    vhd->table = allocate_table(4ull * vhd->block_count);
    vhd->full = calloc(bit_bytes, 1);
    vhd->bad = calloc(bit_bytes, 1);
    vhd->slots = calloc(vhd->slot_count, sizeof(*vhd->slots));
    vhd->slot_bits = malloc((size_t)vhd->slot_count * vhd->bitmap_bytes);
    if (!vhd->table || !vhd->full || !vhd->bad || !vhd->slots || !vhd->slot_bits)
        return -ENOMEM;
    for (unsigned i = 0; i < vhd->slot_count; i++) {
        vhd->slots[i].block = VHD_BAT_UNUSED;
        vhd->slots[i].bits = vhd->slot_bits + (size_t)i * vhd->bitmap_bytes;
    }
    return 0;
}

static int check_header(const struct blk_file *file, const struct vhd_header *header,
                        uint64_t size_bytes, uint64_t file_bytes, struct error *err)
{
    uint32_t block_bytes = header->block_bytes;
    if (header->version >> 16 != 1)
        return error_set(err, -EOPNOTSUPP, "%s: dynamic disk header version %u.%u is not known",
                         file->name, header->version >> 16, header->version & 0xffff);
    if (block_bytes < VHD_SECTOR_BYTES || block_bytes > VHD_MAX_BLOCK_BYTES ||
        (block_bytes & (block_bytes - 1)))
        return damaged(err, file, "its block size is impossible");
    uint64_t count = (size_bytes + block_bytes - 1) / block_bytes;
    if (count > header->max_table_entries)
        return damaged(err, file, "its block table is too small for the disk");
    if (count > VHD_MAX_TABLE_ENTRIES)
        return error_set(err, -EFBIG, "%s: a block table of %llu entries is too large", file->name,
                         (unsigned long long)count);
    if (header->table_offset > file_bytes || 4 * count > file_bytes - header->table_offset)
        return damaged(err, file, "its block table lies outside the file");
    return 0;
}

static int check_footer(const struct blk_file *file, const struct vhd_footer *footer,
                        struct error *err)
{
    if (footer->version >> 16 != 1)
        return error_set(err, -EOPNOTSUPP, "%s: VHD version %u.%u is not known", file->name,
                         footer->version >> 16, footer->version & 0xffff);
    if (footer->type < VHD_FIXED || footer->type > VHD_DIFFERENCING)
        return error_set(err, -EOPNOTSUPP, "%s: VHD type %u is not known", file->name,
                         footer->type);
    if (footer->current_size_bytes == 0 || footer->current_size_bytes % VHD_SECTOR_BYTES)
        return damaged(err, file, "its size is not a whole number of sectors");
    if (footer->current_size_bytes > VHD_MAX_BYTES)
        return error_set(err, -EFBIG, "%s claims a size beyond the format's limit of 2040 GiB",
                         file->name);
    return 0;
}

int vhd_read_header(struct blk_file *file, const struct vhd_footer *footer,
                    struct vhd_header *ret_header, struct error *err)
{
    uint8_t raw[VHD_HEADER_BYTES];
    uint64_t file_bytes;
    int r = check_footer(file, footer, err);
    if (r < 0)
        return r;
    r = file->ops->size(file, &file_bytes);
    if (r < 0)
        return error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r));
    if (footer->data_offset > file_bytes || file_bytes - footer->data_offset < VHD_HEADER_BYTES)
        return damaged(err, file, "its dynamic disk header lies outside the file");
    r = file_read(file, raw, sizeof(raw), footer->data_offset);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    if (!vhd_header_get(raw, ret_header))
        return damaged(err, file, "its dynamic disk header is not whole");
    return check_header(file, ret_header, footer->current_size_bytes, file_bytes, err);
}

/* Fill in and check everything of a dynamic disk; vhd->file, its size and readonly are set. */
static int load_dynamic(struct vhd *vhd, const struct vhd_footer *footer, uint64_t footer_at,
                        struct error *err)
{
    struct blk_file *file = vhd->file;
    uint64_t file_bytes;
    int r = vhd_read_header(file, footer, &vhd->header, err);
    if (r == 0 && file->ops->size(file, &file_bytes) < 0)
        r = error_set(err, -EIO, "%s: its size cannot be found", file->name);
    if (r < 0)
        return r;
    vhd->header_at = footer->data_offset;

    /* The footer's bytes are kept as they are, with what their maker put into reserved ones. */
    r = file_read(file, vhd->footer, VHD_FOOTER_BYTES, footer_at == UINT64_MAX ? 0 : footer_at);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));

    vhd->block_bytes = vhd->header.block_bytes;
    vhd->bitmap_bytes = vhd_bitmap_bytes(vhd->block_bytes);
    vhd->block_count =
        (uint32_t)((footer->current_size_bytes + vhd->block_bytes - 1) / vhd->block_bytes);
    /* A torn end is not overwritten but added to: only the table says what else is in use. */
    bool torn = footer_at == UINT64_MAX;
    vhd->end = torn ? align_up(file_bytes, VHD_SECTOR_BYTES) : footer_at;
    r = allocate_tables(vhd);
    if (r < 0)
        return error_set(err, r, "out of memory");
    r = read_table(vhd);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));

    bool inside, apart;
    r = vhd_check_blocks(vhd, vhd->end, &inside, &apart);
    if (r < 0)
        return error_set(err, r, "out of memory");
    if (inside) {
        free(vhd->bad);
        vhd->bad = NULL;
    }
    if (!vhd->blk.readonly && !inside)
        return damaged_for_writing(err, file, "its block table points where no block can be");
    if (!vhd->blk.readonly && !apart)
        return damaged_for_writing(err, file, "blocks of its table overlap");
    if (!inside || !apart)
        log_warning("%s is damaged: its block table is wrong in places", file->name);
    return 0;
}

static int open_fixed(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
                      bool readonly, struct blk **ret_blk, struct error *err)
{
    if (footer->current_size_bytes > footer_at)
        return damaged(err, file, "the file is shorter than its disk");
    int r = raw_new(file, footer->current_size_bytes, readonly, RAW_FIXED_VHD, ret_blk);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int vhd_open(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
             bool readonly, struct blk *parent, struct blk **ret_blk, struct error *err)
{
    int r = check_footer(file, footer, err);
    if (r == 0 && (footer->type == VHD_DIFFERENCING) != (parent != NULL))
        r = error_set(err, -EINVAL, "%s: a differencing disk has a parent, no other has",
                      file->name);
    if (r < 0)
        return r;
    if (footer->type == VHD_FIXED)
        return open_fixed(file, footer, footer_at, readonly, ret_blk, err);

    struct vhd *vhd = calloc(1, sizeof(*vhd));
    if (!vhd)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&vhd->lock, NULL);
    vhd->file = file;
    vhd->blk.ops = parent ? &vhd_differencing_ops : &vhd_dynamic_ops;
    vhd->blk.parent = parent;
    vhd->blk.name = file->name;
    vhd->differencing = parent != NULL;
    vhd->blk.size_bytes = footer->current_size_bytes;
    vhd->blk.readonly = readonly;
    r = load_dynamic(vhd, footer, footer_at, err);
    if (r == 0 && !readonly && footer_at == UINT64_MAX) {
        log_warning("%s: its end was torn; repairing it from the copy at its start", file->name);
        r = vhd_put_footer(vhd, vhd->end);
        if (r == 0)
            r = file->ops->flush(file);
        if (r < 0)
            error_set(err, r, "%s cannot be repaired: %s", file->name, strerror(-r));
    }
    if (r == 0 && blk_init(&vhd->blk) < 0)
        r = error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        vhd_free(vhd);
        return r;
    }
    *ret_blk = &vhd->blk;
    return 0;
}
