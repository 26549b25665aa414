/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs of the command `yado`: one file each, one row of the table in main.c each.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* Exit statuses of every verb. */
enum {
    CLI_OK = 0,
    CLI_FAILED = 1, /* the thing was tried and did not work */
    CLI_USAGE = 2,  /* wrong input; nothing was done */
};

struct verb {
    const char *name;
    const char *summary;               /* one line for `yado --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit status */
    void (*help)(void);                /* `yado help VERB` and `yado VERB --help` */
};

/* All verbs; the last has no name. */
extern const struct verb cli_verbs[];

int cmd_run(int argc, char **argv);
void cmd_run_help(void);
int cmd_disk(int argc, char **argv);
void cmd_disk_help(void);
int cmd_vm(int argc, char **argv);
void cmd_vm_help(void);
int cmd_net(int argc, char **argv);
void cmd_net_help(void);
int cmd_server(int argc, char **argv);
void cmd_server_help(void);
int cmd_task(int argc, char **argv);
void cmd_task_help(void);
int cmd_event(int argc, char **argv);
void cmd_event_help(void);
int cmd_user(int argc, char **argv);
void cmd_user_help(void);
int cmd_help(int argc, char **argv);
void cmd_help_help(void);

#endif
