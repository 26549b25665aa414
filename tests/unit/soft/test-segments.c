/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random 16-bit and segmented 32-bit code must leave the same registers and the same memory however
 * it is run: interpreted, translated, and in lockstep. Segments begin anywhere, end early, grow
 * down; code runs over the ends of its pages and of its segment, jumps wild and overwrites itself.
 * `unit-soft-segments N SEED` runs others.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>

#include <cmocka.h>

#include "rig.h"

#define MEMORY MIB(2)
#define VECTORS 0x1f0000u    /* where no segment of real mode reaches */
#define HANDLERS_SEG 0xffffu /* and what they lead to, where only the last one does: HLT for each */
#define HANDLERS 0xf000u
#define CODE_MAX 400u
#define PATIENCE_MS 300
#define HLT 0xf4

static uint64_t seed = 1;
static unsigned rounds = 150;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 11) % n;
}

static bool one_in(uint32_t n)
{
    return !random_below(n);
}

struct code {
    uint8_t bytes[CODE_MAX + 64];
    unsigned len;
    bool wide; /* 32-bit */
    bool real; /* selectors can be loaded: there are no tables of descriptors */
};

static void put(struct code *c, unsigned byte)
{
    if (c->len < sizeof(c->bytes))
        c->bytes[c->len++] = (uint8_t)byte;
}

static void put_number(struct code *c, uint32_t v, unsigned bytes)
{
    for (; bytes; bytes--, v >>= 8)
        put(c, v & 0xff);
}

/* Operand and address size of the instruction under way. */
struct sizes {
    bool op32, addr32;
};

static struct sizes put_prefixes(struct code *c)
{
    static const uint8_t segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    struct sizes s = {c->wide, c->wide};

    if (one_in(4)) {
        put(c, 0x66);
        s.op32 = !s.op32;
    }
    if (one_in(5)) {
        put(c, 0x67);
        s.addr32 = !s.addr32;
    }
    if (one_in(4))
        put(c, segs[random_below(ARRAY_LEN(segs))]);
    return s;
}

/* ModRM with a random operand; reg: its middle field. */
static void put_modrm(struct code *c, struct sizes s, unsigned reg, bool memory)
{
    unsigned mod = random_below(memory ? 3 : 4), rm = random_below(8);

    put(c, mod << 6 | reg << 3 | rm);
    if (mod == 3)
        return;
    if (!s.addr32) {
        if (mod == 1 || mod == 2 || rm == 6)
            put_number(c, random_below(0x10000), mod == 1 ? 1 : 2);
        return;
    }
    unsigned base = rm;
    if (rm == 4) {
        base = random_below(8);
        put(c, random_below(4) << 6 | random_below(8) << 3 | base);
    }
    if (mod == 1)
        put(c, random_below(256));
    else if (mod == 2 || base == 5)
        put_number(c, random_below(0x8000) - random_below(0x100), 4);
}

/* MOV of a number that may be an address: an offset of 16 bits. */
static void put_constant(struct code *c)
{
    unsigned reg = random_below(8);
    uint32_t v = one_in(8) ? 0xffff - random_below(5) : random_below(0x10000);

    if (reg == X86_RSP)
        reg = X86_RBX;
    if (!c->wide)
        put(c, 0x66);
    put(c, 0xb8 | reg);
    put_number(c, v, 4);
}

static void put_immediate(struct code *c, struct sizes s)
{
    put_number(c, random_below(~0u), s.op32 ? 4 : 2);
}

static void put_arithmetic(struct code *c)
{
    struct sizes s = put_prefixes(c);
    unsigned op;

    switch (random_below(8)) {
    case 0:
    case 1:
    case 2: /* eight operations in four forms, TEST, XCHG, MOV */
        op = random_below(12);
        put(c, op < 8 ? op << 3 | random_below(4) : 0x84 + random_below(8));
        put_modrm(c, s, random_below(8), false);
        break;
    case 3:
        op = one_in(3) ? 0x80 : one_in(2) ? 0x81 : 0x83;
        put(c, op);
        put_modrm(c, s, random_below(8), false);
        if (op == 0x81)
            put_immediate(c, s);
        else
            put(c, random_below(256));
        break;
    case 4: /* shifts */
        op = random_below(3);
        put(c, (op == 0 ? 0xc0 : op == 1 ? 0xd0 : 0xd2) + random_below(2));
        put_modrm(c, s, random_below(8), false);
        if (op == 0)
            put(c, random_below(256));
        break;
    case 5: /* NOT, NEG, MUL, IMUL, INC, DEC */
        op = random_below(2);
        put(c, (op ? 0xf6 : 0xfe) + random_below(2));
        put_modrm(c, s, op ? 2 + random_below(4) : random_below(2), false);
        break;
    case 6: /* MOV of a number, LEA */
        if (one_in(2)) {
            op = random_below(2);
            put(c, 0xc6 + op);
            put_modrm(c, s, 0, false);
            if (op)
                put_immediate(c, s);
            else
                put(c, random_below(256));
        } else {
            put(c, 0x8d);
            put_modrm(c, s, random_below(8), true);
        }
        break;
    default: {
        static const uint8_t opcodes[] = {0xaf, 0xb6, 0xb7, 0xbe, 0xbf, 0x90, 0x95, 0x9c, 0x44,
                                          0x4f, 0xa3, 0xab, 0xbc, 0xc1, 0xb1, 0xa4, 0xad};
        op = opcodes[random_below(sizeof(opcodes))];
        put(c, 0x0f);
        put(c, op);
        put_modrm(c, s, random_below(8), false);
        if (op == 0xa4)
            put(c, random_below(256));
        break;
    }
    }
}

static void put_short(struct code *c)
{
    static const uint8_t opcodes[] = {0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9, 0xfc,
                                      0x9c, 0xd7, 0x60, 0x61, 0xfa, 0xfb, 0x9d, 0x27};
    struct sizes s;

    switch (random_below(6)) {
    case 0:
    case 1:
        (void)put_prefixes(c);
        put(c, 0x40 + random_below(32)); /* INC, DEC, PUSH, POP */
        break;
    case 2:
        s = put_prefixes(c);
        if (one_in(2)) {
            put(c, 0x68);
            put_immediate(c, s);
        } else {
            put(c, 0x6a);
            put(c, random_below(256));
        }
        break;
    case 3: /* between RAX and an absolute address */
        s = put_prefixes(c);
        put(c, 0xa0 + random_below(4));
        put_number(c, random_below(0x10000), s.addr32 ? 4 : 2);
        break;
    case 4: /* ENTER, LEAVE, PUSH of memory */
        s = put_prefixes(c);
        if (one_in(3)) {
            put(c, 0xc8);
            put_number(c, random_below(64), 2);
            put(c, random_below(3));
        } else if (one_in(2)) {
            put(c, 0xc9);
        } else {
            put(c, 0xff);
            put_modrm(c, s, 6, false);
        }
        break;
    default:
        (void)put_prefixes(c);
        put(c, opcodes[random_below(sizeof(opcodes) - (one_in(8) ? 0 : 2))]);
        break;
    }
}

static void put_selectors(struct code *c)
{
    static const uint8_t pushes[] = {0x06, 0x0e, 0x16, 0x1e}, pops[] = {0x07, 0x1f};
    static const uint8_t loaded[] = {0, 3, 4, 5, 0, 3, 4, 5, 2};
    struct sizes s = put_prefixes(c);

    switch (random_below(6)) {
    case 0:
        put(c, pushes[random_below(4)]);
        break;
    case 1:
        put(c, pops[random_below(2)]);
        break;
    case 2:
        put(c, 0x0f);
        put(c, 0xa0 + random_below(2) + (one_in(2) ? 8 : 0)); /* FS, GS */
        break;
    case 3:
        put(c, 0x8c);
        put_modrm(c, s, random_below(6), false);
        break;
    default:
        put(c, 0x8e);
        put_modrm(c, s, loaded[random_below(sizeof(loaded))], false);
        break;
    }
}

static void put_one(struct code *c);

static void put_count(struct code *c, unsigned count)
{
    put(c, 0x66 - (c->wide ? 0x66 - 0x90 : 0)); /* a prefix, or NOP */
    put(c, 0xb8 | X86_RCX);
    put_number(c, count, 4);
}

static void put_string(struct code *c)
{
    static const uint8_t opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

    put_count(c, random_below(300));
    (void)put_prefixes(c);
    if (one_in(2))
        put(c, 0xf2 + random_below(2));
    put(c, opcodes[random_below(sizeof(opcodes))]);
}

/* The distance of a jump, written where it was left open. */
static void close_jump(struct code *c, unsigned at)
{
    c->bytes[at - 1] = (uint8_t)(c->len - at);
}

static void put_jump(struct code *c)
{
    unsigned at, top;

    switch (random_below(7)) {
    case 0: /* over something */
    case 1:
        put(c, one_in(6) ? 0xe3 : one_in(4) ? 0xeb : 0x70 + random_below(16));
        put(c, 0);
        at = c->len;
        put_one(c);
        close_jump(c, at);
        break;
    case 2: /* a loop */
        put_count(c, 1 + random_below(40));
        top = c->len;
        put_one(c);
        put_arithmetic(c);
        put(c, 0xe0 + random_below(3));
        put(c, top - (c->len + 1));
        break;
    case 3: /* a call, and what it calls behind it */
        put(c, 0xe8);
        put_number(c, 2, c->wide ? 4 : 2);
        put(c, 0xeb);
        put(c, 0);
        at = c->len;
        put_one(c);
        put(c, 0xc3);
        close_jump(c, at);
        break;
    case 4: { /* a jump by what CALL pushed */
        unsigned reg = one_in(2) ? X86_RBX : X86_RDI;
        put(c, 0xe8);
        put_number(c, 0, c->wide ? 4 : 2);
        put(c, 0x58 | reg);
        put(c, 0x83); /* ADD reg, imm8 */
        put(c, 0xc0 | reg);
        put(c, 6); /* behind POP, ADD and the jump */
        put(c, 0xff);
        put(c, (one_in(3) ? 0xd0 : 0xe0) | reg);
        break;
    }
    case 5: /* wild */
        if (one_in(4)) {
            put(c, 0xff);
            put_modrm(c, put_prefixes(c), one_in(2) ? 2 : 4, false);
        } else if (one_in(3)) {
            put(c, 0xc2);
            put_number(c, random_below(8), 2);
        }
        break;
    default: /* to itself with another size of the target */
        put(c, 0x66);
        put(c, 0x0f);
        put(c, 0x80 + random_below(16));
        put_number(c, 0, c->wide ? 2 : 4);
        break;
    }
}

static void put_one(struct code *c)
{
    unsigned kind = random_below(16);

    if (kind < 3)
        put_constant(c);
    else if (kind < 8)
        put_arithmetic(c);
    else if (kind < 12)
        put_short(c);
    else if (kind < 13 && (c->real || one_in(10)))
        put_selectors(c);
    else if (kind < 14)
        put_string(c);
    else if (c->len < CODE_MAX)
        put_jump(c);
}

/* ---- where it runs ---- */

enum kind { REAL, PROTECTED16, PROTECTED32, KINDS };

static void set_handlers(struct rig *rig)
{
    for (unsigned v = 0; v < 256; v++) {
        uint16_t entry[2] = {(uint16_t)(HANDLERS + v), HANDLERS_SEG};
        memcpy(rig->mem + VECTORS + 4 * v, entry, 4);
        rig->mem[HANDLERS_SEG * 16 + HANDLERS + v] = HLT;
    }
}

static void set_segment(struct x86_segment *s, bool real, bool stack, bool wide)
{
    uint32_t base = random_below(0x18000) * 16;

    if (real) {
        *s = (struct x86_segment){.base = base & 0xffff0,
                                  .selector = (uint16_t)(base >> 4),
                                  .limit = 0xffff,
                                  .attr = SEG_P | SEG_S | SEG_RW | SEG_A};
        return;
    }
    *s = (struct x86_segment){.base = base + random_below(16),
                              .limit = one_in(5)   ? random_below(0x10000)
                                       : one_in(4) ? 0xffff
                                                   : 0xffffffff,
                              .selector = 0x10,
                              .attr = SEG_P | SEG_S | SEG_RW | SEG_A};
    if (wide != one_in(6))
        s->attr |= SEG_DB;
    if (stack)
        s->limit = 0xffff;
    else if (one_in(8))
        s->attr |= SEG_CE; /* grows down */
    else if (one_in(16))
        s->attr &= (uint16_t)~SEG_RW;
    else if (one_in(16))
        s->attr = 0;
}

struct program {
    struct code code;
    enum kind kind;
    uint64_t data_seed;
};

static void set_up(struct rig *rig, const struct program *p)
{
    uint64_t kept = seed;
    bool real = p->kind == REAL, wide = p->kind == PROTECTED32;
    struct x86_state *s = rig->state;

    seed = p->data_seed;
    rig_mode(rig, real ? 16 : 32);
    for (uint64_t at = 0; at < MEMORY; at += 4)
        *(uint32_t *)(rig->mem + at) = one_in(3) ? HLT * 0x01010101u : random_below(~0u);
    set_handlers(rig);
    for (unsigned i = 0; i < X86_SEGS; i++)
        set_segment(&s->seg[i], real, i == X86_SS, wide);
    struct x86_segment *cs = &s->seg[X86_CS];
    set_segment(cs, real, true, wide);
    if (!real) {
        cs->attr = SEG_P | SEG_S | SEG_RW | SEG_A | SEG_CODE | (wide ? SEG_DB : 0);
        cs->selector = 8;
    }
    s->idtr.base = VECTORS;
    s->idtr.limit = real ? 0x3ff : 0; /* an exception ends the run by a shutdown */
    s->gdtr.limit = 0;
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = random_below(0x10000);
    s->gpr[X86_RSP] = one_in(4) ? random_below(8) : random_below(0xffff);
    s->rip = one_in(3) ? 0x10000 - random_below(CODE_MAX) : random_below(0xf000);
    if (s->rip + p->code.len - 1 > cs->limit && !one_in(3))
        s->rip &= 0x7fff;
    uint64_t at = cs->base + s->rip;
    size_t room = (size_t)(MEMORY - at);
    rig_poke(rig, at, p->code.bytes, MIN((size_t)p->code.len, room));
    seed = kept;
}

struct outcome {
    struct x86_state state;
    enum vcpu_exit why;
    uint8_t memory[MEMORY];
    char report[1024]; /* of an engine that could not go on */
};

static struct vcpu *running;

static void on_alarm(int number)
{
    (void)number;
    if (running)
        engine_soft.vcpu_kick(running);
}

/* Patience is for what does not end; a machine that is busy gets more of it. */
static void run(const char *options, const struct program *p, unsigned times, struct outcome *ret)
{
    struct itimerval patience = {{0, PATIENCE_MS * 1000}, {0, PATIENCE_MS * 1000}},
                     none = {{0, 0}, {0, 0}};
    struct rig rig;

    rig_options = options;
    rig_open(&rig, MEMORY);
    set_up(&rig, p);
    running = rig.vcpu;
    setitimer(ITIMER_REAL, &patience, NULL);
    ret->why = rig_run(&rig);
    while (ret->why == VCPU_EXIT_KICKED && --times)
        ret->why = rig_run(&rig);
    setitimer(ITIMER_REAL, &none, NULL);
    running = NULL;
    ret->state = *rig.state;
    ret->report[0] = 0;
    if (ret->why == VCPU_EXIT_ERROR)
        engine_soft.vcpu_report(rig.vcpu, ret->report, sizeof(ret->report));
    memcpy(ret->memory, rig.mem, MEMORY);
    rig_close(&rig);
}

/*
 * An exception may come where flags are about to be overwritten by what it interrupts: these are
 * not kept. They are in EFLAGS and in what the exception pushed, whole or, when that shut the
 * processor down, begun.
 */
static void blur(struct outcome *o)
{
    struct x86_state *s = &o->state;
    int by = o->why == VCPU_EXIT_SHUTDOWN ? -2 : 4;
    uint32_t at = (uint32_t)s->seg[X86_SS].base + (uint16_t)(s->gpr[X86_RSP] + by);

    s->rflags &= ~(uint64_t)FL_ARITH;
    if (at + 2 <= MEMORY) {
        o->memory[at] &= (uint8_t)~FL_ARITH;
        o->memory[at + 1] &= (uint8_t) ~(FL_ARITH >> 8);
    }
}

static const char *difference(struct outcome *a, struct outcome *b)
{
    static char text[1200];
    bool exception = a->why == VCPU_EXIT_SHUTDOWN || a->state.seg[X86_CS].selector == HANDLERS_SEG;

    if (exception) {
        blur(a);
        blur(b);
    }
    if (a->why != b->why) {
        snprintf(text, sizeof(text), "exit %u, not %u, at %llx, not %llx; %s", b->why, a->why,
                 (unsigned long long)b->state.rip, (unsigned long long)a->state.rip, b->report);
        return text;
    }
    if (a->state.rip != b->state.rip)
        return "RIP";
    for (unsigned i = 0; i < X86_GPRS; i++)
        if (a->state.gpr[i] != b->state.gpr[i]) {
            snprintf(text, sizeof(text), "register %u: %llx, not %llx", i,
                     (unsigned long long)b->state.gpr[i], (unsigned long long)a->state.gpr[i]);
            return text;
        }
    if (a->state.rflags != b->state.rflags)
        return "flags";
    if (memcmp(a->state.seg, b->state.seg, sizeof(a->state.seg)))
        return "segments";
    for (unsigned i = 0; i < MEMORY; i++)
        if (a->memory[i] != b->memory[i]) {
            snprintf(text, sizeof(text), "memory at %#x: %02x, not %02x", i, b->memory[i],
                     a->memory[i]);
            return text;
        }
    return NULL;
}

static void ends_alike(void **unused)
{
    static const char *const ways[] = {"runs=0", "runs=1,no-fall", "runs=0,no-refill,no-string",
                                       "check,runs=0"};
    static struct outcome want, have;
    static struct program p;
    unsigned counts[VCPU_EXIT_ERROR + 1] = {0};
    (void)unused;

    signal(SIGALRM, on_alarm);
    for (unsigned n = 0; n < rounds; n++) {
        uint64_t this_seed = seed;
        p.data_seed = seed + 1;
        p.kind = (enum kind)random_below(KINDS);
        p.code = (struct code){.wide = p.kind == PROTECTED32, .real = p.kind == REAL};
        for (unsigned i = 0; i < 60 && p.code.len < CODE_MAX; i++)
            put_one(&p.code);
        put(&p.code, HLT);
        run("t0", &p, 1, &want);
        counts[want.why]++;
        if (want.why == VCPU_EXIT_KICKED) /* it does not end */
            continue;
        for (unsigned w = 0; w < ARRAY_LEN(ways); w++) {
            run(ways[w], &p, 100, &have);
            const char *what = difference(&want, &have);
            if (what)
                fail_msg("code of seed %llu, kind %u, differs with %s: %s",
                         (unsigned long long)this_seed, p.kind, ways[w], what);
        }
    }
    /* Most of it must have run to some end of its own, or nothing was tested. */
    assert_true(counts[VCPU_EXIT_HALTED] > rounds / 5);
    assert_true(counts[VCPU_EXIT_KICKED] < rounds / 8 + 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ends_alike)};

    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
