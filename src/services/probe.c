/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/probe.h"

#include <errno.h>

#define COUNT 2u

struct question {
    struct probe *probe;
    struct timer timer;
    bool used;
    unsigned sent;
    struct in_addr address;
    uint8_t whom[NET_MAC_BYTES];
};

struct probe {
    struct stack *stack;
    struct clock *clock;
    probe_done *done;
    void *ctx;
    struct question questions[PROBES_MAX];
};

static void answer(struct question *q, bool taken)
{
    struct probe *p = q->probe;

    q->used = false;
    timer_cancel(&q->timer);
    p->done(p->ctx, (unsigned)(q - p->questions), taken);
}

static void ask(void *ctx)
{
    struct question *q = ctx;

    if (q->sent == COUNT) {
        answer(q, false);
        return;
    }
    q->sent++;
    timer_set(&q->timer, clock_now_ns(q->probe->clock) + PROBE_NS / COUNT);
    stack_arp_probe(q->probe->stack, q->address);
}

static void on_arp(void *ctx, const uint8_t *mac, struct in_addr address)
{
    struct probe *p = ctx;

    for (unsigned i = 0; i < PROBES_MAX; i++) {
        struct question *q = &p->questions[i];

        if (q->used && q->address.s_addr == address.s_addr && memcmp(q->whom, mac, NET_MAC_BYTES))
            answer(q, true);
    }
}

void probe_start(struct probe *p, unsigned slot, struct in_addr address, const uint8_t *whom)
{
    struct question *q = &p->questions[slot];

    q->used = true;
    q->sent = 0;
    q->address = address;
    memcpy(q->whom, whom, NET_MAC_BYTES);
    ask(q);
}

int probe_new(struct stack *stack, struct clock *clock, probe_done *done, void *ctx,
              struct probe **ret_probe)
{
    struct probe *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->stack = stack;
    p->clock = clock;
    p->done = done;
    p->ctx = ctx;
    for (unsigned i = 0; i < PROBES_MAX; i++) {
        p->questions[i].probe = p;
        timer_init(&p->questions[i].timer, clock, ask, &p->questions[i]);
    }
    stack_on_arp(stack, on_arp, p);
    *ret_probe = p;
    return 0;
}

struct probe *probe_free(struct probe *p)
{
    if (!p)
        return NULL;
    stack_on_arp(p->stack, NULL, NULL);
    for (unsigned i = 0; i < PROBES_MAX; i++)
        timer_cancel(&p->questions[i].timer);
    free(p);
    return NULL;
}
