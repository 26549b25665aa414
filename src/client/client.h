/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls to the server's API, one after the other, over its UNIX socket or HTTPS (libcurl).
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <jansson.h>

#include "base/error.h"

struct client;

/*
 * Where YADO_SERVER says: the path of a socket, or https://HOST:PORT with the token in YADO_TOKEN.
 * Without it the service's socket, /run/yado/api. Nothing is sent yet. -errno with text.
 */
int client_new(struct client **ret_client, struct error *err);
/* NULL is fine. Always returns NULL. */
struct client *client_free(struct client *client);

/*
 * Ask: path begins behind /api/v1; body is taken over, NULL: none. if_match NULL: none. 0 with
 * *ret_status and *ret_value (a new reference, NULL where there is no JSON); -errno with text when
 * no answer comes.
 */
int client_call(struct client *client, const char *method, const char *path, json_t *body,
                const char *if_match, long *ret_status, json_t **ret_value, struct error *err);
/*
 * The same, where only a good answer is one: -EREMOTEIO with the server's own words otherwise. A
 * task is waited for to its end; percent(ctx, N) tells how far it is, unless it is NULL.
 */
int client_do(struct client *client, const char *method, const char *path, json_t *body,
              const char *if_match, void (*percent)(void *ctx, int percent), void *ctx,
              json_t **ret_value, struct error *err);
/* The bytes of an answer as they are; freed with free(). */
int client_fetch(struct client *client, const char *path, char **ret_data, size_t *ret_len_bytes,
                 struct error *err);
/*
 * A stream of server-sent events: hear() is given the data of each, until the server ends. 0, or
 * -errno with text.
 */
int client_follow(struct client *client, const char *path,
                  void (*hear)(void *ctx, const char *data), void *ctx, struct error *err);
/*
 * A WebSocket with bytes both ways (RFC 6455, subprotocol `binary`): what comes goes to the file `out`,
 * what can be read from `in` goes to the server, up to the byte `escape` (-1: there is none). Ends with
 * the input or with the connection: 0, or -errno with text. The files stay open.
 */
int client_stream(struct client *client, const char *path, int in, int out, int escape,
                  struct error *err);
/* text as a part of a path or a query; freed with free(). */
char *client_escape(struct client *client, const char *text);

#endif
