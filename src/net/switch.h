/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An Ethernet switch in user space: IEEE 802.1Q, clauses 6.9 (VLAN tags), 8.6 (forwarding), 8.7
 * (learning), 8.8 (the filtering database). No spanning tree: there is one switch, no loop.
 *
 * A port that has no room loses what is sent to it, so that no port holds up another. All calls,
 * and those on the plugs, come under one lock or from one thread.
 */
#ifndef NET_SWITCH_H
#define NET_SWITCH_H

#include "base/clock.h"
#include "net/pcapng.h"
#include "net/port.h"

#define SWITCH_VLANS 4096u
#define SWITCH_PORTS_MAX 1024u
#define SWITCH_NAME_MAX 64u
/* 802.1Q, table 8-6: an address is forgotten when it has not been seen for so long. */
#define SWITCH_AGE_NS (300 * NS_PER_SEC)

struct net_switch;
struct switch_port;

struct switch_config {
    char name[SWITCH_NAME_MAX]; /* of the port, in captures */
    uint8_t mac[NET_MAC_BYTES]; /* the only source address it may use … */
    bool any_source;            /* … unless this is set */
    bool promiscuous;           /* it is sent all frames of its VLANs */
    bool apart;                 /* no frame passes between two ports that have this set */
    uint16_t vlan;              /* of frames without tag: 0 to 4094 */
    bool trunk;                 /* frames with tags pass, for VLANs set in `vlans` */
    uint8_t vlans[SWITCH_VLANS / 8];
    uint64_t rate_bytes; /* a second, from this port into the switch; 0: no limit */
};

struct switch_counters {
    struct net_counters in, out; /* as the switch sees it: in is from the port */
    uint64_t spoofed;            /* frames with a source address that is not the port's */
    uint64_t vlan_drops;         /* frames of a VLAN that the port is not in */
    uint64_t full_drops;         /* frames to the port that it had no room for */
};

/* clock: for ageing and rates; stays the caller's. -ENOMEM. */
int switch_new(struct clock *clock, struct net_switch **ret_switch);
/* Takes all cables off. NULL is fine. Always returns NULL. */
struct net_switch *switch_free(struct net_switch *sw);

/* -EINVAL: a VLAN above 4094; -ENOSPC: SWITCH_PORTS_MAX ports; -ENOMEM. */
int switch_port_add(struct net_switch *sw, const struct switch_config *config,
                    struct switch_port **ret_port);
/* Take its cable off and forget what was learned behind it. NULL is fine. */
void switch_port_remove(struct switch_port *port);
/* Change it while it is in use; addresses behind it are learned anew. -EINVAL. */
int switch_port_configure(struct switch_port *port, const struct switch_config *config);
/* Where its cable is plugged in. */
struct net_port *switch_port_plug(struct switch_port *port);
void switch_port_counters(const struct switch_port *port, struct switch_counters *ret_counters);

/* Write what passes (through one port, or all: NULL) to a capture, which stays the caller's; NULL
 * ends that. */
void switch_capture(struct net_switch *sw, struct switch_port *port, struct pcapng *capture);

/* How many addresses are known now. */
unsigned switch_addresses(const struct net_switch *sw);

#endif
