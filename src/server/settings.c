/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/settings.h"

#include <errno.h>
#include <string.h>

#include "server/files.h"
#include "server/merge.h"
#include "server/stamp.h"

static void adopt(struct server *server, json_t *settings)
{
    AUTO_FREE char *text = json_dumps(settings, JSON_COMPACT | JSON_SORT_KEYS);
    char digest[65];

    json_decref(server->settings);
    server->settings = settings;
    digest_hex(text ? text : "", text ? strlen(text) : 0, digest);
    memcpy(server->settings_etag, digest, 16);
    server->settings_etag[16] = '\0';
}

int settings_load(struct server *server, struct error *err)
{
    AUTO_FREE char *path = files_join(server->state, "settings.json");
    struct schema_fault fault;
    json_t *settings = NULL;
    int r;

    if (!path)
        return -ENOMEM;
    r = files_read_json(path, &settings, err);
    if (r == -ENOENT)
        settings = json_object();
    else if (r < 0)
        return r;
    if (schema_check(&schema_Settings, settings, &fault) < 0) {
        json_decref(settings);
        return error_set(err, -EINVAL, "%s: %s: %.300s", path, fault.field, fault.error.text);
    }
    adopt(server, settings);
    return 0;
}

int settings_change(struct server *server, json_t *patch, struct problem *p)
{
    AUTO_FREE char *path = files_join(server->state, "settings.json");
    json_t *settings = merge_patch(server->settings, patch);
    struct schema_fault fault;
    struct error err = {""};
    int r;

    if (!settings || !path)
        r = problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory");
    else if (schema_check(&schema_Settings, settings, &fault) < 0)
        r = problem_set(p, PROBLEM_CODE_INVALID, fault.field, "%s", fault.error.text);
    else if (files_replace_json(path, settings, 0600, &err) < 0)
        r = problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    else {
        adopt(server, settings);
        return 0;
    }
    json_decref(settings);
    return r;
}

/* Objects within get their defaults too. */
static json_t *with_defaults(const struct schema *schema, json_t *object)
{
    json_t *all = json_object();

    for (const struct schema_property *p = schema->properties; p && p->name; p++) {
        json_t *value = schema_member(schema, object, p->name);

        if (p->schema->types == SCHEMA_OBJECT && p->schema->properties) {
            json_t *inner = with_defaults(p->schema, value);

            json_decref(value);
            value = inner;
        }
        if (value)
            json_object_set_new(all, p->name, value);
    }
    return all;
}

json_t *settings_json(const struct server *server)
{
    return with_defaults(&schema_Settings, server->settings);
}

long long settings_integer(const struct server *server, const char *name)
{
    return schema_integer(&schema_Settings, server->settings, name);
}

bool settings_boolean(const struct server *server, const char *name)
{
    return schema_boolean(&schema_Settings, server->settings, name);
}

json_t *settings_https(const struct server *server, const char *name)
{
    return schema_member(&schema_Settings_https, json_object_get(server->settings, "https"), name);
}
