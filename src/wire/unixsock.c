/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UNIX stream sockets, unix(7).
 */
#include "wire/unixsock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* True when path is a socket that nobody listens on any more. */
static bool is_stale(const struct sockaddr_un *addr)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd < 0 || lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    return connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;
}

int unixsock_listen(const char *path, const char *option, int *ret_fd, struct error *err)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int r;

    if (fd < 0)
        return error_set(err, -errno, "%s: %s", option, strerror(errno));
    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, -ENAMETOOLONG, "%s: %s: a socket's path has at most %zu characters",
                         option, path, sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (is_stale(&addr))
        unlink(path);
    fchmod(fd, 0600); /* the mode of the file that bind() makes */
    r = bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    if (r == -EADDRINUSE)
        return error_set(err, r, "%s: %s exists already; remove it or choose another path", option,
                         path);
    if (r == 0 && listen(fd, 8) < 0) {
        r = -errno;
        unlink(path);
    }
    if (r < 0)
        return error_set(err, r, "%s: %s: %s", option, path, strerror(-r));
    *ret_fd = take_fd(&fd);
    return 0;
}
