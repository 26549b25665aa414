/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections that stay: the stream of events (as server-sent events or as a WebSocket), a
 * machine's screen and its serial line.
 */
#ifndef SERVER_REST_STREAM_H
#define SERVER_REST_STREAM_H

#include "server/rest/http.h"

struct stream;

/* Begin what the request has asked for; NULL: it cannot be had, hang up. */
struct stream *stream_open(struct connection *c, struct request *q);
/* The client has sent something. */
void stream_receive(struct stream *s, const void *data, size_t len_bytes);
/* The client is gone. NULL is fine. Always returns NULL. */
struct stream *stream_end(struct stream *s);

#endif
