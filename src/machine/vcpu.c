/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread per vCPU, and the calls that an engine makes upward.
 *
 * A thread runs its vCPU until the engine returns, sleeps through HLT, and parks while the
 * machine is held (paused, being reset, at its end).
 */
#include "machine/machine_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A vCPU that does not leave the engine for so long is taken for lost (a broken /dev/kvm). */
#define PARK_SECONDS 5

static const struct engine_ops *ops_of(const struct machine *m)
{
    return m->engine->ops;
}

/* Wake a vCPU that waits for an interrupt. The reason is already visible to vcpu_runnable(). */
static void cpu_poke(struct machine_cpu *cpu)
{
    if (!atomic_load(&cpu->sleeping))
        return;
    if (cpu->index == 0) {
        idle_wake(cpu->m);
        return;
    }
    pthread_mutex_lock(&cpu->lock);
    cpu->poked = true;
    pthread_mutex_unlock(&cpu->lock);
    /* Whoever wakes finds the lock free. */
    pthread_cond_signal(&cpu->wake);
}

/* The same when the machine lock is given back: an interrupt's first question is for that. Locked. */
static void cpu_poke_soon(struct machine_cpu *cpu)
{
    cpu->m->pokes |= UINT64_C(1) << cpu->index;
}

void cpus_poke(struct machine *m, uint64_t pokes)
{
    for (; pokes; pokes &= pokes - 1)
        cpu_poke(&m->cpus[__builtin_ctzll(pokes)]);
}

/* The first one looks out for others meanwhile. */
static void cpu_watch(struct machine_cpu *cpu)
{
    bool woken = false;

    do {
        atomic_store(&cpu->sleeping, true);
        if (atomic_load(&cpu->m->hold) || ops_of(cpu->m)->vcpu_runnable(cpu->vcpu))
            woken = true;
        else
            woken = idle_wait(cpu->m, &cpu->sleeping);
    } while (!woken);
    atomic_store(&cpu->sleeping, false);
}

/* What could wait while there was something to do cannot any longer. */
static void cpu_before_sleep(struct machine_cpu *cpu)
{
    struct machine *m = cpu->m;

    if (!clock_has_idle(m->clock))
        return;
    machine_lock(m);
    clock_run_idle(m->clock);
    machine_unlock(m);
}

static void cpu_sleep(struct machine_cpu *cpu)
{
    cpu_before_sleep(cpu);
    if (cpu->index == 0) {
        cpu_watch(cpu);
        return;
    }
    atomic_store(&cpu->sleeping, true);
    pthread_mutex_lock(&cpu->lock);
    while (!cpu->poked && !atomic_load(&cpu->m->hold) && !ops_of(cpu->m)->vcpu_runnable(cpu->vcpu))
        pthread_cond_wait(&cpu->wake, &cpu->lock);
    cpu->poked = false;
    pthread_mutex_unlock(&cpu->lock);
    atomic_store(&cpu->sleeping, false);
}

static void cpus_kick(struct machine *m)
{
    for (unsigned i = 0; i < m->cpu_count; i++) {
        ops_of(m)->vcpu_kick(m->cpus[i].vcpu);
        cpu_poke(&m->cpus[i]);
    }
}

void machine_ask(struct machine *m, enum machine_request request)
{
    atomic_fetch_or(&m->requests, request);
    atomic_store(&m->hold, true);
    cpus_kick(m);
    machine_wake(m);
}

/* Park while held. False: the thread is to end. */
static bool cpu_may_run(struct machine_cpu *cpu)
{
    struct machine *m = cpu->m;
    bool quit;

    if (!atomic_load(&m->hold))
        return true;
    pthread_mutex_lock(&m->run_lock);
    m->parked++;
    pthread_cond_broadcast(&m->run_changed);
    while (atomic_load(&m->hold) && !m->quit)
        pthread_cond_wait(&m->run_changed, &m->run_lock);
    m->parked--;
    quit = m->quit;
    pthread_mutex_unlock(&m->run_lock);
    return !quit;
}

/* The first vCPU in trouble is the one that is reported. */
static void cpu_trouble(struct machine_cpu *cpu, enum machine_request request)
{
    struct machine *m = cpu->m;

    machine_lock(m);
    if (!m->report[0])
        ops_of(m)->vcpu_report(cpu->vcpu, m->report, sizeof(m->report));
    machine_unlock(m);
    machine_ask(m, request);
}

static void *cpu_main(void *arg)
{
    struct machine_cpu *cpu = arg;

    while (cpu_may_run(cpu)) {
        switch (ops_of(cpu->m)->vcpu_run(cpu->vcpu)) {
        case VCPU_EXIT_KICKED:
            break;
        case VCPU_EXIT_HALTED:
            cpu_sleep(cpu);
            if (ops_of(cpu->m)->vcpu_runnable(cpu->vcpu))
                atomic_fetch_add_explicit(&cpu->m->beats, 1, memory_order_relaxed);
            break;
        case VCPU_EXIT_SHUTDOWN:
            cpu_trouble(cpu, REQUEST_TRIPLE_FAULT);
            break;
        case VCPU_EXIT_ERROR:
            cpu_trouble(cpu, REQUEST_BROKEN);
            break;
        }
    }
    return NULL;
}

uint64_t machine_beats(const struct machine *m, bool *ret_asleep)
{
    bool asleep = true;

    for (unsigned i = 0; i < m->cpu_count; i++)
        asleep &= atomic_load(&m->cpus[i].sleeping);
    *ret_asleep = asleep;
    return atomic_load(&m->beats);
}

bool cpus_park(struct machine *m)
{
    struct timespec until;
    bool all;

    atomic_store(&m->hold, true);
    if (!m->started)
        return true;
    cpus_kick(m);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PARK_SECONDS;
    pthread_mutex_lock(&m->run_lock);
    while (m->parked < m->cpu_count &&
           pthread_cond_timedwait(&m->run_changed, &m->run_lock, &until) == 0)
        ;
    all = m->parked == m->cpu_count;
    pthread_mutex_unlock(&m->run_lock);
    if (!all && !m->stuck) {
        m->stuck = true;
        snprintf(m->report, sizeof(m->report),
                 "a vCPU hangs inside the engine '%s' and does not answer; use --engine soft",
                 ops_of(m)->name);
        m->end = MACHINE_BROKEN;
    }
    return all;
}

void cpus_release(struct machine *m)
{
    pthread_mutex_lock(&m->run_lock);
    atomic_store(&m->hold, false);
    pthread_cond_broadcast(&m->run_changed);
    pthread_mutex_unlock(&m->run_lock);
}

void cpus_join(struct machine *m)
{
    if (!m->started)
        return;
    cpus_park(m);
    pthread_mutex_lock(&m->run_lock);
    m->quit = true;
    pthread_cond_broadcast(&m->run_changed);
    pthread_mutex_unlock(&m->run_lock);
    for (unsigned i = 0; i < m->cpu_count && !m->stuck; i++)
        if (m->cpus[i].started)
            pthread_join(m->cpus[i].thread, NULL);
}

int cpus_new(struct machine *m, struct error *err)
{
    for (unsigned i = 0; i < m->config.cpus; i++) {
        struct machine_cpu *cpu = &m->cpus[i];
        int r = ops_of(m)->vcpu_new(m->engine, i, &cpu->vcpu, err);

        if (r < 0)
            return r;
        cpu->m = m;
        cpu->index = i;
        pthread_mutex_init(&cpu->lock, NULL);
        pthread_cond_init(&cpu->wake, NULL);
        m->cpu_count++;
    }
    return 0;
}

void cpus_free(struct machine *m)
{
    while (m->cpu_count) {
        struct machine_cpu *cpu = &m->cpus[--m->cpu_count];

        ops_of(m)->vcpu_free(cpu->vcpu);
        pthread_mutex_destroy(&cpu->lock);
        pthread_cond_destroy(&cpu->wake);
    }
}

int cpus_start(struct machine *m, struct error *err)
{
    char name[16];

    for (unsigned i = 0; i < m->cpu_count; i++) {
        int r = pthread_create(&m->cpus[i].thread, NULL, cpu_main, &m->cpus[i]);

        if (r)
            return error_set(err, -r, "starting the thread of vCPU %u: %s", i, strerror(r));
        m->cpus[i].started = true;
        snprintf(name, sizeof(name), "vcpu %u", i);
        pthread_setname_np(m->cpus[i].thread, name);
    }
    m->started = true;
    return 0;
}

int cpus_reset(struct machine *m)
{
    struct x86_state state;

    for (unsigned i = 0; i < m->cpu_count; i++) {
        int r;

        x86_state_reset(&state, i == 0);
        r = ops_of(m)->vcpu_set_state(m->cpus[i].vcpu, &state);
        if (r < 0)
            return r;
        ops_of(m)->vcpu_intr(m->cpus[i].vcpu, false);
        if (ops_of(m)->vcpu_apic_reset)
            ops_of(m)->vcpu_apic_reset(m->cpus[i].vcpu);
    }
    return 0;
}

void cpu_intr(struct machine *m, unsigned index, bool level)
{
    if (index >= m->cpu_count)
        return;
    ops_of(m)->vcpu_intr(m->cpus[index].vcpu, level);
    if (level)
        cpu_poke_soon(&m->cpus[index]);
}

void cpu_nmi(struct machine *m, unsigned index)
{
    if (index >= m->cpu_count)
        return;
    ops_of(m)->vcpu_nmi(m->cpus[index].vcpu);
    cpu_poke_soon(&m->cpus[index]);
}

void cpu_init(struct machine *m, unsigned index)
{
    if (index >= m->cpu_count)
        return;
    ops_of(m)->vcpu_init(m->cpus[index].vcpu);
    cpu_poke_soon(&m->cpus[index]);
}

void cpu_sipi(struct machine *m, unsigned index, uint8_t vector)
{
    if (index >= m->cpu_count)
        return;
    ops_of(m)->vcpu_sipi(m->cpus[index].vcpu, vector);
    cpu_poke_soon(&m->cpus[index]);
}

static uint64_t host_mmio_read(void *host, unsigned vcpu, uint64_t gpa, unsigned size)
{
    struct machine *m = host;
    uint64_t value;

    machine_lock(m);
    if (!pc_apic_mmio(m, vcpu, gpa, size, &value, false))
        value = bus_read(m->mem, gpa, size);
    machine_unlock(m);
    return value;
}

static void host_mmio_write(void *host, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t value)
{
    struct machine *m = host;

    machine_lock(m);
    if (!pc_apic_mmio(m, vcpu, gpa, size, &value, true))
        bus_write(m->mem, gpa, size, value);
    machine_unlock(m);
}

static uint32_t host_pio_read(void *host, unsigned vcpu, uint16_t port, unsigned size)
{
    struct machine *m = host;
    uint32_t value;

    (void)vcpu;
    machine_lock(m);
    value = (uint32_t)bus_read(m->pio, port, size);
    machine_unlock(m);
    return value;
}

static void host_pio_write(void *host, unsigned vcpu, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *m = host;

    (void)vcpu;
    machine_lock(m);
    bus_write(m->pio, port, size, value);
    machine_unlock(m);
}

static int host_intr_ack(void *host, unsigned vcpu)
{
    struct machine *m = host;
    int vector;

    machine_lock(m);
    vector = pc_intr_ack(m, vcpu);
    machine_unlock(m);
    return vector;
}

static bool host_apic_msr(void *host, unsigned vcpu, uint32_t msr, uint64_t *value, bool write)
{
    struct machine *m = host;
    bool ok;

    machine_lock(m);
    ok = pc_apic_msr(m, vcpu, msr, value, write);
    machine_unlock(m);
    return ok;
}

static uint8_t host_tpr_get(void *host, unsigned vcpu)
{
    struct machine *m = host;
    uint8_t cr8;

    machine_lock(m);
    cr8 = pc_tpr_get(m, vcpu);
    machine_unlock(m);
    return cr8;
}

static void host_tpr_set(void *host, unsigned vcpu, uint8_t cr8)
{
    struct machine *m = host;

    machine_lock(m);
    pc_tpr_set(m, vcpu, cr8);
    machine_unlock(m);
}

static void host_ferr(void *host, bool level)
{
    struct machine *m = host;

    machine_lock(m);
    pc_ferr(m, level);
    machine_unlock(m);
}

struct cpu_host cpus_host(struct machine *m)
{
    return (struct cpu_host){
        .mmio_read = host_mmio_read,
        .mmio_write = host_mmio_write,
        .pio_read = host_pio_read,
        .pio_write = host_pio_write,
        .intr_ack = host_intr_ack,
        .apic_msr = host_apic_msr,
        .tpr_get = host_tpr_get,
        .tpr_set = host_tpr_set,
        .ferr = host_ferr,
        .host = m,
    };
}
