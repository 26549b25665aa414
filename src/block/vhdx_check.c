/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checking a VHDX: whether its parts lie within the file and apart, and mending what can be.
 * [MS-VHDX] 2.2 has two copies of header and region table, 2.5 the block table.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "block/vhdx_edit.h"
#include "block/vhdx_priv.h"

#define TABLE_STEP 65536u

enum take { FREE, OUTSIDE, TAKEN };

/* Note that [at, at + len) is taken. All are whole MiB. */
static enum take take(uint8_t *taken, uint64_t file_bytes, uint64_t at, uint64_t len)
{
    if (at < VHDX_MIB || at > file_bytes || len > file_bytes - at)
        return OUTSIDE;
    uint64_t first = at / VHDX_MIB, end = (at + len + VHDX_MIB - 1) / VHDX_MIB;
    for (uint64_t n = first; n < end; n++)
        if (taken[n / 8] >> (n % 8) & 1)
            return TAKEN;
    for (uint64_t n = first; n < end; n++)
        taken[n / 8] |= (uint8_t)(1u << (n % 8));
    return FREE;
}

struct table {
    struct vhdx *v;
    struct vhdx_walk *walk;
    uint8_t *taken;
    bool partial; /* a block of this chunk is there in part */
};

static int fault(struct table *t, uint64_t n, uint64_t entry, enum vhdx_fault what)
{
    return t->walk->fault ? t->walk->fault(t->walk, n, entry, what) : 0;
}

static int take_entry(struct table *t, uint64_t n, uint64_t entry, uint64_t len)
{
    uint64_t place = entry >> 20 << 20;
    switch (take(t->taken, t->v->file_bytes, place, len)) {
    case FREE:
        t->walk->used_bytes = MAX(t->walk->used_bytes, place + len);
        return 0;
    case OUTSIDE:
        return fault(t, n, entry, VHDX_OUTSIDE);
    default:
        return fault(t, n, entry, VHDX_OVERLAP);
    }
}

static int look_at_block(struct table *t, uint64_t n, uint64_t entry)
{
    const struct vhdx *v = t->v;
    uint64_t block = n - n / (v->ratio + 1);
    unsigned state = entry & 7;
    /* Some writers cut the last block off where the disk ends. */
    uint64_t left = v->d.size_bytes - MIN(v->d.size_bytes, block * v->d.block_bytes);
    if (left == 0)
        return 0;
    if (state == 4 || (state == VHDX_PARTIAL && !v->d.has_parent))
        return fault(t, n, entry, VHDX_STATE);
    if (state != VHDX_FULL && state != VHDX_PARTIAL)
        return 0;
    t->partial |= state == VHDX_PARTIAL;
    t->walk->allocated++;
    return take_entry(t, n, entry, MIN((uint64_t)v->d.block_bytes, left));
}

static int look_at_bitmap(struct table *t, uint64_t n, uint64_t entry)
{
    bool partial = t->partial;
    t->partial = false;
    if ((entry & 7) == VHDX_FULL)
        return take_entry(t, n, entry, VHDX_CHUNK_SECTORS / 8);
    return partial ? fault(t, n, entry, VHDX_NO_BITMAP) : 0;
}

int vhdx_walk_table(struct vhdx *v, struct vhdx_walk *walk)
{
    uint64_t count = vhdx_table_entries(&v->d, v->d.size_bytes);
    AUTO_FREE uint8_t *taken = calloc(1, v->file_bytes / VHDX_MIB / 8 + 2);
    AUTO_FREE uint8_t *step = malloc(TABLE_STEP);
    struct table table = {.v = v, .walk = walk, .taken = taken};
    const struct vhdx_header *h = &v->header;
    int r = 0;
    if (!taken || !step)
        return -ENOMEM;
    if (h->log_bytes == 0 || h->log_bytes % VHDX_MIB || h->log_at % VHDX_MIB ||
        take(taken, v->file_bytes, h->log_at, h->log_bytes) != FREE ||
        take(taken, v->file_bytes, v->d.bat_at, v->d.bat_bytes) != FREE ||
        take(taken, v->file_bytes, v->d.metadata_at, v->d.metadata_bytes) != FREE)
        return -EBADMSG;
    walk->allocated = 0;
    walk->used_bytes = MAX(h->log_at + h->log_bytes, v->d.bat_at + v->d.bat_bytes);
    walk->used_bytes = MAX(walk->used_bytes, v->d.metadata_at + v->d.metadata_bytes);
    for (uint64_t n = 0; n < count && r == 0; n++) {
        uint64_t at = 8 * n % TABLE_STEP;
        if (at == 0)
            r = file_read(v->file, step, TABLE_STEP, v->d.bat_at + 8 * n);
        if (r < 0)
            return r;
        uint64_t entry = le64_get(step + at);
        r = n % (v->ratio + 1) == v->ratio ? look_at_bitmap(&table, n, entry)
                                           : look_at_block(&table, n, entry);
    }
    return r;
}

static int refuse(struct vhdx_walk *walk, uint64_t index, uint64_t entry, enum vhdx_fault what)
{
    (void)walk;
    (void)index;
    (void)entry;
    return what == VHDX_OUTSIDE || what == VHDX_OVERLAP ? -EBADMSG : 0;
}

int vhdx_check_table(struct vhdx *v, struct error *err)
{
    struct vhdx_walk walk = {.fault = refuse};
    int r = vhdx_walk_table(v, &walk);
    if (r == -EBADMSG)
        return error_set(err, -EBADMSG,
                         "%s is a damaged VHDX: parts of it overlap or lie outside the file; "
                         "restore it from a copy, or use it read-only to rescue what is left",
                         v->file->name);
    return r < 0 ? error_set(err, r, "%s cannot be read: %s", v->file->name, strerror(-r)) : 0;
}

/* ---- for people ---- */

struct verify {
    struct vhdx_walk walk;
    struct vhdx *v;
    bool repair;
    void (*say)(void *ctx, const char *text);
    void *ctx;
    struct image_verdict verdict;
};

static void PRINTF_LIKE(3, 4) problem(struct verify *f, bool mended, const char *fmt, ...)
{
    char text[256], line[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(line, sizeof(line), "%s%s", text, mended ? ": repaired" : "");
    f->verdict.problems++;
    f->verdict.repaired += mended;
    f->say(f->ctx, line);
}

/* The blocks of a chunk whose bitmap is gone: which of their sectors are theirs is not known. */
static int drop_partial(struct verify *f, uint64_t bitmap)
{
    struct vhdx *v = f->v;
    int r = vhdx_set_entry(v, bitmap, 0, VHDX_NOT_PRESENT);
    for (uint64_t n = bitmap - v->ratio; n < bitmap && r == 0; n++) {
        uint64_t at = v->d.bat_at + 8 * n;
        const uint8_t *sector;
        r = vhdx_cached(v, at / VHDX_SECTOR * VHDX_SECTOR, false, &sector);
        if (r == 0 && (sector[at % VHDX_SECTOR] & 7) == VHDX_PARTIAL)
            r = vhdx_set_entry(v, n, 0, VHDX_NOT_PRESENT);
    }
    return r;
}

static int on_fault(struct vhdx_walk *walk, uint64_t n, uint64_t entry, enum vhdx_fault what)
{
    struct verify *f = CONTAINER_OF(walk, struct verify, walk);
    bool bitmap = n % (f->v->ratio + 1) == f->v->ratio;
    unsigned long long block = n - n / (f->v->ratio + 1), mib = entry >> 20;
    if (what == VHDX_OVERLAP) {
        problem(f, false,
                "block %llu overlaps something; copy what is left with `yado disk convert`", block);
        return 0;
    }
    int r = !f->repair ? 0 : bitmap ? drop_partial(f, n) : vhdx_set_entry(f->v, n, 0, 0);
    if (r < 0)
        return r;
    if (bitmap)
        problem(f, f->repair, "the sector bitmap before block %llu is lost, with the blocks there",
                block);
    else if (what == VHDX_OUTSIDE)
        problem(f, f->repair, "block %llu cannot be at %llu MiB; its contents are lost", block,
                mib);
    else
        problem(f, f->repair, "block %llu has the state %u, which cannot be; it is lost", block,
                (unsigned)(entry & 7));
    return 0;
}

/* Both copies of the header and of the region table: whole, and of the table the same. */
static int check_copies(struct verify *f)
{
    struct vhdx *v = f->v;
    AUTO_FREE uint8_t *raw = malloc(2 * VHDX_REGIONS_BYTES);
    uint8_t *other = raw + VHDX_REGIONS_BYTES;
    unsigned headers;
    int r = raw ? vhdx_whole_headers(v->file, &headers) : -ENOMEM;
    if (r == 0)
        r = file_read(v->file, raw, VHDX_REGIONS_BYTES, VHDX_REGIONS_1_AT);
    if (r == 0)
        r = file_read(v->file, other, VHDX_REGIONS_BYTES, VHDX_REGIONS_2_AT);
    if (r < 0)
        return r;
    if (headers < 2) {
        r = f->repair ? vhdx_write_headers(v) : 0;
        problem(f, f->repair && r == 0, "a copy of the header is not whole");
    }
    if (r < 0 || !memcmp(raw, other, VHDX_REGIONS_BYTES))
        return r;
    bool first =
        !memcmp(raw, "regi", 4) && le32_get(raw + 4) == vhdx_checksum(raw, VHDX_REGIONS_BYTES, 4);
    if (f->repair) {
        r = file_write(v->file, first ? raw : other, VHDX_REGIONS_BYTES,
                       first ? VHDX_REGIONS_2_AT : VHDX_REGIONS_1_AT);
        if (r == 0)
            r = v->file->ops->flush(v->file);
    }
    problem(f, f->repair && r == 0, "the copies of the region table are not the same");
    return r;
}

static int verify(struct verify *f, struct blk_file *file, struct error *err)
{
    struct vhdx *v = f->v;
    static const uint8_t none[VHDX_ID_BYTES];
    struct vhdx_walk look = {.fault = NULL};
    int r = f->repair ? vhdx_walk_table(v, &look) : 0; /* before anything is written */
    f->walk.fault = on_fault;
    if (r == 0 && memcmp(v->header.log_id, none, sizeof(none))) {
        r = f->repair ? vhdx_recover(v, file, err) : 0;
        if (r < 0)
            return r;
        problem(f, f->repair, "it was not closed in order, and its log is to be replayed");
    }
    if (r == 0)
        r = check_copies(f);
    if (r == 0)
        r = vhdx_walk_table(v, &f->walk);
    if (r == -EBADMSG)
        return error_set(err, -EBADMSG,
                         "%s is a damaged VHDX: its structures overlap or lie outside the file; "
                         "restore it from a copy",
                         file->name);
    if (r == 0 && f->repair)
        r = vhdx_end(v);
    if (r < 0)
        return error_set(err, r, "%s cannot be %s: %s", file->name,
                         f->repair ? "repaired" : "checked", strerror(-r));
    f->verdict.blocks = (v->d.size_bytes + v->d.block_bytes - 1) / v->d.block_bytes;
    f->verdict.allocated = f->walk.allocated;
    if (v->file_bytes >= f->walk.used_bytes + v->d.block_bytes)
        f->verdict.wasted_bytes = v->file_bytes - f->walk.used_bytes;
    return 0;
}

int vhdx_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
                struct image_verdict *ret_verdict, struct error *err)
{
    struct verify f = {.repair = repair, .say = say, .ctx = ctx};
    struct blk_file *file;
    int r = vhdx_image_open(path, !repair, &file, &f.v, err);
    if (r < 0)
        return r;
    /* What lies in the blocks is not looked at: as far as a guest sees, nothing changes. */
    f.v->keep_id = true;
    r = verify(&f, file, err);
    vhdx_image_close(file, f.v);
    if (r == 0)
        *ret_verdict = f.verdict;
    return r;
}
