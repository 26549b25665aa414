/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/remote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"

int remote_error(struct remote *r, int status, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", r->verb);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

int remote_print(json_t *value)
{
    return json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0 && puts("") >= 0
               ? CLI_OK
               : CLI_FAILED;
}

const char *remote_text(json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? text : "";
}

static void show_percent(void *ctx, int percent)
{
    (void)ctx;
    fprintf(stderr, "\r%3d%%", percent);
}

int remote_do(struct remote *r, const char *method, const char *path, json_t *body,
              const char *if_match, json_t **ret_value)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    struct error err = {""};
    int result = client_do(r->client, method, path, body, if_match, terminal ? show_percent : NULL,
                           NULL, ret_value, &err);

    if (terminal)
        fputs("\r    \r", stderr);
    return result < 0 ? remote_error(r, CLI_FAILED, "%s", err.text) : CLI_OK;
}

int remote_machine(struct remote *r, const char *name, char id[17])
{
    AUTO_FREE char *escaped = client_escape(r->client, name);
    AUTO_FREE char *path = NULL;
    json_t *value = NULL, *list;
    int status;

    if (strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16) {
        memcpy(id, name, 17);
        return CLI_OK;
    }
    if (!escaped || asprintf(&path, "/machines?name=%s", escaped) < 0) {
        path = NULL;
        return CLI_FAILED;
    }
    status = remote_do(r, "GET", path, NULL, NULL, &value);
    if (status != CLI_OK)
        return status;
    list = json_object_get(value, "machines");
    if (json_array_size(list) == 1)
        snprintf(id, 17, "%s", remote_text(json_array_get(list, 0), "id"));
    else
        status = remote_error(r, CLI_FAILED, "there is no machine '%s' that you may see", name);
    json_decref(value);
    return status;
}

void remote_help(const char *verb, const char *about, const struct remote_verb *verbs)
{
    printf("Usage: %s COMMAND [--json] [ARGUMENTS]\n\n%s\n\nCommands:\n", verb, about);
    for (; verbs->name; verbs++)
        printf("  %s %s\n        %s\n", verbs->name, verbs->usage, verbs->help);
    puts(
        "\n--json prints what the server answers. YADO_SERVER names its socket (/run/yado/api) or\n"
        "https://HOST:PORT; then YADO_TOKEN has a token.");
}

static const struct remote_verb *find(const struct remote_verb *verbs, const char *name)
{
    for (; verbs->name; verbs++)
        if (!strcmp(verbs->name, name))
            return verbs;
    return NULL;
}

/* --json may stand anywhere; it is taken out. */
static int take_options(struct remote *r, int argc, char **argv)
{
    int count = 0;

    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            r->json = true;
        else
            argv[count++] = argv[i];
    }
    return count;
}

int remote_main(const char *verb, const char *about, const struct remote_verb *verbs, int argc,
                char **argv)
{
    const struct remote_verb *found;
    struct remote r = {.verb = verb};
    struct error err = {""};
    int status;

    argc = 1 + take_options(&r, argc - 1, argv + 1);
    if (argc < 2)
        return remote_error(&r, CLI_USAGE, "no command given; see '%s --help'", verb);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        remote_help(verb, about, verbs);
        return CLI_OK;
    }
    found = find(verbs, argv[1]);
    if (!found)
        return remote_error(&r, CLI_USAGE, "'%s' is not a command; see '%s --help'", argv[1], verb);
    r.args = argv + 2;
    r.count = argc - 2;
    if (r.count && (!strcmp(r.args[0], "--help") || !strcmp(r.args[0], "-h"))) {
        printf("Usage: %s %s %s\n\n%s\n", verb, found->name, found->usage, found->help);
        return CLI_OK;
    }
    if (r.count < found->least || (found->most >= 0 && r.count > found->most))
        return remote_error(&r, CLI_USAGE, "usage: %s %s %s", verb, found->name, found->usage);
    if (client_new(&r.client, &err) < 0)
        return remote_error(&r, CLI_USAGE, "%s", err.text);
    status = found->run(&r);
    client_free(r.client);
    return status;
}

/* JSON is such, 20G is a number where bytes are wanted, the rest is text. */
static json_t *option_value(const char *name, const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    uint64_t bytes;

    if (!value && strstr(name, "-bytes") && size_parse(text, &bytes) == 0)
        value = json_integer((json_int_t)bytes);
    return value ? value : json_string(text);
}

int remote_option(struct remote *r, json_t *object, const char *option)
{
    const char *equals = strchr(option, '=');
    AUTO_FREE char *name = equals ? strndup(option, (size_t)(equals - option)) : NULL;

    if (!name || !*name)
        return remote_error(r, CLI_USAGE, "'%s' is not NAME=VALUE", option);
    return json_object_set_new(object, name, option_value(name, equals + 1)) < 0
               ? remote_error(r, CLI_USAGE, "'%s' is not UTF-8", option)
               : CLI_OK;
}
