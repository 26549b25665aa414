/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings: STATE/settings.json, checked against the API's schema; what is not there has the
 * schema's default.
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "server/problem.h"
#include "server/server.h"

/* Read the file; a missing one is all defaults. */
int settings_load(struct server *server, struct error *err);
/* Check, write, use. patch is a merge patch. 0, or -1 with the problem. */
int settings_change(struct server *server, json_t *patch, struct problem *p);
/* All of them with defaults; a new reference. */
json_t *settings_json(const struct server *server);

long long settings_integer(const struct server *server, const char *name);
bool settings_boolean(const struct server *server, const char *name);
/* A member of the member https, as it counts; a new reference or NULL. */
json_t *settings_https(const struct server *server, const char *name);

#endif
