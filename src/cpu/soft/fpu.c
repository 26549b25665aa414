/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the guest's x87 and vector state is live in the host's registers, and the upward calls
 * that must find it saved.
 */
#include "cpu/soft/fpu.h"

#include "base/bytes.h"

/* The components the guest can have; the host's XSAVE handles at least these (see engine.c). */
#define COMPONENTS (XCR0_X87 | XCR0_SSE | XCR0_AVX)

static uint32_t components(const struct cpu *c)
{
    return x86_has(&c->soft->model.features, X86_FEAT_AVX) ? COMPONENTS : XCR0_X87 | XCR0_SSE;
}

void fpu_load(struct cpu *c)
{
    if (c->fpu_live)
        return;
    __asm__ volatile("xrstor64 %0" : : "m"(c->xsave), "a"(components(c)), "d"(0) : "memory");
    c->fpu_live = 1;
}

void fpu_sync(struct cpu *c)
{
    if (!c->fpu_live)
        return;
    __asm__ volatile("xsave64 %0" : "+m"(c->xsave) : "a"(components(c)), "d"(0) : "memory");
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
    le64_put(c->xsave + 512, components(c));
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

uint64_t out_mmio_read(struct cpu *c, uint64_t gpa, unsigned size)
{
    fpu_save(c);
    return c->host->mmio_read(c->host->host, c->vcpu.index, gpa, size);
}

void out_mmio_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value)
{
    fpu_save(c);
    c->host->mmio_write(c->host->host, c->vcpu.index, gpa, size, value);
}

uint32_t out_pio_read(struct cpu *c, uint16_t port, unsigned size)
{
    fpu_save(c);
    return c->host->pio_read(c->host->host, c->vcpu.index, port, size);
}

void out_pio_write(struct cpu *c, uint16_t port, unsigned size, uint32_t value)
{
    fpu_save(c);
    c->host->pio_write(c->host->host, c->vcpu.index, port, size, value);
}

bool out_apic_msr(struct cpu *c, uint32_t msr, uint64_t *value, bool write)
{
    fpu_save(c);
    return c->host->apic_msr(c->host->host, c->vcpu.index, msr, value, write);
}

int out_intr_ack(struct cpu *c)
{
    fpu_save(c);
    return c->host->intr_ack(c->host->host, c->vcpu.index);
}

uint8_t out_tpr_get(struct cpu *c)
{
    fpu_save(c);
    return c->host->tpr_get(c->host->host, c->vcpu.index);
}

void out_tpr_set(struct cpu *c, uint8_t tpr)
{
    fpu_save(c);
    c->host->tpr_set(c->host->host, c->vcpu.index, tpr);
}

void out_ferr(struct cpu *c, bool level)
{
    fpu_save(c);
    c->host->ferr(c->host->host, level);
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
