/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines' adapters: "net" of a definition names networks; yado-vm knows sockets, by paths from
 * RUN/ID, where it runs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/files.h"
#include "server/networks.h"
#include "server/process.h"

#define LOG_ROOM "networks"

#define TEXT_MAX 4096u
#define ANSWER_MS 10000u

static const char *member(json_t *adapter, const char *name)
{
    return json_string_value(json_object_get(adapter, name));
}

static bool is_type(json_t *adapter, const char *type)
{
    const char *own = member(adapter, "type");

    return own && !strcmp(own, type);
}

/* The socket of a network, from where a machine's process is. */
static void socket_of(const char *name, char *buf, size_t room)
{
    snprintf(buf, room, NETWORK_LINKS "/%s", name);
}

static bool leads_to(json_t *definition, const char *name)
{
    json_t *adapter;
    size_t i;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        if (is_type(adapter, "network") && !strcmp(member(adapter, "name"), name))
            return true;
    }
    return false;
}

/* Everybody may use the socket who gets to it; its own folder is the server's. */
static void link_one(const struct network *n, const char *folder)
{
    AUTO_FREE char *from = files_join(n->run, "machines");
    AUTO_FREE char *to = files_join(folder, n->name);

    if (!from || !to)
        return;
    if (chmod(from, 0666) < 0) /* it is not there yet, and is linked when it is */
        return;
    unlink(to);
    if (link(from, to) < 0)
        log_warning("%s: %s", to, strerror(errno));
}

void network_link(struct machine *m)
{
    AUTO_FREE char *folder = files_join(m->run, NETWORK_LINKS);
    struct stat run;

    if (!folder || stat(m->run, &run) < 0 || (mkdir(folder, 0700) < 0 && errno != EEXIST))
        return;
    /* As the folder above it: the jail shows the server's files there as the machine's own, or has
     * given the folder to the machine's user where the host cannot. */
    if (chown(folder, run.st_uid, (gid_t)-1) < 0)
        log_warning("%s: %s", folder, strerror(errno));
    for (struct network *n = m->server->networks; n; n = n->next) {
        AUTO_FREE char *path = files_join(folder, n->name);

        if (leads_to(m->definition, n->name) || leads_to(m->started, n->name))
            link_one(n, folder);
        else if (path)
            unlink(path);
    }
}

void network_link_machines(struct network *n)
{
    for (struct machine *m = n->server->machines; m; m = m->next)
        if (m->process)
            network_link(m);
}

void network_unlink(struct machine *m)
{
    AUTO_FREE char *folder = files_join(m->run, NETWORK_LINKS);
    DIR *dir = folder ? opendir(folder) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    if (folder)
        rmdir(folder);
}

void network_resolve(json_t *definition)
{
    json_t *adapter;
    char path[128];
    size_t i;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        if (!is_type(adapter, "network"))
            continue;
        socket_of(member(adapter, "name"), path, sizeof(path));
        json_object_set_new(adapter, "name", json_string(path));
    }
}

/* What --net takes, and net-connect: the far end alone. */
static void far_end(json_t *adapter, char *buf, size_t room)
{
    json_t *forward;
    char path[128];
    size_t used, i;

    if (is_type(adapter, "network")) {
        socket_of(member(adapter, "name"), path, sizeof(path));
        snprintf(buf, room, "network=%s", path);
        return;
    }
    if (is_type(adapter, "tap")) {
        snprintf(buf, room, "tap=%s", member(adapter, "name"));
        return;
    }
    snprintf(buf, room, "%s%s", member(adapter, "type"),
             json_is_true(json_object_get(adapter, "isolated")) ? ",isolated" : "");
    json_array_foreach(json_object_get(adapter, "forward"), i, forward)
    {
        used = strlen(buf);
        snprintf(buf + used, room - used, ",forward=%s", json_string_value(forward));
    }
}

static void on_moved(void *ctx, int r, json_t *value, const char *message)
{
    (void)ctx;
    (void)r;
    (void)value;
    (void)message; /* yado-vm goes on with the old cable, and its adapters say so */
}

void network_move_adapters(struct machine *m, json_t *before)
{
    json_t *old = json_object_get(before, "net"), *new = json_object_get(m->definition, "net");
    json_t *adapter;
    size_t i;

    if (m->process)
        network_link(m);
    json_array_foreach(new, i, adapter)
    {
        char now[TEXT_MAX], then[TEXT_MAX];

        if (i >= json_array_size(old))
            continue;
        far_end(adapter, now, sizeof(now));
        far_end(json_array_get(old, i), then, sizeof(then));
        if (strcmp(now, then))
            process_call(m, "net-connect", json_pack("{s:i, s:s}", "adapter", (int)i, "to", now),
                         ANSWER_MS, on_moved, NULL);
    }
}

static bool was_there(json_t *before, json_t *adapter)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(before, "net"), i,
                       one) if (json_equal(one, adapter)) return true;
    return false;
}

static int check_one(struct server *server, const struct caller *caller, json_t *adapter,
                     const char *field, struct problem *p)
{
    const char *name = member(adapter, "name");

    if (is_type(adapter, "network") || is_type(adapter, "tap")) {
        if (!name)
            return problem_set(p, PROBLEM_CODE_INVALID, field, "name the %s",
                               member(adapter, "type"));
    } else if (name) {
        return problem_set(p, PROBLEM_CODE_INVALID, field, "%s has no name",
                           member(adapter, "type"));
    }
    if (!is_type(adapter, "nat") &&
        (json_object_get(adapter, "forward") || json_object_get(adapter, "isolated")))
        return problem_set(p, PROBLEM_CODE_INVALID, field, "forward and isolated belong to nat");
    /* An interface of the host is the administrator's. */
    if (is_type(adapter, "tap"))
        return caller_may(server, caller, OBJECT_TYPE_SERVER, NULL, RIGHT_MODIFY, p);
    if (!is_type(adapter, "network"))
        return 0;
    if (!network_find(server, name))
        return problem_set(p, PROBLEM_CODE_INVALID, field, "there is no network '%.60s'", name);
    return caller_may(server, caller, OBJECT_TYPE_NETWORK, name, RIGHT_CONTROL, p);
}

int network_check_adapters(struct server *server, const struct caller *caller, json_t *definition,
                           json_t *before, struct problem *p)
{
    json_t *adapter;
    char field[32];
    size_t i;
    int r = 0;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        snprintf(field, sizeof(field), "/net/%zu", i);
        if (r == 0 && !was_there(before, adapter))
            r = check_one(server, caller, adapter, field, p);
    }
    return r;
}
