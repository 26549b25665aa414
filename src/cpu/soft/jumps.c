/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names under which jump slots are good, and making them bad.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/t1.h"

#define JUMPS_BYTES (2 * JUMP_SLOTS * sizeof(struct jump_slot))
#define JUMP_TAG_SHIFT 47
#define JUMP_TAGS 0xffffu /* names until they begin anew */

int jumps_new(struct cpu *c)
{
    void *slots =
        mmap(NULL, JUMPS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return -ENOMEM;
    c->blocks->jumps = c->jumps = slots;
    /* Never 0 bytes of so few, and no signal between (getrandom(2)). */
    return getrandom(&c->jump_seed, sizeof(c->jump_seed), 0) < 0 ? -errno : 0;
}

void jumps_free(struct cpu *c)
{
    if (c->blocks->jumps)
        munmap(c->blocks->jumps, JUMPS_BYTES);
}

static void jumps_unname(struct cpu *c)
{
    zero_bytes(c->jump_keys, sizeof(c->jump_keys));
    cpu_shut_gates(c);
}

void jumps_empty(struct cpu *c)
{
    madvise(c->blocks->jumps, JUMPS_BYTES, MADV_DONTNEED);
    jumps_unname(c);
    c->jump_tags = 0;
}

void jumps_drop(struct cpu *c, const uint8_t *from, const uint8_t *end)
{
    struct jump_slot *slots = c->blocks->jumps;

    for (unsigned i = 0; i < 2 * JUMP_SLOTS; i++)
        if ((uint8_t *)slots[i].block >= from && (uint8_t *)slots[i].block < end)
            slots[i] = (struct jump_slot){0};
}

void jumps_flush(struct cpu *c)
{
    jumps_unname(c);
    jumps_update(c);
}

/* SplitMix64: whoever sees some of its numbers may know the next ones, but nobody sees any. */
static uint64_t random_bits(struct cpu *c)
{
    uint64_t z = c->jump_seed += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static uint64_t new_jump_tag(struct cpu *c)
{
    /* Processes have code at the same addresses. */
    uint64_t of_space = c->cpl == 3 ? (c->tlbs->asid + 1) * 0x9e3779b1u : 0;

    c->stats[STAT_KEYS]++;
    if (c->jump_tags == JUMP_TAGS) {
        jumps_empty(c);
        t1_forget_fars(c);
    }
    return ++c->jump_tags << JUMP_TAG_SHIFT |
           (random_bits(c) & ((1ULL << JUMP_TAG_SHIFT) - JUMP_SLOTS)) |
           (of_space & (JUMP_SLOTS - 1));
}

void jumps_update(struct cpu *c)
{
    uint64_t space = tlb_fetch_space(c);
    struct code_seg cs = code_seg(c);
    unsigned set =
        (unsigned)(space ^ c->mode ^ c->mode >> 6 ^ cs.base >> 4 ^ cs.base >> 9) % JUMP_KEY_SETS;
    struct jump_key *k = c->jump_keys[set];

    c->jumps = c->blocks->jumps + (c->cpl == 3 ? JUMP_SLOTS : 0);
    for (unsigned way = 0; way < JUMP_KEY_WAYS; way++)
        if (LIKELY(k[way].space == space && k[way].mode == c->mode && k[way].tag &&
                   same_code_seg(k[way].cs, cs))) {
            c->jump_tag = k[way].tag;
            return;
        }
    c->jump_tag = new_jump_tag(c);
    k[c->jump_tags % JUMP_KEY_WAYS] =
        (struct jump_key){.space = space, .mode = c->mode, .cs = cs, .tag = c->jump_tag};
}
