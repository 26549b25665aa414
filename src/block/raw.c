/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/raw.h"

#include <errno.h>

struct raw {
    struct blk blk;
    struct blk_file *file;
};

static int raw_run(struct blk *blk, const struct blk_req *req)
{
    struct blk_file *file = CONTAINER_OF(blk, struct raw, blk)->file;
    struct iov_cursor cursor = {.iov = req->iov, .count = req->iov_count};
    int r;
    switch (req->op) {
    case BLK_READ:
        return file_read_iov(file, &cursor, req->len_bytes, req->offset_bytes);
    case BLK_WRITE:
        r = file_write_iov(file, &cursor, req->len_bytes, req->offset_bytes);
        return r == 0 && req->fua ? file->ops->flush(file) : r;
    case BLK_FLUSH:
        return file->ops->flush(file);
    case BLK_DISCARD:
        r = req->len_bytes ? file->ops->punch(file, req->offset_bytes, req->len_bytes) : 0;
        return r == -EOPNOTSUPP ? 0 : r; /* a discard is only a hint */
    case BLK_WRITE_ZEROES:
        r = file_zero(file, req->offset_bytes, req->len_bytes);
        return r == 0 && req->fua ? file->ops->flush(file) : r;
    }
    return -EINVAL;
}

/* All bytes are in place. Holes are told by the host's file system, to who may wait for it. */
static int raw_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
                   struct blk_extent *ret_extent)
{
    struct blk_file *file = CONTAINER_OF(blk, struct raw, blk)->file;
    bool hole = false;
    if (how == 0 && file->ops->data)
        len_bytes = file->ops->data(file, offset_bytes, len_bytes, &hole);
    *ret_extent = (struct blk_extent){
        .len_bytes = len_bytes,
        .zero = hole,
        .file = hole ? NULL : file,
        .file_offset = hole ? 0 : offset_bytes,
    };
    return 0;
}

static void raw_close(struct blk *blk)
{
    struct raw *raw = CONTAINER_OF(blk, struct raw, blk);
    blk_done(blk);
    file_close(raw->file);
    free(raw);
}

static const struct blk_ops kinds[] = {
    [RAW_PLAIN] = {.format = "raw", .run = raw_run, .map = raw_map, .close = raw_close},
    [RAW_FIXED_VHD] = {.format = "vhd-fixed", .run = raw_run, .map = raw_map, .close = raw_close},
    [RAW_HOST_DISK] = {.format = "host-disk", .run = raw_run, .map = raw_map, .close = raw_close},
};

int raw_new(struct blk_file *file, uint64_t size_bytes, bool readonly, enum raw_kind kind,
            struct blk **ret_blk)
{
    struct raw *raw = calloc(1, sizeof(*raw));
    if (!raw)
        return -ENOMEM;
    raw->blk.ops = &kinds[kind];
    raw->blk.name = file->name;
    raw->blk.size_bytes = size_bytes;
    raw->blk.readonly = readonly;
    int r = blk_init(&raw->blk);
    if (r < 0) {
        free(raw);
        return r;
    }
    raw->file = file;
    *ret_blk = &raw->blk;
    return 0;
}
