/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the guest's x87 and vector state is live in the host's registers, and the upward calls
 * that must find it saved.
 */
#include "cpu/soft/fpu.h"

#include "base/bytes.h"
#include "cpu/soft/check.h"

/* The components the guest can have; the host's XSAVE handles at least these (see engine.c). */
#define COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX)

uint32_t fpu_components(const struct cpu *c)
{
    return x86_has(&c->soft->model.features, X86_FEAT_AVX) ? COMPONENTS : XCR0_X87 | XCR0_SSE;
}

void fpu_load(struct cpu *c)
{
    if (c->fpu_live)
        return;
    __asm__ volatile("xrstor64 %0" : : "m"(c->xsave), "a"(fpu_components(c)), "d"(0) : "memory");
    c->fpu_live = 1;
}

void fpu_sync(struct cpu *c)
{
    if (!c->fpu_live)
        return;
    __asm__ volatile("xsave64 %0" : "+m"(c->xsave) : "a"(fpu_components(c)), "d"(0) : "memory");
}

/* What C code expects: no x87 exception unmasked, MXCSR at its default. */
static void host_defaults(void)
{
    static const uint32_t mxcsr = MXCSR_DEFAULT;
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

void fpu_save(struct cpu *c)
{
    if (!c->fpu_live)
        return;
    fpu_sync(c);
    c->fpu_live = 0;
    host_defaults();
}

void fpu_reset(struct cpu *c)
{
    c->fpu_live = 0;
    zero_bytes(c->xsave, sizeof(c->xsave));
    le16_put(c->xsave, 0x0040);
    le32_put(c->xsave + 24, MXCSR_DEFAULT);
    le64_put(c->xsave + 512, fpu_components(c));
}

bool x87_pending(struct cpu *c)
{
    uint16_t fsw;
    fpu_load(c);
    __asm__ volatile("fnstsw %0" : "=a"(fsw));
    return fsw & 0x80;
}

void x87_error(struct cpu *c)
{
    if (c->cr0 & CR0_NE) {
        raise_fault(c, VEC_MF, 0);
        return;
    }
    /* The processor waits for the interrupt that FERR# makes; so does the loop, by trying again. */
    out_ferr(c, true);
    c->events |= EV_BREAK;
}

/* ---- upward calls ---- */

/* Under lockstep T1 gets T0's answers (check.h); `ask` is the expression that asks. */
#define ASK(what, at, value, ask)                                                                  \
    do {                                                                                           \
        enum cpu_place from_ = cpu_place(c, IN_DEVICES);                                           \
        if (LIKELY(c->check == NULL)) {                                                            \
            ask;                                                                                   \
        } else if (!check_ask(c->check, what, at, &(value))) {                                     \
            uint64_t in_ = (value);                                                                \
            ask;                                                                                   \
            check_answer(c->check, what, at, in_, value);                                          \
        }                                                                                          \
        cpu_place(c, from_);                                                                       \
    } while (0)

uint64_t out_mmio_read(struct cpu *c, uint64_t gpa, unsigned size)
{
    uint64_t v = size;
    fpu_save(c);
    ASK(ASK_MMIO_READ, gpa, v, v = c->host->mmio_read(c->host->host, c->vcpu.index, gpa, size));
    return v;
}

void out_mmio_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value)
{
    fpu_save(c);
    ASK(ASK_MMIO_WRITE, gpa, value,
        c->host->mmio_write(c->host->host, c->vcpu.index, gpa, size, value));
}

uint32_t out_pio_read(struct cpu *c, uint16_t port, unsigned size)
{
    uint64_t v = size;
    fpu_save(c);
    ASK(ASK_PIO_READ, port, v, v = c->host->pio_read(c->host->host, c->vcpu.index, port, size));
    return (uint32_t)v;
}

void out_pio_write(struct cpu *c, uint16_t port, unsigned size, uint32_t value)
{
    uint64_t v = value;
    fpu_save(c);
    ASK(ASK_PIO_WRITE, port, v,
        c->host->pio_write(c->host->host, c->vcpu.index, port, size, value));
}

/* The answer has two parts: whether there was one, and the value. */
bool out_apic_msr(struct cpu *c, uint32_t msr, uint64_t *value, bool write)
{
    uint64_t v = *value, ok = 0, said = 0;
    fpu_save(c);
    ASK(write ? ASK_APIC_WRITE : ASK_APIC_READ, msr, v,
        ok = c->host->apic_msr(c->host->host, c->vcpu.index, msr, &v, write));
    ASK(ASK_APIC_READ, msr + (1ULL << 32), said, said = ok);
    *value = v;
    return said;
}

int out_intr_ack(struct cpu *c)
{
    fpu_save(c);
    return c->host->intr_ack(c->host->host, c->vcpu.index);
}

uint8_t out_tpr_get(struct cpu *c)
{
    uint64_t v = 0;
    fpu_save(c);
    ASK(ASK_TPR, 0, v, v = c->host->tpr_get(c->host->host, c->vcpu.index));
    return (uint8_t)v;
}

void out_tpr_set(struct cpu *c, uint8_t tpr)
{
    uint64_t v = tpr;
    fpu_save(c);
    ASK(ASK_TPR, 1, v, c->host->tpr_set(c->host->host, c->vcpu.index, tpr));
}

void out_ferr(struct cpu *c, bool level)
{
    uint64_t v = level;
    fpu_save(c);
    ASK(ASK_FERR, 0, v, c->host->ferr(c->host->host, level));
}

uint64_t out_tsc(struct cpu *c)
{
    uint64_t v = 0;
    ASK(ASK_TSC, 0, v, v = host_tsc());
    return v;
}

struct x86_cpuid_regs out_cpuid(struct cpu *c, uint32_t leaf, uint32_t subleaf)
{
    struct x86_cpuid_env env = {.vcpu = c->vcpu.index, .cr4 = c->cr4, .xcr0 = c->xcr0};
    uint64_t apic_base = 0;

    if (leaf == 1)
        out_apic_msr(c, MSR_APIC_BASE, &apic_base, false);
    env.apic = apic_base & APIC_BASE_ENABLE;
    fpu_save(c);
    return x86_cpuid(&c->soft->model, &env, leaf, subleaf);
}
