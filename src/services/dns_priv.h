/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the name server share: dns.c has questions and answers, dns_tcp.c the streams
 * that they may come over.
 */
#ifndef SERVICES_DNS_PRIV_H
#define SERVICES_DNS_PRIV_H

#include "services/dns.h"

#define DNS_PORT 53u
#define DNS_MESSAGE_MAX UINT16_MAX

struct dns_stream;

/* Who asks, and the way back. */
struct dns_asker {
    struct stack_peer peer;    /* over UDP; over TCP its Ethernet address alone counts */
    struct dns_stream *stream; /* NULL: over UDP */
};

/* A message has come. */
void dns_message(struct dns *d, const struct dns_asker *asker, const uint8_t *data,
                 size_t len_bytes);
/* Nobody waits on the stream any more. */
void dns_forget(struct dns *d, const struct dns_stream *stream);

/* Serve on TCP, too. -ENOSPC. */
int dns_tcp_open(struct dns *d, struct tcp *tcp);
/* Send an answer of at most DNS_MESSAGE_MAX bytes; lost when the far end takes none. */
void dns_stream_send(struct dns_stream *s, const uint8_t *data, size_t len_bytes);
/* A question of the stream was passed on; the world has answered it, or does not. */
void dns_stream_wait(struct dns_stream *s);
void dns_stream_waited(struct dns_stream *s);

#endif
