/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/port.h"

#include <string.h>

#include "net/offload.h"
#include "net/queue.h"

void net_port_init(struct net_port *port, const struct net_port_ops *ops, void *ctx)
{
    *port = (struct net_port){.ops = ops, .ctx = ctx};
}

bool net_link_up(const struct net_port *port)
{
    return port->peer && !port->unplugged && !port->peer->unplugged;
}

/* Both ends of a cable see the same link. */
static void tell_link(struct net_port *port, bool up)
{
    if (port->ops->link)
        port->ops->link(port->ctx, up);
}

static void tell_ready(struct net_port *port)
{
    if (port->ops->ready)
        port->ops->ready(port->ctx);
}

static void rest_forget(struct net_port *port)
{
    if (!port->rest)
        return;
    port->sent.drops += net_queue_count(port->rest);
    net_queue_done(port->rest);
    free(port->rest);
    port->rest = NULL;
}

void net_connect(struct net_port *a, struct net_port *b)
{
    a->peer = b;
    b->peer = a;
    a->refused = b->refused = false;
    if (net_link_up(a)) {
        tell_link(a, true);
        tell_link(b, true);
    }
}

void net_disconnect(struct net_port *port)
{
    struct net_port *peer = port->peer;
    bool up = net_link_up(port);

    if (!peer)
        return;
    rest_forget(port);
    rest_forget(peer);
    port->peer = peer->peer = NULL;
    if (up) {
        tell_link(port, false);
        tell_link(peer, false);
    }
    /* Whoever waits for room waits no more: what is sent now is lost, as on a loose cable. */
    if (peer->refused)
        tell_ready(port);
    if (port->refused)
        tell_ready(peer);
    port->refused = peer->refused = false;
}

void net_unplug(struct net_port *port, bool unplugged)
{
    bool before = net_link_up(port);
    bool after;

    port->unplugged = unplugged;
    after = net_link_up(port);
    if (!port->peer || before == after)
        return;
    tell_link(port, after);
    tell_link(port->peer, after);
    if (!after) {
        rest_forget(port);
        rest_forget(port->peer);
        net_ready(port);
        net_ready(port->peer);
    }
}

size_t net_gather(const struct iovec *iov, unsigned count, size_t at, void *buf, size_t len_bytes)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < len_bytes; i++) {
        size_t piece = iov[i].iov_len;

        if (at >= piece) {
            at -= piece;
            continue;
        }
        piece = MIN(piece - at, len_bytes - done);
        memcpy((uint8_t *)buf + done, (const uint8_t *)iov[i].iov_base + at, piece);
        done += piece;
        at = 0;
    }
    return done;
}

static bool pass(struct net_port *port, const struct net_frame *frame)
{
    struct net_port *peer = port->peer;

    if (peer->held || !peer->ops->receive(peer->ctx, frame)) {
        peer->refused = true;
        return false;
    }
    port->sent.frames++;
    port->sent.bytes += frame->len_bytes;
    peer->received.frames++;
    peer->received.bytes += frame->len_bytes;
    return true;
}

/* Send what is left of a frame that was cut; false when there is no room for all of it yet. */
static bool rest_send(struct net_port *port)
{
    const struct net_queued *f;

    while (port->rest && (f = net_queue_peek(port->rest))) {
        struct iovec iov = {(void *)(uintptr_t)f->bytes, f->len_bytes};
        struct net_frame frame = net_frame_of(&iov);

        frame.offload = f->offload;
        if (!pass(port, &frame))
            return false;
        net_queue_drop(port->rest);
    }
    free(port->rest);
    port->rest = NULL;
    return true;
}

/* Segments of one frame: the first decides whether it is taken, the others wait for room. */
struct cut {
    struct net_port *port;
    bool first, taken;
};

static void rest_keep(struct net_port *port, const struct net_frame *f)
{
    if (!port->rest)
        port->rest = calloc(1, sizeof(*port->rest));
    if (!port->rest || !net_queue_put(port->rest, f->iov->iov_base, f->len_bytes, &f->offload))
        port->sent.drops++;
}

static bool pass_segment(void *ctx, const struct net_frame *frame)
{
    struct cut *cut = ctx;
    bool first = cut->first;

    cut->first = false;
    if (first)
        return cut->taken = pass(cut->port, frame);
    if (cut->port->rest || !pass(cut->port, frame))
        rest_keep(cut->port, frame);
    return true;
}

bool net_send(struct net_port *port, const struct net_frame *frame)
{
    struct cut cut = {.port = port, .first = true, .taken = true};
    int r;

    if (!net_link_up(port) || frame->len_bytes < NET_ETHER_BYTES ||
        frame->len_bytes > NET_FRAME_MAX || frame->iov_count > NET_IOV_MAX) {
        port->sent.drops++;
        return true;
    }
    /* Refused for the same reason again: do not cut it to find out. */
    if (port->peer->held || port->rest) {
        port->peer->refused = true;
        return false;
    }
    if (offload_is_plain(&frame->offload))
        return pass(port, frame);
    if (offload_check(frame) < 0) {
        port->sent.drops++;
        return true;
    }
    if (offload_accepted(&frame->offload, port->peer->accepts))
        return pass(port, frame);
    r = offload_make_plain(frame, pass_segment, &cut);
    if (r < 0)
        port->sent.drops++;
    return cut.taken;
}

void net_ready(struct net_port *port)
{
    if (!port->refused || port->held)
        return;
    port->refused = false;
    if (port->peer && rest_send(port->peer))
        tell_ready(port->peer);
}

void net_hold(struct net_port *port, bool held)
{
    port->held = held;
    if (!held)
        net_ready(port);
}
