/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/rest/http.h"
#include "server/rest/route.h"
#include "server/stamp.h"

static void send_answer(struct request *q, unsigned status, const char *type, const void *data,
                        size_t bytes)
{
    struct answer answer = {.status = status,
                            .type = type,
                            .data = data,
                            .bytes = bytes,
                            .etag = q->etag,
                            .location = q->location,
                            .cookie = q->cookie,
                            .retry_after = q->retry_after};

    if (q->connection)
        connection_answer(q->connection, &answer);
    request_free(q);
}

static void send_text(struct request *q, unsigned status, const char *type, char *text)
{
    if (text)
        send_answer(q, status, type, text, strlen(text));
    else
        send_answer(q, 503, NULL, NULL, 0);
    free(text);
}

static void send_json(struct request *q, unsigned status, const char *type, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

    json_decref(value);
    send_text(q, status, type, text);
}

void reply_text(struct request *q, unsigned status, char *json)
{
    send_text(q, status, "application/json", json);
}

void reply_json(struct request *q, unsigned status, json_t *value)
{
    send_json(q, status, "application/json", value);
}

void reply_problem(struct request *q, const struct problem *p)
{
    send_json(q, problem_status(p->code), "application/problem+json", problem_json(p));
}

void reply_error(struct request *q, enum problem_code code, const char *field, const char *fmt, ...)
{
    struct problem p;
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problem_set(&p, code, field, "%s", text);
    reply_problem(q, &p);
}

void reply_empty(struct request *q, unsigned status)
{
    send_answer(q, status, NULL, NULL, 0);
}

void reply_data(struct request *q, unsigned status, const char *type, const void *data,
                size_t len_bytes)
{
    send_answer(q, status, type, data, len_bytes);
}

void reply_machine(struct request *q, unsigned status, struct machine *m)
{
    snprintf(q->etag, sizeof(q->etag), "\"%s\"", m->etag);
    reply_text(q, status, machine_text(m, &q->caller));
}

/* ---- tasks ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void send_task(struct request *q)
{
    struct task *task = q->task;

    if (q->timer)
        uv_close((uv_handle_t *)q->timer, on_timer_closed);
    q->timer = NULL;
    snprintf(q->location, sizeof(q->location), API_PREFIX "/tasks/%s", task->id);
    reply_json(q, (unsigned)(uintptr_t)q->data, task_json(task));
}

static void on_ended(void *ctx, struct task *task)
{
    (void)task;
    send_task(ctx);
}

static void on_late(uv_timer_t *timer)
{
    struct request *q = timer->data;

    task_leave(q->task, &q->waiter);
    send_task(q);
}

void reply_task(struct request *q, unsigned status, struct task *task)
{
    q->task = task;
    q->data = (void *)(uintptr_t)status;
    if (task->state != TASK_STATE_RUNNING || !q->wait_seconds ||
        !(q->timer = calloc(1, sizeof(*q->timer)))) {
        send_task(q);
        return;
    }
    uv_timer_init(q->server->loop, q->timer);
    q->timer->data = q;
    uv_timer_start(q->timer, on_late, (uint64_t)q->wait_seconds * 1000, 0);
    q->waiter = (struct task_waiter){.ended = on_ended, .ctx = q};
    task_wait(task, &q->waiter);
}

/* ---- asking ---- */

const char *request_text(const struct request *q, const char *name)
{
    return json_string_value(json_object_get(q->parameters, name));
}

long long request_integer(const struct request *q, const char *name, long long fallback)
{
    json_t *value = json_object_get(q->parameters, name);

    return value ? (long long)json_integer_value(value) : fallback;
}

bool request_boolean(const struct request *q, const char *name)
{
    return json_is_true(json_object_get(q->parameters, name));
}

bool request_matches(struct request *q, const char *etag)
{
    char quoted[32];

    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    if (!*q->if_match || !strcmp(q->if_match, "*") || strstr(q->if_match, quoted))
        return true;
    reply_error(q, PROBLEM_CODE_PRECONDITION, "If-Match",
                "somebody has changed it since you read it; read it again");
    return false;
}

/* Of all members but itself, in whatever order they are. */
static void entry_etag(json_t *entry, char etag[17])
{
    json_t *rest = json_copy(entry);
    AUTO_FREE char *text = NULL;
    char digest[65];

    json_object_del(rest, "etag");
    text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    digest_hex(text ? text : "", text ? strlen(text) : 0, digest);
    memcpy(etag, digest, 16);
    etag[16] = '\0';
    json_decref(rest);
}

bool request_matches_entry(struct request *q, json_t *entry)
{
    char etag[17];

    entry_etag(entry, etag);
    return request_matches(q, etag);
}

json_t *request_tag_entry(struct request *q, json_t *entry)
{
    char etag[17];

    if (!entry)
        return NULL;
    entry_etag(entry, etag);
    json_object_set_new(entry, "etag", json_string(etag));
    snprintf(q->etag, sizeof(q->etag), "\"%s\"", etag);
    return entry;
}

bool request_may_disk(struct request *q, const char *file, enum right right)
{
    struct problem p;

    if (caller_may(q->server, &q->caller, OBJECT_TYPE_DISK, file, right, &p) == 0)
        return true;
    reply_problem(q, &p);
    return false;
}
