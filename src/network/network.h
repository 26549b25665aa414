/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual network: its switch, its way out, and the machines that are plugged in. All of it runs
 * on one libuv loop, but for the thread of the way out; network_lock() keeps those apart.
 */
#ifndef NETWORK_NETWORK_H
#define NETWORK_NETWORK_H

#include <uv.h>

#include "network/definition.h"

struct network;

/* Takes the definition over, listens at path for machines; leases: the file for them, or NULL.
 * -errno with text. */
int network_new(uv_loop_t *loop, struct network_definition *def, const char *path,
                const char *leases, struct network **ret_network, struct error *err);
/* Pull out everything, remove the socket. NULL is fine. Always returns NULL. */
struct network *network_free(struct network *network);
/* Why it stopped the loop: its way out has gone, and is made again by a new process only, for this
 * one has given its rights up. NULL: it did not. */
const char *network_problem(const struct network *network);
/* A control_execute() (wire/control.h); ctx is the network. */
int network_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                    struct error *err);

#endif
