/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole files in memory: firmware, kernels, initial RAM disks.
 */
#include "machine/pc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

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
    data = malloc((size_t)st.st_size + 1);
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
