/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines that start with the host, one after the other: the next waits for the delay of the one
 * before, and for the text that shows that its guest is up. And what becomes of machines when the
 * host goes down.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/console.h"
#include "server/files.h"
#include "server/host.h"
#include "server/life.h"
#include "server/settings.h"
#include "server/stamp.h"

#define LOOK_MS 1000

enum when { WHEN_NEVER, WHEN_ALWAYS, WHEN_IF_RUNNING };
enum wait_for { WAIT_NOTHING, WAIT_SCREEN_TEXT, WAIT_SERIAL_TEXT };
enum at_shutdown { SHUTDOWN_SAVE, SHUTDOWN_TURN_OFF, SHUTDOWN_SHUTDOWN };

struct autostart {
    struct server *server;
    uv_timer_t timer;
    char (*ids)[17];
    unsigned count, at;
    char current[17];          /* that others wait for, or empty */
    int64_t begun_ms, seen_ms; /* steady; seen: when its text was there */
    bool asking;
};

/* ---- at the start ---- */

static bool wants_start(const struct machine *m)
{
    int when = machine_choice(m, "autostart", "when");

    return !life_is_on(m) && !m->problem &&
           (m->state == MACHINE_STATE_OFF || m->state == MACHINE_STATE_SAVED) &&
           (when == WHEN_ALWAYS || (when == WHEN_IF_RUNNING && m->was_on));
}

static int by_order(const void *a, const void *b)
{
    const struct machine *x = *(struct machine *const *)a, *y = *(struct machine *const *)b;
    long long p = machine_integer(x, "autostart", "order");
    long long q = machine_integer(y, "autostart", "order");

    return p != q ? (p < q ? -1 : 1) : strcmp(x->name, y->name);
}

/* RUN/boot says for which start of the host it has been done. */
static bool first_since_boot(struct server *server)
{
    AUTO_FREE char *path = files_join(server->run, "boot");
    AUTO_FREE char *before = NULL;
    AUTO_FREE char *boot = host_boot_id();
    size_t len;

    if (!path || !boot)
        return false;
    if (files_read(path, 4096, &before, &len, NULL) == 0 && !strcmp(before, boot))
        return false;
    files_replace(path, boot, strlen(boot), 0600, NULL);
    return true;
}

static void next(struct autostart *a);

static void on_timer(uv_timer_t *timer)
{
    next(timer->data);
}

static bool text_found(struct machine *m, json_t *screen)
{
    json_t *part = machine_part(m, "autostart"), *line;
    const char *text = json_string_value(json_object_get(part, "wait-text"));
    size_t i;

    if (!text)
        return true;
    if (!screen)
        return console_has_text(m, text);
    json_array_foreach(
        json_object_get(screen, "lines"), i,
        line) if (strstr(json_string_value(line) ? json_string_value(line) : "", text)) return true;
    return false;
}

static void on_screen(void *ctx, int r, json_t *value, const char *message)
{
    struct autostart *a = ctx;
    struct machine *m = machine_find(a->server, a->current);

    (void)message;
    a->asking = false;
    if (m && r == 0 && text_found(m, value))
        a->seen_ms = stamp_steady_ms();
}

/* Does the one that was started last keep the others waiting? */
static bool must_wait(struct autostart *a)
{
    struct machine *m = machine_find(a->server, a->current);
    long long delay, limit;
    int wait;
    int64_t now = stamp_steady_ms();

    if (!m || !life_is_on(m))
        return false;
    delay = machine_integer(m, "autostart", "delay-seconds") * 1000;
    limit = machine_integer(m, "autostart", "wait-seconds") * 1000;
    wait = machine_choice(m, "autostart", "wait");
    if (wait == WAIT_NOTHING)
        return now < a->begun_ms + delay;
    if (!a->seen_ms && now < a->begun_ms + limit) {
        if (wait == WAIT_SERIAL_TEXT && text_found(m, NULL))
            a->seen_ms = now;
        else if (wait == WAIT_SCREEN_TEXT && !a->asking)
            a->asking = process_call(m, "screen-text", NULL, 5000, on_screen, a) == 0;
        if (!a->seen_ms)
            return true;
    }
    return a->seen_ms && now < a->seen_ms + delay;
}

static void start_one(struct autostart *a, struct machine *m)
{
    struct actor actor = actor_system("autostart");
    struct life_request request = {.op = OP_START, .actor = &actor, .cause = EVENT_CAUSE_AUTOSTART};
    struct task *task;
    struct problem p;

    memcpy(a->current, m->id, sizeof(a->current));
    a->begun_ms = stamp_steady_ms();
    a->seen_ms = 0;
    if (life_act(m, &request, &task, &p) < 0)
        bus_event(a->server,
                  &(struct event){.kind = EVENT_KIND_MACHINE_START_FAILED,
                                  .severity = SEVERITY_ERROR,
                                  .actor = &actor,
                                  .about = machine_about(m),
                                  .cause = EVENT_CAUSE_AUTOSTART},
                  "%s could not be started: %s", m->name, p.detail.text);
}

static void next(struct autostart *a)
{
    while (a->at < a->count && !must_wait(a)) {
        struct machine *m = machine_find(a->server, a->ids[a->at++]);

        if (m && wants_start(m))
            start_one(a, m);
    }
    if (a->at == a->count)
        uv_timer_stop(&a->timer);
}

void autostart_begin(struct server *server)
{
    struct machine **list;
    struct autostart *a;
    unsigned count = 0;

    if (!first_since_boot(server) || !settings_boolean(server, "autostart"))
        return;
    list = calloc(server->machine_count + 1, sizeof(*list));
    a = calloc(1, sizeof(*a));
    if (a)
        a->ids = calloc(server->machine_count + 1, sizeof(*a->ids));
    if (!list || !a || !a->ids) {
        free(list);
        free(a);
        return;
    }
    for (struct machine *m = server->machines; m; m = m->next)
        if (wants_start(m))
            list[count++] = m;
    qsort(list, count, sizeof(struct machine *), by_order);
    for (unsigned i = 0; i < count; i++)
        memcpy(a->ids[i], list[i]->id, sizeof(*a->ids));
    free(list);
    a->server = server;
    a->count = count;
    uv_timer_init(server->loop, &a->timer);
    a->timer.data = a;
    server->autostart = a;
    uv_timer_start(&a->timer, on_timer, LOOK_MS, LOOK_MS);
    next(a);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct autostart *a = handle->data;

    free(a->ids);
    free(a);
}

void autostart_end(struct server *server)
{
    if (server->autostart)
        uv_close((uv_handle_t *)&server->autostart->timer, on_timer_closed);
    server->autostart = NULL;
}

/* ---- when the host goes down ---- */

struct stop_all {
    struct server *server;
    struct task *task;
    unsigned left, all;
    char failed[200];
};

struct stop_one {
    struct task_waiter waiter;
    struct stop_all *all;
    char id[17];
    bool second; /* saving or shutting down failed; this is the power cut */
};

static void stop_machine(struct stop_one *one, enum machine_op op, const struct actor *actor);

/* One less to wait for. */
static void count_down(struct stop_all *all)
{
    struct problem p;

    all->left--;
    if (all->task)
        task_percent(all->task, (int)(100 * (all->all - all->left) / MAX(all->all, 1u)));
    if (all->left)
        return;
    if (*all->failed) {
        problem_set(&p, PROBLEM_CODE_FAILED, NULL, "could not be stopped: %s", all->failed);
        task_failed(all->task, &p);
    } else {
        task_done(all->task, NULL);
    }
    free(all);
}

static void stop_done(struct stop_one *one)
{
    struct stop_all *all = one->all;

    free(one);
    count_down(all);
}

static void on_stopped(void *ctx, struct task *task)
{
    struct stop_one *one = ctx;
    struct machine *m = machine_find(one->all->server, one->id);

    if (task->state != TASK_STATE_DONE && m && life_is_on(m) && !one->second) {
        struct actor actor = task->actor;

        one->second = true;
        stop_machine(one, OP_TURN_OFF, &actor);
        return;
    }
    if (task->state != TASK_STATE_DONE && m && life_is_on(m))
        snprintf(one->all->failed, sizeof(one->all->failed), "%s", m->name);
    stop_done(one);
}

static void stop_machine(struct stop_one *one, enum machine_op op, const struct actor *actor)
{
    struct machine *m = machine_find(one->all->server, one->id);
    struct life_request request = {
        .op = op, .actor = actor, .cause = EVENT_CAUSE_HOST_SHUTDOWN, .force = true};
    struct task *task;
    struct problem p;

    request.timeout_seconds = (unsigned)machine_integer(m, NULL, "shutdown-seconds");
    if (life_act(m, &request, &task, &p) < 0) {
        if (!one->second) {
            one->second = true;
            stop_machine(one, OP_TURN_OFF, actor);
            return;
        }
        snprintf(one->all->failed, sizeof(one->all->failed), "%s", m->name);
        stop_done(one);
        return;
    }
    one->waiter = (struct task_waiter){.ended = on_stopped, .ctx = one};
    if (task->state == TASK_STATE_RUNNING)
        task_wait(task, &one->waiter);
    else
        on_stopped(one, task);
}

int autostart_stop_all(struct server *server, const struct actor *actor, struct task **ret_task,
                       struct problem *p)
{
    static const enum machine_op ops[] = {
        [SHUTDOWN_SAVE] = OP_SAVE,
        [SHUTDOWN_TURN_OFF] = OP_TURN_OFF,
        [SHUTDOWN_SHUTDOWN] = OP_SHUTDOWN,
    };
    struct about about = {OBJECT_TYPE_SERVER, NULL, NULL};
    struct stop_all *all = calloc(1, sizeof(*all));
    struct task *task =
        all ? task_new(server, "server.stop-machines", &about, actor, EVENT_CAUSE_HOST_SHUTDOWN)
            : NULL;

    if (!task) {
        free(all);
        return problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    }
    autostart_end(server);
    *all = (struct stop_all){.server = server, .task = task, .left = 1, .all = 1};
    *ret_task = task;
    for (struct machine *m = server->machines; m; m = m->next) {
        struct stop_one *one = life_is_on(m) ? calloc(1, sizeof(*one)) : NULL;
        int action = machine_choice(m, NULL, "at-host-shutdown");

        if (!one)
            continue;
        one->all = all;
        memcpy(one->id, m->id, sizeof(one->id));
        all->left++;
        all->all++;
        stop_machine(one, ops[MAX(action, 0)], actor);
    }
    /* The one that was counted beforehand, so that the task could not end under way. */
    count_down(all);
    return 0;
}
