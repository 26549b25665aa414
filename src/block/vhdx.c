/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * [MS-VHDX]. A disk is payload blocks, found through a table of 64-bit entries: a state
 * in the low three bits, a place in MiB in the upper 44. Behind the entries of each 2^23 sectors
 * ("chunk") stands one for the chunk's sector bitmap, lowest bit first, which tells of a
 * differencing disk's partly present blocks which sectors are here. Sectors of the table and of
 * bitmaps are read when they are needed: a table may be 512 MiB. How they are changed is said in
 * vhdx_write.c.
 *
 * `lock` guards them and growth. Data moves without it.
 */
#define LOG_ROOM "vhdx"
#include "block/vhdx.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/vhdx_log.h"
#include "block/vhdx_priv.h"

/* So many sectors are looked at in one step. */
#define STEP_SECTORS 4096u

/* Where the bytes from an offset on are. */
struct piece {
    uint64_t len_bytes, place;
    enum { HERE, NOTHING, ELSEWHERE } what;
    bool partial; /* of a block that is partly here */
};

static uint64_t entry_at(const struct vhdx *v, uint64_t index)
{
    return v->d.bat_at + 8 * index;
}

static int table_entry(struct vhdx *v, uint64_t index, uint64_t need_bytes, bool nowait,
                       unsigned *ret_state, uint64_t *ret_place)
{
    const uint8_t *sector;
    uint64_t at = entry_at(v, index);
    int r = vhdx_cached(v, at / VHDX_SECTOR * VHDX_SECTOR, nowait, &sector);
    if (r < 0)
        return r;
    uint64_t entry = le64_get(sector + at % VHDX_SECTOR), place = entry >> 20 << 20;
    unsigned state = entry & 7;
    if ((state == VHDX_FULL || state == VHDX_PARTIAL) &&
        (place < VHDX_MIB || place > v->file_bytes || need_bytes > v->file_bytes - place))
        return -EIO;
    *ret_state = state;
    *ret_place = place;
    return 0;
}

int vhdx_set_entry(struct vhdx *v, uint64_t index, uint64_t place, unsigned state)
{
    uint8_t *sector;
    uint64_t at = entry_at(v, index);
    int r = vhdx_change(v, at / VHDX_SECTOR * VHDX_SECTOR, &sector);
    if (r == 0)
        le64_put(sector + at % VHDX_SECTOR, place | state);
    return r;
}

/* Number of a byte's sector within its chunk. */
static uint64_t chunk_sector(const struct vhdx *v, uint64_t block, uint64_t inside)
{
    return (block % v->ratio) * (v->d.block_bytes / v->d.sector_bytes) + inside / v->d.sector_bytes;
}

static int bitmap_place(struct vhdx *v, uint64_t block, bool nowait, uint64_t *ret_place)
{
    unsigned state;
    int r = table_entry(v, vhdx_bitmap_index(v, block), VHDX_CHUNK_SECTORS / 8, nowait, &state,
                        ret_place);
    return r == 0 && state != VHDX_FULL ? -EIO : r;
}

/* Sectors of a partly present block: those alike from the first one on. */
static int partial(struct vhdx *v, uint64_t block, uint64_t inside, bool nowait,
                   struct piece *piece)
{
    uint64_t place, sector = chunk_sector(v, block, inside), run = 0;
    uint64_t last =
        sector + (inside % v->d.sector_bytes + piece->len_bytes - 1) / v->d.sector_bytes;
    const uint8_t *bits = NULL;
    bool here = false;
    last = MIN(last, sector + STEP_SECTORS - 1);
    int r = bitmap_place(v, block, nowait, &place);
    for (; r == 0 && sector + run <= last; run++) {
        uint64_t n = sector + run, byte = place + n / 8;
        if (run == 0 || n % (8 * VHDX_SECTOR) == 0)
            r = vhdx_cached(v, byte / VHDX_SECTOR * VHDX_SECTOR, nowait, &bits);
        if (r < 0)
            break;
        bool bit = bits[byte % VHDX_SECTOR] >> (n % 8) & 1;
        if (run == 0)
            here = bit;
        else if (bit != here)
            break;
    }
    if (r < 0)
        return r;
    piece->what = here ? HERE : ELSEWHERE;
    piece->partial = true;
    piece->len_bytes = MIN(piece->len_bytes, run * v->d.sector_bytes - inside % v->d.sector_bytes);
    return 0;
}

/* With the lock held. */
static int find(struct vhdx *v, uint64_t offset, uint64_t len, bool nowait, struct piece *ret)
{
    uint64_t block = offset / v->d.block_bytes, inside = offset % v->d.block_bytes, place;
    struct piece piece = {.len_bytes = MIN(len, v->d.block_bytes - inside), .what = NOTHING};
    uint64_t need = MIN((uint64_t)v->d.block_bytes, v->d.size_bytes - block * v->d.block_bytes);
    unsigned state;
    int r = table_entry(v, vhdx_block_index(v, block), need, nowait, &state, &place);
    if (r < 0)
        return r;
    switch (state) {
    case VHDX_FULL:
        piece.what = HERE;
        break;
    case VHDX_PARTIAL:
        r = v->d.has_parent ? partial(v, block, inside, nowait, &piece) : -EIO;
        break;
    case VHDX_NOT_PRESENT:
        piece.what = v->d.has_parent ? ELSEWHERE : NOTHING;
        break;
    case VHDX_UNDEFINED:
    case VHDX_ZERO:
    case VHDX_UNMAPPED:
    case 5: /* what drafts of the format called "unmapped" */
        break;
    default:
        r = -EIO;
    }
    piece.place = place + inside;
    if (r == 0)
        *ret = piece;
    return r;
}

static int find_locked(struct vhdx *v, uint64_t offset, uint64_t len, struct piece *ret)
{
    pthread_mutex_lock(&v->lock);
    int r = find(v, offset, len, false, ret);
    pthread_mutex_unlock(&v->lock);
    return r;
}

/* ---- writing ---- */

/* Room at the end of the file, which reads as zeroes. */
int vhdx_grow(struct vhdx *v, uint64_t len_bytes, uint64_t *ret_at)
{
    uint64_t at = align_up(v->file_bytes, VHDX_MIB);
    int r = v->file->ops->truncate(v->file, at + len_bytes);
    if (r < 0)
        return r;
    v->file_bytes = at + len_bytes;
    *ret_at = at;
    return 0;
}

/* Set or clear the bits of count sectors of a chunk. */
static int mark(struct vhdx *v, uint64_t block, uint64_t sector, uint64_t count, bool here)
{
    uint64_t place;
    uint8_t *bits = NULL;
    int r = bitmap_place(v, block, false, &place);
    for (uint64_t n = sector; r == 0 && n < sector + count; n++) {
        uint64_t byte = place + n / 8;
        if (n == sector || n % (8 * VHDX_SECTOR) == 0)
            r = vhdx_change(v, byte / VHDX_SECTOR * VHDX_SECTOR, &bits);
        if (r < 0)
            break;
        uint8_t bit = (uint8_t)(1u << (n % 8));
        if (here)
            bits[byte % VHDX_SECTOR] |= bit;
        else
            bits[byte % VHDX_SECTOR] &= (uint8_t)~bit;
    }
    return r;
}

/* A block of a differencing disk of which nothing is here yet: no bit of it may be set. */
static int prepare_bitmap(struct vhdx *v, uint64_t block)
{
    uint64_t place;
    unsigned state;
    int r = table_entry(v, vhdx_bitmap_index(v, block), 0, false, &state, &place);
    if (r == 0 && state != VHDX_FULL) {
        r = vhdx_grow(v, VHDX_CHUNK_SECTORS / 8, &place);
        return r < 0 ? r : vhdx_set_entry(v, vhdx_bitmap_index(v, block), place, VHDX_FULL);
    }
    return r < 0 ? r
                 : mark(v, block, chunk_sector(v, block, 0), v->d.block_bytes / v->d.sector_bytes,
                        false);
}

/* Give a block its place. */
static int allocate(struct vhdx *v, uint64_t block, bool partly)
{
    uint64_t at = 0;
    int r = partly ? prepare_bitmap(v, block) : 0;
    if (r == 0)
        r = vhdx_grow(v, v->d.block_bytes, &at);
    return r < 0 ? r
                 : vhdx_set_entry(v, vhdx_block_index(v, block), at,
                                  partly ? VHDX_PARTIAL : VHDX_FULL);
}

/* A sector that will be written in part and is not here yet: fill it first. Lock held. */
static int fill_sector(struct vhdx *v, uint64_t at)
{
    uint8_t old[4096];
    uint64_t first = at / v->d.sector_bytes * v->d.sector_bytes;
    struct iovec iov = {old, v->d.sector_bytes};
    struct iov_cursor cursor = {.iov = &iov, .count = 1};
    struct piece piece;
    if (at == first || at >= v->d.size_bytes)
        return 0;
    int r = find(v, first, v->d.sector_bytes, false, &piece);
    if (r < 0 || piece.what != ELSEWHERE)
        return r;
    r = blk_read_cursor(v->blk.parent, &cursor, v->d.sector_bytes, first);
    return r < 0 ? r : file_write(v->file, old, v->d.sector_bytes, piece.place);
}

/* One piece of a write, within a block. *len: how much it was. */
static int write_piece(struct vhdx *v, struct iov_cursor *cursor, uint64_t at, uint64_t *len)
{
    uint64_t block = at / v->d.block_bytes, inside = at % v->d.block_bytes;
    struct piece piece;
    pthread_mutex_lock(&v->lock);
    int r = vhdx_begin(v);
    if (r == 0)
        r = find(v, at, *len, false, &piece);
    if (r == 0 && piece.what != HERE && !piece.partial) {
        r = allocate(v, block, piece.what == ELSEWHERE);
        if (r == 0)
            r = find(v, at, *len, false, &piece);
    }
    /* Sectors that are not here yet become so when they have been written. */
    bool marks = r == 0 && piece.what == ELSEWHERE;
    bool edges = marks && (at | (at + piece.len_bytes)) % v->d.sector_bytes;
    if (edges) {
        r = fill_sector(v, at);
        if (r == 0)
            r = fill_sector(v, at + piece.len_bytes);
    }
    if (!edges)
        pthread_mutex_unlock(&v->lock);
    if (r == 0)
        r = file_write_iov(v->file, cursor, piece.len_bytes, piece.place);
    if (!edges)
        pthread_mutex_lock(&v->lock);
    if (r == 0 && marks) {
        uint64_t first = chunk_sector(v, block, inside);
        uint64_t last = chunk_sector(v, block, inside + piece.len_bytes - 1);
        r = mark(v, block, first, last - first + 1, true);
    }
    pthread_mutex_unlock(&v->lock);
    if (r == 0)
        *len = piece.len_bytes;
    return r;
}

static int write_all(struct vhdx *v, struct iov_cursor *cursor, uint64_t at, uint64_t end)
{
    while (at < end) {
        uint64_t len = end - at;
        int r = write_piece(v, cursor, at, &len);
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

static int write_zeroes(struct vhdx *v, uint64_t at, uint64_t end)
{
    static const uint8_t zeroes[4096];
    struct iovec iov = {(void *)(uintptr_t)zeroes, sizeof(zeroes)};
    while (at < end) {
        uint64_t len = MIN(end - at, (uint64_t)sizeof(zeroes));
        struct iov_cursor cursor = {.iov = &iov, .count = 1};
        int r = write_all(v, &cursor, at, at + len);
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

/* What is here is zeroed in its place; what the parent has must be covered, unless it is a hint. */
static int zero_all(struct vhdx *v, uint64_t at, uint64_t end, bool hint)
{
    pthread_mutex_lock(&v->lock);
    int r = vhdx_begin(v);
    pthread_mutex_unlock(&v->lock);
    while (at < end && r == 0) {
        struct piece piece;
        r = find_locked(v, at, end - at, &piece);
        if (r < 0)
            break;
        if (piece.what == HERE && hint)
            r = v->file->ops->punch(v->file, piece.place, piece.len_bytes);
        else if (piece.what == HERE)
            r = file_zero(v->file, piece.place, piece.len_bytes);
        else if (piece.what == ELSEWHERE && !hint)
            r = write_zeroes(v, at, at + piece.len_bytes);
        if (hint && r == -EOPNOTSUPP)
            r = 0;
        at += piece.len_bytes;
    }
    return r;
}

static int read_all(struct vhdx *v, struct iov_cursor *cursor, uint64_t at, uint64_t end)
{
    while (at < end) {
        struct piece piece;
        int r = find_locked(v, at, end - at, &piece);
        if (r == 0 && piece.what == HERE)
            r = file_read_iov(v->file, cursor, piece.len_bytes, piece.place);
        else if (r == 0 && piece.what == ELSEWHERE)
            r = blk_read_cursor(v->blk.parent, cursor, piece.len_bytes, at);
        else if (r == 0)
            iov_zero(cursor, piece.len_bytes);
        if (r < 0)
            return r;
        at += piece.len_bytes;
    }
    return 0;
}

static int vhdx_flush(struct vhdx *v)
{
    pthread_mutex_lock(&v->lock);
    int r = vhdx_commit(v);
    pthread_mutex_unlock(&v->lock);
    return r;
}

static int vhdx_run(struct blk *blk, const struct blk_req *req)
{
    struct vhdx *v = CONTAINER_OF(blk, struct vhdx, blk);
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    int r = 0;
    switch (req->op) {
    case BLK_READ:
        return read_all(v, &cursor, at, end);
    case BLK_FLUSH:
        break;
    case BLK_WRITE:
        r = write_all(v, &cursor, at, end);
        break;
    case BLK_WRITE_ZEROES:
    case BLK_DISCARD:
        r = zero_all(v, at, end, req->op == BLK_DISCARD);
        break;
    }
    if (r == 0 && (req->op == BLK_FLUSH || req->fua))
        r = blk->readonly ? 0 : vhdx_flush(v);
    return r;
}

static int map_nowait(struct vhdx *v, uint64_t offset_bytes, uint64_t len_bytes, bool in_place,
                      struct blk_extent *ret_extent)
{
    struct piece piece;
    pthread_mutex_lock(&v->lock);
    /* The first write changes the headers. */
    int r = in_place && !v->changing && !v->building
                ? -EAGAIN
                : find(v, offset_bytes, len_bytes, true, &piece);
    pthread_mutex_unlock(&v->lock);
    if (r < 0)
        return r;
    if (piece.what == ELSEWHERE || (in_place && piece.what != HERE))
        return -EAGAIN;
    *ret_extent = (struct blk_extent){.len_bytes = piece.len_bytes, .zero = piece.what == NOTHING};
    if (piece.what == HERE) {
        ret_extent->file = v->file;
        ret_extent->file_offset = piece.place;
    }
    return 0;
}

static int vhdx_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                    struct blk_extent *ret_extent)
{
    struct vhdx *v = CONTAINER_OF(blk, struct vhdx, blk);
    struct piece piece, next;
    if (how)
        return map_nowait(v, offset_bytes, len_bytes, how & BLK_MAP_INPLACE, ret_extent);
    int r = find_locked(v, offset_bytes, len_bytes, &piece);
    if (r < 0)
        return r;
    while (piece.what == NOTHING && piece.len_bytes < len_bytes &&
           find_locked(v, offset_bytes + piece.len_bytes, len_bytes - piece.len_bytes, &next) ==
               0 &&
           next.what == NOTHING)
        piece.len_bytes += next.len_bytes;
    *ret_extent = (struct blk_extent){.len_bytes = piece.len_bytes, .zero = true};
    if (piece.what == HERE) {
        ret_extent->zero = false;
        ret_extent->file = v->file;
        ret_extent->file_offset = piece.place;
    }
    if (piece.what != ELSEWHERE || offset_bytes >= blk->parent->size_bytes)
        return 0;
    r = blk_map(blk->parent, offset_bytes,
                MIN(piece.len_bytes, blk->parent->size_bytes - offset_bytes), ret_extent);
    if (r == 0)
        ret_extent->depth++;
    return r;
}

static void vhdx_close(struct blk *blk)
{
    struct vhdx *v = CONTAINER_OF(blk, struct vhdx, blk);
    blk_done(blk);
    if (!blk->readonly && vhdx_end(v) < 0)
        log_error("%s: it could not be closed in order; its log will be replayed", blk->name);
    blk_close(blk->parent);
    file_close(v->file);
    vhdx_free(v, v->file);
}

static const struct blk_ops ops_plain = {
    .format = "vhdx", .run = vhdx_run, .map = vhdx_map, .close = vhdx_close};
static const struct blk_ops ops_differencing = {
    .format = "vhdx-differencing", .run = vhdx_run, .map = vhdx_map, .close = vhdx_close};

int vhdx_load(struct vhdx *v, struct blk_file *file, struct error *err)
{
    int r = vhdx_read_header(file, &v->header, err);
    if (r == 0)
        r = vhdx_log_replay(file, &v->header, &v->file, err);
    if (r == 0)
        r = vhdx_read_disk(v->file, &v->d, err);
    if (r < 0)
        return r;
    v->ratio = vhdx_chunk_ratio(v->d.sector_bytes, v->d.block_bytes);
    v->blk.size_bytes = v->d.size_bytes;
    r = v->file->ops->size(v->file, &v->file_bytes);
    return r < 0 ? error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r))
                 : 0;
}

struct vhdx *vhdx_alloc(struct blk_file *file, bool readonly)
{
    struct vhdx *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    v->cache = calloc(VHDX_CACHE_SECTORS, sizeof(*v->cache));
    if (!v->cache) {
        free(v);
        return NULL;
    }
    pthread_mutex_init(&v->lock, NULL);
    v->file = file;
    v->building = file->building;
    v->keep_id = file->merging;
    v->blk.name = file->name;
    v->blk.readonly = readonly;
    return v;
}

void vhdx_free(struct vhdx *v, struct blk_file *file)
{
    if (v->file != file)
        vhdx_log_release(v->file);
    pthread_mutex_destroy(&v->lock);
    free(v->cache);
    free(v);
}

static int check(struct vhdx *v, struct blk_file *file, struct blk *parent, struct error *err)
{
    if (v->d.has_parent != (parent != NULL))
        return error_set(err, -EINVAL, "%s: a differencing disk has a parent, no other has",
                         file->name);
    /* Nothing is written to a file before all of it has been looked at. */
    int r = v->blk.readonly || v->building ? 0 : vhdx_check_table(v, err);
    return r == 0 && !v->blk.readonly ? vhdx_recover(v, file, err) : r;
}

int vhdx_open(struct blk_file *file, bool readonly, struct blk *parent, struct blk **ret_blk,
              struct error *err)
{
    struct vhdx *v = vhdx_alloc(file, readonly);
    if (!v)
        return error_set(err, -ENOMEM, "out of memory");
    v->blk.ops = parent ? &ops_differencing : &ops_plain;
    v->blk.parent = parent;
    int r = vhdx_load(v, file, err);
    if (r == 0)
        r = check(v, file, parent, err);
    if (r == 0 && blk_init(&v->blk) < 0)
        r = error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        vhdx_free(v, file);
        return r;
    }
    *ret_blk = &v->blk;
    return 0;
}
