/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share: taking an input apart.
 */
#ifndef TESTS_FUZZ_FUZZINPUT_H
#define TESTS_FUZZ_FUZZINPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next len bytes (at most 8) as a little-endian number; zeroes past the end. */
static inline uint64_t input_get(struct input *in, size_t len)
{
    uint64_t v = 0;
    size_t n = len < in->left ? len : in->left;
    memcpy(&v, in->at, n);
    in->at += n;
    in->left -= n;
    return v;
}

#define fuzz_require(ok) fuzz_require_at((ok), #ok)
static inline void fuzz_require_at(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

#endif
