/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who did something, as it stands in the history; and what was it done to.
 */
#ifndef SERVER_ACTOR_H
#define SERVER_ACTOR_H

#include "api_tables.h"

struct actor {
    enum actor_type type;
    char name[160];   /* a user, USER/TOKEN, a machine, or the part of the server */
    char address[64]; /* of the request; may be empty */
};

/* A part of the server itself. */
struct actor actor_system(const char *part);
json_t *actor_json(const struct actor *actor);

/* id: of a machine, a disk's file, a network's name; NULL for the server. name may be NULL. */
struct about {
    enum object_type type;
    const char *id, *name;
};
json_t *about_json(const struct about *about);

#endif
