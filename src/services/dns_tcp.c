/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DNS over TCP: RFC 7766. Messages with their length before them, several on one connection, answered
 * as answers come (6.2.1.1); the client closes, or the connection's own patience ends.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "services/dns_priv.h"

#define LENGTH_BYTES 2u
#define QUESTION_MAX STACK_UDP_BYTES_MAX
/* Answers that the client has not taken; one that asks on without taking any is cut off. */
#define OUT_MAX (2 * (DNS_MESSAGE_MAX + LENGTH_BYTES))

struct dns_stream {
    struct dns *dns;
    struct tcp_connection *connection;
    struct stack_peer peer;
    uint8_t in[LENGTH_BYTES + QUESTION_MAX];
    size_t in_len;
    uint8_t *out; /* what the far end does not have yet, from place out_at of the stream on */
    size_t out_len;
    uint64_t out_at;
    unsigned waiting; /* for the world */
    bool receiving, finished;
};

static void close_if_done(struct dns_stream *s)
{
    if (s->finished && !s->waiting)
        tcp_close(s->connection);
}

/* Forget what the far end has. */
static void out_trim(struct dns_stream *s)
{
    size_t done = (size_t)(tcp_acked(s->connection) - s->out_at);

    memmove(s->out, s->out + done, s->out_len - done);
    s->out_len -= done;
    s->out_at += done;
}

void dns_stream_send(struct dns_stream *s, const uint8_t *data, size_t len)
{
    uint8_t *more;

    if (s->out)
        out_trim(s);
    if (len > DNS_MESSAGE_MAX || s->out_len + LENGTH_BYTES + len > OUT_MAX) {
        tcp_close(s->connection);
        return;
    }
    more = realloc(s->out, s->out_len + LENGTH_BYTES + len);
    if (!more)
        return;
    s->out = more;
    be16_put(s->out + s->out_len, (uint16_t)len);
    memcpy(s->out + s->out_len + LENGTH_BYTES, data, len);
    s->out_len += LENGTH_BYTES + len;
    tcp_answer(s->connection, LENGTH_BYTES + len);
}

void dns_stream_wait(struct dns_stream *s)
{
    s->waiting++;
}

void dns_stream_waited(struct dns_stream *s)
{
    s->waiting--;
    close_if_done(s);
    if (!s->receiving)
        tcp_push(s->connection);
}

/* Those that are whole, in turn. */
static void take_messages(struct dns_stream *s)
{
    const struct dns_asker asker = {.peer = s->peer, .stream = s};
    size_t at = 0;

    while (s->in_len - at >= LENGTH_BYTES) {
        size_t len = be16_get(s->in + at);

        if (len > QUESTION_MAX) {
            tcp_close(s->connection); /* no question is so long */
            s->in_len = 0;
            return;
        }
        if (s->in_len - at - LENGTH_BYTES < len)
            break;
        dns_message(s->dns, &asker, s->in + at + LENGTH_BYTES, len);
        at += LENGTH_BYTES + len;
    }
    memmove(s->in, s->in + at, s->in_len - at);
    s->in_len -= at;
}

static void on_receive(void *conn, const uint8_t *data, size_t len)
{
    struct dns_stream *s = conn;

    s->receiving = true;
    while (len) {
        size_t n = MIN(len, sizeof(s->in) - s->in_len);

        memcpy(s->in + s->in_len, data, n);
        s->in_len += n;
        data += n;
        len -= n;
        take_messages(s);
    }
    s->receiving = false;
}

static size_t on_read(void *conn, uint64_t at, void *buf, size_t len)
{
    struct dns_stream *s = conn;

    if (at < s->out_at || at - s->out_at > s->out_len)
        return 0;
    len = MIN(len, s->out_len - (size_t)(at - s->out_at));
    memcpy(buf, s->out + (at - s->out_at), len);
    return len;
}

static void on_finished(void *conn)
{
    struct dns_stream *s = conn;

    s->finished = true;
    close_if_done(s);
}

static void *on_opened(void *ctx, struct tcp_connection *c)
{
    struct dns_stream *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->dns = ctx;
    s->connection = c;
    s->peer = *tcp_peer(c);
    return s;
}

static void on_closed(void *conn)
{
    struct dns_stream *s = conn;

    dns_forget(s->dns, s);
    free(s->out);
    free(s);
}

int dns_tcp_open(struct dns *d, struct tcp *tcp)
{
    static const struct tcp_ops ops = {.opened = on_opened,
                                       .receive = on_receive,
                                       .read = on_read,
                                       .finished = on_finished,
                                       .closed = on_closed};

    return tcp_listen(tcp, DNS_PORT, &ops, d);
}
