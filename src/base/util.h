/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small helpers that every room uses: counts, bounds, cleanup by attribute.
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Number of elements of an array; refuses a pointer at compile time. */
#define ARRAY_LEN(a)                                                                               \
    (sizeof(a) / sizeof((a)[0]) +                                                                  \
     0 * sizeof(struct {                                                                           \
         _Static_assert(!__builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])),         \
                        "not an array");                                                           \
         int x;                                                                                    \
     }))

#undef MIN /* <sys/param.h>, which libuv includes, has simpler ones */
#undef MAX
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define NS_PER_SEC 1000000000ULL

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline void free_done(void *p)
{
    free(*(void **)p);
}

static inline void fd_done(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* AUTO_FREE char *p = ...; is freed, AUTO_FD int fd = -1; is closed when it leaves its scope. */
#define AUTO_FREE __attribute__((cleanup(free_done)))
#define AUTO_FD __attribute__((cleanup(fd_done)))
#define AUTO(destroy) __attribute__((cleanup(destroy)))

/* Hand an AUTO_FD's descriptor on: returns it and leaves -1 behind. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Hand an AUTO pointer on: returns it and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#endif
