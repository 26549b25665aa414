/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between a machine and whatever executes its instructions. Two engines implement it:
 * kvm (the host's virtualisation hardware) and soft (cpu/soft). An engine knows memory, but no
 * device: everything else goes up through struct cpu_host.
 *
 * Threads: each vCPU is run by a thread of its own, which the machine makes. vcpu_run() is called
 * by that thread without the machine lock. Functions marked "any thread" may be called by others
 * meanwhile; the rest only while vcpu_run() is not under way for this vCPU.
 */
#ifndef CPU_ENGINE_H
#define CPU_ENGINE_H

#include "base/error.h"
#include "cpu/x86/features.h"
#include "cpu/x86/state.h"
#include "memory/bus.h"

/* Upward calls. The machine takes its own lock inside; they come from vCPU threads. */
struct cpu_host {
    /* An access that is not plain memory; size 1, 2, 4 or 8. */
    uint64_t (*mmio_read)(void *host, unsigned vcpu, uint64_t gpa, unsigned size);
    void (*mmio_write)(void *host, unsigned vcpu, uint64_t gpa, unsigned size, uint64_t value);
    uint32_t (*pio_read)(void *host, unsigned vcpu, uint16_t port, unsigned size);
    void (*pio_write)(void *host, unsigned vcpu, uint16_t port, unsigned size, uint32_t value);
    /* Acknowledge the pending external interrupt: its vector, or -1 if it has gone away. */
    int (*intr_ack)(void *host, unsigned vcpu);
    /* MSRs of the local APIC (IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800–0x8ff). False: #GP(0). */
    bool (*apic_msr)(void *host, unsigned vcpu, uint32_t msr, uint64_t *value, bool write);
    /* CR8, the task priority class 0..15. */
    uint8_t (*tpr_get)(void *host, unsigned vcpu);
    void (*tpr_set)(void *host, unsigned vcpu, uint8_t cr8);
    /* x87 error with CR0.NE clear: the level of FERR#, which a PC wires to IRQ 13. */
    void (*ferr)(void *host, bool level);
    void *host;
};

enum vcpu_exit {
    VCPU_EXIT_KICKED,   /* vcpu_kick() was called; nothing is lost by running again */
    VCPU_EXIT_HALTED,   /* HLT with nothing pending, or waiting for INIT or SIPI */
    VCPU_EXIT_SHUTDOWN, /* triple fault: the machine resets or reports, as it is told to */
    VCPU_EXIT_ERROR,    /* the engine cannot go on; vcpu_report() says why */
};

struct engine_config {
    unsigned vcpus;
    struct bus *mem;
    struct cpu_host host;
    uint64_t tsc_hz; /* 0: the host's */
    /* Let the guest's processor have just these (a machine goes on); NULL: all that can be had. */
    const struct x86_features *features;
    /* … and be of this maker, as CPUID says it; NULL: whichever the engine takes. kvm has the host's. */
    const char *vendor;
    /*
     * soft: how to run code, for tests and for finding faults; words with commas between them
     * (cpu/soft/options.h). NULL: as is fastest.
     */
    const char *options;
};

struct engine;
struct vcpu;

struct engine_ops {
    const char *name;

    /* Can this engine be used on this host, and is it worth using? 0, or why not with text. */
    int (*probe)(struct error *err);
    /* What the processor of a guest with so many vCPUs has at most on this host, and its maker. */
    int (*model)(unsigned vcpus, struct x86_features *ret_features, char ret_vendor[13],
                 struct error *err);
    int (*new)(const struct engine_config *config, struct engine **ret_engine, struct error *err);
    void (*free)(struct engine *engine);

    /* vCPU number index, in the reset state. */
    int (*vcpu_new)(struct engine *engine, unsigned index, struct vcpu **ret_vcpu,
                    struct error *err);
    void (*vcpu_free)(struct vcpu *vcpu);
    enum vcpu_exit (*vcpu_run)(struct vcpu *vcpu);
    /* Make vcpu_run() return soon, or at once when it is called next. Any thread. */
    void (*vcpu_kick)(struct vcpu *vcpu);
    /* Level of the INTR pin. Any thread; takes effect without a kick. */
    void (*vcpu_intr)(struct vcpu *vcpu, bool level);
    /* Edge of the NMI pin. Any thread. */
    void (*vcpu_nmi)(struct vcpu *vcpu);
    /* INIT, and start-up at page `vector` (SDM vol. 3, 9.4). Any thread. */
    void (*vcpu_init)(struct vcpu *vcpu);
    void (*vcpu_sipi)(struct vcpu *vcpu, uint8_t vector);
    /* True when a halted vCPU has a reason to run (an unmasked interrupt, NMI, INIT, SIPI). */
    bool (*vcpu_runnable)(struct vcpu *vcpu);

    /*
     * What RDTSC would give now, for APIC timers that wait for it (engines without msi()). Called
     * by the vCPU's own thread, or while it does not run. config.tsc_hz is its rate once new()
     * has returned.
     */
    uint64_t (*vcpu_tsc)(struct vcpu *vcpu);

    int (*vcpu_get_state)(struct vcpu *vcpu, struct x86_state *ret_state);
    int (*vcpu_set_state)(struct vcpu *vcpu, const struct x86_state *state);
    /* How it has run guest code, for people: lines of name and number. NULL: nothing to tell. */
    void (*vcpu_stats)(struct vcpu *vcpu, char *buf, size_t buf_bytes);
    /* Why VCPU_EXIT_ERROR or a shutdown happened, with registers; one or more lines. */
    void (*vcpu_report)(struct vcpu *vcpu, char *buf, size_t buf_bytes);

    /*
     * Let the TSCs of all vCPUs go on, or stand still at one moment; an engine begins with them
     * going. No vCPU runs meanwhile. NULL: they always go on.
     */
    void (*time_passes)(struct engine *engine, bool passes);

    /* The A20 gate: false makes address bit 20 read as zero (may be NULL). Any thread. */
    void (*set_a20)(struct engine *engine, bool enabled);

    /*
     * An engine with its own local APICs (kvm) has msi(); the machine then builds none, INTR is
     * the 8259's alone (delivered by vcpu_intr() of vCPU 0), and NMI, INIT and SIPI between
     * vCPUs stay inside the engine. apic_eoi() of the IOAPIC arrives by ioapic_eoi.
     */
    void (*msi)(struct engine *engine, uint64_t addr, uint32_t data);
    /* The vCPU's own local APIC to its power-on state (machine reset); with msi() only. */
    void (*vcpu_apic_reset)(struct vcpu *vcpu);
    /* With msi() only: the vCPU's local APIC. */
    int (*vcpu_get_apic)(struct vcpu *vcpu, struct x86_apic *ret_apic);
    int (*vcpu_set_apic)(struct vcpu *vcpu, const struct x86_apic *apic);
};

/* Common head of every engine and vCPU. */
struct engine {
    const struct engine_ops *ops;
    struct engine_config config;
    struct x86_features features; /* of the guest's processor */
    char vendor[13];              /* … and its maker, as CPUID says it */
    /* kvm: an EOI was broadcast for this vector (level-triggered IOAPIC entries); set by machine. */
    void (*ioapic_eoi)(void *ctx, uint8_t vector);
    void *ioapic_eoi_ctx;
};

struct vcpu {
    struct engine *engine;
    unsigned index;
};

extern const struct engine_ops engine_kvm;
extern const struct engine_ops engine_soft;

#endif
