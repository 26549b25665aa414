/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct call {
    json_int_t id;
    uint64_t deadline_ms; /* of the loop's clock; 0: none */
    channel_done *done;
    void *ctx;
    struct call *next;
};

struct channel {
    uv_loop_t *loop;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_connect_t connect;
    struct channel_peer peer;
    bool open, closed; /* closed: nobody listens to us any more */
    unsigned handles;
    char *line;
    size_t len, room;
    struct call *calls;
    unsigned call_count;
    json_int_t next_id;
};

struct write_job {
    uv_write_t req;
    char *text;
};

static const struct {
    const char *code;
    int error;
} codes[] = {{"invalid", -EINVAL}, {"not-found", -ENOENT}, {"unknown-command", -ENOSYS},
             {"busy", -ENOSPC},    {"no-memory", -ENOMEM}, {"locked", -EBUSY}};

static void on_handle_closed(uv_handle_t *handle)
{
    struct channel *channel = handle->data;

    if (--channel->handles)
        return;
    free(channel->line);
    free(channel);
}

static void answer(struct channel *channel, struct call *call, int r, json_t *value,
                   const char *message)
{
    channel->call_count--;
    call->done(call->ctx, r, value, message);
    free(call);
}

/* The machine is gone: say so to all that wait, then to the owner. */
static void hang_up(struct channel *channel)
{
    struct channel_peer peer = channel->peer;
    bool was_open = channel->open;
    struct call *calls = channel->calls;

    if (channel->closed)
        return;
    channel->calls = NULL;
    channel->open = false;
    uv_read_stop((uv_stream_t *)&channel->pipe);
    while (calls) {
        struct call *call = calls;

        calls = call->next;
        if (channel->closed)
            free(call);
        else
            answer(channel, call, -EPIPE, NULL, "the machine's process has ended");
    }
    if (was_open && !channel->closed)
        peer.on_closed(peer.ctx);
}

static int error_of(const char *code)
{
    for (size_t i = 0; code && i < ARRAY_LEN(codes); i++)
        if (!strcmp(codes[i].code, code))
            return codes[i].error;
    return -EIO;
}

static void take_answer(struct channel *channel, json_t *message)
{
    json_t *id = json_object_get(message, "id");
    json_t *value = json_object_get(message, "return"), *error = json_object_get(message, "error");
    struct call **at = &channel->calls, *call;

    while (*at && (!json_is_integer(id) || (*at)->id != json_integer_value(id)))
        at = &(*at)->next;
    call = *at;
    if (!call) /* it came too late */
        return;
    *at = call->next;
    if (error) {
        const char *text = json_string_value(json_object_get(error, "message"));

        answer(channel, call, error_of(json_string_value(json_object_get(error, "code"))), NULL,
               text ? text : "no reason was given");
    } else if (value) {
        answer(channel, call, 0, value, "");
    } else {
        answer(channel, call, -EPROTO, NULL, "the machine's answer makes no sense");
    }
}

static void take_line(struct channel *channel, const char *line, size_t len)
{
    json_t *message = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *event = json_string_value(json_object_get(message, "event"));
    json_t *data = json_object_get(message, "data"), *none = NULL;

    if (!json_is_object(message)) {
        json_decref(message);
        hang_up(channel);
        return;
    }
    if (event) {
        if (!json_is_object(data))
            data = none = json_object();
        if (data)
            channel->peer.on_event(channel->peer.ctx, event, data);
    } else {
        take_answer(channel, message);
    }
    json_decref(none);
    json_decref(message);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct channel *channel = handle->data;

    (void)suggested;
    if (channel->room - channel->len < 4096 && channel->room < CHANNEL_LINE_MAX) {
        size_t room = channel->room ? channel->room * 2 : 8192;
        char *line = realloc(channel->line, room);

        if (line) {
            channel->line = line;
            channel->room = room;
        }
    }
    *buf = uv_buf_init(channel->line ? channel->line + channel->len : NULL,
                       (unsigned)(channel->room - channel->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct channel *channel = stream->data;
    char *start = channel->line, *end;

    (void)buf;
    if (n < 0) {
        hang_up(channel);
        return;
    }
    channel->len += (size_t)n;
    while (!channel->closed && channel->open &&
           (end = memchr(start, '\n', channel->len - (size_t)(start - channel->line)))) {
        if (end > start)
            take_line(channel, start, (size_t)(end - start));
        start = end + 1;
    }
    channel->len -= (size_t)(start - channel->line);
    memmove(channel->line, start, channel->len);
    if (!channel->len && channel->room > 65536) { /* a picture has gone by */
        free(channel->line);
        channel->line = NULL;
        channel->room = 0;
    }
}

static void on_connected(uv_connect_t *req, int status)
{
    struct channel *channel = req->data;

    if (channel->closed)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&channel->pipe, on_alloc, on_read);
    channel->open = status == 0;
    channel->peer.on_open(channel->peer.ctx, status);
}

static void on_timer(uv_timer_t *timer)
{
    struct channel *channel = timer->data;
    struct call **at = &channel->calls;
    uint64_t now = uv_now(channel->loop);

    while (*at && !channel->closed) {
        struct call *call = *at;

        if (call->deadline_ms && call->deadline_ms <= now) {
            *at = call->next;
            answer(channel, call, -ETIMEDOUT, NULL, "the machine does not answer");
            at = &channel->calls; /* the list may be another one now */
        } else {
            at = &call->next;
        }
    }
    if (!channel->closed && !channel->calls)
        uv_timer_stop(timer);
}

int channel_open(uv_loop_t *loop, const char *path, const struct channel_peer *peer,
                 struct channel **ret_channel)
{
    struct channel *channel;

    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return -ENAMETOOLONG;
    channel = calloc(1, sizeof(*channel));
    if (!channel)
        return -ENOMEM;
    channel->loop = loop;
    channel->peer = *peer;
    uv_pipe_init(loop, &channel->pipe, 0);
    uv_timer_init(loop, &channel->timer);
    channel->pipe.data = channel->timer.data = channel->connect.data = channel;
    channel->handles = 2;
    uv_pipe_connect(&channel->connect, &channel->pipe, path, on_connected);
    *ret_channel = channel;
    return 0;
}

static void on_written(uv_write_t *req, int status)
{
    struct write_job *job = CONTAINER_OF(req, struct write_job, req);

    (void)status; /* the reading side learns that the machine has gone */
    free(job->text);
    free(job);
}

/* One line, without arguments where there are none. */
static char *request_text(json_int_t id, const char *name, json_t *arguments)
{
    json_t *request = json_pack("{s:s, s:I}", "execute", name, "id", id);
    char *text = NULL, *line = NULL;

    if (request && (!arguments || json_object_set(request, "arguments", arguments) == 0))
        text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

int channel_call(struct channel *channel, const char *name, json_t *arguments, unsigned timeout_ms,
                 channel_done *done, void *ctx)
{
    AUTO_FREE char *text = NULL;
    struct write_job *job;
    struct call *call, **end = &channel->calls;
    uv_buf_t buf;

    text = request_text(++channel->next_id, name, arguments);
    json_decref(arguments);
    if (!text)
        return -ENOMEM;
    if (!channel->open || channel->closed)
        return -EPIPE;
    if (channel->call_count >= CHANNEL_CALLS_MAX)
        return -EBUSY;
    call = calloc(1, sizeof(*call));
    job = calloc(1, sizeof(*job));
    if (!call || !job) {
        free(call);
        free(job);
        return -ENOMEM;
    }
    job->text = TAKE_PTR(text);
    buf = uv_buf_init(job->text, (unsigned)strlen(job->text));
    if (uv_write(&job->req, (uv_stream_t *)&channel->pipe, &buf, 1, on_written) < 0) {
        free(job->text);
        free(job);
        free(call);
        return -EPIPE;
    }
    *call = (struct call){.id = channel->next_id, .done = done, .ctx = ctx};
    if (timeout_ms) {
        call->deadline_ms = uv_now(channel->loop) + timeout_ms;
        if (!uv_is_active((uv_handle_t *)&channel->timer))
            uv_timer_start(&channel->timer, on_timer, 250, 250);
    }
    while (*end)
        end = &(*end)->next;
    *end = call;
    channel->call_count++;
    return 0;
}

struct channel *channel_close(struct channel *channel)
{
    if (!channel || channel->closed)
        return NULL;
    channel->closed = true;
    channel->open = false;
    while (channel->calls) {
        struct call *call = channel->calls;

        channel->calls = call->next;
        free(call);
    }
    uv_close((uv_handle_t *)&channel->pipe, on_handle_closed);
    uv_close((uv_handle_t *)&channel->timer, on_handle_closed);
    return NULL;
}

struct channel *channel_end(struct channel *channel)
{
    if (channel) {
        channel->open = false;
        hang_up(channel);
    }
    return channel_close(channel);
}

int channel_peer_pid(const struct channel *channel, pid_t *ret_pid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    uv_os_fd_t fd;
    int r = uv_fileno((const uv_handle_t *)&channel->pipe, &fd);

    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    *ret_pid = cred.pid;
    return 0;
}
