/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.5: traditional memory balloon, with statistics. Pages that the guest puts
 * into the balloon are given back to the host at once and read as zeroes should it use them all
 * the same. Left out: free page hinting and reporting, page poisoning.
 */
#include "hw/virtio/virtio_balloon.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#define QUEUE_SIZE 128
#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u
#define STAT_BYTES 10u
/* Page numbers in one buffer; drivers send 256. */
#define MAX_PFNS 65536u

enum { INFLATE, DEFLATE, STATS };
enum { F_STATS_VQ = 1 << 1, F_DEFLATE_ON_OOM = 1 << 2 };
enum { CFG_NUM_PAGES = 0, CFG_ACTUAL = 4, CFG_BYTES = 8 };

struct virtio_balloon {
    struct virtio virtio;
    struct vq_chain chain;
    struct slices page;
    struct virtio_balloon_stats stats;
    bool stats_held; /* the driver's buffer waits in the queue for our next request */
};

/* Give a page's storage back. It may lie anywhere a guest can name: only RAM counts. */
static void give_back(struct virtio_balloon *b, struct virtqueue *vq, uint64_t gpa)
{
    b->page.count = 0;
    b->page.len_bytes = 0;
    if (slices_add(&b->page, &vq->dma, gpa, PAGE_BYTES, true) < 0 || b->page.count != 1 ||
        b->page.ram_offset[0] % PAGE_BYTES)
        return;
    if (madvise(b->page.iov[0].iov_base, PAGE_BYTES, MADV_DONTNEED) == 0)
        ram_wrote(bus_ram(vq->dma.bus), b->page.ram_offset[0], PAGE_BYTES);
}

static bool take_pages(struct virtio_balloon *b, struct virtqueue *vq, bool inflate)
{
    uint64_t count = b->chain.out.len_bytes / 4;
    if (count > MAX_PFNS)
        return false;
    for (uint64_t at = 0; inflate && at < count;) {
        uint8_t pfns[1024];
        uint64_t n = slices_get(&b->chain.out, 4 * at, pfns, sizeof(pfns)) / 4;
        for (uint64_t i = 0; i < n; i++)
            give_back(b, vq, (uint64_t)le32_get(pfns + 4 * i) << PAGE_SHIFT);
        at += n;
    }
    return true; /* a deflated page is simply used again */
}

static enum virtio_serving take(void *dev, unsigned n)
{
    struct virtio_balloon *b = dev;
    struct virtqueue *vq = &b->virtio.queues[n];

    if (!virtio_pop(&b->virtio, n, &b->chain))
        return VIRTIO_EMPTY;
    if (!take_pages(b, vq, n == INFLATE))
        virtio_broken(&b->virtio, -EPROTO);
    else
        vq_push(vq, b->chain.head, 0);
    return VIRTIO_TAKEN;
}

static void serve_pages(struct virtio_balloon *b, unsigned n)
{
    if (virtio_serve(&b->virtio, n, QUEUE_SIZE, take))
        virtio_signal(&b->virtio, n);
}

static void parse_stats(struct virtio_balloon *b)
{
    uint64_t *const fields[] = {
        &b->stats.swap_in,         &b->stats.swap_out,     &b->stats.major_faults,
        &b->stats.minor_faults,    &b->stats.free_bytes,   &b->stats.total_bytes,
        &b->stats.available_bytes, &b->stats.caches_bytes, &b->stats.hugetlb_allocated,
        &b->stats.hugetlb_failed,
    };
    uint8_t stat[STAT_BYTES];
    for (unsigned i = 0; i < 64; i++) {
        if (slices_get(&b->chain.out, i * STAT_BYTES, stat, sizeof(stat)) < sizeof(stat))
            break;
        if (le16_get(stat) < ARRAY_LEN(fields))
            *fields[le16_get(stat)] = le64_get(stat + 2);
    }
}

/* 5.5.6.3: the driver offers one buffer; we keep it until we want to hear again. */
static void serve_stats(struct virtio_balloon *b)
{
    if (b->stats_held || !virtio_pop(&b->virtio, STATS, &b->chain))
        return;
    parse_stats(b);
    b->stats_held = true;
    vq_unpop(&b->virtio.queues[STATS]);
}

static void balloon_notify(void *dev, unsigned n)
{
    if (n == STATS)
        serve_stats(dev);
    else
        serve_pages(dev, n);
}

void virtio_balloon_set_target(struct virtio_balloon *b, uint64_t size_bytes)
{
    uint64_t pages = MIN(size_bytes >> PAGE_SHIFT, 0xffffffffull);
    le32_put(b->virtio.config + CFG_NUM_PAGES, (uint32_t)pages);
    virtio_config_changed(&b->virtio);
}

uint64_t virtio_balloon_actual_bytes(const struct virtio_balloon *b)
{
    return (uint64_t)le32_get(b->virtio.config + CFG_ACTUAL) << PAGE_SHIFT;
}

int virtio_balloon_request_stats(struct virtio_balloon *b)
{
    struct virtqueue *vq = &b->virtio.queues[STATS];
    if (!b->stats_held || !virtio_pop(&b->virtio, STATS, &b->chain))
        return -EAGAIN;
    b->stats_held = false;
    vq_push(vq, b->chain.head, 0);
    (void)vq_arm(vq); /* what is there already is found by the notification to come */
    virtio_signal(&b->virtio, STATS);
    return 0;
}

const struct virtio_balloon_stats *virtio_balloon_stats(const struct virtio_balloon *b)
{
    return &b->stats;
}

static void balloon_reset(void *dev)
{
    struct virtio_balloon *b = dev;
    memset(&b->stats, 0xff, sizeof(b->stats));
    b->stats_held = false;
}

/* A new guest has all its memory; what was asked of the old one is asked of it too. */
static void virtio_balloon_reset(void *dev)
{
    struct virtio_balloon *b = dev;
    virtio_reset(&b->virtio);
    le32_put(b->virtio.config + CFG_ACTUAL, 0);
}

static int virtio_balloon_state(void *dev, struct state *s)
{
    struct virtio_balloon *b = dev;
    uint32_t target = le32_get(b->virtio.config + CFG_NUM_PAGES);
    virtio_state(&b->virtio, s);
    state_u32(s, "target", &target);
    state_bytes(s, "stats", &b->stats, sizeof(b->stats));
    state_bool(s, "stats_held", &b->stats_held);
    le32_put(b->virtio.config + CFG_NUM_PAGES, target);
    return state_error(s);
}

static void virtio_balloon_free(void *dev)
{
    struct virtio_balloon *b = dev;
    virtio_done(&b->virtio);
    vq_chain_done(&b->chain);
    slices_done(&b->page);
    free(b);
}

const struct dev_ops virtio_balloon_dev_ops = {
    .name = "virtio-balloon",
    .version = 1,
    .reset = virtio_balloon_reset,
    .state = virtio_balloon_state,
    .free = virtio_balloon_free,
};

static const struct virtio_ops balloon_virtio_ops = {
    .id = 5,
    .class_code = 0x00ff00,
    .notify = balloon_notify,
    .reset = balloon_reset,
};

int virtio_balloon_new(const struct virtio_env *env, struct virtio_balloon **ret_dev)
{
    struct virtio_balloon *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    int r = virtio_init(&b->virtio, env, "virtio-balloon", &balloon_virtio_ops, b,
                        F_STATS_VQ | F_DEFLATE_ON_OOM, 3, QUEUE_SIZE, CFG_BYTES);
    if (r < 0) {
        virtio_balloon_free(b);
        return r;
    }
    le32_put(b->virtio.config_wmask + CFG_ACTUAL, 0xffffffff);
    balloon_reset(b);
    *ret_dev = b;
    return 0;
}
