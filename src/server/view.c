/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines as the API shows them.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/bus.h"
#include "server/files.h"
#include "server/machine.h"
#include "server/merge.h"
#include "server/process.h"
#include "server/saved.h"
#include "server/stamp.h"
#include "server/tasks.h"
#include "server/tick.h"

static void set_time(json_t *o, const char *name, int64_t ms)
{
    char time[STAMP_TEXT];

    json_object_set_new(o, name, json_string(stamp_format(ms, time)));
}

static void set_number(json_t *o, const char *name, uint64_t n)
{
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

bool machine_saved(const struct machine *m, uint64_t *ret_bytes, int64_t *ret_time_ms)
{
    AUTO_FREE char *path = files_join(m->files, SAVED_FILE);
    struct stat st;

    if (!path || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    if (ret_bytes)
        *ret_bytes = (uint64_t)st.st_size;
    if (ret_time_ms)
        *ret_time_ms = (int64_t)st.st_mtim.tv_sec * 1000;
    return true;
}

json_t *activity_json(const struct machine *m, bool with_history)
{
    const struct activity *a = &m->activity;
    json_t *o = json_object(), *history;

    if (!o || !a->time_ms)
        return o;
    set_time(o, "time", a->time_ms);
    set_number(o, "uptime-seconds",
               (uint64_t)MAX(stamp_now_ms() - m->started_ms, (int64_t)0) / 1000);
    json_object_set_new(o, "cpu-percent", json_real(a->cpu_percent));
    json_object_set_new(o, "cpu-seconds", json_real(a->cpu_seconds));
    set_number(o, "memory-bytes", a->memory_bytes);
    set_number(o, "disk-read-bytes", a->disk_read_bytes);
    set_number(o, "disk-write-bytes", a->disk_write_bytes);
    json_object_set_new(o, "disk-read-rate", json_real(a->disk_read_rate));
    json_object_set_new(o, "disk-write-rate", json_real(a->disk_write_rate));
    if (a->has_network) {
        set_number(o, "network-read-bytes", a->network_read_bytes);
        set_number(o, "network-write-bytes", a->network_write_bytes);
    }
    if (with_history) {
        history = json_array();
        for (unsigned i = 0; i < a->history_count; i++)
            json_array_append_new(
                history,
                json_real(
                    (double)a->history[(a->history_at + HISTORY_SAMPLES - a->history_count + i) %
                                       HISTORY_SAMPLES]));
        json_object_set_new(o, "cpu-history", history);
        set_number(o, "history-interval-seconds", TICK_SECONDS);
    }
    return o;
}

static json_t *reason_json(const struct machine *m)
{
    json_t *o = json_pack("{s:s, s:o}", "code", reason_code_names[m->reason], "actor",
                          actor_json(&m->reason_actor));

    if (o && *m->reason_text)
        json_object_set_new(o, "message", json_string(m->reason_text));
    return o;
}

/* What of the definition counts only from the next start on. */
static json_t *needs_restart(const struct machine *m)
{
    json_t *list = json_array(), *now, *then = NULL;
    static const char *const at_once[] = {"server", "name", "undo"};

    if (m->started)
        then = json_copy(m->started);
    else if (m->state == MACHINE_STATE_SAVED)
        then = saved_definition(m);
    if (!then)
        return list;
    now = json_copy(m->definition);
    for (size_t i = 0; now && then && i < ARRAY_LEN(at_once); i++) {
        json_object_del(now, at_once[i]);
        json_object_del(then, at_once[i]);
    }
    merge_differences(then, now, "", list);
    json_decref(now);
    json_decref(then);
    return list;
}

static json_t *media_json(const struct machine *m)
{
    json_t *media = json_object();
    json_t *cdrom = json_object_get(m->definition, "cdrom");
    json_t *floppy = json_object_get(m->definition, "floppy");

    if (cdrom)
        json_object_set(media, "cdrom", cdrom);
    if (floppy)
        json_object_set(media, "floppy", floppy);
    return media;
}

/* All but what is each caller's, and what moves by itself. */
static json_t *fixed_json(struct machine *m)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:O, s:o, s:s, s:o}", "id", m->id, "name", m->name, "state",
                  machine_state_names[m->state], "etag", m->etag, "definition", m->definition,
                  "needs-restart", needs_restart(m), "folder", m->folder, "media", media_json(m));
    uint64_t bytes;
    int64_t time;

    if (!o)
        return NULL;
    set_time(o, "since", m->since_ms);
    set_number(o, "memory-bytes", m->memory_bytes);
    if (m->problem)
        json_object_set_new(o, "definition-problem", json_string(m->problem));
    if (m->has_reason)
        json_object_set_new(o, "reason", reason_json(m));
    if (m->started) {
        set_time(o, "started", m->started_ms);
        json_object_set_new(o, "jailed", json_boolean(m->jailed));
        if (*m->engine)
            json_object_set_new(o, "engine", json_string(m->engine));
    } else if (machine_saved(m, &bytes, &time)) {
        json_t *saved = json_object();

        set_time(saved, "time", time);
        set_number(saved, "bytes", bytes);
        json_object_set_new(o, "saved", saved);
    }
    return o;
}

/* The text of an object, which is taken over; freed with free(). NULL: no memory. */
static char *text_of(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;

    json_decref(o);
    return text;
}

static void print_rights(unsigned rights, struct text *out)
{
    const char *before = ",\"rights\":[\"";

    if (!rights)
        text_puts(out, ",\"rights\":[");
    for (unsigned i = 0; i < RIGHT_COUNT; i++) {
        if (!(rights & RIGHT_BIT(i)))
            continue;
        text_puts(out, before);
        text_puts(out, right_names[i]);
        before = "\",\"";
    }
    text_puts(out, rights ? "\"]" : "]");
}

/* Lists of hundreds of machines are asked for all the time; hardly any has changed since. */
void machine_print(struct machine *m, const struct caller *caller, struct text *out)
{
    unsigned rights = caller ? caller_machine_rights(caller, m) : RIGHTS_ALL;
    AUTO_FREE char *task = m->task ? text_of(task_json(m->task)) : NULL;
    bool active = m->started && m->activity.time_ms;

    if (!m->shown)
        m->shown = text_of(fixed_json(m));
    if (active && !m->shown_activity)
        m->shown_activity = text_of(activity_json(m, true));
    if (!m->shown || (active && !m->shown_activity) || (m->task && !task)) {
        out->failed = true;
        return;
    }
    text_add(out, m->shown, strlen(m->shown) - 1); /* the object goes on */
    print_rights(rights, out);
    if (active) {
        text_puts(out, ",\"activity\":");
        text_puts(out, m->shown_activity);
    }
    if (task) {
        text_puts(out, ",\"task\":");
        text_puts(out, task);
    }
    text_puts(out, "}");
}

char *machine_text(struct machine *m, const struct caller *caller)
{
    struct text text = {.data = NULL};

    machine_print(m, caller, &text);
    return text_take(&text);
}

void machine_changed(struct machine *m)
{
    free(TAKE_PTR(m->shown));
    bus_send(m->server, &(struct bus_message){.type = BUS_MACHINE, .machine = m});
}

struct about machine_about(const struct machine *m)
{
    return (struct about){OBJECT_TYPE_MACHINE, m->id, m->name};
}
