/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What block.c (finding and decoding) and block_write.c (writes to code) share.
 */
#ifndef CPU_SOFT_BLOCK_PRIV_H
#define CPU_SOFT_BLOCK_PRIV_H

#include "cpu/soft/block.h"

#define GRANULE_SHIFT 6
#define GRANULES (1u << (RAM_PAGE_SHIFT - GRANULE_SHIFT))
#define BLOCK_ALIGN 64

/*
 * Blocks by their place and mode. A row is a line of the host's caches; a block is looked for in
 * the first ways that are taken. What does not fit hangs from the block in the last way.
 */
#define ROWS (1u << 17)
#define WAYS 8
struct row {
    uint32_t tags[WAYS];
    uint32_t at[WAYS]; /* in the arena, in BLOCK_ALIGN, from 1; 0: free */
} __attribute__((aligned(64)));

/* The blocks of one page of the store, by the granule that they begin in. */
struct code_page {
    struct block *granules[GRANULES];
    uint64_t page;
};
/* Of the arena, that one block may take. */
#define BLOCK_ROOM align_up(sizeof(struct block) + BLOCK_UOPS, BLOCK_ALIGN)

struct block_cache {
    uint8_t *arena;
    uint64_t room, part_bytes;
    unsigned part; /* that is filled now, up to `used`; those before it are older */
    uint64_t used, end;
    bool filled[BLOCK_PARTS];
    struct row *rows;
    struct code_page **pages; /* by page of the store; NULL: no blocks */
    uint64_t page_count;
    struct code_page *code_pages; /* those that pages[] has, one after the other */
    unsigned code_page_count, code_pages_max;
    struct jump_slot *jumps;     /* of supervisors, then as many of users */
    const struct block *decoded; /* whose instructions insns has */
    struct x86_insn insns[BLOCK_UOPS];
    uint8_t seen[BLOCK_UOPS * 15]; /* the bytes that they were decoded from */
    /* One instruction that is not cached: it crosses a page or does not lie in memory. */
    _Alignas(64) uint8_t scratch[sizeof(struct block)];
    struct uop scratch_uops[2];
};

/* So many bytes of the arena; the caller has seen that there is room. */
void *block_take_room(struct block_cache *bc, uint64_t bytes);
/* The slots, with block_cache_new() and _free(); errno of mmap or getrandom. */
int jumps_new(struct cpu *c);
void jumps_free(struct cpu *c);
/* No slot leads anywhere any more, and names begin anew. */
void jumps_empty(struct cpu *c);
/* No slot leads to a block in [from, end) of the arena. */
void jumps_drop(struct cpu *c, const uint8_t *from, const uint8_t *end);
/* Kill all blocks in [from, end) of the arena. */
void block_kill_part(struct cpu *c, const uint8_t *from, const uint8_t *end);
void block_row_remove(struct block_cache *bc, struct block *b);

/* This page now holds decoded code: stores to it must be seen by everybody. */
void block_protect_page(struct cpu *c, uint64_t page_offset);
/* Note where part `which` of a new block lies, so that writes to it kill it. */
void block_keep_part(struct cpu *c, struct block *b, unsigned which, uint64_t begin, unsigned len);

#endif
