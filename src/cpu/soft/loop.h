/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block loop, as the engine calls it.
 */
#ifndef CPU_SOFT_LOOP_H
#define CPU_SOFT_LOOP_H

#include "cpu/soft/cpu.h"

/* Run until there is a reason to leave; on the vCPU's thread. */
enum vcpu_exit cpu_loop(struct cpu *c);
/* Has a CPU that does not run a reason to? */
bool cpu_runnable(struct cpu *c);

/* The registers to and from their architectural form (state.c); the CPU must not be running. */
void soft_get_state(struct cpu *c, struct x86_state *ret_state);
void soft_put_state(struct cpu *c, const struct x86_state *state);

#endif
