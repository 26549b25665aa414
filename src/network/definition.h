/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual network as a JSON file says it; yado-net(1) has the names.
 */
#ifndef NETWORK_DEFINITION_H
#define NETWORK_DEFINITION_H

#include <jansson.h>

#include "net/nat.h"
#include "net/switch.h"

#define NETWORK_RULES_MAX 1024u

enum network_kind {
    NETWORK_INTERNAL,  /* guests only */
    NETWORK_NAT,       /* guests, and the world through this process's sockets */
    NETWORK_HOST_ONLY, /* guests and the host, at a TAP interface */
    NETWORK_EXTERNAL,  /* guests on the wire of a physical adapter */
};

struct network_definition {
    char *name;
    enum network_kind kind;
    char *interface; /* of the host: host-only and external */
    struct nat_forward forwards[NAT_FORWARDS_MAX];
    unsigned forward_count;
    char *tftp, *boot_file;
    bool isolated;
    struct switch_config defaults; /* of ports */
    struct switch_config *rules;   /* of the adapter with that address */
    unsigned rule_count;
};

/* -EINVAL with text; *ret_def is then empty. */
int network_definition_parse(const char *text, size_t len_bytes, struct network_definition *ret_def,
                             struct error *err);
/* A file of at most 1 MiB. */
int network_definition_read(const char *path, struct network_definition *ret_def,
                            struct error *err);
void network_definition_done(struct network_definition *def);
/* "internal", "nat", "host-only", "external". */
const char *network_kind_name(enum network_kind kind);

/* The members of a port ("vlan", "trunk", "any-source", "promiscuous", "rate") over *config. */
int network_port_parse(json_t *value, struct switch_config *config, struct error *err);
/* What the adapter's port is like. */
struct switch_config network_port_config(const struct network_definition *def, const uint8_t *mac,
                                         const char *name);

#endif
