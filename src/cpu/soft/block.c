/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/block_priv.h"

#include <errno.h>
#include <sys/mman.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"
#include "cpu/soft/thunk.h"

static uint64_t row_hash(uint64_t ram_offset, uint32_t mode)
{
    return (ram_offset >> RAM_PAGE_SHIFT ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15ULL;
}

/* What lies close together in a page does so here: a row for 64 bytes of it. */
static struct row *row_of(const struct block_cache *bc, uint64_t ram_offset, uint32_t mode)
{
    uint64_t h = row_hash(ram_offset, mode);
    return &bc->rows[((h >> 40 << 6) + ((ram_offset & PAGE_MASK) >> 6)) & (ROWS - 1)];
}

static uint32_t tag_of(uint64_t ram_offset, uint32_t mode)
{
    return (uint32_t)(row_hash(ram_offset, mode) >> 20) ^ (uint32_t)(ram_offset & PAGE_MASK);
}

static struct block *block_in(const struct block_cache *bc, uint32_t at)
{
    return (struct block *)(bc->arena + (uint64_t)(at - 1) * BLOCK_ALIGN);
}

static uint32_t place_of(const struct block_cache *bc, const struct block *b)
{
    return (uint32_t)(((uint64_t)b - (uint64_t)bc->arena) / BLOCK_ALIGN) + 1;
}

static void row_add(struct block_cache *bc, struct block *b)
{
    struct row *row = row_of(bc, b->ram_offset, b->mode);
    unsigned way = 0;

    while (way < WAYS - 1 && row->at[way])
        way++;
    b->row_next = row->at[way] ? block_in(bc, row->at[way]) : NULL;
    row->tags[way] = tag_of(b->ram_offset, b->mode);
    row->at[way] = place_of(bc, b);
}

/* The first block of a way is taken out of it. */
static void way_pop(const struct block_cache *bc, struct row *row, unsigned way)
{
    struct block *b = block_in(bc, row->at[way]), *next = b->row_next;

    b->row_next = NULL;
    row->at[way] = next ? place_of(bc, next) : 0;
    row->tags[way] = next ? tag_of(next->ram_offset, next->mode) : 0;
}

void block_row_remove(struct block_cache *bc, struct block *b)
{
    struct row *row = row_of(bc, b->ram_offset, b->mode);
    unsigned way = 0, last = WAYS - 1;

    while (way < WAYS - 1 && block_in(bc, row->at[way]) != b)
        way++;
    struct block *head = block_in(bc, row->at[way]);
    if (head != b) {
        while (head->row_next != b)
            head = head->row_next;
        head->row_next = b->row_next;
        return;
    }
    way_pop(bc, row, way);
    while (last > way && !row->at[last])
        last--;
    if (last == way)
        return;
    row->tags[way] = row->tags[last];
    row->at[way] = row->at[last];
    way_pop(bc, row, last);
}

static void *map_zeroed(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void begin_part(struct block_cache *bc, unsigned part)
{
    bc->part = part;
    bc->used = part * bc->part_bytes;
    bc->end = bc->used + bc->part_bytes;
    bc->decoded = NULL;
}

int block_cache_new(struct cpu *c)
{
    struct block_cache *bc = map_zeroed(sizeof(*bc));
    if (!bc)
        return -ENOMEM;
    c->blocks = bc;
    bc->page_count = c->soft->ram->size_bytes >> RAM_PAGE_SHIFT;
    bc->pages = map_zeroed(bc->page_count * sizeof(bc->pages[0]));
    bc->rows = map_zeroed(ROWS * sizeof(bc->rows[0]));
    bc->room = c->soft->cache_bytes;
    bc->part_bytes = bc->room / BLOCK_PARTS;
    bc->arena = map_zeroed(bc->room);
    if (bc->arena) /* it fills from its start */
        (void)madvise(bc->arena, bc->room, MADV_HUGEPAGE);
    bc->code_pages_max = (unsigned)MIN(bc->page_count, bc->room / sizeof(struct code_page));
    bc->code_pages = map_zeroed(bc->code_pages_max * sizeof(bc->code_pages[0]));
    begin_part(bc, 0);
    return bc->rows && bc->pages && bc->arena && bc->code_pages ? jumps_new(c) : -ENOMEM;
}

void block_cache_free(struct cpu *c)
{
    struct block_cache *bc = c->blocks;
    if (!bc)
        return;
    jumps_free(c);
    if (bc->pages)
        munmap(bc->pages, bc->page_count * sizeof(bc->pages[0]));
    if (bc->rows)
        munmap(bc->rows, ROWS * sizeof(bc->rows[0]));
    if (bc->arena)
        munmap(bc->arena, bc->room);
    if (bc->code_pages)
        munmap(bc->code_pages, bc->code_pages_max * sizeof(bc->code_pages[0]));
    munmap(bc, sizeof(*bc));
    c->blocks = NULL;
}

void block_flush(struct cpu *c)
{
    struct block_cache *bc = c->blocks;
    begin_part(bc, 0);
    zero_bytes(bc->filled, sizeof(bc->filled));
    bc->code_page_count = 0;
    madvise(bc->rows, ROWS * sizeof(bc->rows[0]), MADV_DONTNEED);
    madvise(bc->pages, bc->page_count * sizeof(bc->pages[0]), MADV_DONTNEED);
    thunk_reset(c->thunks);
    c->thunks_full = false;
    t1_reset(c);
    jumps_empty(c);
    jumps_update(c);
}

void block_evict(struct cpu *c)
{
    struct block_cache *bc = c->blocks;
    unsigned part = (bc->part + 1) % BLOCK_PARTS;

    bc->filled[bc->part] = true;
    begin_part(bc, part);
    t1_no_link(c);
    if (bc->filled[part]) {
        const uint8_t *from = bc->arena + bc->used, *end = bc->arena + bc->end;
        c->stats[STAT_EVICTED]++;
        block_kill_part(c, from, end);
        jumps_drop(c, from, end);
    }
    t1_begin_part(c, part);
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

/* The instruction at RIP, wherever its bytes lie; false: a fault is pending. */
static bool decode_one(struct cpu *c, const struct fetch_page *page, uint64_t lin,
                       struct fetch_page *ret_next, struct x86_insn *ret_insn)
{
    struct x86_decode_env env = decode_env(c);
    uint8_t bytes[16];
    unsigned offset = (unsigned)(lin & PAGE_MASK);
    unsigned have = MIN(15u, (unsigned)PAGE_MASK + 1 - offset);

    fpu_save(c); /* the decoder is ordinary code: it may use vector registers */
    ret_next->host = NULL;
    fetch_bytes(c, page, offset, bytes, have);
    enum x86_decode_result r = x86_decode(&env, bytes, have, ret_insn);
    if (r == X86_DECODE_MORE && have < 15) {
        uint64_t next_lin = lin + have;
        if (!(c->mode & MODE_CODE64))
            next_lin = (uint32_t)next_lin;
        if (!within_cs(c, c->rip, have + 1)) {
            raise_fault(c, VEC_GP, 0);
            return false;
        }
        if (!fetch_translate(c, next_lin, ret_next))
            return false;
        fetch_bytes(c, ret_next, 0, bytes + have, 15 - have);
        r = x86_decode(&env, bytes, 15, ret_insn);
    }
    if (r == X86_DECODE_UD) {
        raise_fault(c, VEC_UD, 0);
        return false;
    }
    if (r != X86_DECODE_OK || !within_cs(c, c->rip, ret_insn->len)) {
        raise_fault(c, VEC_GP, 0);
        return false;
    }
    return true;
}

/* What code in the present mode is, beside its bytes and their place. */
static uint32_t lin_page_of(const struct cpu *c, uint64_t lin)
{
    return is_flat(c->mode) ? 0 : (uint32_t)(lin & ~PAGE_MASK);
}
static bool is_alike(const struct cpu *c, const struct block *b, uint64_t lin)
{
    return b->mode == c->mode && b->lin_page == lin_page_of(c, lin) &&
           same_code_seg(b->cs, code_seg(c));
}

/* A block of count instructions and len bytes at cpu->rip. */
static void fill_block(const struct cpu *c, struct block *b, unsigned count, unsigned len)
{
    *b = (struct block){.ram_offset = NO_RAM,
                        .ram_offset2 = NO_RAM,
                        .mode = c->mode,
                        .cs = code_seg(c),
                        .lin_page = lin_page_of(c, rip_to_lin(c, c->rip)),
                        .count = (uint8_t)count,
                        .len = (uint16_t)len};
}

static bool build_uops(struct cpu *c, const struct x86_insn *insns, unsigned count,
                       struct uop *uops)
{
    unsigned at = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!uop_build(c, &insns[i], &uops[i], at))
            return false;
        at += insns[i].len;
    }
    uop_build_end(&uops[count], at);
    return true;
}

/* A block of the one instruction at RIP that is not kept. */
static struct block *scratch_block(struct cpu *c, const struct x86_insn *in)
{
    struct block_cache *bc = c->blocks;
    struct block *b = (struct block *)bc->scratch;

    fill_block(c, b, 1, in->len);
    b->uops = bc->scratch_uops;
    if (build_uops(c, in, 1, b->uops))
        return b;
    block_flush(c);
    if (build_uops(c, in, 1, b->uops))
        return b;
    c->events |= EV_ERROR;
    return NULL;
}

static bool has_room(const struct block_cache *bc, uint64_t bytes)
{
    return bc->used + bytes <= bc->end;
}

void *block_take_room(struct block_cache *bc, uint64_t bytes)
{
    void *room = bc->arena + bc->used;
    bc->used += align_up(bytes, BLOCK_ALIGN);
    return room;
}

/* Make the block known at its place. */
static void keep_block(struct cpu *c, struct block *b)
{
    unsigned first = (unsigned)MIN((uint64_t)b->len, PAGE_MASK + 1 - (b->ram_offset & PAGE_MASK));

    row_add(c->blocks, b);
    block_keep_part(c, b, 0, b->ram_offset, first);
    if (b->ram_offset2 != NO_RAM)
        block_keep_part(c, b, 1, b->ram_offset2, b->len - first);
}

/* A kept block of these instructions; the caller has seen that there is room. */
static struct block *new_block(struct cpu *c, uint64_t ram_offset, uint64_t ram_offset2,
                               const struct x86_insn *insns, unsigned count, unsigned len)
{
    struct block *b = block_take_room(c->blocks, sizeof(*b) + count);

    fill_block(c, b, count, len);
    b->ram_offset = ram_offset;
    b->ram_offset2 = ram_offset2;
    for (unsigned i = 0; i < count; i++)
        b->lens[i] = insns[i].len;
    keep_block(c, b);
    return b;
}

/*
 * Another processor writes code while it is decoded here. Before the block was kept nobody had to be
 * told of it; from then on everybody is. So what was decoded must still be there.
 */
static bool is_still_there(const struct cpu *c, const struct block *b, const uint8_t *seen)
{
    uint8_t buf[16];
    const uint8_t *bytes = block_bytes(c, b, buf);

    if (c->soft->cpu_count == 1)
        return true;
    for (unsigned i = 0; i < b->len; i++)
        if (bytes[i] != seen[i])
            return false;
    return true;
}

/*
 * A block of the one instruction at RIP: it goes on in the next page, or cannot be told what it
 * is from this page alone, or does not lie in memory.
 */
static struct block *single_block(struct cpu *c, const struct fetch_page *page, uint64_t lin)
{
    struct fetch_page next;
    struct x86_insn in;
    struct block *b;
    uint8_t seen[16];

    if (!decode_one(c, page, lin, &next, &in))
        return NULL;
    uint64_t room = PAGE_MASK + 1 - (lin & PAGE_MASK);
    if (!page->host || !next.host || in.len <= room || c->mode & MODE_SINGLE)
        return scratch_block(c, &in);
    block_protect_page(c, page->ram_offset);
    block_protect_page(c, next.ram_offset);
    /* Once more: what was there before the pages were watched may have changed. */
    copy_bytes(seen, page->host + (lin & PAGE_MASK), room);
    copy_bytes(seen + room, next.host, sizeof(seen) - room);
    if (!decode_one(c, page, lin, &next, &in) || !next.host || in.len <= room)
        return has_fault(c) ? NULL : scratch_block(c, &in);
    b = new_block(c, page->ram_offset + (lin & PAGE_MASK), next.ram_offset, &in, 1, in.len);
    if (is_still_there(c, b, seen))
        return b;
    block_kill_range(c, b->ram_offset, room);
    return scratch_block(c, &in);
}

static bool ends_block(const struct x86_insn *in)
{
    return in->info->attrs & ATTR_END;
}

/* NULL: its first instruction is one for single_block(). */
static struct block *try_block(struct cpu *c, const struct fetch_page *page, uint64_t lin)
{
    struct block_cache *bc = c->blocks;
    unsigned offset = (unsigned)(lin & PAGE_MASK), page_end = (unsigned)PAGE_MASK + 1;
    unsigned max = c->mode & MODE_SINGLE ? 1 : BLOCK_UOPS;
    struct x86_decode_env env = decode_env(c);

    fpu_save(c); /* as in decode_one() */
    if (c->thunks_full || bc->code_page_count + 2 > bc->code_pages_max)
        block_flush(c);
    else if (!has_room(bc, BLOCK_ROOM))
        block_evict(c);
    block_protect_page(c, page->ram_offset);
    bc->decoded = NULL;
    unsigned count = 0, at = 0, have = MIN(page_end - offset, (unsigned)sizeof(bc->seen));
    copy_bytes(bc->seen, page->host + offset, have);
    c->stats[STAT_BUILT]++;
    bool ended = false, after_sti = false;

    while (count < max && at < have && !ended) {
        struct x86_insn *in = &bc->insns[count];
        enum x86_decode_result r = x86_decode(&env, bc->seen + at, have - at, in);
        /* What cannot be decoded here is looked at again, alone, when it is reached. */
        if (r != X86_DECODE_OK || !within_cs(c, c->rip + at, in->len))
            break;
        /* Interrupts are looked at between blocks: one instruction after STI (SDM vol. 2, STI). */
        ended = ends_block(in) || after_sti;
        after_sti = in->info->op == X86_STI;
        at += in->len;
        count++;
    }
    if (!count)
        return NULL;
    struct block *b = new_block(c, page->ram_offset + offset, NO_RAM, bc->insns, count, at);
    if (!is_still_there(c, b, bc->seen)) {
        block_kill_range(c, b->ram_offset, b->len);
        return NULL;
    }
    bc->decoded = b;
    return b;
}

static struct block *build_block(struct cpu *c, const struct fetch_page *page, uint64_t lin)
{
    struct block *b = try_block(c, page, lin);
    return b ? b : single_block(c, page, lin);
}

const struct x86_insn *block_decode(struct cpu *c, const struct block *b)
{
    struct block_cache *bc = c->blocks;
    struct x86_decode_env env = decode_env(c);
    uint8_t buf[16];
    const uint8_t *bytes = block_bytes(c, b, buf);
    unsigned at = 0;

    fpu_save(c); /* as in decode_one() */
    if (bc->decoded == b)
        return bc->insns;
    bc->decoded = NULL;
    for (unsigned i = 0; i < b->count; i++) {
        if (x86_decode(&env, bytes + at, b->len - at, &bc->insns[i]) != X86_DECODE_OK ||
            bc->insns[i].len != b->lens[i])
            return NULL;
        at += b->lens[i];
    }
    bc->decoded = b;
    return bc->insns;
}

/* A block that was thrown away, once more. */
static struct block *renew_block(struct cpu *c, const struct block *old,
                                 const struct x86_insn *insns)
{
    struct block *b = new_block(c, old->ram_offset, old->ram_offset2, insns, old->count, old->len);
    b->cs = old->cs;
    b->lin_page = old->lin_page;
    return b;
}

struct block *block_make_uops(struct cpu *c, struct block *b)
{
    struct block_cache *bc = c->blocks;
    uint64_t bytes = (b->count + 1u) * sizeof(struct uop);
    const struct x86_insn *insns = block_decode(c, b);

    if (!insns) {
        block_kill_range(c, b->ram_offset, b->len);
        return NULL;
    }
    struct block old = *b;
    if (!has_room(bc, bytes))
        block_evict(c);
    if (b->dead) /* it was among the oldest; its instructions and its own bytes are not gone */
        b = renew_block(c, &old, insns);
    struct uop *uops = block_take_room(bc, bytes);
    if (build_uops(c, insns, b->count, uops)) {
        b->uops = uops;
        return b;
    }
    /* Room for this one's thunks, when all others are gone. */
    block_flush(c);
    b = renew_block(c, &old, insns);
    b->uops = block_take_room(bc, bytes);
    if (build_uops(c, insns, b->count, b->uops))
        return b;
    c->events |= EV_ERROR;
    return NULL;
}

const uint8_t *block_bytes(const struct cpu *c, const struct block *b, uint8_t buf[16])
{
    const uint8_t *host = c->soft->ram->host;
    if (b->ram_offset2 == NO_RAM)
        return host + b->ram_offset;
    unsigned first = (unsigned)(PAGE_MASK + 1 - (b->ram_offset & PAGE_MASK));
    copy_bytes(buf, host + b->ram_offset, first);
    copy_bytes(buf + first, host + b->ram_offset2, b->len - first);
    return buf;
}

/* Does the second page of a block lie where the present translations put it? */
static bool goes_on_here(struct cpu *c, const struct block *b, uint64_t lin)
{
    struct fetch_page next;
    uint64_t next_lin = (lin | PAGE_MASK) + 1;

    if (b->ram_offset2 == NO_RAM)
        return true;
    if (!(c->mode & MODE_CODE64))
        next_lin = (uint32_t)next_lin;
    return fetch_translate(c, next_lin, &next) && next.host && next.ram_offset == b->ram_offset2;
}

/* The block at a place in the present mode; NULL: there is none, or a fault is pending. */
static struct block *known_block(struct cpu *c, uint64_t ram_offset, uint64_t lin)
{
    const struct block_cache *bc = c->blocks;
    const struct row *row = row_of(bc, ram_offset, c->mode);
    uint32_t tag = tag_of(ram_offset, c->mode);

    for (unsigned way = 0; way < WAYS && row->at[way]; way++) {
        if (row->tags[way] != tag && way < WAYS - 1)
            continue;
        for (struct block *b = block_in(bc, row->at[way]); b; b = b->row_next) {
            if (b->ram_offset != ram_offset || !is_alike(c, b, lin))
                continue;
            if (goes_on_here(c, b, lin))
                return b;
            if (has_fault(c))
                return NULL;
        }
    }
    return NULL;
}

/* Only the name of the slot's space has changed: the address leads to the same bytes. */
static bool slot_renew(const struct cpu *c, struct jump_slot *slot, uint64_t lin,
                       uint64_t ram_offset)
{
    const struct block *b = slot->block;

    if (!slot->tag || slot->page != (lin & ~PAGE_MASK) || b->ram_offset != ram_offset || b->dead ||
        !is_alike(c, b, lin) || b->ram_offset2 != NO_RAM || !within_cs(c, c->rip, b->len))
        return false;
    slot->tag = lin ^ c->jump_tag;
    return true;
}

struct block *block_find(struct cpu *c)
{
    uint64_t lin = rip_to_lin(c, c->rip);
    if (UNLIKELY(c->t1->full))
        block_evict(c);
    struct jump_slot *slot = jump_slot(c, lin);
    struct block *b = slot->block;

    if (LIKELY(slot->tag == (lin ^ c->jump_tag) && !b->dead && within_cs(c, c->rip, b->len)))
        return b;
    if (!within_cs(c, c->rip, 1)) {
        raise_fault(c, VEC_GP, 0);
        return NULL;
    }

    struct fetch_page page;
    c->stats[STAT_FINDS]++;
    if (!fetch_translate(c, lin, &page))
        return NULL;
    if (!page.host)
        return single_block(c, &page, lin);
    uint64_t ram_offset = page.ram_offset + (lin & PAGE_MASK);
    if (slot_renew(c, slot, lin, ram_offset)) {
        c->stats[STAT_RENEWED]++;
        return b;
    }
    b = known_block(c, ram_offset, lin);
    if (has_fault(c))
        return NULL;
    if (b && !within_cs(c, c->rip, b->len))
        return single_block(c, &page, lin);
    if (!b) {
        enum cpu_place from = cpu_place(c, IN_DECODER);
        b = build_block(c, &page, lin);
        cpu_place(c, from);
    }
    if (b && b->ram_offset != NO_RAM)
        *slot = (struct jump_slot){.tag = lin ^ c->jump_tag,
                                   .code = t1_slot_code(c, b),
                                   .page = lin & ~PAGE_MASK,
                                   .block = b};
    return b;
}
