/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/switch.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/bytes.h"
#include "net/mactable.h"
#include "net/offload.h"

#define TAG_BYTES 4u
#define ETHERTYPE_VLAN 0x8100u
/* What a port with a rate may send at once after it was quiet: at least a large packet, else a
 * twentieth of a second's worth. */
#define BURST_BYTES_MIN (2 * NET_FRAME_MAX)
#define BURST_PART 20u

struct switch_port {
    struct net_switch *sw;
    struct switch_port *next;
    struct switch_config config;
    struct net_port plug;
    struct switch_counters counters;
    uint64_t tokens, tokens_ns; /* bytes that may be sent, and as of when */
    struct timer refill;
    int capture_interface; /* its number in the capture; -1: not named yet */
};

struct net_switch {
    struct clock *clock;
    struct switch_port *ports;
    unsigned port_count, promiscuous_count;
    struct mactable table;
    struct pcapng *capture;
    struct switch_port *capture_port; /* NULL: all */
};

/* A frame on its way, with what was found out about it. */
struct passage {
    struct switch_port *from;
    const struct net_frame *frame;
    uint16_t vlan;
    bool tagged;        /* as it came … */
    bool priority_only; /* … with a tag that names no VLAN */
    uint16_t tag;       /* the tag's two bytes behind 0x8100, with this VLAN */
    struct iovec iov[NET_IOV_MAX + 2];
};

/* ---- captures ---- */

static void capture(struct switch_port *port, bool inbound, const struct net_frame *f)
{
    struct net_switch *sw = port->sw;
    struct timespec now;

    if (!sw->capture || (sw->capture_port && sw->capture_port != port))
        return;
    if (port->capture_interface < 0)
        port->capture_interface = pcapng_interface(sw->capture, port->config.name);
    if (port->capture_interface < 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    pcapng_frame(sw->capture, (unsigned)port->capture_interface, inbound,
                 (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec, f);
}

void switch_capture(struct net_switch *sw, struct switch_port *port, struct pcapng *capture_file)
{
    sw->capture = capture_file;
    sw->capture_port = port;
    for (struct switch_port *p = sw->ports; p; p = p->next)
        p->capture_interface = -1;
}

/* ---- rates ---- */

static uint64_t burst(const struct switch_port *port)
{
    return MAX((uint64_t)BURST_BYTES_MIN, port->config.rate_bytes / BURST_PART);
}

static void tokens_fill(struct switch_port *port)
{
    uint64_t now = clock_now_ns(port->sw->clock);
    uint64_t more =
        clock_scale(MIN(now - port->tokens_ns, NS_PER_SEC), port->config.rate_bytes, NS_PER_SEC);

    if (!more)
        return; /* keep the fraction of a byte for later */
    port->tokens = MIN(port->tokens + more, burst(port));
    port->tokens_ns = now;
}

/* May a frame of so many bytes go now? Else the port is told when. */
static bool rate_allows(struct switch_port *port, size_t len)
{
    uint64_t rate = port->config.rate_bytes;

    if (!rate)
        return true;
    tokens_fill(port);
    if (port->tokens >= len) {
        port->tokens -= len;
        return true;
    }
    timer_set(&port->refill,
              port->tokens_ns + clock_scale(len - port->tokens, NS_PER_SEC, rate) + 1);
    return false;
}

static void refilled(void *ctx)
{
    net_ready(&((struct switch_port *)ctx)->plug);
}

/* ---- forwarding ---- */

static bool in_vlan(const struct switch_port *port, uint16_t vlan)
{
    if (port->config.vlan == vlan)
        return true;
    return port->config.trunk && port->config.vlans[vlan / 8] >> (vlan % 8) & 1;
}

/* 802.1Q, 6.9.1: which VLAN is the frame in? False: in none that the port is in. */
static bool classify(struct passage *p, const uint8_t *start)
{
    const struct switch_config *c = &p->from->config;
    uint16_t tag = be16_get(start + 14);

    p->tagged = be16_get(start + 12) == ETHERTYPE_VLAN;
    p->tag = p->vlan = c->vlan;
    if (!p->tagged)
        return true;
    p->priority_only = !(tag & 0xfff);
    if (tag & 0xfff) {
        p->vlan = tag & 0xfff;
        if (p->vlan == 0xfff || !c->trunk || !in_vlan(p->from, p->vlan))
            return false;
    }
    p->tag = (uint16_t)((tag & 0xf000) | p->vlan);
    return true;
}

/* The bytes of the frame from `at` on, behind those of iov that are there already. */
static unsigned add_rest(struct passage *p, unsigned count, size_t at)
{
    for (unsigned i = 0; i < p->frame->iov_count; i++) {
        struct iovec piece = p->frame->iov[i];

        if (at >= piece.iov_len) {
            at -= piece.iov_len;
            continue;
        }
        p->iov[count++] = (struct iovec){(char *)piece.iov_base + at, piece.iov_len - at};
        at = 0;
    }
    return count;
}

/* The frame as port sends it: with or without a tag. head has room for addresses and a tag. */
static struct net_frame dress(struct passage *p, const struct switch_port *port, uint8_t *head)
{
    bool tag = port->config.trunk && p->vlan != port->config.vlan;
    struct net_frame f = *p->frame;
    int shift = (tag ? (int)TAG_BYTES : 0) - (p->tagged ? (int)TAG_BYTES : 0);

    if (tag == p->tagged && !(tag && p->priority_only))
        return f;
    net_gather(p->frame->iov, p->frame->iov_count, 0, head, 12);
    be16_put(head + 12, ETHERTYPE_VLAN);
    be16_put(head + 14, p->tag);
    p->iov[0] = (struct iovec){head, 12 + (tag ? TAG_BYTES : 0)};
    f.iov_count = add_rest(p, 1, 12 + (p->tagged ? TAG_BYTES : 0));
    f.iov = p->iov;
    f.len_bytes = (size_t)((long)f.len_bytes + shift);
    if (!offload_is_plain(&f.offload)) {
        f.offload.csum_start = (uint16_t)(f.offload.csum_start + shift);
        f.offload.header = (uint16_t)(f.offload.header + shift);
    }
    return f;
}

static void send_to(struct passage *p, struct switch_port *port)
{
    uint8_t head[16];
    struct net_frame f = dress(p, port, head);

    capture(port, false, &f);
    if (net_send(&port->plug, &f)) {
        port->counters.out.frames++;
        port->counters.out.bytes += f.len_bytes;
        return;
    }
    port->counters.full_drops++;
}

static bool may_pass(const struct passage *p, const struct switch_port *to)
{
    return to != p->from && to->plug.peer && in_vlan(to, p->vlan) &&
           !(to->config.apart && p->from->config.apart);
}

static void forward(struct passage *p, const uint8_t *dst)
{
    struct net_switch *sw = p->from->sw;
    struct switch_port *to = NULL;

    if (!(dst[0] & 1))
        to = mactable_find(&sw->table, dst, p->vlan, clock_now_ns(sw->clock), SWITCH_AGE_NS);
    if (to && !sw->promiscuous_count) {
        if (may_pass(p, to))
            send_to(p, to);
        return;
    }
    for (struct switch_port *port = sw->ports; port; port = port->next) {
        if (!may_pass(p, port))
            continue;
        if (!to || to == port || port->config.promiscuous)
            send_to(p, port);
    }
}

static bool port_receive(void *ctx, const struct net_frame *f)
{
    struct switch_port *port = ctx;
    struct net_switch *sw = port->sw;
    struct passage p = {.from = port, .frame = f};
    uint8_t start[18] = {0};

    net_gather(f->iov, f->iov_count, 0, start, sizeof(start));
    if (!rate_allows(port, f->len_bytes))
        return false;
    port->counters.in.frames++;
    port->counters.in.bytes += f->len_bytes;
    capture(port, true, f);
    /* 802.1Q, 8.7: a group is nobody's address. */
    if (start[6] & 1 ||
        (!port->config.any_source && memcmp(start + 6, port->config.mac, NET_MAC_BYTES))) {
        port->counters.spoofed++;
        return true;
    }
    if (!classify(&p, start)) {
        port->counters.vlan_drops++;
        return true;
    }
    mactable_learn(&sw->table, start + 6, p.vlan, port, clock_now_ns(sw->clock));
    /* 8.6.3: what is meant for switches alone goes no further. */
    if (!memcmp(start, "\x01\x80\xc2\x00\x00", 5) && start[5] < 0x10)
        return true;
    forward(&p, start);
    return true;
}

static const struct net_port_ops port_ops = {.receive = port_receive};

/* ---- life ---- */

int switch_new(struct clock *clock, struct net_switch **ret_switch)
{
    struct net_switch *sw = calloc(1, sizeof(*sw));
    uint64_t seed = 0;

    if (!sw)
        return -ENOMEM;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
        seed = (uintptr_t)sw;
    sw->clock = clock;
    mactable_init(&sw->table, seed);
    *ret_switch = sw;
    return 0;
}

struct net_switch *switch_free(struct net_switch *sw)
{
    if (!sw)
        return NULL;
    while (sw->ports)
        switch_port_remove(sw->ports);
    free(sw);
    return NULL;
}

static void apply(struct switch_port *port, const struct switch_config *config)
{
    port->sw->promiscuous_count += config->promiscuous;
    port->sw->promiscuous_count -= port->config.promiscuous;
    port->config = *config;
    port->config.name[SWITCH_NAME_MAX - 1] = '\0';
    port->tokens = burst(port);
    port->tokens_ns = clock_now_ns(port->sw->clock);
    /* Frames pass whole; tags are no hindrance to who takes large segments. */
    port->plug.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4 | NET_ACCEPTS_TSO6 | NET_ACCEPTS_ECN;
}

int switch_port_add(struct net_switch *sw, const struct switch_config *config,
                    struct switch_port **ret_port)
{
    struct switch_port *port;

    if (config->vlan >= SWITCH_VLANS - 1)
        return -EINVAL;
    if (sw->port_count == SWITCH_PORTS_MAX)
        return -ENOSPC;
    port = calloc(1, sizeof(*port));
    if (!port)
        return -ENOMEM;
    port->sw = sw;
    port->capture_interface = -1;
    timer_init(&port->refill, sw->clock, refilled, port);
    net_port_init(&port->plug, &port_ops, port);
    apply(port, config);
    port->next = sw->ports;
    sw->ports = port;
    sw->port_count++;
    *ret_port = port;
    return 0;
}

void switch_port_remove(struct switch_port *port)
{
    struct switch_port **at;

    if (!port)
        return;
    at = &port->sw->ports;
    while (*at != port)
        at = &(*at)->next;
    *at = port->next;
    port->sw->port_count--;
    port->sw->promiscuous_count -= port->config.promiscuous;
    if (port->sw->capture_port == port)
        switch_capture(port->sw, NULL, NULL);
    net_disconnect(&port->plug);
    timer_cancel(&port->refill);
    mactable_forget(&port->sw->table, port);
    free(port);
}

int switch_port_configure(struct switch_port *port, const struct switch_config *config)
{
    if (config->vlan >= SWITCH_VLANS - 1)
        return -EINVAL;
    mactable_forget(&port->sw->table, port);
    apply(port, config);
    net_ready(&port->plug);
    return 0;
}

struct net_port *switch_port_plug(struct switch_port *port)
{
    return &port->plug;
}

void switch_port_counters(const struct switch_port *port, struct switch_counters *ret_counters)
{
    *ret_counters = port->counters;
    ret_counters->in.drops = port->counters.spoofed + port->counters.vlan_drops;
    ret_counters->out.drops = port->counters.full_drops;
}

unsigned switch_addresses(const struct net_switch *sw)
{
    return mactable_count(&sw->table, clock_now_ns(sw->clock), SWITCH_AGE_NS);
}
