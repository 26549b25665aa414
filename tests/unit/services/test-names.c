/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names as guests ask for them: machines by what they are called here, nobody by another's name,
 * the world through one careful door; and IPv6 guests that find prefix and name server.
 */
#include "servicetest.h"

static struct {
    unsigned calls, token;
    bool tcp;
    uint8_t query[600];
    size_t len;
} asked;

static bool on_forward(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len)
{
    (void)ctx;
    asked.tcp = tcp;
    asked.calls++;
    asked.token = token;
    asked.len = len;
    memcpy(asked.query, query, len);
    return true;
}

/* Bind an address to an adapter, as DHCP does. */
static void bind_lease(struct world *w, uint8_t n, const char *guest_name)
{
    struct leases *l = services_leases(w->services);
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, n};
    struct lease *lease;
    struct in_addr wanted = {htonl(ntohl(ip4("10.1.0.16").s_addr) + n)};

    assert_int_equal(leases_offer(l, mac, wanted, w->now_s, w->now_s + 60, &lease), 0);
    assert_int_equal(lease->address.s_addr, wanted.s_addr);
    leases_bind(l, lease, w->now_s + 1000, guest_name);
}

static void machine(struct world *w, uint8_t n, const char *name)
{
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, n};

    services_machine(w->services, mac, name);
}

/* Ask; the answer, and its code (-1: none). */
static int ask(struct world *w, const char *name, uint16_t type, const uint8_t **ret_m,
               size_t *ret_len)
{
    uint8_t m[600];
    size_t len = question(m, name, type);
    uint16_t from;

    w->end->count = 0;
    send_udp(w, guest_mac, "10.1.0.50", 5000, "10.1.0.1", 53, m, len);
    if (!w->end->count)
        return -1;
    *ret_m = udp_of(w, 0, ret_len, &from);
    assert_int_equal(from, 53);
    assert_int_equal(be16_get(*ret_m), 0x1234);
    assert_true(be16_get(*ret_m + 2) & 0x8000);
    return be16_get(*ret_m + 2) & 15;
}

static void assert_address(struct world *w, const char *name, const char *address)
{
    struct in_addr a = ip4(address);
    const uint8_t *m;
    size_t len;

    assert_int_equal(ask(w, name, 1, &m, &len), 0);
    assert_int_equal(be16_get(m + 6), 1);
    assert_memory_equal(m + len - 4, &a, 4);
}

static void assert_code(struct world *w, const char *name, uint16_t type, int code)
{
    const uint8_t *m;
    size_t len;

    assert_int_equal(ask(w, name, type, &m, &len), code);
    assert_true(code || !be16_get(m + 6));
}

static void test_machines(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    const uint8_t *m;
    size_t len;

    (void)state;
    world_start(&w, &c);
    machine(&w, 1, "Web Server");
    machine(&w, 2, "db");
    bind_lease(&w, 1, "liar");
    bind_lease(&w, 2, "");
    bind_lease(&w, 3, "db");    /* a guest that calls itself as another machine */
    bind_lease(&w, 4, "extra"); /* one that the network has no name for */
    assert_address(&w, "web-server." SERVICES_DOMAIN, "10.1.0.17");
    assert_address(&w, "WEB-Server", "10.1.0.17");
    assert_address(&w, "db." SERVICES_DOMAIN, "10.1.0.18");
    assert_address(&w, "extra", "10.1.0.20");
    assert_code(&w, "liar", 1, 3);
    assert_code(&w, "nobody." SERVICES_DOMAIN, 1, 3);
    assert_code(&w, "db", 28, 0); /* it is there, without IPv6 */
    assert_code(&w, SERVICES_DOMAIN, 1, 0);
    /* Backwards. */
    assert_int_equal(ask(&w, "17.0.1.10.in-addr.arpa", 12, &m, &len), 0);
    assert_int_equal(be16_get(m + 6), 1);
    assert_memory_equal(m + len - 26, "\x0aweb-server\x04yado\x08internal", 26);
    assert_code(&w, "99.0.1.10.in-addr.arpa", 12, 3);
    /* Two adapters are two addresses; a machine that has gone has none. */
    machine(&w, 3, "db");
    assert_int_equal(ask(&w, "db", 1, &m, &len), 0);
    assert_int_equal(be16_get(m + 6), 2);
    services_machine_gone(w.services, (const uint8_t *)"\x52\x54\0\0\0\x01");
    assert_code(&w, "web-server", 1, 3);
    /* A lease that is over names nobody. */
    w.now_s += 2000;
    assert_code(&w, "db", 1, 0);
    world_done(&w);
}

static void test_nobody_is_asked(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);

    (void)state;
    world_start(&w, &c);
    assert_code(&w, "example.org", 1, 5);
    world_done(&w);
}

static void test_forwarded(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t answer[600];
    const uint8_t *m;
    size_t len;
    uint16_t from;

    (void)state;
    memset(&asked, 0, sizeof(asked));
    c.forward = on_forward;
    world_start(&w, &c);
    assert_code(&w, "nobody", 1, 3); /* a bare name is nobody's outside */
    assert_code(&w, "9.0.1.10.in-addr.arpa", 12, 3);
    assert_int_equal(asked.calls, 0);
    assert_int_equal(ask(&w, "example.org", 1, &m, &len), -1);
    assert_int_equal(asked.calls, 1);
    memcpy(answer, asked.query, asked.len);
    /* Forged: another number, another question, no answer at all, for another place. */
    answer[2] |= 0x80;
    answer[0] ^= 1;
    services_dns_answer(w.services, asked.token, answer, asked.len);
    answer[0] ^= 1;
    answer[13] ^= 1;
    services_dns_answer(w.services, asked.token, answer, asked.len);
    answer[13] ^= 1;
    answer[2] ^= 0x80;
    services_dns_answer(w.services, asked.token, answer, asked.len);
    answer[2] |= 0x80;
    services_dns_answer(w.services, asked.token + 1, answer, asked.len);
    services_dns_answer(w.services, asked.token, answer, 11);
    assert_int_equal(w.end->count, 0);
    memcpy(answer + asked.len, "xyz", 3);
    services_dns_answer(w.services, asked.token, answer, asked.len + 3);
    assert_int_equal(w.end->count, 1);
    m = udp_of(&w, 0, &len, &from);
    assert_int_equal(be16_get(m), 0x1234);
    assert_int_equal(len, asked.len + 3);
    /* Once only. */
    services_dns_answer(w.services, asked.token, answer, asked.len + 3);
    assert_int_equal(w.end->count, 1);
    /* Too large for who asked: it says so. */
    assert_int_equal(ask(&w, "example.org", 1, &m, &len), -1);
    memcpy(answer, asked.query, asked.len);
    answer[2] |= 0x80;
    services_dns_answer(w.services, asked.token, answer, sizeof(answer));
    m = udp_of(&w, 0, &len, &from);
    assert_int_equal(len, asked.len);
    assert_true(m[2] & 2);
    /* Nobody answers. */
    assert_int_equal(ask(&w, "example.org", 1, &m, &len), -1);
    services_dns_answer(w.services, asked.token, NULL, 0);
    m = udp_of(&w, 0, &len, &from);
    assert_int_equal(m[3] & 15, 2);
    world_done(&w);
}

/* One guest's flood of questions leaves places for others. */
static void test_flood(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 9}, m[600];
    size_t len = question(m, "example.org", 1);

    (void)state;
    memset(&asked, 0, sizeof(asked));
    c.forward = on_forward;
    world_start(&w, &c);
    for (unsigned i = 0; i < 1000; i++)
        send_udp(&w, mac, "10.1.0.51", 5000, "10.1.0.1", 53, m, len);
    assert_int_equal(asked.calls, DNS_PENDING_EACH);
    send_udp(&w, guest_mac, "10.1.0.50", 5000, "10.1.0.1", 53, m, len);
    assert_int_equal(asked.calls, DNS_PENDING_EACH + 1);
    clock_advance(w.clock, 10 * NS_PER_SEC);
    send_udp(&w, mac, "10.1.0.51", 5000, "10.1.0.1", 53, m, len);
    assert_int_equal(asked.calls, DNS_PENDING_EACH + 2);
    world_done(&w);
}

/* ---- IPv6 ---- */

static void send_icmp6(struct world *w, const char *from, const char *to, uint8_t *message,
                       size_t len)
{
    uint8_t f[400] = {0x33, 0x33, 0, 0, 0, 2};
    uint32_t sum;

    memcpy(f + 6, guest_mac, 6);
    be16_put(f + 12, 0x86dd);
    f[14] = 0x60;
    be16_put(f + 18, (uint16_t)len);
    f[20] = 58;
    f[21] = 255;
    assert_int_equal(inet_pton(AF_INET6, from, f + 22), 1);
    assert_int_equal(inet_pton(AF_INET6, to, f + 38), 1);
    be16_put(message + 2, 0);
    sum = offload_sum(f + 22, 32, 58 + (uint32_t)len);
    be16_put(message + 2, offload_sum_end(offload_sum(message, len, sum)));
    memcpy(f + 54, message, len);
    w->end->count = 0;
    send_bytes(w, f, 54 + len);
}

/* The option of a router advertisement; NULL: it has none. */
static const uint8_t *nd_option(struct world *w, uint8_t type)
{
    const uint8_t *b = w->end->frames[0].bytes;
    size_t at = 54 + 16;

    assert_int_equal(w->end->count, 1);
    assert_int_equal(b[54], 134);
    while (at < w->end->frames[0].len) {
        if (b[at] == type)
            return b + at;
        assert_true(b[at + 1] > 0);
        at += b[at + 1] * 8u;
    }
    return NULL;
}

static void test_router(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t solicit[8] = {133}, neighbor[24] = {135}, own[16];
    const uint8_t *o;

    (void)state;
    c.ip6 = true;
    assert_int_equal(inet_pton(AF_INET6, "fd12:3456:789a:1::", &c.prefix), 1);
    assert_int_equal(inet_pton(AF_INET6, "fd12:3456:789a:1::1", own), 1);
    world_start(&w, &c);
    send_icmp6(&w, "fe80::5", "ff02::2", solicit, sizeof(solicit));
    assert_int_equal(be16_get(w.end->frames[0].bytes + 54 + 6), 0); /* no way out */
    o = nd_option(&w, 3);
    assert_non_null(o);
    assert_int_equal(o[2], 64);
    assert_memory_equal(o + 16, &c.prefix, 16);
    o = nd_option(&w, 25);
    assert_memory_equal(o + 8, own, 16);
    assert_memory_equal(nd_option(&w, 31) + 8, "\x04yado\x08internal", 15);
    /* The name server's address answers; one that is not ours does not. */
    memcpy(neighbor + 8, own, 16);
    send_icmp6(&w, "fe80::5", "ff02::1:ff00:1", neighbor, sizeof(neighbor));
    assert_int_equal(w.end->count, 1);
    assert_int_equal(w.end->frames[0].bytes[54], 136);
    neighbor[23] = 2;
    send_icmp6(&w, "fe80::5", "ff02::1:ff00:1", neighbor, sizeof(neighbor));
    assert_int_equal(w.end->count, 0);
    /* By itself, soon and then seldom. */
    w.end->count = 0;
    clock_advance(w.clock, 2 * NS_PER_SEC);
    assert_int_equal(w.end->count, 1);
    assert_memory_equal(w.end->frames[0].bytes, "\x33\x33\0\0\0\1", 6);
    clock_advance(w.clock, 1000 * NS_PER_SEC);
    assert_in_range(w.end->count, 4, 12);
    world_done(&w);
}

static void test_label(void **state)
{
    static const char *const pairs[][2] = {
        {"Web Server 1", "web-server-1"},
        {"--x--", "x"},
        {"...", ""},
        {"ü", ""},
        {"A.b_c", "a-b-c"},
    };
    char label[LEASE_NAME_BYTES], name[200];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        dns_label(pairs[i][0], label);
        assert_string_equal(label, pairs[i][1]);
    }
    memset(name, 'a', 199);
    name[199] = 0;
    dns_label(name, label);
    assert_int_equal(strlen(label), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machines),  cmocka_unit_test(test_nobody_is_asked),
        cmocka_unit_test(test_forwarded), cmocka_unit_test(test_flood),
        cmocka_unit_test(test_router),    cmocka_unit_test(test_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
