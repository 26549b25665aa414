/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/folders.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "server/machine.h"

/* Is path the folder, or does it lie in it? */
static bool is_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    while (length > 1 && folder[length - 1] == '/')
        length--;
    return !strncmp(path, folder, length) && (length == 1 || path[length] == '/' || !path[length]);
}

json_t *folder_of_settings(struct server *server, const char *path)
{
    json_t *folder, *folders = json_object_get(server->settings, "folders");
    size_t i;

    json_array_foreach(folders, i, folder)
    {
        char real[PATH_MAX];

        if (realpath(json_string_value(json_object_get(folder, "path")), real) &&
            is_within(path, real))
            return folder;
    }
    return NULL;
}

/* The machine among whose files it lies. */
static struct machine *folder_of_machine(struct server *server, const char *path)
{
    const char *slash = strrchr(path, '/');

    for (struct machine *m = server->machines; m; m = m->next) {
        char real[PATH_MAX];

        if (realpath(m->files, real) && is_within(path, real))
            return slash && !strchr(path + strlen(real) + (path[strlen(real)] == '/'), '/') ? m
                                                                                            : NULL;
    }
    return NULL;
}

static bool is_reserved(const char *path)
{
    const char *name = strrchr(path, '/') + 1;

    return !strncmp(name, "saved", 5) || *name == '.';
}

/* realpath() of the folder that a file is to be made in, and the name. */
static int resolve_new(const char *path, char real[PATH_MAX])
{
    AUTO_FREE char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    size_t used;

    if (!slash || !slash[1] || !strcmp(slash + 1, ".") || !strcmp(slash + 1, ".."))
        return -EINVAL;
    *slash = '\0';
    if (!realpath(slash == folder ? "/" : folder, real))
        return -errno;
    used = strlen(real);
    if (used + strlen(slash + 1) + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    snprintf(real + used, PATH_MAX - used, "%s%s", used > 1 ? "/" : "", slash + 1);
    return 0;
}

int folder_resolve(struct server *server, const char *path, enum folder_use use, const char *field,
                   char **ret_path, struct machine **ret_machine, struct problem *p)
{
    struct machine *machine;
    char real[PATH_MAX];
    json_t *folder;
    struct stat st;
    int r;

    if (*path != '/')
        return problem_set(p, PROBLEM_CODE_INVALID, field, "'%.200s' is not an absolute path",
                           path);
    r = use == FOLDER_CREATE ? resolve_new(path, real) : realpath(path, real) ? 0 : -errno;
    machine = r == 0 ? folder_of_machine(server, real) : NULL;
    folder = r == 0 ? folder_of_settings(server, real) : NULL;
    /* Say the same of what is elsewhere, whether it is there or not. */
    if (r < 0 && !folder_of_settings(server, path))
        return problem_set(p, PROBLEM_CODE_INVALID, field,
                           "%.200s is not there, or not in a folder that is open for disks; the "
                           "settings have their list",
                           path);
    if (r < 0)
        return problem_set(p, PROBLEM_CODE_INVALID, field, "%.200s: %s", path, strerror(-r));
    if ((!folder && !machine) || (machine && is_reserved(real)))
        return problem_set(p, PROBLEM_CODE_INVALID, field,
                           "%.200s is not there, or not in a folder that is open for disks; the "
                           "settings have their list",
                           path);
    if (use != FOLDER_READ && !machine && json_is_true(json_object_get(folder, "readonly")))
        return problem_set(p, PROBLEM_CODE_INVALID, field,
                           "%.200s: this folder is for reading only", path);
    if (use == FOLDER_CREATE && lstat(real, &st) == 0)
        return problem_set(p, PROBLEM_CODE_EXISTS, field, "%.200s is there already", path);
    *ret_path = strdup(real);
    if (ret_machine)
        *ret_machine = machine;
    return *ret_path ? 0 : problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
}

void folder_space(const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs fs;

    *ret_free = *ret_total = 0;
    if (statvfs(path, &fs) == 0) {
        *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
        *ret_total = (uint64_t)fs.f_blocks * fs.f_frsize;
    }
}

enum folder_kind folder_kind_of(const char *name)
{
    static const struct {
        const char *ending;
        enum folder_kind kind;
    } kinds[] = {
        {".vhd", FOLDER_KIND_DISK},   {".vhdx", FOLDER_KIND_DISK},  {".avhd", FOLDER_KIND_DISK},
        {".raw", FOLDER_KIND_DISK},   {".img", FOLDER_KIND_DISK},   {".qcow2", FOLDER_KIND_DISK},
        {".vmdk", FOLDER_KIND_DISK},  {".vud", FOLDER_KIND_DISK},   {".iso", FOLDER_KIND_CDROM},
        {".vfd", FOLDER_KIND_FLOPPY}, {".flp", FOLDER_KIND_FLOPPY}, {".ima", FOLDER_KIND_FLOPPY}};
    size_t length = strlen(name);

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t ending = strlen(kinds[i].ending);

        if (length > ending && !strcasecmp(name + length - ending, kinds[i].ending))
            return kinds[i].kind;
    }
    if (strstr(name, "vmlinuz") || strstr(name, "bzImage") || strstr(name, "initrd") ||
        strstr(name, "linux") || strstr(name, "kernel"))
        return FOLDER_KIND_KERNEL;
    return FOLDER_KIND_ANY;
}
