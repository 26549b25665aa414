/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/work.h"

#include <errno.h>

#define LOG_ROOM "monitor"
#include "base/log.h"

#define PROGRESS_MS 250

struct work {
    uv_loop_t *loop;
    struct machine *machine;
    struct control *control;
    uv_timer_t timer;
    bool open;
};

static const char *const names[] = {[MACHINE_SAVING] = "saving", [MACHINE_RESTORING] = "restoring"};

static void event(struct work *w, const char *name, json_t *data)
{
    if (w->control)
        control_event(w->control, name, data);
    else
        json_decref(data);
}

static void on_timer(uv_timer_t *timer)
{
    struct work *w = timer->data;
    uint64_t done = 0, total = 0;
    enum machine_work what = machine_working(w->machine, &done, &total);

    if (what == MACHINE_IDLE)
        uv_timer_stop(timer);
    else
        event(w, "progress",
              json_pack("{s:s, s:I, s:I}", "work", names[what], "done-bytes", (json_int_t)done,
                        "total-bytes", (json_int_t)total));
}

static void on_done(void *ctx, enum machine_work what, int result, const char *text)
{
    struct work *w = ctx;
    bool saving = what == MACHINE_SAVING;

    uv_timer_stop(&w->timer);
    if (result == 0) {
        event(w, saving ? "saved" : "restored", NULL);
    } else if (result == -ECANCELED) {
        event(w, saving ? "save-cancelled" : "restore-failed", NULL);
    } else {
        if (saving) /* a machine that cannot be restored ends, and says why then */
            log_error("the machine could not be saved: %s", text);
        event(w, saving ? "save-failed" : "restore-failed", json_pack("{s:s}", "message", text));
    }
}

int work_new(uv_loop_t *loop, struct machine *machine, struct control *control,
             struct work **ret_work)
{
    struct work *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->loop = loop;
    w->machine = machine;
    w->control = control;
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    w->open = true;
    machine_set_work_done(machine, on_done, w);
    *ret_work = w;
    return 0;
}

void work_watch(struct work *w)
{
    uv_timer_start(&w->timer, on_timer, PROGRESS_MS, PROGRESS_MS);
}

static void on_closed(uv_handle_t *handle)
{
    struct work *w = handle->data;

    w->open = false;
}

struct work *work_free(struct work *w)
{
    if (!w)
        return NULL;
    machine_set_work_done(w->machine, NULL, NULL);
    uv_close((uv_handle_t *)&w->timer, on_closed);
    while (w->open)
        uv_run(w->loop, UV_RUN_NOWAIT);
    free(w);
    return NULL;
}
