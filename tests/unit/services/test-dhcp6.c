/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv6 by DHCP as a guest sees it: what advertisements promise is what it is given; an address that
 * is its own, kept over a restart, known by name; nothing for who asks wrongly.
 */
#include "servicetest.h"

#include "services/dhcp6.h"
#include "services/probe.h"

enum { SOLICIT = 1, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE };
enum { INFORMATION_REQUEST = 11 };

static const char group[] = "ff02::1:2";
static const uint8_t server[10] = {0, 3, 0, 1, 0x02, 0x79, 0x61, 0x64, 0x6f, 0x01};

struct message {
    uint8_t bytes[1400];
    size_t len;
};

static void put(struct message *m, uint16_t code, const void *value, size_t len)
{
    be16_put(m->bytes + m->len, code);
    be16_put(m->bytes + m->len + 2, (uint16_t)len);
    memcpy(m->bytes + m->len + 4, value, len);
    m->len += 4 + len;
}

static struct message message(uint8_t type, bool with_server)
{
    struct message m = {{type, 0xab, 0xcd, 0xef}, 4};

    put(&m, 1, "\0\3\0\1abcdef", 10);
    if (with_server)
        put(&m, 2, server, sizeof(server));
    return m;
}

/* An association of the type with an address, NULL: none. */
static void put_ia(struct message *m, uint16_t type, const char *address)
{
    uint8_t v[12 + 28] = {0, 0, 0, 7};

    be16_put(v + 12, 5);
    be16_put(v + 14, 24);
    if (address)
        assert_int_equal(inet_pton(AF_INET6, address, v + 16), 1);
    put(m, type, v, address ? sizeof(v) : 12);
}

static void send_to(struct world *w, const uint8_t *mac, const char *to, const struct message *m)
{
    uint8_t f[1600] = {0x33, 0x33, 0, 1, 0, 2};
    uint16_t len = (uint16_t)(8 + m->len);

    memcpy(f + 6, mac, 6);
    be16_put(f + 12, 0x86dd);
    f[14] = 0x60;
    be16_put(f + 18, len);
    f[20] = 17;
    f[21] = 64;
    assert_int_equal(inet_pton(AF_INET6, "fe80::5", f + 22), 1);
    assert_int_equal(inet_pton(AF_INET6, to, f + 38), 1);
    be16_put(f + 54, 546);
    be16_put(f + 56, 547);
    be16_put(f + 58, len);
    memcpy(f + 62, m->bytes, m->len);
    be16_put(f + 60, offload_sum_end(offload_sum(f + 54, len, offload_sum(f + 22, 32, 17u + len))));
    w->end->count = 0;
    send_bytes(w, f, 62 + m->len);
}

static void ask(struct world *w, const struct message *m)
{
    send_to(w, guest_mac, group, m);
}

/* An option of the only answer, which is of this type; NULL: it has none. */
static const uint8_t *answer(struct world *w, uint8_t type, uint16_t code, size_t *ret_len)
{
    const uint8_t *b = w->end->frames[0].bytes, *o = b + 62 + 4;
    size_t left;

    assert_int_equal(w->end->count, 1);
    assert_true(sums_right(b, w->end->frames[0].len));
    assert_int_equal(b[22], 0xfe); /* from the link's own address … */
    assert_int_equal(be16_get(b + 56), 546);
    assert_int_equal(b[62], type);
    assert_memory_equal(b + 63, "\xab\xcd\xef", 3);
    left = be16_get(b + 58) - 8u - 4u;
    while (left >= 4) {
        size_t len = be16_get(o + 2);

        assert_true(4 + len <= left);
        if (be16_get(o) == code) {
            *ret_len = len;
            return o + 4;
        }
        o += 4 + len;
        left -= 4 + len;
    }
    return NULL;
}

/* The address of the answer's IA_NA; an empty text: it has none, but the status. */
static const char *address(struct world *w, uint8_t type, uint16_t status)
{
    static char text[INET6_ADDRSTRLEN];
    size_t len = 0;
    const uint8_t *ia = answer(w, type, 3, &len);

    assert_non_null(ia);
    assert_memory_equal(ia, "\0\0\0\7", 4);
    text[0] = '\0';
    if (be16_get(ia + 12) == 13) {
        assert_int_equal(be16_get(ia + 16), status);
        return text;
    }
    assert_int_equal(be16_get(ia + 12), 5);
    assert_int_equal(be32_get(ia + 4), be32_get(ia + 36) ? 1800 : 0);
    return inet_ntop(AF_INET6, ia + 16, text, sizeof(text));
}

static struct services_config config(struct world *w, enum services_dhcp6 dhcp6)
{
    struct services_config c = world_config(w);

    c.ip6 = true;
    c.dhcp6 = dhcp6;
    assert_int_equal(inet_pton(AF_INET6, "fd00:1:2:3::", &c.prefix), 1);
    return c;
}

/* M and O of an advertisement, and whether guests make up addresses. */
static void assert_flags(struct world *w, uint8_t flags, bool autonomous)
{
    const uint8_t *b;

    w->end->count = 0;
    clock_advance(w->clock, 2 * NS_PER_SEC);
    assert_int_equal(w->end->count, 1);
    b = w->end->frames[0].bytes;
    assert_int_equal(b[54 + 5], flags);
    for (size_t at = 54 + 16; at < w->end->frames[0].len; at += b[at + 1] * 8u)
        if (b[at] == 3)
            assert_int_equal(b[at + 3], autonomous ? 0xc0 : 0x80);
}

static void test_stateless(void **state)
{
    struct world w = {0};
    struct services_config c = config(&w, SERVICES_DHCP6_STATELESS);
    struct message m = message(INFORMATION_REQUEST, false), s = message(SOLICIT, false);
    const uint8_t *v;
    size_t len;

    (void)state;
    world_start(&w, &c);
    assert_flags(&w, 0x40, true);
    ask(&w, &m);
    v = answer(&w, REPLY, 23, &len);
    assert_memory_equal(v, "\xfd\0\0\1\0\2\0\3\0\0\0\0\0\0\0\1", 16);
    assert_memory_equal(answer(&w, REPLY, 24, &len), "\x04yado\x08internal", 15);
    assert_memory_equal(answer(&w, REPLY, 2, &len), server, sizeof(server));
    assert_memory_equal(answer(&w, REPLY, 1, &len), "\0\3\0\1abcdef", 10);
    /* What is asked for, and no more. */
    put(&m, 6, "\0\x17", 2);
    ask(&w, &m);
    assert_non_null(answer(&w, REPLY, 23, &len));
    assert_null(answer(&w, REPLY, 24, &len));
    put_ia(&s, 3, NULL);
    ask(&w, &s);
    assert_int_equal(w.end->count, 0);
    world_done(&w);
}

static void test_off(void **state)
{
    struct world w = {0};
    struct services_config c = config(&w, SERVICES_DHCP6_OFF);
    struct message m = message(INFORMATION_REQUEST, false);

    (void)state;
    world_start(&w, &c);
    assert_flags(&w, 0, true);
    ask(&w, &m);
    assert_int_equal(w.end->count, 0);
    world_done(&w);
}

static void test_stateful(void **state)
{
    struct world w = {0};
    struct services_config c = config(&w, SERVICES_DHCP6_STATEFUL);
    struct message m = message(SOLICIT, false);
    char own[INET6_ADDRSTRLEN];
    size_t len;

    (void)state;
    c.leases_path = "/tmp/yado-test-dhcp6-leases";
    unlink(c.leases_path);
    world_start(&w, &c);
    assert_flags(&w, 0x80, false);
    services_machine(w.services, guest_mac, "web");
    put_ia(&m, 3, NULL);
    ask(&w, &m);
    snprintf(own, sizeof(own), "%s", address(&w, ADVERTISE, 0));
    assert_memory_equal(own, "fd00:1:2:3::a01:", 16);
    assert_non_null(answer(&w, ADVERTISE, 23, &len));
    m = message(REQUEST, true);
    put_ia(&m, 3, own);
    put_ia(&m, 25, NULL);
    ask(&w, &m);
    assert_string_equal(address(&w, REPLY, 0), own);
    assert_int_equal(be16_get(answer(&w, REPLY, 25, &len) + 16), 6); /* no prefixes */
    /* Its name leads there. */
    {
        uint8_t q[600];
        size_t n = question(q, "web", 28);
        uint16_t port;
        const uint8_t *a;
        struct in6_addr is;

        w.end->count = 0;
        send_udp(&w, guest_mac, "10.1.0.50", 5000, "10.1.0.1", 53, q, n);
        a = udp_of(&w, 0, &n, &port);
        assert_int_equal(be16_get(a + 6), 1);
        assert_int_equal(inet_pton(AF_INET6, own, &is), 1);
        assert_memory_equal(a + n - 16, &is, 16);
    }
    /* The network starts again: it is the same adapter's, and nobody else's. */
    world_stop(&w);
    world_start(&w, &c);
    m = message(RENEW, true);
    put_ia(&m, 3, own);
    ask(&w, &m);
    assert_string_equal(address(&w, REPLY, 0), own);
    m = message(SOLICIT, false);
    put_ia(&m, 3, own);
    put(&m, 14, "", 0);
    send_to(&w, (const uint8_t *)"\x52\x54\0\0\0\x02", group, &m);
    assert_non_null(answer(&w, REPLY, 14, &len));
    assert_string_not_equal(address(&w, REPLY, 0), own);
    /* An address that it does not have is over; what it gave back it has no more. */
    m = message(REBIND, false);
    put_ia(&m, 3, "fd00:1:2:3::99");
    ask(&w, &m);
    assert_string_equal(address(&w, REPLY, 0), "fd00:1:2:3::99");
    m = message(CONFIRM, false);
    put_ia(&m, 3, "fd00:9::1");
    ask(&w, &m);
    assert_int_equal(be16_get(answer(&w, REPLY, 13, &len)), 4);
    m = message(RELEASE, true);
    put_ia(&m, 3, own);
    ask(&w, &m);
    assert_int_equal(be16_get(answer(&w, REPLY, 13, &len)), 0);
    m = message(RENEW, true);
    put_ia(&m, 3, own);
    ask(&w, &m);
    assert_string_equal(address(&w, REPLY, 3), "");
    world_done(&w);
    unlink(c.leases_path);
}

/* All addresses of the range, each once, and then it says that there is none. */
static void test_all(void **state)
{
    struct world w = {0};
    struct services_config c = config(&w, SERVICES_DHCP6_STATEFUL);
    struct message m = message(SOLICIT, false);
    unsigned given = 0;

    (void)state;
    put_ia(&m, 3, NULL);
    put(&m, 14, "", 0);
    world_start(&w, &c);
    for (unsigned i = 0; i < 20; i++) {
        const uint8_t mac[6] = {0x52, 0x54, 0, 0, 1, (uint8_t)i};

        send_to(&w, mac, group, &m);
        given += *address(&w, REPLY, 2) != '\0';
    }
    assert_int_equal(given, 16);
    world_done(&w);
}

/* RFC 8415, 16: who asks wrongly is not answered; every cut of a message is survived. */
static void test_wrong(void **state)
{
    struct world w = {0};
    struct services_config c = config(&w, SERVICES_DHCP6_STATEFUL);
    struct message m = message(REQUEST, false), none = {{SOLICIT}, 4};

    (void)state;
    world_start(&w, &c);
    put_ia(&m, 3, NULL);
    ask(&w, &m);
    assert_int_equal(w.end->count, 0);
    m = message(SOLICIT, true);
    ask(&w, &m);
    assert_int_equal(w.end->count, 0);
    put_ia(&none, 3, NULL);
    ask(&w, &none);
    assert_int_equal(w.end->count, 0);
    m = message(INFORMATION_REQUEST, false);
    put_ia(&m, 3, NULL);
    ask(&w, &m);
    assert_int_equal(w.end->count, 0);
    m = message(INFORMATION_REQUEST, false);
    send_to(&w, guest_mac, "fd00:1:2:3::1", &m);
    assert_int_equal(w.end->count, 0);
    m = message(REQUEST, true);
    put_ia(&m, 3, "fd00:1:2:3::a01:10");
    for (size_t len = m.len; len--;) {
        struct message cut = m;

        cut.len = len;
        ask(&w, &cut);
    }
    for (unsigned i = 0; i < 200; i++)
        put(&m, 3, "\0\0\0\7\0\0\0\0\0\0\0\0", i < 40 ? 12 : 0);
    ask(&w, &m);
    assert_int_equal(w.end->count, 1);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stateless), cmocka_unit_test(test_off),
        cmocka_unit_test(test_stateful),  cmocka_unit_test(test_all),
        cmocka_unit_test(test_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
