/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/process.h"

#define UNSENT_MAX KIB(64)

/* The connection; it may outlive the console's interest in it until libuv has closed it. */
struct line {
    struct console *console; /* NULL: let go */
    uv_pipe_t pipe;
    uv_connect_t connect;
    uint8_t input[4096];
};

struct console {
    struct machine *machine;
    struct line *line;
    struct console_viewer *viewers;
    uint8_t *kept; /* a ring, made when the guest first writes */
    size_t at, len;
};

struct write_job {
    uv_write_t req;
    uint8_t data[];
};

static struct console *console_of(struct machine *m)
{
    if (!m->console) {
        m->console = calloc(1, sizeof(*m->console));
        if (m->console)
            m->console->machine = m;
    }
    return m->console;
}

static void on_line_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void line_close(struct console *console)
{
    struct line *line = console->line;

    console->line = NULL;
    if (!line)
        return;
    line->console = NULL;
    uv_close((uv_handle_t *)&line->pipe, on_line_closed);
}

static void keep(struct console *console, const uint8_t *data, size_t len)
{
    if (!console->kept)
        console->kept = malloc(CONSOLE_KEPT_BYTES);
    for (size_t i = 0; console->kept && i < len; i++) {
        console->kept[(console->at + console->len) % CONSOLE_KEPT_BYTES] = data[i];
        if (console->len < CONSOLE_KEPT_BYTES)
            console->len++;
        else
            console->at = (console->at + 1) % CONSOLE_KEPT_BYTES;
    }
}

static void show(struct console *console, const uint8_t *data, size_t len)
{
    for (struct console_viewer *v = console->viewers, *following; v; v = following) {
        following = v->next;
        v->show(v->ctx, data, len);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct line *line = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)line->input, sizeof(line->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct line *line = stream->data;

    if (!line->console)
        return;
    if (n < 0) {
        line_close(line->console);
        return;
    }
    keep(line->console, (const uint8_t *)buf->base, (size_t)n);
    show(line->console, (const uint8_t *)buf->base, (size_t)n);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct line *line = req->data;

    if (!line->console)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&line->pipe, on_alloc, on_read) < 0)
        line_close(line->console);
}

void console_open(struct machine *m)
{
    struct console *console = console_of(m);
    struct line *line = calloc(1, sizeof(*line));
    char path[64];

    if (!console || !line || console->line || process_socket(m, "serial", path, sizeof(path)) < 0) {
        free(line);
        return;
    }
    console->len = 0;
    line->console = console;
    console->line = line;
    uv_pipe_init(m->server->loop, &line->pipe, 0);
    line->pipe.data = line->connect.data = line;
    uv_pipe_connect(&line->connect, &line->pipe, path, on_connected);
}

void console_close(struct machine *m)
{
    if (!m->console)
        return;
    line_close(m->console);
    show(m->console, NULL, 0);
}

void console_free(struct machine *m)
{
    if (!m->console)
        return;
    console_close(m);
    free(m->console->kept);
    free(m->console);
    m->console = NULL;
}

int console_join(struct machine *m, struct console_viewer *viewer)
{
    struct console *console = console_of(m);
    size_t first;

    if (!console)
        return -ENOMEM;
    viewer->next = console->viewers;
    console->viewers = viewer;
    first = MIN(console->len, CONSOLE_KEPT_BYTES - console->at);
    if (first)
        viewer->show(viewer->ctx, console->kept + console->at, first);
    if (console->len > first)
        viewer->show(viewer->ctx, console->kept, console->len - first);
    return 0;
}

void console_leave(struct machine *m, struct console_viewer *viewer)
{
    if (!m->console)
        return;
    for (struct console_viewer **at = &m->console->viewers; *at; at = &(*at)->next) {
        if (*at == viewer) {
            *at = viewer->next;
            return;
        }
    }
}

static void on_written(uv_write_t *req, int status)
{
    (void)status; /* reading tells when the line is gone */
    free(CONTAINER_OF(req, struct write_job, req));
}

void console_type(struct machine *m, const uint8_t *data, size_t len_bytes)
{
    struct line *line = m->console ? m->console->line : NULL;
    struct write_job *job;
    uv_buf_t buf;

    if (!line || !uv_is_writable((uv_stream_t *)&line->pipe) ||
        uv_stream_get_write_queue_size((uv_stream_t *)&line->pipe) + len_bytes > UNSENT_MAX)
        return;
    job = malloc(sizeof(*job) + len_bytes);
    if (!job)
        return;
    memcpy(job->data, data, len_bytes);
    buf = uv_buf_init((char *)job->data, (unsigned)len_bytes);
    if (uv_write(&job->req, (uv_stream_t *)&line->pipe, &buf, 1, on_written) < 0)
        free(job);
}

bool console_has_text(const struct machine *m, const char *text)
{
    const struct console *console = m->console;
    size_t length = strlen(text);

    for (size_t i = 0; console && i + length <= console->len; i++) {
        size_t k = 0;

        while (k < length &&
               console->kept[(console->at + i + k) % CONSOLE_KEPT_BYTES] == (uint8_t)text[k])
            k++;
        if (k == length)
            return true;
    }
    return false;
}
