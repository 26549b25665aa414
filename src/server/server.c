/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "server/accounts.h"
#include "server/automation.h"
#include "server/bus.h"
#include "server/caller.h"
#include "server/files.h"
#include "server/jail.h"
#include "server/life.h"
#include "server/networks.h"
#include "server/sessions.h"
#include "server/settings.h"
#include "server/shares.h"
#include "server/stamp.h"
#include "server/tasks.h"
#include "server/tick.h"

/* Two servers on one state would fight; the lock goes with the process. */
static int lock_state(struct server *server, struct error *err)
{
    AUTO_FREE char *path = files_join(server->state, "lock");
    AUTO_FD int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        return error_set(err, -errno, "%s cannot be written: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY,
                         "another yadod uses %s; stop it, or give --state another "
                         "folder",
                         server->state);
    server->lock_fd = take_fd(&fd);
    return 0;
}

static int make_folders(struct server *server, struct error *err)
{
    static const char *const names[] = {"machines", "scripts", "networks"};
    int r = files_folder(server->state, 0700, err);

    if (r == 0)
        r = files_folder(server->run, 0711, err);
    for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++) {
        AUTO_FREE char *path = files_join(server->state, names[i]);

        r = path ? files_folder(path, 0700, err) : -ENOMEM;
    }
    return r;
}

/* Machines that ran when the last server ended, or that were on when the host went down. */
static void find_running(struct server *server)
{
    struct process_end gone = {.end = "host-crash", .status = -1};

    for (struct machine *m = server->machines; m; m = m->next) {
        enum machine_state before = m->state;

        if (process_find(m)) {
            if (m->process)
                life_set_state(m, MACHINE_STATE_STARTING);
        } else if (m->was_on && m->started_ms && !m->has_reason && before == MACHINE_STATE_OFF) {
            life_ended(m, &gone); /* the folder of sockets went with the host */
        }
    }
}

int server_open(struct server *server, struct error *err)
{
    AUTO_FREE char *path = files_join(server->state, "yado.db");
    int r = make_folders(server, err);

    server->lock_fd = -1;
    server->started_ms = stamp_now_ms();
    if (r == 0)
        r = lock_state(server, err);
    if (r == 0)
        r = settings_load(server, err);
    if (r == 0)
        r = path ? store_open(path, &server->store, err) : -ENOMEM;
    if (r == 0)
        r = permissions_load(server);
    if (r < 0)
        return r;
    jail_init(server);
    shares_init(server, &shares_host);
    task_recover(server);
    automation_start(server);
    networks_open(server);
    inventory_recover(server);
    inventory_load(server, NULL);
    find_running(server);
    return 0;
}

void server_start(struct server *server)
{
    struct actor actor = actor_system("server");

    bus_event(server,
              &(struct event){.kind = EVENT_KIND_SERVER_STARTED,
                              .actor = &actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_SERVER},
              "the server has started, with %u machines", server->machine_count);
    tick_start(server);
    autostart_begin(server);
}

void server_close(struct server *server)
{
    struct actor actor = actor_system("server");

    if (server->tick.data) {
        bus_event(server,
                  &(struct event){.kind = EVENT_KIND_SERVER_STOPPING,
                                  .actor = &actor,
                                  .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                                  .cause = EVENT_CAUSE_SERVER},
                  "the server ends; machines go on");
        tick_stop(server);
    }
    autostart_end(server);
    automation_stop(server);
    inventory_free(server);
    networks_close(server);
    task_free_all(server);
    permissions_free(server);
    accounts_free(server);
    throttle_free(server);
    server->store = store_close(server->store);
    json_decref(server->settings);
    free(server->cgroup);
    free(server->jail_said);
    if (server->lock_fd >= 0)
        close(server->lock_fd);
}
