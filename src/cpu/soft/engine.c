/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The soft engine behind cpu/engine.h.
 */
#include "cpu/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOG_ROOM "soft"
#include "base/log.h"
#include "cpu/soft/check.h"
#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/loop.h"
#include "cpu/soft/stats.h"
#include "cpu/soft/t1.h"
#include "cpu/soft/t1_log.h"
#include "cpu/soft/thunk.h"

/* What T0 carries out: natively (so the host must have it) or by itself. */
static const uint8_t soft_features[] = {
    X86_FEAT_FPU,        X86_FEAT_VME,        X86_FEAT_DE,           X86_FEAT_PSE,
    X86_FEAT_TSC,        X86_FEAT_MSR,        X86_FEAT_PAE,          X86_FEAT_MCE,
    X86_FEAT_CX8,        X86_FEAT_APIC,       X86_FEAT_SEP,          X86_FEAT_MTRR,
    X86_FEAT_PGE,        X86_FEAT_MCA,        X86_FEAT_CMOV,         X86_FEAT_PAT,
    X86_FEAT_PSE36,      X86_FEAT_CLFSH,      X86_FEAT_MMX,          X86_FEAT_FXSR,
    X86_FEAT_SSE,        X86_FEAT_SSE2,       X86_FEAT_HTT,          X86_FEAT_SSE3,
    X86_FEAT_PCLMUL,     X86_FEAT_SSSE3,      X86_FEAT_FMA,          X86_FEAT_CX16,
    X86_FEAT_PCID,       X86_FEAT_SSE41,      X86_FEAT_SSE42,        X86_FEAT_X2APIC,
    X86_FEAT_MOVBE,      X86_FEAT_POPCNT,     X86_FEAT_TSC_DEADLINE, X86_FEAT_AES,
    X86_FEAT_XSAVE,      X86_FEAT_AVX,        X86_FEAT_F16C,         X86_FEAT_RDRAND,
    X86_FEAT_HYPERVISOR, X86_FEAT_FSGSBASE,   X86_FEAT_TSC_ADJUST,   X86_FEAT_BMI1,
    X86_FEAT_AVX2,       X86_FEAT_SMEP,       X86_FEAT_BMI2,         X86_FEAT_ERMS,
    X86_FEAT_INVPCID,    X86_FEAT_FPU_CS_DS,  X86_FEAT_RDSEED,       X86_FEAT_ADX,
    X86_FEAT_SMAP,       X86_FEAT_CLFLUSHOPT, X86_FEAT_CLWB,         X86_FEAT_SHA,
    X86_FEAT_UMIP,       X86_FEAT_RDPID,      X86_FEAT_FSRM,         X86_FEAT_ARCH_CAPABILITIES,
    X86_FEAT_SYSCALL,    X86_FEAT_NX,         X86_FEAT_PDPE1GB,      X86_FEAT_RDTSCP,
    X86_FEAT_LM,         X86_FEAT_LAHF,       X86_FEAT_LZCNT,        X86_FEAT_XSAVEOPT,
    X86_FEAT_XSAVEC,     X86_FEAT_PKU,        X86_FEAT_PKS,          X86_FEATURES,
};

static struct soft_engine *soft_of(struct engine *engine)
{
    return CONTAINER_OF(engine, struct soft_engine, engine);
}

static int probe(struct error *err)
{
    struct x86_model model;
    x86_model_init(&model, soft_features, 1000000000, 1);
    if (!x86_has(&model.features, X86_FEAT_XSAVE))
        return error_set(err, -ENOTSUP,
                         "the soft engine needs a processor with XSAVE (Intel since 2008, AMD "
                         "since 2011)");
    return 0;
}

static int soft_model(unsigned vcpus, struct x86_features *ret_features, char ret_vendor[13],
                      struct error *err)
{
    struct x86_model model;
    int r = probe(err);

    if (r < 0)
        return r;
    x86_model_init(&model, soft_features, 1000000000, vcpus);
    *ret_features = model.features;
    memcpy(ret_vendor, x86_vendor_name(model.vendor), 13);
    return 0;
}

static void request_all(struct soft_engine *soft, uint32_t request)
{
    for (unsigned i = 0; i < soft->cpu_count; i++)
        if (soft->cpus[i])
            atomic_fetch_or(&soft->cpus[i]->requests, request);
}

static void on_map_changed(void *ctx)
{
    request_all(ctx, REQ_REMAP);
}

static void on_code_written(void *ctx, uint64_t offset, uint64_t len_bytes)
{
    struct soft_engine *soft = ctx;
    for (unsigned i = 0; i < soft->cpu_count; i++)
        if (soft->cpus[i])
            block_post_write(soft->cpus[i], offset, len_bytes);
}

static void on_cleaned(void *ctx)
{
    request_all(ctx, REQ_FLUSH);
}

static void engine_free(struct engine *engine)
{
    struct soft_engine *soft = soft_of(engine);
    ahead_free(soft->ahead);
    if (soft->granules)
        munmap(soft->granules, (soft->ram->size_bytes >> RAM_PAGE_SHIFT) * 8);
    if (soft->map_fd >= 0)
        (void)close(soft->map_fd);
    free(soft->scratch_state);
    free(soft->cpus);
    free(soft);
}

/* What runs lies in the guest's memory: a large machine has more of it. */
static uint64_t cache_bytes(uint64_t ram_bytes, unsigned vcpus)
{
    uint64_t share = ram_bytes / (2 * (vcpus + 1)) & ~(MIB(2) - 1);
    return MIN(MAX(share, MIB(64)), MIB(256));
}

static int engine_new(const struct engine_config *config, struct engine **ret_engine,
                      struct error *err)
{
    struct soft_options options;
    int r = probe(err);
    if (r < 0 || (r = soft_options_parse(config->options, &options, err)) < 0)
        return r;
    if (config->vendor && x86_vendor_named(config->vendor, &options.vendor) < 0)
        return error_set(err, -ENOTSUP,
                         "the guest's processor is a %.12s, which the soft engine's cannot be; use "
                         "--engine kvm",
                         config->vendor);
    if (options.check && config->vcpus > 1)
        return error_set(err, -EINVAL, "--engine soft,check: works with --cpus 1 only");
    if (thunk_signals_install() < 0)
        return error_set(err, -EIO, "soft engine: cannot install signal handlers");
    struct soft_engine *soft = calloc(1, sizeof(*soft));
    if (!soft)
        return error_set(err, -ENOMEM, "soft engine: out of memory");
    soft->engine.ops = &engine_soft;
    soft->engine.config = *config;
    soft->ram = bus_ram(config->mem);
    soft->a20 = true;
    soft->cpu_count = config->vcpus;
    soft->cache_bytes = options.cache_mib ? MIB((uint64_t)options.cache_mib)
                                          : cache_bytes(soft->ram->size_bytes, config->vcpus);
    soft->options = options;
    soft->map_fd = -1;
    soft->cpus = calloc(config->vcpus, sizeof(soft->cpus[0]));
    soft->scratch_state = aligned_alloc(64, config->vcpus * sizeof(struct x86_state));
    void *granules =
        mmap(NULL, (soft->ram->size_bytes >> RAM_PAGE_SHIFT) * 8, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    soft->granules = granules == MAP_FAILED ? NULL : granules;
    if (!soft->cpus || !soft->scratch_state || !soft->granules) {
        engine_free(&soft->engine);
        return error_set(err, -ENOMEM, "soft engine: out of memory");
    }
    if (options.perf_map && (r = t1_log_map_open(&soft->map_fd, err)) < 0) {
        engine_free(&soft->engine);
        return r;
    }
    x86_model_init(&soft->model, soft_features, config->tsc_hz ? config->tsc_hz : x86_host_tsc_hz(),
                   config->vcpus);
    if (config->features &&
        (r = x86_features_limit(&soft->model.features, config->features, err)) < 0) {
        engine_free(&soft->engine);
        return r;
    }
    soft->engine.config.tsc_hz = soft->model.tsc_hz;
    soft->engine.features = soft->model.features;
    soft->model.vendor = options.vendor;
    memcpy(soft->engine.vendor, x86_vendor_name(options.vendor), sizeof(soft->engine.vendor));
    soft->watcher =
        (struct ram_watcher){.code_written = on_code_written, .cleaned = on_cleaned, .ctx = soft};
    ram_watch(soft->ram, &soft->watcher);
    bus_watch(config->mem, on_map_changed, soft);
    if (!options.no_ahead && (r = ahead_new(soft->ram, &soft->ahead)) < 0)
        log_debug("no thread for memory ahead of the guest: %s", strerror(-r));
    *ret_engine = &soft->engine;
    return 0;
}

static void soft_vcpu_free(struct vcpu *vcpu)
{
    struct cpu *c = cpu_of(vcpu);
    c->soft->cpus[vcpu->index] = NULL;
    block_cache_free(c);
    t1_free(c);
    thunk_arena_free(c->thunks);
    bus_view_put(c->view);
    free(c->tlbs);
    free(c->signal_stack);
    check_free(c->check);
    munmap(c, sizeof(*c));
}

static int soft_vcpu_new(struct engine *engine, unsigned index, struct vcpu **ret_vcpu,
                         struct error *err)
{
    struct soft_engine *soft = soft_of(engine);
    /* Below 2 GiB: translated code has its address in its instructions. */
    struct cpu *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (c == MAP_FAILED)
        return error_set(err, -ENOMEM, "soft engine: out of memory");
    c->vcpu.engine = engine;
    c->vcpu.index = index;
    c->soft = soft;
    c->host = &engine->config.host;
    c->a20_mask = ~0ULL;
    c->view = bus_view_get(engine->config.mem);
    c->tlbs = calloc(1, sizeof(*c->tlbs));
    if (!c->tlbs || thunk_arena_new(&c->thunks) < 0 || block_cache_new(c) < 0 || t1_new(c) < 0 ||
        thunk_signals_new(c) < 0 ||
        (soft->options.check && check_new(soft->options.seed, &c->check) < 0)) {
        soft_vcpu_free(&c->vcpu);
        return error_set(err, -ENOMEM, "soft engine: out of memory for the code caches");
    }
    tlb_init(c->tlbs);
    x86_state_reset(&soft->scratch_state[index], index == 0);
    soft_put_state(c, &soft->scratch_state[index]);
    soft->cpus[index] = c;
    *ret_vcpu = &c->vcpu;
    return 0;
}

static enum vcpu_exit soft_vcpu_run(struct vcpu *vcpu)
{
    struct cpu *c = cpu_of(vcpu);
    thunk_signals_enter(c);
    c->in_guest = true;
    c->place_since = host_tsc();
    enum vcpu_exit why = cpu_loop(c);
    cpu_place(c, IN_T0);
    c->in_guest = false;
    fpu_save(c);
    thunk_signals_leave();
    return why;
}

static void soft_vcpu_kick(struct vcpu *vcpu)
{
    atomic_fetch_or(&cpu_of(vcpu)->requests, REQ_KICK);
}

static void soft_vcpu_intr(struct vcpu *vcpu, bool level)
{
    if (level)
        atomic_fetch_or(&cpu_of(vcpu)->requests, REQ_INTR);
    else
        atomic_fetch_and(&cpu_of(vcpu)->requests, ~(uint32_t)REQ_INTR);
}

static void soft_vcpu_nmi(struct vcpu *vcpu)
{
    atomic_fetch_or(&cpu_of(vcpu)->requests, REQ_NMI);
}

static void soft_vcpu_init(struct vcpu *vcpu)
{
    atomic_fetch_or(&cpu_of(vcpu)->requests, REQ_INIT);
}

static void soft_vcpu_sipi(struct vcpu *vcpu, uint8_t vector)
{
    cpu_of(vcpu)->sipi_vector = vector;
    atomic_fetch_or(&cpu_of(vcpu)->requests, REQ_SIPI);
}

static bool soft_vcpu_runnable(struct vcpu *vcpu)
{
    return cpu_runnable(cpu_of(vcpu));
}

static int soft_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state)
{
    soft_get_state(cpu_of(vcpu), ret_state);
    return 0;
}

static int soft_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
    /* INIT puts a state too, but leaves messages that came after it. */
    atomic_fetch_and(&cpu_of(vcpu)->requests, ~(uint32_t)(REQ_NMI | REQ_INIT | REQ_SIPI));
    soft_put_state(cpu_of(vcpu), state);
    return 0;
}

static void soft_time_passes(struct engine *engine, bool passes)
{
    struct soft_engine *soft = soft_of(engine);
    uint64_t now = host_tsc();

    if (passes && soft->tsc_stopped)
        for (unsigned i = 0; i < soft->cpu_count; i++)
            if (soft->cpus[i])
                soft->cpus[i]->tsc_offset -= now - soft->tsc_stopped;
    if (!passes && !soft->tsc_stopped)
        soft->tsc_stopped = now;
    else if (passes)
        soft->tsc_stopped = 0;
}

static void soft_vcpu_report(struct vcpu *vcpu, char *buf, size_t buf_bytes)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    struct cpu *c = cpu_of(vcpu);
    size_t at = 0;

#define PRINT(...)                                                                                 \
    do {                                                                                           \
        int n_ = snprintf(buf + at, buf_bytes - at, __VA_ARGS__);                                  \
        at = MIN(at + (size_t)MAX(n_, 0), buf_bytes - 1);                                          \
    } while (0)
    if (check_report(c->check))
        PRINT("%s\n", check_report(c->check));
    PRINT("vCPU %u: rip %#llx rflags %#x cpl %u mode %#x, last exception %u error %#x cr2 %#llx\n",
          vcpu->index, (unsigned long long)c->rip, flags_get(c), c->cpl, c->mode, c->vector,
          c->error, (unsigned long long)c->cr2);
    PRINT("cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx cs %04x base %#llx limit %#x\n",
          (unsigned long long)c->cr0, (unsigned long long)c->cr3, (unsigned long long)c->cr4,
          (unsigned long long)c->efer, c->seg[X86_CS].selector,
          (unsigned long long)c->seg[X86_CS].base, c->seg[X86_CS].limit);
    for (unsigned i = 0; i < X86_GPRS; i++)
        PRINT("%s %016llx%s", names[i], (unsigned long long)c->gpr[i], i % 4 == 3 ? "\n" : "  ");
#undef PRINT
}

static void soft_set_a20(struct engine *engine, bool enabled)
{
    struct soft_engine *soft = soft_of(engine);
    if (soft->a20 == enabled)
        return;
    soft->a20 = enabled;
    request_all(soft, REQ_REMAP);
}

static uint64_t soft_vcpu_tsc(struct vcpu *vcpu)
{
    return guest_tsc(cpu_of(vcpu));
}

const struct engine_ops engine_soft = {
    .name = "soft",
    .probe = probe,
    .model = soft_model,
    .new = engine_new,
    .free = engine_free,
    .vcpu_new = soft_vcpu_new,
    .vcpu_free = soft_vcpu_free,
    .vcpu_run = soft_vcpu_run,
    .vcpu_tsc = soft_vcpu_tsc,
    .vcpu_kick = soft_vcpu_kick,
    .vcpu_intr = soft_vcpu_intr,
    .vcpu_nmi = soft_vcpu_nmi,
    .vcpu_init = soft_vcpu_init,
    .vcpu_sipi = soft_vcpu_sipi,
    .vcpu_runnable = soft_vcpu_runnable,
    .vcpu_get_state = soft_vcpu_get_state,
    .vcpu_set_state = soft_vcpu_set_state,
    .vcpu_report = soft_vcpu_report,
    .vcpu_stats = soft_vcpu_stats,
    .time_passes = soft_time_passes,
    .set_a20 = soft_set_a20,
};
