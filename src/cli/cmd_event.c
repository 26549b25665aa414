/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado event` and `yado task`: what has happened, and what is under way.
 */
#include <stdio.h>
#include <string.h>

#include "cli/remote.h"

static void print_event(json_t *event)
{
    printf("%.19s  %-7s  %-14s  %s\n", remote_text(event, "time"), remote_text(event, "severity"),
           remote_text(json_object_get(event, "actor"), "name"), remote_text(event, "message"));
}

/* The parameter of the API that an option is; NULL: it is a word to look for. */
static const char *parameter_of(const char *option)
{
    static const char *const names[] = {"kind",  "severity", "object", "actor",
                                        "since", "until",    "before", "limit"};
    size_t length = strcspn(option, "=");

    for (size_t i = 0; option[length] && i < ARRAY_LEN(names); i++)
        if (strlen(names[i]) == length && !strncmp(names[i], option, length))
            return names[i];
    return NULL;
}

/* Options, and then the words, which are one parameter together. */
static int add_query(struct remote *r, FILE *path)
{
    const char *before = "&search=";

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < r->count; i++) {
            const char *name = parameter_of(r->args[i]);
            const char *value = name ? r->args[i] + strlen(name) + 1 : r->args[i];
            AUTO_FREE char *escaped = NULL;

            if ((pass == 0) != (name != NULL))
                continue;
            escaped = client_escape(r->client, value);
            if (!escaped)
                return CLI_FAILED;
            if (name)
                fprintf(path, "&%s=%s", name, escaped);
            else
                fprintf(path, "%s%s", before, escaped);
            if (!name)
                before = "%20";
        }
    }
    return CLI_OK;
}

static int event_list(struct remote *r)
{
    AUTO_FREE char *path = NULL;
    json_t *value = NULL, *list;
    size_t len;
    FILE *out = open_memstream(&path, &len);
    int status = CLI_FAILED;

    if (out) {
        fputs("/events?limit=100", out);
        status = add_query(r, out);
        if (fclose(out) != 0)
            status = CLI_FAILED;
    }
    if (status == CLI_OK)
        status = remote_do(r, "GET", path, NULL, NULL, &value);
    list = json_object_get(value, "events");
    if (status == CLI_OK && r->json)
        status = remote_print(value);
    for (size_t i = r->json ? 0 : json_array_size(list); i-- > 0;) /* the newest last */
        print_event(json_array_get(list, i));
    json_decref(value);
    return status;
}

static int event_show(struct remote *r)
{
    return remote_ask(r, "GET", "/events/{}", NULL, NULL);
}

/* A message of the stream. */
static void hear(void *ctx, const char *data)
{
    struct remote *r = ctx;
    json_t *message = json_loads(data, 0, NULL), *event = json_object_get(message, "event");

    if (r->json && message)
        puts(data);
    else if (event)
        print_event(event);
    fflush(stdout);
    json_decref(message);
}

static int event_follow(struct remote *r)
{
    struct error err = {""};

    return client_follow(r->client, "/events/stream", hear, r, &err) < 0
               ? remote_error(r, CLI_FAILED, "%s", err.text)
               : CLI_OK;
}

static int task_list(struct remote *r)
{
    static const struct remote_list list = {"tasks",
                                            {{"ID", "id", 16},
                                             {"STATE", "state", 9},
                                             {"%", "percent", 3},
                                             {"KIND", "kind", 20},
                                             {"WHO", "actor/name", 16},
                                             {"WHAT", "object/name", 0}}};

    return remote_ask(r, "GET", r->count ? "/tasks?state={}" : "/tasks", NULL, &list);
}

static int task_show(struct remote *r)
{
    return remote_ask(r, "GET", "/tasks/{}", NULL, NULL);
}

static int task_cancel(struct remote *r)
{
    AUTO_FREE char *escaped = client_escape(r->client, r->args[0]);
    AUTO_FREE char *path = NULL;
    struct error err = {""};
    json_t *value = NULL;
    long status = 0;

    if (!escaped || asprintf(&path, "/tasks/%s/cancel", escaped) < 0) {
        path = NULL;
        return CLI_FAILED;
    }
    /* Not waited for: its end is what was asked for, and would be a failure. */
    if (client_call(r->client, "POST", path, NULL, NULL, &status, &value, &err) < 0)
        return remote_error(r, CLI_FAILED, "%s", err.text);
    if (status != 202)
        remote_error(r, CLI_FAILED, "%s", remote_text(value, "detail"));
    else if (r->json)
        remote_print(value);
    json_decref(value);
    return status == 202 ? CLI_OK : CLI_FAILED;
}

static const struct remote_verb event_verbs[] = {
    {"list", "[WORD ...] [OPTION=VALUE ...]",
     "The last hundred events that have all of the words. Options: kind (\"machine.\" for all of\n"
     "        machines), severity, object, actor, since, until, before, limit.",
     event_list, 0, -1},
    {"show", "ID", "One event, with all that is known of it.", event_show, 1, 1},
    {"follow", "", "Events as they happen, until it is interrupted.", event_follow, 0, 0},
    {0},
};

static const struct remote_verb task_verbs[] = {
    {"list", "[running|done|failed|cancelled]", "All tasks, newest first.", task_list, 0, 1},
    {"show", "ID", "One task; waits for its end.", task_show, 1, 1},
    {"cancel", "ID", "Stop one.", task_cancel, 1, 1},
    {0},
};

#define EVENT_ABOUT "What has happened, and who did it."
#define TASK_ABOUT "Long work of the server."

void cmd_event_help(void)
{
    remote_help("yado event", EVENT_ABOUT, event_verbs);
}

int cmd_event(int argc, char **argv)
{
    return remote_main("yado event", EVENT_ABOUT, event_verbs, argc, argv);
}

void cmd_task_help(void)
{
    remote_help("yado task", TASK_ABOUT, task_verbs);
}

int cmd_task(int argc, char **argv)
{
    return remote_main("yado task", TASK_ABOUT, task_verbs, argc, argv);
}
