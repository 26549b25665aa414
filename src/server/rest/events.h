/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which events and tasks a caller may see: those of objects that they may see, and their own.
 */
#ifndef SERVER_REST_EVENTS_H
#define SERVER_REST_EVENTS_H

#include "server/caller.h"
#include "server/tasks.h"

bool events_visible(struct server *server, const struct caller *caller, json_t *event);
bool events_task_visible(struct server *server, const struct caller *caller,
                         const struct task *task);
/* The event of a row "id, json". NULL: it makes no sense. */
json_t *events_from_row(sqlite3_stmt *row);

#endif
