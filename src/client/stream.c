/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A WebSocket of the server's, its binary messages led to and from files of ours. libcurl of Debian 12
 * has no WebSockets; libwebsockets, which the server has too, does.
 */
#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client_priv.h"

#define CHUNK_BYTES 4096
#define CONNECT_SECONDS 20

struct stream {
    const struct client *client;
    struct lws_context *context;
    struct lws *socket, *input; /* NULL: not there (yet) */
    int in, out, escape;
    uint8_t pending[LWS_PRE + CHUNK_BYTES]; /* read, and to be sent */
    size_t pending_len;
    bool open, over;
    bool hung_up, input_ended; /* nobody writes any more; all is read */
    bool closing;              /* the server has been told */
    int error;                 /* -errno, with text in `why` */
    char why[160];
};

static int fail(struct stream *s, int error, const char *why)
{
    if (!s->error) {
        s->error = error;
        snprintf(s->why, sizeof(s->why), "%s", why);
    }
    s->over = true;
    return -1;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int add_token(const struct stream *s, struct lws *wsi, uint8_t **at, uint8_t *end)
{
    char text[256];

    if (!s->client->token)
        return 0;
    int n = snprintf(text, sizeof(text), "Bearer %.200s", s->client->token);
    return lws_add_http_header_by_name(wsi, (const uint8_t *)"Authorization:", (uint8_t *)text, n,
                                       at, end);
}

static int send_pending(struct stream *s)
{
    if (s->pending_len) {
        int n = lws_write(s->socket, s->pending + LWS_PRE, s->pending_len, LWS_WRITE_BINARY);
        if (n < (int)s->pending_len)
            return fail(s, -EPIPE, "the connection broke");
        s->pending_len = 0;
        if (s->input)
            lws_rx_flow_control(s->input, 1);
    }
    if (!s->input_ended || s->closing)
        return 0;
    /*
     * RFC 6455, 7.1.2: the server answers this when it has read all that was sent before. Whoever hangs
     * up without waiting for that takes it away from a server that just then had something to say.
     */
    s->closing = true;
    lws_close_reason(s->socket, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
    return -1;
}

static int on_socket(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    struct stream *s = lws_context_user(lws_get_context(wsi));
    int r;

    (void)user;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_token(s, wsi, in, *(uint8_t **)in + len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        s->socket = NULL;
        return fail(s, -ECONNREFUSED, in ? in : "no answer");
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        s->open = true;
        break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        r = write_all(s->out, in, len);
        return r < 0 ? fail(s, r, strerror(-r)) : 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return send_pending(s);
    case LWS_CALLBACK_CLIENT_CLOSED:
        s->socket = NULL;
        s->over = true;
        break;
    default:
        break;
    }
    return 0;
}

static void take_input(struct stream *s)
{
    ssize_t n = read(s->in, s->pending + LWS_PRE, CHUNK_BYTES);
    const uint8_t *escape;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        s->input_ended = true;
        n = 0;
    }
    escape = s->escape < 0 ? NULL : memchr(s->pending + LWS_PRE, s->escape, (size_t)n);
    if (escape) {
        s->input_ended = true;
        n = escape - (s->pending + LWS_PRE);
    }
    s->pending_len = (size_t)n;
    if (s->input)
        lws_rx_flow_control(s->input, 0); /* until it is sent; for good when it has ended */
    if (s->socket)
        lws_callback_on_writable(s->socket);
}

static int on_input(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct stream *s = lws_context_user(lws_get_context(wsi));

    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_RAW_RX_FILE && !s->input_ended && !s->pending_len)
        take_input(s);
    if (reason == LWS_CALLBACK_RAW_CLOSE_FILE) {
        s->input = NULL;
        s->hung_up = true;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "binary", .callback = on_socket, .rx_buffer_size = CHUNK_BYTES},
    {.name = "input", .callback = on_input},
    {0},
};

static bool connect_to(struct stream *s, const char *path)
{
    const struct client *client = s->client;
    struct lws_client_connect_info info = {.context = s->context,
                                           .path = path,
                                           .host = "localhost",
                                           .origin = "localhost",
                                           .protocol = "binary",
                                           .local_protocol_name = "binary",
                                           .port = 443};
    AUTO_FREE char *name = NULL;

    if (client->socket) {
        if (asprintf(&name, "+%s", client->socket) < 0)
            return false;
        info.address = name;
    } else {
        name = strdup(client->base + strlen("https://"));
        char *port = name ? strrchr(name, ':') : NULL;
        if (port && !strchr(port, ']')) {
            *port = '\0';
            info.port = (int)strtol(port + 1, NULL, 10);
        }
        info.address = info.host = info.origin = name;
        info.ssl_connection = LCCSCF_USE_SSL;
    }
    return info.address && (s->socket = lws_client_connect_via_info(&info));
}

static bool listen_to_input(struct stream *s)
{
    lws_sock_file_fd_type fd = {.filefd = fcntl(s->in, F_DUPFD_CLOEXEC, 0)}; /* closed there */
    struct lws_vhost *vhost = lws_get_vhost_by_name(s->context, "default");

    s->input = fd.filefd < 0
                   ? NULL
                   : lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "input", NULL);
    return s->input;
}

static void lead(struct stream *s)
{
    time_t begin = time(NULL);

    while (!s->over && lws_service(s->context, 0) >= 0) {
        if (s->open && !s->input && !s->hung_up && !listen_to_input(s))
            fail(s, -EIO, "the input cannot be waited for");
        if (s->hung_up && !s->pending_len && !s->input_ended)
            take_input(s); /* what is left */
        if (!s->open && time(NULL) - begin > CONNECT_SECONDS)
            fail(s, -ETIMEDOUT, "no answer");
    }
}

int client_stream(struct client *client, const char *path, int in, int out, int escape,
                  struct error *err)
{
    struct stream s = {.client = client, .in = in, .out = out, .escape = escape};
    struct lws_context_creation_info info = {.port = CONTEXT_PORT_NO_LISTEN,
                                             .protocols = protocols,
                                             .user = &s,
                                             .gid = (gid_t)-1,
                                             .uid = (uid_t)-1};
    AUTO_FREE char *whole = NULL;

    if (!client->socket)
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    lws_set_log_level(0, NULL);
    s.context = lws_create_context(&info);
    if (!s.context || asprintf(&whole, "/api/v1%s", path) < 0) {
        if (s.context)
            lws_context_destroy(s.context);
        whole = NULL;
        return error_set(err, -ENOMEM, "out of memory");
    }
    if (!connect_to(&s, whole))
        fail(&s, -ECONNREFUSED, "it does not answer; is yadod running?");
    lead(&s);
    lws_context_destroy(s.context);
    if (s.error)
        return error_set(err, s.error, "%s: %s", client->socket ? client->socket : client->base,
                         s.why);
    return 0;
}
