/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define PORT 53u
#define QUESTIONS_MAX 128u
#define QUERY_MAX 2048u
#define LENGTH_BYTES 2u /* before a message over TCP */
#define STREAM_MAX (LENGTH_BYTES + UINT16_MAX)
#define PATIENCE_MS 2000u /* for one server */

struct server {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } address;
};

struct question {
    struct upstream *upstream;
    struct question *next;
    unsigned token;
    bool by_tcp, ended;
    uv_udp_t udp;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uint8_t *stream; /* what has come over TCP, of STREAM_MAX bytes */
    size_t stream_len;
    uv_timer_t timer;
    unsigned open; /* handles that are not closed */
    struct server servers[UPSTREAM_SERVERS_MAX];
    unsigned server_count, server;
    uint8_t length[LENGTH_BYTES], query[QUERY_MAX], buf[QUERY_MAX];
    size_t len;
};

struct upstream {
    uv_loop_t *loop;
    struct in_addr fixed[UPSTREAM_SERVERS_MAX];
    unsigned fixed_count;
    upstream_answer *answer;
    void *ctx;
    struct question *questions; /* those that wait for an answer */
    uv_async_t come;
    bool open;
    pthread_mutex_t lock; /* guards the rest */
    struct question *incoming;
    unsigned count; /* all, also those that are being closed */
};

static void set_ip4(struct server *s, struct in_addr a)
{
    s->address.ip4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = a, .sin_port = htons(PORT)};
}

/* The host's servers; how many. */
static unsigned read_servers(struct server *servers)
{
    FILE *f = fopen(RESOLV_CONF, "re");
    char line[256], text[64];
    unsigned n = 0;

    while (f && n < UPSTREAM_SERVERS_MAX && fgets(line, sizeof(line), f)) {
        struct in_addr a;
        struct sockaddr_in6 *ip6 = &servers[n].address.ip6;

        if (sscanf(line, "nameserver %63s", text) != 1)
            continue;
        if (inet_pton(AF_INET, text, &a) == 1)
            set_ip4(&servers[n++], a);
        else if (inet_pton(AF_INET6, text, &ip6->sin6_addr) == 1) {
            ip6->sin6_family = AF_INET6;
            ip6->sin6_port = htons(PORT);
            n++;
        }
    }
    if (f)
        fclose(f);
    return n;
}

static void on_closed(uv_handle_t *handle)
{
    struct question *q = handle->data;

    if (--q->open)
        return;
    pthread_mutex_lock(&q->upstream->lock);
    q->upstream->count--;
    pthread_mutex_unlock(&q->upstream->lock);
    free(q->stream);
    free(q);
}

static void question_end(struct question *q)
{
    struct question **at = &q->upstream->questions;

    while (*at && *at != q)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = q->next;
    q->ended = true;
    if (!q->by_tcp)
        uv_close((uv_handle_t *)&q->udp, on_closed);
    else if (!uv_is_closing((uv_handle_t *)&q->tcp))
        uv_close((uv_handle_t *)&q->tcp, on_closed);
    uv_close((uv_handle_t *)&q->timer, on_closed);
}

static void finish(struct question *q, const uint8_t *data, size_t len)
{
    struct upstream *u = q->upstream;
    unsigned token = q->token;

    u->answer(u->ctx, token, data, len);
    question_end(q);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct question *q = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)q->buf, sizeof(q->buf));
}

static void on_answer(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                      unsigned flags)
{
    struct question *q = udp->data;

    (void)buf;
    (void)from;
    /* Something else than an answer to this question is not waited for any longer than the rest. */
    if (n >= 12 && !(flags & UV_UDP_PARTIAL) && !memcmp(q->buf, q->query, 2))
        finish(q, q->buf, (size_t)n);
}

/* Ask the next server that can be asked; false: there is none. */
static bool ask_next(struct question *q)
{
    while (q->server < q->server_count) {
        uv_buf_t buf = uv_buf_init((char *)q->query, (unsigned)q->len);

        if (q->server)
            uv_udp_connect(&q->udp, NULL);
        if (uv_udp_connect(&q->udp, &q->servers[q->server++].address.any) == 0 &&
            uv_udp_try_send(&q->udp, &buf, 1, NULL) >= 0)
            return true;
    }
    return false;
}

/* ---- by TCP: a connection for the question, to one server after the other ---- */

static void connect_next(struct question *q);
static void on_tcp_patience(uv_timer_t *timer);

static void on_given_up(uv_handle_t *handle)
{
    struct question *q = handle->data;

    if (!q->ended)
        connect_next(q);
    on_closed(handle);
}

static void give_up_server(struct question *q)
{
    if (!uv_is_closing((uv_handle_t *)&q->tcp))
        uv_close((uv_handle_t *)&q->tcp, on_given_up);
}

static void on_stream_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct question *q = handle->data;

    (void)suggested;
    *buf = uv_buf_init((char *)q->stream + q->stream_len, (unsigned)(STREAM_MAX - q->stream_len));
}

static void on_stream(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct question *q = stream->data;
    size_t len;

    (void)buf;
    if (n < 0) {
        give_up_server(q);
        return;
    }
    q->stream_len += (size_t)n;
    if (q->stream_len < LENGTH_BYTES)
        return;
    len = be16_get(q->stream);
    if (q->stream_len < LENGTH_BYTES + len)
        return;
    if (len >= 12 && !memcmp(q->stream + LENGTH_BYTES, q->query, 2))
        finish(q, q->stream + LENGTH_BYTES, len);
    else
        give_up_server(q);
}

static void on_written(uv_write_t *write, int status)
{
    struct question *q = write->data;

    if (status < 0)
        give_up_server(q);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct question *q = connect->data;
    uv_buf_t bufs[] = {uv_buf_init((char *)q->length, sizeof(q->length)),
                       uv_buf_init((char *)q->query, (unsigned)q->len)};

    if (status < 0 ||
        uv_write(&q->write, (uv_stream_t *)&q->tcp, bufs, ARRAY_LEN(bufs), on_written) < 0 ||
        uv_read_start((uv_stream_t *)&q->tcp, on_stream_alloc, on_stream) < 0)
        give_up_server(q);
}

/* The next server; when there is none any more the question has no answer. */
static void connect_next(struct question *q)
{
    bool there = q->server < q->server_count;

    if (!q->stream)
        q->stream = malloc(STREAM_MAX);
    q->stream_len = 0;
    uv_tcp_init(q->upstream->loop, &q->tcp);
    q->tcp.data = q->connect.data = q->write.data = q;
    q->open++;
    if (!there || !q->stream) {
        finish(q, NULL, 0);
        return;
    }
    uv_timer_start(&q->timer, on_tcp_patience, PATIENCE_MS, 0);
    if (uv_tcp_connect(&q->connect, &q->tcp, &q->servers[q->server++].address.any, on_connected) <
        0)
        give_up_server(q);
}

static void on_tcp_patience(uv_timer_t *timer)
{
    give_up_server(timer->data);
}

/* ---- questions ---- */

static void on_patience(uv_timer_t *timer)
{
    struct question *q = timer->data;

    if (ask_next(q))
        return;
    finish(q, NULL, 0);
}

static void start(struct upstream *u, struct question *q)
{
    for (unsigned i = 0; i < u->fixed_count; i++)
        set_ip4(&q->servers[i], u->fixed[i]);
    q->server_count = u->fixed_count ? u->fixed_count : read_servers(q->servers);
    uv_timer_init(u->loop, &q->timer);
    q->timer.data = q;
    q->open = 1;
    q->next = u->questions;
    u->questions = q;
    if (q->by_tcp) {
        connect_next(q);
        return;
    }
    uv_udp_init(u->loop, &q->udp);
    q->udp.data = q;
    q->open++;
    if (ask_next(q) && uv_udp_recv_start(&q->udp, on_alloc, on_answer) == 0)
        uv_timer_start(&q->timer, on_patience, PATIENCE_MS, PATIENCE_MS);
    else
        finish(q, NULL, 0);
}

static struct question *take_incoming(struct upstream *u)
{
    struct question *q;

    pthread_mutex_lock(&u->lock);
    q = u->incoming;
    if (q)
        u->incoming = q->next;
    pthread_mutex_unlock(&u->lock);
    return q;
}

static void on_come(uv_async_t *handle)
{
    struct upstream *u = handle->data;
    struct question *q;

    while ((q = take_incoming(u)) != NULL)
        start(u, q);
}

bool upstream_ask(struct upstream *u, unsigned token, bool tcp, const uint8_t *query, size_t len)
{
    struct question *q = len >= 12 && len <= QUERY_MAX ? calloc(1, sizeof(*q)) : NULL;
    bool room;

    if (!q)
        return false;
    q->upstream = u;
    q->token = token;
    q->by_tcp = tcp;
    q->len = len;
    be16_put(q->length, (uint16_t)len);
    memcpy(q->query, query, len);
    pthread_mutex_lock(&u->lock);
    room = u->count < QUESTIONS_MAX;
    if (room) {
        u->count++;
        q->next = u->incoming;
        u->incoming = q;
    }
    pthread_mutex_unlock(&u->lock);
    if (room)
        uv_async_send(&u->come);
    else
        free(q);
    return room;
}

int upstream_new(uv_loop_t *loop, const struct in_addr *servers, unsigned count,
                 upstream_answer *answer, void *ctx, struct upstream **ret_upstream)
{
    struct upstream *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return -ENOMEM;
    u->loop = loop;
    u->fixed_count = MIN(count, UPSTREAM_SERVERS_MAX);
    memcpy(u->fixed, servers, u->fixed_count * sizeof(*servers));
    u->answer = answer;
    u->ctx = ctx;
    pthread_mutex_init(&u->lock, NULL);
    u->come.data = u;
    r = uv_async_init(loop, &u->come, on_come);
    if (r < 0) {
        free(u);
        return r;
    }
    u->open = true;
    *ret_upstream = u;
    return 0;
}

static void on_come_closed(uv_handle_t *handle)
{
    ((struct upstream *)handle->data)->open = false;
}

struct upstream *upstream_free(struct upstream *u)
{
    struct question *q;

    if (!u)
        return NULL;
    while (u->questions)
        question_end(u->questions);
    while ((q = take_incoming(u)) != NULL) {
        u->count--;
        free(q);
    }
    uv_close((uv_handle_t *)&u->come, on_come_closed);
    while (u->open || u->count)
        uv_run(u->loop, UV_RUN_NOWAIT);
    pthread_mutex_destroy(&u->lock);
    free(u);
    return NULL;
}
