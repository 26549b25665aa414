/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.6: SCSI host device, with several request queues and hot plug. A target
 * has one unit, number 0. Left out: protection information, commands with data in both
 * directions, asynchronous notifications of the units themselves.
 */
#include "hw/virtio/virtio_scsi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/core/statename.h"
#include "hw/virtio/scsi_disk.h"

#define QUEUE_SIZE 256u
#define CONTROL_QUEUE 0u
#define EVENT_QUEUE 1u
#define FIRST_REQUEST_QUEUE 2u

enum { F_HOTPLUG = 1 << 1 };

/* struct virtio_scsi_config, 5.6.4 */
enum {
    CFG_NUM_QUEUES = 0,
    CFG_SEG_MAX = 4,
    CFG_MAX_SECTORS = 8,
    CFG_CMD_PER_LUN = 12,
    CFG_EVENT_BYTES = 16,
    CFG_SENSE_BYTES = 20,
    CFG_CDB_BYTES = 24,
    CFG_MAX_CHANNEL = 28,
    CFG_MAX_TARGET = 30,
    CFG_MAX_LUN = 32,
    CFG_BYTES = 36,
};
#define DEFAULT_SENSE_BYTES 96u
#define DEFAULT_CDB_BYTES 32u
/* What a driver may set the two to. */
#define SENSE_BYTES_MAX 252u
#define CDB_BYTES_MAX 64u

/* 5.6.6.1: before the command, and before the sense data. */
#define REQUEST_BYTES 19u
#define RESPONSE_BYTES 12u
#define EVENT_BYTES 16u

enum {
    S_OK = 0,
    S_OVERRUN = 1,
    S_BAD_TARGET = 3,
    S_FUNCTION_REJECTED = 11,
    S_INCORRECT_LUN = 12,
};

enum { T_TMF = 0, T_AN_QUERY = 1, T_AN_SUBSCRIBE = 2 };
enum { T_TRANSPORT_RESET = 1 };
enum { RESET_RESCAN = 1, RESET_REMOVED = 2 };

struct scsi_request {
    struct blk_req req;
    struct virtio_scsi *owner;
    unsigned queue, target;
    struct vq_chain chain;
    struct scsi_task task;
    unsigned range; /* of a task that has several */
    /* The driver's data within the chain: pieces of `out` or `in` without what is in front. */
    struct iovec *data;
    unsigned data_count, data_room;
    uint64_t data_bytes;
    uint64_t taken_bytes; /* of it, as parameters */
    struct scsi_request *next_free;
};

struct virtio_scsi {
    struct virtio virtio;
    struct scsi_disk disks[VIRTIO_SCSI_TARGETS];
    struct scsi_request *requests, *free;
    unsigned request_count;
    struct vq_chain control; /* of the control and event queues */
    /* What the driver has yet to be told, a bit for each target. */
    uint32_t added, removed;
    bool cancelled;
    bool serving; /* serve() is at work further up the stack */
};

static uint32_t sense_bytes(const struct virtio_scsi *b)
{
    return le32_get(b->virtio.config + CFG_SENSE_BYTES);
}

static uint32_t cdb_bytes(const struct virtio_scsi *b)
{
    return le32_get(b->virtio.config + CFG_CDB_BYTES);
}

static void config_defaults(struct virtio_scsi *b)
{
    le32_put(b->virtio.config + CFG_SENSE_BYTES, DEFAULT_SENSE_BYTES);
    le32_put(b->virtio.config + CFG_CDB_BYTES, DEFAULT_CDB_BYTES);
}

/* 5.6.4: a driver sets both before it begins. What cannot be is not taken. */
static void config_check(struct virtio_scsi *b)
{
    if (sense_bytes(b) > SENSE_BYTES_MAX || cdb_bytes(b) > CDB_BYTES_MAX || cdb_bytes(b) == 0)
        config_defaults(b);
}

/* ---- addresses ---- */

/* 5.6.6.1: 1, the target, then a unit in flat or peripheral form. */
static bool parse_lun(const uint8_t *lun, unsigned *ret_target, bool *ret_unit_zero)
{
    if (lun[0] != 1 || lun[1] >= VIRTIO_SCSI_TARGETS)
        return false;
    *ret_target = lun[1];
    *ret_unit_zero = (lun[2] & 0xc0) != 0x80 && (lun[2] & 0x3f) == 0 && lun[3] == 0;
    return true;
}

/* ---- ends of requests ---- */

static void release(struct scsi_request *r)
{
    r->next_free = r->owner->free;
    r->owner->free = r;
}

/* `moved_bytes` of the driver's data were read or written. */
static void finish(struct scsi_request *r, uint8_t response, uint64_t moved_bytes)
{
    struct virtio_scsi *b = r->owner;
    uint8_t head[RESPONSE_BYTES] = {0};
    bool sense = response == S_OK && r->task.status == SCSI_CHECK_CONDITION;
    uint32_t sense_len = sense ? MIN(SCSI_SENSE_BYTES, sense_bytes(b)) : 0;
    bool reads = r->chain.in.len_bytes > RESPONSE_BYTES + sense_bytes(b);
    uint64_t written = RESPONSE_BYTES + sense_bytes(b) + (reads ? moved_bytes : 0);

    le32_put(head, sense_len);
    le32_put(head + 4, (uint32_t)MIN(r->data_bytes - moved_bytes, (uint64_t)UINT32_MAX));
    head[10] = response == S_OK ? r->task.status : 0;
    head[11] = response;
    slices_put(&r->chain.in, 0, head, sizeof(head));
    slices_put(&r->chain.in, RESPONSE_BYTES, r->task.sense, sense_len);
    slices_wrote(&r->chain.in, &b->virtio.queues[r->queue].dma, written);
    vq_push(&b->virtio.queues[r->queue], r->chain.head, (uint32_t)MIN(written, 0xffffffffull));
    release(r);
}

static void next_range(struct scsi_request *r);
static void serve(struct virtio_scsi *b, unsigned n);

static void request_done(struct blk_req *req, int result)
{
    struct scsi_request *r = CONTAINER_OF(req, struct scsi_request, req);
    struct virtio_scsi *b = r->owner;
    unsigned queue = r->queue;
    if (b->cancelled) {
        release(r);
        return;
    }
    if (result == 0 && r->task.next == SCSI_RANGES_IO && ++r->range < r->task.range_count) {
        next_range(r);
        return;
    }
    bool starved = !b->free;
    bool moves = r->task.next == SCSI_IO;
    scsi_finish(&b->disks[r->target], &r->task, result);
    finish(r, S_OK, moves && result == 0 ? r->task.len_bytes : r->taken_bytes);
    virtio_signal(&b->virtio, queue);
    /* All places were taken: there may be more waiting in any queue. */
    for (unsigned n = FIRST_REQUEST_QUEUE; starved && n < b->virtio.queue_count; n++) {
        if (b->serving)
            virtio_again(&b->virtio, n);
        else
            serve(b, n);
    }
}

/* ---- requests ---- */

static void submit(struct scsi_request *r, uint64_t offset_bytes, uint64_t len_bytes)
{
    r->req = (struct blk_req){
        .op = r->task.op,
        .fua = r->task.fua,
        .offset_bytes = offset_bytes,
        .len_bytes = len_bytes,
        .iov = r->task.next == SCSI_IO ? r->data : NULL,
        .iov_count = r->task.next == SCSI_IO ? r->data_count : 0,
        .done = request_done,
    };
    blk_submit(r->owner->disks[r->target].blk, &r->req);
}

static void next_range(struct scsi_request *r)
{
    submit(r, r->task.ranges[r->range].offset_bytes, r->task.ranges[r->range].len_bytes);
}

/* The bytes of s behind the first `skip`: the driver's data. */
static bool find_data(struct scsi_request *r, const struct slices *s, uint64_t skip)
{
    r->data_count = 0;
    r->data_bytes = s->len_bytes > skip ? s->len_bytes - skip : 0;
    if (r->data_room < s->count) {
        struct iovec *data = realloc(r->data, s->count * sizeof(*data));
        if (!data)
            return false;
        r->data = data;
        r->data_room = s->count;
    }
    for (unsigned i = 0; i < s->count; i++) {
        uint64_t here = MIN(skip, (uint64_t)s->iov[i].iov_len);
        skip -= here;
        if (here < s->iov[i].iov_len)
            r->data[r->data_count++] =
                (struct iovec){(char *)s->iov[i].iov_base + here, s->iov[i].iov_len - here};
    }
    return true;
}

/* The command's data may be less than what the driver has room for. */
static void trim_data(struct scsi_request *r, uint64_t len_bytes)
{
    for (unsigned i = 0; i < r->data_count; i++) {
        uint64_t here = MIN(len_bytes, (uint64_t)r->data[i].iov_len);
        r->data[i].iov_len = here;
        len_bytes -= here;
        if (here == 0)
            r->data_count = i;
    }
}

static void begin_io(struct scsi_request *r)
{
    if (r->data_bytes < r->task.len_bytes) {
        finish(r, S_OVERRUN, 0);
        return;
    }
    trim_data(r, r->task.len_bytes);
    submit(r, r->task.offset_bytes, r->task.len_bytes);
}

static void carry_out(struct scsi_request *r, uint64_t head_bytes)
{
    struct scsi_disk *d = &r->owner->disks[r->target];
    uint8_t parameters[SCSI_PARAMETER_BYTES];
    if (r->task.next == SCSI_PARAMETERS) {
        uint64_t len = slices_get(&r->chain.out, head_bytes, parameters,
                                  MIN(r->task.want_bytes, (uint32_t)sizeof(parameters)));
        scsi_parameters(d, &r->task, parameters, (uint32_t)len);
        r->taken_bytes = len;
    }
    switch (r->task.next) {
    case SCSI_REPLY: {
        uint64_t at = RESPONSE_BYTES + sense_bytes(r->owner);
        finish(r, S_OK, slices_put(&r->chain.in, at, r->task.reply, r->task.reply_bytes));
        break;
    }
    case SCSI_IO:
        begin_io(r);
        break;
    case SCSI_RANGES_IO:
        r->range = 0;
        next_range(r);
        break;
    default:
        finish(r, S_OK, r->taken_bytes);
    }
}

/* False when the request cannot even be answered. */
static bool start(struct scsi_request *r)
{
    struct virtio_scsi *b = r->owner;
    uint8_t head[REQUEST_BYTES + CDB_BYTES_MAX] = {0};
    uint64_t head_bytes = REQUEST_BYTES + cdb_bytes(b);
    uint64_t answer_bytes = RESPONSE_BYTES + sense_bytes(b);
    bool unit_zero;
    if (slices_get(&r->chain.out, 0, head, head_bytes) < head_bytes ||
        r->chain.in.len_bytes < answer_bytes)
        return false;
    bool writes = r->chain.out.len_bytes > head_bytes;
    if (writes && r->chain.in.len_bytes > answer_bytes)
        return false; /* both directions: F_INOUT was not offered */
    if (!(writes ? find_data(r, &r->chain.out, head_bytes)
                 : find_data(r, &r->chain.in, answer_bytes)))
        return false;
    memcpy(r->task.cdb, head + REQUEST_BYTES, SCSI_CDB_BYTES);
    r->task.status = SCSI_GOOD;
    r->taken_bytes = 0;
    if (!parse_lun(head, &r->target, &unit_zero) || !b->disks[r->target].blk) {
        finish(r, S_BAD_TARGET, 0);
        return true;
    }
    if (unit_zero)
        scsi_start(&b->disks[r->target], &r->task);
    else
        scsi_start_absent(&r->task);
    /* Data in the wrong direction is none. */
    if (r->task.next == SCSI_IO && writes != (r->task.op == BLK_WRITE))
        r->data_bytes = 0;
    carry_out(r, head_bytes);
    return true;
}

static void plug_all(struct virtio_scsi *b, void (*fn)(struct blk *blk))
{
    for (unsigned i = 0; i < VIRTIO_SCSI_TARGETS; i++)
        if (b->disks[i].blk)
            fn(b->disks[i].blk);
}

/* Requests that are answered at once do not use up places: their number is bounded besides. */
static enum virtio_serving take(void *dev, unsigned n)
{
    struct virtio_scsi *b = dev;
    struct scsi_request *r = b->free;

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

static void serve(struct virtio_scsi *b, unsigned n)
{
    bool taken;

    if (b->serving)
        return;
    b->serving = true;
    plug_all(b, blk_plug_polled);
    taken = virtio_serve(&b->virtio, n, QUEUE_SIZE, take);
    plug_all(b, blk_unplug);
    plug_all(b, blk_poll_now);
    b->serving = false;
    if (taken)
        virtio_signal(&b->virtio, n);
}

/* ---- the control queue, 5.6.6.2 ---- */

/* What is under way at a disk comes to its end, and nothing new is begun meanwhile. */
static void settle(struct virtio_scsi *b, struct blk *blk)
{
    bool was = b->serving;
    b->serving = true;
    blk_drain(blk);
    b->serving = was;
}

static uint8_t manage(struct virtio_scsi *b, uint32_t subtype, const uint8_t *lun)
{
    enum {
        ABORT_TASK,
        ABORT_TASK_SET,
        CLEAR_ACA,
        CLEAR_TASK_SET,
        NEXUS_RESET,
        UNIT_RESET,
        QUERY_TASK,
        QUERY_TASK_SET
    };
    unsigned target;
    bool unit_zero;
    if (!parse_lun(lun, &target, &unit_zero) || !b->disks[target].blk)
        return S_BAD_TARGET;
    if (!unit_zero && subtype != NEXUS_RESET)
        return S_INCORRECT_LUN;
    if (subtype > QUERY_TASK_SET)
        return S_FUNCTION_REJECTED;
    /* Then there is nothing left to abort or to find: "complete" is the answer to all of them. */
    if (subtype != CLEAR_ACA)
        settle(b, b->disks[target].blk);
    if (subtype == NEXUS_RESET || subtype == UNIT_RESET)
        scsi_disk_reset(&b->disks[target]);
    return S_OK;
}

static bool control_one(struct virtio_scsi *b, const struct vq_chain *chain)
{
    uint8_t in[24] = {0}, out[5] = {0};
    uint64_t len = slices_get(&chain->out, 0, in, sizeof(in));
    uint32_t type = le32_get(in);
    if (len < 4)
        return false;
    if (type == T_TMF) {
        if (len < 24 || chain->in.len_bytes < 1)
            return false;
        out[0] = manage(b, le32_get(in + 4), in + 8);
        slices_put(&chain->in, 0, out, 1);
        slices_wrote(&chain->in, &b->virtio.queues[CONTROL_QUEUE].dma, 1);
        vq_push(&b->virtio.queues[CONTROL_QUEUE], chain->head, 1);
        return true;
    }
    /* Of the asynchronous events that may be asked for there are none. */
    if ((type != T_AN_QUERY && type != T_AN_SUBSCRIBE) || len < 16 || chain->in.len_bytes < 5)
        return false;
    slices_put(&chain->in, 0, out, sizeof(out));
    slices_wrote(&chain->in, &b->virtio.queues[CONTROL_QUEUE].dma, sizeof(out));
    vq_push(&b->virtio.queues[CONTROL_QUEUE], chain->head, sizeof(out));
    return true;
}

static enum virtio_serving take_control(void *dev, unsigned n)
{
    struct virtio_scsi *b = dev;

    if (!virtio_pop(&b->virtio, n, &b->control))
        return VIRTIO_EMPTY;
    if (!control_one(b, &b->control))
        virtio_broken(&b->virtio, -EPROTO);
    return VIRTIO_TAKEN;
}

static void serve_control(struct virtio_scsi *b)
{
    if (virtio_serve(&b->virtio, CONTROL_QUEUE, QUEUE_SIZE, take_control))
        virtio_signal(&b->virtio, CONTROL_QUEUE);
}

/* ---- the event queue, 5.6.6.3 ---- */

static void fill_event(uint8_t *event, uint32_t what, unsigned target, uint32_t reason)
{
    memset(event, 0, EVENT_BYTES);
    le32_put(event, what);
    event[4] = 1;
    event[5] = (uint8_t)target;
    event[6] = 0x40;
    le32_put(event + 12, reason);
}

/* The next thing that the driver is to know. */
static bool take_event(struct virtio_scsi *b, uint8_t *event)
{
    for (unsigned i = 0; i < VIRTIO_SCSI_TARGETS; i++) {
        uint32_t bit = 1u << i;
        if (b->removed & bit) {
            b->removed &= ~bit;
            fill_event(event, T_TRANSPORT_RESET, i, RESET_REMOVED);
            return true;
        }
        if (b->added & bit) {
            b->added &= ~bit;
            fill_event(event, T_TRANSPORT_RESET, i, RESET_RESCAN);
            return true;
        }
    }
    return false;
}

static void serve_events(struct virtio_scsi *b)
{
    uint8_t event[EVENT_BYTES];
    unsigned done = 0;
    if (!virtio_has(&b->virtio, F_HOTPLUG)) {
        b->added = b->removed = 0;
        return;
    }
    while ((b->added || b->removed) && virtio_running(&b->virtio)) {
        struct virtqueue *vq = &b->virtio.queues[EVENT_QUEUE];
        if (!virtio_pop(&b->virtio, EVENT_QUEUE, &b->control)) {
            /* It waits for the driver to give us room. */
            if (virtio_running(&b->virtio) && vq->enabled && vq_arm(vq))
                continue;
            break;
        }
        if (b->control.in.len_bytes < EVENT_BYTES) {
            virtio_broken(&b->virtio, -EPROTO);
            return;
        }
        take_event(b, event);
        slices_put(&b->control.in, 0, event, sizeof(event));
        slices_wrote(&b->control.in, &vq->dma, sizeof(event));
        vq_push(vq, b->control.head, sizeof(event));
        done++;
    }
    if (done)
        virtio_signal(&b->virtio, EVENT_QUEUE);
}

int virtio_scsi_plug(struct virtio_scsi *b, unsigned target, struct blk *blk, const char *serial)
{
    if (target >= VIRTIO_SCSI_TARGETS)
        return -ENODEV;
    if (b->disks[target].blk)
        return -EBUSY;
    scsi_disk_init(&b->disks[target], blk, serial);
    if (virtio_running(&b->virtio)) {
        b->added |= 1u << target;
        serve_events(b);
    }
    return 0;
}

int virtio_scsi_unplug(struct virtio_scsi *b, unsigned target)
{
    if (target >= VIRTIO_SCSI_TARGETS || !b->disks[target].blk)
        return -ENODEV;
    struct blk *blk = b->disks[target].blk;
    b->disks[target].blk = NULL;
    blk_drain(blk);
    if (virtio_running(&b->virtio)) {
        /* If the driver has not heard of this disk, it need not hear of its end. */
        if (!(b->added & 1u << target))
            b->removed |= 1u << target;
        b->added &= ~(1u << target);
        serve_events(b);
    }
    return 0;
}

/* ---- the device ---- */

static void scsi_notify(void *dev, unsigned n)
{
    if (n == CONTROL_QUEUE)
        serve_control(dev);
    else if (n == EVENT_QUEUE)
        serve_events(dev);
    else
        serve(dev, n);
}

static void scsi_config_written(void *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    config_check(dev);
}

static void scsi_reset(void *dev)
{
    struct virtio_scsi *b = dev;
    b->cancelled = true;
    plug_all(b, blk_drain);
    b->cancelled = false;
    b->added = b->removed = 0;
    for (unsigned i = 0; i < VIRTIO_SCSI_TARGETS; i++)
        scsi_disk_reset(&b->disks[i]);
}

static void fill_config(struct virtio_scsi *b)
{
    struct virtio *v = &b->virtio;
    uint8_t *c = v->config;
    le32_put(c + CFG_NUM_QUEUES, v->queue_count - FIRST_REQUEST_QUEUE);
    le32_put(c + CFG_SEG_MAX, QUEUE_SIZE - 2);
    le32_put(c + CFG_MAX_SECTORS, 0xffff);
    le32_put(c + CFG_CMD_PER_LUN, QUEUE_SIZE / 2);
    le32_put(c + CFG_EVENT_BYTES, EVENT_BYTES);
    le16_put(c + CFG_MAX_TARGET, VIRTIO_SCSI_TARGETS - 1);
    memset(v->config_wmask + CFG_SENSE_BYTES, 0xff, 8);
    config_defaults(b);
}

static void virtio_scsi_reset(void *dev)
{
    struct virtio_scsi *b = dev;
    virtio_reset(&b->virtio);
    config_defaults(b);
}

static int virtio_scsi_state(void *dev, struct state *s)
{
    struct virtio_scsi *b = dev;
    virtio_state(&b->virtio, s);
    state_u32(s, "added", &b->added);
    state_u32(s, "removed", &b->removed);
    b->added &= (1u << VIRTIO_SCSI_TARGETS) - 1;
    b->removed &= (1u << VIRTIO_SCSI_TARGETS) - 1;
    for (unsigned i = 0; i < VIRTIO_SCSI_TARGETS; i++) {
        bool plugged = b->disks[i].blk, was_plugged = plugged;
        state_bool(s, STATE_NAME("plugged", i), &was_plugged);
        state_check(s, plugged == was_plugged);
        scsi_disk_state(&b->disks[i], i, s);
    }
    config_check(b);
    return state_error(s);
}

static void virtio_scsi_free(void *dev)
{
    struct virtio_scsi *b = dev;
    scsi_reset(b);
    virtio_done(&b->virtio);
    for (unsigned i = 0; i < b->request_count; i++) {
        vq_chain_done(&b->requests[i].chain);
        free(b->requests[i].data);
    }
    vq_chain_done(&b->control);
    free(b->requests);
    free(b);
}

const struct dev_ops virtio_scsi_dev_ops = {
    .name = "virtio-scsi",
    .version = 1,
    .reset = virtio_scsi_reset,
    .state = virtio_scsi_state,
    .free = virtio_scsi_free,
};

static const struct virtio_ops scsi_virtio_ops = {
    .id = 8,
    .class_code = 0x010000,
    .notify = scsi_notify,
    .config_written = scsi_config_written,
    .reset = scsi_reset,
};

int virtio_scsi_new(const struct virtio_scsi_env *env, struct virtio_scsi **ret_dev)
{
    unsigned queues = MIN(MAX(env->queues, 1u), VIRTIO_QUEUES_MAX - FIRST_REQUEST_QUEUE);
    struct virtio_scsi *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->request_count = QUEUE_SIZE;
    b->requests = calloc(b->request_count, sizeof(*b->requests));
    if (!b->requests) {
        free(b);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < b->request_count; i++) {
        b->requests[i].owner = b;
        release(&b->requests[i]);
    }
    for (unsigned i = 0; i < VIRTIO_SCSI_TARGETS; i++)
        scsi_disk_reset(&b->disks[i]);
    int r = virtio_init(&b->virtio, &env->virtio, "virtio-scsi", &scsi_virtio_ops, b, F_HOTPLUG,
                        FIRST_REQUEST_QUEUE + queues, QUEUE_SIZE, CFG_BYTES);
    if (r < 0) {
        virtio_scsi_free(b);
        return r;
    }
    fill_config(b);
    *ret_dev = b;
    return 0;
}
