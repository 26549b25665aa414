/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/tftp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "services/folder.h"

#define PORT 69u
/* RFC 1350, 4: each transfer has a port of its own. */
#define PORTS_FIRST 49152u
#define PORTS_LAST 65535u

enum { READ = 1, WRITE = 2, DATA = 3, ACK = 4, ERROR = 5, OPTIONS = 6 };
enum { NOT_DEFINED = 0, NO_FILE = 1, NO_ACCESS = 2, ILLEGAL = 4, NO_TRANSFER = 5 };
enum { HEADER_BYTES = 4, BLOCK_BYTES = 512, BLOCK_BYTES_MIN = 8, WINDOW_MAX = 16 };
#define BLOCK_BYTES_MAX (STACK_UDP_BYTES_MAX - HEADER_BYTES)
#define TIMEOUT_S 1u
#define TRIES 6u

struct transfer {
    struct tftp *tftp;
    struct stack_peer peer; /* own_port: of this transfer; 0: not in use */
    int fd;
    uint64_t size_bytes, acked, sent; /* blocks; the first is 1 */
    uint64_t last;                    /* the block that ends it, shorter than the others */
    unsigned block_bytes, window, timeout_s, tries;
    bool options; /* the answer to them has not been acknowledged … */
    uint8_t answer[256];
    size_t answer_len; /* … and this is it */
    struct timer timer;
};

struct tftp {
    int folder_fd;
    struct stack *stack;
    struct clock *clock;
    struct transfer transfers[TFTP_TRANSFERS_MAX];
};

static void end(struct transfer *t)
{
    timer_cancel(&t->timer);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    t->peer.own_port = 0;
}

static void send_error(struct tftp *tftp, const struct stack_peer *peer, uint16_t code,
                       const char *text)
{
    uint8_t m[64];
    size_t len = strlen(text);

    be16_put(m, ERROR);
    be16_put(m + 2, code);
    memcpy(m + 4, text, len + 1);
    stack_send_udp(tftp->stack, peer, m, 5 + len);
}

/* ---- sending ---- */

static bool send_block(struct transfer *t, uint64_t block)
{
    uint8_t m[HEADER_BYTES + BLOCK_BYTES_MAX];
    uint64_t at = (block - 1) * t->block_bytes;
    size_t len = (size_t)MIN((uint64_t)t->block_bytes, t->size_bytes - at);

    be16_put(m, DATA);
    be16_put(m + 2, (uint16_t)block);
    /* A file that has become shorter ends the transfer: its blocks are not what was said. */
    if (len && pread(t->fd, m + HEADER_BYTES, len, (off_t)at) != (ssize_t)len) {
        send_error(t->tftp, &t->peer, NOT_DEFINED, "the file has changed");
        end(t);
        return false;
    }
    stack_send_udp(t->tftp->stack, &t->peer, m, HEADER_BYTES + len);
    return true;
}

/* What has not been acknowledged, a window of it. */
static void send_window(struct transfer *t)
{
    uint64_t to = MIN(t->acked + t->window, t->last);

    timer_set(&t->timer, clock_now_ns(t->tftp->clock) + t->timeout_s * NS_PER_SEC);
    if (t->options) {
        stack_send_udp(t->tftp->stack, &t->peer, t->answer, t->answer_len);
        return;
    }
    for (uint64_t block = t->acked + 1; block <= to; block++)
        if (!send_block(t, block))
            return;
    t->sent = to;
}

static void timed_out(void *ctx)
{
    struct transfer *t = ctx;

    if (++t->tries >= TRIES)
        end(t);
    else
        send_window(t);
}

/* ---- a request ---- */

/* The next zero-terminated string of a message; NULL: there is none. */
static const char *next_string(const uint8_t *m, size_t len, size_t *at)
{
    const char *s = (const char *)m + *at;
    const uint8_t *zero = *at < len ? memchr(s, 0, len - *at) : NULL;

    if (!zero)
        return NULL;
    *at = (size_t)(zero - m) + 1;
    return s;
}

static void answer_option(struct transfer *t, const char *name, uint64_t value)
{
    int room = (int)(sizeof(t->answer) - t->answer_len);
    int n = snprintf((char *)t->answer + t->answer_len, (size_t)room, "%s%c%llu", name, 0,
                     (unsigned long long)value);

    if (n < room) {
        t->answer_len += (size_t)n + 1;
        t->options = true;
    }
}

/* RFC 2347: an option that is not known, or out of range, is passed over. */
static void take_option(struct transfer *t, const char *name, const char *value)
{
    char *rest;
    unsigned long n = strtoul(value, &rest, 10);

    if (*value < '0' || *value > '9' || *rest)
        return;
    if (!strcasecmp(name, "blksize") && n >= BLOCK_BYTES_MIN) {
        t->block_bytes = (unsigned)MIN(n, (unsigned long)BLOCK_BYTES_MAX);
        answer_option(t, name, t->block_bytes);
    } else if (!strcasecmp(name, "timeout") && n >= 1 && n <= 255) {
        t->timeout_s = (unsigned)n;
        answer_option(t, name, n);
    } else if (!strcasecmp(name, "tsize")) {
        answer_option(t, name, t->size_bytes);
    } else if (!strcasecmp(name, "windowsize") && n >= 1) {
        t->window = (unsigned)MIN(n, (unsigned long)WINDOW_MAX);
        answer_option(t, name, t->window);
    }
}

static struct transfer *transfer_find(struct tftp *tftp, const struct stack_peer *peer)
{
    for (unsigned i = 0; i < TFTP_TRANSFERS_MAX; i++) {
        struct transfer *t = &tftp->transfers[i];

        if (t->peer.own_port == peer->own_port && t->peer.port == peer->port &&
            !memcmp(&t->peer.addr, &peer->addr, sizeof(peer->addr)))
            return t;
    }
    return NULL;
}

/* A place, not more for one adapter than its part; NULL: none. */
static struct transfer *transfer_new(struct tftp *tftp, const struct stack_peer *peer)
{
    struct transfer *found = NULL;
    uint16_t chance = 0;
    unsigned own = 0;

    for (unsigned i = 0; i < TFTP_TRANSFERS_MAX; i++) {
        struct transfer *t = &tftp->transfers[i];

        if (!t->peer.own_port)
            found = t;
        else if (!memcmp(t->peer.mac, peer->mac, NET_MAC_BYTES))
            own++;
    }
    if (!found || own >= TFTP_TRANSFERS_EACH ||
        getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != sizeof(chance))
        return NULL;
    *found = (struct transfer){.tftp = tftp,
                               .peer = *peer,
                               .fd = -1,
                               .block_bytes = BLOCK_BYTES,
                               .window = 1,
                               .timeout_s = TIMEOUT_S};
    timer_init(&found->timer, tftp->clock, timed_out, found);
    found->peer.own_port = (uint16_t)(PORTS_FIRST | chance);
    return found;
}

static void on_request(void *ctx, const struct stack_peer *peer, const uint8_t *m, size_t len)
{
    struct tftp *tftp = ctx;
    const char *path, *mode, *name, *value;
    struct transfer *t;
    size_t at = 2;
    int r;

    if (len < HEADER_BYTES || be16_get(m) == ERROR)
        return;
    if (be16_get(m) == WRITE) {
        send_error(tftp, peer, NO_ACCESS, "files here are for reading");
        return;
    }
    path = next_string(m, len, &at);
    mode = path ? next_string(m, len, &at) : NULL;
    if (be16_get(m) != READ || !mode || strcasecmp(mode, "octet")) {
        send_error(tftp, peer, ILLEGAL, "reading in mode octet only");
        return;
    }
    t = transfer_new(tftp, peer);
    if (!t)
        return; /* it asks again */
    r = folder_file(tftp->folder_fd, path, &t->fd, &t->size_bytes);
    if (r < 0) {
        send_error(tftp, peer, r == -EACCES ? NO_ACCESS : NO_FILE,
                   r == -EACCES ? "not allowed" : "no such file");
        end(t);
        return;
    }
    be16_put(t->answer, OPTIONS);
    t->answer_len = 2;
    while ((name = next_string(m, len, &at)) && (value = next_string(m, len, &at)))
        take_option(t, name, value);
    t->last = t->size_bytes / t->block_bytes + 1;
    send_window(t);
}

/* ---- what comes back ---- */

static void on_ack(struct transfer *t, uint16_t block)
{
    uint16_t more = (uint16_t)(block - (uint16_t)t->acked);

    if (t->options) {
        if (block)
            return;
        t->options = false;
    } else {
        /* An old one: to answer it would double every block from then on (RFC 1123, 4.2.3.1). In a
         * window it may say that the first of them is lost; the time-out sees to that. */
        if (!more || more > t->sent - t->acked)
            return;
        t->acked += more;
    }
    t->tries = 0;
    if (t->acked == t->last)
        end(t);
    else
        send_window(t);
}

static void on_transfer(void *ctx, const struct stack_peer *peer, const uint8_t *m, size_t len)
{
    struct tftp *tftp = ctx;
    struct transfer *t = transfer_find(tftp, peer);

    if (len < HEADER_BYTES)
        return;
    if (!t) {
        if (be16_get(m) == DATA || be16_get(m) == ACK)
            send_error(tftp, peer, NO_TRANSFER, "no such transfer");
    } else if (be16_get(m) == ACK) {
        on_ack(t, be16_get(m + 2));
    } else {
        end(t); /* an error, or what nobody sends */
    }
}

/* ---- life ---- */

int tftp_new(int folder_fd, struct stack *stack, struct clock *clock, struct tftp **ret_tftp)
{
    struct tftp *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    t->folder_fd = folder_fd;
    t->stack = stack;
    t->clock = clock;
    for (unsigned i = 0; i < TFTP_TRANSFERS_MAX; i++) {
        t->transfers[i].fd = -1;
        timer_init(&t->transfers[i].timer, clock, timed_out, &t->transfers[i]);
    }
    r = stack_bind(stack, IPPROTO_UDP, PORT, PORT, on_request, t);
    if (r == 0)
        r = stack_bind(stack, IPPROTO_UDP, PORTS_FIRST, PORTS_LAST, on_transfer, t);
    if (r < 0) {
        free(t);
        return r;
    }
    *ret_tftp = t;
    return 0;
}

struct tftp *tftp_free(struct tftp *t)
{
    if (!t)
        return NULL;
    for (unsigned i = 0; i < TFTP_TRANSFERS_MAX; i++)
        end(&t->transfers[i]);
    free(t);
    return NULL;
}
