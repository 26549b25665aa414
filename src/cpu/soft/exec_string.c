/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions. REP runs page by page: where both ends are plain memory the host's own
 * string instruction does a whole run with the same element size, so that overlapping copies come
 * out as they would; everything else goes element by element. Registers always show how far it
 * got, so a fault or an interrupt in the middle needs nothing undone (SDM vol. 2, REP).
 */
#include "base/bytes.h"
#include "cpu/soft/exec.h"

struct string {
    unsigned n;    /* element size */
    uint64_t mask; /* address size */
    int64_t step;
    bool rep, legacy;
    uint64_t count; /* elements left (1 without REP) */
    unsigned src_seg, dst_seg;
};

static struct string string_begin(const struct cpu *c, const struct uop *u)
{
    struct string s = {.n = u->bytes, .mask = u->addr_mask, .rep = u->rep, .legacy = !is_code64(c)};
    s.step = c->eflags & FL_DF ? -(int64_t)s.n : (int64_t)s.n;
    s.count = s.rep ? c->gpr[X86_RCX] & s.mask : 1;
    s.src_seg = s.legacy || u->seg >= X86_FS ? u->seg : SEG_FLAT;
    s.dst_seg = s.legacy ? X86_ES : SEG_FLAT;
    return s;
}

static void advance(struct cpu *c, const struct uop *u, const struct string *s, unsigned reg,
                    uint64_t elements)
{
    reg_set(c, reg, u->addr_bytes, c->gpr[reg] + (uint64_t)s->step * elements);
}

static void used(struct cpu *c, const struct uop *u, struct string *s, uint64_t elements)
{
    s->count -= elements;
    if (s->rep)
        reg_set(c, X86_RCX, u->addr_bytes, s->count);
}

/* After one run: must the instruction give way (it goes on from where it is)? */
static bool must_pause(struct cpu *c)
{
    /* Lockstep compares whole instructions. */
    return c->events || (cpu_wanted(c) && !c->check) || c->mode & MODE_SINGLE;
}

#define FINISH(c, u, s)                                                                            \
    do {                                                                                           \
        if ((s).count && (s).rep) {                                                                \
            leave_at(c, u);                                                                        \
            return;                                                                                \
        }                                                                                          \
        NEXT_OR_LEAVE(c, u);                                                                       \
    } while (0)

/*
 * How many elements from ea on lie within the page, the segment and the address size; 0: take the
 * element way. *ret_lin is the first one's linear address.
 */
static uint64_t run_length(struct cpu *c, const struct string *s, unsigned seg, uint64_t ea,
                           bool write, uint64_t *ret_lin)
{
    const struct seg *sg = &c->seg[seg];
    uint64_t lin = ea + sg->base, lo = 0, hi = s->mask;

    if (s->legacy) {
        lo = write ? sg->lo_w : sg->lo;
        hi = MIN(hi, write ? sg->hi_w : sg->hi_r);
        lin = (uint32_t)lin;
    }
    *ret_lin = lin;
    uint64_t offset = lin & PAGE_MASK;
    if (ea < lo || ea > hi || hi - ea < s->n - 1 || offset + s->n > PAGE_MASK + 1)
        return 0;
    if (s->step < 0)
        return MIN(ea - lo, offset) / s->n + 1;
    return (MIN(hi - ea, PAGE_MASK - offset) + 1) / s->n;
}

static void *host_at(struct cpu *c, uint64_t lin, unsigned n, bool write)
{
    void *p = write ? tlb_write(c, lin, n) : tlb_read(c, lin, n);
    return p ? p : slow_host(c, lin, n, write ? ACC_WRITE : ACC_READ);
}

/* The host's instruction from the first element on, up or down: DF is clear before and after. */
#define HOST_STRING(instruction, down, ...)                                                        \
    do {                                                                                           \
        if (down)                                                                                  \
            __asm__ volatile("std; rep " instruction "; cld" : __VA_ARGS__ : "memory", "cc");      \
        else                                                                                       \
            __asm__ volatile("rep " instruction:__VA_ARGS__ : "memory");                           \
    } while (0)

static void host_movs(void *to, const void *from, uint64_t count, unsigned n, bool down)
{
#define MOVS(name) HOST_STRING(name, down, "+D"(to), "+S"(from), "+c"(count) :)
    switch (n) {
    case 1:
        MOVS("movsb");
        break;
    case 2:
        MOVS("movsw");
        break;
    case 4:
        MOVS("movsl");
        break;
    default:
        MOVS("movsq");
        break;
    }
#undef MOVS
}

static void host_stos(void *to, uint64_t v, uint64_t count, unsigned n, bool down)
{
#define STOS(name) HOST_STRING(name, down, "+D"(to), "+c"(count) : "a"(v))
    switch (n) {
    case 1:
        STOS("stosb");
        break;
    case 2:
        STOS("stosw");
        break;
    case 4:
        STOS("stosl");
        break;
    default:
        STOS("stosq");
        break;
    }
#undef STOS
}

static bool src_load(struct cpu *c, const struct string *s, uint64_t *ret)
{
    uint64_t lin;
    return seg_lin(c, s->legacy, s->src_seg, c->gpr[X86_RSI] & s->mask, s->n, false, &lin) &&
           mem_load(c, lin, s->n, ACC_READ, ret);
}

static bool dst_lin(struct cpu *c, const struct string *s, bool write, uint64_t *ret)
{
    return seg_lin(c, s->legacy, s->dst_seg, c->gpr[X86_RDI] & s->mask, s->n, write, ret);
}

void x_MOVS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);

    while (s.count) {
        uint64_t src, dst, v, run = 0;
        if (s.count > 1 && !(c->mode & MODE_SINGLE)) {
            uint64_t room = run_length(c, &s, s.dst_seg, c->gpr[X86_RDI] & s.mask, true, &dst);
            run = run_length(c, &s, s.src_seg, c->gpr[X86_RSI] & s.mask, false, &src);
            run = MIN(run, room);
            run = MIN(run, s.count);
        }
        void *from = run > 1 ? host_at(c, src, s.n, false) : NULL;
        void *to = from ? host_at(c, dst, s.n, true) : NULL;
        if (has_fault(c))
            FAULT(c, u);
        if (to) {
            host_movs(to, from, run, s.n, s.step < 0);
        } else {
            run = 1;
            if (!src_load(c, &s, &v) || !dst_lin(c, &s, true, &dst) ||
                !mem_store(c, dst, s.n, ACC_WRITE, v))
                FAULT(c, u);
        }
        advance(c, u, &s, X86_RSI, run);
        advance(c, u, &s, X86_RDI, run);
        used(c, u, &s, run);
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

void x_STOS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);

    while (s.count) {
        uint64_t dst, run = 0;
        if (s.count > 1 && !(c->mode & MODE_SINGLE)) {
            run = run_length(c, &s, s.dst_seg, c->gpr[X86_RDI] & s.mask, true, &dst);
            run = MIN(run, s.count);
        }
        void *to = run > 1 ? host_at(c, dst, s.n, true) : NULL;
        if (has_fault(c))
            FAULT(c, u);
        if (to) {
            host_stos(to, c->gpr[X86_RAX], run, s.n, s.step < 0);
        } else {
            run = 1;
            if (!dst_lin(c, &s, true, &dst) || !mem_store(c, dst, s.n, ACC_WRITE, c->gpr[X86_RAX]))
                FAULT(c, u);
        }
        advance(c, u, &s, X86_RDI, run);
        used(c, u, &s, run);
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

void x_LODS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);

    while (s.count) {
        uint64_t v;
        if (!src_load(c, &s, &v))
            FAULT(c, u);
        if (s.n == 1)
            *reg8(c, 0) = (uint8_t)v;
        else
            reg_set(c, X86_RAX, s.n, v);
        advance(c, u, &s, X86_RSI, 1);
        used(c, u, &s, 1);
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

/* The flags of a - b at this size, as the host makes them. */
static void compare(struct cpu *c, uint64_t a, uint64_t b, unsigned n)
{
    uint16_t f;
    unsigned shift = 64 - 8 * n;
    uint16_t small;
    /* AF is of the low nibble: taken from the unshifted bytes, the rest from the shifted words. */
    __asm__("cmp %2, %1; lahf; seto %%al; mov %%ax, %0"
            : "=r"(f)
            : "r"(a << shift), "r"(b << shift)
            : "rax", "cc");
    __asm__("cmpb %2, %1; lahf; mov %%ax, %0"
            : "=r"(small)
            : "q"((uint8_t)a), "q"((uint8_t)b)
            : "rax", "cc");
    c->aflags = (uint16_t)((f & ~(AF_AF | AF_PF)) | (small & (AF_AF | AF_PF)));
}

/* REPE (F3) goes on while equal, REPNE (F2) while not. */
static bool goes_on(const struct cpu *c, const struct uop *u)
{
    return !u->rep || (u->rep == 0xf3) == !!(c->aflags & AF_ZF);
}

void x_CMPS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);

    while (s.count) {
        uint64_t a, b, lin;
        if (!src_load(c, &s, &a) || !dst_lin(c, &s, false, &lin) ||
            !mem_load(c, lin, s.n, ACC_READ, &b))
            FAULT(c, u);
        compare(c, a, b, s.n);
        advance(c, u, &s, X86_RSI, 1);
        advance(c, u, &s, X86_RDI, 1);
        used(c, u, &s, 1);
        if (!goes_on(c, u)) {
            s.count = 0;
            break;
        }
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

void x_SCAS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);

    while (s.count) {
        uint64_t b, lin;
        if (!dst_lin(c, &s, false, &lin) || !mem_load(c, lin, s.n, ACC_READ, &b))
            FAULT(c, u);
        compare(c, c->gpr[X86_RAX], b, s.n);
        advance(c, u, &s, X86_RDI, 1);
        used(c, u, &s, 1);
        if (!goes_on(c, u)) {
            s.count = 0;
            break;
        }
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

/* ---- ports ---- */

/* Ports have no 64-bit form. */
static unsigned port_bytes(const struct uop *u)
{
    return MIN(u->bytes, 4);
}

void x_INS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);
    uint16_t port = (uint16_t)c->gpr[X86_RDX];

    s.n = port_bytes(u);
    s.step = c->eflags & FL_DF ? -(int64_t)s.n : (int64_t)s.n;
    if (!io_allowed(c, port, s.n))
        FAULT(c, u);
    while (s.count) {
        uint64_t lin;
        /* The port must not be read for a store that would fault. */
        if (!dst_lin(c, &s, true, &lin) ||
            (!tlb_write(c, lin, s.n) && !probe_write(c, lin, s.n, ACC_WRITE)))
            FAULT(c, u);
        uint32_t v = out_pio_read(c, port, s.n);
        mem_store(c, lin, s.n, ACC_WRITE, v);
        advance(c, u, &s, X86_RDI, 1);
        used(c, u, &s, 1);
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

void x_OUTS(struct cpu *c, const struct uop *u)
{
    struct string s = string_begin(c, u);
    uint16_t port = (uint16_t)c->gpr[X86_RDX];

    s.n = port_bytes(u);
    s.step = c->eflags & FL_DF ? -(int64_t)s.n : (int64_t)s.n;
    if (!io_allowed(c, port, s.n))
        FAULT(c, u);
    while (s.count) {
        uint64_t v;
        if (!src_load(c, &s, &v))
            FAULT(c, u);
        out_pio_write(c, port, s.n, (uint32_t)v);
        advance(c, u, &s, X86_RSI, 1);
        used(c, u, &s, 1);
        if (must_pause(c))
            break;
    }
    FINISH(c, u, s);
}

static void in(struct cpu *c, const struct uop *u, uint16_t port)
{
    unsigned n = port_bytes(u);
    if (!io_allowed(c, port, n))
        FAULT(c, u);
    uint32_t v = out_pio_read(c, port, n);
    if (n == 1)
        *reg8(c, 0) = (uint8_t)v;
    else
        reg_set(c, X86_RAX, n, v);
    NEXT_OR_LEAVE(c, u);
}

static void out(struct cpu *c, const struct uop *u, uint16_t port)
{
    unsigned n = port_bytes(u);
    if (!io_allowed(c, port, n))
        FAULT(c, u);
    out_pio_write(c, port, n, (uint32_t)bytes_mask(c->gpr[X86_RAX], n));
    /* The device may have changed the machine: an interrupt, the address map, a reset. */
    leave_after(c, u);
}

void x_IN_I(struct cpu *c, const struct uop *u)
{
    in(c, u, (uint8_t)u->imm);
}

void x_IN_DX(struct cpu *c, const struct uop *u)
{
    in(c, u, (uint16_t)c->gpr[X86_RDX]);
}

void x_OUT_I(struct cpu *c, const struct uop *u)
{
    out(c, u, (uint8_t)u->imm);
}

void x_OUT_DX(struct cpu *c, const struct uop *u)
{
    out(c, u, (uint16_t)c->gpr[X86_RDX]);
}
