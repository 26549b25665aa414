/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A few threads share out a disk in chunks. One hands out the next chunk that is not a hole, under
 * a lock; reading, looking for zeroes and writing go on beside each other. Where the target has
 * still to find a place for what it is given, chunks are written in their order: the same contents
 * make the same image each time, and lie in it one behind the other.
 */
#include "block/copy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define THREADS 4u
/* Small enough for what was read to be in the processor's cache when it is written. */
#define COPY_BYTES (512u << 10)
#define COMPARE_BYTES (256u << 10)
/* A hole is worth making from this size on: file systems know no smaller ones. */
#define GRAIN_BYTES 4096u

/* What one thread has in hand. */
struct chunk {
    uint64_t at, len, number;
    uint8_t *buf[2];
    struct error err;
};

struct job {
    struct blk *a, *b; /* from and to, or two to be compared */
    uint64_t size_bytes;
    uint32_t chunk_bytes;
    unsigned depth;                 /* of copy_changes() */
    const struct freespace *unused; /* of copy_disk() */
    bool ordered;                   /* chunks are written one after the other */
    /* From `at` on, for how long has nothing to be done (*ret_idle), or something? */
    int (*look)(struct job *job, uint64_t at, uint64_t *ret_len, bool *ret_idle);
    /* Do it. 0, 1: stop here, or -errno with text in the chunk. */
    int (*work)(struct job *job, struct chunk *chunk);
    const struct progress *progress;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t turned;
    uint64_t next, handed_out; /* where the next chunk begins; how many there were */
    uint64_t busy_to;          /* up to there something is known to have to be done */
    uint64_t turn;             /* the number of the chunk that may be written now */
    int result;
    uint64_t result_at; /* of the first chunk with that result */
    struct error err;
};

bool bytes_are_zero(const void *buf, size_t len_bytes)
{
    const char *p = buf;
    /* Comparing a buffer with itself one byte on runs at the speed of memcmp(). */
    return len_bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, len_bytes - 1) == 0);
}

static int cannot(struct error *err, int r, const char *what, uint64_t at)
{
    return error_set(err, r, "the disk cannot be %s at byte %llu: %s", what, (unsigned long long)at,
                     strerror(-r));
}

/* ---- the threads ---- */

/* Lock held. An error ends everything, an answer whatever lies behind it. */
static void set_result(struct job *job, int result, uint64_t at, const struct error *err)
{
    bool first = job->result == 0 || (job->result > 0 && (result < 0 || at < job->result_at));
    if (result == 0 || !first)
        return;
    job->result = result;
    job->result_at = at;
    if (err)
        job->err = *err;
    pthread_cond_broadcast(&job->turned);
}

static bool is_over(const struct job *job, uint64_t at)
{
    return job->result < 0 || (job->result > 0 && at >= job->result_at);
}

/* The next chunk; false: there is none for us. Only one of the threads reports how far we are. */
static bool take(struct job *job, struct chunk *chunk, bool reporter)
{
    bool taken = false;
    pthread_mutex_lock(&job->lock);
    while (job->result == 0 && job->next < job->size_bytes && !taken) {
        const struct progress *p = reporter ? job->progress : NULL;
        bool idle = false;
        uint64_t len;
        if (p && p->step && !p->step(p->ctx, job->next, job->size_bytes)) {
            error_set(&chunk->err, -ECANCELED, "cancelled");
            set_result(job, -ECANCELED, 0, &chunk->err);
            break;
        }
        if (job->next >= job->busy_to) {
            int r = job->look(job, job->next, &len, &idle);
            if (r < 0) {
                set_result(job, cannot(&chunk->err, r, "read", job->next), 0, &chunk->err);
                break;
            }
            if (!idle)
                job->busy_to = job->next + len;
        }
        if (!idle) {
            len = MIN(job->size_bytes - job->next, job->chunk_bytes - job->next % job->chunk_bytes);
            chunk->at = job->next;
            chunk->len = len;
            chunk->number = job->handed_out++;
            taken = true;
        }
        job->next += len;
    }
    pthread_mutex_unlock(&job->lock);
    return taken;
}

/* Wait until all chunks before are written; false: it came to an end otherwise. */
static bool wait_turn(struct job *job, const struct chunk *chunk)
{
    if (!job->ordered)
        return true;
    pthread_mutex_lock(&job->lock);
    while (job->turn != chunk->number && !is_over(job, chunk->at))
        pthread_cond_wait(&job->turned, &job->lock);
    bool go = job->turn == chunk->number;
    pthread_mutex_unlock(&job->lock);
    return go;
}

static void end_turn(struct job *job, const struct chunk *chunk)
{
    if (!job->ordered)
        return;
    pthread_mutex_lock(&job->lock);
    while (job->turn != chunk->number && job->result >= 0)
        pthread_cond_wait(&job->turned, &job->lock);
    job->turn = chunk->number + 1;
    pthread_cond_broadcast(&job->turned);
    pthread_mutex_unlock(&job->lock);
}

static void run(struct job *job, bool reporter)
{
    struct chunk chunk = {.buf = {malloc(job->chunk_bytes), malloc(job->chunk_bytes)}};
    if (!chunk.buf[0] || !chunk.buf[1]) {
        pthread_mutex_lock(&job->lock);
        error_set(&chunk.err, -ENOMEM, "out of memory");
        set_result(job, -ENOMEM, 0, &chunk.err);
        pthread_mutex_unlock(&job->lock);
    }
    while (take(job, &chunk, reporter)) {
        int r = job->work(job, &chunk);
        if (r) {
            pthread_mutex_lock(&job->lock);
            set_result(job, r, chunk.at, &chunk.err);
            pthread_mutex_unlock(&job->lock);
        }
        end_turn(job, &chunk);
    }
    free(chunk.buf[0]);
    free(chunk.buf[1]);
}

static void *helper(void *arg)
{
    run(arg, false);
    return NULL;
}

static int do_job(struct job *job, struct error *err)
{
    pthread_t threads[THREADS - 1];
    unsigned count = 0;
    sigset_t all, old;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->turned, NULL);
    /* Signals are for the main thread. A host that gives us no thread has one less. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool can_share = job->a->ops->run && job->b->ops->run;
    while (can_share && count < ARRAY_LEN(threads) &&
           pthread_create(&threads[count], NULL, helper, job) == 0)
        count++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    run(job, true);
    while (count)
        pthread_join(threads[--count], NULL);
    pthread_cond_destroy(&job->turned);
    pthread_mutex_destroy(&job->lock);
    if (job->result < 0)
        return error_set(err, job->result, "%s", job->err.text);
    const struct progress *p = job->progress;
    if (job->result == 0 && p && p->step && !p->step(p->ctx, job->size_bytes, job->size_bytes))
        return error_set(err, -ECANCELED, "cancelled");
    return job->result;
}

/* ---- copying ---- */

/* Whether what is written to a new disk has its place already. */
static bool has_places(struct blk *to)
{
    struct blk_extent extent;
    unsigned how = BLK_MAP_NOWAIT | BLK_MAP_INPLACE;
    return to->ops->map && to->ops->map(to, 0, 1, how, &extent) == 0;
}

/* Write what is not zero of a buffer to a disk that is zero so far. */
static int put_nonzero(struct blk *to, const uint8_t *buf, uint64_t len, uint64_t at)
{
    for (uint64_t i = 0; i < len;) {
        uint64_t grain = MIN(len - i, GRAIN_BYTES - (at + i) % GRAIN_BYTES), run = grain;
        if (bytes_are_zero(buf + i, grain)) {
            i += grain;
            continue;
        }
        while (i + run < len) {
            grain = MIN(len - i - run, (uint64_t)GRAIN_BYTES);
            if (bytes_are_zero(buf + i + run, grain))
                break;
            run += grain;
        }
        int r = blk_pwrite(to, buf + i, run, at + i);
        if (r < 0)
            return r;
        i += run;
    }
    return 0;
}

static int look_for_data(struct job *job, uint64_t at, uint64_t *ret_len, bool *ret_idle)
{
    struct blk_extent extent;
    int r = blk_map(job->a, at, job->size_bytes - at, &extent);
    if (r == 0) {
        *ret_len = extent.len_bytes;
        *ret_idle = extent.zero;
    }
    return r;
}

static int copy_chunk(struct job *job, struct chunk *chunk)
{
    if (freespace_covers(job->unused, chunk->at, chunk->len))
        return 0;
    int r = blk_pread(job->a, chunk->buf[0], chunk->len, chunk->at);
    if (r < 0)
        return cannot(&chunk->err, r, "read", chunk->at);
    freespace_clear(job->unused, chunk->buf[0], chunk->at, chunk->len);
    if (!wait_turn(job, chunk))
        return 0;
    r = put_nonzero(job->b, chunk->buf[0], chunk->len, chunk->at);
    return r < 0 ? cannot(&chunk->err, r, "written", chunk->at) : 0;
}

int copy_disk(struct blk *from, struct blk *to, const struct freespace *unused,
              const struct progress *progress, struct error *err)
{
    struct job job = {.a = from,
                      .b = to,
                      .size_bytes = from->size_bytes,
                      .chunk_bytes = COPY_BYTES,
                      .ordered = !has_places(to),
                      .unused = unused,
                      .look = look_for_data,
                      .work = copy_chunk,
                      .progress = progress};
    return do_job(&job, err);
}

static int look_for_changes(struct job *job, uint64_t at, uint64_t *ret_len, bool *ret_idle)
{
    struct blk_extent extent;
    int r = blk_map(job->a, at, job->size_bytes - at, &extent);
    if (r == 0) {
        *ret_len = extent.len_bytes;
        *ret_idle = extent.zero || extent.depth > job->depth;
    }
    return r;
}

static int copy_changed(struct job *job, struct chunk *chunk)
{
    uint64_t end = chunk->at + chunk->len;
    for (uint64_t at = chunk->at; at < end;) {
        struct blk_extent extent;
        int r = blk_map(job->a, at, end - at, &extent);
        if (r < 0)
            return cannot(&chunk->err, r, "read", at);
        if (!extent.zero && extent.depth <= job->depth) {
            r = blk_pread(job->a, chunk->buf[0], extent.len_bytes, at);
            if (r < 0)
                return cannot(&chunk->err, r, "read", at);
            if (!wait_turn(job, chunk))
                return 0;
            r = bytes_are_zero(chunk->buf[0], extent.len_bytes)
                    ? blk_zero(job->b, extent.len_bytes, at)
                    : blk_pwrite(job->b, chunk->buf[0], extent.len_bytes, at);
            if (r < 0)
                return cannot(&chunk->err, r, "written", at);
        }
        at += extent.len_bytes;
    }
    return 0;
}

int copy_changes(struct blk *from, struct blk *to, unsigned depth, const struct progress *progress,
                 struct error *err)
{
    struct job job = {.a = from,
                      .b = to,
                      .size_bytes = from->size_bytes,
                      .chunk_bytes = COPY_BYTES,
                      .depth = depth,
                      .ordered = true,
                      .look = look_for_changes,
                      .work = copy_changed,
                      .progress = progress};
    return do_job(&job, err);
}

/* ---- comparing ---- */

/* Where both are zero there is nothing to compare. */
static int look_at_both(struct job *job, uint64_t at, uint64_t *ret_len, bool *ret_idle)
{
    struct blk *disks[2] = {job->a, job->b};
    uint64_t len = job->size_bytes - at;
    bool zero = true;
    for (unsigned i = 0; i < 2 && zero; i++) {
        struct blk_extent extent = {.zero = true, .len_bytes = len};
        if (at < disks[i]->size_bytes) {
            int r = blk_map(disks[i], at, MIN(len, disks[i]->size_bytes - at), &extent);
            if (r < 0)
                return r;
        }
        zero = extent.zero;
        len = zero ? MIN(len, extent.len_bytes) : extent.len_bytes;
    }
    *ret_len = len;
    *ret_idle = zero;
    return 0;
}

static int read_padded(struct blk *blk, uint8_t *buf, uint64_t len, uint64_t at)
{
    uint64_t here = at < blk->size_bytes ? MIN(len, blk->size_bytes - at) : 0;
    memset(buf + here, 0, len - here);
    return here ? blk_pread(blk, buf, here, at) : 0;
}

static int compare_chunk(struct job *job, struct chunk *chunk)
{
    int r = read_padded(job->a, chunk->buf[0], chunk->len, chunk->at);
    if (r == 0)
        r = read_padded(job->b, chunk->buf[1], chunk->len, chunk->at);
    if (r < 0)
        return cannot(&chunk->err, r, "read", chunk->at);
    if (memcmp(chunk->buf[0], chunk->buf[1], chunk->len) == 0)
        return 0;
    uint64_t i = 0;
    while (chunk->buf[0][i] == chunk->buf[1][i])
        i++;
    chunk->at += i;
    return 1;
}

int compare_disks(struct blk *a, struct blk *b, const struct progress *progress,
                  uint64_t *ret_offset, struct error *err)
{
    struct job job = {.a = a,
                      .b = b,
                      .size_bytes = MAX(a->size_bytes, b->size_bytes),
                      .chunk_bytes = COMPARE_BYTES,
                      .look = look_at_both,
                      .work = compare_chunk,
                      .progress = progress};
    int r = do_job(&job, err);
    if (r == 1)
        *ret_offset = job.result_at;
    return r;
}
