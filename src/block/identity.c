/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define ENDS_BYTES KIB(64)

static int digest_add(int fd, uint64_t offset, uint64_t len_bytes, uint32_t *digest)
{
    uint8_t buf[4096];

    while (len_bytes) {
        ssize_t n = pread(fd, buf, MIN(len_bytes, sizeof(buf)), (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        *digest = (uint32_t)crc32(*digest, buf, (unsigned)n);
        offset += (uint64_t)n;
        len_bytes -= (uint64_t)n;
    }
    return 0;
}

int blk_identify(const struct blk *blk, struct blk_identity *ret_identity, struct error *err)
{
    AUTO_FD int fd = open(blk->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct blk_identity id = {0};
    struct stat st;
    off_t size;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0 || (size = lseek(fd, 0, SEEK_END)) < 0)
        return error_set(err, -errno, "%s cannot be examined: %s", blk->name, strerror(errno));
    id.size_bytes = (uint64_t)size;
    if (S_ISREG(st.st_mode))
        id.mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
    r = digest_add(fd, 0, MIN(id.size_bytes, ENDS_BYTES), &id.digest);
    if (r == 0 && id.size_bytes > ENDS_BYTES)
        r = digest_add(fd, id.size_bytes - ENDS_BYTES, ENDS_BYTES, &id.digest);
    if (r < 0)
        return error_set(err, r, "%s cannot be read: %s", blk->name, strerror(-r));
    *ret_identity = id;
    return 0;
}
