/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a CPU has counted (enum cpu_stat), for people.
 */
#ifndef CPU_SOFT_STATS_H
#define CPU_SOFT_STATS_H

#include "cpu/soft/cpu.h"

/* Lines of name and number; cut where buf ends. */
void soft_vcpu_stats(struct vcpu *vcpu, char *buf, size_t buf_bytes);

#endif
