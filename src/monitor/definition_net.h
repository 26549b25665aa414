/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person asked for with --net: one network adapter and what its cable leads to.
 */
#ifndef MONITOR_DEFINITION_NET_H
#define MONITOR_DEFINITION_NET_H

#include <jansson.h>

#include "machine/machine.h"
#include "net/nat.h"

enum definition_net_kind {
    DEFINITION_NET_UNPLUGGED, /* an adapter whose cable leads nowhere */
    DEFINITION_NET_NAT,
    DEFINITION_NET_TAP,
    DEFINITION_NET_NETWORK, /* a yado-net, by its socket */
};

struct definition_net {
    enum definition_net_kind kind;
    enum machine_nic nic;
    uint8_t mac[NET_MAC_BYTES];
    bool mac_given;
    char *name; /* of the host's interface (tap), or the path of the socket (network) */
    char *tftp, *boot_file;
    struct nat_forward forwards[NAT_FORWARDS_MAX];
    unsigned forward_count;
    bool isolated;
};

/*
 * "nat,forward=tcp:127.0.0.1:2222:22,mac=…,model=…", "tap=NAME,…", "network=PATH,…", "unplugged,…"; a comma in a
 * value is written twice. -EINVAL with text; *ret_net is then empty.
 */
int definition_net_parse(const char *text, struct definition_net *ret_net, struct error *err);
/* A string as above, or an object with "type" and the same names. */
int definition_net_parse_json(json_t *value, struct definition_net *ret_net, struct error *err);
void definition_net_done(struct definition_net *net);
/* "nat", "tap=NAME", "network=PATH", "unplugged"; and the names of models. */
const char *definition_net_text(const struct definition_net *net, char *buf, size_t room);
const char *definition_net_model(enum machine_nic nic);

#endif
