/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random loops of one block and random string instructions, over linear pages that lie in shuffled
 * order, must leave the same registers and the same memory however they are run: interpreted,
 * translated with and without what is done for them, and in lockstep. `unit-soft-loops N SEED`
 * runs others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "rig.h"

#define CODE 0x7000u
#define WINDOW 0x8000000000ULL /* linear: the second entry of the top table */
#define ALIAS MIB(8) /* and once more: pages so far apart share an entry of the soft TLB */
#define PAGES 64u
#define FIRST_PAGE 0x100000u
#define TABLES 0x10000u
#define MEMORY MIB(4)

static uint64_t seed = 1;
static unsigned rounds = 150;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 11) % n;
}

struct code {
    uint8_t bytes[512];
    unsigned len;
};

static void put(struct code *c, const uint8_t *bytes, unsigned n)
{
    memcpy(c->bytes + c->len, bytes, n);
    c->len += n;
}

#define NONE 4u /* RSP is no index */

/* An instruction with memory operand [base + index << scale + disp], REX.W as given. */
static void put_mem(struct code *c, unsigned prefix, bool wide, unsigned opcode, unsigned reg,
                    unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    uint8_t b[16];
    unsigned n = 0;

    if (prefix)
        b[n++] = (uint8_t)prefix;
    b[n++] = (uint8_t)(0x40 | (wide ? 8 : 0) | (reg >> 3 << 2) | (index >> 3 << 1) | base >> 3);
    if (opcode > 0xff)
        b[n++] = 0x0f;
    b[n++] = (uint8_t)opcode;
    b[n++] = (uint8_t)(0x84 | (reg & 7) << 3); /* SIB, disp32 */
    b[n++] = (uint8_t)(scale << 6 | (index & 7) << 3 | (base & 7));
    memcpy(b + n, &disp, 4);
    put(c, b, n + 4);
}

/* One access, or an operation on what accesses load. */
static void put_random(struct code *c)
{
    static const struct {
        uint8_t prefix;
        bool wide;
        uint16_t opcode;
        uint8_t regs; /* 0: RAX RDX R8 R9, 1: XMM0 to 3 */
    } forms[] = {
        {0, true, 0x8b, 0},      {0, false, 0x8b, 0},     {0x66, false, 0x8b, 0},
        {0, true, 0x89, 0},      {0, false, 0x89, 0},     {0, false, 0x88, 0},
        {0, true, 0x03, 0},      {0, true, 0x01, 0},      {0, false, 0x31, 0},
        {0, false, 0x1b6, 0},    {0, false, 0x110, 1},    {0, false, 0x111, 1},
        {0xf3, false, 0x16f, 1}, {0xf3, false, 0x17f, 1}, {0, true, 0x1bf, 0},
        {0, true, 0x13, 0},      {0, false, 0x28, 0},     {0, true, 0x87, 0},
    };
    static const uint8_t general[] = {X86_RAX, X86_RDX, X86_R8, X86_R9};
    static const uint8_t bases[] = {X86_RSI, X86_RDI, X86_RBP};
    static const uint8_t add_vectors[] = {0x66, 0x0f, 0xfe, 0xc1}; /* paddd xmm0, xmm1 */
    static const uint8_t wander[] = {0x25, 0xf8, 0x0f, 0, 0};      /* and eax, 0xff8 */
    unsigned i = random_below(ARRAY_LEN(forms) + 2);

    if (i == ARRAY_LEN(forms)) {
        put(c, add_vectors, sizeof(add_vectors));
        return;
    }
    if (i > ARRAY_LEN(forms)) { /* an address that nobody can foresee */
        put(c, wander, sizeof(wander));
        put_mem(c, 0, true, 0x01, X86_RDX, X86_RBP, X86_RAX, 0, 0);
        return;
    }
    unsigned base = bases[random_below(3)];
    unsigned index = random_below(3) ? NONE : X86_RBX;
    unsigned reg = forms[i].regs ? random_below(4) : general[random_below(4)];
    put_mem(c, forms[i].prefix, forms[i].wide, forms[i].opcode, reg, base, index, random_below(4),
            (int32_t)random_below(96) - 48);
}

static void put_step(struct code *c, unsigned reg, int32_t step)
{
    uint8_t b[7] = {0x48, 0x81, (uint8_t)(0xc0 | reg)};

    if (random_below(2)) { /* lea reg, [reg + step] */
        put_mem(c, 0, true, 0x8d, reg, reg, NONE, 0, step);
        return;
    }
    if (random_below(2)) { /* as a subtraction */
        b[2] |= 5 << 3;
        step = -step;
    }
    memcpy(b + 3, &step, 4);
    put(c, b, 7);
}

static const int32_t steps[] = {1, 2, 4, 8, 16, 24, 32, 64, 256, -1, -8, -16, -40, 0};

struct loop {
    struct code code;
    int32_t step[2];
    uint32_t turns;
};

static void make_loop(struct loop *l)
{
    struct code *c = &l->code;
    unsigned count = 1 + random_below(6);
    bool early = random_below(2);

    c->len = 0;
    for (unsigned i = 0; i < 2; i++)
        l->step[i] = steps[random_below(ARRAY_LEN(steps))];
    l->turns = 1 + random_below(900); /* 900 * 256 would leave the window */
    if (l->step[0] == 256 || l->step[1] == 256)
        l->turns = 1 + random_below(300);
    unsigned where = random_below(count + 1);
    for (unsigned i = 0; i <= count; i++) {
        if (i == where && early)
            put_step(c, X86_RSI, l->step[0]);
        if (i < count)
            put_random(c);
    }
    if (!early)
        put_step(c, X86_RSI, l->step[0]);
    put_step(c, X86_RDI, l->step[1]);
    if (random_below(2))
        put(c, (const uint8_t[]){0x48, 0xff, 0xc3}, 3);   /* inc rbx */
    put(c, (const uint8_t[]){0xff, 0xc9, 0x0f, 0x85}, 4); /* dec ecx; jnz */
    int32_t back = -(int32_t)(c->len + 4);
    put(c, (const uint8_t *)&back, 4);
    put(c, (const uint8_t[]){0xf4}, 1);
}

/* The window's pages, in an order of their own; memory and registers from the same seed. */
static void set_up(struct rig *rig, const struct loop *l, uint64_t data_seed)
{
    uint64_t kept = seed, order[PAGES], entry;

    seed = data_seed;
    rig_mode(rig, 64);
    for (uint64_t at = FIRST_PAGE; at < FIRST_PAGE + PAGES * 4096; at += 8)
        *(uint64_t *)(rig->mem + at) = (uint64_t)random_below(UINT32_MAX) << 32 | random_below(~0u);
    for (unsigned i = 0; i < PAGES; i++) {
        unsigned j = random_below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    entry = TABLES + 3;
    rig_poke(rig, 0x2008, &entry, 8);
    entry = TABLES + 0x1000 + 3;
    rig_poke(rig, TABLES, &entry, 8);
    entry = TABLES + 0x2000 + 3;
    rig_poke(rig, TABLES + 0x1000, &entry, 8);
    entry = TABLES + 0x3000 + 3;
    rig_poke(rig, TABLES + 0x1000 + ALIAS / MIB(2) * 8, &entry, 8);
    for (unsigned i = 0; i < PAGES; i++) {
        entry = FIRST_PAGE + order[i] * 4096 + 3;
        rig_poke(rig, TABLES + 0x2000 + 8 * i, &entry, 8);
        entry = FIRST_PAGE + order[PAGES - 1 - i] * 4096 + 3;
        rig_poke(rig, TABLES + 0x3000 + 8 * i, &entry, 8);
    }
    rig_poke(rig, CODE, l->code.bytes, l->code.len);
    struct x86_state *s = rig->state;
    for (unsigned i = 0; i < X86_GPRS; i++)
        s->gpr[i] = random_below(~0u);
    s->gpr[X86_RSI] = WINDOW + PAGES / 2 * 4096 + random_below(4096);
    s->gpr[X86_RDI] = WINDOW + PAGES / 2 * 4096 + random_below(4096);
    if (random_below(2))
        s->gpr[X86_RDI] += ALIAS;
    s->gpr[X86_RBP] = WINDOW + ALIAS * random_below(2) + 4096 * (1 + random_below(PAGES - 12)) +
                      random_below(4096);
    s->gpr[X86_RBX] = random_below(64);
    s->gpr[X86_RAX] &= 0xff8;
    s->gpr[X86_RCX] = l->turns;
    s->rip = CODE;
    seed = kept;
}

/* String instructions in a row, each with ends and a count of its own. */
static void make_strings(struct loop *l)
{
    static const uint8_t opcodes[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad};
    struct code *c = &l->code;

    c->len = 0;
    l->turns = random_below(3000);
    for (unsigned i = 0; i < 4 + random_below(8); i++) {
        int32_t by = (int32_t)random_below(8192) - 4096;
        uint8_t count[5] = {0xb9};
        put_mem(c, 0, true, 0x8d, X86_RSI, X86_RSI, NONE, 0, by);
        if (random_below(4) == 0) /* close to, or over, one another */
            put_mem(c, 0, true, 0x8d, X86_RDI, X86_RSI, NONE, 0, (int32_t)random_below(32) - 16);
        if (random_below(3)) {
            uint32_t n = random_below(random_below(4) ? 100 : 5000);
            memcpy(count + 1, &n, 4);
            put(c, count, 5);
        }
        if (random_below(4) == 0) { /* an end that just is on a page, or just is not */
            unsigned reg = random_below(2) ? X86_RSI : X86_RDI;
            uint32_t n = 1 + random_below(20), bytes = (n << random_below(4)) - random_below(3);
            put(c, (const uint8_t[]){0x48, 0x81, (uint8_t)(0xc8 | reg), 0xff, 0x0f, 0, 0}, 7);
            put_mem(c, 0, true, 0x8d, reg, reg, NONE, 0, -(int32_t)bytes);
            memcpy(count + 1, &n, 4);
            put(c, count, 5);
        }
        if (random_below(16) == 0)
            put(c, (const uint8_t[]){(uint8_t)(0xfc | random_below(2))}, 1); /* cld, std */
        if (random_below(3))
            put(c, (const uint8_t[]){0xf3}, 1);
        unsigned size = random_below(3);
        if (size)
            put(c, (const uint8_t[]){size == 1 ? 0x66 : 0x48}, 1);
        put(c, &opcodes[random_below(ARRAY_LEN(opcodes))], 1);
        put(c, (const uint8_t[]){0x11, 0xd2}, 2); /* adc edx, edx: the flags are wanted */
    }
    put(c, (const uint8_t[]){0xf4}, 1);
}

static void run_loop(const char *options, const struct loop *l, uint64_t data_seed,
                     struct x86_state *ret_state, uint8_t *ret_memory)
{
    struct rig rig;

    rig_options = options;
    rig_open(&rig, MEMORY);
    set_up(&rig, l, data_seed);
    assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
    *ret_state = *rig.state;
    memcpy(ret_memory, rig.mem + FIRST_PAGE, PAGES * 4096);
    rig_close(&rig);
}

static void end_alike(void (*make)(struct loop *l))
{
    static const char *const ways[] = {"runs=0", "runs=0,no-loop,no-string",
                                       "runs=0,no-loop,no-refill", "runs=1,no-share,no-fall",
                                       "check,runs=0"};
    static uint8_t expected[PAGES * 4096], memory[PAGES * 4096];
    static struct x86_state want, have;
    static struct loop l;

    for (unsigned n = 0; n < rounds; n++) {
        uint64_t data_seed = seed + 1;
        uint64_t this_seed = seed;
        make(&l);
        run_loop("t0", &l, data_seed, &want, expected);
        for (unsigned w = 0; w < ARRAY_LEN(ways); w++) {
            run_loop(ways[w], &l, data_seed, &have, memory);
            bool same = !memcmp(have.gpr, want.gpr, sizeof(want.gpr)) && have.rip == want.rip &&
                        have.rflags == want.rflags &&
                        !memcmp(have.xsave + 160, want.xsave + 160, 64) &&
                        !memcmp(memory, expected, sizeof(expected));
            if (!same)
                fail_msg("code %u of seed %llu differs with %s", n, (unsigned long long)this_seed,
                         ways[w]);
        }
    }
}

static void loops_end_alike(void **unused)
{
    (void)unused;
    end_alike(make_loop);
}

static void strings_end_alike(void **unused)
{
    (void)unused;
    end_alike(make_strings);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loops_end_alike),
                                       cmocka_unit_test(strings_end_alike)};

    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
