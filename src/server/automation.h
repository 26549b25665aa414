/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and addresses that are told about events. Entries lie in the store as JSON, as the API
 * has them.
 *
 * A program lies in STATE/scripts, is run without a shell, gets the event as JSON on standard
 * input, and has a time limit; its output and exit status become an event (script.ran or
 * script.failed), which no script is run for. An address gets a CloudEvent 1.0 (structured mode),
 * signed where the entry has a secret.
 */
#ifndef SERVER_AUTOMATION_H
#define SERVER_AUTOMATION_H

#include "server/problem.h"
#include "server/server.h"

void automation_start(struct server *server);
void automation_stop(struct server *server);

enum automation { AUTOMATION_SCRIPT, AUTOMATION_WEBHOOK };

/* All entries, or one by its id; new references, NULL: there is none. */
json_t *automation_list(struct server *server, enum automation what);
json_t *automation_find(struct server *server, enum automation what, const char *id);
/* Write one down. entry (with its id) is the API's, without a secret; secret NULL: keep it. */
int automation_put(struct server *server, enum automation what, json_t *entry, const char *secret);
int automation_remove(struct server *server, enum automation what, const char *id);
/* Whether a program of that name can be run. 0, or -1 with the problem. */
int automation_check_program(struct server *server, const char *name, struct problem *p);
/* Names of the programs in the folder. */
json_t *automation_programs(struct server *server);

/* ---- webhooks.c ---- */

int webhooks_start(struct server *server);
void webhooks_stop(struct server *server);
/* Send body to url by and by; secret may be NULL. */
void webhooks_send(struct server *server, const char *id, const char *url, const char *secret,
                   const char *body);
/* The last answer's HTTP status, 0 where there was none, -1: nothing has been sent. */
int webhooks_last_status(struct server *server, const char *id);

#endif
