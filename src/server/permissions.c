/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entries: in the store, and read from there whole after each change, for they are asked at
 * every request.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/caller.h"
#include "server/machine.h"

void permissions_free(struct server *server)
{
    for (unsigned i = 0; i < server->permission_count; i++)
        free(server->permissions[i].object);
    free(server->permissions);
    server->permissions = NULL;
    server->permission_count = 0;
}

int permissions_load(struct server *server)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    unsigned room = 0;

    permissions_free(server);
    if (store_query(server->store, &rows,
                    "SELECT id, subject_type, subject, object_type, object, rights, deny"
                    " FROM permissions ORDER BY subject, id",
                    "") < 0)
        return -EIO;
    while (store_next(rows)) {
        struct permission *entry;

        if (server->permission_count == room) {
            struct permission *more;

            room = room ? room * 2 : 16;
            more = realloc(server->permissions, room * sizeof(*more));
            if (!more)
                return -ENOMEM;
            server->permissions = more;
        }
        entry = &server->permissions[server->permission_count];
        *entry = (struct permission){
            .group = sqlite3_column_int(rows, 1),
            .object_type =
                (enum object_type)MIN(sqlite3_column_int(rows, 3), OBJECT_TYPE_COUNT - 1),
            .object = strdup(store_text(rows, 4)),
            .rights = (unsigned)sqlite3_column_int(rows, 5) & RIGHTS_ALL,
            .deny = sqlite3_column_int(rows, 6),
        };
        snprintf(entry->id, sizeof(entry->id), "%s", store_text(rows, 0));
        snprintf(entry->subject, sizeof(entry->subject), "%s", store_text(rows, 2));
        if (!entry->object)
            return -ENOMEM;
        server->permission_count++;
    }
    return 0;
}

const struct permission *permission_find(const struct server *server, const char *id)
{
    for (unsigned i = 0; i < server->permission_count; i++)
        if (!strcmp(server->permissions[i].id, id))
            return &server->permissions[i];
    return NULL;
}

json_t *permission_json(struct server *server, const struct permission *entry)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s}", "id", entry->id, "subject-type",
                          entry->group ? "group" : "user", "subject", entry->subject, "object-type",
                          object_type_names[entry->object_type], "rights",
                          rights_json(entry->rights), "effect", entry->deny ? "deny" : "allow");
    struct machine *m =
        entry->object_type == OBJECT_TYPE_MACHINE ? machine_find(server, entry->object) : NULL;

    if (o && *entry->object)
        json_object_set_new(o, "object", json_string(entry->object));
    if (o && m)
        json_object_set_new(o, "object-name", json_string(m->name));
    return o;
}

int permission_put(struct server *server, const struct permission *entry)
{
    int r = store_run(server->store, NULL,
                      "INSERT OR REPLACE INTO permissions (id, subject_type, subject, object_type,"
                      " object, rights, deny) VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "sisisii", entry->id, (int64_t)entry->group, entry->subject,
                      (int64_t)entry->object_type, entry->object, (int64_t)entry->rights,
                      (int64_t)entry->deny);

    return r < 0 ? r : permissions_load(server);
}

int permission_remove(struct server *server, const char *id)
{
    int r = store_run(server->store, NULL, "DELETE FROM permissions WHERE id = ?", "s", id);

    return r < 0 ? r : permissions_load(server);
}

int permission_forget_object(struct server *server, enum object_type type, const char *object)
{
    int r = store_run(server->store, NULL,
                      "DELETE FROM permissions WHERE object_type = ? AND object = ?", "is",
                      (int64_t)type, object);

    return r < 0 ? r : permissions_load(server);
}

int permission_forget_user(struct server *server, const char *user)
{
    int r = store_run(server->store, NULL,
                      "DELETE FROM permissions WHERE subject_type = 0 AND subject = ?", "s", user);

    return r < 0 ? r : permissions_load(server);
}
