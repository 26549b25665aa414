/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serial backends. The guest's bytes are written at once by the thread that brings them when the
 * descriptor takes them; what it does not take waits in a ring of fixed size, and a full ring
 * refuses, so that a stopped terminal stops the guest's output and loses nothing. A socket that
 * nobody is connected to swallows bytes.
 *
 * On a terminal Ctrl-A is an escape: x ends the machine, a sends Ctrl-A, h prints help, c does
 * nothing (there is no monitor prompt; see --control).
 */
#include "monitor/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "monitor/terminal.h"
#include "wire/unixsock.h"

#define RING_BYTES 65536u
#define INPUT_BYTES 4096u
#define ESCAPE 1 /* Ctrl-A */

static const char help_text[] = "\r\nCtrl-A x  end the machine\r\n"
                                "Ctrl-A a  send Ctrl-A to the guest\r\n"
                                "Ctrl-A h  this list\r\n";

struct serial {
    uv_loop_t *loop;
    struct serial_peer peer;
    uv_async_t wake;
    uv_poll_t in_poll, out_poll, listen_poll;
    bool wake_open, in_open, out_open, listen_open; /* libuv handles to close */
    int in_fd, out_fd, listen_fd;
    int client_out_fd; /* a socket's out_fd, to be closed with its handle */
    char *socket_path;
    bool null, terminal, escaped, eof;
    bool in_is_file; /* epoll refuses it: read whenever the device has room */
    uint8_t input[INPUT_BYTES];
    size_t input_at, input_len;

    pthread_mutex_t lock; /* guards what follows, and writes to out_fd */
    uint8_t ring[RING_BYTES];
    size_t ring_at, ring_len;
    bool refused;
    bool rx_wanted;
};

/* Hand bytes to the descriptor: how many it took. Broken ones take everything. */
static size_t put_out(struct serial *s, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(s->out_fd, buf + done, len - done);

        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        else
            return len;
    }
    return done;
}

/* Write from the ring. The lock is held. */
static void ring_drain(struct serial *s)
{
    while (s->ring_len) {
        size_t run = MIN(s->ring_len, RING_BYTES - s->ring_at);
        size_t n = s->out_fd < 0 ? run : put_out(s, s->ring + s->ring_at, run);

        s->ring_at = (s->ring_at + n) % RING_BYTES;
        s->ring_len -= n;
        if (n < run)
            break;
    }
}

static size_t ring_add(struct serial *s, const uint8_t *buf, size_t len)
{
    size_t taken = MIN(len, RING_BYTES - s->ring_len);

    for (size_t i = 0; i < taken; i++)
        s->ring[(s->ring_at + s->ring_len + i) % RING_BYTES] = buf[i];
    s->ring_len += taken;
    return taken;
}

static size_t chr_write(void *ctx, const uint8_t *buf, size_t len_bytes)
{
    struct serial *s = ctx;
    size_t done = 0;

    if (s->null)
        return len_bytes;
    pthread_mutex_lock(&s->lock);
    if (s->out_fd < 0) {
        done = len_bytes;
    } else {
        if (!s->ring_len)
            done = put_out(s, buf, len_bytes);
        done += ring_add(s, buf + done, len_bytes - done);
        s->refused |= done < len_bytes;
        if (s->ring_len && s->wake_open)
            uv_async_send(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return done;
}

static void chr_rx_ready(void *ctx)
{
    struct serial *s = ctx;

    pthread_mutex_lock(&s->lock);
    s->rx_wanted = true;
    if (s->wake_open)
        uv_async_send(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

struct chardev serial_chardev(struct serial *serial)
{
    return (struct chardev){.write = chr_write, .rx_ready = chr_rx_ready, .ctx = serial};
}

static void input_poll(struct serial *s, bool on);

/* Keys of a terminal: take the escape sequences out. Returns the length that is left. */
static size_t escape(struct serial *s, uint8_t *buf, size_t len)
{
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (!s->escaped) {
            s->escaped = buf[i] == ESCAPE;
            if (!s->escaped)
                buf[kept++] = buf[i];
            continue;
        }
        s->escaped = false;
        switch (buf[i]) {
        case 'x':
            s->peer.quit(s->peer.ctx);
            break;
        case 'a':
        case ESCAPE:
            buf[kept++] = ESCAPE;
            break;
        case 'h':
        case '?':
            pthread_mutex_lock(&s->lock);
            ring_add(s, (const uint8_t *)help_text, sizeof(help_text) - 1);
            ring_drain(s);
            pthread_mutex_unlock(&s->lock);
            break;
        default:
            break;
        }
    }
    return kept;
}

static void client_gone(struct serial *s);

/* Read once; false at the end, or when there is nothing now. */
static bool input_read(struct serial *s)
{
    ssize_t n = read(s->in_fd, s->input, sizeof(s->input));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        s->eof = true;
        if (s->listen_fd >= 0)
            client_gone(s);
        else
            input_poll(s, false);
        return false;
    }
    s->input_at = 0;
    s->input_len = s->terminal ? escape(s, s->input, (size_t)n) : (size_t)n;
    return true;
}

/* Give the guest what it takes; read on only when it has all. */
static void input_feed(struct serial *s)
{
    do {
        while (s->input_len) {
            size_t n = s->peer.receive(s->peer.ctx, s->input + s->input_at, s->input_len);

            if (!n) {
                input_poll(s, false);
                return;
            }
            s->input_at += n;
            s->input_len -= n;
        }
    } while (s->in_is_file && !s->eof && input_read(s));
    if (!s->eof)
        input_poll(s, true);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct serial *s = handle->data;

    (void)events;
    if (status < 0) {
        s->eof = true;
        input_poll(s, false);
    } else if (!s->input_len && input_read(s)) {
        input_feed(s);
    }
}

static void input_poll(struct serial *s, bool on)
{
    if (!s->in_open || uv_is_closing((uv_handle_t *)&s->in_poll))
        return;
    if (on)
        uv_poll_start(&s->in_poll, UV_READABLE, on_readable);
    else
        uv_poll_stop(&s->in_poll);
}

static void output_pump(struct serial *s);

static void on_writable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    output_pump(handle->data);
}

/* The loop's turn at the ring; tells a device that was refused when half is free again. */
static void output_pump(struct serial *s)
{
    bool more, ready;

    pthread_mutex_lock(&s->lock);
    ring_drain(s);
    more = s->ring_len > 0;
    ready = s->refused && s->ring_len <= RING_BYTES / 2;
    s->refused = s->refused && !ready;
    pthread_mutex_unlock(&s->lock);
    if (s->out_open && !uv_is_closing((uv_handle_t *)&s->out_poll)) {
        if (more)
            uv_poll_start(&s->out_poll, UV_WRITABLE, on_writable);
        else
            uv_poll_stop(&s->out_poll);
    }
    if (ready)
        s->peer.tx_ready(s->peer.ctx);
}

static void on_wake(uv_async_t *handle)
{
    struct serial *s = handle->data;
    bool rx;

    pthread_mutex_lock(&s->lock);
    rx = s->rx_wanted;
    s->rx_wanted = false;
    pthread_mutex_unlock(&s->lock);
    output_pump(s);
    if (rx && (s->input_len || s->in_is_file))
        input_feed(s);
}

/*
 * A descriptor of our own that does not block. Terminals and pipes are opened anew, because the
 * flag belongs to the open file, which the user's shell shares; others are only duplicated.
 */
static int own_descriptor(int fd, int flags)
{
    struct stat st;
    char path[32];
    int r;

    if (fstat(fd, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (r >= 0)
            return r;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int open_file(struct serial *s, const char *path, struct error *err)
{
    s->out_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (s->out_fd < 0)
        return error_set(err, -errno, "--serial: %s: %s", path, strerror(errno));
    return 0;
}

int serial_new(uv_loop_t *loop, const char *spec, struct serial **ret_serial, struct error *err)
{
    struct serial *s = calloc(1, sizeof(*s));
    int r = 0;

    if (!s)
        return -ENOMEM;
    s->loop = loop;
    s->in_fd = s->out_fd = s->listen_fd = s->client_out_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    if (!strcmp(spec, "null")) {
        s->null = true;
    } else if (!strcmp(spec, "stdio")) {
        s->in_fd = own_descriptor(STDIN_FILENO, O_RDONLY);
        s->out_fd = own_descriptor(STDOUT_FILENO, O_WRONLY);
    } else if (!strncmp(spec, "file=", 5)) {
        r = open_file(s, spec + 5, err);
    } else if (!strncmp(spec, "unix=", 5)) {
        r = unixsock_listen(spec + 5, "--serial", &s->listen_fd, err);
        if (r == 0 && !(s->socket_path = strdup(spec + 5)))
            r = -ENOMEM;
    } else {
        r = error_set(err, -EINVAL, "--serial: '%s' is not known", spec);
    }
    if (r < 0) {
        serial_free(s);
        return r;
    }
    *ret_serial = s;
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void on_closed(uv_handle_t *handle)
{
    struct serial *s = handle->data;

    if (handle == (uv_handle_t *)&s->in_poll) {
        s->in_open = false;
        close_fd(&s->in_fd);
    } else if (handle == (uv_handle_t *)&s->out_poll) {
        s->out_open = false;
        close_fd(&s->client_out_fd);
    } else if (handle == (uv_handle_t *)&s->listen_poll) {
        s->listen_open = false;
    } else {
        s->wake_open = false;
    }
}

static void close_handle(bool open, uv_handle_t *handle)
{
    if (open && !uv_is_closing(handle))
        uv_close(handle, on_closed);
}

struct serial *serial_free(struct serial *s)
{
    if (!s)
        return NULL;
    pthread_mutex_lock(&s->lock);
    ring_drain(s);
    pthread_mutex_unlock(&s->lock);
    terminal_restore();
    close_handle(s->in_open, (uv_handle_t *)&s->in_poll);
    close_handle(s->out_open, (uv_handle_t *)&s->out_poll);
    close_handle(s->listen_open, (uv_handle_t *)&s->listen_poll);
    close_handle(s->wake_open, (uv_handle_t *)&s->wake);
    while (s->in_open || s->out_open || s->listen_open || s->wake_open)
        uv_run(s->loop, UV_RUN_NOWAIT);
    close_fd(&s->in_fd);
    if (s->listen_fd < 0)
        close_fd(&s->out_fd);
    close_fd(&s->listen_fd);
    if (s->socket_path)
        unlink(s->socket_path);
    free(s->socket_path);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

/* A socket's client has hung up: the next may come when the handles are closed. */
static void client_gone(struct serial *s)
{
    pthread_mutex_lock(&s->lock);
    s->out_fd = -1;
    s->ring_len = 0;
    pthread_mutex_unlock(&s->lock);
    close_handle(s->in_open, (uv_handle_t *)&s->in_poll);
    close_handle(s->out_open, (uv_handle_t *)&s->out_poll);
}

/* Reading and writing are polled apart, and libuv wants a descriptor for each. */
static int client_open(struct serial *s, int fd)
{
    AUTO_FD int in = fd;
    AUTO_FD int out = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (out < 0 || uv_poll_init(s->loop, &s->in_poll, in) < 0)
        return -EIO;
    s->in_open = true;
    s->in_poll.data = s;
    s->in_fd = take_fd(&in);
    if (uv_poll_init(s->loop, &s->out_poll, out) < 0) {
        close_handle(true, (uv_handle_t *)&s->in_poll);
        return -EIO;
    }
    s->out_open = true;
    s->out_poll.data = s;
    s->client_out_fd = take_fd(&out);
    return 0;
}

static void on_client(uv_poll_t *handle, int status, int events)
{
    struct serial *s = handle->data;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)status;
    (void)events;
    if (fd < 0)
        return;
    if (s->in_open || s->out_open) { /* one at a time */
        close(fd);
        return;
    }
    if (client_open(s, fd) < 0)
        return;
    s->eof = false;
    s->input_len = 0;
    pthread_mutex_lock(&s->lock);
    s->out_fd = s->client_out_fd;
    pthread_mutex_unlock(&s->lock);
    input_poll(s, true);
}

/* libuv refuses descriptors that epoll refuses: plain files and /dev/null. */
static void poll_standard(struct serial *s)
{
    if (s->in_fd >= 0) {
        s->in_open = uv_poll_init(s->loop, &s->in_poll, s->in_fd) == 0;
        s->in_poll.data = s;
        s->in_is_file = !s->in_open;
    }
    if (s->out_fd >= 0 && s->out_fd != s->in_fd) {
        s->out_open = uv_poll_init(s->loop, &s->out_poll, s->out_fd) == 0;
        s->out_poll.data = s;
    }
}

int serial_start(struct serial *s, const struct serial_peer *peer, struct error *err)
{
    int r;

    s->peer = *peer;
    if (s->null)
        return 0;
    r = uv_async_init(s->loop, &s->wake, on_wake);
    if (r < 0)
        return error_set(err, r, "--serial: %s", uv_strerror(r));
    s->wake.data = s;
    pthread_mutex_lock(&s->lock);
    s->wake_open = true;
    pthread_mutex_unlock(&s->lock);
    if (s->listen_fd >= 0) {
        r = uv_poll_init(s->loop, &s->listen_poll, s->listen_fd);
        if (r < 0)
            return error_set(err, r, "--serial: %s", uv_strerror(r));
        s->listen_poll.data = s;
        s->listen_open = true;
        uv_poll_start(&s->listen_poll, UV_READABLE, on_client);
        return 0;
    }
    poll_standard(s);
    s->terminal = s->in_fd >= 0 && terminal_raw(s->in_fd);
    if (s->in_is_file)
        chr_rx_ready(s);
    else if (s->in_fd >= 0)
        input_poll(s, true);
    return 0;
}
