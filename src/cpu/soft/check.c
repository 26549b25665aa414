/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * T0 stores one at a time through slow_write() and its like, because its TLB gives out no page;
 * so each store is known with what it overwrote. T1 gets pages, after a copy has been taken: what
 * differs from the copy afterwards must be what T0 stored.
 *
 * Devices and disks write to memory meanwhile. A pair of runs that differs is repeated from the
 * same start; only what differs every time counts.
 */
#include "cpu/soft/check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"

#define STORES_MAX 8192
#define PAGES_MAX 64
#define ASKS_MAX 8192
#define TRIES 4
#define STATE_BYTES offsetof(struct cpu, state_end)

struct store {
    uint8_t *host;
    uint8_t size;
    uint8_t before[8], after[8];
};

struct page {
    uint8_t *host;
    uint8_t before[4096];
};

struct ask {
    uint8_t what;
    uint64_t at, in, out;
};

struct check {
    enum { CHECK_OFF, CHECK_T0, CHECK_T1 } phase;
    bool lost;     /* more happened than can be kept: no comparison */
    bool replay;   /* T0 too gets the answers of the first try */
    bool odd_asks; /* T1 asked something else */
    uint64_t seed;
    unsigned store_count, page_count, ask_count, ask_next;
    struct store stores[STORES_MAX];
    unsigned entry_count;
    struct tlb_entry *entries[PAGES_MAX]; /* that gave out pages */
    struct page pages[PAGES_MAX];
    struct ask asks[ASKS_MAX];
    _Alignas(64) uint8_t start[STATE_BYTES];
    _Alignas(64) uint8_t by_t0[STATE_BYTES];
    char report[1024];
};

int check_new(uint64_t seed, struct check **ret_check)
{
    struct check *k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (k == MAP_FAILED)
        return -ENOMEM;
    k->seed = seed;
    *ret_check = k;
    return 0;
}

void check_free(struct check *k)
{
    if (k)
        munmap(k, sizeof(*k));
}

const char *check_report(const struct check *k)
{
    return k && k->report[0] ? k->report : NULL;
}

/* ---- memory ---- */

bool check_may_store(struct check *k, struct tlb_entry *entry, const uint8_t *host_page)
{
    if (k->phase != CHECK_T1 || k->entry_count == PAGES_MAX)
        return false;
    k->entries[k->entry_count++] = entry;
    for (unsigned i = 0; i < k->page_count; i++)
        if (k->pages[i].host == host_page)
            return true;
    if (k->page_count == PAGES_MAX)
        return false;
    struct page *p = &k->pages[k->page_count++];
    p->host = (uint8_t *)host_page;
    copy_bytes(p->before, host_page, sizeof(p->before));
    return true;
}

void check_store(struct check *k, uint8_t *host, unsigned size)
{
    if (k->phase != CHECK_T0)
        return;
    while (size) {
        unsigned n = MIN(size, 8u);
        if (k->store_count == STORES_MAX) {
            k->lost = true;
            return;
        }
        struct store *s = &k->stores[k->store_count++];
        s->host = host;
        s->size = (uint8_t)n;
        copy_bytes(s->before, host, n);
        host += n, size -= n;
    }
}

/* The last store to a byte counts: what is in memory when T0 is done. */
static void note_results(struct check *k)
{
    for (unsigned i = 0; i < k->store_count; i++)
        copy_bytes(k->stores[i].after, k->stores[i].host, k->stores[i].size);
}

static void undo_stores(struct check *k)
{
    for (unsigned i = k->store_count; i-- > 0;)
        copy_bytes(k->stores[i].host, k->stores[i].before, k->stores[i].size);
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    while (n >= 8 && *(const mem64 *)a == *(const mem64 *)b)
        a += 8, b += 8, n -= 8;
    while (n && *a == *b)
        a++, b++, n--;
    return !n;
}

static bool was_stored(const struct check *k, const uint8_t *at)
{
    for (unsigned i = 0; i < k->store_count; i++)
        if (at >= k->stores[i].host && at < k->stores[i].host + k->stores[i].size)
            return true;
    return false;
}

/* NULL, or the place where memory is not what T0 made of it. */
static const uint8_t *other_memory(const struct check *k)
{
    for (unsigned i = 0; i < k->store_count; i++)
        if (!same_bytes(k->stores[i].host, k->stores[i].after, k->stores[i].size))
            return k->stores[i].host;
    for (unsigned i = 0; i < k->page_count; i++) {
        const struct page *p = &k->pages[i];
        if (same_bytes(p->host, p->before, sizeof(p->before)))
            continue;
        for (unsigned at = 0; at < sizeof(p->before); at++)
            if (UNLIKELY(p->host[at] != p->before[at]) && !was_stored(k, p->host + at))
                return p->host + at;
    }
    return NULL;
}

/* ---- the world outside ---- */

bool check_ask(struct check *k, enum check_ask what, uint64_t at, uint64_t *value)
{
    if (k->phase == CHECK_OFF || (k->phase == CHECK_T0 && !k->replay))
        return false;
    if (k->ask_next < k->ask_count) {
        const struct ask *a = &k->asks[k->ask_next++];
        if (a->what == what && a->at == at && a->in == *value) {
            *value = a->out;
            return true;
        }
    }
    /* Something else than T0 asked: it is not to be done, and any answer will do. */
    k->odd_asks = true;
    *value = 0;
    return true;
}

void check_answer(struct check *k, enum check_ask what, uint64_t at, uint64_t in, uint64_t out)
{
    if (k->phase != CHECK_T0)
        return;
    if (k->ask_count == ASKS_MAX) {
        k->lost = true;
        return;
    }
    k->asks[k->ask_count++] = (struct ask){(uint8_t)what, at, in, out};
}

/* ---- comparing ---- */

/* Registers that are scratch, or flags that nobody was to see. */
static void blur(uint8_t *state, bool dead_flags)
{
    zero_bytes(state + offsetof(struct cpu, gpr[GPR_RIP]), 8);
    zero_bytes(state + offsetof(struct cpu, fpu_live), 1);
    /* Where the host did its last x87 instruction; the guest's is in cpu->fpu_ip and behind. */
    zero_bytes(state + offsetof(struct cpu, xsave) + 6, 18);
    if (dead_flags)
        zero_bytes(state + offsetof(struct cpu, aflags), 2);
}

/* It stopped before its end, by a fault or an event: what follows overwrites the flags. */
static bool stopped_early(const struct check *k, const struct block *b)
{
    const struct cpu *start = (const struct cpu *)k->start, *end = (const struct cpu *)k->by_t0;
    uint64_t done = end->rip - start->rip;

    return end->events & EV_FAULT || (done && done < b->len);
}

static void say(struct check *k, struct cpu *c, const struct block *b, const char *what,
                uint64_t at, uint64_t t0, uint64_t t1)
{
    int n = snprintf(k->report, sizeof(k->report),
                     "the tiers differ in %s %#llx: T0 has %#llx, T1 %#llx; block at %#llx, mode "
                     "%#x, code",
                     what, (unsigned long long)at, (unsigned long long)t0, (unsigned long long)t1,
                     *(const unsigned long long *)(k->start + offsetof(struct cpu, rip)), b->mode);
    const uint8_t *bytes = c->soft->ram->host + b->ram_offset;
    for (unsigned i = 0; i < b->len && n < (int)sizeof(k->report) - 4; i++)
        n += snprintf(k->report + n, sizeof(k->report) - (size_t)n, " %02x", bytes[i]);
}

/* True when T1 did what T0 did. */
static bool compare(struct check *k, struct cpu *c, const struct block *b, bool tell)
{
    static __thread _Alignas(64) uint8_t by_t1[STATE_BYTES];
    bool dead_flags = stopped_early(k, b);
    const uint8_t *place;

    copy_bytes(by_t1, c, STATE_BYTES);
    blur(k->by_t0, dead_flags);
    blur(by_t1, dead_flags);
    if (k->odd_asks || k->ask_next != k->ask_count) {
        if (tell)
            say(k, c, b, "what they ask of devices, question", k->ask_next, k->ask_count, 0);
        return false;
    }
    if (!same_bytes(by_t1, k->by_t0, STATE_BYTES)) {
        unsigned at = 0;
        while (by_t1[at] == k->by_t0[at])
            at++;
        at &= ~7u;
        if (tell)
            say(k, c, b, "state at offset", at, *(const uint64_t *)(k->by_t0 + at),
                *(const uint64_t *)(by_t1 + at));
        return false;
    }
    place = other_memory(k);
    if (place && tell)
        say(k, c, b, "memory at offset", (uint64_t)(place - c->soft->ram->host), 0, *place);
    return !place;
}

/* ---- running ---- */

static unsigned pick(struct check *k, unsigned n)
{
    k->seed ^= k->seed << 13;
    k->seed ^= k->seed >> 7;
    k->seed ^= k->seed << 17;
    return (unsigned)(k->seed >> 33) % n;
}

static void put_back(struct cpu *c, const uint8_t *state)
{
    copy_bytes(c, state, STATE_BYTES);
    c->fpu_live = 0;
    cpu_update_mode(c);
}

static void run_t0(struct check *k, struct cpu *c, struct block *b)
{
    k->phase = CHECK_T0;
    block_start(c, b);
    fpu_save(c);
    k->phase = CHECK_OFF;
}

static void run_t1(struct check *k, struct cpu *c, struct block *b)
{
    k->phase = CHECK_T1;
    k->page_count = 0;
    k->ask_next = 0;
    k->odd_asks = false;
    t1_run(c, b);
    fpu_save(c);
    k->phase = CHECK_OFF;
    while (k->entry_count) {
        struct tlb_entry *e = k->entries[--k->entry_count];
        uint64_t page = e->page - e->addend; /* one that was dropped meanwhile has another tag */

        if (e->tag[1] == page)
            e->tag[1] = tlb_no_tag(tlb_index(page));
    }
}

static void random_trouble(struct check *k, struct cpu *c)
{
    if (!pick(k, 2000))
        tlb_flush(c);
    if (!pick(k, 50000))
        jumps_flush(c);
}

void check_block(struct cpu *c, struct block *b)
{
    struct check *k = c->check;

    b = block_ready(c, b);
    if (!b)
        return;
    if (c->events) { /* T0 may stop after the first instruction because of them */
        block_start(c, b);
        return;
    }
    fpu_load(c); /* so that the image says which parts are in use as it will afterwards */
    fpu_save(c);
    if (k->seed)
        random_trouble(k, c);
    copy_bytes(k->start, c, STATE_BYTES);
    k->lost = k->replay = false;
    k->ask_count = k->ask_next = 0;
    for (unsigned try = 0; try < TRIES; try++) {
        k->store_count = 0;
        k->ask_next = 0;
        run_t0(k, c, b);
        if (k->lost || b->dead || !b->code || (k->seed && !pick(k, 64)))
            return; /* T0's result stands */
        note_results(k);
        copy_bytes(k->by_t0, c, STATE_BYTES);
        undo_stores(k);
        put_back(c, k->start);
        run_t1(k, c, b);
        if (compare(k, c, b, try == TRIES - 1))
            return;
        if (try == TRIES - 1)
            break;
        undo_stores(k);
        put_back(c, k->start);
        k->replay = true;
    }
    c->events |= EV_ERROR;
}
