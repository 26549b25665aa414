/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/mactable.h"

#include <string.h>

void mactable_init(struct mactable *t, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    t->seed = seed;
}

/* The finalizer of SplitMix64 over address, VLAN and seed. */
static unsigned set_of(const struct mactable *t, const uint8_t *mac, uint16_t vlan)
{
    uint64_t v = t->seed ^ (uint64_t)vlan << 48;

    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        v ^= (uint64_t)mac[i] << 8 * i;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return (unsigned)(v ^ v >> 31) % MACTABLE_SETS;
}

static bool is(const struct mactable_entry *e, const uint8_t *mac, uint16_t vlan)
{
    return e->owner && e->vlan == vlan && !memcmp(e->mac, mac, NET_MAC_BYTES);
}

void mactable_learn(struct mactable *t, const uint8_t *mac, uint16_t vlan, void *owner,
                    uint64_t now_ns)
{
    struct mactable_entry *set = t->entries[set_of(t, mac, vlan)], *oldest = set;

    for (unsigned i = 0; i < MACTABLE_WAYS; i++) {
        if (is(&set[i], mac, vlan)) {
            set[i].owner = owner;
            set[i].seen_ns = now_ns;
            return;
        }
        if (!set[i].owner || (oldest->owner && set[i].seen_ns < oldest->seen_ns))
            oldest = &set[i];
    }
    *oldest = (struct mactable_entry){.seen_ns = now_ns, .owner = owner, .vlan = vlan};
    memcpy(oldest->mac, mac, NET_MAC_BYTES);
}

void *mactable_find(const struct mactable *t, const uint8_t *mac, uint16_t vlan, uint64_t now_ns,
                    uint64_t age_ns)
{
    const struct mactable_entry *set = t->entries[set_of(t, mac, vlan)];

    for (unsigned i = 0; i < MACTABLE_WAYS; i++)
        if (is(&set[i], mac, vlan))
            return now_ns - set[i].seen_ns < age_ns ? set[i].owner : NULL;
    return NULL;
}

void mactable_forget(struct mactable *t, const void *owner)
{
    for (unsigned n = 0; n < MACTABLE_SETS; n++)
        for (unsigned i = 0; i < MACTABLE_WAYS; i++)
            if (t->entries[n][i].owner == owner)
                t->entries[n][i].owner = NULL;
}

unsigned mactable_count(const struct mactable *t, uint64_t now_ns, uint64_t age_ns)
{
    unsigned count = 0;

    for (unsigned n = 0; n < MACTABLE_SETS; n++)
        for (unsigned i = 0; i < MACTABLE_WAYS; i++)
            count += t->entries[n][i].owner && now_ns - t->entries[n][i].seen_ns < age_ns;
    return count;
}
