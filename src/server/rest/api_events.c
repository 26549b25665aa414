/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/rest/events.h"
#include "server/rest/http.h"
#include "server/rest/stream.h"
#include "server/stamp.h"

#define PAGE_MAX 1000

static bool object_visible(struct server *server, const struct caller *caller, const char *type,
                           const char *id, const char *actor)
{
    size_t user = strlen(caller->user);

    if (actor && !strncmp(actor, caller->user, user) && (!actor[user] || actor[user] == '/'))
        return true;
    for (unsigned i = 0; type && i < OBJECT_TYPE_COUNT; i++)
        if (!strcmp(type, object_type_names[i]))
            return caller_rights(server, caller, (enum object_type)i, id) & RIGHT_BIT(RIGHT_VIEW);
    return false;
}

bool events_visible(struct server *server, const struct caller *caller, json_t *event)
{
    json_t *object = json_object_get(event, "object"), *actor = json_object_get(event, "actor");

    return object_visible(server, caller, json_string_value(json_object_get(object, "type")),
                          json_string_value(json_object_get(object, "id")),
                          json_string_value(json_object_get(actor, "name")));
}

bool events_task_visible(struct server *server, const struct caller *caller,
                         const struct task *task)
{
    return object_visible(server, caller, object_type_names[task->object_type], task->object,
                          task->actor.name);
}

json_t *events_from_row(sqlite3_stmt *row)
{
    json_t *event = json_loads(store_text(row, 1), 0, NULL);

    if (event)
        json_object_set_new(event, "id", json_integer(sqlite3_column_int64(row, 0)));
    return event;
}

/* The conditions of a search, each with its value bound behind it. */
struct filter {
    char sql[1536];
    char texts[12][264];
    size_t used;
    unsigned count;
};

static void where(struct filter *f, const char *condition, const char *text)
{
    if (f->count == ARRAY_LEN(f->texts))
        return;
    snprintf(f->texts[f->count++], sizeof(f->texts[0]), "%s", text);
    f->used += (size_t)snprintf(f->sql + f->used, sizeof(f->sql) - f->used, " AND %s", condition);
}

static void where_number(struct filter *f, const char *condition, long long n)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", n);
    where(f, condition, text);
}

static void where_words(struct filter *f, const char *search)
{
    char word[260];
    size_t len;

    for (search += strspn(search, " "); *search && f->count < 8; search += strspn(search, " ")) {
        len = MIN(strcspn(search, " "), sizeof(word) - 1);
        for (size_t i = 0; i < len; i++)
            word[i] = (char)tolower((unsigned char)search[i]);
        word[len] = '\0';
        where(f, "instr(words, ?) > 0", word);
        search += strcspn(search, " ");
    }
}

static void where_time(struct filter *f, const char *condition, const char *time)
{
    int64_t ms;

    if (time && stamp_parse(time, &ms) == 0)
        where_number(f, condition, ms);
}

static void fill(struct filter *f, struct request *q)
{
    const char *kind = request_text(q, "kind"), *severity = request_text(q, "severity");
    const char *text;
    long long n;

    if ((n = request_integer(q, "before", 0)))
        where_number(f, "id < CAST(? AS INTEGER)", n);
    if ((n = request_integer(q, "after", 0)))
        where_number(f, "id > CAST(? AS INTEGER)", n);
    if (kind && *kind && kind[strlen(kind) - 1] == '.')
        where(f, "instr(kind, ?) = 1", kind);
    else if (kind)
        where(f, "kind = ?", kind);
    for (unsigned i = 0; severity && i < SEVERITY_COUNT; i++)
        if (!strcmp(severity, severity_names[i]))
            where_number(f, "severity >= CAST(? AS INTEGER)", i);
    if ((text = request_text(q, "object")))
        where(f, "object = ?", text);
    if ((text = request_text(q, "actor")))
        where(f, "actor = ?", text);
    where_time(f, "time >= CAST(? AS INTEGER)", request_text(q, "since"));
    where_time(f, "time < CAST(? AS INTEGER)", request_text(q, "until"));
    if ((text = request_text(q, "search")))
        where_words(f, text);
}

void api_list_events(struct request *q)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    struct filter f = {.used = 0};
    long long limit = request_integer(q, "limit", 100);
    json_t *list = json_array();
    char sql[2048], format[16] = "";
    const char *v[12];

    fill(&f, q);
    snprintf(sql, sizeof(sql), "SELECT id, json FROM events WHERE 1%s ORDER BY id DESC", f.sql);
    for (unsigned i = 0; i < 12; i++)
        v[i] = f.texts[i];
    memset(format, 's', f.count);
    store_query(q->server->store, &rows, sql, format, v[0], v[1], v[2], v[3], v[4], v[5], v[6],
                v[7], v[8], v[9], v[10], v[11]);
    while (json_array_size(list) < (size_t)limit && store_next(rows)) {
        json_t *event = events_from_row(rows);

        if (event && events_visible(q->server, &q->caller, event))
            json_array_append(list, event);
        json_decref(event);
    }
    reply_json(q, 200, json_pack("{s:o}", "events", list));
}

void api_get_event(struct request *q)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    json_t *event = NULL;

    store_query(q->server->store, &rows, "SELECT id, json FROM events WHERE id = ?", "i",
                (int64_t)request_integer(q, "event", 0));
    if (store_next(rows))
        event = events_from_row(rows);
    if (event && events_visible(q->server, &q->caller, event)) {
        reply_json(q, 200, event);
        return;
    }
    json_decref(event);
    reply_error(q, PROBLEM_CODE_NOT_FOUND, "event", "there is no such event");
}

void api_stream_events(struct request *q)
{
    struct connection *c = q->connection;

    q->data = q; /* as server-sent events */
    connection_stream(c, q);
    if (!connection_stream_open(c))
        connection_hang_up(c);
}

/* ---- tasks ---- */

void api_list_tasks(struct request *q)
{
    const char *state = request_text(q, "state");
    json_t *list = json_array(), *old = json_array(), *one;
    size_t i;

    for (struct task *task = q->server->tasks; task; task = task->next)
        if (events_task_visible(q->server, &q->caller, task) &&
            (!state || !strcmp(state, task_state_names[task->state])))
            json_array_append_new(list, task_json(task));
    task_list_old(q->server, old);
    json_array_foreach(old, i, one)
    {
        const char *its = json_string_value(json_object_get(one, "state"));

        if (events_visible(q->server, &q->caller, one) && (!state || (its && !strcmp(state, its))))
            json_array_append(list, one);
    }
    json_decref(old);
    reply_json(q, 200, json_pack("{s:o}", "tasks", list));
}

static struct task *visible_task(struct request *q)
{
    struct task *task = task_find(q->server, request_text(q, "task"));

    return task && events_task_visible(q->server, &q->caller, task) ? task : NULL;
}

void api_get_task(struct request *q)
{
    struct task *task = visible_task(q);
    json_t *old;

    if (task) {
        reply_task(q, 200, task);
        return;
    }
    old = task_old_json(q->server, request_text(q, "task"));
    if (old && events_visible(q->server, &q->caller, old)) {
        reply_json(q, 200, old);
        return;
    }
    json_decref(old);
    reply_error(q, PROBLEM_CODE_NOT_FOUND, "task", "there is no such task");
}

void api_cancel_task(struct request *q)
{
    struct task *task = visible_task(q);
    enum right right;
    struct problem p;

    if (!task) {
        reply_error(q, PROBLEM_CODE_NOT_FOUND, "task", "there is no such task");
        return;
    }
    right = task->object_type == OBJECT_TYPE_DISK ? RIGHT_MODIFY : RIGHT_CONTROL;
    if (strcmp(task->actor.name, q->actor.name) != 0 &&
        caller_may(q->server, &q->caller, task->object_type, task->object, right, &p) < 0) {
        reply_problem(q, &p);
        return;
    }
    if (!task->cancel) {
        reply_error(q, PROBLEM_CODE_STATE, NULL, "it has ended, or cannot be stopped now");
        return;
    }
    task->cancel(task->cancel_ctx, task);
    q->wait_seconds = 0;
    reply_task(q, 202, task);
}
