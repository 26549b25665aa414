/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock that a cable's calls come under, as a back end with a thread of its own is given it.
 */
#ifndef NET_LOCK_H
#define NET_LOCK_H

struct net_lock {
    void (*lock)(void *ctx);
    void (*unlock)(void *ctx);
    void *ctx;
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
