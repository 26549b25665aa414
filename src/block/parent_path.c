/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/parent_path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void parent_paths_add(struct parent_paths *paths, char *path)
{
    bool known = !path || !*path || paths->count == PARENT_PATHS_MAX;
    for (unsigned i = 0; !known && i < paths->count; i++)
        known = !strcmp(paths->path[i], path);
    if (known)
        free(path);
    else
        paths->path[paths->count++] = path;
}

void parent_paths_done(struct parent_paths *paths)
{
    while (paths->count)
        free(paths->path[--paths->count]);
}

char *parent_path_for_host(const char *path, const char *folder)
{
    AUTO_FREE char *turned = strdup(path);
    char *p = turned, *whole;
    if (!turned)
        return NULL;
    for (char *c = turned; *c; c++)
        if (*c == '\\')
            *c = '/';
    if (!strncmp(p, "//?/", 4))
        p += 3;
    if (p[0] == '/' && p[1] && p[2] == ':') /* what is left of \\?\C:\… */
        p++;
    if (p[0] && p[1] == ':')
        p += 2;
    while (p[0] == '.' && p[1] == '/')
        p += 2;
    int n = p[0] == '/' ? asprintf(&whole, "%s", p) : asprintf(&whole, "%s/%s", folder, p);
    return n < 0 ? NULL : whole;
}

char *folder_of(const char *path)
{
    char *real = realpath(path, NULL);
    char *folder = real ? real : strdup(path);
    if (!folder)
        return NULL;
    char *slash = strrchr(folder, '/');
    if (!slash) {
        free(folder);
        return strdup(".");
    }
    slash[slash == folder] = '\0';
    return folder;
}

/* ---- naming a parent ---- */

/* The way from one folder to a file, both absolute and without links. */
static int relative_path(const char *folder, const char *file, char *buf, size_t room)
{
    size_t common = 0, i = 0, n = 0;
    for (; folder[i] && folder[i] == file[i]; i++)
        if (folder[i] == '/')
            common = i + 1;
    if (!folder[i] && file[i] == '/')
        common = i + 1;
    if (!strcmp(folder, "/"))
        common = 1;
    buf[0] = '\0';
    if (common <= strlen(folder) && folder[common]) {
        n += (size_t)snprintf(buf + n, room - n, "../");
        for (const char *c = folder + common; *c && n < room; c++)
            if (*c == '/')
                n += (size_t)snprintf(buf + n, room - n, "../");
    } else {
        n += (size_t)snprintf(buf + n, room - n, "./");
    }
    if (n < room)
        n += (size_t)snprintf(buf + n, room - n, "%s", file + common);
    return n < room ? 0 : -ENAMETOOLONG;
}

static void turn_slashes(char *path)
{
    for (; *path; path++)
        if (*path == '/')
            *path = '\\';
}

int parent_names_find(const char *child_path, const char *parent_path,
                      struct parent_names *ret_names, struct error *err)
{
    AUTO_FREE char *folder = folder_of(child_path);
    AUTO_FREE char *child_folder = folder ? realpath(folder, NULL) : NULL;
    AUTO(parent_names_done) struct parent_names names = {.host = realpath(parent_path, NULL)};
    char relative[PATH_MAX];
    if (!names.host)
        return error_set(err, -errno, "%s cannot be found: %s", parent_path, strerror(errno));
    if (!child_folder || relative_path(child_folder, names.host, relative, sizeof(relative)) < 0)
        return error_set(err, -ENAMETOOLONG, "%s: the way there from %s is too long", names.host,
                         child_path);
    names.relative = strdup(relative);
    names.absolute = strdup(names.host);
    if (!names.relative || !names.absolute)
        return error_set(err, -ENOMEM, "out of memory");
    turn_slashes(names.relative);
    turn_slashes(names.absolute);
    *ret_names = names;
    names = (struct parent_names){0};
    return 0;
}

void parent_names_done(struct parent_names *names)
{
    free(names->host);
    free(names->relative);
    free(names->absolute);
    *names = (struct parent_names){0};
}
