/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "services/dns_priv.h"

/* RFC 1035, 4.1. */
enum { HEADER_BYTES = 12, AT_FLAGS = 2, AT_QD = 4, AT_AN = 6, AT_NS = 8, AT_AR = 10 };
enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };
enum { OPCODE = 0x7800, NO_ERROR = 0, FORMAT = 1, SERVER_FAILED = 2, NO_NAME = 3 };
enum { NOT_IMPLEMENTED = 4, REFUSED = 5 };
enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41, TYPE_ANY = 255, CLASS_IN = 1 };
#define UDP_PLAIN 512u
#define TTL_S 30u
#define PATIENCE_NS (8 * NS_PER_SEC)
#define QUESTION_MAX (DNS_NAME_BYTES + 8)
#define LABEL_MAX 63u

/* A question that was passed on. */
struct pending {
    bool used;
    struct dns_asker asker;
    uint16_t id, own_id;
    size_t room; /* what the guest takes */
    uint64_t until_ns;
    uint8_t question[QUESTION_MAX];
    size_t question_len;
};

struct dns {
    struct dns_config config;
    struct stack *stack;
    struct clock *clock;
    struct pending pending[DNS_PENDING_MAX];
};

struct question {
    const uint8_t *message;
    size_t len;
    char name[DNS_NAME_BYTES]; /* lower case; a byte that is in no host's name is '?' */
    size_t end;                /* behind the question */
    uint16_t type, class;
    size_t room; /* for the answer over UDP */
};

void dns_label(const char *name, char *ret_label)
{
    size_t n = 0;

    for (; *name && n < LABEL_MAX; name++) {
        char c = *name;

        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            ret_label[n++] = c;
        else if (n && ret_label[n - 1] != '-')
            ret_label[n++] = '-';
    }
    while (n && ret_label[n - 1] == '-')
        n--;
    ret_label[n] = '\0';
}

/* ---- reading ---- */

static char name_char(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c | 0x20);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? (char)c : '?';
}

/* The name of the question, which is never compressed: where it ends; 0: it is none. */
static size_t read_name(const uint8_t *m, size_t len, char *name)
{
    size_t at = HEADER_BYTES, n = 0;

    while (at < len && m[at]) {
        unsigned label = m[at++];

        if (label > LABEL_MAX || at + label > len || n + label + 2 > DNS_NAME_BYTES)
            return 0;
        if (n)
            name[n++] = '.';
        for (unsigned i = 0; i < label; i++)
            name[n++] = name_char(m[at + i]);
        at += label;
    }
    name[n] = '\0';
    return at < len ? at + 1 : 0;
}

static bool read_question(const uint8_t *m, size_t len, struct question *q)
{
    size_t at = read_name(m, len, q->name);

    if (!at || at + 4 > len || be16_get(m + AT_QD) != 1)
        return false;
    q->message = m;
    q->len = len;
    q->type = be16_get(m + at);
    q->class = be16_get(m + at + 2);
    q->end = at + 4;
    q->room = UDP_PLAIN;
    /* RFC 6891, 6.1: the size that the client takes. */
    at = q->end;
    if (!be16_get(m + AT_AN) && !be16_get(m + AT_NS) && be16_get(m + AT_AR) && at + 11 <= len &&
        !m[at] && be16_get(m + at + 1) == TYPE_OPT)
        q->room = MAX((size_t)be16_get(m + at + 3), (size_t)UDP_PLAIN);
    q->room = MIN(q->room, (size_t)STACK_UDP_BYTES_MAX - 20);
    return true;
}

/* ---- answering ---- */

struct answer {
    uint8_t bytes[UDP_PLAIN];
    size_t len;
    unsigned records;
};

static void answer_begin(const struct question *q, struct answer *a)
{
    a->len = q->end;
    a->records = 0;
    memcpy(a->bytes, q->message, q->end);
    memset(a->bytes + AT_AN, 0, 6);
}

/* A record about the name of the question. */
static void answer_add(struct answer *a, uint16_t type, const void *data, size_t len)
{
    uint8_t *r = a->bytes + a->len;

    if (a->len + 12 + len > sizeof(a->bytes))
        return;
    be16_put(r, 0xc000 | HEADER_BYTES); /* 4.1.4: "as in the question" */
    be16_put(r + 2, type);
    be16_put(r + 4, CLASS_IN);
    be32_put(r + 6, TTL_S);
    be16_put(r + 10, (uint16_t)len);
    memcpy(r + 12, data, len);
    a->len += 12 + len;
    a->records++;
}

static uint16_t reply_flags(const struct dns *d, const uint8_t *query, unsigned extra)
{
    unsigned kept = be16_get(query + AT_FLAGS) & (OPCODE | FLAG_RD);

    return (uint16_t)(FLAG_QR | kept | (d->config.forward ? FLAG_RA : 0) | extra);
}

/* By the way that it came. */
static void send_back(struct dns *d, const struct dns_asker *asker, const uint8_t *data, size_t len)
{
    if (asker->stream)
        dns_stream_send(asker->stream, data, len);
    else
        stack_send_udp(d->stack, &asker->peer, data, len);
}

static void answer_send(struct dns *d, const struct dns_asker *asker, const struct question *q,
                        struct answer *a, unsigned flags)
{
    be16_put(a->bytes + AT_FLAGS, reply_flags(d, q->message, flags));
    be16_put(a->bytes + AT_AN, (uint16_t)a->records);
    send_back(d, asker, a->bytes, a->len);
}

/* Only a header can be given back to what is no question. */
static void send_code(struct dns *d, const struct dns_asker *asker, const uint8_t *query,
                      unsigned code)
{
    uint8_t header[HEADER_BYTES] = {query[0], query[1]};

    be16_put(header + AT_FLAGS, reply_flags(d, query, code));
    send_back(d, asker, header, sizeof(header));
}

/* Cut "." and the suffix off; false when the name is not below it. */
static bool cut_suffix(char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);

    if (!s || n <= s + 1 || strcmp(name + n - s, suffix) || name[n - s - 1] != '.')
        return false;
    name[n - s - 1] = '\0';
    return true;
}

/* 3.5: "4.3.2.1.in-addr.arpa" is 1.2.3.4. */
static bool parse_reverse(char *name, struct in_addr *ret_address)
{
    unsigned b[4];
    char rest;

    if (!cut_suffix(name, "in-addr.arpa") ||
        sscanf(name, "%3u.%3u.%3u.%3u%c", &b[0], &b[1], &b[2], &b[3], &rest) != 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if (b[i] > 255)
            return false;
        ((uint8_t *)ret_address)[3 - i] = (uint8_t)b[i];
    }
    return true;
}

static size_t put_label(uint8_t *to, const char *label, size_t len)
{
    to[0] = (uint8_t)len;
    memcpy(to + 1, label, len);
    return len + 1;
}

/* LABEL.DOMAIN as 3.1 writes it; 0: too long. */
static size_t put_name(const struct dns *d, const char *label, uint8_t *to)
{
    const char *rest = d->config.domain;
    size_t at = 0;

    if (strlen(label) > LABEL_MAX || strlen(label) + strlen(rest) + 3 > DNS_NAME_BYTES)
        return 0;
    at += put_label(to, label, strlen(label));
    while (*rest) {
        size_t n = strcspn(rest, ".");

        if (!n || n > LABEL_MAX)
            return 0;
        at += put_label(to + at, rest, n);
        rest += n + (rest[n] == '.');
    }
    to[at++] = 0;
    return at;
}

static bool answer_reverse(struct dns *d, const struct dns_asker *asker, const struct question *q)
{
    const struct stack_config *s = stack_config(d->stack);
    uint8_t name[DNS_NAME_BYTES + 2];
    char text[DNS_NAME_BYTES];
    struct in_addr address;
    struct answer a;
    const char *label;
    size_t len;

    memcpy(text, q->name, sizeof(text));
    if (!parse_reverse(text, &address) ||
        (address.s_addr & s->mask.s_addr) != (s->address.s_addr & s->mask.s_addr))
        return false;
    answer_begin(q, &a);
    label = d->config.reverse(d->config.ctx, address);
    len = label ? put_name(d, label, name) : 0;
    if (len && (q->type == TYPE_PTR || q->type == TYPE_ANY))
        answer_add(&a, TYPE_PTR, name, len);
    answer_send(d, asker, q, &a, FLAG_AA | (len ? NO_ERROR : NO_NAME));
    return true;
}

/* What we know, or know not to be. */
static bool answer_here(struct dns *d, const struct dns_asker *asker, const struct question *q)
{
    struct in_addr addresses[DNS_ADDRESSES_MAX];
    struct in6_addr addresses6[DNS_ADDRESSES_MAX];
    char name[DNS_NAME_BYTES];
    bool below;
    struct answer a;
    int n, n6 = 0;

    if (answer_reverse(d, asker, q))
        return true;
    memcpy(name, q->name, sizeof(name));
    below = cut_suffix(name, d->config.domain);
    if (!below && strchr(name, '.') && strcmp(name, d->config.domain))
        return false;
    answer_begin(q, &a);
    n = d->config.lookup(d->config.ctx, name, addresses);
    if (!strcmp(q->name, d->config.domain))
        n = 0; /* the domain itself is there, with nothing */
    else
        n6 = d->config.lookup6(d->config.ctx, name, addresses6);
    for (int i = 0; i < n && (q->type == TYPE_A || q->type == TYPE_ANY); i++)
        answer_add(&a, TYPE_A, &addresses[i], 4);
    for (int i = 0; i < n6 && (q->type == TYPE_AAAA || q->type == TYPE_ANY); i++)
        answer_add(&a, TYPE_AAAA, &addresses6[i], 16);
    answer_send(d, asker, q, &a, FLAG_AA | (n < 0 && !n6 ? NO_NAME : NO_ERROR));
    return true;
}

/* ---- passing on ---- */

static void pending_end(struct pending *p)
{
    p->used = false;
    if (p->asker.stream)
        dns_stream_waited(p->asker.stream);
}

void dns_forget(struct dns *d, const struct dns_stream *stream)
{
    for (unsigned i = 0; i < DNS_PENDING_MAX; i++)
        if (d->pending[i].asker.stream == stream)
            d->pending[i].used = false;
}

/* A place in the list; one adapter has no more than its part of it. -1: none. */
static int pending_find(struct dns *d, const struct dns_asker *asker)
{
    uint64_t now = clock_now_ns(d->clock);
    unsigned own = 0;
    int place = -1;

    for (unsigned i = 0; i < DNS_PENDING_MAX; i++) {
        struct pending *p = &d->pending[i];

        if (p->used && p->until_ns <= now)
            pending_end(p);
        if (!p->used)
            place = (int)i;
        else if (!memcmp(p->asker.peer.mac, asker->peer.mac, NET_MAC_BYTES))
            own++;
    }
    return own < DNS_PENDING_EACH ? place : -1;
}

static void pass_on(struct dns *d, const struct dns_asker *asker, const struct question *q)
{
    int place = d->config.forward ? pending_find(d, asker) : -1;
    uint8_t query[STACK_UDP_BYTES_MAX];
    struct pending *p;

    if (!d->config.forward) {
        send_code(d, asker, q->message, REFUSED);
        return;
    }
    if (place < 0)
        return;
    p = &d->pending[place];
    *p = (struct pending){.used = true,
                          .asker = *asker,
                          .id = be16_get(q->message),
                          .room = asker->stream ? DNS_MESSAGE_MAX : q->room,
                          .until_ns = clock_now_ns(d->clock) + PATIENCE_NS,
                          .question_len = q->end - HEADER_BYTES};
    memcpy(p->question, q->message + HEADER_BYTES, p->question_len);
    /* Nobody who does not see the question can answer it: RFC 5452. */
    if (getrandom(&p->own_id, sizeof(p->own_id), GRND_NONBLOCK) != sizeof(p->own_id)) {
        p->used = false;
        return;
    }
    memcpy(query, q->message, q->len);
    be16_put(query, p->own_id);
    if (asker->stream)
        dns_stream_wait(asker->stream);
    if (!d->config.forward(d->config.ctx, (unsigned)place, asker->stream != NULL, query, q->len))
        dns_no_answer(d, (unsigned)place);
}

void dns_answer(struct dns *d, unsigned token, const uint8_t *data, size_t len)
{
    struct pending *p = token < DNS_PENDING_MAX ? &d->pending[token] : NULL;
    uint8_t out[DNS_MESSAGE_MAX];

    if (!p || !p->used || len < HEADER_BYTES + p->question_len || be16_get(data) != p->own_id ||
        !(be16_get(data + AT_FLAGS) & FLAG_QR) || be16_get(data + AT_QD) != 1 ||
        memcmp(data + HEADER_BYTES, p->question, p->question_len))
        return;
    if (len > MIN(p->room, sizeof(out))) {
        /* RFC 2181, 9: a cut answer is of no use but to say so. */
        len = HEADER_BYTES + p->question_len;
        memcpy(out, data, len);
        memset(out + AT_AN, 0, 6);
        be16_put(out + AT_FLAGS, be16_get(data + AT_FLAGS) | FLAG_TC);
    } else {
        memcpy(out, data, len);
    }
    be16_put(out, p->id);
    send_back(d, &p->asker, out, len);
    pending_end(p);
}

void dns_no_answer(struct dns *d, unsigned token)
{
    struct pending *p = token < DNS_PENDING_MAX ? &d->pending[token] : NULL;
    uint8_t query[HEADER_BYTES] = {0};

    if (!p || !p->used)
        return;
    be16_put(query, p->id);
    be16_put(query + AT_FLAGS, FLAG_RD);
    send_code(d, &p->asker, query, SERVER_FAILED);
    pending_end(p);
}

void dns_message(struct dns *d, const struct dns_asker *asker, const uint8_t *data, size_t len)
{
    struct question q;

    if (len < HEADER_BYTES || be16_get(data + AT_FLAGS) & FLAG_QR)
        return;
    if (be16_get(data + AT_FLAGS) & OPCODE)
        send_code(d, asker, data, NOT_IMPLEMENTED);
    else if (!read_question(data, len, &q))
        send_code(d, asker, data, FORMAT);
    else if (q.class != CLASS_IN)
        send_code(d, asker, data, REFUSED);
    else if (!answer_here(d, asker, &q))
        pass_on(d, asker, &q);
}

static void on_packet(void *ctx, const struct stack_peer *peer, const uint8_t *data, size_t len)
{
    const struct dns_asker asker = {.peer = *peer};

    dns_message(ctx, &asker, data, len);
}

int dns_new(const struct dns_config *config, struct stack *stack, struct tcp *tcp,
            struct clock *clock, struct dns **ret_dns)
{
    struct dns *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->config = *config;
    d->stack = stack;
    d->clock = clock;
    r = stack_bind(stack, IPPROTO_UDP, DNS_PORT, DNS_PORT, on_packet, d);
    if (r == 0)
        r = dns_tcp_open(d, tcp);
    if (r < 0) {
        free(d);
        return r;
    }
    *ret_dns = d;
    return 0;
}

struct dns *dns_free(struct dns *d)
{
    free(d);
    return NULL;
}
