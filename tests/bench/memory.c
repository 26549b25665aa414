/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory: copies of several sizes, by the library and by the string instructions; a random walk. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define BIG (8u << 20)

static uint8_t *buffer(void)
{
    static uint8_t *bytes;

    if (!bytes) {
        bytes = malloc(2 * BIG);
        if (bytes)
            memset(bytes, 1, 2 * BIG);
    }
    return bytes;
}

static uint64_t copy(uint64_t count, size_t size)
{
    uint8_t *p = buffer();

    if (!p)
        return BENCH_UNSUPPORTED;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(p + BIG, p, size);
        BENCH_BARRIER();
    }
    return p[BIG];
}

static uint64_t copy_64(uint64_t count)
{
    return copy(count * 100, 64);
}

static uint64_t copy_4k(uint64_t count)
{
    return copy(count, 4096);
}

static uint64_t copy_4m(uint64_t count)
{
    return copy(count, 4u << 20);
}

static uint64_t fill_4k(uint64_t count)
{
    uint8_t *p = buffer();

    if (!p)
        return BENCH_UNSUPPORTED;
    for (uint64_t i = 0; i < count; i++) {
        memset(p, (int)i & 0xFF, 4096);
        BENCH_BARRIER();
    }
    return p[100];
}

static uint64_t rep_movsb(uint64_t count)
{
    uint8_t *p = buffer();

    if (!p)
        return BENCH_UNSUPPORTED;
    for (uint64_t i = 0; i < count; i++) {
        void *to = p + BIG, *from = p;
        size_t n = 65536;

        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    }
    return p[BIG];
}

static uint64_t rep_stosq(uint64_t count)
{
    uint8_t *p = buffer();

    if (!p)
        return BENCH_UNSUPPORTED;
    for (uint64_t i = 0; i < count; i++) {
        void *to = p;
        size_t n = 8192;

        __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(i) : "memory");
    }
    return p[0];
}

/* Each step's address is what the one before has read: 8 MiB, no order. */
static uint64_t walk(uint64_t count)
{
    static uint32_t *next;
    const uint32_t entries = BIG / sizeof(*next);
    uint32_t at = 0;

    if (!next) {
        uint64_t state = 3;

        next = malloc(BIG);
        if (!next)
            return BENCH_UNSUPPORTED;
        for (uint32_t i = 0; i < entries; i++)
            next[i] = i;
        /* Sattolo's shuffle: one cycle through all of them. */
        for (uint32_t i = entries - 1; i > 0; i--) {
            uint32_t j = (uint32_t)(bench_random(&state) % i), t = next[i];

            next[i] = next[j];
            next[j] = t;
        }
    }
    for (uint64_t i = 0; i < count * 100; i++)
        at = next[at];
    return at;
}

const struct bench bench_memory[] = {
    {"memcpy-64", copy_64, "100 copies of 64 bytes"},
    {"memcpy-4k", copy_4k, "4 KiB"},
    {"memcpy-4m", copy_4m, "4 MiB"},
    {"memset-4k", fill_4k, "4 KiB"},
    {"rep-movsb", rep_movsb, "64 KiB"},
    {"rep-stosq", rep_stosq, "64 KiB"},
    {"random-walk", walk, "100 steps in 8 MiB"},
    {NULL, NULL, NULL},
};
