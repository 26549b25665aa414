/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest machine for tests of the soft engine: RAM from address 0, no devices. Ports and
 * MMIO answer all ones. Code runs until HLT.
 */
#ifndef TESTS_UNIT_SOFT_RIG_H
#define TESTS_UNIT_SOFT_RIG_H

#include <stdlib.h>
#include <string.h>

#include "cpu/engine.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/regs.h"

/* How the engine is to run code: as struct engine_config says it. */
static const char *rig_options;

struct rig {
    struct ram *ram;
    struct bus *bus;
    struct region region;
    struct engine *engine;
    struct vcpu *vcpu;
    struct x86_state *state;
    uint8_t *mem;
    uint64_t last_out;
};

static inline uint64_t rig_mmio_read(void *h, unsigned v, uint64_t a, unsigned s)
{
    (void)h, (void)v, (void)a, (void)s;
    return ~0ULL;
}
static inline void rig_mmio_write(void *h, unsigned v, uint64_t a, unsigned s, uint64_t x)
{
    (void)h, (void)v, (void)a, (void)s, (void)x;
}
static inline uint32_t rig_pio_read(void *h, unsigned v, uint16_t p, unsigned s)
{
    (void)h, (void)v, (void)p, (void)s;
    return 0xffffffff;
}
static inline void rig_pio_write(void *h, unsigned v, uint16_t p, unsigned s, uint32_t x)
{
    struct rig *rig = h;
    (void)v, (void)p, (void)s;
    rig->last_out = x;
}
static inline int rig_intr_ack(void *h, unsigned v)
{
    (void)h, (void)v;
    return -1;
}
static inline bool rig_apic_msr(void *h, unsigned v, uint32_t m, uint64_t *x, bool w)
{
    (void)h, (void)v, (void)m, (void)x, (void)w;
    return false;
}
static inline uint8_t rig_tpr_get(void *h, unsigned v)
{
    (void)h, (void)v;
    return 0;
}
static inline void rig_tpr_set(void *h, unsigned v, uint8_t t)
{
    (void)h, (void)v, (void)t;
}
static inline void rig_ferr(void *h, bool l)
{
    (void)h, (void)l;
}

/* size_bytes of RAM at 0 and one CPU in the reset state. */
static inline void rig_open(struct rig *rig, uint64_t size_bytes)
{
    uint64_t offset;
    struct error err = {0};

    memset(rig, 0, sizeof(*rig));
    if (ram_new(size_bytes, &rig->ram, &err) < 0 || ram_alloc(rig->ram, size_bytes, &offset) < 0 ||
        bus_new("memory", 1ULL << 40, rig->ram, &rig->bus) < 0)
        abort();
    rig->region = (struct region){
        .name = "ram", .size_bytes = size_bytes, .kind = REGION_RAM, .ram_offset = offset};
    bus_add(rig->bus, &rig->region);
    struct engine_config config = {
        .vcpus = 1,
        .mem = rig->bus,
        .host = {rig_mmio_read, rig_mmio_write, rig_pio_read, rig_pio_write, rig_intr_ack,
                 rig_apic_msr, rig_tpr_get, rig_tpr_set, rig_ferr, rig},
        .tsc_hz = 1000000000,
        .options = rig_options,
    };
    if (engine_soft.new(&config, &rig->engine, &err) < 0 ||
        engine_soft.vcpu_new(rig->engine, 0, &rig->vcpu, &err) < 0)
        abort();
    rig->mem = rig->ram->host + offset;
    rig->state = aligned_alloc(64, sizeof(*rig->state));
    x86_state_reset(rig->state, 1);
}

static inline void rig_close(struct rig *rig)
{
    engine_soft.vcpu_free(rig->vcpu);
    engine_soft.free(rig->engine);
    bus_free(rig->bus);
    ram_free(rig->ram);
    free(rig->state);
}

/* Put code or data into RAM as a device would. */
static inline void rig_poke(struct rig *rig, uint64_t gpa, const void *bytes, size_t n)
{
    memcpy(rig->mem + gpa, bytes, n);
    ram_wrote(rig->ram, rig->region.ram_offset + gpa, n);
}

/* A 16-, 32- or 64-bit flat environment at CPL 0; 64-bit code gets identity-mapped 1 GiB pages. */
static inline void rig_mode(struct rig *rig, unsigned bits)
{
    struct x86_state *s = rig->state;
    const uint16_t data = SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G;

    x86_state_reset(s, 1);
    s->tsc = 0;
    for (unsigned i = 0; i < X86_SEGS; i++)
        s->seg[i] = (struct x86_segment){.limit = 0xffffffff, .selector = 0x10, .attr = data};
    s->seg[X86_CS].selector = 8;
    s->seg[X86_CS].attr = SEG_P | SEG_S | SEG_RW | SEG_A | SEG_CODE | SEG_G |
                          (bits == 64   ? SEG_L
                           : bits == 32 ? SEG_DB
                                        : 0);
    s->cr0 = CR0_PE | CR0_ET | CR0_NE;
    s->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    s->xcr0 = 7;
    if (bits == 16) {
        s->cr0 = CR0_ET | CR0_NE;
        for (unsigned i = 0; i < X86_SEGS; i++)
            s->seg[i] =
                (struct x86_segment){.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_A};
    }
    if (bits == 64) {
        uint64_t pml4 = 0x1000 + 0x2000 + 3, pdpt = 0x83;
        rig_poke(rig, 0x2000, &pml4, 8);
        rig_poke(rig, 0x3000, &pdpt, 8);
        s->cr3 = 0x2000;
        s->cr4 |= CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
        s->cr0 |= CR0_PG;
    }
}

/* Run from rig->state until the CPU halts (or shuts down); the state is read back. */
static inline enum vcpu_exit rig_run(struct rig *rig)
{
    engine_soft.vcpu_set_state(rig->vcpu, rig->state);
    enum vcpu_exit why = engine_soft.vcpu_run(rig->vcpu);
    engine_soft.vcpu_get_state(rig->vcpu, rig->state);
    return why;
}

#endif
