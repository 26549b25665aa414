/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON lines over a UNIX socket. See control.h for the protocol and yado-run(1) for the commands.
 */
#include "wire/control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "wire/unixsock.h"

struct client {
    struct control *control;
    uv_pipe_t pipe;
    char *line;
    size_t len, room;
    struct client *next;
};

struct control {
    uv_loop_t *loop;
    uv_pipe_t server;
    bool open;
    char *path;
    control_execute *execute;
    void *ctx;
    struct client *clients;
    unsigned client_count;
};

struct write_job {
    uv_write_t req;
    char *text;
};

static const char *error_code(int r)
{
    switch (r) {
    case -EINVAL:
        return "invalid";
    case -ENOENT:
        return "not-found";
    case -ENOSYS:
        return "unknown-command";
    case -EAGAIN:
        return "busy";
    case -ENOSPC:
        return "no-space";
    case -EBUSY:
        return "locked";
    case -ENOMEM:
        return "no-memory";
    default:
        return "failed";
    }
}

static json_t *answer_error(int r, const char *text)
{
    return json_pack("{s:{s:s, s:s}}", "error", "code", error_code(r), "message",
                     *text ? text : strerror(-r));
}

static json_t *answer_request(json_t *request, control_execute *execute, void *ctx)
{
    json_t *name = json_object_get(request, "execute");
    json_t *arguments = json_object_get(request, "arguments");
    json_t *value = NULL, *answer;
    struct error err = {""};
    const char *key;
    json_t *member;
    int r;

    if (!json_is_string(name))
        return answer_error(-EINVAL, "\"execute\": give the name of a command");
    if (arguments && !json_is_object(arguments))
        return answer_error(-EINVAL, "\"arguments\": give an object");
    json_object_foreach(
        request, key,
        member) if (strcmp(key, "execute") && strcmp(key, "arguments") &&
                    strcmp(
                        key,
                        "id")) return answer_error(-EINVAL,
                                                   "a request has execute, arguments and id only");
    arguments = arguments ? json_incref(arguments) : json_object();
    r = execute(ctx, json_string_value(name), arguments, &value, &err);
    json_decref(arguments);
    if (r < 0)
        return answer_error(r, err.text);
    answer = json_object();
    if (!answer || json_object_set_new(answer, "return", value ? value : json_object()) < 0) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

char *control_answer(const char *line, size_t len_bytes, control_execute *execute, void *ctx)
{
    json_error_t jerr;
    json_t *request = json_loadb(line, len_bytes, JSON_REJECT_DUPLICATES, &jerr);
    json_t *answer, *id = NULL;
    char *text, *with_newline;
    size_t len;

    if (!json_is_object(request)) {
        answer = answer_error(-EINVAL, request ? "a request is a JSON object" : jerr.text);
    } else {
        answer = answer_request(request, execute, ctx);
        id = json_object_get(request, "id");
    }
    if (answer && id)
        json_object_set(answer, "id", id);
    text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    json_decref(answer);
    json_decref(request);
    if (!text)
        return NULL;
    len = strlen(text);
    with_newline = realloc(text, len + 2);
    if (!with_newline) {
        free(text);
        return NULL;
    }
    memcpy(with_newline + len, "\n", 2);
    return with_newline;
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct client **at = &client->control->clients;

    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    client->control->client_count--;
    free(client->line);
    free(client);
}

static void client_close(struct client *client)
{
    if (!uv_is_closing((uv_handle_t *)&client->pipe))
        uv_close((uv_handle_t *)&client->pipe, on_client_closed);
}

static void on_written(uv_write_t *req, int status)
{
    struct write_job *job = CONTAINER_OF(req, struct write_job, req);
    struct client *client = req->handle->data;

    free(job->text);
    free(job);
    if (status < 0)
        client_close(client);
}

static void client_send(struct client *client, char *text)
{
    struct write_job *job = malloc(sizeof(*job));
    uv_stream_t *stream = (uv_stream_t *)&client->pipe;
    uv_buf_t buf;

    if (!text || !job || uv_stream_get_write_queue_size(stream) > CONTROL_UNSENT_MAX) {
        free(text);
        free(job);
        client_close(client);
        return;
    }
    job->text = text;
    buf = uv_buf_init(text, (unsigned)strlen(text));
    if (uv_write(&job->req, stream, &buf, 1, on_written) < 0) {
        free(text);
        free(job);
        client_close(client);
    }
}

void control_event(struct control *control, const char *name, json_t *data)
{
    json_t *event = json_pack("{s:s, s:o}", "event", name, "data", data ? data : json_object());
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;

    for (struct client *c = control->clients, *following; text && c; c = following) {
        char *line = NULL;

        following = c->next;
        if (uv_is_closing((uv_handle_t *)&c->pipe))
            continue;
        client_send(c, asprintf(&line, "%s\n", text) < 0 ? NULL : line);
    }
    free(text);
    json_decref(event);
}

static void client_lines(struct client *client)
{
    struct control *control = client->control;
    char *start = client->line, *end;

    while ((end = memchr(start, '\n', client->len - (size_t)(start - client->line))) != NULL) {
        size_t len = (size_t)(end - start);

        len -= len && start[len - 1] == '\r';
        if (len)
            client_send(client, control_answer(start, len, control->execute, control->ctx));
        start = end + 1;
        if (uv_is_closing((uv_handle_t *)&client->pipe))
            return;
    }
    client->len -= (size_t)(start - client->line);
    memmove(client->line, start, client->len);
    if (client->len >= CONTROL_LINE_MAX) {
        json_t *answer = answer_error(-EINVAL, "the line is longer than 1 MiB");
        char *text = json_dumps(answer, JSON_COMPACT);

        json_decref(answer);
        client_send(client, text);
        client_close(client);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct client *client = handle->data;

    (void)suggested;
    if (client->room - client->len < 4096) {
        size_t room = MIN(client->room ? client->room * 2 : 8192, CONTROL_LINE_MAX + 8192);
        char *line = realloc(client->line, room);

        if (line) {
            client->line = line;
            client->room = room;
        }
    }
    *buf = uv_buf_init(client->line ? client->line + client->len : NULL,
                       (unsigned)(client->room - client->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *client = stream->data;

    (void)buf;
    if (n < 0) {
        client_close(client);
    } else if (n > 0) {
        client->len += (size_t)n;
        client_lines(client);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct control *control = server->data;
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return;
    client->control = control;
    uv_pipe_init(control->loop, &client->pipe, 0);
    client->pipe.data = client;
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    if (status < 0 || uv_accept(server, (uv_stream_t *)&client->pipe) < 0 ||
        control->client_count > CONTROL_CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) < 0)
        client_close(client);
}

static void on_server_closed(uv_handle_t *handle)
{
    struct control *control = handle->data;

    control->open = false;
}

int control_new(uv_loop_t *loop, const char *path, control_execute *execute, void *ctx,
                struct control **ret_control, struct error *err)
{
    struct control *control = calloc(1, sizeof(*control));
    int fd = -1, r;

    if (!control)
        return -ENOMEM;
    control->loop = loop;
    control->execute = execute;
    control->ctx = ctx;
    r = unixsock_listen(path, "--control", &fd, err);
    if (r < 0) {
        free(control);
        return r;
    }
    control->path = strdup(path);
    uv_pipe_init(loop, &control->server, 0);
    control->server.data = control;
    control->open = true;
    r = uv_pipe_open(&control->server, fd);
    if (r < 0)
        close(fd);
    else
        r = uv_listen((uv_stream_t *)&control->server, 8, on_connection);
    if (r < 0) {
        error_set(err, r, "--control: %s: %s", path, uv_strerror(r));
        unlink(path);
        control_free(control);
        return r;
    }
    *ret_control = control;
    return 0;
}

struct control *control_free(struct control *control)
{
    if (!control)
        return NULL;
    uv_close((uv_handle_t *)&control->server, on_server_closed);
    for (struct client *client = control->clients; client; client = client->next)
        client_close(client);
    while (control->open || control->clients)
        uv_run(control->loop, UV_RUN_NOWAIT);
    if (control->path)
        unlink(control->path);
    free(control->path);
    free(control);
    return NULL;
}
