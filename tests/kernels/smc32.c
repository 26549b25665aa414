/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that changes itself: SDM vol. 3, 8.1.3 and 12.6. Changes by the processor that executes
 * are seen at the latest at the next branch; on every x86 since the Pentium at the very next
 * instruction, which guests rely on.
 */
#include "lib/kernel.h"

enum { P = 1, W = 2, PS = 0x80 };

static uint8_t *code;

static uint32_t call(const void *p)
{
    uint32_t v;

    asm volatile("call *%1" : "=a"(v) : "b"(p) : "ecx", "edx", "esi", "edi", "memory");
    return v;
}

/* mov eax, n; ret */
static void put_constant(uint8_t *at, uint32_t n)
{
    at[0] = 0xb8;
    memcpy(at + 1, &n, 4);
    at[5] = 0xc3;
}

static void between_calls(void)
{
    for (uint32_t n = 0; n < 300; n++) {
        put_constant(code, n);
        CHECK_EQ(call(code), n);
    }
}

/* Only the immediate changes, by a wide, a narrow and a straddling store. */
static void immediate(void)
{
    put_constant(code, 0x11111111);
    call(code);
    *(volatile uint8_t *)(code + 3) = 0x22;
    CHECK_EQ(call(code), 0x11221111);
    *(volatile uint16_t *)(code + 1) = 0x3333;
    CHECK_EQ(call(code), 0x11223333);
    *(volatile uint32_t *)(code - 2) = 0x44b80000; /* the opcode itself is written as it was */
    CHECK_EQ(call(code), 0x11223344);
}

/* The next instruction of the same block is changed by this one. */
static void same_block(void)
{
    static const uint8_t program[] = {
        0xc6, 0x05, 0,    0,    0,    0, 0x42, /* mov byte [target], 42 */
        0xb8, 0x00, 0x00, 0x00, 0x00, /* mov eax, 0: target is its first byte of the number */
        0xc3,
    };

    for (unsigned i = 0; i < 20; i++) {
        uint32_t target = (uint32_t)code + 8;

        memcpy(code, program, sizeof(program));
        memcpy(code + 2, &target, 4);
        CHECK_EQ(call(code), 0x42);
    }
}

/* A loop whose body rewrites itself at each turn. */
static void in_a_loop(void)
{
    static const uint8_t program[] = {
        0x31, 0xc0,                /* xor eax, eax */
        0xb9, 0x10, 0,    0, 0,    /* mov ecx, 16 */
        0x83, 0xc0, 0x01,          /* again: add eax, 1 */
        0xfe, 0x05, 0,    0, 0, 0, /* inc byte [the 1] */
        0x49,                      /* dec ecx */
        0x75, 0xf4,                /* jnz again */
        0xc3,
    };
    uint32_t target = (uint32_t)code + 9;

    memcpy(code, program, sizeof(program));
    memcpy(code + 12, &target, 4);
    CHECK_EQ(call(code), 136);
}

static void memcpy_string(uint8_t *to, const uint8_t *from, uint32_t count)
{
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void memset_string(uint8_t *to, uint8_t byte, uint32_t count)
{
    asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(byte) : "memory");
}

static void by_string(void)
{
    static uint8_t source[64];
    uint32_t old = 0x01020304;

    put_constant(source, 0x5555);
    put_constant(code, 0x1111);
    call(code);
    memcpy_string(code, source, 6);
    CHECK_EQ(call(code), 0x5555);
    put_constant(code, 0);
    call(code);
    memset_string(code + 1, 0x66, 4);
    CHECK_EQ(call(code), 0x66666666);
    put_constant(code, 0x01020304);
    call(code);
    asm volatile("lock; cmpxchgl %%ecx, 1(%%edx)"
                 : "+a"(old)
                 : "c"(0x0a0b0c0d), "d"(code)
                 : "memory");
    CHECK_EQ(call(code), 0x0a0b0c0d);
}

/* A REP MOVS that overwrites the instruction behind itself. */
static void string_ahead(void)
{
    static uint8_t source[8];
    static const uint8_t program[] = {
        0xf3, 0xa4,                   /* rep movsb */
        0xb8, 0x00, 0x00, 0x00, 0x00, /* mov eax, 0 */
        0xc3,
    };
    uint32_t v;

    for (unsigned i = 0; i < 10; i++) {
        put_constant(source, 0x777);
        memcpy(code, program, sizeof(program));
        uint8_t *to = code + 2, *from = source;
        uint32_t count = 6;

        asm volatile("call *%4"
                     : "=a"(v), "+D"(to), "+S"(from), "+c"(count)
                     : "d"(code)
                     : "memory");
        CHECK_EQ(v, 0x777);
    }
}

/* Written through another address of the same page. */
static void alias(void)
{
    static uint32_t directory[1024] __attribute__((aligned(4096)));
    uint8_t *other = code + 0x40000000;

    for (uint32_t i = 0; i < 1024; i++)
        directory[i] = (i >= 256 && i < 512 ? i - 256 : i) << 22 | PS | P | W;
    cr4_set(cr4_get() | CR4_PSE);
    cr3_set((uint32_t)directory);
    cr0_set(cr0_get() | CR0_PG);
    for (uint32_t n = 0; n < 50; n++) {
        put_constant(other, n);
        CHECK_EQ(call(code), n);
        put_constant(code, n + 1000);
        CHECK_EQ(call(other), n + 1000);
    }
    cr0_set(cr0_get() & ~CR0_PG);
}

/* An instruction that lies on two pages; either half changes. */
static void across_pages(void)
{
    uint8_t *at = (uint8_t *)(((uint32_t)code + 0x1fff) & ~0xfffu) - 3;

    put_constant(at, 0x01020304);
    CHECK_EQ(call(at), 0x01020304);
    at[4] = 0x55;
    CHECK_EQ(call(at), 0x55020304);
    at[1] = 0x66;
    CHECK_EQ(call(at), 0x55020366);
    *(volatile uint32_t *)(at + 1) = 0x99887766;
    CHECK_EQ(call(at), 0x99887766);
}

/* Data beside code: stores that change no instruction must not disturb. */
static void data_beside_code(void)
{
    volatile uint32_t *data = (uint32_t *)(code + 64);

    put_constant(code, 0x1234);
    for (uint32_t n = 0; n < 2000; n++) {
        *data = n;
        if (call(code) != 0x1234 || *data != n) {
            CHECK_EQ(n, 0xffffffff);
            break;
        }
    }
}

/* Bytes that were data become code elsewhere on the page, and code becomes data again. */
static void moving(void)
{
    memset(code, 0x90, 4096);
    for (uint32_t n = 0; n < 200; n++) {
        uint8_t *at = code + (n * 37) % 4000;

        put_constant(at, n);
        CHECK_EQ(call(at), n);
        memset(at, 0x90, 6);
        put_constant(code + 4080, 0xabc);
        CHECK_EQ(call(at), 0xabc);
    }
}

void test_main(void)
{
    code = page_alloc(4);
    code += 64;
    test("between-calls", between_calls);
    test("immediate", immediate);
    test("same-block", same_block);
    test("in-a-loop", in_a_loop);
    test("by-string", by_string);
    test("string-ahead", string_ahead);
    test("across-pages", across_pages);
    test("data-beside-code", data_beside_code);
    code -= 64;
    test("moving", moving);
    test("alias", alias);
}
