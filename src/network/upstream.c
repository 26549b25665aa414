/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define PORT 53u
#define QUESTIONS_MAX 128u
#define QUERY_MAX 2048u
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
    uv_udp_t udp;
    uv_timer_t timer;
    unsigned open; /* handles that are not closed */
    struct server servers[UPSTREAM_SERVERS_MAX];
    unsigned server_count, server;
    uint8_t query[QUERY_MAX], buf[QUERY_MAX];
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
    uv_close((uv_handle_t *)&q->udp, on_closed);
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
    uv_udp_init(u->loop, &q->udp);
    uv_timer_init(u->loop, &q->timer);
    q->udp.data = q->timer.data = q;
    q->open = 2;
    q->next = u->questions;
    u->questions = q;
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

bool upstream_ask(struct upstream *u, unsigned token, const uint8_t *query, size_t len)
{
    struct question *q = len >= 12 && len <= QUERY_MAX ? calloc(1, sizeof(*q)) : NULL;
    bool room;

    if (!q)
        return false;
    q->upstream = u;
    q->token = token;
    q->len = len;
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
