/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What machines do: turned on, paused, saved, turned off. One thing at a time each; only turning
 * off may break into saving or shutting down.
 */
#ifndef SERVER_LIFE_H
#define SERVER_LIFE_H

#include "server/machine.h"
#include "server/process.h"
#include "server/tasks.h"

struct life_request {
    enum machine_op op;
    const struct actor *actor;
    enum event_cause cause;
    const char *kind;         /* of the task, OP_OTHER */
    const char *undo;         /* OP_TURN_OFF: NULL or as in the definition */
    unsigned timeout_seconds; /* OP_SHUTDOWN */
    bool force;               /* OP_SHUTDOWN: turn off when the time is over */
    bool only_saved;          /* OP_START: refuse where nothing is saved */
};

/* Begin. 0 with the task, which may have ended already, or -1 with the problem. */
int life_act(struct machine *m, const struct life_request *request, struct task **ret_task,
             struct problem *p);
/* Throw the saved state away. */
int life_discard(struct machine *m, const struct actor *actor, struct problem *p);
/* True while it has a process. */
bool life_is_on(const struct machine *m);
/* Set the state and tell everybody. */
void life_set_state(struct machine *m, enum machine_state state);
/* End the task of what it does; problem NULL: it went well. */
void life_finish(struct machine *m, const struct problem *problem);

/* From process.c: it answers (status is the control socket's answer), says something, has ended. */
void life_ready(struct machine *m, json_t *status);
void life_event(struct machine *m, const char *name, json_t *data);
void life_ended(struct machine *m, const struct process_end *end);

/* ---- admission.c ---- */

/* Whether the host has what the machine wants. 0, or -1 with the problem. */
int admission_check(struct machine *m, struct problem *p);
/*
 * Whether the disk has room for saving it. 0, or -1 with the problem. Sets m->keeps_room: the process
 * is to hold that room from its start on, until it is saved or ends.
 */
int admission_room(struct machine *m, struct problem *p);
/* Bytes that are kept for saving below a path's file system, for the server's status. */
uint64_t admission_reserved_bytes(struct server *server);

/* ---- autostart.c ---- */

/* Start what shall be running, in its order, unless that has been done since the host started. */
void autostart_begin(struct server *server);
void autostart_end(struct server *server);
/* Do what is to be done with each machine when the host goes down. */
int autostart_stop_all(struct server *server, const struct actor *actor, struct task **ret_task,
                       struct problem *p);

#endif
