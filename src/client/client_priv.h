/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection's facts, between client.c (calls) and stream.c (WebSockets).
 */
#ifndef CLIENT_CLIENT_PRIV_H
#define CLIENT_CLIENT_PRIV_H

#include <curl/curl.h>
#include <stddef.h>

#include "client/client.h"

struct client {
    CURL *curl;
    char *base;           /* "http://localhost" for a socket */
    char *socket, *token; /* NULL: none */
    char *data;
    size_t len;
    void (*hear)(void *ctx, const char *data); /* of a stream; NULL: the answer is kept */
    void *hear_ctx;
    char error[CURL_ERROR_SIZE];
};

#endif
