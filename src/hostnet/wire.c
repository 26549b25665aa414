/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "wire"
#include "hostnet/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "hostnet/firewall.h"
#include "hostnet/hostlink.h"
#include "hostnet/keeper.h"
#include "net/packet.h"

#define TAP_NAMES "ytap%d"
#define MACVTAP_NAME "ymv" /* and the adapter's index */
#define LOCK_MS 3000u
#define DEVICE_MS 2000u
#define STEP_MS 20u

struct wire {
    enum wire_way way;
    enum wire_reason reason;
    char interface[IFNAMSIZ], bridge[IFNAMSIZ];
    struct keeper *keeper;
    /* To look whether what was made is still there, and a port of the bridge; NULL: nothing was made. */
    struct hostlink *links;
    unsigned made_index, bridge_index;
    /* Of macvtap alone. */
    unsigned lower;
    bool was_down;
    int lock_fd;
};

static const char *const ways[] = {
    [WIRE_AUTO] = "auto",
    [WIRE_BRIDGE] = "bridge",
    [WIRE_MACVTAP] = "macvtap",
    [WIRE_PACKET] = "packet",
};

static const char *const reasons[] = {
    [WIRE_CHOSEN] = "chosen",
    [WIRE_IS_BRIDGE] = "is-bridge",
    [WIRE_IN_BRIDGE] = "in-bridge",
    [WIRE_UNUSED] = "unused",
    [WIRE_USED] = "used",
    [WIRE_NO_RIGHTS] = "no-rights",
    [WIRE_NO_MACVTAP] = "no-macvtap",
};

const char *wire_way_name(enum wire_way way)
{
    return ways[way];
}

const char *wire_reason_name(enum wire_reason reason)
{
    return reasons[reason];
}

enum wire_way wire_way(const struct wire *w)
{
    return w->way;
}

enum wire_reason wire_reason(const struct wire *w)
{
    return w->reason;
}

const char *wire_interface(const struct wire *w)
{
    return w->interface;
}

const char *wire_bridge(const struct wire *w)
{
    return w->bridge;
}

static int failed(const struct wire_config *c, int r, const char *what, struct error *err)
{
    return error_set(err, r, "interface %s: %s: %s%s", c->interface, what, strerror(-r),
                     r == -EPERM ? "; it needs CAP_NET_ADMIN" : "");
}

/* ---- a bridge ---- */

/* The bridge that the adapter is, or is a port of; -ENOENT: neither. */
static int find_bridge(struct hostlink *l, const struct hostlink_info *adapter,
                       struct hostlink_info *ret_bridge)
{
    int r;

    if (!strcmp(adapter->kind, "bridge")) {
        *ret_bridge = *adapter;
        return 0;
    }
    if (!adapter->master)
        return -ENOENT;
    r = hostlink_find_index(l, adapter->master, ret_bridge);
    return r < 0 ? r : strcmp(ret_bridge->kind, "bridge") ? -ENOENT : 0;
}

static int join(struct hostlink *l, const struct wire_config *c, struct wire *w,
                const struct hostlink_info *bridge)
{
    unsigned index = if_nametoindex(w->interface);
    int r = hostlink_no_ip6(l, index);

    if (r == 0)
        r = hostlink_join(l, index, bridge->index);
    if (r == 0 && c->vlans && bridge->vlan_filtering)
        r = hostlink_bridge_vlans(l, index, c->vlans);
    return r == 0 ? hostlink_set_up(l, index, true) : r;
}

/* In the keeper's process. */
static void undo_bridge(void *ctx)
{
    firewall_close(((const struct wire *)ctx)->interface);
}

/* What the bridge passes on may be asked of iptables, too. */
static int open_firewall(struct wire *w, struct error *err)
{
    int r = firewall_is_there() ? keeper_start(undo_bridge, w, -1, &w->keeper, err) : 0;

    return r < 0 ? r : firewall_open(w->interface, w->bridge, err);
}

/* The interface goes with its descriptor, however this process ends, and with it the port. */
static int open_bridge(struct hostlink *l, const struct wire_config *c, struct wire *w,
                       const struct hostlink_info *bridge, const struct net_lock *lock,
                       struct tap **ret_tap, struct error *err)
{
    AUTO_FD int fd = -1;
    int r = tap_open(TAP_NAMES, w->interface, &fd, err);

    if (r < 0)
        return error_prefix(err, r, "interface %s: a port of the bridge %s", c->interface,
                            bridge->name);
    r = join(l, c, w, bridge);
    if (r < 0)
        return failed(c, r, "a port of its bridge", err);
    w->way = WIRE_BRIDGE;
    w->made_index = if_nametoindex(w->interface);
    w->bridge_index = bridge->index;
    snprintf(w->bridge, sizeof(w->bridge), "%s", bridge->name);
    r = open_firewall(w, err);
    if (r == 0)
        r = hostlink_open(&w->links, err);
    if (r < 0)
        return r;
    return tap_new_fd(take_fd(&fd), TAP_DEVICE, lock, ret_tap, err);
}

/* ---- macvtap ---- */

static void macvtap_name(unsigned lower, char *ret_name)
{
    snprintf(ret_name, IFNAMSIZ, MACVTAP_NAME "%u", lower);
}

/* Ours on this adapter, as long as the lock is ours. */
static void remove_macvtap(struct hostlink *l, unsigned lower)
{
    char name[IFNAMSIZ];
    struct hostlink_info info;

    macvtap_name(lower, name);
    if (hostlink_find(l, name, &info) == 0 && !strcmp(info.kind, "macvtap") && info.lower == lower)
        hostlink_delete(l, info.index);
}

/* In the keeper's process. */
static void undo_macvtap(void *ctx)
{
    const struct wire *w = ctx;
    char name[IFNAMSIZ];
    struct hostlink *l;

    macvtap_name(w->lower, name);
    if (hostlink_open(&l, NULL) == 0) {
        remove_macvtap(l, w->lower);
        if (w->was_down)
            hostlink_set_up(l, w->lower, false);
        hostlink_close(l);
    }
    keeper_unlock(name, w->lock_fd);
}

/* udev may take its time with the device's rights. */
static int open_device(const char *name, unsigned index, int *ret_fd, struct error *err)
{
    int r = tap_open_macvtap(name, index, ret_fd, err);

    for (unsigned waited = 0; (r == -ENOENT || r == -EACCES) && waited < DEVICE_MS;
         waited += STEP_MS) {
        usleep(STEP_MS * 1000);
        r = tap_open_macvtap(name, index, ret_fd, err);
    }
    return r;
}

static int make_macvtap(struct hostlink *l, struct wire *w, int *ret_fd, struct error *err)
{
    struct hostlink_info made;
    int r;

    remove_macvtap(l, w->lower); /* of a network that ended together with its keeper */
    r = w->was_down ? hostlink_set_up(l, w->lower, true) : 0;
    if (r == 0)
        r = hostlink_add_macvtap(l, w->interface, w->lower);
    if (r == 0)
        r = hostlink_find(l, w->interface, &made);
    if (r == 0)
        r = hostlink_no_ip6(l, made.index);
    if (r == 0)
        r = hostlink_set_up(l, made.index, true);
    if (r < 0)
        return error_set(err, r, "macvtap: %s", strerror(-r));
    w->made_index = made.index;
    return open_device(w->interface, made.index, ret_fd, err);
}

static int open_macvtap(struct hostlink *l, const struct wire_config *c, struct wire *w,
                        const struct hostlink_info *adapter, const struct net_lock *lock,
                        struct tap **ret_tap, struct error *err)
{
    int fd = -1, r;

    w->lower = adapter->index;
    w->was_down = !adapter->up;
    macvtap_name(w->lower, w->interface);
    r = keeper_lock(w->interface, LOCK_MS, &w->lock_fd);
    if (r == -EADDRINUSE)
        return error_set(err, -EBUSY, "interface %s: another network has it", c->interface);
    if (r < 0)
        return failed(c, r, "a lock in /run", err);
    r = keeper_start(undo_macvtap, w, w->lock_fd, &w->keeper, err);
    if (r == 0)
        r = hostlink_open(&w->links, err);
    if (r == 0)
        r = make_macvtap(l, w, &fd, err);
    if (r < 0) {
        w->links = hostlink_close(w->links);
        w->keeper = keeper_stop(w->keeper);
        close(w->lock_fd);
        w->lock_fd = -1;
        w->interface[0] = '\0';
        return error_prefix(err, r, "interface %s", c->interface);
    }
    w->way = WIRE_MACVTAP;
    return tap_new_fd(fd, TAP_DEVICE, lock, ret_tap, err);
}

/* ---- the choice ---- */

struct upper {
    unsigned index; /* of the adapter */
    bool found;
};

/* Of two ends of a veth each has the other as its lower one, which is none of this. */
static bool look_for_upper(void *ctx, const struct hostlink_info *info)
{
    static const char *const kinds[] = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"};
    struct upper *u = ctx;

    for (size_t i = 0; i < ARRAY_LEN(kinds) && info->lower == u->index; i++)
        u->found |= !strcmp(info->kind, kinds[i]) &&
                    strncmp(info->name, MACVTAP_NAME, strlen(MACVTAP_NAME)) != 0;
    return !u->found;
}

/* Has the host addresses there, or interfaces that sit on it? 1, 0, -errno. */
static int is_used(struct hostlink *l, const struct hostlink_info *adapter)
{
    struct upper u = {.index = adapter->index};
    int r = adapter->master ? 1 : hostlink_is_used(l, adapter->index);

    if (r == 0)
        r = hostlink_each(l, look_for_upper, &u);
    return r < 0 ? r : r || u.found;
}

static int open_packet(const struct wire_config *c, struct wire *w, const struct net_lock *lock,
                       struct tap **ret_tap, struct error *err)
{
    w->way = WIRE_PACKET;
    return packet_new(c->interface, lock, ret_tap, err);
}

static bool lacks_rights(int r)
{
    return r == -EPERM || r == -EACCES;
}

/* The first that the host allows: the bridge, where neighbours and host see each other; the adapter
 * whole, where nobody else has it; else beside the host. */
static int open_best(struct hostlink *l, const struct wire_config *c, struct wire *w,
                     const struct hostlink_info *adapter, const struct net_lock *lock,
                     struct tap **ret_tap, struct error *err)
{
    struct hostlink_info bridge;
    int r = find_bridge(l, adapter, &bridge);

    if (r == 0) {
        w->reason = bridge.index == adapter->index ? WIRE_IS_BRIDGE : WIRE_IN_BRIDGE;
        r = open_bridge(l, c, w, &bridge, lock, ret_tap, err);
        if (!lacks_rights(r))
            return r;
        w->interface[0] = '\0';
        w->reason = WIRE_NO_RIGHTS;
        return open_packet(c, w, lock, ret_tap, err);
    }
    if (is_used(l, adapter) != 0) {
        w->reason = WIRE_USED;
        return open_packet(c, w, lock, ret_tap, err);
    }
    w->reason = WIRE_UNUSED;
    r = open_macvtap(l, c, w, adapter, lock, ret_tap, err);
    if (r == 0)
        return 0;
    log_info("interface %s: no macvtap: %s", c->interface, err ? err->text : "");
    w->reason = lacks_rights(r) ? WIRE_NO_RIGHTS : WIRE_NO_MACVTAP;
    return open_packet(c, w, lock, ret_tap, err);
}

static int open_chosen(struct hostlink *l, const struct wire_config *c, struct wire *w,
                       const struct hostlink_info *adapter, const struct net_lock *lock,
                       struct tap **ret_tap, struct error *err)
{
    struct hostlink_info bridge;
    int r;

    if (c->way == WIRE_PACKET)
        return open_packet(c, w, lock, ret_tap, err);
    if (c->way == WIRE_BRIDGE) {
        if (find_bridge(l, adapter, &bridge) < 0)
            return error_set(err, -EINVAL,
                             "interface %s: neither a bridge nor in one; make it a port of one: ip "
                             "link set %s master BRIDGE",
                             c->interface, c->interface);
        return open_bridge(l, c, w, &bridge, lock, ret_tap, err);
    }
    r = is_used(l, adapter);
    if (r > 0)
        return error_set(err, -EBUSY,
                         "interface %s: the host itself uses it and would lose it to macvtap; say "
                         "through packet, or put it into a bridge",
                         c->interface);
    return r < 0 ? failed(c, r, "its addresses", err)
                 : open_macvtap(l, c, w, adapter, lock, ret_tap, err);
}

int wire_open(const struct wire_config *config, const struct net_lock *lock, struct wire **ret_wire,
              struct tap **ret_tap, struct error *err)
{
    struct wire *w = calloc(1, sizeof(*w));
    struct hostlink_info adapter;
    struct hostlink *l = NULL;
    int r;

    if (!w)
        return -ENOMEM;
    w->lock_fd = -1;
    r = hostlink_open(&l, err);
    if (r == 0) {
        r = hostlink_find(l, config->interface, &adapter);
        if (r < 0)
            error_set(err, r, "interface %s: %s", config->interface, strerror(-r));
    }
    if (r == 0)
        r = config->way == WIRE_AUTO ? open_best(l, config, w, &adapter, lock, ret_tap, err)
                                     : open_chosen(l, config, w, &adapter, lock, ret_tap, err);
    hostlink_close(l);
    if (r < 0)
        wire_free(w);
    else
        *ret_wire = w;
    return r;
}

bool wire_is_whole(struct wire *w)
{
    struct hostlink_info made;

    return !w->links || (hostlink_find_index(w->links, w->made_index, &made) == 0 &&
                         made.master == w->bridge_index);
}

struct wire *wire_free(struct wire *w)
{
    if (!w)
        return NULL;
    hostlink_close(w->links);
    keeper_stop(w->keeper);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    free(w);
    return NULL;
}
