/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/disks.h"
#include "server/files.h"
#include "server/folders.h"
#include "server/life.h"
#include "server/stamp.h"

#define LISTED_MAX 5000u

static const char *body_text(const struct request *q, const char *name)
{
    return json_string_value(json_object_get(q->body, name));
}

/* Resolve a file and look whether the caller may; answers itself where not. */
static char *take_file(struct request *q, const char *file, enum folder_use use, const char *field)
{
    struct problem p;
    char *real = NULL;

    if (folder_resolve(q->server, file, use, field, &real, NULL, &p) < 0) {
        reply_problem(q, &p);
        return NULL;
    }
    if (!request_may_disk(q, real, use == FOLDER_READ ? RIGHT_VIEW : RIGHT_MODIFY)) {
        free(real);
        return NULL;
    }
    return real;
}

static void set_stat(json_t *o, const struct stat *st, const char *size)
{
    char time[STAMP_TEXT];

    json_object_set_new(o, size, json_integer((json_int_t)st->st_size));
    json_object_set_new(o, "modified",
                        json_string(stamp_format((int64_t)st->st_mtim.tv_sec * 1000, time)));
}

/* ---- listing ---- */

static const char *kind_of(const char *name)
{
    static const char *const kinds[][2] = {{".vhd", "vhd"},     {".avhd", "vhd"},
                                           {".vhdx", "vhdx"},   {".vud", "undo"},
                                           {".qcow2", "qcow2"}, {".vmdk", "vmdk"}};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < ARRAY_LEN(kinds); i++)
        if (!strcasecmp(dot, kinds[i][0]))
            return kinds[i][1];
    return "raw";
}

static json_t *users_of(struct server *server, const char *path)
{
    json_t *list = json_array();

    for (struct machine *m = server->machines; m; m = m->next)
        if (machine_uses(m, path))
            json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", m->id, "name", m->name,
                                                  "state", machine_state_names[m->state]));
    return list;
}

static void list_one(struct request *q, json_t *list, const char *folder, const char *name,
                     const struct stat *st)
{
    AUTO_FREE char *path = files_join(folder, name);
    struct task *task = path ? disk_task(q->server, path) : NULL;
    unsigned rights = path ? caller_rights(q->server, &q->caller, OBJECT_TYPE_DISK, path) : 0;
    json_t *o;

    if (!(rights & RIGHT_BIT(RIGHT_VIEW)) || json_array_size(list) >= LISTED_MAX)
        return;
    o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "file", path, "name", name, "folder",
                  folder, "kind", kind_of(name), "on-host-bytes", (json_int_t)st->st_blocks * 512,
                  "used-by", users_of(q->server, path), "rights", rights_json(rights));
    if (!o)
        return;
    set_stat(o, st, "file-size-bytes");
    if (task)
        json_object_set_new(o, "task", json_string(task->id));
    json_array_append_new(list, o);
}

static void list_folder(struct request *q, json_t *list, const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    struct stat st;

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && folder_kind_of(entry->d_name) == FOLDER_KIND_DISK &&
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            list_one(q, list, folder, entry->d_name, &st);
    if (dir)
        closedir(dir);
}

void api_list_disks(struct request *q)
{
    json_t *folder, *list = json_array();
    size_t i;

    json_array_foreach(json_object_get(q->server->settings, "folders"), i, folder)
    {
        AUTO_FREE char *real = realpath(json_string_value(json_object_get(folder, "path")), NULL);

        if (real)
            list_folder(q, list, real);
    }
    for (struct machine *m = q->server->machines; m; m = m->next) {
        AUTO_FREE char *real = realpath(m->files, NULL);

        if (real)
            list_folder(q, list, real);
    }
    reply_json(q, 200, json_pack("{s:o}", "disks", list));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcasecmp((*a)->d_name, (*b)->d_name);
}

static void list_entry(json_t *entries, const char *folder, const char *name, bool folders,
                       const char *kind)
{
    AUTO_FREE char *path = files_join(!strcmp(folder, "/") ? "" : folder, name);
    struct stat st;
    json_t *o;

    if (*name == '.' || !path || stat(path, &st) < 0 || S_ISDIR(st.st_mode) != folders ||
        (!folders && !S_ISREG(st.st_mode)))
        return;
    if (!folders && kind && strcmp(kind, "any") != 0 &&
        strcmp(kind, folder_kind_names[folder_kind_of(name)]) != 0)
        return;
    o = json_pack("{s:s, s:s, s:s}", "name", name, "path", path, "type",
                  folders ? "folder" : "file");
    if (o && !folders)
        set_stat(o, &st, "size-bytes");
    if (o)
        json_array_append_new(entries, o);
}

static void list_top(struct request *q)
{
    json_t *folder, *entries = json_array();
    size_t i;

    json_array_foreach(json_object_get(q->server->settings, "folders"), i, folder)
    {
        const char *path = json_string_value(json_object_get(folder, "path"));
        const char *name = json_string_value(json_object_get(folder, "name"));

        if (caller_rights(q->server, &q->caller, OBJECT_TYPE_DISK, path) & RIGHT_BIT(RIGHT_VIEW))
            json_array_append_new(entries, json_pack("{s:s, s:s, s:s}", "name", name ? name : path,
                                                     "path", path, "type", "folder"));
    }
    reply_json(q, 200, json_pack("{s:o}", "entries", entries));
}

void api_list_files(struct request *q)
{
    const char *asked = request_text(q, "folder"), *kind = request_text(q, "kind");
    AUTO_FREE char *folder = NULL;
    json_t *entries, *o;
    struct dirent **names = NULL;
    uint64_t free_bytes, total;
    char *slash;
    int count;

    if (!asked) {
        list_top(q);
        return;
    }
    folder = take_file(q, asked, FOLDER_READ, "folder");
    if (!folder)
        return;
    count = scandir(folder, &names, NULL, by_name);
    if (count < 0) {
        reply_error(q, PROBLEM_CODE_INVALID, "folder", "%s cannot be looked into", asked);
        return;
    }
    entries = json_array();
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count && i < (int)LISTED_MAX; i++)
            list_entry(entries, folder, names[i]->d_name, pass == 0, kind);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    folder_space(folder, &free_bytes, &total);
    o = json_pack("{s:s, s:I, s:o}", "folder", folder, "free-bytes", (json_int_t)free_bytes,
                  "entries", entries);
    slash = strrchr(folder, '/');
    if (o && slash && slash != folder) {
        *slash = '\0';
        if (folder_of_settings(q->server, folder))
            json_object_set_new(o, "parent", json_string(folder));
    }
    reply_json(q, 200, o);
}

/* ---- work ---- */

static void begin(struct request *q, struct disk_job *job)
{
    struct task *task;
    struct problem p;

    if (disk_begin(q->server, job, &q->actor, &task, &p) < 0)
        reply_problem(q, &p);
    else
        reply_task(q, 202, task);
}

/* A file that the work changes: nobody else may use it meanwhile. */
static char *take_free_file(struct request *q)
{
    char *file = take_file(q, body_text(q, "file"), FOLDER_WRITE, "/file");
    struct problem p;

    if (file && disk_free_to_change(q->server, file, "/file", &p) < 0) {
        reply_problem(q, &p);
        free(file);
        return NULL;
    }
    return file;
}

void api_create_disk(struct request *q)
{
    const char *kind = body_text(q, "kind"), *parent = body_text(q, "parent");
    json_t *size = json_object_get(q->body, "size-bytes");
    bool child = kind && !strcmp(kind, "differencing");
    struct disk_job job = {.kind = "disk.create",
                           .args = {"create"},
                           .event = EVENT_KIND_DISK_CREATED,
                           .words = "was made"};
    AUTO_FREE char *file = NULL, *real_parent = NULL;
    char bytes[32];
    unsigned n = 1;

    if (child != (parent != NULL) || child == (size != NULL)) {
        reply_error(q, PROBLEM_CODE_INVALID, child ? "/parent" : "/size-bytes",
                    "a differencing disk has a parent and no size, others a size and no parent");
        return;
    }
    file = take_file(q, body_text(q, "file"), FOLDER_CREATE, "/file");
    if (!file)
        return;
    if (child && !(real_parent = take_file(q, parent, FOLDER_READ, "/parent")))
        return;
    if (kind && (!strcmp(kind, "vhdx") || !strcmp(kind, "vhdx-fixed")))
        job.args[n++] = "--vhdx";
    if (kind && (!strcmp(kind, "fixed") || !strcmp(kind, "vhdx-fixed")))
        job.args[n++] = "--fixed";
    if (kind && !strcmp(kind, "raw"))
        job.args[n++] = "--raw";
    if (child) {
        job.args[n++] = "--parent";
        job.args[n++] = real_parent;
    }
    job.args[n++] = "--";
    job.args[n++] = file;
    snprintf(bytes, sizeof(bytes), "%lld", (long long)json_integer_value(size));
    if (!child)
        job.args[n++] = bytes;
    job.file = job.made = file;
    begin(q, &job);
}

void api_delete_disk(struct request *q)
{
    AUTO_FREE char *file = take_file(q, request_text(q, "file"), FOLDER_WRITE, "file");
    struct machine *m;
    struct error err = {""};
    struct problem p;

    if (!file)
        return;
    m = machine_using(q->server, file, NULL);
    if (m) {
        reply_error(q, PROBLEM_CODE_IN_USE, "file", "the machine %s has it", m->name);
    } else if (disk_free_to_change(q->server, file, "file", &p) < 0) {
        reply_problem(q, &p);
    } else if (folder_kind_of(file) == FOLDER_KIND_ANY || files_remove(file, &err) < 0) {
        reply_error(q, PROBLEM_CODE_FAILED, "file", "%s",
                    *err.text ? err.text : "it does not look like a disk image");
    } else {
        bus_event(q->server,
                  &(struct event){.kind = EVENT_KIND_DISK_DELETED,
                                  .severity = SEVERITY_WARNING,
                                  .actor = &q->actor,
                                  .about = {OBJECT_TYPE_DISK, file, NULL},
                                  .cause = EVENT_CAUSE_REQUEST},
                  "%s was deleted", file);
        reply_empty(q, 204);
    }
}

static void on_inspected(void *ctx, json_t *info, const struct problem *p)
{
    struct request *q = ctx;
    uint64_t free_bytes, total;

    if (!info) {
        reply_problem(q, p);
        return;
    }
    folder_space(request_text(q, "file"), &free_bytes, &total);
    json_object_set_new(info, "host-free-bytes", json_integer((json_int_t)free_bytes));
    reply_json(q, 200, json_incref(info));
}

void api_inspect_disk(struct request *q)
{
    AUTO_FREE char *file = take_file(q, request_text(q, "file"), FOLDER_READ, "file");
    struct problem p;

    if (file && disk_inspect(q->server, file, on_inspected, q, &p) < 0)
        reply_problem(q, &p);
}

void api_check_disk(struct request *q)
{
    bool repair = json_is_true(json_object_get(q->body, "repair"));
    AUTO_FREE char *file =
        repair ? take_free_file(q) : take_file(q, body_text(q, "file"), FOLDER_READ, "/file");
    struct disk_job job = {
        .kind = "disk.check",
        .file = file,
        .args = {"check", repair ? "--repair" : "--", repair ? "--" : file, repair ? file : NULL},
        .event = EVENT_KIND_DISK_CHECKED,
        .words = "was checked",
        .result = disk_check_result};

    if (file)
        begin(q, &job);
}

void api_convert_disk(struct request *q)
{
    const char *format = body_text(q, "format");
    AUTO_FREE char *file = take_file(q, body_text(q, "file"), FOLDER_READ, "/file");
    AUTO_FREE char *to = file ? take_file(q, body_text(q, "to"), FOLDER_CREATE, "/to") : NULL;
    struct disk_job job = {.kind = "disk.convert",
                           .file = file,
                           .made = to,
                           .args = {"convert", "--to", format ? format : "vhd"},
                           .event = EVENT_KIND_DISK_CONVERTED,
                           .words = "was converted"};
    unsigned n = 3;

    if (!to)
        return;
    n += disk_parent_args(q->server, job.args + n, 16);
    job.args[n++] = "--";
    job.args[n++] = file;
    job.args[n++] = to;
    begin(q, &job);
}

void api_resize_disk(struct request *q)
{
    bool shrink = json_is_true(json_object_get(q->body, "shrink"));
    AUTO_FREE char *file = take_free_file(q);
    struct disk_job job = {.kind = "disk.resize",
                           .file = file,
                           .args = {"resize"},
                           .event = EVENT_KIND_DISK_RESIZED,
                           .words = "has another size"};
    char size[32];
    unsigned n = 1;

    if (!file)
        return;
    snprintf(size, sizeof(size), "%lld",
             (long long)json_integer_value(json_object_get(q->body, "size-bytes")));
    if (shrink)
        job.args[n++] = "--shrink";
    job.args[n++] = "--";
    job.args[n++] = file;
    job.args[n++] = size;
    begin(q, &job);
}

static void long_work(struct request *q, const char *kind, const char *verb, enum event_kind event,
                      const char *words)
{
    AUTO_FREE char *file = take_free_file(q);
    struct disk_job job = {
        .kind = kind, .file = file, .args = {verb}, .event = event, .words = words};
    unsigned n = 1;

    if (!file)
        return;
    n += disk_parent_args(q->server, job.args + n, 16);
    job.args[n++] = "--";
    job.args[n++] = file;
    begin(q, &job);
}

void api_compact_disk(struct request *q)
{
    long_work(q, "disk.compact", "compact", EVENT_KIND_DISK_COMPACTED, "was compacted");
}

void api_merge_disk(struct request *q)
{
    long_work(q, "disk.merge", "merge", EVENT_KIND_DISK_MERGED, "was merged into its parent");
}
