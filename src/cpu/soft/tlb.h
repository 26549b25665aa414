/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The soft TLB: linear page to host address, for loads and stores apart and per privilege, so
 * that one comparison answers "mapped, allowed, plain memory, nothing to watch". Everything else
 * is a miss and goes through tlb_slow.c: page faults, devices, pages that hold decoded code,
 * accesses that cross a page.
 *
 * A tag is the page's linear address with the epoch in its low bits; a flush takes a new epoch.
 * Bit 11 marks an entry that must take the slow way although its translation is known.
 */
#ifndef CPU_SOFT_TLB_H
#define CPU_SOFT_TLB_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;

#define TLB_ENTRIES 1024u
#define TLB_EPOCH_MAX 0x7ffu
#define TLB_SLOW 0x800u
#define PAGE_MASK 0xfffULL

struct tlb_entry {
    uint64_t tag;
    uint64_t addend; /* host address minus linear address; slow entries: physical page */
};

struct tlb_set {
    struct tlb_entry r[TLB_ENTRIES], w[TLB_ENTRIES];
};

/* Sets by privilege: supervisor, user, supervisor with EFLAGS.AC (SMAP off for explicit access). */
enum { TLB_KERNEL, TLB_USER, TLB_KERNEL_AC, TLB_SETS };

#define PCID_SLOTS 16

struct tlb_state {
    struct tlb_set sets[TLB_SETS];
    struct {
        uint16_t pcid;
        uint32_t epoch; /* 0: free */
    } pcids[PCID_SLOTS];
    unsigned pcid_next;
    uint64_t large[64]; /* hashed 2 MiB regions that entries of large pages came from */
};

static inline unsigned tlb_index(uint64_t lin)
{
    return (unsigned)((lin >> 12) ^ (lin >> 22)) & (TLB_ENTRIES - 1);
}

/* The kinds of access that a translation is asked for. */
enum access {
    ACC_READ = 0,
    ACC_WRITE = 1,
    ACC_FETCH = 2,
    ACC_SYSTEM = 4, /* implicit supervisor access: descriptor tables, TSS, stacks of gates */
    ACC_STACK = 16, /* through SS: a non-canonical address is #SS, not #GP */
};

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

/* Result of a page walk for instruction fetch. */
struct fetch_page {
    const uint8_t *host; /* of the page; NULL: not memory */
    uint64_t ram_offset; /* of the page in the store */
    uint64_t gpa;        /* of the page */
};
/* Translate a linear page for fetching. False: a fault is pending. */
bool fetch_translate(struct cpu *c, uint64_t lin, struct fetch_page *ret_page);

/* Drop all translations, those of one page, or those of one PCID. */
void tlb_flush(struct cpu *c);
void tlb_flush_page(struct cpu *c, uint64_t lin);
void tlb_flush_pcid(struct cpu *c, uint16_t pcid);
/* After MOV to CR3: choose the epoch of the new PCID; keep: bit 63 was set. */
void tlb_switch(struct cpu *c, bool keep);
/* Forget what the jump slots (block.h) know: the only place where fetch translations live. */
void jumps_flush(struct cpu *c);
/* Forget writable entries of a page of the store everywhere in this CPU (it now holds code). */
void tlb_protect(struct cpu *c, const uint8_t *host_page);

/* Reload the four PDPTEs (PAE paging); false: reserved bits, #GP is for the caller. */
bool load_pdptes(struct cpu *c, uint64_t cr3);

/* Physical memory as the processor's own tables see it: RAM or device. */
uint64_t phys_read(struct cpu *c, uint64_t gpa, unsigned size);
void phys_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value);

#endif
