/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado server`, `yado task`, `yado event`, `yado user`: all of the server but its machines.
 */
#include <stdio.h>
#include <string.h>

#include "cli/remote.h"

/* Ask and print as JSON, or leave *ret_value to the caller for a table. */
static int ask(struct remote *r, const char *method, const char *path, json_t *body,
               json_t **ret_value)
{
    int status = remote_do(r, method, path, body, "*", ret_value);

    if (status == CLI_OK && r->json && *ret_value) {
        status = remote_print(*ret_value);
        json_decref(*ret_value);
        *ret_value = NULL;
    }
    return status;
}

static int ask_json(struct remote *r, const char *method, const char *path, json_t *body)
{
    json_t *value = NULL;
    int status;

    r->json = true;
    status = ask(r, method, path, body, &value);
    json_decref(value);
    return status;
}

/* /PREFIX/ARGUMENT */
static int ask_about(struct remote *r, const char *method, const char *prefix, const char *suffix,
                     json_t *body)
{
    AUTO_FREE char *escaped = client_escape(r->client, r->args[0]);
    AUTO_FREE char *path = NULL;

    if (!escaped || asprintf(&path, "%s/%s%s", prefix, escaped, suffix) < 0) {
        path = NULL;
        json_decref(body);
        return CLI_FAILED;
    }
    return ask_json(r, method, path, body);
}

static int server_status(struct remote *r)
{
    json_t *value = NULL, *one;
    size_t i;
    int status = ask(r, "GET", "/server", NULL, &value);

    if (!value)
        return status;
    printf("%s, version %s, up %lld seconds\n", remote_text(value, "name"),
           remote_text(value, "version"),
           (long long)json_integer_value(json_object_get(value, "uptime-seconds")));
    json_array_foreach(json_object_get(value, "health"), i, one)
        printf("%s: %s\n", remote_text(one, "severity"), remote_text(one, "message"));
    json_decref(value);
    return status;
}

static int server_settings(struct remote *r)
{
    return ask_json(r, "GET", "/server/settings", NULL);
}

static int server_set(struct remote *r)
{
    json_t *patch = json_loads(r->args[0], 0, NULL);

    if (!json_is_object(patch)) {
        json_decref(patch);
        return remote_error(r, CLI_USAGE, "'%s' is not a JSON object", r->args[0]);
    }
    return ask_json(r, "PATCH", "/server/settings", patch);
}

static int server_rescan(struct remote *r)
{
    return ask_json(r, "POST", "/server/rescan", NULL);
}

static int server_stop_machines(struct remote *r)
{
    return ask_json(r, "POST", "/server/stop-machines", NULL);
}

static int server_resources(struct remote *r)
{
    return ask_json(r, "GET", "/resources", NULL);
}

static int task_list(struct remote *r)
{
    json_t *value = NULL, *one;
    size_t i;
    int status = ask(r, "GET", "/tasks", NULL, &value);

    json_array_foreach(json_object_get(value, "tasks"), i, one)
        printf("%-16s  %-9s  %-20s  %-16s  %s\n", remote_text(one, "id"), remote_text(one, "state"),
               remote_text(one, "kind"), remote_text(json_object_get(one, "actor"), "name"),
               remote_text(json_object_get(one, "object"), "name"));
    json_decref(value);
    return status;
}

static int task_show(struct remote *r)
{
    return ask_about(r, "GET", "/tasks", "", NULL);
}

static int task_cancel(struct remote *r)
{
    json_t *value = NULL;
    char path[64];
    int status;

    snprintf(path, sizeof(path), "/tasks/%.32s/cancel", r->args[0]);
    status = ask(r, "POST", path, NULL, &value);
    json_decref(value);
    return status;
}

static int event_list(struct remote *r)
{
    AUTO_FREE char *search = r->count ? client_escape(r->client, r->args[0]) : strdup("");
    AUTO_FREE char *path = NULL;
    json_t *value = NULL, *list;
    int status;

    if (!search || asprintf(&path, "/events?limit=100&search=%s", search) < 0) {
        path = NULL;
        return CLI_FAILED;
    }
    status = ask(r, "GET", path, NULL, &value);
    list = json_object_get(value, "events");
    for (size_t i = json_array_size(list); i-- > 0;) { /* the newest last, as a log has it */
        json_t *one = json_array_get(list, i);

        printf("%.19s  %-7s  %-14s  %s\n", remote_text(one, "time"), remote_text(one, "severity"),
               remote_text(json_object_get(one, "actor"), "name"), remote_text(one, "message"));
    }
    json_decref(value);
    return status;
}

static int user_list(struct remote *r)
{
    json_t *value = NULL, *one;
    size_t i;
    int status = ask(r, "GET", "/users", NULL, &value);

    json_array_foreach(json_object_get(value, "users"), i, one)
        printf("%-24s  %s\n", remote_text(one, "name"),
               json_is_true(json_object_get(one, "administrator")) ? "administrator" : "");
    json_decref(value);
    return status;
}

static int user_quota(struct remote *r)
{
    json_t *quota = json_loads(r->args[1], 0, NULL);

    if (!json_is_object(quota)) {
        json_decref(quota);
        return remote_error(r, CLI_USAGE, "'%s' is not a JSON object", r->args[1]);
    }
    return ask_about(r, "PUT", "/users", "", json_pack("{s:o}", "quota", quota));
}

static int user_forget(struct remote *r)
{
    return ask_about(r, "DELETE", "/users", "", NULL);
}

static int user_me(struct remote *r)
{
    return ask_json(r, "GET", "/me/permissions", NULL);
}

static int user_tokens(struct remote *r)
{
    return ask_json(r, "GET", "/tokens", NULL);
}

static int user_token(struct remote *r)
{
    json_t *value = NULL;
    int status = ask(r, "POST", "/tokens", json_pack("{s:s}", "name", r->args[0]), &value);

    if (value)
        puts(remote_text(value, "secret"));
    json_decref(value);
    return status;
}

static int user_revoke(struct remote *r)
{
    return ask_about(r, "DELETE", "/tokens", "", NULL);
}

static int user_permissions(struct remote *r)
{
    return ask_json(r, "GET", "/permissions", NULL);
}

static int permit(struct remote *r, const char *effect)
{
    bool group = r->args[0][0] == '@', all = !strcmp(r->args[2], "server");
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:[s], s:s}", "subject-type", group ? "group" : "user",
                  "subject", r->args[0] + group, "object-type",
                  all                    ? "server"
                  : r->args[2][0] == '/' ? "disk"
                                         : "machine",
                  "rights", r->args[1], "effect", effect);
    char id[17];
    int status = CLI_OK;

    if (!entry)
        return remote_error(r, CLI_USAGE, "an argument is not UTF-8");
    if (r->args[2][0] == '/') {
        json_object_set_new(entry, "object", json_string(r->args[2]));
    } else if (!all) {
        status = remote_machine(r, r->args[2], id);
        if (status == CLI_OK)
            json_object_set_new(entry, "object", json_string(id));
    }
    if (status != CLI_OK) {
        json_decref(entry);
        return status;
    }
    return ask_json(r, "POST", "/permissions", entry);
}

static int user_allow(struct remote *r)
{
    return permit(r, "allow");
}

static int user_deny(struct remote *r)
{
    return permit(r, "deny");
}

static const struct remote_verb server_verbs[] = {
    {"status", "", "How the server is.", server_status, 0, 0},
    {"settings", "", "The settings.", server_settings, 0, 0},
    {"set", "JSON", "Change settings: a JSON merge patch.", server_set, 1, 1},
    {"resources", "", "What the host has, and what each machine takes.", server_resources, 0, 0},
    {"rescan", "", "Read edited definition files again.", server_rescan, 0, 0},
    {"stop-machines", "", "Save, shut down or turn off all, as their definitions say.",
     server_stop_machines, 0, 0},
    {0},
};

static const struct remote_verb task_verbs[] = {
    {"list", "", "All tasks, newest first.", task_list, 0, 0},
    {"show", "ID", "One task; waits for its end.", task_show, 1, 1},
    {"cancel", "ID", "Stop one.", task_cancel, 1, 1},
    {0},
};

static const struct remote_verb event_verbs[] = {
    {"list", "[WORDS]", "The last hundred events; with WORDS those that have all of them.",
     event_list, 0, 1},
    {0},
};

static const struct remote_verb user_verbs[] = {
    {"list", "", "Everybody that the server knows.", user_list, 0, 0},
    {"me", "", "What you may do.", user_me, 0, 0},
    {"quota", "USER JSON", "Room for own machines: {\"machines\": 2, \"cpus\": 4}.", user_quota, 2,
     2},
    {"forget", "USER", "Take away quota, permissions, tokens and sessions.", user_forget, 1, 1},
    {"tokens", "", "Tokens.", user_tokens, 0, 0},
    {"token", "NAME", "Make a token and print its secret.", user_token, 1, 1},
    {"revoke", "ID", "Revoke a token.", user_revoke, 1, 1},
    {"permissions", "", "Who may do what.", user_permissions, 0, 0},
    {"allow", "USER|@GROUP RIGHT server|MACHINE|FILE", "Allow something.", user_allow, 3, 3},
    {"deny", "USER|@GROUP RIGHT server|MACHINE|FILE", "Deny something.", user_deny, 3, 3},
    {0},
};

#define SERVER_ABOUT "Looks at the server, and changes its settings."
#define TASK_ABOUT "Long work of the server."
#define EVENT_ABOUT "What has happened, and who did it."
#define USER_ABOUT "People, what they may do, and their tokens."

void cmd_server_help(void)
{
    remote_help("yado server", SERVER_ABOUT, server_verbs);
}

int cmd_server(int argc, char **argv)
{
    return remote_main("yado server", SERVER_ABOUT, server_verbs, argc, argv);
}

void cmd_task_help(void)
{
    remote_help("yado task", TASK_ABOUT, task_verbs);
}

int cmd_task(int argc, char **argv)
{
    return remote_main("yado task", TASK_ABOUT, task_verbs, argc, argv);
}

void cmd_event_help(void)
{
    remote_help("yado event", EVENT_ABOUT, event_verbs);
}

int cmd_event(int argc, char **argv)
{
    return remote_main("yado event", EVENT_ABOUT, event_verbs, argc, argv);
}

void cmd_user_help(void)
{
    remote_help("yado user", USER_ABOUT, user_verbs);
}

int cmd_user(int argc, char **argv)
{
    return remote_main("yado user", USER_ABOUT, user_verbs, argc, argv);
}
