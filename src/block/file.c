/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image files on the host. Locks are open-file-description locks (fcntl(2), F_OFD_SETLK): they
 * belong to this opening of the file, end with it, and are seen by QEMU's tools too.
 */
#define LOG_ROOM "block"
#include "block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

/* While a file is built, what has been written is sent on its way after each so many bytes. */
#define WRITEBACK_BYTES (16u << 20)

struct host_file {
    struct blk_file file;
    int fd;
    _Atomic uint64_t written_bytes; /* of a file that is built */
};

static ssize_t host_preadv(struct blk_file *file, const struct iovec *iov, int count,
                           uint64_t offset)
{
    ssize_t n = preadv(CONTAINER_OF(file, struct host_file, file)->fd, iov, count, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t host_pwritev(struct blk_file *file, const struct iovec *iov, int count,
                            uint64_t offset)
{
    struct host_file *host = CONTAINER_OF(file, struct host_file, file);
    ssize_t n = pwritev(host->fd, iov, count, (off_t)offset);
    if (n < 0)
        return -errno;
    /* Otherwise the host's disk would have nothing to do until file_settle(). */
    if (file->building) {
        uint64_t before = atomic_fetch_add(&host->written_bytes, (uint64_t)n);
        if (before / WRITEBACK_BYTES != (before + (uint64_t)n) / WRITEBACK_BYTES)
            sync_file_range(host->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return n;
}

static int host_flush(struct blk_file *file)
{
    if (file->building)
        return 0;
    return fdatasync(CONTAINER_OF(file, struct host_file, file)->fd) < 0 ? -errno : 0;
}

static int host_truncate(struct blk_file *file, uint64_t size_bytes)
{
    return ftruncate(CONTAINER_OF(file, struct host_file, file)->fd, (off_t)size_bytes) < 0 ? -errno
                                                                                            : 0;
}

static int host_punch(struct blk_file *file, uint64_t offset, uint64_t len_bytes)
{
    int fd = CONTAINER_OF(file, struct host_file, file)->fd;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)len_bytes) == 0)
        return 0;
    return errno == ENOSYS || errno == ENODEV ? -EOPNOTSUPP : -errno;
}

static int host_reserve(struct blk_file *file, uint64_t size_bytes)
{
    int fd = CONTAINER_OF(file, struct host_file, file)->fd;
    if (fallocate(fd, 0, 0, (off_t)size_bytes) == 0)
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV ? 0 : -errno;
}

static int host_size(struct blk_file *file, uint64_t *ret_size_bytes)
{
    /* Not fstat(): a block device's size is where its end is. */
    off_t end = lseek(CONTAINER_OF(file, struct host_file, file)->fd, 0, SEEK_END);
    if (end < 0)
        return -errno;
    *ret_size_bytes = (uint64_t)end;
    return 0;
}

static void host_close(struct blk_file *file)
{
    struct host_file *host = CONTAINER_OF(file, struct host_file, file);
    close(host->fd);
    free(host);
}

static uint64_t host_data(struct blk_file *file, uint64_t offset, uint64_t len_bytes,
                          bool *ret_hole)
{
    int fd = CONTAINER_OF(file, struct host_file, file)->fd;
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO) /* a block device, or a file system that does not know */
        return len_bytes;
    if (data != (off_t)offset) {
        *ret_hole = true;
        return data < 0 ? len_bytes : MIN(len_bytes, (uint64_t)data - offset);
    }
    off_t hole = lseek(fd, (off_t)offset, SEEK_HOLE);
    return hole < 0 ? len_bytes : MIN(len_bytes, (uint64_t)hole - offset);
}

static int host_fd(struct blk_file *file)
{
    return CONTAINER_OF(file, struct host_file, file)->fd;
}

static const struct blk_file_ops host_ops = {
    .preadv = host_preadv,
    .pwritev = host_pwritev,
    .flush = host_flush,
    .truncate = host_truncate,
    .punch = host_punch,
    .size = host_size,
    .reserve = host_reserve,
    .data = host_data,
    .fd = host_fd,
    .close = host_close,
};

static int lock(int fd, const char *path, bool readonly, struct error *err)
{
    struct flock fl = {.l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(err, -EBUSY,
                         readonly ? "%s is being written by another machine or tool; stop it first"
                                  : "%s is in use by another machine or tool; stop it first, or "
                                    "use the image read-only",
                         path);
    /* A file system without locks is used at the user's own risk. */
    log_warning("%s cannot be locked (%s): do not use it twice", path, strerror(errno));
    return 0;
}

static int wrap(int *fd, const char *path, struct blk_file **ret_file, struct error *err)
{
    struct host_file *host = calloc(1, sizeof(*host));
    char *name = strdup(path);
    if (!host || !name) {
        free(host);
        free(name);
        return error_set(err, -ENOMEM, "out of memory");
    }
    host->file.ops = &host_ops;
    host->file.name = name;
    host->fd = take_fd(fd);
    *ret_file = &host->file;
    return 0;
}

/*
 * A disk of the host for us alone: open(2) with O_EXCL fails while it, or a partition of it, is
 * mounted or otherwise in use. What writes beside a file system destroys it.
 */
static int claim(int *fd, const char *path, struct error *err)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", *fd);
    AUTO_FD int alone = open(self, O_RDWR | O_EXCL | O_CLOEXEC | O_NONBLOCK);
    if (alone < 0)
        return error_set(err, -errno,
                         errno == EBUSY ? "%s is in use by the host itself (%s); unmount it, and "
                                          "what is on it, first"
                                        : "%s cannot be opened for us alone: %s",
                         path, strerror(errno));
    close(*fd);
    *fd = take_fd(&alone);
    return 0;
}

int file_open(const char *path, bool readonly, struct blk_file **ret_file, struct error *err)
{
    /* O_NONBLOCK: a FIFO of that name must not hang us; it has no effect on files and disks. */
    AUTO_FD int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS) && !readonly)
        return error_set(err, -errno,
                         "%s cannot be opened for writing (%s); allow it or use it read-only", path,
                         strerror(errno));
    if (fd < 0)
        return error_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, -EINVAL, "%s is not a file or a disk; give an image", path);
    if (S_ISBLK(st.st_mode) && !readonly) {
        int r = claim(&fd, path, err);
        if (r < 0)
            return r;
    }
    int r = lock(fd, path, readonly, err);
    if (r == 0)
        r = wrap(&fd, path, ret_file, err);
    if (r == 0)
        (*ret_file)->host_disk = S_ISBLK(st.st_mode);
    return r;
}

int file_create(const char *path, struct blk_file **ret_file, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return error_set(err, -EEXIST, "%s exists already; remove it or choose another name", path);
    if (fd < 0)
        return error_set(err, -errno, "%s cannot be created: %s", path, strerror(errno));
    int r = lock(fd, path, false, err);
    if (r == 0)
        r = wrap(&fd, path, ret_file, err);
    if (r < 0)
        unlink(path);
    return r;
}

int file_settle(const char *path, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set(err, -errno, "%s cannot be brought to stable storage: %s", path,
                         strerror(errno));
    return 0;
}

struct blk_file *file_close(struct blk_file *file)
{
    if (file) {
        free(file->name);
        file->ops->close(file);
    }
    return NULL;
}

int file_read_iov(struct blk_file *file, struct iov_cursor *cursor, uint64_t len_bytes,
                  uint64_t offset)
{
    struct iovec iov[IOV_BATCH];
    while (len_bytes) {
        int count = (int)iov_gather(cursor, len_bytes, iov);
        if (count == 0)
            return -EINVAL;
        ssize_t n = file->ops->preadv(file, iov, count, offset);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return (int)n;
        if (n == 0) {
            iov_zero(cursor, len_bytes);
            return 0;
        }
        iov_advance(cursor, (uint64_t)n);
        offset += (uint64_t)n;
        len_bytes -= (uint64_t)n;
    }
    return 0;
}

int file_write_iov(struct blk_file *file, struct iov_cursor *cursor, uint64_t len_bytes,
                   uint64_t offset)
{
    struct iovec iov[IOV_BATCH];
    while (len_bytes) {
        int count = (int)iov_gather(cursor, len_bytes, iov);
        if (count == 0)
            return -EINVAL;
        ssize_t n = file->ops->pwritev(file, iov, count, offset);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        iov_advance(cursor, (uint64_t)n);
        offset += (uint64_t)n;
        len_bytes -= (uint64_t)n;
    }
    return 0;
}

int file_read(struct blk_file *file, void *buf, uint64_t len_bytes, uint64_t offset)
{
    struct iovec iov = {buf, len_bytes};
    struct iov_cursor cursor = {.iov = &iov, .count = 1};
    return file_read_iov(file, &cursor, len_bytes, offset);
}

int file_write(struct blk_file *file, const void *buf, uint64_t len_bytes, uint64_t offset)
{
    struct iovec iov = {(void *)(uintptr_t)buf, len_bytes};
    struct iov_cursor cursor = {.iov = &iov, .count = 1};
    return file_write_iov(file, &cursor, len_bytes, offset);
}

int file_zero(struct blk_file *file, uint64_t offset, uint64_t len_bytes)
{
    static const uint8_t zeroes[65536];
    if (len_bytes == 0)
        return 0;
    int r = file->ops->punch(file, offset, len_bytes);
    if (r != -EOPNOTSUPP)
        return r;
    while (len_bytes) {
        uint64_t piece = MIN(len_bytes, (uint64_t)sizeof(zeroes));
        r = file_write(file, zeroes, piece, offset);
        if (r < 0)
            return r;
        offset += piece;
        len_bytes -= piece;
    }
    return 0;
}
