/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Let an interface of ours through the host's own firewall of the iptables sort, which may drop what
 * is forwarded (Docker sets that policy): netfilter asks every table, and one that drops is not
 * overruled by ours. It asks for what a bridge passes on, too, where br_netfilter is loaded, as Docker
 * may have it. Rules go where Docker leaves room
 * for others, DOCKER-USER, else into FORWARD, by the host's iptables program, for it alone knows
 * whether that is iptables-nft or iptables-legacy.
 */
#ifndef HOSTNET_FIREWALL_H
#define HOSTNET_FIREWALL_H

#include "base/error.h"

/* Has the host iptables? Else there is no such firewall. */
bool firewall_is_there(void);
/*
 * What is routed to and from the interface passes; or, with a bridge, what this passes on between its
 * ports. 0 also where there is no such firewall; -EIO with text. Rules for interfaces of ours that are
 * gone are taken away. Runs programs.
 */
int firewall_open(const char *interface, const char *bridge, struct error *err);
/* Take the rules away again; harmless when there are none. */
void firewall_close(const char *interface);

#endif
