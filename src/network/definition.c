/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/definition.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/size.h"
#include "net/mac.h"

#define FILE_BYTES_MAX MIB(1)

static const char *const kinds[] = {
    [NETWORK_INTERNAL] = "internal",
    [NETWORK_NAT] = "nat",
    [NETWORK_HOST_ONLY] = "host-only",
    [NETWORK_EXTERNAL] = "external",
};

static const char *const nats[] = {
    [NETWORK_NAT_USER] = "user",
    [NETWORK_NAT_KERNEL] = "kernel",
};

const char *network_kind_name(enum network_kind kind)
{
    return kinds[kind];
}

const char *network_nat_name(enum network_nat nat)
{
    return nats[nat];
}

unsigned network_prefix_bits(const struct network_definition *def)
{
    return (unsigned)__builtin_popcount(def->services.mask.s_addr);
}

/* ---- ports ---- */

static int set_vlan(json_t *value, uint16_t *ret_vlan, struct error *err)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0 || n > 4094)
        return error_set(err, -EINVAL, "vlan: give a number from 0 (none) to 4094");
    *ret_vlan = (uint16_t)n;
    return 0;
}

static int set_trunk(json_t *value, struct switch_config *c, struct error *err)
{
    json_t *one;
    size_t i;

    if (!json_is_array(value))
        return error_set(err, -EINVAL, "trunk: give a list of VLANs");
    memset(c->vlans, 0, sizeof(c->vlans));
    c->trunk = json_array_size(value) > 0;
    json_array_foreach(value, i, one)
    {
        uint16_t vlan = 0;
        int r = set_vlan(one, &vlan, err);

        if (r < 0 || vlan == 0)
            return error_set(err, -EINVAL, "trunk: VLANs are numbers from 1 to 4094");
        c->vlans[vlan / 8] |= (uint8_t)(1u << (vlan % 8));
    }
    return 0;
}

static int set_rate(json_t *value, uint64_t *ret_rate, struct error *err)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        *ret_rate = (uint64_t)json_integer_value(value);
    else if (!json_is_string(value) || size_parse(json_string_value(value), ret_rate) < 0)
        return error_set(err, -EINVAL, "rate: give bytes a second, such as 10M; 0 is no limit");
    /* So that its arithmetic has room; no host is that fast. */
    if (*ret_rate > GIB(1024))
        return error_set(err, -EINVAL, "rate: at most 1T");
    return 0;
}

static int set_flag(const char *name, json_t *value, bool *ret_flag, struct error *err)
{
    if (!json_is_boolean(value))
        return error_set(err, -EINVAL, "%s: give true or false", name);
    *ret_flag = json_is_true(value);
    return 0;
}

/* 1: it is no member of a port. */
static int port_member(const char *key, json_t *value, struct switch_config *c, struct error *err)
{
    if (!strcmp(key, "vlan"))
        return set_vlan(value, &c->vlan, err);
    if (!strcmp(key, "trunk"))
        return set_trunk(value, c, err);
    if (!strcmp(key, "any-source"))
        return set_flag(key, value, &c->any_source, err);
    if (!strcmp(key, "promiscuous"))
        return set_flag(key, value, &c->promiscuous, err);
    if (!strcmp(key, "apart"))
        return set_flag(key, value, &c->apart, err);
    if (!strcmp(key, "rate"))
        return set_rate(value, &c->rate_bytes, err);
    return 1;
}

static int set_mac(json_t *value, uint8_t *ret_mac, struct error *err)
{
    const char *text = json_string_value(value);

    if (!text || mac_parse(text, ret_mac) < 0 || !mac_is_single(ret_mac))
        return error_set(err, -EINVAL, "mac: give an adapter's address, as 52:54:00:12:34:56");
    return 0;
}

int network_port_parse(json_t *value, struct switch_config *config, struct error *err)
{
    const char *key;
    json_t *member;

    if (!json_is_object(value))
        return error_set(err, -EINVAL, "a port is an object with \"mac\"");
    json_object_foreach(value, key, member)
    {
        int r = strcmp(key, "mac") ? port_member(key, member, config, err)
                                   : set_mac(member, config->mac, err);

        if (r > 0)
            r = error_set(
                err, -EINVAL,
                "'%s' is not one of mac, vlan, trunk, any-source, promiscuous, apart, rate", key);
        if (r < 0)
            return r;
    }
    return 0;
}

struct switch_config network_port_config(const struct network_definition *def, const uint8_t *mac,
                                         const char *name)
{
    struct switch_config c = def->defaults;

    for (unsigned i = 0; i < def->rule_count; i++)
        if (!memcmp(def->rules[i].mac, mac, NET_MAC_BYTES))
            c = def->rules[i];
    memcpy(c.mac, mac, NET_MAC_BYTES);
    snprintf(c.name, sizeof(c.name), "%s", name);
    return c;
}

/* ---- the network ---- */

static int set_string(const char *name, json_t *value, char **where, struct error *err)
{
    if (!json_is_string(value) || !json_string_length(value) ||
        strlen(json_string_value(value)) != json_string_length(value))
        return error_set(err, -EINVAL, "%s: give a string", name);
    free(*where);
    *where = strdup(json_string_value(value));
    return *where ? 0 : -ENOMEM;
}

static int set_kind(json_t *value, enum network_kind *ret_kind, struct error *err)
{
    for (size_t i = 0; json_is_string(value) && i < ARRAY_LEN(kinds); i++) {
        if (!strcmp(json_string_value(value), kinds[i])) {
            *ret_kind = (enum network_kind)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "kind: give internal, nat, host-only or external");
}

static int set_nat(json_t *value, enum network_nat *ret_nat, struct error *err)
{
    for (size_t i = 0; json_is_string(value) && i < ARRAY_LEN(nats); i++) {
        if (!strcmp(json_string_value(value), nats[i])) {
            *ret_nat = (enum network_nat)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "nat: give user or kernel");
}

static int set_through(json_t *value, enum wire_way *ret_way, struct error *err)
{
    for (enum wire_way way = WIRE_AUTO; json_is_string(value) && way <= WIRE_PACKET; way++) {
        if (!strcmp(json_string_value(value), wire_way_name(way))) {
            *ret_way = way;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "through: give auto, bridge, macvtap or packet");
}

static int set_forwards(json_t *value, struct network_definition *def, struct error *err)
{
    json_t *one;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > NAT_FORWARDS_MAX)
        return error_set(err, -EINVAL, "forward: give a list of at most %u strings",
                         NAT_FORWARDS_MAX);
    json_array_foreach(value, i, one)
    {
        int r = json_is_string(one)
                    ? nat_parse_forward(json_string_value(one), &def->forwards[i], err)
                    : error_set(err, -EINVAL, "forward: give strings");

        if (r < 0)
            return r;
    }
    def->forward_count = (unsigned)json_array_size(value);
    return 0;
}

/* After all else, for each begins with the network's defaults. */
static int set_rules(json_t *value, struct network_definition *def, struct error *err)
{
    json_t *one;
    size_t i;

    if (!value)
        return 0;
    if (!json_is_array(value) || json_array_size(value) > NETWORK_RULES_MAX)
        return error_set(err, -EINVAL, "ports: give a list of at most %u objects",
                         NETWORK_RULES_MAX);
    def->rules = calloc(json_array_size(value) + 1, sizeof(*def->rules));
    if (!def->rules)
        return -ENOMEM;
    json_array_foreach(value, i, one)
    {
        struct switch_config *rule = &def->rules[i];
        int r;

        *rule = def->defaults;
        r = network_port_parse(one, rule, err);
        if (r == 0 && !mac_is_single(rule->mac))
            r = error_set(err, -EINVAL, "each port has the \"mac\" of its adapter");
        if (r < 0)
            return error_prefix(err, r, "ports[%zu]", i);
        def->rule_count++;
    }
    return 0;
}

static int member(const char *key, json_t *value, struct network_definition *def, struct error *err)
{
    int r;

    if (!strcmp(key, "name"))
        return set_string(key, value, &def->name, err);
    if (!strcmp(key, "kind"))
        return set_kind(value, &def->kind, err);
    if (!strcmp(key, "interface"))
        return set_string(key, value, &def->interface, err);
    if (!strcmp(key, "through"))
        return set_through(value, &def->through, err);
    if (!strcmp(key, "nat"))
        return set_nat(value, &def->nat, err);
    if (!strcmp(key, "forward"))
        return set_forwards(value, def, err);
    if (!strcmp(key, "tftp"))
        return set_string(key, value, &def->tftp, err);
    if (!strcmp(key, "bootfile"))
        return set_string(key, value, &def->boot_file, err);
    if (!strcmp(key, "isolated"))
        return set_flag(key, value, &def->isolated, err);
    if (!strcmp(key, "ports"))
        return 0;
    r = port_member(key, value, &def->defaults, err);
    if (r > 0)
        r = network_services_member(key, value, &def->services, err);
    return r > 0 ? error_set(err, -EINVAL, "'%s' is no member of a network", key) : r;
}

/* The kernel has no first lease to lead a port to, and no addresses of its own choice. */
static int check_kernel_nat(const struct network_definition *def, struct error *err)
{
    if (def->kind != NETWORK_NAT)
        return error_set(err, -EINVAL, "nat belongs to the kind nat");
    if (!def->services.on)
        return error_set(err, -EINVAL, "subnet: missing; the kernel's NAT needs one");
    for (unsigned i = 0; i < def->forward_count; i++) {
        const struct in_addr guest = def->forwards[i].guest;

        if (!guest.s_addr ||
            (guest.s_addr & def->services.mask.s_addr) != def->services.subnet.s_addr)
            return error_set(err, -EINVAL,
                             "forward: name the guest's address in the subnet, as "
                             "tcp:127.0.0.1:2222:10.244.0.16:22");
    }
    return 0;
}

static int check(const struct network_definition *def, struct error *err)
{
    bool kernel = def->nat == NETWORK_NAT_KERNEL;
    bool wants = def->kind == NETWORK_HOST_ONLY || def->kind == NETWORK_EXTERNAL;

    if (!def->name)
        return error_set(err, -EINVAL, "name: missing");
    if (wants && !def->interface)
        return error_set(err, -EINVAL, "interface: missing; name the host's for this kind");
    if (!wants && !kernel && def->interface)
        return error_set(
            err, -EINVAL,
            "interface: belongs to the kinds host-only and external, and to a kernel's "
            "NAT");
    if (def->kind != NETWORK_EXTERNAL && def->through != WIRE_AUTO)
        return error_set(err, -EINVAL, "through belongs to the kind external");
    if (kernel) {
        int r = check_kernel_nat(def, err);

        if (r < 0)
            return r;
    }
    if (def->interface && (strlen(def->interface) >= IFNAMSIZ || strchr(def->interface, '/')))
        return error_set(err, -EINVAL, "interface: '%s' is no name of one", def->interface);
    if (def->kind != NETWORK_NAT && (def->forward_count || def->isolated))
        return error_set(err, -EINVAL, "forward and isolated belong to the kind nat");
    if (def->kind != NETWORK_NAT && !def->services.on && (def->tftp || def->boot_file))
        return error_set(err, -EINVAL, "tftp and bootfile need a subnet, or the kind nat");
    return 0;
}

int network_definition_parse(const char *text, size_t len_bytes, struct network_definition *ret_def,
                             struct error *err)
{
    struct network_definition def = {0};
    json_error_t jerr;
    json_t *root = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, &jerr), *value;
    const char *key;
    int r = 0;

    *ret_def = def;
    if (!root)
        return error_set(err, -EINVAL, "line %d: not JSON: %s", jerr.line, jerr.text);
    if (!json_is_object(root))
        r = error_set(err, -EINVAL, "not a JSON object");
    json_object_foreach(root, key, value)
    {
        if (r == 0)
            r = member(key, value, &def, err);
    }
    if (r == 0)
        r = set_rules(json_object_get(root, "ports"), &def, err);
    if (r == 0)
        r = check(&def, err);
    if (r == 0)
        r = network_services_check(&def, err);
    json_decref(root);
    if (r < 0)
        network_definition_done(&def);
    *ret_def = def;
    return r;
}

int network_definition_read(const char *path, struct network_definition *ret_def, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    struct stat st;
    ssize_t n;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_BYTES_MAX)
        return error_set(err, -EINVAL, "%s: not a file of at most 1 MiB", path);
    text = malloc((size_t)st.st_size + 1);
    n = text ? read(fd, text, (size_t)st.st_size) : -1;
    if (n < 0)
        return text ? error_set(err, -errno, "%s: %s", path, strerror(errno)) : -ENOMEM;
    r = network_definition_parse(text, (size_t)n, ret_def, err);
    return r < 0 ? error_prefix(err, r, "%s", path) : 0;
}

void network_definition_done(struct network_definition *def)
{
    free(def->name);
    free(def->interface);
    free(def->tftp);
    free(def->boot_file);
    free(def->rules);
    network_services_done(&def->services);
    *def = (struct network_definition){0};
}
