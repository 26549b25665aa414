/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of devices: root and context table, second-level page tables of 3 or 4 levels with
 * pages of 4 KiB, 2 MiB and 1 GiB (chapter 3; formats 9.1, 9.3, 9.8), and the caches (chapter 6).
 *
 * What is absent or forbidden is never cached: without CAP_REG.CM the guest need not say that it
 * has allowed something (6.1).
 */
#include "hw/iommu/vtd_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define ENTRY_BYTES 16u
#define PRESENT 1ull
#define ROOT_RESERVED 0xffeull
#define CONTEXT_FPD (1ull << 1)
#define CONTEXT_RESERVED 0xff0ull
#define CONTEXT_RESERVED_HIGH (~0xffffffull | 1 << 7)
#define PTE_READ (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_LARGE (1ull << 7)
/* Bits 61:52 and 63 are the guest's; transient mappings belong to device TLBs. */
#define PTE_ADDRESS 0x000ffffffffff000ull
#define PTE_RESERVED_HIGH (1ull << 62)
#define LARGE_LEVELS 3u
/* 3.14: requests to these are interrupts, and never go through the tables. */
#define INTERRUPTS_FIRST 0xfee00000u
#define INTERRUPTS_LAST 0xfeefffffu

enum { TYPE_TABLES, TYPE_DEVICE_TLB, TYPE_PASS };

static unsigned level_shift(unsigned level)
{
    return VTD_PAGE_SHIFT + 9 * (level - 1);
}

static int entry_read(const struct vtd *vtd, uint64_t gpa, uint64_t ret[2])
{
    uint8_t raw[ENTRY_BYTES];
    int r = dma_read(&vtd->dma, gpa, raw, sizeof(raw));

    ret[0] = r < 0 ? 0 : le64_get(raw);
    ret[1] = r < 0 ? 0 : le64_get(raw + 8);
    return r;
}

/* Find out what a requester's context is: 0 or a reason; ret->quiet holds with one too. */
static int context_load(const struct vtd *vtd, uint16_t source, struct vtd_context *ret)
{
    uint64_t e[2];

    *ret = (struct vtd_context){.valid = true};
    if (entry_read(vtd, vtd->root + (uint64_t)ENTRY_BYTES * (source >> 8), e) < 0)
        return VTD_ROOT_UNREACHABLE;
    if (!(e[0] & PRESENT))
        return VTD_ROOT_ABSENT;
    if (e[0] & (ROOT_RESERVED | vtd_beyond(vtd)) || e[1])
        return VTD_ROOT_RESERVED;
    if (entry_read(vtd, (e[0] & VTD_PAGE_MASK) + (uint64_t)ENTRY_BYTES * (source & 0xff), e) < 0)
        return VTD_CONTEXT_UNREACHABLE;
    ret->quiet = e[0] & CONTEXT_FPD;
    if (!(e[0] & PRESENT))
        return VTD_CONTEXT_ABSENT;
    if (e[0] & (CONTEXT_RESERVED | vtd_beyond(vtd)) || e[1] & CONTEXT_RESERVED_HIGH)
        return VTD_CONTEXT_RESERVED;
    unsigned type = e[0] >> 2 & 3, width = e[1] & 7;
    if ((width != 1 && width != 2) || (type != TYPE_TABLES && type != TYPE_PASS))
        return VTD_CONTEXT_INVALID;
    ret->pass = type == TYPE_PASS;
    ret->levels = (uint8_t)(width + 2);
    ret->domain = (uint16_t)(e[1] >> 8);
    ret->table = e[0] & VTD_PAGE_MASK;
    return 0;
}

static int context_find(struct vtd *vtd, uint16_t source, struct vtd_context *ret)
{
    struct vtd_context *cached = source < VTD_CONTEXTS ? &vtd->contexts[source] : NULL;
    int r;

    if (cached && cached->valid) {
        *ret = *cached;
        return 0;
    }
    r = context_load(vtd, source, ret);
    if (r == 0 && cached)
        *cached = *ret;
    return r;
}

/* Walk a domain's tables: 0 or a reason. */
static int page_load(const struct vtd *vtd, const struct vtd_context *c, uint64_t addr, bool write,
                     struct vtd_page *ret)
{
    uint64_t table = c->table;

    *ret = (struct vtd_page){.valid = true,
                             .read = true,
                             .write = true,
                             .domain = c->domain,
                             .page = addr >> VTD_PAGE_SHIFT};
    for (unsigned level = c->levels;; level--) {
        uint64_t index = addr >> level_shift(level) & 0x1ff, pte, below;
        uint8_t raw[8];

        if (dma_read(&vtd->dma, table + 8 * index, raw, sizeof(raw)) < 0)
            return VTD_TABLE_UNREACHABLE;
        pte = le64_get(raw);
        ret->read = ret->read && pte & PTE_READ;
        ret->write = ret->write && pte & PTE_WRITE;
        if (!(write ? ret->write : ret->read))
            return write ? VTD_NO_WRITE : VTD_NO_READ;
        if (pte & (PTE_RESERVED_HIGH | (vtd_beyond(vtd) & PTE_ADDRESS)) ||
            (pte & PTE_LARGE && level > LARGE_LEVELS))
            return VTD_TABLE_RESERVED;
        table = pte & PTE_ADDRESS;
        if (level > 1 && !(pte & PTE_LARGE))
            continue;
        below = (1ull << level_shift(level)) - 1;
        if (table & below)
            return VTD_TABLE_RESERVED;
        ret->level = (uint8_t)level;
        ret->gpa = table | (addr & below & VTD_PAGE_MASK);
        return 0;
    }
}

static struct vtd_page *page_slot(struct vtd *vtd, uint16_t domain, uint64_t page)
{
    return &vtd->pages[(page ^ page >> 9 ^ domain * 37u) % VTD_IOTLB];
}

static int page_find(struct vtd *vtd, const struct vtd_context *c, uint64_t addr, bool write,
                     struct vtd_page *ret)
{
    struct vtd_page *cached = page_slot(vtd, c->domain, addr >> VTD_PAGE_SHIFT);
    int r;

    if (cached->valid && cached->domain == c->domain && cached->page == addr >> VTD_PAGE_SHIFT &&
        (write ? cached->write : cached->read)) {
        *ret = *cached;
        return 0;
    }
    if (addr >> level_shift(c->levels + 1u))
        return VTD_BEYOND_WIDTH;
    r = page_load(vtd, c, addr, write, ret);
    if (r == 0)
        *cached = *ret;
    return r;
}

int vtd_translate(void *ctx, uint16_t requester, uint64_t addr, bool write, uint64_t *ret_gpa,
                  uint64_t *ret_len_bytes)
{
    struct vtd *vtd = ctx;
    struct vtd_context context;
    struct vtd_page page;
    uint64_t below;
    int reason;

    *ret_gpa = addr;
    *ret_len_bytes = UINT64_MAX;
    if (!vtd_on(vtd, GSTS_TES))
        return 0;
    if (addr >= INTERRUPTS_FIRST && addr <= INTERRUPTS_LAST)
        return -EFAULT; /* a write of a device's own making; ours send them by vtd_msi() */
    reason = context_find(vtd, requester, &context);
    if (!reason && context.pass)
        return 0;
    if (!reason)
        reason = page_find(vtd, &context, addr, write, &page);
    if (reason) {
        /* 7.1.3: only of faults before a context entry was found FPD has nothing to say. */
        if (!context.quiet)
            vtd_fault(vtd, requester, addr, (enum vtd_reason)reason, !write);
        return -EFAULT;
    }
    below = (1ull << level_shift(page.level)) - 1;
    *ret_gpa = page.gpa | (addr & ~VTD_PAGE_MASK);
    *ret_len_bytes = below - (addr & below) + 1;
    return 0;
}

/* ---- forgetting ---- */

void vtd_forget_contexts(struct vtd *vtd)
{
    memset(vtd->contexts, 0, sizeof(vtd->contexts));
}

void vtd_forget_device(struct vtd *vtd, uint16_t source, uint16_t mask)
{
    for (unsigned n = 0; n < VTD_CONTEXTS; n++)
        if (!((n ^ source) & ~mask & 0xffffu))
            vtd->contexts[n].valid = false;
}

void vtd_forget_domain_contexts(struct vtd *vtd, uint16_t domain)
{
    for (unsigned n = 0; n < VTD_CONTEXTS; n++)
        if (vtd->contexts[n].domain == domain)
            vtd->contexts[n].valid = false;
}

void vtd_forget_domain(struct vtd *vtd, uint16_t domain)
{
    for (unsigned n = 0; n < VTD_IOTLB; n++)
        if (vtd->pages[n].domain == domain)
            vtd->pages[n].valid = false;
}

void vtd_forget_pages(struct vtd *vtd, uint16_t domain, uint64_t addr, unsigned shift)
{
    uint64_t first = addr >> VTD_PAGE_SHIFT & ~0ull << shift, last = first | ((1ull << shift) - 1);

    /* Of a large page all parts go, whichever of them is named (6.5.1.2). */
    for (unsigned n = 0; n < VTD_IOTLB; n++) {
        struct vtd_page *p = &vtd->pages[n];
        uint64_t below = p->valid ? (1ull << 9 * (p->level - 1)) - 1 : 0;

        if (p->valid && p->domain == domain && (p->page | below) >= first &&
            (p->page & ~below) <= last)
            p->valid = false;
    }
}

void vtd_forget_all_pages(struct vtd *vtd)
{
    memset(vtd->pages, 0, sizeof(vtd->pages));
}
