/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * [MS-VHDX]. A disk is payload blocks, found through a table of 64-bit entries: a state
 * in the low three bits, a place in MiB in the upper 44. Behind the entries of each 2^23 sectors
 * ("chunk") stands one for the chunk's sector bitmap, lowest bit first, which tells of a
 * differencing disk's partly present blocks which sectors are here. Table entries and bitmaps are
 * read when they are needed: a table may be 512 MiB. Left out: writing to a disk in use, which
 * needs the log.
 */
#include "block/vhdx.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "block/utf16.h"
#include "block/vhdx_log.h"

#define CHUNK_SECTORS (1ull << 23)
/* So many sectors are looked at in one step. */
#define STEP_SECTORS 4096u

enum { NOT_PRESENT = 0, UNDEFINED = 1, ZERO = 2, UNMAPPED = 3, FULL = VHDX_FULL, PARTIAL = 7 };

struct vhdx {
    struct blk blk;
    struct blk_file *file;
    struct vhdx_disk d;
    uint64_t ratio;
    pthread_mutex_t lock; /* growth */
    uint64_t file_bytes;
};

/* Where the bytes from an offset on are. */
struct piece {
    uint64_t len_bytes, place;
    enum { HERE, NOTHING, ELSEWHERE } what;
};

static int table_entry(struct vhdx *v, uint64_t index, uint64_t need_bytes, unsigned *ret_state,
                       uint64_t *ret_place)
{
    uint8_t raw[8];
    int r = file_read(v->file, raw, sizeof(raw), v->d.bat_at + 8 * index);
    if (r < 0)
        return r;
    uint64_t entry = le64_get(raw), place = entry >> 20 << 20;
    unsigned state = entry & 7;
    if ((state == FULL || state == PARTIAL) &&
        (place < VHDX_MIB || place > v->file_bytes || need_bytes > v->file_bytes - place))
        return -EIO;
    *ret_state = state;
    *ret_place = place;
    return 0;
}

/* Sectors of a partly present block: those alike from the first one on. */
static int partial(struct vhdx *v, uint64_t block, uint64_t inside, struct piece *piece)
{
    uint64_t chunk = block / v->ratio, place;
    uint64_t sector =
        (block % v->ratio) * (v->d.block_bytes / v->d.sector_bytes) + inside / v->d.sector_bytes;
    uint64_t last =
        sector + (inside % v->d.sector_bytes + piece->len_bytes - 1) / v->d.sector_bytes;
    uint8_t bits[STEP_SECTORS / 8 + 1];
    unsigned state;
    last = MIN(last, sector + STEP_SECTORS - 8);
    int r = table_entry(v, chunk * (v->ratio + 1) + v->ratio, CHUNK_SECTORS / 8, &state, &place);
    if (r == 0 && state != FULL)
        r = -EIO;
    if (r == 0)
        r = file_read(v->file, bits, last / 8 - sector / 8 + 1, place + sector / 8);
    if (r < 0)
        return r;
    uint64_t base = sector & ~7ull, run = 0;
    bool here = bits[0] >> (sector - base) & 1;
    while (sector + run <= last &&
           (bits[(sector + run - base) / 8] >> ((sector + run) % 8) & 1) == here)
        run++;
    piece->what = here ? HERE : ELSEWHERE;
    piece->len_bytes = MIN(piece->len_bytes, run * v->d.sector_bytes - inside % v->d.sector_bytes);
    return 0;
}

static int find(struct vhdx *v, uint64_t offset, uint64_t len, struct piece *ret)
{
    uint64_t block = offset / v->d.block_bytes, inside = offset % v->d.block_bytes, place;
    struct piece piece = {.len_bytes = MIN(len, v->d.block_bytes - inside), .what = NOTHING};
    uint64_t need = MIN((uint64_t)v->d.block_bytes, v->d.size_bytes - block * v->d.block_bytes);
    unsigned state;
    int r = table_entry(v, block + block / v->ratio, need, &state, &place);
    if (r < 0)
        return r;
    switch (state) {
    case FULL:
        piece.what = HERE;
        break;
    case PARTIAL:
        r = v->d.has_parent ? partial(v, block, inside, &piece) : -EIO;
        break;
    case NOT_PRESENT:
        piece.what = v->d.has_parent ? ELSEWHERE : NOTHING;
        break;
    case UNDEFINED:
    case ZERO:
    case UNMAPPED:
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

/* A new block at the end. Nobody would open this file if the power failed: no order is kept. */
static int grow(struct vhdx *v, uint64_t block)
{
    uint8_t raw[8];
    uint64_t at = align_up(v->file_bytes, VHDX_MIB);
    int r = v->file->ops->truncate(v->file, at + v->d.block_bytes);
    le64_put(raw, at | VHDX_FULL);
    if (r == 0)
        r = file_write(v->file, raw, sizeof(raw), v->d.bat_at + 8 * (block + block / v->ratio));
    if (r == 0)
        v->file_bytes = at + v->d.block_bytes;
    return r;
}

static int write_piece(struct vhdx *v, struct iov_cursor *cursor, uint64_t at, uint64_t *len)
{
    struct piece piece;
    pthread_mutex_lock(&v->lock);
    int r = find(v, at, *len, &piece);
    if (r == 0 && piece.what != HERE) {
        r = grow(v, at / v->d.block_bytes);
        if (r == 0)
            r = find(v, at, *len, &piece);
    }
    pthread_mutex_unlock(&v->lock);
    if (r == 0)
        r = file_write_iov(v->file, cursor, piece.len_bytes, piece.place);
    *len = piece.len_bytes;
    return r;
}

static int write_all(struct vhdx *v, const struct blk_req *req)
{
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    while (at < end) {
        uint64_t len = end - at;
        int r = write_piece(v, &cursor, at, &len);
        if (r < 0)
            return r;
        at += len;
    }
    return 0;
}

static int vhdx_run(struct blk *blk, const struct blk_req *req)
{
    struct vhdx *v = CONTAINER_OF(blk, struct vhdx, blk);
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    uint64_t at = req->offset_bytes, end = at + req->len_bytes;
    if (req->op == BLK_FLUSH)
        return 0;
    if (req->op == BLK_WRITE && !blk->readonly)
        return write_all(v, req);
    if (req->op != BLK_READ)
        return -EROFS;
    while (at < end) {
        struct piece piece;
        int r = find(v, at, end - at, &piece);
        if (r == 0 && piece.what == HERE)
            r = file_read_iov(v->file, &cursor, piece.len_bytes, piece.place);
        else if (r == 0 && piece.what == ELSEWHERE)
            r = blk_read_cursor(blk->parent, &cursor, piece.len_bytes, at);
        else if (r == 0)
            iov_zero(&cursor, piece.len_bytes);
        if (r < 0)
            return r;
        at += piece.len_bytes;
    }
    return 0;
}

static int vhdx_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                    struct blk_extent *ret_extent)
{
    struct vhdx *v = CONTAINER_OF(blk, struct vhdx, blk);
    struct piece piece, next;
    if (how) /* images that are only converted need no short way */
        return -EAGAIN;
    int r = find(v, offset_bytes, len_bytes, &piece);
    if (r < 0)
        return r;
    while (piece.what == NOTHING && piece.len_bytes < len_bytes &&
           find(v, offset_bytes + piece.len_bytes, len_bytes - piece.len_bytes, &next) == 0 &&
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
    blk_close(blk->parent);
    file_close(v->file);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

static const struct blk_ops ops_plain = {
    .format = "vhdx", .run = vhdx_run, .map = vhdx_map, .close = vhdx_close};
static const struct blk_ops ops_differencing = {
    .format = "vhdx-differencing", .run = vhdx_run, .map = vhdx_map, .close = vhdx_close};

int vhdx_open(struct blk_file *file, bool building, struct blk *parent, struct blk **ret_blk,
              struct error *err)
{
    struct vhdx_header header;
    struct vhdx *v = calloc(1, sizeof(*v));
    if (!v)
        return error_set(err, -ENOMEM, "out of memory");
    int r = vhdx_read_header(file, &header, err);
    if (r == 0)
        r = vhdx_log_replay(file, &header, &v->file, err);
    if (r < 0) {
        free(v);
        return r;
    }
    r = vhdx_read_disk(v->file, &v->d, err);
    if (r == 0 && v->d.has_parent != (parent != NULL))
        r = error_set(err, -EINVAL, "%s: a differencing disk has a parent, no other has",
                      file->name);
    if (r == 0) {
        v->ratio = CHUNK_SECTORS * v->d.sector_bytes / v->d.block_bytes;
        v->blk.ops = parent ? &ops_differencing : &ops_plain;
        v->blk.name = file->name;
        v->blk.parent = parent;
        v->blk.size_bytes = v->d.size_bytes;
        v->blk.readonly = !building;
        pthread_mutex_init(&v->lock, NULL);
        r = v->file->ops->size(v->file, &v->file_bytes);
        if (r == 0)
            r = blk_init(&v->blk);
        if (r < 0)
            error_set(err, r, "%s cannot be opened: %s", file->name, strerror(-r));
    }
    if (r < 0) {
        if (v->file != file)
            vhdx_log_release(v->file);
        free(v);
        return r;
    }
    *ret_blk = &v->blk;
    return 0;
}

/* ---- the parent locator, 2.6.2.6 ---- */

#define PAIRS_MAX 64u

/* "{2dc27766-f623-4200-9d64-115e9bfd4a08}" as it lies in a file. */
static bool parse_id(const char *text, uint8_t id[VHDX_ID_BYTES])
{
    unsigned a, b, c, d[8];
    if (sscanf(text, "{%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x}", &a, &b, &c, &d[0], &d[1], &d[2],
               &d[3], &d[4], &d[5], &d[6], &d[7]) != 11)
        return false;
    le32_put(id, a);
    le16_put(id + 4, (uint16_t)b);
    le16_put(id + 6, (uint16_t)c);
    for (unsigned i = 0; i < 8; i++)
        id[8 + i] = (uint8_t)d[i];
    return true;
}

static char *locator_text(const uint8_t *locator, uint32_t len, uint32_t at, uint32_t bytes)
{
    return at <= len && bytes <= len - at ? utf16_to_utf8(locator + at, bytes, false) : NULL;
}

static void take_pair(const uint8_t *locator, uint32_t len, const uint8_t *pair, const char *folder,
                      const char *wanted, struct vhdx_parent *parent)
{
    AUTO_FREE char *key = locator_text(locator, len, le32_get(pair), le16_get(pair + 8));
    AUTO_FREE char *value = locator_text(locator, len, le32_get(pair + 4), le16_get(pair + 10));
    if (!key || !value || strcasecmp(key, wanted))
        return;
    if (!strcmp(wanted, "parent_linkage"))
        parent->wanted = parse_id(value, parent->id);
    else
        parent_paths_add(&parent->paths, parent_path_for_host(value, folder));
}

int vhdx_find_parent(struct blk_file *file, const char *folder, struct vhdx_parent *ret_parent,
                     struct error *err)
{
    /* Relative places first, as with VHDs. */
    static const char *const keys[] = {"parent_linkage", "relative_path", "volume_path",
                                       "absolute_win32_path"};
    struct vhdx_parent parent = {.wanted = false};
    struct vhdx_header header;
    struct vhdx_disk disk = {0};
    struct blk_file *replayed;
    int r = vhdx_read_header(file, &header, err);
    if (r == 0)
        r = vhdx_log_replay(file, &header, &replayed, err);
    if (r < 0)
        return r;
    r = vhdx_read_disk(replayed, &disk, err);
    AUTO_FREE uint8_t *locator = calloc(1, disk.locator_bytes + 1);
    if (r == 0 && disk.has_parent) {
        r = locator ? file_read(replayed, locator, disk.locator_bytes, disk.locator_at) : -ENOMEM;
        if (r < 0)
            error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    uint32_t pairs = r == 0 && disk.locator_bytes >= 20
                         ? MIN((uint32_t)le16_get(locator + 18), (disk.locator_bytes - 20) / 12)
                         : 0;
    for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
        for (uint32_t i = 0; i < MIN(pairs, PAIRS_MAX); i++)
            take_pair(locator, disk.locator_bytes, locator + 20 + i * 12, folder, keys[k], &parent);
    if (r == 0 && disk.has_parent && !parent.wanted)
        r = vhdx_damaged(err, file, "it does not say what its parent is");
    if (replayed != file)
        vhdx_log_release(replayed);
    if (r < 0)
        parent_paths_done(&parent.paths);
    else
        *ret_parent = parent;
    return r;
}
