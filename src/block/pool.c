/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#define POOL_THREADS 4
/* Mostly untouched: a chain of disks reads itself recursively. */
#define POOL_STACK_BYTES (4u << 20)

struct req_list {
    struct blk_req *first, *last;
};

struct blk_pool {
    struct blk *blk;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work, finished;
    struct req_list waiting, done;
    pthread_t threads[POOL_THREADS];
    unsigned thread_count, idle;
    bool quit;
    void (*notify)(void *ctx);
    void *notify_ctx;
};

static void append(struct req_list *list, struct blk_req *req)
{
    req->next = NULL;
    if (list->first)
        list->last->next = req;
    else
        list->first = req;
    list->last = req;
}

static struct blk_req *take_first(struct req_list *list)
{
    struct blk_req *req = list->first;
    if (req)
        list->first = req->next;
    return req;
}

static void *worker(void *arg)
{
    struct blk_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct blk_req *req = take_first(&pool->waiting);
        if (!req && pool->quit)
            break;
        if (!req) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        pool_finish(pool, req, pool->blk->ops->run(pool->blk, req));
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int pool_new(struct blk *blk, struct blk_pool **ret_pool)
{
    struct blk_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pool->blk = blk;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    *ret_pool = pool;
    return 0;
}

struct blk_pool *pool_free(struct blk_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return NULL;
}

/* With the lock held. */
static void add_thread(struct blk_pool *pool)
{
    pthread_attr_t attr;
    sigset_t all, old;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setstacksize(&attr, POOL_STACK_BYTES);
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&pool->threads[pool->thread_count], &attr, worker, pool) == 0)
        pool->thread_count++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
}

void pool_start(struct blk_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = pool->thread_count; i < POOL_THREADS; i++)
        add_thread(pool);
    pthread_mutex_unlock(&pool->lock);
}

void pool_submit(struct blk_pool *pool, struct blk_req *req)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->idle == 0 && pool->thread_count < POOL_THREADS)
        add_thread(pool);
    bool threads = pool->thread_count > 0;
    if (threads) {
        append(&pool->waiting, req);
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!threads) /* the host gives us none: slow is better than never */
        pool_finish(pool, req, pool->blk->ops->run(pool->blk, req));
}

void pool_finish_own(struct blk_pool *pool, struct blk_req *req, int result)
{
    pthread_mutex_lock(&pool->lock);
    req->result = result;
    append(&pool->done, req);
    pthread_mutex_unlock(&pool->lock);
}

void pool_finish(struct blk_pool *pool, struct blk_req *req, int result)
{
    pthread_mutex_lock(&pool->lock);
    req->result = result;
    bool first = !pool->done.first;
    append(&pool->done, req);
    void (*notify)(void *ctx) = first ? pool->notify : NULL;
    void *ctx = pool->notify_ctx;
    if (first)
        pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    /* Without the lock, for notify may want the owner's; pool_free() waits for this thread. */
    if (notify)
        notify(ctx);
}

struct blk_req *pool_take(struct blk_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct blk_req *first = pool->done.first;
    pool->done.first = NULL;
    pthread_mutex_unlock(&pool->lock);
    return first;
}

bool pool_ready(struct blk_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool ready = pool->done.first;
    pthread_mutex_unlock(&pool->lock);
    return ready;
}

void pool_wait(struct blk_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->done.first)
        pthread_cond_wait(&pool->finished, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void pool_set_notify(struct blk_pool *pool, void (*notify)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&pool->lock);
    pool->notify = notify;
    pool->notify_ctx = ctx;
    pthread_mutex_unlock(&pool->lock);
}
