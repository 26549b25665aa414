/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running a vCPU by KVM_RUN and answering its exits. KVM api.rst 5 (the kvm_run structure).
 *
 * Other threads never touch the vCPU's descriptor, whose lock KVM_RUN holds: they set a flag, set
 * immediate_exit (so that a KVM_RUN about to start returns) and send a signal (so that one under
 * way does). The thread clears immediate_exit first and looks at the flags second, so no request
 * falls between.
 */
#include "cpu/kvm/kvm_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static void kick_handler(int sig)
{
    (void)sig; /* its arrival is all that counts */
}

int kvm_kick_prepare(struct error *err)
{
    struct sigaction sa = {.sa_handler = kick_handler};

    sigemptyset(&sa.sa_mask);
    if (sigaction(KVM_KICK_SIGNAL, &sa, NULL) < 0)
        return error_set(err, -errno, "sigaction: %s", strerror(errno));
    return 0;
}

/* Make the vCPU's thread look at its flags. */
static void poke(struct kvm_vcpu *kv)
{
    pid_t tid = atomic_load(&kv->tid);

    if (tid == (pid_t)syscall(SYS_gettid))
        return; /* it is on its way back to the flags already */
    __atomic_store_n(&kv->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (tid)
        syscall(SYS_tgkill, getpid(), tid, KVM_KICK_SIGNAL);
}

void kvm_vcpu_kick(struct vcpu *vcpu)
{
    struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);

    atomic_store(&kv->kicked, true);
    poke(kv);
}

void kvm_vcpu_intr(struct vcpu *vcpu, bool level)
{
    struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);

    if (!atomic_exchange(&kv->intr, level) && level)
        poke(kv);
}

void kvm_vcpu_nmi(struct vcpu *vcpu)
{
    struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);

    atomic_store(&kv->nmi, true);
    poke(kv);
}

/* The 8259's interrupt, by hand: when the guest can take it, ask for the vector and inject. */
static void inject_intr(struct kvm_vcpu *kv)
{
    const struct cpu_host *host = &kv->vcpu.engine->config.host;

    if (atomic_load(&kv->intr) && kv->run->ready_for_interrupt_injection) {
        int vector = host->intr_ack(host->host, kv->vcpu.index);
        struct kvm_interrupt irq = {.irq = (uint32_t)vector};

        if (vector >= 0 && kvm_ioctl(kv->fd, KVM_INTERRUPT, &irq) == 0)
            kv->run->ready_for_interrupt_injection = 0;
    }
    kv->run->request_interrupt_window = atomic_load(&kv->intr);
}

static void exit_io(struct kvm_vcpu *kv)
{
    const struct cpu_host *host = &kv->vcpu.engine->config.host;
    const struct kvm_run *run = kv->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint32_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            host->pio_write(host->host, kv->vcpu.index, run->io.port, size, value);
        } else {
            value = host->pio_read(host->host, kv->vcpu.index, run->io.port, size);
            memcpy(data, &value, size);
        }
    }
}

/* The kernel hands over up to 8 bytes of any alignment; devices see powers of two. */
static void exit_mmio(struct kvm_vcpu *kv)
{
    const struct cpu_host *host = &kv->vcpu.engine->config.host;
    struct kvm_run *run = kv->run;
    uint64_t gpa = run->mmio.phys_addr;
    unsigned len = MIN(run->mmio.len, 8u);

    for (unsigned at = 0, size; at < len; at += size) {
        uint64_t value = 0;

        size = 1u << (31 - __builtin_clz(len - at));
        if (run->mmio.is_write) {
            memcpy(&value, run->mmio.data + at, size);
            host->mmio_write(host->host, kv->vcpu.index, gpa + at, size, value);
        } else {
            value = host->mmio_read(host->host, kv->vcpu.index, gpa + at, size);
            memcpy(run->mmio.data + at, &value, size);
        }
    }
}

/* The registers that tell where the guest was; only by the vCPU's own thread. */
static int print_registers(struct kvm_vcpu *kv, char *buf, size_t buf_bytes)
{
    struct kvm_regs r;
    struct kvm_sregs s;

    if (kvm_ioctl(kv->fd, KVM_GET_REGS, &r) < 0 || kvm_ioctl(kv->fd, KVM_GET_SREGS, &s) < 0)
        return snprintf(buf, buf_bytes, "registers cannot be read");
    return snprintf(buf, buf_bytes,
                    "rip %016llx rflags %08llx cs %04x:%llx ss %04x:%llx cpl %u\n"
                    "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
                    "rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n"
                    "cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %llx",
                    r.rip, r.rflags, s.cs.selector, s.cs.base, s.ss.selector, s.ss.base, s.ss.dpl,
                    r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, s.cr0, s.cr2, s.cr3,
                    s.cr4, s.efer);
}

static enum vcpu_exit exit_report(struct kvm_vcpu *kv, enum vcpu_exit verdict, const char *what)
{
    int n = snprintf(kv->report, sizeof(kv->report), "vCPU %u: %s\n", kv->vcpu.index, what);

    if (n > 0 && (size_t)n < sizeof(kv->report))
        print_registers(kv, kv->report + n, sizeof(kv->report) - (size_t)n);
    return verdict;
}

static const char *suberror_text(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "it could not emulate an instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "exceptions came together";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "it could not deliver an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "an exit it does not know";
    default:
        return "no reason it names";
    }
}

static enum vcpu_exit exit_internal_error(struct kvm_vcpu *kv)
{
    const struct kvm_run *run = kv->run;
    char text[160];

    snprintf(text, sizeof(text),
             "the host's KVM gave up (KVM_EXIT_INTERNAL_ERROR %u): %s; use --engine soft",
             run->internal.suberror, suberror_text(run->internal.suberror));
    return exit_report(kv, VCPU_EXIT_ERROR, text);
}

static enum vcpu_exit run_failed(struct kvm_vcpu *kv, int error)
{
    char text[96];

    snprintf(text, sizeof(text), "KVM_RUN: %s", strerror(error));
    return exit_report(kv, VCPU_EXIT_ERROR, text);
}

/* Answer one exit; true when vcpu_run() is to return *ret_verdict. */
static bool handle_exit(struct kvm_vcpu *kv, enum vcpu_exit *ret_verdict)
{
    struct engine *engine = kv->vcpu.engine;
    char text[96];

    switch (kv->run->exit_reason) {
    case KVM_EXIT_IO:
        exit_io(kv);
        return false;
    case KVM_EXIT_MMIO:
        exit_mmio(kv);
        return false;
    case KVM_EXIT_IOAPIC_EOI:
        if (engine->ioapic_eoi)
            engine->ioapic_eoi(engine->ioapic_eoi_ctx, kv->run->eoi.vector);
        return false;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR:
        return false;
    case KVM_EXIT_HLT:
        *ret_verdict = VCPU_EXIT_HALTED;
        return true;
    case KVM_EXIT_SHUTDOWN:
        *ret_verdict = exit_report(kv, VCPU_EXIT_SHUTDOWN, "shutdown (triple fault)");
        return true;
    case KVM_EXIT_INTERNAL_ERROR:
        *ret_verdict = exit_internal_error(kv);
        return true;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(text, sizeof(text), "the processor refuses to enter the guest (reason %#llx)",
                 kv->run->fail_entry.hardware_entry_failure_reason);
        *ret_verdict = exit_report(kv, VCPU_EXIT_ERROR, text);
        return true;
    default:
        snprintf(text, sizeof(text), "KVM exit %u is not known", kv->run->exit_reason);
        *ret_verdict = exit_report(kv, VCPU_EXIT_ERROR, text);
        return true;
    }
}

static enum vcpu_exit run_loop(struct kvm_vcpu *kv)
{
    enum vcpu_exit verdict;

    for (;;) {
        __atomic_store_n(&kv->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (atomic_exchange(&kv->kicked, false)) {
            /* An answered I/O exit is finished by entering once more; then state is whole. */
            kv->run->immediate_exit = 1;
            while (ioctl(kv->fd, KVM_RUN, 0) == 0)
                if (handle_exit(kv, &verdict))
                    return verdict;
            return VCPU_EXIT_KICKED;
        }
        if (atomic_exchange(&kv->nmi, false))
            kvm_ioctl(kv->fd, KVM_NMI, NULL);
        inject_intr(kv);

        if (ioctl(kv->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            return run_failed(kv, errno);
        }
        if (handle_exit(kv, &verdict))
            return verdict;
    }
}

enum vcpu_exit kvm_vcpu_run(struct vcpu *vcpu)
{
    struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);
    enum vcpu_exit verdict;

    atomic_store(&kv->tid, (pid_t)syscall(SYS_gettid));
    verdict = run_loop(kv);
    atomic_store(&kv->tid, 0);
    return verdict;
}

void kvm_vcpu_report(struct vcpu *vcpu, char *buf, size_t buf_bytes)
{
    const struct kvm_vcpu *kv = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu);

    snprintf(buf, buf_bytes, "%s", kv->report);
}
