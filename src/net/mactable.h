/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which address is behind which port: a table of fixed size, in sets of a few entries. When a set
 * is full the entry that was not seen for longest gives way, so that a flood of made-up addresses
 * costs others a few of theirs, never memory.
 */
#ifndef NET_MACTABLE_H
#define NET_MACTABLE_H

#include "net/port.h"

#define MACTABLE_SETS 2048u
#define MACTABLE_WAYS 4u

struct mactable_entry {
    uint64_t seen_ns;
    void *owner; /* NULL: free */
    uint8_t mac[NET_MAC_BYTES];
    uint16_t vlan;
};

struct mactable {
    uint64_t seed; /* so that nobody chooses who shares a set */
    struct mactable_entry entries[MACTABLE_SETS][MACTABLE_WAYS];
};

void mactable_init(struct mactable *t, uint64_t seed);
/* The address was seen behind owner just now. */
void mactable_learn(struct mactable *t, const uint8_t *mac, uint16_t vlan, void *owner,
                    uint64_t now_ns);
/* Its owner, NULL: not known, or not seen for age_ns. */
void *mactable_find(const struct mactable *t, const uint8_t *mac, uint16_t vlan, uint64_t now_ns,
                    uint64_t age_ns);
void mactable_forget(struct mactable *t, const void *owner);
unsigned mactable_count(const struct mactable *t, uint64_t now_ns, uint64_t age_ns);

#endif
