/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/history.h"

static uint64_t all_drops(const struct switch_counters *c)
{
    return c->spoofed + c->vlan_drops + c->full_drops;
}

void history_add(struct history *h, const struct switch_counters *now)
{
    h->samples[h->next] =
        (struct history_sample){.in_bytes = now->in.bytes - h->last.in.bytes,
                                .out_bytes = now->out.bytes - h->last.out.bytes,
                                .in_frames = now->in.frames - h->last.in.frames,
                                .out_frames = now->out.frames - h->last.out.frames,
                                .drops = all_drops(now) - all_drops(&h->last)};
    h->last = *now;
    h->next = (h->next + 1) % HISTORY_SAMPLES;
    h->count = MIN(h->count + 1, HISTORY_SAMPLES);
}

json_t *history_json(const struct history *h)
{
    json_t *lists[5];
    unsigned first = (h->next + HISTORY_SAMPLES - h->count) % HISTORY_SAMPLES;

    for (unsigned i = 0; i < ARRAY_LEN(lists); i++)
        lists[i] = json_array();
    for (unsigned i = 0; i < h->count; i++) {
        const struct history_sample *s = &h->samples[(first + i) % HISTORY_SAMPLES];
        const uint64_t values[] = {s->in_bytes, s->out_bytes, s->in_frames, s->out_frames,
                                   s->drops};

        for (unsigned k = 0; k < ARRAY_LEN(lists); k++)
            json_array_append_new(lists[k], json_integer((json_int_t)values[k]));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "seconds", (int)HISTORY_SECONDS, "in-bytes",
                     lists[0], "out-bytes", lists[1], "in-frames", lists[2], "out-frames", lists[3],
                     "drops", lists[4]);
}
