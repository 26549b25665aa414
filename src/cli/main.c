/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado`: finds the verb and runs it.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

const struct verb cli_verbs[] = {
    {"run", "start a virtual machine and stay with it until it ends", cmd_run, cmd_run_help},
    {"disk", "make, examine and change disk images", cmd_disk, cmd_disk_help},
    {"vm", "make, change and run the machines of the server", cmd_vm, cmd_vm_help},
    {"net", "virtual networks of the server, and who is on them", cmd_net, cmd_net_help},
    {"server", "look at the server, and change its settings", cmd_server, cmd_server_help},
    {"task", "long work of the server", cmd_task, cmd_task_help},
    {"event", "what has happened, and who did it", cmd_event, cmd_event_help},
    {"user", "people, what they may do, and their tokens", cmd_user, cmd_user_help},
    {"help", "say more about a command", cmd_help, cmd_help_help},
    {0},
};

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("yado: no command given; see 'yado --help'\n", stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        puts("yado " YADO_VERSION);
        return CLI_OK;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return cmd_help(1, argv);
    for (const struct verb *verb = cli_verbs; verb->name; verb++)
        if (!strcmp(argv[1], verb->name))
            return verb->run(argc - 1, argv + 1);
    fprintf(stderr, "yado: '%s' is not a command; see 'yado --help'\n", argv[1]);
    return CLI_USAGE;
}
