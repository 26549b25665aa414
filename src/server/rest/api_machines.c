/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/clone.h"
#include "server/folders.h"
#include "server/life.h"
#include "server/limits.h"
#include "server/merge.h"
#include "server/networks.h"
#include "server/rest/quota.h"
#include "server/settings.h"
#include "server/shares.h"

static void tell(struct request *q, struct machine *m, enum event_kind kind, const char *words)
{
    bus_event(q->server,
              &(struct event){.kind = kind,
                              .actor = &q->actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_REQUEST},
              "%s %s", m->name, words);
    machine_changed(m);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct machine *const *)a)->name, (*(struct machine *const *)b)->name);
}

void api_list_machines(struct request *q)
{
    const char *state = request_text(q, "state"), *name = request_text(q, "name");
    AUTO_FREE struct machine **list =
        calloc(q->server->machine_count + 1, sizeof(struct machine *));
    struct text text = {.failed = !list};
    size_t count = 0;

    for (struct machine *m = list ? q->server->machines : NULL; m; m = m->next)
        if ((caller_machine_rights(&q->caller, m) & RIGHT_BIT(RIGHT_VIEW)) &&
            (!state || !strcmp(state, machine_state_names[m->state])) &&
            (!name || !strcmp(name, m->name)))
            list[count++] = m;
    if (count)
        qsort(list, count, sizeof(struct machine *), by_name);
    text_puts(&text, "{\"machines\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            text_puts(&text, ",");
        machine_print(list[i], &q->caller, &text);
    }
    text_puts(&text, "]}");
    reply_text(q, 200, text_take(&text));
}

void api_get_machine(struct request *q)
{
    reply_machine(q, 200, q->machine);
}

/* ---- what a definition names ---- */

/* A file that was not in the definition before must be one that the caller may use. */
static int check_file(struct request *q, const char *file, enum right right, const char *field,
                      struct problem *p)
{
    enum folder_use use = right == RIGHT_MODIFY ? FOLDER_WRITE : FOLDER_READ;
    AUTO_FREE char *real = NULL;
    int r = folder_resolve(q->server, file, use, field, &real, NULL, p);

    if (r < 0)
        return r;
    return caller_may(q->server, &q->caller, OBJECT_TYPE_DISK, real, right, p);
}

static bool has_disk(json_t *definition, json_t *disk)
{
    json_t *one, *disks = json_object_get(definition, "disk");
    size_t i;

    json_array_foreach(disks, i, one) if (json_equal(one, disk)) return true;
    return false;
}

static int check_disks(struct request *q, json_t *definition, json_t *before, struct problem *p)
{
    json_t *disk, *disks = json_object_get(definition, "disk");
    char field[64];
    size_t i;
    int r = 0;

    json_array_foreach(disks, i, disk)
    {
        const char *file = json_string_value(json_object_get(disk, "file"));
        bool readonly = json_is_true(json_object_get(disk, "readonly"));

        if (r < 0 || has_disk(before, disk))
            continue;
        snprintf(field, sizeof(field), "/disk/%zu/file", i);
        if (*file == '/')
            r = check_file(q, file, readonly ? RIGHT_VIEW : RIGHT_MODIFY, field, p);
        else if (strchr(file, '/') || *file == '.')
            r = problem_set(p, PROBLEM_CODE_INVALID, field,
                            "'%.100s' is neither an absolute path nor a plain name", file);
    }
    return r;
}

static int check_definition(struct request *q, json_t *definition, json_t *before,
                            struct problem *p)
{
    static const char *const files[] = {"kernel", "initrd",  "cdrom",
                                        "floppy", "parents", "firmware"};
    char field[64];
    int r = check_disks(q, definition, before, p);

    if (r == 0)
        r = network_check_adapters(q->server, &q->caller, definition, before, p);
    for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++) {
        json_t *value = json_object_get(definition, files[i]);
        const char *text = json_string_value(value);

        if (!text || !strcmp(text, "bios") || !strcmp(text, "uefi") ||
            json_equal(value, json_object_get(before, files[i])))
            continue;
        snprintf(field, sizeof(field), "/%s", files[i]);
        r = check_file(q, text, RIGHT_VIEW, field, p);
    }
    return r;
}

/* ---- making ---- */

static bool may_create(struct request *q, struct problem *p)
{
    if (q->caller.administrator || quota_may_create(q->server, &q->caller))
        return true;
    problem_set(p, PROBLEM_CODE_FORBIDDEN, NULL,
                "%s has no room for machines of their own; ask an administrator", q->caller.user);
    return false;
}

static void answer_created(struct request *q, struct machine *m)
{
    struct life_request request = {
        .op = OP_START, .actor = &q->actor, .cause = EVENT_CAUSE_REQUEST};
    struct task *task;
    struct problem p;

    tell(q, m, EVENT_KIND_MACHINE_CREATED, "was made");
    if (json_is_true(json_object_get(q->body, "start")))
        life_act(m, &request, &task, &p); /* the machine is made even when it does not start */
    snprintf(q->location, sizeof(q->location), API_PREFIX "/machines/%s", m->id);
    reply_machine(q, 201, m);
}

static void on_first_disk(void *ctx, struct machine *m, const struct problem *p)
{
    if (m)
        answer_created(ctx, m);
    else
        reply_problem(ctx, p);
}

void api_create_machine(struct request *q)
{
    json_t *definition = json_object_get(q->body, "definition");
    json_t *disk = json_object_get(q->body, "create-disk");
    const char *owner =
        json_string_value(json_object_get(json_object_get(definition, "server"), "owner"));
    const char *bus = json_string_value(json_object_get(disk, "bus"));
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(disk, "size-bytes"));
    struct machine *m = NULL;
    struct problem p;
    int r = may_create(q, &p) ? 0 : -1;

    if (!q->caller.administrator || !owner)
        owner = q->caller.user;
    if (r == 0)
        r = check_definition(q, definition, NULL, &p);
    if (r == 0 && !q->caller.administrator)
        r = quota_check(q->server, owner, NULL, definition, bytes, &p);
    if (r == 0)
        r = machine_create(q->server, definition, owner, disk != NULL, &m, &p);
    if (r == 0 && disk) {
        r = clone_first_disk(m, bytes, bus ? bus : "ide",
                             json_is_true(json_object_get(disk, "fixed")), on_first_disk, q, &p);
        if (r == 0)
            return;
        machine_remove(m, true, &(struct problem){0});
    }
    if (r < 0)
        reply_problem(q, &p);
    else
        answer_created(q, m);
}

/* ---- changing ---- */

static bool redefine(struct request *q, json_t *definition)
{
    struct machine *m = q->machine;
    struct schema_fault fault = {.error = {""}};
    const char *owner = machine_owner(m);
    struct problem p;
    int r = 0;

    if (schema_check(&schema_Definition, definition, &fault) < 0)
        r = problem_set(&p, PROBLEM_CODE_INVALID, fault.field, "%s", fault.error.text);
    if (r == 0)
        r = check_definition(q, definition, m->definition, &p);
    if (r == 0 && owner && !q->caller.administrator)
        r = quota_check(q->server, owner, m, definition, 0, &p);
    if (r == 0)
        r = machine_redefine(m, definition, &p);
    if (r < 0)
        reply_problem(q, &p);
    return r == 0;
}

static void change(struct request *q, json_t *definition, enum event_kind kind, const char *words)
{
    json_t *before = json_incref(q->machine->definition);
    struct error err = {""};

    if (definition && redefine(q, definition)) {
        network_move_adapters(q->machine, before);
        int r = share_change(q->machine, &err); /* shares count at once */

        limits_send(q->machine);

        tell(q, q->machine, kind, words);
        if (r < 0 && kind == EVENT_KIND_MACHINE_RESOURCES_CHANGED)
            reply_error(q, PROBLEM_CODE_FAILED, NULL,
                        "it is kept for the next start, but the host refuses it now: %s", err.text);
        else
            reply_machine(q, 200, q->machine);
    }
    json_decref(before);
    json_decref(definition);
}

void api_replace_definition(struct request *q)
{
    if (request_matches(q, q->machine->etag))
        change(q, json_incref(q->body), EVENT_KIND_MACHINE_CHANGED, "was changed");
}

void api_change_definition(struct request *q)
{
    if (request_matches(q, q->machine->etag))
        change(q, merge_patch(q->machine->definition, q->body), EVENT_KIND_MACHINE_CHANGED,
               "was changed");
}

void api_rename_machine(struct request *q)
{
    change(q, merge_patch(q->machine->definition, q->body), EVENT_KIND_MACHINE_RENAMED,
           "is its new name");
}

void api_change_resources(struct request *q)
{
    json_t *patch = json_pack("{s:{s:O}}", "server", "resources", q->body);

    change(q, merge_patch(q->machine->definition, patch), EVENT_KIND_MACHINE_RESOURCES_CHANGED,
           "has another share of the host");
    json_decref(patch);
}

void api_delete_machine(struct request *q)
{
    struct about about = machine_about(q->machine);
    struct machine *m = q->machine;
    struct task *task;
    struct problem p;

    if (m->op != OP_NONE || life_is_on(m)) {
        problem_set(&p, PROBLEM_CODE_STATE, NULL, "%s is %s; turn it off first", m->name,
                    machine_state_names[m->state]);
        p.state = (int)m->state;
        reply_problem(q, &p);
        return;
    }
    task = task_new(q->server, "machine.delete", &about, &q->actor, EVENT_CAUSE_REQUEST);
    if (!task) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
        return;
    }
    tell(q, m, EVENT_KIND_MACHINE_DELETED, "was deleted");
    q->machine = NULL;
    if (machine_remove(m, request_boolean(q, "disks"), &p) < 0)
        task_failed(task, &p);
    else
        task_done(task, NULL);
    reply_task(q, 202, task);
}

/* What copies of its disks take of the host, about. */
static uint64_t disks_bytes(struct machine *m)
{
    json_t *disk, *disks = json_object_get(m->definition, "disk");
    uint64_t bytes = 0;
    struct stat st;
    size_t i;

    json_array_foreach(disks, i, disk)
    {
        AUTO_FREE char *path =
            machine_disk_path(m, json_string_value(json_object_get(disk, "file")));

        if (path && stat(path, &st) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    }
    return bytes;
}

/* Who may see a machine may copy its disks, but does not get at networks and files through it. */
static int check_clone(struct request *q, enum clone_disks how, struct problem *p)
{
    uint64_t bytes = how == CLONE_COPY ? disks_bytes(q->machine) : 0;
    json_t *others = json_copy(q->machine->definition);
    int r;

    json_object_del(others, "disk");
    r = check_definition(q, others, NULL, p);
    json_decref(others);
    return r < 0 ? r
                 : quota_check(q->server, q->caller.user, NULL, q->machine->definition, bytes, p);
}

void api_clone_machine(struct request *q)
{
    const char *name = json_string_value(json_object_get(q->body, "name"));
    const char *disks = json_string_value(json_object_get(q->body, "disks"));
    enum clone_disks how = !disks || !strcmp(disks, "copy") ? CLONE_COPY
                           : !strcmp(disks, "differencing") ? CLONE_DIFFERENCING
                                                            : CLONE_NONE;
    struct task *task;
    struct problem p;
    int r = may_create(q, &p) ? 0 : -1;

    if (r == 0 && !q->caller.administrator)
        r = check_clone(q, how, &p);
    if (r == 0)
        r = clone_begin(q->machine, name, how, q->caller.user, &q->actor, &task, &p);
    if (r < 0)
        reply_problem(q, &p);
    else
        reply_task(q, 202, task);
}

/* ---- actions ---- */

static void act(struct request *q, struct life_request request)
{
    struct task *task = NULL;
    struct problem p;

    request.actor = &q->actor;
    request.cause = EVENT_CAUSE_REQUEST;
    if (life_act(q->machine, &request, &task, &p) < 0)
        reply_problem(q, &p);
    else
        reply_task(q, 202, task);
}

void api_start_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_START});
}

void api_restore_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_START, .only_saved = true});
}

void api_pause_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_PAUSE});
}

void api_resume_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_RESUME});
}

void api_save_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_SAVE});
}

void api_reset_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_RESET});
}

void api_turn_off_machine(struct request *q)
{
    act(q, (struct life_request){.op = OP_TURN_OFF,
                                 .undo = json_string_value(json_object_get(q->body, "undo"))});
}

void api_shut_down_machine(struct request *q)
{
    json_t *seconds = json_object_get(q->body, "timeout-seconds");

    act(q, (struct life_request){.op = OP_SHUTDOWN,
                                 .timeout_seconds =
                                     seconds ? (unsigned)json_integer_value(seconds) : 120,
                                 .force = json_is_true(json_object_get(q->body, "force"))});
}

void api_discard_saved_state(struct request *q)
{
    struct about about = machine_about(q->machine);
    struct task *task;
    struct problem p;

    if (life_discard(q->machine, &q->actor, &p) < 0) {
        reply_problem(q, &p);
        return;
    }
    task = task_new(q->server, "machine.discard", &about, &q->actor, EVENT_CAUSE_REQUEST);
    if (!task) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
        return;
    }
    task_done(task, NULL);
    reply_task(q, 202, task);
}
