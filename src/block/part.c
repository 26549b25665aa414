/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "block"
#include "block/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define SUFFIX ".part"

/* The process in "NAME.PID.part"; 0: it is no such name. */
static pid_t builder_of(const char *entry, const char *name)
{
    size_t len = strlen(name);
    char *end;
    if (strncmp(entry, name, len) || entry[len] != '.' || entry[len + 1] < '1' ||
        entry[len + 1] > '9')
        return 0;
    long pid = strtol(entry + len + 1, &end, 10);
    return !strcmp(end, SUFFIX) && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/*
 * Whether nobody builds in it: the process is gone, and, for it may live where we do not see it (in
 * a container, on another host), nobody has it open for writing.
 */
static bool is_left_behind(int folder, const char *entry, pid_t pid)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (pid == getpid())
        return true; /* an earlier one of that number */
    if (kill(pid, 0) == 0 || errno != ESRCH)
        return false;
    AUTO_FD int fd = openat(folder, entry, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && fcntl(fd, F_OFD_SETLK, &fl) == 0;
}

static void remove_leftovers(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    AUTO_FREE char *folder =
        slash ? strndup(path, (size_t)(slash - path) + (slash == path)) : strdup(".");
    DIR *dir = folder ? opendir(folder) : NULL;
    if (!dir)
        return; /* what is wrong there shows when the file is made */
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        pid_t pid = builder_of(e->d_name, name);
        if (pid && is_left_behind(dirfd(dir), e->d_name, pid) &&
            unlinkat(dirfd(dir), e->d_name, 0) == 0)
            log_info("%s/%s was left behind, and is removed", folder, e->d_name);
    }
    closedir(dir);
}

int part_begin(const char *path, char ret_name[PART_NAME_BYTES], struct error *err)
{
    if (snprintf(ret_name, PART_NAME_BYTES, "%s.%d" SUFFIX, path, getpid()) >= (int)PART_NAME_BYTES)
        return error_set(err, -ENAMETOOLONG, "%s: the name is too long", path);
    remove_leftovers(path);
    return 0;
}
