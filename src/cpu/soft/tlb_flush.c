/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the soft TLB forgets, and when: INVLPG, INVPCID, MOV to CR3 and to the bits that change
 * what translations mean. Intel SDM vol. 3, 4.10.4.
 *
 * Each table lists the entries it uses, so that forgetting costs what filling did. What fetches
 * found lives in jump slots (block.h), which are good as long as their space has the same name.
 */
#include "cpu/soft/mem.h"

static void new_space(struct cpu *c, struct tlb_table *t)
{
    cpu_shut_gates(c);
    t->space = ++c->tlbs->spaces;
    zero_bytes(t->fetched, sizeof(t->fetched));
}

void tlb_drop_known(struct tlb_table *t, struct tlb_known *known)
{
    uint64_t page = known->page & ~PAGE_MASK;
    unsigned index = tlb_index(page);
    struct tlb_entry *e = &t->entries[index];

    if (e->tag[0] == page || e->tag[1] == page)
        e->tag[0] = e->tag[1] = tlb_no_tag(index);
    known->page = 0;
    known->tag[0] = known->tag[1] = tlb_known_no_tag(page);
}

static void drop_list(struct tlb_table *t, unsigned list)
{
    for (unsigned i = 0; i < t->list_count[list]; i++) {
        unsigned index = t->list[list][i];
        tlb_drop_known(t, &t->known[index]);
        t->listed[index] &= (uint8_t) ~(1u << list);
    }
    t->list_count[list] = 0;
}

static void drop_table(struct tlb_table *t)
{
    drop_list(t, 0);
    drop_list(t, 1);
}

static void drop_if_in(struct tlb_table *t, unsigned index, uint64_t lin, uint64_t bytes)
{
    struct tlb_known *known = &t->known[index];
    if (known->page && ((known->page ^ lin) & ~(bytes - 1)) == 0)
        tlb_drop_known(t, known);
}

/* Forget what lies in the region of so many bytes around lin. */
static void drop_region(struct tlb_table *t, uint64_t lin, uint64_t bytes)
{
    if (bytes == PAGE_MASK + 1) {
        drop_if_in(t, tlb_known_index(lin), lin, bytes);
        return;
    }
    for (unsigned list = 0; list < 2; list++)
        for (unsigned i = 0; i < t->list_count[list]; i++)
            drop_if_in(t, t->list[list][i], lin, bytes);
}

/* May code have been fetched from the region? */
static bool fetched_from(const struct tlb_table *t, uint64_t lin, uint64_t bytes)
{
    if (bytes != PAGE_MASK + 1)
        return true;
    for (unsigned n = 0; n < 2; n++) {
        uint32_t bit = tlb_fetched_bit(lin, n);
        if (!(t->fetched[bit / 64] >> bit % 64 & 1))
            return false;
    }
    return true;
}

/* Of a zeroed table only what stands for page 0 would answer. */
static void init_table(struct tlb_table *t)
{
    t->entries[0].tag[0] = t->entries[0].tag[1] = tlb_no_tag(0);
    t->known[0].tag[0] = t->known[0].tag[1] = tlb_known_no_tag(0);
}

void tlb_init(struct tlb_state *t)
{
    init_table(&t->kernel);
    init_table(&t->kernel_ac);
    for (unsigned i = 0; i < TLB_ASIDS; i++)
        init_table(&t->user[i]);
}

struct tlb_table *tlb_present(struct cpu *c)
{
    struct tlb_state *t = c->tlbs;
    if (c->cpl == 3)
        return &t->user[t->asid];
    return c->eflags & FL_AC && c->cr4 & CR4_SMAP ? &t->kernel_ac : &t->kernel;
}

uint64_t tlb_fetch_space(const struct cpu *c)
{
    const struct tlb_state *t = c->tlbs;
    return c->cpl == 3 ? t->user[t->asid].space : t->kernel.space;
}

static uint16_t pcid_of(const struct cpu *c)
{
    return c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

/* Supervisor translations that are not global belong to the present PCID alone. */
static void drop_kernel_local(struct cpu *c)
{
    struct tlb_state *t = c->tlbs;
    drop_list(&t->kernel, 1);
    drop_list(&t->kernel_ac, 1);
    if (t->kernel_local_fetch)
        new_space(c, &t->kernel);
    t->kernel_local_fetch = false;
}

static void drop_user(struct cpu *c, unsigned asid)
{
    drop_table(&c->tlbs->user[asid]);
    new_space(c, &c->tlbs->user[asid]);
}

void tlb_flush(struct cpu *c)
{
    struct tlb_state *t = c->tlbs;

    c->stats[STAT_FLUSHES]++;
    drop_table(&t->kernel);
    drop_table(&t->kernel_ac);
    new_space(c, &t->kernel);
    t->kernel_local_fetch = false;
    for (unsigned i = 0; i < TLB_ASIDS; i++) {
        drop_user(c, i);
        t->asids[i].used = false;
    }
    t->asids[t->asid].used = true;
    t->asids[t->asid].pcid = pcid_of(c);
    zero_bytes(t->large, sizeof(t->large));
    zero_bytes(t->huge, sizeof(t->huge));
    cpu_update_mode(c);
}

static int find_asid(const struct tlb_state *t, uint16_t pcid)
{
    for (unsigned i = 0; i < TLB_ASIDS; i++)
        if (t->asids[i].used && t->asids[i].pcid == pcid)
            return (int)i;
    return -1;
}

void tlb_switch(struct cpu *c, bool keep)
{
    struct tlb_state *t = c->tlbs;
    int found = find_asid(t, pcid_of(c));

    c->stats[STAT_SWITCHES]++;
    drop_kernel_local(c);
    if (found < 0) {
        if (t->asid_next == t->asid)
            t->asid_next = (t->asid_next + 1) % TLB_ASIDS;
        found = (int)t->asid_next;
        t->asid_next = (t->asid_next + 1) % TLB_ASIDS;
        t->asids[found].used = true;
        t->asids[found].pcid = pcid_of(c);
        keep = false;
    }
    t->asid = (unsigned)found;
    cpu_shut_gates(c);
    if (!keep)
        drop_user(c, t->asid);
    cpu_update_mode(c);
}

void tlb_flush_pcid(struct cpu *c, uint16_t pcid)
{
    int found = find_asid(c->tlbs, pcid);

    if (pcid == pcid_of(c))
        drop_kernel_local(c);
    if (found >= 0)
        drop_user(c, (unsigned)found);
    cpu_update_mode(c);
}

void tlb_flush_page(struct cpu *c, uint64_t lin)
{
    struct tlb_state *t = c->tlbs;
    uint64_t bytes = PAGE_MASK + 1;
    unsigned half = tlb_half(lin);

    c->stats[STAT_PAGES]++;
    if (t->huge[half][(lin >> 36) & 63] >> ((lin >> 30) & 63) & 1)
        bytes = 1ULL << 30;
    else if (t->large[half][(lin >> 27) & 63] >> ((lin >> 21) & 63) & 1)
        bytes = 1ULL << (c->cr4 & CR4_PAE ? 21 : 22);
    drop_region(&t->kernel, lin, bytes);
    drop_region(&t->kernel_ac, lin, bytes);
    if (fetched_from(&t->kernel, lin, bytes))
        new_space(c, &t->kernel);
    /* A global page may be known to any of them. */
    for (unsigned i = 0; i < TLB_ASIDS; i++) {
        drop_region(&t->user[i], lin, bytes);
        if (fetched_from(&t->user[i], lin, bytes))
            new_space(c, &t->user[i]);
    }
    cpu_update_mode(c);
}

static void protect(struct tlb_table *t, const uint8_t *host_page)
{
    for (unsigned list = 0; list < 2; list++)
        for (unsigned i = 0; i < t->list_count[list]; i++) {
            struct tlb_known *known = &t->known[t->list[list][i]];
            unsigned index = tlb_index(known->page);
            if (known->where == (uint64_t)host_page)
                known->tag[1] = tlb_known_no_tag(known->page);
            if (t->entries[index].page == (uint64_t)host_page)
                t->entries[index].tag[1] = tlb_no_tag(index);
        }
}

void tlb_protect(struct cpu *c, const uint8_t *host_page)
{
    protect(&c->tlbs->kernel, host_page);
    protect(&c->tlbs->kernel_ac, host_page);
    for (unsigned i = 0; i < TLB_ASIDS; i++)
        protect(&c->tlbs->user[i], host_page);
}
