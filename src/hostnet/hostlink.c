/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnetlink(7); attributes as in linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h,
 * linux/if_bridge.h. libmnl builds and walks the messages.
 */
#include "hostnet/hostlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define BUFFER_BYTES KIB(32) /* the kernel's own limit for one part of a dump */
#define DUMP_TRIES 5u
#define VLAN_LAST 4094u

struct hostlink {
    struct mnl_socket *socket;
    unsigned sequence, port;
    _Alignas(8) char out[KIB(4)];
    _Alignas(8) char in[BUFFER_BYTES];
};

int hostlink_open(struct hostlink **ret_links, struct error *err)
{
    struct hostlink *l = calloc(1, sizeof(*l));

    if (!l)
        return -ENOMEM;
    l->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!l->socket || mnl_socket_bind(l->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int r = error_set(err, -errno, "the host's interfaces cannot be asked for: %s",
                          strerror(errno));

        hostlink_close(l);
        return r;
    }
    l->port = mnl_socket_get_portid(l->socket);
    *ret_links = l;
    return 0;
}

struct hostlink *hostlink_close(struct hostlink *l)
{
    if (l && l->socket)
        mnl_socket_close(l->socket);
    free(l);
    return NULL;
}

/* ---- requests ---- */

static struct nlmsghdr *begin(struct hostlink *l, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(l->out);

    m->nlmsg_type = type;
    m->nlmsg_flags = NLM_F_REQUEST | flags;
    m->nlmsg_seq = ++l->sequence;
    return m;
}

/* Send the request, give each answer to cb (may be NULL), until the kernel says that it is done. */
static int ask(struct hostlink *l, const struct nlmsghdr *m, mnl_cb_t cb, void *ctx)
{
    int r = MNL_CB_OK;

    if (mnl_socket_sendto(l->socket, m, m->nlmsg_len) < 0)
        return -errno;
    while (r > MNL_CB_STOP) {
        ssize_t n = mnl_socket_recvfrom(l->socket, l->in, sizeof(l->in));

        if (n < 0)
            return -errno;
        r = mnl_cb_run(l->in, (size_t)n, l->sequence, l->port, cb, ctx);
    }
    return r < 0 ? -errno : 0;
}

static int dump(struct hostlink *l, uint16_t type, uint8_t family, size_t extra, mnl_cb_t cb,
                void *ctx)
{
    int r = -EINTR;

    /* What changes while it is listed (NLM_F_DUMP_INTR) is listed again. */
    for (unsigned i = 0; i < DUMP_TRIES && r == -EINTR; i++) {
        struct nlmsghdr *m = begin(l, type, NLM_F_DUMP);
        struct rtgenmsg *g = mnl_nlmsg_put_extra_header(m, extra);

        g->rtgen_family = family;
        r = ask(l, m, cb, ctx);
    }
    return r;
}

static struct nlmsghdr *begin_link(struct hostlink *l, uint16_t type, uint16_t flags,
                                   uint8_t family, unsigned index, struct ifinfomsg **ret_info)
{
    struct nlmsghdr *m = begin(l, type, flags);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(m, sizeof(*info));

    info->ifi_family = family;
    info->ifi_index = (int)index;
    if (ret_info)
        *ret_info = info;
    return m;
}

/* ---- what there is ---- */

static void copy_text(const struct nlattr *a, char *to, size_t bytes)
{
    size_t len = MIN(strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)), bytes - 1);

    memcpy(to, mnl_attr_get_payload(a), len);
    to[len] = '\0';
}

static bool is_number(const struct nlattr *a)
{
    return mnl_attr_get_payload_len(a) >= sizeof(uint32_t);
}

static void take_link_info(const struct nlattr *nest, struct hostlink_info *info)
{
    const struct nlattr *a, *data = NULL, *b;

    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
            copy_text(a, info->kind, sizeof(info->kind));
        else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
            data = a;
    }
    if (!data || strcmp(info->kind, "bridge"))
        return;
    mnl_attr_for_each_nested(b, data) if (mnl_attr_get_type(b) == IFLA_BR_VLAN_FILTERING &&
                                          mnl_attr_get_payload_len(b)) info->vlan_filtering =
        mnl_attr_get_u8(b) != 0;
}

static bool take_link(const struct nlmsghdr *m, struct hostlink_info *info)
{
    const struct ifinfomsg *i = mnl_nlmsg_get_payload(m);
    const struct nlattr *a;

    if (m->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(m) < sizeof(*i))
        return false;
    *info = (struct hostlink_info){.index = (unsigned)i->ifi_index, .up = i->ifi_flags & IFF_UP};
    mnl_attr_for_each(a, m, sizeof(*i))
    {
        switch (mnl_attr_get_type(a)) {
        case IFLA_IFNAME:
            copy_text(a, info->name, sizeof(info->name));
            break;
        case IFLA_MASTER:
            info->master = is_number(a) ? mnl_attr_get_u32(a) : 0;
            break;
        case IFLA_LINK:
            info->lower = is_number(a) ? mnl_attr_get_u32(a) : 0;
            break;
        case IFLA_LINKINFO:
            take_link_info(a, info);
            break;
        default:
            break;
        }
    }
    return true;
}

static int on_link(const struct nlmsghdr *m, void *ctx)
{
    take_link(m, ctx);
    return MNL_CB_OK;
}

int hostlink_find_index(struct hostlink *l, unsigned index, struct hostlink_info *ret_info)
{
    struct hostlink_info info = {0};
    struct nlmsghdr *m = begin_link(l, RTM_GETLINK, NLM_F_ACK, AF_UNSPEC, index, NULL);
    int r = index ? ask(l, m, on_link, &info) : -ENODEV;

    if (r < 0 || !info.index)
        return r < 0 ? r : -ENODEV;
    *ret_info = info;
    return 0;
}

int hostlink_find(struct hostlink *l, const char *name, struct hostlink_info *ret_info)
{
    return hostlink_find_index(l, if_nametoindex(name), ret_info);
}

struct each {
    bool (*each)(void *ctx, const struct hostlink_info *info);
    void *ctx;
    bool ended;
};

static int on_each(const struct nlmsghdr *m, void *ctx)
{
    struct each *e = ctx;
    struct hostlink_info info;

    if (!e->ended && take_link(m, &info))
        e->ended = !e->each(e->ctx, &info);
    return MNL_CB_OK;
}

int hostlink_each(struct hostlink *l, bool (*each)(void *ctx, const struct hostlink_info *info),
                  void *ctx)
{
    struct each e = {each, ctx, false};

    return dump(l, RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg), on_each, &e);
}

/* ---- addresses and routes ---- */

struct use {
    unsigned index;
    bool used;
};

static int on_use(const struct nlmsghdr *m, void *ctx)
{
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(m);
    struct use *use = ctx;

    if (mnl_nlmsg_get_payload_len(m) >= sizeof(*a) && a->ifa_index == use->index)
        use->used |= a->ifa_family == AF_INET || a->ifa_scope < RT_SCOPE_LINK;
    return MNL_CB_OK;
}

int hostlink_is_used(struct hostlink *l, unsigned index)
{
    struct use use = {index, false};
    int r = dump(l, RTM_GETADDR, AF_UNSPEC, sizeof(struct ifaddrmsg), on_use, &use);

    return r < 0 ? r : use.used;
}

struct overlap {
    uint32_t subnet; /* host order */
    unsigned bits;
    struct hostlink_address found;
};

static uint32_t mask_of(unsigned bits)
{
    return bits ? UINT32_MAX << (32 - bits) : 0;
}

static int on_address(const struct nlmsghdr *m, void *ctx)
{
    const struct ifaddrmsg *a = mnl_nlmsg_get_payload(m);
    struct overlap *o = ctx;
    const struct nlattr *attr;
    struct in_addr address = {0};

    if (mnl_nlmsg_get_payload_len(m) < sizeof(*a) || a->ifa_family != AF_INET ||
        a->ifa_prefixlen > 32)
        return MNL_CB_OK;
    mnl_attr_for_each(attr, m,
                      sizeof(*a)) if (mnl_attr_get_type(attr) == IFA_LOCAL && is_number(attr))
        memcpy(&address, mnl_attr_get_payload(attr), sizeof(address));
    if (!((ntohl(address.s_addr) ^ o->subnet) & mask_of(MIN(o->bits, (unsigned)a->ifa_prefixlen))))
        o->found = (struct hostlink_address){a->ifa_index, address, a->ifa_prefixlen};
    return MNL_CB_OK;
}

int hostlink_overlap(struct hostlink *l, struct in_addr subnet, unsigned prefix_bits,
                     struct hostlink_address *ret_address)
{
    struct overlap o = {.subnet = ntohl(subnet.s_addr), .bits = prefix_bits};
    int r = dump(l, RTM_GETADDR, AF_INET, sizeof(struct ifaddrmsg), on_address, &o);

    if (r < 0 || !o.found.index)
        return r;
    *ret_address = o.found;
    return 1;
}

struct way {
    unsigned index;
    uint32_t metric;
};

static int on_route(const struct nlmsghdr *m, void *ctx)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(m);
    struct way *best = ctx, this = {0};
    const struct nlattr *a;

    if (mnl_nlmsg_get_payload_len(m) < sizeof(*route) || route->rtm_dst_len ||
        route->rtm_table != RT_TABLE_MAIN || route->rtm_type != RTN_UNICAST)
        return MNL_CB_OK;
    mnl_attr_for_each(a, m, sizeof(*route))
    {
        if (mnl_attr_get_type(a) == RTA_OIF && is_number(a))
            this.index = mnl_attr_get_u32(a);
        else if (mnl_attr_get_type(a) == RTA_PRIORITY && is_number(a))
            this.metric = mnl_attr_get_u32(a);
    }
    if (this.index && (!best->index || this.metric < best->metric))
        *best = this;
    return MNL_CB_OK;
}

int hostlink_default_route(struct hostlink *l, unsigned *ret_index)
{
    struct way best = {0};
    int r = dump(l, RTM_GETROUTE, AF_INET, sizeof(struct rtmsg), on_route, &best);

    if (r < 0 || !best.index)
        return r < 0 ? r : -ENETUNREACH;
    *ret_index = best.index;
    return 0;
}

/* ---- changes ---- */

int hostlink_add_macvtap(struct hostlink *l, const char *name, unsigned lower)
{
    struct nlmsghdr *m =
        begin_link(l, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, AF_UNSPEC, 0, NULL);
    struct nlattr *info, *data;

    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put_u32(m, IFLA_LINK, lower);
    info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "macvtap");
    data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u32(m, IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    return ask(l, m, NULL, NULL);
}

int hostlink_delete(struct hostlink *l, unsigned index)
{
    return ask(l, begin_link(l, RTM_DELLINK, NLM_F_ACK, AF_UNSPEC, index, NULL), NULL, NULL);
}

int hostlink_set_up(struct hostlink *l, unsigned index, bool up)
{
    struct ifinfomsg *info;
    struct nlmsghdr *m = begin_link(l, RTM_NEWLINK, NLM_F_ACK, AF_UNSPEC, index, &info);

    info->ifi_change = IFF_UP;
    info->ifi_flags = up ? IFF_UP : 0;
    return ask(l, m, NULL, NULL);
}

int hostlink_join(struct hostlink *l, unsigned index, unsigned bridge)
{
    /* A bridge has the least of its ports' addresses; 0xfe is above all that makers give. */
    const uint8_t mac[6] = {
        0xfe,          0x79, (uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8),
        (uint8_t)index};
    struct nlmsghdr *m = begin_link(l, RTM_NEWLINK, NLM_F_ACK, AF_UNSPEC, index, NULL);
    int r;

    mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
    r = ask(l, m, NULL, NULL);
    if (r < 0)
        return r;
    m = begin_link(l, RTM_NEWLINK, NLM_F_ACK, AF_UNSPEC, index, NULL);
    mnl_attr_put_u32(m, IFLA_MASTER, bridge);
    return ask(l, m, NULL, NULL);
}

/* One VLAN a request: a trunk has few, and a range that is refused would say nothing. */
static int bridge_vlan(struct hostlink *l, unsigned index, unsigned vlan)
{
    struct nlmsghdr *m = begin_link(l, RTM_SETLINK, NLM_F_ACK, AF_BRIDGE, index, NULL);
    struct bridge_vlan_info info = {.vid = (uint16_t)vlan};
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);

    mnl_attr_put(m, IFLA_BRIDGE_VLAN_INFO, sizeof(info), &info);
    mnl_attr_nest_end(m, spec);
    return ask(l, m, NULL, NULL);
}

int hostlink_bridge_vlans(struct hostlink *l, unsigned index, const uint8_t *vlans)
{
    int r = 0;

    for (unsigned vlan = 1; vlan <= VLAN_LAST && r == 0; vlan++)
        if (vlans[vlan / 8] >> (vlan % 8) & 1)
            r = bridge_vlan(l, index, vlan);
    return r;
}

int hostlink_no_ip6(struct hostlink *l, unsigned index)
{
    struct nlmsghdr *m = begin_link(l, RTM_NEWLINK, NLM_F_ACK, AF_UNSPEC, index, NULL);
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
    struct nlattr *ip6 = mnl_attr_nest_start(m, AF_INET6);
    int r;

    mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(m, ip6);
    mnl_attr_nest_end(m, spec);
    r = ask(l, m, NULL, NULL);
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r; /* a host without IPv6 */
}

int hostlink_add_address(struct hostlink *l, unsigned index, struct in_addr address,
                         unsigned prefix_bits)
{
    struct nlmsghdr *m = begin(l, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(m, sizeof(*a));
    struct in_addr broadcast = {address.s_addr | htonl(~mask_of(prefix_bits))};

    a->ifa_family = AF_INET;
    a->ifa_prefixlen = (uint8_t)prefix_bits;
    a->ifa_scope = RT_SCOPE_UNIVERSE;
    a->ifa_index = index;
    mnl_attr_put(m, IFA_LOCAL, sizeof(address), &address);
    mnl_attr_put(m, IFA_ADDRESS, sizeof(address), &address);
    mnl_attr_put(m, IFA_BROADCAST, sizeof(broadcast), &broadcast);
    return ask(l, m, NULL, NULL);
}
