/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines' adapters: "net" of a definition names networks; yado-vm knows sockets. It runs in
 * RUN/ID, beside RUN/net-NAME.
 */
#include <stdio.h>
#include <string.h>

#include "server/networks.h"
#include "server/process.h"

#define TEXT_MAX 4096u
#define ANSWER_MS 10000u

static const char *member(json_t *adapter, const char *name)
{
    return json_string_value(json_object_get(adapter, name));
}

static bool is_type(json_t *adapter, const char *type)
{
    const char *own = member(adapter, "type");

    return own && !strcmp(own, type);
}

/* The socket of a network, from where a machine's process is. */
static void socket_of(const char *name, char *buf, size_t room)
{
    snprintf(buf, room, "../net-%s/machines", name);
}

void network_resolve(json_t *definition)
{
    json_t *adapter;
    char path[128];
    size_t i;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        if (!is_type(adapter, "network"))
            continue;
        socket_of(member(adapter, "name"), path, sizeof(path));
        json_object_set_new(adapter, "name", json_string(path));
    }
}

/* What --net takes, and net-connect: the far end alone. */
static void far_end(json_t *adapter, char *buf, size_t room)
{
    json_t *forward;
    char path[128];
    size_t used, i;

    if (is_type(adapter, "network")) {
        socket_of(member(adapter, "name"), path, sizeof(path));
        snprintf(buf, room, "network=%s", path);
        return;
    }
    if (is_type(adapter, "tap")) {
        snprintf(buf, room, "tap=%s", member(adapter, "name"));
        return;
    }
    snprintf(buf, room, "%s%s", member(adapter, "type"),
             json_is_true(json_object_get(adapter, "isolated")) ? ",isolated" : "");
    json_array_foreach(json_object_get(adapter, "forward"), i, forward)
    {
        used = strlen(buf);
        snprintf(buf + used, room - used, ",forward=%s", json_string_value(forward));
    }
}

static void on_moved(void *ctx, int r, json_t *value, const char *message)
{
    (void)ctx;
    (void)r;
    (void)value;
    (void)message; /* yado-vm goes on with the old cable, and its adapters say so */
}

void network_move_adapters(struct machine *m, json_t *before)
{
    json_t *old = json_object_get(before, "net"), *new = json_object_get(m->definition, "net");
    json_t *adapter;
    size_t i;

    json_array_foreach(new, i, adapter)
    {
        char now[TEXT_MAX], then[TEXT_MAX];

        if (i >= json_array_size(old))
            continue;
        far_end(adapter, now, sizeof(now));
        far_end(json_array_get(old, i), then, sizeof(then));
        if (strcmp(now, then))
            process_call(m, "net-connect", json_pack("{s:i, s:s}", "adapter", (int)i, "to", now),
                         ANSWER_MS, on_moved, NULL);
    }
}

static bool was_there(json_t *before, json_t *adapter)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(before, "net"), i,
                       one) if (json_equal(one, adapter)) return true;
    return false;
}

static int check_one(struct server *server, const struct caller *caller, json_t *adapter,
                     const char *field, struct problem *p)
{
    const char *name = member(adapter, "name");

    if (is_type(adapter, "network") || is_type(adapter, "tap")) {
        if (!name)
            return problem_set(p, PROBLEM_CODE_INVALID, field, "name the %s",
                               member(adapter, "type"));
    } else if (name) {
        return problem_set(p, PROBLEM_CODE_INVALID, field, "%s has no name",
                           member(adapter, "type"));
    }
    if (!is_type(adapter, "nat") &&
        (json_object_get(adapter, "forward") || json_object_get(adapter, "isolated")))
        return problem_set(p, PROBLEM_CODE_INVALID, field, "forward and isolated belong to nat");
    /* An interface of the host is the administrator's. */
    if (is_type(adapter, "tap"))
        return caller_may(server, caller, OBJECT_TYPE_SERVER, NULL, RIGHT_MODIFY, p);
    if (!is_type(adapter, "network"))
        return 0;
    if (!network_find(server, name))
        return problem_set(p, PROBLEM_CODE_INVALID, field, "there is no network '%.60s'", name);
    return caller_may(server, caller, OBJECT_TYPE_NETWORK, name, RIGHT_CONTROL, p);
}

int network_check_adapters(struct server *server, const struct caller *caller, json_t *definition,
                           json_t *before, struct problem *p)
{
    json_t *adapter;
    char field[32];
    size_t i;
    int r = 0;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        snprintf(field, sizeof(field), "/net/%zu", i);
        if (r == 0 && !was_there(before, adapter))
            r = check_one(server, caller, adapter, field, p);
    }
    return r;
}
