/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/rest/stream.h"

#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/console.h"
#include "server/process.h"
#include "server/rest/events.h"
#include "server/rest/route.h"

#define COMMENT_MS 15000
#define MISSED_MAX 1000

/* The socket of a screen; it outlives the stream until libuv has closed it. */
struct pipe {
    struct stream *stream; /* NULL: gone */
    uv_pipe_t pipe;
    uv_connect_t connect;
    char input[16384];
};

enum stream_kind { STREAM_EVENTS, STREAM_SCREEN, STREAM_SERIAL };

struct stream {
    enum stream_kind kind;
    struct connection *connection;
    struct request *request;
    struct server *server;
    bool sse;
    struct bus_listener listener;
    uv_timer_t *comment;
    char machine[17];
    struct console_viewer viewer;
    struct pipe *pipe;
};

struct write_job {
    uv_write_t req;
    char data[];
};

/* ---- events ---- */

/* text is freed; NULL: no memory. */
static void send_text(struct stream *s, const char *type, const char *id, char *text)
{
    AUTO_FREE char *framed = NULL;
    int len;

    if (text && !s->sse) {
        connection_send(s->connection, text, strlen(text), false);
    } else if (text) {
        len = asprintf(&framed, "%s%s%sevent: %s\ndata: %s\n\n", id ? "id: " : "", id ? id : "",
                       id ? "\n" : "", type, text);
        if (len < 0)
            framed = NULL;
        else
            connection_send(s->connection, framed, (size_t)len, false);
    }
    free(text);
}

static void send_message(struct stream *s, const char *type, const char *id, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    send_text(s, type, id, text);
}

static void send_machine(struct stream *s, struct machine *m)
{
    AUTO_FREE char *machine = machine_text(m, &s->request->caller);
    char *text = NULL;

    if (!machine || asprintf(&text, "{\"type\":\"machine\",\"machine\":%s}", machine) < 0)
        text = NULL;
    send_text(s, "machine", NULL, text);
}

static void send_event(struct stream *s, json_t *event)
{
    char id[24];

    snprintf(id, sizeof(id), "%lld", (long long)json_integer_value(json_object_get(event, "id")));
    send_message(s, "event", id, json_pack("{s:s, s:O}", "type", "event", "event", event));
}

static bool sees_machine(struct stream *s, const struct machine *m)
{
    return caller_machine_rights(&s->request->caller, m) & RIGHT_BIT(RIGHT_VIEW);
}

static void send_activity(struct stream *s)
{
    json_t *all = json_object();

    for (struct machine *m = s->server->machines; m; m = m->next)
        if (m->started && m->activity.time_ms && sees_machine(s, m))
            json_object_set_new(all, m->id, activity_json(m, false));
    send_message(s, "activity", NULL, json_pack("{s:s, s:o}", "type", "activity", "activity", all));
}

static void hear(void *ctx, const struct bus_message *message)
{
    struct stream *s = ctx;

    switch (message->type) {
    case BUS_EVENT:
        if (events_visible(s->server, &s->request->caller, message->event))
            send_event(s, message->event);
        break;
    case BUS_MACHINE:
        if (sees_machine(s, message->machine))
            send_machine(s, message->machine);
        break;
    case BUS_DELETED:
        send_message(s, "machine", NULL,
                     json_pack("{s:s, s:s}", "type", "machine", "deleted", message->deleted));
        break;
    case BUS_TASK:
        if (events_task_visible(s->server, &s->request->caller, message->task))
            send_message(s, "task", NULL,
                         json_pack("{s:s, s:o}", "type", "task", "task", task_json(message->task)));
        break;
    default:
        send_activity(s);
        break;
    }
}

static void on_comment(uv_timer_t *timer)
{
    struct stream *s = timer->data;

    connection_send(s->connection, ":\n\n", 3, false);
}

/* Those that a client has missed since the number that it names. */
static void send_missed(struct stream *s)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    long long after =
        request_integer(s->request, "Last-Event-ID", request_integer(s->request, "after", -1));

    if (after < 0)
        return;
    store_query(s->server->store, &rows,
                "SELECT id, json FROM events WHERE id > ? ORDER BY id LIMIT ?", "ii",
                (int64_t)after, (int64_t)MISSED_MAX);
    while (store_next(rows)) {
        json_t *event = events_from_row(rows);

        if (event && events_visible(s->server, &s->request->caller, event))
            send_event(s, event);
        json_decref(event);
    }
}

static void open_events(struct stream *s)
{
    s->listener = (struct bus_listener){.hear = hear, .ctx = s};
    bus_listen(s->server, &s->listener);
    if (s->sse) {
        s->comment = calloc(1, sizeof(*s->comment));
        if (s->comment) {
            uv_timer_init(s->server->loop, s->comment);
            s->comment->data = s;
            uv_timer_start(s->comment, on_comment, 0, COMMENT_MS);
        }
    }
    send_missed(s);
}

/* ---- serial ---- */

static void show(void *ctx, const uint8_t *data, size_t len_bytes)
{
    struct stream *s = ctx;

    if (len_bytes)
        connection_send(s->connection, data, len_bytes, true);
    else
        connection_hang_up(s->connection);
}

/* ---- screen ---- */

static void on_pipe_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_pipe(struct stream *s)
{
    if (!s->pipe)
        return;
    s->pipe->stream = NULL;
    uv_close((uv_handle_t *)&s->pipe->pipe, on_pipe_closed);
    s->pipe = NULL;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct pipe *pipe = handle->data;

    (void)suggested;
    *buf = uv_buf_init(pipe->input, sizeof(pipe->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct pipe *pipe = stream->data;

    if (!pipe->stream)
        return;
    if (n < 0)
        connection_hang_up(pipe->stream->connection);
    else
        connection_send(pipe->stream->connection, buf->base, (size_t)n, true);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct pipe *pipe = req->data;

    if (!pipe->stream)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&pipe->pipe, on_alloc, on_read) < 0)
        connection_hang_up(pipe->stream->connection);
}

static bool open_screen(struct stream *s, struct machine *m)
{
    char path[64];

    if (process_socket(m, "vnc", path, sizeof(path)) < 0)
        return false;
    s->pipe = calloc(1, sizeof(*s->pipe));
    if (!s->pipe)
        return false;
    s->pipe->stream = s;
    uv_pipe_init(s->server->loop, &s->pipe->pipe, 0);
    s->pipe->pipe.data = s->pipe->connect.data = s->pipe;
    uv_pipe_connect(&s->pipe->connect, &s->pipe->pipe, path, on_connected);
    return true;
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    free(CONTAINER_OF(req, struct write_job, req));
}

static void to_screen(struct stream *s, const void *data, size_t len)
{
    struct write_job *job;
    uv_buf_t buf;

    if (!s->pipe || uv_stream_get_write_queue_size((uv_stream_t *)&s->pipe->pipe) > MIB(1))
        return;
    job = malloc(sizeof(*job) + len);
    if (!job)
        return;
    memcpy(job->data, data, len);
    buf = uv_buf_init(job->data, (unsigned)len);
    if (uv_write(&job->req, (uv_stream_t *)&s->pipe->pipe, &buf, 1, on_written) < 0)
        free(job);
}

/* ---- all ---- */

static void note_opened(struct stream *s, struct machine *m, const char *what)
{
    bus_event(s->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_CONSOLE_OPENED,
                              .actor = &s->request->actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_REQUEST},
              "%s looks at the %s of %s", s->request->caller.user, what, m->name);
}

struct stream *stream_open(struct connection *c, struct request *q)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct machine *m = q->machine;
    bool ok = true;

    if (!s)
        return NULL;
    s->connection = c;
    s->request = q;
    s->server = q->server;
    s->sse = !m && !strcmp(q->route->method, "GET") && q->data != NULL;
    if (!m) {
        open_events(s);
        return s;
    }
    memcpy(s->machine, m->id, sizeof(s->machine));
    s->kind = q->route->handle == api_open_screen ? STREAM_SCREEN : STREAM_SERIAL;
    if (s->kind == STREAM_SCREEN) {
        ok = open_screen(s, m);
    } else {
        s->viewer = (struct console_viewer){.show = show, .ctx = s};
        ok = console_join(m, &s->viewer) == 0;
    }
    if (!ok) {
        free(s);
        return NULL;
    }
    note_opened(s, m, s->kind == STREAM_SCREEN ? "screen" : "serial port");
    return s;
}

void stream_receive(struct stream *s, const void *data, size_t len_bytes)
{
    struct machine *m = *s->machine ? machine_find(s->server, s->machine) : NULL;

    if (s->kind == STREAM_SCREEN)
        to_screen(s, data, len_bytes);
    else if (s->kind == STREAM_SERIAL && m)
        console_type(m, data, len_bytes);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

struct stream *stream_end(struct stream *s)
{
    struct machine *m;

    if (!s)
        return NULL;
    m = *s->machine ? machine_find(s->server, s->machine) : NULL;
    if (m && s->kind == STREAM_SERIAL)
        console_leave(m, &s->viewer);
    if (s->kind == STREAM_EVENTS)
        bus_leave(s->server, &s->listener);
    if (s->comment)
        uv_close((uv_handle_t *)s->comment, on_timer_closed);
    close_pipe(s);
    free(s);
    return NULL;
}
