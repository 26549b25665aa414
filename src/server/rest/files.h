/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is not the API: the website, which is built into the program, the API's description and
 * its page.
 */
#ifndef SERVER_REST_FILES_H
#define SERVER_REST_FILES_H

#include "server/rest/http.h"

/* Made by tools/embed-files of web/dist; the last has no path. */
struct web_file {
    const char *path, *type, *etag;
    const unsigned char *data;
    size_t bytes;
};
extern const struct web_file web_files[];

void files_answer(struct server *server, struct connection *c, const char *method, const char *path,
                  const char *if_none_match);

#endif
