/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps a machine's process apart: yado-jail, which only root can use, and a cgroup (v2) of
 * its own. Where either is missing machines run all the same, and the server's status says so.
 */
#ifndef SERVER_JAIL_H
#define SERVER_JAIL_H

#include "server/machine.h"

#define JAIL_ARGS_MAX 128

struct jail {
    const char *args[JAIL_ARGS_MAX];
    unsigned count; /* 0: no jail, use the program as it is */
    char *owned[JAIL_ARGS_MAX];
    unsigned owned_count;
};

/* Find out what there is; sets server->jail_missing and server->cgroup. */
void jail_init(struct server *server);
/* The command line that starts args (ended by NULL) in the machine's jail. -errno with text. */
int jail_wrap(struct machine *m, const char *const *args, struct jail *ret_jail, struct error *err);
void jail_done(struct jail *jail);

/* Put a process into the machine's cgroup, with the machine's share of the host. */
void jail_share(struct machine *m, pid_t pid);
/* The share has been changed. 0, or -errno with text. */
int jail_change(struct machine *m, struct error *err);
/* The machine is off: remove its cgroup. */
void jail_unshare(struct machine *m);

#endif
