/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole files in memory: firmware, kernels, initial RAM disks.
 */
#include "machine/pc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

uint8_t *blob_alloc(size_t len_bytes)
{
    void *data = NULL;

    if (len_bytes < MIB(2))
        return malloc(len_bytes + 1);
    /* A kernel and its initrd are thousands of pages: one fault for 512 of them is enough. */
    if (posix_memalign(&data, MIB(2), len_bytes + 1))
        return NULL;
    (void)madvise(data, len_bytes, MADV_HUGEPAGE);
    return data;
}

int blob_read(struct blob *blob, const char *path, uint64_t limit_bytes, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE uint8_t *data = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return error_set(err, -EINVAL, "%s: not a regular file", path);
    if ((uint64_t)st.st_size > limit_bytes)
        return error_set(err, -EFBIG, "%s: %lld bytes are more than the %llu that fit", path,
                         (long long)st.st_size, (unsigned long long)limit_bytes);
    data = blob_alloc((size_t)st.st_size);
    if (!data)
        return error_set(err, -ENOMEM, "%s: out of memory", path);
    while (len < (size_t)st.st_size) {
        ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, -errno, "%s: %s", path, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    data[len] = 0;
    blob->data = TAKE_PTR(data);
    blob->len_bytes = len;
    return 0;
}

void blob_done(struct blob *blob)
{
    free(blob->data);
    *blob = (struct blob){0};
}
