/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Integer work: tight loops, then everything that a translator likes less. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static uint64_t int_loop(uint64_t count)
{
    uint64_t a = 1, b = 2;

    for (uint64_t i = 0; i < count * 1000; i++) {
        a = a * 5 + b;
        b ^= a >> 7;
    }
    return a + b;
}

static uint64_t divide(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 1; i <= count * 100; i++)
        sum += 0xFFFFFFFFFFFFULL / (i | 1) + (uint32_t)sum % (uint32_t)(i | 3);
    return sum;
}

/* Lengths of Collatz chains: a branch that cannot be foretold. */
static uint64_t branchy(uint64_t count)
{
    uint64_t state = 27, steps = 0;

    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t n = bench_random(&state) >> 48; n > 1; steps++)
            n = n & 1 ? 3 * n + 1 : n / 2;
    }
    return steps;
}

__attribute__((noinline)) static uint64_t fibonacci(unsigned n)
{
    BENCH_BARRIER();
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t recursive(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++)
        sum += fibonacci(15);
    return sum;
}

#define OPERATION(name, expression)                                                                \
    __attribute__((noinline)) static uint64_t name(uint64_t a, uint64_t b)                         \
    {                                                                                              \
        return expression;                                                                         \
    }
OPERATION(op_add, a + b)
OPERATION(op_xor, a ^ b)
OPERATION(op_rotate, (a << 13 | a >> 51) ^ b)
OPERATION(op_multiply, a *(b | 1))
OPERATION(op_subtract, a - b)
OPERATION(op_and, a &(b | 0xFF00FF00FF00FF00ULL))
OPERATION(op_or, a | b >> 3)
OPERATION(op_swap, __builtin_bswap64(a) + b)

static uint64_t indirect(uint64_t count)
{
    static uint64_t (*const OPERATIONS[])(uint64_t, uint64_t) = {
        op_add, op_xor, op_rotate, op_multiply, op_subtract, op_and, op_or, op_swap};
    uint64_t state = 7, a = 1;

    for (uint64_t i = 0; i < count * 100; i++)
        a = OPERATIONS[bench_random(&state) & 7](a, i);
    return a;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t sort(uint64_t count)
{
    static uint32_t values[4096];
    uint64_t state = 99, sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        for (unsigned n = 0; n < 4096; n++)
            values[n] = (uint32_t)bench_random(&state);
        qsort(values, 4096, sizeof(values[0]), compare);
        sum += values[i & 4095];
    }
    return sum;
}

/* Words counted in an open hash table. */
static uint64_t hash(uint64_t count)
{
    static struct {
        uint64_t key;
        uint64_t seen;
    } table[8192];
    uint64_t state = 5, found = 0;

    for (uint64_t i = 0; i < count * 100; i++) {
        uint64_t key = bench_random(&state) % 5000 + 1, at = (key * 0x9E3779B97F4A7C15ULL) >> 51;

        while (table[at].key && table[at].key != key)
            at = (at + 1) % 8192;
        table[at].key = key;
        found += table[at].seen++;
    }
    return found;
}

static uint64_t strings(uint64_t count)
{
    static char text[256], copy[256];
    uint64_t sum = 0;

    memset(text, 'x', sizeof(text) - 1);
    for (uint64_t i = 0; i < count * 10; i++) {
        text[i % 200] ^= 1;
        BENCH_BARRIER();
        sum += strlen(text);
        memcpy(copy, text, sizeof(copy));
        sum += (uint64_t)(strchr(copy, 'y') != NULL) + (uint64_t)strcmp(copy, text);
    }
    return sum;
}

const struct bench bench_integer[] = {
    {"int-loop", int_loop, "1000 multiply, add, shift"},
    {"int-divide", divide, "100 divisions"},
    {"branchy", branchy, "a Collatz chain"},
    {"recursive", recursive, "Fibonacci of 15"},
    {"indirect", indirect, "100 calls by pointer"},
    {"sort", sort, "qsort of 4096 numbers"},
    {"hash", hash, "100 look-ups"},
    {"strings", strings, "10 strings of 255 bytes"},
    {NULL, NULL, NULL},
};
