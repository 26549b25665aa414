/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs of `yado disk`, and what they share.
 */
#ifndef CLI_DISK_H
#define CLI_DISK_H

#include <getopt.h>

#include "block/copy.h"
#include "block/undo.h"
#include "cli/cli.h"

#define DISK_PARENTS_MAX 8

struct disk_verb {
    const char *name;
    const char *usage;                 /* what follows the name */
    const char *help;                  /* the rest of its page */
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

/* All verbs; the last has no name. */
extern const struct disk_verb disk_verbs[];

int disk_create(int argc, char **argv);
int disk_info(int argc, char **argv);
int disk_map(int argc, char **argv);
int disk_check(int argc, char **argv);
int disk_compare(int argc, char **argv);
int disk_convert(int argc, char **argv);
int disk_resize(int argc, char **argv);
int disk_compact(int argc, char **argv);
int disk_merge(int argc, char **argv);
int disk_reparent(int argc, char **argv);
int disk_mount(int argc, char **argv);
int disk_unmount(int argc, char **argv);
int disk_serve(int argc, char **argv);
int disk_bench(int argc, char **argv);

/* Folders given with --parents, ended by NULL. */
struct parent_folders {
    const char *folder[DISK_PARENTS_MAX + 1];
    unsigned count;
};

/* A disk that is open for others. */
struct session {
    const char *path;
    bool readonly;
    enum undo undo; /* whether its changes are kept apart, and what becomes of them */
    struct parent_folders folders;
    struct blk *blk;
};
/* --undo's value; CLI_OK or CLI_USAGE. */
int session_undo(const char *verb, struct session *s, const char *text);
int session_open(struct session *s, struct error *err);
/* Flush, close, and do what was wished with the changes. */
int session_close(struct session *s, struct error *err);

/* One line to standard error; the exit status: CLI_FAILED for what went wrong underway. */
int disk_error(const char *verb, int r, const struct error *err);
/* Wrong arguments: one line that says which, and where to read on. CLI_USAGE. */
int disk_usage(const char *verb, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* getopt_long() met something it does not know. CLI_USAGE. */
int disk_bad_option(const char *verb, char **argv);
/* Remember a folder; CLI_OK or CLI_USAGE. */
int disk_add_parents(const char *verb, struct parent_folders *folders, const char *folder);

/*
 * A bar on a terminal while long work runs, and Ctrl-C as a wish to stop it. Begin and end go
 * together; both are fine without a terminal.
 */
struct bar {
    struct progress progress;
    const char *what;
    bool shown;
    int progress_fd; /* -1: nobody else wants to know */
    int percent;
};
void bar_begin(struct bar *bar, const char *what);
void bar_end(struct bar *bar);

#endif
