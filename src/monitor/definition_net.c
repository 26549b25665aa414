/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One adapter, as text or as JSON. Both forms are a list of names and values, which one table
 * checks.
 */
#include "monitor/definition_net.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "net/mac.h"

struct word {
    const char *name;
    bool flag; /* takes no value */
    int (*set)(struct definition_net *net, const char *value, struct error *err);
};

static const char *const models[] = {
    [MACHINE_NIC_VIRTIO] = "virtio",
    [MACHINE_NIC_E1000] = "e1000",
    [MACHINE_NIC_21140] = "21140",
    [MACHINE_NIC_RTL8139] = "rtl8139",
};

const char *definition_net_model(enum machine_nic nic)
{
    return models[nic];
}

static int set_text(char **where, const char *name, const char *value, struct error *err)
{
    if (!*value)
        return error_set(err, -EINVAL, "--net: %s: a value is missing", name);
    free(*where);
    *where = strdup(value);
    return *where ? 0 : -ENOMEM;
}

static int set_model(struct definition_net *net, const char *value, struct error *err)
{
    char list[64] = "";

    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        size_t used = strlen(list);

        if (!strcmp(value, models[i])) {
            net->nic = (enum machine_nic)i;
            return 0;
        }
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", models[i]);
    }
    return error_set(err, -EINVAL, "--net: model '%s' is not one of %s", value, list);
}

static int set_mac(struct definition_net *net, const char *value, struct error *err)
{
    uint8_t mac[NET_MAC_BYTES];

    if (mac_parse(value, mac) < 0)
        return error_set(err, -EINVAL, "--net: mac '%s' is not of the form 52:54:00:12:34:56",
                         value);
    if (!mac_is_single(mac))
        return error_set(err, -EINVAL,
                         "--net: mac '%s' is no address of one adapter; its first byte is even, "
                         "and it is not all zero",
                         value);
    memcpy(net->mac, mac, sizeof(mac));
    net->mac_given = true;
    return 0;
}

static int need_nat(const struct definition_net *net, const char *name, struct error *err)
{
    return net->kind == DEFINITION_NET_NAT
               ? 0
               : error_set(err, -EINVAL, "--net: %s belongs to nat", name);
}

static int set_forward(struct definition_net *net, const char *value, struct error *err)
{
    int r = need_nat(net, "forward", err);

    if (r < 0)
        return r;
    if (net->forward_count == NAT_FORWARDS_MAX)
        return error_set(err, -EINVAL, "--net: at most %u forwarded ports", NAT_FORWARDS_MAX);
    r = nat_parse_forward(value, &net->forwards[net->forward_count], err);
    if (r < 0)
        return error_prefix(err, r, "--net: forward");
    net->forward_count++;
    return 0;
}

static int set_tftp(struct definition_net *net, const char *value, struct error *err)
{
    int r = need_nat(net, "tftp", err);

    return r < 0 ? r : set_text(&net->tftp, "tftp", value, err);
}

static int set_bootfile(struct definition_net *net, const char *value, struct error *err)
{
    int r = need_nat(net, "bootfile", err);

    return r < 0 ? r : set_text(&net->boot_file, "bootfile", value, err);
}

static int set_isolated(struct definition_net *net, const char *value, struct error *err)
{
    int r = need_nat(net, "isolated", err);

    (void)value;
    net->isolated = true;
    return r;
}

static const struct word words[] = {
    {"model", false, set_model},       {"mac", false, set_mac},
    {"forward", false, set_forward},   {"tftp", false, set_tftp},
    {"bootfile", false, set_bootfile}, {"isolated", true, set_isolated},
};

static int set_word(struct definition_net *net, const char *name, const char *value,
                    struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i].name, name))
            continue;
        if (!value && !words[i].flag)
            return error_set(err, -EINVAL, "--net: %s: a value is missing", name);
        return words[i].set(net, value, err);
    }
    return error_set(err, -EINVAL,
                     "--net: '%s' is not one of model, mac, forward, tftp, bootfile, isolated",
                     name);
}

/* What the cable leads to: the first word. */
static int set_kind(struct definition_net *net, const char *name, const char *value,
                    struct error *err)
{
    if (!strcmp(name, "nat") && !value) {
        net->kind = DEFINITION_NET_NAT;
        return 0;
    }
    if (!strcmp(name, "unplugged") && !value)
        return 0;
    if (!strcmp(name, "tap") && value) {
        net->kind = DEFINITION_NET_TAP;
        if (strlen(value) >= IFNAMSIZ || strchr(value, '/'))
            return error_set(err, -EINVAL, "--net: '%s' is no name of an interface", value);
        return set_text(&net->name, "tap", value, err);
    }
    if (!strcmp(name, "network") && value) {
        net->kind = DEFINITION_NET_NETWORK;
        return set_text(&net->name, "network", value, err);
    }
    return error_set(err, -EINVAL,
                     "--net: '%s' is not one of none, nat, tap=NAME, network=PATH, unplugged",
                     name);
}

/* Cut the next word off: up to a single comma, two of which stand for one. */
static bool next_word(const char **text, char *word, char **ret_value)
{
    const char *p = *text;
    char *out = word;

    if (!p)
        return false;
    while (*p && (*p != ',' || p[1] == ',')) {
        p += *p == ',';
        *out++ = *p++;
    }
    *out = '\0';
    *text = *p ? p + 1 : NULL;
    *ret_value = strchr(word, '=');
    if (*ret_value)
        *(*ret_value)++ = '\0';
    return true;
}

int definition_net_parse(const char *text, struct definition_net *ret_net, struct error *err)
{
    AUTO_FREE char *word = malloc(strlen(text) + 1);
    struct definition_net net = {0};
    char *value;
    int r;

    if (!word)
        return -ENOMEM;
    next_word(&text, word, &value);
    r = set_kind(&net, word, value, err);
    while (r == 0 && next_word(&text, word, &value))
        r = set_word(&net, word, value, err);
    if (r < 0)
        definition_net_done(&net);
    *ret_net = net;
    return r;
}

/* "forward" may be a list. */
static int json_word(struct definition_net *net, const char *key, json_t *member, struct error *err)
{
    json_t *one;
    size_t i;
    int r = 0;

    if (json_is_array(member)) {
        json_array_foreach(member, i, one)
        {
            if (!json_is_string(one))
                return error_set(err, -EINVAL, "net: %s: give strings", key);
            r = set_word(net, key, json_string_value(one), err);
            if (r < 0)
                return r;
        }
        return 0;
    }
    if (json_is_false(member))
        return 0;
    if (json_is_true(member))
        return set_word(net, key, NULL, err);
    if (!json_is_string(member))
        return error_set(err, -EINVAL, "net: %s: give a string", key);
    return set_word(net, key, json_string_value(member), err);
}

int definition_net_parse_json(json_t *value, struct definition_net *ret_net, struct error *err)
{
    struct definition_net net = {0};
    const char *type = json_string_value(json_object_get(value, "type")), *key;
    const char *name = json_string_value(json_object_get(value, "name"));
    json_t *member;
    int r;

    if (json_is_string(value))
        return definition_net_parse(json_string_value(value), ret_net, err);
    if (!json_is_object(value) || !type)
        return error_set(
            err, -EINVAL,
            "net: give a string, or an object with \"type\": nat, tap, network or unplugged");
    r = set_kind(&net, type, name, err);
    json_object_foreach(value, key, member)
    {
        if (r == 0 && strcmp(key, "type") && strcmp(key, "name"))
            r = json_word(&net, key, member, err);
    }
    if (r < 0)
        definition_net_done(&net);
    *ret_net = net;
    return r;
}

void definition_net_done(struct definition_net *net)
{
    free(net->name);
    free(net->tftp);
    free(net->boot_file);
    *net = (struct definition_net){0};
}

const char *definition_net_text(const struct definition_net *net, char *buf, size_t room)
{
    switch (net->kind) {
    case DEFINITION_NET_NAT:
        snprintf(buf, room, "nat");
        break;
    case DEFINITION_NET_TAP:
        snprintf(buf, room, "tap=%s", net->name);
        break;
    case DEFINITION_NET_NETWORK:
        snprintf(buf, room, "network=%s", net->name);
        break;
    default:
        snprintf(buf, room, "unplugged");
    }
    return buf;
}
