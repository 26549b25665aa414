/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the host is shared out among machines that run: a cgroup (v2) for each. Where the server has
 * none to divide, machines run all the same, and the server's status says so.
 */
#ifndef SERVER_SHARES_H
#define SERVER_SHARES_H

#include "server/machine.h"

/* Where the host's kernel tells of itself. */
struct shares_world {
    const char *cgroups; /* the mount of cgroup v2 */
    const char *self;    /* which of them the server is in (cgroups(7)) */
};
extern const struct shares_world shares_host;

/* Find out what there is; sets server->shares, cgroup and cgroup_missing. */
void shares_init(struct server *server, const struct shares_world *world);

/* The folder of a machine's group; freed with free(). NULL: there are no groups, or no memory. */
char *share_group(const struct machine *m);
/* Make the machine's group, with its share of the host. Others' shares become smaller. */
void share_make(struct machine *m);
/* Put a process that has no jail into it; one that has goes there by itself. */
void share_join(struct machine *m, pid_t pid);
/* What it is to have has been changed. 0, or -errno with text. */
int share_change(struct machine *m, struct error *err);
/* The machine is off: remove its group. */
void share_remove(struct machine *m);

struct share_want {
    unsigned weight;          /* 1 to 10000 */
    unsigned reserve_percent; /* of one processor; 0: nothing in particular */
};
/*
 * Weights with which each gets at least what it has reserved even when all want everything, and
 * those that have reserved less than falls to them share the rest by their own weights.
 * capacity_percent: of the host, 100 for each processor.
 */
void share_weights(const struct share_want *wants, unsigned count, unsigned capacity_percent,
                   unsigned *ret_weights);

#endif
