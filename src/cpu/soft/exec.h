/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the exec_*.c files share: the functions that uops run, one per operation of opcodes.tab
 * (x_MOV_R_RM, …), and the helpers that cross files.
 */
#ifndef CPU_SOFT_EXEC_H
#define CPU_SOFT_EXEC_H

#include "cpu/soft/mem.h"

#define X(op) uop_fn x_##op;
X86_OP_LIST(X)
#undef X

/* Data instructions (exec_data.c); uop.imm says which unit they use, for the fault they raise. */
enum data_class { CLASS_GENERAL, CLASS_X87, CLASS_MMX, CLASS_SSE };
uop_fn x_data_load, x_data_store, x_data_bits, x_x87_reg, x_x87_mem;
uop_fn x_fault, x_end;

/* Replace the general function by one for this very form, where there is one (exec_move.c). */
void specialise(struct cpu *c, const struct x86_insn *in, struct uop *u);

/* ---- segments and descriptors (segment.c) ---- */

struct descriptor {
    uint64_t base;
    uint32_t limit;
    uint16_t attr;
    uint16_t selector;
    uint64_t raw, raw_high;
    /* gates */
    uint16_t gate_selector;
    uint64_t gate_offset;
    uint8_t gate_count;
};

static inline unsigned desc_dpl(const struct descriptor *d)
{
    return (d->attr & SEG_DPL) >> SEG_DPL_SHIFT;
}
static inline bool desc_is_code(const struct descriptor *d)
{
    return (d->attr & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}
static inline bool desc_is_data(const struct descriptor *d)
{
    return (d->attr & (SEG_S | SEG_CODE)) == SEG_S;
}
/* Type of a system descriptor, 0x80 for code and data. */
static inline unsigned desc_sys_type(const struct descriptor *d)
{
    return d->attr & SEG_S ? 0x80 : d->attr & SEG_TYPE;
}
static inline unsigned rpl(uint16_t selector)
{
    return selector & 3;
}
static inline bool is_null(uint16_t selector)
{
    return (selector & 0xfffc) == 0;
}
/* Error code of a selector. */
static inline uint32_t sel_error(uint16_t selector)
{
    return selector & 0xfffc;
}

/*
 * Read a descriptor from GDT or LDT; false: fault `vector`(selector), or a page fault. System
 * descriptors of 16 bytes are read whole in long mode.
 */
bool desc_read(struct cpu *c, uint16_t selector, unsigned vector, struct descriptor *ret);
/* The same without a fault for a selector beyond the table: *ret_found is false. */
bool desc_try(struct cpu *c, uint16_t selector, bool *ret_found, struct descriptor *ret);
void desc_parse(const struct cpu *c, struct descriptor *d);
/* Set the accessed bit in memory; false: page fault. */
bool desc_mark_accessed(struct cpu *c, struct descriptor *d);
/* Set or clear the busy bit of a TSS descriptor in the GDT. */
bool desc_mark_busy(struct cpu *c, uint16_t selector, bool busy);

/* Load a data segment register with all checks of MOV; false: fault. */
bool seg_load(struct cpu *c, unsigned seg, uint16_t selector);
/* Real and virtual-8086 mode: base = selector × 16. */
void seg_load_real(struct cpu *c, unsigned seg, uint16_t selector);
/* Put a checked descriptor into a register. */
void seg_set(struct cpu *c, unsigned seg, uint16_t selector, const struct descriptor *d);
/* A null selector into a register (outside the checks). */
void seg_set_null(struct cpu *c, unsigned seg, uint16_t selector);
/* Load SS for a stack switch to privilege cpl; faults are vector(selector). */
bool stack_seg_check(struct cpu *c, uint16_t selector, unsigned cpl, unsigned vector,
                     struct descriptor *ret);
/* After a return to an outer level: data segments that it may not use become null. */
void segs_drop_privileged(struct cpu *c);
/* Put a code segment into CS with its CPL. */
void cs_set(struct cpu *c, uint16_t selector, const struct descriptor *d, unsigned cpl);
bool is_canonical48(uint64_t v);

/* ---- tasks (task.c) ---- */
enum task_switch { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
/*
 * Switch to the task of a TSS selector. next_rip is where the old task goes on. False: a fault is
 * pending (in the old or the new task, as the manual says).
 */
bool task_switch(struct cpu *c, uint16_t selector, enum task_switch kind, uint64_t next_rip,
                 bool has_error, uint32_t error);
/* Stack of an inner privilege level from the TSS; false: fault. */
bool tss_stack(struct cpu *c, unsigned level, uint16_t *ret_ss, uint64_t *ret_sp);
/* A 64-bit stack pointer of the TSS: index 0–2 RSPn, 3 + n ISTn. */
bool tss_rsp(struct cpu *c, unsigned index, uint64_t *ret_rsp);
/* May ports [port, port + size) be used? False: #GP raised. SDM vol. 1, 19.5. */
bool io_allowed(struct cpu *c, uint16_t port, unsigned size);

/* ---- control and debug registers, MSRs (control.c, msr.c) ---- */
bool set_cr0(struct cpu *c, uint64_t v);
bool set_cr3(struct cpu *c, uint64_t v);
bool set_cr4(struct cpu *c, uint64_t v);
bool set_xcr0(struct cpu *c, uint64_t v);
/* Rights of protection keys: two bits a key, access and write disabled (SDM vol. 3, 4.6.2). */
void set_pkru(struct cpu *c, uint32_t v);
void set_pkrs(struct cpu *c, uint32_t v);
bool msr_read(struct cpu *c, uint32_t msr, uint64_t *ret);
bool msr_write(struct cpu *c, uint32_t msr, uint64_t v);
uint64_t guest_tsc(const struct cpu *c);
/* The host's TSC, or what it was when guest time came to stand still. */
uint64_t soft_tsc_now(const struct soft_engine *soft);

#endif
