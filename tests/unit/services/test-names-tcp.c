/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names over TCP: answers that are too large for UDP come whole, several questions share a
 * connection, and one that is left open or filled costs nobody else anything.
 */
#include "tcpclient.h"

#include "services/dns.h"

static struct {
    unsigned calls, tokens[64];
    bool tcp;
    uint8_t query[600];
    size_t len;
} asked;

static bool on_forward(void *ctx, unsigned token, bool tcp, const uint8_t *query, size_t len)
{
    (void)ctx;
    asked.tokens[asked.calls++ % 64] = token;
    asked.tcp = tcp;
    asked.len = len;
    memcpy(asked.query, query, len);
    return true;
}

static struct client *dial(struct world *w, uint16_t port)
{
    struct client *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    *c = (struct client){.w = w, .port = port, .to = 53};
    tcp_open(c);
    return c;
}

static void say(struct client *c, const void *data, size_t len)
{
    tcp_send(c, 24, c->expected, data, len);
    c->next += (uint32_t)len;
    tcp_take(c);
}

static size_t framed(uint8_t *m, const char *name)
{
    size_t len = question(m + 2, name, 1);

    be16_put(m, (uint16_t)len);
    return len + 2;
}

static void hang_up(struct client *c)
{
    tcp_send(c, 17, c->expected, "", 0);
    c->next++;
    tcp_take(c);
}

static void test_several(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t m[1200];
    size_t len, both;
    struct client *one;

    (void)state;
    world_start(&w, &c);
    services_machine(w.services, (const uint8_t *)"\x52\x54\0\0\0\x05", "web");
    one = dial(&w, 4000);
    /* In pieces, and two at once. */
    len = framed(m, "web");
    say(one, m, 1);
    say(one, m + 1, 5);
    assert_int_equal(one->len, 0);
    say(one, m + 6, len - 6);
    assert_int_equal(one->len, len);
    assert_int_equal(be16_get(one->got), len - 2);
    assert_int_equal(be16_get(one->got + 2), 0x1234);
    both = len + framed(m + len, "nobody");
    say(one, m, both);
    assert_int_equal(one->len, len + both);
    assert_int_equal(one->got[len + len + 2 + 3] & 15, 3); /* no such name */
    assert_false(one->fin);
    /* It hangs up, and so do we. */
    hang_up(one);
    assert_true(one->fin);
    free(one);
    /* Who says nothing is not waited for for ever; nor is what is no question. */
    one = dial(&w, 4001);
    clock_advance(w.clock, 60 * NS_PER_SEC);
    tcp_take(one);
    assert_true(one->reset);
    free(one);
    one = dial(&w, 4002);
    say(one, "\xff\xff\0\0", 4);
    assert_true(one->fin);
    free(one);
    world_done(&w);
}

/* 40,000 bytes from the world, to a client that has said its end already. */
static void test_large(void **state)
{
    static uint8_t answer[40000];
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t m[600];
    struct client *one;
    size_t len;

    (void)state;
    memset(&asked, 0, sizeof(asked));
    c.forward = on_forward;
    world_start(&w, &c);
    one = dial(&w, 4000);
    one->lose = 5;
    len = framed(m, "example.org");
    say(one, m, len);
    assert_int_equal(asked.calls, 1);
    assert_true(asked.tcp);
    hang_up(one);
    assert_false(one->fin);
    for (size_t i = 0; i < sizeof(answer); i++)
        answer[i] = (uint8_t)(i * 13 + i / 256);
    memcpy(answer, asked.query, asked.len);
    answer[2] |= 0x80;
    services_dns_answer(w.services, asked.tokens[0], answer, sizeof(answer));
    for (unsigned i = 0; i < 300 && !one->fin; i++) {
        tcp_take(one);
        clock_advance(w.clock, NS_PER_SEC / 4);
    }
    assert_true(one->fin);
    assert_int_equal(one->len, sizeof(answer) + 2);
    assert_int_equal(be16_get(one->got + 2), 0x1234);
    assert_memory_equal(one->got + 4, answer + 2, sizeof(answer) - 2);
    free(one);
    world_done(&w);
}

/* Questions on a connection that ends are forgotten; an answer that comes then goes nowhere. */
static void test_gone(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t m[600], answer[600];
    struct client *one;
    size_t len = framed(m, "example.org");

    (void)state;
    memset(&asked, 0, sizeof(asked));
    c.forward = on_forward;
    world_start(&w, &c);
    for (unsigned i = 0; i < 3 * DNS_PENDING_EACH; i++) {
        one = dial(&w, (uint16_t)(5000 + i));
        say(one, m, len);
        assert_int_equal(asked.calls, i + 1);
        memcpy(answer, asked.query, asked.len);
        answer[2] |= 0x80;
        tcp_send(one, 4, one->expected, "", 0);
        w.end->count = 0;
        services_dns_answer(w.services, asked.tokens[i % 64], answer, asked.len);
        assert_int_equal(w.end->count, 0);
        free(one);
    }
    /* One that asks and asks and takes nothing is cut off before it has filled anything. */
    one = dial(&w, 4999);
    len = framed(m, "nobody");
    for (unsigned i = 0; i < 20000; i++) {
        tcp_send(one, 24, one->expected, m, len);
        one->next += (uint32_t)len;
        w.end->count = 0;
    }
    free(one);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
