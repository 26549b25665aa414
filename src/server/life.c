/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/life.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/files.h"
#include "server/saved.h"
#include "server/shares.h"
#include "server/stamp.h"

#define ANSWER_MS 20000
#define QUIT_MS 20000

static const char *const op_kinds[] = {
    [OP_START] = "machine.start",       [OP_PAUSE] = "machine.pause",
    [OP_RESUME] = "machine.resume",     [OP_SAVE] = "machine.save",
    [OP_RESET] = "machine.reset",       [OP_TURN_OFF] = "machine.turn-off",
    [OP_SHUTDOWN] = "machine.shutdown",
};

bool life_is_on(const struct machine *m)
{
    return m->process != NULL;
}

void life_set_state(struct machine *m, enum machine_state state)
{
    if (m->state != state) {
        m->state = state;
        m->since_ms = stamp_now_ms();
    }
    machine_changed(m);
}

static void tell(struct machine *m, enum event_kind kind, enum severity severity,
                 const struct actor *actor, enum event_cause cause, const char *fmt, ...)
    PRINTF_LIKE(6, 7);

static void tell(struct machine *m, enum event_kind kind, enum severity severity,
                 const struct actor *actor, enum event_cause cause, const char *fmt, ...)
{
    char text[640];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    bus_event(m->server,
              &(struct event){.kind = kind,
                              .severity = severity,
                              .actor = actor,
                              .about = machine_about(m),
                              .cause = cause,
                              .task = m->task ? m->task->id : NULL},
              "%s", text);
}

/* The same for what the task under way has done. */
static void tell_op(struct machine *m, enum event_kind kind, const char *what)
{
    struct actor server = actor_system("server");

    tell(m, kind, SEVERITY_INFO, m->task ? &m->task->actor : &server,
         m->task ? m->task->cause : EVENT_CAUSE_SERVER, "%s %s", m->name, what);
}

static void set_reason(struct machine *m, enum reason_code reason, const struct actor *actor,
                       const char *text)
{
    m->has_reason = true;
    m->reason = reason;
    m->reason_actor = *actor;
    snprintf(m->reason_text, sizeof(m->reason_text), "%s", text);
}

/* ---- the time limit of what is under way ---- */

static void stop_timer(struct machine *m)
{
    if (m->timer)
        uv_timer_stop(m->timer);
}

static void start_timer(struct machine *m, uv_timer_cb callback, uint64_t ms)
{
    if (!m->timer) {
        m->timer = calloc(1, sizeof(*m->timer));
        if (!m->timer)
            return;
        uv_timer_init(m->server->loop, m->timer);
        m->timer->data = m;
    }
    uv_timer_start(m->timer, callback, ms, 0);
}

void life_finish(struct machine *m, const struct problem *problem)
{
    struct task *task = m->task;

    stop_timer(m);
    m->task = NULL;
    m->op = OP_NONE;
    if (task && problem)
        task_failed(task, problem);
    else if (task)
        task_done(task, NULL);
    machine_changed(m);
}

static void fail(struct machine *m, enum problem_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void fail(struct machine *m, enum problem_code code, const char *fmt, ...)
{
    struct problem problem;
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problem_set(&problem, code, NULL, "%s", text);
    life_finish(m, &problem);
}

/* ---- turning off ---- */

static void on_quit_late(uv_timer_t *timer)
{
    process_kill(timer->data); /* life_ended() follows */
}

static void on_quit(void *ctx, int r, json_t *value, const char *message)
{
    (void)value;
    (void)message;
    if (r < 0 && r != -EPIPE)
        process_kill(ctx);
}

/* Whatever it does, it ends. */
static void quit(struct machine *m)
{
    life_set_state(m, MACHINE_STATE_STOPPING);
    start_timer(m, on_quit_late, QUIT_MS);
    if (process_call(m, "quit", NULL, ANSWER_MS, on_quit, m) < 0)
        process_kill(m);
}

static void on_undo(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx;

    (void)value;
    if (r < 0) {
        life_set_state(m, MACHINE_STATE_RUNNING);
        fail(m, PROBLEM_CODE_FAILED, "%s", message);
        return;
    }
    quit(m);
}

static int begin_turn_off(struct machine *m, const struct life_request *request)
{
    if (request->undo && process_call(m, "undo", json_pack("{s:s}", "action", request->undo),
                                      ANSWER_MS, on_undo, m) == 0) {
        life_set_state(m, MACHINE_STATE_STOPPING);
        return 0;
    }
    quit(m);
    return 0;
}

/* ---- shutting down ---- */

static void on_shutdown_late(uv_timer_t *timer)
{
    struct machine *m = timer->data;

    if (m->op == OP_SHUTDOWN && m->force) {
        quit(m);
        return;
    }
    life_set_state(m, MACHINE_STATE_RUNNING);
    fail(m, PROBLEM_CODE_FAILED, "the guest has not shut down in time; it still runs");
}

static void on_powerdown(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx;

    (void)value;
    if (r == 0 || r == -EPIPE || m->op != OP_SHUTDOWN)
        return;
    life_set_state(m, MACHINE_STATE_RUNNING);
    fail(m, PROBLEM_CODE_FAILED, "%s", message);
}

static void cancel_shutdown(void *ctx, struct task *task)
{
    struct machine *m = task->object ? machine_find(task->server, task->object) : NULL;

    (void)ctx;
    if (!m || m->task != task || m->op != OP_SHUTDOWN)
        return;
    stop_timer(m);
    m->task = NULL;
    m->op = OP_NONE;
    task_cancelled(task);
    life_set_state(m, MACHINE_STATE_RUNNING);
}

static int begin_shutdown(struct machine *m, const struct life_request *request)
{
    if (process_call(m, "powerdown", NULL, ANSWER_MS, on_powerdown, m) < 0)
        return -EPIPE;
    m->task->cancel = cancel_shutdown;
    m->force = request->force;
    tell_op(m, EVENT_KIND_MACHINE_SHUTDOWN_REQUESTED, "was asked to shut down");
    life_set_state(m, MACHINE_STATE_STOPPING);
    start_timer(m, on_shutdown_late, (uint64_t)request->timeout_seconds * 1000);
    return 0;
}

/* ---- pause, resume, reset ---- */

static void on_plain(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx;

    (void)value;
    if (r == -EPIPE)
        return; /* life_ended() ends the task */
    if (r < 0) {
        fail(m, PROBLEM_CODE_FAILED, "%s", message);
        return;
    }
    switch (m->op) {
    case OP_PAUSE:
        set_reason(m, REASON_CODE_USER, &m->task->actor, "");
        life_set_state(m, MACHINE_STATE_PAUSED);
        tell_op(m, EVENT_KIND_MACHINE_PAUSED, "was paused");
        break;
    case OP_RESUME:
        m->has_reason = false;
        life_set_state(m, MACHINE_STATE_RUNNING);
        tell_op(m, EVENT_KIND_MACHINE_RESUMED, "goes on");
        break;
    default:
        tell_op(m, EVENT_KIND_MACHINE_RESET, "was reset");
        break;
    }
    life_finish(m, NULL);
}

static int begin_plain(struct machine *m, const char *command)
{
    return process_call(m, command, NULL, ANSWER_MS, on_plain, m);
}

/* ---- save ---- */

static void keep_picture(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->folder, "screen.png");

    if (path && m->thumbnail.png)
        files_replace(path, m->thumbnail.png, m->thumbnail.bytes, 0600, NULL);
}

/* The machine goes on by itself, or stands still if it did before. */
static void save_failed(struct machine *m, const char *why)
{
    struct actor actor = m->task ? m->task->actor : actor_system("server");

    tell(m, EVENT_KIND_MACHINE_SAVE_FAILED, SEVERITY_ERROR, &actor, EVENT_CAUSE_REQUEST,
         "%s could not be saved: %s", m->name, why);
    life_set_state(m, m->save_paused ? MACHINE_STATE_PAUSED : MACHINE_STATE_RUNNING);
    fail(m, PROBLEM_CODE_FAILED, "%s", why);
}

/* Saving has begun, or was refused; the machine says by an event how it came out, and ends. */
static void on_save_begun(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx;

    (void)value;
    if (m->op == OP_SAVE && r < 0 && r != -EPIPE)
        save_failed(m, *message ? message : strerror(-r));
}

static int begin_save(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->files, SAVED_FILE);
    struct error err = {""};
    int r = path ? saved_keep(m, &err) : -ENOMEM;

    if (r < 0)
        return r;
    m->save_paused = m->state == MACHINE_STATE_PAUSED;
    r = process_call(m, "save", json_pack("{s:s}", "path", path), 0, on_save_begun, m);
    if (r == 0)
        life_set_state(m, MACHINE_STATE_SAVING);
    return r;
}

/* ---- start ---- */

static int begin_start(struct machine *m, struct problem *p)
{
    bool restore = machine_saved(m, NULL, NULL);
    struct error err = {""};
    int r = admission_check(m, p);

    if (r == 0)
        r = admission_room(m, p);
    if (r < 0)
        return r;
    r = process_start(m, restore, &err);
    if (r < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", *err.text ? err.text : strerror(-r));
    m->has_reason = false;
    m->was_on = true;
    m->activity = (struct activity){0};
    m->heartbeat = (struct heartbeat){0};
    machine_keep_status(m);
    life_set_state(m, restore ? MACHINE_STATE_RESTORING : MACHINE_STATE_STARTING);
    return 0;
}

static void started(struct machine *m)
{
    AUTO_FREE char *saved = files_join(m->files, SAVED_FILE);
    bool restored = m->state == MACHINE_STATE_RESTORING;

    if (restored && saved) {
        files_remove(saved, NULL);
        saved_forget(m);
    }
    life_set_state(m, MACHINE_STATE_RUNNING);
    tell_op(m, restored ? EVENT_KIND_MACHINE_RESTORED : EVENT_KIND_MACHINE_STARTED,
            restored ? "goes on from where it was saved" : "was turned on");
    life_finish(m, NULL);
}

/* A process that this server did not start. */
static void reattached(struct machine *m, const char *state)
{
    AUTO_FREE char *saved = files_join(m->files, SAVED_FILE);
    struct actor actor = actor_system("server");
    int64_t time;

    if (!strcmp(state, "restoring") || !strcmp(state, "saving")) {
        /* Its end, or its event, says how that came out. */
        life_set_state(m, *state == 'r' ? MACHINE_STATE_RESTORING : MACHINE_STATE_SAVING);
        return;
    }
    if (!strcmp(state, "running") && saved) {
        files_remove(saved, NULL); /* it was restored from that */
        saved_forget(m);
    }
    if (machine_saved(m, NULL, &time) && time + 1000 >= m->started_ms) {
        quit(m); /* it had been saved, and was about to be ended */
        life_set_state(m, MACHINE_STATE_SAVING);
        return;
    }
    if (!strcmp(state, "running"))
        m->has_reason = false;
    else if (!strcmp(state, "disk-full"))
        set_reason(m, REASON_CODE_DISK_FULL, &actor, "the host's disk is full");
    life_set_state(m, strcmp(state, "running") ? MACHINE_STATE_PAUSED : MACHINE_STATE_RUNNING);
    tell(m, EVENT_KIND_MACHINE_REATTACHED, SEVERITY_INFO, &actor, EVENT_CAUSE_SERVER,
         "%s has gone on while the server was away", m->name);
}

void life_ready(struct machine *m, json_t *status)
{
    const char *state = json_string_value(json_object_get(status, "state"));

    if (m->op != OP_START)
        reattached(m, state ? state : "running");
    else if (!state || strcmp(state, "restoring"))
        started(m); /* else by the event "restored" */
}

/* ---- what it says by itself ---- */

void life_event(struct machine *m, const char *name, json_t *data)
{
    struct actor guest = {.type = ACTOR_TYPE_GUEST};
    double total = json_number_value(json_object_get(data, "total-bytes"));
    const char *why = json_string_value(json_object_get(data, "message"));

    snprintf(guest.name, sizeof(guest.name), "%s", m->name);
    if (!strcmp(name, "disk-full")) {
        struct actor host = actor_system("host");

        set_reason(m, REASON_CODE_DISK_FULL, &host, "the host's disk is full");
        life_set_state(m, MACHINE_STATE_PAUSED);
        tell(m, EVENT_KIND_MACHINE_DISK_FULL, SEVERITY_ERROR, &host, EVENT_CAUSE_HOST,
             "%s is paused: the host has no room for what it writes; make room, then resume it",
             m->name);
    } else if (!strcmp(name, "reset")) {
        tell(m, EVENT_KIND_MACHINE_GUEST_RESET, SEVERITY_INFO, &guest, EVENT_CAUSE_GUEST,
             "%s was reset by its guest", m->name);
    } else if (!strcmp(name, "progress") && total > 0 && m->task && m->op == OP_SAVE) {
        double done = json_number_value(json_object_get(data, "done-bytes"));

        task_percent(m->task, (int)(100 * MIN(done / total, 1.0)));
    } else if (!strcmp(name, "saved") && m->state == MACHINE_STATE_SAVING) {
        keep_picture(m);
    } else if (!strcmp(name, "save-failed") || !strcmp(name, "save-cancelled")) {
        if (m->state == MACHINE_STATE_SAVING)
            save_failed(m, why ? why : "it was cancelled");
    } else if (!strcmp(name, "restored") && m->state == MACHINE_STATE_RESTORING) {
        started(m);
    }
}

struct ending {
    const char *end;
    enum reason_code reason;
    enum event_kind kind;
    enum severity severity;
    bool guest;
    const char *words;
};

static const struct ending endings[] = {
    {"powered-off", REASON_CODE_GUEST, EVENT_KIND_MACHINE_GUEST_OFF, SEVERITY_INFO, true,
     "was turned off by its guest"},
    {"debug-exit", REASON_CODE_GUEST, EVENT_KIND_MACHINE_GUEST_OFF, SEVERITY_INFO, true,
     "was ended by its guest"},
    {"reset", REASON_CODE_GUEST_RESET, EVENT_KIND_MACHINE_GUEST_RESET, SEVERITY_INFO, true,
     "was reset by its guest, and so turned off"},
    {"triple-fault", REASON_CODE_TRIPLE_FAULT, EVENT_KIND_MACHINE_PROCESSOR_ERROR, SEVERITY_ERROR,
     true, "was stopped by a triple fault"},
    {"host-crash", REASON_CODE_HOST_CRASH, EVENT_KIND_MACHINE_CRASHED, SEVERITY_WARNING, false,
     "was on when the host went down"},
    {"quit", REASON_CODE_USER, EVENT_KIND_MACHINE_TURNED_OFF, SEVERITY_INFO, false,
     "was turned off"},
    {"signal", REASON_CODE_USER, EVENT_KIND_MACHINE_TURNED_OFF, SEVERITY_WARNING, false,
     "was ended by a signal on the host"},
    {"", REASON_CODE_CRASHED, EVENT_KIND_MACHINE_CRASHED, SEVERITY_ERROR, false,
     "has crashed: its process is gone"},
};

static const struct ending *find_ending(const char *end)
{
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (!strcmp(endings[i].end, end))
            return &endings[i];
    return &endings[ARRAY_LEN(endings) - 1];
}

static void start_failed(struct machine *m, const struct process_end *end, bool restoring)
{
    struct actor actor = m->task ? m->task->actor : actor_system("server");
    const char *why = *end->message ? end->message : "its process ended without a word";

    set_reason(m, restoring ? REASON_CODE_RESTORE_FAILED : REASON_CODE_START_FAILED, &actor, why);
    m->was_on = false;
    tell(m, restoring ? EVENT_KIND_MACHINE_RESTORE_FAILED : EVENT_KIND_MACHINE_START_FAILED,
         SEVERITY_ERROR, &actor, m->task ? m->task->cause : EVENT_CAUSE_SERVER,
         "%s could not be %s: %s", m->name, restoring ? "restored" : "turned on", why);
    fail(m, PROBLEM_CODE_FAILED, "%s", why);
}

/* It was on, and is not any more. */
static void ran_and_ended(struct machine *m, const struct process_end *end)
{
    const struct ending *ending = find_ending(end->end);
    bool asked = m->op == OP_TURN_OFF || m->op == OP_SAVE || m->op == OP_SHUTDOWN;
    bool host = m->task && m->task->cause == EVENT_CAUSE_HOST_SHUTDOWN;
    struct actor actor = m->task ? m->task->actor : actor_system("server");
    enum event_cause cause = m->task ? m->task->cause : EVENT_CAUSE_SERVER;

    if (asked && !*end->end) /* we had to kill it */
        ending = find_ending("quit");
    if (ending->guest && m->op != OP_SHUTDOWN) {
        actor = (struct actor){.type = ACTOR_TYPE_GUEST};
        snprintf(actor.name, sizeof(actor.name), "%s", m->name);
        cause = EVENT_CAUSE_GUEST;
    } else if (!asked) {
        cause = ending->reason == REASON_CODE_CRASHED ? EVENT_CAUSE_CRASH : EVENT_CAUSE_HOST;
    }
    set_reason(m, host ? REASON_CODE_HOST_SHUTDOWN : ending->reason, &actor,
               ending->severity == SEVERITY_ERROR ? end->message : "");
    m->was_on = host || ending->reason == REASON_CODE_HOST_CRASH;
    tell(m, ending->kind, ending->severity, &actor, cause, "%s %s%s%.200s", m->name, ending->words,
         ending->severity == SEVERITY_ERROR && *end->message ? ": " : "",
         ending->severity == SEVERITY_ERROR ? end->message : "");
}

static void saved_and_ended(struct machine *m)
{
    struct actor actor = m->task ? m->task->actor : actor_system("server");
    bool host = m->task && m->task->cause == EVENT_CAUSE_HOST_SHUTDOWN;

    set_reason(m, host ? REASON_CODE_HOST_SHUTDOWN : REASON_CODE_USER, &actor, "");
    m->was_on = host;
    tell(m, EVENT_KIND_MACHINE_SAVED, SEVERITY_INFO, &actor,
         m->task ? m->task->cause : EVENT_CAUSE_SERVER, "%s was saved", m->name);
}

void life_ended(struct machine *m, const struct process_end *end)
{
    enum machine_state before = m->state;
    bool saved = machine_saved(m, NULL, NULL);
    AUTO_FREE char *part = files_join(m->files, SAVED_PART);

    share_remove(m);
    if (part)
        unlink(part);
    json_decref(m->started);
    m->started = NULL;
    *m->engine = '\0';
    m->state = saved ? MACHINE_STATE_SAVED : MACHINE_STATE_OFF;
    m->since_ms = stamp_now_ms();
    if (m->op == OP_START && find_ending(end->end)->guest) {
        /* Its guest was faster than we. */
        tell_op(m, EVENT_KIND_MACHINE_STARTED, "was turned on");
        ran_and_ended(m, end);
        life_finish(m, NULL);
    } else if (m->op == OP_START) {
        start_failed(m, end, before == MACHINE_STATE_RESTORING);
    } else {
        if (saved && before == MACHINE_STATE_SAVING)
            saved_and_ended(m);
        else
            ran_and_ended(m, end);
        if (m->op == OP_TURN_OFF || m->op == OP_SHUTDOWN || (m->op == OP_SAVE && saved))
            life_finish(m, NULL);
        else if (m->op != OP_NONE)
            fail(m, PROBLEM_CODE_FAILED, "the machine has ended meanwhile");
    }
    machine_keep_status(m);
    process_clean(m);
    machine_changed(m);
}

/* ---- asking for it ---- */

static unsigned states_for(enum machine_op op)
{
#define IN(state) (1u << MACHINE_STATE_##state)
    switch (op) {
    case OP_START:
        return IN(OFF) | IN(SAVED);
    case OP_PAUSE:
    case OP_RESET:
        return IN(RUNNING) | (op == OP_RESET ? IN(PAUSED) : 0);
    case OP_RESUME:
        return IN(PAUSED);
    case OP_SAVE:
        return IN(RUNNING) | IN(PAUSED);
    case OP_SHUTDOWN:
        return IN(RUNNING);
    case OP_TURN_OFF:
        return IN(RUNNING) | IN(PAUSED) | IN(STARTING) | IN(RESTORING) | IN(SAVING) | IN(STOPPING);
    default:
        return IN(OFF) | IN(SAVED);
    }
#undef IN
}

static int check(struct machine *m, const struct life_request *request, struct problem *p)
{
    json_t *undo = m->started ? json_object_get(m->started, "undo") : NULL;
    bool breaks_in = request->op == OP_TURN_OFF &&
                     (m->op == OP_SAVE || m->op == OP_SHUTDOWN || m->op == OP_START);

    if (m->op != OP_NONE && !breaks_in) {
        problem_set(p, PROBLEM_CODE_BUSY, NULL, "%s: something else is being done with it (%s)",
                    m->name, m->task ? m->task->kind : "a task");
        p->state = (int)m->state;
        return -1;
    }
    if (!(states_for(request->op) & (1u << m->state)) ||
        (request->only_saved && m->state != MACHINE_STATE_SAVED)) {
        problem_set(p, PROBLEM_CODE_STATE, NULL, "%s is %s; that cannot be done now", m->name,
                    machine_state_names[m->state]);
        p->state = (int)m->state;
        return -1;
    }
    if (request->op == OP_START && m->problem)
        return problem_set(p, PROBLEM_CODE_CONFLICT, NULL, "its definition cannot be used: %s",
                           m->problem);
    if (request->op == OP_SAVE && undo && !strcmp(json_string_value(undo), "discard"))
        return problem_set(p, PROBLEM_CODE_CONFLICT, NULL,
                           "%s discards its undo disks when it ends, and a saved state would not "
                           "fit the disks any more; set undo to keep first",
                           m->name);
    if (request->undo && !undo)
        return problem_set(p, PROBLEM_CODE_CONFLICT, "/undo", "%s has no undo disks", m->name);
    return 0;
}

int life_act(struct machine *m, const struct life_request *request, struct task **ret_task,
             struct problem *p)
{
    struct about about = machine_about(m);
    struct task *task;
    int r = check(m, request, p);

    if (r < 0)
        return r;
    if (m->op != OP_NONE) /* turning off breaks in */
        fail(m, PROBLEM_CODE_CONFLICT, "%s was turned off meanwhile", m->name);
    task = task_new(m->server, request->kind ? request->kind : op_kinds[request->op], &about,
                    request->actor, request->cause);
    if (!task)
        return problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    m->op = request->op;
    m->task = task;
    *ret_task = task;
    switch (request->op) {
    case OP_START:
        r = begin_start(m, p);
        if (r < 0)
            life_finish(m, p);
        return r;
    case OP_PAUSE:
        r = begin_plain(m, "pause");
        break;
    case OP_RESUME:
        r = begin_plain(m, "resume");
        break;
    case OP_RESET:
        r = begin_plain(m, "reset");
        break;
    case OP_SAVE:
        r = begin_save(m);
        break;
    case OP_SHUTDOWN:
        r = begin_shutdown(m, request);
        break;
    case OP_TURN_OFF:
        r = begin_turn_off(m, request);
        break;
    default:
        machine_changed(m);
        return 0;
    }
    if (r < 0) {
        problem_set(p, PROBLEM_CODE_FAILED, NULL, "the machine's process does not answer");
        life_finish(m, p);
        return -1;
    }
    return 0;
}

int life_discard(struct machine *m, const struct actor *actor, struct problem *p)
{
    AUTO_FREE char *saved = files_join(m->files, SAVED_FILE);
    AUTO_FREE char *screen = files_join(m->folder, "screen.png");
    struct error err = {"no memory"};

    if (m->op != OP_NONE)
        return problem_set(p, PROBLEM_CODE_BUSY, NULL, "%s: something else is being done with it",
                           m->name);
    if (m->state != MACHINE_STATE_SAVED) {
        problem_set(p, PROBLEM_CODE_STATE, NULL, "%s is %s, not saved", m->name,
                    machine_state_names[m->state]);
        p->state = (int)m->state;
        return -1;
    }
    if (!saved || files_remove(saved, &err) < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    saved_forget(m);
    if (screen)
        unlink(screen);
    m->was_on = false;
    set_reason(m, REASON_CODE_USER, actor, "");
    tell(m, EVENT_KIND_MACHINE_DISCARDED, SEVERITY_WARNING, actor, EVENT_CAUSE_REQUEST,
         "the saved state of %s was thrown away", m->name);
    life_set_state(m, MACHINE_STATE_OFF);
    machine_keep_status(m);
    return 0;
}
