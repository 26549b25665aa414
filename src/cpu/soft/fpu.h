/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's x87 and vector registers. While guest code uses them they are live in the host's
 * own registers; before anything else may touch those (devices, the C library) they are saved to
 * cpu->xsave. SDM vol. 1, chapters 8, 10, 13.
 */
#ifndef CPU_SOFT_FPU_H
#define CPU_SOFT_FPU_H

#include "cpu/soft/cpu.h"

/* The XSAVE components that the guest's state has. */
uint32_t fpu_components(const struct cpu *c);

/* Make the guest's state live; nothing if it is. */
void fpu_load(struct cpu *c);
/* Put it into cpu->xsave and take it out of the host's registers; nothing if it is not live. */
void fpu_save(struct cpu *c);
/* Copy it to cpu->xsave without taking it out. */
void fpu_sync(struct cpu *c);

/* fpu_load() for generated code: keeps every register but rax (fpu_entry.S). */
void fpu_load_from_thunk(void);

/* An unmasked x87 exception is pending (FSW.ES). */
bool x87_pending(struct cpu *c);
/* Raise #MF, or signal FERR# when CR0.NE is clear; the instruction is tried again. */
void x87_error(struct cpu *c);

/* The last x87 instruction's addresses to and from an FXSAVE image with 64-bit pointers. */
void put_fpu_pointers(const struct cpu *c, uint8_t *image);
void get_fpu_pointers(struct cpu *c, const uint8_t *image);

/* After reset: set the power-on state. */
void fpu_reset(struct cpu *c);

#endif
