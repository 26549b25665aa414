/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "network"
#include "network/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "network/network_priv.h"

/* Of libuv, but for listen_poll, which comes last. */
#define HANDLES 4u
#define GONE "it has been removed"

void network_lock(void *ctx)
{
    pthread_mutex_lock(&((struct network *)ctx)->lock);
}

void network_unlock(void *ctx)
{
    pthread_mutex_unlock(&((struct network *)ctx)->lock);
}

/* ---- timers of the switch ---- */

static void on_timer(uv_timer_t *handle);

static void run_timers(struct network *n)
{
    uint64_t next, now;

    network_lock(n);
    next = clock_run_timers(n->clock);
    now = clock_now_ns(n->clock);
    network_unlock(n);
    if (next != CLOCK_NEVER)
        uv_timer_start(&n->timer, on_timer, next > now ? (next - now) / 1000000 + 1 : 0, 0);
}

static void on_timer(uv_timer_t *handle)
{
    run_timers(handle->data);
}

static void on_timer_moved(uv_async_t *handle)
{
    run_timers(handle->data);
}

/* Maybe by the thread of the way out. */
static void timer_moved(void *ctx)
{
    uv_async_send(&((struct network *)ctx)->timer_moved);
}

/* ---- the way out ---- */

static void way_gone(struct network *n, const char *why)
{
    const char *interface = n->knat ? knat_interface(n->knat) : n->def.interface;

    snprintf(n->problem, sizeof(n->problem), "interface %s: %s", interface ? interface : "", why);
    uv_stop(n->loop);
}

static void on_way_gone(uv_async_t *handle)
{
    way_gone(handle->data, GONE);
}

/* By the thread of the way out. */
static void tap_is_gone(void *ctx)
{
    uv_async_send(&((struct network *)ctx)->way_gone);
}

const char *network_problem(const struct network *n)
{
    return *n->problem ? n->problem : NULL;
}

static int kernel_nat_open(struct network *n, const struct net_lock *cable, struct error *err)
{
    const struct network_definition *def = &n->def;
    const struct knat_config config = {.name = def->name,
                                       .subnet = def->services.subnet,
                                       .prefix_bits = network_prefix_bits(def),
                                       .outside = def->interface,
                                       .forwards = def->forwards,
                                       .forward_count = def->forward_count,
                                       .isolated = def->isolated};

    return knat_open(&config, cable, &n->knat, &n->tap, err);
}

static int wire_plug(struct network *n, const struct net_lock *cable, struct error *err)
{
    const struct network_definition *def = &n->def;
    const struct wire_config config = {.interface = def->interface,
                                       .way = def->through,
                                       .vlans = def->defaults.trunk ? def->defaults.vlans : NULL};

    return wire_open(&config, cable, &n->wire, &n->tap, err);
}

static int user_nat_open(struct network *n, const struct net_lock *cable, struct error *err)
{
    const struct network_definition *def = &n->def;
    struct nat_config nat = {.forward_count = def->forward_count,
                             .tftp = def->tftp,
                             .boot_file = def->boot_file,
                             .isolated = def->isolated};

    memcpy(nat.forwards, def->forwards, sizeof(nat.forwards));
    if (def->services.on) {
        nat.network = def->services.subnet;
        nat.mask = def->services.mask;
        nat.no_dhcp = true;
        nat.tftp = nat.boot_file = NULL;
    }
    return nat_new(&nat, cable, &n->nat, err);
}

/* There are no threads yet: processes that clean up are made here. */
static int uplink_open(struct network *n, struct error *err)
{
    const struct net_lock cable = {.lock = network_lock, .unlock = network_unlock, .ctx = n};

    switch (n->def.kind) {
    case NETWORK_NAT:
        return n->def.nat == NETWORK_NAT_KERNEL ? kernel_nat_open(n, &cable, err)
                                                : user_nat_open(n, &cable, err);
    case NETWORK_HOST_ONLY:
        return tap_new(n->def.interface, &cable, &n->tap, err);
    case NETWORK_EXTERNAL:
        return wire_plug(n, &cable, err);
    case NETWORK_INTERNAL:
        break;
    }
    return 0;
}

/* The servers are for machines; the host may ask them, too, but not a wire, nor the NAT's router. */
static bool keeps_services_apart(const struct network *n)
{
    return n->def.kind != NETWORK_HOST_ONLY;
}

/* The host's side may use any address; it is in the network's own VLAN, or carries all of them. */
static int uplink_plug(struct network *n, struct error *err)
{
    struct switch_config config = n->def.defaults;
    int r;

    if (!n->nat && !n->tap)
        return 0;
    if (n->tap)
        tap_on_gone(n->tap, tap_is_gone, n);
    config.any_source = true;
    config.rate_bytes = 0;
    config.apart = keeps_services_apart(n);
    snprintf(config.name, sizeof(config.name), "uplink");
    r = switch_port_add(n->sw, &config, &n->uplink);
    if (r < 0)
        return r;
    network_lock(n);
    net_connect(n->nat ? nat_port(n->nat) : tap_port(n->tap), switch_port_plug(n->uplink));
    network_unlock(n);
    return n->nat ? nat_start(n->nat, err) : tap_start(n->tap, err);
}

/* ---- servers in the network ---- */

static bool ask_world(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len)
{
    return upstream_ask(((struct network *)ctx)->upstream, token, tcp, query, len);
}

static void world_answers(void *ctx, unsigned token, const uint8_t *data, size_t len)
{
    struct network *n = ctx;

    network_lock(n);
    if (n->services)
        services_dns_answer(n->services, token, data, len);
    network_unlock(n);
}

static int services_plug(struct network *n, struct error *err)
{
    struct switch_config port = n->def.defaults;
    struct services_config config = n->def.services.config;
    int r;

    config.leases_path = n->leases;
    config.forward = n->upstream ? ask_world : NULL;
    config.ctx = n;
    r = services_new(&config, n->clock, &n->services, err);
    if (r < 0)
        return r;
    port.any_source = false;
    memcpy(port.mac, (const uint8_t[])SERVICES_MAC, NET_MAC_BYTES);
    port.rate_bytes = 0;
    port.promiscuous = false;
    port.apart = keeps_services_apart(n);
    snprintf(port.name, sizeof(port.name), "services");
    r = switch_port_add(n->sw, &port, &n->services_port);
    if (r < 0)
        return r;
    net_connect(services_port(n->services), switch_port_plug(n->services_port));
    for (struct client *c = n->clients; c; c = c->next)
        if (c->port)
            services_machine(n->services, c->mac, c->name);
    return 0;
}

int network_services_start(struct network *n, struct error *err)
{
    const struct network_services *s = &n->def.services;
    int r = 0;

    if (!s->on)
        return 0;
    if (s->config.dns && (s->ask_host || s->ask_count))
        r = upstream_new(n->loop, s->ask, s->ask_host ? 0 : s->ask_count, world_answers, n,
                         &n->upstream);
    network_lock(n);
    if (r == 0)
        r = services_plug(n, err);
    network_unlock(n);
    return r;
}

void network_services_stop(struct network *n)
{
    network_lock(n);
    switch_port_remove(n->services_port);
    n->services_port = NULL;
    n->services = services_free(n->services);
    network_unlock(n);
    n->upstream = upstream_free(n->upstream);
}

/* ---- histories ---- */

static void add(struct net_counters *sum, const struct net_counters *c)
{
    sum->frames += c->frames;
    sum->bytes += c->bytes;
    sum->drops += c->drops;
}

void network_sum(struct switch_counters *sum, const struct switch_counters *c)
{
    add(&sum->in, &c->in);
    add(&sum->out, &c->out);
    sum->spoofed += c->spoofed;
    sum->vlan_drops += c->vlan_drops;
    sum->full_drops += c->full_drops;
}

static void on_tick(uv_timer_t *handle)
{
    struct network *n = handle->data;
    struct switch_counters all, one;

    network_lock(n);
    all = n->gone;
    for (struct client *c = n->clients; c; c = c->next) {
        if (!c->port)
            continue;
        switch_port_counters(c->port, &one);
        history_add(&c->history, &one);
        network_sum(&all, &one);
    }
    history_add(&n->history, &all);
    network_unlock(n);
    if (n->wire && !wire_is_whole(n->wire))
        way_gone(n, wire_way(n->wire) == WIRE_BRIDGE
                        ? "its bridge has been removed, or this network's port of it"
                        : GONE);
}

/* ---- life ---- */

int network_new(uv_loop_t *loop, struct network_definition *def, const char *path,
                const char *leases, struct network **ret_network, struct error *err)
{
    struct network *n = calloc(1, sizeof(*n));
    int r;

    if (!n)
        return -ENOMEM;
    n->loop = loop;
    n->def = *def;
    *def = (struct network_definition){0};
    n->listen_fd = -1;
    pthread_mutex_init(&n->lock, NULL);
    if ((r = clock_new(&n->clock)) < 0 || (r = switch_new(n->clock, &n->sw)) < 0)
        goto fail;
    if ((r = uplink_open(n, err)) < 0 || (r = clients_listen(n, path, err)) < 0)
        goto fail;
    n->path = strdup(path);
    n->leases = leases ? strdup(leases) : NULL;
    uv_timer_init(loop, &n->timer);
    uv_timer_init(loop, &n->tick);
    uv_async_init(loop, &n->timer_moved, on_timer_moved);
    uv_async_init(loop, &n->way_gone, on_way_gone);
    n->open = HANDLES;
    n->timer.data = n->tick.data = n->timer_moved.data = n->way_gone.data = n;
    uv_timer_start(&n->tick, on_tick, HISTORY_SECONDS * 1000, HISTORY_SECONDS * 1000);
    clock_set_notify(n->clock, timer_moved, n);
    clock_start(n->clock);
    r = uv_poll_init(loop, &n->listen_poll, n->listen_fd);
    if (r < 0)
        goto fail;
    n->open++;
    n->listen_poll.data = n;
    uv_poll_start(&n->listen_poll, UV_READABLE, clients_accept);
    r = n->path && (n->leases || !leases) ? uplink_plug(n, err) : -ENOMEM;
    if (r == 0)
        r = network_services_start(n, err);
    if (r < 0)
        goto fail;
    *ret_network = n;
    return 0;
fail:
    network_free(n);
    return r;
}

static void on_closed(uv_handle_t *handle)
{
    ((struct network *)handle->data)->open--;
}

struct network *network_free(struct network *n)
{
    if (!n)
        return NULL;
    while (n->clients)
        client_close(n->clients);
    network_services_stop(n);
    if (n->open > HANDLES)
        uv_close((uv_handle_t *)&n->listen_poll, on_closed);
    n->nat = nat_free(n->nat);
    n->tap = tap_free(n->tap);
    n->wire = wire_free(n->wire);
    n->knat = knat_free(n->knat);
    if (n->open) {
        uv_close((uv_handle_t *)&n->timer, on_closed);
        uv_close((uv_handle_t *)&n->tick, on_closed);
        uv_close((uv_handle_t *)&n->timer_moved, on_closed);
        uv_close((uv_handle_t *)&n->way_gone, on_closed);
    }
    while (n->open || n->client_count)
        uv_run(n->loop, UV_RUN_NOWAIT);
    switch_free(n->sw);
    pcapng_free(n->capture);
    clock_free(n->clock);
    if (n->listen_fd >= 0)
        close(n->listen_fd);
    if (n->path)
        unlink(n->path);
    free(n->path);
    free(n->leases);
    network_definition_done(&n->def);
    pthread_mutex_destroy(&n->lock);
    free(n);
    return NULL;
}
