/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workloads that are run natively, in Yado and in QEMU, and time themselves with the clock of
 * the system they run in.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

/*
 * Do a fixed piece of work `count` times and return something that depends on all of it, so that
 * no compiler leaves it out. What the work needs is made at count 0, outside the measured time.
 * BENCH_UNSUPPORTED: this system cannot do it.
 */
typedef uint64_t bench_function(uint64_t count);
#define BENCH_UNSUPPORTED UINT64_MAX

struct bench {
    const char *name;
    bench_function *run;
    const char *what; /* one unit of work */
};

extern const struct bench bench_integer[], bench_float[], bench_memory[], bench_system[];

/* A generator of numbers that are the same everywhere (xorshift64*). */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1DULL;
}

/* Make the compiler believe that memory was read and written here. */
#define BENCH_BARRIER() __asm__ volatile("" ::: "memory")

#endif
