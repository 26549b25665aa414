/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps a machine's process apart: yado-jail, which only root can use. Where it is missing
 * machines run all the same, and the server's status says so.
 */
#ifndef SERVER_JAIL_H
#define SERVER_JAIL_H

#include "server/machine.h"

#define JAIL_ARGS_MAX 320

struct jail {
    const char *args[JAIL_ARGS_MAX];
    unsigned count; /* 0: no jail, use the program as it is */
    char *owned[JAIL_ARGS_MAX];
    unsigned owned_count;
};

/* Find out whether there is one; sets server->jail_missing. */
void jail_init(struct server *server);
/* The command line that starts args (ended by NULL) in the machine's jail. -errno with text. */
int jail_wrap(struct machine *m, const char *const *args, struct jail *ret_jail, struct error *err);
void jail_done(struct jail *jail);

/* The machine's process answers: is all of its jail there? Sets m->jailed, tells what is not. */
void jail_look(struct machine *m);

/*
 * Let a machine that runs read one file (or folder) more. done is called once, now or later, with
 * NULL or with what went wrong.
 */
void jail_reach(struct machine *m, const char *path,
                void (*done)(void *ctx, const struct problem *p), void *ctx);

#endif
