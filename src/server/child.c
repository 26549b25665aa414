/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, PIPE_PROGRESS, PIPES };

struct child {
    uv_process_t process;
    uv_pipe_t pipes[PIPES];
    uv_timer_t timer;
    unsigned handles; /* not closed yet */
    unsigned reading; /* pipes that may still bring something */
    bool exited, told, forgotten;
    struct child_request request;
    struct child_result result;
    char *input;
    uv_write_t write;
    char *text[2]; /* output, errors */
    size_t len[2];
    char chunk[4096];
    int percent;
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct child *child = handle->data;

    if (--child->handles)
        return;
    free(child->input);
    free(child->text[0]);
    free(child->text[1]);
    free(child);
}

static void shut(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

static void close_all(struct child *child)
{
    for (unsigned i = 0; i < PIPES; i++)
        if (i != PIPE_PROGRESS || child->request.progress)
            shut((uv_handle_t *)&child->pipes[i]);
    shut((uv_handle_t *)&child->timer);
    shut((uv_handle_t *)&child->process);
}

/* It has exited, and everything that it wrote has been read. */
static void maybe_end(struct child *child)
{
    if (!child->exited || child->reading || child->told)
        return;
    child->told = true;
    child->result.output = child->text[0] ? child->text[0] : "";
    child->result.errors = child->text[1] ? child->text[1] : "";
    child->result.output_bytes = child->len[0];
    if (!child->forgotten)
        child->request.on_end(child->request.ctx, &child->result);
    close_all(child);
}

static void on_exit_status(uv_process_t *process, int64_t status, int sig)
{
    struct child *child = process->data;

    child->exited = true;
    child->result.status = sig ? -1 : (int)status;
    child->result.signal = sig;
    /* A grandchild may hold the pipes open; what it writes later is nobody's business. */
    uv_timer_start(&child->timer, child->timer.timer_cb, 200, 0);
    maybe_end(child);
}

static void on_time(uv_timer_t *timer)
{
    struct child *child = timer->data;

    if (child->exited) {
        child->reading = 0;
        maybe_end(child);
        return;
    }
    child->result.timed_out = true;
    uv_kill(-child->process.pid, SIGKILL); /* it leads a process group */
    uv_process_kill(&child->process, SIGKILL);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct child *child = handle->data;

    (void)suggested;
    *buf = uv_buf_init(child->chunk, sizeof(child->chunk));
}

static void keep(struct child *child, unsigned which, const char *data, size_t len)
{
    char *more;

    len = MIN(len, CHILD_OUTPUT_MAX - child->len[which]);
    more = len ? realloc(child->text[which], child->len[which] + len + 1) : NULL;
    if (!more)
        return;
    memcpy(more + child->len[which], data, len);
    child->len[which] += len;
    more[child->len[which]] = '\0';
    child->text[which] = more;
}

/* Digits and newlines; the last whole number counts. */
static void take_progress(struct child *child, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] >= '0' && data[i] <= '9') {
            child->percent = MIN(child->percent * 10 + (data[i] - '0'), 100);
        } else {
            if (!child->forgotten && child->request.on_progress)
                child->request.on_progress(child->request.ctx, child->percent);
            child->percent = 0;
        }
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct child *child = stream->data;
    unsigned which = (unsigned)((uv_pipe_t *)stream - child->pipes);

    if (n < 0) {
        uv_read_stop(stream);
        child->reading -= child->reading > 0;
        maybe_end(child);
    } else if (which == PIPE_PROGRESS) {
        take_progress(child, buf->base, (size_t)n);
    } else {
        keep(child, which - PIPE_OUT, buf->base, (size_t)n);
    }
}

static void on_input_written(uv_write_t *req, int status)
{
    struct child *child = req->handle->data;

    (void)status; /* it need not read what it is told */
    shut((uv_handle_t *)&child->pipes[PIPE_IN]);
}

static void begin_io(struct child *child)
{
    uv_buf_t buf;

    for (unsigned i = PIPE_OUT; i < PIPES; i++)
        if ((i != PIPE_PROGRESS || child->request.progress) &&
            uv_read_start((uv_stream_t *)&child->pipes[i], on_alloc, on_read) == 0)
            child->reading++;
    if (!child->input) {
        shut((uv_handle_t *)&child->pipes[PIPE_IN]);
        return;
    }
    buf = uv_buf_init(child->input, (unsigned)strlen(child->input));
    if (uv_write(&child->write, (uv_stream_t *)&child->pipes[PIPE_IN], &buf, 1, on_input_written))
        shut((uv_handle_t *)&child->pipes[PIPE_IN]);
}

int child_start(uv_loop_t *loop, const struct child_request *request, struct child **ret_child,
                struct error *err)
{
    static const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    struct child *child = calloc(1, sizeof(*child));
    uv_stdio_container_t stdio[PIPES];
    uv_process_options_t options = {.file = request->args[0],
                                    .args = (char **)request->args,
                                    .env = (char **)(request->env ? request->env : plain_env),
                                    .cwd = request->cwd,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = request->progress ? PIPES : PIPE_PROGRESS,
                                    .exit_cb = on_exit_status};
    int r;

    if (!child)
        return -ENOMEM;
    child->request = *request;
    child->input = request->input ? strdup(request->input) : NULL;
    for (unsigned i = 0; i < (unsigned)options.stdio_count; i++) {
        uv_pipe_init(loop, &child->pipes[i], 0);
        child->pipes[i].data = child;
        child->handles++;
        stdio[i].flags = UV_CREATE_PIPE | (i == PIPE_IN ? UV_READABLE_PIPE : UV_WRITABLE_PIPE);
        stdio[i].data.stream = (uv_stream_t *)&child->pipes[i];
    }
    uv_timer_init(loop, &child->timer);
    child->timer.data = child->process.data = child;
    child->handles += 2;
    uv_timer_start(&child->timer, on_time, request->timeout_ms ? request->timeout_ms : UINT32_MAX,
                   0);
    r = uv_spawn(loop, &child->process, &options);
    if (r < 0) {
        error_set(err, r, "%s cannot be run: %s", request->args[0], uv_strerror(r));
        close_all(child);
        return r;
    }
    begin_io(child);
    if (ret_child)
        *ret_child = child;
    return 0;
}

void child_stop(struct child *child)
{
    if (!child->exited)
        uv_process_kill(&child->process, SIGTERM);
}

void child_forget(struct child *child)
{
    if (!child)
        return;
    child->forgotten = true;
    if (!child->exited)
        uv_process_kill(&child->process, SIGKILL);
    close_all(child);
}
