/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "nat"
#include "hostnet/knat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "hostnet/firewall.h"
#include "hostnet/hostlink.h"
#include "hostnet/keeper.h"

#define TAP_PREFIX "ynat"
#define MARKER "yado-forward-" /* and the index of the interface that leads out */
#define TABLE_PREFIX "yado-" TAP_PREFIX
#define GUARD "iifname \"%s\" oifname != \"" TAP_PREFIX "*\" drop"
#define LOCK "nat"
#define LOCK_MS 10000u
#define GONE_MS 3000u
#define STEP_MS 20u
#define COMMENT_MAX 40u

struct knat {
    char interface[IFNAMSIZ], outside[IFNAMSIZ];
    unsigned outside_index;
    bool forwards; /* forwarding from outside was switched on by us: guard it, switch it off */
    struct nft_ctx *nft; /* its socket owns the table */
    struct keeper *keeper;
    int held[NAT_FORWARDS_MAX]; /* sockets on forwarded ports, so that nobody else listens there */
    unsigned held_count;
};

const char *knat_interface(const struct knat *k)
{
    return k->interface;
}

const char *knat_outside(const struct knat *k)
{
    return k->outside;
}

/* ---- the rules ---- */

/* What may stand in a comment. */
static void comment_of(const char *name, char *ret_comment)
{
    size_t n = 0;

    for (; *name && n < COMMENT_MAX; name++)
        if ((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
            (*name >= '0' && *name <= '9') || strchr(" ._-", *name))
            ret_comment[n++] = *name;
    ret_comment[n] = '\0';
}

static bool is_loopback(struct in_addr a)
{
    return ntohl(a.s_addr) >> 24 == 127;
}

/* A port of the host is the guest's: for who comes from outside, or (here) for the host's own. */
static void put_forward(FILE *out, const struct nat_forward *f, bool here)
{
    char host[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN];

    if (!here && is_loopback(f->host))
        return;
    inet_ntop(AF_INET, &f->host, host, sizeof(host));
    inet_ntop(AF_INET, &f->guest, guest, sizeof(guest));
    if (f->host.s_addr)
        fprintf(out, "  ip daddr %s", host);
    else
        fprintf(out, "  fib daddr type local");
    fprintf(out, " %s dport %u dnat to %s:%u\n", f->udp ? "udp" : "tcp", f->host_port, guest,
            f->guest_port);
}

static void put_forwards(FILE *out, const struct knat_config *c, bool here)
{
    fprintf(out, here ? " chain own { type nat hook output priority -100; policy accept;\n"
                      : " chain in { type nat hook prerouting priority dstnat; policy accept;\n");
    for (unsigned i = 0; i < c->forward_count; i++)
        put_forward(out, &c->forwards[i], here);
    fprintf(out, " }\n");
}

/* What may pass the host, from and to the guests. */
static void put_forwarded(FILE *out, const struct knat_config *c, const char *tap,
                          const char *outside, bool guard)
{
    fprintf(out,
            " chain pass { type filter hook forward priority filter; policy accept;\n"
            "  iifname \"%s\" ct status dnat accept\n"
            "  iifname \"%s\" ct state established,related accept\n"
            "  iifname \"%s\" %s\n"
            "  oifname \"%s\" ct status dnat accept\n"
            "  oifname \"%s\" ct state established,related accept\n"
            "  oifname \"%s\" drop\n",
            tap, tap, tap, c->isolated ? "drop" : "accept", tap, tap, tap);
    /* The host forwards from there for us alone: it is to be nobody else's router. */
    if (guard)
        fprintf(out,
                "  iifname \"%s\" ct status dnat accept\n"
                "  iifname \"%s\" ct state established,related accept\n"
                "  " GUARD "\n",
                outside, outside, outside);
    fprintf(out, " }\n");
}

static void put_rules(FILE *out, const struct knat_config *c, const char *tap, const char *outside,
                      bool guard)
{
    char subnet[INET_ADDRSTRLEN], comment[COMMENT_MAX + 1];

    inet_ntop(AF_INET, &c->subnet, subnet, sizeof(subnet));
    comment_of(c->name, comment);
    fprintf(out, "table ip yado-%s { comment \"Yado network %s\"; flags owner;\n", tap, comment);
    /* Guests have addresses of their subnet, and no way to the host's loopback, which
     * route_localnet would open. */
    fprintf(out,
            " chain spoof { type filter hook prerouting priority raw; policy accept;\n"
            "  iifname \"%s\" ip saddr != %s/%u drop\n"
            "  iifname \"%s\" ip daddr 127.0.0.0/8 drop\n }\n",
            tap, subnet, c->prefix_bits, tap);
    put_forwards(out, c, false);
    put_forwards(out, c, true);
    /* The way out; and the way back of what a guest or this host sends to a forwarded port. */
    fprintf(out,
            " chain out { type nat hook postrouting priority srcnat; policy accept;\n"
            "  ip saddr %s/%u oifname != \"%s\" masquerade\n"
            "  ip saddr %s/%u oifname \"%s\" ct status dnat masquerade\n"
            "  ip saddr 127.0.0.0/8 oifname \"%s\" masquerade\n }\n",
            subnet, c->prefix_bits, tap, subnet, c->prefix_bits, tap, tap);
    put_forwarded(out, c, tap, outside, guard);
    if (c->isolated)
        fprintf(out,
                " chain host { type filter hook input priority filter; policy accept;\n"
                "  iifname \"%s\" ct state established,related accept\n"
                "  iifname \"%s\" icmp type echo-request accept\n"
                "  iifname \"%s\" drop\n }\n",
                tap, tap, tap);
    fprintf(out, "}\n");
}

char *knat_rules(const struct knat_config *config, const char *interface, const char *outside,
                 bool guard)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        return NULL;
    put_rules(out, config, interface, outside, guard);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- nftables ---- */

static struct nft_ctx *nft_open(void)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

    if (nft && nft_ctx_buffer_error(nft) == 0 && nft_ctx_buffer_output(nft) == 0)
        return nft;
    if (nft)
        nft_ctx_free(nft);
    return NULL;
}

/* Its first line of complaint in err. */
static int nft_run(struct nft_ctx *nft, const char *commands, struct error *err)
{
    const char *said;

    if (nft_run_cmd_from_buffer(nft, commands) == 0)
        return 0;
    said = nft_ctx_get_error_buffer(nft);
    said = said ? said : "";
    return error_set(err, strstr(said, "not permitted") ? -EPERM : -EIO, "nftables: %.*s%s",
                     (int)strcspn(said, "\n"), said,
                     strstr(said, "not permitted") ? "; kernel NAT needs CAP_NET_ADMIN" : "");
}

/* ---- forwarding, of the interface that leads out ---- */

static int sysctl_path(const char *interface, const char *name, char *path, size_t bytes)
{
    int n = snprintf(path, bytes, "/proc/sys/net/ipv4/conf/%s/%s", interface, name);

    return n < 0 || (size_t)n >= bytes ? -ENAMETOOLONG : 0;
}

/* 0 or 1, or -errno. */
static int sysctl_get(const char *interface, const char *name)
{
    char path[128], value = '0';
    AUTO_FD int fd = -1;

    if (sysctl_path(interface, name, path, sizeof(path)) < 0)
        return -ENAMETOOLONG;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &value, 1) != 1)
        return -errno;
    return value != '0';
}

static int sysctl_set(const char *interface, const char *name, bool on, struct error *err)
{
    char path[128];
    AUTO_FD int fd = -1;

    if (sysctl_get(interface, name) == (int)on)
        return 0;
    if (sysctl_path(interface, name, path, sizeof(path)) < 0)
        return -ENAMETOOLONG;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
        return error_set(err, -errno, "net.ipv4.conf.%s.%s cannot be set: %s", interface, name,
                         strerror(errno));
    return 0;
}

/* … unless somebody has made the whole host forward in the meantime, as Docker does. */
static void switch_off(const char *interface)
{
    if (sysctl_get("all", "forwarding") == 0)
        sysctl_set(interface, "forwarding", false, NULL);
}

struct others {
    const char *own;
    bool found;
};

static bool look_for_other(void *ctx, const struct hostlink_info *info)
{
    struct others *o = ctx;

    o->found |= !strncmp(info->name, TAP_PREFIX, strlen(TAP_PREFIX)) && strcmp(info->name, o->own);
    return !o->found;
}

/* Nobody's network leads out any more: what was switched on is switched off. A table without rules
 * says of an interface that it was. Under the lock. */
static void forwarding_restore(struct nft_ctx *nft, struct hostlink *l, const struct knat *k)
{
    struct others others = {.own = k->interface};
    AUTO_FREE char *tables = NULL;
    char *save, *line;

    if (hostlink_each(l, look_for_other, &others) < 0 || others.found ||
        nft_run(nft, "list tables ip", NULL) < 0)
        return;
    if (k->forwards)
        switch_off(k->outside);
    tables = strdup(nft_ctx_get_output_buffer(nft));
    if (!tables)
        return;
    for (line = strtok_r(tables, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[IFNAMSIZ], command[64];
        unsigned index;

        if (sscanf(line, "table ip " MARKER "%u", &index) != 1)
            continue;
        if (if_indextoname(index, name))
            switch_off(name);
        snprintf(command, sizeof(command), "delete table ip " MARKER "%u", index);
        nft_run(nft, command, NULL);
    }
}

/* Does the table of another network guard the interface? */
static bool guards(struct nft_ctx *nft, const char *table, const char *outside)
{
    char command[64], rule[64];

    snprintf(command, sizeof(command), "list table ip %.40s", table);
    snprintf(rule, sizeof(rule), GUARD, outside);
    return nft_run(nft, command, NULL) == 0 && strstr(nft_ctx_get_output_buffer(nft), rule);
}

/* Was it switched on by us, for this network or another? Who flushes all tables flushes the one that
 * says so, but not those of networks. */
static bool is_switched_on(struct nft_ctx *nft, const struct knat *k)
{
    AUTO_FREE char *tables = NULL;
    char *save, *line, marker[32];

    if (sysctl_get(k->outside, "forwarding") == 0)
        return true; /* it will be */
    snprintf(marker, sizeof(marker), MARKER "%u", k->outside_index);
    if (nft_run(nft, "list tables ip", NULL) == 0)
        tables = strdup(nft_ctx_get_output_buffer(nft));
    for (line = tables ? strtok_r(tables, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        char name[64];

        if (sscanf(line, "table ip %63s", name) == 1 &&
            (!strcmp(name, marker) ||
             (!strncmp(name, TABLE_PREFIX, strlen(TABLE_PREFIX)) && guards(nft, name, k->outside))))
            return true;
    }
    return false;
}

static int forwarding_open(struct nft_ctx *nft, const struct knat *k, struct error *err)
{
    char command[64];
    int r;

    if (!k->forwards)
        return 0;
    snprintf(command, sizeof(command), "add table ip " MARKER "%u", k->outside_index);
    r = nft_run(nft, command, err);
    return r < 0 ? r : sysctl_set(k->outside, "forwarding", true, err);
}

/* ---- opening ---- */

/* In the keeper's process. The table has gone already, and the interface is going. */
static void undo(void *ctx)
{
    const struct knat *k = ctx;
    struct hostlink *l = NULL;
    struct nft_ctx *nft = nft_open();
    int lock = -1;

    for (unsigned waited = 0; if_nametoindex(k->interface) && waited < GONE_MS; waited += STEP_MS)
        usleep(STEP_MS * 1000);
    keeper_lock(LOCK, LOCK_MS, &lock);
    firewall_close(k->interface);
    if (nft && hostlink_open(&l, NULL) == 0)
        forwarding_restore(nft, l, k);
    hostlink_close(l);
    if (nft)
        nft_ctx_free(nft);
    keeper_unlock(LOCK, lock);
}

/* Nobody listens on these sockets: the kernel leads what comes to the guest before. */
static int hold_ports(struct knat *k, const struct knat_config *c, struct error *err)
{
    for (unsigned i = 0; i < c->forward_count; i++) {
        const struct nat_forward *f = &c->forwards[i];
        struct sockaddr_in addr = {
            .sin_family = AF_INET, .sin_addr = f->host, .sin_port = htons(f->host_port)};
        int fd = socket(AF_INET, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
        char text[INET_ADDRSTRLEN];

        if (fd >= 0)
            k->held[k->held_count++] = fd;
        if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
            return error_set(err, -errno, "forward: %s port %u of %s: %s", f->udp ? "udp" : "tcp",
                             f->host_port, inet_ntop(AF_INET, &f->host, text, sizeof(text)),
                             strerror(errno));
    }
    return 0;
}

static int find_outside(struct hostlink *l, const struct knat_config *c, struct knat *k,
                        struct error *err)
{
    struct hostlink_info info;
    int r;

    if (c->outside) {
        r = hostlink_find(l, c->outside, &info);
        if (r < 0)
            return error_set(err, r, "interface %s: %s", c->outside, strerror(-r));
    } else {
        r = hostlink_default_route(l, &k->outside_index);
        if (r == 0)
            r = hostlink_find_index(l, k->outside_index, &info);
        if (r < 0)
            return error_set(err, r,
                             "the host has no default route; name the interface that leads out");
    }
    k->outside_index = info.index;
    memcpy(k->outside, info.name, sizeof(k->outside));
    return 0;
}

/* The router's address on the interface, which leads on. */
static int raise_interface(struct hostlink *l, const struct knat_config *c, const struct knat *k,
                           struct error *err)
{
    unsigned index = if_nametoindex(k->interface);
    int r = hostlink_no_ip6(l, index);

    if (r == 0)
        r = hostlink_add_address(l, index, nat_router(c->subnet), c->prefix_bits);
    if (r == 0)
        r = hostlink_set_up(l, index, true);
    if (r < 0)
        return error_set(err, r, "the router's interface %s: %s", k->interface, strerror(-r));
    r = sysctl_set(k->interface, "forwarding", true, err);
    /* Ports of 127.0.0.1 lead to guests, too. */
    return r < 0 ? r : sysctl_set(k->interface, "route_localnet", true, err);
}

static int make_table(const struct knat_config *c, struct knat *k, struct error *err)
{
    AUTO_FREE char *rules = knat_rules(c, k->interface, k->outside, k->forwards);

    return rules ? nft_run(k->nft, rules, err) : -ENOMEM;
}

/* Under the lock. */
static int make_all(struct hostlink *l, const struct knat_config *c, struct knat *k,
                    struct error *err)
{
    int r;

    forwarding_restore(k->nft, l, k);
    k->forwards = is_switched_on(k->nft, k);
    r = keeper_start(undo, k, -1, &k->keeper, err);
    if (r == 0)
        r = make_table(c, k, err);
    if (r == 0)
        r = raise_interface(l, c, k, err);
    if (r == 0)
        r = forwarding_open(k->nft, k, err);
    if (r == 0)
        r = firewall_open(k->interface, NULL, err);
    return MIN(r, 0);
}

static int check_subnet(struct hostlink *l, const struct knat_config *c, struct error *err)
{
    struct hostlink_address taken;
    char subnet[INET_ADDRSTRLEN], address[INET_ADDRSTRLEN], name[IFNAMSIZ] = "?";
    int r = hostlink_overlap(l, c->subnet, c->prefix_bits, &taken);

    if (r <= 0)
        return r;
    if_indextoname(taken.index, name);
    return error_set(err, -EEXIST, "subnet: %s/%u: the host has %s/%u at %s; choose another",
                     inet_ntop(AF_INET, &c->subnet, subnet, sizeof(subnet)), c->prefix_bits,
                     inet_ntop(AF_INET, &taken.address, address, sizeof(address)),
                     taken.prefix_bits, name);
}

static int open_all(struct hostlink *l, const struct knat_config *c, struct knat *k, int *ret_fd,
                    struct error *err)
{
    int lock = -1, r = find_outside(l, c, k, err);

    if (r == 0)
        r = check_subnet(l, c, err);
    if (r == 0)
        r = tap_open(TAP_PREFIX "%d", k->interface, ret_fd, err);
    if (r == 0)
        r = hold_ports(k, c, err);
    if (r < 0)
        return r;
    k->nft = nft_open();
    if (!k->nft)
        return -ENOMEM;
    r = keeper_lock(LOCK, LOCK_MS, &lock);
    if (r < 0)
        return error_set(err, r, "no lock in /run: %s", strerror(-r));
    r = make_all(l, c, k, err);
    keeper_unlock(LOCK, lock);
    return r;
}

int knat_open(const struct knat_config *config, const struct net_lock *lock, struct knat **ret_knat,
              struct tap **ret_tap, struct error *err)
{
    struct knat *k = calloc(1, sizeof(*k));
    struct hostlink *l = NULL;
    AUTO_FD int fd = -1;
    int r;

    if (!k)
        return -ENOMEM;
    r = hostlink_open(&l, err);
    if (r == 0)
        r = open_all(l, config, k, &fd, err);
    hostlink_close(l);
    if (r == 0)
        r = tap_new_fd(take_fd(&fd), TAP_DEVICE, lock, ret_tap, err);
    if (r < 0) {
        fd_done(&fd);
        fd = -1;
        knat_free(k);
        return r;
    }
    *ret_knat = k;
    return 0;
}

struct knat *knat_free(struct knat *k)
{
    if (!k)
        return NULL;
    if (k->nft)
        nft_ctx_free(k->nft);
    for (unsigned i = 0; i < k->held_count; i++)
        close(k->held[i]);
    keeper_stop(k->keeper);
    free(k);
    return NULL;
}
