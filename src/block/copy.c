/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/copy.h"

#include <errno.h>
#include <string.h>

#define STEP_BYTES (2u << 20)
/* A hole is worth making from this size on: file systems know no smaller ones. */
#define GRAIN_BYTES 4096u

bool bytes_are_zero(const void *buf, size_t len_bytes)
{
    const char *p = buf;
    /* Comparing a buffer with itself one byte on runs at the speed of memcmp(). */
    return len_bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, len_bytes - 1) == 0);
}

static int step(const struct progress *progress, uint64_t done, uint64_t total, struct error *err)
{
    if (progress && progress->step && !progress->step(progress->ctx, done, total))
        return error_set(err, -ECANCELED, "cancelled");
    return 0;
}

static int cannot(struct error *err, int r, const char *what, uint64_t at)
{
    return error_set(err, r, "the disk cannot be %s at byte %llu: %s", what, (unsigned long long)at,
                     strerror(-r));
}

/* Write what is not zero of a buffer to a disk that is zero so far. */
static int put_nonzero(struct blk *to, const uint8_t *buf, uint64_t len, uint64_t at)
{
    for (uint64_t i = 0; i < len;) {
        uint64_t grain = MIN(len - i, GRAIN_BYTES - (at + i) % GRAIN_BYTES), run = grain;
        if (bytes_are_zero(buf + i, grain)) {
            i += grain;
            continue;
        }
        while (i + run < len) {
            grain = MIN(len - i - run, (uint64_t)GRAIN_BYTES);
            if (bytes_are_zero(buf + i + run, grain))
                break;
            run += grain;
        }
        int r = blk_pwrite(to, buf + i, run, at + i);
        if (r < 0)
            return r;
        i += run;
    }
    return 0;
}

int copy_disk(struct blk *from, struct blk *to, const struct progress *progress, struct error *err)
{
    AUTO_FREE uint8_t *buf = malloc(STEP_BYTES);
    uint64_t size = from->size_bytes;
    int r = 0;
    if (!buf)
        return error_set(err, -ENOMEM, "out of memory");
    for (uint64_t at = 0; at < size && r == 0;) {
        struct blk_extent extent;
        r = step(progress, at, size, err);
        if (r < 0)
            return r;
        r = blk_map(from, at, size - at, &extent);
        if (r < 0)
            return cannot(err, r, "read", at);
        if (extent.zero) {
            at += extent.len_bytes;
            continue;
        }
        /* Steps end at multiples of their size, so that each block of a VHD is met once. */
        uint64_t len = MIN(size - at, STEP_BYTES - at % STEP_BYTES);
        r = blk_pread(from, buf, len, at);
        if (r < 0)
            return cannot(err, r, "read", at);
        r = put_nonzero(to, buf, len, at);
        if (r < 0)
            return cannot(err, r, "written", at);
        at += len;
    }
    return step(progress, size, size, err);
}

int copy_changes(struct blk *from, struct blk *to, unsigned depth, const struct progress *progress,
                 struct error *err)
{
    AUTO_FREE uint8_t *buf = malloc(STEP_BYTES);
    uint64_t size = from->size_bytes;
    if (!buf)
        return error_set(err, -ENOMEM, "out of memory");
    for (uint64_t at = 0; at < size;) {
        struct blk_extent extent;
        int r = step(progress, at, size, err);
        if (r < 0)
            return r;
        r = blk_map(from, at, MIN(size - at, (uint64_t)STEP_BYTES), &extent);
        if (r < 0)
            return cannot(err, r, "read", at);
        if (!extent.zero && extent.depth <= depth) {
            r = blk_pread(from, buf, extent.len_bytes, at);
            if (r < 0)
                return cannot(err, r, "read", at);
            r = bytes_are_zero(buf, extent.len_bytes) ? blk_zero(to, extent.len_bytes, at)
                                                      : blk_pwrite(to, buf, extent.len_bytes, at);
            if (r < 0)
                return cannot(err, r, "written", at);
        }
        at += extent.len_bytes;
    }
    return step(progress, size, size, err);
}

/* Both are zero for how long? 0: not known to be. */
static int both_zero(struct blk *a, struct blk *b, uint64_t at, uint64_t *ret_len)
{
    struct blk *disks[2] = {a, b};
    uint64_t len = MAX(a->size_bytes, b->size_bytes) - at;
    for (unsigned i = 0; i < 2; i++) {
        struct blk_extent extent = {.zero = true, .len_bytes = len};
        if (at < disks[i]->size_bytes) {
            int r = blk_map(disks[i], at, MIN(len, disks[i]->size_bytes - at), &extent);
            if (r < 0)
                return r;
        }
        len = extent.zero ? MIN(len, extent.len_bytes) : 0;
        if (len == 0)
            break;
    }
    *ret_len = len;
    return 0;
}

static int read_padded(struct blk *blk, uint8_t *buf, uint64_t len, uint64_t at)
{
    uint64_t here = at < blk->size_bytes ? MIN(len, blk->size_bytes - at) : 0;
    memset(buf + here, 0, len - here);
    return here ? blk_pread(blk, buf, here, at) : 0;
}

int compare_disks(struct blk *a, struct blk *b, const struct progress *progress,
                  uint64_t *ret_offset, struct error *err)
{
    AUTO_FREE uint8_t *left = malloc(STEP_BYTES), *right = malloc(STEP_BYTES);
    uint64_t size = MAX(a->size_bytes, b->size_bytes);
    if (!left || !right)
        return error_set(err, -ENOMEM, "out of memory");
    for (uint64_t at = 0; at < size;) {
        uint64_t len;
        int r = step(progress, at, size, err);
        if (r < 0)
            return r;
        r = both_zero(a, b, at, &len);
        if (r < 0)
            return cannot(err, r, "read", at);
        if (len) {
            at += len;
            continue;
        }
        len = MIN(size - at, (uint64_t)STEP_BYTES / 8);
        r = read_padded(a, left, len, at);
        if (r == 0)
            r = read_padded(b, right, len, at);
        if (r < 0)
            return cannot(err, r, "read", at);
        if (memcmp(left, right, len)) {
            uint64_t i = 0;
            while (left[i] == right[i])
                i++;
            *ret_offset = at + i;
            return 1;
        }
        at += len;
    }
    return step(progress, size, size, err);
}
