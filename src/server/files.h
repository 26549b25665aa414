/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that must survive a crash of the host: written under another name, flushed, put in place,
 * and the folder flushed. And JSON in such files.
 */
#ifndef SERVER_FILES_H
#define SERVER_FILES_H

#include <jansson.h>

#include "base/error.h"

#define FILES_JSON_MAX MIB(1)

/* folder/name, freed with free(); NULL: no memory. */
char *files_join(const char *folder, const char *name);
/* Make a folder with mode, unless it is there; its parents must be. -errno with text. */
int files_folder(const char *path, unsigned mode, struct error *err);
/* The whole of a regular file of at most max_bytes, with a NUL behind it. -errno with text. */
int files_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len,
               struct error *err);
/* Put text in the place of path, whatever happens meanwhile: the old text, or the new one whole. */
int files_replace(const char *path, const void *data, size_t len_bytes, unsigned mode,
                  struct error *err);
/* An object; -EINVAL with text when it is something else. */
int files_read_json(const char *path, json_t **ret_object, struct error *err);
int files_replace_json(const char *path, json_t *object, unsigned mode, struct error *err);
/* Remove a file for good (the folder is flushed). A file that is not there is fine. */
int files_remove(const char *path, struct error *err);
/* Flush the folder that a path lies in. */
int files_flush_folder(const char *path);

#endif
