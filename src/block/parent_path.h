/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths of parents, as images write them down and as this host knows them. Nothing is opened here.
 */
#ifndef BLOCK_PARENT_PATH_H
#define BLOCK_PARENT_PATH_H

#include "base/error.h"

/* Where a parent may be, best place first. */
#define PARENT_PATHS_MAX 12u
struct parent_paths {
    char *path[PARENT_PATHS_MAX];
    unsigned count;
};

/* Add a place, or not if it is there already or there is no room; takes path over, NULL is fine. */
void parent_paths_add(struct parent_paths *paths, char *path);
void parent_paths_done(struct parent_paths *paths);

/*
 * A path from an image for this host: backslashes turned, drive letters and \\?\ dropped; what is
 * relative starts at folder. NULL without memory.
 */
char *parent_path_for_host(const char *path, const char *folder);
/* The folder of a file, symbolic links followed; NULL without memory. */
char *folder_of(const char *path);

/* What a child says of the place of its parent; the strings are the caller's to free. */
struct parent_names {
    char *host;     /* absolute, without links */
    char *relative; /* from the child's folder, with backslashes */
    char *absolute; /* with backslashes */
};
/* Of an existing parent and a child in an existing folder; err says what cannot be named. */
int parent_names_find(const char *child_path, const char *parent_path,
                      struct parent_names *ret_names, struct error *err);
void parent_names_done(struct parent_names *names);

#endif
