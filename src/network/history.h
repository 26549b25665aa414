/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much passed a port, over time: what was counted in each interval of the last hour.
 */
#ifndef NETWORK_HISTORY_H
#define NETWORK_HISTORY_H

#include <jansson.h>

#include "net/switch.h"

#define HISTORY_SECONDS 10u
#define HISTORY_SAMPLES 360u

struct history {
    struct switch_counters last; /* as of the end of the last interval */
    struct history_sample {
        uint64_t in_bytes, out_bytes, in_frames, out_frames, drops;
    } samples[HISTORY_SAMPLES];
    unsigned next, count;
};

/* An interval is over; the counters are now these. */
void history_add(struct history *h, const struct switch_counters *now);
/* {"seconds", "in-bytes": [oldest, …], "out-bytes", "in-frames", "out-frames", "drops"}: a new
 * reference; NULL: no memory. */
json_t *history_json(const struct history *h);

#endif
