/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP/1.1 and WebSockets by libwebsockets, on sockets that others have made.
 */
#ifndef SERVER_REST_HTTP_H
#define SERVER_REST_HTTP_H

#include "server/server.h"

struct http;
struct connection;
struct request;

int http_new(struct server *server, struct http **ret_http, struct error *err);
/* Hang up everywhere. NULL is fine. Always returns NULL. */
struct http *http_free(struct http *http);
/* Serve a listening UNIX socket; fd is taken over. */
int http_add_unix(struct http *http, int fd, struct error *err);
/* Serve a listening TCP socket by TLS with these files (PEM); fd is taken over. */
int http_add_tls(struct http *http, int fd, const char *certificate, const char *key,
                 struct error *err);
/* No more connections by TLS; those that there are end a little later. */
void http_remove_tls(struct http *http);

/* ---- for the answering side ---- */

struct answer {
    unsigned status;
    const char *type; /* NULL: no body */
    const void *data;
    size_t bytes;
    const char *etag, *location, *cookie;
    unsigned retry_after;
    bool page; /* something for a browser to show, not the API's */
    bool cache;
};
/* From now on the connection's end is told to q: its connection becomes NULL. */
void connection_take(struct connection *c, struct request *q);
/* Once for each request, at any time; data is copied. */
void connection_answer(struct connection *c, const struct answer *answer);
/* An endless answer (text/event-stream): begin, then add as often as wished. */
void connection_stream(struct connection *c, struct request *q);
/* Let the stream begin that the request has asked for; false: it cannot. */
bool connection_stream_open(struct connection *c);
/* Bytes for a stream or a WebSocket (one message); who reads too slowly is disconnected. */
void connection_send(struct connection *c, const void *data, size_t len_bytes, bool binary);
void connection_hang_up(struct connection *c);

#endif
