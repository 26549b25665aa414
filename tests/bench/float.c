/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Floating point: scalar SSE2, packed SSE and AVX2, and the x87. */
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "bench.h"

#define N 32

static uint64_t bits(double v)
{
    uint64_t u;

    memcpy(&u, &v, sizeof(u));
    return u >> 1; /* never BENCH_UNSUPPORTED */
}

__attribute__((optimize("no-tree-vectorize"))) static uint64_t matrix(uint64_t count)
{
    static double a[N][N], b[N][N], c[N][N];

    for (unsigned i = 0; i < N * N; i++) {
        a[i / N][i % N] = (double)i * 0.5;
        b[i / N][i % N] = 1.0 / (double)(i + 1);
    }
    for (uint64_t n = 0; n < count; n++) {
        for (unsigned i = 0; i < N; i++) {
            for (unsigned j = 0; j < N; j++) {
                double sum = 0;

                for (unsigned k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        }
        BENCH_BARRIER();
    }
    return bits(c[3][5]);
}

static uint64_t sqrt_divide(uint64_t count)
{
    double x = 2.0, sum = 0;

    for (uint64_t i = 0; i < count * 100; i++) {
        x = _mm_cvtsd_f64(_mm_sqrt_sd(_mm_set_sd(x), _mm_set_sd(x + (double)(i & 7))));
        sum += 1.0 / (x + 1.0);
    }
    return bits(sum);
}

static uint64_t sse(uint64_t count)
{
    static float x[1024] __attribute__((aligned(64))), y[1024] __attribute__((aligned(64)));
    const __m128 a = _mm_set1_ps(0.999f), b = _mm_set1_ps(0.5f);

    for (uint64_t n = 0; n < count; n++) {
        for (unsigned i = 0; i < 1024; i += 4)
            _mm_store_ps(y + i, _mm_add_ps(_mm_mul_ps(a, _mm_load_ps(y + i)),
                                           _mm_add_ps(b, _mm_load_ps(x + i))));
        BENCH_BARRIER();
    }
    return bits((double)y[7]);
}

__attribute__((target("avx2"))) static uint64_t avx2_work(uint64_t count)
{
    static uint32_t v[1024] __attribute__((aligned(64)));
    __m256i sum = _mm256_setzero_si256();
    uint64_t out[4];

    for (uint64_t n = 0; n < count; n++) {
        const __m256i k = _mm256_set1_epi32((int)n | 1);

        for (unsigned i = 0; i < 1024; i += 8) {
            __m256i *p = (__m256i *)(v + i);
            __m256i w = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_load_si256(p), k), k);

            _mm256_store_si256(p, _mm256_shuffle_epi32(w, 0x1B));
            sum = _mm256_xor_si256(sum, w);
        }
        BENCH_BARRIER();
    }
    _mm256_storeu_si256((__m256i *)out, sum);
    return (out[0] ^ out[1] ^ out[2] ^ out[3]) >> 1;
}

static uint64_t avx2(uint64_t count)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") ? avx2_work(count) : BENCH_UNSUPPORTED;
}

static uint64_t x87(uint64_t count)
{
    long double x = 1.5L, sum = 0;

    for (uint64_t i = 0; i < count * 100; i++) {
        x = x * 1.0000001L + 1.0L / (x + (long double)(i & 3));
        sum += x;
    }
    return bits((double)sum);
}

const struct bench bench_float[] = {
    {"double-matrix", matrix, "32 by 32 matrix product"},
    {"double-sqrt", sqrt_divide, "100 roots and divisions"},
    {"sse-float", sse, "1024 floats, packed"},
    {"avx2-integer", avx2, "1024 numbers, packed"},
    {"x87", x87, "100 long double steps"},
    {NULL, NULL, NULL},
};
