/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes to code. Pages that hold decoded code are flagged, and their granules that do; a write
 * that hits one kills the blocks that it touches, on this CPU at once and on the others soon.
 */
#include <sched.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/t1.h"

/* So many granules before a byte may a block begin that holds it. */
#define GRANULES_BEFORE (BLOCK_UOPS * 15 / (1u << GRANULE_SHIFT) + 1)

void block_protect_page(struct cpu *c, uint64_t page_offset)
{
    struct soft_engine *soft = c->soft;
    _Atomic uint8_t *flags = ram_flags(soft->ram, page_offset);

    if (atomic_load_explicit(flags, memory_order_acquire) & RAM_CODE)
        return;
    atomic_fetch_or(flags, RAM_CODE);
    tlb_protect(c, soft->ram->host + page_offset);
    /*
     * Other CPUs may hold a writable translation until they next look at their requests; wait
     * for each that is running, or its store could go by unseen after we have read the bytes.
     */
    for (unsigned i = 0; i < soft->cpu_count; i++) {
        struct cpu *other = soft->cpus[i];
        if (!other || other == c)
            continue;
        atomic_fetch_or(&other->requests, REQ_FLUSH);
        while (atomic_load(&other->requests) & REQ_FLUSH && atomic_load(&other->in_guest)) {
            if (atomic_load(&c->requests) & REQ_FLUSH) {
                atomic_fetch_and(&c->requests, ~(uint32_t)REQ_FLUSH);
                tlb_flush(c);
            }
            sched_yield();
        }
    }
}

/* The 64-byte pieces of a page that [offset, offset + len) touches; it lies within the page. */
static uint64_t granule_bits(uint64_t offset, uint64_t len_bytes)
{
    unsigned first = (unsigned)(offset & PAGE_MASK) >> GRANULE_SHIFT;
    unsigned last = (unsigned)((offset & PAGE_MASK) + len_bytes - 1) >> GRANULE_SHIFT;
    return (~0ULL >> (63 - (last - first))) << first;
}

void block_keep_part(struct cpu *c, struct block *b, unsigned which, uint64_t begin, unsigned len)
{
    struct block_cache *bc = c->blocks;
    uint64_t page = begin >> RAM_PAGE_SHIFT;

    if (!bc->pages[page]) {
        bc->pages[page] = &bc->code_pages[bc->code_page_count++];
        *bc->pages[page] = (struct code_page){.page = page};
    }
    struct block **list = &bc->pages[page]->granules[(begin & PAGE_MASK) >> GRANULE_SHIFT];
    b->page_next[which] = *list;
    *list = b;
    atomic_fetch_or(&c->soft->granules[page], granule_bits(begin, len));
}

static void forget_block(struct cpu *c, struct block *b)
{
    block_row_remove(c->blocks, b);
    b->dead = true;
    t1_forget(c, b);
}

static void kill_block(struct cpu *c, struct block *b)
{
    c->stats[STAT_KILLED]++;
    forget_block(c, b);
    if (b == c->block)
        c->events |= EV_BREAK;
}

/* Of the bytes of a block those in this page: where they begin, and how many. */
static uint64_t part_in_page(const struct block *b, uint64_t page, unsigned *ret_len)
{
    unsigned first = (unsigned)MIN((uint64_t)b->len, PAGE_MASK + 1 - (b->ram_offset & PAGE_MASK));
    if (b->ram_offset >> RAM_PAGE_SHIFT == page) {
        *ret_len = first;
        return b->ram_offset;
    }
    *ret_len = b->len - first;
    return b->ram_offset2;
}

/* What its live blocks hold of a page, of those that begin in granules [first, last]. */
static uint64_t held_bits(const struct block_cache *bc, uint64_t page, unsigned first,
                          unsigned last)
{
    uint64_t bits = 0;
    unsigned len;

    for (unsigned g = first; g <= last; g++)
        for (struct block *b = bc->pages[page]->granules[g]; b;
             b = b->page_next[b->ram_offset >> RAM_PAGE_SHIFT != page])
            if (!b->dead) {
                uint64_t begin = part_in_page(b, page, &len);
                bits |= granule_bits(begin, len);
            }
    return bits;
}

/* Granules that blocks have given up: nobody needs to hear of writes to them any more. */
static void forget_granules(struct cpu *c, uint64_t page, uint64_t bits)
{
    _Atomic uint64_t *granules = &c->soft->granules[page];
    unsigned first = (unsigned)__builtin_ctzll(bits), last = 63 - (unsigned)__builtin_clzll(bits);
    unsigned before = MIN(first, GRANULES_BEFORE);
    uint64_t left = atomic_load(granules) & ~bits;

    left |= held_bits(c->blocks, page, first - before, last) & bits;
    atomic_store(granules, left);
    if (!left)
        atomic_fetch_and(ram_flags(c->soft->ram, page << RAM_PAGE_SHIFT), (uint8_t)~RAM_CODE);
}

/* Kill what [from, end), of this page, touches. */
static void kill_in_page(struct cpu *c, uint64_t page, uint64_t from, uint64_t end)
{
    struct code_page *p = c->blocks->pages[page];
    unsigned first = (unsigned)(from & PAGE_MASK) >> GRANULE_SHIFT;
    unsigned last = (unsigned)((end - 1) & PAGE_MASK) >> GRANULE_SHIFT;
    uint64_t given_up = 0;

    if (!p)
        return;
    first -= MIN(first, GRANULES_BEFORE);
    for (unsigned g = first; g <= last; g++) {
        struct block **at = &p->granules[g];
        while (*at) {
            struct block *b = *at;
            unsigned len;
            uint64_t begin = part_in_page(b, page, &len);
            struct block **next = &b->page_next[b->ram_offset >> RAM_PAGE_SHIFT != page];

            if (!b->dead && begin < end && from < begin + len)
                kill_block(c, b);
            if (b->dead) { /* now, or through its other page */
                given_up |= granule_bits(begin, len);
                *at = *next;
            } else {
                at = next;
            }
        }
    }
    if (given_up && c->soft->cpu_count == 1) /* else the bits are the others' too */
        forget_granules(c, page, given_up);
}

/* Take the blocks in [from, end) out of a page's lists. True: others are left. */
static bool kill_of_page(struct cpu *c, struct code_page *p, const uint8_t *from,
                         const uint8_t *end)
{
    uint64_t given_up = 0;
    bool left = false;
    unsigned len;

    for (unsigned g = 0; g < GRANULES; g++) {
        struct block **at = &p->granules[g];
        while (*at) {
            struct block *b = *at;
            struct block **next = &b->page_next[b->ram_offset >> RAM_PAGE_SHIFT != p->page];
            if ((uint8_t *)b < from || (uint8_t *)b >= end) {
                left = true;
                at = next;
                continue;
            }
            uint64_t begin = part_in_page(b, p->page, &len);
            given_up |= granule_bits(begin, len);
            if (!b->dead)
                forget_block(c, b);
            *at = *next;
        }
    }
    if (given_up && c->soft->cpu_count == 1)
        forget_granules(c, p->page, given_up);
    return left;
}

void block_kill_part(struct cpu *c, const uint8_t *from, const uint8_t *end)
{
    struct block_cache *bc = c->blocks;

    for (unsigned i = 0; i < bc->code_page_count;) {
        struct code_page *p = &bc->code_pages[i];
        if (kill_of_page(c, p, from, end)) {
            i++;
            continue;
        }
        bc->pages[p->page] = NULL;
        *p = bc->code_pages[--bc->code_page_count];
        if (i < bc->code_page_count)
            bc->pages[p->page] = p;
    }
}

void block_kill_range(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes)
{
    uint64_t end = ram_offset + len_bytes;
    while (ram_offset < end && ram_offset >> RAM_PAGE_SHIFT < c->blocks->page_count) {
        uint64_t page_end = MIN((ram_offset | PAGE_MASK) + 1, end);
        kill_in_page(c, ram_offset >> RAM_PAGE_SHIFT, ram_offset, page_end);
        ram_offset = page_end;
    }
}

bool block_hits_code(struct soft_engine *soft, uint64_t ram_offset, uint64_t len_bytes)
{
    uint64_t end = ram_offset + len_bytes;
    while (ram_offset < end) {
        uint64_t page_end = MIN((ram_offset | PAGE_MASK) + 1, end);
        uint64_t bits = granule_bits(ram_offset, page_end - ram_offset);
        if (atomic_load(&soft->granules[ram_offset >> RAM_PAGE_SHIFT]) & bits)
            return true;
        ram_offset = page_end;
    }
    return false;
}

void block_code_written(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes)
{
    struct soft_engine *soft = c->soft;

    if (!block_hits_code(soft, ram_offset, len_bytes))
        return;
    block_kill_range(c, ram_offset, len_bytes);
    for (unsigned i = 0; i < soft->cpu_count; i++)
        if (soft->cpus[i] && soft->cpus[i] != c)
            block_post_write(soft->cpus[i], ram_offset, len_bytes);
}

static void lock_writes(struct cpu *c)
{
    while (atomic_exchange_explicit(&c->code_lock, 1, memory_order_acquire))
        sched_yield();
}

static void unlock_writes(struct cpu *c)
{
    atomic_store_explicit(&c->code_lock, 0, memory_order_release);
}

void block_post_write(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes)
{
    lock_writes(c);
    if (c->code_count < CODE_WRITES_MAX)
        c->code_writes[c->code_count++] = (struct code_write){ram_offset, len_bytes};
    else
        c->code_overflow = true;
    atomic_fetch_or(&c->requests, REQ_CODE);
    unlock_writes(c);
}

void block_take_writes(struct cpu *c)
{
    struct code_write writes[CODE_WRITES_MAX];
    unsigned count;
    bool overflow;

    lock_writes(c);
    atomic_fetch_and(&c->requests, ~(uint32_t)REQ_CODE);
    count = c->code_count;
    overflow = c->code_overflow;
    for (unsigned i = 0; i < count; i++)
        writes[i] = c->code_writes[i];
    c->code_count = 0;
    c->code_overflow = false;
    unlock_writes(c);
    if (overflow) {
        block_flush(c);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        block_kill_range(c, writes[i].offset, writes[i].len_bytes);
}
