/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/rest/quota.h"
#include "server/sessions.h"
#include "server/stamp.h"

static json_t *session_json(const struct caller *caller)
{
    static const char *const methods[] = {"socket", "session", "token"};
    char time[STAMP_TEXT];
    json_t *groups = json_array(), *o;

    for (unsigned i = 0; i < caller->group_count; i++)
        json_array_append_new(groups, json_string(caller->groups[i]));
    o = json_pack("{s:s, s:o, s:b, s:s}", "user", caller->user, "groups", groups, "administrator",
                  caller->administrator, "method", methods[caller->method]);
    if (o && caller->method == CALLER_SESSION) {
        json_object_set_new(o, "csrf", json_string(caller->csrf));
        json_object_set_new(o, "expires", json_string(stamp_format(caller->expires_ms, time)));
    }
    return o;
}

static void tell(struct request *q, enum event_kind kind, enum severity severity, const char *user,
                 const char *words)
{
    struct actor actor = {.type = ACTOR_TYPE_USER};

    snprintf(actor.name, sizeof(actor.name), "%s", user);
    snprintf(actor.address, sizeof(actor.address), "%s", q->caller.address);
    bus_event(q->server,
              &(struct event){.kind = kind,
                              .severity = severity,
                              .actor = &actor,
                              .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                              .cause = EVENT_CAUSE_REQUEST},
              "%s %s", user, words);
}

void api_get_session(struct request *q)
{
    reply_json(q, 200, session_json(&q->caller));
}

static void on_pam(void *ctx, int r)
{
    struct request *q = ctx;
    const char *user = json_string_value(json_object_get(q->body, "user"));
    struct caller caller;
    char secret[SECRET_TEXT];
    json_t *session;

    if (r < 0) {
        throttle_failed(q->server, user, q->caller.address);
        tell(q, EVENT_KIND_USER_LOGIN_FAILED, SEVERITY_WARNING, user, "could not log in");
        reply_error(q, PROBLEM_CODE_UNAUTHENTICATED, NULL, "the name or the password is wrong");
        return;
    }
    throttle_succeeded(q->server, user, q->caller.address);
    if (session_new(q->server, user, q->caller.address, secret, &caller) < 0) {
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "no session can be made");
        return;
    }
    snprintf(q->cookie, sizeof(q->cookie), "yado-session=%s; Path=/; HttpOnly; SameSite=Strict%s",
             secret, q->secure ? "; Secure" : "");
    tell(q, EVENT_KIND_USER_LOGGED_IN, SEVERITY_INFO, user, "has logged in");
    session = session_json(&caller);
    caller_done(&caller);
    reply_json(q, 200, session);
}

void api_log_in(struct request *q)
{
    const char *user = json_string_value(json_object_get(q->body, "user"));
    const char *password = json_string_value(json_object_get(q->body, "password"));

    q->retry_after = throttle_wait(q->server, user, q->caller.address);
    if (q->retry_after)
        reply_error(q, PROBLEM_CODE_THROTTLED, NULL, "wait %u seconds before the next attempt",
                    q->retry_after);
    else if (pam_ask(q->server, user, password, on_pam, q) < 0)
        reply_error(q, PROBLEM_CODE_UNAVAILABLE, NULL, "nobody can be asked about passwords now");
}

void api_log_out(struct request *q)
{
    if (q->caller.method == CALLER_SESSION) {
        session_end(q->server, &q->caller);
        snprintf(q->cookie, sizeof(q->cookie),
                 "yado-session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        tell(q, EVENT_KIND_USER_LOGGED_OUT, SEVERITY_INFO, q->caller.user, "has logged out");
    }
    reply_empty(q, 204);
}

/* Put what the caller may do with one thing under its name, unless it may not even be seen. */
static void add_rights(json_t *all, const char *id, unsigned rights)
{
    if (rights & RIGHT_BIT(RIGHT_VIEW))
        json_object_set_new(all, id, rights_json(rights));
}

/* Allowed folders, and whatever somebody has made an entry for. */
static json_t *disk_rights(struct request *q)
{
    json_t *all = json_object(), *folder;
    size_t i;

    json_array_foreach(json_object_get(q->server->settings, "folders"), i, folder)
    {
        const char *path = json_string_value(json_object_get(folder, "path"));

        add_rights(all, path, caller_rights(q->server, &q->caller, OBJECT_TYPE_DISK, path));
    }
    for (unsigned n = 0; n < q->server->permission_count; n++) {
        const struct permission *entry = &q->server->permissions[n];

        if (entry->object_type == OBJECT_TYPE_DISK)
            add_rights(all, entry->object,
                       caller_rights(q->server, &q->caller, OBJECT_TYPE_DISK, entry->object));
    }
    return all;
}

void api_get_my_permissions(struct request *q)
{
    json_t *machines = json_object(), *networks = json_object();
    json_t *quota = quota_of(q->server, q->caller.user), *o;

    for (struct machine *m = q->server->machines; m; m = m->next)
        add_rights(machines, m->id, caller_machine_rights(&q->caller, m));
    for (struct network *n = q->server->networks; n; n = n->next)
        add_rights(networks, n->name,
                   caller_rights(q->server, &q->caller, OBJECT_TYPE_NETWORK, n->name));
    o = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:o}", "user", q->caller.user,
                  "administrator", q->caller.administrator, "server",
                  rights_json(caller_rights(q->server, &q->caller, OBJECT_TYPE_SERVER, NULL)),
                  "machines", machines, "networks", networks, "disks", disk_rights(q), "may-create",
                  quota_may_create(q->server, &q->caller), "used",
                  quota_used(q->server, q->caller.user));
    if (o && quota)
        json_object_set(o, "quota", quota);
    json_decref(quota);
    reply_json(q, 200, o);
}
