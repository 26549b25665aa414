/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's commands about network adapters. Adapters are numbered from 0, in the order
 * in which they were given.
 */
#include "monitor/commands.h"

#include <errno.h>
#include <stdio.h>

static int adapter(struct commands *c, json_t *args, unsigned *ret_adapter, struct error *err)
{
    unsigned count = networks_count(c->networks);
    json_t *value = json_object_get(args, "adapter");
    json_int_t n = value ? json_integer_value(value) : 0;

    if (!count)
        return error_set(err, -ENODEV, "the machine has no network adapter");
    if (n < 0 || n >= (json_int_t)count)
        return error_set(err, -ENODEV, "adapter: the machine has 0 to %u", count - 1);
    *ret_adapter = (unsigned)n;
    return 0;
}

static json_t *counters(const struct net_counters *c)
{
    return json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)c->frames, "bytes",
                     (json_int_t)c->bytes, "drops", (json_int_t)c->drops);
}

int commands_net_list(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    json_t *list = json_array();

    (void)args;
    (void)err;
    for (unsigned i = 0; i < networks_count(c->networks); i++) {
        const struct definition_net *net = networks_get(c->networks, i);
        struct net_counters sent, received;
        char mac[18], to[256];

        machine_net_counters(c->machine, i, &sent, &received);
        snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", net->mac[0], net->mac[1],
                 net->mac[2], net->mac[3], net->mac[4], net->mac[5]);
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:s, s:s, s:b, s:o, s:o}", "adapter", (int)i,
                                        "model", definition_net_model(net->nic), "mac", mac, "to",
                                        definition_net_text(net, to, sizeof(to)), "link",
                                        machine_net_link(c->machine, i), "sent", counters(&sent),
                                        "received", counters(&received)));
    }
    *ret_value = json_pack("{s:o}", "adapters", list);
    return 0;
}

int commands_net_link(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    json_t *up = json_object_get(args, "up");
    unsigned n = 0;
    int r = adapter(c, args, &n, err);

    (void)ret_value;
    if (r < 0)
        return r;
    if (!up)
        return error_set(err, -EINVAL, "up: give true or false");
    machine_net_unplug(c->machine, n, !json_is_true(up));
    return 0;
}

int commands_net_connect(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *to = json_string_value(json_object_get(args, "to"));
    struct definition_net net;
    unsigned n = 0;
    int r = adapter(c, args, &n, err);

    (void)ret_value;
    if (r < 0)
        return r;
    if (!to)
        return error_set(err, -EINVAL, "to: say where, as --net does");
    r = definition_net_parse(to, &net, err);
    if (r == 0)
        r = networks_move(c->networks, n, &net, err);
    definition_net_done(&net);
    return r;
}

int commands_net_forward(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *text = json_string_value(json_object_get(args, "forward"));
    struct nat_forward forward;
    unsigned n = 0;
    int r = adapter(c, args, &n, err);

    (void)ret_value;
    if (r < 0)
        return r;
    if (!text)
        return error_set(err, -EINVAL, "forward: give a port, as --net nat,forward=… does");
    r = nat_parse_forward(text, &forward, err);
    return r < 0 ? r
                 : networks_forward(c->networks, n, &forward,
                                    json_is_true(json_object_get(args, "remove")), err);
}
