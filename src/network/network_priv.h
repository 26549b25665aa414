/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a virtual network share: network.c has its life and its way out, clients.c the
 * machines, commands.c the control socket's commands.
 */
#ifndef NETWORK_NETWORK_PRIV_H
#define NETWORK_NETWORK_PRIV_H

#include <pthread.h>

#include "hostnet/knat.h"
#include "net/link.h"
#include "net/remote.h"
#include "net/tap.h"
#include "network/history.h"
#include "network/network.h"
#include "network/upstream.h"

/* A machine's adapter. Freed when both handles are closed. */
struct client {
    struct network *network;
    struct client *next;
    char name[REMOTE_NAME_BYTES];
    uint8_t mac[NET_MAC_BYTES];
    int fd;
    struct link link;
    struct switch_port *port; /* NULL: it has not said hello */
    struct switch_config config;
    struct history history;
    uv_poll_t socket_poll, event_poll;
    unsigned open; /* handles */
};

struct network {
    uv_loop_t *loop;
    struct network_definition def;
    pthread_mutex_t lock;
    struct clock *clock;
    struct net_switch *sw;
    struct nat *nat;
    struct tap *tap;
    struct wire *wire; /* what was made on the host for the tap … */
    struct knat *knat; /* … of an external network, or of a kernel's NAT */
    struct switch_port *uplink, *services_port;
    struct services *services; /* NULL: none */
    struct upstream *upstream;
    struct history history;      /* of all machines together */
    struct switch_counters gone; /* of machines that have left */
    uv_timer_t tick;             /* of histories */
    struct pcapng *capture;
    char *path, *leases;
    int listen_fd;
    uv_poll_t listen_poll;
    uv_timer_t timer;
    uv_async_t timer_moved;
    uv_async_t way_gone; /* by the thread of the way out */
    char problem[128];   /* empty: none */
    unsigned open;
    struct client *clients;
    unsigned client_count;
};

void network_lock(void *ctx);
void network_unlock(void *ctx);

/* Accept machines at path; what a dead program left there is removed. */
int clients_listen(struct network *n, const char *path, struct error *err);
/* The listening socket can be read. */
void clients_accept(uv_poll_t *handle, int status, int events);
/* Pull its cable out; it is freed when the loop has closed its handles. */
void client_close(struct client *c);

/* Begin to serve in the network as the definition says; end it, the leases are in their file. Not
 * under the lock. */
int network_services_start(struct network *n, struct error *err);
void network_services_stop(struct network *n);

/* Add counters up. */
void network_sum(struct switch_counters *sum, const struct switch_counters *c);

#endif
