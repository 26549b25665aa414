/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory a step ahead of the guest. The host gives memory when it is touched first, in huge
 * pages (2 MiB) where it can, and clears it: some tenths of a millisecond, or several where the host
 * is a guest itself and the memory comes from below. Guests that boot go through their memory in
 * order, up or down; so while one is in a huge page the next is made ready by a thread, and no
 * more than the next.
 *
 * Where the host has no huge pages nothing is done: there a touch costs little.
 */
#ifndef MEMORY_AHEAD_H
#define MEMORY_AHEAD_H

#include "memory/ram.h"

#define AHEAD_SHIFT 21

struct ahead {
    uint8_t *begin, *end;     /* of the store's mapping on the host */
    uint64_t first;           /* number of the huge page that begins at `begin` or before */
    uint64_t count;           /* of huge pages */
    _Atomic uint8_t *touched; /* by the guest: a byte for each */
    struct ahead_thread *thread;
};

/*
 * Watch over ram, which must outlive it. -ENOMEM, or another errno of pthread_create(3): a machine
 * can do without.
 */
int ahead_new(struct ram *ram, struct ahead **ret_ahead);
/* Ends the thread. NULL is fine. */
void ahead_free(struct ahead *a);

/* The number of the huge page of a byte of the store, by its host address. */
static inline uint64_t ahead_number(const struct ahead *a, const uint8_t *host)
{
    return ((uint64_t)host >> AHEAD_SHIFT) - a->first;
}
static inline bool ahead_is_new(const struct ahead *a, uint64_t number)
{
    return !atomic_load_explicit(&a->touched[number], memory_order_relaxed);
}
/* The guest is about to touch a huge page that is new. Any thread. */
void ahead_touch(struct ahead *a, uint64_t number);

#endif
