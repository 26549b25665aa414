/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of a folder by HTTP, for firmware and installers that boot from the network: RFC 9110,
 * RFC 9112. GET and HEAD, single ranges, one request a connection.
 */
#ifndef SERVICES_HTTP_H
#define SERVICES_HTTP_H

#include "services/tcp.h"

#define HTTP_PORT 80u
#define HTTP_REQUEST_MAX 4096u

struct http;

/* Serve the folder's files (which stay the caller's) at port 80. -ENOMEM, -ENOSPC. */
int http_new(int folder_fd, struct tcp *tcp, struct http **ret_http);
/* After tcp has been freed. NULL is fine. Always returns NULL. */
struct http *http_free(struct http *h);

#endif
