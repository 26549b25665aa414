/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reserves are kept when all want everything, and what is written to a machine's cgroup: into a tree
 * of plain files, for few hosts of tests have a cgroup v2 to divide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "server/shares.h"

/* ---- weights ---- */

/* What each gets of capacity when all want everything. */
static double share_of(const unsigned *weights, unsigned count, unsigned i, unsigned capacity)
{
    double sum = 0;

    for (unsigned n = 0; n < count; n++)
        sum += weights[n];
    return capacity * weights[i] / sum;
}

static void test_without_reserves_weights_are_as_they_were_given(void **state)
{
    const struct share_want wants[] = {{500, 0}, {100, 0}, {300, 0}, {1, 0}};
    unsigned weights[4];

    (void)state;
    share_weights(wants, 4, 400, weights);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(weights[i], wants[i].weight);
    /* A reserve below what falls to the machine anyway changes nothing either. */
    const struct share_want little[] = {{100, 0}, {100, 90}};
    share_weights(little, 2, 200, weights);
    assert_int_equal(weights[0], 100);
    assert_int_equal(weights[1], 100);
}

static void test_a_reserve_is_kept_whatever_the_others_weigh(void **state)
{
    const struct share_want wants[] = {{500, 0}, {100, 150}, {100, 0}, {10000, 0}};
    unsigned weights[4];

    (void)state;
    share_weights(wants, 4, 200, weights);
    assert_true(share_of(weights, 4, 1, 200) >= 149.5);
    /* The rest is shared as before. */
    assert_true(weights[3] > 15 * weights[0] && weights[3] < 25 * weights[0]);
}

static void test_all_that_can_be_reserved_is_kept(void **state)
{
    struct share_want wants[21] = {{500, 0}};
    unsigned weights[21];

    (void)state;
    for (unsigned i = 1; i < 21; i++)
        wants[i] = (struct share_want){1 + i * 20, 9}; /* 180 of 200 percent */
    share_weights(wants, 21, 200, weights);
    for (unsigned i = 0; i < 21; i++) {
        assert_in_range(weights[i], 1, 10000);
        assert_true(share_of(weights, 21, i, 200) >= wants[i].reserve_percent * 0.99);
    }
    /* More than there is, after processors were taken out of the host: no weight is out of range. */
    share_weights(wants, 21, 100, weights);
    for (unsigned i = 0; i < 21; i++)
        assert_in_range(weights[i], 1, 10000);
}

/* ---- a tree of files ---- */

struct tree {
    char root[64], cgroups[96], self[96];
    struct shares_world world;
    struct server server;
    struct machine machines[2];
};

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *get(const char *folder, const char *name)
{
    static char text[256];
    char path[256];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    assert_non_null(file);
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static unsigned number(const char *folder, const char *name)
{
    return (unsigned)strtoul(get(folder, name), NULL, 10);
}

static void make_group(const char *folder)
{
    static const char *const names[] = {"cgroup.procs", "cpu.weight", "cpu.max",
                                        "memory.max",   "io.weight",  "io.max"};

    mkdir(folder, 0755);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        put(folder, names[i], "");
}

static void machine_folder(const struct tree *t, unsigned i, char folder[192])
{
    snprintf(folder, 192, "%s/yado/machine-%s", t->cgroups, t->machines[i].id);
}

static int setup(void **state)
{
    struct tree *t = calloc(1, sizeof(*t));
    char path[192];

    snprintf(t->root, sizeof(t->root), "/tmp/yado-shares-XXXXXX");
    assert_non_null(mkdtemp(t->root));
    snprintf(t->cgroups, sizeof(t->cgroups), "%s/cgroups", t->root);
    snprintf(t->self, sizeof(t->self), "%s/self", t->root);
    mkdir(t->cgroups, 0755);
    put(t->cgroups, "cgroup.controllers", "cpu io memory pids\n");
    put(t->root, "self", "1:name=systemd:/elsewhere\n0::/yado\n");
    snprintf(path, sizeof(path), "%s/yado", t->cgroups);
    mkdir(path, 0755);
    put(path, "cgroup.subtree_control", "");
    snprintf(path, sizeof(path), "%s/yado/server", t->cgroups);
    make_group(path);
    t->world = (struct shares_world){t->cgroups, t->self};
    for (unsigned i = 0; i < 2; i++) {
        struct machine *m = &t->machines[i];

        m->server = &t->server;
        snprintf(m->id, sizeof(m->id), "000000000000000%u", i);
        m->name = m->id;
        m->folder = t->root;
        m->definition = json_pack("{s:s}", "name", m->id);
        m->next = i ? NULL : &t->machines[1];
        machine_folder(t, i, path);
        make_group(path);
    }
    t->server.machines = t->machines;
    t->server.machine_count = 2;
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tree *t = *state;
    char command[96];

    snprintf(command, sizeof(command), "rm -rf '%s'", t->root);
    assert_int_equal(system(command), 0);
    for (unsigned i = 0; i < 2; i++)
        json_decref(t->machines[i].definition);
    free(t->server.cgroup);
    free(t);
    return 0;
}

static void define(struct machine *m, const char *resources)
{
    json_t *part = json_loads(resources, 0, NULL);

    assert_non_null(part);
    json_object_set_new(m->definition, "server", json_pack("{s:o}", "resources", part));
}

static void test_the_server_goes_into_a_leaf_and_divides_its_group(void **state)
{
    struct tree *t = *state;
    char leaf[192], pid[16];

    shares_init(&t->server, &t->world);
    assert_null(t->server.cgroup_missing);
    snprintf(leaf, sizeof(leaf), "%s/server", t->server.cgroup);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_string_equal(get(leaf, "cgroup.procs"), pid);
    assert_string_equal(get(t->server.cgroup, "cgroup.subtree_control"), "+cpu +memory +io");
}

static void test_a_host_without_groups_is_said_to_be_one(void **state)
{
    struct tree *t = *state;

    put(t->root, "self", "0::/\n"); /* as in a container: the group of all */
    shares_init(&t->server, &t->world);
    assert_null(t->server.cgroup);
    assert_non_null(t->server.cgroup_missing);
    share_make(&t->machines[0]);
    assert_false(t->machines[0].shared);
    assert_int_equal(share_change(&t->machines[0], NULL), 0);
}

static void test_a_share_counts_at_once_and_goes_with_the_machine(void **state)
{
    struct tree *t = *state;
    struct machine *m = t->machines;
    char folder[2][192];
    unsigned reserved;

    machine_folder(t, 0, folder[0]);
    machine_folder(t, 1, folder[1]);
    shares_init(&t->server, &t->world);
    share_make(&m[0]);
    share_make(&m[1]);
    assert_string_equal(get(folder[0], "cpu.weight"), "100");
    assert_string_equal(get(folder[0], "cpu.max"), "max");
    define(&m[0], "{\"cpu-reserve-percent\": 90, \"cpu-max-percent\": 150,"
                  " \"memory-max-bytes\": 268435456, \"io-weight\": 50}");
    assert_int_equal(share_change(&m[0], NULL), 0);
    assert_string_equal(get(folder[0], "cpu.max"), "150000 100000");
    assert_string_equal(get(folder[0], "memory.max"), "268435456");
    assert_int_equal(number(folder[0], "io.weight"), 50);
    reserved = number(folder[0], "cpu.weight");
    assert_true(reserved >= 100);
    define(&m[1], "{\"cpu-weight\": 10000}");
    assert_int_equal(share_change(&m[1], NULL), 0);
    /* The other's weight makes more of the reserve necessary. */
    assert_true(number(folder[0], "cpu.weight") > reserved);
    share_remove(&m[1]);
    assert_false(m[1].shared);
    assert_true(number(folder[0], "cpu.weight") <= reserved);
}

static void test_what_the_host_refuses_is_said(void **state)
{
    struct tree *t = *state;
    struct machine *m = t->machines;
    struct error err = {""};
    char command[256];

    shares_init(&t->server, &t->world);
    share_make(m);
    snprintf(command, sizeof(command), "rm '%s/cgroups/yado/machine-%s/cpu.max'", t->root, m->id);
    assert_int_equal(system(command), 0);
    define(m, "{}");
    assert_true(share_change(m, &err) < 0);
    assert_non_null(strstr(err.text, "cpu.max"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_reserves_weights_are_as_they_were_given),
        cmocka_unit_test(test_a_reserve_is_kept_whatever_the_others_weigh),
        cmocka_unit_test(test_all_that_can_be_reserved_is_kept),
        cmocka_unit_test_setup_teardown(test_the_server_goes_into_a_leaf_and_divides_its_group,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_host_without_groups_is_said_to_be_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_share_counts_at_once_and_goes_with_the_machine,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_host_refuses_is_said, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
