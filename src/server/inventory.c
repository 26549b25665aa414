/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which machines there are: STATE/machines/ID/machine.json. The folder's name is the machine's id.
 * A person may edit the file, or copy the folder under any name: then it gets an id of its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/bus.h"
#include "server/console.h"
#include "server/files.h"
#include "server/life.h"
#include "server/machine.h"
#include "server/process.h"
#include "server/stamp.h"

static void digest_of(json_t *definition, char etag[17])
{
    AUTO_FREE char *text = json_dumps(definition, JSON_COMPACT | JSON_SORT_KEYS);
    char digest[65];

    digest_hex(text ? text : "", text ? strlen(text) : 0, digest);
    memcpy(etag, digest, 16);
    etag[16] = '\0';
}

/* Take a checked definition over. */
static int adopt(struct machine *m, json_t *definition)
{
    char *name = strdup(json_string_value(json_object_get(definition, "name")));

    if (!name)
        return -ENOMEM;
    free(m->name);
    m->name = name;
    json_decref(m->definition);
    m->definition = definition;
    m->memory_bytes = definition_memory_bytes(definition);
    digest_of(definition, m->etag);
    free(TAKE_PTR(m->problem));
    free(TAKE_PTR(m->shown));
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void machine_free(struct machine *m)
{
    if (m->timer)
        uv_close((uv_handle_t *)m->timer, on_timer_closed);
    process_forget(m);
    console_free(m);
    free(m->name);
    free(m->folder);
    free(m->files);
    free(m->run);
    free(m->problem);
    free(m->thumbnail.png);
    free(m->shown);
    free(m->shown_activity);
    json_decref(m->definition);
    json_decref(m->started);
    json_decref(m->addresses);
    free(m);
}

static struct machine *machine_alloc(struct server *server, const char *id)
{
    struct machine *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->server = server;
    m->since_ms = stamp_now_ms();
    snprintf(m->id, sizeof(m->id), "%s", id);
    if (asprintf(&m->folder, "%s/machines/%s", server->state, id) < 0)
        m->folder = NULL;
    m->files = m->folder ? files_join(m->folder, "files") : NULL;
    if (asprintf(&m->run, "%s/%s", server->run, id) < 0)
        m->run = NULL;
    m->name = strdup(id);
    m->definition = json_pack("{s:s}", "name", id);
    if (!m->files || !m->run || !m->name || !m->definition) {
        machine_free(m);
        return NULL;
    }
    return m;
}

static void link_machine(struct machine *m)
{
    m->next = m->server->machines;
    m->server->machines = m;
    m->server->machine_count++;
}

static void unlink_machine(struct machine *m)
{
    struct machine **at = &m->server->machines;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    m->server->machine_count--;
}

/* ---- taking away ---- */

/* What the server made in a folder, and the folder; it stays where something is left in it. */
static void remove_files(const char *path, bool with_disks)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        bool ours = !strncmp(entry->d_name, "status.json", 11) ||
                    !strncmp(entry->d_name, "saved", 5) || !strcmp(entry->d_name, "screen.png") ||
                    !strncmp(entry->d_name, "machine.json", 12);

        if (ours || (with_disks && entry->d_type == DT_REG))
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

static void remove_folders(const struct machine *m, bool with_disks)
{
    remove_files(m->files, with_disks);
    remove_files(m->folder, false);
}

/*
 * While this lies in its folder the machine is only half there: being made with a disk, or being
 * removed with its disks. A server that finds it takes away all of it.
 */
static char *unfinished_path(const struct machine *m)
{
    return files_join(m->folder, "unfinished");
}

static int mark_unfinished(const struct machine *m, struct error *err)
{
    AUTO_FREE char *path = unfinished_path(m);

    return path ? files_replace(path, "", 0, 0600, err) : -ENOMEM;
}

int machine_finished(struct machine *m, struct problem *p)
{
    AUTO_FREE char *path = unfinished_path(m);
    struct error err = {"no memory"};

    if (!path || files_remove(path, &err) < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    return 0;
}

/* A folder that was just made, and was to have a machine; anything in it that may matter stays. */
static void remove_empty(const struct machine *m)
{
    static const char *const names[] = {"unfinished.new", "machine.json.new"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = files_join(m->folder, names[i]);

        if (path)
            unlink(path);
    }
    rmdir(m->files);
    rmdir(m->folder);
}

/* What an earlier server did not bring to its end. */
static void remove_unfinished(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->folder, "machine.json");
    AUTO_FREE char *marker = unfinished_path(m);
    struct actor actor = actor_system("inventory");
    json_t *definition = NULL;
    const char *name;

    if (!path || !marker)
        return;
    if (access(marker, F_OK) < 0) {
        if (access(path, F_OK) < 0)
            remove_empty(m);
        return;
    }
    files_read_json(path, &definition, NULL);
    name = json_string_value(json_object_get(definition, "name"));
    files_remove(path, NULL);
    remove_files(m->files, true);
    remove_files(m->folder, false);
    if (access(m->files, F_OK) < 0 && unlink(marker) == 0)
        rmdir(m->folder);
    bus_event(m->server,
              &(struct event){.kind = EVENT_KIND_SERVER_RECOVERED,
                              .severity = SEVERITY_WARNING,
                              .actor = &actor,
                              .about = {OBJECT_TYPE_MACHINE, m->id, name},
                              .cause = EVENT_CAUSE_SERVER},
              "the server ended while %s was being made or removed; what was left of it has been "
              "taken away",
              name ? name : m->id);
    json_decref(definition);
}

/* ---- status.json ---- */

void machine_keep_status(struct machine *m)
{
    bool on = m->started != NULL || m->was_on; /* for autostart: it is to be on */
    AUTO_FREE char *path = files_join(m->folder, "status.json");
    char time[STAMP_TEXT];
    struct error err;
    json_t *o = json_pack("{s:b, s:s}", "on", on, "since", stamp_format(m->since_ms, time));

    if (o && on)
        json_object_set_new(o, "started", json_string(stamp_format(m->started_ms, time)));
    if (o && m->has_reason)
        json_object_set_new(o, "reason",
                            json_pack("{s:s, s:s, s:o}", "code", reason_code_names[m->reason],
                                      "message", m->reason_text, "actor",
                                      actor_json(&m->reason_actor)));
    if (o && path)
        files_replace_json(path, o, 0600, &err);
    json_decref(o);
}

static int index_of(const char *const *names, const char *name)
{
    for (int i = 0; name && names[i]; i++)
        if (!strcmp(names[i], name))
            return i;
    return -1;
}

static void read_reason(struct machine *m, json_t *reason)
{
    json_t *actor = json_object_get(reason, "actor");
    int code = index_of(reason_code_names, json_string_value(json_object_get(reason, "code")));
    int type = index_of(actor_type_names, json_string_value(json_object_get(actor, "type")));
    const char *text = json_string_value(json_object_get(reason, "message"));
    const char *name = json_string_value(json_object_get(actor, "name"));

    if (code < 0)
        return;
    m->has_reason = true;
    m->reason = (enum reason_code)code;
    snprintf(m->reason_text, sizeof(m->reason_text), "%s", text ? text : "");
    m->reason_actor.type = type < 0 ? ACTOR_TYPE_SYSTEM : (enum actor_type)type;
    snprintf(m->reason_actor.name, sizeof(m->reason_actor.name), "%s", name ? name : "");
}

static void read_status(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->folder, "status.json");
    json_t *o = NULL;
    const char *time;

    if (!path || files_read_json(path, &o, NULL) < 0)
        return;
    m->was_on = json_is_true(json_object_get(o, "on"));
    time = json_string_value(json_object_get(o, "since"));
    if (time)
        stamp_parse(time, &m->since_ms);
    time = json_string_value(json_object_get(o, "started"));
    if (time)
        stamp_parse(time, &m->started_ms);
    read_reason(m, json_object_get(o, "reason"));
    json_decref(o);
}

/* ---- reading ---- */

static int set_part(json_t *definition, const char *name, const char *value)
{
    json_t *part = json_object_get(definition, "server");

    if (!json_is_object(part)) {
        part = json_object();
        if (json_object_set_new(definition, "server", part) < 0)
            return -ENOMEM;
    }
    return json_object_set_new(part, name, json_string(value));
}

/* A copied folder's machine has the original's name. */
static void make_name_unique(struct server *server, json_t *definition, const struct machine *self)
{
    const char *name = json_string_value(json_object_get(definition, "name"));
    struct machine *other = machine_find_name(server, name);
    char other_name[160];

    for (unsigned i = 2; other && other != self && i < 10000; i++) {
        snprintf(other_name, sizeof(other_name), "%.90s %u", name, i);
        other = machine_find_name(server, other_name);
        if (!other || other == self)
            json_object_set_new(definition, "name", json_string(other_name));
    }
}

static int read_definition(struct machine *m, bool is_copy, struct error *err)
{
    AUTO_FREE char *path = files_join(m->folder, "machine.json");
    struct schema_fault fault;
    json_t *definition = NULL, *before;
    int r;

    if (!path)
        return -ENOMEM;
    r = files_read_json(path, &definition, err);
    if (r < 0)
        return r;
    if (schema_check(&schema_Definition, definition, &fault) < 0) {
        json_decref(definition);
        return error_set(err, -EINVAL, "%s: %s: %.300s", path, fault.field, fault.error.text);
    }
    before = json_deep_copy(definition);
    set_part(definition, "id", m->id);
    make_name_unique(m->server, definition, is_copy ? NULL : m);
    if (!json_equal(before, definition))
        files_replace_json(path, definition, 0600, NULL);
    json_decref(before);
    r = adopt(m, definition);
    if (r < 0)
        json_decref(definition);
    return r;
}

static void set_problem(struct machine *m, const char *text)
{
    bool same = m->problem && !strcmp(m->problem, text);
    struct actor actor = actor_system("inventory");

    if (same)
        return;
    free(m->problem);
    m->problem = strdup(text);
    bus_event(m->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_DEFINITION_INVALID,
                              .severity = SEVERITY_WARNING,
                              .actor = &actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_SERVER},
              "the definition of %s cannot be used: %s", m->name, text);
}

/* Give a copied folder an id. Its new name in id; -errno. */
static int name_folder(struct server *server, const char *folder, char id[ID_TEXT])
{
    AUTO_FREE char *from = NULL, *to = NULL;

    id_new(id);
    if (asprintf(&from, "%s/machines/%s", server->state, folder) < 0)
        from = NULL;
    if (asprintf(&to, "%s/machines/%s", server->state, id) < 0)
        to = NULL;
    if (!from || !to)
        return -ENOMEM;
    return rename(from, to) < 0 ? -errno : 0;
}

static void load_one(struct server *server, const char *folder, json_t *problems)
{
    struct machine *m = machine_find(server, folder);
    bool known = m != NULL, is_copy = !id_valid(folder);
    struct error err = {""};
    char id[ID_TEXT];

    if (is_copy) {
        if (name_folder(server, folder, id) < 0)
            return;
    } else {
        memcpy(id, folder, ID_TEXT);
    }
    if (!m)
        m = machine_alloc(server, id);
    if (!m)
        return;
    if (!known) {
        link_machine(m);
        read_status(m);
        if (is_copy)
            m->was_on = m->has_reason = false;
        if (machine_saved(m, NULL, NULL))
            m->state = MACHINE_STATE_SAVED;
    }
    if (files_folder(m->files, 0700, &err) < 0 || read_definition(m, is_copy, &err) < 0) {
        set_problem(m, err.text);
        if (problems)
            json_array_append_new(problems, json_string(err.text));
    }
    machine_changed(m);
}

void inventory_recover(struct server *server)
{
    AUTO_FREE char *path = files_join(server->state, "machines");
    DIR *folder = path ? opendir(path) : NULL;
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        struct machine *m = id_valid(entry->d_name) ? machine_alloc(server, entry->d_name) : NULL;

        if (!m)
            continue;
        remove_unfinished(m);
        machine_free(m);
    }
    if (folder)
        closedir(folder);
}

unsigned inventory_load(struct server *server, json_t *ret_problems)
{
    AUTO_FREE char *path = files_join(server->state, "machines");
    DIR *folder = path ? opendir(path) : NULL;
    struct dirent *entry;
    char(*names)[256] = NULL;
    size_t count = 0, room = 0;

    /* The list first: copies are renamed while we go through it. */
    while (folder && (entry = readdir(folder))) {
        AUTO_FREE char *file = NULL;

        if (entry->d_name[0] == '.' ||
            asprintf(&file, "%s/%s/machine.json", path, entry->d_name) < 0 || access(file, F_OK))
            continue;
        if (count == room) {
            void *more = realloc(names, (room = room ? room * 2 : 64) * sizeof(*names));

            if (!more)
                break;
            names = more;
        }
        snprintf(names[count++], sizeof(*names), "%s", entry->d_name);
    }
    if (folder)
        closedir(folder);
    for (size_t i = 0; i < count; i++)
        load_one(server, names[i], ret_problems);
    free(names);
    return server->machine_count;
}

void inventory_free(struct server *server)
{
    while (server->machines) {
        struct machine *m = server->machines;

        server->machines = m->next;
        machine_free(m);
    }
    server->machine_count = 0;
}

/* ---- folders that come and go by hand ---- */

/* Whoever copies a folder here is not disturbed before all of it is here. */
#define SETTLED_SECONDS 10

static bool is_settled(const char *path, unsigned depth)
{
    DIR *folder = opendir(path);
    time_t now = time(NULL);
    struct dirent *entry;
    bool settled = folder != NULL;
    struct stat st;

    while (settled && (entry = readdir(folder))) {
        if (!strcmp(entry->d_name, ".."))
            continue;
        settled = fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                  st.st_ctime + SETTLED_SECONDS <= now;
        if (settled && depth && S_ISDIR(st.st_mode) && entry->d_name[0] != '.') {
            AUTO_FREE char *below = files_join(path, entry->d_name);

            settled = below && is_settled(below, depth - 1);
        }
    }
    if (folder)
        closedir(folder);
    return settled;
}

static void tell_of(struct machine *m, enum event_kind kind, const char *words)
{
    struct actor actor = actor_system("inventory");

    bus_event(m->server,
              &(struct event){.kind = kind,
                              .severity = kind == EVENT_KIND_MACHINE_DELETED ? SEVERITY_WARNING
                                                                             : SEVERITY_INFO,
                              .actor = &actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_SERVER},
              "%s %s", m->name, words);
}

/* True: there is something to look at again. */
static bool look_at(struct server *server, const char *path, const char *name)
{
    AUTO_FREE char *folder = files_join(path, name);
    AUTO_FREE char *file = folder ? files_join(folder, "machine.json") : NULL;
    AUTO_FREE char *unfinished = folder ? files_join(folder, "unfinished") : NULL;
    struct machine *newest = server->machines;
    struct stat st;

    if (machine_find(server, name) || !file || !unfinished || stat(folder, &st) < 0 ||
        !S_ISDIR(st.st_mode) || access(unfinished, F_OK) == 0)
        return false;
    if (!is_settled(folder, 1))
        return true;
    if (access(file, F_OK) < 0)
        return false;
    load_one(server, name, NULL);
    for (struct machine *m = server->machines; m && m != newest; m = m->next)
        tell_of(m, EVENT_KIND_MACHINE_CREATED, "was found: its folder has come here");
    return false;
}

static bool forget_lost(struct server *server)
{
    bool again = false;

    for (struct machine *m = server->machines, *following; m; m = following) {
        following = m->next;
        if (access(m->folder, F_OK) == 0 || errno != ENOENT)
            continue;
        if (life_is_on(m) || m->op != OP_NONE) {
            again = true;
            continue;
        }
        tell_of(m, EVENT_KIND_MACHINE_DELETED, "is no more: its folder was taken away");
        process_clean(m);
        unlink_machine(m);
        bus_send(server, &(struct bus_message){.type = BUS_DELETED, .deleted = m->id});
        machine_free(m);
    }
    return again;
}

/* A machine that has come back keeps its name, and its copy gets another. */
static int ids_first(const struct dirent **a, const struct dirent **b)
{
    return (int)id_valid((*b)->d_name) - (int)id_valid((*a)->d_name);
}

void inventory_look(struct server *server)
{
    AUTO_FREE char *path = files_join(server->state, "machines");
    struct dirent **entries = NULL;
    struct stat st;
    int count;

    if (!path || stat(path, &st) < 0 ||
        (!server->look_again && st.st_mtim.tv_sec == server->looked.tv_sec &&
         st.st_mtim.tv_nsec == server->looked.tv_nsec))
        return;
    server->looked = st.st_mtim;
    server->look_again = false;
    count = scandir(path, &entries, NULL, ids_first);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && look_at(server, path, entries[i]->d_name))
            server->look_again = true;
        free(entries[i]);
    }
    free(entries);
    if (count >= 0 && forget_lost(server))
        server->look_again = true;
}

/* ---- changing ---- */

static int write_definition(struct machine *m, json_t *definition, struct problem *p)
{
    AUTO_FREE char *path = files_join(m->folder, "machine.json");
    struct error err = {"no memory"};

    if (!path || files_replace_json(path, definition, 0600, &err) < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    if (adopt(m, json_incref(definition)) < 0) {
        json_decref(definition);
        return problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    }
    return 0;
}

int machine_create(struct server *server, json_t *definition, const char *owner, bool unfinished,
                   struct machine **ret_machine, struct problem *p)
{
    const char *name = json_string_value(json_object_get(definition, "name"));
    json_t *own = NULL;
    struct machine *m;
    struct error err;
    char id[ID_TEXT];
    int r;

    if (machine_find_name(server, name))
        return problem_set(p, PROBLEM_CODE_EXISTS, "/definition/name",
                           "there is a machine '%s' already", name);
    id_new(id);
    m = machine_alloc(server, id);
    own = json_deep_copy(definition);
    if (!m || !own || set_part(own, "id", id) < 0 || (owner && set_part(own, "owner", owner) < 0)) {
        r = problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    } else if (files_folder(m->folder, 0700, &err) < 0 || files_folder(m->files, 0700, &err) < 0 ||
               (unfinished && mark_unfinished(m, &err) < 0)) {
        remove_folders(m, false);
        r = problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    } else {
        r = write_definition(m, own, p);
        if (r < 0)
            remove_folders(m, false);
        else
            files_flush_folder(m->folder);
    }
    json_decref(own);
    if (r < 0) {
        if (m)
            machine_free(m);
        return r;
    }
    link_machine(m);
    *ret_machine = m;
    return 0;
}

int machine_redefine(struct machine *m, json_t *definition, struct problem *p)
{
    const char *name = json_string_value(json_object_get(definition, "name"));
    struct machine *other = machine_find_name(m->server, name);
    json_t *own = json_deep_copy(definition);
    const char *owner = machine_owner(m);
    int r;

    if (other && other != m) {
        json_decref(own);
        return problem_set(p, PROBLEM_CODE_EXISTS, "/name", "there is a machine '%s' already",
                           name);
    }
    /* Who owns it is not a matter of its definition's editors. */
    if (!own || set_part(own, "id", m->id) < 0 || (owner && set_part(own, "owner", owner) < 0))
        r = problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    else
        r = write_definition(m, own, p);
    json_decref(own);
    return r;
}

/* The definition goes first: what is left after a crash is no machine any more. */
int machine_remove(struct machine *m, bool with_disks, struct problem *p)
{
    AUTO_FREE char *path = files_join(m->folder, "machine.json");
    struct error err = {"no memory"};

    /* A full disk has no room for the mark; all the more may disks be removed from it. */
    if (with_disks)
        mark_unfinished(m, &err);
    if (!path || files_remove(path, &err) < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    permission_forget_object(m->server, OBJECT_TYPE_MACHINE, m->id);
    remove_files(m->files, with_disks);
    if (with_disks)
        machine_finished(m, p);
    remove_files(m->folder, false);
    process_clean(m);
    unlink_machine(m);
    bus_send(m->server, &(struct bus_message){.type = BUS_DELETED, .deleted = m->id});
    machine_free(m);
    return 0;
}
