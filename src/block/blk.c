/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all disks have in common: opening by contents, the checks before a request, and the way of
 * finished requests back to their owner.
 */
#define LOG_ROOM "block"
#include "block/blk.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "block/file.h"
#include "block/pool.h"
#include "block/raw.h"
#include "block/vhd.h"

/*
 * Formats that we cannot read. A raw disk may hold any bytes, but one that begins like these is
 * a mistake in all likelihood, and writing to it as to a raw disk would destroy it.
 */
static const struct {
    const char *name, *magic;
    unsigned at, len;
} foreign[] = {
    {"QCOW", "QFI\xfb", 0, 4},
    {"VHDX", "vhdxfile", 0, 8},
    {"VMDK", "KDMV", 0, 4},
    {"VMDK", "COWD", 0, 4},
    {"VMDK", "# Disk DescriptorFile", 0, 21},
    {"QED", "QED", 0, 4},
    {"VDI", "\x7f\x10\xda\xbe", 64, 4},
    {"Parallels", "WithoutFreeSpace", 0, 16},
    {"Parallels", "WithouFreSpacExt", 0, 16},
};

static int refuse_foreign(struct blk_file *file, struct error *err)
{
    uint8_t head[512];
    int r = file_read(file, head, sizeof(head), 0);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    for (unsigned i = 0; i < ARRAY_LEN(foreign); i++)
        if (!memcmp(head + foreign[i].at, foreign[i].magic, foreign[i].len))
            return error_set(err, -EMEDIUMTYPE,
                             "%s is a %s image, which is not supported; convert it to a VHD with "
                             "`qemu-img convert -O vpc -o force_size=on`",
                             file->name, foreign[i].name);
    return 0;
}

static int open_format(struct blk_file *file, bool readonly, struct blk **ret_blk,
                       struct error *err)
{
    struct vhd_footer footer;
    uint64_t footer_at, size_bytes;
    int r = vhd_probe(file, &footer, &footer_at, err);
    if (r < 0)
        return r;
    if (r > 0)
        return vhd_open(file, &footer, footer_at, readonly, ret_blk, err);
    r = refuse_foreign(file, err);
    if (r < 0)
        return r;
    r = file->ops->size(file, &size_bytes);
    if (r < 0)
        return error_set(err, r, "%s: its size cannot be found: %s", file->name, strerror(-r));
    if (size_bytes == 0)
        return error_set(err, -EINVAL, "%s is empty; a disk image has at least one sector",
                         file->name);
    /* A last sector that is not whole is padded with zeroes. */
    r = raw_new(file, align_up(size_bytes, BLK_SECTOR_BYTES), readonly, false, ret_blk);
    return r < 0 ? error_set(err, r, "out of memory") : 0;
}

int blk_open(const char *path, bool readonly, struct blk **ret_blk, struct error *err)
{
    struct blk_file *file;
    int r = file_open(path, readonly, &file, err);
    if (r < 0)
        return r;
    r = open_format(file, readonly, ret_blk, err);
    if (r < 0)
        file_close(file);
    return r;
}

int blk_init(struct blk *blk)
{
    blk->in_flight = 0;
    return pool_new(blk, &blk->pool);
}

void blk_done(struct blk *blk)
{
    blk->pool = pool_free(blk->pool);
}

struct blk *blk_close(struct blk *blk)
{
    if (blk) {
        blk_drain(blk);
        int r = blk->readonly ? 0 : blk_flush(blk);
        if (r < 0)
            log_error("a disk could not be brought to stable storage: %s", strerror(-r));
        blk->ops->close(blk);
    }
    return NULL;
}

/* Nothing a device asks for reaches a format unchecked. */
static int check(const struct blk *blk, const struct blk_req *req)
{
    if (req->op == BLK_FLUSH)
        return 0;
    if (req->op != BLK_READ && blk->readonly)
        return -EROFS;
    if (req->offset_bytes > blk->size_bytes || req->len_bytes > blk->size_bytes - req->offset_bytes)
        return -EINVAL;
    if (req->op == BLK_READ || req->op == BLK_WRITE) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < req->iov_count; i++)
            sum += req->iov[i].iov_len;
        return sum == req->len_bytes ? 0 : -EINVAL;
    }
    return req->op == BLK_DISCARD || req->op == BLK_WRITE_ZEROES ? 0 : -EINVAL;
}

void blk_submit(struct blk *blk, struct blk_req *req)
{
    int r = check(blk, req);
    if (r < 0) {
        req->done(req, r);
        return;
    }
    blk->in_flight++;
    if (blk->ops->submit)
        blk->ops->submit(blk, req);
    else
        pool_submit(blk->pool, req);
}

void blk_complete(struct blk *blk, struct blk_req *req, int result)
{
    pool_finish(blk->pool, req, result);
}

void blk_set_notify(struct blk *blk, void (*notify)(void *ctx), void *ctx)
{
    blk->notify = notify;
    blk->notify_ctx = ctx;
    pool_set_notify(blk->pool, notify, ctx);
    if (!blk->ops->submit)
        pool_start(blk->pool);
}

void blk_poll(struct blk *blk)
{
    struct blk_req *req = pool_take(blk->pool);
    while (req) {
        struct blk_req *next = req->next; /* done() may use req anew at once */
        blk->in_flight--;
        req->done(req, req->result);
        req = next;
    }
}

void blk_drain(struct blk *blk)
{
    while (blk->in_flight) {
        pool_wait(blk->pool);
        blk_poll(blk);
    }
}

struct blocking {
    struct blk_req req;
    bool done;
    int result;
};

static void blocking_done(struct blk_req *req, int result)
{
    struct blocking *b = CONTAINER_OF(req, struct blocking, req);
    b->done = true;
    b->result = result;
}

static int blocking_run(struct blk *blk, enum blk_op op, void *buf, uint64_t len_bytes,
                        uint64_t offset_bytes)
{
    struct iovec iov = {buf, len_bytes};
    struct blocking b = {.req = {.op = op,
                                 .offset_bytes = offset_bytes,
                                 .len_bytes = len_bytes,
                                 .iov = &iov,
                                 .iov_count = buf != NULL,
                                 .done = blocking_done}};
    int r = check(blk, &b.req);
    if (r < 0)
        return r;
    if (blk->ops->run)
        return blk->ops->run(blk, &b.req);
    blk_submit(blk, &b.req);
    while (!b.done) {
        pool_wait(blk->pool);
        blk_poll(blk);
    }
    return b.result;
}

int blk_pread(struct blk *blk, void *buf, uint64_t len_bytes, uint64_t offset_bytes)
{
    return blocking_run(blk, BLK_READ, buf, len_bytes, offset_bytes);
}

int blk_pwrite(struct blk *blk, const void *buf, uint64_t len_bytes, uint64_t offset_bytes)
{
    return blocking_run(blk, BLK_WRITE, (void *)(uintptr_t)buf, len_bytes, offset_bytes);
}

int blk_flush(struct blk *blk)
{
    return blocking_run(blk, BLK_FLUSH, NULL, 0, 0);
}
