/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's commands; yado-net(1) lists them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "net/mac.h"
#include "network/network_priv.h"
#include "services/dhcp6.h"

#define CAPTURE_BYTES MIB(64)

static json_t *counters(const struct net_counters *c)
{
    return json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)c->frames, "bytes",
                     (json_int_t)c->bytes, "drops", (json_int_t)c->drops);
}

static json_t *config_json(const struct switch_config *c)
{
    json_t *trunk = json_array();

    for (unsigned vlan = 1; c->trunk && vlan < SWITCH_VLANS - 1; vlan++)
        if (c->vlans[vlan / 8] >> (vlan % 8) & 1)
            json_array_append_new(trunk, json_integer(vlan));
    return json_pack("{s:i, s:o, s:b, s:b, s:b, s:I}", "vlan", (int)c->vlan, "trunk", trunk,
                     "any-source", c->any_source, "promiscuous", c->promiscuous, "apart", c->apart,
                     "rate", (json_int_t)c->rate_bytes);
}

static json_t *counters_json(const struct switch_counters *c)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I}", "in", counters(&c->in), "out", counters(&c->out),
                     "spoofed", (json_int_t)c->spoofed, "vlan-drops", (json_int_t)c->vlan_drops,
                     "full-drops", (json_int_t)c->full_drops);
}

static json_t *port_status(const char *name, const char *mac, const struct switch_port *port)
{
    struct switch_counters c;
    json_t *status;

    switch_port_counters(port, &c);
    status = counters_json(&c);
    json_object_set_new(status, "name", json_string(name));
    if (mac)
        json_object_set_new(status, "mac", json_string(mac));
    return status;
}

/* The addresses that the adapter has been given here. */
static void add_addresses(struct network *n, const struct client *c, json_t *status)
{
    struct leases *leases = n->services ? services_leases(n->services) : NULL;
    const struct lease *lease = leases ? leases_find(leases, c->mac) : NULL;
    const char *name = n->services ? services_name_of(n->services, c->mac) : NULL;
    char text[INET_ADDRSTRLEN];

    if (lease && lease->bound && lease->ends_s > (uint64_t)time(NULL))
        json_object_set_new(status, "address",
                            json_string(inet_ntop(AF_INET, &lease->address, text, sizeof(text))));
    if (name)
        json_object_set_new(status, "host-name", json_string(name));
}

/* Where the network leads, through what, and why through that; NULL: nowhere. */
static json_t *uplink_json(const struct network *n)
{
    json_t *o = n->uplink ? json_object() : NULL;

    if (n->wire) {
        json_object_set_new(o, "through", json_string(wire_way_name(wire_way(n->wire))));
        json_object_set_new(o, "reason", json_string(wire_reason_name(wire_reason(n->wire))));
        if (*wire_interface(n->wire))
            json_object_set_new(o, "interface", json_string(wire_interface(n->wire)));
        if (*wire_bridge(n->wire))
            json_object_set_new(o, "bridge", json_string(wire_bridge(n->wire)));
        json_object_set_new(o, "outside", json_string(n->def.interface));
    } else if (n->knat) {
        json_object_set_new(o, "through", json_string("kernel"));
        json_object_set_new(o, "interface", json_string(knat_interface(n->knat)));
        json_object_set_new(o, "outside", json_string(knat_outside(n->knat)));
    } else if (o) {
        json_object_set_new(o, "through", json_string(n->nat ? "user" : "tap"));
        if (n->def.interface)
            json_object_set_new(o, "interface", json_string(n->def.interface));
    }
    return o;
}

static int cmd_status(struct network *n, json_t **ret_value)
{
    json_t *ports = json_array(), *port;
    char mac[MAC_TEXT_BYTES];

    if (n->uplink)
        json_array_append_new(ports, port_status("uplink", NULL, n->uplink));
    if (n->services_port)
        json_array_append_new(ports, port_status("services", NULL, n->services_port));
    for (const struct client *c = n->clients; c; c = c->next) {
        if (!c->port)
            continue;
        port = port_status(c->name, mac_format(c->mac, mac), c->port);
        json_object_set_new(port, "config", config_json(&c->config));
        add_addresses(n, c, port);
        json_array_append_new(ports, port);
    }
    *ret_value =
        json_pack("{s:s, s:s, s:I, s:b, s:o}", "name", n->def.name, "kind",
                  network_kind_name(n->def.kind), "addresses", (json_int_t)switch_addresses(n->sw),
                  "capturing", n->capture != NULL, "ports", ports);
    if (n->uplink)
        json_object_set_new(*ret_value, "uplink", uplink_json(n));
    return 0;
}

/* The machine's adapter that "mac" names. */
static int find_port(struct network *n, json_t *arguments, struct client **ret_client,
                     struct error *err)
{
    const char *text = json_string_value(json_object_get(arguments, "mac"));
    uint8_t mac[NET_MAC_BYTES];

    if (!text || mac_parse(text, mac) < 0)
        return error_set(err, -EINVAL, "mac: give the address of the adapter");
    for (struct client *c = n->clients; c; c = c->next) {
        if (!c->port || memcmp(c->mac, mac, sizeof(mac)))
            continue;
        *ret_client = c;
        return 0;
    }
    return error_set(err, -ENOENT, "mac: %s is not plugged in", text);
}

static int cmd_port(struct network *n, json_t *arguments, struct error *err)
{
    struct switch_config config;
    struct client *c = NULL;
    int r = find_port(n, arguments, &c, err);

    if (r < 0)
        return r;
    config = network_port_config(&n->def, c->mac, c->name);
    r = network_port_parse(arguments, &config, err);
    if (r == 0)
        r = switch_port_configure(c->port, &config);
    if (r == 0)
        c->config = config;
    return r;
}

static int cmd_history(struct network *n, json_t *arguments, json_t **ret_value, struct error *err)
{
    struct client *c = NULL;
    int r = json_object_get(arguments, "mac") ? find_port(n, arguments, &c, err) : 0;

    if (r == 0)
        *ret_value = history_json(c ? &c->history : &n->history);
    return r;
}

/* What the adapter has in IPv6 now; empty: nothing. */
static void address6(const struct network *n, const struct lease *l, uint64_t now_s, char *ret_text)
{
    struct in6_addr a = dhcp6_address(&n->def.services.config.prefix, l->address);

    ret_text[0] = '\0';
    if (l->ends6_s > now_s)
        inet_ntop(AF_INET6, &a, ret_text, INET6_ADDRSTRLEN);
}

static json_t *lease_json(struct network *n, const struct lease *l, uint64_t now_s)
{
    const char *name = services_name_of(n->services, l->mac);
    bool is4 = l->bound && l->ends_s > now_s;
    char mac[MAC_TEXT_BYTES], ip4[INET_ADDRSTRLEN], ip6[INET6_ADDRSTRLEN];
    json_t *o;

    inet_ntop(AF_INET, &l->address, ip4, sizeof(ip4));
    address6(n, l, now_s, ip6);
    o = json_pack("{s:s, s:s, s:I, s:s}", "mac", mac_format(l->mac, mac), "address",
                  is4 ? ip4 : ip6, "ends", (json_int_t)(is4 ? l->ends_s : l->ends6_s), "name",
                  name ? name : l->name);
    if (is4 && *ip6)
        json_object_set_new(o, "address6", json_string(ip6));
    return o;
}

static int cmd_leases(struct network *n, json_t **ret_value)
{
    struct leases *leases = n->services ? services_leases(n->services) : NULL;
    json_t *list = json_array();
    uint64_t now_s = (uint64_t)time(NULL);

    for (unsigned i = 0; leases && i < leases_count(leases); i++) {
        const struct lease *l = leases_get(leases, i);

        if ((l->bound && l->ends_s > now_s) || l->ends6_s > now_s)
            json_array_append_new(list, lease_json(n, l, now_s));
    }
    *ret_value = json_pack("{s:o}", "leases", list);
    return 0;
}

/* ---- another definition, while machines are plugged in ---- */

static bool has_forward(const struct network_definition *def, const struct nat_forward *f)
{
    for (unsigned i = 0; i < def->forward_count; i++)
        if (!memcmp(&def->forwards[i], f, sizeof(*f)))
            return true;
    return false;
}

/* The kernel's rules are made once, with rights that are then given up. */
static bool same_forwards(const struct network_definition *a, const struct network_definition *b)
{
    for (unsigned i = 0; i < a->forward_count; i++)
        if (!has_forward(b, &a->forwards[i]))
            return false;
    return a->forward_count == b->forward_count;
}

/* VLANs that pass a bridge are said when its port is made. */
static bool same_trunk(const struct network_definition *a, const struct network_definition *b)
{
    return a->defaults.trunk == b->defaults.trunk &&
           !memcmp(a->defaults.vlans, b->defaults.vlans, sizeof(a->defaults.vlans));
}

/* What belongs to the way out cannot change under it. */
static bool same_way_out(const struct network_definition *a, const struct network_definition *b)
{
    return a->kind == b->kind && a->nat == b->nat && a->through == b->through &&
           (a->nat != NETWORK_NAT_KERNEL || same_forwards(a, b)) &&
           (a->kind != NETWORK_EXTERNAL || same_trunk(a, b)) &&
           !strcmp(a->interface ? a->interface : "", b->interface ? b->interface : "") &&
           a->isolated == b->isolated && a->services.on == b->services.on &&
           a->services.subnet.s_addr == b->services.subnet.s_addr &&
           a->services.mask.s_addr == b->services.mask.s_addr &&
           (a->services.on ||
            (!strcmp(a->tftp ? a->tftp : "", b->tftp ? b->tftp : "") &&
             !strcmp(a->boot_file ? a->boot_file : "", b->boot_file ? b->boot_file : "")));
}

/* Ports that are not forwarded any more are given back first: another may want them. */
static int change_forwards(struct network *n, const struct network_definition *new,
                           struct error *err)
{
    int r = 0;

    for (unsigned i = 0; n->nat && i < n->def.forward_count; i++)
        if (!has_forward(new, &n->def.forwards[i]))
            nat_forward_remove(n->nat, &n->def.forwards[i], NULL);
    for (unsigned i = 0; n->nat && i < new->forward_count &&r == 0; i++)
        if (!has_forward(&n->def, &new->forwards[i]))
            r = nat_forward_add(n->nat, &new->forwards[i], err);
    return r;
}

static void change_ports(struct network *n)
{
    network_lock(n);
    for (struct client *c = n->clients; c; c = c->next) {
        if (!c->port)
            continue;
        c->config = network_port_config(&n->def, c->mac, c->name);
        switch_port_configure(c->port, &c->config);
    }
    network_unlock(n);
}

static int cmd_configure(struct network *n, json_t *arguments, struct error *err)
{
    AUTO_FREE char *text = json_dumps(json_object_get(arguments, "definition"), 0);
    struct network_definition def;
    int r;

    if (!text)
        return error_set(err, -EINVAL, "definition: give the network's definition");
    r = network_definition_parse(text, strlen(text), &def, err);
    if (r < 0)
        return r;
    if (!same_way_out(&def, &n->def)) {
        network_definition_done(&def);
        return error_set(err, -EBUSY,
                         "kind, interface, through, nat, subnet and isolation, and what the "
                         "kernel forwards, change when the network is started again");
    }
    r = change_forwards(n, &def, err);
    network_services_stop(n);
    network_definition_done(&n->def);
    n->def = def;
    change_ports(n);
    return network_services_start(n, r < 0 ? NULL : err) < 0 && r == 0 ? -EINVAL : r;
}

/* ---- captures ---- */

static int cmd_capture(struct network *n, json_t *arguments, struct error *err)
{
    struct client *c = NULL;
    const char *path = json_string_value(json_object_get(arguments, "path"));
    struct pcapng *file = NULL;
    int fd, r;

    if (!path)
        return error_set(err, -EINVAL, "path: name a file that is not there yet");
    r = json_object_get(arguments, "mac") ? find_port(n, arguments, &c, err) : 0;
    if (r < 0)
        return r;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    r = pcapng_new(fd, CAPTURE_BYTES, 0, &file);
    if (r < 0)
        return error_set(err, r, "%s: %s", path, strerror(-r));
    switch_capture(n->sw, c ? c->port : NULL, file);
    pcapng_free(n->capture);
    n->capture = file;
    return 0;
}

static int cmd_capture_stop(struct network *n, json_t **ret_value)
{
    uint64_t missed = n->capture ? pcapng_missed(n->capture) : 0;

    switch_capture(n->sw, NULL, NULL);
    n->capture = pcapng_free(n->capture);
    *ret_value = json_pack("{s:I}", "missed", (json_int_t)missed);
    return 0;
}

int network_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                    struct error *err)
{
    struct network *n = ctx;
    int r = -ENOSYS;

    if (!strcmp(name, "configure"))
        return cmd_configure(n, arguments, err);
    network_lock(n);
    if (!strcmp(name, "status"))
        r = cmd_status(n, ret_value);
    else if (!strcmp(name, "port"))
        r = cmd_port(n, arguments, err);
    else if (!strcmp(name, "history"))
        r = cmd_history(n, arguments, ret_value, err);
    else if (!strcmp(name, "leases"))
        r = cmd_leases(n, ret_value);
    else if (!strcmp(name, "capture"))
        r = cmd_capture(n, arguments, err);
    else if (!strcmp(name, "capture-stop"))
        r = cmd_capture_stop(n, ret_value);
    network_unlock(n);
    if (r == -ENOSYS)
        error_set(err, r, "'%.64s' is not a command; yado-net(1) lists them", name);
    return r;
}
