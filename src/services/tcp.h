/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of TCP that a server of files needs: RFC 9293, RFC 5681 (congestion), 5961 (forged
 * resets), 7323 (the far end's window scale). It accepts, takes a request, sends an answer of known
 * length, and closes.
 *
 * Nothing is kept to be sent again: the answer is asked for by its place in the stream. Not here:
 * data out of order (it is sent again by who sent it), selective acknowledgement, TIME-WAIT: what
 * comes late is answered with a reset.
 */
#ifndef SERVICES_TCP_H
#define SERVICES_TCP_H

#include "services/stack.h"

#define TCP_CONNECTIONS_MAX 64u
#define TCP_CONNECTIONS_EACH 16u /* of one adapter */

struct tcp;
struct tcp_connection;

struct tcp_ops {
    /* Somebody has connected; what to call it in the others. NULL: no room. */
    void *(*opened)(void *ctx, struct tcp_connection *c);
    /* Bytes of the request have come. */
    void (*receive)(void *conn, const uint8_t *data, size_t len_bytes);
    /* Bytes of the answer from `at` on; how many, less than asked for ends the connection. */
    size_t (*read)(void *conn, uint64_t at, void *buf, size_t len_bytes);
    /* It is over, in whatever way. */
    void (*closed)(void *conn);
};

/* Listen at port, and reset what comes to others; 0: listen at none. ops (NULL with port 0), stack
 * and clock stay the caller's. -ENOMEM. */
int tcp_new(uint16_t port, const struct tcp_ops *ops, void *ctx, struct stack *stack,
            struct clock *clock, struct tcp **ret_tcp);
/* Ends all connections. NULL is fine. Always returns NULL. */
struct tcp *tcp_free(struct tcp *t);
/* The answer has so many bytes; it is sent from now on. Once for a connection. */
void tcp_answer(struct tcp_connection *c, uint64_t len_bytes);

#endif
