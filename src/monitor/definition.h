/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person asked for: the options of `yado run`, or a JSON file with the same names.
 */
#ifndef MONITOR_DEFINITION_H
#define MONITOR_DEFINITION_H

#include "machine/machine.h"
#include "monitor/definition_disk.h"
#include "monitor/definition_net.h"

struct definition {
    char *name;
    char *engine;
    unsigned cpus;
    uint64_t memory_bytes;
    char *firmware, *kernel, *initrd, *append;
    struct definition_disk disks[MACHINE_DISKS_MAX];
    unsigned disk_count;
    char *parents[MACHINE_PARENTS_MAX];
    unsigned parent_count;
    enum undo undo;
    char *cdrom, *floppy;
    bool cdrom_sata, sata, scsi;
    enum machine_boot boot;
    bool boot_given;
    enum machine_iommu iommu;
    bool edu;
    struct definition_net nets[MACHINE_NETS_MAX];
    unsigned net_count;
    char *serial;        /* "stdio", "null", "file=PATH", "unix=PATH" */
    char *display;       /* "none", "vnc=ADDR:PORT", "vnc=unix:PATH" */
    char *debug_console; /* NULL, or as serial */
    char *control;       /* NULL, or the path of the socket */
    char *restore;       /* NULL, or the file of a saved machine */
    char *reserve_state; /* NULL, or the file that it may be saved to */
    char *report;        /* NULL, or the file that says in the end how it came */
    bool debug_exit, stop_on_reset, stop_on_triple_fault, stats;
};

/* The defaults. -ENOMEM. */
int definition_init(struct definition *def);
void definition_done(struct definition *def);
/*
 * Options as main() has them (argv[0] is skipped). Later ones win, except --disk,
 * --parents and --net, which add.
 * -EINVAL with text.
 */
int definition_parse_args(struct definition *def, int argc, char **argv, struct error *err);
/* A JSON object. Unknown names are refused, but for "server", which is yadod's. */
int definition_parse_json(struct definition *def, const char *text, size_t len_bytes,
                          struct error *err);
/* "512M": bytes, with K, M, G or T; a bare number is MiB. -EINVAL. */
int definition_parse_size(const char *text, uint64_t *ret_bytes);
/* "keep", "commit" or "discard". -EINVAL with text. */
int definition_parse_undo(const char *text, enum undo *ret_undo, struct error *err);
/* What machine_new() wants to know; strings stay def's. */
void definition_to_config(const struct definition *def, struct machine_config *ret_config);

#endif
