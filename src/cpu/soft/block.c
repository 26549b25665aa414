/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/block.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"
#include "cpu/soft/thunk.h"

#define ARENA_BYTES MIB(64)
#define HASH_SLOTS 65536u
#define GRANULE_SHIFT 6
#define SCRATCH_UOPS 4

struct block_cache {
    uint8_t *arena;
    uint64_t used;
    struct block *hash[HASH_SLOTS];
    struct block **pages; /* by page of the store: its blocks */
    uint64_t page_count;
    /* One instruction that is not cached: it crosses a page or does not lie in memory. */
    _Alignas(64) uint8_t scratch[sizeof(struct block) + 64 + SCRATCH_UOPS * sizeof(struct uop)];
};

static unsigned hash_of(uint64_t ram_offset, uint32_t mode)
{
    uint64_t h = (ram_offset ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15ULL;
    return (unsigned)(h >> 48) & (HASH_SLOTS - 1);
}

static void *map_zeroed(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int block_cache_new(struct cpu *c)
{
    struct block_cache *bc = map_zeroed(sizeof(*bc));
    if (!bc)
        return -ENOMEM;
    c->blocks = bc;
    bc->page_count = c->soft->ram->size_bytes >> RAM_PAGE_SHIFT;
    bc->pages = map_zeroed(bc->page_count * sizeof(bc->pages[0]));
    bc->arena = map_zeroed(ARENA_BYTES);
    c->jumps = map_zeroed(JUMP_SLOTS * sizeof(c->jumps[0]));
    return bc->pages && bc->arena && c->jumps ? 0 : -ENOMEM;
}

void block_cache_free(struct cpu *c)
{
    struct block_cache *bc = c->blocks;
    if (c->jumps)
        munmap(c->jumps, JUMP_SLOTS * sizeof(c->jumps[0]));
    if (!bc)
        return;
    if (bc->pages)
        munmap(bc->pages, bc->page_count * sizeof(bc->pages[0]));
    if (bc->arena)
        munmap(bc->arena, ARENA_BYTES);
    munmap(bc, sizeof(*bc));
    c->blocks = NULL;
}

void block_flush(struct cpu *c)
{
    struct block_cache *bc = c->blocks;
    bc->used = 0;
    zero_bytes(bc->hash, sizeof(bc->hash));
    madvise(bc->pages, bc->page_count * sizeof(bc->pages[0]), MADV_DONTNEED);
    thunk_reset(c->thunks);
    c->thunks_full = false;
    t1_reset(c);
    jumps_flush(c);
}

/* ---- jump slots ---- */

void jumps_flush(struct cpu *c)
{
    zero_bytes(c->jump_keys, sizeof(c->jump_keys));
    jumps_update(c);
}

void jumps_update(struct cpu *c)
{
    uint64_t space = tlb_fetch_space(c);
    struct jump_key *k = &c->jump_keys[(space * 7 + (c->mode ^ c->mode >> 6)) % JUMP_KEYS];

    if (UNLIKELY(k->space != space || k->mode != c->mode || !k->key))
        *k = (struct jump_key){.space = space, .mode = c->mode, .key = ++c->jump_keys_given};
    c->jump_key = k->key;
}

static void forget_slots(struct cpu *c, const struct block *b)
{
    for (uint64_t at = b->ram_offset & PAGE_MASK; at < JUMP_SLOTS; at += PAGE_MASK + 1)
        if (c->jumps[at].block == b)
            c->jumps[at].key = 0;
}

/* ---- decoding ---- */

static struct x86_decode_env decode_env(const struct cpu *c)
{
    return (struct x86_decode_env){
        .code = c->mode & MODE_CODE64   ? X86_CODE64
                : c->mode & MODE_CODE32 ? X86_CODE32
                                        : X86_CODE16,
        .real = c->mode & MODE_REAL,
        .features = &c->soft->model.features,
    };
}

static uint64_t fetch_lin(const struct cpu *c, uint64_t rip)
{
    return c->mode & MODE_CODE64 ? rip : (uint32_t)(rip + c->seg[X86_CS].base);
}

/* Offsets [rip, rip + len) lie within CS. */
static bool within_cs(const struct cpu *c, uint64_t rip, unsigned len)
{
    return c->mode & MODE_CODE64 ||
           (rip <= c->seg[X86_CS].limit && len - 1 <= c->seg[X86_CS].limit - rip);
}

static void fetch_bytes(struct cpu *c, const struct fetch_page *page, unsigned offset, uint8_t *to,
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = page->host ? page->host[offset + i]
                           : (uint8_t)out_mmio_read(c, page->gpa + offset + i, 1);
}

/* Fill a block with the one instruction at RIP, wherever its bytes lie. */
static struct block *single_block(struct cpu *c, const struct fetch_page *page, uint64_t lin)
{
    struct block *b = (struct block *)align_up((uint64_t)c->blocks->scratch, 64);
    struct x86_decode_env env = decode_env(c);
    struct x86_insn in;
    uint8_t bytes[16];
    unsigned offset = (unsigned)(lin & PAGE_MASK);
    unsigned have = MIN(15u, (unsigned)PAGE_MASK + 1 - offset);

    fpu_save(c); /* the decoder is ordinary code: it may use vector registers */
    b->ram_offset = NO_RAM;
    b->mode = c->mode;
    b->dead = false;
    b->code = NULL;
    fetch_bytes(c, page, offset, bytes, have);
    enum x86_decode_result r = x86_decode(&env, bytes, have, &in);
    if (r == X86_DECODE_MORE && have < 15) {
        struct fetch_page next;
        uint64_t next_lin = lin + have;
        if (!(c->mode & MODE_CODE64))
            next_lin = (uint32_t)next_lin;
        if (!within_cs(c, c->rip, have + 1)) {
            raise_fault(c, VEC_GP, 0);
            return NULL;
        }
        if (!fetch_translate(c, next_lin, &next))
            return NULL;
        fetch_bytes(c, &next, 0, bytes + have, 15 - have);
        r = x86_decode(&env, bytes, 15, &in);
    }
    if (r == X86_DECODE_MORE || r == X86_DECODE_LONG) {
        raise_fault(c, VEC_GP, 0);
        return NULL;
    }
    if (r == X86_DECODE_UD) {
        raise_fault(c, VEC_UD, 0);
        return NULL;
    }
    if (!within_cs(c, c->rip, in.len)) {
        raise_fault(c, VEC_GP, 0);
        return NULL;
    }
    b->len = in.len;
    if (!uop_build(c, &in, &b->uops[0], 0)) {
        block_flush(c);
        if (!uop_build(c, &in, &b->uops[0], 0)) {
            c->events |= EV_ERROR;
            return NULL;
        }
    }
    uop_build_end(&b->uops[1], in.len);
    return b;
}

/* This page now holds decoded code: stores to it must be seen by everybody. */
static void protect_page(struct cpu *c, uint64_t page_offset)
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

static bool ends_block(const struct x86_insn *in)
{
    return in->info->attrs & ATTR_END;
}

static struct block *build_block(struct cpu *c, const struct fetch_page *page, uint64_t lin)
{
    struct block_cache *bc = c->blocks;
    unsigned offset = (unsigned)(lin & PAGE_MASK), page_end = (unsigned)PAGE_MASK + 1;
    uint64_t room = sizeof(struct block) + 64 + (BLOCK_UOPS + 1) * sizeof(struct uop);
    unsigned max = c->mode & MODE_SINGLE ? 1 : BLOCK_UOPS;
    struct x86_decode_env env = decode_env(c);

    fpu_save(c); /* as in single_block() */
    if (bc->used + room > ARENA_BYTES || c->thunks_full || c->t1->full)
        block_flush(c);
    protect_page(c, page->ram_offset);
    struct block *b = (struct block *)(bc->arena + bc->used);
    unsigned count = 0, at = 0;
    bool ended = false;

    while (count < max && offset + at < page_end && !ended) {
        struct x86_insn in;
        enum x86_decode_result r =
            x86_decode(&env, page->host + offset + at, page_end - offset - at, &in);
        /* What cannot be decoded here is looked at again, alone, when it is reached. */
        if (r != X86_DECODE_OK || !within_cs(c, c->rip + at, in.len))
            break;
        if (!uop_build(c, &in, &b->uops[count], at)) {
            c->thunks_full = true;
            break;
        }
        ended = ends_block(&in);
        at += in.len;
        count++;
    }
    if (!count)
        return single_block(c, page, lin);
    uop_build_end(&b->uops[count], at);
    b->ram_offset = page->ram_offset + offset;
    b->mode = c->mode;
    b->len = (uint16_t)at;
    b->count = (uint8_t)count;
    b->runs = 0;
    b->dead = false;
    b->code = NULL;
    bc->used += align_up(sizeof(struct block) + (count + 1) * sizeof(struct uop), 64);

    unsigned slot = hash_of(b->ram_offset, b->mode);
    b->hash_next = bc->hash[slot];
    bc->hash[slot] = b;
    b->page_next = bc->pages[b->ram_offset >> RAM_PAGE_SHIFT];
    bc->pages[b->ram_offset >> RAM_PAGE_SHIFT] = b;
    atomic_fetch_or(&c->soft->granules[b->ram_offset >> RAM_PAGE_SHIFT],
                    granule_bits(b->ram_offset, at));
    return b;
}

struct block *block_find(struct cpu *c)
{
    uint64_t lin = fetch_lin(c, c->rip);
    struct jump_slot *slot = jump_slot(c, lin);
    struct block *b = slot->block;

    if (LIKELY(slot->lin == lin && slot->key == c->jump_key && within_cs(c, c->rip, b->len)))
        return b;
    if (!within_cs(c, c->rip, 1)) {
        raise_fault(c, VEC_GP, 0);
        return NULL;
    }

    struct fetch_page page;
    if (!fetch_translate(c, lin, &page))
        return NULL;
    if (!page.host)
        return single_block(c, &page, lin);
    uint64_t ram_offset = page.ram_offset + (lin & PAGE_MASK);
    b = c->blocks->hash[hash_of(ram_offset, c->mode)];
    while (b && (b->ram_offset != ram_offset || b->mode != c->mode))
        b = b->hash_next;
    if (b && !within_cs(c, c->rip, b->len))
        return single_block(c, &page, lin);
    if (!b)
        b = build_block(c, &page, lin);
    if (b && b->ram_offset != NO_RAM)
        *slot = (struct jump_slot){
            .lin = lin, .key = c->jump_key, .code = t1_slot_code(c, b), .block = b};
    return b;
}

/* ---- writes to code ---- */

static void kill_block(struct cpu *c, struct block *b)
{
    struct block **at = &c->blocks->hash[hash_of(b->ram_offset, b->mode)];
    while (*at != b)
        at = &(*at)->hash_next;
    *at = b->hash_next;
    b->dead = true;
    t1_forget(c, b);
    forget_slots(c, b);
    if (b == c->block)
        c->events |= EV_BREAK;
}

static void kill_in_page(struct cpu *c, uint64_t page, uint64_t from, uint64_t end)
{
    struct block **at = &c->blocks->pages[page];
    uint64_t left = 0;

    while (*at) {
        struct block *b = *at;
        if (b->ram_offset < end && from < b->ram_offset + b->len) {
            *at = b->page_next;
            kill_block(c, b);
        } else {
            left |= granule_bits(b->ram_offset, b->len);
            at = &b->page_next;
        }
    }
    if (c->soft->cpu_count > 1)
        return; /* the bits are the others' too */
    atomic_store(&c->soft->granules[page], left);
    if (!left)
        atomic_fetch_and(ram_flags(c->soft->ram, page << RAM_PAGE_SHIFT), (uint8_t)~RAM_CODE);
}

void block_kill_range(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes)
{
    uint64_t end = ram_offset + len_bytes;
    for (uint64_t page = ram_offset >> RAM_PAGE_SHIFT; page << RAM_PAGE_SHIFT < end; page++)
        if (page < c->blocks->page_count)
            kill_in_page(c, page, ram_offset, end);
}

static bool hits_code(struct soft_engine *soft, uint64_t ram_offset, uint64_t len_bytes)
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

    if (!hits_code(soft, ram_offset, len_bytes))
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
