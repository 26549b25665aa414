/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "api_routes.h"
#include "server/automation.h"
#include "server/bus.h"
#include "server/folders.h"
#include "server/host.h"
#include "server/life.h"
#include "server/settings.h"
#include "server/stamp.h"

static void set_integer(json_t *o, const char *name, uint64_t n)
{
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

static json_t *host_json(struct server *server)
{
    struct utsname name = {0};
    double load[3] = {0};
    char model[128];
    json_t *o;

    uname(&name);
    host_cpu_model(model, sizeof(model));
    if (getloadavg(load, 3) < 0)
        load[0] = load[1] = load[2] = 0;
    o = json_pack("{s:s, s:s, s:s, s:b, s:f, s:[f, f, f]}", "hostname", name.nodename, "kernel",
                  name.release, "cpu-model", model, "kvm", host_has_kvm(), "cpu-percent",
                  server->host_cpu_percent, "load", load[0], load[1], load[2]);
    set_integer(o, "cpus", host_cpus());
    set_integer(o, "memory-bytes", host_memory_bytes());
    set_integer(o, "memory-available-bytes", host_memory_available_bytes());
    return o;
}

static json_t *counts(struct server *server)
{
    unsigned count[MACHINE_STATE_COUNT] = {0};
    json_t *o = json_object();

    for (struct machine *m = server->machines; m; m = m->next)
        count[m->state]++;
    for (unsigned i = 0; i < MACHINE_STATE_COUNT; i++)
        set_integer(o, machine_state_names[i], count[i]);
    return o;
}

static json_t *folder_json(const char *path, const char *name)
{
    uint64_t free_bytes, total;
    json_t *o = json_pack("{s:s, s:s}", "path", path, "name", name ? name : path);

    folder_space(path, &free_bytes, &total);
    set_integer(o, "free-bytes", free_bytes);
    set_integer(o, "total-bytes", total);
    return o;
}

static json_t *folders_json(struct server *server)
{
    json_t *list = json_array(), *folder, *own = folder_json(server->state, "machines");
    size_t i;

    set_integer(own, "reserved-bytes", admission_reserved_bytes(server));
    json_array_append_new(list, own);
    json_array_foreach(json_object_get(server->settings, "folders"), i, folder)
        json_array_append_new(list,
                              folder_json(json_string_value(json_object_get(folder, "path")),
                                          json_string_value(json_object_get(folder, "name"))));
    return list;
}

static void complain(json_t *list, enum severity severity, const char *code, const char *message)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "severity", severity_names[severity],
                                          "code", code, "message", message));
}

static json_t *health_json(struct server *server)
{
    json_t *list = json_array();

    if (server->low_disk)
        complain(list, server->low_disk == 2 ? SEVERITY_ERROR : SEVERITY_WARNING, "low-disk",
                 "a disk of the host is almost full");
    if (server->https_problem)
        complain(list, SEVERITY_ERROR, "https", server->https_problem);
    if (server->jail_missing)
        complain(list, SEVERITY_INFO, "jail", server->jail_missing);
    if (server->cgroup_missing)
        complain(list, SEVERITY_INFO, "resources", server->cgroup_missing);
    for (struct machine *m = server->machines; m; m = m->next)
        if (m->problem)
            complain(list, SEVERITY_WARNING, "definition", m->problem);
    return list;
}

void api_get_server(struct request *q)
{
    struct server *server = q->server;
    json_t *name = json_object_get(server->settings, "name"), *protection, *https, *o;
    const char *reason = server->jail_missing ? server->jail_missing : server->cgroup_missing;
    char time[STAMP_TEXT];
    unsigned tasks = 0;

    for (struct task *task = server->tasks; task; task = task->next)
        tasks += task->state == TASK_STATE_RUNNING;
    protection = json_pack("{s:b, s:b}", "jail", server->jail_missing == NULL, "resources",
                           server->cgroup != NULL);
    if (reason)
        json_object_set_new(protection, "reason", json_string(reason));
    https = json_pack("{s:b}", "enabled", server->https_url != NULL);
    if (server->https_url)
        json_object_set_new(https, "url", json_string(server->https_url));
    if (server->https_fingerprint)
        json_object_set_new(https, "fingerprint", json_string(server->https_fingerprint));
    o = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                  name ? json_string_value(name) : "Yado", "version", YADO_VERSION, "api",
                  API_PREFIX, "host", host_json(server), "machines", counts(server), "folders",
                  folders_json(server), "protection", protection, "health", health_json(server),
                  "https", https);
    if (o) {
        set_integer(o, "tasks", tasks);
        set_integer(o, "uptime-seconds", (uint64_t)(stamp_now_ms() - server->started_ms) / 1000);
        json_object_set_new(o, "started", json_string(stamp_format(server->started_ms, time)));
        json_object_set_new(o, "time", json_string(stamp_format(stamp_now_ms(), time)));
    }
    reply_json(q, 200, o);
}

void api_get_resources(struct request *q)
{
    struct server *server = q->server;
    json_t *list = json_array(), *host = json_object();
    long long reserved = 0;
    uint64_t assigned = 0;

    for (struct machine *m = server->machines; m; m = m->next) {
        json_t *resources = machine_part(m, "resources"), *o;

        if (life_is_on(m)) {
            reserved += machine_integer(m, "resources", "cpu-reserve-percent");
            assigned += m->memory_bytes;
        }
        if (!(caller_machine_rights(&q->caller, m) & RIGHT_BIT(RIGHT_VIEW)))
            continue;
        o = json_pack("{s:s, s:s, s:s, s:o, s:o}", "id", m->id, "name", m->name, "state",
                      machine_state_names[m->state], "resources",
                      resources ? json_incref(resources) : json_object(), "activity",
                      activity_json(m, true));
        set_integer(o, "cpus", (uint64_t)schema_integer(&schema_Definition, m->definition, "cpus"));
        set_integer(o, "memory-bytes", m->memory_bytes);
        json_array_append_new(list, o);
    }
    set_integer(host, "cpus", host_cpus());
    set_integer(host, "cpu-capacity-percent", host_cpus() * 100u);
    set_integer(host, "cpu-reserved-percent", (uint64_t)reserved);
    set_integer(host, "cpu-reservable-percent",
                host_cpus() * (uint64_t)settings_integer(server, "cpu-reservable-percent"));
    set_integer(host, "memory-bytes", host_memory_bytes());
    set_integer(host, "memory-available-bytes", host_memory_available_bytes());
    set_integer(host, "memory-assigned-bytes", assigned);
    json_object_set_new(host, "enforced", json_boolean(server->cgroup != NULL));
    reply_json(q, 200, json_pack("{s:o, s:o}", "host", host, "machines", list));
}

static void answer_settings(struct request *q)
{
    snprintf(q->etag, sizeof(q->etag), "\"%s\"", q->server->settings_etag);
    reply_json(q, 200, settings_json(q->server));
}

void api_get_settings(struct request *q)
{
    answer_settings(q);
}

void api_change_settings(struct request *q)
{
    struct server *server = q->server;
    struct problem p;
    json_t *https;
    bool same;

    if (!request_matches(q, server->settings_etag))
        return;
    /* Who is an administrator, and where files may be, is for administrators. */
    if (!q->caller.administrator &&
        (json_object_get(q->body, "administrators") || json_object_get(q->body, "folders"))) {
        reply_error(q, PROBLEM_CODE_FORBIDDEN, NULL, "only administrators change that");
        return;
    }
    https = json_incref(json_object_get(server->settings, "https"));
    if (settings_change(server, q->body, &p) < 0) {
        json_decref(https);
        reply_problem(q, &p);
        return;
    }
    bus_event(server,
              &(struct event){.kind = EVENT_KIND_SERVER_SETTINGS_CHANGED,
                              .actor = &q->actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_REQUEST},
              "the settings were changed");
    same = json_equal(https, json_object_get(server->settings, "https")) ||
           https == json_object_get(server->settings, "https");
    json_decref(https);
    answer_settings(q);
    if (!same && server->https_apply)
        server->https_apply(server->https_ctx);
}

void api_rescan_definitions(struct request *q)
{
    json_t *problems = json_array();
    unsigned count = inventory_load(q->server, problems);

    reply_json(q, 200, json_pack("{s:i, s:o}", "machines", (int)count, "problems", problems));
}

void api_stop_machines(struct request *q)
{
    struct task *task;
    struct problem p;

    if (autostart_stop_all(q->server, &q->actor, &task, &p) < 0)
        reply_problem(q, &p);
    else
        reply_task(q, 202, task);
}

/* ---- scripts and webhooks ---- */

static void tell(struct request *q, enum automation what, const char *words)
{
    bus_event(q->server,
              &(struct event){.kind = what == AUTOMATION_SCRIPT ? EVENT_KIND_SCRIPT_CHANGED
                                                                : EVENT_KIND_WEBHOOK_CHANGED,
                              .actor = &q->actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_REQUEST},
              "%s %s", what == AUTOMATION_SCRIPT ? "a script" : "a webhook", words);
}

static const char *id_of(struct request *q, enum automation what)
{
    return request_text(q, what == AUTOMATION_SCRIPT ? "script" : "webhook");
}

static void put(struct request *q, enum automation what, const char *id, unsigned status)
{
    const char *secret = json_string_value(json_object_get(q->body, "secret"));
    json_t *entry = json_copy(q->body), *old = automation_find(q->server, what, id);
    struct problem p;
    int r = 0;

    if (old && !request_matches_entry(q, old)) {
        json_decref(old);
        json_decref(entry);
        return;
    }
    if (status == 200 && !old)
        r = problem_set(&p, PROBLEM_CODE_NOT_FOUND, NULL, "there is no such entry");
    if (r == 0 && what == AUTOMATION_SCRIPT)
        r = automation_check_program(q->server,
                                     json_string_value(json_object_get(entry, "program")), &p);
    if (r == 0) {
        json_object_del(entry, "secret");
        json_object_set_new(entry, "id", json_string(id));
        if (what == AUTOMATION_WEBHOOK)
            json_object_set_new(
                entry, "signed",
                json_boolean(secret || json_is_true(json_object_get(old, "signed"))));
        if (automation_put(q->server, what, entry, secret) < 0)
            r = problem_set(&p, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
    }
    json_decref(old);
    if (r < 0) {
        json_decref(entry);
        reply_problem(q, &p);
        return;
    }
    tell(q, what, status == 201 ? "was added" : "was changed");
    reply_json(q, status, request_tag_entry(q, entry));
}

/* All entries, each with its own ETag; the list has none. */
static json_t *tagged_list(struct request *q, enum automation what)
{
    json_t *list = automation_list(q->server, what), *entry;
    size_t i;

    json_array_foreach(list, i, entry) request_tag_entry(q, entry);
    *q->etag = '\0';
    return list;
}

static void add(struct request *q, enum automation what)
{
    char id[ID_TEXT];

    id_new(id);
    put(q, what, id, 201);
}

static void change(struct request *q, enum automation what)
{
    char id[ID_TEXT];

    snprintf(id, sizeof(id), "%s", id_of(q, what));
    put(q, what, id, 200);
}

static void remove_entry(struct request *q, enum automation what)
{
    if (automation_remove(q->server, what, id_of(q, what)) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    if (!store_changes(q->server->store)) {
        reply_error(q, PROBLEM_CODE_NOT_FOUND, NULL, "there is no such entry");
        return;
    }
    tell(q, what, "was removed");
    reply_empty(q, 204);
}

void api_list_scripts(struct request *q)
{
    char folder[4096];

    snprintf(folder, sizeof(folder), "%s/scripts", q->server->state);
    reply_json(q, 200,
               json_pack("{s:s, s:o, s:o}", "folder", folder, "available",
                         automation_programs(q->server), "scripts",
                         tagged_list(q, AUTOMATION_SCRIPT)));
}

void api_create_script(struct request *q)
{
    add(q, AUTOMATION_SCRIPT);
}

void api_change_script(struct request *q)
{
    change(q, AUTOMATION_SCRIPT);
}

void api_delete_script(struct request *q)
{
    remove_entry(q, AUTOMATION_SCRIPT);
}

void api_list_webhooks(struct request *q)
{
    json_t *list = tagged_list(q, AUTOMATION_WEBHOOK), *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        int status =
            webhooks_last_status(q->server, json_string_value(json_object_get(entry, "id")));

        if (status >= 0)
            json_object_set_new(entry, "last-status", json_integer(status));
    }
    reply_json(q, 200, json_pack("{s:o}", "webhooks", list));
}

void api_create_webhook(struct request *q)
{
    add(q, AUTOMATION_WEBHOOK);
}

void api_change_webhook(struct request *q)
{
    change(q, AUTOMATION_WEBHOOK);
}

void api_delete_webhook(struct request *q)
{
    remove_entry(q, AUTOMATION_WEBHOOK);
}
