/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who makes a request, and what they may do.
 *
 * Rights come from three places: entries for the object, entries for the server (which hold for
 * every object), and owning a machine. A denial wins over all of these; administrators cannot be
 * denied anything. A token may have fewer rights than its user, never more.
 */
#ifndef SERVER_CALLER_H
#define SERVER_CALLER_H

#include "server/actor.h"
#include "server/problem.h"
#include "server/server.h"

#define CALLER_GROUPS_MAX 256
#define RIGHT_BIT(right) (1u << (right))
#define RIGHTS_ALL ((1u << RIGHT_COUNT) - 1)

enum caller_method { CALLER_SOCKET, CALLER_SESSION, CALLER_TOKEN };

struct caller {
    enum caller_method method;
    char user[65];
    char token[65];       /* name of the token, CALLER_TOKEN */
    char address[64];     /* where from; empty on the socket */
    char csrf[65];        /* CALLER_SESSION */
    char secret_hash[65]; /* of the session */
    int64_t expires_ms;   /* of the session */
    bool everywhere;      /* has all rights that limit lets through, on everything */
    bool administrator;   /* … and limit lets all through */
    unsigned limit;       /* rights that a token lets through */
    char *groups[CALLER_GROUPS_MAX];
    unsigned group_count;
};

/* Give the caller an administrator's rights, as far as the limit lets them through. */
void caller_promote(struct caller *caller);
/* Look the user up: groups, and whether they administer. Fails only for lack of memory. */
int caller_fill(struct server *server, struct caller *caller, const char *user);
void caller_done(struct caller *caller);
struct actor caller_actor(const struct caller *caller);

/* A mask of RIGHT_BIT()s. id as in struct about. */
unsigned caller_rights(struct server *server, const struct caller *caller, enum object_type type,
                       const char *id);
struct machine;
/* The same for a machine that is at hand. */
unsigned caller_machine_rights(const struct caller *caller, const struct machine *m);
/* 0, or -1 with the problem: not-found for who may not even see it. */
int caller_may(struct server *server, const struct caller *caller, enum object_type type,
               const char *id, enum right right, struct problem *p);
/* "view", …: as the API lists them. */
json_t *rights_json(unsigned rights);
/* The mask of a checked array of names; an absent one is all. */
unsigned rights_from_json(json_t *array);

/* One entry. */
struct permission {
    char id[17];
    bool group;
    char subject[65];
    enum object_type object_type;
    char *object; /* "" for the server */
    unsigned rights;
    bool deny;
};
int permissions_load(struct server *server);
void permissions_free(struct server *server);
const struct permission *permission_find(const struct server *server, const char *id);
json_t *permission_json(struct server *server, const struct permission *permission);
/* Write an entry (id new or known), forget one, forget all of an object or of a subject. */
int permission_put(struct server *server, const struct permission *permission);
int permission_remove(struct server *server, const char *id);
int permission_forget_object(struct server *server, enum object_type type, const char *object);
int permission_forget_user(struct server *server, const char *user);

#endif
