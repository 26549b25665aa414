/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the soft engine runs code, where it is not to do what is fastest: for its tests, and for
 * finding out which part of it a fault is in.
 *
 *     t0        interpret only
 *     runs=N    translate what has run N times (0 to 254; 0)
 *     cache=N   MiB for translated code of each processor, and as much for what belongs to it
 *               (2 to 1024; by the guest's memory)
 *     check     run every translated block on both tiers and stop at the first difference
 *     perf-map  name translated blocks in /tmp/perf-PID.map, where perf looks for names
 *     dump=A    print the block at the guest's linear address A, and what is made of it, to
 *               the log whenever it is translated
 *     vendor=V  the processor's maker, for guests that ask: intel (without this) or amd
 *     seed=N    with check: random flushes and changes of tier, different for each N
 *     no-ahead  leave memory to be made ready when the guest touches it (memory/ahead.h)
 *     no-fall   never begin a block in the place of the jump that leads to it
 *     no-link   never jump from block to block directly
 *     no-loop   check accesses in loops as any others
 *     no-share  check every memory access by itself
 *     no-refill let C answer each miss of the soft TLB
 *     no-segments leave code to T0 that is 16-bit, or whose segments are not flat
 *     no-syscall leave SYSCALL and SYSRET to T0
 *     no-string leave string instructions to T0
 */
#ifndef CPU_SOFT_OPTIONS_H
#define CPU_SOFT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/x86/cpuid.h"

struct soft_options {
    bool check, no_ahead, no_fall, no_link, no_loop, no_refill, no_segments, no_share, no_string;
    bool no_syscall;
    unsigned runs; /* RUNS_NEVER (block.h): T0 alone */
    enum x86_vendor vendor;
    bool perf_map, dump;
    uint64_t dump_lin;
    uint64_t seed;      /* 0: nothing random */
    unsigned cache_mib; /* 0: by the guest's memory */
};

/* words may be NULL. -EINVAL with text for a word that is none of the above. */
int soft_options_parse(const char *words, struct soft_options *ret_options, struct error *err);

#endif
