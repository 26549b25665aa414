/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file beneath an image, as a seam: tests put a file there that fails, or loses its power
 * between any two writes. All operations block and may be called from several threads at once;
 * what keeps a machine from waiting for them is block/pool.h.
 */
#ifndef BLOCK_FILE_H
#define BLOCK_FILE_H

#include "base/error.h"
#include "block/iov.h"

struct blk_file;

struct blk_file_ops {
    /* As preadv(2) and pwritev(2), but -errno; at most IOV_MAX pieces; may be short. */
    ssize_t (*preadv)(struct blk_file *file, const struct iovec *iov, int count, uint64_t offset);
    ssize_t (*pwritev)(struct blk_file *file, const struct iovec *iov, int count, uint64_t offset);
    /* Everything written before is on stable storage. 0 or -errno. */
    int (*flush)(struct blk_file *file);
    int (*truncate)(struct blk_file *file, uint64_t size_bytes);
    /* Make a range read as zeroes and give its storage back; -EOPNOTSUPP where that is unknown. */
    int (*punch)(struct blk_file *file, uint64_t offset, uint64_t len_bytes);
    int (*size)(struct blk_file *file, uint64_t *ret_size_bytes);
    /* Give the file that much room on the host now, where it can. NULL: it cannot. */
    int (*reserve)(struct blk_file *file, uint64_t size_bytes);
    /*
     * How many of len_bytes from offset are alike: a hole or data. NULL: unknown, all are data.
     */
    uint64_t (*data)(struct blk_file *file, uint64_t offset, uint64_t len_bytes, bool *ret_hole);
    /* The host's descriptor, for I/O by other means; NULL where there is none. */
    int (*fd)(struct blk_file *file);
    void (*close)(struct blk_file *file);
};

struct blk_file {
    const struct blk_file_ops *ops;
    char *name; /* for messages */
    /* A new file that is thrown away if anything fails: flush does nothing. */
    bool building;
    /* A parent that its child is merged into: children know it as long as that lasts. */
    bool merging;
    bool host_disk; /* a disk of the host: a block device */
};

/*
 * Open an existing file or block device. A writer takes an exclusive lock, a reader a shared one:
 * -EBUSY while somebody else's does not allow it, or while
 * the host itself uses a disk of its own (mounted, swap, a part of something).
 */
int file_open(const char *path, bool readonly, struct blk_file **ret_file, struct error *err);
/* Make a new file, locked for writing; -EEXIST when there is one. */
int file_create(const char *path, struct blk_file **ret_file, struct error *err);
/* Close and free. NULL is fine. Always returns NULL. */
struct blk_file *file_close(struct blk_file *file);

/* Bring a file that was built to stable storage. */
int file_settle(const char *path, struct error *err);

/* The whole of buf, or -errno. What lies past the end of the file reads as zeroes. */
int file_read(struct blk_file *file, void *buf, uint64_t len_bytes, uint64_t offset);
int file_write(struct blk_file *file, const void *buf, uint64_t len_bytes, uint64_t offset);
/* Make a range within the file read as zeroes, by punching or else by writing. */
int file_zero(struct blk_file *file, uint64_t offset, uint64_t len_bytes);

/* Read or write the next len_bytes of the list at an offset of the file. 0 or -errno. */
int file_read_iov(struct blk_file *file, struct iov_cursor *cursor, uint64_t len_bytes,
                  uint64_t offset);
int file_write_iov(struct blk_file *file, struct iov_cursor *cursor, uint64_t len_bytes,
                   uint64_t offset);

#endif
