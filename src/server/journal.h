/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of systemd (sd-journal(3)), with fields, where the server's standard error goes
 * there (JOURNAL_STREAM, systemd.exec(5)); standard error otherwise.
 */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <jansson.h>

/* An event as the API has it. */
void journal_event(json_t *event);

#endif
