/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jail/parents.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "jail/filter.h"

#define ANSWER_MAX MIB(1)
#define SECONDS 10

int parents_disk(struct parents *parents, const char *path)
{
    if (parents->disk_count == PARENTS_DISKS_MAX)
        return -E2BIG;
    parents->disks[parents->disk_count++] = path;
    return 0;
}

int parents_folder(struct parents *parents, const char *path)
{
    if (parents->folder_count == PARENTS_FOLDERS_MAX)
        return -E2BIG;
    parents->folders[parents->folder_count++] = path;
    return 0;
}

/* ---- the child that reads an image ---- */

/* It may read files of any owner, and nothing else that others may not. */
static int restrain(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    struct rlimit seconds = {SECONDS, SECONDS}, memory = {GIB(2), GIB(2)}, none = {0};

    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (cap != CAP_DAC_READ_SEARCH)
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    unshare(CLONE_NEWNET | CLONE_NEWIPC);
    setrlimit(RLIMIT_CPU, &seconds);
#ifndef JAIL_SANITIZED /* its shadow is terabytes of addresses */
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    setrlimit(RLIMIT_FSIZE, &none);
    setrlimit(RLIMIT_CORE, &none);
    data[0].effective = data[0].permitted = data[0].inheritable = 1u << CAP_DAC_READ_SEARCH;
    if (syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return filter_load(false);
}

static void execute(const struct parents *parents, const char *yado, const char *disk, int out)
{
    const char *args[8 + 2 * PARENTS_FOLDERS_MAX] = {yado, "disk", "info", "--json"};
    char *env[] = {"PATH=/usr/bin:/bin", NULL};
    unsigned n = 4;

    for (unsigned i = 0; i < parents->folder_count; i++) {
        args[n++] = "--parents";
        args[n++] = parents->folders[i];
    }
    args[n++] = "--";
    args[n++] = disk;
    if (dup2(out, STDOUT_FILENO) < 0 ||
        dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDERR_FILENO) < 0)
        _exit(1);
    close_range(3, ~0U, 0);
    if (restrain() == 0)
        execve(yado, (char **)args, env);
    _exit(1);
}

static size_t read_all(int fd, char *text, size_t room)
{
    size_t len = 0;
    ssize_t n;

    while (len < room && (n = read(fd, text + len, room - len)) > 0)
        len += (size_t)n;
    return len;
}

/* What it says of one disk: an object, or NULL. */
static json_t *ask(const struct parents *parents, const char *yado, const char *disk)
{
    AUTO_FREE char *text = malloc(ANSWER_MAX);
    json_t *answer = NULL;
    int ends[2], status;
    size_t len = 0;
    pid_t pid;

    if (!text || pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    pid = fork();
    if (pid == 0)
        execute(parents, yado, disk, ends[1]);
    close(ends[1]);
    if (pid > 0)
        len = read_all(ends[0], text, ANSWER_MAX);
    close(ends[0]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status))
        answer = json_loadb(text, len, 0, NULL);
    return answer;
}

/* ---- its answer ---- */

static bool lies_in(const char *path, const char *folder)
{
    AUTO_FREE char *real = realpath(folder, NULL);
    size_t len = real ? strlen(real) : 0;

    return real && !strncmp(path, real, len) && path[len] == '/';
}

static bool is_allowed(const struct parents *parents, const char *disk, const char *path)
{
    AUTO_FREE char *beside = realpath(disk, NULL);
    char *slash = beside ? strrchr(beside, '/') : NULL;

    if (slash && slash != beside) {
        *slash = '\0';
        if (lies_in(path, beside))
            return true;
    }
    for (unsigned i = 0; i < parents->folder_count; i++)
        if (lies_in(path, parents->folders[i]))
            return true;
    return false;
}

static int take(const struct parents *parents, const char *disk, json_t *answer,
                struct place *place)
{
    json_t *image, *chain = json_object_get(answer, "chain");
    size_t i;
    int r = 0;

    json_array_foreach(chain, i, image)
    {
        const char *file = json_string_value(json_object_get(image, "file"));
        char *real = i && file && *file == '/' ? realpath(file, NULL) : NULL;

        r = real && is_allowed(parents, disk, real) ? place_add(place, real, false) : 1;
        if (r != 0)
            free(real);
        if (r < 0)
            return r;
    }
    return 0;
}

int parents_find(const struct parents *parents, const char *program, struct place *place)
{
    const char *slash = strrchr(program, '/');
    char yado[PATH_MAX];
    int r = 0;

    if (!slash || (size_t)snprintf(yado, sizeof(yado), "%.*s/yado", (int)(slash - program),
                                   program) >= sizeof(yado))
        return 0;
    for (unsigned i = 0; i < parents->disk_count && r == 0; i++) {
        json_t *answer = ask(parents, yado, parents->disks[i]);

        r = take(parents, parents->disks[i], answer, place);
        json_decref(answer);
    }
    return r;
}
