/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fixed and dynamic VHDs, read and written. Microsoft, "Virtual Hard Disk Image Format
 * Specification", version 1.0. Left out: differencing disks (type 4) are refused; files split
 * into several (.v01, …, before Virtual Server 2005) are not joined.
 *
 * A dynamic disk is blocks of data, each behind a bitmap with one bit per sector (the first
 * sector is the highest bit of the first byte; 1: has been written, 0: reads as zeroes), found
 * through a table of sector numbers, and a footer at the very end with a copy at the start.
 *
 * A new block takes the old footer's place. In which order, so that the power may fail anywhere?
 *   1. a bitmap of zeroes over the old footer, and a new footer behind the block to be; what lies
 *      between is beyond the old end of the file and so is zero. Flush. Until here a torn file is
 *      opened through the copy at the start, and no block points to what is not there.
 *   2. the table entry.
 *   3. the data, then the bits of its sectors.
 * Steps 2 and 3 need no flush between them, whichever of them is lost: a set bit that no table
 * entry leads to means nothing, and sectors without their bit read as zeroes, which is what they
 * held before. The guest's own flush makes all three lasting.
 *
 * `lock` guards the table, the bitmaps and growth. Data moves without it.
 */
#define LOG_ROOM "vhd"
#include "block/vhd.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/raw.h"

/* Bounds of what we believe of a file: 64 MiB of table, blocks of up to 256 MiB. */
#define MAX_TABLE_ENTRIES (1u << 24)
#define MAX_BLOCK_BYTES (256u << 20)
/* Memory for bitmaps. */
#define CACHE_BYTES (1u << 20)
/* So much of a block is looked at in one step: its bits fit on the stack. */
#define STEP_BYTES (2u << 20)
#define STEP_BITMAP_BYTES (STEP_BYTES / VHD_SECTOR_BYTES / 8)
/* Windows lays the data of a block on a 4 KiB boundary of the file, for 4 KiB disks. */
#define DATA_ALIGN 4096u

struct bitmap_slot {
    uint32_t block; /* VHD_BAT_UNUSED: empty */
    uint8_t *bits;
};

struct vhd {
    struct blk blk;
    struct blk_file *file;
    uint8_t footer[VHD_FOOTER_BYTES];
    uint64_t table_offset;
    uint32_t block_bytes, bitmap_bytes, block_count;

    pthread_mutex_t lock;
    uint32_t *table; /* sector of each block's bitmap, in the host's byte order */
    uint8_t *full;   /* a bit for each block all of whose sectors are known to be written */
    uint8_t *bad;    /* a bit for each block that must not be used; NULL: none */
    uint64_t end;    /* the next block goes here or after: where the footer is now */
    struct bitmap_slot *slots;
    uint8_t *slot_bits;
    unsigned slot_count;
};

static bool bit_get(const uint8_t *bits, uint64_t n)
{
    return bits[n / 8] & 0x80 >> (n % 8);
}

static void bit_set(uint8_t *bits, uint64_t n)
{
    bits[n / 8] |= (uint8_t)(0x80 >> (n % 8));
}

/* Sectors of block n that lie on the disk: the last block may run over its end. */
static uint32_t block_sectors(const struct vhd *vhd, uint32_t n)
{
    uint64_t left = vhd->blk.size_bytes - (uint64_t)n * vhd->block_bytes;
    return (uint32_t)(MIN(left, (uint64_t)vhd->block_bytes) / VHD_SECTOR_BYTES);
}

static uint64_t bitmap_offset(const struct vhd *vhd, uint32_t n)
{
    return (uint64_t)vhd->table[n] * VHD_SECTOR_BYTES;
}

static uint64_t data_offset(const struct vhd *vhd, uint32_t n)
{
    return bitmap_offset(vhd, n) + vhd->bitmap_bytes;
}

/* Note that every sector of a block is written, if so: its bitmap is never asked again. */
static void note_full(struct vhd *vhd, uint32_t n, const uint8_t *bits)
{
    uint32_t sectors = block_sectors(vhd, n);
    for (uint32_t i = 0; i < sectors / 8; i++)
        if (bits[i] != 0xff)
            return;
    for (uint32_t i = sectors & ~7u; i < sectors; i++)
        if (!bit_get(bits, i))
            return;
    bit_set(vhd->full, n);
}

/* The bitmap of an allocated block, from the cache or the file. Lock held. */
static int bitmap_load(struct vhd *vhd, uint32_t n, uint8_t **ret_bits)
{
    struct bitmap_slot *slot = &vhd->slots[n % vhd->slot_count];
    if (slot->block != n) {
        slot->block = VHD_BAT_UNUSED;
        int r = file_read(vhd->file, slot->bits, vhd->bitmap_bytes, bitmap_offset(vhd, n));
        if (r < 0)
            return r;
        slot->block = n;
        note_full(vhd, n, slot->bits);
    }
    *ret_bits = slot->bits;
    return 0;
}

/* Put the footer at its place and end the file behind it. */
static int put_footer(struct vhd *vhd, uint64_t at)
{
    int r = file_write(vhd->file, vhd->footer, VHD_FOOTER_BYTES, at);
    return r < 0 ? r : vhd->file->ops->truncate(vhd->file, at + VHD_FOOTER_BYTES);
}

/* Step 1 of the head comment: a zeroed block and its bitmap, with the footer behind. Lock held. */
static int grow(struct vhd *vhd, uint64_t *ret_at)
{
    uint8_t zeroes[DATA_ALIGN + VHD_SECTOR_BYTES] = {0};
    uint64_t data = align_up(vhd->end + vhd->bitmap_bytes, DATA_ALIGN);
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
        if (put_footer(vhd, vhd->end) < 0)
            log_error("%s: its end could not be restored; the copy at its start is still good",
                      vhd->file->name);
        return r;
    }
    *ret_at = at;
    vhd->end = end;
    return 0;
}

/* Give block n its place. Lock held. */
static int allocate(struct vhd *vhd, uint32_t n)
{
    uint64_t at;
    uint8_t entry[4];
    int r = grow(vhd, &at);
    if (r < 0)
        return r;
    be32_put(entry, (uint32_t)(at / VHD_SECTOR_BYTES));
    r = file_write(vhd->file, entry, sizeof(entry), vhd->table_offset + 4ull * n);
    if (r < 0)
        return r;
    vhd->table[n] = (uint32_t)(at / VHD_SECTOR_BYTES);
    struct bitmap_slot *slot = &vhd->slots[n % vhd->slot_count];
    memset(slot->bits, 0, vhd->bitmap_bytes);
    slot->block = n;
    return 0;
}

/* Sectors [first, first + count) of block n have their data: set their bits. Lock held. */
static int mark_written(struct vhd *vhd, uint32_t n, uint32_t first, uint32_t count)
{
    uint8_t *bits;
    if (count == 0 || bit_get(vhd->full, n))
        return 0;
    int r = bitmap_load(vhd, n, &bits);
    if (r < 0)
        return r;
    uint32_t lo = UINT32_MAX, hi = 0;
    for (uint32_t i = first; i < first + count; i++) {
        if (bit_get(bits, i))
            continue;
        bit_set(bits, i);
        lo = MIN(lo, i);
        hi = i;
    }
    if (lo == UINT32_MAX)
        return 0;
    uint32_t from = lo / 8 / VHD_SECTOR_BYTES * VHD_SECTOR_BYTES;
    uint32_t to = (hi / 8 / VHD_SECTOR_BYTES + 1) * VHD_SECTOR_BYTES;
    r = file_write(vhd->file, bits + from, to - from, bitmap_offset(vhd, n) + from);
    if (r < 0) {
        vhd->slots[n % vhd->slot_count].block = VHD_BAT_UNUSED; /* it says more than the file */
        return r;
    }
    note_full(vhd, n, bits);
    return 0;
}

/* Part of a request: bytes [at, at + len) of block n, at most STEP_BYTES, within a step. */
struct step {
    uint32_t block, at, len;
};

static int read_step(struct vhd *vhd, const struct step *step, struct iov_cursor *cursor)
{
    uint8_t bits[STEP_BITMAP_BYTES + 1];
    uint32_t first = step->at / VHD_SECTOR_BYTES;
    uint32_t last = (step->at + step->len - 1) / VHD_SECTOR_BYTES;
    uint64_t data = 0;
    bool full = false;
    int r = 0;

    if (vhd->bad && bit_get(vhd->bad, step->block))
        return -EIO;
    pthread_mutex_lock(&vhd->lock);
    bool absent = vhd->table[step->block] == VHD_BAT_UNUSED;
    if (!absent) {
        uint8_t *all;
        data = data_offset(vhd, step->block);
        full = bit_get(vhd->full, step->block);
        if (!full)
            r = bitmap_load(vhd, step->block, &all);
        if (!full && r == 0)
            memcpy(bits, all + first / 8, last / 8 - first / 8 + 1);
    }
    pthread_mutex_unlock(&vhd->lock);
    if (r < 0)
        return r;
    if (absent) {
        iov_zero(cursor, step->len);
        return 0;
    }
    if (full)
        return file_read_iov(vhd->file, cursor, step->len, data + step->at);

    uint32_t base = first & ~7u, end = step->at + step->len;
    for (uint32_t at = step->at; at < end && r == 0;) {
        uint32_t sector = at / VHD_SECTOR_BYTES;
        bool written = bit_get(bits, sector - base);
        while (sector <= last && bit_get(bits, sector - base) == written)
            sector++;
        uint32_t piece = MIN(end, sector * VHD_SECTOR_BYTES) - at;
        if (written)
            r = file_read_iov(vhd->file, cursor, piece, data + at);
        else
            iov_zero(cursor, piece);
        at += piece;
    }
    return r;
}

/* A sector that will be written in part and was never written: give it zeroes. Lock held. */
static int prepare_partial(struct vhd *vhd, uint32_t n, uint32_t at)
{
    static const uint8_t zeroes[VHD_SECTOR_BYTES];
    uint8_t *bits;
    uint32_t sector = at / VHD_SECTOR_BYTES;
    if (at % VHD_SECTOR_BYTES == 0 || bit_get(vhd->full, n))
        return 0;
    int r = bitmap_load(vhd, n, &bits);
    if (r < 0 || bit_get(bits, sector))
        return r;
    return file_write(vhd->file, zeroes, sizeof(zeroes),
                      data_offset(vhd, n) + (uint64_t)sector * VHD_SECTOR_BYTES);
}

static int write_step(struct vhd *vhd, const struct step *step, struct iov_cursor *cursor)
{
    uint32_t first = step->at / VHD_SECTOR_BYTES;
    uint32_t last = (step->at + step->len - 1) / VHD_SECTOR_BYTES;
    bool partial = (step->at | step->len) % VHD_SECTOR_BYTES;
    int r = 0;

    pthread_mutex_lock(&vhd->lock);
    if (vhd->table[step->block] == VHD_BAT_UNUSED)
        r = allocate(vhd, step->block);
    uint64_t data = r < 0 ? 0 : data_offset(vhd, step->block) + step->at;
    /* Two writes to parts of one sector must not see each other's half-done work. */
    if (r == 0 && partial) {
        r = prepare_partial(vhd, step->block, step->at);
        if (r == 0)
            r = prepare_partial(vhd, step->block, step->at + step->len);
    }
    if (!partial)
        pthread_mutex_unlock(&vhd->lock);
    if (r == 0)
        r = file_write_iov(vhd->file, cursor, step->len, data);
    if (!partial)
        pthread_mutex_lock(&vhd->lock);
    if (r == 0)
        r = mark_written(vhd, step->block, first, last - first + 1);
    pthread_mutex_unlock(&vhd->lock);
    return r;
}

/* Bits stay as they are: a sector without its bit reads as zeroes already. */
static int zero_step(struct vhd *vhd, const struct step *step, bool hint)
{
    pthread_mutex_lock(&vhd->lock);
    bool absent = vhd->table[step->block] == VHD_BAT_UNUSED;
    uint64_t data = absent ? 0 : data_offset(vhd, step->block) + step->at;
    pthread_mutex_unlock(&vhd->lock);
    if (absent)
        return 0;
    if (!hint)
        return file_zero(vhd->file, data, step->len);
    int r = vhd->file->ops->punch(vhd->file, data, step->len);
    return r == -EOPNOTSUPP ? 0 : r;
}

static int run_steps(struct vhd *vhd, const struct blk_req *req)
{
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = req->offset_bytes + req->len_bytes;
    int r = 0;
    while (at < end && r == 0) {
        struct step step = {.block = (uint32_t)(at / vhd->block_bytes),
                            .at = (uint32_t)(at % vhd->block_bytes)};
        uint32_t room = MIN(vhd->block_bytes, (step.at / STEP_BYTES + 1) * STEP_BYTES) - step.at;
        step.len = (uint32_t)MIN(end - at, (uint64_t)room);
        if (req->op == BLK_READ)
            r = read_step(vhd, &step, &cursor);
        else if (req->op == BLK_WRITE)
            r = write_step(vhd, &step, &cursor);
        else
            r = zero_step(vhd, &step, req->op == BLK_DISCARD);
        at += step.len;
    }
    return r;
}

static int vhd_run(struct blk *blk, const struct blk_req *req)
{
    struct vhd *vhd = CONTAINER_OF(blk, struct vhd, blk);
    int r = req->op == BLK_FLUSH ? 0 : run_steps(vhd, req);
    if (r == 0 && (req->op == BLK_FLUSH || req->fua))
        r = blk->readonly ? 0 : vhd->file->ops->flush(vhd->file);
    return r;
}

static void vhd_free(struct vhd *vhd)
{
    free(vhd->table);
    free(vhd->full);
    free(vhd->bad);
    free(vhd->slots);
    free(vhd->slot_bits);
    pthread_mutex_destroy(&vhd->lock);
    free(vhd);
}

static void vhd_close(struct blk *blk)
{
    struct vhd *vhd = CONTAINER_OF(blk, struct vhd, blk);
    blk_done(blk);
    file_close(vhd->file);
    vhd_free(vhd);
}

static const struct blk_ops vhd_ops = {.format = "vhd-dynamic", .run = vhd_run, .close = vhd_close};

/* ---- opening ---- */

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
                               ? block_sectors(vhd, vhd->block_count - 1)
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
static bool check_blocks(struct vhd *vhd, const struct extent *taken, unsigned taken_count,
                         uint64_t limit)
{
    bool ok = true;
    for (uint32_t n = 0; n < vhd->block_count; n++) {
        if (vhd->table[n] == VHD_BAT_UNUSED)
            continue;
        uint64_t at = bitmap_offset(vhd, n);
        uint64_t end = data_offset(vhd, n) + (uint64_t)block_sectors(vhd, n) * VHD_SECTOR_BYTES;
        bool good = end <= limit;
        for (unsigned i = 0; i < taken_count; i++)
            if (at < taken[i].at + taken[i].len_bytes && taken[i].at < end)
                good = false;
        if (!good) {
            bit_set(vhd->bad, n);
            ok = false;
        }
    }
    return ok;
}

static int read_table(struct vhd *vhd)
{
    int r = file_read(vhd->file, vhd->table, 4ull * vhd->block_count, vhd->table_offset);
    for (uint32_t n = 0; n < vhd->block_count; n++)
        vhd->table[n] = be32_get(&vhd->table[n]);
    return r;
}

static int allocate_tables(struct vhd *vhd)
{
    uint32_t bit_bytes = (vhd->block_count + 7) / 8;
    vhd->slot_count = MAX(CACHE_BYTES / vhd->bitmap_bytes, 4u);
    vhd->slot_count = MIN(vhd->slot_count, vhd->block_count);
    vhd->table = malloc(4ull * vhd->block_count);
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
    if (block_bytes < VHD_SECTOR_BYTES || block_bytes > MAX_BLOCK_BYTES ||
        (block_bytes & (block_bytes - 1)))
        return damaged(err, file, "its block size is impossible");
    uint64_t count = (size_bytes + block_bytes - 1) / block_bytes;
    if (count > header->max_table_entries)
        return damaged(err, file, "its block table is too small for the disk");
    if (count > MAX_TABLE_ENTRIES)
        return error_set(err, -EFBIG, "%s: a block table of %llu entries is too large", file->name,
                         (unsigned long long)count);
    if (header->table_offset > file_bytes || 4 * count > file_bytes - header->table_offset)
        return damaged(err, file, "its block table lies outside the file");
    return 0;
}

/* Fill in and check everything of a dynamic disk; vhd->file, its size and readonly are set. */
static int load_dynamic(struct vhd *vhd, const struct vhd_footer *footer, uint64_t footer_at,
                        struct error *err)
{
    struct blk_file *file = vhd->file;
    uint8_t raw[VHD_HEADER_BYTES];
    struct vhd_header header;
    uint64_t file_bytes;
    int r = file->ops->size(file, &file_bytes);
    if (r < 0)
        return error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r));
    if (footer->data_offset > file_bytes || file_bytes - footer->data_offset < VHD_HEADER_BYTES)
        return damaged(err, file, "its dynamic disk header lies outside the file");
    r = file_read(file, raw, sizeof(raw), footer->data_offset);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    if (!vhd_header_get(raw, &header))
        return damaged(err, file, "its dynamic disk header is not whole");
    r = check_header(file, &header, footer->current_size_bytes, file_bytes, err);
    if (r < 0)
        return r;

    /* The footer's bytes are kept as they are, with what their maker put into reserved ones. */
    r = file_read(file, vhd->footer, VHD_FOOTER_BYTES, footer_at == UINT64_MAX ? 0 : footer_at);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));

    vhd->table_offset = header.table_offset;
    vhd->block_bytes = header.block_bytes;
    vhd->bitmap_bytes = vhd_bitmap_bytes(header.block_bytes);
    vhd->block_count =
        (uint32_t)((footer->current_size_bytes + header.block_bytes - 1) / header.block_bytes);
    /* A torn end is not overwritten but added to: only the table says what else is in use. */
    bool torn = footer_at == UINT64_MAX;
    vhd->end = torn ? align_up(file_bytes, VHD_SECTOR_BYTES) : footer_at;
    r = allocate_tables(vhd);
    if (r < 0)
        return error_set(err, r, "out of memory");
    r = read_table(vhd);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));

    const struct extent taken[] = {
        {0, VHD_FOOTER_BYTES},
        {footer->data_offset, VHD_HEADER_BYTES},
        {header.table_offset, 4ull * vhd->block_count},
    };
    bool apart, inside = check_blocks(vhd, taken, ARRAY_LEN(taken), vhd->end);
    r = check_overlap(vhd, &apart);
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

static int check_footer(const struct blk_file *file, const struct vhd_footer *footer,
                        struct error *err)
{
    if (footer->version >> 16 != 1)
        return error_set(err, -EOPNOTSUPP, "%s: VHD version %u.%u is not known", file->name,
                         footer->version >> 16, footer->version & 0xffff);
    if (footer->type == VHD_DIFFERENCING)
        return error_set(err, -EOPNOTSUPP,
                         "%s is a differencing VHD, which needs its parent and is not supported "
                         "yet; merge it into its parent with the tool that made it",
                         file->name);
    if (footer->type != VHD_FIXED && footer->type != VHD_DYNAMIC)
        return error_set(err, -EOPNOTSUPP, "%s: VHD type %u is not known", file->name,
                         footer->type);
    if (footer->current_size_bytes == 0 || footer->current_size_bytes % VHD_SECTOR_BYTES)
        return damaged(err, file, "its size is not a whole number of sectors");
    if (footer->current_size_bytes > VHD_MAX_BYTES)
        return error_set(err, -EFBIG, "%s claims a size beyond the format's limit of 2040 GiB",
                         file->name);
    return 0;
}

static int open_fixed(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
                      bool readonly, struct blk **ret_blk, struct error *err)
{
    if (footer->current_size_bytes > footer_at)
        return damaged(err, file, "the file is shorter than its disk");
    int r = raw_new(file, footer->current_size_bytes, readonly, true, ret_blk);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int vhd_open(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
             bool readonly, struct blk **ret_blk, struct error *err)
{
    int r = check_footer(file, footer, err);
    if (r < 0)
        return r;
    if (footer->type == VHD_FIXED)
        return open_fixed(file, footer, footer_at, readonly, ret_blk, err);

    struct vhd *vhd = calloc(1, sizeof(*vhd));
    if (!vhd)
        return error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&vhd->lock, NULL);
    vhd->file = file;
    vhd->blk.ops = &vhd_ops;
    vhd->blk.size_bytes = footer->current_size_bytes;
    vhd->blk.readonly = readonly;
    r = load_dynamic(vhd, footer, footer_at, err);
    if (r == 0 && !readonly && footer_at == UINT64_MAX) {
        log_warning("%s: its end was torn; repairing it from the copy at its start", file->name);
        r = put_footer(vhd, vhd->end);
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
