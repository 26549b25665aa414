/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.1: network device, with checksum and segmentation offload in both
 * directions, mergeable receive buffers, several queue pairs with automatic receive steering, and
 * the control queue (receive filter, VLANs, announcement, queue pairs, offloads). Left out: RSS and
 * hash reports, UDP fragmentation and segmentation offload, receive coalescing by the device.
 */
#include "hw/virtio/virtio_net.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/statename.h"
#include "hw/virtio/virtio_netfilter.h"
#include "net/offload.h"

#define QUEUE_SIZE 256u
/* struct virtio_net_hdr, with num_buffers behind it unless an old driver wants none. */
#define HEADER_BYTES 10u
#define HEADER_MERGE_BYTES 12u
/* Buffers of one frame: the largest, in pieces of 256 bytes. */
#define MERGE_MAX 256u
#define FLOWS 256u
/*
 * A driver that has told of PACE_KICKS frames, one each PACE_KICK_NS or faster, is not asked to tell
 * of each any longer, which costs it an exit and the host's receiver a waking: the queue is looked
 * at every PACE_NS then, until nothing is found; and whenever a processor of the guest has nothing to
 * do, so that nobody waits for an answer to what lies there. Large segments are worth both.
 */
#define PACE_KICKS 16u
#define PACE_KICK_NS 50000u
#define PACE_NS 50000u
#define PACE_FRAME_BYTES 2048u /* on average, at most */

enum {
    F_CSUM = 1 << 0,
    F_GUEST_CSUM = 1 << 1,
    F_CTRL_GUEST_OFFLOADS = 1 << 2,
    F_MAC = 1 << 5,
    F_GUEST_TSO4 = 1 << 7,
    F_GUEST_TSO6 = 1 << 8,
    F_GUEST_ECN = 1 << 9,
    F_HOST_TSO4 = 1 << 11,
    F_HOST_TSO6 = 1 << 12,
    F_HOST_ECN = 1 << 13,
    F_MRG_RXBUF = 1 << 15,
    F_STATUS = 1 << 16,
    F_CTRL_VQ = 1 << 17,
    F_CTRL_RX = 1 << 18,
    F_CTRL_VLAN = 1 << 19,
    F_CTRL_RX_EXTRA = 1 << 20,
    F_GUEST_ANNOUNCE = 1 << 21,
    F_MQ = 1 << 22,
    F_CTRL_MAC_ADDR = 1 << 23,
    F_GUEST_OFFLOADS = F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN,
};

/* struct virtio_net_config, 5.1.4 */
enum { CFG_MAC = 0, CFG_STATUS = 6, CFG_PAIRS = 8, CFG_BYTES = 12 };
enum { S_LINK_UP = 1, S_ANNOUNCE = 2 };

/* 5.1.6.5 */
enum {
    CTRL_RX = 0,
    CTRL_MAC = 1,
    CTRL_VLAN = 2,
    CTRL_ANNOUNCE = 3,
    CTRL_MQ = 4,
    CTRL_OFFLOADS = 5
};
enum { CTRL_OK = 0, CTRL_ERR = 1 };

struct virtio_net {
    struct virtio virtio;
    struct net_port port;
    uint8_t mac[NET_MAC_BYTES]; /* of the card; the driver may set another in the configuration */
    struct virtio_netfilter filter;
    unsigned pairs_max;
    uint16_t pairs;       /* in use */
    uint64_t offloads;    /* F_GUEST_OFFLOADS that are on */
    uint8_t flows[FLOWS]; /* receive steering, 5.1.6.5.5: the pair that last sent for a flow */
    uint32_t tx_waiting;  /* bit n: transmit queue n holds a frame that the cable refused */
    struct pace {
        uint64_t since_ns;      /* when the driver first told of … */
        uint32_t kicks;         /* … these */
        uint32_t frames, bytes; /* sent since then, or since the queue was looked at */
        bool on;
    } pace[VIRTIO_NET_PAIRS_MAX];
    bool sending; /* transmit() is at work further up the stack */
    struct region rom;
    struct vq_chain tx, rx, rx_first, ctrl;
    struct iovec iov[NET_IOV_MAX];
};

static unsigned header_bytes(const struct virtio_net *n)
{
    return virtio_has(&n->virtio, F_MRG_RXBUF | VIRTIO_F_VERSION_1) ? HEADER_MERGE_BYTES
                                                                    : HEADER_BYTES;
}

/* 5.1.2: behind the pairs; without multiqueue only one pair is there. */
static unsigned control_queue(const struct virtio_net *n)
{
    return virtio_has(&n->virtio, F_MQ) ? 2 * n->pairs_max : 2;
}

/* ---- flows ---- */

/* A flow is the same number in both directions: addresses and ports are only added up. */
static unsigned flow_of(const struct net_frame *f)
{
    uint8_t start[OFFLOAD_HEADERS_MAX];
    struct offload_layout l;
    size_t n = net_gather(f->iov, f->iov_count, 0, start, sizeof(start));
    uint32_t sum;

    if (!offload_parse(start, n, &l))
        return 0;
    sum = be16_get(start + l.transport) + be16_get(start + l.transport + 2);
    if (l.ethertype == 0x0800)
        sum += be32_get(start + l.ip + 12) + be32_get(start + l.ip + 16);
    else
        sum += be32_get(start + l.ip + 20) + be32_get(start + l.ip + 36);
    return (sum ^ sum >> 8 ^ sum >> 16) % FLOWS;
}

/* ---- from the guest ---- */

/* The frame behind the header of the chain that was popped. False: no frame is in it. */
static bool tx_frame(struct virtio_net *n, struct net_frame *f)
{
    const struct slices *out = &n->tx.out;
    uint8_t header[HEADER_MERGE_BYTES];
    unsigned skip = header_bytes(n), count = 0;

    if (slices_get(out, 0, header, skip) < skip)
        return false;
    *f = (struct net_frame){.iov = n->iov, .len_bytes = out->len_bytes - skip};
    memcpy(&f->offload, header, sizeof(f->offload));
    for (unsigned i = 0; i < out->count; i++) {
        struct iovec piece = out->iov[i];
        size_t cut = MIN((size_t)skip, piece.iov_len);

        skip -= (unsigned)cut;
        if (piece.iov_len == cut)
            continue;
        if (count == NET_IOV_MAX)
            return false;
        n->iov[count++] = (struct iovec){(char *)piece.iov_base + cut, piece.iov_len - cut};
    }
    f->iov_count = count;
    /* What was not agreed on is not looked at. */
    f->offload.flags &= virtio_has(&n->virtio, F_CSUM) ? NET_NEEDS_CSUM : 0;
    if (!virtio_has(&n->virtio, F_HOST_TSO4 | F_HOST_TSO6))
        f->offload.gso = NET_GSO_NONE;
    return true;
}

/* The driver has told of buffers in transmit queue q. */
static void pace_kicked(struct virtio_net *n, unsigned q)
{
    struct pace *pace = &n->pace[q / 2];
    uint64_t now_ns;

    if (pace->on || !n->virtio.queues[q].event_idx || pace->kicks++ % PACE_KICKS)
        return;
    now_ns = clock_now_ns(n->virtio.clock);
    pace->on = pace->kicks > 1 && now_ns - pace->since_ns <= PACE_KICKS * PACE_KICK_NS &&
               pace->bytes <= pace->frames * PACE_FRAME_BYTES;
    pace->since_ns = now_ns;
    pace->frames = pace->bytes = 0;
}

/* Transmit queue q is empty. */
static enum virtio_serving pace_emptied(struct virtio_net *n, unsigned q)
{
    struct pace *pace = &n->pace[q / 2];

    if (pace->on && pace->frames && pace->bytes <= pace->frames * PACE_FRAME_BYTES) {
        pace->frames = pace->bytes = 0;
        virtio_again_within(&n->virtio, q, PACE_NS);
        return VIRTIO_STOP;
    }
    if (pace->on)
        *pace = (struct pace){0};
    return VIRTIO_EMPTY;
}

static enum virtio_serving take_frame(void *dev, unsigned q)
{
    struct virtio_net *n = dev;
    struct virtio *v = &n->virtio;
    struct net_frame f;

    if (!virtio_pop(v, q, &n->tx))
        return pace_emptied(n, q);
    if (!tx_frame(n, &f)) {
        virtio_broken(v, -EPROTO);
        return VIRTIO_STOP;
    }
    if (n->pairs > 1)
        n->flows[flow_of(&f)] = (uint8_t)(q / 2);
    if (!net_send(&n->port, &f)) {
        vq_unpop(&v->queues[q]);
        n->tx_waiting |= 1u << q;
        return VIRTIO_STOP;
    }
    vq_push(&v->queues[q], n->tx.head, 0);
    n->pace[q / 2].frames++;
    n->pace[q / 2].bytes += (uint32_t)f.len_bytes;
    return VIRTIO_TAKEN;
}

static void transmit(struct virtio_net *n, unsigned q)
{
    bool taken;

    if (n->sending) {
        virtio_again(&n->virtio, q);
        return;
    }
    n->sending = true;
    n->tx_waiting &= ~(1u << q);
    taken = virtio_serve(&n->virtio, q, QUEUE_SIZE, take_frame);
    n->sending = false;
    if (taken)
        virtio_signal(&n->virtio, q);
}

static void port_ready(void *ctx)
{
    struct virtio_net *n = ctx;

    for (unsigned q = 1; q < 2 * n->pairs_max; q += 2)
        if (n->tx_waiting >> q & 1 && virtio_running(&n->virtio))
            transmit(n, q);
}

/* ---- to the guest ---- */

static unsigned rx_queue(const struct virtio_net *n, const struct net_frame *f)
{
    return n->pairs > 1 ? 2 * MIN(n->flows[flow_of(f)], n->pairs - 1u) : 0;
}

/* The header in front of a frame for the driver. Sums that it does not want to make are made. */
static void rx_header(const struct virtio_net *n, const struct net_frame *f, uint16_t buffers,
                      uint8_t *header)
{
    struct net_offload o = f->offload;

    if (!(n->offloads & F_GUEST_CSUM))
        o.flags = 0;
    memcpy(header, &o, sizeof(o));
    le16_put(header + HEADER_BYTES, buffers);
}

/* Copy bytes of header and frame, from byte `at`, to a buffer; returns how many fitted. */
static size_t rx_fill(const struct slices *in, const uint8_t *header, unsigned header_len,
                      const struct net_frame *f, size_t at)
{
    size_t done = 0;

    for (unsigned i = 0; i < in->count; i++) {
        uint8_t *to = in->iov[i].iov_base;
        size_t room = in->iov[i].iov_len;

        if (at < header_len) {
            size_t piece = MIN(room, header_len - at);
            memcpy(to, header + at, piece);
            at += piece;
            to += piece;
            room -= piece;
            done += piece;
        }
        if (room) {
            size_t piece = net_gather(f->iov, f->iov_count, at - header_len, to, room);
            at += piece;
            done += piece;
            if (piece < room)
                break;
        }
    }
    return done;
}

/* The number of buffers is known at the end only, and is in the first. */
static void rx_buffers(struct vq_chain *first, uint16_t buffers)
{
    uint8_t number[2];

    le16_put(number, buffers);
    slices_put(&first->in, HEADER_BYTES, number, sizeof(number));
}

/* 1: in the queue; 0: the *ret_had buffers that are there do not do; negative: this frame cannot be
 * delivered at all. */
static int rx_deliver(struct virtio_net *n, unsigned q, const struct net_frame *f,
                      unsigned *ret_had)
{
    struct virtio *v = &n->virtio;
    struct virtqueue *vq = &v->queues[q];
    unsigned header_len = header_bytes(n), used = 0;
    size_t total = header_len + f->len_bytes, at = 0;
    bool merge = virtio_has(v, F_MRG_RXBUF);
    uint8_t header[HEADER_MERGE_BYTES];
    int r = 1;

    rx_header(n, f, 1, header);
    while (at < total) {
        struct vq_chain *chain = &n->rx;
        size_t n_bytes;

        if (used == MERGE_MAX || used >= vq->size || !virtio_pop(v, q, chain)) {
            r = used == MERGE_MAX || used >= vq->size ? -EMSGSIZE : 0;
            break;
        }
        n_bytes = rx_fill(&chain->in, header, header_len, f, at);
        slices_wrote(&chain->in, &vq->dma, n_bytes);
        vq_fill(vq, used, chain->head, (uint32_t)n_bytes);
        used++;
        at += n_bytes;
        if (at >= total || (n_bytes && merge)) {
            if (used == 1) { /* keep the place of num_buffers */
                struct vq_chain spare = n->rx_first;
                n->rx_first = *chain;
                *chain = spare;
            }
            continue;
        }
        r = -EMSGSIZE; /* too small for the frame, or without any room */
        break;
    }
    if (r == 1) {
        if (used > 1)
            rx_buffers(&n->rx_first, (uint16_t)used);
        vq_publish(vq, used);
    } else {
        *ret_had = used;
        while (used--)
            vq_unpop(vq);
    }
    return r;
}

static bool port_receive(void *ctx, const struct net_frame *f)
{
    struct virtio_net *n = ctx;
    struct virtio *v = &n->virtio;
    uint8_t start[18] = {0};
    unsigned q, had = 0;
    int r;

    if (!virtio_running(v))
        return true; /* nobody is there to hear it */
    net_gather(f->iov, f->iov_count, 0, start, sizeof(start));
    if (!virtio_netfilter_wants(&n->filter, v->config + CFG_MAC, start, virtio_has(v, F_CTRL_VLAN)))
        return true;
    q = rx_queue(n, f);
    while ((r = rx_deliver(n, q, f, &had)) == 0) {
        /* Ask to be told of buffers; look once more, for one may have come meanwhile. */
        if (!virtio_running(v) || !v->queues[q].enabled)
            return true;
        if (!vq_arm_beyond(&v->queues[q], had))
            return false;
    }
    if (r > 0)
        virtio_signal(v, q);
    else
        n->port.received.drops++;
    return true;
}

/* ---- offers and link ---- */

static void set_accepts(struct virtio_net *n)
{
    n->port.accepts = (n->offloads & F_GUEST_CSUM ? NET_ACCEPTS_CSUM : 0) |
                      (n->offloads & F_GUEST_TSO4 ? NET_ACCEPTS_TSO4 : 0) |
                      (n->offloads & F_GUEST_TSO6 ? NET_ACCEPTS_TSO6 : 0) |
                      (n->offloads & F_GUEST_ECN ? NET_ACCEPTS_ECN : 0);
}

static void set_link(struct virtio_net *n, bool up, bool announce)
{
    uint8_t *config = n->virtio.config + CFG_STATUS;
    uint16_t status = le16_get(config) & S_ANNOUNCE;

    if (up)
        status |= S_LINK_UP;
    if (up && announce && virtio_has(&n->virtio, F_GUEST_ANNOUNCE))
        status |= S_ANNOUNCE;
    if (status == le16_get(config))
        return;
    le16_put(config, status);
    virtio_config_changed(&n->virtio);
}

/* On another network, maybe: the driver is asked to say who it is (5.1.6.5.4). */
static void port_link(void *ctx, bool up)
{
    set_link(ctx, up, true);
}

static const struct net_port_ops port_ops = {
    .receive = port_receive, .ready = port_ready, .link = port_link};

/* ---- control queue ---- */

static uint8_t control_mac(struct virtio_net *n, uint8_t command, const uint8_t *data, size_t len)
{
    if (command == 0)
        return virtio_netfilter_table(&n->filter, data, len) ? CTRL_OK : CTRL_ERR;
    if (command != 1 || len != NET_MAC_BYTES || !virtio_has(&n->virtio, F_CTRL_MAC_ADDR))
        return CTRL_ERR;
    memcpy(n->virtio.config + CFG_MAC, data, NET_MAC_BYTES);
    return CTRL_OK;
}

static uint8_t control_pairs(struct virtio_net *n, uint8_t command, const uint8_t *data, size_t len)
{
    uint16_t pairs = len == 2 ? le16_get(data) : 0;

    if (command != 0 || !virtio_has(&n->virtio, F_MQ) || pairs < 1 || pairs > n->pairs_max)
        return CTRL_ERR;
    n->pairs = pairs;
    memset(n->flows, 0, sizeof(n->flows));
    return CTRL_OK;
}

static uint8_t control_offloads(struct virtio_net *n, uint8_t command, const uint8_t *data,
                                size_t len)
{
    uint64_t on = len == 8 ? le64_get(data) : UINT64_MAX;

    if (command != 0 || !virtio_has(&n->virtio, F_CTRL_GUEST_OFFLOADS) ||
        on & ~(n->virtio.accepted & F_GUEST_OFFLOADS))
        return CTRL_ERR;
    n->offloads = on;
    set_accepts(n);
    return CTRL_OK;
}

static uint8_t control(struct virtio_net *n, const uint8_t *data, size_t len)
{
    uint8_t command = data[1];

    switch (data[0]) {
    case CTRL_RX:
        return len == 3 && virtio_netfilter_mode(&n->filter, command, data[2] & 1) ? CTRL_OK
                                                                                   : CTRL_ERR;
    case CTRL_MAC:
        return control_mac(n, command, data + 2, len - 2);
    case CTRL_VLAN:
        return len == 4 && virtio_netfilter_vlan(&n->filter, command, le16_get(data + 2))
                   ? CTRL_OK
                   : CTRL_ERR;
    case CTRL_ANNOUNCE:
        if (command != 0)
            return CTRL_ERR;
        le16_put(n->virtio.config + CFG_STATUS,
                 le16_get(n->virtio.config + CFG_STATUS) & (uint16_t)~S_ANNOUNCE);
        return CTRL_OK;
    case CTRL_MQ:
        return control_pairs(n, command, data + 2, len - 2);
    case CTRL_OFFLOADS:
        return control_offloads(n, command, data + 2, len - 2);
    }
    return CTRL_ERR;
}

static enum virtio_serving take_control(void *dev, unsigned q)
{
    struct virtio_net *n = dev;
    struct virtio *v = &n->virtio;
    uint8_t data[2 + VIRTIO_NETFILTER_TABLE_BYTES], ack = CTRL_ERR;
    uint64_t len;

    if (!virtio_pop(v, q, &n->ctrl))
        return VIRTIO_EMPTY;
    if (n->ctrl.in.len_bytes < 1) {
        virtio_broken(v, -EPROTO);
        return VIRTIO_STOP;
    }
    len = slices_get(&n->ctrl.out, 0, data, sizeof(data));
    if (len >= 2 && len == n->ctrl.out.len_bytes)
        ack = control(n, data, len);
    slices_put(&n->ctrl.in, 0, &ack, 1);
    slices_wrote(&n->ctrl.in, &v->queues[q].dma, 1);
    vq_push(&v->queues[q], n->ctrl.head, 1);
    return VIRTIO_TAKEN;
}

static void net_notify(void *dev, unsigned q)
{
    struct virtio_net *n = dev;

    if (virtio_has(&n->virtio, F_CTRL_VQ) && q == control_queue(n)) {
        if (virtio_serve(&n->virtio, q, QUEUE_SIZE, take_control))
            virtio_signal(&n->virtio, q);
    } else if (q >= 2 * n->pairs_max) {
        return;
    } else if (q & 1) {
        pace_kicked(n, q);
        transmit(n, q);
    } else {
        net_ready(&n->port);
    }
}

/* The offloads that were agreed on are on from the start: 5.1.6.5.6. */
static void net_started(void *dev)
{
    struct virtio_net *n = dev;

    n->offloads = n->virtio.accepted & F_GUEST_OFFLOADS;
    set_accepts(n);
}

static void net_reset(void *dev)
{
    struct virtio_net *n = dev;

    n->pairs = 1;
    n->offloads = 0;
    n->tx_waiting = 0;
    memset(n->pace, 0, sizeof(n->pace));
    memset(n->flows, 0, sizeof(n->flows));
    set_accepts(n);
    virtio_netfilter_reset(&n->filter);
    memcpy(n->virtio.config + CFG_MAC, n->mac, NET_MAC_BYTES);
    le16_put(n->virtio.config + CFG_STATUS, net_link_up(&n->port) ? S_LINK_UP : 0);
    /* Frames that waited for buffers are lost with them. */
    net_ready(&n->port);
}

/* ---- the device ---- */

static void virtio_net_reset(void *dev)
{
    struct virtio_net *n = dev;

    virtio_reset(&n->virtio);
}

static void pace_state(struct virtio_net *n, struct state *s)
{
    for (unsigned i = 0; i < n->pairs_max; i++) {
        struct pace *pace = &n->pace[i];

        state_u64(s, STATE_NAME("pace.since_ns", i), &pace->since_ns);
        state_u32(s, STATE_NAME("pace.kicks", i), &pace->kicks);
        state_u32(s, STATE_NAME("pace.frames", i), &pace->frames);
        state_u32(s, STATE_NAME("pace.bytes", i), &pace->bytes);
        state_bool(s, STATE_NAME("pace.on", i), &pace->on);
    }
}

static int virtio_net_state(void *dev, struct state *s)
{
    struct virtio_net *n = dev;
    uint16_t status = le16_get(n->virtio.config + CFG_STATUS);

    virtio_state(&n->virtio, s);
    state_bytes(s, "mac", n->virtio.config + CFG_MAC, NET_MAC_BYTES);
    state_u16(s, "config.status", &status);
    state_u16(s, "pairs", &n->pairs);
    state_u64(s, "offloads", &n->offloads);
    state_bytes(s, "flows", n->flows, sizeof(n->flows));
    state_u32(s, "tx_waiting", &n->tx_waiting);
    pace_state(n, s);
    virtio_netfilter_state(&n->filter, s);
    state_check(s, n->pairs >= 1 && n->pairs <= n->pairs_max &&
                       !(n->offloads & ~(n->virtio.accepted & F_GUEST_OFFLOADS)));
    if (state_loading(s) && state_error(s) == 0) {
        set_accepts(n);
        le16_put(n->virtio.config + CFG_STATUS, status & (S_LINK_UP | S_ANNOUNCE));
        set_link(n, net_link_up(&n->port), false);
    }
    return state_error(s);
}

static void virtio_net_free(void *dev)
{
    struct virtio_net *n = dev;

    net_disconnect(&n->port);
    virtio_done(&n->virtio);
    vq_chain_done(&n->tx);
    vq_chain_done(&n->rx);
    vq_chain_done(&n->rx_first);
    vq_chain_done(&n->ctrl);
    free(n);
}

const struct dev_ops virtio_net_dev_ops = {
    .name = "virtio-net",
    .version = 1,
    .reset = virtio_net_reset,
    .state = virtio_net_state,
    .free = virtio_net_free,
};

static const struct virtio_ops net_virtio_ops = {
    .id = 1,
    .class_code = 0x020000,
    .notify = net_notify,
    .started = net_started,
    .reset = net_reset,
};

int virtio_net_new(const struct virtio_net_env *env, struct virtio_net **ret_dev)
{
    uint64_t features = F_CSUM | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS | F_MAC | F_GUEST_TSO4 |
                        F_GUEST_TSO6 | F_GUEST_ECN | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN |
                        F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN |
                        F_CTRL_RX_EXTRA | F_GUEST_ANNOUNCE | F_CTRL_MAC_ADDR;
    struct virtio_net *n = calloc(1, sizeof(*n));
    int r;

    if (!n)
        return -ENOMEM;
    net_port_init(&n->port, &port_ops, n);
    memcpy(n->mac, env->mac, sizeof(n->mac));
    n->pairs_max = MIN(MAX(env->pairs, 1u), VIRTIO_NET_PAIRS_MAX);
    if (n->pairs_max > 1)
        features |= F_MQ;
    r = virtio_init(&n->virtio, &env->virtio, "virtio-net", &net_virtio_ops, n, features,
                    2 * n->pairs_max + 1, QUEUE_SIZE, CFG_BYTES);
    if (r == 0 && env->rom)
        r = pci_add_rom(&n->virtio.pci, &n->rom, env->rom, env->rom_bytes);
    if (r < 0) {
        virtio_net_free(n);
        return r;
    }
    /* A legacy driver sets its address by writing the configuration: 5.1.4.1. */
    memset(n->virtio.config_wmask + CFG_MAC, 0xff, NET_MAC_BYTES);
    le16_put(n->virtio.config + CFG_PAIRS, (uint16_t)n->pairs_max);
    net_reset(n);
    *ret_dev = n;
    return 0;
}

struct net_port *virtio_net_port(struct virtio_net *dev)
{
    return &dev->port;
}
