/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "services/dhcp6.h"
#include "services/folder.h"
#include "services/http.h"
#include "services/tftp.h"

/* A flood of requests costs the disk one write in so long. */
#define STORE_NS NS_PER_SEC

struct machine_name {
    uint8_t mac[NET_MAC_BYTES];
    char label[LEASE_NAME_BYTES];
};

struct services {
    struct clock *clock;
    struct stack *stack;
    struct leases *leases;
    struct dhcp *dhcp;
    struct dhcp6 *dhcp6;
    struct dns *dns;
    struct tftp *tftp;
    struct http *http;
    struct tcp *tcp;
    int folder_fd;
    struct timer store;
    struct machine_name *machines;
    unsigned machine_count;
    struct lease_reservation *reservations;
    unsigned reservation_count;
    char *domain, *boot_file, *boot_efi, *boot_script;
    struct services_config config;
};

static uint64_t host_now_s(void *ctx)
{
    (void)ctx;
    return (uint64_t)time(NULL);
}

static uint64_t now_s(void *ctx)
{
    struct services *s = ctx;

    return s->config.now_s(s->config.ctx);
}

/* ---- names ---- */

const char *services_name_of(void *services, const uint8_t *mac)
{
    struct services *s = services;

    for (unsigned i = 0; i < s->machine_count; i++)
        if (!memcmp(s->machines[i].mac, mac, NET_MAC_BYTES))
            return s->machines[i].label;
    for (unsigned i = 0; i < s->reservation_count; i++)
        if (!memcmp(s->reservations[i].mac, mac, NET_MAC_BYTES) && s->reservations[i].name[0])
            return s->reservations[i].name;
    return NULL;
}

/* What a guest calls itself counts when the network has no name for its adapter, and no other
 * machine has that name: nobody takes another's. */
static const char *lease_name(struct services *s, const struct lease *lease)
{
    const char *given = services_name_of(s, lease->mac);

    if (given)
        return given;
    for (unsigned i = 0; i < s->machine_count; i++)
        if (!strcmp(s->machines[i].label, lease->name))
            return NULL;
    for (unsigned i = 0; i < s->reservation_count; i++)
        if (!strcmp(s->reservations[i].name, lease->name))
            return NULL;
    return lease->name[0] ? lease->name : NULL;
}

static bool is_alive(struct services *s, const struct lease *lease)
{
    return lease->bound && lease->ends_s > now_s(s);
}

static bool is_known(struct services *s, const char *label)
{
    for (unsigned i = 0; i < s->machine_count; i++)
        if (!strcmp(s->machines[i].label, label))
            return true;
    for (unsigned i = 0; i < s->reservation_count; i++)
        if (!strcmp(s->reservations[i].name, label))
            return true;
    return false;
}

static int lookup(void *ctx, const char *label, struct in_addr *ret_addresses)
{
    struct services *s = ctx;
    int n = 0;

    for (unsigned i = 0; s->leases && i < leases_count(s->leases); i++) {
        const struct lease *lease = leases_get(s->leases, i);
        const char *name = is_alive(s, lease) ? lease_name(s, lease) : NULL;

        if (name && !strcmp(name, label) && n < (int)DNS_ADDRESSES_MAX)
            ret_addresses[n++] = lease->address;
    }
    return n || is_known(s, label) ? n : -ENOENT;
}

static int lookup6(void *ctx, const char *label, struct in6_addr *ret_addresses)
{
    struct services *s = ctx;
    int n = 0;

    for (unsigned i = 0; s->leases && i < leases_count(s->leases); i++) {
        const struct lease *lease = leases_get(s->leases, i);
        const char *name = lease->ends6_s > now_s(s) ? lease_name(s, lease) : NULL;

        if (name && !strcmp(name, label) && n < (int)DNS_ADDRESSES_MAX)
            ret_addresses[n++] = dhcp6_address(&s->config.prefix, lease->address);
    }
    return n;
}

static const char *reverse(void *ctx, struct in_addr address)
{
    struct services *s = ctx;

    for (unsigned i = 0; s->leases && i < leases_count(s->leases); i++) {
        const struct lease *lease = leases_get(s->leases, i);

        if (lease->address.s_addr == address.s_addr && is_alive(s, lease))
            return lease_name(s, lease);
    }
    return NULL;
}

void services_machine(struct services *s, const uint8_t *mac, const char *name)
{
    struct machine_name *m;

    services_machine_gone(s, mac);
    if (s->machine_count == SERVICES_MACHINES_MAX)
        return;
    m = &s->machines[s->machine_count];
    memcpy(m->mac, mac, NET_MAC_BYTES);
    dns_label(name, m->label);
    s->machine_count += m->label[0] != '\0';
}

void services_machine_gone(struct services *s, const uint8_t *mac)
{
    for (unsigned i = 0; i < s->machine_count; i++) {
        if (memcmp(s->machines[i].mac, mac, NET_MAC_BYTES))
            continue;
        s->machines[i] = s->machines[--s->machine_count];
        return;
    }
}

/* ---- the servers ---- */

static void store(void *ctx)
{
    leases_store(((struct services *)ctx)->leases);
}

static void leases_changed(void *ctx)
{
    struct services *s = ctx;

    timer_set(&s->store, clock_now_ns(s->clock) + STORE_NS);
}

static int dhcp_start(struct services *s, struct error *err)
{
    struct in_addr own = s->config.address, mask = s->config.mask;
    struct leases_config leases = {
        .start = s->config.start,
        .end = s->config.end,
        .taken = {own,
                  s->config.network.gateway,
                  {own.s_addr & mask.s_addr},
                  {own.s_addr | ~mask.s_addr}},
        .reservations = s->reservations,
        .reservation_count = s->reservation_count,
        .path = s->config.leases_path,
        .changed = leases_changed,
        .ctx = s,
    };
    struct dhcp_config dhcp = s->config.network;
    int r = leases_new(&leases, &s->leases, err);

    if (r < 0)
        return r;
    dhcp.now_s = now_s;
    dhcp.name_of = services_name_of;
    dhcp.ctx = s;
    dhcp.domain = s->domain;
    dhcp.boot_file = s->boot_file;
    dhcp.boot_efi = s->boot_efi;
    dhcp.boot_script = s->boot_script;
    if (!dhcp.dns_count && s->config.dns)
        dhcp.dns[dhcp.dns_count++] = s->config.address;
    return dhcp_new(&dhcp, s->stack, s->leases, s->clock, &s->dhcp);
}

static bool forward(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len)
{
    struct services *s = ctx;

    return s->config.forward(s->config.ctx, token, tcp, query, len);
}

/* Its times are IPv4's. */
static int dhcp6_start(struct services *s)
{
    const struct dhcp_config *c = &s->config.network;
    const struct dhcp6_config config = {.stateful = s->config.dhcp6 == SERVICES_DHCP6_STATEFUL,
                                        .lease_s = c->lease_s,
                                        .renewal_s = c->renewal_s,
                                        .rebinding_s = c->rebinding_s,
                                        .domain = s->domain,
                                        .now_s = now_s,
                                        .ctx = s};

    return dhcp6_new(&config, s->stack, s->leases, &s->dhcp6);
}

static int servers_start(struct services *s, struct error *err)
{
    const struct dns_config dns = {.domain = s->domain,
                                   .lookup = lookup,
                                   .lookup6 = lookup6,
                                   .reverse = reverse,
                                   .forward = s->config.forward ? forward : NULL,
                                   .ctx = s};
    int r = s->config.dhcp ? dhcp_start(s, err) : 0;

    if (r == 0 && s->config.ip6 && s->config.dhcp6 != SERVICES_DHCP6_OFF)
        r = dhcp6_start(s);
    if (r == 0)
        r = tcp_new(s->stack, s->clock, &s->tcp);
    if (r == 0 && s->config.dns)
        r = dns_new(&dns, s->stack, s->tcp, s->clock, &s->dns);
    if (r < 0 || !s->config.folder)
        return r;
    r = folder_open(s->config.folder, &s->folder_fd, err);
    if (r == 0)
        r = tftp_new(s->folder_fd, s->stack, s->clock, &s->tftp);
    if (r == 0)
        r = http_new(s->folder_fd, s->tcp, &s->http);
    return r;
}

static int keep(const char *text, char **ret_text)
{
    *ret_text = text ? strdup(text) : NULL;
    return text && !*ret_text ? -ENOMEM : 0;
}

static int keep_all(struct services *s, const struct services_config *c)
{
    size_t bytes = c->reservation_count * sizeof(*s->reservations);

    s->machines = calloc(SERVICES_MACHINES_MAX, sizeof(*s->machines));
    s->reservations = malloc(bytes + 1);
    if (!s->machines || !s->reservations ||
        keep(c->domain ? c->domain : SERVICES_DOMAIN, &s->domain) < 0 ||
        keep(c->network.boot_file, &s->boot_file) < 0 ||
        keep(c->network.boot_efi, &s->boot_efi) < 0 ||
        keep(c->network.boot_script, &s->boot_script) < 0)
        return -ENOMEM;
    memcpy(s->reservations, c->reservations ? c->reservations : s->reservations, bytes);
    s->reservation_count = c->reservation_count;
    return 0;
}

int services_new(const struct services_config *config, struct clock *clock,
                 struct services **ret_services, struct error *err)
{
    struct stack_config host = {.mac = SERVICES_MAC,
                                .address = config->address,
                                .mask = config->mask,
                                .ip6 = config->ip6,
                                .prefix = config->prefix,
                                .managed = config->dhcp6 == SERVICES_DHCP6_STATEFUL,
                                .other = config->dhcp6 == SERVICES_DHCP6_STATELESS,
                                .name_server = config->dns};
    struct services *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->clock = clock;
    s->config = *config;
    s->folder_fd = -1;
    if (!s->config.now_s)
        s->config.now_s = host_now_s;
    timer_init(&s->store, clock, store, s);
    r = keep_all(s, config);
    host.domain = s->domain;
    if (r == 0)
        r = stack_new(&host, clock, &s->stack);
    if (r == 0)
        r = servers_start(s, err);
    if (r < 0)
        services_free(s);
    else
        *ret_services = s;
    return r;
}

struct services *services_free(struct services *s)
{
    if (!s)
        return NULL;
    if (s->stack)
        net_disconnect(stack_port(s->stack));
    timer_cancel(&s->store);
    tcp_free(s->tcp);
    http_free(s->http);
    tftp_free(s->tftp);
    dns_free(s->dns);
    dhcp6_free(s->dhcp6);
    dhcp_free(s->dhcp);
    leases_free(s->leases);
    stack_free(s->stack);
    if (s->folder_fd >= 0)
        close(s->folder_fd);
    free(s->machines);
    free(s->reservations);
    free(s->domain);
    free(s->boot_file);
    free(s->boot_efi);
    free(s->boot_script);
    free(s);
    return NULL;
}

struct net_port *services_port(struct services *s)
{
    return stack_port(s->stack);
}

void services_dns_answer(struct services *s, unsigned token, const uint8_t *data, size_t len)
{
    if (!s->dns)
        return;
    if (len)
        dns_answer(s->dns, token, data, len);
    else
        dns_no_answer(s->dns, token);
}

struct leases *services_leases(struct services *s)
{
    return s->leases;
}
