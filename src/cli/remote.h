/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the verbs that talk to the server share.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "cli/cli.h"
#include "client/client.h"

struct remote {
    const char *verb; /* "yado vm" */
    struct client *client;
    bool json; /* print what came as it came */
    char **args;
    int count; /* of args, behind the sub-verb */
};

struct remote_verb {
    const char *name, *usage, *help;
    int (*run)(struct remote *r);
    int least, most; /* arguments; most -1: any number */
};

/* Find the sub-verb, its options and the server, and run it. The exit status. */
int remote_main(const char *verb, const char *about, const struct remote_verb *verbs, int argc,
                char **argv);
void remote_help(const char *verb, const char *about, const struct remote_verb *verbs);
/* Ask; prints what went wrong. *ret_value may be NULL. The exit status. */
int remote_do(struct remote *r, const char *method, const char *path, json_t *body,
              const char *if_match, json_t **ret_value);
/* A table for people: path of a member in each row ("object/name"), how wide the column is. */
struct remote_column {
    const char *title, *path;
    int width; /* of no meaning in the last one */
};
struct remote_list {
    const char *member;              /* of the answer: an array of objects */
    struct remote_column columns[9]; /* the last has no title */
};
void remote_table(json_t *list, const struct remote_column *columns);
/* No table, and no word without --json. */
extern const struct remote_list remote_quiet;
/*
 * Ask and print the answer: as a table where list is not NULL and no JSON is wanted, else as JSON. In
 * path {} stands for the next argument, {machine} for the id of the machine that it names. body is
 * taken over.
 */
int remote_ask(struct remote *r, const char *method, const char *path, json_t *body,
               const struct remote_list *list);
/* Put the arguments from first on, NAME=VALUE each, into an object. CLI_USAGE after saying why. */
int remote_options(struct remote *r, int first, json_t *object);
/* "a,b" as an array of texts. */
json_t *remote_words(const char *text);
/* The id of the machine with a name (or that id). CLI_OK, or an exit status after saying so. */
int remote_machine(struct remote *r, const char *name, char id[17]);
/* Put NAME=VALUE into an object: JSON is such, the rest is text. CLI_USAGE after saying why. */
int remote_option(struct remote *r, json_t *object, const char *option);
/* One line to standard error; CLI_USAGE or CLI_FAILED. */
int remote_error(struct remote *r, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Print a value as JSON, with a newline. */
int remote_print(json_t *value);
/* A member that is a string, or "". */
const char *remote_text(json_t *o, const char *name);

#endif
