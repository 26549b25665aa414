/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hostnet/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STEP_MS 20u

struct keeper {
    int fd; /* its end says that we have ended */
    pid_t pid;
};

/* Interfaces and tables are all that it changes, and files of locks; iptables wants CAP_NET_RAW. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {0};
    uint32_t keep = 1u << CAP_NET_ADMIN | 1u << CAP_NET_RAW | 1u << CAP_DAC_OVERRIDE;

    if (syscall(SYS_capget, &header, caps) < 0)
        return;
    caps[0].effective = caps[0].permitted = caps[0].permitted & keep;
    caps[0].inheritable &= keep;
    caps[1] = (struct __user_cap_data_struct){0};
    syscall(SYS_capset, &header, caps);
}

/* Everything above standard error but these. */
static void close_others(int a, int b)
{
    int low = MIN(a, b), high = MAX(a, b);

    if (low > 3)
        close_range(3, (unsigned)low - 1, 0);
    else if (low < 0 && high > 3)
        close_range(3, (unsigned)high - 1, 0);
    if (low >= 0 && high > low + 1)
        close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0u, 0);
}

static void serve(int fd, int keep_fd, void (*undo)(void *ctx), void *ctx)
{
    sigset_t all;
    char byte;

    /* Whoever ends the network's whole group of processes does not end this one. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, 0);
    prctl(PR_SET_NAME, "yado-net-keeper");
    close_others(fd, keep_fd);
    drop_capabilities();
    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
    undo(ctx);
}

int keeper_start(void (*undo)(void *ctx), void *ctx, int keep_fd, struct keeper **ret_keeper,
                 struct error *err)
{
    struct keeper *k = calloc(1, sizeof(*k));
    int pair[2];

    if (!k)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        free(k);
        return error_set(err, -errno, "%s", strerror(errno));
    }
    k->pid = fork();
    if (k->pid == 0) {
        close(pair[0]);
        serve(pair[1], keep_fd, undo, ctx);
        _exit(0);
    }
    close(pair[1]);
    k->fd = pair[0];
    if (k->pid < 0) {
        int r = error_set(err, -errno, "no process that cleans up: %s", strerror(errno));

        close(k->fd);
        free(k);
        return r;
    }
    *ret_keeper = k;
    return 0;
}

struct keeper *keeper_stop(struct keeper *k)
{
    if (!k)
        return NULL;
    close(k->fd);
    while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free(k);
    return NULL;
}

/* ---- locks ---- */

static int lock_path(const char *name, char *ret_path, size_t bytes)
{
    char folder[64] = "/run";
    struct stat ns;
    int n;

    if (geteuid() != 0)
        snprintf(folder, sizeof(folder), "/run/user/%u", (unsigned)geteuid());
    if (stat("/proc/self/ns/net", &ns) < 0)
        return -errno;
    n = snprintf(ret_path, bytes, "%s/yado-net-%llx-%s", folder, (unsigned long long)ns.st_ino,
                 name);
    return n < 0 || (size_t)n >= bytes ? -ENAMETOOLONG : 0;
}

/* Is the file that was locked still the one with this name? Whoever had it may have removed it. */
static bool is_there(const char *path, int fd)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

int keeper_lock(const char *name, unsigned wait_ms, int *ret_fd)
{
    char path[PATH_MAX];
    int r = lock_path(name, path, sizeof(path));

    while (r == 0) {
        AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_there(path, fd)) {
            *ret_fd = take_fd(&fd);
            return 0;
        }
        if (wait_ms < STEP_MS)
            r = -EADDRINUSE;
        poll(NULL, 0, (int)STEP_MS);
        wait_ms -= MIN(wait_ms, STEP_MS);
    }
    return r;
}

void keeper_unlock(const char *name, int fd)
{
    char path[PATH_MAX];

    if (fd < 0)
        return;
    if (lock_path(name, path, sizeof(path)) == 0 && is_there(path, fd))
        unlink(path);
    close(fd);
}
