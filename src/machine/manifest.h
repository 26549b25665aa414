/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a saved machine was, as far as another must be the same to go on from its state. The first
 * part of its file, small, so that it can be looked at before anything is made.
 */
#ifndef MACHINE_MANIFEST_H
#define MACHINE_MANIFEST_H

#include "base/state.h"
#include "block/identity.h"
#include "machine/machine_internal.h"

#define MANIFEST_CHAIN_MAX 32u
#define MANIFEST_DRIVES (MACHINE_DISKS_MAX + 2)
#define MANIFEST_PATH_BYTES 4096u
#define MANIFEST_ROWS_BYTES 4096u

struct manifest_drive {
    bool present;
    char path[MANIFEST_PATH_BYTES];
    uint8_t bus;
    bool readonly;
    uint32_t files; /* the image and its parents */
    struct blk_identity file[MANIFEST_CHAIN_MAX];
};

struct manifest {
    char program[32]; /* version of what saved it, and its engine: for people */
    char engine[16];
    uint64_t saved_at_ns; /* CLOCK_REALTIME */
    uint32_t cpus;
    uint64_t memory_bytes, store_bytes; /* the store has ROMs and video memory too */
    bool kernel;                        /* started without firmware */
    char vendor[13];
    struct x86_features features;
    uint64_t tsc_hz;
    char rows[MANIFEST_ROWS_BYTES];
    struct manifest_drive drive[MANIFEST_DRIVES]; /* disks, then CD and floppy */
};

/* Allocated: it is large. Free with free(). */
int manifest_of(const struct machine *m, struct manifest **ret_manifest, struct error *err);
/* A walk of its own; -EBADMSG. */
int manifest_walk(struct manifest *manifest, struct state *s);
/* Before anything is made: is this what the configuration asks for? One line names the difference. */
int manifest_check_config(const struct manifest *manifest, const struct machine_config *config,
                          struct error *err);
/* Is it this machine, and are its disks as they were left? */
int manifest_check(const struct manifest *manifest, const struct machine *m, struct error *err);

#endif
