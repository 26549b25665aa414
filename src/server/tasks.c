/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/tasks.h"

#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/stamp.h"

#define KEEP_MS (24 * 3600 * 1000LL)
#define KEEP_MAX 500

static void task_free(struct task *task)
{
    free(task->kind);
    free(task->object);
    free(task->object_name);
    json_decref(task->result);
    free(task);
}

static void tell(struct task *task)
{
    bus_send(task->server, &(struct bus_message){.type = BUS_TASK, .task = task});
}

static void keep(struct task *task)
{
    json_t *o = task_json(task);
    AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    if (!text)
        return;
    if (task->ended_ms)
        store_run(task->server->store, NULL,
                  "INSERT OR REPLACE INTO tasks (id, created, ended, json) VALUES (?, ?, ?, ?)",
                  "siis", task->id, task->created_ms, task->ended_ms, text);
    else
        store_run(task->server->store, NULL,
                  "INSERT INTO tasks (id, created, json) VALUES (?, ?, ?)", "sis", task->id,
                  task->created_ms, text);
}

struct task *task_new(struct server *server, const char *kind, const struct about *about,
                      const struct actor *actor, enum event_cause cause)
{
    struct task *task = calloc(1, sizeof(*task));

    if (!task)
        return NULL;
    task->server = server;
    id_new(task->id);
    task->kind = strdup(kind);
    task->object_type = about->type;
    task->object = about->id ? strdup(about->id) : NULL;
    task->object_name = about->name ? strdup(about->name) : NULL;
    task->actor = *actor;
    task->cause = cause;
    task->percent = -1;
    task->created_ms = stamp_now_ms();
    if (!task->kind) {
        task_free(task);
        return NULL;
    }
    task->next = server->tasks;
    server->tasks = task;
    keep(task);
    tell(task);
    return task;
}

void task_percent(struct task *task, int percent)
{
    percent = MAX(0, MIN(percent, 100));
    if (task->state != TASK_STATE_RUNNING || percent == task->percent)
        return;
    task->percent = percent;
    tell(task);
}

static void end(struct task *task, enum task_state state)
{
    struct task_waiter *waiters = task->waiters;

    if (task->state != TASK_STATE_RUNNING)
        return;
    task->state = state;
    task->cancel = NULL;
    task->ended_ms = stamp_now_ms();
    keep(task);
    tell(task);
    task->waiters = NULL;
    while (waiters) {
        struct task_waiter *waiter = waiters;

        waiters = waiter->next;
        waiter->ended(waiter->ctx, task);
    }
}

void task_done(struct task *task, json_t *result)
{
    task->percent = 100;
    json_decref(task->result);
    task->result = result;
    end(task, TASK_STATE_DONE);
}

void task_failed(struct task *task, const struct problem *problem)
{
    task->problem = *problem;
    end(task, TASK_STATE_FAILED);
}

void task_cancelled(struct task *task)
{
    end(task, TASK_STATE_CANCELLED);
}

void task_wait(struct task *task, struct task_waiter *waiter)
{
    waiter->next = task->waiters;
    task->waiters = waiter;
}

void task_leave(struct task *task, struct task_waiter *waiter)
{
    for (struct task_waiter **at = &task->waiters; *at; at = &(*at)->next) {
        if (*at == waiter) {
            *at = waiter->next;
            return;
        }
    }
}

struct task *task_find(struct server *server, const char *id)
{
    for (struct task *task = server->tasks; task; task = task->next)
        if (!strcmp(task->id, id))
            return task;
    return NULL;
}

json_t *task_json(const struct task *task)
{
    struct about about = {task->object_type, task->object, task->object_name};
    char time[STAMP_TEXT];
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:s}", "id", task->id, "kind", task->kind,
                  "state", task_state_names[task->state], "cancelable", task->cancel != NULL,
                  "object", about_json(&about), "actor", actor_json(&task->actor), "created",
                  stamp_format(task->created_ms, time));

    if (o && task->percent >= 0)
        json_object_set_new(o, "percent", json_integer(task->percent));
    if (o && task->ended_ms)
        json_object_set_new(o, "ended", json_string(stamp_format(task->ended_ms, time)));
    if (o && task->state == TASK_STATE_FAILED)
        json_object_set_new(o, "problem", problem_json(&task->problem));
    if (o && task->result)
        json_object_set(o, "result", task->result);
    return o;
}

json_t *task_old_json(struct server *server, const char *id)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows, "SELECT json FROM tasks WHERE id = ?", "s", id);
    return store_next(rows) ? json_loads(store_text(rows, 0), 0, NULL) : NULL;
}

void task_list_old(struct server *server, json_t *array)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows,
                "SELECT id, json FROM tasks WHERE ended IS NOT NULL ORDER BY created DESC"
                " LIMIT 500",
                "");
    while (store_next(rows)) {
        json_t *o;

        if (task_find(server, store_text(rows, 0)))
            continue;
        o = json_loads(store_text(rows, 1), 0, NULL);
        if (o)
            json_array_append_new(array, o);
    }
}

static void recover_one(struct server *server, json_t *o, const char *id)
{
    struct problem problem;
    char time[STAMP_TEXT];
    int64_t now = stamp_now_ms();
    AUTO_FREE char *text = NULL;

    problem_set(&problem, PROBLEM_CODE_UNAVAILABLE, NULL,
                "the server ended while this was under way");
    json_object_set_new(o, "state", json_string(task_state_names[TASK_STATE_FAILED]));
    json_object_set_new(o, "cancelable", json_false());
    json_object_set_new(o, "ended", json_string(stamp_format(now, time)));
    json_object_set_new(o, "problem", problem_json(&problem));
    text = json_dumps(o, JSON_COMPACT);
    if (text)
        store_run(server->store, NULL, "UPDATE tasks SET ended = ?, json = ? WHERE id = ?", "iss",
                  now, text, id);
}

void task_recover(struct server *server)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows, "SELECT id, json FROM tasks WHERE ended IS NULL", "");
    while (store_next(rows)) {
        json_t *o = json_loads(store_text(rows, 1), 0, NULL);

        if (o)
            recover_one(server, o, store_text(rows, 0));
        json_decref(o);
    }
}

void task_expire(struct server *server)
{
    int64_t oldest = stamp_now_ms() - KEEP_MS;
    unsigned ended = 0;

    for (struct task **at = &server->tasks; *at;) {
        struct task *task = *at;

        if (task->ended_ms && (task->ended_ms < oldest || ++ended > KEEP_MAX)) {
            *at = task->next;
            task_free(task);
        } else {
            at = &task->next;
        }
    }
    store_run(server->store, NULL, "DELETE FROM tasks WHERE ended IS NOT NULL AND ended < ?", "i",
              oldest);
}

void task_free_all(struct server *server)
{
    while (server->tasks) {
        struct task *task = server->tasks;

        server->tasks = task->next;
        task_free(task);
    }
}
