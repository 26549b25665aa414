/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

struct clock {
    bool manual;
    _Atomic bool running;
    _Atomic uint64_t base_ns; /* running: host time minus guest time; stopped: guest time */
    struct timer *first;
    _Atomic unsigned idle; /* timers of timer_set_idle() that are set */
    void (*notify)(void *ctx);
    void *notify_ctx;
};

uint64_t clock_host_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int clock_make(bool manual, struct clock **ret_clock)
{
    struct clock *clock = calloc(1, sizeof(*clock));
    if (!clock)
        return -ENOMEM;
    clock->manual = manual;
    *ret_clock = clock;
    return 0;
}

int clock_new(struct clock **ret_clock)
{
    return clock_make(false, ret_clock);
}

int clock_new_manual(struct clock **ret_clock)
{
    return clock_make(true, ret_clock);
}

struct clock *clock_free(struct clock *clock)
{
    free(clock);
    return NULL;
}

uint64_t clock_now_ns(const struct clock *clock)
{
    if (clock->running)
        return clock_host_ns() - clock->base_ns;
    return clock->base_ns;
}

void clock_start(struct clock *clock)
{
    if (clock->manual || clock->running)
        return;
    clock->base_ns = clock_host_ns() - clock->base_ns;
    clock->running = true;
    if (clock->notify)
        clock->notify(clock->notify_ctx);
}

void clock_stop(struct clock *clock)
{
    if (!clock->running)
        return;
    uint64_t now_ns = clock_now_ns(clock);
    clock->running = false;
    clock->base_ns = now_ns;
}

void clock_set_ns(struct clock *clock, uint64_t now_ns)
{
    clock->base_ns = now_ns;
}

uint64_t clock_next_deadline_ns(const struct clock *clock)
{
    return clock->first ? clock->first->deadline_ns : CLOCK_NEVER;
}

void clock_set_notify(struct clock *clock, void (*notify)(void *ctx), void *ctx)
{
    clock->notify = notify;
    clock->notify_ctx = ctx;
}

static void fire_now(struct timer *timer)
{
    timer_cancel(timer);
    timer->fire(timer->ctx);
}

bool clock_has_idle(const struct clock *clock)
{
    return clock->idle;
}

void clock_run_idle(struct clock *clock)
{
    /* One that sets itself again comes behind those that are set now, or is fired once more. */
    unsigned count = clock->running || clock->manual ? clock->idle : 0;

    while (count--) {
        struct timer *timer = clock->first;

        while (timer && !timer->idle)
            timer = timer->next;
        if (!timer)
            return;
        fire_now(timer);
    }
}

uint64_t clock_run_timers(struct clock *clock)
{
    uint64_t now_ns = clock_now_ns(clock);
    while (clock->first && clock->first->deadline_ns <= now_ns)
        fire_now(clock->first);
    return clock_next_deadline_ns(clock);
}

void clock_advance(struct clock *clock, uint64_t delta_ns)
{
    uint64_t end_ns = clock->base_ns + delta_ns;
    while (clock->first && clock->first->deadline_ns <= end_ns) {
        if (clock->first->deadline_ns > clock->base_ns)
            clock->base_ns = clock->first->deadline_ns;
        fire_now(clock->first);
    }
    clock->base_ns = end_ns;
}

void timer_init(struct timer *timer, struct clock *clock, void (*fire)(void *ctx), void *ctx)
{
    *timer = (struct timer){.clock = clock, .fire = fire, .ctx = ctx, .deadline_ns = CLOCK_NEVER};
}

void timer_cancel(struct timer *timer)
{
    if (timer->deadline_ns == CLOCK_NEVER)
        return;
    struct timer **at = &timer->clock->first;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer->deadline_ns = CLOCK_NEVER;
    if (timer->idle)
        timer->clock->idle--;
    timer->idle = false;
}

void timer_set(struct timer *timer, uint64_t deadline_ns)
{
    timer_cancel(timer);
    if (deadline_ns == CLOCK_NEVER)
        return;
    struct clock *clock = timer->clock;
    struct timer **at = &clock->first;
    while (*at && (*at)->deadline_ns <= deadline_ns)
        at = &(*at)->next;
    timer->deadline_ns = deadline_ns;
    timer->next = *at;
    *at = timer;
    if (clock->first == timer && clock->notify)
        clock->notify(clock->notify_ctx);
}

void timer_set_idle(struct timer *timer, uint64_t deadline_ns)
{
    timer_set(timer, deadline_ns);
    timer->idle = deadline_ns != CLOCK_NEVER;
    if (timer->idle)
        timer->clock->idle++;
}
