/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock that a cable's calls come under, as a back end with a thread of its own is given it; and
 * who may save that thread a turn: whoever sleeps until something comes, for that is what comes.
 */
#ifndef NET_LOCK_H
#define NET_LOCK_H

#include <stdbool.h>

struct net_lock {
    void (*lock)(void *ctx);
    void (*unlock)(void *ctx);
    void *ctx;
    /* Locked: somebody who has nothing to do waits for fd, too, and calls ready(), locked. Who watches
     * it besides adds it afterwards, with EPOLLEXCLUSIVE. NULL: there is nobody. */
    bool (*watch)(void *ctx, int fd, void (*ready)(void *ready_ctx), void *ready_ctx);
    /* Locked: no longer, before fd is closed. */
    void (*unwatch)(void *ctx, int fd);
};

static inline void net_lock(const struct net_lock *lock)
{
    if (lock->lock)
        lock->lock(lock->ctx);
}

static inline void net_unlock(const struct net_lock *lock)
{
    if (lock->unlock)
        lock->unlock(lock->ctx);
}

#endif
