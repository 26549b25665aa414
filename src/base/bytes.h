/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unaligned loads and stores with a stated byte order.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#define BYTES_ACCESS(bits, order, swap)                                                            \
    static inline uint##bits##_t order##bits##_get(const void *p)                                  \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return swap(v);                                                                            \
    }                                                                                              \
    static inline void order##bits##_put(void *p, uint##bits##_t v)                                \
    {                                                                                              \
        v = swap(v);                                                                               \
        memcpy(p, &v, sizeof(v));                                                                  \
    }

/* le16_get(p), le16_put(p, v), …, be64_put(p, v); the host is little-endian x86-64. */
BYTES_ACCESS(16, le, )
BYTES_ACCESS(32, le, )
BYTES_ACCESS(64, le, )
BYTES_ACCESS(16, be, __builtin_bswap16)
BYTES_ACCESS(32, be, __builtin_bswap32)
BYTES_ACCESS(64, be, __builtin_bswap64)
#undef BYTES_ACCESS

/* The low `size` (1, 2, 4, 8) bytes of v, as a register of that width holds them. */
static inline uint64_t bytes_mask(uint64_t v, unsigned size)
{
    return size >= 8 ? v : v & ((1ULL << (size * 8)) - 1);
}

#endif
