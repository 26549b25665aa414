/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest time and the timers that wait on it. A clock counts nanoseconds since the machine was
 * made; it stands still while the machine is paused. Devices never ask the host for the time:
 * they are given a clock, and tests turn a manual one by hand.
 *
 * Locking: clock_now_ns() and clock_has_idle() may be called from any thread. Everything else is
 * called with the machine lock held (or from the one thread of a test).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/util.h"

#define CLOCK_NEVER UINT64_MAX

struct clock;

/* A timer lies inside its owner's struct; see timer_init(). */
struct timer {
    struct clock *clock;
    void (*fire)(void *ctx);
    void *ctx;
    uint64_t deadline_ns; /* CLOCK_NEVER: not set */
    bool idle;            /* set by timer_set_idle() */
    struct timer *next;   /* clock's list, earliest first */
};

/* A clock that runs with the host's CLOCK_MONOTONIC, stopped at 0. -ENOMEM. */
int clock_new(struct clock **ret_clock);
/* A clock that only clock_advance() moves. -ENOMEM. */
int clock_new_manual(struct clock **ret_clock);
/* Free; timers still set are forgotten. NULL is fine. Always returns NULL. */
struct clock *clock_free(struct clock *clock);

/* The host's CLOCK_MONOTONIC in nanoseconds: how long something of the host takes. Any thread. */
uint64_t clock_host_ns(void);

/* Guest nanoseconds. */
uint64_t clock_now_ns(const struct clock *clock);
/* Let time run, or stand still. */
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
/* Set the time (restoring a saved machine); the clock must be stopped. Timers are kept as set. */
void clock_set_ns(struct clock *clock, uint64_t now_ns);
/* Move a manual clock on by delta_ns, firing timers in order, each at its own time. */
void clock_advance(struct clock *clock, uint64_t delta_ns);

/* Fire every timer whose deadline has come; returns the next deadline or CLOCK_NEVER. */
uint64_t clock_run_timers(struct clock *clock);
/* Is there work that a processor may do before it sleeps? */
bool clock_has_idle(const struct clock *clock);
/* That: fire now what timer_set_idle() has set, each once; nothing while the time stands still. */
void clock_run_idle(struct clock *clock);
/* The next deadline, CLOCK_NEVER if none. */
uint64_t clock_next_deadline_ns(const struct clock *clock);
/* notify(ctx) is called whenever the earliest deadline has moved to an earlier time. */
void clock_set_notify(struct clock *clock, void (*notify)(void *ctx), void *ctx);

/* Prepare a timer; fire(ctx) is called once for each time it is set, with the timer unset. */
void timer_init(struct timer *timer, struct clock *clock, void (*fire)(void *ctx), void *ctx);
/* Set, or set anew, to an absolute guest time. A time in the past fires at the next run. */
void timer_set(struct timer *timer, uint64_t deadline_ns);
/* The same for what may as well be done before: at the deadline at the latest, sooner when a
 * processor of the machine has nothing else to do. */
void timer_set_idle(struct timer *timer, uint64_t deadline_ns);
/* Unset; harmless on an unset one. */
void timer_cancel(struct timer *timer);

/* v * num / den without overflow of the product. */
static inline uint64_t clock_scale(uint64_t v, uint64_t num, uint64_t den)
{
    return (uint64_t)((unsigned __int128)v * num / den);
}

#endif
