/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The soft TLB: linear page to host address, for loads and stores apart and per privilege and
 * address space, so that one comparison answers "mapped, allowed, plain memory, nothing to watch".
 * Everything else is a miss and goes through tlb.c: page faults, devices, pages that hold decoded
 * code, accesses that cross a page.
 *
 * An access of n bytes at lin hits when (lin ^ tag) <= 4096 - n: the pages are the same and the
 * last byte is on it too. Translated code does the same comparison (t1_mem.c).
 */
#ifndef CPU_SOFT_TLB_H
#define CPU_SOFT_TLB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu;

#define TLB_INDEX_BITS 11
#define TLB_ENTRIES (1u << TLB_INDEX_BITS)
#define PAGE_MASK 0xfffULL

struct tlb_entry {
    uint64_t tag[2]; /* linear page for loads and for stores, tlb_no_tag() when they miss */
    uint64_t addend; /* host address minus linear address */
    uint64_t page;   /* host address of the page */
};

/*
 * A translation, whether or not an entry gives it out (device, code, watched, or another page has
 * taken the entry): saves the walk. Every entry has its translation here too.
 */
struct tlb_known {
    uint64_t page;  /* linear page, with TLB_KNOWN_…; 0: none */
    uint64_t where; /* TLB_KNOWN_RAM: the host address of the page, else its physical one */
    /* What its entry has, or had before another page took it: translated code fills it anew. */
    uint64_t tag[2];
};
#define TLB_KNOWN_READ 1u
#define TLB_KNOWN_WRITE 2u
#define TLB_KNOWN_RAM 4u /* the page is plain memory, all of it */

#define TLB_KNOWN_BITS 12
#define TLB_KNOWN (1u << TLB_KNOWN_BITS)

/* A kernel fetches from some thousand pages: two bits of each, and one page in fifty is mistaken. */
#define TLB_FETCHED_BITS 32768u

struct tlb_table {
    struct tlb_entry entries[TLB_ENTRIES];
    struct tlb_known known[TLB_KNOWN];
    /* What is known, by index: of global pages [0] and of others [1]; listed: bits by list. */
    uint16_t list[2][TLB_KNOWN];
    unsigned list_count[2];
    uint8_t listed[TLB_KNOWN];
    /* Where code was fetched from: a filter by page, and what names these translations. */
    uint64_t fetched[TLB_FETCHED_BITS / 64];
    uint64_t space;
};

/* Result of a page walk for instruction fetch. */
struct fetch_page {
    const uint8_t *host; /* of the page; NULL: not memory */
    uint64_t ram_offset; /* of the page in the store */
    uint64_t gpa;        /* of the page */
};

/* A translation for fetching: good as long as its space has the same name. */
struct tlb_fetch {
    uint64_t lin, space;
    struct fetch_page page;
};
#define TLB_FETCHES 1024u

#define TLB_ASIDS 8

struct tlb_state {
    struct tlb_table kernel;    /* supervisor, EFLAGS.AC clear or no SMAP */
    struct tlb_table kernel_ac; /* supervisor with SMAP off for explicit accesses */
    struct tlb_table user[TLB_ASIDS];
    struct {
        uint16_t pcid;
        bool used;
    } asids[TLB_ASIDS];
    unsigned asid;           /* of the present CR3 */
    unsigned asid_next;      /* to be given away next */
    uint64_t spaces;         /* the last number given out */
    bool kernel_local_fetch; /* supervisor code was fetched from a page that is not global */
    /* By half of the address space: hashed regions of 2 MiB and 1 GiB that lie in larger pages. */
    uint64_t large[2][64], huge[2][64];
    struct tlb_fetch fetches[TLB_FETCHES];
};

static inline unsigned tlb_half(uint64_t lin)
{
    return (unsigned)(lin >> 63);
}

static inline unsigned tlb_index(uint64_t lin)
{
    return (unsigned)(lin >> 12) & (TLB_ENTRIES - 1);
}

/* The two bits of a page in the filter of what was fetched. */
static inline uint32_t tlb_fetched_bit(uint64_t lin, unsigned n)
{
    return (uint32_t)((lin >> 12) * (n ? 0xd6e8feb86659fd93ULL : 0x9e3779b97f4a7c15ULL) >> 49);
}

/* Pages that share an entry because they lie a power of two apart do not share this. */
static inline unsigned tlb_known_index(uint64_t lin)
{
    return (unsigned)(lin >> 12 ^ lin >> (12 + TLB_INDEX_BITS) ^ lin >> (13 + 2 * TLB_INDEX_BITS)) &
           (TLB_KNOWN - 1);
}

/* A tag that no address with this index has. */
static inline uint64_t tlb_no_tag(unsigned index)
{
    return index ? 0 : 1u << 12;
}

/*
 * The same for what is known of a page: no address that is looked up there has it, nor one with the page's
 * index, for translated code copies it into an entry. The first pages are their own index in both.
 */
static inline uint64_t tlb_known_no_tag(uint64_t lin)
{
    unsigned index = tlb_index(lin), known = tlb_known_index(lin), n = 0;

    while (n == index || n == known)
        n++;
    return (uint64_t)n << 12;
}

/* The host address of size bytes (at most a page) when the table has it for this access. */
static inline void *tlb_hit(const struct tlb_table *t, uint64_t lin, unsigned size, bool write)
{
    const struct tlb_entry *e = &t->entries[tlb_index(lin)];
    return (lin ^ e->tag[write]) <= PAGE_MASK + 1 - size ? (void *)(lin + e->addend) : NULL;
}

/* The kinds of access that a translation is asked for. */
enum access {
    ACC_READ = 0,
    ACC_WRITE = 1,
    ACC_FETCH = 2,
    ACC_SYSTEM = 4, /* implicit supervisor access: descriptor tables, TSS, stacks of gates */
    ACC_STACK = 16, /* through SS: a non-canonical address is #SS, not #GP */
};

/* All entries empty; once, before anything else. */
void tlb_init(struct tlb_state *t);

/*
 * Slow loads and stores, at most 16 bytes here (longer ones in pieces by mem_*). They do the
 * access whole or raise a fault and do nothing. False: a fault is pending.
 */
bool slow_read(struct cpu *c, uint64_t lin, void *buf, unsigned size, unsigned access);
bool slow_write(struct cpu *c, uint64_t lin, const void *buf, unsigned size, unsigned access);
/*
 * A store by the caller to memory that the TLB does not give out (a page with code, a watched
 * one): the host address, to be followed by slow_write_end(). NULL: a fault is pending, or the
 * bytes are not in one page of memory.
 */
uint8_t *slow_write_begin(struct cpu *c, uint64_t lin, unsigned size, unsigned access);
void slow_write_end(struct cpu *c, const uint8_t *host, unsigned size);
/* Check (and fault) that size bytes may be written, without writing. */
bool probe_write(struct cpu *c, uint64_t lin, unsigned size, unsigned access);
bool probe_read(struct cpu *c, uint64_t lin, unsigned size, unsigned access);
/*
 * Host address of size bytes within one page of plain memory after filling the TLB, NULL when
 * there is none (device, code page, page crossing: no fault) or a fault is pending.
 */
void *slow_host(struct cpu *c, uint64_t lin, unsigned size, unsigned access);

/*
 * The host address of the page that bytes lie in, when stores to them miss for no other reason than
 * code in the same page, of which they are not part. Only where one CPU runs: no other can decode
 * them before the caller has stored. NULL: it is not so, or not known yet.
 */
const uint8_t *tlb_beside_code(const struct cpu *c, uint64_t lin, unsigned size);

/* Translate a linear page for fetching. False: a fault is pending. */
bool fetch_translate(struct cpu *c, uint64_t lin, struct fetch_page *ret_page);

/* Drop one translation of a table. */
void tlb_drop_known(struct tlb_table *t, struct tlb_known *known);
/* Drop all translations, those of one page, or those of one PCID that are not global. */
void tlb_flush(struct cpu *c);
void tlb_flush_page(struct cpu *c, uint64_t lin);
void tlb_flush_pcid(struct cpu *c, uint16_t pcid);
/* After MOV to CR3: choose the tables of the new PCID; keep: bit 63 was set. */
void tlb_switch(struct cpu *c, bool keep);
/* The table that explicit accesses use at the present privilege. */
struct tlb_table *tlb_present(struct cpu *c);
/* Names the translations that fetches use at the present privilege; changes when one may have. */
uint64_t tlb_fetch_space(const struct cpu *c);
/* Forget writable entries of a page of the store everywhere in this CPU (it now holds code). */
void tlb_protect(struct cpu *c, const uint8_t *host_page);

/* Reload the four PDPTEs (PAE paging); false: reserved bits, #GP is for the caller. */
bool load_pdptes(struct cpu *c, uint64_t cr3);

/* Physical memory as the processor's own tables see it: RAM or device. */
uint64_t phys_read(struct cpu *c, uint64_t gpa, unsigned size);
void phys_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value);

#endif
