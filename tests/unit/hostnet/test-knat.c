/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of a kernel's NAT: a port of the loopback is open to the host alone, nobody outside gets
 * in but by what is forwarded, and nothing that a name says becomes a rule. Needs no rights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "hostnet/knat.h"

static struct nat_forward forward(const char *text)
{
    struct nat_forward f;
    struct error err = {""};

    if (nat_parse_forward(text, &f, &err) < 0)
        fail_msg("%s", err.text);
    return f;
}

/* What stands between the name of a chain and its end. */
static char *chain(const char *rules, const char *name)
{
    char head[32];
    const char *start;
    char *text;

    snprintf(head, sizeof(head), " chain %s {", name);
    start = strstr(rules, head);
    if (!start)
        return NULL;
    text = strndup(start, (size_t)(strstr(start, "\n }") - start));
    assert_non_null(text);
    return text;
}

static void test_forwards(void **state)
{
    const struct nat_forward forwards[] = {forward("tcp::2222:10.1.0.16:22"),
                                           forward("udp:192.0.2.1:53:10.1.0.17:5353"),
                                           forward("tcp:0.0.0.0:80:10.1.0.16:8080")};
    struct knat_config c = {
        .name = "lab", .prefix_bits = 24, .forwards = forwards, .forward_count = 3};
    AUTO_FREE char *rules = NULL, *in = NULL, *own = NULL, *pass = NULL, *host = NULL;

    (void)state;
    inet_pton(AF_INET, "10.1.0.0", &c.subnet);
    rules = knat_rules(&c, "ynat7", "eth0", false);
    in = chain(rules, "in");
    own = chain(rules, "own");
    pass = chain(rules, "pass");
    host = chain(rules, "host");
    assert_null(strstr(in, "2222"));
    assert_non_null(strstr(own, "ip daddr 127.0.0.1 tcp dport 2222 dnat to 10.1.0.16:22\n"));
    assert_non_null(strstr(in, "ip daddr 192.0.2.1 udp dport 53 dnat to 10.1.0.17:5353\n"));
    assert_non_null(strstr(in, "fib daddr type local tcp dport 80 dnat to 10.1.0.16:8080"));
    assert_non_null(strstr(pass, "iifname \"ynat7\" accept\n"));
    assert_non_null(strstr(pass, "oifname \"ynat7\" drop"));
    assert_null(strstr(pass, "eth0"));
    assert_null(host);
    assert_non_null(strstr(rules, "ip saddr 10.1.0.0/24 oifname != \"ynat7\" masquerade"));
    assert_non_null(strstr(rules, "iifname \"ynat7\" ip saddr != 10.1.0.0/24 drop"));
    assert_non_null(strstr(rules, "flags owner"));
}

static void test_isolated(void **state)
{
    struct knat_config c = {.name = "a", .prefix_bits = 24, .isolated = true};
    AUTO_FREE char *rules = knat_rules(&c, "ynat7", "eth0", true), *pass = chain(rules, "pass");

    (void)state;
    assert_non_null(strstr(pass, "iifname \"ynat7\" drop\n"));
    assert_null(strstr(pass, "iifname \"ynat7\" accept\n"));
    assert_non_null(strstr(pass, "iifname \"eth0\" oifname != \"ynat*\" drop"));
    assert_non_null(strstr(rules, " chain host "));
}

static void test_name(void **state)
{
    const struct knat_config c = {.name = "x\"; flags } table ip evil { chain a\n;",
                                  .prefix_bits = 24};
    AUTO_FREE char *rules = knat_rules(&c, "ynat7", "eth0", false);

    (void)state;
    assert_non_null(strstr(rules, "comment \"Yado network x flags  table ip evil  chain a\";"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forwards),
        cmocka_unit_test(test_isolated),
        cmocka_unit_test(test_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
