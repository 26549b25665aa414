/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "net/offload.h"

/* Frames in one go: others want their turn, too. */
#define BATCH 256u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void wake(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int link_make(struct link_fds *ret_fds)
{
    struct link_fds fds = {
        .memory = memfd_create("yado-link", MFD_CLOEXEC | MFD_ALLOW_SEALING),
        .event = {eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}};
    int r = 0;

    if (fds.memory < 0 || fds.event[0] < 0 || fds.event[1] < 0 ||
        ftruncate(fds.memory, LINK_BYTES) < 0 || fcntl(fds.memory, F_ADD_SEALS, SEALS) < 0)
        r = -errno;
    if (r < 0)
        link_fds_done(&fds);
    else
        *ret_fds = fds;
    return r;
}

void link_fds_done(struct link_fds *fds)
{
    close_fd(&fds->memory);
    close_fd(&fds->event[0]);
    close_fd(&fds->event[1]);
}

/* What the other side takes, it says in its ring; ours is what our cable's end takes. */
static void accepts_exchange(struct link *l)
{
    l->port.accepts = atomic_load_explicit(&l->out.shared->accepts, memory_order_relaxed) & 15;
    if (l->port.peer)
        atomic_store_explicit(&l->in.shared->accepts, l->port.peer->accepts, memory_order_relaxed);
}

static bool link_receive(void *ctx, const struct net_frame *f)
{
    struct link *l = ctx;
    int r;

    if (!l->map)
        return true;
    while ((r = ring_put(&l->out, f)) == 0)
        if (ring_put_sleep(&l->out))
            return false;
    if (r < 0)
        l->port.received.drops++;
    else if (ring_taker_sleeps(&l->out))
        wake(l->fds.event[!l->side]);
    return true;
}

static void tell_room(struct link *l)
{
    if (ring_putter_sleeps(&l->in))
        wake(l->fds.event[!l->side]);
}

/* The other side still has the ring, and may write where it has been looked. */
static bool pass(struct link *l, const struct iovec *in_ring, const struct net_frame *frame)
{
    uint8_t head[OFFLOAD_HEADERS_MAX];
    size_t own = MIN(in_ring->iov_len, sizeof(head));
    struct iovec iov[2] = {{head, own},
                           {(uint8_t *)in_ring->iov_base + own, in_ring->iov_len - own}};
    struct net_frame f = *frame;

    memcpy(head, in_ring->iov_base, own);
    f.iov = iov;
    f.iov_count = 1 + (iov[1].iov_len > 0);
    return net_send(&l->port, &f);
}

/* 1: more than one go's worth came; 0: the rest was taken or refused. */
static int drain(struct link *l)
{
    struct net_frame f;
    struct iovec iov;
    unsigned done = 0;
    int r;

    for (;;) {
        while ((r = ring_peek(&l->in, &iov, &f)) > 0) {
            if (done == BATCH || !pass(l, &iov, &f)) {
                if (done)
                    tell_room(l);
                return done == BATCH;
            }
            ring_drop(&l->in);
            done++;
        }
        if (done)
            tell_room(l);
        if (r < 0 || ring_take_sleep(&l->in))
            return r;
    }
}

static void link_ready(void *ctx)
{
    struct link *l = ctx;

    if (l->map && drain(l) > 0)
        wake(l->fds.event[l->side]);
}

static const struct net_port_ops port_ops = {.receive = link_receive, .ready = link_ready};

void link_init(struct link *l)
{
    memset(l, 0, sizeof(*l));
    l->fds = (struct link_fds){-1, {-1, -1}};
    net_port_init(&l->port, &port_ops, l);
    l->port.unplugged = true;
}

int link_attach(struct link *l, const struct link_fds *fds, unsigned side)
{
    struct link_fds own = *fds;
    struct stat st;
    void *map;

    link_detach(l);
    if (fstat(own.memory, &st) < 0 || st.st_size != LINK_BYTES ||
        (fcntl(own.memory, F_GET_SEALS) & SEALS) != SEALS) {
        link_fds_done(&own);
        return -EPROTO;
    }
    map = mmap(NULL, LINK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, own.memory, 0);
    if (map == MAP_FAILED) {
        link_fds_done(&own);
        return -ENOMEM;
    }
    l->map = map;
    l->fds = own;
    l->side = side;
    /* Two pages with indices, then the rings: the first is from side 0 to side 1. */
    ring_init(side ? &l->in : &l->out, map, l->map + 8192);
    ring_init(side ? &l->out : &l->in, (void *)(l->map + 4096), l->map + 8192 + RING_BYTES);
    accepts_exchange(l);
    net_unplug(&l->port, false);
    wake(l->fds.event[side]); /* the first look at the ring makes us known as asleep */
    return 0;
}

void link_detach(struct link *l)
{
    if (!l->map)
        return;
    net_unplug(&l->port, true);
    munmap(l->map, LINK_BYTES);
    l->map = NULL;
    link_fds_done(&l->fds);
}

int link_event_fd(const struct link *l)
{
    return l->map ? l->fds.event[l->side] : -1;
}

int link_pump(struct link *l)
{
    uint64_t count;
    int r;

    if (!l->map)
        return 0;
    if (read(l->fds.event[l->side], &count, sizeof(count)) < 0 && errno != EAGAIN)
        return -errno;
    accepts_exchange(l);
    r = drain(l);
    if (r < 0)
        return r;
    if (r > 0)
        wake(l->fds.event[l->side]);
    net_ready(&l->port);
    return 0;
}
