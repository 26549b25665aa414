/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person may write in a network's file, and what they are told when it is wrong. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "network/definition.h"

static int parse(struct network_definition *def, const char *text, struct error *err)
{
    *err = (struct error){""};
    return network_definition_parse(text, strlen(text), def, err);
}

static void good(void **ctx)
{
    (void)ctx;
    struct network_definition def;
    struct error err;
    assert_int_equal(
        parse(&def,
              "{\"name\": \"lab\", \"kind\": \"nat\", \"vlan\": 7, \"rate\": \"10M\","
              " \"forward\": [\"tcp::2222:10.0.2.15:22\"],"
              " \"ports\": [{\"mac\": \"52:54:00:00:00:01\", \"trunk\": [1, 20, 4094]},"
              "            {\"mac\": \"52-54-00-00-00-02\", \"vlan\": 0, \"any-source\": true,"
              "             \"promiscuous\": true, \"rate\": 0}]}",
              &err),
        0);
    assert_int_equal(def.kind, NETWORK_NAT);
    assert_int_equal(def.forward_count, 1);
    assert_int_equal(def.rule_count, 2);
    struct switch_config c =
        network_port_config(&def, (const uint8_t *)"\x52\x54\0\0\0\1", "machine");
    assert_true(c.trunk && !c.any_source);
    assert_int_equal(c.vlan, 7);
    assert_int_equal(c.rate_bytes, MIB(10));
    assert_int_equal(c.vlans[20 / 8] >> 20 % 8 & 1, 1);
    assert_int_equal(c.vlans[21 / 8] >> 21 % 8 & 1, 0);
    assert_string_equal(c.name, "machine");
    c = network_port_config(&def, (const uint8_t *)"\x52\x54\0\0\0\2", "other");
    assert_true(c.any_source && c.promiscuous && !c.trunk);
    assert_int_equal(c.vlan, 0);
    assert_int_equal(c.rate_bytes, 0);
    c = network_port_config(&def, (const uint8_t *)"\x52\x54\0\0\0\3", "third");
    assert_int_equal(c.vlan, 7);
    assert_int_equal(c.mac[5], 3);
    network_definition_done(&def);
}

static void wrong(void **ctx)
{
    (void)ctx;
    static const char *const tries[][2] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{}", "name"},
        {"{\"name\": 7}", "name"},
        {"{\"name\": \"a\", \"colour\": 1}", "colour"},
        {"{\"name\": \"a\", \"kind\": \"token-ring\"}", "kind"},
        {"{\"name\": \"a\", \"kind\": \"external\"}", "interface"},
        {"{\"name\": \"a\", \"kind\": \"host-only\", \"interface\": \"a/b\"}", "a/b"},
        {"{\"name\": \"a\", \"interface\": \"eth0\"}", "interface"},
        {"{\"name\": \"a\", \"forward\": [\"tcp::1:2\"]}", "nat"},
        {"{\"name\": \"a\", \"kind\": \"nat\", \"forward\": [\"x\"]}", "'x'"},
        {"{\"name\": \"a\", \"through\": \"bridge\"}", "through"},
        {"{\"name\": \"a\", \"kind\": \"external\", \"interface\": \"e\", \"through\": \"air\"}",
         "macvtap"},
        {"{\"name\": \"a\", \"nat\": \"kernel\"}", "kind nat"},
        {"{\"name\": \"a\", \"kind\": \"nat\", \"nat\": \"kernel\"}", "subnet"},
        {"{\"name\": \"a\", \"kind\": \"nat\", \"interface\": \"e\"}", "interface"},
        {"{\"name\": \"a\", \"kind\": \"nat\", \"nat\": \"kernel\", \"subnet\": \"10.1.0.0/24\","
         " \"forward\": [\"tcp::1:10.2.0.5:2\"]}",
         "in the subnet"},
        {"{\"name\": \"a\", \"vlan\": 4095}", "vlan"},
        {"{\"name\": \"a\", \"vlan\": -1}", "vlan"},
        {"{\"name\": \"a\", \"trunk\": [0]}", "trunk"},
        {"{\"name\": \"a\", \"trunk\": 5}", "trunk"},
        {"{\"name\": \"a\", \"rate\": \"fast\"}", "rate"},
        {"{\"name\": \"a\", \"rate\": \"9999T\"}", "rate"},
        {"{\"name\": \"a\", \"promiscuous\": 1}", "promiscuous"},
        {"{\"name\": \"a\", \"ports\": [{}]}", "mac"},
        {"{\"name\": \"a\", \"ports\": [{\"mac\": \"53:54:00:00:00:01\"}]}", "mac"},
        {"{\"name\": \"a\", \"ports\": [{\"mac\": \"52:54:00:00:00:01\", \"speed\": 1}]}", "speed"},
        {"{\"name\": \"a\", \"ports\": {}}", "ports"},
    };
    struct network_definition def;
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
        assert_true(parse(&def, tries[i][0], &err) < 0);
        assert_non_null(strstr(err.text, tries[i][1]));
        assert_null(def.name);
    }
    assert_int_equal(network_definition_read("/nonexistent", &def, &err), -ENOENT);
}

static void services(void **ctx)
{
    struct network_definition def;
    struct error err;

    (void)ctx;
    assert_int_equal(parse(&def,
                           "{\"name\": \"lab\", \"kind\": \"nat\", \"subnet\": \"10.244.0.0/24\","
                           " \"dhcp\": {\"wins\": \"10.244.0.9\", \"lease\": 60, \"reservations\":"
                           " [{\"mac\": \"52:54:00:00:00:01\", \"address\": \"10.244.0.5\","
                           "   \"name\": \"Web One\"}]}}",
                           &err),
                     0);
    const struct services_config *c = &def.services.config;
    assert_true(c->dhcp && c->dns && def.services.ask_host);
    assert_int_equal(ntohl(c->address.s_addr), 0x0af40001);
    assert_int_equal(ntohl(c->start.s_addr), 0x0af40010);
    assert_int_equal(ntohl(c->end.s_addr), 0x0af400fe);
    assert_int_equal(ntohl(c->network.gateway.s_addr), 0x0af40002);
    assert_int_equal(c->network.renewal_s, 30);
    assert_int_equal(c->network.rebinding_s, 52);
    assert_string_equal(c->reservations[0].name, "web-one");
    network_definition_done(&def);
    assert_int_equal(parse(&def,
                           "{\"name\": \"lab\", \"subnet\": \"10.1.0.0/28\", \"dhcp\": false,"
                           " \"dns\": {\"forward\": [\"10.1.0.9\"]}, \"ipv6\": \"fd00:1::/64\"}",
                           &err),
                     0);
    assert_false(def.services.config.dhcp || def.services.ask_host);
    assert_int_equal(def.services.ask_count, 1);
    assert_true(def.services.config.ip6);
    network_definition_done(&def);
    /* The kernel's NAT has no IPv6 of its own. */
    assert_int_equal(parse(&def,
                           "{\"name\": \"lab\", \"kind\": \"nat\", \"nat\": \"kernel\", \"subnet\":"
                           " \"10.1.0.0/24\", \"ipv6\": \"fd00:1::/64\"}",
                           &err),
                     0);
    assert_true(def.services.config.ip6);
    network_definition_done(&def);
}

static void services_bad(void **ctx)
{
    static const char *const rows[] = {
        "\"dhcp\": true",
        "\"subnet\": \"10.1.0.0\"",
        "\"subnet\": \"10.1.0.0/30\"",
        "\"subnet\": \"10.1.0.0/8\"",
        "\"subnet\": \"10.1.0.1/24\"",
        "\"subnet\": \"10.1.0.0/24\", \"server-address\": \"10.2.0.1\"",
        "\"subnet\": \"10.1.0.0/24\", \"server-address\": \"10.1.0.255\"",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"start\": \"10.1.0.9\", \"end\": \"10.1.0.8\"}",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"end\": \"10.1.1.8\"}",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"lease\": 59}",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"lease\": 90, \"renewal\": 80, \"rebinding\": "
        "70}",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"reservations\": [{\"mac\": "
        "\"01:00:00:00:00:01\"}]}",
        "\"subnet\": \"10.1.0.0/24\", \"dhcp\": {\"nonsense\": 1}",
        "\"subnet\": \"10.1.0.0/24\", \"domain\": \"Upper.case\"",
        "\"subnet\": \"10.1.0.0/24\", \"domain\": \"a..b\"",
        "\"subnet\": \"10.1.0.0/24\", \"ipv6\": \"fd00::1/64\"",
        "\"subnet\": \"10.1.0.0/24\", \"ipv6\": \"fd00::/48\"",
        "\"subnet\": \"10.1.0.0/24\", \"kind\": \"nat\", \"ipv6\": \"fd00:1::/64\"",
        "\"subnet\": \"10.1.0.0/24\", \"bootfile\": \"x\"",
        "\"subnet\": \"10.1.0.0/24\", \"kind\": \"nat\", \"server-address\": \"10.1.0.2\"",
    };
    struct network_definition def;
    struct error err;
    char text[400];

    (void)ctx;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), "{\"name\": \"lab\", %s}", rows[i]);
        if (parse(&def, text, &err) != -EINVAL || !*err.text)
            fail_msg("taken: %s", text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(wrong),
                                       cmocka_unit_test(services), cmocka_unit_test(services_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
