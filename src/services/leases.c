/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file: {"leases": [{"mac", "address", "ends", "ends6", "name"}, …]}, written beside and renamed, so
 * that a crash leaves the old or the new one.
 */
#define LOG_ROOM "dhcp"
#include "services/leases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "net/mac.h"

struct leases {
    struct leases_config config;
    struct lease *all;
    unsigned count;
    char *path;
    bool dirty;
};

static const uint8_t nobody[NET_MAC_BYTES];

static uint32_t number(struct in_addr a)
{
    return ntohl(a.s_addr);
}

static bool in_range(const struct leases *l, struct in_addr a)
{
    return number(a) >= number(l->config.start) && number(a) <= number(l->config.end);
}

static const struct lease_reservation *reserved_for(const struct leases *l, const uint8_t *mac)
{
    for (unsigned i = 0; i < l->config.reservation_count; i++)
        if (!memcmp(l->config.reservations[i].mac, mac, NET_MAC_BYTES))
            return &l->config.reservations[i];
    return NULL;
}

/* Nobody's but its adapter's: reserved, or one of the network's own. */
static bool is_kept(const struct leases *l, struct in_addr a)
{
    for (unsigned i = 0; i < ARRAY_LEN(l->config.taken); i++)
        if (l->config.taken[i].s_addr == a.s_addr)
            return true;
    for (unsigned i = 0; i < l->config.reservation_count; i++)
        if (l->config.reservations[i].address.s_addr == a.s_addr)
            return true;
    return false;
}

static struct lease *holder(struct leases *l, struct in_addr a)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->all[i].address.s_addr == a.s_addr)
            return &l->all[i];
    return NULL;
}

struct lease *leases_find(struct leases *l, const uint8_t *mac)
{
    for (unsigned i = 0; i < l->count; i++)
        if (!memcmp(l->all[i].mac, mac, NET_MAC_BYTES))
            return &l->all[i];
    return NULL;
}

static uint64_t kept_until(const struct lease *lease)
{
    return MAX(lease->ends_s, lease->ends6_s);
}

bool leases_may_have(struct leases *l, const uint8_t *mac, struct in_addr a, uint64_t now_s)
{
    const struct lease_reservation *own = reserved_for(l, mac);
    const struct lease *other;

    if (own)
        return own->address.s_addr == a.s_addr;
    if (!in_range(l, a) || is_kept(l, a))
        return false;
    other = holder(l, a);
    return !other || !memcmp(other->mac, mac, NET_MAC_BYTES) || kept_until(other) <= now_s;
}

/* FNV-1a: an adapter that comes back after its lease was given up begins at the same place. */
static uint32_t place_of(const uint8_t *mac, uint32_t size)
{
    uint32_t h = 0x811c9dc5;

    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        h = (h ^ mac[i]) * 0x01000193;
    return h % size;
}

/* One pass over the leases marks what is in use; then the first free address from the adapter's
 * own place on. 0.0.0.0: none. */
static struct in_addr choose(struct leases *l, const uint8_t *mac, uint64_t now_s)
{
    uint32_t first = number(l->config.start), size = number(l->config.end) - first + 1;
    AUTO_FREE uint8_t *used = calloc(size, 1);
    uint32_t at = place_of(mac, size);

    for (unsigned i = 0; used && i < l->count; i++)
        if (kept_until(&l->all[i]) > now_s && in_range(l, l->all[i].address))
            used[number(l->all[i].address) - first] = 1;
    for (uint32_t i = 0; used && i < size; i++) {
        struct in_addr a = {htonl(first + (at + i) % size)};

        if (!used[(at + i) % size] && !is_kept(l, a))
            return a;
    }
    return (struct in_addr){0};
}

static void change(struct leases *l)
{
    if (!l->dirty && l->config.changed)
        l->config.changed(l->config.ctx);
    l->dirty = true;
}

static void forget(struct leases *l, struct lease *lease)
{
    *lease = l->all[--l->count];
    change(l);
}

/* A new entry, in place of the one that has been over for longest when there is no room. */
static struct lease *entry_new(struct leases *l, uint64_t now_s)
{
    struct lease *oldest = NULL;

    if (l->count < LEASES_MAX)
        return &l->all[l->count++];
    for (unsigned i = 0; i < l->count; i++)
        if (kept_until(&l->all[i]) <= now_s &&
            (!oldest || kept_until(&l->all[i]) < kept_until(oldest)))
            oldest = &l->all[i];
    return oldest;
}

int leases_offer(struct leases *l, const uint8_t *mac, struct in_addr wanted, uint64_t now_s,
                 uint64_t ends_s, struct lease **ret_lease)
{
    const struct lease_reservation *reserved = reserved_for(l, mac);
    struct lease *lease = leases_find(l, mac), *other;
    struct in_addr a = wanted;

    if (reserved)
        a = reserved->address;
    else if (lease && leases_may_have(l, mac, lease->address, now_s))
        a = lease->address;
    else if (!wanted.s_addr || !leases_may_have(l, mac, wanted, now_s))
        a = choose(l, mac, now_s);
    if (!a.s_addr)
        return -ENOSPC;
    /* Whose lease of this address is over, or who had it before it was reserved, loses it. */
    other = holder(l, a);
    if (other && memcmp(other->mac, mac, NET_MAC_BYTES)) {
        forget(l, other);
        lease = leases_find(l, mac);
    }
    if (!lease) {
        lease = entry_new(l, now_s);
        if (!lease)
            return -ENOSPC;
        *lease = (struct lease){0};
        memcpy(lease->mac, mac, NET_MAC_BYTES);
    }
    if (lease->address.s_addr != a.s_addr) {
        lease->bound = false;
        lease->ends6_s = 0;
    }
    lease->address = a;
    lease->ends_s = MAX(lease->ends_s, ends_s);
    *ret_lease = lease;
    return 0;
}

void leases_bind(struct leases *l, struct lease *lease, uint64_t ends_s, const char *name)
{
    lease->bound = true;
    lease->ends_s = ends_s;
    if (name)
        snprintf(lease->name, sizeof(lease->name), "%s", name);
    change(l);
}

void leases_bind6(struct leases *l, struct lease *lease, uint64_t ends6_s)
{
    lease->ends6_s = ends6_s;
    change(l);
}

void leases_release(struct leases *l, struct lease *lease, uint64_t now_s)
{
    lease->bound = false;
    lease->ends_s = now_s;
    change(l);
}

/* Who declines without end takes no more than a quarter of the range out of use. */
static bool may_decline(const struct leases *l)
{
    uint32_t size = number(l->config.end) - number(l->config.start) + 1, declined = 0;

    for (unsigned i = 0; i < l->count; i++)
        declined += !memcmp(l->all[i].mac, nobody, NET_MAC_BYTES);
    return declined < size / 4;
}

void leases_decline(struct leases *l, struct lease *lease, uint64_t ends_s)
{
    if (!may_decline(l)) {
        forget(l, lease);
        return;
    }
    memcpy(lease->mac, nobody, NET_MAC_BYTES);
    lease->bound = false;
    lease->ends_s = ends_s;
    lease->ends6_s = 0;
    lease->name[0] = '\0';
    change(l);
}

unsigned leases_count(const struct leases *l)
{
    return l->count;
}

const struct lease *leases_get(const struct leases *l, unsigned i)
{
    return &l->all[i];
}

/* ---- the file ---- */

static void load_one(struct leases *l, json_t *value)
{
    const char *mac = json_string_value(json_object_get(value, "mac"));
    const char *address = json_string_value(json_object_get(value, "address"));
    const char *name = json_string_value(json_object_get(value, "name"));
    json_int_t ends = json_integer_value(json_object_get(value, "ends"));
    json_int_t ends6 = json_integer_value(json_object_get(value, "ends6"));
    struct lease lease = {.ends_s = (uint64_t)MAX(ends, (json_int_t)0),
                          .ends6_s = (uint64_t)MAX(ends6, (json_int_t)0),
                          .bound = true};

    if (!mac || !address || mac_parse(mac, lease.mac) < 0 || !mac_is_single(lease.mac) ||
        inet_pton(AF_INET, address, &lease.address) != 1 || leases_find(l, lease.mac) ||
        holder(l, lease.address) || l->count == LEASES_MAX)
        return;
    snprintf(lease.name, sizeof(lease.name), "%s", name ? name : "");
    l->all[l->count++] = lease;
}

static void load(struct leases *l)
{
    json_error_t jerr;
    json_t *root, *list, *value;
    size_t i;

    if (access(l->path, F_OK) < 0)
        return;
    root = json_load_file(l->path, JSON_REJECT_DUPLICATES, &jerr);
    list = json_object_get(root, "leases");
    if (!json_is_array(list))
        log_warning("%s is not a file of leases; guests get new addresses", l->path);
    json_array_foreach(list, i, value) load_one(l, value);
    json_decref(root);
}

static json_t *to_json(const struct leases *l)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < l->count; i++) {
        const struct lease *one = &l->all[i];
        char mac[MAC_TEXT_BYTES], address[INET_ADDRSTRLEN];

        if (!one->bound && !one->ends6_s)
            continue;
        inet_ntop(AF_INET, &one->address, address, sizeof(address));
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:s}", "mac",
                                              mac_format(one->mac, mac), "address", address, "ends",
                                              (json_int_t)(one->bound ? one->ends_s : 0), "ends6",
                                              (json_int_t)one->ends6_s, "name", one->name));
    }
    return json_pack("{s:o}", "leases", list);
}

static int write_file(const char *path, json_t *root)
{
    AUTO_FREE char *beside = NULL;
    AUTO_FD int fd = -1;
    int r;

    if (asprintf(&beside, "%s.new", path) < 0)
        return -ENOMEM;
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = json_dumpfd(root, fd, JSON_INDENT(1)) < 0 || fdatasync(fd) < 0 ? -EIO : 0;
    if (r == 0 && rename(beside, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(beside);
    return r;
}

void leases_store(struct leases *l)
{
    json_t *root;
    int r;

    l->dirty = false;
    if (!l->path)
        return;
    root = to_json(l);
    r = root ? write_file(l->path, root) : -ENOMEM;
    json_decref(root);
    if (r < 0)
        log_warning("%s: %s; the leases are not kept", l->path, strerror(-r));
}

int leases_new(const struct leases_config *config, struct leases **ret_leases, struct error *err)
{
    struct leases *l;

    if (number(config->end) < number(config->start) ||
        number(config->end) - number(config->start) >= LEASES_RANGE_MAX)
        return error_set(err, -EINVAL, "dhcp: the range has from 1 to %u addresses",
                         LEASES_RANGE_MAX);
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->config = *config;
    l->all = calloc(LEASES_MAX, sizeof(*l->all));
    l->path = config->path ? strdup(config->path) : NULL;
    if (!l->all || (config->path && !l->path)) {
        leases_free(l);
        return -ENOMEM;
    }
    if (l->path)
        load(l);
    *ret_leases = l;
    return 0;
}

struct leases *leases_free(struct leases *l)
{
    if (!l)
        return NULL;
    if (l->dirty)
        leases_store(l);
    free(l->all);
    free(l->path);
    free(l);
    return NULL;
}
