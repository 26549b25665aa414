/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/tcp.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { HEADER_BYTES = 20, OPTION_MSS = 2, OPTION_SCALE = 3, SCALE_MAX = 14 };
#define WINDOW 8192u /* a request is small */
#define MSS_IP4 (NET_MTU - 40u)
#define MSS_IP6 (NET_MTU - 60u)
#define MSS_DEFAULT 536u /* RFC 9293, 3.7.1 */
#define MSS_LEAST 64u    /* less would make a flood of one file */
/* At once on the wire, so that one connection leaves room in the rings for others. */
#define FLIGHT_MAX (128u << 10)
#define FIRST_SEGMENTS 10u /* RFC 6928 */
#define RESEND_NS (NS_PER_SEC / 2)
#define TRIES 7u
#define QUIET_NS (30 * NS_PER_SEC) /* for a request, or for the far end to close */

enum state { FREE = 0, SYN_RECEIVED, OPEN };

struct tcp_connection {
    struct tcp *tcp;
    enum state state;
    struct stack_peer peer;
    const struct tcp_ops *ops;
    void *conn;               /* what opened() said */
    uint32_t first, expected; /* our first number; theirs that is next */
    uint32_t mss;
    unsigned scale;
    /* The answers: bytes acknowledged, sent, announced. The FIN counts as one more. */
    uint64_t acked, sent, total;
    bool closing; /* nothing is announced any more: a FIN follows */
    uint64_t window, congestion, threshold;
    unsigned duplicates, tries;
    bool fin_seen;
    struct timer timer;
};

struct tcp {
    struct stack *stack;
    struct clock *clock;
    struct listener {
        uint16_t port;
        const struct tcp_ops *ops;
        void *ctx;
    } listeners[TCP_PORTS_MAX];
    unsigned listener_count;
    struct tcp_connection connections[TCP_CONNECTIONS_MAX];
};

/* A segment as it came, its numbers in host order. */
struct segment {
    const struct stack_peer *peer;
    uint32_t number, ack;
    unsigned flags;
    uint32_t window;
    const uint8_t *options, *data;
    size_t options_len, len;
};

/* ---- sending ---- */

static void send_segment(struct tcp *t, const struct stack_peer *peer, uint32_t number,
                         uint32_t ack, unsigned flags, uint8_t *segment, size_t len)
{
    be16_put(segment, peer->own_port);
    be16_put(segment + 2, peer->port);
    be32_put(segment + 4, number);
    be32_put(segment + 8, ack);
    segment[13] = (uint8_t)flags;
    be16_put(segment + 14, flags & RST ? 0 : WINDOW);
    be16_put(segment + 18, 0);
    stack_send_tcp(t->stack, peer, segment, len);
}

static void send_plain(struct tcp *t, const struct stack_peer *peer, uint32_t number, uint32_t ack,
                       unsigned flags)
{
    uint8_t segment[HEADER_BYTES] = {0};

    segment[12] = HEADER_BYTES / 4 << 4;
    send_segment(t, peer, number, ack, flags, segment, sizeof(segment));
}

static uint32_t number_at(const struct tcp_connection *c, uint64_t at)
{
    return c->first + 1 + (uint32_t)at;
}

static void send_ack(struct tcp_connection *c)
{
    send_plain(c->tcp, &c->peer, number_at(c, c->sent), c->expected, ACK);
}

static void send_syn(struct tcp_connection *c)
{
    uint8_t segment[HEADER_BYTES + 8] = {0};
    unsigned len = HEADER_BYTES + (c->scale ? 8 : 4);

    segment[12] = (uint8_t)(len / 4 << 4);
    segment[HEADER_BYTES] = OPTION_MSS;
    segment[HEADER_BYTES + 1] = 4;
    be16_put(segment + HEADER_BYTES + 2, c->peer.ip6 ? MSS_IP6 : MSS_IP4);
    /* RFC 7323, 2.2: said only to who has said it; our own window needs none. */
    segment[HEADER_BYTES + 4] = 1;
    segment[HEADER_BYTES + 5] = OPTION_SCALE;
    segment[HEADER_BYTES + 6] = 3;
    send_segment(c->tcp, &c->peer, c->first, c->expected, SYN | ACK, segment, len);
}

/* RFC 9293, 3.5.2: to what belongs to no connection. */
static void send_reset(struct tcp *t, const struct segment *s)
{
    uint32_t length = (uint32_t)s->len + !!(s->flags & SYN) + !!(s->flags & FIN);

    if (s->flags & RST)
        return;
    if (s->flags & ACK)
        send_plain(t, s->peer, s->ack, 0, RST);
    else
        send_plain(t, s->peer, 0, s->number + length, RST | ACK);
}

/* ---- life of a connection ---- */

static void end(struct tcp_connection *c)
{
    void *conn = c->conn;

    timer_cancel(&c->timer);
    c->state = FREE;
    c->conn = NULL;
    if (conn)
        c->ops->closed(conn);
}

static void give_up(struct tcp_connection *c)
{
    send_plain(c->tcp, &c->peer, number_at(c, c->sent), c->expected, RST | ACK);
    end(c);
}

static void wait_for(struct tcp_connection *c, uint64_t ns)
{
    timer_set(&c->timer, clock_now_ns(c->tcp->clock) + ns);
}

/* One segment from c->sent on, of at most len bytes; false: the connection has ended. */
static bool send_data(struct tcp_connection *c, size_t len)
{
    uint8_t segment[NET_MTU] = {0};

    if (len && c->ops->read(c->conn, c->sent, segment + HEADER_BYTES, len) != len) {
        give_up(c);
        return false;
    }
    segment[12] = HEADER_BYTES / 4 << 4;
    send_segment(c->tcp, &c->peer, number_at(c, c->sent), c->expected, ACK, segment,
                 HEADER_BYTES + len);
    c->sent += len;
    return true;
}

static void send_fin(struct tcp_connection *c)
{
    send_plain(c->tcp, &c->peer, number_at(c, c->total), c->expected, FIN | ACK);
    c->sent = c->total + 1;
}

/* Is there anything that the far end does not have, or does not say that it has? */
static bool is_idle(const struct tcp_connection *c)
{
    return c->acked >= c->total + c->closing;
}

/* As much of the answers as may be on the wire now; false: the connection has ended. */
static bool output(struct tcp_connection *c)
{
    uint64_t may = MIN(c->window, c->congestion); /* the latter is at most FLIGHT_MAX */

    while (c->sent < c->total && c->sent - c->acked < may) {
        uint64_t room = may - (c->sent - c->acked), len = MIN(c->total - c->sent, room);

        len = MIN(len, (uint64_t)c->mss);
        /* RFC 9293, 3.8.6.2.1: no small pieces of a large window. */
        if (len < c->mss && len < c->total - c->sent && c->sent > c->acked)
            break;
        if (!send_data(c, (size_t)len))
            return false;
    }
    if (c->closing && c->sent == c->total)
        send_fin(c);
    wait_for(c, is_idle(c) ? QUIET_NS : RESEND_NS << MIN(c->tries, 4u));
    return true;
}

/* Begin again behind what was acknowledged. */
static void resend(struct tcp_connection *c)
{
    c->threshold = MAX((c->sent - c->acked) / 2, 2 * (uint64_t)c->mss);
    c->sent = c->acked;
    if (!c->window && c->sent < c->total)
        send_data(c, 1); /* 3.8.6.1: is the window still closed? */
    else
        output(c);
}

static void timed_out(void *ctx)
{
    struct tcp_connection *c = ctx;
    bool waits = c->state == OPEN && is_idle(c);

    if (waits || ++c->tries > TRIES) {
        give_up(c);
        return;
    }
    wait_for(c, RESEND_NS << MIN(c->tries, 4u));
    if (c->state == SYN_RECEIVED) {
        send_syn(c);
        return;
    }
    c->congestion = c->mss;
    resend(c);
}

void tcp_answer(struct tcp_connection *c, uint64_t len_bytes)
{
    if (!c->closing)
        c->total += len_bytes;
}

void tcp_close(struct tcp_connection *c)
{
    c->closing = true;
}

void tcp_push(struct tcp_connection *c)
{
    if (c->state == OPEN)
        output(c);
}

const struct stack_peer *tcp_peer(const struct tcp_connection *c)
{
    return &c->peer;
}

uint64_t tcp_acked(const struct tcp_connection *c)
{
    return MIN(c->acked, c->total);
}

/* ---- receiving ---- */

static void take_options(struct tcp_connection *c, const struct segment *s)
{
    const uint8_t *o = s->options;
    uint32_t most = c->peer.ip6 ? MSS_IP6 : MSS_IP4;

    c->mss = MSS_DEFAULT;
    for (size_t at = 0; at < s->options_len && o[at];) {
        if (o[at] == 1) {
            at++;
            continue;
        }
        if (at + 2 > s->options_len || o[at + 1] < 2 || at + o[at + 1] > s->options_len)
            break;
        if (o[at] == OPTION_MSS && o[at + 1] == 4)
            c->mss = MIN(MAX((uint32_t)be16_get(o + at + 2), MSS_LEAST), most);
        if (o[at] == OPTION_SCALE && o[at + 1] == 3)
            c->scale = MIN(o[at + 2], (uint8_t)SCALE_MAX);
        at += o[at + 1];
    }
}

static struct tcp_connection *find(struct tcp *t, const struct stack_peer *peer)
{
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        struct tcp_connection *c = &t->connections[i];

        if (c->state != FREE && c->peer.port == peer->port && c->peer.own_port == peer->own_port &&
            c->peer.ip6 == peer->ip6 && !memcmp(&c->peer.addr, &peer->addr, sizeof(peer->addr)) &&
            !memcmp(&c->peer.own, &peer->own, sizeof(peer->own)))
            return c;
    }
    return NULL;
}

static const struct listener *find_listener(const struct tcp *t, uint16_t port)
{
    for (unsigned i = 0; i < t->listener_count; i++)
        if (t->listeners[i].port == port)
            return &t->listeners[i];
    return NULL;
}

static struct tcp_connection *find_free(struct tcp *t, const uint8_t *mac)
{
    struct tcp_connection *found = NULL;
    unsigned own = 0;

    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++) {
        struct tcp_connection *c = &t->connections[i];

        if (c->state == FREE)
            found = c;
        else
            own += !memcmp(c->peer.mac, mac, NET_MAC_BYTES);
    }
    return own < TCP_CONNECTIONS_EACH ? found : NULL;
}

static void on_syn(struct tcp *t, const struct segment *s, const struct listener *l)
{
    struct tcp_connection *c = find_free(t, s->peer->mac);
    uint32_t first;

    /* RFC 6528: a number that nobody guesses. */
    if (!c || getrandom(&first, sizeof(first), GRND_NONBLOCK) != sizeof(first))
        return;
    *c = (struct tcp_connection){.tcp = t,
                                 .state = SYN_RECEIVED,
                                 .peer = *s->peer,
                                 .first = first,
                                 .expected = s->number + 1,
                                 .ops = l->ops,
                                 .threshold = FLIGHT_MAX,
                                 .window = s->window};
    timer_init(&c->timer, t->clock, timed_out, c);
    take_options(c, s);
    c->congestion = FIRST_SEGMENTS * (uint64_t)c->mss;
    c->conn = l->ops->opened(l->ctx, c);
    if (!c->conn) {
        c->state = FREE;
        return;
    }
    send_syn(c);
    wait_for(c, RESEND_NS);
}

/* What a segment acknowledges; false: the connection has ended. */
static bool on_ack(struct tcp_connection *c, const struct segment *s)
{
    uint32_t more = s->ack - number_at(c, c->acked);
    uint64_t window = (uint64_t)s->window << c->scale;

    if (more > c->sent - c->acked) {
        /* Beyond what was sent since we began again: it may have come before. */
        bool old = more <= c->total + c->closing - c->acked && more <= FLIGHT_MAX;

        if (!old)
            return true; /* an old one */
        c->sent = c->acked + more;
    }
    if (more) {
        c->acked += more;
        c->duplicates = c->tries = 0;
        /* RFC 5681, 3.1. */
        c->congestion +=
            c->congestion < c->threshold ? MIN(more, c->mss) : c->mss * c->mss / c->congestion + 1;
        c->congestion = MIN(c->congestion, (uint64_t)FLIGHT_MAX);
    } else if (!s->len && window == c->window && c->sent > c->acked && ++c->duplicates == 3) {
        c->window = window;
        c->congestion = MAX((c->sent - c->acked) / 2, 2 * (uint64_t)c->mss);
        resend(c);
        return c->state != FREE;
    }
    c->window = window;
    return true;
}

static void on_data(struct tcp_connection *c, const struct segment *s)
{
    uint32_t seen = c->expected - s->number;
    size_t len = s->len;
    bool fin = s->flags & FIN;

    /* Part of it may have come before; nothing of it lies ahead. */
    if (seen > len) {
        send_ack(c);
        return;
    }
    len -= seen;
    if (len && !c->fin_seen) {
        c->expected += (uint32_t)len;
        c->ops->receive(c->conn, s->data + seen, len);
    }
    if (fin && !c->fin_seen) {
        c->expected++;
        c->fin_seen = true;
        if (c->ops->finished)
            c->ops->finished(c->conn);
        else if (!c->closing) {
            give_up(c); /* it has asked nothing */
            return;
        }
    }
    if (len || fin || seen)
        send_ack(c);
}

static void on_open(struct tcp_connection *c, const struct segment *s)
{
    /* RFC 5961, 3.2 and 4.2: who guesses a number in the window ends nothing. */
    if (s->flags & RST) {
        if (s->number == c->expected)
            end(c);
        else if (s->number - c->expected < WINDOW)
            send_ack(c);
        return;
    }
    if (s->flags & SYN) {
        if (c->state == SYN_RECEIVED && s->number + 1 == c->expected && !(s->flags & ACK))
            send_syn(c);
        else
            send_ack(c);
        return;
    }
    if (!(s->flags & ACK))
        return;
    if (c->state == SYN_RECEIVED) {
        if (s->ack != number_at(c, 0)) {
            send_reset(c->tcp, s);
            return;
        }
        c->state = OPEN;
        c->tries = 0;
        wait_for(c, QUIET_NS);
    }
    if (!on_ack(c, s))
        return;
    if (s->len || s->flags & FIN)
        on_data(c, s);
    if (c->state == FREE)
        return;
    if (c->closing && c->acked > c->total && c->fin_seen)
        end(c);
    else
        output(c);
}

static void on_segment(void *ctx, const struct stack_peer *peer, const uint8_t *data, size_t len)
{
    struct tcp *t = ctx;
    size_t header = (data[12] >> 4) * 4u;
    struct segment s = {.peer = peer,
                        .number = be32_get(data + 4),
                        .ack = be32_get(data + 8),
                        .flags = data[13],
                        .window = be16_get(data + 14)};
    const struct listener *l;
    struct tcp_connection *c;

    if (header < HEADER_BYTES || header > len)
        return;
    s.options = data + HEADER_BYTES;
    s.options_len = header - HEADER_BYTES;
    s.data = data + header;
    s.len = len - header;
    c = find(t, peer);
    l = find_listener(t, peer->own_port);
    if (c)
        on_open(c, &s);
    else if (l && (s.flags & (SYN | ACK | RST | FIN)) == SYN)
        on_syn(t, &s, l);
    else
        send_reset(t, &s);
}

/* ---- life ---- */

int tcp_listen(struct tcp *t, uint16_t port, const struct tcp_ops *ops, void *ctx)
{
    if (t->listener_count == TCP_PORTS_MAX)
        return -ENOSPC;
    t->listeners[t->listener_count++] = (struct listener){port, ops, ctx};
    return 0;
}

int tcp_new(struct stack *stack, struct clock *clock, struct tcp **ret_tcp)
{
    struct tcp *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    t->stack = stack;
    t->clock = clock;
    r = stack_bind(stack, IPPROTO_TCP, 0, UINT16_MAX, on_segment, t);
    if (r < 0) {
        free(t);
        return r;
    }
    *ret_tcp = t;
    return 0;
}

struct tcp *tcp_free(struct tcp *t)
{
    if (!t)
        return NULL;
    for (unsigned i = 0; i < TCP_CONNECTIONS_MAX; i++)
        if (t->connections[i].state != FREE)
            end(&t->connections[i]);
    free(t);
    return NULL;
}
