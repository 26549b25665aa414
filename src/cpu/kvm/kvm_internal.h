/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share: the engine and its vCPUs as /dev/kvm knows them.
 *
 * Locks: slot_lock guards the slots, route_lock the routes; neither is held while another is
 * taken or while a device runs.
 */
#ifndef CPU_KVM_INTERNAL_H
#define CPU_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/types.h>

#include "cpu/engine.h"

#define KVM_ROUTES 24 /* level-triggered messages whose EOI is reported; pins of one IOAPIC */
#define KVM_CPUID_MAX 256
#define KVM_REPORT_BYTES 1024

/* A piece of the guest's address space that the kernel maps by itself. */
struct kvm_slot {
    uint64_t gpa, size_bytes; /* size 0: free */
    uint64_t ram_offset;
    bool readonly;
    bool logging; /* the kernel keeps a dirty log */
};

struct kvm_route {
    uint64_t addr;
    uint32_t data;
};

struct kvm_engine {
    struct engine engine;
    int kvm_fd, vm_fd;
    size_t run_bytes;
    struct kvm_cpuid2 *cpuid; /* of vCPU 0 */

    pthread_mutex_t slot_lock;
    struct ram_watcher watcher;
    struct kvm_slot *slots;
    unsigned slot_count, slot_max;
    bool a20_off;

    pthread_mutex_t route_lock;
    struct kvm_route routes[KVM_ROUTES];
    unsigned route_count, route_next;
};

struct kvm_vcpu {
    struct vcpu vcpu;
    int fd;
    struct kvm_run *run;
    _Atomic pid_t tid; /* of the thread inside vcpu_run(), else 0 */
    atomic_bool kicked, intr, nmi;
    char report[KVM_REPORT_BYTES];
};

static inline struct kvm_engine *kvm_engine_of(struct vcpu *vcpu)
{
    return CONTAINER_OF(vcpu->engine, struct kvm_engine, engine);
}

/* ioctl() that starts anew after a signal; 0 or positive, or negative errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
/* The same for requests whose argument is a number. */
int kvm_ioctl_number(int fd, unsigned long request, unsigned long arg);

/* Open /dev/kvm and check version and capabilities. Errors say what is missing. */
int kvm_open(int *ret_fd, struct error *err);
/* Is the host's KVM worth using? Runs a short loop in a machine of its own, 50 ms at most. */
int kvm_probe(struct error *err);
/* The signal that interrupts KVM_RUN gets a handler that does nothing. */
int kvm_kick_prepare(struct error *err);
#define KVM_KICK_SIGNAL SIGUSR1

/* What the guest may see of the host's CPUID; freed with free(). */
int kvm_cpuid_new(int kvm_fd, struct kvm_cpuid2 **ret_cpuid, struct error *err);
/* engine_ops.model: of /dev/kvm, or where there is none, of a host like this one that has it. */
int kvm_cpuid_model(unsigned vcpus, struct x86_features *ret_features, char ret_vendor[13],
                    struct error *err);
/* What of it the engine's features tell: fills engine.features and vendor. */
void kvm_cpuid_tell(struct kvm_engine *ke);
/* Give vCPU index its CPUID: the engine's with its own APIC ID. */
int kvm_cpuid_set(const struct kvm_engine *ke, int vcpu_fd, unsigned index, struct error *err);

/* Follow the memory bus from now on. */
int kvm_memory_start(struct kvm_engine *ke, struct error *err);
void kvm_memory_stop(struct kvm_engine *ke);
void kvm_set_a20(struct engine *engine, bool enabled);

enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu);
void kvm_vcpu_kick(struct vcpu *vcpu);
void kvm_vcpu_intr(struct vcpu *vcpu, bool level);
void kvm_vcpu_nmi(struct vcpu *vcpu);
void kvm_vcpu_report(struct vcpu *vcpu, char *buf, size_t buf_bytes);

int kvm_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state);
int kvm_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state);
int kvm_vcpu_get_apic(struct vcpu *vcpu, struct x86_apic *ret_apic);
int kvm_vcpu_set_apic(struct vcpu *vcpu, const struct x86_apic *apic);
/* The local APIC of one vCPU to its power-on state. */
int kvm_apic_reset(struct kvm_vcpu *kv);

#endif
