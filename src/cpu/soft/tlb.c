/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks and what the soft TLB misses. Intel SDM vol. 3, chapter 4.
 *
 * The walk's own accesses are physical; accessed and dirty bits are set by compare-and-exchange,
 * because another CPU may be editing the entry.
 */
#include "cpu/soft/tlb.h"

#include "cpu/soft/check.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/mem.h"

#define PHYS_MASK ((1ULL << X86_PHYS_BITS) - 1)
#define PTE_ADDR 0x000ffffffffff000ULL

struct walk {
    uint64_t gpa;  /* of the byte asked for */
    bool writable; /* this access kind may also write, with D set already */
    bool large;    /* the page is larger than 4 KiB */
    bool huge;     /* larger than 2 or 4 MiB */
    bool global;
};

/* ---- physical access ---- */

static uint8_t *find_host(struct cpu *c, uint64_t gpa, unsigned size, bool write)
{
    const struct bus_range *range = bus_view_find(c->view, gpa);
    if (!range || range->region->kind == REGION_IO)
        return NULL;
    uint8_t *host = c->soft->ram->host + range->region->ram_offset + range->region_offset;
    if (range->region->kind == REGION_RAM) {
        c->ram_gpa = range->base;
        c->ram_bytes = range->end - range->base + 1;
        c->ram_host = host;
    } else if (write) {
        return NULL;
    }
    return gpa + size - 1 > range->end ? NULL : host + (gpa - range->base);
}

static uint8_t *phys_host(struct cpu *c, uint64_t gpa, unsigned size, bool write)
{
    gpa &= c->a20_mask;
    uint64_t at = gpa - c->ram_gpa;
    if (LIKELY(at < c->ram_bytes && size <= c->ram_bytes - at))
        return c->ram_host + at;
    return find_host(c, gpa, size, write);
}

static void note_write(struct cpu *c, const uint8_t *host, uint64_t len_bytes)
{
    uint64_t offset = (uint64_t)(host - c->soft->ram->host);
    _Atomic uint8_t *flags = ram_flags(c->soft->ram, offset);
    uint8_t now = atomic_load_explicit(flags, memory_order_relaxed);

    if ((now & RAM_DIRTY_ALL) != RAM_DIRTY_ALL)
        atomic_fetch_or_explicit(flags, RAM_DIRTY_ALL, memory_order_relaxed);
    if (now & RAM_CODE)
        block_code_written(c, offset, len_bytes);
}

uint64_t phys_read(struct cpu *c, uint64_t gpa, unsigned size)
{
    const uint8_t *host = phys_host(c, gpa, size, false);
    uint64_t v = 0;
    if (!host)
        return out_mmio_read(c, gpa & c->a20_mask, size);
    copy_bytes(&v, host, size);
    return v;
}

void phys_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value)
{
    uint8_t *host = phys_host(c, gpa, size, true);
    if (!host) {
        out_mmio_write(c, gpa & c->a20_mask, size, value);
        return;
    }
    if (UNLIKELY(c->check != NULL))
        check_store(c->check, host, size);
    copy_bytes(host, &value, size);
    note_write(c, host, size);
}

/* ---- the walk ---- */

static uint32_t pf_code(const struct cpu *c, unsigned access, bool user, uint32_t extra)
{
    uint32_t code = extra;
    if (access & ACC_WRITE)
        code |= PF_W;
    if (user)
        code |= PF_U;
    if (access & ACC_FETCH && ((c->efer & EFER_NXE && c->cr4 & CR4_PAE) || c->cr4 & CR4_SMEP))
        code |= PF_I;
    return code;
}

static bool walk_fault(struct cpu *c, uint64_t lin, unsigned access, bool user, uint32_t extra)
{
    raise_pf(c, lin, pf_code(c, access, user, extra));
    return false;
}

static uint64_t read_entry(struct cpu *c, uint64_t at, unsigned bytes, uint8_t **ret_host)
{
    uint8_t *host = phys_host(c, at, bytes, true);
    *ret_host = host;
    if (!host)
        host = phys_host(c, at, bytes, false);
    if (!host)
        return out_mmio_read(c, at & c->a20_mask, bytes);
    return bytes == 8 ? *(volatile uint64_t *)host : *(volatile uint32_t *)host;
}

/* Set bits in an entry that still has the value seen; false: it changed, walk again. */
static bool set_bits(struct cpu *c, uint8_t *host, unsigned bytes, uint64_t seen, uint64_t bits)
{
    if ((seen & bits) == bits || !host)
        return true;
    if (bytes == 8) {
        if (!__sync_bool_compare_and_swap((uint64_t *)host, seen, seen | bits))
            return false;
    } else if (!__sync_bool_compare_and_swap((uint32_t *)host, (uint32_t)seen,
                                             (uint32_t)(seen | bits))) {
        return false;
    }
    note_write(c, host, bytes);
    return true;
}

struct level {
    uint8_t *host;
    uint64_t entry;
};

/* Reserved bits of an entry at a level (1 = page table): SDM vol. 3, 4.3 to 4.5. */
static bool has_reserved(const struct cpu *c, uint64_t entry, unsigned level, bool pae, bool leaf)
{
    if (!pae) {
        /* 32-bit: only PSE pages have any; bits 13–20 carry address bits 32–39 (PSE-36). */
        return leaf && level == 2 && entry & (1 << 21);
    }
    uint64_t reserved = PTE_ADDR & ~PHYS_MASK;
    if (!(c->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (!is_long(c))
        reserved |= 0x7ff0000000000000ULL; /* bits 52–62 */
    if (level == 4)
        reserved |= PTE_PS;
    if (leaf && level == 3)
        reserved |= 0x3fffe000;
    if (leaf && level == 2)
        reserved |= 0x1fe000;
    return entry & reserved;
}

static bool is_canonical(uint64_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

/*
 * Protection keys of 64-bit mode (SDM vol. 3, 4.6.2): whether data on a page may be read and
 * written, as far as its key goes.
 */
static void key_rights(const struct cpu *c, uint64_t leaf, bool user, bool user_page,
                       bool *ret_read, bool *ret_write)
{
    *ret_read = *ret_write = true;
    if (!is_long(c) || !(c->cr4 & (user_page ? CR4_PKE : CR4_PKS)))
        return;
    uint64_t rights = (user_page ? c->pkru : c->pkrs) >> (2 * (leaf >> PTE_KEY_SHIFT & 15));
    *ret_read = !(rights & 1);
    *ret_write = *ret_read && (!(rights & 2) || (!user && !(c->cr0 & CR0_WP)));
}

/*
 * Translate; false: a fault is pending. `user` is the privilege of the access. On success the
 * accessed bits are set, and D too for a write.
 */
static bool walk(struct cpu *c, uint64_t lin, unsigned access, bool user, struct walk *ret)
{
    if (is_long(c) && !is_canonical(lin)) {
        raise_fault(c, access & ACC_STACK ? VEC_SS : VEC_GP, 0);
        return false;
    }
    if (!(c->cr0 & CR0_PG)) {
        *ret = (struct walk){.gpa = (uint32_t)lin, .writable = true};
        return true;
    }

    bool pae = c->cr4 & CR4_PAE;
    unsigned bytes = pae ? 8 : 4, bits = pae ? 9 : 10;
    struct level levels[5];

again:;
    uint64_t table = c->cr3 & (is_long(c) ? PTE_ADDR : pae ? 0xffffffe0 : 0xfffff000);
    unsigned level = is_long(c) ? 4 : 2, top = level;
    uint64_t perms = PTE_W | PTE_U, nx = 0;

    if (pae && !is_long(c)) {
        uint64_t pdpte = c->pdpte[(lin >> 30) & 3];
        if (!(pdpte & PTE_P))
            return walk_fault(c, lin, access, user, 0);
        table = pdpte & PTE_ADDR;
    }
    for (;; level--) {
        uint64_t at = table + ((lin >> (12 + bits * (level - 1))) & ((1u << bits) - 1)) * bytes;
        uint64_t entry = read_entry(c, at, bytes, &levels[level].host);
        levels[level].entry = entry;
        if (!(entry & PTE_P))
            return walk_fault(c, lin, access, user, 0);
        bool leaf = level == 1 || (entry & PTE_PS && level < 4 && (pae || c->cr4 & CR4_PSE));
        if (has_reserved(c, entry, level, pae, leaf))
            return walk_fault(c, lin, access, user, PF_P | PF_RSVD);
        perms &= entry;
        nx |= entry & PTE_NX;
        if (leaf)
            break;
        table = entry & (pae ? PTE_ADDR : 0xfffff000);
    }

    uint64_t leaf = levels[level].entry;
    bool user_page = perms & PTE_U, write = access & ACC_WRITE;
    bool may_write = perms & PTE_W || (!user && !(c->cr0 & CR0_WP));
    bool denied = (user && !user_page) || (write && !may_write);
    bool key_reads, key_writes;
    uint32_t key_fault = 0;

    key_rights(c, leaf, user, user_page, &key_reads, &key_writes);
    if (access & ACC_FETCH) {
        denied |= nx && c->efer & EFER_NXE;
        denied |= !user && user_page && c->cr4 & CR4_SMEP;
    } else if (!user && user_page && c->cr4 & CR4_SMAP) {
        denied |= access & ACC_SYSTEM || !(c->eflags & FL_AC);
    }
    if (!(access & ACC_FETCH) && !(write ? key_writes : key_reads))
        key_fault = PF_PK;
    if (denied || key_fault)
        return walk_fault(c, lin, access, user, PF_P | key_fault);

    for (unsigned l = top; l > level; l--)
        if (!set_bits(c, levels[l].host, bytes, levels[l].entry, PTE_A))
            goto again;
    if (!set_bits(c, levels[level].host, bytes, leaf, PTE_A | (write ? PTE_D : 0)))
        goto again;

    uint64_t page_mask = (1ULL << (12 + bits * (level - 1))) - 1;
    uint64_t frame = leaf & PTE_ADDR;
    if (!pae) {
        frame = leaf & 0xfffff000;
        if (level == 2)
            frame |= (leaf & 0x1fe000) << 19; /* PSE-36 */
    }
    ret->gpa = (frame & ~page_mask) | (lin & page_mask);
    ret->writable = may_write && key_writes && (write || leaf & PTE_D);
    ret->large = level > 1;
    ret->huge = level > 2;
    ret->global = leaf & PTE_G && c->cr4 & CR4_PGE;
    return true;
}

/* ---- filling ---- */

static struct tlb_table *table_of(struct cpu *c, unsigned access)
{
    return access & ACC_SYSTEM ? &c->tlbs->kernel : tlb_present(c);
}

static bool watched(const struct cpu *c, uint64_t page)
{
    if (LIKELY(!(c->dr[7] & 0xff)))
        return false;
    for (unsigned i = 0; i < 4; i++)
        if (c->dr[7] >> (2 * i) & 3 && c->dr[7] >> (16 + 4 * i) & 3 &&
            (c->dr[i] & ~PAGE_MASK) == page)
            return true;
    return false;
}

static void list_known(struct tlb_table *t, unsigned index, bool local)
{
    if (t->listed[index] >> local & 1)
        return;
    t->listed[index] |= (uint8_t)(1u << local);
    t->list[local][t->list_count[local]++] = (uint16_t)index;
}

/* What was written is seen by whoever watches dirty pages, and no code is hit. */
static bool may_store_unseen(struct cpu *c, const uint8_t *host_page)
{
    uint64_t offset = (uint64_t)(host_page - c->soft->ram->host);
    uint8_t flags = atomic_load_explicit(ram_flags(c->soft->ram, offset), memory_order_relaxed);
    return !(flags & RAM_CODE) && (flags & RAM_DIRTY_ALL) == RAM_DIRTY_ALL;
}

/* Let the entry of a page give it out as far as nothing has to be watched. */
static const struct tlb_entry *fill(struct cpu *c, struct tlb_table *t, uint64_t lin, bool writable,
                                    uint8_t *host_page)
{
    unsigned index = tlb_index(lin);
    struct tlb_entry *e = &t->entries[index];
    uint64_t page = lin & ~PAGE_MASK, none = tlb_no_tag(index);

    if (e->page != (uint64_t)host_page || e->addend != (uint64_t)host_page - page)
        *e = (struct tlb_entry){{none, none}, (uint64_t)host_page - page, (uint64_t)host_page};
    if (watched(c, page)) {
        e->tag[0] = e->tag[1] = none;
        return e;
    }
    e->tag[0] = page;
    if (writable && may_store_unseen(c, host_page) &&
        (LIKELY(c->check == NULL) || check_may_store(c->check, e, host_page)))
        e->tag[1] = page;
    return e;
}

static void note_touch(struct cpu *c, const uint8_t *host)
{
    struct ahead *ahead = c->soft->ahead;
    uint64_t number = ahead ? ahead_number(ahead, host) : 0;

    if (LIKELY(!ahead || !ahead_is_new(ahead, number)))
        return;
    fpu_save(c);
    ahead_touch(ahead, number);
}

/* Walk, and note what was found. NULL: a fault is pending. */
static struct tlb_known *learn(struct cpu *c, struct tlb_table *t, struct tlb_known *known,
                               uint64_t lin, unsigned access)
{
    bool write = access & ACC_WRITE;
    struct walk w;

    if (!walk(c, lin, access, c->cpl == 3 && !(access & ACC_SYSTEM), &w))
        return NULL;
    if (w.large)
        c->tlbs->large[tlb_half(lin)][(lin >> 27) & 63] |= 3ULL << ((lin >> 21) & 62); /* 4 MiB */
    if (w.huge)
        c->tlbs->huge[tlb_half(lin)][(lin >> 36) & 63] |= 1ULL << ((lin >> 30) & 63);
    list_known(t, (unsigned)(known - t->known), !w.global);
    if (known->page && (known->page ^ lin) & ~PAGE_MASK)
        tlb_drop_known(t, known);
    uint64_t gpa = w.gpa & c->a20_mask & ~PAGE_MASK, had = known->page & PAGE_MASK;
    uint8_t *host = phys_host(c, gpa, PAGE_MASK + 1, true);
    known->page = (lin & ~PAGE_MASK) | (had & ~(uint64_t)TLB_KNOWN_RAM) |
                  (write ? TLB_KNOWN_WRITE : TLB_KNOWN_READ) | (w.writable ? TLB_KNOWN_WRITE : 0) |
                  (host ? TLB_KNOWN_RAM : 0);
    known->where = host ? (uint64_t)host : gpa;
    if (host)
        note_touch(c, host);
    known->tag[0] = known->tag[1] = tlb_known_no_tag(lin);
    return known;
}

/* Where an access goes, or the part of it that lies in one page. */
struct piece {
    uint8_t *host; /* of the first byte; NULL: not plain memory, then gpa counts */
    bool whole;    /* all of its page is plain memory */
    uint64_t gpa;  /* unless whole */
    unsigned size;
};

/* Translate one page's worth of access and put the result into the TLB. */
static bool translate(struct cpu *c, uint64_t lin, unsigned access, struct piece *ret)
{
    bool write = access & ACC_WRITE;
    struct tlb_table *t = table_of(c, access);
    struct tlb_known *known = &t->known[tlb_known_index(lin)];
    uint64_t kind = write ? TLB_KNOWN_WRITE : TLB_KNOWN_READ;

    if (((known->page ^ lin) & ~PAGE_MASK || !(known->page & kind)) &&
        !learn(c, t, known, lin, access))
        return false;
    if (LIKELY(known->page & TLB_KNOWN_RAM)) {
        uint8_t *page = (uint8_t *)known->where;
        ret->host = page + (lin & PAGE_MASK);
        ret->whole = true;
        const struct tlb_entry *e = fill(c, t, lin, known->page & TLB_KNOWN_WRITE, page);
        if (LIKELY(!c->check)) {
            uint64_t linear = lin & ~PAGE_MASK, none = tlb_known_no_tag(lin);

            known->tag[0] = e->tag[0] == linear ? linear : none;
            known->tag[1] = e->tag[1] == linear ? linear : none;
        }
        return true;
    }
    uint8_t *page = write ? NULL : phys_host(c, known->where, PAGE_MASK + 1, false);
    ret->whole = page;
    ret->gpa = known->where | (lin & PAGE_MASK);
    ret->host = page ? page + (lin & PAGE_MASK) : phys_host(c, ret->gpa, 1, write);
    if (page)
        fill(c, t, lin, false, page);
    return true;
}

/* ---- debug registers (SDM vol. 3, 18.2) ---- */

static void check_watch(struct cpu *c, uint64_t lin, unsigned size, bool write)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};
    for (unsigned i = 0; i < 4; i++) {
        unsigned rw = c->dr[7] >> (16 + 4 * i) & 3;
        unsigned len = lengths[c->dr[7] >> (18 + 4 * i) & 3];
        uint64_t at = c->dr[i] & ~(uint64_t)(len - 1);
        if (!(rw == 3 || (rw == 1 && write)) || lin + size <= at || at + len <= lin)
            continue;
        c->dr6_pending |= 1u << i;
        if (c->dr[7] >> (2 * i) & 3)
            c->events |= EV_TRAP;
    }
}

/* ---- slow access ---- */

/* One or two pieces, both translated before anything is touched. */
static bool split(struct cpu *c, uint64_t lin, unsigned size, unsigned access, struct piece *p,
                  unsigned *ret_count)
{
    unsigned first = (unsigned)MIN((uint64_t)size, PAGE_MASK + 1 - (lin & PAGE_MASK));
    *ret_count = first < size ? 2 : 1;
    p[0].size = first;
    p[1].size = size - first;
    if (!translate(c, lin, access, &p[0]))
        return false;
    if (first == size)
        return true;
    uint64_t next = lin + first;
    if (!is_code64(c))
        next = (uint32_t)next;
    return translate(c, next, access, &p[1]);
}

/* Bytes of the next access to a device: whole when the size is one that devices have. */
static unsigned device_piece(uint64_t gpa, unsigned size)
{
    if (size == 2 || size == 4 || size == 8)
        return size;
    for (unsigned n = 8; n > 1; n /= 2)
        if (size >= n && !(gpa & (n - 1)))
            return n;
    return 1;
}

static void device_read(struct cpu *c, uint64_t gpa, uint8_t *buf, unsigned size)
{
    while (size) {
        unsigned n = device_piece(gpa, size);
        uint64_t v = out_mmio_read(c, gpa, n);
        copy_bytes(buf, &v, n);
        gpa += n, buf += n, size -= n;
    }
}

static void device_write(struct cpu *c, uint64_t gpa, const uint8_t *buf, unsigned size)
{
    while (size) {
        unsigned n = device_piece(gpa, size);
        uint64_t v = 0;
        copy_bytes(&v, buf, n);
        out_mmio_write(c, gpa, n, v);
        gpa += n, buf += n, size -= n;
    }
}

/* Memory that does not fill its page's region (a device's window may be small) goes by pieces. */
static bool is_memory(struct cpu *c, const struct piece *p, bool write)
{
    return p->host && (p->whole || phys_host(c, p->gpa, p->size, write));
}

bool slow_read(struct cpu *c, uint64_t lin, void *buf, unsigned size, unsigned access)
{
    struct piece p[2];
    unsigned count;
    uint8_t *to = buf;

    if (!split(c, lin, size, access, p, &count))
        return false;
    if (UNLIKELY(c->dr[7] & 0xff) && !(access & ACC_SYSTEM))
        check_watch(c, lin, size, false);
    for (unsigned i = 0; i < count; to += p[i].size, i++) {
        if (!is_memory(c, &p[i], false))
            device_read(c, p[i].gpa, to, p[i].size);
        else if (p[i].size == 8)
            *(mem64 *)to = *(volatile mem64 *)p[i].host;
        else if (p[i].size == 4)
            *(mem32 *)to = *(volatile mem32 *)p[i].host;
        else
            copy_bytes(to, p[i].host, p[i].size);
    }
    return true;
}

bool slow_write(struct cpu *c, uint64_t lin, const void *buf, unsigned size, unsigned access)
{
    struct piece p[2];
    unsigned count;
    const uint8_t *from = buf;

    if (!split(c, lin, size, access | ACC_WRITE, p, &count))
        return false;
    if (UNLIKELY(c->dr[7] & 0xff) && !(access & ACC_SYSTEM))
        check_watch(c, lin, size, true);
    for (unsigned i = 0; i < count; from += p[i].size, i++) {
        if (!is_memory(c, &p[i], true)) {
            device_write(c, p[i].gpa, from, p[i].size);
            continue;
        }
        if (UNLIKELY(c->check != NULL))
            check_store(c->check, p[i].host, p[i].size);
        if (p[i].size == 8)
            *(volatile mem64 *)p[i].host = *(const mem64 *)from;
        else if (p[i].size == 4)
            *(volatile mem32 *)p[i].host = *(const mem32 *)from;
        else if (p[i].size == 2)
            *(volatile mem16 *)p[i].host = *(const mem16 *)from;
        else
            copy_bytes(p[i].host, from, p[i].size);
        note_write(c, p[i].host, p[i].size);
    }
    return true;
}

uint8_t *slow_write_begin(struct cpu *c, uint64_t lin, unsigned size, unsigned access)
{
    struct piece p[2];
    unsigned count;

    if (!split(c, lin, size, access | ACC_WRITE, p, &count) || count > 1 ||
        !is_memory(c, &p[0], true))
        return NULL;
    if (UNLIKELY(c->dr[7] & 0xff))
        check_watch(c, lin, size, true);
    if (UNLIKELY(c->check != NULL))
        check_store(c->check, p[0].host, size);
    return p[0].host;
}

void slow_write_end(struct cpu *c, const uint8_t *host, unsigned size)
{
    note_write(c, host, size);
}

bool probe_write(struct cpu *c, uint64_t lin, unsigned size, unsigned access)
{
    struct piece p[2];
    unsigned count;
    return split(c, lin, size, access | ACC_WRITE, p, &count);
}

bool probe_read(struct cpu *c, uint64_t lin, unsigned size, unsigned access)
{
    struct piece p[2];
    unsigned count;
    return split(c, lin, size, access, p, &count);
}

void *slow_host(struct cpu *c, uint64_t lin, unsigned size, unsigned access)
{
    struct piece p;

    if ((lin & PAGE_MASK) + size > PAGE_MASK + 1 || !translate(c, lin, access, &p))
        return NULL;
    /* Only what the TLB now answers by itself: nothing watched, no code, no device. */
    return tlb_hit(table_of(c, access), lin, size, access & ACC_WRITE);
}

const uint8_t *tlb_beside_code(const struct cpu *c, uint64_t lin, unsigned size)
{
    const struct tlb_known *known = &c->tlb->known[tlb_known_index(lin)];
    const uint64_t wanted = TLB_KNOWN_WRITE | TLB_KNOWN_RAM;
    const uint8_t *page = (const uint8_t *)known->where;

    if (c->soft->cpu_count > 1 || c->check || c->dr[7] & 0xff || (known->page ^ lin) & ~PAGE_MASK ||
        (known->page & wanted) != wanted)
        return NULL;
    uint64_t offset = (uint64_t)(page - c->soft->ram->host);
    uint8_t flags = atomic_load_explicit(ram_flags(c->soft->ram, offset), memory_order_relaxed);
    if (flags != (RAM_CODE | RAM_DIRTY_ALL) ||
        block_hits_code(c->soft, offset | (lin & PAGE_MASK), size))
        return NULL;
    return page;
}

static void note_fetch(struct cpu *c, uint64_t lin, bool global)
{
    struct tlb_state *t = c->tlbs;
    struct tlb_table *table = c->cpl == 3 ? &t->user[t->asid] : &t->kernel;
    for (unsigned n = 0; n < 2; n++) {
        uint32_t bit = tlb_fetched_bit(lin, n);
        table->fetched[bit / 64] |= 1ULL << bit % 64;
    }
    if (c->cpl != 3 && !global)
        t->kernel_local_fetch = true;
}

bool fetch_translate(struct cpu *c, uint64_t lin, struct fetch_page *ret)
{
    struct tlb_fetch *known = &c->tlbs->fetches[(lin >> 12) % TLB_FETCHES];
    uint64_t space = tlb_fetch_space(c);
    struct walk w;

    if (known->lin == (lin & ~PAGE_MASK) && known->space == space) {
        *ret = known->page;
        return true;
    }
    if (!walk(c, lin, ACC_FETCH, c->cpl == 3, &w))
        return false;
    note_fetch(c, lin, w.global);
    uint64_t gpa = w.gpa & c->a20_mask & ~PAGE_MASK;
    const uint8_t *host = phys_host(c, gpa, PAGE_MASK + 1, false);
    ret->gpa = gpa;
    ret->host = host;
    ret->ram_offset = host ? (uint64_t)(host - c->soft->ram->host) : 0;
    *known = (struct tlb_fetch){.lin = lin & ~PAGE_MASK, .space = space, .page = *ret};
    return true;
}

/* ---- system accesses ---- */

bool sys_load(struct cpu *c, uint64_t lin, unsigned size, uint64_t *ret)
{
    uint64_t v = 0;
    const uint8_t *p = tlb_hit(&c->tlbs->kernel, lin, size, false);
    if (p && size == 8)
        v = *(const volatile mem64 *)p;
    else if (p)
        copy_bytes(&v, p, size);
    else if (!slow_read(c, lin, &v, size, ACC_READ | ACC_SYSTEM))
        return false;
    *ret = v;
    return true;
}

bool priv_store(struct cpu *c, uint64_t lin, unsigned size, unsigned access, uint64_t v)
{
    if (!(access & ACC_SYSTEM))
        return mem_store(c, lin, size, access | ACC_WRITE, v);
    uint8_t *p = tlb_hit(&c->tlbs->kernel, lin, size, true);
    if (!p)
        return slow_write(c, lin, &v, size, access | ACC_WRITE);
    if (size == 8)
        *(volatile mem64 *)p = v;
    else
        copy_bytes(p, &v, size);
    return true;
}

bool sys_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v)
{
    return priv_store(c, lin, size, ACC_WRITE | ACC_SYSTEM, v);
}

bool mem_get(struct cpu *c, uint64_t lin, void *buf, unsigned size, unsigned access)
{
    if (!probe_read(c, lin, size, access))
        return false;
    for (unsigned at = 0; at < size; at += 8)
        if (!slow_read(c, lin + at, (uint8_t *)buf + at, MIN(8u, size - at), access))
            return false;
    return true;
}

bool mem_put(struct cpu *c, uint64_t lin, const void *buf, unsigned size, unsigned access)
{
    if (!probe_write(c, lin, size, access))
        return false;
    for (unsigned at = 0; at < size; at += 8)
        if (!slow_write(c, lin + at, (const uint8_t *)buf + at, MIN(8u, size - at), access))
            return false;
    return true;
}

bool load_pdptes(struct cpu *c, uint64_t cr3)
{
    uint64_t pdpte[4];
    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = phys_read(c, (cr3 & 0xffffffe0) + 8 * i, 8);
        if (pdpte[i] & PTE_P && pdpte[i] & (0x1e6 | (~PHYS_MASK)))
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        c->pdpte[i] = pdpte[i];
    return true;
}
