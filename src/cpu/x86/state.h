/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural state of one x86 processor, as saved, moved between engines and compared in
 * tests. Intel SDM vol. 3, chapters 2 and 9.
 */
#ifndef CPU_X86_STATE_H
#define CPU_X86_STATE_H

#include <stdint.h>

enum x86_gpr {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R9,
    X86_R10,
    X86_R11,
    X86_R12,
    X86_R13,
    X86_R14,
    X86_R15,
    X86_GPRS,
};

enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEGS };

/* A segment register with its hidden part. attr: descriptor bits 40–47 in 0–7, 52–55 in 12–15. */
struct x86_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, scaled by G */
    uint16_t selector;
    uint16_t attr;
};

struct x86_table {
    uint64_t base;
    uint16_t limit;
};

enum x86_activity { X86_ACTIVE, X86_HALTED, X86_WAIT_SIPI, X86_SHUTDOWN };

/* Bytes of the XSAVE area we keep: legacy 512, header 64, AVX 256. Standard format. */
#define X86_XSAVE_BYTES 832

struct x86_state {
    uint64_t gpr[X86_GPRS];
    uint64_t rip, rflags;
    struct x86_segment seg[X86_SEGS], ldtr, tr;
    struct x86_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
    uint64_t dr[8]; /* 4 and 5 unused */
    uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc, tsc_aux, tsc_adjust, misc_enable, spec_ctrl;
    uint64_t pkru, pkrs; /* rights of protection keys: user pages, supervisor pages */
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status;
    uint32_t activity;     /* enum x86_activity */
    uint8_t shadow_sti;    /* interrupts held off for one instruction by STI */
    uint8_t shadow_mov_ss; /* … by MOV SS or POP SS */
    uint8_t nmi_masked;    /* until IRET */
    uint8_t nmi_pending;
    uint8_t init_pending, sipi_pending, sipi_vector;      /* messages that were not acted on yet */
    uint8_t intr_pending, intr_vector;                    /* acknowledged, not yet delivered */
    uint8_t fault_pending, fault_vector, fault_has_error; /* an exception to be delivered first */
    uint32_t fault_error;
    uint64_t trap_dr6; /* not 0: a debug trap to be delivered, with these bits for DR6 */
    _Alignas(64) uint8_t xsave[X86_XSAVE_BYTES];
};

#define X86_APIC_BYTES 1024

/* A local APIC: its page of registers (SDM vol. 3, table 11-1), and the two MSRs beside it. */
struct x86_apic {
    uint64_t base, tsc_deadline;
    uint8_t page[X86_APIC_BYTES];
};

struct state;
struct x86_features;

/* Save or load by base/state.h, in a section of the caller's. Returns state_error(). */
int x86_state_walk(struct x86_state *state, struct state *s);
/*
 * Can a processor with these features be in this state? What a file says must be checked by this
 * before an engine gets it.
 */
int x86_state_valid(const struct x86_state *state, const struct x86_features *features);

/* The state after power-on or RESET# (is_bsp: the boot processor, else waiting for SIPI). */
void x86_state_reset(struct x86_state *state, int is_bsp);

#endif
