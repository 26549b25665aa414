/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing a VHDX so that the power may fail anywhere: [MS-VHDX] 2.2.2 (headers), 2.3 (log).
 *
 * Sectors of the block table and of bitmaps are changed in memory. A flush writes all of them as
 * one entry of the log, makes that stable together with the data that were written before, and
 * only then writes them to their places. Those writes are stable with the next flush; so each
 * entry names the one before as the first to be replayed, and three entries always fit into the
 * log: the one before, this one, and the next, which must not lie over either.
 *
 * A block that is new to a disk without parent may come into the table before its data: its bytes
 * are zeroes, as they were. With a parent the data are made stable first, for the bitmap says
 * whose they are.
 *
 * Before the first change the headers get new ids, for the file, its contents and the log; when
 * the disk is closed the log's is taken away, and readers that know no logs read it right.
 */
#define LOG_ROOM "vhdx"
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/vhd_edit.h"
#include "block/vhdx_log.h"
#include "block/vhdx_priv.h"

#define ENTRY_HEADER 64u
#define DESCRIPTOR 32u

_Static_assert(ENTRY_HEADER + VHDX_CACHE_SECTORS * DESCRIPTOR <= VHDX_SECTOR, "descriptors");
_Static_assert(3 * (1 + VHDX_CACHE_SECTORS) * VHDX_SECTOR <= VHDX_MIB, "three entries");

/* ---- headers ---- */

/* Both, one after the other: at every moment one is whole. */
int vhdx_write_headers(struct vhdx *v)
{
    uint8_t raw[VHDX_HEADER_BYTES] = "head";
    int r = 0;
    memcpy(raw + 16, v->header.file_write_id, VHDX_ID_BYTES);
    memcpy(raw + 32, v->header.data_write_id, VHDX_ID_BYTES);
    memcpy(raw + 48, v->header.log_id, VHDX_ID_BYTES);
    le16_put(raw + 66, 1);
    le32_put(raw + 68, v->header.log_bytes);
    le64_put(raw + 72, v->header.log_at);
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        v->header.second = !v->header.second;
        le64_put(raw + 8, ++v->header.sequence);
        le32_put(raw + 4, vhdx_checksum(raw, sizeof(raw), 4));
        r = file_write(v->file, raw, sizeof(raw), v->header.second ? 131072u : 65536u);
        if (r == 0)
            r = v->file->ops->flush(v->file);
    }
    return r;
}

/* ---- sectors in memory ---- */

static struct vhdx_cached *place_of(struct vhdx *v, uint64_t at)
{
    return &v->cache[at / VHDX_SECTOR % VHDX_CACHE_SECTORS];
}

int vhdx_cached(struct vhdx *v, uint64_t at, bool nowait, const uint8_t **ret_bytes)
{
    struct vhdx_cached *c = place_of(v, at);
    if (c->at != at) {
        if (nowait)
            return -EAGAIN;
        int r = c->dirty ? vhdx_commit(v) : 0;
        if (r < 0)
            return r;
        c->at = 0;
        r = file_read(v->file, c->bytes, VHDX_SECTOR, at);
        if (r < 0)
            return r;
        c->at = at;
    }
    *ret_bytes = c->bytes;
    return 0;
}

int vhdx_change(struct vhdx *v, uint64_t at, uint8_t **ret_bytes)
{
    const uint8_t *bytes;
    int r = vhdx_cached(v, at, false, &bytes);
    if (r < 0)
        return r;
    place_of(v, at)->dirty = true;
    *ret_bytes = place_of(v, at)->bytes;
    return 0;
}

/* ---- the log ---- */

/* The changed sectors behind their descriptors; returns how many there are. */
static uint32_t fill_entry(struct vhdx *v, uint8_t *entry)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < VHDX_CACHE_SECTORS; i++) {
        const struct vhdx_cached *c = &v->cache[i];
        if (!c->dirty)
            continue;
        uint8_t *d = entry + ENTRY_HEADER + count * DESCRIPTOR;
        uint8_t *sector = entry + (size_t)(1 + count++) * VHDX_SECTOR;
        /* The sector's first 8 and last 4 bytes give way to marks. */
        memcpy(d, "desc", 4);
        memcpy(d + 4, c->bytes + VHDX_SECTOR - 4, 4);
        memcpy(d + 8, c->bytes, 8);
        le64_put(d + 16, c->at);
        le64_put(d + 24, v->log_sequence);
        memcpy(sector, c->bytes, VHDX_SECTOR);
        memcpy(sector, "data", 4);
        le32_put(sector + 4, (uint32_t)(v->log_sequence >> 32));
        le32_put(sector + VHDX_SECTOR - 4, (uint32_t)v->log_sequence);
    }
    return count;
}

static uint32_t seal_entry(struct vhdx *v, uint8_t *entry, uint32_t count)
{
    uint32_t bytes = (1 + count) * VHDX_SECTOR;
    memcpy(entry, "loge", 4);
    le32_put(entry + 8, bytes);
    le32_put(entry + 12, v->log_tail);
    le64_put(entry + 16, v->log_sequence);
    le32_put(entry + 24, count);
    memcpy(entry + 32, v->header.log_id, VHDX_ID_BYTES);
    le64_put(entry + 48, v->stable_bytes / VHDX_MIB * VHDX_MIB);
    le64_put(entry + 56, align_up(v->file_bytes, VHDX_MIB));
    le32_put(entry + 4, vhdx_checksum(entry, bytes, 4));
    return bytes;
}

/* Into the ring, at whose end it may have to be cut. */
static int write_entry(struct vhdx *v, const uint8_t *entry, uint32_t bytes)
{
    uint32_t first = MIN(bytes, v->header.log_bytes - v->log_at);
    int r = file_write(v->file, entry, first, v->header.log_at + v->log_at);
    return r < 0 || first == bytes
               ? r
               : file_write(v->file, entry + first, bytes - first, v->header.log_at);
}

static int write_places(struct vhdx *v)
{
    for (unsigned i = 0; i < VHDX_CACHE_SECTORS; i++) {
        struct vhdx_cached *c = &v->cache[i];
        int r = c->dirty ? file_write(v->file, c->bytes, VHDX_SECTOR, c->at) : 0;
        if (r < 0)
            return r;
        c->dirty = false;
    }
    return 0;
}

static int flush(struct vhdx *v)
{
    uint64_t bytes = v->file_bytes;
    int r = v->file->ops->flush(v->file);
    if (r == 0)
        v->stable_bytes = bytes;
    return r;
}

/* Complete an entry of count sectors, and make it stable. */
static int put_entry(struct vhdx *v, uint8_t *entry, uint32_t count)
{
    uint32_t bytes = seal_entry(v, entry, count);
    int r = write_entry(v, entry, bytes);
    if (r == 0)
        r = flush(v);
    if (r < 0)
        return r;
    v->log_tail = v->log_at;
    v->log_at = (v->log_at + bytes) % v->header.log_bytes;
    v->log_sequence++;
    return 0;
}

int vhdx_begin(struct vhdx *v)
{
    uint8_t entry[VHDX_SECTOR] = {0};
    if (v->changing || v->building)
        return 0;
    int r = vhd_make_id(v->header.file_write_id);
    if (r == 0 && !v->keep_id)
        r = vhd_make_id(v->header.data_write_id);
    if (r == 0)
        r = vhd_make_id(v->header.log_id);
    if (r < 0)
        return r;
    /* A log that is named must have an entry, even if it says nothing. */
    v->log_at = v->log_tail = 0;
    v->log_sequence = 1;
    v->stable_bytes = v->file_bytes;
    r = put_entry(v, entry, 0);
    if (r == 0)
        r = vhdx_write_headers(v);
    if (r < 0)
        memset(v->header.log_id, 0, VHDX_ID_BYTES);
    else
        v->changing = true;
    return r;
}

static bool is_dirty(const struct vhdx *v)
{
    for (unsigned i = 0; i < VHDX_CACHE_SECTORS; i++)
        if (v->cache[i].dirty)
            return true;
    return false;
}

int vhdx_commit(struct vhdx *v)
{
    if (!is_dirty(v))
        return flush(v);
    if (v->building) /* nobody would open this file if the power failed */
        return write_places(v);
    AUTO_FREE uint8_t *entry = calloc(1 + VHDX_CACHE_SECTORS, VHDX_SECTOR);
    int r = entry ? vhdx_begin(v) : -ENOMEM;
    if (r == 0 && v->d.has_parent)
        r = flush(v);
    if (r < 0)
        return r;
    r = put_entry(v, entry, fill_entry(v, entry));
    return r < 0 ? r : write_places(v);
}

int vhdx_end(struct vhdx *v)
{
    int r = vhdx_commit(v);
    if (!v->changing || r < 0)
        return r;
    r = flush(v);
    if (r < 0)
        return r;
    memset(v->header.log_id, 0, VHDX_ID_BYTES);
    v->changing = false;
    return vhdx_write_headers(v);
}

/* ---- opening ---- */

int vhdx_recover(struct vhdx *v, struct blk_file *file, struct error *err)
{
    int r = v->file == file ? 0 : vhdx_log_apply(v->file);
    if (r == 0 && v->file != file) {
        log_warning("%s: it was not closed in order; its log has been replayed", file->name);
        vhdx_log_release(v->file);
        v->file = file;
        memset(v->header.log_id, 0, VHDX_ID_BYTES);
        r = vhdx_write_headers(v);
    }
    return r < 0 ? error_set(err, r, "%s cannot be repaired: %s", file->name, strerror(-r)) : 0;
}
