/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/dhcp6.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "services/stack_priv.h"

#define SERVER_PORT 547u
#define CLIENT_PORT 546u
#define OFFER_S 60u
#define MESSAGE_MAX (STACK_UDP_BYTES_MAX - 20)
#define DUID_MAX 130u /* RFC 8415, 11.1 */
#define DUID_BYTES 10u
#define ASSOCIATIONS_MAX 8u

/* 7.3 */
enum {
    SOLICIT = 1,
    ADVERTISE,
    REQUEST,
    CONFIRM,
    RENEW,
    REBIND,
    REPLY,
    RELEASE,
    DECLINE,
    RECONFIGURE,
    INFORMATION_REQUEST,
};
/* 21, RFC 3646 */
enum {
    OPTION_CLIENT = 1,
    OPTION_SERVER = 2,
    OPTION_IA_NA = 3,
    OPTION_IA_TA = 4,
    OPTION_ADDRESS = 5,
    OPTION_REQUESTED = 6,
    OPTION_STATUS = 13,
    OPTION_RAPID = 14,
    OPTION_DNS = 23,
    OPTION_DOMAINS = 24,
    OPTION_IA_PD = 25,
};
/* 21.13 */
enum { SUCCESS = 0, NO_ADDRESS = 2, NO_BINDING = 3, NOT_ON_LINK = 4, NO_PREFIX = 6 };
enum { HEADER_BYTES = 4, IA_BYTES = 12, IA_TA_BYTES = 4, ADDRESS_BYTES = 24 };

struct dhcp6 {
    struct dhcp6_config config;
    struct stack *stack;
    struct leases *leases;
    uint8_t duid[DUID_BYTES];
};

/* What the client asks an address for. */
struct association {
    uint16_t type; /* IA_NA, IA_TA, IA_PD */
    uint8_t id[4];
    struct in6_addr address; /* that it names first; ::: none */
};

struct request {
    const uint8_t *message;
    const uint8_t *client;
    size_t client_len;
    bool server_said, server_is_us, rapid, wants_said, wants_dns, wants_domains;
    struct association associations[ASSOCIATIONS_MAX];
    unsigned association_count;
};

struct reply {
    uint8_t bytes[MESSAGE_MAX];
    size_t len;
};

struct in6_addr dhcp6_address(const struct in6_addr *prefix, struct in_addr a)
{
    struct in6_addr r = {0};

    memcpy(&r, prefix, 8);
    memcpy(r.s6_addr + 12, &a, 4);
    return r;
}

bool dhcp6_address_back(const struct in6_addr *prefix, const struct in6_addr *a,
                        struct in_addr *ret_address)
{
    if (memcmp(a, prefix, 8) || be32_get(a->s6_addr + 8))
        return false;
    memcpy(ret_address, a->s6_addr + 12, 4);
    return true;
}

/* ---- reading ---- */

/* The next option of a list: true with its value. */
static bool next_option(const uint8_t **at, size_t *left, uint16_t *ret_code,
                        const uint8_t **ret_value, size_t *ret_len)
{
    size_t len;

    if (*left < 4)
        return false;
    len = be16_get(*at + 2);
    if (len > *left - 4)
        return false;
    *ret_code = be16_get(*at);
    *ret_value = *at + 4;
    *ret_len = len;
    *at += 4 + len;
    *left -= 4 + len;
    return true;
}

static void take_association(struct request *q, uint16_t type, const uint8_t *v, size_t len)
{
    size_t head = type == OPTION_IA_TA ? IA_TA_BYTES : IA_BYTES, value_len;
    struct association *a = &q->associations[q->association_count];
    const uint8_t *value;
    uint16_t code;

    if (len < head || q->association_count == ASSOCIATIONS_MAX)
        return;
    *a = (struct association){.type = type};
    memcpy(a->id, v, sizeof(a->id));
    q->association_count++;
    v += head;
    len -= head;
    while (next_option(&v, &len, &code, &value, &value_len)) {
        if (code != OPTION_ADDRESS || value_len < ADDRESS_BYTES)
            continue;
        memcpy(&a->address, value, sizeof(a->address));
        return;
    }
}

static void take_wants(struct request *q, const uint8_t *v, size_t len)
{
    q->wants_said = true;
    for (size_t i = 0; i + 2 <= len; i += 2) {
        q->wants_dns |= be16_get(v + i) == OPTION_DNS;
        q->wants_domains |= be16_get(v + i) == OPTION_DOMAINS;
    }
}

static bool parse(const struct dhcp6 *d, const uint8_t *m, size_t len, struct request *q)
{
    const uint8_t *at = m + HEADER_BYTES, *v;
    size_t left = len - HEADER_BYTES, n;
    uint16_t code;

    *q = (struct request){.message = m};
    while (next_option(&at, &left, &code, &v, &n)) {
        switch (code) {
        case OPTION_CLIENT:
            if (n > DUID_MAX)
                return false;
            q->client = v;
            q->client_len = n;
            break;
        case OPTION_SERVER:
            q->server_said = true;
            q->server_is_us = n == DUID_BYTES && !memcmp(v, d->duid, n);
            break;
        case OPTION_IA_NA:
        case OPTION_IA_TA:
        case OPTION_IA_PD:
            take_association(q, code, v, n);
            break;
        case OPTION_REQUESTED:
            take_wants(q, v, n);
            break;
        case OPTION_RAPID:
            q->rapid = true;
            break;
        default:
            break;
        }
    }
    return true;
}

/* ---- writing ---- */

/* Room for an option with a value of len bytes; NULL: there is none, it is left out. */
static uint8_t *put_room(struct reply *r, uint16_t code, size_t len)
{
    uint8_t *at = r->bytes + r->len;

    if (r->len + 4 + len > sizeof(r->bytes))
        return NULL;
    be16_put(at, code);
    be16_put(at + 2, (uint16_t)len);
    r->len += 4 + len;
    return at + 4;
}

static void put(struct reply *r, uint16_t code, const void *value, size_t len)
{
    uint8_t *at = put_room(r, code, len);

    if (at)
        memcpy(at, value, len);
}

static void put_status(struct reply *r, uint16_t status)
{
    uint8_t value[2];

    be16_put(value, status);
    put(r, OPTION_STATUS, value, sizeof(value));
}

static void begin(const struct dhcp6 *d, const struct request *q, uint8_t type, struct reply *r)
{
    memcpy(r->bytes, q->message, HEADER_BYTES);
    r->bytes[0] = type;
    r->len = HEADER_BYTES;
    put(r, OPTION_SERVER, d->duid, sizeof(d->duid));
    if (q->client)
        put(r, OPTION_CLIENT, q->client, q->client_len);
}

/* An association without address: why. */
static void put_refused(struct reply *r, const struct association *a, uint16_t status)
{
    size_t head = a->type == OPTION_IA_TA ? IA_TA_BYTES : IA_BYTES;
    uint8_t value[IA_BYTES + 6] = {0};

    memcpy(value, a->id, sizeof(a->id));
    be16_put(value + head, OPTION_STATUS);
    be16_put(value + head + 2, 2);
    be16_put(value + head + 4, status);
    put(r, a->type, value, head + 6);
}

static void put_address(const struct dhcp6 *d, struct reply *r, const struct association *a,
                        const struct in6_addr *address, bool valid)
{
    const struct dhcp6_config *c = &d->config;
    uint8_t value[IA_BYTES + 4 + ADDRESS_BYTES] = {0};
    uint8_t *option = value + IA_BYTES;

    memcpy(value, a->id, sizeof(a->id));
    be32_put(value + 4, valid ? c->renewal_s : 0);
    be32_put(value + 8, valid ? c->rebinding_s : 0);
    be16_put(option, OPTION_ADDRESS);
    be16_put(option + 2, ADDRESS_BYTES);
    memcpy(option + 4, address, sizeof(*address));
    be32_put(option + 20, valid ? c->rebinding_s : 0);
    be32_put(option + 24, valid ? c->lease_s : 0);
    put(r, OPTION_IA_NA, value, sizeof(value));
}

/* Name server and domain, if they are asked for, or nothing in particular is. */
static void put_network(const struct dhcp6 *d, const struct request *q, struct reply *r)
{
    const struct stack_config *s = stack_config(d->stack);
    struct in6_addr own = dhcp6_address(&s->prefix, (struct in_addr){htonl(1)});
    uint8_t domain[256];
    size_t len = d->config.domain ? stack_put_domain(domain, sizeof(domain), d->config.domain) : 0;

    if (s->name_server && (q->wants_dns || !q->wants_said))
        put(r, OPTION_DNS, &own, sizeof(own));
    if (len && (q->wants_domains || !q->wants_said))
        put(r, OPTION_DOMAINS, domain, len);
}

static void send_reply(struct dhcp6 *d, const struct stack_peer *peer, const struct reply *r)
{
    struct stack_peer to = *peer;

    to.port = CLIENT_PORT;
    stack_send_udp(d->stack, &to, r->bytes, r->len);
}

/* ---- addresses ---- */

static uint64_t now(const struct dhcp6 *d)
{
    return d->config.now_s(d->config.ctx);
}

/* What the adapter has, or is offered now; NULL: there is none. */
static struct lease *lease_for(struct dhcp6 *d, const uint8_t *mac, const struct association *a)
{
    struct in_addr wanted = {0};
    struct lease *lease;

    dhcp6_address_back(&stack_config(d->stack)->prefix, &a->address, &wanted);
    if (leases_offer(d->leases, mac, wanted, now(d), now(d) + OFFER_S, &lease) < 0)
        return NULL;
    return lease;
}

/* 18.3.1, 18.3.2: the first IA_NA has the adapter's address. */
static void put_associations(struct dhcp6 *d, const struct stack_peer *peer,
                             const struct request *q, bool bind, struct reply *r)
{
    const struct in6_addr *prefix = &stack_config(d->stack)->prefix;
    bool given = false;

    for (unsigned i = 0; i < q->association_count; i++) {
        const struct association *a = &q->associations[i];
        struct lease *lease = a->type == OPTION_IA_NA && !given ? lease_for(d, peer->mac, a) : NULL;
        struct in6_addr address;

        if (!lease) {
            put_refused(r, a, a->type == OPTION_IA_PD ? NO_PREFIX : NO_ADDRESS);
            continue;
        }
        given = true;
        address = dhcp6_address(prefix, lease->address);
        put_address(d, r, a, &address, true);
        if (bind)
            leases_bind6(d->leases, lease, now(d) + d->config.lease_s);
    }
}

/* 18.3.4, 18.3.5: what it has goes on; another address that it names is over at once. */
static void put_renewed(struct dhcp6 *d, const struct stack_peer *peer, const struct request *q,
                        struct reply *r)
{
    const struct in6_addr *prefix = &stack_config(d->stack)->prefix;
    struct lease *lease = leases_find(d->leases, peer->mac);
    bool given = false;

    for (unsigned i = 0; i < q->association_count; i++) {
        const struct association *a = &q->associations[i];
        struct in6_addr own;

        if (a->type != OPTION_IA_NA || given || !lease || lease->ends6_s <= now(d)) {
            put_refused(r, a, NO_BINDING);
            continue;
        }
        given = true;
        own = dhcp6_address(prefix, lease->address);
        if (memcmp(&own, &a->address, sizeof(own))) {
            put_address(d, r, a, &a->address, false);
            continue;
        }
        put_address(d, r, a, &own, true);
        leases_bind6(d->leases, lease, now(d) + d->config.lease_s);
    }
}

/* 18.3.7, 18.3.8. */
static void give_back(struct dhcp6 *d, const struct stack_peer *peer, const struct request *q,
                      bool declined)
{
    const struct in6_addr *prefix = &stack_config(d->stack)->prefix;
    struct lease *lease = leases_find(d->leases, peer->mac);

    for (unsigned i = 0; lease && i < q->association_count; i++) {
        struct in6_addr own = dhcp6_address(prefix, lease->address);

        if (memcmp(&own, &q->associations[i].address, sizeof(own)))
            continue;
        if (declined)
            leases_decline(d->leases, lease, now(d) + d->config.lease_s);
        else
            leases_bind6(d->leases, lease, 0);
        return;
    }
}

/* 18.3.3: are the addresses good on this link? None named: nothing is said. */
static bool confirm(const struct dhcp6 *d, const struct request *q, struct reply *r)
{
    bool good = true, any = false;

    for (unsigned i = 0; i < q->association_count; i++) {
        const struct association *a = &q->associations[i];

        if (!memcmp(&a->address, &in6addr_any, sizeof(a->address)))
            continue;
        any = true;
        good &= !memcmp(&a->address, &stack_config(d->stack)->prefix, 8);
    }
    put_status(r, good ? SUCCESS : NOT_ON_LINK);
    return any;
}

/* ---- what is asked ---- */

static void on_stateful(struct dhcp6 *d, const struct stack_peer *peer, const struct request *q)
{
    uint8_t type = q->message[0];
    bool rapid = type == SOLICIT && q->rapid;
    struct reply r;

    begin(d, q, type == SOLICIT && !rapid ? ADVERTISE : REPLY, &r);
    switch (type) {
    case SOLICIT:
        if (rapid)
            put(&r, OPTION_RAPID, "", 0);
        put_associations(d, peer, q, rapid, &r);
        break;
    case REQUEST:
        put_associations(d, peer, q, true, &r);
        break;
    case RENEW:
    case REBIND:
        put_renewed(d, peer, q, &r);
        break;
    case CONFIRM:
        if (!confirm(d, q, &r))
            return;
        break;
    default:
        give_back(d, peer, q, type == DECLINE);
        put_status(&r, SUCCESS);
        break;
    }
    put_network(d, q, &r);
    send_reply(d, peer, &r);
}

static void on_information(struct dhcp6 *d, const struct stack_peer *peer, const struct request *q)
{
    struct reply r;

    begin(d, q, REPLY, &r);
    put_network(d, q, &r);
    send_reply(d, peer, &r);
}

/* 16: which options a message has to have, and which not. */
static bool is_valid(const struct request *q)
{
    switch (q->message[0]) {
    case SOLICIT:
    case CONFIRM:
    case REBIND:
        return q->client && !q->server_said;
    case REQUEST:
    case RENEW:
    case RELEASE:
    case DECLINE:
        return q->client && q->server_is_us;
    case INFORMATION_REQUEST:
        return !q->association_count && (!q->server_said || q->server_is_us);
    default:
        return false;
    }
}

static void on_message(void *ctx, const struct stack_peer *peer, const uint8_t *data, size_t len)
{
    struct dhcp6 *d = ctx;
    struct request q;

    /* Clients speak to the group (18.4), from addresses of the link (13.1). */
    if (!peer->ip6 || !peer->group || len < HEADER_BYTES || !parse(d, data, len, &q) ||
        !is_valid(&q))
        return;
    if (q.message[0] == INFORMATION_REQUEST)
        on_information(d, peer, &q);
    else if (d->config.stateful)
        on_stateful(d, peer, &q);
}

int dhcp6_new(const struct dhcp6_config *config, struct stack *stack, struct leases *leases,
              struct dhcp6 **ret_dhcp6)
{
    struct dhcp6 *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->config = *config;
    d->config.stateful = config->stateful && leases;
    d->stack = stack;
    d->leases = leases;
    /* 11.4: DUID-LL, of an Ethernet. */
    memcpy(d->duid, "\0\3\0\1", 4);
    memcpy(d->duid + 4, stack_config(stack)->mac, NET_MAC_BYTES);
    r = stack_bind(stack, IPPROTO_UDP, SERVER_PORT, SERVER_PORT, on_message, d);
    if (r < 0) {
        free(d);
        return r;
    }
    *ret_dhcp6 = d;
    return 0;
}

struct dhcp6 *dhcp6_free(struct dhcp6 *d)
{
    free(d);
    return NULL;
}
