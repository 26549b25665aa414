/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "networks"
#include "monitor/networks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/remote.h"
#include "net/tap.h"

/* Addresses that this program makes up: administered locally, and QEMU's, which tools know. */
static const uint8_t prefix[3] = {0x52, 0x54, 0x00};
#define CLAIM_TRIES 64u
#define START_WAIT_MS 3000u

struct network {
    struct definition_net def;
    struct nat *nat;
    struct tap *tap;
    struct remote *remote;
    int claim_fd; /* holds the adapter's address against others of this host */
};

struct networks {
    struct machine *machine; /* NULL: not started */
    char *name;
    struct network nets[MACHINE_NETS_MAX];
    unsigned count;
};

static void lock(void *ctx)
{
    struct networks *n = ctx;

    if (n->machine)
        machine_lock(n->machine);
}

static void unlock(void *ctx)
{
    struct networks *n = ctx;

    if (n->machine)
        machine_unlock(n->machine);
}

static bool watch(void *ctx, int fd, void (*ready)(void *ready_ctx), void *ready_ctx)
{
    struct networks *n = ctx;

    return n->machine && machine_watch(n->machine, fd, ready, ready_ctx);
}

static void unwatch(void *ctx, int fd)
{
    struct networks *n = ctx;

    if (n->machine)
        machine_unwatch(n->machine, fd);
}

/* ---- addresses ---- */

/*
 * The first process of this host that binds an address's name has it, until it ends: an abstract
 * socket goes away with its process. -1 when another has it.
 */
static int claim(const uint8_t *mac)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
                       "yado-mac-%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                       mac[4], mac[5]);

    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&addr,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* FNV-1a: spread, not secret. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return h;
}

static size_t machine_id(char *buf, size_t room)
{
    AUTO_FD int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, room);

    return n > 0 ? (size_t)n : 0;
}

/*
 * The same at each start, from the machine's name and the host's identity, so that a guest knows
 * its adapter again; another one while that is taken.
 */
static void choose_mac(const char *name, unsigned i, struct network *net)
{
    char id[64];
    size_t id_len = machine_id(id, sizeof(id));
    uint64_t h = hash(0xcbf29ce484222325, name, strlen(name));

    h = hash(hash(h, id, id_len), &i, sizeof(i));
    memcpy(net->def.mac, prefix, sizeof(prefix));
    for (unsigned try = 0; try < CLAIM_TRIES && net->claim_fd < 0; try++) {
        h = hash(h, &try, sizeof(try));
        net->def.mac[3] = (uint8_t)(h >> 40);
        net->def.mac[4] = (uint8_t)(h >> 24);
        net->def.mac[5] = (uint8_t)(h >> 8);
        net->claim_fd = claim(net->def.mac);
    }
}

/* ---- the far ends ---- */

static int open_end(struct networks *n, struct network *net, struct error *err)
{
    const struct definition_net *def = &net->def;
    const struct net_lock cable = {lock, unlock, n, watch, unwatch};
    struct nat_config config = {.forward_count = def->forward_count,
                                .host_name = n->name,
                                .tftp = def->tftp,
                                .boot_file = def->boot_file,
                                .isolated = def->isolated};

    switch (def->kind) {
    case DEFINITION_NET_NAT:
        memcpy(config.forwards, def->forwards, sizeof(config.forwards));
        return nat_new(&config, &cable, &net->nat, err);
    case DEFINITION_NET_TAP:
        return tap_new(def->name, &cable, &net->tap, err);
    case DEFINITION_NET_NETWORK:
        /* At the start of a host machines and networks start together; a running machine waits not. */
        return remote_new(def->name, n->name, def->mac, &cable, n->machine ? 0 : START_WAIT_MS,
                          &net->remote, err);
    case DEFINITION_NET_UNPLUGGED:
        break;
    }
    return 0;
}

static struct net_port *end_port(struct network *net)
{
    if (net->nat)
        return nat_port(net->nat);
    if (net->remote)
        return remote_port(net->remote);
    return net->tap ? tap_port(net->tap) : NULL;
}

static int end_start(struct network *net, struct error *err)
{
    if (net->nat)
        return nat_start(net->nat, err);
    if (net->remote)
        return remote_start(net->remote, err);
    return net->tap ? tap_start(net->tap, err) : 0;
}

static void end_close(struct network *net)
{
    net->nat = nat_free(net->nat);
    net->tap = tap_free(net->tap);
    net->remote = remote_free(net->remote);
}

int networks_new(const char *name, struct definition_net *nets, unsigned count,
                 struct networks **ret_networks, struct error *err)
{
    struct networks *n = calloc(1, sizeof(*n));
    int r = 0;

    if (!n)
        return -ENOMEM;
    n->name = strdup(name);
    if (!n->name)
        r = -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        struct network *net = &n->nets[n->count++];

        net->def = nets[i];
        nets[i] = (struct definition_net){.nic = net->def.nic};
        net->claim_fd = net->def.mac_given ? claim(net->def.mac) : -1;
        if (net->def.mac_given && net->claim_fd < 0)
            log_warning("adapter %u: another of this host has its address; on a network they would "
                        "not hear each other",
                        i);
        if (!net->def.mac_given)
            choose_mac(name, i, net);
        memcpy(nets[i].mac, net->def.mac, sizeof(nets[i].mac));
        r = open_end(n, net, err);
        if (r < 0)
            error_prefix(err, r, "--net");
    }
    if (r < 0)
        networks_free(n);
    else
        *ret_networks = n;
    return r;
}

int networks_start(struct networks *n, struct machine *m, struct error *err)
{
    n->machine = m;
    for (unsigned i = 0; i < n->count; i++) {
        int r = end_start(&n->nets[i], err);

        if (r < 0)
            return r;
        machine_net_connect(m, i, end_port(&n->nets[i]));
    }
    return 0;
}

struct networks *networks_free(struct networks *n)
{
    if (!n)
        return NULL;
    for (unsigned i = 0; i < n->count; i++) {
        struct network *net = &n->nets[i];

        if (n->machine)
            machine_net_connect(n->machine, i, NULL);
        end_close(net);
        if (net->claim_fd >= 0)
            close(net->claim_fd);
        definition_net_done(&net->def);
    }
    free(n->name);
    free(n);
    return NULL;
}

unsigned networks_count(const struct networks *n)
{
    return n->count;
}

const struct definition_net *networks_get(const struct networks *n, unsigned i)
{
    return &n->nets[i].def;
}

int networks_move(struct networks *n, unsigned i, struct definition_net *net, struct error *err)
{
    struct network *old = &n->nets[i], new = {.def = *net, .claim_fd = old->claim_fd};
    int r;

    new.def.nic = old->def.nic;
    new.def.mac_given = old->def.mac_given;
    memcpy(new.def.mac, old->def.mac, sizeof(new.def.mac));
    r = open_end(n, &new, err);
    if (r == 0)
        r = end_start(&new, err);
    if (r < 0) {
        end_close(&new);
        return r;
    }
    *net = (struct definition_net){0};
    machine_net_connect(n->machine, i, end_port(&new));
    end_close(old);
    definition_net_done(&old->def);
    *old = new;
    return 0;
}

int networks_forward(struct networks *n, unsigned i, const struct nat_forward *forward, bool remove,
                     struct error *err)
{
    struct nat *nat = n->nets[i].nat;

    if (!nat)
        return error_set(err, -EINVAL, "adapter %u is not behind a NAT", i);
    return remove ? nat_forward_remove(nat, forward, err) : nat_forward_add(nat, forward, err);
}
