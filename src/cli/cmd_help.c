/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado help [VERB]` and `yado --help`.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

void cmd_help_help(void)
{
    puts("Usage: yado help [COMMAND]\n"
         "\n"
         "Lists the commands, or explains one of them.");
}

static void list_verbs(void)
{
    puts("Usage: yado COMMAND [ARGUMENTS]\n"
         "\n"
         "Yado runs unmodified operating systems in virtual machines.\n"
         "\n"
         "Commands:");
    for (const struct verb *verb = cli_verbs; verb->name; verb++)
        printf("  %-8s %s\n", verb->name, verb->summary);
    puts("\n"
         "Options:\n"
         "  -h, --help     this page\n"
         "  -V, --version  the version\n"
         "\n"
         "'yado help COMMAND' says more; the manual is yado(1).");
}

int cmd_help(int argc, char **argv)
{
    if (argc < 2) {
        list_verbs();
        return CLI_OK;
    }
    for (const struct verb *verb = cli_verbs; verb->name; verb++) {
        if (!strcmp(argv[1], verb->name)) {
            verb->help();
            return CLI_OK;
        }
    }
    fprintf(stderr, "yado help: '%s' is not a command; see 'yado --help'\n", argv[1]);
    return CLI_USAGE;
}
