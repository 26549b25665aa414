/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/clone.h"

#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/child.h"
#include "server/disks.h"
#include "server/files.h"
#include "server/life.h"

/* ---- a first disk ---- */

struct first_disk {
    struct server *server;
    char id[17];
    char bus[16];
    void (*done)(void *ctx, struct machine *m, const struct problem *p);
    void *ctx;
};

static int add_disk(struct machine *m, const char *bus, struct problem *p)
{
    json_t *definition = json_deep_copy(m->definition);
    json_t *disks = json_object_get(definition, "disk");
    int r;

    if (!disks) {
        disks = json_array();
        json_object_set_new(definition, "disk", disks);
    }
    json_array_insert_new(disks, 0, json_pack("{s:s, s:s}", "file", "files/disk.vhd", "bus", bus));
    r = machine_redefine(m, definition, p);
    json_decref(definition);
    return r;
}

static void on_first_disk(void *ctx, const struct child_result *child)
{
    struct first_disk *first = ctx;
    struct machine *m = machine_find(first->server, first->id);
    struct problem p, ignored;
    bool ok = child->status == 0;

    if (m)
        m->op = OP_NONE;
    if (!ok)
        problem_set(&p, PROBLEM_CODE_FAILED, "/create-disk", "%.400s",
                    *child->errors ? child->errors : "the disk could not be made");
    else if (m && (add_disk(m, first->bus, &p) < 0 || machine_finished(m, &p) < 0))
        ok = false;
    if (!m)
        problem_set(&p, PROBLEM_CODE_CONFLICT, NULL, "the machine was removed meanwhile");
    if (m && !ok)
        machine_remove(m, true, &ignored);
    first->done(first->ctx, ok ? m : NULL, ok && m ? NULL : &p);
    free(first);
}

int clone_first_disk(struct machine *m, uint64_t size_bytes, const char *bus, bool fixed,
                     void (*done)(void *ctx, struct machine *m, const struct problem *p), void *ctx,
                     struct problem *p)
{
    AUTO_FREE char *program = files_join(m->server->programs, "yado");
    AUTO_FREE char *path = files_join(m->files, "disk.vhd");
    struct first_disk *first = calloc(1, sizeof(*first));
    char size[32];
    const char *args[8] = {program, "disk", "create"};
    unsigned n = 3;
    struct child_request request = {.args = args, .on_end = on_first_disk, .ctx = first};
    struct error err = {"no memory"};

    if (program && path && first) {
        snprintf(size, sizeof(size), "%llu", (unsigned long long)size_bytes);
        if (fixed)
            args[n++] = "--fixed";
        args[n++] = path;
        args[n++] = size;
        *first = (struct first_disk){.server = m->server, .done = done, .ctx = ctx};
        memcpy(first->id, m->id, sizeof(first->id));
        snprintf(first->bus, sizeof(first->bus), "%s", bus);
        if (child_start(m->server->loop, &request, NULL, &err) == 0) {
            m->op = OP_OTHER; /* nobody starts it without its disk */
            return 0;
        }
    }
    free(first);
    return problem_set(p, PROBLEM_CODE_FAILED, "/create-disk", "%s", err.text);
}

/* ---- clone ---- */

struct clone {
    struct server *server;
    struct task *task;
    char from[17], to[17];
    enum clone_disks disks;
    unsigned at, count; /* disks */
    struct child *child;
    bool cancelled;
};

static void next_disk(struct clone *clone);

static void clone_end(struct clone *clone, const struct problem *problem)
{
    struct machine *from = machine_find(clone->server, clone->from);
    struct machine *to = machine_find(clone->server, clone->to);
    struct task *task = clone->task;
    struct problem ignored, unfinished;

    if (!problem && !clone->cancelled && to && machine_finished(to, &unfinished) < 0)
        problem = &unfinished;
    if (from && from->task == task) {
        from->op = OP_NONE;
        from->task = NULL;
        machine_changed(from);
    }
    if (to) {
        to->op = OP_NONE;
        to->task = NULL;
    }
    if (to && (problem || clone->cancelled))
        machine_remove(to, true, &ignored);
    if (clone->cancelled) {
        task_cancelled(task);
    } else if (problem) {
        task_failed(task, problem);
    } else {
        bus_event(clone->server,
                  &(struct event){.kind = EVENT_KIND_MACHINE_CLONED,
                                  .actor = &task->actor,
                                  .about = machine_about(to),
                                  .cause = EVENT_CAUSE_REQUEST,
                                  .task = task->id,
                                  .data = json_pack("{s:s}", "from", clone->from)},
                  "%s was made like %s", to->name, from ? from->name : clone->from);
        machine_changed(to);
        task_done(task, json_pack("{s:s}", "machine", clone->to));
    }
    free(clone);
}

static void on_progress(void *ctx, int percent)
{
    struct clone *clone = ctx;

    task_percent(clone->task, ((int)clone->at * 100 + percent) / (int)MAX(clone->count, 1u));
}

/* Name the copy in the clone's definition. */
static int use_copy(struct clone *clone, struct machine *to, struct problem *p)
{
    json_t *definition = json_deep_copy(to->definition);
    json_t *disk = json_array_get(json_object_get(definition, "disk"), clone->at);
    char name[32];
    int r;

    snprintf(name, sizeof(name), "files/disk%u.vhd", clone->at);
    json_object_set_new(disk, "file", json_string(name));
    r = machine_redefine(to, definition, p);
    json_decref(definition);
    return r;
}

static void on_disk(void *ctx, const struct child_result *child)
{
    struct clone *clone = ctx;
    struct machine *to = machine_find(clone->server, clone->to);
    struct problem p;

    clone->child = NULL;
    if (!to || child->status != 0) {
        problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%.400s",
                    *child->errors ? child->errors : "a disk could not be copied");
        clone_end(clone, &p);
    } else if (use_copy(clone, to, &p) < 0) {
        clone_end(clone, &p);
    } else {
        clone->at++;
        next_disk(clone);
    }
}

static int copy_disk(struct clone *clone, const char *from, const char *to, struct problem *p)
{
    AUTO_FREE char *program = files_join(clone->server->programs, "yado");
    static const char *const env[] = {"PATH=/usr/bin:/bin", "YADO_PROGRESS_FD=3", NULL};
    const char *args[32] = {program, "disk"};
    struct child_request request = {.args = args,
                                    .env = env,
                                    .progress = true,
                                    .on_progress = on_progress,
                                    .on_end = on_disk,
                                    .ctx = clone};
    struct error err = {"no memory"};
    unsigned n = 2;

    if (clone->disks == CLONE_COPY) {
        args[n++] = "convert";
        n += disk_parent_args(clone->server, args + n, 16);
        args[n++] = "--";
        args[n++] = from;
    } else {
        args[n++] = "create";
        args[n++] = "--parent";
        args[n++] = from;
        args[n++] = "--";
    }
    args[n++] = to;
    if (program && child_start(clone->server->loop, &request, &clone->child, &err) == 0)
        return 0;
    return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
}

static void next_disk(struct clone *clone)
{
    struct machine *from = machine_find(clone->server, clone->from);
    struct machine *to = machine_find(clone->server, clone->to);
    AUTO_FREE char *source = NULL, *target = NULL;
    struct problem p;
    json_t *disk;

    if (!from || !to) {
        problem_set(&p, PROBLEM_CODE_CONFLICT, NULL, "a machine was removed meanwhile");
        clone_end(clone, &p);
        return;
    }
    if (clone->at == clone->count || clone->cancelled) {
        clone_end(clone, NULL);
        return;
    }
    disk = json_array_get(json_object_get(from->definition, "disk"), clone->at);
    source = machine_disk_path(from, json_string_value(json_object_get(disk, "file")));
    if (asprintf(&target, "%s/disk%u.vhd", to->files, clone->at) < 0)
        target = NULL;
    if (!source || !target)
        problem_set(&p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    else if (copy_disk(clone, source, target, &p) == 0)
        return;
    clone_end(clone, &p);
}

static void cancel(void *ctx, struct task *task)
{
    struct clone *clone = ctx;

    (void)task;
    clone->cancelled = true;
    if (clone->child)
        child_stop(clone->child);
}

int clone_begin(struct machine *m, const char *name, enum clone_disks disks, const char *owner,
                const struct actor *actor, struct task **ret_task, struct problem *p)
{
    struct life_request request = {
        .op = OP_OTHER, .kind = "machine.clone", .actor = actor, .cause = EVENT_CAUSE_REQUEST};
    struct clone *clone = calloc(1, sizeof(*clone));
    json_t *definition = json_deep_copy(m->definition), *adapter;
    struct machine *to = NULL;
    size_t i;
    int r = -1;

    if (!clone || !definition) {
        r = problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    } else if (machine_find_name(m->server, name)) {
        r = problem_set(p, PROBLEM_CODE_EXISTS, "/name", "there is a machine '%s' already", name);
    } else {
        json_object_set_new(definition, "name", json_string(name));
        if (disks == CLONE_NONE)
            json_object_del(definition, "disk");
        /* Both are to be on at once: an address is the original's. */
        json_array_foreach(json_object_get(definition, "net"), i, adapter)
            json_object_del(adapter, "mac");
        r = life_act(m, &request, ret_task, p);
    }
    if (r == 0 && machine_create(m->server, definition, owner, true, &to, p) < 0) {
        life_finish(m, p);
        r = -1;
    }
    json_decref(definition);
    if (r < 0) {
        free(clone);
        return r;
    }
    to->op = OP_OTHER; /* nobody starts it while its disks are not there */
    to->task = m->task;
    *clone = (struct clone){.server = m->server, .task = *ret_task, .disks = disks};
    memcpy(clone->from, m->id, sizeof(clone->from));
    memcpy(clone->to, to->id, sizeof(clone->to));
    clone->count = (unsigned)json_array_size(json_object_get(to->definition, "disk"));
    clone->task->cancel = cancel;
    clone->task->cancel_ctx = clone;
    next_disk(clone);
    return 0;
}
