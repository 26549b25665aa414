/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work that somebody asked for: its progress, its end, and who waits for it.
 */
#ifndef SERVER_TASKS_H
#define SERVER_TASKS_H

#include "server/actor.h"
#include "server/problem.h"
#include "server/server.h"

struct task_waiter {
    void (*ended)(void *ctx, struct task *task);
    void *ctx;
    struct task_waiter *next;
};

struct task {
    struct server *server;
    char id[17];
    char *kind; /* "machine.start" */
    enum task_state state;
    int percent; /* -1: nobody knows */
    enum object_type object_type;
    char *object, *object_name;
    struct actor actor;
    enum event_cause cause;
    int64_t created_ms, ended_ms;
    struct problem problem; /* TASK_STATE_FAILED */
    json_t *result;
    /* Ask the work to stop; it ends the task itself. NULL: it cannot be stopped now. */
    void (*cancel)(void *ctx, struct task *task);
    void *cancel_ctx;
    struct task_waiter *waiters;
    struct task *next;
};

/* Begin one; it lives until a day after its end. NULL: no memory. */
struct task *task_new(struct server *server, const char *kind, const struct about *about,
                      const struct actor *actor, enum event_cause cause);
void task_percent(struct task *task, int percent);
/* End it: problem NULL: done. Waiters are told, and the store. */
void task_done(struct task *task, json_t *result);
void task_failed(struct task *task, const struct problem *problem);
void task_cancelled(struct task *task);
/* Told once, at the end; the waiter is the caller's. */
void task_wait(struct task *task, struct task_waiter *waiter);
void task_leave(struct task *task, struct task_waiter *waiter);

struct task *task_find(struct server *server, const char *id);
json_t *task_json(const struct task *task);
/* A task of an earlier run of the server, from the store, as JSON. NULL: none. */
json_t *task_old_json(struct server *server, const char *id);
/* Append those of earlier runs that have ended to an array, newest first. */
void task_list_old(struct server *server, json_t *array);
/* At the start: what was under way ended with the last run. */
void task_recover(struct server *server);
/* Forget what ended more than a day ago. */
void task_expire(struct server *server);
void task_free_all(struct server *server);

#endif
