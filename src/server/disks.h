/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on disk images. The server never looks into one: `yado disk` does, as a child with its
 * progress told, one at a time for each file.
 */
#ifndef SERVER_DISKS_H
#define SERVER_DISKS_H

#include "server/child.h"
#include "server/tasks.h"

struct disk_job {
    const char *kind;     /* of the task: "disk.convert" */
    const char *file;     /* that it is about, resolved */
    const char *made;     /* a file that is removed again when it fails; NULL: none */
    const char *args[24]; /* behind "yado disk"; ends with NULL */
    enum event_kind event;
    const char *words; /* "was converted" */
    /* The task's result from what the child wrote; NULL: none. May refuse with a problem. */
    json_t *(*result)(const struct child_result *child, struct problem *p);
};

/* Begin. 0 with the task, or -1 with the problem. */
int disk_begin(struct server *server, const struct disk_job *job, const struct actor *actor,
               struct task **ret_task, struct problem *p);
/* Ask `yado disk info --json`: done comes with an object, or NULL and the problem. */
int disk_inspect(struct server *server, const char *file,
                 void (*done)(void *ctx, json_t *info, const struct problem *p), void *ctx,
                 struct problem *p);
/* The task that works on a file now, or NULL. */
struct task *disk_task(struct server *server, const char *file);
/* Refuse where a machine that is on, or a task, uses a file. 0, or -1 with the problem. */
int disk_free_to_change(struct server *server, const char *file, const char *field,
                        struct problem *p);
/* Other folders where parents may be, as --parents options: each that the settings open. */
unsigned disk_parent_args(struct server *server, const char **args, unsigned room);
/* As the task's result: {"problems": bool, "output": text}. */
json_t *disk_check_result(const struct child_result *child, struct problem *p);

#endif
