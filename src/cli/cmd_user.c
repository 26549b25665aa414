/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado user`: people, what they may do, and their tokens.
 */
#include <stdio.h>
#include <string.h>

#include "cli/remote.h"

static int user_list(struct remote *r)
{
    static const struct remote_list list = {"users",
                                            {{"NAME", "name", 24},
                                             {"ADMINISTRATOR", "administrator", 13},
                                             {"ACCOUNT", "account", 7},
                                             {"TOKENS", "tokens", 6},
                                             {"MACHINES", "used/machines", 8},
                                             {"GROUPS", "groups", 0}}};

    return remote_ask(r, "GET", "/users", NULL, &list);
}

static int user_show(struct remote *r)
{
    return remote_ask(r, "GET", "/users/{}", NULL, NULL);
}

static int user_me(struct remote *r)
{
    return remote_ask(r, "GET", "/me/permissions", NULL, NULL);
}

/* OPTION=VALUE …, or one JSON object. */
static int user_quota(struct remote *r)
{
    json_t *quota = r->args[1][0] == '{' ? json_loads(r->args[1], 0, NULL) : json_object();
    int status = CLI_OK;

    if (!json_is_object(quota))
        status = remote_error(r, CLI_USAGE, "'%s' is not a JSON object", r->args[1]);
    else if (r->args[1][0] != '{')
        status = remote_options(r, 1, quota);
    if (status == CLI_OK)
        return remote_ask(r, "PUT", "/users/{}", json_pack("{s:o}", "quota", quota), NULL);
    json_decref(quota);
    return status;
}

static int user_forget(struct remote *r)
{
    return remote_ask(r, "DELETE", "/users/{}", NULL, NULL);
}

/* ---- tokens ---- */

static int user_tokens(struct remote *r)
{
    static const struct remote_list list = {"tokens",
                                            {{"ID", "id", 16},
                                             {"USER", "user", 16},
                                             {"NAME", "name", 20},
                                             {"EXPIRES", "expires", 24},
                                             {"LAST USED", "last-used", 24},
                                             {"RIGHTS", "rights", 0}}};

    return remote_ask(r, "GET", "/tokens", NULL, &list);
}

static int user_token(struct remote *r)
{
    json_t *body = json_pack("{s:s}", "name", r->args[0]), *value = NULL, *rights;
    int status = body ? remote_options(r, 1, body) : CLI_USAGE;

    rights = json_object_get(body, "rights");
    if (json_is_string(rights))
        json_object_set_new(body, "rights", remote_words(json_string_value(rights)));
    if (status == CLI_OK)
        status = remote_do(r, "POST", "/tokens", body, NULL, &value);
    else
        json_decref(body);
    if (value && r->json)
        remote_print(value);
    else if (value)
        puts(remote_text(value, "secret"));
    json_decref(value);
    return status;
}

static int user_revoke(struct remote *r)
{
    return remote_ask(r, "DELETE", "/tokens/{}", NULL, NULL);
}

/* ---- permissions ---- */

static int user_permissions(struct remote *r)
{
    static const struct remote_list list = {"permissions",
                                            {{"ID", "id", 16},
                                             {"EFFECT", "effect", 6},
                                             {"", "subject-type", 5},
                                             {"WHO", "subject", 16},
                                             {"RIGHTS", "rights", 24},
                                             {"", "object-type", 7},
                                             {"WHAT", "object", 0}}};

    return remote_ask(r, "GET", "/permissions", NULL, &list);
}

/* USER|@GROUP RIGHT[,RIGHT] server|network:NAME|/FILE|MACHINE, from args[at] on. */
static int entry_of(struct remote *r, int at, const char *effect, json_t **ret_entry)
{
    const char *who = r->args[at], *what = r->args[at + 2], *type = "machine", *object = what;
    bool group = *who == '@';
    int status = CLI_OK;
    char id[17];

    if (!strcmp(what, "server")) {
        type = "server";
        object = NULL;
    } else if (!strncmp(what, "network:", 8)) {
        type = "network";
        object = what + 8;
    } else if (*what == '/') {
        type = "disk";
    } else {
        status = remote_machine(r, what, id);
        object = id;
    }
    if (status != CLI_OK)
        return status;
    *ret_entry = json_pack("{s:s, s:s, s:s, s:o, s:s}", "subject-type", group ? "group" : "user",
                           "subject", who + group, "object-type", type, "rights",
                           remote_words(r->args[at + 1]), "effect", effect);
    if (!*ret_entry || (object && json_object_set_new(*ret_entry, "object", json_string(object)))) {
        json_decref(*ret_entry);
        return remote_error(r, CLI_USAGE, "an argument is not UTF-8");
    }
    return CLI_OK;
}

static int permit(struct remote *r, const char *effect)
{
    json_t *entry = NULL;
    int status = entry_of(r, 0, effect, &entry);

    return status == CLI_OK ? remote_ask(r, "POST", "/permissions", entry, NULL) : status;
}

static int user_allow(struct remote *r)
{
    return permit(r, "allow");
}

static int user_deny(struct remote *r)
{
    return permit(r, "deny");
}

static int user_change(struct remote *r)
{
    const char *effect = r->args[1];
    json_t *entry = NULL;
    int status;

    if (strcmp(effect, "allow") != 0 && strcmp(effect, "deny") != 0)
        return remote_error(r, CLI_USAGE, "'%s' is neither allow nor deny", effect);
    status = entry_of(r, 2, effect, &entry);
    return status == CLI_OK ? remote_ask(r, "PUT", "/permissions/{}", entry, NULL) : status;
}

static int user_remove(struct remote *r)
{
    return remote_ask(r, "DELETE", "/permissions/{}", NULL, NULL);
}

#define WHAT "USER|@GROUP RIGHT[,RIGHT] server|MACHINE|/FILE|network:NAME"

static const struct remote_verb verbs[] = {
    {"list", "", "Everybody that the server knows.", user_list, 0, 0},
    {"show", "USER", "One of them.", user_show, 1, 1},
    {"me", "", "What you may do.", user_me, 0, 0},
    {"quota", "USER OPTION=VALUE ...", "Room for own machines: machines=2 cpus=4 memory-bytes=8G.",
     user_quota, 2, -1},
    {"forget", "USER", "Take away quota, permissions, tokens and sessions.", user_forget, 1, 1},
    {"tokens", "", "Tokens.", user_tokens, 0, 0},
    {"token", "NAME [rights=RIGHT,RIGHT] [expires=TIME] [user=USER]",
     "Make a token and print its secret.", user_token, 1, 4},
    {"revoke", "ID", "Revoke a token.", user_revoke, 1, 1},
    {"permissions", "", "Who may do what.", user_permissions, 0, 0},
    {"allow", WHAT, "Allow something.", user_allow, 3, 3},
    {"deny", WHAT, "Deny something.", user_deny, 3, 3},
    {"change", "ID allow|deny " WHAT, "Change an entry of the permissions.", user_change, 5, 5},
    {"remove", "ID", "Remove an entry of the permissions.", user_remove, 1, 1},
    {0},
};

#define ABOUT "People, what they may do, and their tokens."

void cmd_user_help(void)
{
    remote_help("yado user", ABOUT, verbs);
}

int cmd_user(int argc, char **argv)
{
    return remote_main("yado user", ABOUT, verbs, argc, argv);
}
