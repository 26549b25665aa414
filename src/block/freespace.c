/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Partitions: the master boot record with its chain of logical ones, and GPT (UEFI 2.10, 5.3).
 */
#include "block/freespace.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "block/freespace_fs.h"

#define SECTOR 512u
#define LOGICAL_MAX 128u
#define GPT_ENTRIES_MAX 1024u

/* ---- what is free ---- */

static bool bit(const struct freespace *f, uint64_t n)
{
    return f->bits[n / 8] >> (n % 8) & 1;
}

bool freespace_covers(const struct freespace *f, uint64_t at, uint64_t len_bytes)
{
    uint64_t last = (at + len_bytes - 1) / FREESPACE_GRAIN_BYTES;
    if (!f || !f->bits || len_bytes == 0 || last >= f->grains)
        return false;
    for (uint64_t n = at / FREESPACE_GRAIN_BYTES; n <= last; n++)
        if (!bit(f, n))
            return false;
    return true;
}

void freespace_clear(const struct freespace *f, uint8_t *buf, uint64_t at, uint64_t len_bytes)
{
    if (!f || !f->bits)
        return;
    for (uint64_t i = 0; i < len_bytes;) {
        uint64_t n = (at + i) / FREESPACE_GRAIN_BYTES;
        uint64_t piece = MIN(len_bytes - i, (n + 1) * FREESPACE_GRAIN_BYTES - (at + i));
        if (n < f->grains && bit(f, n))
            memset(buf + i, 0, piece);
        i += piece;
    }
}

void freespace_done(struct freespace *f)
{
    free(f->bits);
    f->bits = NULL;
}

int volume_read(const struct volume *v, void *buf, uint64_t len_bytes, uint64_t at)
{
    if (at > v->len_bytes || len_bytes > v->len_bytes - at)
        return -EINVAL;
    return blk_pread(v->blk, buf, len_bytes, v->at + at);
}

/* Note the run that is known: whole pieces of it. */
static void end_run(struct volume *v)
{
    uint64_t at = v->at + v->run_at;
    uint64_t first = (at + FREESPACE_GRAIN_BYTES - 1) / FREESPACE_GRAIN_BYTES;
    uint64_t end = (at + v->run_bytes) / FREESPACE_GRAIN_BYTES;
    for (uint64_t n = first; n < end && n < v->free->grains; n++) {
        if (bit(v->free, n))
            continue;
        v->free->bits[n / 8] |= (uint8_t)(1u << (n % 8));
        v->free->free_bytes += FREESPACE_GRAIN_BYTES;
    }
    v->run_bytes = 0;
}

static void forget(struct volume *v)
{
    for (uint64_t at = v->at; at < v->at + v->len_bytes; at += FREESPACE_GRAIN_BYTES) {
        uint64_t n = at / FREESPACE_GRAIN_BYTES;
        if (n >= v->free->grains || !bit(v->free, n))
            continue;
        v->free->bits[n / 8] &= (uint8_t) ~(1u << (n % 8));
        v->free->free_bytes -= FREESPACE_GRAIN_BYTES;
    }
}

void volume_free(struct volume *v, uint64_t at, uint64_t len_bytes)
{
    if (at > v->len_bytes || len_bytes > v->len_bytes - at)
        return;
    if (v->run_bytes && at != v->run_at + v->run_bytes)
        end_run(v);
    if (!v->run_bytes)
        v->run_at = at;
    v->run_bytes += len_bytes;
}

/* ---- partitions ---- */

/* True when there is a file system, whether it is believed or not. */
static int look(struct blk *blk, uint64_t at, uint64_t len_bytes, struct freespace *f, bool *found)
{
    static int (*const kinds[])(struct volume * v) = {freespace_ext, freespace_ntfs, freespace_fat};
    if (at >= blk->size_bytes || len_bytes < 8 * SECTOR)
        return 0;
    struct volume v = {
        .blk = blk, .at = at, .len_bytes = MIN(len_bytes, blk->size_bytes - at), .free = f};
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        int r = kinds[i](&v);
        if (r == 0)
            continue;
        end_run(&v);
        *found = true;
        if (r < 0)
            forget(&v); /* what contradicts itself is not believed at all */
        f->filesystems += r == 1;
        f->unclean += r == -EUCLEAN;
        return r == -EIO || r == -ENOMEM ? r : 0;
    }
    return 0;
}

static bool has_signature(const uint8_t *sector)
{
    return sector[510] == 0x55 && sector[511] == 0xaa;
}

static bool is_extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/* The chain of logical partitions: each link names one and the next link. */
static int logical(struct blk *blk, uint64_t base, struct freespace *f, bool *found)
{
    uint8_t sector[SECTOR];
    uint64_t link = base;
    for (unsigned n = 0; n < LOGICAL_MAX; n++) {
        if (link >= blk->size_bytes / SECTOR)
            return 0;
        int r = blk_pread(blk, sector, sizeof(sector), link * SECTOR);
        if (r < 0 || !has_signature(sector))
            return r;
        const uint8_t *one = sector + 446, *next = sector + 462;
        if (one[4])
            r = look(blk, (link + le32_get(one + 8)) * SECTOR,
                     (uint64_t)le32_get(one + 12) * SECTOR, f, found);
        if (r < 0 || !is_extended(next[4]) || le32_get(next + 8) == 0)
            return r;
        link = base + le32_get(next + 8);
    }
    return 0;
}

static int gpt(struct blk *blk, struct freespace *f, bool *found)
{
    static const uint8_t unused[16];
    uint8_t head[SECTOR], entry[128];
    int r = blk_pread(blk, head, sizeof(head), SECTOR);
    if (r < 0 || memcmp(head, "EFI PART", 8) != 0)
        return r;
    uint64_t at = le64_get(head + 72);
    uint32_t count = MIN(le32_get(head + 80), GPT_ENTRIES_MAX), bytes = le32_get(head + 84);
    if (bytes < sizeof(entry) || bytes > 4096 || at >= blk->size_bytes / SECTOR)
        return 0;
    for (uint32_t i = 0; i < count && r == 0; i++) {
        uint64_t place = at * SECTOR + (uint64_t)i * bytes;
        if (place + sizeof(entry) > blk->size_bytes)
            return 0;
        r = blk_pread(blk, entry, sizeof(entry), place);
        uint64_t first = le64_get(entry + 32), last = le64_get(entry + 40);
        if (r == 0 && memcmp(entry, unused, sizeof(unused)) != 0 && first <= last &&
            last < blk->size_bytes / SECTOR)
            r = look(blk, first * SECTOR, (last - first + 1) * SECTOR, f, found);
    }
    return r;
}

static int partitions(struct blk *blk, struct freespace *f, bool *found)
{
    uint8_t sector[SECTOR];
    int r = blk_pread(blk, sector, sizeof(sector), 0);
    if (r < 0 || !has_signature(sector))
        return r;
    for (unsigned i = 0; i < 4 && r == 0; i++) {
        const uint8_t *p = sector + 446 + 16 * i;
        uint64_t first = le32_get(p + 8), count = le32_get(p + 12);
        if (p[4] == 0xee)
            return gpt(blk, f, found);
        if (p[4] == 0 || first == 0)
            continue;
        r = is_extended(p[4]) ? logical(blk, first, f, found)
                              : look(blk, first * SECTOR, count * SECTOR, f, found);
    }
    return r;
}

int freespace_find(struct blk *blk, struct freespace *ret_free)
{
    struct freespace f = {.grains = blk->size_bytes / FREESPACE_GRAIN_BYTES};
    bool found = false;
    if (blk->size_bytes < 16 * SECTOR) {
        *ret_free = (struct freespace){.bits = NULL};
        return 0;
    }
    f.bits = calloc(1, f.grains / 8 + 1);
    if (!f.bits)
        return -ENOMEM;
    /* A boot sector of a file system can look like one with partitions: it is asked first. */
    int r = look(blk, 0, blk->size_bytes, &f, &found);
    if (r == 0 && !found)
        r = partitions(blk, &f, &found);
    if (r < 0) {
        freespace_done(&f);
        return r;
    }
    *ret_free = f;
    return 0;
}
