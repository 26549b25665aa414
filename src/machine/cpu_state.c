/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPUs in a saved machine. What is saved is the architecture's (cpu/x86/state.h), not the
 * engine's, so that a machine can go on on another engine.
 *
 * An engine with local APICs of its own hands them over as pages of registers; here they become
 * the state of the chip of hw/irq, which other engines use, and come back out of it.
 */
#include <errno.h>
#include <string.h>

#include "hw/core/statename.h"
#include "hw/irq/lapic.h"
#include "machine/machine_internal.h"

static int cpu_state(struct machine *m, unsigned n, struct state *s, struct error *err)
{
    const struct engine_ops *ops = m->engine->ops;
    struct x86_state state;
    uint32_t version = 1;
    int r = state_section(s, STATE_NAME("cpu", n), &version);

    memset(&state, 0, sizeof(state));
    if (r == 0 && !state_loading(s))
        r = ops->vcpu_get_state(m->cpus[n].vcpu, &state);
    if (r == 0)
        r = x86_state_walk(&state, s);
    if (r == 0)
        r = x86_state_valid(&state, &m->engine->features);
    if (r == 0 && state_loading(s))
        r = ops->vcpu_set_state(m->cpus[n].vcpu, &state);
    return r < 0 ? error_set(err, r, "the state of vCPU %u cannot be %s: %s", n,
                             state_loading(s) ? "taken from the file" : "saved", strerror(-r))
                 : 0;
}

int cpus_state(struct machine *m, struct state *s, struct error *err)
{
    int r = 0;

    for (unsigned n = 0; n < m->cpu_count && r == 0; n++)
        r = cpu_state(m, n, s, err);
    return r;
}

/* The chip that the pages go through: its lines lead nowhere. */
struct notebook {
    struct machine *m;
    struct x86_state state; /* of the vCPU whose page is put: for its TSC */
};

static void no_level(void *ctx, unsigned cpu, bool level)
{
    (void)ctx;
    (void)cpu;
    (void)level;
}

static uint64_t tsc_to_ns(void *ctx, unsigned cpu, uint64_t tsc)
{
    const struct notebook *book = ctx;
    uint64_t now = clock_now_ns(book->m->clock), hz = book->m->engine->config.tsc_hz;

    (void)cpu;
    return tsc <= book->state.tsc || !hz ? now
                                         : now + clock_scale(tsc - book->state.tsc, NS_PER_SEC, hz);
}

static int apics_get(struct notebook *book, struct lapic *lapic)
{
    struct machine *m = book->m;
    int r = 0;

    for (unsigned n = 0; n < m->cpu_count && r == 0; n++) {
        struct x86_apic apic;

        r = m->engine->ops->vcpu_get_state(m->cpus[n].vcpu, &book->state);
        if (r == 0)
            r = m->engine->ops->vcpu_get_apic(m->cpus[n].vcpu, &apic);
        if (r == 0)
            lapic_page_put(lapic, n, apic.page, apic.base, apic.tsc_deadline);
    }
    return r;
}

static int apics_set(struct notebook *book, const struct lapic *lapic)
{
    struct machine *m = book->m;
    int r = 0;

    for (unsigned n = 0; n < m->cpu_count && r == 0; n++) {
        struct x86_apic apic;

        lapic_page_get(lapic, n, apic.page, &apic.base, &apic.tsc_deadline);
        r = m->engine->ops->vcpu_set_apic(m->cpus[n].vcpu, &apic);
    }
    return r;
}

_Static_assert(LAPIC_PAGE_BYTES == X86_APIC_BYTES, "one page");

int apics_state(struct machine *m, struct state *s)
{
    struct notebook book = {.m = m};
    struct lapic_env env = {
        .cpus = m->cpu_count,
        .phys_bits = PHYS_BITS,
        .tick_ns = 1, /* KVM's APIC timers count at 1 GHz */
        .clock = m->clock,
        .intr = no_level,
        .tsc_to_ns = tsc_to_ns,
        .ctx = &book,
    };
    struct lapic *lapic;
    int r = lapic_new(&env, &lapic);

    if (r < 0)
        return r;
    if (!state_loading(s))
        r = apics_get(&book, lapic);
    if (r == 0)
        r = lapic_dev_ops.state(lapic, s);
    if (r == 0 && state_loading(s))
        r = apics_set(&book, lapic);
    lapic_dev_ops.free(lapic);
    return r;
}
