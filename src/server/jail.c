/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/jail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/child.h"
#include "server/files.h"
#include "server/networks.h"
#include "server/process.h"
#include "server/shares.h"

#define JAIL_PROGRAM "yado-jail"
#define REACH_MS 10000
/* A machine's user: a number of its own in a range that no account has (see yado-jail(8)). */
#define UID_FIRST 0x59000000u
#define UID_COUNT 0x00ffffffu

/* ---- yado-jail ---- */

static unsigned uid_of(const struct machine *m)
{
    return UID_FIRST + (unsigned)(strtoull(m->id, NULL, 16) % UID_COUNT);
}

static int add(struct jail *jail, const char *text)
{
    if (jail->count + 2 > JAIL_ARGS_MAX)
        return -E2BIG;
    jail->args[jail->count++] = text;
    jail->args[jail->count] = NULL;
    return 0;
}

static int add_owned(struct jail *jail, char *text)
{
    if (!text || jail->owned_count == JAIL_ARGS_MAX) {
        free(text);
        return -ENOMEM;
    }
    jail->owned[jail->owned_count++] = text;
    return add(jail, text);
}

/* A file that the machine may use; "bios" and the like are none. */
static int add_file(struct jail *jail, const char *option, const char *path)
{
    bool file = path && *path == '/';
    int r = file ? add(jail, option) : 0;

    return r < 0 || !file ? r : add_owned(jail, strdup(path));
}

static const char *member(const struct machine *m, const char *name)
{
    return json_string_value(json_object_get(m->started, name));
}

static int add_disks(struct jail *jail, struct machine *m)
{
    json_t *disk, *disks = json_object_get(m->started, "disk");
    bool undo = json_object_get(m->started, "undo") != NULL;
    size_t i;
    int r = 0;

    json_array_foreach(disks, i, disk)
    {
        bool readonly = json_is_true(json_object_get(disk, "readonly"));
        const char *file = json_string_value(json_object_get(disk, "file"));
        char *path = machine_disk_path(m, file), *slash = path ? strrchr(path, '/') : NULL;

        if (!slash)
            r = -ENOMEM;
        if (r == 0)
            r = add_file(jail, readonly ? "--read" : "--write", path);
        if (r == 0)
            r = add_file(jail, "--disk", path);
        /* An undo disk is made beside its disk. */
        if (r == 0 && undo)
            *slash = '\0', r = add_file(jail, "--folder", path);
        free(path);
        if (r < 0)
            return r;
    }
    return r;
}

/* Where parents may be: what `yado disk` is told, too. */
static int add_parents(struct jail *jail, struct machine *m)
{
    json_t *folder, *folders = json_object_get(m->server->settings, "folders");
    size_t i;
    int r = add_file(jail, "--parents", member(m, "parents"));

    json_array_foreach(folders, i, folder)
    {
        if (r == 0)
            r = add_file(jail, "--parents", json_string_value(json_object_get(folder, "path")));
    }
    return r;
}

/*
 * A machine without adapters reaches nothing at all. The others may be led behind a NAT of their
 * own at any time, whose connections are the host's. Without "net" there is such an adapter. The
 * sockets of networks are linked into the machine's folder (network_adapters.c).
 */
static int add_nets(struct jail *jail, struct machine *m)
{
    json_t *net, *nets = json_object_get(m->started, "net");
    bool none = json_is_string(nets) || (nets && !json_array_size(nets));
    size_t i;
    int r = none ? 0 : add(jail, "--net");

    json_array_foreach(nets, i, net)
    {
        const char *type = json_string_value(json_object_get(net, "type"));

        if (r == 0 && type && !strcmp(type, "tap"))
            r = add(jail, "--wire");
    }
    return r;
}

static int fill(struct jail *jail, struct machine *m, const char *const *args)
{
    static const char *const files[] = {"kernel", "initrd", "cdrom", "floppy", "firmware"};
    AUTO_FREE char *group = share_group(m);
    AUTO_FREE char *definition = files_join(m->run, "vm.json"); /* the server's, as is */
    AUTO_FREE char *links = files_join(m->run, NETWORK_LINKS);
    char uid[16];
    int r = add_owned(jail, files_join(m->server->programs, JAIL_PROGRAM));

    snprintf(uid, sizeof(uid), "%u", uid_of(m));
    if (r == 0)
        r = add(jail, "--uid");
    if (r == 0)
        r = add_owned(jail, strdup(uid));
    if (r == 0)
        r = add_file(jail, "--run", m->run);
    if (r == 0)
        r = definition && links ? add_file(jail, "--write", definition) : -ENOMEM;
    if (r == 0)
        r = add_file(jail, "--folder", links);
    if (r == 0)
        r = add_file(jail, "--folder", m->files);
    if (r == 0)
        r = add_disks(jail, m);
    for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++)
        r = add_file(jail, "--read", member(m, files[i]));
    if (r == 0)
        r = add_parents(jail, m);
    if (r == 0)
        r = add_nets(jail, m);
    if (r == 0)
        r = add_file(jail, "--group", group);
    if (r == 0)
        r = add(jail, "--");
    for (size_t i = 0; args[i] && r == 0; i++)
        r = add(jail, args[i]);
    return r;
}

int jail_wrap(struct machine *m, const char *const *args, struct jail *ret_jail, struct error *err)
{
    int r;

    *ret_jail = (struct jail){.count = 0};
    if (m->server->jail_missing)
        return 0;
    r = fill(ret_jail, m, args);
    if (r < 0) {
        jail_done(ret_jail);
        return error_set(err, r, "the machine has too many files");
    }
    return 0;
}

void jail_done(struct jail *jail)
{
    for (unsigned i = 0; i < jail->owned_count; i++)
        free(jail->owned[i]);
    *jail = (struct jail){.count = 0};
}

struct reach {
    void (*done)(void *ctx, const struct problem *p);
    void *ctx;
};

static void on_reached(void *ctx, const struct child_result *child)
{
    struct reach *reach = ctx;
    struct problem p;

    if (child->status != 0)
        problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%.400s",
                    *child->errors ? child->errors : "the machine's jail cannot be opened");
    reach->done(reach->ctx, child->status != 0 ? &p : NULL);
    free(reach);
}

void jail_reach(struct machine *m, const char *path,
                void (*done)(void *ctx, const struct problem *p), void *ctx)
{
    AUTO_FREE char *program = files_join(m->server->programs, JAIL_PROGRAM);
    struct reach *reach;
    char uid[16], pid[16];
    const char *args[] = {program, "--uid", uid, "--into", pid, "--read", path, NULL};
    struct child_request request = {.args = args, .timeout_ms = REACH_MS, .on_end = on_reached};
    struct error err = {"no memory"};
    struct problem p;

    if (m->server->jail_missing || !process_pid(m)) {
        done(ctx, NULL);
        return;
    }
    snprintf(uid, sizeof(uid), "%u", uid_of(m));
    snprintf(pid, sizeof(pid), "%d", (int)process_pid(m));
    request.ctx = reach = malloc(sizeof(*reach));
    if (program && reach) {
        *reach = (struct reach){done, ctx};
        if (child_start(m->server->loop, &request, NULL, &err) == 0)
            return;
    }
    free(reach);
    problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    done(ctx, &p);
}

/* What jail.json says that the host refuses, in one text; NULL: nothing, or nothing is known. */
static char *missing_parts(json_t *report)
{
    json_t *part, *parts = json_object_get(report, "missing");
    char *text = NULL;
    size_t i;

    json_array_foreach(parts, i, part)
    {
        AUTO_FREE char *before = TAKE_PTR(text);

        if (asprintf(&text, "%s%s%s", before ? before : "", before ? ", " : "",
                     json_string_value(part)) < 0)
            text = NULL;
    }
    return text;
}

void jail_look(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->run, "jail.json");
    AUTO_FREE char *missing = NULL;
    struct actor actor = actor_system("server");
    json_t *report = NULL;

    if (!path || files_read_json(path, &report, NULL) < 0) {
        m->jailed = false;
        return;
    }
    missing = missing_parts(report);
    json_decref(report);
    m->jailed = !missing;
    if (!missing || (m->server->jail_said && !strcmp(m->server->jail_said, missing)))
        return;
    bus_event(m->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_JAIL_INCOMPLETE,
                              .severity = SEVERITY_WARNING,
                              .actor = &actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_HOST},
              "%s runs without %s: the host refuses it", m->name, missing);
    free(m->server->jail_said);
    m->server->jail_said = TAKE_PTR(missing);
}

void jail_init(struct server *server)
{
    AUTO_FREE char *program = files_join(server->programs, JAIL_PROGRAM);

    if (geteuid() != 0)
        server->jail_missing = "the server does not run as root: machines run as its own user, "
                               "without namespaces of their own";
    else if (!program || access(program, X_OK) < 0)
        server->jail_missing = "yado-jail is not installed beside yadod";
    else
        server->jail_missing = NULL;
}
