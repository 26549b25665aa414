/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/disks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/files.h"
#include "server/life.h"

#define INSPECT_MS 20000

struct work {
    struct server *server;
    struct task *task;
    struct child *child;
    char *file, *made;
    enum event_kind event;
    const char *words;
    bool cancelled;
    json_t *(*result)(const struct child_result *child, struct problem *p);
};

struct task *disk_task(struct server *server, const char *file)
{
    for (struct task *task = server->tasks; task; task = task->next)
        if (task->state == TASK_STATE_RUNNING && task->object_type == OBJECT_TYPE_DISK &&
            !strcmp(task->object, file))
            return task;
    return NULL;
}

int disk_free_to_change(struct server *server, const char *file, const char *field,
                        struct problem *p)
{
    struct machine *m = server->machines;

    while (m && !((life_is_on(m) || m->state == MACHINE_STATE_SAVED) && machine_uses(m, file)))
        m = m->next;
    if (m)
        return problem_set(p, PROBLEM_CODE_IN_USE, field,
                           "%s is used by the machine %s, which is %s; turn it off first", file,
                           m->name, machine_state_names[m->state]);
    if (disk_task(server, file))
        return problem_set(p, PROBLEM_CODE_BUSY, field, "a task works on %s", file);
    return 0;
}

unsigned disk_parent_args(struct server *server, const char **args, unsigned room)
{
    json_t *folder, *folders = json_object_get(server->settings, "folders");
    unsigned n = 0;
    size_t i;

    json_array_foreach(folders, i, folder)
    {
        if (n + 2 > room)
            break;
        args[n++] = "--parents";
        args[n++] = json_string_value(json_object_get(folder, "path"));
    }
    return n;
}

json_t *disk_check_result(const struct child_result *child, struct problem *p)
{
    (void)p;
    return json_pack("{s:b, s:s}", "problems", child->status != 0, "output", child->output);
}

static void on_progress(void *ctx, int percent)
{
    struct work *work = ctx;

    task_percent(work->task, percent);
}

/* The last line of what it said, without "yado disk VERB: ". */
static void child_problem(const struct child_result *child, struct problem *p)
{
    char text[400];
    const char *at = strstr(child->errors, ": ");
    size_t len;

    snprintf(text, sizeof(text), "%s",
             at && !strncmp(child->errors, "yado ", 5) ? at + 2 : child->errors);
    for (len = strlen(text); len && text[len - 1] == '\n'; len--)
        text[len - 1] = '\0';
    if (child->timed_out)
        problem_set(p, PROBLEM_CODE_FAILED, NULL, "it took too long");
    else if (!*text)
        problem_set(p, PROBLEM_CODE_FAILED, NULL, "yado disk ended with status %d", child->status);
    else
        problem_set(p, child->status == 2 ? PROBLEM_CODE_INVALID : PROBLEM_CODE_FAILED, NULL, "%s",
                    text);
}

static void work_free(struct work *work)
{
    free(work->file);
    free(work->made);
    free(work);
}

static void tell(struct work *work, enum event_kind kind, enum severity severity, const char *text)
{
    bus_event(work->server,
              &(struct event){.kind = kind,
                              .severity = severity,
                              .actor = &work->task->actor,
                              .about = {OBJECT_TYPE_DISK, work->file, NULL},
                              .cause = EVENT_CAUSE_REQUEST,
                              .task = work->task->id},
              "%s %s", work->file, text);
}

static void on_end(void *ctx, const struct child_result *child)
{
    struct work *work = ctx;
    struct problem p;
    json_t *result = NULL;
    bool ok = child->status == 0 && !child->timed_out;
    char text[600];

    if (work->result && child->status >= 0 && child->status <= 1 && !work->cancelled) {
        result = work->result(child, &p);
        ok = result != NULL;
    }
    if (ok) {
        tell(work, work->event, SEVERITY_INFO, work->words);
        task_done(work->task, result ? result : json_pack("{s:s}", "file", work->file));
    } else {
        if (work->made)
            unlink(work->made);
        child_problem(child, &p);
        if (work->cancelled) {
            tell(work, EVENT_KIND_TASK_CANCELLED, SEVERITY_INFO, "was left as it was: cancelled");
            task_cancelled(work->task);
        } else {
            snprintf(text, sizeof(text), "could not be worked on: %s", p.detail.text);
            tell(work, EVENT_KIND_DISK_FAILED, SEVERITY_WARNING, text);
            task_failed(work->task, &p);
        }
    }
    work_free(work);
}

static void cancel(void *ctx, struct task *task)
{
    struct work *work = ctx;

    (void)task;
    work->cancelled = true;
    child_stop(work->child);
}

int disk_begin(struct server *server, const struct disk_job *job, const struct actor *actor,
               struct task **ret_task, struct problem *p)
{
    AUTO_FREE char *program = files_join(server->programs, "yado");
    const char *args[ARRAY_LEN(job->args) + 2] = {program, "disk"};
    static const char *const env[] = {"PATH=/usr/bin:/bin", "YADO_PROGRESS_FD=3", NULL};
    struct about about = {OBJECT_TYPE_DISK, job->file, NULL};
    struct work *work = calloc(1, sizeof(*work));
    struct child_request request = {.args = args,
                                    .env = env,
                                    .progress = true,
                                    .on_progress = on_progress,
                                    .on_end = on_end,
                                    .ctx = work};
    struct error err = {""};

    for (size_t i = 0; job->args[i]; i++)
        args[i + 2] = job->args[i];
    if (work) {
        *work = (struct work){.server = server,
                              .file = strdup(job->file),
                              .made = job->made ? strdup(job->made) : NULL,
                              .event = job->event,
                              .words = job->words,
                              .result = job->result};
        work->task = task_new(server, job->kind, &about, actor, EVENT_CAUSE_REQUEST);
    }
    if (!program || !work || !work->file || !work->task) {
        if (work)
            work_free(work);
        return problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    }
    if (child_start(server->loop, &request, &work->child, &err) < 0) {
        problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
        task_failed(work->task, p);
        work_free(work);
        return -1;
    }
    work->task->cancel = cancel;
    work->task->cancel_ctx = work;
    *ret_task = work->task;
    return 0;
}

struct inspection {
    void (*done)(void *ctx, json_t *info, const struct problem *p);
    void *ctx;
};

static void on_inspected(void *ctx, const struct child_result *child)
{
    struct inspection *inspection = ctx;
    json_t *info = child->status == 0 ? json_loads(child->output, 0, NULL) : NULL;
    struct problem p;

    if (!info)
        child_problem(child, &p);
    inspection->done(inspection->ctx, info, &p);
    json_decref(info);
    free(inspection);
}

int disk_inspect(struct server *server, const char *file,
                 void (*done)(void *ctx, json_t *info, const struct problem *p), void *ctx,
                 struct problem *p)
{
    AUTO_FREE char *program = files_join(server->programs, "yado");
    const char *args[24] = {program, "disk", "info", "--json"};
    struct inspection *inspection = calloc(1, sizeof(*inspection));
    struct child_request request = {
        .args = args, .timeout_ms = INSPECT_MS, .on_end = on_inspected, .ctx = inspection};
    struct error err = {"no memory"};
    unsigned n = 4 + disk_parent_args(server, args + 4, 16);

    args[n] = "--";
    args[n + 1] = file;
    if (program && inspection) {
        *inspection = (struct inspection){done, ctx};
        if (child_start(server->loop, &request, NULL, &err) == 0)
            return 0;
    }
    free(inspection);
    return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
}
