/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic and differencing VHDs, read and written. Microsoft, "Virtual Hard Disk Image Format
 * Specification", version 1.0. Left out: files split into several (.v01, …, before Virtual
 * Server 2005) are not joined.
 *
 * Such a disk is blocks of data, each behind a bitmap with one bit per sector (the first sector
 * is the highest bit of the first byte; 1: has been written, 0: reads as zeroes, or as the parent
 * of a differencing disk), found through a table of sector numbers, and a footer at the very end
 * with a copy at the start.
 *
 * A new block takes the old footer's place. In which order, so that the power may fail anywhere?
 *   1. a bitmap of zeroes over the old footer, and a new footer behind the block to be; what lies
 *      between is beyond the old end of the file and so is zero. Flush. Until here a torn file is
 *      opened through the copy at the start, and no block points to what is not there.
 *   2. the table entry.
 *   3. the data, then the bits of its sectors.
 * Steps 2 and 3 need no flush between them, whichever of them is lost: a set bit that no table
 * entry leads to means nothing, and in a dynamic disk sectors without their bit read as zeroes,
 * which is what they held before. The guest's own flush makes all three lasting.
 *
 * In a differencing disk a bit that is there before its data would turn what the parent has into
 * zeroes, though the guest had flushed it long ago. There bits are kept in memory and written
 * when the data is known to be on stable storage: at the next flush, when their room in memory
 * is needed, and after some thousands of writes.
 *
 * `lock` guards the table, the bitmaps and growth. Data moves without it.
 */
#define LOG_ROOM "vhd"
#include "block/vhd.h"

#include <errno.h>
#include <string.h>

#include "block/vhd_priv.h"

/* So much of a block is looked at in one step: its bits fit on the stack. */
#define STEP_BYTES (2u << 20)
#define STEP_BITMAP_BYTES (STEP_BYTES / VHD_SECTOR_BYTES / 8)

/* Part of a request: bytes [at, at + len) of block n, at most STEP_BYTES, within a step. */
struct step {
    uint32_t block, at, len;
};

/* Bytes that this image does not have: the parent's, or zeroes. */
static int read_elsewhere(struct vhd *vhd, uint32_t block, uint32_t at, uint32_t len,
                          struct iov_cursor *cursor)
{
    if (vhd->blk.parent)
        return blk_read_cursor(vhd->blk.parent, cursor, len,
                               (uint64_t)block * vhd->block_bytes + at);
    iov_zero(cursor, len);
    return 0;
}

static int read_step(struct vhd *vhd, const struct step *step, struct iov_cursor *cursor)
{
    uint8_t bits[STEP_BITMAP_BYTES + 1];
    uint32_t first = step->at / VHD_SECTOR_BYTES;
    uint32_t last = (step->at + step->len - 1) / VHD_SECTOR_BYTES;
    uint64_t data = 0;
    bool full = false;
    int r = 0;

    if (vhd->bad && vhd_bit(vhd->bad, step->block))
        return -EIO;
    pthread_mutex_lock(&vhd->lock);
    bool absent = vhd->table[step->block] == VHD_BAT_UNUSED;
    if (!absent) {
        uint8_t *all;
        data = vhd_data_offset(vhd, step->block);
        full = vhd_bit(vhd->full, step->block);
        if (!full)
            r = vhd_bitmap_load(vhd, step->block, &all);
        if (!full && r == 0)
            memcpy(bits, all + first / 8, last / 8 - first / 8 + 1);
    }
    pthread_mutex_unlock(&vhd->lock);
    if (r < 0)
        return r;
    if (absent)
        return read_elsewhere(vhd, step->block, step->at, step->len, cursor);
    if (full)
        return file_read_iov(vhd->file, cursor, step->len, data + step->at);

    uint32_t base = first & ~7u, end = step->at + step->len;
    for (uint32_t at = step->at; at < end && r == 0;) {
        uint32_t sector = at / VHD_SECTOR_BYTES;
        bool written = vhd_bit(bits, sector - base);
        while (sector <= last && vhd_bit(bits, sector - base) == written)
            sector++;
        uint32_t piece = MIN(end, sector * VHD_SECTOR_BYTES) - at;
        if (written)
            r = file_read_iov(vhd->file, cursor, piece, data + at);
        else
            r = read_elsewhere(vhd, step->block, at, piece, cursor);
        at += piece;
    }
    return r;
}

/* A sector that will be written in part and is not here yet: fill it first. Lock held. */
static int prepare_partial(struct vhd *vhd, uint32_t n, uint32_t at)
{
    uint8_t old[VHD_SECTOR_BYTES];
    struct iovec iov = {old, sizeof(old)};
    struct iov_cursor cursor = {.iov = &iov, .count = 1};
    uint8_t *bits;
    uint32_t sector = at / VHD_SECTOR_BYTES;
    if (at % VHD_SECTOR_BYTES == 0 || vhd_bit(vhd->full, n))
        return 0;
    int r = vhd_bitmap_load(vhd, n, &bits);
    if (r < 0 || vhd_bit(bits, sector))
        return r;
    r = read_elsewhere(vhd, n, sector * VHD_SECTOR_BYTES, sizeof(old), &cursor);
    return r < 0 ? r
                 : file_write(vhd->file, old, sizeof(old),
                              vhd_data_offset(vhd, n) + (uint64_t)sector * VHD_SECTOR_BYTES);
}

static int write_step(struct vhd *vhd, const struct step *step, struct iov_cursor *cursor)
{
    uint32_t first = step->at / VHD_SECTOR_BYTES;
    uint32_t last = (step->at + step->len - 1) / VHD_SECTOR_BYTES;
    bool partial = (step->at | step->len) % VHD_SECTOR_BYTES;
    int r = 0;

    pthread_mutex_lock(&vhd->lock);
    if (vhd->table[step->block] == VHD_BAT_UNUSED)
        r = vhd_allocate(vhd, step->block);
    uint64_t data = r < 0 ? 0 : vhd_data_offset(vhd, step->block) + step->at;
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
        r = vhd_mark_written(vhd, step->block, first, last - first + 1);
    pthread_mutex_unlock(&vhd->lock);
    return r;
}

/* Zero or discard what is here. Bits stay as they are: those that are clear speak of others. */
static int zero_here(struct vhd *vhd, const struct step *step, bool hint)
{
    pthread_mutex_lock(&vhd->lock);
    bool absent = vhd->table[step->block] == VHD_BAT_UNUSED;
    uint64_t data = absent ? 0 : vhd_data_offset(vhd, step->block) + step->at;
    pthread_mutex_unlock(&vhd->lock);
    if (absent)
        return 0;
    if (!hint)
        return file_zero(vhd->file, data, step->len);
    int r = vhd->file->ops->punch(vhd->file, data, step->len);
    return r == -EOPNOTSUPP ? 0 : r;
}

/* Whether the parent has anything but zeroes in a step. */
static int parent_is_zero(const struct vhd *vhd, const struct step *step, bool *ret_zero)
{
    struct blk *parent = vhd->blk.parent;
    uint64_t at = (uint64_t)step->block * vhd->block_bytes + step->at;
    uint64_t end = parent ? MIN(at + step->len, parent->size_bytes) : 0;
    struct blk_extent extent;
    while (at < end) {
        int r = blk_map(parent, at, end - at, &extent);
        if (r < 0)
            return r;
        if (!extent.zero) {
            *ret_zero = false;
            return 0;
        }
        at += extent.len_bytes;
    }
    *ret_zero = true;
    return 0;
}

/* Zeroes where the parent has something else are data as any other, but cost no room. */
static int zero_over_parent(struct vhd *vhd, const struct step *step)
{
    static const uint8_t zeroes[VHD_SECTOR_BYTES];
    uint32_t end = step->at + step->len;
    uint32_t from = (uint32_t)align_up(step->at, VHD_SECTOR_BYTES);
    uint32_t to = end / VHD_SECTOR_BYTES * VHD_SECTOR_BYTES;
    struct step edges[2] = {{step->block, step->at, MIN(from, end) - step->at},
                            {step->block, MAX(to, from), end > to && to >= from ? end - to : 0}};
    int r = 0;
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        struct iovec iov = {(void *)(uintptr_t)zeroes, edges[i].len};
        struct iov_cursor cursor = {.iov = &iov, .count = 1};
        if (edges[i].len)
            r = write_step(vhd, &edges[i], &cursor);
    }
    if (r < 0 || from >= to)
        return r;
    pthread_mutex_lock(&vhd->lock);
    if (vhd->table[step->block] == VHD_BAT_UNUSED)
        r = vhd_allocate(vhd, step->block);
    if (r == 0)
        r = file_zero(vhd->file, vhd_data_offset(vhd, step->block) + from, to - from);
    if (r == 0)
        r = vhd_mark_written(vhd, step->block, from / VHD_SECTOR_BYTES,
                             (to - from) / VHD_SECTOR_BYTES);
    pthread_mutex_unlock(&vhd->lock);
    return r;
}

static int zero_step(struct vhd *vhd, const struct step *step)
{
    bool zero = true;
    int r = parent_is_zero(vhd, step, &zero);
    if (r < 0)
        return r;
    return zero ? zero_here(vhd, step, false) : zero_over_parent(vhd, step);
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
        else if (req->op == BLK_WRITE_ZEROES)
            r = zero_step(vhd, &step);
        else
            r = zero_here(vhd, &step, true);
        at += step.len;
    }
    return r;
}

static int vhd_flush(struct vhd *vhd)
{
    pthread_mutex_lock(&vhd->lock);
    int r = vhd_write_bitmaps(vhd);
    pthread_mutex_unlock(&vhd->lock);
    return r < 0 ? r : vhd->file->ops->flush(vhd->file);
}

static int vhd_run(struct blk *blk, const struct blk_req *req)
{
    struct vhd *vhd = CONTAINER_OF(blk, struct vhd, blk);
    int r = req->op == BLK_FLUSH ? 0 : run_steps(vhd, req);
    if (r == 0 && (req->op == BLK_FLUSH || req->fua))
        r = blk->readonly ? 0 : vhd_flush(vhd);
    return r;
}

/* How many sectors from `sector` on have the same bit, at most to `end`. */
static uint32_t run_length(const uint8_t *bits, uint32_t sector, uint32_t end)
{
    bool bit = vhd_bit(bits, sector);
    uint8_t whole = bit ? 0xff : 0;
    uint32_t at = sector;
    while (at < end) {
        if (at % 8 == 0 && end - at >= 8 && bits[at / 8] == whole)
            at += 8;
        else if (vhd_bit(bits, at) == bit)
            at++;
        else
            break;
    }
    return at - sector;
}

static int map_parent(struct vhd *vhd, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                      struct blk_extent *ret_extent)
{
    struct blk *parent = vhd->blk.parent;
    struct blk_extent e = {.len_bytes = len_bytes, .zero = true};
    if (how & BLK_MAP_INPLACE)
        return -EAGAIN;
    if (parent && offset_bytes < parent->size_bytes) {
        if (how && !parent->ops->map)
            return -EAGAIN;
        len_bytes = MIN(len_bytes, parent->size_bytes - offset_bytes);
        int r = how ? parent->ops->map(parent, offset_bytes, len_bytes, how, &e)
                    : blk_map(parent, offset_bytes, len_bytes, &e);
        if (r < 0)
            return r;
        e.depth++;
    }
    *ret_extent = e;
    return 0;
}

/* Of an allocated block, with the lock held: 1 here, 0 not here, and how far. */
static int map_block(struct vhd *vhd, uint32_t n, uint32_t at, uint64_t *len_bytes, unsigned how)
{
    const uint8_t *bits = vhd_bitmap_cached(vhd, n);
    if (vhd_bit(vhd->full, n))
        return 1;
    if (!bits && how & BLK_MAP_NOWAIT)
        return -EAGAIN;
    if (!bits) {
        uint8_t *loaded;
        int r = vhd_bitmap_load(vhd, n, &loaded);
        if (r < 0)
            return r;
        bits = loaded;
    }
    uint32_t first = at / VHD_SECTOR_BYTES;
    uint32_t end = (uint32_t)((at + *len_bytes + VHD_SECTOR_BYTES - 1) / VHD_SECTOR_BYTES);
    uint64_t same = (uint64_t)(first + run_length(bits, first, end)) * VHD_SECTOR_BYTES - at;
    *len_bytes = MIN(*len_bytes, same);
    return vhd_bit(bits, first);
}

static int vhd_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                   struct blk_extent *ret_extent)
{
    struct vhd *vhd = CONTAINER_OF(blk, struct vhd, blk);
    uint32_t n = (uint32_t)(offset_bytes / vhd->block_bytes);
    uint32_t at = (uint32_t)(offset_bytes % vhd->block_bytes);
    uint64_t len = MIN(len_bytes, (uint64_t)vhd->block_bytes - at), data = 0;
    if (vhd->bad && vhd_bit(vhd->bad, n))
        return -EIO;
    /* Somebody who holds the lock may be waiting for the disk. */
    if (how & BLK_MAP_NOWAIT ? pthread_mutex_trylock(&vhd->lock) : pthread_mutex_lock(&vhd->lock))
        return -EAGAIN;
    int here = 0;
    if (vhd->table[n] != VHD_BAT_UNUSED) {
        data = vhd_data_offset(vhd, n) + at;
        here = map_block(vhd, n, at, &len, how);
    } else {
        while (len < len_bytes && vhd->table[++n] == VHD_BAT_UNUSED)
            len = MIN(len_bytes, len + vhd->block_bytes);
    }
    pthread_mutex_unlock(&vhd->lock);
    if (here < 0)
        return here;
    if (!here)
        return map_parent(vhd, offset_bytes, len, how, ret_extent);
    *ret_extent = (struct blk_extent){.len_bytes = len, .file = vhd->file, .file_offset = data};
    return 0;
}

static void vhd_close(struct blk *blk)
{
    struct vhd *vhd = CONTAINER_OF(blk, struct vhd, blk);
    blk_done(blk);
    blk_close(blk->parent);
    file_close(vhd->file);
    vhd_free(vhd);
}

const struct blk_ops vhd_dynamic_ops = {
    .format = "vhd-dynamic", .run = vhd_run, .map = vhd_map, .close = vhd_close};
const struct blk_ops vhd_differencing_ops = {
    .format = "vhd-differencing", .run = vhd_run, .map = vhd_map, .close = vhd_close};
