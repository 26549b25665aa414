/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A folder that guests may read: files below it, by paths that guests send.
 */
#ifndef SERVICES_FOLDER_H
#define SERVICES_FOLDER_H

#include "base/error.h"

#define FOLDER_PATH_MAX 512u

/* -ENOENT, -ENOTDIR… with text. */
int folder_open(const char *path, int *ret_fd, struct error *err);
/*
 * Open an ordinary file below the folder for reading. Nothing leads out of it: neither "..", nor a
 * symbolic link, nor a mount of /proc (openat2(2), RESOLVE_BENEATH). A slash at the start means the
 * folder. -ENOENT, -EACCES, -EINVAL: not a path; -EISDIR: not an ordinary file.
 */
int folder_file(int folder_fd, const char *path, int *ret_fd, uint64_t *ret_size_bytes);

#endif
