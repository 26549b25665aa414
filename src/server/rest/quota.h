/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room for machines of one's own.
 */
#ifndef SERVER_REST_QUOTA_H
#define SERVER_REST_QUOTA_H

#include "server/machine.h"

/* What is written down for a user, NULL: nothing; and what their machines take. New references. */
json_t *quota_of(struct server *server, const char *user);
json_t *quota_used(struct server *server, const char *user);
bool quota_may_create(struct server *server, const struct caller *caller);
/* Whether owner has room for definition (in the place of m's) and a new disk. 0, or -1. */
int quota_check(struct server *server, const char *owner, const struct machine *m,
                json_t *definition, uint64_t disk_bytes, struct problem *p);

#endif
