/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's accounts and their groups. Asking the host means files to read, or a directory
 * somewhere to wait for (nsswitch.conf(5)), and every request asks: answers are kept for a few
 * seconds.
 */
#ifndef SERVER_ACCOUNTS_H
#define SERVER_ACCOUNTS_H

#include <sys/types.h>

#include "server/server.h"

struct account {
    char *name;
    bool known; /* to the host; the rest is of no meaning otherwise */
    uid_t uid;
    char **groups; /* names, the primary one first */
    unsigned group_count;
    int64_t asked_ms; /* steady */
    struct account *next;
};

/* Who has a name; the list's, until the next call. NULL: no memory. */
const struct account *account_of(struct server *server, const char *name);
/* Who has a number; NULL also where nobody has it. */
const struct account *account_of_uid(struct server *server, uid_t uid);
void accounts_free(struct server *server);

#endif
