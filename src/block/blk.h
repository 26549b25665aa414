/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as its users see it: an array of bytes of a fixed size, read and written asynchronously
 * through lists of buffers. Formats (raw, VHD, …) implement struct blk_ops on top of a file, and
 * may have another blk as parent (a differencing disk), which is theirs alone and read-only.
 * Guest addresses are unknown here.
 *
 * Two ways lead to the file. What ops->map() finds in place is read and written by the kernel's
 * io_uring without a thread of ours (block/ring.h); the rest, and everything where the kernel has
 * no io_uring, is done by ops->run() on a few threads (block/pool.h).
 *
 * Threads: a blk belongs to one thread (in yado-vm: whoever holds the machine lock). blk_submit()
 * never blocks for I/O; the callback comes from blk_poll() or from within blk_submit() itself,
 * always in the owner's context.
 */
#ifndef BLOCK_BLK_H
#define BLOCK_BLK_H

#include <sys/uio.h>

#include "base/error.h"
#include "block/iov.h"

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

/* How much a disk may do in a second; 0: as much as is asked for. */
struct blk_limits {
    uint64_t read_bytes, write_bytes;
    uint64_t reads, writes; /* requests; discarding and zeroing are writes */
};

struct blk;
struct blk_file;
struct clock;
struct blk_throttle;
struct blk_pool;
struct blk_ring;

/* A run of a disk's bytes that lie in one place. */
struct blk_extent {
    uint64_t len_bytes; /* from the offset asked for; at least 1 */
    bool zero;          /* reads as zeroes; there is no place */
    /* Where the bytes are as they are; NULL: compressed, only run() can read them. */
    struct blk_file *file;
    uint64_t file_offset;
    unsigned depth; /* of the image that has them: 0 this one, 1 its parent, … */
};

/* How ops->map() is asked; otherwise -EAGAIN. */
enum {
    BLK_MAP_NOWAIT = 1,  /* only by what is in memory */
    BLK_MAP_INPLACE = 2, /* may be overwritten where it is, with nothing else to be written */
};

struct blk_ops {
    const char *format; /* "raw", "vhd-dynamic", … */
    /* Start a checked request; at its end blk_complete() is called, by any thread. */
    void (*submit)(struct blk *blk, struct blk_req *req);
    /* Or, with submit NULL: do it and return its result. Called by several threads at once. */
    int (*run)(struct blk *blk, const struct blk_req *req);
    /* Where offset's bytes are, at most len_bytes of them. NULL: unknown. Any thread. */
    int (*map)(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes, unsigned how,
               struct blk_extent *ret_extent);
    void (*close)(struct blk *blk); /* free; everything has been flushed */
};

struct blk {
    const struct blk_ops *ops;
    uint64_t size_bytes;
    bool readonly;
    const char *name;   /* of its file */
    struct blk *parent; /* what a differencing disk differs from; NULL: none */
    unsigned in_flight;
    unsigned plugged;
    bool polled;           /* the owner polls when it has unplugged */
    bool done_now;         /* and there is something to poll for */
    struct blk_pool *pool; /* finished requests, and the threads that run them */
    struct blk_ring *ring; /* NULL: the kernel has no io_uring */
    bool ring_tried;
    void (*full)(void *ctx); /* blk_set_full() */
    void *full_ctx;
    struct blk_req *held;          /* requests that wait for room, the last one first */
    unsigned held_count;           /* of those in flight */
    struct blk_throttle *throttle; /* NULL: there was never a limit */
};

struct blk_options {
    bool readonly;
    bool parent_writable; /* the parent itself, to merge into it */
    bool building; /* a new image: nothing is flushed; file_settle() does it when it is closed */
    /*
     * Folders that parents of differencing disks may lie in, besides the folder of the image and
     * those below it; ended by NULL.
     */
    const char *const *parent_folders;
};

/*
 * Open an image, finding its format from its contents. A writable image is locked against a
 * second writer (-EBUSY), a parent against every writer. Errors name the file and the remedy.
 */
int blk_open_with(const char *path, const struct blk_options *options, struct blk **ret_blk,
                  struct error *err);
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
/* Between these, requests may be kept back, to be handed to the kernel together. */
void blk_plug(struct blk *blk);
void blk_unplug(struct blk *blk);
/*
 * As blk_plug(), of an owner who calls blk_poll_now() right after blk_unplug(). What the host has
 * in its page cache is then read in this thread, small writes go there in it, and nobody has to be
 * woken to say so.
 */
void blk_plug_polled(struct blk *blk);
/*
 * As blk_poll(), when something was done like that. Otherwise what is finished waits for the
 * notify: many requests that end together cost the guest one interrupt.
 */
void blk_poll_now(struct blk *blk);
/* notify(ctx) is called from any thread when blk_poll() has something to complete. */
void blk_set_notify(struct blk *blk, void (*notify)(void *ctx), void *ctx);
/* Run the callbacks of finished requests. */
void blk_poll(struct blk *blk);
/* As blk_poll(), but wait for one if any is in flight. */
void blk_wait(struct blk *blk);
/*
 * Wait until no request is in flight, running callbacks, and flush: the image is then as the guest
 * left it. -ENOSPC when requests wait for room, and then they alone are in flight and go on waiting.
 */
int blk_quiesce(struct blk *blk);
/* Wait until no request is in flight, running callbacks; those held for room fail with -ENOSPC. */
void blk_drain(struct blk *blk);

/*
 * Keep requests that fail because the host's disk is full, and call full(ctx) from blk_poll():
 * the owner makes the guest stand still. blk_retry() tries them all again.
 */
void blk_set_full(struct blk *blk, void (*full)(void *ctx), void *ctx);
bool blk_is_full(const struct blk *blk);
void blk_retry(struct blk *blk);

/*
 * Let requests wait so that the disk does no more than this; at any time, also for those that wait. The
 * clock says how fast time passes for the disk, and outlives it; it is the same each time. Draining,
 * quiescing and blk_wait() wait for no limit. -ENOMEM.
 */
int blk_set_limits(struct blk *blk, struct clock *clock, const struct blk_limits *limits);
void blk_get_limits(const struct blk *blk, struct blk_limits *ret_limits);

/* Blocking helpers for tools, tests and boot loaders. 0 or -errno. */
int blk_pread(struct blk *blk, void *buf, uint64_t len_bytes, uint64_t offset_bytes);
int blk_pwrite(struct blk *blk, const void *buf, uint64_t len_bytes, uint64_t offset_bytes);
int blk_zero(struct blk *blk, uint64_t len_bytes, uint64_t offset_bytes);
int blk_flush(struct blk *blk);
/*
 * Where bytes are; a format that cannot tell says data. Never longer than len_bytes, which with
 * offset_bytes is within the disk.
 */
int blk_map(struct blk *blk, uint64_t offset_bytes, uint64_t len_bytes,
            struct blk_extent *ret_extent);

/* For formats: read from a parent into a list of buffers; past its end are zeroes. Any thread. */
int blk_read_cursor(struct blk *blk, struct iov_cursor *cursor, uint64_t len_bytes,
                    uint64_t offset_bytes);

#endif
