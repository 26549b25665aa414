/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cli/remote.h"

/* ---- paths ---- */

/* The next argument in the place of "{}"; the id of the machine that it names for "{machine}". */
static int put_argument(struct remote *r, int *at, bool machine, FILE *path)
{
    char id[17];
    int status;

    if (machine) {
        status = remote_machine(r, r->args[(*at)++], id);
        if (status == CLI_OK)
            fputs(id, path);
        return status;
    }
    AUTO_FREE char *escaped = client_escape(r->client, r->args[(*at)++]);
    if (!escaped)
        return CLI_FAILED;
    fputs(escaped, path);
    return CLI_OK;
}

static int make_path(struct remote *r, const char *template, char **ret_path)
{
    size_t len;
    FILE *path = open_memstream(ret_path, &len);
    int status = path ? CLI_OK : CLI_FAILED, at = 0;

    while (path && *template && status == CLI_OK) {
        if (*template == '{') {
            status = put_argument(r, &at, template[1] == 'm', path);
            template = strchr(template, '}') + 1;
        } else {
            fputc(*template ++, path);
        }
    }
    if (path && fclose(path) != 0)
        status = CLI_FAILED;
    return status;
}

/* ---- tables ---- */

static json_t *member_at(json_t *o, const char *path)
{
    char name[64];
    size_t len;

    while (o && *path) {
        len = strcspn(path, "/");
        snprintf(name, sizeof(name), "%.*s", (int)len, path);
        o = json_object_get(o, name);
        path += len + (path[len] == '/');
    }
    return o;
}

/* What stands in a cell: texts, numbers, sizes, yes or no, and lists of texts. */
static void cell(json_t *value, const char *path, char *text, size_t room)
{
    size_t length = strlen(path), used = 0, i;
    bool bytes = length > 6 && !strcmp(path + length - 6, "-bytes");
    json_t *one;

    *text = '\0';
    if (json_is_string(value))
        snprintf(text, room, "%s", json_string_value(value));
    else if (json_is_integer(value) && bytes)
        size_format((uint64_t)json_integer_value(value), text, room);
    else if (json_is_integer(value))
        snprintf(text, room, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, room, "%.1f", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, room, "%s", json_is_true(value) ? "yes" : "no");
    json_array_foreach(value, i, one)
    {
        const char *name = json_is_object(one) ? remote_text(one, "name") : json_string_value(one);

        if (used < room)
            used +=
                (size_t)snprintf(text + used, room - used, "%s%s", i ? "," : "", name ? name : "");
    }
}

void remote_table(json_t *list, const struct remote_column *columns)
{
    char text[512];
    json_t *row;
    size_t i;

    for (const struct remote_column *c = columns; c->title; c++)
        printf(c[1].title ? "%-*s  " : "%-*s\n", c[1].title ? c->width : 0, c->title);
    json_array_foreach(list, i, row)
    {
        for (const struct remote_column *c = columns; c->title; c++) {
            cell(member_at(row, c->path), c->path, text, sizeof(text));
            printf(c[1].title ? "%-*s  " : "%-*s\n", c[1].title ? c->width : 0, text);
        }
    }
}

/* ---- asking ---- */

const struct remote_list remote_quiet = {.member = NULL};

int remote_ask(struct remote *r, const char *method, const char *template, json_t *body,
               const struct remote_list *list)
{
    AUTO_FREE char *path = NULL;
    json_t *value = NULL;
    int status = make_path(r, template, &path);

    if (status != CLI_OK) {
        json_decref(body);
        return status;
    }
    status = remote_do(r, method, path, body, "*", &value);
    if (status == CLI_OK && value && list && list->member && !r->json)
        remote_table(json_object_get(value, list->member), list->columns);
    else if (list == &remote_quiet && !r->json)
        ; /* that it has been done is enough */
    else if (status == CLI_OK && value)
        status = remote_print(value);
    json_decref(value);
    return status;
}

int remote_options(struct remote *r, int first, json_t *object)
{
    int status = CLI_OK;

    for (int i = first; i < r->count && status == CLI_OK; i++)
        status = remote_option(r, object, r->args[i]);
    return status;
}

json_t *remote_words(const char *text)
{
    json_t *list = json_array();

    while (*text) {
        size_t len = strcspn(text, ",");

        json_array_append_new(list, json_stringn(text, len));
        text += len + (text[len] == ',');
    }
    return list;
}
