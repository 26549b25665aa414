/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's arena and stubs, and running what is in it.
 */
#include "cpu/soft/t1.h"

#include <errno.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"

#define CODE_BYTES_MEAN 160 /* room is made for so many codes; kernels have longer ones */
#define CROSSINGS_MAX 16
#define BLOCK_ROOM KIB(60) /* more than any one block needs, of each */
#define HOT_EIGHTHS 5      /* of the arena */
#define POPULATE_BYTES KIB(512)

/* ---- stubs ---- */

static const uint8_t kept_by_c[] = {H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15};

#define FIELD(e, c, opcode, reg, field) put_field(e, c, opcode, reg, offsetof(struct cpu, field))

static void put_gprs(struct emit *e, const struct cpu *c, unsigned opcode)
{
    for (unsigned n = 0; n < H_R14; n++)
        if (n != H_RSP)
            put_field(e, c, opcode, n, offsetof(struct cpu, gpr) + 8 * n);
}

/* The guest's registers to struct cpu, the host's stack back. */
static void put_out(struct emit *e, const struct cpu *c)
{
    put_gprs(e, c, 0x89);
    FIELD(e, c, 0x89, H_RSP, gpr[X86_RSP]);
    FIELD(e, c, 0x8b, H_RSP, host_rsp);
}

static void put_return(struct emit *e, unsigned why)
{
    put_mov_imm(e, H_RAX, why);
    PUT(e, 0x48, 0x83, 0xc4, 8); /* add rsp, 8 */
    for (unsigned i = ARRAY_LEN(kept_by_c); i-- > 0;) {
        if (kept_by_c[i] >= 8)
            put8(e, 0x41);
        put8(e, 0x58 | (kept_by_c[i] & 7));
    }
    put8(e, 0xc3);
}

static void put_exit_stub(struct emit *e, struct cpu *c, enum t1_stub stub, unsigned why)
{
    put_out(e, c);
    c->t1->tails[stub] = emit_run(e);
    FIELD(e, c, 0x89, H_R14, t1_a);
    FIELD(e, c, 0x89, H_R15, t1_b);
    put_return(e, why);
}

static void put_target_jump(struct emit *e, const struct cpu *c)
{
    struct host_mem m = cpu_mem(c, offsetof(struct cpu, t1_target));
    put_op_mem(e, 0xff, false, 4, &m);
}

static void put_enter(struct emit *e, const struct cpu *c)
{
    for (unsigned i = 0; i < ARRAY_LEN(kept_by_c); i++) {
        if (kept_by_c[i] >= 8)
            put8(e, 0x41);
        put8(e, 0x50 | (kept_by_c[i] & 7));
    }
    PUT(e, 0x48, 0x83, 0xec, 8); /* sub rsp, 8 */
    FIELD(e, c, 0x89, H_RSP, host_rsp);
    FIELD(e, c, 0x89, H_RSI, t1_target);
    put_gprs(e, c, 0x8b);
    FIELD(e, c, 0x8b, H_RSP, gpr[X86_RSP]);
    put_target_jump(e, c);
}

/* function: uint64_t (struct cpu *, void *r15, uint64_t r14), where to go on */
static void put_question(struct emit *e, struct cpu *c, enum t1_stub stub, uint64_t function)
{
    put_out(e, c);
    c->t1->tails[stub] = emit_run(e);
    put_mov_imm(e, H_RDI, (uint64_t)c);
    PUT(e, 0x4c, 0x89, 0xfe, 0x4c, 0x89, 0xf2); /* mov rsi, r15; mov rdx, r14 */
    put_mov_imm(e, H_RAX, function);
    PUT(e, 0xff, 0xd0, 0x48, 0x85, 0xc0); /* call rax; test rax, rax */
    uint8_t *leave = put_jcc(e, CC_E, 0);
    FIELD(e, c, 0x89, H_RAX, t1_target);
    put_gprs(e, c, 0x8b);
    FIELD(e, c, 0x8b, H_RSP, gpr[X86_RSP]);
    if (stub == T1_STUB_MISS) {
        FIELD(e, c, 0x8b, H_R14, t1_a);
        FIELD(e, c, 0x8b, H_R15, t1_b);
    }
    put_target_jump(e, c);
    patch_rel32(leave, e->run, emit_run(e));
    put_return(e, T1_EXIT_DONE);
}

/* Requests are there; on when one of them is to be met now, else back. */
static void put_is_wanted(struct emit *e, const struct cpu *c)
{
    struct host_mem requests = cpu_mem(c, offsetof(struct cpu, requests));
    struct host_mem mask = cpu_mem(c, offsetof(struct cpu, poll_mask));
    struct host_mem back = {H_R15, H_NONE, 0, offsetof(struct t1_code, entries[T1_ENTRY_ENV])};

    put_op_mem(e, 0x8b, false, H_R14, &requests);
    put_op_mem(e, 0x85, false, H_R14, &mask); /* test */
    uint8_t *wanted = put_jcc(e, CC_NE, 0);
    put_op_mem(e, 0xff, false, 4, &back); /* jmp */
    patch_rel32(wanted, e->run, emit_run(e));
}

static void put_fpu(struct emit *e, const struct cpu *c)
{
    struct host_mem live = cpu_mem(c, offsetof(struct cpu, fpu_live));
    struct host_mem image = cpu_mem(c, offsetof(struct cpu, xsave));
    FIELD(e, c, 0x89, H_RSP, gpr[X86_RSP]);
    FIELD(e, c, 0x8b, H_RSP, host_rsp);
    FIELD(e, c, 0x89, H_RAX, t1_keep[0]);
    FIELD(e, c, 0x89, H_RDX, t1_keep[1]);
    put_mov_imm(e, H_RAX, fpu_components(c));
    put_mov_imm(e, H_RDX, 0);
    put_op_mem(e, 0x0fae, true, 5, &image); /* xrstor64 */
    put_op_mem(e, 0xc6, false, 0, &live);
    put8(e, 1);
    FIELD(e, c, 0x8b, H_RAX, t1_keep[0]);
    FIELD(e, c, 0x8b, H_RDX, t1_keep[1]);
    FIELD(e, c, 0x8b, H_RSP, gpr[X86_RSP]);
    PUT(e, 0x41, 0xff, 0xe7); /* jmp r15 */
}

static void put_align(struct emit *e, unsigned filler)
{
    while (emit_run(e) & 63)
        put8(e, filler);
}

static void make_stubs(struct cpu *c)
{
    struct t1 *t = c->t1;
    struct emit e = {.at = t->rw, .end = t->rw + BLOCK_ROOM, .run = t->rx - t->rw};

    for (unsigned i = 0; i < T1_STUBS; i++) {
        put_align(&e, 0xcc);
        t->stubs[i] = emit_run(&e);
        switch ((enum t1_stub)i) {
        case T1_STUB_ENTER:
            put_enter(&e, c);
            break;
        case T1_STUB_LINK_SAVE:
        case T1_STUB_SIDE_SAVE:
            t1_put_save(&e, c); /* and on into the next stub */
            put_align(&e, 0x90);
            break;
        case T1_STUB_LINK:
            put_question(&e, c, T1_STUB_LINK, (uint64_t)t1_follow_link);
            break;
        case T1_STUB_FAR:
            put_question(&e, c, T1_STUB_FAR, (uint64_t)t1_follow_far);
            break;
        case T1_STUB_LOOP:
            put_question(&e, c, T1_STUB_LOOP, (uint64_t)t1_follow_slot);
            break;
        case T1_STUB_JUMP:
            put_question(&e, c, T1_STUB_JUMP, (uint64_t)t1_follow_jump);
            break;
        case T1_STUB_SIDE:
            put_exit_stub(&e, c, T1_STUB_SIDE, T1_EXIT_SIDE);
            break;
        case T1_STUB_POLL:
            put_is_wanted(&e, c);
            put_exit_stub(&e, c, T1_STUB_POLL, T1_EXIT_POLL);
            break;
        case T1_STUB_MISS:
            if (!c->soft->options.no_refill)
                t1_put_refill(&e, c);
            put_question(&e, c, T1_STUB_MISS, (uint64_t)t1_miss);
            break;
        case T1_STUB_CALL:
            put_question(&e, c, T1_STUB_CALL, (uint64_t)t1_call);
            break;
        case T1_STUB_SYSCALL:
            t1_put_syscall(&e, c);
            break;
        case T1_STUB_SYSRET:
            t1_put_sysret(&e, c);
            break;
        case T1_STUB_FPU:
            put_fpu(&e, c);
            break;
        case T1_STUB_FAULT:
            put_return(&e, T1_EXIT_FAULT);
            break;
        case T1_STUBS:
            break;
        }
    }
    t->stubs_end = (uint32_t)align_up((uint64_t)(e.at - t->rw), 64);
}

/* ---- the arena ---- */

static void make_parts(struct t1 *t)
{
    uint32_t bytes = (uint32_t)(t->room / BLOCK_PARTS);

    for (unsigned i = 0; i < BLOCK_PARTS; i++) {
        struct t1_part *p = &t->parts[i];
        p->hot.begin = p->data_begin = i * bytes;
        p->cold.begin = p->hot.end = i * bytes + bytes / 8 * HOT_EIGHTHS;
        p->cold.end = p->data_end = (i + 1) * bytes;
        p->hot.populated = p->hot.begin;
        p->cold.populated = p->cold.begin;
        p->codes = t->codes + i * t->codes_max;
    }
    t->parts[0].hot.begin = t->stubs_end;
}

int t1_new(struct cpu *c)
{
    struct t1 *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    c->t1 = t;
    t->room = c->soft->cache_bytes;
    t->codes_max = (uint32_t)(t->room / BLOCK_PARTS / CODE_BYTES_MEAN);
    AUTO_FD int fd = memfd_create("yado-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)t->room) < 0)
        return -errno;
    void *rw = mmap(NULL, t->room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    t->rw = rw == MAP_FAILED ? NULL : rw;
    void *rx = mmap(NULL, 2 * t->room, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    t->rx = rx == MAP_FAILED ? NULL : rx;
    t->codes = calloc((size_t)BLOCK_PARTS * t->codes_max, sizeof(t->codes[0]));
    if (!t->rw || !t->rx || !t->codes)
        return -ENOMEM;
    if (mmap(rx, t->room, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
        return -errno;
    t->data = t->rx + t->room;
    (void)madvise(t->data, t->room, MADV_HUGEPAGE);
    make_stubs(c);
    make_parts(t);
    t1_reset(c);
    return 0;
}

void t1_free(struct cpu *c)
{
    struct t1 *t = c->t1;
    if (!t)
        return;
    if (t->rw)
        munmap(t->rw, t->room);
    if (t->rx)
        munmap(t->rx, 2 * t->room);
    free(t->codes);
    free(t);
    c->t1 = NULL;
}

static void empty_part(struct t1_part *p)
{
    p->hot.used = p->hot.begin;
    p->cold.used = p->cold.begin;
    p->data_used = p->data_begin;
    p->code_count = 0;
    p->fars = NULL;
}

void t1_reset(struct cpu *c)
{
    struct t1 *t = c->t1;
    for (unsigned i = 0; i < BLOCK_PARTS; i++)
        empty_part(&t->parts[i]);
    t->now = &t->parts[0];
    t->hot_last = NULL;
    t->full = false;
    t1_no_link(c);
}

/* What other parts have of one that is thrown away: jumps that it made, jumps that lead there. */
static void disown(const struct t1 *t, const struct t1_part *other, const struct t1_part *gone)
{
    const uint8_t *data = t->data + gone->data_begin, *data_end = t->data + gone->data_end;
    uint64_t code = (uint64_t)t->rx + gone->hot.begin, code_end = (uint64_t)t->rx + gone->cold.end;

    for (uint32_t i = 0; i < other->code_count; i++) {
        struct t1_link **at = &other->codes[i]->links_in;
        while (*at)
            if ((uint8_t *)*at >= data && (uint8_t *)*at < data_end)
                *at = (*at)->next;
            else
                at = &(*at)->next;
    }
    for (struct t1_far *far = other->fars; far; far = far->next) {
        uint64_t target = rel32_target(far->patch, t->rx - t->rw);
        if (target >= code && target < code_end)
            far->tag = 0;
    }
}

void t1_begin_part(struct cpu *c, unsigned part)
{
    struct t1 *t = c->t1;
    struct t1_part *p = &t->parts[part];

    for (unsigned i = 0; p->code_count && i < BLOCK_PARTS; i++)
        if (i != part)
            disown(t, &t->parts[i], p);
    empty_part(p);
    t->now = p;
    t->hot_last = NULL;
    t->full = false;
}

/* Pages in larger numbers than one a fault. A kernel before 5.14 has no such advice: it faults. */
static void populate(const struct t1 *t, struct t1_area *area)
{
    uint32_t bytes = MIN(POPULATE_BYTES, area->end - area->populated);
    (void)madvise(t->rw + area->populated, bytes, MADV_POPULATE_WRITE);
    (void)madvise(t->rx + area->populated, bytes, MADV_POPULATE_READ);
    area->populated += bytes;
}

static bool area_has_room(const struct t1 *t, struct t1_area *area)
{
    if (area->used + BLOCK_ROOM > area->end)
        return false;
    if (area->used + BLOCK_ROOM > area->populated)
        populate(t, area);
    return true;
}

bool t1_has_room(struct t1 *t)
{
    struct t1_part *p = t->now;
    t->full |= !area_has_room(t, &p->hot) || !area_has_room(t, &p->cold) ||
               p->data_used + BLOCK_ROOM > p->data_end || p->code_count == t->codes_max;
    return !t->full;
}

struct emit t1_emit(const struct t1 *t, const struct t1_area *area)
{
    uint8_t *at = t->rw + area->used;
    return (struct emit){.at = at, .end = at + BLOCK_ROOM, .run = t->rx - t->rw};
}

void t1_emitted(const struct t1 *t, struct t1_area *area, const struct emit *e)
{
    area->used = (uint32_t)align_up((uint64_t)(e->at - t->rw), 16);
}

/* ---- links ---- */

void t1_no_link(struct cpu *c)
{
    c->t1->pending = NULL;
    c->t1->pending_far = NULL;
}

static void aim_far(struct cpu *c, struct t1_far *far, const struct block *b)
{
    uint64_t lin = rip_to_lin(c, c->rip);

    far->tag = lin ^ c->jump_tag;
    far->page = lin & ~PAGE_MASK;
    patch_rel32(far->patch, c->t1->rx - c->t1->rw, b->code->entries[T1_ENTRY_JUMP]);
}

void t1_forget_fars(struct cpu *c)
{
    for (unsigned i = 0; i < BLOCK_PARTS; i++)
        for (struct t1_far *far = c->t1->parts[i].fars; far; far = far->next)
            far->tag = 0;
}

/* Does the jump, which is of this page, lead to the block? */
static bool leads_to(const struct t1_link *link, const struct block *b)
{
    const struct block *from = link->from->block;
    return from->mode == b->mode && same_code_seg(from->cs, b->cs) &&
           from->lin_page == b->lin_page &&
           b->ram_offset == (from->ram_offset & ~PAGE_MASK) + (uint64_t)link->target;
}

struct t1_link *t1_falls_into(struct cpu *c, const struct block *b)
{
    const struct soft_options *o = &c->soft->options;
    const struct t1 *t = c->t1;
    struct t1_link *link = t->pending;

    if (!link || o->no_link || o->no_fall || c->check || link->patch + 4 != t->hot_last ||
        link->entry == T1_POLL_FLAGS || b->ram_offset2 != NO_RAM || !leads_to(link, b))
        return NULL;
    /* What it is behind may have to begin with a jump one day (t1_forget). */
    uint64_t before = (uint64_t)(t->hot_last + (t->rx - t->rw)) - JMP_BYTES - link->from->begin;
    return before >= JMP_BYTES ? link : NULL;
}

void t1_link(struct cpu *c, struct block *b)
{
    struct t1_link *link = c->t1->pending;
    struct t1_far *far = c->t1->pending_far;
    t1_no_link(c);
    if (far && b->code && !b->dead && !c->soft->options.no_link)
        aim_far(c, far, b);
    if (!link || !b->code || b->dead || c->soft->options.no_link || !leads_to(link, b))
        return;
    if (b->ram_offset2 != NO_RAM) {
        /* Where it goes on is for the jump slots to know. */
        uint64_t by_slot = t1_put_slot_jump(c, link);
        if (by_slot)
            patch_rel32(link->patch, c->t1->rx - c->t1->rw, by_slot);
        return;
    }
    patch_rel32(link->patch, c->t1->rx - c->t1->rw, b->code->entries[link->entry]);
    link->next = b->code->links_in;
    b->code->links_in = link;
}

static void put_jmp_at(const struct t1 *t, uint64_t at, uint64_t target)
{
    struct emit e = {.at = (uint8_t *)(at - (uint64_t)(t->rx - t->rw)), .run = t->rx - t->rw};
    e.end = e.at + JMP_BYTES;
    put_jmp(&e, target);
}

void t1_forget(struct cpu *c, struct block *b)
{
    if (!b->code)
        return;
    for (struct t1_link *l = b->code->links_in; l; l = l->next)
        patch_rel32(l->patch, c->t1->rx - c->t1->rw, l->stub);
    b->code->links_in = NULL;
    /* Slots still lead here, each with itself in r15. */
    put_jmp_at(c->t1, b->code->entries[T1_ENTRY_JUMP], c->t1->stubs[T1_STUB_LOOP]);
    /* So does the jump before it, which becomes one again. */
    if (b->code->fall)
        put_jmp_at(c->t1, b->code->begin, b->code->fall->stub);
    b->code->fall = NULL;
}

uint64_t t1_slot_code(const struct cpu *c, const struct block *b)
{
    return b->code && !c->check && !c->soft->options.no_link ? b->code->entries[T1_ENTRY_JUMP]
                                                             : c->t1->stubs[T1_STUB_LOOP];
}

/* ---- running ---- */

bool t1_ready(struct cpu *c, struct block *b)
{
    if (LIKELY(b->code != NULL))
        return true;
    if (b->runs == RUNS_NEVER || b->runs++ < c->soft->options.runs)
        return false;
    enum cpu_place from = cpu_place(c, IN_TRANSLATOR);
    bool done = t1_translate(c, b);
    cpu_place(c, from);
    if (done)
        jump_slot(c, rip_to_lin(c, c->rip))->code = t1_slot_code(c, b);
    else if (!c->t1->full)
        b->runs = RUNS_NEVER;
    return done;
}

static uint64_t block_rip(const struct cpu *c, const struct block *b)
{
    return lin_to_rip(c, c->page + (b->ram_offset & PAGE_MASK));
}

/* T0 goes on at an instruction of a block. */
static void run_t0(struct cpu *c, struct block *b, unsigned index)
{
    uint64_t rip = block_rip(c, b);
    struct block *ready = block_ready(c, b);

    if (!ready) {
        c->rip = rip + block_offset(b, index);
        return;
    }
    c->rip = c->gpr[GPR_RIP] = rip;
    c->block = ready;
    ready->uops[index].fn(c, &ready->uops[index]);
}

/* Straight on at cpu->rip, if nothing is to be looked at: run address, or 0 for the loop. */
static uint64_t next_code(struct cpu *c)
{
    if (c->events | cpu_wanted(c) | c->activity || c->check || c->mode & MODE_SINGLE)
        return 0;
    struct block *b = block_find(c);
    if (!b || !t1_ready(c, b) || !is_canonical48(c->gpr[X86_RSP]))
        return 0;
    if (c->t1->pending || c->t1->pending_far)
        t1_link(c, b);
    c->page = rip_to_lin(c, c->rip) & ~PAGE_MASK;
    c->poll_mask = cpu_poll_mask(c);
    return b->code->entries[T1_ENTRY_ENV];
}

/* A check for several accesses fails where each of them would pass: better one by one, then. */
static void note_crossing(struct cpu *c, struct block *b)
{
    if (b->dead || !b->code || ++b->crossings < CROSSINGS_MAX)
        return;
    t1_forget(c, b);
    b->code = NULL;
    b->no_share = true;
    b->runs = 0;
}

/* A store in a page that holds code, but not there: as if the TLB had it, this once. */
static bool is_beside_code(struct cpu *c, const struct t1_access *a, uint64_t lin)
{
    if (!a->once || !a->write || !a->own_write)
        return false;
    const uint8_t *page = tlb_beside_code(c, lin, a->size);
    if (!page)
        return false;
    c->t1_once.page = (uint64_t)page;
    c->t1_once.addend = (uint64_t)page - (lin & ~PAGE_MASK);
    c->t1_a = lin & PAGE_MASK;
    c->t1_b = (uint64_t)&c->t1_once;
    return true;
}

uint64_t t1_miss(struct cpu *c, const struct t1_access *a, uint64_t lin)
{
    uint64_t cr2 = c->cr2;
    uint32_t error = c->error;
    uint8_t vector = c->vector;
    bool has_error = c->has_error, live = c->fpu_live;

    c->stats[STAT_MISSES]++;
    if ((lin & PAGE_MASK) + a->size <= PAGE_MASK + 1) {
        if (is_beside_code(c, a, lin))
            return a->retry + a->hit;
        if (slow_host(c, lin, a->size, a->own_write ? ACC_WRITE : ACC_READ) &&
            (a->own_write == a->write || tlb_hit(c->tlb, lin, a->size, true))) {
            if (live) /* page tables in a device's memory: the way there has saved it */
                fpu_load(c);
            return a->retry;
        }
        /* A fault T0 finds again, in its turn. */
        c->events &= ~(uint32_t)EV_FAULT;
        c->cr2 = cr2;
        c->error = error;
        c->vector = vector;
        c->has_error = has_error;
    }
    if (a->shared && (lin & PAGE_MASK) + a->size > PAGE_MASK + 1)
        note_crossing(c, a->code->block);
    c->stats[STAT_MISSES_T0]++;
    run_t0(c, a->code->block, a->index);
    return next_code(c);
}

static void stop(struct cpu *c, const struct uop *u)
{
    (void)u;
    c->t1_stopped = true;
}

const struct uop t1_stop = {.fn = stop};

uint64_t t1_call(struct cpu *c, const struct t1_call *call)
{
    c->stats[STAT_CALLS]++;
    c->t1_stopped = false;
    c->rip = c->gpr[GPR_RIP] = block_rip(c, call->code->block);
    c->block = call->code->block;
    call->uops[0].fn(c, call->uops);
    if (!c->t1_stopped)
        return next_code(c);
    if (LIKELY(!c->events && call->back))
        return call->back;
    leave_after(c, call->uops);
    return next_code(c);
}

uint64_t t1_follow_link(struct cpu *c, struct t1_link *link)
{
    c->stats[STAT_LINK]++;
    c->rip = lin_to_rip(c, c->page + (uint64_t)(int64_t)link->target);
    c->t1->pending = link;
    return next_code(c);
}

uint64_t t1_follow_jump(struct cpu *c, const struct t1_access *a, uint64_t tag)
{
    uint64_t lin = tag ^ c->jump_tag;

    c->stats[STAT_JUMP]++;
    if (is_code64(c) && !is_canonical48(lin)) {
        /* The jump itself faults: T0 does it again, from the stack pointer it began with. */
        c->gpr[X86_RSP] -= (uint64_t)(int64_t)a->undo;
        run_t0(c, a->code->block, a->index);
        return next_code(c);
    }
    c->rip = lin_to_rip(c, lin);
    return next_code(c);
}

uint64_t t1_follow_far(struct cpu *c, struct t1_far *far, uint64_t tag)
{
    c->t1->pending_far = far;
    return t1_follow_jump(c, &far->jump, tag);
}

uint64_t t1_follow_slot(struct cpu *c, struct jump_slot *slot, uint64_t tag)
{
    c->stats[STAT_STALE]++;
    slot->tag = 0;
    c->rip = lin_to_rip(c, tag ^ c->jump_tag);
    return next_code(c);
}

static void left_by_fault(struct cpu *c, const struct t1_access *a)
{
    struct block *b = a->code->block;
    uint64_t rip = block_rip(c, b) + block_offset(b, a->index);

    run_t0(c, b, a->index);
    if ((has_fault(c) && c->rip == rip) || !is_canonical48(c->gpr[X86_RSP]))
        return;
    /* T0 had no trouble with it: the code was wrong. */
    c->events |= EV_ERROR;
    c->rip = rip;
}

void t1_run(struct cpu *c, struct block *b)
{
    typedef unsigned enter_fn(struct cpu *, uint64_t);
    enter_fn *enter = (enter_fn *)c->t1->stubs[T1_STUB_ENTER];
    const struct t1_access *a;
    const struct t1_code *code;

    c->page = rip_to_lin(c, c->rip) & ~PAGE_MASK;
    c->poll_mask = cpu_poll_mask(c);
    c->stats[STAT_T1_RUNS]++;
    cpu_place(c, IN_T1);
    enum t1_exit why = enter(c, b->code->entries[T1_ENTRY_ENV]);
    cpu_place(c, IN_T0);
    c->stats[STAT_EXIT + why]++;
    switch (why) {
    case T1_EXIT_SIDE:
        a = (const struct t1_access *)c->t1_b;
        run_t0(c, a->code->block, a->index);
        break;
    case T1_EXIT_POLL:
        code = (const struct t1_code *)c->t1_b;
        c->rip = block_rip(c, code->block);
        break;
    case T1_EXIT_DONE:
        break;
    case T1_EXIT_FAULT:
        left_by_fault(c, (const struct t1_access *)c->t1_b);
        break;
    }
}

/* ---- faults of the host's processor ---- */

static const struct t1_code *code_at(const struct t1 *t, uint64_t rip)
{
    uint64_t at = (rip - (uint64_t)t->rx) / (t->room / BLOCK_PARTS);
    if (rip < (uint64_t)t->rx || at >= BLOCK_PARTS) /* r15 of a stub may be anything */
        return NULL;
    const struct t1_part *p = &t->parts[at];
    uint32_t lo = 0, hi = p->code_count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (p->codes[mid]->begin <= rip)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && rip < p->codes[lo - 1]->end ? p->codes[lo - 1] : NULL;
}

bool t1_signal(struct cpu *c, int number, void *context)
{
    static const uint8_t order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
                                    REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13};
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct t1 *t = c->t1;
    uint64_t rip = (uint64_t)regs[REG_RIP];

    if (!t || rip < (uint64_t)t->rx || rip >= (uint64_t)t->rx + t->room)
        return false;
    for (unsigned n = 0; n < ARRAY_LEN(order); n++)
        c->gpr[n] = (uint64_t)regs[order[n]];
    regs[REG_RSP] = (greg_t)c->host_rsp;
    for (unsigned stub = 0; stub < T1_STUBS; stub++)
        if (t->tails[stub] && rip >= t->stubs[stub] && rip < t->tails[stub]) {
            /* On the way out already, with an RSP that the host does not like. */
            regs[REG_RIP] = (greg_t)t->tails[stub];
            return true;
        }
    if (rip < (uint64_t)t->rx + t->stubs_end)
        rip = (uint64_t)regs[REG_R15]; /* in the stub that comes back there */
    const struct t1_code *code = code_at(t, rip);
    if (!code)
        return false;
    if (code->link) {
        regs[REG_R15] = (greg_t)(uint64_t)code->link;
        regs[REG_RIP] = (greg_t)t->tails[T1_STUB_LINK];
        return true;
    }
    unsigned i = 0;
    while (i + 1u < code->block->count && (code->at[i + 1] & ~T1_AT_FLAGS) + code->begin <= rip)
        i++;
    if (code->at[i] & T1_AT_FLAGS)
        flags_set_arith(c, (uint32_t)regs[REG_EFL]);
    c->fault_signal = number;
    t->fault = (struct t1_access){.code = code, .index = (uint16_t)i};
    c->t1_b = (uint64_t)&t->fault;
    regs[REG_RIP] = (greg_t)t->stubs[T1_STUB_FAULT];
    return true;
}
