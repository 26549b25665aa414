/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado disk bench`: requests of one kind, so many at once, and how long they took. They reach the
 * disk as those of a virtio device do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "cli/disk.h"

#define DEPTH_MAX 1024u

struct bench;

struct slot {
    struct blk_req req;
    struct iovec iov;
    struct bench *bench;
    struct slot *next_idle;
};

struct bench {
    const char *path;
    bool write, random, json;
    uint64_t size_bytes, depth, count, flush_every, stride_bytes;
    struct blk *blk;
    struct slot *slots, *idle;
    uint64_t started, finished, next_at, seed, positions;
    int result;
};

static void slot_start(struct slot *slot)
{
    struct bench *b = slot->bench;
    uint64_t n = b->next_at % b->positions;
    b->next_at += b->stride_bytes ? b->stride_bytes / b->size_bytes : 1;
    if (b->random) {
        b->seed = b->seed * 6364136223846793005ULL + 1442695040888963407ULL;
        n = (b->seed >> 20) % b->positions;
    }
    b->started++;
    slot->req.offset_bytes = n * b->size_bytes;
    slot->req.op = b->write ? BLK_WRITE : BLK_READ;
    slot->req.iov_count = 1;
    slot->req.len_bytes = b->size_bytes;
    if (b->write && b->flush_every && b->started % b->flush_every == 0) {
        slot->req.op = BLK_FLUSH;
        slot->req.iov_count = 0;
    }
    blk_submit(b->blk, &slot->req);
}

static void slot_done(struct blk_req *req, int result)
{
    struct slot *slot = CONTAINER_OF(req, struct slot, req);
    struct bench *b = slot->bench;
    b->finished++;
    if (result < 0 && b->result == 0)
        b->result = result;
    slot->next_idle = b->idle;
    b->idle = slot;
}

static int prepare(struct bench *b, uint8_t **ret_buffers, struct error *err)
{
    b->positions = b->blk->size_bytes / b->size_bytes;
    if (b->positions == 0)
        return error_set(err, -EINVAL, "%s is smaller than one request", b->path);
    b->slots = calloc(b->depth, sizeof(*b->slots));
    uint8_t *buffers = aligned_alloc(4096, align_up(b->depth * b->size_bytes, 4096));
    if (!b->slots || !buffers) {
        free(buffers);
        return error_set(err, -ENOMEM, "out of memory");
    }
    memset(buffers, 0xa5, b->depth * b->size_bytes);
    for (uint64_t i = 0; i < b->depth; i++) {
        struct slot *slot = &b->slots[i];
        slot->bench = b;
        slot->iov = (struct iovec){buffers + i * b->size_bytes, b->size_bytes};
        slot->req.iov = &slot->iov;
        slot->req.done = slot_done;
        slot->next_idle = b->idle;
        b->idle = slot;
    }
    *ret_buffers = buffers;
    return 0;
}

static bool wants_more(const struct bench *b)
{
    return b->started < b->count && b->result == 0;
}

static void start_idle(struct bench *b)
{
    blk_plug_polled(b->blk);
    while (b->idle && wants_more(b)) {
        struct slot *slot = b->idle;
        b->idle = slot->next_idle;
        slot_start(slot);
    }
    blk_unplug(b->blk);
    blk_poll_now(b->blk);
}

static double since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

static void report(const struct bench *b, double open_seconds, double seconds)
{
    double rate = seconds > 0 ? (double)b->finished / seconds : 0;
    double mib = rate * (double)b->size_bytes / (double)MIB(1);
    if (b->json)
        printf("{\"open-seconds\": %.6f, \"seconds\": %.4f, \"requests\": %llu, \"per-second\": "
               "%.0f, \"mib-per-second\": %.1f}\n",
               open_seconds, seconds, (unsigned long long)b->finished, rate, mib);
    else
        printf("opened in %.2f ms; %llu requests in %.3f s: %.0f a second, %.1f MiB/s\n",
               open_seconds * 1e3, (unsigned long long)b->finished, seconds, rate, mib);
}

static int run(struct bench *b, struct error *err)
{
    struct blk_options options = {.readonly = !b->write};
    AUTO_FREE uint8_t *buffers = NULL;
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int r = blk_open_with(b->path, &options, &b->blk, err);
    if (r < 0)
        return r;
    double open_seconds = since(&begin);
    r = prepare(b, &buffers, err);
    if (r == 0) {
        clock_gettime(CLOCK_MONOTONIC, &begin);
        while (b->blk->in_flight || wants_more(b)) {
            start_idle(b);
            if (!b->idle || (b->blk->in_flight && !wants_more(b)))
                blk_wait(b->blk);
        }
        double seconds = since(&begin);
        r = b->result;
        if (r < 0)
            error_set(err, r, "%s: a request failed: %s", b->path, strerror(-r));
        else
            report(b, open_seconds, seconds);
    }
    blk_close(b->blk);
    free(b->slots);
    return r;
}

static int parse_number(const char *name, const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t n;
    if (size_parse(text, &n) < 0 || n == 0 || n > max)
        return disk_usage("bench", "--%s: '%s' is not a number from 1 to %llu", name, text,
                          (unsigned long long)max);
    *ret = n;
    return CLI_OK;
}

int disk_bench(int argc, char **argv)
{
    static const struct option options[] = {{"write", no_argument, NULL, 'w'},
                                            {"random", no_argument, NULL, 'r'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"size", required_argument, NULL, 's'},
                                            {"depth", required_argument, NULL, 'd'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"flush", required_argument, NULL, 'f'},
                                            {"stride", required_argument, NULL, 't'},
                                            {0}};
    struct bench b = {.size_bytes = 4096, .depth = 32, .count = 75000, .seed = 1};
    struct error err = {""};
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        switch (c) {
        case 'w':
            b.write = true;
            break;
        case 'r':
            b.random = true;
            break;
        case 'j':
            b.json = true;
            break;
        case 's':
            status = parse_number("size", optarg, MIB(64), &b.size_bytes);
            break;
        case 'd':
            status = parse_number("depth", optarg, DEPTH_MAX, &b.depth);
            break;
        case 'c':
            status = parse_number("count", optarg, UINT32_MAX, &b.count);
            break;
        case 'f':
            status = parse_number("flush", optarg, UINT32_MAX, &b.flush_every);
            break;
        case 't':
            status = parse_number("stride", optarg, UINT32_MAX, &b.stride_bytes);
            break;
        default:
            return disk_bad_option("bench", argv);
        }
    }
    if (status != CLI_OK)
        return status;
    if (b.stride_bytes % b.size_bytes)
        return disk_usage("bench", "--stride: give a multiple of --size");
    if (optind + 1 != argc)
        return disk_usage("bench", "give one image");
    b.path = argv[optind];
    int r = run(&b, &err);
    return r < 0 ? disk_error("bench", r, &err) : CLI_OK;
}
