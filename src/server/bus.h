/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: each goes into the history, then to everybody who listens. Listeners also hear what is
 * not worth a line of history: that a machine or a task has changed.
 */
#ifndef SERVER_BUS_H
#define SERVER_BUS_H

#include "server/actor.h"
#include "server/server.h"

enum bus_type { BUS_EVENT, BUS_MACHINE, BUS_DELETED, BUS_TASK, BUS_ACTIVITY };

struct bus_message {
    enum bus_type type;
    json_t *event; /* BUS_EVENT, as the API has it */
    int64_t event_id;
    struct machine *machine;
    const char *deleted; /* id of a machine */
    struct task *task;
};

struct bus_listener {
    void (*hear)(void *ctx, const struct bus_message *message);
    void *ctx;
    struct bus_listener *next;
};

/* The listener is the caller's, and stays until it is removed. Removing one that is not in is fine. */
void bus_listen(struct server *server, struct bus_listener *listener);
void bus_leave(struct server *server, struct bus_listener *listener);
void bus_send(struct server *server, const struct bus_message *message);

struct event {
    enum event_kind kind;
    enum severity severity;
    const struct actor *actor;
    struct about about;
    enum event_cause cause;
    const char *task; /* id, or NULL */
    json_t *data;     /* taken over; may be NULL */
};
/* Write it down and tell it. The rest is the message for people. */
void bus_event(struct server *server, const struct event *event, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#endif
