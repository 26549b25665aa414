/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/automation.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/bus.h"
#include "server/child.h"
#include "server/files.h"
#include "server/settings.h"
#include "server/stamp.h"

#define SCRIPTS_AT_ONCE 8u
#define OUTPUT_KEPT 4000

static const char *const tables[] = {
    [AUTOMATION_SCRIPT] = "scripts", [AUTOMATION_WEBHOOK] = "webhooks"};

json_t *automation_list(struct server *server, enum automation what)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    json_t *list = json_array();

    store_query(server->store, &rows,
                what == AUTOMATION_SCRIPT ? "SELECT json FROM scripts ORDER BY id"
                                          : "SELECT json FROM webhooks ORDER BY id",
                "");
    while (store_next(rows)) {
        json_t *entry = json_loads(store_text(rows, 0), 0, NULL);

        if (entry)
            json_array_append_new(list, entry);
    }
    return list;
}

json_t *automation_find(struct server *server, enum automation what, const char *id)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows,
                what == AUTOMATION_SCRIPT ? "SELECT json FROM scripts WHERE id = ?"
                                          : "SELECT json FROM webhooks WHERE id = ?",
                "s", id);
    return store_next(rows) ? json_loads(store_text(rows, 0), 0, NULL) : NULL;
}

int automation_put(struct server *server, enum automation what, json_t *entry, const char *secret)
{
    AUTO_FREE char *text = json_dumps(entry, JSON_COMPACT);
    const char *id = json_string_value(json_object_get(entry, "id"));

    if (!text)
        return -ENOMEM;
    if (what == AUTOMATION_SCRIPT)
        return store_run(server->store, NULL,
                         "INSERT OR REPLACE INTO scripts (id, json) VALUES (?, ?)", "ss", id, text);
    return store_run(server->store, NULL,
                     "INSERT INTO webhooks (id, json, secret) VALUES (?1, ?2, ?3)"
                     " ON CONFLICT (id) DO UPDATE SET json = ?2, secret = ifnull(?3, secret)",
                     "sss", id, text, secret);
}

int automation_remove(struct server *server, enum automation what, const char *id)
{
    AUTO_FREE char *sql = NULL;

    if (asprintf(&sql, "DELETE FROM %s WHERE id = ?", tables[what]) < 0) {
        sql = NULL;
        return -ENOMEM;
    }
    return store_run(server->store, NULL, sql, "s", id);
}

static char *program_path(struct server *server, const char *name)
{
    char *path;

    return asprintf(&path, "%s/scripts/%s", server->state, name) < 0 ? NULL : path;
}

int automation_check_program(struct server *server, const char *name, struct problem *p)
{
    AUTO_FREE char *path = program_path(server, name);
    struct stat st;

    if (path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
        return 0;
    return problem_set(p, PROBLEM_CODE_INVALID, "/program",
                       "%s is not an executable file in %s/scripts", name, server->state);
}

json_t *automation_programs(struct server *server)
{
    AUTO_FREE char *path = files_join(server->state, "scripts");
    DIR *folder = path ? opendir(path) : NULL;
    json_t *list = json_array();
    struct dirent *entry;
    struct problem p;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' && !automation_check_program(server, entry->d_name, &p))
            json_array_append_new(list, json_string(entry->d_name));
    if (folder)
        closedir(folder);
    return list;
}

/* ---- telling ---- */

static bool kind_matches(json_t *kinds, const char *kind)
{
    json_t *one;
    size_t i;

    json_array_foreach(kinds, i, one)
    {
        const char *text = json_string_value(one);
        size_t length = strlen(text);

        if (!strcmp(text, kind) ||
            (length && text[length - 1] == '.' && !strncmp(text, kind, length)))
            return true;
    }
    return false;
}

static bool wants(json_t *entry, json_t *event)
{
    const char *machine = json_string_value(json_object_get(entry, "machine"));
    const char *object = json_string_value(json_object_get(json_object_get(event, "object"), "id"));
    json_t *enabled = json_object_get(entry, "enabled");

    return !json_is_false(enabled) &&
           kind_matches(json_object_get(entry, "events"),
                        json_string_value(json_object_get(event, "kind"))) &&
           (!machine || (object && !strcmp(machine, object)));
}

struct run {
    struct server *server;
    char *program;
};

static void script_event(struct server *server, const char *program,
                         const struct child_result *child, const char *error)
{
    struct actor actor = actor_system("scripts");
    bool ok = child && child->status == 0 && !child->timed_out;
    char output[OUTPUT_KEPT + 1] = "";
    json_t *data = json_object();

    if (child) {
        snprintf(output, sizeof(output), "%s%s", child->output, child->errors);
        for (char *p = output; *p; p++)
            if (*p & 0x80 || ((unsigned char)*p < ' ' && *p != '\n'))
                *p = '?';
        json_object_set_new(data, "status", json_integer(child->status));
        json_object_set_new(data, "output", json_string(output));
    }
    bus_event(server,
              &(struct event){.kind = ok ? EVENT_KIND_SCRIPT_RAN : EVENT_KIND_SCRIPT_FAILED,
                              .severity = ok ? SEVERITY_INFO : SEVERITY_WARNING,
                              .actor = &actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_SERVER,
                              .data = data},
              "the script %s %s", program,
              error                         ? error
              : child && child->timed_out   ? "was ended: its time was over"
              : child && child->status == 0 ? "has run"
              : child && child->status > 0  ? "has failed"
                                            : "was killed");
}

static void on_end(void *ctx, const struct child_result *child)
{
    struct run *run = ctx;

    run->server->script_count--;
    script_event(run->server, run->program, child, NULL);
    free(run->program);
    free(run);
}

static void run_script(struct server *server, json_t *entry, json_t *event)
{
    const char *program = json_string_value(json_object_get(entry, "program"));
    AUTO_FREE char *path = program_path(server, program);
    AUTO_FREE char *input = json_dumps(event, JSON_COMPACT);
    AUTO_FREE char *folder = files_join(server->state, "scripts");
    long long seconds = schema_integer(&schema_ScriptEntry, entry, "timeout-seconds");
    const char *args[34] = {path};
    struct run *run = calloc(1, sizeof(*run));
    struct child_request request = {.args = args,
                                    .cwd = folder,
                                    .input = input,
                                    .timeout_ms = (unsigned)(seconds * 1000),
                                    .on_end = on_end,
                                    .ctx = run};
    struct error err = {"no memory"};
    json_t *argument;
    struct problem p;
    size_t i;

    json_array_foreach(json_object_get(entry, "arguments"), i, argument) if (i < 32) args[i + 1] =
        json_string_value(argument);
    if (server->script_count >= SCRIPTS_AT_ONCE) {
        snprintf(err.text, sizeof(err.text), "was not run: %u others run", SCRIPTS_AT_ONCE);
    } else if (automation_check_program(server, program, &p) < 0) {
        snprintf(err.text, sizeof(err.text), "is not there any more");
    } else if (path && input && run) {
        run->server = server;
        run->program = strdup(program);
        if (run->program && child_start(server->loop, &request, NULL, &err) == 0) {
            server->script_count++;
            return;
        }
        free(run->program);
    }
    free(run);
    script_event(server, program, NULL, err.text);
}

/* CloudEvents 1.0, JSON format. */
static char *cloud_event(struct server *server, json_t *event)
{
    json_t *name = json_object_get(server->settings, "name");
    char id[32], source[160], type[96];
    json_t *object = json_object_get(event, "object"), *o;
    char *text;

    snprintf(id, sizeof(id), "%lld", (long long)json_integer_value(json_object_get(event, "id")));
    snprintf(source, sizeof(source), "yado:%s", name ? json_string_value(name) : "server");
    snprintf(type, sizeof(type), "yado.%s", json_string_value(json_object_get(event, "kind")));
    o = json_pack("{s:s, s:s, s:s, s:s, s:O, s:s, s:O}", "specversion", "1.0", "id", id, "source",
                  source, "type", type, "time", json_object_get(event, "time"), "datacontenttype",
                  "application/json", "data", event);
    if (o && json_object_get(object, "id"))
        json_object_set(o, "subject", json_object_get(object, "id"));
    text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static void send_webhooks(struct server *server, json_t *event)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    AUTO_FREE char *body = NULL;

    store_query(server->store, &rows, "SELECT id, json, secret FROM webhooks", "");
    while (store_next(rows)) {
        json_t *entry = json_loads(store_text(rows, 1), 0, NULL);

        if (entry && wants(entry, event)) {
            if (!body)
                body = cloud_event(server, event);
            if (body)
                webhooks_send(
                    server, store_text(rows, 0), json_string_value(json_object_get(entry, "url")),
                    sqlite3_column_type(rows, 2) == SQLITE_NULL ? NULL : store_text(rows, 2), body);
        }
        json_decref(entry);
    }
}

static void hear(void *ctx, const struct bus_message *message)
{
    struct server *server = ctx;
    const char *kind;
    json_t *list, *entry;
    size_t i;

    if (message->type != BUS_EVENT)
        return;
    kind = json_string_value(json_object_get(message->event, "kind"));
    /* What telling has led to is not told again. */
    if (!strncmp(kind, "script.", 7) || !strcmp(kind, "webhook.failed"))
        return;
    if (settings_boolean(server, "scripts")) {
        list = automation_list(server, AUTOMATION_SCRIPT);
        json_array_foreach(list, i, entry) if (wants(entry, message->event))
            run_script(server, entry, message->event);
        json_decref(list);
    }
    send_webhooks(server, message->event);
}

void automation_start(struct server *server)
{
    server->automation = calloc(1, sizeof(*server->automation));
    if (!server->automation)
        return;
    *server->automation = (struct bus_listener){.hear = hear, .ctx = server};
    webhooks_start(server);
    bus_listen(server, server->automation);
}

void automation_stop(struct server *server)
{
    if (server->automation)
        bus_leave(server, server->automation);
    free(server->automation);
    server->automation = NULL;
    webhooks_stop(server);
}
