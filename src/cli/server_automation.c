/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and addresses that are told about events.
 */
#include "cli/server.h"

/* What: the program or the address, at args[at]; kinds behind it; then options. */
static int put(struct remote *r, const char *method, const char *path, const char *what, int at)
{
    json_t *entry =
        json_pack("{s:s, s:o}", what, r->args[at], "events", remote_words(r->args[at + 1]));
    int status = entry ? remote_options(r, at + 2, entry)
                       : remote_error(r, CLI_USAGE, "'%s' is not UTF-8", r->args[at]);

    if (status == CLI_OK)
        return remote_ask(r, method, path, entry, NULL);
    json_decref(entry);
    return status;
}

int server_scripts(struct remote *r)
{
    static const struct remote_list list = {"scripts",
                                            {{"ID", "id", 16},
                                             {"PROGRAM", "program", 20},
                                             {"MACHINE", "machine", 16},
                                             {"EVENTS", "events", 0}}};

    return remote_ask(r, "GET", "/scripts", NULL, &list);
}

int server_script_add(struct remote *r)
{
    return put(r, "POST", "/scripts", "program", 0);
}

int server_script_set(struct remote *r)
{
    return put(r, "PUT", "/scripts/{}", "program", 1);
}

int server_script_remove(struct remote *r)
{
    return remote_ask(r, "DELETE", "/scripts/{}", NULL, NULL);
}

int server_webhooks(struct remote *r)
{
    static const struct remote_list list = {"webhooks",
                                            {{"ID", "id", 16},
                                             {"LAST", "last-status", 4},
                                             {"URL", "url", 40},
                                             {"EVENTS", "events", 0}}};

    return remote_ask(r, "GET", "/webhooks", NULL, &list);
}

int server_webhook_add(struct remote *r)
{
    return put(r, "POST", "/webhooks", "url", 0);
}

int server_webhook_set(struct remote *r)
{
    return put(r, "PUT", "/webhooks/{}", "url", 1);
}

int server_webhook_remove(struct remote *r)
{
    return remote_ask(r, "DELETE", "/webhooks/{}", NULL, NULL);
}
