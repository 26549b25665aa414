/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual networks, and the adapters of machines.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/files.h"
#include "server/life.h"
#include "server/merge.h"
#include "server/networks.h"
#include "server/process.h"

#define CAPTURE_MAX MIB(80)
#define ANSWER_MS 10000u

static void tell(struct request *q, struct network *n, enum event_kind kind, const char *words)
{
    bus_event(q->server,
              &(struct event){.kind = kind,
                              .actor = &q->actor,
                              .about = network_about(n),
                              .cause = EVENT_CAUSE_REQUEST},
              "the network %s %s", n->name, words);
}

static void reply_network(struct request *q, unsigned status, struct network *n)
{
    snprintf(q->etag, sizeof(q->etag), "\"%s\"", n->etag);
    reply_json(q, status, network_json(n, &q->caller));
}

void api_list_networks(struct request *q)
{
    json_t *list = json_array();

    for (struct network *n = q->server->networks; n; n = n->next)
        if (caller_rights(q->server, &q->caller, OBJECT_TYPE_NETWORK, n->name) &
            RIGHT_BIT(RIGHT_VIEW))
            json_array_append_new(list, network_json(n, &q->caller));
    reply_json(q, 200, json_pack("{s:o}", "networks", list));
}

void api_get_network(struct request *q)
{
    reply_network(q, 200, q->network);
}

/* ---- making and changing ---- */

static void on_created(void *ctx, struct network *n, const struct problem *p)
{
    struct request *q = ctx;

    if (!n) {
        reply_problem(q, p);
        return;
    }
    tell(q, n, EVENT_KIND_NETWORK_CREATED, "was made");
    snprintf(q->location, sizeof(q->location), API_PREFIX "/networks/%s", n->name);
    reply_network(q, 201, n);
}

void api_create_network(struct request *q)
{
    const char *name = json_string_value(json_object_get(q->body, "name"));

    if (network_find(q->server, name))
        reply_error(q, PROBLEM_CODE_EXISTS, "/name", "there is a network '%s' already", name);
    else
        network_put(q->server, NULL, q->body, on_created, q);
}

static void on_changed(void *ctx, struct network *n, const struct problem *p)
{
    struct request *q = ctx;

    if (!n) {
        reply_problem(q, p);
        return;
    }
    tell(q, n, EVENT_KIND_NETWORK_CHANGED, "was changed");
    reply_network(q, 200, n);
}

static void change(struct request *q, json_t *definition)
{
    const char *name = json_string_value(json_object_get(definition, "name"));
    struct schema_fault fault = {.error = {""}};

    if (schema_check(&schema_NetworkDefinition, definition, &fault) < 0)
        reply_error(q, PROBLEM_CODE_INVALID, fault.field, "%s", fault.error.text);
    else if (strcmp(name, q->network->name))
        reply_error(q, PROBLEM_CODE_INVALID, "/name",
                    "a network keeps its name, by which machines know it; make another");
    else
        network_put(q->server, q->network, definition, on_changed, q);
    json_decref(definition);
}

void api_replace_network(struct request *q)
{
    if (request_matches(q, q->network->etag))
        change(q, json_incref(q->body));
}

void api_change_network(struct request *q)
{
    if (request_matches(q, q->network->etag))
        change(q, merge_patch(q->network->definition, q->body));
}

static bool is_used(struct network *n, struct problem *p)
{
    struct caller all = {.everywhere = true, .administrator = true, .limit = RIGHTS_ALL};
    json_t *o = network_json(n, &all);
    json_t *first = json_array_get(json_object_get(o, "machines"), 0);

    if (first)
        problem_set(p, PROBLEM_CODE_CONFLICT, NULL,
                    "the machine %.100s has an adapter on it; lead that elsewhere first",
                    json_string_value(json_object_get(first, "name")));
    json_decref(o);
    return first != NULL;
}

void api_delete_network(struct request *q)
{
    struct problem p;

    if (is_used(q->network, &p)) {
        reply_problem(q, &p);
        return;
    }
    tell(q, q->network, EVENT_KIND_NETWORK_DELETED, "was deleted");
    network_remove(q->network);
    q->network = NULL;
    reply_empty(q, 204);
}

/* ---- what its yado-net says ---- */

static enum problem_code code_of(int r)
{
    return r == -EPIPE || r == -ETIMEDOUT ? PROBLEM_CODE_UNAVAILABLE : problem_from_errno(r);
}

static void on_answer(void *ctx, int r, json_t *value, const char *message)
{
    struct request *q = ctx;

    if (r < 0)
        reply_error(q, code_of(r), NULL, "%s", message && *message ? message : strerror(-r));
    else
        reply_json(q, 200, json_incref(value));
}

static void ask(struct request *q, const char *command, json_t *arguments, channel_done *done)
{
    if (network_call(q->network, command, arguments, done, q) < 0)
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "the network does not run: %s",
                    *q->network->problem ? q->network->problem : "it is starting");
}

static json_t *mac_argument(struct request *q)
{
    const char *mac = request_text(q, "mac");

    return mac ? json_pack("{s:s}", "mac", mac) : NULL;
}

void api_get_network_status(struct request *q)
{
    ask(q, "status", NULL, on_answer);
}

void api_list_leases(struct request *q)
{
    ask(q, "leases", NULL, on_answer);
}

void api_get_network_history(struct request *q)
{
    ask(q, "history", mac_argument(q), on_answer);
}

/* ---- captures ---- */

static void on_done(void *ctx, int r, json_t *value, const char *message)
{
    if (r < 0)
        on_answer(ctx, r, value, message);
    else
        reply_empty(ctx, 204);
}

void api_start_capture(struct request *q)
{
    AUTO_FREE char *path = network_capture_path(q->network);
    json_t *arguments = json_object();
    json_t *mac = json_object_get(q->body, "mac");

    if (path)
        unlink(
            path); /* the last one; a capture that runs goes on into nothing until it is replaced */
    json_object_set_new(arguments, "path", json_string(path ? path : ""));
    if (mac)
        json_object_set(arguments, "mac", mac);
    ask(q, "capture", arguments, on_done);
}

void api_stop_capture(struct request *q)
{
    ask(q, "capture-stop", NULL, on_answer);
}

void api_get_capture(struct request *q)
{
    AUTO_FREE char *path = network_capture_path(q->network);
    AUTO_FREE char *data = NULL;
    size_t len;

    if (!path || files_read(path, CAPTURE_MAX, &data, &len, NULL) < 0)
        reply_error(q, PROBLEM_CODE_NOT_FOUND, NULL, "nothing has been captured on this network");
    else
        reply_data(q, 200, "application/octet-stream", data, len);
}

/* ---- adapters ---- */

static void ask_machine(struct request *q, const char *command, json_t *arguments,
                        channel_done *done)
{
    if (process_call(q->machine, command, arguments, ANSWER_MS, done, q) < 0)
        reply_error(q, PROBLEM_CODE_STATE, NULL, "%s does not run", q->machine->name);
}

/* A socket is named as the network that it belongs to. */
static void name_far_end(json_t *adapter)
{
    const char *to = json_string_value(json_object_get(adapter, "to"));
    char name[64];

    if (to && sscanf(to, "network=nets/%63s", name) == 1)
        json_object_set_new(adapter, "network", json_string(name));
}

static void on_adapters(void *ctx, int r, json_t *value, const char *message)
{
    json_t *adapter;
    size_t i;

    json_array_foreach(json_object_get(value, "adapters"), i, adapter) name_far_end(adapter);
    on_answer(ctx, r, value, message);
}

void api_list_adapters(struct request *q)
{
    ask_machine(q, "net-list", NULL, on_adapters);
}

void api_set_link(struct request *q)
{
    json_t *arguments =
        json_pack("{s:I, s:O}", "adapter", (json_int_t)request_integer(q, "adapter", 0), "up",
                  json_object_get(q->body, "up"));

    ask_machine(q, "net-link", arguments, on_done);
}
