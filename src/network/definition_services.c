/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a definition says of the servers in the network: subnet, dhcp, dns, domain, ipv6, files for
 * booting. The names and the least times of DHCP are those of Virtual Server 2005.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/mac.h"
#include "network/definition.h"

#define LEASE_S 86400u
#define LEASE_S_MIN 60u
#define RENEWAL_S_MIN 30u
#define REBINDING_S_MIN 45u
#define TIME_S_MAX (10u * 365 * 86400)
#define PREFIX_MIN 16u
#define PREFIX_MAX 28u
#define FIRST 16u /* of the range, in the subnet; Virtual Server's default */
#define FIRST_SMALL 4u
#define RESERVATIONS_MAX 1024u

static int set_address(const char *key, json_t *value, struct in_addr *ret_address,
                       struct error *err)
{
    const char *text = json_string_value(value);

    if (!text || inet_pton(AF_INET, text, ret_address) != 1)
        return error_set(err, -EINVAL, "%s: give an IPv4 address", key);
    return 0;
}

/* A list, or one alone. */
static int set_addresses(const char *key, json_t *value, struct in_addr *addresses,
                         unsigned *ret_count, struct error *err)
{
    json_t *one;
    size_t i;

    if (json_is_string(value)) {
        *ret_count = 1;
        return set_address(key, value, addresses, err);
    }
    if (!json_is_array(value) || json_array_size(value) > DHCP_SERVERS_MAX)
        return error_set(err, -EINVAL, "%s: give a list of at most %u addresses", key,
                         DHCP_SERVERS_MAX);
    json_array_foreach(value, i, one)
    {
        int r = set_address(key, one, &addresses[i], err);

        if (r < 0)
            return r;
    }
    *ret_count = (unsigned)json_array_size(value);
    return 0;
}

static int set_time(const char *key, json_t *value, uint32_t least, uint32_t *ret_s,
                    struct error *err)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < least || n > TIME_S_MAX)
        return error_set(err, -EINVAL, "%s: give at least %u seconds", key, least);
    *ret_s = (uint32_t)n;
    return 0;
}

static int set_text(const char *key, json_t *value, char **where, struct error *err)
{
    if (!json_is_string(value) || !json_string_length(value) ||
        json_string_length(value) != strlen(json_string_value(value)))
        return error_set(err, -EINVAL, "%s: give a string", key);
    free(*where);
    *where = strdup(json_string_value(value));
    return *where ? 0 : -ENOMEM;
}

static int set_subnet(json_t *value, struct network_services *s, struct error *err)
{
    char text[INET_ADDRSTRLEN + 4];
    char *slash, *end;
    unsigned long bits = 0;

    if (snprintf(text, sizeof(text), "%s", json_is_string(value) ? json_string_value(value) : "") >=
        (int)sizeof(text))
        return error_set(err, -EINVAL, "subnet: too long");
    slash = strchr(text, '/');
    if (slash) {
        *slash++ = '\0';
        bits = strtoul(slash, &end, 10);
    }
    if (!slash || *end || bits < PREFIX_MIN || bits > PREFIX_MAX ||
        inet_pton(AF_INET, text, &s->subnet) != 1)
        return error_set(err, -EINVAL, "subnet: give one of /%u to /%u, as 10.244.0.0/24",
                         PREFIX_MIN, PREFIX_MAX);
    s->mask.s_addr = htonl(UINT32_MAX << (32 - bits));
    if (s->subnet.s_addr & ~s->mask.s_addr)
        return error_set(err, -EINVAL, "subnet: %s has bits beyond its /%lu", text, bits);
    s->on = true;
    return 0;
}

static int set_prefix(json_t *value, struct network_services *s, struct error *err)
{
    const char *text = json_string_value(value);
    char address[INET6_ADDRSTRLEN] = "";
    const char *slash = text ? strchr(text, '/') : NULL;
    struct in6_addr *p = &s->config.prefix;

    if (slash && (size_t)(slash - text) < sizeof(address))
        memcpy(address, text, (size_t)(slash - text));
    if (!slash || strcmp(slash, "/64") || inet_pton(AF_INET6, address, p) != 1 ||
        memcmp(p->s6_addr + 8, "\0\0\0\0\0\0\0", 8) || p->s6_addr[0] == 0xff)
        return error_set(err, -EINVAL, "ipv6: give a prefix of 64 bits, as fd00:1:2:3::/64");
    s->config.ip6 = true;
    return 0;
}

/* ---- dhcp ---- */

static int set_reservation(json_t *value, struct lease_reservation *r, struct error *err)
{
    const char *mac = json_string_value(json_object_get(value, "mac")), *key;
    json_t *member;
    int e = 0;

    if (!json_is_object(value) || !mac || mac_parse(mac, r->mac) < 0 || !mac_is_single(r->mac))
        return error_set(err, -EINVAL, "each has \"mac\", \"address\" and maybe \"name\"");
    e = set_address("address", json_object_get(value, "address"), &r->address, err);
    json_object_foreach(value, key, member)
    {
        if (!strcmp(key, "name") && json_is_string(member))
            dns_label(json_string_value(member), r->name);
        else if (strcmp(key, "mac") && strcmp(key, "address") && e == 0)
            e = error_set(err, -EINVAL, "'%s' is not one of mac, address, name", key);
    }
    return e;
}

static int set_reservations(json_t *value, struct network_services *s, struct error *err)
{
    json_t *one;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > RESERVATIONS_MAX)
        return error_set(err, -EINVAL, "reservations: give a list of at most %u objects",
                         RESERVATIONS_MAX);
    free(s->reservations);
    s->config.reservation_count = 0;
    s->reservations = calloc(json_array_size(value) + 1, sizeof(*s->reservations));
    if (!s->reservations)
        return -ENOMEM;
    json_array_foreach(value, i, one)
    {
        int r = set_reservation(one, &s->reservations[i], err);

        if (r < 0)
            return error_prefix(err, r, "reservations[%zu]", i);
        s->config.reservation_count++;
    }
    return 0;
}

static int dhcp_member(const char *key, json_t *value, struct network_services *s,
                       struct error *err)
{
    struct dhcp_config *c = &s->config.network;

    if (!strcmp(key, "start"))
        return set_address(key, value, &s->config.start, err);
    if (!strcmp(key, "end"))
        return set_address(key, value, &s->config.end, err);
    if (!strcmp(key, "gateway"))
        return set_address(key, value, &c->gateway, err);
    if (!strcmp(key, "dns"))
        return set_addresses(key, value, c->dns, &c->dns_count, err);
    if (!strcmp(key, "wins"))
        return set_addresses(key, value, c->wins, &c->wins_count, err);
    if (!strcmp(key, "lease"))
        return set_time(key, value, LEASE_S_MIN, &c->lease_s, err);
    if (!strcmp(key, "renewal"))
        return set_time(key, value, RENEWAL_S_MIN, &c->renewal_s, err);
    if (!strcmp(key, "rebinding"))
        return set_time(key, value, REBINDING_S_MIN, &c->rebinding_s, err);
    if (!strcmp(key, "reservations"))
        return set_reservations(value, s, err);
    return error_set(err, -EINVAL,
                     "'%s' is not one of start, end, gateway, dns, wins, lease, renewal, "
                     "rebinding, reservations",
                     key);
}

static int set_dhcp(json_t *value, struct network_services *s, struct error *err)
{
    const char *key;
    json_t *member;

    if (!json_is_boolean(value) && !json_is_object(value))
        return error_set(err, -EINVAL, "dhcp: give true, false or an object");
    s->dhcp_said = true;
    s->config.dhcp = !json_is_false(value);
    json_object_foreach(value, key, member)
    {
        int r = dhcp_member(key, member, s, err);

        if (r < 0)
            return error_prefix(err, r, "dhcp");
    }
    return 0;
}

/* ---- dns ---- */

static int set_forward(json_t *value, struct network_services *s, struct error *err)
{
    s->ask_said = true;
    s->ask_count = 0;
    s->ask_host = json_is_string(value) && !strcmp(json_string_value(value), "host");
    if (s->ask_host || json_is_false(value))
        return 0;
    return set_addresses("forward", value, s->ask, &s->ask_count, err);
}

static int set_dns(json_t *value, struct network_services *s, struct error *err)
{
    const char *key;
    json_t *member;

    if (!json_is_boolean(value) && !json_is_object(value))
        return error_set(err, -EINVAL, "dns: give true, false or an object");
    s->dns_said = true;
    s->config.dns = !json_is_false(value);
    json_object_foreach(value, key, member)
    {
        int r = strcmp(key, "forward") ? error_set(err, -EINVAL, "'%s' is not one of forward", key)
                                       : set_forward(member, s, err);

        if (r < 0)
            return error_prefix(err, r, "dns");
    }
    return 0;
}

/* Labels of letters, digits and hyphens: RFC 1123, 2.1. */
static int set_domain(json_t *value, struct network_services *s, struct error *err)
{
    char label[LEASE_NAME_BYTES], part[LEASE_NAME_BYTES];
    int r = set_text("domain", value, &s->domain, err);
    const char *at = s->domain;

    while (r == 0 && at) {
        size_t n = strcspn(at, ".");

        snprintf(part, sizeof(part), "%.*s", (int)MIN(n, sizeof(part) - 1), at);
        dns_label(part, label);
        if (!n || n >= sizeof(part) || strcmp(part, label) || strlen(s->domain) > 200)
            return error_set(err, -EINVAL, "domain: '%s' is none; write it in lower case",
                             s->domain);
        at = at[n] ? at + n + 1 : NULL;
    }
    return r;
}

static int set_dhcp6(json_t *value, struct network_services *s, struct error *err)
{
    const char *text = json_is_false(value) ? "false" : json_string_value(value);

    s->dhcp6_said = true;
    if (text && !strcmp(text, "stateless"))
        s->config.dhcp6 = SERVICES_DHCP6_STATELESS;
    else if (text && !strcmp(text, "stateful"))
        s->config.dhcp6 = SERVICES_DHCP6_STATEFUL;
    else if (json_is_false(value))
        s->config.dhcp6 = SERVICES_DHCP6_OFF;
    else
        return error_set(err, -EINVAL, "dhcp6: give stateless, stateful or false");
    return 0;
}

int network_services_member(const char *key, json_t *value, struct network_services *s,
                            struct error *err)
{
    if (!strcmp(key, "subnet"))
        return set_subnet(value, s, err);
    if (!strcmp(key, "server-address"))
        return set_address(key, value, &s->config.address, err);
    if (!strcmp(key, "dhcp"))
        return set_dhcp(value, s, err);
    if (!strcmp(key, "dns"))
        return set_dns(value, s, err);
    if (!strcmp(key, "domain"))
        return set_domain(value, s, err);
    if (!strcmp(key, "ipv6"))
        return set_prefix(value, s, err);
    if (!strcmp(key, "dhcp6"))
        return set_dhcp6(value, s, err);
    if (!strcmp(key, "bootfile-efi"))
        return set_text(key, value, &s->boot_efi, err);
    if (!strcmp(key, "bootfile-ipxe"))
        return set_text(key, value, &s->boot_script, err);
    return 1;
}

/* ---- together ---- */

static struct in_addr above(const struct network_services *s, uint32_t n)
{
    return (struct in_addr){htonl(ntohl(s->subnet.s_addr) + n)};
}

/* In the subnet, and neither its own name nor everybody. */
static bool is_inside(const struct network_services *s, struct in_addr a)
{
    return (a.s_addr & s->mask.s_addr) == s->subnet.s_addr && a.s_addr != s->subnet.s_addr &&
           a.s_addr != (s->subnet.s_addr | ~s->mask.s_addr);
}

static int check_dhcp(struct network_definition *def, struct error *err)
{
    struct network_services *s = &def->services;
    struct services_config *c = &s->config;
    uint32_t size = ~ntohl(s->mask.s_addr) + 1;

    if (!c->start.s_addr)
        c->start = above(s, size > 2 * FIRST ? FIRST : FIRST_SMALL);
    if (!c->end.s_addr)
        c->end = above(s, size - 2);
    if (!c->network.gateway.s_addr && def->kind == NETWORK_NAT)
        c->network.gateway = nat_router(s->subnet);
    if (!c->network.lease_s)
        c->network.lease_s = LEASE_S;
    if (!c->network.renewal_s)
        c->network.renewal_s = c->network.lease_s / 2;
    if (!c->network.rebinding_s)
        c->network.rebinding_s =
            MAX((uint32_t)((uint64_t)c->network.lease_s * 7 / 8), c->network.renewal_s);
    if (!is_inside(s, c->start) || !is_inside(s, c->end) ||
        ntohl(c->start.s_addr) > ntohl(c->end.s_addr))
        return error_set(err, -EINVAL, "dhcp: start and end lie in the subnet, in this order");
    if (c->network.gateway.s_addr && !is_inside(s, c->network.gateway))
        return error_set(err, -EINVAL, "dhcp: the gateway lies in the subnet");
    if (c->network.renewal_s > c->network.rebinding_s ||
        c->network.rebinding_s > c->network.lease_s)
        return error_set(err, -EINVAL, "dhcp: renewal, rebinding and lease grow in this order");
    for (unsigned i = 0; i < c->reservation_count; i++)
        if (!is_inside(s, s->reservations[i].address))
            return error_set(err, -EINVAL, "dhcp: reservations[%u]: not in the subnet", i);
    return 0;
}

/* What is given without a subnet would be of no effect. */
static int check_off(const struct network_services *s, struct error *err)
{
    if (s->dhcp_said || s->dns_said || s->config.ip6 || s->config.address.s_addr || s->domain ||
        s->dhcp6_said || s->boot_efi || s->boot_script)
        return error_set(
            err, -EINVAL,
            "dhcp, dns, domain, ipv6, dhcp6, server-address and bootfile-… need a subnet");
    return 0;
}

int network_services_check(struct network_definition *def, struct error *err)
{
    struct network_services *s = &def->services;
    struct services_config *c = &s->config;

    if (!s->on)
        return check_off(s, err);
    c->dhcp = c->dhcp || !s->dhcp_said;
    c->dns = c->dns || !s->dns_said;
    /* A network that leads nowhere does not ask the world either. */
    if (!s->ask_said)
        s->ask_host = def->kind == NETWORK_NAT && !def->isolated;
    if (!c->address.s_addr)
        c->address = above(s, 1);
    if (!is_inside(s, c->address))
        return error_set(err, -EINVAL, "server-address: not in the subnet");
    if (s->dhcp6_said && !c->ip6)
        return error_set(err, -EINVAL, "dhcp6: give a prefix in ipv6, too");
    if (c->dhcp6 == SERVICES_DHCP6_STATEFUL && !c->dhcp)
        return error_set(err, -EINVAL, "dhcp6: stateful needs dhcp, whose addresses go with it");
    if (def->kind == NETWORK_NAT && def->nat == NETWORK_NAT_USER && c->ip6)
        return error_set(err, -EINVAL, "ipv6: a network with NAT has a router of its own for it");
    if (def->kind == NETWORK_NAT &&
        (c->address.s_addr == above(s, 2).s_addr || c->address.s_addr == above(s, 3).s_addr))
        return error_set(err, -EINVAL, "server-address: .2 and .3 of the subnet are the router's");
    c->mask = s->mask;
    c->reservations = s->reservations;
    c->domain = s->domain;
    c->folder = def->tftp;
    c->network.boot_file = def->boot_file;
    c->network.boot_efi = s->boot_efi;
    c->network.boot_script = s->boot_script;
    if (!c->folder && (def->boot_file || s->boot_efi || s->boot_script))
        return error_set(err, -EINVAL, "bootfile needs tftp, the folder where it lies");
    return c->dhcp ? check_dhcp(def, err) : 0;
}

void network_services_done(struct network_services *s)
{
    free(s->reservations);
    free(s->domain);
    free(s->boot_efi);
    free(s->boot_script);
    *s = (struct network_services){0};
}
