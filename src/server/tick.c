/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/tick.h"

#include <stdio.h>

#include "base/size.h"
#include "server/bus.h"
#include "server/folders.h"
#include "server/host.h"
#include "server/process.h"
#include "server/sessions.h"
#include "server/settings.h"
#include "server/stamp.h"
#include "server/tasks.h"

#define HOUR_TICKS (3600 / TICK_SECONDS)
#define DISK_TICKS 6
#define ANSWER_MS 20000

static uint64_t counted(json_t *adapter, const char *way)
{
    json_int_t n = json_integer_value(json_object_get(json_object_get(adapter, way), "bytes"));

    return n > 0 ? (uint64_t)n : 0;
}

/* All adapters together, as the guest sees them; shown with the next sample. */
static void on_adapters(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx; /* lives longer than the connection */
    json_t *adapters = json_object_get(value, "adapters"), *one;
    struct activity *a = &m->activity;
    size_t i;

    (void)message;
    if (r < 0 || !json_array_size(adapters))
        return;
    a->has_network = true;
    a->network_read_bytes = a->network_write_bytes = 0;
    json_array_foreach(adapters, i, one)
    {
        a->network_read_bytes += counted(one, "received");
        a->network_write_bytes += counted(one, "sent");
    }
}

/* A guest that is up has something to do from time to time, if only to look at its clock. */
static void on_status(void *ctx, int r, json_t *value, const char *message)
{
    struct machine *m = ctx;
    struct heartbeat *h = &m->heartbeat;
    json_int_t beats = json_integer_value(json_object_get(value, "beats"));
    bool still = json_is_true(json_object_get(value, "asleep")) && beats == h->beats;
    int64_t now = stamp_steady_ms(), limit = settings_integer(m->server, "heartbeat-seconds");
    struct actor guest = {.type = ACTOR_TYPE_GUEST};

    (void)message;
    if (r < 0)
        return;
    if (!still || !h->last_ms || m->state != MACHINE_STATE_RUNNING) {
        *h = (struct heartbeat){.beats = beats, .last_ms = now};
        return;
    }
    if (!limit || h->missed || now - h->last_ms < limit * 1000)
        return;
    h->missed = true;
    snprintf(guest.name, sizeof(guest.name), "%s", m->name);
    bus_event(m->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_NO_HEARTBEAT,
                              .severity = SEVERITY_WARNING,
                              .actor = &guest,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_GUEST},
              "%s has not done anything for %lld seconds: its processors are halted", m->name,
              (long long)((now - h->last_ms) / 1000));
}

static void sample(struct machine *m)
{
    struct activity *a = &m->activity;
    struct host_process now;
    int64_t time = stamp_now_ms();
    double seconds;

    if (!process_pid(m) || !host_process_read(process_pid(m), &now))
        return;
    seconds = a->time_ms ? (double)(time - a->time_ms) / 1000 : 0;
    if (seconds > 0) {
        a->cpu_percent = MAX(0.0, (now.cpu_seconds - a->cpu_seconds) / seconds * 100);
        a->disk_read_rate = (double)(now.disk_read_bytes - a->disk_read_bytes) / seconds;
        a->disk_write_rate = (double)(now.disk_write_bytes - a->disk_write_bytes) / seconds;
        a->history[a->history_at] = (float)a->cpu_percent;
        a->history_at = (a->history_at + 1) % HISTORY_SAMPLES;
        a->history_count = MIN(a->history_count + 1, (unsigned)HISTORY_SAMPLES);
    }
    free(TAKE_PTR(m->shown_activity));
    a->time_ms = time;
    a->cpu_seconds = now.cpu_seconds;
    a->memory_bytes = now.memory_bytes;
    a->disk_read_bytes = now.disk_read_bytes;
    a->disk_write_bytes = now.disk_write_bytes;
    process_call(m, "net-list", NULL, ANSWER_MS, on_adapters, m);
    process_call(m, "status", NULL, ANSWER_MS, on_status, m);
}

static void sample_host(struct server *server)
{
    uint64_t busy, total;

    host_cpu_times(&busy, &total);
    if (server->host_cpu_total && total > server->host_cpu_total)
        server->host_cpu_percent = 100.0 * (double)(busy - server->host_cpu_busy) /
                                   (double)(total - server->host_cpu_total);
    server->host_cpu_busy = busy;
    server->host_cpu_total = total;
}

/* Machines' own folders and what is open for disks: the one with the least room counts. */
static void look_at_disks(struct server *server)
{
    uint64_t warning = (uint64_t)settings_integer(server, "low-disk-warning-bytes");
    uint64_t error = (uint64_t)settings_integer(server, "low-disk-error-bytes");
    json_t *folder, *folders = json_object_get(server->settings, "folders");
    const char *where = server->state;
    struct actor actor = actor_system("host");
    uint64_t least, free_bytes, total;
    char text[32];
    size_t i;
    int now;

    folder_space(server->state, &least, &total);
    json_array_foreach(folders, i, folder)
    {
        const char *path = json_string_value(json_object_get(folder, "path"));

        if (json_is_true(json_object_get(folder, "readonly")))
            continue;
        folder_space(path, &free_bytes, &total);
        if (total && free_bytes < least) {
            least = free_bytes;
            where = path;
        }
    }
    now = least < error ? 2 : least < warning ? 1 : 0;
    if (now > server->low_disk)
        bus_event(server,
                  &(struct event){.kind = now == 2 ? EVENT_KIND_SERVER_LOW_DISK_ERROR
                                                   : EVENT_KIND_SERVER_LOW_DISK_WARNING,
                                  .severity = now == 2 ? SEVERITY_ERROR : SEVERITY_WARNING,
                                  .actor = &actor,
                                  .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                                  .cause = EVENT_CAUSE_HOST},
                  "%s has %s left; machines whose disks cannot grow are paused", where,
                  size_format(least, text, sizeof(text)));
    server->low_disk = now;
}

static void hourly(struct server *server)
{
    int64_t days = settings_integer(server, "event-days");

    task_expire(server);
    sessions_expire(server);
    store_run(server->store, NULL, "DELETE FROM events WHERE time < ?", "i",
              stamp_now_ms() - days * 24 * 3600 * 1000);
}

static void on_tick(uv_timer_t *timer)
{
    struct server *server = timer->data;

    sample_host(server);
    for (struct machine *m = server->machines; m; m = m->next)
        sample(m);
    inventory_look(server);
    if (server->ticks % DISK_TICKS == 0)
        look_at_disks(server);
    if (server->ticks % HOUR_TICKS == 0)
        hourly(server);
    server->ticks++;
    bus_send(server, &(struct bus_message){.type = BUS_ACTIVITY});
}

void tick_start(struct server *server)
{
    uv_timer_init(server->loop, &server->tick);
    server->tick.data = server;
    uv_timer_start(&server->tick, on_tick, 0, TICK_SECONDS * 1000);
}

void tick_stop(struct server *server)
{
    uv_close((uv_handle_t *)&server->tick, NULL);
}
