/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The place that a jailed process sees: a root of its own in memory, read-only, in which nothing
 * exists but the programs' libraries, firmware, a few devices and the files that it was given, at
 * the paths that they have outside. Mount calls: mount_setattr(2), open_tree(2), move_mount(2).
 *
 * Files are mounted with their owner mapped to the process's user ("idmapped mounts", Linux 5.12):
 * they need no other owner or mode, and what the process makes belongs to their owner. Where the
 * host or the file system refuses that, what it may write is given to its user (chown).
 */
#ifndef JAIL_PLACE_H
#define JAIL_PLACE_H

#include <sys/types.h>

#include "base/error.h"

#define PLACE_FILES_MAX 256u

struct place_file {
    const char *path; /* absolute, without links; not owned */
    bool write;
};

struct place {
    uid_t user; /* and group */
    struct place_file files[PLACE_FILES_MAX];
    unsigned count;
};

/* Add a path and keep it: 0; 1: it was there, write wins and path is not kept; -E2BIG: too many. */
int place_add(struct place *place, const char *path, bool write);
/*
 * Take hold of everything by its path, and make it the root of this process, which must have a
 * mount namespace of its own. The working folder is lost. -errno with text.
 */
int place_enter(const struct place *place, struct error *err);
/* /proc of a new PID namespace, from within it, before place_seal(). -errno. */
int place_proc(void);
/* Nothing can be made in the root any more. -errno. */
int place_seal(void);
/*
 * Give a file to a process that is in such a place already: one that may be read only. 0 too where
 * the process has no place of its own. -errno with text.
 */
int place_reach(pid_t pid, const char *path, uid_t user, struct error *err);

#endif
