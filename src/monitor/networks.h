/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the cables of a machine's network adapters lead to, for as long as the machine runs.
 */
#ifndef MONITOR_NETWORKS_H
#define MONITOR_NETWORKS_H

#include "machine/machine.h"
#include "monitor/definition_net.h"

struct networks;

/*
 * Open what the adapters are to be connected to (ports of the host, interfaces), so that an error
 * stops the start. nets gets the addresses of adapters that were given none; it stays the
 * caller's. name: of the machine.
 */
int networks_new(const char *name, struct definition_net *nets, unsigned count,
                 struct networks **ret_networks, struct error *err);
/* Plug the cables in; from now on frames pass. */
int networks_start(struct networks *n, struct machine *m, struct error *err);
/* Pull them out and close all. Before machine_free(), not under the machine's lock. NULL is fine. */
struct networks *networks_free(struct networks *n);

unsigned networks_count(const struct networks *n);
/* What adapter i is and leads to. */
const struct definition_net *networks_get(const struct networks *n, unsigned i);
/* Lead adapter i elsewhere; the old connection stays when the new one cannot be had. Takes the
 * contents of net over, but for its model and address, which stay the adapter's. */
int networks_move(struct networks *n, unsigned i, struct definition_net *net, struct error *err);
/* Forward a port to a guest behind a NAT, or no longer. */
int networks_forward(struct networks *n, unsigned i, const struct nat_forward *forward, bool remove,
                     struct error *err);

#endif
