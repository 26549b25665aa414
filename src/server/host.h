/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about the host, from /proc (proc(5)).
 */
#ifndef SERVER_HOST_H
#define SERVER_HOST_H

#include <sys/types.h>

#include "base/util.h"

unsigned host_cpus(void);
uint64_t host_memory_bytes(void);
uint64_t host_memory_available_bytes(void);
/* This start of the host; freed with free(), NULL: unknown. */
char *host_boot_id(void);
/* "model name" of the first processor, or "". */
void host_cpu_model(char *buf, size_t room);
/* Clock ticks that all processors have been busy, and in all. */
void host_cpu_times(uint64_t *ret_busy, uint64_t *ret_total);
/* Whether /dev/kvm can be opened. */
bool host_has_kvm(void);

/* What a process has used; false where it is gone. Disk bytes may be unknown (0). */
struct host_process {
    double cpu_seconds;
    uint64_t memory_bytes, disk_read_bytes, disk_write_bytes;
};
bool host_process_read(pid_t pid, struct host_process *ret);

#endif
