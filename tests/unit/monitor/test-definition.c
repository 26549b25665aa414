/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person may write as options or JSON, and what they are told when it is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/definition.h"

static int parse(struct definition *def, struct error *err, const char *a, const char *b)
{
    char *argv[] = {(char *)"run", (char *)a, (char *)b, NULL};

    *err = (struct error){""};
    assert_int_equal(definition_init(def), 0);
    return definition_parse_args(def, b ? 3 : 2, argv, err);
}

static int parse_json(struct definition *def, struct error *err, const char *text)
{
    *err = (struct error){""};
    assert_int_equal(definition_init(def), 0);
    return definition_parse_json(def, text, strlen(text), err);
}

/* A user who writes 2G gets 2 GiB, and not 2 MiB or an overflow. */
static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"512", MIB(512)}, {"512M", MIB(512)}, {"2G", GIB(2)},   {"2g", GIB(2)},
                {"64K", KIB(64)},  {"1GiB", GIB(1)},   {"1T", GIB(1024)}};
    static const char *const bad[] = {"",
                                      "M",
                                      "12Q",
                                      "1.5G",
                                      "-1",
                                      "99999999999999999999",
                                      "18446744073709551615",
                                      "17592186044416T",
                                      "1GG",
                                      "0x10"};
    uint64_t bytes = 1;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(definition_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    bytes = 77;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(definition_parse_size(bad[i], &bytes) < 0);
        assert_int_equal(bytes, 77);
    }
}

/* Each wrong option is refused with a line that names it. */
static void test_refusals(void **state)
{
    static const struct {
        const char *option, *value, *names;
    } cases[] = {
        {"--cpus", "0", "--cpus"},
        {"--cpus", "65", "--cpus"},
        {"--cpus", "two", "two"},
        {"--memory", "0", "--memory"},
        {"--memory", "4P", "4P"},
        {"--memory", "1025K", "--memory"},
        {"--engine", "tcg", "auto, kvm, soft"},
        {"--boot", "usb", "usb"},
        {"--iommu", "amd", "none, intel"},
        {"--edu=2", NULL, "--edu"},
        {"--net", "user", "none"},
        {"--serial", "file=", "--serial"},
        {"--serial", "pty", "stdio, null"},
        {"--display", "gtk", "--display"},
        {"--control", "tcp=1", "--control"},
        {"--disk", "", "--disk"},
        {"--disk", "a.vhd,bus=usb", "usb"},
        {"--disk", "a.vhd,snapshot", "snapshot"},
        {"--disk", "a.vhd,reads-per-second=few", "few"},
        {"--engine", "kvm,fast", "kvm,fast"},
        {"--on-reset", "pause", "pause"},
        {"--debug-exit=maybe", NULL, "maybe"},
        {"--frobnicate", "1", "--frobnicate"},
        {"kernel", "1", "kernel"},
        {"--kernel", NULL, "--kernel"},
        {"--definition", "/nonexistent/vm.json", "/nonexistent/vm.json"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct definition def;
        struct error err;

        assert_true(parse(&def, &err, cases[i].option, cases[i].value) < 0);
        assert_non_null(strstr(err.text, cases[i].names));
        assert_null(strchr(err.text, '\n'));
        definition_done(&def);
    }
}

static void test_disks(void **state)
{
    char *argv[] = {(char *)"run", (char *)"--disk", (char *)"a,,b.vhd,bus=virtio,readonly",
                    (char *)"--disk=c.img,read-bytes-per-second=10M,writes-per-second=200"};
    struct machine_config config;
    struct definition def;
    struct error err = {""};

    (void)state;
    assert_int_equal(definition_init(&def), 0);
    assert_int_equal(definition_parse_args(&def, 4, argv, &err), 0);
    definition_to_config(&def, &config);
    assert_int_equal(config.disk_count, 2);
    assert_string_equal(config.disks[0].path, "a,b.vhd");
    assert_int_equal(config.disks[0].bus, MACHINE_BUS_VIRTIO);
    assert_true(config.disks[0].readonly);
    assert_string_equal(config.disks[1].path, "c.img");
    assert_int_equal(config.disks[1].bus, MACHINE_BUS_IDE);
    assert_false(config.disks[1].readonly);
    assert_int_equal(config.disks[0].limits.read_bytes, 0);
    assert_int_equal(config.disks[1].limits.read_bytes, 10 << 20);
    assert_int_equal(config.disks[1].limits.write_bytes, 0);
    assert_int_equal(config.disks[1].limits.writes, 200);
    definition_done(&def);
    assert_int_equal(
        parse_json(&def, &err, "{\"disk\": [{\"file\": \"a\", \"reads-per-second\": 7}]}"), 0);
    assert_int_equal(def.disks[0].limits.reads, 7);
    definition_done(&def);
}

/* One disk more than there is room for is refused, not written behind the array. */
static void test_many_disks(void **state)
{
    struct definition def;
    struct error err;
    char text[1024] = "{\"disk\": [\"0\"";

    (void)state;
    for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
        strncat(text, ",\"x\"", sizeof(text) - strlen(text) - 1);
    strncat(text, "]}", sizeof(text) - strlen(text) - 1);
    assert_true(parse_json(&def, &err, text) < 0);
    assert_non_null(strstr(err.text, "disk"));
    definition_done(&def);
}

/* Folders add up; what becomes of changes is one of three words. */
static void test_parents_and_undo(void **state)
{
    struct definition def;
    struct machine_config c;
    struct error err;

    (void)state;
    assert_int_equal(parse_json(&def, &err, "{\"undo\": \"commit\", \"parents\": \"/a\"}"), 0);
    definition_to_config(&def, &c);
    assert_int_equal(c.undo, UNDO_COMMIT);
    assert_string_equal(c.parents[0], "/a");
    assert_null(c.parents[1]);
    definition_done(&def);
    assert_true(parse_json(&def, &err, "{\"undo\": \"never\"}") < 0);
    assert_non_null(strstr(err.text, "discard"));
    definition_done(&def);
}

/* What is booted when nobody says so: the thing that was given. */
static void test_boot_default(void **state)
{
    struct machine_config config;
    struct definition def;
    struct error err;

    (void)state;
    assert_int_equal(parse(&def, &err, "--cdrom", "x.iso"), 0);
    definition_to_config(&def, &config);
    assert_int_equal(config.boot, MACHINE_BOOT_CDROM);
    definition_done(&def);
    assert_int_equal(parse(&def, &err, "--floppy", "x.img"), 0);
    definition_to_config(&def, &config);
    assert_int_equal(config.boot, MACHINE_BOOT_FLOPPY);
    definition_done(&def);
}

/* The JSON form knows the same names and makes the same checks. */
static void test_json(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"cpus\": 2",
        "{\"cpus\": 2.5}",
        "{\"cpus\": 0}",
        "{\"cpus\": 1, \"cpus\": 2}",
        "{\"debug-exit\": \"yes\"}",
        "{\"definition\": \"a\"}",
        "{\"color\": \"red\"}",
        "{\"disk\": 5}",
        "{\"disk\": {\"file\": \"a\", \"size\": 1}}",
        "{\"disk\": {\"bus\": \"ide\"}}",
        "{\"name\": \"a\\u0000b\"}",
    };
    struct machine_config config;
    struct definition def;
    struct error err;

    (void)state;
    assert_int_equal(parse_json(&def, &err,
                                "{\"name\": \"web\", \"cpus\": 2, \"memory\": \"1G\","
                                " \"debug-exit\": true, \"on-triple-fault\": \"stop\","
                                " \"disk\": [{\"file\": \"a\", \"bus\": \"virtio\","
                                "             \"readonly\": true}, \"b,bus=ide\"]}"),
                     0);
    definition_to_config(&def, &config);
    assert_string_equal(config.name, "web");
    assert_int_equal(config.cpus, 2);
    assert_int_equal(config.memory_bytes, GIB(1));
    assert_true(config.debug_exit);
    assert_true(config.stop_on_triple_fault);
    assert_int_equal(config.disk_count, 2);
    assert_true(config.disks[0].readonly);
    definition_done(&def);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(parse_json(&def, &err, bad[i]) < 0);
        assert_string_not_equal(err.text, "");
        definition_done(&def);
    }
}

/* Adapters add up; --net none takes them back; what is wrong is named. */
static void test_nets(void **state)
{
    static const char *const wrong[][2] = {
        {"nat,model=ne2000", "ne2000"},
        {"nat,mac=1:2:3", "1:2:3"},
        {"nat,mac=52:54:00:12:34:567", "567"},
        {"nat,mac=53:54:00:12:34:56", "first byte"},
        {"nat,mac=00:00:00:00:00:00", "zero"},
        {"nat,forward=tcp:1:2", "tcp:1:2"},
        {"nat,forward", "forward"},
        {"nat,colour=red", "colour"},
        {"tap=", "tap"},
        {"tap=an-interface-with-a-long-name", "long-name"},
        {"tap=t0,forward=tcp::1:2", "belongs to nat"},
        {"token-ring", "token-ring"},
        {"nat=1", "nat"},
        {"", "nat"},
    };
    struct definition def;
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_true(parse(&def, &err, "--net", wrong[i][0]) < 0);
        assert_non_null(strstr(err.text, wrong[i][1]));
        assert_non_null(strstr(err.text, "--net"));
        definition_done(&def);
    }
    assert_int_equal(
        parse_json(&def, &err,
                   "{\"net\": [\"nat,forward=tcp::2222:22,mac=52:54:00:AB:cd:ef\","
                   " {\"type\": \"nat\", \"forward\": [\"tcp::80:80\", \"udp::53:53\"],"
                   "  \"tftp\": \"/a,b\", \"isolated\": true},"
                   " {\"type\": \"tap\", \"name\": \"t0\"}, \"unplugged\"]}"),
        0);
    assert_int_equal(def.net_count, 4);
    assert_int_equal(def.nets[0].kind, DEFINITION_NET_NAT);
    assert_memory_equal(def.nets[0].mac, "\x52\x54\0\xab\xcd\xef", 6);
    assert_int_equal(def.nets[0].forwards[0].guest_port, 22);
    assert_int_equal(def.nets[1].forward_count, 2);
    assert_true(def.nets[1].forwards[1].udp);
    assert_string_equal(def.nets[1].tftp, "/a,b");
    assert_true(def.nets[1].isolated);
    assert_string_equal(def.nets[2].name, "t0");
    assert_int_equal(def.nets[3].kind, DEFINITION_NET_UNPLUGGED);
    assert_int_equal(definition_parse_json(&def, "{\"net\": \"none\"}", 15, &err), 0);
    assert_int_equal(def.net_count, 0);
    definition_done(&def);
    assert_true(parse_json(&def, &err, "{\"net\": {\"type\": \"nat\", \"mac\": 7}}") < 0);
    definition_done(&def);
    assert_true(parse_json(&def, &err, "{\"net\": {\"mac\": \"7\"}}") < 0);
    definition_done(&def);
    assert_true(parse_json(&def, &err,
                           "{\"net\": [\"nat\",\"nat\",\"nat\",\"nat\",\"nat\",\"nat\","
                           "\"nat\",\"nat\",\"nat\"]}") < 0);
    assert_non_null(strstr(err.text, "at most 8"));
    definition_done(&def);
    assert_int_equal(parse(&def, &err, "--net", "nat,tftp=/a,,b,bootfile=x"), 0);
    assert_string_equal(def.nets[0].tftp, "/a,b");
    definition_done(&def);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_nets),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_disks),
        cmocka_unit_test(test_many_disks),
        cmocka_unit_test(test_boot_default),
        cmocka_unit_test(test_parents_and_undo),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
