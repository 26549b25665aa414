/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio network card: frames both ways, offloads, the receive filter, and a driver that lies. */
#include "../net/nettest.h"
#include "virtiotest.h"

#include "hw/virtio/virtio_net.h"

#define TX_BUF 0x300000u
#define RX_BUF 0x400000u
#define CTRL_BUF 0x500000u
#define ALL 0xffffffffffffull
#define F_MRG (1u << 15)
#define RX 0
#define TX 1
#define CTRL 2

struct world {
    struct vt t;
    struct end *far;
    struct virtio_net *dev;
};

static void world_new(struct world *w, unsigned pairs)
{
    struct virtio_net_env env = {.virtio = vt_new(&w->t), .pairs = pairs};
    memcpy(env.mac, "\x52\x54\0\0\0\1", 6);
    assert_int_equal(virtio_net_new(&env, &w->dev), 0);
    w->far = end_new();
    net_connect(virtio_net_port(w->dev), &w->far->port);
    vt_probe(&w->t);
}

static void world_done(struct world *w)
{
    virtio_net_dev_ops.free(w->dev);
    assert_false(net_link_up(&w->far->port));
    free(w->far);
    vt_done(&w->t);
}

/* Header and frame in two descriptors from d on. */
static void put_tx(struct world *w, unsigned d, const struct net_offload *o, size_t len)
{
    uint8_t *b = w->t.ram->host + TX_BUF + 0x20000 * d;
    memset(b, 0, 12);
    if (o)
        memcpy(b, o, sizeof(*o));
    vt_desc(&w->t, TX, d, TX_BUF + 0x20000 * d, 12, 1, d + 1);
    vt_desc(&w->t, TX, d + 1, TX_BUF + 0x20000 * d + 12, (uint32_t)len, 0, 0);
    vt_put(&w->t, TX, d);
}

static uint8_t *tx_bytes(struct world *w, unsigned d)
{
    return w->t.ram->host + TX_BUF + 0x20000 * d + 12;
}

static void put_rx(struct world *w, unsigned d, uint32_t len)
{
    memset(w->t.ram->host + RX_BUF + 0x20000 * d, 0xee, len);
    vt_desc(&w->t, RX, d, RX_BUF + 0x20000 * d, len, 2, 0);
    vt_put(&w->t, RX, d);
}

static bool send_frame(struct world *w, const uint8_t *bytes, size_t len,
                       const struct net_offload *o)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct net_frame f = net_frame_of(&iov);
    if (o)
        f.offload = *o;
    return net_send(&w->far->port, &f);
}

static const struct net_offload tso = {.flags = NET_NEEDS_CSUM,
                                       .gso = NET_GSO_TCP4,
                                       .header = 54,
                                       .gso_bytes = 1460,
                                       .csum_start = 34,
                                       .csum_offset = 16};

static void transmit(void **ctx)
{
    (void)ctx;
    struct world w;
    unsigned head;
    uint32_t len = 0;
    world_new(&w, 1);
    assert_int_equal(vt_cfg(&w.t, 0, 4), 0x10001af4);
    vt_start(&w.t, ALL, 3);
    assert_int_equal(vt_in(&w.t, w.t.config, 4), 0x00005452);
    assert_int_equal(vt_in(&w.t, w.t.config + 6, 2), 1);
    size_t n = tcp_frame(tx_bytes(&w, 0), false, 20000, 0x18);
    put_tx(&w, 0, &tso, n);
    size_t n2 = tcp_frame(tx_bytes(&w, 2), true, 100, 0x18);
    put_tx(&w, 2, NULL, n2);
    w.far->port.accepts = ~0u;
    vt_kick(&w.t, TX);
    assert_int_equal(w.far->count, 2);
    assert_int_equal(w.far->frames[0].len, n);
    assert_memory_equal(w.far->frames[0].bytes, tx_bytes(&w, 0), n);
    assert_int_equal(w.far->frames[0].offload.gso_bytes, 1460);
    assert_int_equal(w.far->frames[1].len, n2);
    assert_true(vt_get(&w.t, TX, &head, &len));
    assert_true(vt_get(&w.t, TX, &head, &len));
    assert_int_equal(head, 2);

    /* The far end is full: the frame stays, and goes when there is room. */
    w.far->room = 0;
    put_tx(&w, 0, &tso, n);
    vt_kick(&w.t, TX);
    assert_false(vt_get(&w.t, TX, &head, &len));
    w.far->room = 5;
    net_ready(&w.far->port);
    assert_int_equal(w.far->count, 3);
    assert_true(vt_get(&w.t, TX, &head, &len));

    /* What was not agreed on is not done. */
    vt_start(&w.t, 0, 3);
    put_tx(&w, 0, &tso, n2);
    tcp_frame(tx_bytes(&w, 0), false, 100, 0x18);
    vt_kick(&w.t, TX);
    assert_int_equal(w.far->frames[3].offload.gso, 0);
    assert_int_equal(w.far->frames[3].offload.flags, 0);
    world_done(&w);
}

static void receive(void **ctx)
{
    (void)ctx;
    struct world w;
    static uint8_t bytes[NET_FRAME_MAX];
    unsigned head;
    uint32_t len = 0;
    world_new(&w, 1);
    size_t n = tcp_frame(bytes, false, 5000, 0x18);
    assert_true(send_frame(&w, bytes, n, NULL)); /* before there is a driver: lost */
    vt_start(&w.t, ALL, 3);
    /* No buffers: refused, and asked for again as soon as there are some. */
    assert_false(send_frame(&w, bytes, n, &tso));
    put_rx(&w, 0, 1500);
    vt_kick(&w.t, RX);
    assert_int_equal(w.far->readies, 1);
    assert_false(send_frame(&w, bytes, n, &tso)); /* one is not enough */
    assert_false(vt_get(&w.t, RX, &head, &len));
    for (unsigned d = 1; d < 8; d++)
        put_rx(&w, d, 1500);
    vt_kick(&w.t, RX);
    unsigned rises = w.t.intx_rises;
    assert_true(send_frame(&w, bytes, n, &tso));
    assert_int_equal(w.t.intx_rises, rises + 1);
    const uint8_t *b = w.t.ram->host + RX_BUF;
    assert_int_equal(b[0], NET_NEEDS_CSUM);
    assert_int_equal(b[1], NET_GSO_TCP4);
    assert_int_equal(le16_get(b + 10), 4);
    size_t at = 0;
    for (unsigned d = 0; d < 4; d++) {
        assert_true(vt_get(&w.t, RX, &head, &len));
        assert_int_equal(head, d);
        unsigned skip = d ? 0 : 12;
        assert_memory_equal(b + 0x20000 * d + skip, bytes + at, len - skip);
        at += len - skip;
    }
    assert_int_equal(at, n);
    assert_false(vt_get(&w.t, RX, &head, &len));

    /* Without mergeable buffers: one large one, or none. */
    vt_start(&w.t, ALL & ~(uint64_t)F_MRG, 3);
    put_rx(&w, 0, 1500);
    assert_true(send_frame(&w, bytes, n, &tso));
    assert_int_equal(virtio_net_port(w.dev)->received.drops, 1);
    assert_true(send_frame(&w, bytes, 1000, NULL));
    assert_true(vt_get(&w.t, RX, &head, &len));
    assert_int_equal(len, 1012);
    assert_int_equal(le16_get(b + 10), 1);
    /* A driver that takes no large segments gets small ones, with their sums. */
    vt_start(&w.t, ALL & ~(uint64_t)((1 << 7) | (1 << 1)), 3);
    for (unsigned d = 0; d < 8; d++)
        put_rx(&w, d, 2000);
    assert_true(send_frame(&w, bytes, n, &tso));
    for (unsigned d = 0; d < 4; d++) {
        assert_true(vt_get(&w.t, RX, &head, &len));
        assert_int_equal(b[0x20000 * d + 1], 0);
        assert_true(sums_right(b + 0x20000 * d + 12, len - 12));
    }
    world_done(&w);
}

static unsigned command(struct world *w, const void *data, size_t len)
{
    unsigned head;
    uint32_t got;
    memcpy(w->t.ram->host + CTRL_BUF, data, len);
    w->t.ram->host[CTRL_BUF + 0x8000] = 0xee;
    vt_desc(&w->t, CTRL, 0, CTRL_BUF, (uint32_t)len, 1, 1);
    vt_desc(&w->t, CTRL, 1, CTRL_BUF + 0x8000, 1, 2, 0);
    vt_put(&w->t, CTRL, 0);
    vt_kick(&w->t, CTRL);
    assert_true(vt_get(&w->t, CTRL, &head, &got));
    return w->t.ram->host[CTRL_BUF + 0x8000];
}

#define COMMAND(w, text) command(w, text, sizeof(text) - 1)

/* Is a frame to this address, maybe in a VLAN, let in? */
static bool let_in(struct world *w, const char *mac, unsigned vlan)
{
    uint8_t bytes[64] = {0};
    unsigned head;
    uint32_t len = 0;
    memcpy(bytes, mac, 6);
    if (vlan) {
        be16_put(bytes + 12, 0x8100);
        be16_put(bytes + 14, (uint16_t)vlan);
    }
    put_rx(w, 0, 2000);
    assert_true(send_frame(w, bytes, sizeof(bytes), NULL));
    if (vt_get(&w->t, RX, &head, &len))
        return true;
    /* Use the buffer up, so that the next call starts alike. */
    memcpy(bytes, "\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\x08\x00", 14);
    assert_true(send_frame(w, bytes, sizeof(bytes), NULL));
    assert_true(vt_get(&w->t, RX, &head, &len));
    return false;
}

static void filter(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 3);
    assert_true(let_in(&w, "\x52\x54\0\0\0\x77", 0)); /* until it is told otherwise */
    assert_int_equal(COMMAND(&w, "\0\0\0"), 0);
    assert_false(let_in(&w, "\x52\x54\0\0\0\x77", 0));
    assert_true(let_in(&w, "\x52\x54\0\0\0\1", 0));
    assert_false(let_in(&w, "\x01\0\x5e\0\0\1", 0));
    assert_int_equal(COMMAND(&w, "\1\0\1\0\0\0\x52\x54\0\0\0\x77\1\0\0\0\x01\0\x5e\0\0\1"), 0);
    assert_true(let_in(&w, "\x52\x54\0\0\0\x77", 0));
    assert_true(let_in(&w, "\x01\0\x5e\0\0\1", 0));
    assert_false(let_in(&w, "\x01\0\x5e\0\0\2", 0));
    assert_int_equal(COMMAND(&w, "\0\1\1"), 0);
    assert_true(let_in(&w, "\x01\0\x5e\0\0\2", 0));
    assert_int_equal(COMMAND(&w, "\1\1\x52\x54\0\0\0\x66"), 0);
    assert_true(let_in(&w, "\x52\x54\0\0\0\x66", 0));
    assert_false(let_in(&w, "\x52\x54\0\0\0\x01", 0));
    assert_false(let_in(&w, "\x52\x54\0\0\0\x66", 100));
    assert_int_equal(COMMAND(&w, "\2\0\x64\0"), 0);
    assert_true(let_in(&w, "\x52\x54\0\0\0\x66", 100));
    assert_int_equal(COMMAND(&w, "\2\1\x64\0"), 0);
    assert_false(let_in(&w, "\x52\x54\0\0\0\x66", 100));
    /* Lists that claim more than there is, commands that are none. */
    assert_int_equal(COMMAND(&w, "\1\0\xff\xff\xff\xff\x52\x54\0\0\0\x77\1\0\0\0"), 1);
    assert_int_equal(COMMAND(&w, "\1\0\1\0\0\0\x52\x54\0\0\0\x77\1\0\0\0"), 1);
    assert_int_equal(COMMAND(&w, "\1\0\1\0"), 1);
    assert_int_equal(COMMAND(&w, "\0\x09\1"), 1);
    assert_int_equal(COMMAND(&w, "\0"), 1);
    assert_int_equal(COMMAND(&w, "\2\0\xff\xff"), 1);
    assert_int_equal(COMMAND(&w, "\4\0\2\0"), 1);
    assert_int_equal(COMMAND(&w, "\5\0\xff\xff\xff\xff\0\0\0\0"), 1);
    assert_int_equal(COMMAND(&w, "\x63\0\0\0"), 1);
    /* More addresses than the table has: everything comes in. */
    static uint8_t many[2 + 8 + 6 * 100];
    many[0] = 1;
    many[6 + 0] = 100;
    le32_put(many + 2, 0);
    assert_int_equal(command(&w, many, sizeof(many)), 0);
    assert_true(let_in(&w, "\x01\0\x5e\0\0\x33", 0));
    /* Offloads off again: sums are made for the driver. */
    assert_int_equal(COMMAND(&w, "\5\0\0\0\0\0\0\0\0\0"), 0);
    assert_int_equal(virtio_net_port(w.dev)->accepts, 0);
    world_done(&w);
}

/* The link is told by an interrupt; a card put back in is asked to announce itself. */
static void link_changes(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 3);
    net_unplug(virtio_net_port(w.dev), true);
    assert_true(w.t.intx);
    assert_int_equal(vt_in(&w.t, w.t.isr, 1), 3);
    assert_int_equal(vt_in(&w.t, w.t.config + 6, 2), 0);
    net_unplug(virtio_net_port(w.dev), false);
    assert_int_equal(vt_in(&w.t, w.t.config + 6, 2), 3);
    assert_int_equal(COMMAND(&w, "\3\0"), 0);
    assert_int_equal(vt_in(&w.t, w.t.config + 6, 2), 1);
    world_done(&w);
}

/* Answers come where their questions went out from. */
static void steering(void **ctx)
{
    (void)ctx;
    struct world w;
    unsigned head;
    uint32_t len = 0;
    static uint8_t bytes[2000];
    world_new(&w, 2);
    assert_int_equal(vt_in(&w.t, w.t.config + 8, 2), 2);
    vt_start(&w.t, ALL, 4);
    /* The control queue is the fifth; this driver has only room for four: ask by hand. */
    vt_out(&w.t, w.t.common + 0x16, 2, 4);
    vt_out(&w.t, w.t.common + 0x18, 2, 16);
    vt_out(&w.t, w.t.common + 0x20, 4, 0x600000);
    vt_out(&w.t, w.t.common + 0x28, 4, 0x601000);
    vt_out(&w.t, w.t.common + 0x30, 4, 0x602000);
    vt_out(&w.t, w.t.common + 0x1c, 2, 1);
    uint8_t *r = w.t.ram->host;
    memcpy(r + CTRL_BUF, "\4\0\2\0", 4);
    le64_put(r + 0x600000, CTRL_BUF);
    le32_put(r + 0x600008, 4);
    le16_put(r + 0x60000c, 1);
    le16_put(r + 0x60000e, 1);
    le64_put(r + 0x600010, CTRL_BUF + 0x8000);
    le32_put(r + 0x600018, 1);
    le16_put(r + 0x60001c, 2);
    le16_put(r + 0x601002, 1);
    vt_kick(&w.t, 4);
    assert_int_equal(r[CTRL_BUF + 0x8000], 0);

    size_t n = tcp_frame(r + TX_BUF + 12, false, 100, 0x18);
    memset(r + TX_BUF, 0, 12);
    vt_desc(&w.t, 3, 0, TX_BUF, (uint32_t)n + 12, 0, 0);
    vt_put(&w.t, 3, 0);
    vt_kick(&w.t, 3);
    assert_int_equal(w.far->count, 1);
    memcpy(bytes, r + TX_BUF + 12, n);
    memcpy(bytes + 26, r + TX_BUF + 12 + 30, 4); /* there and back */
    memcpy(bytes + 30, r + TX_BUF + 12 + 26, 4);
    memcpy(bytes + 34, r + TX_BUF + 12 + 36, 2);
    memcpy(bytes + 36, r + TX_BUF + 12 + 34, 2);
    vt_desc(&w.t, 0, 0, RX_BUF, 2000, 2, 0);
    vt_put(&w.t, 0, 0);
    vt_desc(&w.t, 2, 0, RX_BUF + 4096, 2000, 2, 0);
    vt_put(&w.t, 2, 0);
    assert_true(send_frame(&w, bytes, n, NULL));
    assert_true(vt_get(&w.t, 2, &head, &len));
    assert_false(vt_get(&w.t, 0, &head, &len));
    world_done(&w);
}

static void hostile(void **ctx)
{
    (void)ctx;
    struct world w;
    static uint8_t bytes[NET_FRAME_MAX];
    world_new(&w, 1);
    vt_start(&w.t, ALL, 3);
    vt_desc(&w.t, TX, 0, TX_BUF, 5, 0, 0); /* half a header */
    vt_put(&w.t, TX, 0);
    vt_kick(&w.t, TX);
    assert_int_equal(vt_get_status(&w.t), 0x4f);
    vt_start(&w.t, ALL, 3);
    vt_desc(&w.t, CTRL, 0, CTRL_BUF, 5, 0, 0); /* no place for the answer */
    vt_put(&w.t, CTRL, 0);
    vt_kick(&w.t, CTRL);
    assert_int_equal(vt_get_status(&w.t), 0x4f);
    assert_true(send_frame(&w, bytes, 100, NULL));
    /* Receive buffers of a byte: no frame fits, and nothing hangs. */
    vt_start(&w.t, ALL, 3);
    for (unsigned d = 0; d < 40; d++)
        put_rx(&w, d, 1);
    assert_false(send_frame(&w, bytes, 1000, NULL));
    /* … or of none, which is against the rules. */
    vt_start(&w.t, ALL, 3);
    vt_desc(&w.t, RX, 0, RX_BUF, 100, 0, 0);
    vt_put(&w.t, RX, 0);
    assert_true(send_frame(&w, bytes, 1000, NULL));
    /* A frame of megabytes. */
    vt_desc(&w.t, TX, 0, TX_BUF, MIB(8), 0, 0);
    vt_put(&w.t, TX, 0);
    vt_kick(&w.t, TX);
    assert_int_equal(w.far->count, 0);
    world_done(&w);
}

static void saved(void **ctx)
{
    (void)ctx;
    struct world a, b;
    struct state *save, *load;
    size_t bytes;
    world_new(&a, 1);
    world_new(&b, 1);
    vt_start(&a.t, ALL, 3);
    assert_int_equal(COMMAND(&a, "\0\0\0"), 0);
    a.far->room = 0;
    size_t n = tcp_frame(tx_bytes(&a, 0), false, 100, 0x18);
    put_tx(&a, 0, NULL, n);
    vt_kick(&a.t, TX);
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(virtio_net_dev_ops.state(a.dev, save), 0);
    memcpy(b.t.ram->host, a.t.ram->host, MIB(16));
    const void *data = state_data(save, &bytes);
    assert_int_equal(state_new_load(data, bytes, &load), 0);
    assert_int_equal(virtio_net_dev_ops.state(b.dev, load), 0);
    /* The frame that waited goes out of the new one. */
    b.far->port.refused = false;
    virtio_net_port(b.dev)->ops->ready(b.dev);
    assert_int_equal(b.far->count, 1);
    assert_int_equal(b.far->frames[0].len, n);
    state_free(save);
    state_free(load);
    world_done(&a);
    world_done(&b);
}

/* What the driver looks at before it tells of the next buffer: 2.7.10. */
static uint16_t told_at(struct world *w)
{
    return le16_get(w->t.ram->host + VT_QUEUE(TX) + 0x6000 + 4 + 8 * VT_SIZE);
}

/* A driver with event indices: tells only when it is asked to. Returns whether it did. */
static bool send_one(struct world *w)
{
    uint16_t n = w->t.avail[TX];
    bool asked = told_at(w) == n;

    tcp_frame(tx_bytes(w, 0), false, 10, 0x18);
    put_tx(w, 0, NULL, 64);
    if (asked)
        vt_kick(&w->t, TX);
    return asked;
}

/* Frames until the driver is no longer asked to tell of them; each has been sent by then. */
static unsigned send_until_paced(struct world *w)
{
    unsigned sent = 0;

    while (told_at(w) == w->t.avail[TX]) {
        assert_true(send_one(w));
        w->far->count = 0;
        clock_advance(w->t.clock, 20000);
        assert_true(++sent < 100);
    }
    return sent;
}

/* A user waits for no single frame; a driver that sends many is not stopped for each. */
static void paced(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 3);
    w.far->room = 10000;
    for (unsigned i = 0; i < 100; i++) { /* questions, each after an answer */
        assert_true(send_one(&w));
        assert_int_equal(w.far->count, 1);
        w.far->count = 0;
        clock_advance(w.t.clock, 60000);
        assert_false(clock_has_idle(w.t.clock));
    }
    assert_true(send_until_paced(&w) >= 8);
    clock_run_idle(w.t.clock);
    assert_int_equal(w.far->count, 0); /* nothing is there: asked for again */
    assert_true(send_one(&w));
    w.far->count = 0;

    /* In order, all of them, after a short time, with one interrupt. */
    send_until_paced(&w);
    for (unsigned i = 0; i < 5; i++)
        assert_false(send_one(&w));
    assert_int_equal(w.far->count, 0);
    clock_advance(w.t.clock, 60000);
    assert_int_equal(w.far->count, 5);
    w.far->count = 0;
    assert_false(send_one(&w)); /* and goes on like that */
    /* A processor with nothing to do sends at once. */
    clock_run_idle(w.t.clock);
    assert_int_equal(w.far->count, 1);
    w.far->count = 0;
    clock_advance(w.t.clock, 1000000);
    assert_false(clock_has_idle(w.t.clock)); /* nothing more comes: no more timers */
    assert_true(send_one(&w));
    w.far->count = 0;

    /* Large segments are each worth being told of. */
    for (unsigned i = 0; i < 100; i++) {
        size_t n = tcp_frame(tx_bytes(&w, 0), false, 20000, 0x18);

        assert_int_equal(told_at(&w), w.t.avail[TX]);
        put_tx(&w, 0, &tso, n);
        vt_kick(&w.t, TX);
        assert_true(w.far->count > 0);
        w.far->count = 0;
    }

    /* The cable has no room meanwhile: nothing is lost. */
    send_until_paced(&w);
    for (unsigned i = 0; i < 5; i++)
        assert_false(send_one(&w));
    w.far->room = 2;
    clock_advance(w.t.clock, 100000);
    assert_int_equal(w.far->count, 2);
    w.far->room = 10000;
    net_ready(&w.far->port);
    assert_int_equal(w.far->count, 5);
    w.far->count = 0;

    /* A reset ends it. */
    vt_start(&w.t, ALL, 3);
    assert_false(clock_has_idle(w.t.clock));
    assert_true(send_one(&w));
    world_done(&w);
}

/* Frames that wait to be looked at are sent by the machine that goes on. */
static void saved_paced(void **ctx)
{
    (void)ctx;
    struct world a, b;
    struct state *save, *load;
    size_t bytes;
    world_new(&a, 1);
    world_new(&b, 1);
    vt_start(&a.t, ALL, 3);
    a.far->room = b.far->room = 10000;
    send_until_paced(&a);
    for (unsigned i = 0; i < 5; i++)
        assert_false(send_one(&a));
    clock_advance(b.t.clock, clock_now_ns(a.t.clock));
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(virtio_net_dev_ops.state(a.dev, save), 0);
    memcpy(b.t.ram->host, a.t.ram->host, MIB(16));
    const void *data = state_data(save, &bytes);
    assert_int_equal(state_new_load(data, bytes, &load), 0);
    assert_int_equal(virtio_net_dev_ops.state(b.dev, load), 0);
    clock_advance(b.t.clock, 100000);
    assert_int_equal(b.far->count, 5);
    clock_advance(b.t.clock, 100000);
    b.t.avail[TX] = a.t.avail[TX];
    assert_true(send_one(&b));
    state_free(save);
    state_free(load);
    world_done(&a);
    world_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paced),    cmocka_unit_test(saved_paced), cmocka_unit_test(transmit),
        cmocka_unit_test(receive),  cmocka_unit_test(filter),      cmocka_unit_test(link_changes),
        cmocka_unit_test(steering), cmocka_unit_test(hostile),     cmocka_unit_test(saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
