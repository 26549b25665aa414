/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine that lets the host's virtualisation hardware execute the guest, by /dev/kvm.
 * Linux Documentation/virt/kvm/api.rst.
 *
 * Interrupt chips: "split": the local APICs are the kernel's, 8259, 8254 and IOAPIC are ours. See
 * docs/decisions/0002-kvm-split-irqchip.md. Needs Linux 4.12 (immediate_exit); older kernels are
 * refused with a line that says so.
 *
 * Left out: nested virtualisation, system management mode.
 */
#include "cpu/kvm/kvm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define API_VERSION 12
#define ADDR_IDENTITY_MAP 0xfeffc000ULL /* 4 pages below the flash window that Intel hosts need */
#define MSI_ADDR 0xfee00000ULL
#define MSI_INIT 0x4500u /* delivery mode INIT, level asserted */
#define MSI_SIPI 0x4600u

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

int kvm_ioctl_number(int fd, unsigned long request, unsigned long arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static const struct {
    int cap;
    const char *name;
} needed_caps[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_SPLIT_IRQCHIP, "KVM_CAP_SPLIT_IRQCHIP"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
};

int kvm_open(int *ret_fd, struct error *err)
{
    AUTO_FD int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int r;

    if (fd < 0) {
        r = -errno;
        if (r == -EACCES || r == -EPERM)
            return error_set(err, r,
                             "/dev/kvm: permission denied; join the group kvm, or use "
                             "--engine soft");
        return error_set(err, r, "/dev/kvm: %s; use --engine soft", strerror(-r));
    }
    r = kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);
    if (r != API_VERSION)
        return error_set(err, -EPROTO, "/dev/kvm: API version %d instead of %d; use --engine soft",
                         r, API_VERSION);
    for (size_t i = 0; i < ARRAY_LEN(needed_caps); i++)
        if (kvm_ioctl_number(fd, KVM_CHECK_EXTENSION, (unsigned long)needed_caps[i].cap) <= 0)
            return error_set(err, -EOPNOTSUPP,
                             "/dev/kvm: this kernel lacks %s; use a newer one, or --engine soft",
                             needed_caps[i].name);
    *ret_fd = take_fd(&fd);
    return 0;
}

static void kvm_free(struct engine *engine)
{
    struct kvm_engine *ke = CONTAINER_OF(engine, struct kvm_engine, engine);

    kvm_memory_stop(ke);
    if (ke->vm_fd >= 0)
        close(ke->vm_fd);
    if (ke->kvm_fd >= 0)
        close(ke->kvm_fd);
    pthread_mutex_destroy(&ke->slot_lock);
    pthread_mutex_destroy(&ke->route_lock);
    free(ke->cpuid);
    free(ke);
}

static int vm_new(struct kvm_engine *ke, struct error *err)
{
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {KVM_ROUTES}};
    struct kvm_enable_cap x2apic = {
        .cap = KVM_CAP_X2APIC_API,
        .args = {KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK}};
    uint64_t identity_map = ADDR_IDENTITY_MAP;
    int r;

    r = kvm_ioctl_number(ke->kvm_fd, KVM_CREATE_VM, 0);
    if (r < 0)
        return error_set(err, r, "KVM_CREATE_VM: %s", strerror(-r));
    ke->vm_fd = r;

    /* Only hosts without "unrestricted guest" use these; all accept them. */
    kvm_ioctl(ke->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    kvm_ioctl_number(ke->vm_fd, KVM_SET_TSS_ADDR, ADDR_IDENTITY_MAP + 0x1000);

    r = kvm_ioctl(ke->vm_fd, KVM_ENABLE_CAP, &split);
    if (r < 0)
        return error_set(err, r, "KVM_CAP_SPLIT_IRQCHIP: %s; use --engine soft", strerror(-r));
    /* Optional: without it IDs above 254 are out of reach, which the machine does not use. */
    kvm_ioctl(ke->vm_fd, KVM_ENABLE_CAP, &x2apic);

    r = kvm_ioctl_number(ke->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (r < (int)sizeof(struct kvm_run))
        return error_set(err, -EPROTO, "KVM_GET_VCPU_MMAP_SIZE: unusable answer %d", r);
    ke->run_bytes = (size_t)r;
    return 0;
}

static int kvm_new(const struct engine_config *config, struct engine **ret_engine,
                   struct error *err)
{
    struct kvm_engine *ke = calloc(1, sizeof(*ke));
    int r;

    if (!ke)
        return -ENOMEM;
    ke->engine.ops = &engine_kvm;
    ke->engine.config = *config;
    ke->kvm_fd = ke->vm_fd = -1;
    pthread_mutex_init(&ke->slot_lock, NULL);
    pthread_mutex_init(&ke->route_lock, NULL);

    if ((r = kvm_open(&ke->kvm_fd, err)) < 0 || (r = kvm_kick_prepare(err)) < 0 ||
        (r = vm_new(ke, err)) < 0 || (r = kvm_cpuid_new(ke->kvm_fd, &ke->cpuid, err)) < 0 ||
        (r = kvm_memory_start(ke, err)) < 0) {
        kvm_free(&ke->engine);
        return r;
    }
    kvm_cpuid_tell(ke);
    if (config->features &&
        (r = x86_features_limit(&ke->engine.features, config->features, err)) < 0) {
        kvm_free(&ke->engine);
        return r;
    }
    *ret_engine = &ke->engine;
    return 0;
}

static void kvm_vcpu_free(struct vcpu *vcpu)
{
    struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);

    if (kv->run)
        munmap(kv->run, kvm_engine_of(vcpu)->run_bytes);
    if (kv->fd >= 0)
        close(kv->fd);
    free(kv);
}

/* The rate that the guest was told; hosts that cannot scale have their own alone. */
static int vcpu_tsc_rate(struct kvm_engine *ke, struct kvm_vcpu *kv, struct error *err)
{
    uint64_t hz = ke->engine.config.tsc_hz;
    int khz = kvm_ioctl_number(kv->fd, KVM_GET_TSC_KHZ, 0), r;

    if (!hz) {
        ke->engine.config.tsc_hz = khz > 0 ? (uint64_t)khz * 1000 : 0;
        return 0;
    }
    r = kvm_ioctl_number(kv->fd, KVM_SET_TSC_KHZ, (unsigned long)(hz / 1000));
    return r < 0 ? error_set(err, r,
                             "the guest's TSC ran at %llu kHz, this host's at %d, and its KVM "
                             "cannot scale: the guest's clock would be wrong",
                             (unsigned long long)(hz / 1000), khz)
                 : 0;
}

static int kvm_vcpu_new(struct engine *engine, unsigned index, struct vcpu **ret_vcpu,
                        struct error *err)
{
    struct kvm_engine *ke = CONTAINER_OF(engine, struct kvm_engine, engine);
    struct kvm_vcpu *kv = calloc(1, sizeof(*kv));
    struct kvm_enable_cap enforce = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = {1}};
    struct x86_state state;
    void *run;
    int r;

    if (!kv)
        return -ENOMEM;
    kv->vcpu.engine = engine;
    kv->vcpu.index = index;
    r = kvm_ioctl_number(ke->vm_fd, KVM_CREATE_VCPU, index);
    kv->fd = r;
    if (r < 0) {
        error_set(err, r, "KVM_CREATE_VCPU %u: %s", index, strerror(-r));
        goto fail;
    }
    run = mmap(NULL, ke->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kv->fd, 0);
    if (run == MAP_FAILED) {
        r = error_set(err, -errno, "mapping vCPU %u: %s", index, strerror(errno));
        goto fail;
    }
    kv->run = run;
    /* What CPUID does not name the guest does not get; before Linux 5.10 it does. */
    kvm_ioctl(kv->fd, KVM_ENABLE_CAP, &enforce);
    r = kvm_cpuid_set(ke, kv->fd, index, err);
    if (r < 0)
        goto fail;
    r = vcpu_tsc_rate(ke, kv, err);
    if (r < 0)
        goto fail;
    x86_state_reset(&state, index == 0);
    r = kvm_vcpu_set_state(&kv->vcpu, &state);
    if (r < 0) {
        error_set(err, r, "KVM refuses the reset state of vCPU %u: %s", index, strerror(-r));
        goto fail;
    }
    *ret_vcpu = &kv->vcpu;
    return 0;
fail:
    kvm_vcpu_free(&kv->vcpu);
    return r;
}

/*
 * The kernel reports the EOI of a level-triggered interrupt only for messages of its routing
 * table (KVM_CAP_SPLIT_IRQCHIP reserves the first entries for the IOAPIC's pins), so each such
 * message is entered before it is first sent; the oldest makes room when the guest reprograms.
 */
static void route_level(struct kvm_engine *ke, uint64_t addr, uint32_t data)
{
    union {
        struct kvm_irq_routing table;
        uint8_t room[sizeof(struct kvm_irq_routing) +
                     KVM_ROUTES * sizeof(struct kvm_irq_routing_entry)];
    } u;

    pthread_mutex_lock(&ke->route_lock);
    for (unsigned i = 0; i < ke->route_count; i++) {
        if (ke->routes[i].addr == addr && ke->routes[i].data == data) {
            pthread_mutex_unlock(&ke->route_lock);
            return;
        }
    }
    ke->routes[ke->route_next] = (struct kvm_route){addr, data};
    ke->route_next = (ke->route_next + 1) % KVM_ROUTES;
    ke->route_count = MIN(ke->route_count + 1, (unsigned)KVM_ROUTES);

    memset(&u, 0, sizeof(u));
    u.table.nr = ke->route_count;
    for (unsigned i = 0; i < ke->route_count; i++) {
        struct kvm_irq_routing_entry *e = &u.table.entries[i];
        e->gsi = i;
        e->type = KVM_IRQ_ROUTING_MSI;
        e->u.msi.address_lo = (uint32_t)ke->routes[i].addr;
        e->u.msi.address_hi = (uint32_t)(ke->routes[i].addr >> 32);
        e->u.msi.data = ke->routes[i].data;
    }
    kvm_ioctl(ke->vm_fd, KVM_SET_GSI_ROUTING, &u.table);
    pthread_mutex_unlock(&ke->route_lock);
}

static void kvm_msi(struct engine *engine, uint64_t addr, uint32_t data)
{
    struct kvm_engine *ke = CONTAINER_OF(engine, struct kvm_engine, engine);
    struct kvm_msi msi = {
        .address_lo = (uint32_t)addr, .address_hi = (uint32_t)(addr >> 32), .data = data};

    if (data & 0x8000)
        route_level(ke, addr, data);
    kvm_ioctl(ke->vm_fd, KVM_SIGNAL_MSI, &msi);
}

static void kvm_vcpu_init(struct vcpu *vcpu)
{
    kvm_msi(vcpu->engine, MSI_ADDR | (uint64_t)vcpu->index << 12, MSI_INIT);
}

static void kvm_vcpu_sipi(struct vcpu *vcpu, uint8_t vector)
{
    kvm_msi(vcpu->engine, MSI_ADDR | (uint64_t)vcpu->index << 12, MSI_SIPI | vector);
}

static int kvm_put_state(struct vcpu *vcpu, const struct x86_state *state)
{
    int r;

    atomic_store(&CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->nmi, false);
    r = kvm_vcpu_set_state(vcpu, state);
    if (r == 0 && state->init_pending)
        kvm_vcpu_init(vcpu);
    if (r == 0 && state->sipi_pending)
        kvm_vcpu_sipi(vcpu, state->sipi_vector);
    return r;
}

/* The kernel waits out HLT by itself: a vCPU that came back wants to run. */
static bool kvm_vcpu_runnable(struct vcpu *vcpu)
{
    (void)vcpu;
    return true;
}

static void kvm_vcpu_apic_reset(struct vcpu *vcpu)
{
    kvm_apic_reset(CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu));
}

const struct engine_ops engine_kvm = {
    .name = "kvm",
    .probe = kvm_probe,
    .model = kvm_cpuid_model,
    .new = kvm_new,
    .free = kvm_free,
    .vcpu_new = kvm_vcpu_new,
    .vcpu_free = kvm_vcpu_free,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_intr = kvm_vcpu_intr,
    .vcpu_nmi = kvm_vcpu_nmi,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_sipi = kvm_vcpu_sipi,
    .vcpu_runnable = kvm_vcpu_runnable,
    .vcpu_get_state = kvm_vcpu_get_state,
    .vcpu_set_state = kvm_put_state,
    .vcpu_report = kvm_vcpu_report,
    .set_a20 = kvm_set_a20,
    .msi = kvm_msi,
    .vcpu_apic_reset = kvm_vcpu_apic_reset,
    .vcpu_get_apic = kvm_vcpu_get_apic,
    .vcpu_set_apic = kvm_vcpu_set_apic,
};
