/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "dhcp"
#include "services/dhcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "services/probe.h"

/* RFC 2131, 2: the message. */
enum {
    AT_OP = 0,
    AT_HTYPE = 1,
    AT_HLEN = 2,
    AT_XID = 4,
    AT_FLAGS = 10,
    AT_CIADDR = 12,
    AT_YIADDR = 16,
    AT_SIADDR = 20,
    AT_GIADDR = 24,
    AT_CHADDR = 28,
    AT_SNAME = 44,
    AT_FILE = 108,
    AT_COOKIE = 236,
    AT_OPTIONS = 240,
    SNAME_BYTES = 64,
    FILE_BYTES = 128,
    MESSAGE_MIN = 300, /* RFC 1542, 2.1: what some relays and clients want */
};
enum { OP_REQUEST = 1, OP_REPLY = 2, HTYPE_ETHERNET = 1, FLAG_BROADCAST = 0x8000 };
#define COOKIE 0x63825363u
#define SERVER_PORT 67u
#define CLIENT_PORT 68u

enum {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_NAME = 12,
    OPTION_DOMAIN = 15,
    OPTION_BROADCAST = 28,
    OPTION_WINS = 44,
    OPTION_NODE_TYPE = 46,
    OPTION_REQUESTED = 50,
    OPTION_LEASE = 51,
    OPTION_OVERLOAD = 52,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_MESSAGE = 56,
    OPTION_RENEWAL = 58,
    OPTION_REBINDING = 59,
    OPTION_CLASS = 60,
    OPTION_TFTP_NAME = 66,
    OPTION_BOOT_FILE = 67,
    OPTION_USER_CLASS = 77,
    OPTION_ARCH = 93,
    OPTION_END = 255,
};
enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
/* RFC 4578 2.1 and IANA's list after it. */
enum { ARCH_EFI_BC = 7, ARCH_EFI_X64 = 9, ARCH_HTTP_FIRST = 15, ARCH_HTTP_LAST = 19 };
/* RFC 2132, 8.7: ask the name server first. */
#define NODE_TYPE_HYBRID 8u

#define OFFER_S 60u
#define DECLINED_S 600u
#define PROBE_TRIES 3u
#define MESSAGE_MAX STACK_UDP_BYTES_MAX

/* A client whose address is being looked for on the network. */
struct waiting {
    bool used;
    unsigned tries;
    struct in_addr address;
    struct stack_peer from;
    uint8_t message[MESSAGE_MAX];
    size_t len;
};

struct dhcp {
    struct dhcp_config config;
    struct stack *stack;
    struct leases *leases;
    struct probe *probe;
    struct waiting waiting[PROBES_MAX]; /* by the probe's slot */
};

/* What matters of a request. */
struct request {
    const uint8_t *message;
    uint8_t type;
    struct in_addr ciaddr, requested, server;
    uint32_t lease_s; /* 0: not asked for */
    uint16_t arch;
    bool pxe, http, ipxe;
    char name[LEASE_NAME_BYTES];
};

struct reply {
    uint8_t bytes[MESSAGE_MAX];
    size_t len;
};

/* ---- reading ---- */

/* A label of letters, digits and hyphens, RFC 1123 2.1; else empty. Names come as labels or whole. */
static void take_name(const uint8_t *value, size_t len, char *name)
{
    size_t n = 0;

    while (n < len && value[n] && value[n] != '.') {
        uint8_t c = value[n], lower = c | 0x20;

        if (n == LEASE_NAME_BYTES - 1 ||
            !((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c == '-' && n)))
            return;
        name[n++] = (char)(c >= 'A' && c <= 'Z' ? lower : c);
    }
    name[n] = '\0';
}

static void take_option(struct request *q, uint8_t code, const uint8_t *v, size_t len)
{
    switch (code) {
    case OPTION_TYPE:
        q->type = len == 1 ? v[0] : 0;
        break;
    case OPTION_REQUESTED:
        if (len == 4)
            memcpy(&q->requested, v, 4);
        break;
    case OPTION_SERVER:
        if (len == 4)
            memcpy(&q->server, v, 4);
        break;
    case OPTION_LEASE:
        q->lease_s = len == 4 ? be32_get(v) : 0;
        break;
    case OPTION_NAME:
        take_name(v, len, q->name);
        break;
    case OPTION_CLASS:
        q->pxe = len >= 9 && !memcmp(v, "PXEClient", 9);
        q->http = len >= 10 && !memcmp(v, "HTTPClient", 10);
        break;
    case OPTION_USER_CLASS:
        /* RFC 3004 has a length before each class; iPXE leaves it out. */
        q->ipxe = (len == 4 && !memcmp(v, "iPXE", 4)) || (len == 5 && !memcmp(v + 1, "iPXE", 4));
        break;
    case OPTION_ARCH:
        q->arch = len >= 2 ? be16_get(v) : 0;
        break;
    default:
        break;
    }
}

/* The options of one field; which fields besides have some (RFC 2132, 9.3). */
static uint8_t take_options(struct request *q, const uint8_t *o, size_t len)
{
    uint8_t overload = 0;

    for (size_t at = 0; at < len && o[at] != OPTION_END;) {
        if (o[at] == OPTION_PAD) {
            at++;
            continue;
        }
        if (at + 2 > len || at + 2 + o[at + 1] > len)
            break;
        if (o[at] == OPTION_OVERLOAD && o[at + 1] == 1)
            overload = o[at + 2];
        take_option(q, o[at], o + at + 2, o[at + 1]);
        at += 2u + o[at + 1];
    }
    return overload;
}

static bool parse(const uint8_t *m, size_t len, const uint8_t *sender, struct request *q)
{
    uint8_t overload;

    *q = (struct request){.message = m};
    if (len < AT_OPTIONS || m[AT_OP] != OP_REQUEST || m[AT_HTYPE] != HTYPE_ETHERNET ||
        m[AT_HLEN] != NET_MAC_BYTES || be32_get(m + AT_COOKIE) != COOKIE ||
        be32_get(m + AT_GIADDR) || memcmp(m + AT_CHADDR, sender, NET_MAC_BYTES))
        return false;
    memcpy(&q->ciaddr, m + AT_CIADDR, 4);
    overload = take_options(q, m + AT_OPTIONS, len - AT_OPTIONS);
    if (overload & 1)
        take_options(q, m + AT_FILE, FILE_BYTES);
    if (overload & 2)
        take_options(q, m + AT_SNAME, SNAME_BYTES);
    return true;
}

/* ---- writing ---- */

/* What does not fit is left out; the end always fits. */
static void put(struct reply *r, uint8_t code, const void *value, size_t len)
{
    if (len > 255 || r->len + 2 + len + 1 > sizeof(r->bytes))
        return;
    r->bytes[r->len] = code;
    r->bytes[r->len + 1] = (uint8_t)len;
    memcpy(r->bytes + r->len + 2, value, len);
    r->len += 2 + len;
}

static void put_number(struct reply *r, uint8_t code, uint32_t n)
{
    uint8_t b[4];

    be32_put(b, n);
    put(r, code, b, 4);
}

static void put_text(struct reply *r, uint8_t code, const char *text)
{
    if (text && *text)
        put(r, code, text, strlen(text));
}

static void begin(const struct dhcp *d, const struct request *q, uint8_t type, struct reply *r)
{
    const struct stack_config *s = stack_config(d->stack);

    memset(r->bytes, 0, AT_OPTIONS);
    r->bytes[AT_OP] = OP_REPLY;
    r->bytes[AT_HTYPE] = HTYPE_ETHERNET;
    r->bytes[AT_HLEN] = NET_MAC_BYTES;
    memcpy(r->bytes + AT_XID, q->message + AT_XID, 4);
    memcpy(r->bytes + AT_FLAGS, q->message + AT_FLAGS, 2);
    memcpy(r->bytes + AT_CHADDR, q->message + AT_CHADDR, 16);
    be32_put(r->bytes + AT_COOKIE, COOKIE);
    r->len = AT_OPTIONS;
    put(r, OPTION_TYPE, &type, 1);
    put(r, OPTION_SERVER, &s->address, 4);
}

/* The file that this kind of client boots, and whether it comes by HTTP; NULL: none. */
static const char *boot_file(const struct dhcp *d, const struct request *q, bool *ret_http)
{
    const struct dhcp_config *c = &d->config;
    bool http_arch = q->arch >= ARCH_HTTP_FIRST && q->arch <= ARCH_HTTP_LAST;
    bool efi = q->arch == ARCH_EFI_BC || q->arch == ARCH_EFI_X64 || http_arch || q->http;

    *ret_http = q->http || http_arch;
    if (q->ipxe && c->boot_script) {
        *ret_http = true;
        return c->boot_script;
    }
    return efi && c->boot_efi ? c->boot_efi : c->boot_file;
}

static void put_boot(const struct dhcp *d, const struct request *q, struct reply *r)
{
    const struct stack_config *s = stack_config(d->stack);
    char server[INET_ADDRSTRLEN], url[256];
    bool http;
    const char *file = boot_file(d, q, &http);

    if (!file)
        return;
    inet_ntop(AF_INET, &s->address, server, sizeof(server));
    if (http && !strstr(file, "://")) {
        snprintf(url, sizeof(url), "http://%s/%s", server, file);
        file = url;
    }
    memcpy(r->bytes + AT_SIADDR, &s->address, 4);
    if (strlen(file) < FILE_BYTES)
        memcpy(r->bytes + AT_FILE, file, strlen(file));
    /* UEFI 2.10, 24.7.2.1: the server says that it speaks of HTTP. */
    if (q->http)
        put_text(r, OPTION_CLASS, "HTTPClient");
    put_text(r, OPTION_TFTP_NAME, server);
    put_text(r, OPTION_BOOT_FILE, file);
}

/* What the client is told about the network. */
static void put_network(const struct dhcp *d, const struct request *q, struct reply *r)
{
    const struct dhcp_config *c = &d->config;
    const struct stack_config *s = stack_config(d->stack);
    struct in_addr broadcast = {s->address.s_addr | ~s->mask.s_addr};
    const uint8_t hybrid = NODE_TYPE_HYBRID;

    put(r, OPTION_MASK, &s->mask, 4);
    put(r, OPTION_BROADCAST, &broadcast, 4);
    if (c->gateway.s_addr)
        put(r, OPTION_ROUTER, &c->gateway, 4);
    if (c->dns_count)
        put(r, OPTION_DNS, c->dns, c->dns_count * 4);
    put_text(r, OPTION_DOMAIN, c->domain);
    if (c->name_of)
        put_text(r, OPTION_NAME, c->name_of(c->ctx, q->message + AT_CHADDR));
    if (c->wins_count) {
        put(r, OPTION_WINS, c->wins, c->wins_count * 4);
        put(r, OPTION_NODE_TYPE, &hybrid, 1);
    }
    put_boot(d, q, r);
}

/* RFC 2131, 4.1: to whom. */
static void finish(struct dhcp *d, const struct stack_peer *from, const struct request *q,
                   struct reply *r, bool nak)
{
    struct stack_peer to = {.port = CLIENT_PORT, .own_port = SERVER_PORT, .own = from->own};
    struct in_addr yiaddr, everybody = {INADDR_BROADCAST};

    r->bytes[r->len++] = OPTION_END;
    while (r->len < MESSAGE_MIN)
        r->bytes[r->len++] = OPTION_PAD;
    memcpy(&yiaddr, r->bytes + AT_YIADDR, 4);
    memcpy(to.mac, from->mac, NET_MAC_BYTES);
    if (!nak && q->ciaddr.s_addr) {
        to.addr = stack_from_ip4(q->ciaddr);
    } else if (nak || be16_get(q->message + AT_FLAGS) & FLAG_BROADCAST || !yiaddr.s_addr) {
        memset(to.mac, 0xff, NET_MAC_BYTES);
        to.addr = stack_from_ip4(everybody);
    } else {
        to.addr = stack_from_ip4(yiaddr);
    }
    stack_send_udp(d->stack, &to, r->bytes, r->len);
}

/* ---- what is asked ---- */

static uint64_t now(const struct dhcp *d)
{
    return d->config.now_s(d->config.ctx);
}

static const uint8_t *mac_of(const struct request *q)
{
    return q->message + AT_CHADDR;
}

/* A shorter lease may be asked for, 4.3.1; its times shrink with it. */
static void put_times(const struct dhcp *d, uint32_t lease_s, struct reply *r)
{
    const struct dhcp_config *c = &d->config;

    put_number(r, OPTION_LEASE, lease_s);
    put_number(r, OPTION_RENEWAL, (uint32_t)((uint64_t)c->renewal_s * lease_s / c->lease_s));
    put_number(r, OPTION_REBINDING, (uint32_t)((uint64_t)c->rebinding_s * lease_s / c->lease_s));
}

static uint32_t lease_time(const struct dhcp *d, const struct request *q)
{
    uint32_t least = MIN(60u, d->config.lease_s);

    return q->lease_s ? MIN(MAX(q->lease_s, least), d->config.lease_s) : d->config.lease_s;
}

static void offer(struct dhcp *d, const struct stack_peer *from, const struct request *q,
                  const struct lease *lease)
{
    struct reply r;

    begin(d, q, OFFER, &r);
    memcpy(r.bytes + AT_YIADDR, &lease->address, 4);
    put_times(d, lease_time(d, q), &r);
    put_network(d, q, &r);
    finish(d, from, q, &r, false);
}

/* The client's own place among those who wait, else a free one; NULL: none. */
static struct waiting *waiting_find(struct dhcp *d, const uint8_t *mac)
{
    struct waiting *free_one = NULL;

    for (unsigned i = 0; i < PROBES_MAX; i++) {
        struct waiting *w = &d->waiting[i];

        if (w->used && !memcmp(w->from.mac, mac, NET_MAC_BYTES))
            return w;
        if (!w->used)
            free_one = w;
    }
    return free_one;
}

/* Look first whether somebody has it. When too many wait it is offered as it is. */
static void probe_and_offer(struct dhcp *d, const struct stack_peer *from, const struct request *q,
                            size_t len, const struct lease *lease)
{
    struct waiting *w = waiting_find(d, from->mac);
    bool same = w && w->used && w->address.s_addr == lease->address.s_addr;

    if (!w || len > sizeof(w->message)) {
        offer(d, from, q, lease);
        return;
    }
    if (!w->used)
        w->tries = 0;
    w->used = true;
    w->from = *from;
    w->address = lease->address;
    w->len = len;
    memmove(w->message, q->message, len);
    /* It asks again while we look: that is who is answered then. */
    if (!same)
        probe_start(d->probe, (unsigned)(w - d->waiting), lease->address, from->mac);
}

static void on_discover(struct dhcp *d, const struct stack_peer *from, const struct request *q,
                        size_t len)
{
    struct lease *lease;

    if (leases_offer(d->leases, mac_of(q), q->requested, now(d), now(d) + OFFER_S, &lease) < 0)
        return;
    if (lease->bound && lease->ends_s > now(d))
        offer(d, from, q, lease); /* the client's own already */
    else
        probe_and_offer(d, from, q, len, lease);
}

/* Somebody has the address: another, as long as there are. One that is reserved, or the last of some
 * tries, is offered all the same, or who answers for all would keep others from having any. */
static void offer_another(struct dhcp *d, struct waiting *w, const struct request *q)
{
    struct lease *lease = leases_find(d->leases, w->from.mac);
    struct in_addr taken = w->address;
    char text[INET_ADDRSTRLEN];

    log_warning("%s is in use by somebody who was not given it",
                inet_ntop(AF_INET, &taken, text, sizeof(text)));
    if (lease && lease->address.s_addr == taken.s_addr)
        leases_decline(d->leases, lease, now(d) + DECLINED_S);
    w->used = false;
    if (leases_offer(d->leases, w->from.mac, (struct in_addr){0}, now(d), now(d) + OFFER_S,
                     &lease) < 0)
        return;
    if (lease->address.s_addr == taken.s_addr || ++w->tries == PROBE_TRIES) {
        offer(d, &w->from, q, lease);
        return;
    }
    w->used = true;
    w->address = lease->address;
    probe_start(d->probe, (unsigned)(w - d->waiting), lease->address, w->from.mac);
}

static void on_probed(void *ctx, unsigned slot, bool taken)
{
    struct dhcp *d = ctx;
    struct waiting *w = &d->waiting[slot];
    struct lease *lease;
    struct request q;

    if (!w->used || !parse(w->message, w->len, w->from.mac, &q))
        return;
    lease = leases_find(d->leases, w->from.mac);
    if (taken) {
        offer_another(d, w, &q);
        return;
    }
    w->used = false;
    if (lease && lease->address.s_addr == w->address.s_addr)
        offer(d, &w->from, &q, lease);
}

static void refuse(struct dhcp *d, const struct stack_peer *from, const struct request *q)
{
    struct reply r;

    begin(d, q, NAK, &r);
    put_text(&r, OPTION_MESSAGE, "this address is not yours on this network");
    finish(d, from, q, &r, true);
}

/* RFC 2131, 4.3.2: chosen from offers (names a server), at a restart (names an address), or to keep
 * it (the address is in use). */
static void on_request(struct dhcp *d, const struct stack_peer *from, const struct request *q)
{
    struct in_addr wanted = q->requested.s_addr ? q->requested : q->ciaddr;
    struct lease *lease = leases_find(d->leases, mac_of(q));
    uint32_t lease_s = lease_time(d, q);
    struct reply r;

    if (q->server.s_addr && q->server.s_addr != stack_config(d->stack)->address.s_addr)
        return; /* another server's offer was taken; ours lapses by itself */
    if (!leases_may_have(d->leases, mac_of(q), wanted, now(d))) {
        refuse(d, from, q);
        return;
    }
    /* 4.3.2: about who is unknown we say nothing, but nobody else gives addresses here: take it in. */
    if (!lease || lease->address.s_addr != wanted.s_addr) {
        if (leases_offer(d->leases, mac_of(q), wanted, now(d), now(d) + OFFER_S, &lease) < 0)
            return;
        if (lease->address.s_addr != wanted.s_addr) {
            refuse(d, from, q);
            return;
        }
    }
    leases_bind(d->leases, lease, now(d) + lease_s, q->name);
    begin(d, q, ACK, &r);
    memcpy(r.bytes + AT_YIADDR, &lease->address, 4);
    memcpy(r.bytes + AT_CIADDR, &q->ciaddr, 4);
    put_times(d, lease_s, &r);
    put_network(d, q, &r);
    finish(d, from, q, &r, false);
}

static void on_message(void *ctx, const struct stack_peer *from, const uint8_t *data, size_t len)
{
    struct dhcp *d = ctx;
    struct request q;
    struct lease *lease;
    struct reply r;

    if (from->ip6 || !parse(data, len, from->mac, &q))
        return;
    lease = leases_find(d->leases, mac_of(&q));
    switch (q.type) {
    case DISCOVER:
        on_discover(d, from, &q, len);
        break;
    case REQUEST:
        on_request(d, from, &q);
        break;
    case DECLINE:
        if (lease && lease->address.s_addr == q.requested.s_addr)
            leases_decline(d->leases, lease, now(d) + DECLINED_S);
        break;
    case RELEASE:
        if (lease && lease->address.s_addr == q.ciaddr.s_addr)
            leases_release(d->leases, lease, now(d));
        break;
    case INFORM:
        begin(d, &q, ACK, &r);
        memcpy(r.bytes + AT_CIADDR, &q.ciaddr, 4);
        put_network(d, &q, &r);
        finish(d, from, &q, &r, false);
        break;
    default:
        break;
    }
}

int dhcp_new(const struct dhcp_config *config, struct stack *stack, struct leases *leases,
             struct clock *clock, struct dhcp **ret_dhcp)
{
    struct dhcp *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->config = *config;
    d->stack = stack;
    d->leases = leases;
    r = probe_new(stack, clock, on_probed, d, &d->probe);
    if (r == 0)
        r = stack_bind(stack, IPPROTO_UDP, SERVER_PORT, SERVER_PORT, on_message, d);
    if (r < 0) {
        dhcp_free(d);
        return r;
    }
    *ret_dhcp = d;
    return 0;
}

struct dhcp *dhcp_free(struct dhcp *d)
{
    if (!d)
        return NULL;
    probe_free(d->probe);
    free(d);
    return NULL;
}
