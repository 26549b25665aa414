/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening an image by its contents, with the images that it differs from. The path of a parent
 * comes out of an image that may be hostile: it is followed only within the folders that the
 * opener allows, never in a circle, and what is found there must be the very disk that is meant.
 */
#ifndef BLOCK_CHAIN_H
#define BLOCK_CHAIN_H

#include "block/blk.h"
#include "block/file.h"

/* No format has a limit; this one keeps a hostile chain from using up our stack. */
#define CHAIN_DEPTH_MAX 256u

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

/* The format of an open file by its contents: 1 and its name, 0 none that we know, -errno. */
int chain_format(struct blk_file *file, const char **ret_format, struct error *err);

#endif
