/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/networks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "server/bus.h"
#include "server/child.h"
#include "server/files.h"
#include "server/network_process.h"
#include "server/stamp.h"

#define CHECK_MS 10000u

struct network *network_find(struct server *server, const char *name)
{
    for (struct network *n = server->networks; n; n = n->next)
        if (!strcmp(n->name, name))
            return n;
    return NULL;
}

struct about network_about(const struct network *n)
{
    return (struct about){OBJECT_TYPE_NETWORK, n->name, n->name};
}

char *network_capture_path(const struct network *n)
{
    return files_join(n->folder, "capture.pcapng");
}

int network_call(struct network *n, const char *command, json_t *arguments, channel_done *done,
                 void *ctx)
{
    return network_process_call(n, command, arguments, done, ctx);
}

/* ---- what there is ---- */

static void digest_of(json_t *definition, char etag[17])
{
    AUTO_FREE char *text = json_dumps(definition, JSON_COMPACT | JSON_SORT_KEYS);
    char digest[65];

    digest_hex(text ? text : "", text ? strlen(text) : 0, digest);
    memcpy(etag, digest, 16);
    etag[16] = '\0';
}

static void adopt(struct network *n, json_t *definition)
{
    json_decref(n->definition);
    n->definition = definition;
    digest_of(definition, n->etag);
}

static void network_free(struct network *n)
{
    network_process_forget(n);
    free(n->name);
    free(n->folder);
    free(n->run);
    json_decref(n->definition);
    json_decref(n->status);
    free(n);
}

static struct network *network_alloc(struct server *server, const char *name)
{
    struct network *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->server = server;
    n->name = strdup(name);
    if (asprintf(&n->folder, "%s/networks/%s", server->state, name) < 0)
        n->folder = NULL;
    if (asprintf(&n->run, "%s/net-%s", server->run, name) < 0)
        n->run = NULL;
    n->definition = json_pack("{s:s}", "name", name);
    if (!n->name || !n->folder || !n->run || !n->definition) {
        network_free(n);
        return NULL;
    }
    return n;
}

static void link_network(struct network *n)
{
    n->next = n->server->networks;
    n->server->networks = n;
}

static void unlink_network(struct network *n)
{
    struct network **at = &n->server->networks;

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
}

/* The folder's name is the network's, whatever its file says: a copied folder is another network. */
static void load_one(struct server *server, const char *name)
{
    struct network *n = network_alloc(server, name);
    AUTO_FREE char *path = n ? files_join(n->folder, "network.json") : NULL;
    struct schema_fault fault;
    struct error err = {""};
    json_t *definition = NULL;

    if (!path)
        return;
    if (files_read_json(path, &definition, &err) < 0) {
        snprintf(n->problem, sizeof(n->problem), "%.250s", err.text);
    } else {
        json_object_set_new(definition, "name", json_string(name));
        if (schema_check(&schema_NetworkDefinition, definition, &fault) < 0)
            snprintf(n->problem, sizeof(n->problem), "network.json: %.60s: %.150s", fault.field,
                     fault.error.text);
        adopt(n, definition);
    }
    link_network(n);
    n->state = NETWORK_STATE_FAILED;
    if (!*n->problem)
        network_process_start(n);
}

void networks_open(struct server *server)
{
    AUTO_FREE char *path = files_join(server->state, "networks");
    DIR *folder = path ? opendir(path) : NULL;
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' && strlen(entry->d_name) <= 40)
            load_one(server, entry->d_name);
    if (folder)
        closedir(folder);
}

void networks_close(struct server *server)
{
    struct network *n;

    while ((n = server->networks) != NULL) {
        unlink_network(n);
        network_free(n);
    }
}

/* ---- another definition ---- */

struct put {
    struct server *server;
    char *name; /* of the network, which may have gone when yado-net has looked */
    bool new;
    json_t *definition;
    char *candidate;
    network_done *done;
    void *ctx;
};

static void put_end(struct put *put, struct network *n, const struct problem *p)
{
    if (put->candidate)
        unlink(put->candidate);
    put->done(put->ctx, n, p);
    json_decref(put->definition);
    free(put->candidate);
    free(put->name);
    free(put);
}

static void fail(struct put *put, enum problem_code code, const char *text)
{
    struct problem p;

    problem_set(&p, code, NULL, "%s", text);
    put_end(put, NULL, &p);
}

/* yado-net has nothing against it: it is the network's from now on. */
static void take(struct put *put)
{
    struct network *n = network_find(put->server, put->name);
    AUTO_FREE char *path = NULL;
    struct error err = {"no memory"};

    if (put->new == (n != NULL)) {
        fail(put, PROBLEM_CODE_CONFLICT, "somebody else was faster; look again");
        return;
    }
    if (!n)
        n = network_alloc(put->server, put->name);
    path = n ? files_join(n->folder, "network.json") : NULL;
    if (!path || files_folder(n->folder, 0700, &err) < 0 ||
        files_replace_json(path, put->definition, 0600, &err) < 0) {
        if (n && put->new)
            network_free(n);
        fail(put, PROBLEM_CODE_FAILED, err.text);
        return;
    }
    adopt(n, json_incref(put->definition));
    n->problem[0] = '\0';
    if (put->new) {
        link_network(n);
        network_process_start(n);
    } else {
        network_process_configure(n);
    }
    put_end(put, n, NULL);
}

static void on_checked(void *ctx, const struct child_result *result)
{
    struct put *put = ctx;
    AUTO_FREE char *text = strdup(result->errors ? result->errors : "");
    const char *words = text ? strstr(text, ".json: ") : NULL;

    if (result->status == 0) {
        take(put);
        return;
    }
    if (text)
        text[strcspn(text, "\n")] = '\0';
    fail(put, PROBLEM_CODE_INVALID, words ? words + 7 : text && *text ? text : "yado-net fails");
}

void network_put(struct server *server, struct network *n, json_t *definition, network_done *done,
                 void *ctx)
{
    AUTO_FREE char *program = files_join(server->programs, "yado-net");
    struct put *put = calloc(1, sizeof(*put));
    const char *args[] = {program, "--check", "--definition", NULL, NULL};
    struct child_request request = {
        .args = args, .timeout_ms = CHECK_MS, .on_end = on_checked, .ctx = put};
    json_t *plain = json_deep_copy(definition);
    struct error err = {"no memory"};
    struct child *child;
    char id[ID_TEXT];

    if (!put || !plain || !program) {
        free(put);
        json_decref(plain);
        done(ctx, NULL, &(struct problem){.code = PROBLEM_CODE_UNAVAILABLE, .state = -1});
        return;
    }
    *put = (struct put){.server = server,
                        .name = strdup(json_string_value(json_object_get(definition, "name"))),
                        .new = !n,
                        .definition = json_incref(definition),
                        .done = done,
                        .ctx = ctx};
    json_object_del(plain, "server");
    id_new(id);
    if (asprintf(&put->candidate, "%s/candidate-%s.json", server->run, id) < 0)
        put->candidate = NULL;
    args[3] = put->candidate;
    if (!put->name || !put->candidate ||
        files_replace_json(put->candidate, plain, 0600, &err) < 0 ||
        child_start(server->loop, &request, &child, &err) < 0)
        fail(put, PROBLEM_CODE_FAILED, err.text);
    json_decref(plain);
}

void network_remove(struct network *n)
{
    static const char *const names[] = {"network.json", "leases.json", "capture.pcapng"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = files_join(n->folder, names[i]);

        if (path)
            files_remove(path, NULL);
    }
    rmdir(n->folder);
    permission_forget_object(n->server, OBJECT_TYPE_NETWORK, n->name);
    network_process_end(n);
    unlink_network(n);
    network_free(n);
}

/* ---- as others see it ---- */

/* Adapters of definitions that lead here: "network" of a list's objects. */
static void add_machines(struct network *n, const struct caller *caller, json_t *list)
{
    for (struct machine *m = n->server->machines; m; m = m->next) {
        json_t *adapter;
        size_t i;

        if (!(caller_rights(n->server, caller, OBJECT_TYPE_MACHINE, m->id) & RIGHT_BIT(RIGHT_VIEW)))
            continue;
        json_array_foreach(json_object_get(m->definition, "net"), i, adapter)
        {
            const char *type = json_string_value(json_object_get(adapter, "type"));
            const char *name = json_string_value(json_object_get(adapter, "name"));

            if (type && name && !strcmp(type, "network") && !strcmp(name, n->name))
                json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:s}", "id", m->id, "name",
                                                      m->name, "adapter", (int)i, "state",
                                                      machine_state_names[m->state]));
        }
    }
}

json_t *network_json(struct network *n, const struct caller *caller)
{
    json_t *machines = json_array(), *o;

    add_machines(n, caller, machines);
    o = json_pack("{s:s, s:O, s:s, s:s, s:o, s:o}", "name", n->name, "definition", n->definition,
                  "etag", n->etag, "state", network_state_names[n->state], "machines", machines,
                  "rights",
                  rights_json(caller_rights(n->server, caller, OBJECT_TYPE_NETWORK, n->name)));
    if (o && *n->problem)
        json_object_set_new(o, "problem", json_string(n->problem));
    if (o && n->status && n->state == NETWORK_STATE_RUNNING) {
        json_object_set(o, "ports", json_object_get(n->status, "ports"));
        json_object_set(o, "capturing", json_object_get(n->status, "capturing"));
        if (json_object_get(n->status, "uplink"))
            json_object_set(o, "uplink", json_object_get(n->status, "uplink"));
    }
    return o;
}
