/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the translator has made, for people: a map for `perf`, and one block in both languages.
 * Ordinary code, compiled like any other room's: the guest's vector state must be saved.
 */
#ifndef CPU_SOFT_T1_LOG_H
#define CPU_SOFT_T1_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Open /tmp/perf-PID.map, where `perf report` looks for the names of generated code. *ret_fd is to
 * be closed. An errno with text when it cannot be created.
 */
int t1_log_map_open(int *ret_fd, struct error *err);
/* A line of the map. user: the guest's CPL is 3. */
void t1_log_map(int fd, uint64_t code, uint64_t code_bytes, uint64_t guest_rip, int user);

/* Disassemble to the log, each line behind title; bits: 16, 32 or 64. The code runs at rip. */
void t1_log_code(const char *title, const uint8_t *host, size_t len_bytes, uint64_t rip,
                 unsigned bits);

#endif
