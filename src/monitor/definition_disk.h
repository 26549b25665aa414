/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person asked for with --disk: one image, where it is connected, and what it may do.
 */
#ifndef MONITOR_DEFINITION_DISK_H
#define MONITOR_DEFINITION_DISK_H

#include <jansson.h>

#include "machine/machine.h"

struct definition_disk {
    char *path;
    enum machine_bus bus;
    bool readonly;
    struct blk_limits limits;
};

/*
 * FILE[,bus=…][,readonly][,read-bytes-per-second=N]…; a comma in the name is written twice. -EINVAL with
 * text; *ret_disk is then empty.
 */
int definition_disk_parse(const char *text, struct definition_disk *ret_disk, struct error *err);
/* A string as above, or an object with "file" and the same names. */
int definition_disk_parse_json(json_t *value, struct definition_disk *ret_disk, struct error *err);
void definition_disk_done(struct definition_disk *disk);
/* "ide", "virtio", "sata" or "scsi". -EINVAL with text. */
int definition_parse_bus(const char *text, enum machine_bus *ret_bus, struct error *err);

/*
 * "read-bytes-per-second", "write-bytes-per-second", "reads-per-second" or "writes-per-second"; 0 is no
 * limit. -ENOENT: name is none of these; -EINVAL with text.
 */
int definition_limit(const char *name, json_t *value, struct blk_limits *limits, struct error *err);
/* A limit by its number, for those who tell of all. NULL: there are not so many. */
const char *definition_limit_name(unsigned n);
uint64_t definition_limit_value(const struct blk_limits *limits, unsigned n);

#endif
