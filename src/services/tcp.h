/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of TCP that servers of files and names need: RFC 9293, RFC 5681 (congestion), 5961 (forged
 * resets), 7323 (the far end's window scale). It accepts, takes requests, sends answers, and closes.
 *
 * Nothing is kept to be sent again: the answers are asked for by their place in the stream. Not here:
 * data out of order (it is sent again by who sent it), selective acknowledgement, TIME-WAIT: what
 * comes late is answered with a reset.
 */
#ifndef SERVICES_TCP_H
#define SERVICES_TCP_H

#include "services/stack.h"

#define TCP_CONNECTIONS_MAX 64u
#define TCP_CONNECTIONS_EACH 16u /* of one adapter */
#define TCP_PORTS_MAX 4u

struct tcp;
struct tcp_connection;

struct tcp_ops {
    /* Somebody has connected; what to call it in the others. NULL: no room. */
    void *(*opened)(void *ctx, struct tcp_connection *c);
    /* Bytes of a request have come. */
    void (*receive)(void *conn, const uint8_t *data, size_t len_bytes);
    /* Bytes of the answers from `at` on; how many, less than asked for ends the connection. */
    size_t (*read)(void *conn, uint64_t at, void *buf, size_t len_bytes);
    /* The far end sends no more. NULL: an unanswered connection is reset then. */
    void (*finished)(void *conn);
    /* It is over, in whatever way. */
    void (*closed)(void *conn);
};

/* Reset what comes to ports that nobody listens at. stack and clock stay the caller's. -ENOMEM. */
int tcp_new(struct stack *stack, struct clock *clock, struct tcp **ret_tcp);
/* Listen at port; ops stay the caller's. -ENOSPC: at TCP_PORTS_MAX already. */
int tcp_listen(struct tcp *t, uint16_t port, const struct tcp_ops *ops, void *ctx);
/* Ends all connections. NULL is fine. Always returns NULL. */
struct tcp *tcp_free(struct tcp *t);
/* Its far end. */
const struct stack_peer *tcp_peer(const struct tcp_connection *c);
/* The answers have so many bytes more, to be sent from now on. Within receive() they are sent when
 * it returns. */
void tcp_answer(struct tcp_connection *c, uint64_t len_bytes);
/* Nothing comes after the answers that were announced. */
void tcp_close(struct tcp_connection *c);
/* Send what was announced; not within one of the connection's own calls. */
void tcp_push(struct tcp_connection *c);
/* Up to where the far end has all: read() is not called for what is before. */
uint64_t tcp_acked(const struct tcp_connection *c);

#endif
