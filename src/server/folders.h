/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where files may be that the API works with: the folders of the settings, and the machines' own.
 * A path is judged by where it really leads, after symbolic links.
 */
#ifndef SERVER_FOLDERS_H
#define SERVER_FOLDERS_H

#include "server/problem.h"
#include "server/server.h"

enum folder_use {
    FOLDER_READ,  /* the file must be there */
    FOLDER_WRITE, /* … and may be changed */
    FOLDER_CREATE /* it must not be there, its folder must */
};

/*
 * Judge a path. 0 with *ret_path, without links and "..", freed with free(); -1 with a problem
 * about field. *ret_machine (may be NULL): the machine in whose folder it lies, or NULL.
 */
int folder_resolve(struct server *server, const char *path, enum folder_use use, const char *field,
                   char **ret_path, struct machine **ret_machine, struct problem *p);
/* The allowed folder of the settings that path (resolved) is or lies in, or NULL. */
json_t *folder_of_settings(struct server *server, const char *path);
/* Free bytes where a path lies, and all; 0 where nobody knows. */
void folder_space(const char *path, uint64_t *ret_free, uint64_t *ret_total);
/* What a file is by its name: an enum folder_kind, FOLDER_KIND_ANY for none of them. */
enum folder_kind folder_kind_of(const char *name);

#endif
