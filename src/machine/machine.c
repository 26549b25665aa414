/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's life: made, started, paused, reset, ended. Devices are pc.c's, threads vcpu.c's.
 */
#include "machine/machine_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define LOG_ROOM "machine"
#include "base/log.h"

/* Store beyond the guest's RAM: firmware, option ROMs, video memory. */
#define STORE_EXTRA_BYTES MIB(160)

void machine_wake(void *machine)
{
    struct machine *m = machine;
    uint64_t one = 1;
    ssize_t n = write(m->event_fd, &one, sizeof(one));

    (void)n; /* it fails only when the counter is full, and then the loop will wake anyway */
}

/* Locked: let timer_fd become readable at the clock's next deadline. */
static void timer_arm(void *ctx)
{
    struct machine *m = ctx;
    uint64_t deadline = clock_next_deadline_ns(m->clock), now, wait = 0;
    struct itimerspec when = {0};

    if (deadline != CLOCK_NEVER && !m->paused) {
        now = clock_now_ns(m->clock);
        wait = deadline > now ? deadline - now : 1;
        wait = MIN(wait, 3600 * NS_PER_SEC);
    }
    when.it_value.tv_sec = (time_t)(wait / NS_PER_SEC);
    when.it_value.tv_nsec = (long)(wait % NS_PER_SEC);
    timerfd_settime(m->timer_fd, 0, &when, NULL);
}

static int engine_choose(struct machine *m, const char *name, const struct engine_ops **ret_ops,
                         struct error *err)
{
    struct error why = {""};
    int r;

    if (!strncmp(name, "soft,", 5) || !strcmp(name, "soft")) {
        *ret_ops = &engine_soft;
        return 0;
    }
    if (!strcmp(name, "kvm") || !strcmp(name, "kvm,portable")) {
        *ret_ops = &engine_kvm;
        return 0;
    }
    if (strcmp(name, "auto") && strcmp(name, "auto,portable"))
        return error_set(err, -EINVAL, "there is no engine '%s'; use auto, kvm or soft", name);
    r = engine_kvm.probe(&why);
    *ret_ops = r == 0 ? &engine_kvm : &engine_soft;
    if (r < 0 && r != -ENOENT && log_enabled(LOG_INFO))
        if (asprintf(&m->engine_note, "engine soft: %s", why.text) < 0)
            m->engine_note = NULL;
    return 0;
}

static void time_passes(struct machine *m, bool passes)
{
    if (m->engine->ops->time_passes)
        m->engine->ops->time_passes(m->engine, passes);
}

static void on_ioapic_eoi(void *ctx, uint8_t vector)
{
    struct machine *m = ctx;

    machine_lock(m);
    pc_ioapic_eoi(m, vector);
    machine_unlock(m);
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (; words; words = strchr(words, ',') ? strchr(words, ',') + 1 : NULL)
        if (!strncmp(words, word, len) && (!words[len] || words[len] == ','))
            return true;
    return false;
}

/* What a processor has on either engine, and the maker of the host's, which kvm cannot change. */
static int portable_model(struct machine *m, struct x86_features *ret_features, char ret_vendor[13],
                          struct error *err)
{
    struct x86_features soft, kvm;
    char vendor[13];
    int r = engine_soft.model(m->config.cpus, &soft, vendor, err);

    if (r == 0)
        r = engine_kvm.model(m->config.cpus, &kvm, vendor, err);
    if (r < 0)
        return r;
    for (unsigned w = 0; w < X86_CPUID_WORDS; w++)
        ret_features->words[w] = soft.words[w] & kvm.words[w];
    memcpy(ret_vendor, vendor, sizeof(vendor));
    return 0;
}

static int engine_make(struct machine *m, const char *name, struct error *err)
{
    struct engine_config config = {.vcpus = m->config.cpus,
                                   .mem = m->mem,
                                   .host = cpus_host(m),
                                   .tsc_hz = saving_tsc_hz(m),
                                   .features = saving_features(m),
                                   .vendor = saving_vendor(m)};
    const struct engine_ops *ops = NULL;
    const char *comma = strchr(name, ',');
    struct x86_features portable;
    char vendor[13];
    int r;

    config.options = comma ? comma + 1 : NULL;
    if (has_word(config.options, "portable") && !config.features) {
        r = portable_model(m, &portable, vendor, err);
        if (r < 0)
            return r;
        config.features = &portable;
        config.vendor = vendor;
    }
    r = engine_choose(m, name, &ops, err);
    if (r < 0 || (r = ops->new (&config, &m->engine, err)) < 0)
        return r;
    m->engine->config.features = NULL; /* they were for new() */
    m->engine->config.vendor = NULL;
    time_passes(m, false);
    m->engine->ioapic_eoi = on_ioapic_eoi;
    m->engine->ioapic_eoi_ctx = m;
    return cpus_new(m, err);
}

static int memory_make(struct machine *m, struct error *err)
{
    uint64_t bytes = m->config.memory_bytes;
    uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    int r;

    if (bytes > host)
        return error_set(err, -ENOMEM, "--memory: %llu MiB are more than the %llu MiB of this host",
                         (unsigned long long)(bytes >> 20), (unsigned long long)(host >> 20));
    m->low_ram_bytes = MIN(bytes, LOW_RAM_MAX);
    m->high_ram_bytes = bytes - m->low_ram_bytes;
    r = ram_new(bytes + STORE_EXTRA_BYTES, &m->ram, err);
    if (r < 0 || (r = bus_new("memory", 1ULL << PHYS_BITS, m->ram, &m->mem)) < 0)
        return r;
    return bus_new("ports", 0x10000, NULL, &m->pio);
}

int machine_new(const struct machine_config *config, struct machine **ret_machine,
                struct error *err)
{
    struct machine *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return -ENOMEM;
    m->config = *config;
    m->event_fd = m->timer_fd = m->idle.epoll_fd = m->idle.wake_fd = -1;
    m->paused = true;
    atomic_store(&m->hold, true);
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->run_lock, NULL);
    pthread_cond_init(&m->run_changed, NULL);
    m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (m->event_fd < 0 || m->timer_fd < 0) {
        r = error_set(err, -errno, "timers: %s", strerror(errno));
        goto fail;
    }
    if ((r = idle_new(m)) < 0) {
        error_set(err, r, "events: %s", strerror(-r));
        goto fail;
    }
    if ((r = saving_new(m, config, err)) < 0 || (r = clock_new(&m->clock)) < 0 ||
        (r = memory_make(m, err)) < 0)
        goto fail;
    clock_set_notify(m->clock, timer_arm, m);
    if ((r = engine_make(m, config->engine, err)) < 0 || (r = pc_new(m, config, err)) < 0)
        goto fail;
    r = pc_reset(m);
    if (r < 0) {
        error_set(err, r, "the processors cannot be set up: %s", strerror(-r));
        goto fail;
    }
    r = saving_check(m, err);
    if (r < 0)
        goto fail;
    *ret_machine = m;
    return 0;
fail:
    machine_free(m);
    return r;
}

struct machine *machine_free(struct machine *m)
{
    if (!m)
        return NULL;
    saving_free(m);
    cpus_join(m);
    machine_lock(m);
    if (m->pc)
        pc_flush(m);
    machine_unlock(m);
    if (m->stuck)
        return NULL; /* a thread still uses all this; the process is about to end */
    pc_free(m);
    if (m->engine) {
        cpus_free(m);
        m->engine->ops->free(m->engine);
    }
    bus_free(m->pio);
    bus_free(m->mem);
    ram_free(m->ram);
    clock_free(m->clock);
    idle_free(m);
    if (m->event_fd >= 0)
        close(m->event_fd);
    if (m->timer_fd >= 0)
        close(m->timer_fd);
    pthread_cond_destroy(&m->run_changed);
    pthread_mutex_destroy(&m->run_lock);
    pthread_mutex_destroy(&m->lock);
    free(m->engine_note);
    free(m);
    return NULL;
}

int machine_start(struct machine *m, struct error *err)
{
    int r = cpus_start(m, err);

    if (r == 0)
        r = saving_start(m, err);
    if (r == 0)
        machine_resume(m);
    return r;
}

/* The file of a saved machine is being written or read: nothing may move. */
static bool is_working(const struct machine *m)
{
    uint64_t done, total;

    return machine_working(m, &done, &total) != MACHINE_IDLE;
}

void machine_pause(struct machine *m)
{
    if (m->paused)
        return;
    cpus_park(m);
    machine_lock(m);
    m->paused = true;
    pc_net_hold(m, true);
    clock_stop(m->clock);
    time_passes(m, false);
    timer_arm(m);
    machine_unlock(m);
}

void machine_resume(struct machine *m)
{
    if (!m->paused || m->end != MACHINE_RUNS || !m->started || is_working(m))
        return;
    machine_lock(m);
    m->paused = m->disk_full = false;
    pc_retry(m);
    clock_start(m->clock);
    time_passes(m, true);
    pc_net_hold(m, false);
    timer_arm(m);
    machine_unlock(m);
    if (!atomic_load(&m->requests))
        cpus_release(m);
}

bool machine_is_paused(const struct machine *m)
{
    return m->paused;
}

bool machine_disk_is_full(const struct machine *m)
{
    return m->disk_full;
}

void machine_reset(struct machine *m)
{
    if (m->end != MACHINE_RUNS || is_working(m) || !cpus_park(m))
        return;
    machine_lock(m);
    if (pc_reset(m) < 0) {
        m->end = MACHINE_BROKEN;
        snprintf(m->report, sizeof(m->report), "the processors cannot be reset");
    }
    timer_arm(m);
    machine_unlock(m);
    if (!m->paused && m->end == MACHINE_RUNS)
        cpus_release(m);
}

/* What vCPU threads asked for; they are parked or about to be. */
static void requests_serve(struct machine *m)
{
    unsigned requests = atomic_exchange(&m->requests, 0);

    if (!requests || m->end != MACHINE_RUNS)
        return;
    if (!cpus_park(m))
        return;
    if (requests & REQUEST_BROKEN)
        m->end = MACHINE_BROKEN;
    else if (requests & REQUEST_DEBUG_EXIT)
        m->end = MACHINE_DEBUG_EXITED;
    else if (requests & REQUEST_POWER_OFF)
        m->end = MACHINE_POWERED_OFF;
    else if ((requests & REQUEST_TRIPLE_FAULT) && m->config.stop_on_triple_fault)
        m->end = MACHINE_TRIPLE_FAULT;
    else if ((requests & REQUEST_RESET) && m->config.stop_on_reset)
        m->end = MACHINE_WAS_RESET;
    if (m->end != MACHINE_RUNS) {
        machine_pause(m);
        return;
    }
    if (requests & REQUEST_DISK_FULL) {
        machine_pause(m);
        m->disk_full = true;
    }
    if (!(requests & (REQUEST_RESET | REQUEST_TRIPLE_FAULT)))
        return;
    if (requests & REQUEST_TRIPLE_FAULT)
        log_info("triple fault, the machine is reset: %s", m->report);
    m->report[0] = '\0';
    machine_reset(m);
}

void machine_poll(struct machine *m)
{
    uint64_t count;
    ssize_t n;

    n = read(m->event_fd, &count, sizeof(count));
    n = read(m->timer_fd, &count, sizeof(count));
    (void)n; /* readiness is all that counts */
    machine_lock(m);
    pc_poll(m);
    if (!m->paused)
        clock_run_timers(m->clock);
    timer_arm(m);
    machine_unlock(m);
    saving_poll(m);
    if (!is_working(m))
        requests_serve(m);
}

enum machine_end machine_end(const struct machine *m)
{
    return m->end;
}

int machine_exit_status(const struct machine *m)
{
    return m->exit_status;
}

const char *machine_report(const struct machine *m)
{
    return m->report;
}

uint64_t machine_time_ns(const struct machine *m)
{
    return clock_now_ns(m->clock);
}

int machine_event_fd(const struct machine *m)
{
    return m->event_fd;
}

int machine_timer_fd(const struct machine *m)
{
    return m->timer_fd;
}

const char *machine_engine_name(const struct machine *m)
{
    return m->engine->ops->name;
}

void machine_stats(struct machine *m, unsigned cpu, char *buf, size_t buf_bytes)
{
    buf[0] = '\0';
    if (cpu < m->cpu_count && m->engine->ops->vcpu_stats)
        m->engine->ops->vcpu_stats(m->cpus[cpu].vcpu, buf, buf_bytes);
}

const char *machine_engine_note(const struct machine *m)
{
    return m->engine_note;
}

void machine_lock(struct machine *m)
{
    pthread_mutex_lock(&m->lock);
}

void machine_unlock(struct machine *m)
{
    uint64_t pokes = m->pokes;

    m->pokes = 0;
    pthread_mutex_unlock(&m->lock);
    if (pokes)
        cpus_poke(m, pokes);
}
