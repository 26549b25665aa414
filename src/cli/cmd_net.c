/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado net`: the virtual networks of the server.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cli/remote.h"

/* METHOD /networks/NAME/what for the network that the first argument names. */
static int about(struct remote *r, const char *method, const char *what, json_t *body,
                 const char *if_match, json_t **ret_value)
{
    AUTO_FREE char *name = client_escape(r->client, r->args[0]);
    AUTO_FREE char *path = NULL;

    if (!name || asprintf(&path, "/networks/%s%s", name, what) < 0) {
        path = NULL;
        json_decref(body);
        return CLI_FAILED;
    }
    return remote_do(r, method, path, body, if_match, ret_value);
}

static int print_result(struct remote *r, int status, json_t *value)
{
    if (status == CLI_OK && r->json && value)
        status = remote_print(value);
    json_decref(value);
    return status;
}

static const char *kind_of(json_t *n)
{
    const char *kind = remote_text(json_object_get(n, "definition"), "kind");

    return *kind ? kind : "internal";
}

static void print_network(json_t *n)
{
    json_t *definition = json_object_get(n, "definition");

    printf("%-20s  %-9s  %-8s  %8zu  %s%s\n", remote_text(n, "name"), kind_of(n),
           remote_text(n, "state"), json_array_size(json_object_get(n, "machines")),
           remote_text(definition, "subnet"), remote_text(definition, "interface"));
}

static int net_list(struct remote *r)
{
    json_t *value = NULL, *n;
    int status = remote_do(r, "GET", "/networks", NULL, NULL, &value);
    size_t i;

    if (status != CLI_OK || r->json)
        return print_result(r, status, value);
    printf("%-20s  %-9s  %-8s  %8s  %s\n", "NAME", "KIND", "STATE", "ADAPTERS", "SUBNET");
    json_array_foreach(json_object_get(value, "networks"), i, n) print_network(n);
    json_decref(value);
    return status;
}

/* Through what of the host it leads out, and why. */
static void print_uplink(json_t *uplink)
{
    static const char *const reasons[][2] = {
        {"chosen", "as the definition says"},
        {"is-bridge", "the adapter is a bridge"},
        {"in-bridge", "the adapter is in this bridge"},
        {"unused", "the host does not use the adapter itself"},
        {"used", "the host uses the adapter itself"},
        {"no-rights", "the server may not change the host's network"},
        {"no-macvtap", "this host has no macvtap"},
    };
    static const char *const members[] = {"bridge", "interface", "outside"};
    const char *reason = remote_text(uplink, "reason");

    if (!uplink)
        return;
    printf("way out: %s", remote_text(uplink, "through"));
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (*remote_text(uplink, members[i]))
            printf(", %s %s", members[i], remote_text(uplink, members[i]));
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (!strcmp(reason, reasons[i][0]))
            printf(" (%s)", reasons[i][1]);
    putchar('\n');
}

static int net_show(struct remote *r)
{
    json_t *value = NULL, *m;
    int status = about(r, "GET", "", NULL, NULL, &value);
    size_t i;

    if (status != CLI_OK || r->json)
        return print_result(r, status, value);
    print_network(value);
    if (json_object_get(value, "problem"))
        printf("problem: %s\n", remote_text(value, "problem"));
    print_uplink(json_object_get(value, "uplink"));
    json_array_foreach(json_object_get(value, "machines"), i, m)
        printf("machine: %s, adapter %d (%s)\n", remote_text(m, "name"),
               (int)json_integer_value(json_object_get(m, "adapter")), remote_text(m, "state"));
    remote_print(json_object_get(value, "definition"));
    json_decref(value);
    return status;
}

static int take_options(struct remote *r, json_t *object)
{
    int status = CLI_OK;

    for (int i = 1; i < r->count && status == CLI_OK; i++)
        status = remote_option(r, object, r->args[i]);
    return status;
}

static int net_create(struct remote *r)
{
    json_t *definition = json_pack("{s:s}", "name", r->args[0]), *value = NULL;
    int status = definition ? take_options(r, definition) : CLI_USAGE;

    if (status != CLI_OK) {
        json_decref(definition);
        return status;
    }
    status = remote_do(r, "POST", "/networks", definition, NULL, &value);
    return print_result(r, status, value);
}

static int net_set(struct remote *r)
{
    json_t *patch = json_object(), *value = NULL;
    int status = take_options(r, patch);

    if (status != CLI_OK) {
        json_decref(patch);
        return status;
    }
    status = about(r, "PATCH", "", patch, "*", &value);
    return print_result(r, status, value);
}

static int net_delete(struct remote *r)
{
    return about(r, "DELETE", "", NULL, NULL, NULL);
}

static void print_bytes(json_t *counters)
{
    char text[32];

    printf("  %10s %9lld",
           size_format((uint64_t)json_integer_value(json_object_get(counters, "bytes")), text,
                       sizeof(text)),
           (long long)json_integer_value(json_object_get(counters, "frames")));
}

static int net_ports(struct remote *r)
{
    json_t *value = NULL, *port;
    int status = about(r, "GET", "/status", NULL, NULL, &value);
    size_t i;

    if (status != CLI_OK || r->json)
        return print_result(r, status, value);
    printf("%-20s  %-17s  %-15s  %10s %9s  %10s %9s  %s\n", "NAME", "MAC", "ADDRESS", "SENT",
           "FRAMES", "RECEIVED", "FRAMES", "DROPPED");
    json_array_foreach(json_object_get(value, "ports"), i, port)
    {
        json_t *in = json_object_get(port, "in"), *out = json_object_get(port, "out");

        printf("%-20s  %-17s  %-15s", remote_text(port, "name"), remote_text(port, "mac"),
               remote_text(port, "address"));
        print_bytes(in);
        print_bytes(out);
        printf("  %lld\n", (long long)(json_integer_value(json_object_get(in, "drops")) +
                                       json_integer_value(json_object_get(out, "drops"))));
    }
    json_decref(value);
    return status;
}

static int net_leases(struct remote *r)
{
    json_t *value = NULL, *lease;
    int status = about(r, "GET", "/leases", NULL, NULL, &value);
    size_t i;

    if (status != CLI_OK || r->json)
        return print_result(r, status, value);
    printf("%-15s  %-17s  %-20s  %s\n", "ADDRESS", "MAC", "NAME", "IPV6");
    json_array_foreach(json_object_get(value, "leases"), i, lease) printf(
        "%-15s  %-17s  %-20s  %s\n", remote_text(lease, "address"), remote_text(lease, "mac"),
        remote_text(lease, "name"), remote_text(lease, "address6"));
    json_decref(value);
    return status;
}

static int net_history(struct remote *r)
{
    json_t *value = NULL;
    AUTO_FREE char *mac = r->count > 1 ? client_escape(r->client, r->args[1]) : NULL;
    AUTO_FREE char *what = NULL;
    int status;

    if (asprintf(&what, "/history%s%s", mac ? "?mac=" : "", mac ? mac : "") < 0) {
        what = NULL;
        return CLI_FAILED;
    }
    status = about(r, "GET", what, NULL, NULL, &value);
    if (status == CLI_OK)
        status = remote_print(value);
    json_decref(value);
    return status;
}

/* Begin, end, or write what was captured to a file. */
static int net_capture(struct remote *r)
{
    AUTO_FREE char *name = client_escape(r->client, r->args[0]);
    AUTO_FREE char *path = NULL, *data = NULL;
    const char *what = r->args[1];
    struct error err = {""};
    json_t *value = NULL;
    size_t len;
    FILE *file;
    int status;

    if (!strcmp(what, "start"))
        return about(r, "POST", "/capture",
                     r->count > 2 ? json_pack("{s:s}", "mac", r->args[2]) : NULL, NULL, NULL);
    if (!strcmp(what, "stop")) {
        status = about(r, "DELETE", "/capture", NULL, NULL, &value);
        return print_result(r, status, value);
    }
    if (strcmp(what, "save") || r->count < 3)
        return remote_error(r, CLI_USAGE, "say start, stop or save FILE");
    if (!name || asprintf(&path, "/networks/%s/capture", name) < 0) {
        path = NULL;
        return CLI_FAILED;
    }
    if (client_fetch(r->client, path, &data, &len, &err) < 0)
        return remote_error(r, CLI_FAILED, "%s", err.text);
    file = fopen(r->args[2], "wbe");
    if (!file)
        return remote_error(r, CLI_FAILED, "%s cannot be written", r->args[2]);
    status = fwrite(data, 1, len, file) == len ? CLI_OK : CLI_FAILED;
    if (fclose(file) != 0 || status != CLI_OK)
        return remote_error(r, CLI_FAILED, "%s cannot be written", r->args[2]);
    return CLI_OK;
}

/* ---- machines' adapters ---- */

static int net_adapters(struct remote *r)
{
    json_t *value = NULL, *a;
    char id[17], path[64];
    int status = remote_machine(r, r->args[0], id);
    size_t i;

    if (status != CLI_OK)
        return status;
    snprintf(path, sizeof(path), "/machines/%s/adapters", id);
    status = remote_do(r, "GET", path, NULL, NULL, &value);
    if (status != CLI_OK || r->json)
        return print_result(r, status, value);
    printf("%-2s  %-8s  %-17s  %-5s  %s\n", "N", "MODEL", "MAC", "CABLE", "LEADS TO");
    json_array_foreach(json_object_get(value, "adapters"), i, a)
        printf("%-2d  %-8s  %-17s  %-5s  %s\n",
               (int)json_integer_value(json_object_get(a, "adapter")), remote_text(a, "model"),
               remote_text(a, "mac"), json_is_true(json_object_get(a, "link")) ? "in" : "out",
               remote_text(a, json_object_get(a, "network") ? "network" : "to"));
    json_decref(value);
    return status;
}

/* The place of an adapter in the list, as a number from 0. */
static int adapter_number(struct remote *r, const char *text, size_t *ret_n)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n > 7)
        return remote_error(r, CLI_USAGE, "'%s' is no adapter; they are 0 to 7", text);
    *ret_n = n;
    return CLI_OK;
}

static int net_link(struct remote *r)
{
    bool up = !strcmp(r->args[2], "up");
    char id[17], path[64];
    size_t n;
    int status = adapter_number(r, r->args[1], &n);

    if (status == CLI_OK && !up && strcmp(r->args[2], "down"))
        status = remote_error(r, CLI_USAGE, "say up or down");
    if (status == CLI_OK)
        status = remote_machine(r, r->args[0], id);
    if (status != CLI_OK)
        return status;
    snprintf(path, sizeof(path), "/machines/%s/adapters/%zu/link", id, n);
    return remote_do(r, "PUT", path, json_pack("{s:b}", "up", up), NULL, NULL);
}

/* The adapter with another far end; it keeps its model and address. */
static json_t *led_to(json_t *adapter, const char *where)
{
    json_t *new = json_deep_copy(adapter);
    bool own = !strcmp(where, "nat") || !strcmp(where, "unplugged");

    json_object_del(new, "name");
    json_object_del(new, "forward");
    json_object_del(new, "isolated");
    json_object_set_new(new, "type", json_string(own ? where : "network"));
    if (!own)
        json_object_set_new(new, "name", json_string(where));
    return new;
}

/* Change the definition; a running machine follows at once. */
static int net_connect(struct remote *r)
{
    json_t *value = NULL, *net;
    char id[17], path[40];
    char etag[24] = "*";
    size_t n;
    int status = adapter_number(r, r->args[1], &n);

    if (status == CLI_OK)
        status = remote_machine(r, r->args[0], id);
    if (status != CLI_OK)
        return status;
    snprintf(path, sizeof(path), "/machines/%s", id);
    status = remote_do(r, "GET", path, NULL, NULL, &value);
    if (status != CLI_OK)
        return status;
    net = json_object_get(json_object_get(value, "definition"), "net");
    net = json_is_array(net) ? json_deep_copy(net) : json_array();
    if (n >= json_array_size(net)) {
        status = remote_error(r, CLI_FAILED, "the machine has %zu adapters, counted from 0",
                              json_array_size(net));
        json_decref(net);
    } else {
        json_array_set_new(net, n, led_to(json_array_get(net, n), r->args[2]));
        if (*remote_text(value, "etag"))
            snprintf(etag, sizeof(etag), "\"%.20s\"", remote_text(value, "etag"));
        status = remote_do(r, "PATCH", path, json_pack("{s:o}", "net", net), etag, NULL);
    }
    json_decref(value);
    return status;
}

static const struct remote_verb verbs[] = {
    {"list", "", "All networks that you may see.", net_list, 0, 0},
    {"show", "NAME", "One network, who is on it, and its definition.", net_show, 1, 1},
    {"create", "NAME [OPTION=VALUE ...]", "Make one; options are those of yado-net(1).", net_create,
     1, -1},
    {"set", "NAME OPTION=VALUE ...", "Change its definition; null takes an option away.", net_set,
     2, -1},
    {"delete", "NAME", "Remove one that no machine leads to.", net_delete, 1, 1},
    {"ports", "NAME", "What passes its ports, and what is dropped.", net_ports, 1, 1},
    {"leases", "NAME", "Addresses that it has given.", net_leases, 1, 1},
    {"history", "NAME [MAC]", "What passed in each interval of the last hour, as JSON.",
     net_history, 1, 2},
    {"capture", "NAME start [MAC] | stop | save FILE",
     "Write down all frames, or one adapter's; fetch them as pcapng.", net_capture, 2, 3},
    {"adapters", "MACHINE", "The adapters of a machine that runs.", net_adapters, 1, 1},
    {"connect", "MACHINE N NETWORK|nat|unplugged", "Lead adapter N elsewhere, also while it runs.",
     net_connect, 3, 3},
    {"link", "MACHINE N up|down", "Put the cable in, or pull it out.", net_link, 3, 3},
    {0},
};

#define ABOUT "Makes and changes the virtual networks of the server, and shows who is on them."

void cmd_net_help(void)
{
    remote_help("yado net", ABOUT, verbs);
}

int cmd_net(int argc, char **argv)
{
    return remote_main("yado net", ABOUT, verbs, argc, argv);
}
