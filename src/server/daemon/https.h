/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listener that browsers use, as the settings want it.
 */
#ifndef SERVER_DAEMON_HTTPS_H
#define SERVER_DAEMON_HTTPS_H

#include "server/rest/http.h"

/*
 * Listen if the settings say so. Without a certificate of the administrator's, one is made in
 * STATE/tls and kept: browsers ask about it once. What goes wrong stands in server->https_problem:
 * the server runs on without.
 */
void https_start(struct server *server, struct http *http);
/* The settings have changed: end the listener, and listen as they say now. */
void https_restart(struct server *server, struct http *http);

#endif
