/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parents of differencing disks, which a machine must be able to read. Their names stand in the
 * images; `yado disk info` reads those, as a child without powers. Its answer is believed no
 * further than the folders go in which parents may lie.
 */
#ifndef JAIL_PARENTS_H
#define JAIL_PARENTS_H

#include "jail/place.h"

#define PARENTS_DISKS_MAX 64u
#define PARENTS_FOLDERS_MAX 64u

struct parents {
    const char *disks[PARENTS_DISKS_MAX];
    unsigned disk_count;
    const char *folders[PARENTS_FOLDERS_MAX];
    unsigned folder_count;
};

/* A disk whose parents are wanted; a folder where they may lie beside those of the disks. -E2BIG. */
int parents_disk(struct parents *parents, const char *path);
int parents_folder(struct parents *parents, const char *path);
/* Add them to what is read. program: yado lies beside it. A disk that cannot be read has none. */
int parents_find(const struct parents *parents, const char *program, struct place *place);

#endif
