/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/stats.h"

#include <stdio.h>

#include "cpu/soft/t1.h"

static const char *const names[CPU_STATS] = {
    [STAT_T0_BLOCKS] = "blocks interpreted",
    [STAT_T1_RUNS] = "times translated code was entered",
    [STAT_EXIT + T1_EXIT_SIDE] = "  left: interpreter takes over",
    [STAT_EXIT + T1_EXIT_POLL] = "  left: request of another thread",
    [STAT_EXIT + T1_EXIT_DONE] = "  left: event, or target not translated yet",
    [STAT_EXIT + T1_EXIT_FAULT] = "  left: fault of the host's processor",
    [STAT_LINK] = "jumps not linked yet",
    [STAT_JUMP] = "jumps to what no slot had",
    [STAT_STALE] = "jumps to blocks without code",
    [STAT_FINDS] = "jump slots filled",
    [STAT_RENEWED] = "  of them named anew",
    [STAT_BUILT] = "blocks decoded",
    [STAT_TRANSLATED] = "blocks translated",
    [STAT_TRANSLATED_INSNS] = "instructions translated",
    [STAT_CODE_BYTES] = "bytes of code made of them",
    [STAT_COLD_BYTES] = "  and of what is rarely run",
    [STAT_REFILLS] = "soft TLB entries filled anew",
    [STAT_MISSES] = "soft TLB misses of translated code",
    [STAT_MISSES_T0] = "  of them not plain memory, or faults",
    [STAT_CALLS] = "instructions interpreted for translated code",
    [STAT_FLUSHES] = "flushes of all translations",
    [STAT_SWITCHES] = "address space switches",
    [STAT_PAGES] = "flushes of one page",
    [STAT_KEYS] = "names of jump slots",
    [STAT_KILLED] = "blocks whose code was written",
    [STAT_EVICTED] = "parts of the cache emptied for new code",
    [STAT_TIME + IN_T0] = "microseconds interpreting, and between blocks",
    [STAT_TIME + IN_T1] = "  in translated code and what it calls",
    [STAT_TIME + IN_TRANSLATOR] = "  translating",
    [STAT_TIME + IN_DECODER] = "  decoding",
    [STAT_TIME + IN_DEVICES] = "  with devices",
};

void soft_vcpu_stats(struct vcpu *vcpu, char *buf, size_t buf_bytes)
{
    const struct cpu *c = cpu_of(vcpu);
    uint64_t per_us = c->soft->model.tsc_hz / 1000000; /* the guest's TSC runs as the host's */
    size_t at = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < CPU_STATS && at < buf_bytes; i++) {
        int n = snprintf(buf + at, buf_bytes - at, "%-46s %12llu\n", names[i],
                         (unsigned long long)(i < STAT_TIME ? c->stats[i] : c->stats[i] / per_us));
        at += (size_t)MAX(n, 0);
    }
}
