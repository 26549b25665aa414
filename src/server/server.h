/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One server: what its parts share. All of it lives on one libuv loop and one thread; what may
 * block (PAM, webhooks) has threads of its own that see nothing of this.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <jansson.h>
#include <uv.h>

#include "base/error.h"
#include "server/store.h"

struct machine;
struct network;
struct task;
struct bus_listener;
struct permission;
struct shares_world;
struct account;
struct throttle;
struct webhooks;
struct autostart;

struct server {
    uv_loop_t *loop;
    char *state;    /* folder: definitions, store, certificate */
    char *run;      /* folder: sockets of running machines */
    char *programs; /* folder where yado, yado-vm and yado-jail are */
    int lock_fd;    /* STATE/lock; -1: none */
    struct store *store;

    json_t *settings; /* as the administrator has set them; defaults are in settings.c */
    char settings_etag[17];

    struct machine *machines; /* by no order */
    unsigned machine_count;
    struct network *networks; /* by no order */
    struct task *tasks;       /* newest first */
    struct bus_listener *listeners;
    struct permission *permissions;
    unsigned permission_count;
    struct account *accounts; /* of the host, as last asked */
    struct throttle *throttle;
    struct webhooks *webhooks;
    struct autostart *autostart;
    struct bus_listener *automation;
    unsigned script_count; /* children that run now */

    uv_timer_t tick; /* every few seconds: activity, disks, old tasks */
    uint64_t ticks;
    struct timespec
        looked; /* the time of the folder of machines, when inventory_look() was there */
    bool look_again;
    int64_t started_ms;
    double host_cpu_percent;
    uint64_t host_cpu_busy, host_cpu_total; /* /proc/stat at the last tick */
    int low_disk;                           /* 0 fine, 1 warned, 2 error */
    bool stopping;

    const char *jail_missing; /* why there is no jail; NULL: there is one */
    char *jail_said;          /* what of the jail the host refuses, when that was last told */
    const struct shares_world *shares; /* where the host says what there is */
    char *cgroup; /* folder of the cgroup that machines' groups are made in, or NULL */
    const char *cgroup_missing;
    char *https_url, *https_fingerprint; /* of the listener, or NULL */
    char *https_problem;
    /* The settings of HTTPS have been changed: listen as they say. Set by main. */
    void (*https_apply)(void *ctx);
    void *https_ctx;
};

/* Read everything that lies in the folders, find running machines again. -errno with text. */
int server_open(struct server *server, struct error *err);
/* Begin: the tick, autostart. */
void server_start(struct server *server);
/* Let go of everything; machines go on. The loop must be run once more to close its handles. */
void server_close(struct server *server);

#endif
