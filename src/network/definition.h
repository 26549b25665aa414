/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual network as a JSON file says it; yado-net(1) has the names.
 */
#ifndef NETWORK_DEFINITION_H
#define NETWORK_DEFINITION_H

#include <jansson.h>

#include "hostnet/wire.h"
#include "net/nat.h"
#include "net/switch.h"
#include "services/services.h"

#define NETWORK_RULES_MAX 1024u

enum network_kind {
    NETWORK_INTERNAL,  /* guests only */
    NETWORK_NAT,       /* guests, and the world through the host's connections */
    NETWORK_HOST_ONLY, /* guests and the host, at a TAP interface */
    NETWORK_EXTERNAL,  /* guests on the wire of a physical adapter */
};

/* Who translates the addresses. */
enum network_nat {
    NETWORK_NAT_USER,   /* this process, without any privilege */
    NETWORK_NAT_KERNEL, /* the host's kernel */
};

/* The servers in the network; the strings are the definition's. */
struct network_services {
    bool on;                                        /* a subnet was given */
    bool dhcp_said, dhcp6_said, dns_said, ask_said; /* what is not said has defaults */
    struct in_addr subnet, mask;
    struct services_config config;
    struct lease_reservation *reservations;
    char *domain, *boot_efi, *boot_script;
    bool ask_host; /* names that are not known here are asked of the host's name servers … */
    struct in_addr ask[DHCP_SERVERS_MAX]; /* … or of these */
    unsigned ask_count;
};

struct network_definition {
    char *name;
    enum network_kind kind;
    char *interface;       /* of the host: host-only, external, and the way out of a kernel's NAT */
    enum wire_way through; /* external */
    enum network_nat nat;
    struct nat_forward forwards[NAT_FORWARDS_MAX];
    unsigned forward_count;
    char *tftp, *boot_file;
    bool isolated;
    struct network_services services;
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
/* "internal", "nat", "host-only", "external"; "user", "kernel". */
const char *network_kind_name(enum network_kind kind);
const char *network_nat_name(enum network_nat nat);
/* Bits of the subnet's mask. */
unsigned network_prefix_bits(const struct network_definition *def);

/* The members of a port ("vlan", "trunk", "any-source", "promiscuous", "apart", "rate") over *config. */
int network_port_parse(json_t *value, struct switch_config *config, struct error *err);
/* A member of the servers: 1 when it is none, -EINVAL with text. */
int network_services_member(const char *key, json_t *value, struct network_services *s,
                            struct error *err);
/* Fill in what was left out, look at what does not fit together. */
int network_services_check(struct network_definition *def, struct error *err);
void network_services_done(struct network_services *s);

/* What the adapter's port is like. */
struct switch_config network_port_config(const struct network_definition *def, const uint8_t *mac,
                                         const char *name);

#endif
