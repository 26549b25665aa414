/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thunks: the guest's data instructions, run by the host's processor. A thunk is a short piece of
 * generated code, called (by tail call) as
 *
 *     void thunk(struct cpu *c, const struct uop *u, void *operand);
 *
 * It loads the registers that the instruction reads from c, executes the guest's own opcode with
 * these registers (a memory operand becomes [operand]), stores what it wrote, and goes on with
 * u[1]. Equal code is made once. The arena is written through one mapping and executed through
 * another; no page is both.
 */
#ifndef CPU_SOFT_THUNK_H
#define CPU_SOFT_THUNK_H

#include "cpu/soft/block.h"

struct thunk_arena;

typedef void thunk_fn(struct cpu *c, const struct uop *u, void *operand);

/* -ENOMEM or another errno of memfd_create or mmap. */
int thunk_arena_new(struct thunk_arena **ret_arena);
void thunk_arena_free(struct thunk_arena *arena);
/* Forget all thunks; no code of the arena may be running. */
void thunk_reset(struct thunk_arena *arena);

/* The thunk of a data instruction, NULL when the arena is full. */
void *thunk_make(struct thunk_arena *arena, const struct x86_insn *insn);

/* Run a thunk once and come back, instead of going on with the next uop. */
void thunk_call(struct cpu *c, void *thunk, void *operand);
/* The uop that thunk_call() passes; a fault in it is seen by the caller as a pending event. */
extern const struct uop thunk_stop[2];

/*
 * SIGFPE, SIGILL and SIGSEGV (an alignment fault) in a thunk become guest exceptions: install the handlers for this process
 * (once) and name the arena whose code this thread runs. Others' signals go to their old handler.
 */
int thunk_signals_install(void);
/* The stack that a CPU's thread takes signals on (c->signal_stack, to be freed): -ENOMEM. */
int thunk_signals_new(struct cpu *c);
void thunk_signals_enter(struct cpu *c);
void thunk_signals_leave(void);
/* Where the handler sends the thread: raises the exception for c->fault_signal. */
void thunk_fault(struct cpu *c, const struct uop *u);

#endif
