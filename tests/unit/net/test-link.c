/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A cable between two processes, here with both ends in one: order, fullness, and a hostile end. */
#include "nettest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "net/link.h"

struct world {
    struct link links[2];
    struct end *ends[2];
};

static void world_new(struct world *w)
{
    struct link_fds fds, other;
    assert_int_equal(link_make(&fds), 0);
    other = (struct link_fds){dup(fds.memory), {dup(fds.event[0]), dup(fds.event[1])}};
    for (unsigned i = 0; i < 2; i++) {
        link_init(&w->links[i]);
        w->ends[i] = end_new();
        net_connect(&w->ends[i]->port, &w->links[i].port);
        assert_false(net_link_up(&w->ends[i]->port));
        assert_int_equal(link_attach(&w->links[i], i ? &other : &fds, i), 0);
        assert_true(net_link_up(&w->ends[i]->port));
    }
}

static void world_done(struct world *w)
{
    for (unsigned i = 0; i < 2; i++) {
        net_disconnect(&w->links[i].port);
        link_detach(&w->links[i]);
        link_detach(&w->links[i]);
        free(w->ends[i]);
    }
}

static bool woken(struct link *l)
{
    struct pollfd p = {.fd = link_event_fd(l), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static bool put(struct world *w, unsigned from, uint32_t number, size_t len)
{
    static uint8_t bytes[NET_FRAME_MAX];
    struct iovec iov[2] = {{bytes, 5}, {bytes + 5, len - 5}};
    struct net_frame f = {.iov = iov, .iov_count = 2, .len_bytes = len};
    for (size_t i = 0; i + 4 <= len; i += 4)
        le32_put(bytes + i, number);
    return net_send(&w->ends[from]->port, &f);
}

/* Frames of all sizes come in order, whole, and none is lost when a side is slow. */
static void order(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t next = 0, seen = 0;
    unsigned refusals = 0;
    world_new(&w);
    assert_int_equal(link_pump(&w.links[0]), 0);
    assert_int_equal(link_pump(&w.links[1]), 0);
    assert_true(put(&w, 0, next++, 60));
    assert_true(woken(&w.links[1])); /* who sleeps is woken … */
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned i = 0; i < step % 40; i++) {
            if (!put(&w, 0, next, 14 + (next * 7919) % (step % 3 ? 1500 : 65000))) {
                refusals++;
                break;
            }
            next++;
        }
        w.ends[1]->room = step % 5 ? 7 : 0;
        unsigned before = w.ends[1]->count;
        assert_int_equal(link_pump(&w.links[1]), 0);
        net_ready(&w.ends[1]->port);
        for (unsigned i = before; i < w.ends[1]->count; i++, seen++) {
            size_t len = w.ends[1]->frames[i].len;
            for (size_t k = 0; k + 4 <= len; k += 4)
                assert_int_equal(le32_get(w.ends[1]->frames[i].bytes + k), seen);
        }
        w.ends[1]->count = 0;
        if (woken(&w.links[0]))
            assert_int_equal(link_pump(&w.links[0]), 0);
    }
    assert_true(refusals > 10 && w.ends[0]->readies > 10);
    while (seen < next) {
        w.ends[1]->room = 50;
        assert_int_equal(link_pump(&w.links[1]), 0);
        assert_true(w.ends[1]->count > 0);
        seen += w.ends[1]->count;
        w.ends[1]->count = 0;
    }
    assert_int_equal(seen, next);
    /* What an end takes is known at the other. */
    w.ends[1]->port.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4;
    link_pump(&w.links[1]);
    link_pump(&w.links[0]);
    assert_int_equal(w.links[0].port.accepts, NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4);
    /* The other process is gone. */
    link_detach(&w.links[1]);
    assert_false(net_link_up(&w.ends[1]->port));
    assert_int_equal(link_event_fd(&w.links[1]), -1);
    world_done(&w);
}

static uint64_t touched_bytes(const struct world *w)
{
    struct stat st;
    assert_int_equal(fstat(w->links[0].fds.memory, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* A reader that is not run for a while finds all that was sent; one that follows costs little memory. */
static void memory(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t seen = 0;
    world_new(&w);
    for (unsigned i = 0; i < 20000; i++) {
        w.ends[1]->room = 10;
        for (unsigned k = 0; k < 3; k++)
            assert_true(put(&w, 0, i, 1400));
        assert_int_equal(link_pump(&w.links[1]), 0);
        assert_int_equal(w.ends[1]->count, 3);
        w.ends[1]->count = 0;
    }
    assert_true(touched_bytes(&w) <= 16 * 4096);
    for (uint32_t i = 0; i < 2500; i++) /* 3.5 MiB, 28 ms of a gigabit */
        assert_true(put(&w, 0, i, 1400));
    for (unsigned turns = 0; seen < 2500; turns++) {
        assert_true(turns < 2500);
        w.ends[1]->room = 60;
        assert_int_equal(link_pump(&w.links[1]), 0);
        net_ready(&w.ends[1]->port);
        for (unsigned i = 0; i < w.ends[1]->count; i++, seen++)
            assert_int_equal(le32_get(w.ends[1]->frames[i].bytes), seen);
        w.ends[1]->count = 0;
    }
    world_done(&w);
}

/* Indices and lengths that cannot be end the cable, and nothing else. */
static void hostile(void **ctx)
{
    (void)ctx;
    for (unsigned what = 0; what < 9; what++) {
        struct world w;
        world_new(&w);
        link_pump(&w.links[0]);
        link_pump(&w.links[1]);
        assert_true(put(&w, 0, 1, 100));
        struct ring_shared *s = w.links[0].out.shared;
        uint8_t *data = w.links[0].out.data;
        int expected = -EPROTO;
        switch (what) {
        case 0: /* more than there can be */
            atomic_store(&s->tail, RING_BYTES + 16);
            break;
        case 1: /* half a record */
            atomic_store(&s->tail, 8);
            break;
        case 2: /* a frame larger than any */
            le32_put(data, NET_FRAME_MAX + 1);
            break;
        case 3: /* … than what is there */
            le32_put(data, 1000);
            break;
        case 4: /* a filler over more than there is */
            le32_put(data, UINT32_MAX);
            break;
        case 5: /* fillers behind fillers */
            le32_put(data, UINT32_MAX);
            atomic_store(&s->tail, RING_BYTES);
            expected = 0;
            break;
        case 6: /* a frame that is none: dropped, and counted */
            le32_put(data, 3);
            atomic_store(&s->tail, 32);
            expected = 0;
            break;
        case 7: /* an offload header that cannot be */
            memset(data + 4, 0xff, 10);
            expected = 0;
            break;
        case 8: /* the start of the memory within a record */
            atomic_store(&s->base, 5);
            break;
        }
        assert_int_equal(link_pump(&w.links[1]), expected);
        assert_int_equal(w.ends[1]->count, 0);
        /* Who takes lies about how far it is: nothing is written over. */
        atomic_store(&s->head, 0x12345670);
        assert_true(put(&w, 0, 1, 100));
        world_done(&w);
    }
    /* Memory that is not what link_make() makes: it could be cut off under us. */
    struct link l;
    struct link_fds fds = {memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), {-1, -1}};
    link_init(&l);
    assert_int_equal(ftruncate(fds.memory, LINK_BYTES), 0);
    assert_int_equal(link_attach(&l, &fds, 1), -EPROTO);
    fds = (struct link_fds){-1, {-1, -1}};
    assert_int_equal(link_attach(&l, &fds, 1), -EPROTO);
}

/* While this side is at a frame, the other writes another address into it. */
struct changer {
    struct net_port port;
    uint8_t *in_ring;
    uint8_t first[2];
};

static bool changer_receive(void *ctx, const struct net_frame *f)
{
    struct changer *c = ctx;
    for (unsigned i = 0; i < 2; i++) {
        uint8_t bytes[NET_ETHER_BYTES];
        net_gather(f->iov, f->iov_count, 0, bytes, sizeof(bytes));
        c->first[i] = bytes[6];
        c->in_ring[6] = 0x77;
    }
    return true;
}

static void changed(void **ctx)
{
    (void)ctx;
    static const struct net_port_ops ops = {.receive = changer_receive};
    struct world w;
    struct changer c = {0};
    world_new(&w);
    net_disconnect(&w.links[1].port);
    net_port_init(&c.port, &ops, &c);
    net_connect(&c.port, &w.links[1].port);
    c.in_ring = w.links[1].in.data + 16;
    assert_true(put(&w, 0, 0x01010101, 60));
    assert_int_equal(link_pump(&w.links[1]), 0);
    assert_int_equal(c.in_ring[6], 0x77);
    assert_int_equal(c.first[0], 1);
    assert_int_equal(c.first[1], 1);
    net_disconnect(&c.port);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(order), cmocka_unit_test(memory),
                                       cmocka_unit_test(changed), cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
