/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.2: block device, with flush, discard, write-zeroes, several queues and a
 * write cache that the driver can turn off. Left out: topology hints, lifetime, secure erase,
 * zoned devices.
 */
#include "hw/virtio/virtio_blk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define QUEUE_SIZE 256u
#define SECTOR_BYTES 512u
#define HEADER_BYTES 16u
#define ID_BYTES 20u
#define SEGMENT_BYTES 16u
/* How much one request may ask to discard or to zero. */
#define MAX_SEGMENTS 32u
#define MAX_RANGE_SECTORS (1u << 22)

enum {
    F_SEG_MAX = 1 << 2,
    F_GEOMETRY = 1 << 4,
    F_RO = 1 << 5,
    F_BLK_SIZE = 1 << 6,
    F_FLUSH = 1 << 9,
    F_CONFIG_WCE = 1 << 11,
    F_MQ = 1 << 12,
    F_DISCARD = 1 << 13,
    F_WRITE_ZEROES = 1 << 14,
};

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* struct virtio_blk_config, 5.2.4 */
enum {
    CFG_CAPACITY = 0,
    CFG_SEG_MAX = 12,
    CFG_GEOMETRY = 16,
    CFG_BLK_SIZE = 20,
    CFG_WRITEBACK = 32,
    CFG_NUM_QUEUES = 34,
    CFG_MAX_DISCARD_SECTORS = 36,
    CFG_MAX_DISCARD_SEG = 40,
    CFG_DISCARD_ALIGNMENT = 44,
    CFG_MAX_WRITE_ZEROES_SECTORS = 48,
    CFG_MAX_WRITE_ZEROES_SEG = 52,
    CFG_WRITE_ZEROES_MAY_UNMAP = 56,
    CFG_BYTES = 60,
};

struct request {
    struct blk_req req;
    struct virtio_blk *owner;
    unsigned queue;
    struct vq_chain chain;
    uint32_t type;
    uint8_t *status_host; /* the last byte that the device may write */
    uint64_t status_ram_offset;
    uint8_t segments[MAX_SEGMENTS * SEGMENT_BYTES];
    unsigned segment, segment_count; /* of a discard or write-zeroes */
    struct request *next_free;
};

struct virtio_blk {
    struct virtio virtio;
    struct blk *blk;
    char serial[ID_BYTES + 1];
    struct request *requests, *free;
    unsigned request_count;
    bool cancelled;
    bool serving; /* serve() is at work further up the stack */
};

/* ---- ends of requests ---- */

static void release(struct request *r)
{
    r->next_free = r->owner->free;
    r->owner->free = r;
}

static void finish(struct request *r, uint8_t status, uint64_t written_bytes)
{
    struct virtio *v = &r->owner->virtio;
    *r->status_host = status;
    ram_wrote(bus_ram(v->queues[r->queue].dma.bus), r->status_ram_offset, 1);
    vq_push(&v->queues[r->queue], r->chain.head, (uint32_t)MIN(written_bytes + 1, 0xffffffffull));
    release(r);
}

static void start_segment(struct request *r);
static void serve(struct virtio_blk *b, unsigned n);

static void request_done(struct blk_req *req, int result)
{
    struct request *r = CONTAINER_OF(req, struct request, req);
    struct virtio_blk *b = r->owner;
    unsigned queue = r->queue;
    if (b->cancelled) {
        release(r);
        return;
    }
    if (result == 0 && r->segment_count && ++r->segment < r->segment_count) {
        start_segment(r);
        return;
    }
    bool starved = !b->free;
    uint64_t written = 0;
    if (r->type == T_IN && result == 0) {
        slices_wrote(&r->chain.in, &b->virtio.queues[queue].dma, req->len_bytes);
        written = req->len_bytes;
    }
    finish(r, result == 0 ? S_OK : S_IOERR, written);
    virtio_signal(&b->virtio, queue);
    /* All places were taken: there may be more waiting in any queue. */
    for (unsigned n = 0; starved && n < b->virtio.queue_count; n++) {
        if (b->serving)
            virtio_again(&b->virtio, n);
        else
            serve(b, n);
    }
}

/* ---- requests ---- */

/* Cut the status byte off the end of `in`, so that the rest is data. */
static bool take_status(struct request *r)
{
    struct slices *in = &r->chain.in;
    if (in->len_bytes == 0)
        return false;
    struct iovec *last = &in->iov[in->count - 1];
    last->iov_len--;
    in->len_bytes--;
    r->status_host = (uint8_t *)last->iov_base + last->iov_len;
    r->status_ram_offset = in->ram_offset[in->count - 1] + last->iov_len;
    return true;
}

/* Take the header off the front of `out`. */
static bool take_header(struct request *r, uint64_t *ret_sector)
{
    struct slices *out = &r->chain.out;
    uint8_t header[HEADER_BYTES];
    if (slices_get(out, 0, header, sizeof(header)) < sizeof(header))
        return false;
    r->type = le32_get(header);
    *ret_sector = le64_get(header + 8);
    size_t skip = HEADER_BYTES;
    for (unsigned i = 0; skip; i++) {
        size_t piece = MIN(skip, out->iov[i].iov_len);
        out->iov[i].iov_base = (char *)out->iov[i].iov_base + piece;
        out->iov[i].iov_len -= piece;
        skip -= piece;
    }
    out->len_bytes -= HEADER_BYTES;
    return true;
}

/* 5.2.6.2: without a negotiated cache every write is lasting when it completes. */
static bool write_through(const struct virtio_blk *b)
{
    if (virtio_has(&b->virtio, F_CONFIG_WCE))
        return !b->virtio.config[CFG_WRITEBACK];
    return !virtio_has(&b->virtio, F_FLUSH);
}

static void submit(struct request *r, enum blk_op op, uint64_t offset_bytes, uint64_t len_bytes,
                   const struct slices *data)
{
    r->req = (struct blk_req){
        .op = op,
        .fua = op != BLK_READ && op != BLK_FLUSH && write_through(r->owner),
        .offset_bytes = offset_bytes,
        .len_bytes = len_bytes,
        .iov = data ? data->iov : NULL,
        .iov_count = data ? data->count : 0,
        .done = request_done,
    };
    blk_submit(r->owner->blk, &r->req);
}

static void read_or_write(struct request *r, uint64_t sector)
{
    const struct slices *data = r->type == T_IN ? &r->chain.in : &r->chain.out;
    if (data->len_bytes % SECTOR_BYTES || sector > UINT64_MAX / SECTOR_BYTES) {
        finish(r, S_IOERR, 0);
        return;
    }
    submit(r, r->type == T_IN ? BLK_READ : BLK_WRITE, sector * SECTOR_BYTES, data->len_bytes, data);
}

static void get_id(struct request *r)
{
    struct virtio_blk *b = r->owner;
    char id[ID_BYTES] = {0};
    memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
    uint64_t n = slices_put(&r->chain.in, 0, id, sizeof(id));
    slices_wrote(&r->chain.in, &b->virtio.queues[r->queue].dma, n);
    finish(r, S_OK, n);
}

static void start_segment(struct request *r)
{
    const uint8_t *segment = r->segments + r->segment * SEGMENT_BYTES;
    submit(r, r->type == T_DISCARD ? BLK_DISCARD : BLK_WRITE_ZEROES,
           le64_get(segment) * SECTOR_BYTES, (uint64_t)le32_get(segment + 8) * SECTOR_BYTES, NULL);
}

/* 5.2.6.2: all segments are looked at before the first is done. */
static void discard_or_zero(struct request *r)
{
    uint64_t len = r->chain.out.len_bytes;
    unsigned count = (unsigned)(MIN(len, (uint64_t)sizeof(r->segments)) / SEGMENT_BYTES);
    if (len == 0 || len > sizeof(r->segments) || len % SEGMENT_BYTES) {
        finish(r, S_IOERR, 0);
        return;
    }
    slices_get(&r->chain.out, 0, r->segments, len);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *segment = r->segments + i * SEGMENT_BYTES;
        uint32_t flags = le32_get(segment + 12);
        /* Bit 0, "may unmap", is for write-zeroes only; the others are reserved. */
        if (flags & (r->type == T_DISCARD ? ~0u : ~1u)) {
            finish(r, S_UNSUPP, 0);
            return;
        }
        if (le32_get(segment + 8) > MAX_RANGE_SECTORS ||
            le64_get(segment) > UINT64_MAX / SECTOR_BYTES) {
            finish(r, S_IOERR, 0);
            return;
        }
    }
    r->segment = 0;
    r->segment_count = count;
    start_segment(r);
}

/* Returns false when the request cannot even be answered. */
static bool start(struct request *r)
{
    const struct virtio *v = &r->owner->virtio;
    uint64_t sector;
    if (!take_status(r) || !take_header(r, &sector))
        return false;
    r->segment_count = 0;
    switch (r->type) {
    case T_IN:
    case T_OUT:
        read_or_write(r, sector);
        break;
    case T_FLUSH:
        submit(r, BLK_FLUSH, 0, 0, NULL);
        break;
    case T_GET_ID:
        get_id(r);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        if (virtio_has(v, r->type == T_DISCARD ? F_DISCARD : F_WRITE_ZEROES)) {
            discard_or_zero(r);
            break;
        }
        finish(r, S_UNSUPP, 0);
        break;
    default:
        finish(r, S_UNSUPP, 0);
    }
    return true;
}

/* Requests that are answered at once do not use up places: their number is bounded besides. */
static enum virtio_serving take(void *dev, unsigned n)
{
    struct virtio_blk *b = dev;
    struct request *r = b->free;

    if (!r)
        return VIRTIO_STOP;
    if (!virtio_pop(&b->virtio, n, &r->chain))
        return VIRTIO_EMPTY;
    b->free = r->next_free;
    r->queue = n;
    if (!start(r)) {
        release(r);
        virtio_broken(&b->virtio, -EPROTO);
    }
    return VIRTIO_TAKEN;
}

static void serve(struct virtio_blk *b, unsigned n)
{
    bool taken;

    if (b->serving)
        return;
    b->serving = true;
    blk_plug_polled(b->blk);
    taken = virtio_serve(&b->virtio, n, QUEUE_SIZE, take);
    blk_unplug(b->blk);
    blk_poll_now(b->blk);
    b->serving = false;
    if (taken)
        virtio_signal(&b->virtio, n);
}

static void blk_notify(void *dev, unsigned n)
{
    serve(dev, n);
}

static void blk_reset(void *dev)
{
    struct virtio_blk *b = dev;
    b->cancelled = true;
    blk_drain(b->blk);
    b->cancelled = false;
}

/* ---- the device ---- */

static void fill_config(struct virtio_blk *b)
{
    struct virtio *v = &b->virtio;
    uint8_t *c = v->config;
    uint64_t sectors = b->blk->size_bytes / SECTOR_BYTES;
    uint64_t cylinders = sectors / (16 * 63);
    le64_put(c + CFG_CAPACITY, sectors);
    le32_put(c + CFG_SEG_MAX, QUEUE_SIZE - 2);
    le16_put(c + CFG_GEOMETRY, (uint16_t)MIN(MAX(cylinders, 1ull), 16383ull));
    c[CFG_GEOMETRY + 2] = 16;
    c[CFG_GEOMETRY + 3] = 63;
    le32_put(c + CFG_BLK_SIZE, SECTOR_BYTES);
    c[CFG_WRITEBACK] = 1;
    v->config_wmask[CFG_WRITEBACK] = 1;
    le16_put(c + CFG_NUM_QUEUES, (uint16_t)v->queue_count);
    le32_put(c + CFG_MAX_DISCARD_SECTORS, MAX_RANGE_SECTORS);
    le32_put(c + CFG_MAX_DISCARD_SEG, MAX_SEGMENTS);
    le32_put(c + CFG_DISCARD_ALIGNMENT, 8);
    le32_put(c + CFG_MAX_WRITE_ZEROES_SECTORS, MAX_RANGE_SECTORS);
    le32_put(c + CFG_MAX_WRITE_ZEROES_SEG, MAX_SEGMENTS);
    c[CFG_WRITE_ZEROES_MAY_UNMAP] = 1;
}

static void virtio_blk_reset(void *dev)
{
    struct virtio_blk *b = dev;
    virtio_reset(&b->virtio);
    b->virtio.config[CFG_WRITEBACK] = 1;
}

static int virtio_blk_state(void *dev, struct state *s)
{
    struct virtio_blk *b = dev;
    virtio_state(&b->virtio, s);
    return state_error(s);
}

static void virtio_blk_free(void *dev)
{
    struct virtio_blk *b = dev;
    blk_reset(b);
    virtio_done(&b->virtio);
    for (unsigned i = 0; i < b->request_count; i++)
        vq_chain_done(&b->requests[i].chain);
    free(b->requests);
    free(b);
}

const struct dev_ops virtio_blk_dev_ops = {
    .name = "virtio-blk",
    .version = 1,
    .reset = virtio_blk_reset,
    .state = virtio_blk_state,
    .free = virtio_blk_free,
};

static const struct virtio_ops blk_virtio_ops = {
    .id = 2,
    .class_code = 0x010000,
    .notify = blk_notify,
    .reset = blk_reset,
};

int virtio_blk_new(const struct virtio_blk_env *env, struct virtio_blk **ret_dev)
{
    unsigned queues = MIN(MAX(env->queues, 1u), (unsigned)VIRTIO_QUEUES_MAX);
    struct virtio_blk *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->blk = env->blk;
    b->request_count = queues * QUEUE_SIZE;
    b->requests = calloc(b->request_count, sizeof(*b->requests));
    if (!b->requests) {
        free(b);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < b->request_count; i++) {
        b->requests[i].owner = b;
        release(&b->requests[i]);
    }
    snprintf(b->serial, sizeof(b->serial), "%s", env->serial ? env->serial : "");
    uint64_t features =
        F_SEG_MAX | F_GEOMETRY | F_BLK_SIZE | F_FLUSH | F_CONFIG_WCE | F_DISCARD | F_WRITE_ZEROES;
    if (env->blk->readonly)
        features = (features | F_RO) & ~(uint64_t)(F_DISCARD | F_WRITE_ZEROES);
    if (queues > 1)
        features |= F_MQ;
    int r = virtio_init(&b->virtio, &env->virtio, "virtio-blk", &blk_virtio_ops, b, features,
                        queues, QUEUE_SIZE, CFG_BYTES);
    if (r < 0) {
        virtio_blk_free(b);
        return r;
    }
    fill_config(b);
    *ret_dev = b;
    return 0;
}
