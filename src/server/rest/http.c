/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening is ours (systemd may have made the socket); an accepted connection is handed to
 * libwebsockets. A client may be hostile: headers, bodies, connections and unread bytes are
 * bounded.
 */
#include "server/rest/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "server/rest/files.h"
#include "server/rest/route.h"
#include "server/rest/stream.h"

#define FAREWELL_MS 1000
#define LOG_ROOM "http"
#define BODY_MAX MIB(1)
#define CONNECTIONS_MAX 512u
#define UNSENT_MAX MIB(8)
#define PIECE_BYTES 32768u
#define HEADER_TEXT 2048u

struct piece {
    struct piece *next;
    size_t len, at;
    bool binary;
    uint8_t data[]; /* LWS_PRE bytes of room first */
};

struct connection {
    struct http *http;
    struct lws *wsi;
    char *path, *query;
    char method[8];
    char *authorization, *cookie, *csrf, *content_type, *if_match, *if_none_match, *prefer,
        *last_event_id;
    char *body;
    size_t body_bytes;
    bool too_large;
    struct request *request; /* being handled; a stream's or a WebSocket's stays */
    bool begun, answered, headers_sent, streaming, websocket, closing;
    struct answer answer;
    char type[64], etag[80], location[128], set_cookie[256];
    struct piece *pieces, **end;
    size_t unsent;
    struct stream *stream;
};

struct listener {
    struct http *http;
    uv_poll_t poll;
    int fd;
    bool tls;
    struct lws_vhost *vhost;
    struct listener *next;
};

struct http {
    struct server *server;
    struct lws_context *context;
    struct listener *listeners;
    struct farewell *farewell;
    unsigned connections;
    bool closing;
};

/* ---- pieces ---- */

static int push(struct connection *c, const void *data, size_t len, bool binary)
{
    struct piece *piece = malloc(sizeof(*piece) + LWS_PRE + len);

    if (!piece)
        return -ENOMEM;
    *piece = (struct piece){.len = len, .binary = binary};
    memcpy(piece->data + LWS_PRE, data, len);
    *c->end = piece;
    c->end = &piece->next;
    c->unsent += len;
    return 0;
}

static void drop_pieces(struct connection *c)
{
    while (c->pieces) {
        struct piece *piece = c->pieces;

        c->pieces = piece->next;
        free(piece);
    }
    c->end = &c->pieces;
    c->unsent = 0;
}

static void forget_request(struct connection *c)
{
    c->stream = stream_end(c->stream);
    if (c->request && (c->streaming || c->websocket))
        request_free(c->request);
    else if (c->request)
        c->request->connection = NULL; /* its handler is told nothing; the answer goes nowhere */
    c->request = NULL;
}

static void connection_reset(struct connection *c)
{
    char **texts[] = {&c->path,   &c->query,         &c->authorization, &c->cookie,
                      &c->csrf,   &c->content_type,  &c->if_match,      &c->if_none_match,
                      &c->prefer, &c->last_event_id, &c->body};

    forget_request(c);
    drop_pieces(c);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
    c->body_bytes = 0;
    c->too_large = c->begun = c->answered = c->headers_sent = c->streaming = false;
}

static struct connection *connection_new(struct http *http, struct lws *wsi)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->http = http;
    c->wsi = wsi;
    c->end = &c->pieces;
    http->connections++;
    return c;
}

static void connection_free(struct connection *c)
{
    if (!c)
        return;
    connection_reset(c);
    c->http->connections--;
    free(c);
}

/* ---- answering ---- */

void connection_take(struct connection *c, struct request *q)
{
    c->request = q;
    /* An answer may take as long as a task does, which has a limit of its own. */
    lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
}

void connection_answer(struct connection *c, const struct answer *answer)
{
    c->request = NULL;
    c->answer = *answer;
    snprintf(c->type, sizeof(c->type), "%s", answer->type ? answer->type : "");
    snprintf(c->etag, sizeof(c->etag), "%s", answer->etag ? answer->etag : "");
    snprintf(c->location, sizeof(c->location), "%s", answer->location ? answer->location : "");
    snprintf(c->set_cookie, sizeof(c->set_cookie), "%s", answer->cookie ? answer->cookie : "");
    for (size_t at = 0; at < answer->bytes; at += PIECE_BYTES)
        push(c, (const uint8_t *)answer->data + at, MIN(answer->bytes - at, (size_t)PIECE_BYTES),
             true);
    c->answered = true;
    lws_callback_on_writable(c->wsi);
}

void connection_stream(struct connection *c, struct request *q)
{
    c->request = q;
    c->streaming = true;
    c->answered = true;
    c->answer = (struct answer){.status = 200};
    snprintf(c->type, sizeof(c->type), "text/event-stream");
    lws_callback_on_writable(c->wsi);
}

bool connection_stream_open(struct connection *c)
{
    c->stream = stream_open(c, c->request);
    return c->stream != NULL;
}

void connection_send(struct connection *c, const void *data, size_t len_bytes, bool binary)
{
    if (c->closing)
        return;
    if (c->unsent + len_bytes > UNSENT_MAX || push(c, data, len_bytes, binary) < 0)
        c->closing = true;
    lws_callback_on_writable(c->wsi);
}

void connection_hang_up(struct connection *c)
{
    c->closing = true;
    lws_callback_on_writable(c->wsi);
}

/*
 * Has somebody sent more than was asked for yet? libwebsockets 4.1 loops for ever over a request
 * with a body that came together with the one before it, so who sends ahead gets one answer, and
 * must connect again. It tells of all connections at once, so at times another one is meant.
 */
static bool sent_ahead(const struct connection *c)
{
    return lws_service_adjust_timeout(c->http->context, 1, 0) == 0;
}

/* The end of an answer. -1: close. */
static int complete(struct connection *c)
{
    return c->closing || sent_ahead(c) || lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

struct headers {
    struct lws *wsi;
    uint8_t buf[LWS_PRE + HEADER_TEXT];
    uint8_t *at, *end;
    int failed;
};

static void header(struct headers *h, const char *name, const char *value)
{
    char with_colon[64];

    snprintf(with_colon, sizeof(with_colon), "%s:", name);
    h->failed |= lws_add_http_header_by_name(h->wsi, (const unsigned char *)with_colon,
                                             (const unsigned char *)value, (int)strlen(value),
                                             &h->at, h->end);
}

/*
 * Scripts, styles and connections from here alone; nobody may frame the pages. Styles may be
 * inline: xterm.js and noVNC set them on elements.
 */
#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "                    \
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; "           \
    "form-action 'self'; frame-ancestors 'none'"
#define API_POLICY "default-src 'none'; frame-ancestors 'none'"

static int send_headers(struct connection *c)
{
    struct headers h = {.wsi = c->wsi};
    const struct answer *a = &c->answer;
    char number[24];

    h.at = h.buf + LWS_PRE;
    h.end = h.buf + sizeof(h.buf);
    c->closing |= !c->streaming && !c->websocket && sent_ahead(c);
    if (lws_add_http_header_status(c->wsi, a->status, &h.at, h.end))
        return -1;
    if (*c->type)
        header(&h, "content-type", c->type);
    if (*c->etag)
        header(&h, "etag", c->etag);
    if (*c->location)
        header(&h, "location", c->location);
    if (*c->set_cookie)
        header(&h, "set-cookie", c->set_cookie);
    if (a->retry_after) {
        snprintf(number, sizeof(number), "%u", a->retry_after);
        header(&h, "retry-after", number);
    }
    header(&h, "cache-control", a->cache ? "no-cache" : "no-store");
    header(&h, "x-content-type-options", "nosniff");
    header(&h, "referrer-policy", "no-referrer");
    header(&h, "x-frame-options", "DENY");
    header(&h, "content-security-policy", a->page ? PAGE_POLICY : API_POLICY);
    if (!c->streaming && a->status != 204 && a->status != 304)
        h.failed |=
            lws_add_http_header_content_length(c->wsi, (lws_filepos_t)a->bytes, &h.at, h.end);
    if (c->streaming || c->closing)
        header(&h, "connection", "close");
    if (h.failed || lws_finalize_write_http_header(c->wsi, h.buf + LWS_PRE, &h.at, h.end))
        return -1;
    c->headers_sent = true;
    return 0;
}

/* The next piece. 1: it was the last, 0: there are more, or may come; -1: close. */
static int send_piece(struct connection *c)
{
    struct piece *piece = c->pieces;
    bool last = !piece->next && !c->streaming;
    int n;

    c->pieces = piece->next;
    if (!c->pieces)
        c->end = &c->pieces;
    c->unsent -= piece->len;
    n = lws_write(c->wsi, piece->data + LWS_PRE, piece->len,
                  last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    free(piece);
    return n < 0 ? -1 : last;
}

/* As much as the socket takes. -1: close. */
static int on_writeable(struct connection *c)
{
    int r = 0;

    if (!c->answered)
        return c->closing ? -1 : 0;
    if (!c->headers_sent) {
        if (send_headers(c) < 0)
            return -1;
        if (!c->pieces && !c->streaming)
            return complete(c);
    }
    while (c->pieces && r == 0 && !lws_send_pipe_choked(c->wsi))
        r = send_piece(c);
    if (r)
        return r < 0 ? -1 : complete(c);
    if (c->closing && !c->pieces)
        return -1;
    if (c->pieces)
        lws_callback_on_writable(c->wsi);
    return 0;
}

static int on_websocket_writeable(struct connection *c)
{
    struct piece *piece = c->pieces;
    int n;

    if (!piece)
        return c->closing ? -1 : 0;
    c->pieces = piece->next;
    if (!c->pieces)
        c->end = &c->pieces;
    c->unsent -= piece->len;
    n = lws_write(c->wsi, piece->data + LWS_PRE, piece->len,
                  piece->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    free(piece);
    if (n < 0)
        return -1;
    if (c->pieces || c->closing)
        lws_callback_on_writable(c->wsi);
    return 0;
}

/* ---- arriving ---- */

static char *copy_header(struct lws *wsi, enum lws_token_indexes token)
{
    int len = lws_hdr_total_length(wsi, token);
    char *text = len > 0 ? malloc((size_t)len + 1) : NULL;

    if (text && lws_hdr_copy(wsi, text, len + 1, token) < 0)
        *text = '\0';
    return text;
}

static char *copy_custom(struct lws *wsi, const char *name)
{
    int name_len = (int)strlen(name), len = lws_hdr_custom_length(wsi, name, name_len);
    char *text = len > 0 ? malloc((size_t)len + 1) : NULL;

    if (text && lws_hdr_custom_copy(wsi, text, len + 1, name, name_len) < 0)
        *text = '\0';
    return text;
}

/* The query's parts come apart from libwebsockets; put them together again. */
static char *copy_query(struct lws *wsi)
{
    int len = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS);
    char *text = len > 0 ? calloc(1, (size_t)len + 64) : NULL;
    size_t used = 0;

    for (int i = 0; text && i < 32; i++) {
        char part[4608];
        int n = lws_hdr_copy_fragment(wsi, part, sizeof(part), WSI_TOKEN_HTTP_URI_ARGS, i);

        if (n < 0)
            break;
        if (used + (size_t)n + 2 > (size_t)len + 64)
            break;
        if (used)
            text[used++] = '&';
        memcpy(text + used, part, (size_t)n);
        used += (size_t)n;
        text[used] = '\0';
    }
    return text;
}

static bool take_method(struct connection *c)
{
    static const struct {
        enum lws_token_indexes token;
        const char *name;
    } methods[] = {{WSI_TOKEN_GET_URI, "GET"},       {WSI_TOKEN_POST_URI, "POST"},
                   {WSI_TOKEN_PUT_URI, "PUT"},       {WSI_TOKEN_PATCH_URI, "PATCH"},
                   {WSI_TOKEN_DELETE_URI, "DELETE"}, {WSI_TOKEN_HEAD_URI, "HEAD"}};

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (lws_hdr_total_length(c->wsi, methods[i].token) > 0) {
            snprintf(c->method, sizeof(c->method), "%s", methods[i].name);
            c->path = copy_header(c->wsi, methods[i].token);
            return c->path != NULL;
        }
    }
    return false;
}

static bool take_headers(struct connection *c)
{
    struct lws *wsi = c->wsi;

    if (!take_method(c))
        return false;
    c->query = copy_query(wsi);
    c->authorization = copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    c->cookie = copy_header(wsi, WSI_TOKEN_HTTP_COOKIE);
    c->content_type = copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE);
    c->if_match = copy_header(wsi, WSI_TOKEN_HTTP_IF_MATCH);
    c->if_none_match = copy_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    c->csrf = copy_custom(wsi, "x-yado-csrf:");
    c->prefer = copy_custom(wsi, "prefer:");
    c->last_event_id = copy_custom(wsi, "last-event-id:");
    return true;
}

static int peer_uid(struct lws *wsi)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int domain = 0;
    socklen_t domain_len = sizeof(domain);
    int fd = lws_get_socket_fd(wsi);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -1;
    return (int)cred.uid;
}

static void peer_address(struct lws *wsi, char *buf, size_t room)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    const void *in = &((struct sockaddr_in *)&addr)->sin_addr;

    *buf = '\0';
    if (getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&addr, &len) < 0)
        return;
    if (addr.ss_family == AF_INET6)
        in = &((struct sockaddr_in6 *)&addr)->sin6_addr;
    if (addr.ss_family == AF_INET || addr.ss_family == AF_INET6)
        inet_ntop(addr.ss_family, in, buf, (socklen_t)room);
}

static void begin(struct connection *c, bool websocket)
{
    char address[64];
    struct arrival arrival = {.method = c->method,
                              .path = c->path,
                              .query = c->query,
                              .authorization = c->authorization,
                              .cookie = c->cookie,
                              .csrf = c->csrf,
                              .content_type = c->content_type,
                              .if_match = c->if_match,
                              .if_none_match = c->if_none_match,
                              .prefer = c->prefer,
                              .last_event_id = c->last_event_id,
                              .address = address,
                              .body = c->body,
                              .body_bytes = c->too_large ? SIZE_MAX : c->body_bytes,
                              .secure = lws_is_ssl(c->wsi),
                              .websocket = websocket,
                              .peer_uid = peer_uid(c->wsi)};
    struct request *asked = NULL;

    c->begun = true;
    peer_address(c->wsi, address, sizeof(address));
    if (!websocket && strncmp(c->path, API_PREFIX "/", sizeof(API_PREFIX)) != 0) {
        files_answer(c->http->server, c, c->method, c->path, c->if_none_match);
        return;
    }
    route_request(c->http->server, c, &arrival, &asked);
    if (websocket)
        c->request = asked;
}

static bool has_body(struct lws *wsi)
{
    char text[24] = "";

    if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0)
        return strtoull(text, NULL, 10) > 0;
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
}

static int on_http(struct connection *c)
{
    connection_reset(c);
    if (!take_headers(c))
        return -1;
    /* libwebsockets tells of the body of these only when there is one. */
    if (has_body(c->wsi))
        return 0;
    begin(c, false);
    return 0;
}

static void on_body(struct connection *c, const void *data, size_t len)
{
    char *more;

    if (!len)
        return;
    if (c->too_large || c->body_bytes + len > BODY_MAX) {
        c->too_large = true;
        return;
    }
    more = realloc(c->body, c->body_bytes + len + 1);
    if (!more) {
        c->too_large = true;
        return;
    }
    memcpy(more + c->body_bytes, data, len);
    c->body = more;
    c->body_bytes += len;
    more[c->body_bytes] = '\0';
}

static struct http *http_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static int on_upgrade(struct connection *c, struct lws *wsi)
{
    connection_reset(c);
    if (!take_headers(c))
        return -1;
    begin(c, true);
    if (c->request)
        return 0;
    /* It has been refused: say why, then close. */
    if (!c->answered || send_headers(c) < 0)
        return -1;
    if (c->pieces)
        lws_write(wsi, c->pieces->data + LWS_PRE, c->pieces->len, LWS_WRITE_HTTP_FINAL);
    return 1;
}

static int on_established(struct connection *c)
{
    if (!c || !c->request)
        return -1;
    c->websocket = true;
    c->stream = stream_open(c, c->request);
    return c->stream ? 0 : -1;
}

/* The connection of a wsi; made when it first asks for something. */
static struct connection *connection_of(struct lws *wsi)
{
    struct connection *c = lws_get_opaque_user_data(wsi);
    struct http *http = http_of(wsi);

    if (!c && !http->closing && http->connections < CONNECTIONS_MAX) {
        c = connection_new(http, wsi);
        lws_set_opaque_user_data(wsi, c);
    }
    return c;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct connection *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
        c = connection_of(wsi);
        return c ? on_http(c) : -1;
    case LWS_CALLBACK_HTTP_BODY:
        if (c)
            on_body(c, in, len);
        return 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        if (c && !c->begun)
            begin(c, false);
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return c ? on_writeable(c) : 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        c = in && !strcmp(in, "websocket") ? connection_of(wsi) : NULL;
        return c ? on_upgrade(c, wsi) : -1;
    case LWS_CALLBACK_ESTABLISHED:
        return on_established(c);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return c ? on_websocket_writeable(c) : 0;
    case LWS_CALLBACK_RECEIVE:
        if (c && c->stream)
            stream_receive(c->stream, in, len);
        return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        if (c)
            lws_set_opaque_user_data(wsi, NULL);
        connection_free(c);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}

/* ---- listening ---- */

static const struct lws_protocols protocols[] = {
    {"http", callback, 0, 65536, 0, NULL, 0},
    {"binary", callback, 0, 65536, 0, NULL, 0},
    {"yado-events", callback, 0, 4096, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

static void to_log(int level, const char *line)
{
    size_t length = strlen(line);

    (void)level;
    if (length && line[length - 1] == '\n')
        length--;
    log_info("%.*s", (int)length, line);
}

int http_new(struct server *server, struct http **ret_http, struct error *err)
{
    struct http *http = calloc(1, sizeof(*http));
    struct lws_context_creation_info info = {0};
    void *loops[] = {server->loop};

    if (!http)
        return -ENOMEM;
    http->server = server;
    lws_set_log_level(LLL_ERR | LLL_WARN, to_log);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.user = http;
    info.pt_serv_buf_size = 65536;
    info.max_http_header_data = 16384;
    info.fd_limit_per_thread = 2048;
    http->context = lws_create_context(&info);
    if (!http->context) {
        free(http);
        return error_set(err, -EIO,
                         "libwebsockets cannot be used; is libwebsockets-evlib-uv "
                         "installed?");
    }
    *ret_http = http;
    return 0;
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;

    (void)status;
    (void)events;
    if (fd < 0)
        return;
    /* Headers and body go out apart: the second must not wait until the first is acknowledged. */
    if (l->tls)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (l->http->connections >= CONNECTIONS_MAX)
        close(fd);
    else
        lws_adopt_socket_vhost(l->vhost, fd);
}

static int add(struct http *http, int fd, struct lws_context_creation_info *info, bool tls,
               struct error *err)
{
    struct listener *l = calloc(1, sizeof(*l));

    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->protocols = protocols;
    info->keepalive_timeout = 60;
    info->timeout_secs = 15;
    info->user = http;
    if (l)
        l->vhost = lws_create_vhost(http->context, info);
    if (!l || !l->vhost) {
        free(l);
        close(fd);
        return error_set(err, -EINVAL,
                         tls ? "the certificate or its key cannot be used"
                             : "libwebsockets refuses to serve");
    }
    l->http = http;
    l->fd = fd;
    l->tls = tls;
    uv_poll_init(http->server->loop, &l->poll, fd);
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_listener);
    l->next = http->listeners;
    http->listeners = l;
    return 0;
}

int http_add_unix(struct http *http, int fd, struct error *err)
{
    struct lws_context_creation_info info = {.vhost_name = "unix"};

    return add(http, fd, &info, false, err);
}

int http_add_tls(struct http *http, int fd, const char *certificate, const char *key,
                 struct error *err)
{
    struct lws_context_creation_info info = {.vhost_name = "https",
                                             .ssl_cert_filepath = certificate,
                                             .ssl_private_key_filepath = key,
                                             .alpn = "http/1.1"};

    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    return add(http, fd, &info, true, err);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;

    close(l->fd);
    free(l);
}

/* ---- not listening any more ---- */

struct farewell {
    struct http *http;
    struct lws_vhost *vhost;
    uv_timer_t timer;
};

static void on_farewell_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Its answers have gone out: hang up what is left of its connections. */
static void on_farewell(uv_timer_t *timer)
{
    struct farewell *f = timer->data;

    f->http->farewell = NULL;
    lws_vhost_destroy(f->vhost);
    uv_close((uv_handle_t *)timer, on_farewell_closed);
}

static void say_farewell(struct http *http, struct lws_vhost *vhost)
{
    struct farewell *f = calloc(1, sizeof(*f));

    if (http->farewell) /* twice in a second: the first has had its time */
        on_farewell(&http->farewell->timer);
    if (!f)
        return; /* its connections end when their clients end them */
    *f = (struct farewell){.http = http, .vhost = vhost};
    uv_timer_init(http->server->loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_farewell, FAREWELL_MS, 0);
    http->farewell = f;
}

void http_remove_tls(struct http *http)
{
    struct listener **at = &http->listeners;

    while (*at) {
        struct listener *l = *at;

        if (!l->tls) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        say_farewell(http, l->vhost);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
}

struct http *http_free(struct http *http)
{
    if (!http)
        return NULL;
    http->closing = true;
    if (http->farewell) { /* the context's end is its vhosts', too */
        uv_close((uv_handle_t *)&http->farewell->timer, on_farewell_closed);
        http->farewell = NULL;
    }
    while (http->listeners) {
        struct listener *l = http->listeners;

        http->listeners = l->next;
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
    lws_context_destroy(http->context);
    for (int i = 0; i < 50; i++) /* its handles close in the loop */
        uv_run(http->server->loop, UV_RUN_NOWAIT);
    free(http);
    return NULL;
}
