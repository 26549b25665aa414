/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/options.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cpu/soft/block.h"

#define RUNS_DEFAULT 0

static const struct {
    const char *word;
    size_t offset;
} switches[] = {
    {"check", offsetof(struct soft_options, check)},
    {"perf-map", offsetof(struct soft_options, perf_map)},
    {"no-ahead", offsetof(struct soft_options, no_ahead)},
    {"no-fall", offsetof(struct soft_options, no_fall)},
    {"no-loop", offsetof(struct soft_options, no_loop)},
    {"no-link", offsetof(struct soft_options, no_link)},
    {"no-segments", offsetof(struct soft_options, no_segments)},
    {"no-refill", offsetof(struct soft_options, no_refill)},
    {"no-share", offsetof(struct soft_options, no_share)},
    {"no-string", offsetof(struct soft_options, no_string)},
    {"no-syscall", offsetof(struct soft_options, no_syscall)},
};

static bool take_switch(const char *word, size_t len, struct soft_options *o)
{
    for (unsigned i = 0; i < ARRAY_LEN(switches); i++)
        if (strlen(switches[i].word) == len && !strncmp(word, switches[i].word, len)) {
            *(bool *)((char *)o + switches[i].offset) = true;
            return true;
        }
    return false;
}

/* word is "name=" and a number up to its end. */
static bool take_number(const char *word, size_t len, const char *name, uint64_t max,
                        uint64_t *ret_value)
{
    size_t name_len = strlen(name);
    uint64_t v = 0;

    if (len <= name_len || strncmp(word, name, name_len))
        return false;
    for (size_t i = name_len; i < len; i++) {
        if (word[i] < '0' || word[i] > '9' || v > (max - (uint64_t)(word[i] - '0')) / 10)
            return false;
        v = v * 10 + (uint64_t)(word[i] - '0');
    }
    *ret_value = v;
    return true;
}

/* word is "name=" and a hexadecimal number, with or without 0x, up to its end. */
static bool take_address(const char *word, size_t len, const char *name, uint64_t *ret_value)
{
    size_t name_len = strlen(name);
    char *end;

    if (len <= name_len || strncmp(word, name, name_len) ||
        !isxdigit((unsigned char)word[name_len]))
        return false;
    errno = 0;
    uint64_t v = strtoull(word + name_len, &end, 16);
    if (errno || end != word + len)
        return false;
    *ret_value = v;
    return true;
}

int soft_options_parse(const char *words, struct soft_options *ret_options, struct error *err)
{
    struct soft_options o = {.runs = RUNS_DEFAULT};
    uint64_t number;

    while (words && *words) {
        size_t len = strcspn(words, ",");
        if (len == 2 && !strncmp(words, "t0", 2))
            o.runs = RUNS_NEVER;
        else if (take_number(words, len, "runs=", RUNS_NEVER - 1, &number))
            o.runs = (unsigned)number;
        else if (take_number(words, len, "cache=", 1024, &number) && number >= 2)
            o.cache_mib = (unsigned)number;
        else if (take_number(words, len, "seed=", UINT64_MAX / 16, &number))
            o.seed = number;
        else if (len == 12 && !strncmp(words, "vendor=intel", len))
            o.vendor = X86_INTEL;
        else if (len == 10 && !strncmp(words, "vendor=amd", len))
            o.vendor = X86_AMD;
        else if (len == 8 && !strncmp(words, "portable", len))
            ; /* the machine's, who has read it */
        else if (take_address(words, len, "dump=", &o.dump_lin))
            o.dump = true;
        else if (!take_switch(words, len, &o))
            return error_set(err, -EINVAL,
                             "--engine soft: no option '%.*s'; there are t0, runs=0..254, "
                             "cache=2..1024, check, seed=N, vendor=intel|amd, portable, perf-map, "
                             "dump=ADDRESS, no-ahead, no-fall, no-link, no-loop, no-refill, "
                             "no-segments, no-share, no-string, no-syscall",
                             (int)len, words);
        words += len;
        words += *words == ',';
    }
    *ret_options = o;
    return 0;
}
