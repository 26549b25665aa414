/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share.
 *
 * Locks, in the order in which they are taken: machine.lock (every device, the clock, the disks),
 * then machine_cpu.lock (a vCPU's sleep). run_lock (who is parked) stands alone: nothing is taken
 * under it, and it is never taken under another.
 */
#ifndef MACHINE_INTERNAL_H
#define MACHINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/state.h"
#include "block/blk.h"
#include "cpu/engine.h"
#include "machine/machine.h"

#define MACHINE_REPORT_BYTES 2048
/* RAM below 4 GiB ends here when there is more: the rest is for PCI. */
#define LOW_RAM_MAX GIB(3)
#define HIGH_RAM_BASE GIB(4)
#define PHYS_BITS 40

/* What a thread asks of the loop; bits of machine.requests. */
enum machine_request {
    REQUEST_RESET = 1,
    REQUEST_POWER_OFF = 2,
    REQUEST_DEBUG_EXIT = 4,
    REQUEST_TRIPLE_FAULT = 8,
    REQUEST_BROKEN = 16,
    REQUEST_DISK_FULL = 32, /* a disk cannot go on: stand still */
};

struct machine_cpu {
    struct machine *m;
    unsigned index;
    struct vcpu *vcpu;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool poked;
    atomic_bool sleeping;
};

struct pc;
struct saving;

struct idle_watch {
    int fd;
    void (*ready)(void *ctx);
    void *ctx;
};

struct machine {
    struct machine_config config; /* its strings are gone after machine_new() */
    pthread_mutex_t lock;
    struct clock *clock;
    struct ram *ram;
    struct bus *mem, *pio;
    struct engine *engine;
    struct pc *pc;
    struct saving *saving; /* save.c: work that goes on beside the loop, and what it keeps */
    uint64_t low_ram_bytes, high_ram_bytes;
    char *engine_note;

    struct machine_cpu cpus[MACHINE_CPUS_MAX];
    unsigned cpu_count;
    struct idle {
        int epoll_fd, wake_fd;
        struct idle_watch watches[MACHINE_WATCHES_MAX];
        unsigned count;
    } idle;
    uint64_t pokes; /* vCPUs to wake when the lock is given back */

    pthread_mutex_t run_lock;
    pthread_cond_t run_changed;
    atomic_bool hold;           /* vCPUs are to park */
    atomic_uint_fast64_t beats; /* see machine_beats() */
    bool paused;                /* by machine_pause(); only the loop's thread writes it */
    bool started, quit, stuck;
    bool disk_full; /* … for want of room on the host */
    unsigned parked;

    int event_fd, timer_fd;
    atomic_uint requests;
    enum machine_end end;
    int exit_status;
    char report[MACHINE_REPORT_BYTES];
};

/* idle.c: what the first vCPU sleeps on. -errno; free is harmless after a failure. */
int idle_new(struct machine *m);
void idle_free(struct machine *m);
/* Wake it; any thread. */
void idle_wake(struct machine *m);
/* Its sleep, until somebody woke it (true) or a watch was served. Not locked. */
bool idle_wait(struct machine *m, atomic_bool *sleeping);

/* vcpu.c: threads, and what engines call. */
int cpus_new(struct machine *m, struct error *err);
void cpus_free(struct machine *m);
int cpus_start(struct machine *m, struct error *err);
/* Wake the vCPUs whose bits are set. Not locked. */
void cpus_poke(struct machine *m, uint64_t pokes);
/* Make every vCPU park and wait until all have; false if one does not come back. */
bool cpus_park(struct machine *m);
void cpus_release(struct machine *m);
/* Ask for the end of all threads and join them. */
void cpus_join(struct machine *m);
/* Power-on state for every vCPU; they are parked. */
int cpus_reset(struct machine *m);
/* Upward calls for the engine. */
struct cpu_host cpus_host(struct machine *m);
/* Inputs of a vCPU; locked. They wake it when it sleeps. */
void cpu_intr(struct machine *m, unsigned index, bool level);
void cpu_nmi(struct machine *m, unsigned index);
void cpu_init(struct machine *m, unsigned index);
void cpu_sipi(struct machine *m, unsigned index, uint8_t vector);

/* Any thread: stop the vCPUs where they are and let the loop see to it. */
void machine_ask(struct machine *m, enum machine_request request);
/* Any thread: let the loop call machine_poll(). A blk notify function too. */
void machine_wake(void *machine);

/* save.c */
int saving_new(struct machine *m, const struct machine_config *config, struct error *err);
/* Ends what is under way. */
void saving_free(struct machine *m);
/* What the processor of the machine to be restored was, NULL: there is none. */
const struct x86_features *saving_features(const struct machine *m);
const char *saving_vendor(const struct machine *m);
uint64_t saving_tsc_hz(const struct machine *m);
/* Can the machine, as it was made now, go on from the file? */
int saving_check(struct machine *m, struct error *err);
/* Begin to restore if there is something to restore. */
int saving_start(struct machine *m, struct error *err);
/* The loop: is it done? */
void saving_poll(struct machine *m);

/* cpu_state.c: save or load the vCPUs, parked. */
int cpus_state(struct machine *m, struct state *s, struct error *err);
/* The row "lapic" of an engine that has the local APICs itself. */
int apics_state(struct machine *m, struct state *s);

/* pc.c: the devices. Opens disks and firmware. */
int pc_new(struct machine *m, const struct machine_config *config, struct error *err);
void pc_free(struct machine *m);
/* Every device and the processors to power-on, then what boots without firmware is set up. */
int pc_reset(struct machine *m);
/*
 * Save or load every device, the vCPUs parked; disks are drained first. Errors name the device:
 * *ret_where is its row, untouched without an error.
 */
int pc_state(struct machine *m, struct state *s, const char **ret_where);
/* The names of the rows that have state, a line each. */
void pc_rows(const struct machine *m, char *buf, size_t buf_bytes);
/* Locked: nothing is in flight, all is flushed. -ENOSPC with text: something waits for room. */
int pc_quiesce(struct machine *m, struct error *err);
/* Locked, after loading: the outside world's clock went on by ns. */
void pc_elapse(struct machine *m, uint64_t ns);
/* Locked: finish requests of the disks. */
void pc_poll(struct machine *m);
/* Locked: try again what found the host's disk full. */
void pc_retry(struct machine *m);
/* Locked: wait until every disk's requests are done, and flush. */
void pc_flush(struct machine *m);
/* Locked: no frame comes in while the machine stands still. */
void pc_net_hold(struct machine *m, bool held);
/* Locked. */
int pc_intr_ack(struct machine *m, unsigned cpu);
bool pc_apic_msr(struct machine *m, unsigned cpu, uint32_t msr, uint64_t *value, bool write);
uint8_t pc_tpr_get(struct machine *m, unsigned cpu);
void pc_tpr_set(struct machine *m, unsigned cpu, uint8_t cr8);
void pc_ferr(struct machine *m, bool level);
void pc_ioapic_eoi(struct machine *m, uint8_t vector);
/* The local APIC page belongs to the processor that accesses it; true if it was answered. */
bool pc_apic_mmio(struct machine *m, unsigned cpu, uint64_t gpa, unsigned size, uint64_t *value,
                  bool write);

#endif
