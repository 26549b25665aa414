/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>

#define HUGE_BYTES (1ULL << AHEAD_SHIFT)
#define QUEUE 16u /* more than that, and what was asked first is late anyway */
#define NOTHING UINT64_MAX
#define UP 1u /* bit 0 of what is wanted; above it the number */

/* Linux 5.14; an older kernel refuses it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct ahead_thread {
    pthread_t id;
    sem_t more;
    _Atomic bool ends;
    _Atomic unsigned next;         /* of the queue, to be written */
    _Atomic uint64_t queue[QUEUE]; /* what is wanted, or NOTHING */
};

/* The part of a huge page that is the store's. */
static uint8_t *part_of(const struct ahead *a, uint64_t number, size_t *ret_bytes)
{
    uint8_t *begin = (uint8_t *)((a->first + number) << AHEAD_SHIFT), *end = begin + HUGE_BYTES;

    begin = MAX(begin, a->begin);
    *ret_bytes = (size_t)(MIN(end, a->end) - begin);
    return begin;
}

static bool is_touched(const struct ahead *a, uint64_t number)
{
    return number < a->count && !ahead_is_new(a, number);
}

static bool is_whole(const struct ahead *a, uint64_t number)
{
    unsigned char pages[HUGE_BYTES / RAM_PAGE_BYTES];
    size_t bytes;
    uint8_t *at = part_of(a, number, &bytes);

    if (mincore(at, bytes, pages) < 0)
        return false;
    for (size_t i = 0; i < bytes / RAM_PAGE_BYTES; i++)
        if (!(pages[i] & 1))
            return false;
    return true;
}

/*
 * Make one ready. The guest was two before it: that one says whether the host has huge pages, for a
 * guest rarely touches all of two megabytes.
 */
static void make_ready(const struct ahead *a, uint64_t wanted)
{
    uint64_t number = wanted >> 1, before = wanted & UP ? number - 2 : number + 2;
    size_t bytes;

    if (is_touched(a, number) || !is_whole(a, before))
        return;
    uint8_t *at = part_of(a, number, &bytes);
    (void)madvise(at, bytes, MADV_POPULATE_WRITE);
}

static void *thread_main(void *opaque)
{
    struct ahead *a = opaque;
    struct ahead_thread *t = a->thread;

    for (unsigned i = 0;; i = (i + 1) % QUEUE) {
        while (sem_wait(&t->more) < 0)
            ;
        if (atomic_load(&t->ends))
            return NULL;
        uint64_t wanted = atomic_exchange(&t->queue[i], NOTHING);
        if (wanted != NOTHING)
            make_ready(a, wanted);
    }
}

void ahead_touch(struct ahead *a, uint64_t number)
{
    struct ahead_thread *t = a->thread;

    bool up = is_touched(a, number - 1), down = is_touched(a, number + 1);
    uint64_t next = up ? number + 1 : number - 1;

    if (atomic_exchange(&a->touched[number], 1) || up == down || next >= a->count)
        return;
    atomic_store(&t->queue[atomic_fetch_add(&t->next, 1) % QUEUE], next << 1 | (up ? UP : 0));
    sem_post(&t->more);
}

static int start(struct ahead *a)
{
    struct ahead_thread *t = a->thread;
    sigset_t all, old;

    for (unsigned i = 0; i < QUEUE; i++)
        atomic_init(&t->queue[i], NOTHING);
    if (sem_init(&t->more, 0, 0) < 0)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&t->id, NULL, thread_main, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        sem_destroy(&t->more);
    return -r;
}

static void release(struct ahead *a)
{
    free((void *)a->touched);
    free(a->thread);
    free(a);
}

int ahead_new(struct ram *ram, struct ahead **ret_ahead)
{
    struct ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->begin = ram->host;
    a->end = ram->host + ram->size_bytes;
    a->first = (uint64_t)a->begin >> AHEAD_SHIFT;
    a->count = ahead_number(a, a->end - 1) + 1;
    a->touched = calloc(a->count, 1);
    a->thread = calloc(1, sizeof(*a->thread));
    int r = a->touched && a->thread ? start(a) : -ENOMEM;
    if (r < 0) {
        release(a);
        return r;
    }
    *ret_ahead = a;
    return 0;
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    atomic_store(&a->thread->ends, true);
    sem_post(&a->thread->more);
    pthread_join(a->thread->id, NULL);
    sem_destroy(&a->thread->more);
    release(a);
}
