/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual networks as the server knows them: STATE/networks/NAME/network.json, and for each a
 * yado-net that is started with the server, started again when it ends, and outlives the server as
 * machines do. Its sockets are in RUN/net-NAME.
 */
#ifndef SERVER_NETWORKS_H
#define SERVER_NETWORKS_H

#include "server/caller.h"
#include "server/machine.h"
#include "wire/channel.h"

struct network_process;

struct network {
    struct server *server;
    char *name;
    char *folder, *run;
    json_t *definition;
    char etag[17];
    enum network_state state;
    char problem[256]; /* why it failed */
    json_t *status;    /* what yado-net said last, or NULL */
    struct network_process *process;
    bool deleted;
    struct network *next;
};

/* Read all definitions, find those that run, start the others. */
void networks_open(struct server *server);
/* Forget them; they go on. */
void networks_close(struct server *server);
struct network *network_find(struct server *server, const char *name);
struct about network_about(const struct network *n);

/*
 * Take a definition, which has passed the schema, for a new network (n NULL) or in place of n's.
 * yado-net looks at it first: done() comes later, with the network or a problem.
 */
typedef void network_done(void *ctx, struct network *n, const struct problem *p);
void network_put(struct server *server, struct network *n, json_t *definition, network_done *done,
                 void *ctx);
/* End it and remove its files; n is gone afterwards. */
void network_remove(struct network *n);
/* Ask its yado-net; takes arguments over. -EPIPE: it does not run. */
int network_call(struct network *n, const char *command, json_t *arguments, channel_done *done,
                 void *ctx);
/* As the API shows it to a caller. */
json_t *network_json(struct network *n, const struct caller *caller);
/* Where captures are written; freed with free(). */
char *network_capture_path(const struct network *n);

/* ---- machines' adapters ---- */

/*
 * A machine's process, which may be a user of its own in a jail, finds the sockets of its networks
 * and no others in RUN/ID/nets, a folder that only it may enter: hard links. Make the folder what the
 * definition says; for a network that has a new socket, all machines'; take the folder away.
 */
#define NETWORK_LINKS "nets"
void network_link(struct machine *m);
void network_link_machines(struct network *n);
void network_unlink(struct machine *m);
/* The adapters of a definition as yado-vm is to be given them: networks by their sockets. */
void network_resolve(json_t *definition);
/* Before m, with `started` set, is turned on: what address each of its adapters has. -EEXIST with text:
 * one that the definition names is another's that is on. */
int network_addresses(struct machine *m, struct error *err);
/* Put them into a definition for its process. */
void network_put_addresses(const struct machine *m, json_t *definition);
/* Which adapters of a running machine lead elsewhere in its new definition: they are moved. */
void network_move_adapters(struct machine *m, json_t *before);
/* A problem where a definition names a network that is not there, or that the caller may not use;
 * what was in before is not looked at. 0 or -1. */
int network_check_adapters(struct server *server, const struct caller *caller, json_t *definition,
                           json_t *before, struct problem *p);

#endif
