/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int folder_open(const char *path, int *ret_fd, struct error *err)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_set(err, -errno, "%s: %s; give a folder that guests may read", path,
                         strerror(errno));
    *ret_fd = fd;
    return 0;
}

int folder_file(int folder_fd, const char *path, int *ret_fd, uint64_t *ret_size_bytes)
{
    /* Not blocking: a FIFO that somebody put there holds nobody up. */
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    AUTO_FD int fd = -1;
    struct stat st;

    while (*path == '/')
        path++;
    if (!*path || strlen(path) > FOLDER_PATH_MAX)
        return -EINVAL;
    fd = (int)syscall(SYS_openat2, folder_fd, path, &how, sizeof(how));
    if (fd < 0)
        return errno == EXDEV || errno == ELOOP ? -EACCES : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EISDIR;
    *ret_size_bytes = (uint64_t)st.st_size;
    *ret_fd = take_fd(&fd);
    return 0;
}
