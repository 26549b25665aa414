/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as its users see it: an array of bytes of a fixed size, read and written asynchronously
 * through lists of buffers. Formats (raw, VHD, …) implement struct blk_ops on top of a file or of
 * another blk (a differencing disk has a parent), so that chains, caches and throttles are blks
 * too. Guest addresses are unknown here.
 *
 * Threads: a blk belongs to one thread (in yado-vm: whoever holds the machine lock). blk_submit()
 * never blocks for I/O; the callback comes from blk_poll() or from within blk_submit() itself,
 * always in the owner's context.
 */
#ifndef BLOCK_BLK_H
#define BLOCK_BLK_H

#include <sys/uio.h>

#include "base/error.h"

#define BLK_SECTOR_BYTES 512u

enum blk_op {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,        /* all writes completed before are on stable storage */
    BLK_DISCARD,      /* contents of the range are of no more interest */
    BLK_WRITE_ZEROES, /* the range reads as zeroes */
};

/* One request, in the submitter's memory until its callback. */
struct blk_req {
    enum blk_op op;
    bool fua;              /* BLK_WRITE: on stable storage at completion */
    uint64_t offset_bytes; /* any alignment */
    uint64_t len_bytes;    /* READ and WRITE: the sum of iov */
    const struct iovec *iov;
    unsigned iov_count;
    void (*done)(struct blk_req *req, int result); /* 0 or -errno */
    void *ctx;                                     /* for the submitter */
    int result;                                    /* kept by the block room, as is next */
    struct blk_req *next;
};

struct blk;
struct blk_pool;

struct blk_ops {
    const char *format; /* "raw", "vhd-dynamic", … */
    /* Start a checked request; at its end blk_complete() is called, by any thread. */
    void (*submit)(struct blk *blk, struct blk_req *req);
    /* Or, with submit NULL: do it and return its result. Called by several threads at once. */
    int (*run)(struct blk *blk, const struct blk_req *req);
    void (*close)(struct blk *blk); /* free; everything has been flushed */
};

struct blk {
    const struct blk_ops *ops;
    uint64_t size_bytes;
    bool readonly;
    /* Completion of requests that other threads finish: see blk_set_notify(). */
    void (*notify)(void *ctx);
    void *notify_ctx;
    unsigned in_flight;
    struct blk_pool *pool; /* finished requests, and the threads that run them */
};

/*
 * Open an image, finding its format from its contents: raw, VHD fixed or dynamic. A writable
 * image is locked against a second writer (-EBUSY). Errors name the file and the remedy.
 */
int blk_open(const char *path, bool readonly, struct blk **ret_blk, struct error *err);
/* Flush, close, free. All requests must be done. NULL is fine. Always returns NULL. */
struct blk *blk_close(struct blk *blk);

/*
 * For formats: set up the common part of a blk (its ops, size_bytes and readonly are filled in),
 * -ENOMEM; and take it down in ops->close. Users of a blk do not call these.
 */
int blk_init(struct blk *blk);
void blk_done(struct blk *blk);
/* For formats: a request given to ops->submit is finished. Any thread. */
void blk_complete(struct blk *blk, struct blk_req *req, int result);

/* Start a request. Out of bounds: -EINVAL, writing a read-only disk: -EROFS, by the callback. */
void blk_submit(struct blk *blk, struct blk_req *req);
/* notify(ctx) is called from any thread when blk_poll() has something to complete. */
void blk_set_notify(struct blk *blk, void (*notify)(void *ctx), void *ctx);
/* Run the callbacks of finished requests. */
void blk_poll(struct blk *blk);
/* Wait until no request is in flight, running callbacks. */
void blk_drain(struct blk *blk);

/* Blocking helpers for tools, tests and boot loaders. 0 or -errno. */
int blk_pread(struct blk *blk, void *buf, uint64_t len_bytes, uint64_t offset_bytes);
int blk_pwrite(struct blk *blk, const void *buf, uint64_t len_bytes, uint64_t offset_bytes);
int blk_flush(struct blk *blk);

#endif
