/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/accounts.h"
#include "server/bus.h"
#include "server/rest/quota.h"
#include "server/sessions.h"
#include "server/stamp.h"

static void tell(struct request *q, enum event_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void tell(struct request *q, enum event_kind kind, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    bus_event(q->server,
              &(struct event){.kind = kind,
                              .actor = &q->actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_REQUEST},
              "%s", text);
}

static long long count(struct server *server, const char *sql, const char *user)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows, sql, "s", user);
    return store_next(rows) ? sqlite3_column_int64(rows, 0) : 0;
}

/* What an administrator sets of a user is the quota. */
static void user_etag(struct server *server, const char *name, char etag[17])
{
    json_t *quota = quota_of(server, name);
    AUTO_FREE char *text = quota ? json_dumps(quota, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    char digest[65];

    digest_hex(text ? text : "", text ? strlen(text) : 0, digest);
    memcpy(etag, digest, 16);
    etag[16] = '\0';
    json_decref(quota);
}

static json_t *user_json(struct server *server, const char *name)
{
    struct caller caller = {.method = CALLER_SOCKET};
    json_t *groups = json_array(), *quota = quota_of(server, name), *o;
    long long login = count(server, "SELECT last_login FROM users WHERE name = ?", name);
    const struct account *account;
    char time[STAMP_TEXT], etag[17];

    user_etag(server, name, etag);

    caller_fill(server, &caller, name);
    account = account_of(server, name);
    for (unsigned i = 0; i < caller.group_count; i++)
        json_array_append_new(groups, json_string(caller.groups[i]));
    o = json_pack("{s:s, s:s, s:b, s:o, s:b, s:o, s:I, s:I}", "name", name, "etag", etag,
                  "administrator", caller.administrator, "groups", groups, "account",
                  account && account->known, "used", quota_used(server, name), "tokens",
                  (json_int_t)count(server, "SELECT count(*) FROM tokens WHERE user = ?", name),
                  "sessions",
                  (json_int_t)count(server, "SELECT count(*) FROM sessions WHERE user = ?", name));
    if (o && login)
        json_object_set_new(o, "last-login", json_string(stamp_format(login, time)));
    if (o && quota)
        json_object_set(o, "quota", quota);
    json_decref(quota);
    caller_done(&caller);
    return o;
}

void api_list_users(struct request *q)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    json_t *list = json_array();

    store_query(q->server->store, &rows,
                "SELECT name FROM users UNION SELECT user FROM tokens UNION SELECT subject FROM"
                " permissions WHERE subject_type = 0 ORDER BY 1",
                "");
    while (store_next(rows))
        json_array_append_new(list, user_json(q->server, store_text(rows, 0)));
    reply_json(q, 200, json_pack("{s:o}", "users", list));
}

static void reply_user(struct request *q, const char *user)
{
    char etag[17];

    user_etag(q->server, user, etag);
    snprintf(q->etag, sizeof(q->etag), "\"%s\"", etag);
    reply_json(q, 200, user_json(q->server, user));
}

void api_get_user(struct request *q)
{
    reply_user(q, request_text(q, "user"));
}

void api_set_user(struct request *q)
{
    json_t *quota = json_object_get(q->body, "quota");
    AUTO_FREE char *text = quota ? json_dumps(quota, JSON_COMPACT) : NULL;
    const char *user = request_text(q, "user");
    char etag[17];

    user_etag(q->server, user, etag);
    if (!request_matches(q, etag))
        return;
    if (store_run(q->server->store, NULL,
                  "INSERT INTO users (name, quota) VALUES (?1, ?2)"
                  " ON CONFLICT (name) DO UPDATE SET quota = ?2",
                  "ss", user, text) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    tell(q, EVENT_KIND_USER_CHANGED, "the quota of %s was changed", user);
    reply_user(q, user);
}

void api_forget_user(struct request *q)
{
    const char *user = request_text(q, "user");
    struct store *store = q->server->store;
    int r = store_begin(store);

    if (r == 0) {
        r = store_run(store, NULL, "DELETE FROM users WHERE name = ?", "s", user);
        if (r == 0)
            r = store_run(store, NULL, "DELETE FROM tokens WHERE user = ?", "s", user);
        if (r == 0)
            r = sessions_end_user(q->server, user);
        if (r == 0)
            r = permission_forget_user(q->server, user);
        r = store_end(store, r);
    }
    if (r < 0) {
        permissions_load(q->server);
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    tell(q, EVENT_KIND_USER_CHANGED, "%s was forgotten", user);
    reply_empty(q, 204);
}

/* ---- tokens ---- */

static void set_time(json_t *o, const char *name, int64_t ms)
{
    char time[STAMP_TEXT];

    if (ms)
        json_object_set_new(o, name, json_string(stamp_format(ms, time)));
}

void api_list_tokens(struct request *q)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    json_t *list = json_array();

    store_query(q->server->store, &rows,
                "SELECT id, name, user, rights, created, expires, last_used FROM tokens"
                " WHERE ?1 = '' OR user = ?1 ORDER BY user, name",
                "s", q->caller.administrator ? "" : q->caller.user);
    while (store_next(rows)) {
        unsigned rights = (unsigned)sqlite3_column_int(rows, 3) & RIGHTS_ALL;
        json_t *o = json_pack("{s:s, s:s, s:s}", "id", store_text(rows, 0), "name",
                              store_text(rows, 1), "user", store_text(rows, 2));

        if (rights != RIGHTS_ALL)
            json_object_set_new(o, "rights", rights_json(rights));
        set_time(o, "created", sqlite3_column_int64(rows, 4));
        set_time(o, "expires", sqlite3_column_int64(rows, 5));
        set_time(o, "last-used", sqlite3_column_int64(rows, 6));
        json_array_append_new(list, o);
    }
    reply_json(q, 200, json_pack("{s:o}", "tokens", list));
}

void api_create_token(struct request *q)
{
    const char *name = json_string_value(json_object_get(q->body, "name"));
    const char *user = json_string_value(json_object_get(q->body, "user"));
    const char *expires = json_string_value(json_object_get(q->body, "expires"));
    unsigned rights = rights_from_json(json_object_get(q->body, "rights"));
    int64_t now = stamp_now_ms(), until = 0;
    char id[ID_TEXT], secret[SECRET_TEXT], hash[65];
    json_t *o;

    if (user && strcmp(user, q->caller.user) != 0 && !q->caller.administrator) {
        reply_error(q, PROBLEM_CODE_FORBIDDEN, "/user", "only administrators do that for others");
        return;
    }
    /* A token cannot make one that may more than itself. */
    if (rights & ~q->caller.limit) {
        reply_error(q, PROBLEM_CODE_FORBIDDEN, "/rights", "this token has fewer rights than that");
        return;
    }
    if (expires)
        stamp_parse(expires, &until);
    id_new(id);
    secret_new(secret, 32);
    digest_hex(secret, strlen(secret), hash);
    user = user ? user : q->caller.user;
    if (store_run(q->server->store, NULL,
                  "INSERT INTO tokens (id, name, user, hash, rights, created, expires)"
                  " VALUES (?, ?, ?, ?, ?, ?, nullif(?, 0))",
                  "ssssiii", id, name, user, hash, (int64_t)rights, now, until) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    tell(q, EVENT_KIND_USER_TOKEN_CREATED, "%s has the new token %s", user, name);
    o = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "name", name, "user", user, "secret", secret);
    set_time(o, "created", now);
    set_time(o, "expires", until);
    reply_json(q, 201, o);
}

void api_delete_token(struct request *q)
{
    if (store_run(q->server->store, NULL,
                  "DELETE FROM tokens WHERE id = ?1 AND (?2 = '' OR user = ?2)", "ss",
                  request_text(q, "token"), q->caller.administrator ? "" : q->caller.user) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    if (!store_changes(q->server->store)) {
        reply_error(q, PROBLEM_CODE_NOT_FOUND, "token", "there is no such token");
        return;
    }
    tell(q, EVENT_KIND_USER_TOKEN_DELETED, "a token was revoked");
    reply_empty(q, 204);
}

/* ---- permissions ---- */

static int object_type_of(const char *name)
{
    for (int i = 0; name && i < OBJECT_TYPE_COUNT; i++)
        if (!strcmp(name, object_type_names[i]))
            return i;
    return -1;
}

static bool may_change(struct request *q, enum object_type type, const char *object)
{
    struct problem p;

    if (caller_may(q->server, &q->caller, type, *object ? object : NULL, RIGHT_PERMISSIONS, &p) ==
        0)
        return true;
    reply_problem(q, &p);
    return false;
}

void api_list_permissions(struct request *q)
{
    const char *type = request_text(q, "object-type"), *object = request_text(q, "object");
    json_t *list = json_array();

    for (unsigned i = 0; i < q->server->permission_count; i++) {
        const struct permission *one = &q->server->permissions[i];
        unsigned rights = caller_rights(q->server, &q->caller, one->object_type,
                                        *one->object ? one->object : NULL);
        bool own = !one->group && !strcmp(one->subject, q->caller.user);

        if ((own || (rights & RIGHT_BIT(RIGHT_PERMISSIONS))) &&
            (!type || object_type_of(type) == (int)one->object_type) &&
            (!object || !strcmp(object, one->object)))
            json_array_append_new(list, request_tag_entry(q, permission_json(q->server, one)));
    }
    *q->etag = '\0'; /* of the last one */
    reply_json(q, 200, json_pack("{s:o}", "permissions", list));
}

static void put_permission(struct request *q, const char *id, unsigned status)
{
    const char *object = json_string_value(json_object_get(q->body, "object"));
    const char *subject = json_string_value(json_object_get(q->body, "subject"));
    int type = object_type_of(json_string_value(json_object_get(q->body, "object-type")));
    struct permission entry = {
        .group = *json_string_value(json_object_get(q->body, "subject-type")) == 'g',
        .object_type = (enum object_type)MAX(type, 0),
        .object = (char *)(object && type != OBJECT_TYPE_SERVER ? object : ""),
        .rights = rights_from_json(json_object_get(q->body, "rights")),
        .deny = *json_string_value(json_object_get(q->body, "effect")) == 'd'};

    if (type != OBJECT_TYPE_SERVER && !*entry.object) {
        reply_error(q, PROBLEM_CODE_INVALID, "/object", "say which %s", object_type_names[type]);
        return;
    }
    if (type == OBJECT_TYPE_MACHINE && !machine_find(q->server, entry.object)) {
        reply_error(q, PROBLEM_CODE_INVALID, "/object", "there is no machine %.40s", entry.object);
        return;
    }
    if (!may_change(q, entry.object_type, entry.object))
        return;
    snprintf(entry.id, sizeof(entry.id), "%s", id);
    snprintf(entry.subject, sizeof(entry.subject), "%s", subject);
    if (permission_put(q->server, &entry) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    tell(q, status == 201 ? EVENT_KIND_PERMISSION_ADDED : EVENT_KIND_PERMISSION_CHANGED,
         "%s %s is %s something on %s %.100s", entry.group ? "the group" : "the user",
         entry.subject, entry.deny ? "denied" : "allowed", object_type_names[type], entry.object);
    reply_json(q, status,
               request_tag_entry(q, permission_json(q->server, permission_find(q->server, id))));
}

void api_add_permission(struct request *q)
{
    char id[ID_TEXT];

    id_new(id);
    put_permission(q, id, 201);
}

static const struct permission *known_permission(struct request *q)
{
    const struct permission *entry = permission_find(q->server, request_text(q, "permission"));

    if (!entry)
        reply_error(q, PROBLEM_CODE_NOT_FOUND, "permission", "there is no such entry");
    else if (!may_change(q, entry->object_type, entry->object))
        entry = NULL;
    return entry;
}

void api_change_permission(struct request *q)
{
    const struct permission *entry = known_permission(q);
    json_t *now = entry ? permission_json(q->server, entry) : NULL;
    bool same = now && request_matches_entry(q, now);
    char id[ID_TEXT];

    json_decref(now);
    if (!same)
        return;
    snprintf(id, sizeof(id), "%s", request_text(q, "permission"));
    put_permission(q, id, 200);
}

void api_remove_permission(struct request *q)
{
    const struct permission *entry = known_permission(q);
    char subject[65];

    if (!entry)
        return;
    snprintf(subject, sizeof(subject), "%s", entry->subject);
    if (permission_remove(q->server, request_text(q, "permission")) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "it cannot be written down");
        return;
    }
    tell(q, EVENT_KIND_PERMISSION_REMOVED, "an entry for %s was removed", subject);
    reply_empty(q, 204);
}
