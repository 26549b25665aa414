/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ethernet addresses of machines' adapters: no two machines that are on have the same one. Theirs are
 * chosen here and not by their processes, which have network namespaces of their own and so cannot see
 * each other's.
 *
 * An address that a definition does not name follows from the machine's id and the adapter's number, so
 * that a guest knows its adapter again. 52:54:00 is what QEMU uses, too: tools take it for a virtual one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/life.h"
#include "server/networks.h"

#define TRIES 1000u
#define ADDRESS_TEXT 18

static const char *named(json_t *definition, size_t i)
{
    json_t *adapter = json_array_get(json_object_get(definition, "net"), i);

    return json_string_value(json_object_get(adapter, "mac"));
}

/* FNV-1a: spread, not secret. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return h;
}

static const char *generated(const struct machine *m, size_t i, unsigned try, char *buf)
{
    uint32_t words[2] = {(uint32_t)i, try};
    uint64_t h = hash(0xcbf29ce484222325, m->id, strlen(m->id));

    h = hash(h, words, sizeof(words));
    h ^= h >> 32;
    snprintf(buf, ADDRESS_TEXT, "52:54:00:%02x:%02x:%02x", (unsigned)(h >> 16 & 0xff),
             (unsigned)(h >> 8 & 0xff), (unsigned)(h & 0xff));
    return buf;
}

static bool has(json_t *addresses, const char *address)
{
    json_t *one;
    size_t i;

    json_array_foreach(addresses, i, one)
    {
        if (json_is_string(one) && !strcasecmp(json_string_value(one), address))
            return true;
    }
    return false;
}

/* What another machine has, or will have when it is turned on next. */
static bool is_kept_for(const struct machine *other, const char *address)
{
    size_t count = json_array_size(json_object_get(other->definition, "net"));
    char own[ADDRESS_TEXT];

    for (size_t i = 0; i < count; i++) {
        const char *is = named(other->definition, i);

        if (!strcasecmp(is ? is : generated(other, i, 0, own), address))
            return true;
    }
    return false;
}

/* The other machine that is on with this address, or NULL. */
static struct machine *holder(const struct machine *m, const char *address)
{
    for (struct machine *other = m->server->machines; other; other = other->next)
        if (other != m && life_is_on(other) && has(other->addresses, address))
            return other;
    return NULL;
}

static bool is_free(const struct machine *m, json_t *own, const char *address)
{
    if (has(own, address) || holder(m, address))
        return false;
    for (struct machine *other = m->server->machines; other; other = other->next)
        if (other != m && is_kept_for(other, address))
            return false;
    return true;
}

/* Two machines' first choices may be the same one: then it is neither's, whoever is turned on first. */
static void choose(const struct machine *m, json_t *own, size_t i, char *buf)
{
    for (unsigned try = 0; try < TRIES; try++)
        if (is_free(m, own, generated(m, i, try, buf)))
            return;
}

int network_addresses(struct machine *m, struct error *err)
{
    json_t *definition = m->started, *own = json_array();
    size_t count = json_array_size(json_object_get(definition, "net"));
    int r = own ? 0 : -ENOMEM;

    for (size_t i = 0; i < count && r == 0; i++) {
        const char *address = named(definition, i);
        struct machine *other = address ? holder(m, address) : NULL;
        char buf[ADDRESS_TEXT];

        if (other || (address && has(own, address)))
            r = error_set(err, -EEXIST,
                          "adapter %zu has the address %s, as an adapter of %.100s, which is on; "
                          "give one of them another, or none",
                          i, address, other ? other->name : m->name);
        if (!address)
            choose(m, own, i, buf);
        if (r == 0)
            r = json_array_append_new(own, json_string(address ? address : buf)) < 0 ? -ENOMEM : 0;
    }
    if (r < 0) {
        json_decref(own);
        return r;
    }
    json_decref(m->addresses);
    m->addresses = own;
    return 0;
}

void network_put_addresses(const struct machine *m, json_t *definition)
{
    json_t *adapter;
    size_t i;

    json_array_foreach(json_object_get(definition, "net"), i, adapter)
    {
        json_t *address = json_array_get(m->addresses, i);

        if (address)
            json_object_set(adapter, "mac", address);
    }
}
