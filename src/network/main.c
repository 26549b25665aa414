/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yado-net: one virtual network. Exit status: 0 it was ended by a signal, 1 its way out has gone, 2
 * wrong input.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "network/network.h"
#include "network/sandbox.h"
#include "wire/control.h"

static void help(void)
{
    puts("Usage: yado-net --definition FILE --check\n"
         "       yado-net --definition FILE --listen PATH [--control unix=PATH]\n"
         "                [--leases FILE]\n"
         "\n"
         "Is one virtual network until SIGTERM. Machines plug in with --net network=PATH.\n"
         "\n"
         "  --definition FILE      the network, a JSON file\n"
         "  --check                only say whether it is one\n"
         "  --listen PATH          the socket for machines\n"
         "  --control unix=PATH    a socket that takes commands, one JSON object a line\n"
         "  --leases FILE          where addresses that were given are kept\n"
         "\n"
         "  --help                 this page; the manual is yado-net(1)");
}

struct options {
    bool check;
    const char *definition, *listen, *control, *leases;
};

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
    for (int i = 1; i < argc; i += 2) {
        if (!strcmp(argv[i], "--check")) {
            o->check = true;
            i--;
            continue;
        }
        const char *value = i + 1 < argc ? argv[i + 1] : NULL, *name = argv[i];
        const char **where = !strcmp(name, "--definition") ? &o->definition
                             : !strcmp(name, "--listen")   ? &o->listen
                             : !strcmp(name, "--control")  ? &o->control
                             : !strcmp(name, "--leases")   ? &o->leases
                                                           : NULL;

        if (!where)
            return error_set(err, -EINVAL, "'%s' is not an option; see 'yado-net --help'", name);
        if (!value || !*value)
            return error_set(err, -EINVAL, "%s: a value is missing", name);
        *where = value;
    }
    if (!o->definition || (!o->listen && !o->check))
        return error_set(err, -EINVAL, "give --definition and --listen; see 'yado-net --help'");
    if (o->control && (strncmp(o->control, "unix=", 5) || !o->control[5]))
        return error_set(err, -EINVAL, "--control: '%s' is not unix=PATH", o->control);
    return 0;
}

static void on_signal(uv_signal_t *handle, int sig)
{
    (void)sig;
    uv_stop(handle->loop);
}

static bool asks_world(const struct network_definition *def)
{
    return def->services.on && def->services.config.dns &&
           (def->services.ask_host || def->services.ask_count);
}

/* Sanitizers ask the kernel for more, at the end above all. */
static int confine(const struct sandbox_needs *needs, struct error *err)
{
#ifdef __SANITIZE_ADDRESS__
    (void)needs;
    (void)err;
    return 0;
#else
    return sandbox_enter(needs, err);
#endif
}

/* 1: the way out has gone. */
static int serve(const struct options *o, struct error *err)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct network_definition def = {0};
    struct network *network = NULL;
    struct control *control = NULL;
    struct sandbox_needs needs;
    uv_signal_t signals[ARRAY_LEN(ends)];
    uv_loop_t loop;
    bool user_nat;
    int r = network_definition_read(o->definition, &def, err);

    if (r == 0 && o->check)
        network_definition_done(&def);
    if (r < 0 || o->check)
        return r;
    r = uv_loop_init(&loop);
    if (r < 0) {
        network_definition_done(&def);
        return r;
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        uv_signal_init(&loop, &signals[i]);
        uv_signal_start(&signals[i], on_signal, ends[i]);
    }
    user_nat = def.kind == NETWORK_NAT && def.nat == NETWORK_NAT_USER;
    needs = (struct sandbox_needs){.sockets = user_nat || asks_world(&def),
                                   .keeper = def.nat == NETWORK_NAT_KERNEL ||
                                             def.kind == NETWORK_EXTERNAL,
                                   .forwarding = user_nat};
    r = network_new(&loop, &def, o->listen, o->leases, &network, err);
    if (r == 0 && o->control)
        r = control_new(&loop, o->control + 5, network_execute, network, &control, err);
    if (r == 0)
        r = confine(&needs, err);
    if (r == 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    if (r == 0 && network_problem(network))
        r = error_set(err, 1, "%s", network_problem(network));
    control_free(control);
    network_free(network);
    network_definition_done(&def);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return r;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct error err = {""};
    int r;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            help();
            return 0;
        }
    }
    r = parse(&options, argc, argv, &err);
    if (r == 0)
        r = serve(&options, &err);
    if (r)
        fprintf(stderr, "yado-net: %s\n", *err.text ? err.text : strerror(-r));
    return r < 0 ? 2 : r;
}
