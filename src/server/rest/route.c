/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/rest/route.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/accounts.h"
#include "server/rest/http.h"
#include "server/sessions.h"
#include "server/stamp.h"

#define WAIT_MAX 300u
#define COOKIE "yado-session="

void request_free(struct request *q)
{
    if (!q)
        return;
    caller_done(&q->caller);
    json_decref(q->parameters);
    json_decref(q->body);
    free(q);
}

/* ---- decoding ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* %XX, and + in a query; freed with free(). NULL: it makes no sense. */
static char *decode(const char *text, size_t len, bool query)
{
    char *out = malloc(len + 1), *p = out;

    for (size_t i = 0; out && i < len; i++) {
        if (text[i] == '%') {
            int high = i + 2 < len + 0 ? hex(text[i + 1]) : -1;
            int low = i + 2 < len ? hex(text[i + 2]) : -1;

            if (high < 0 || low < 0 || !(high | low)) {
                free(out);
                return NULL;
            }
            *p++ = (char)(high << 4 | low);
            i += 2;
        } else {
            *p++ = query && text[i] == '+' ? ' ' : text[i];
        }
    }
    if (out)
        *p = '\0';
    return out;
}

/* ---- finding the operation ---- */

/* Does path fit the template? Values of {name} go to parameters, as text. */
static bool fits(const char *template, const char *path, json_t *values)
{
    while (*template && *path) {
        if (*template == '{') {
            const char *end = strchr(template, '}');
            size_t len = strcspn(path, "/");
            char name[32];
            AUTO_FREE char *value = decode(path, len, false);

            if (!end || !len || !value)
                return false;
            snprintf(name, sizeof(name), "%.*s", (int)(end - template - 1), template + 1);
            json_object_set_new(values, name, json_string(value));
            template = end + 1;
            path += len;
        } else if (*template ++ != *path++) {
            return false;
        }
    }
    return !*template && !*path;
}

/* A literal name wins over a parameter: /events/stream over /events/{event}. */
static const struct route *find(const char *method, const char *path, json_t **ret_values,
                                bool *ret_path_known)
{
    const struct route *found = NULL;

    *ret_path_known = false;
    for (const struct route *route = api_routes; route->method; route++) {
        json_t *values = json_object();
        bool better = !found || (strchr(found->path, '{') && !strchr(route->path, '{'));

        if (fits(route->path, path, values)) {
            *ret_path_known = true;
            if (!strcmp(route->method, method) && better) {
                json_decref(*ret_values);
                *ret_values = json_incref(values);
                found = route;
            }
        }
        json_decref(values);
    }
    return found;
}

/* ---- who calls ---- */

static bool cookie_secret(const char *cookies, char secret[SECRET_TEXT])
{
    const char *at = cookies;

    while (at && *at) {
        at += strspn(at, " ;");
        if (!strncmp(at, COOKIE, sizeof(COOKIE) - 1)) {
            size_t len = strcspn(at + sizeof(COOKIE) - 1, "; ");

            if (len == SECRET_TEXT - 1) {
                memcpy(secret, at + sizeof(COOKIE) - 1, len);
                secret[len] = '\0';
                return true;
            }
        }
        at = strchr(at, ';');
    }
    return false;
}

static int identify(struct request *q, const struct arrival *a, struct problem *p)
{
    char secret[SECRET_TEXT];
    int r = -1;

    if (a->authorization) {
        if (strncasecmp(a->authorization, "Bearer ", 7) != 0 ||
            token_find(q->server, a->authorization + 7, &q->caller) < 0)
            return problem_set(p, PROBLEM_CODE_UNAUTHENTICATED, NULL,
                               "the token is not known, or has expired");
        r = 0;
    } else if (cookie_secret(a->cookie, secret) &&
               session_find(q->server, secret, &q->caller) == 0) {
        r = 0;
    } else if (a->peer_uid >= 0) {
        const struct account *account = account_of_uid(q->server, (uid_t)a->peer_uid);
        char name[65];

        if (account)
            snprintf(name, sizeof(name), "%s", account->name);
        else
            snprintf(name, sizeof(name), "%d", a->peer_uid);
        q->caller.method = CALLER_SOCKET;
        r = caller_fill(q->server, &q->caller, name);
        /* An account without a name, in a container for example, is its number. */
        if (r == 0 && ((uid_t)a->peer_uid == geteuid() || a->peer_uid == 0))
            caller_promote(&q->caller);
    }
    snprintf(q->caller.address, sizeof(q->caller.address), "%s", a->address);
    q->actor = caller_actor(&q->caller);
    if (r < 0)
        return problem_set(p, PROBLEM_CODE_UNAUTHENTICATED, NULL,
                           "log in, or send a token (Authorization: Bearer)");
    return 0;
}

/* A page of somebody else's cannot make a browser send our header. */
static int check_csrf(struct request *q, const struct arrival *a, struct problem *p)
{
    bool safe = !strcmp(a->method, "GET") || !strcmp(a->method, "HEAD");

    if (safe || q->caller.method != CALLER_SESSION)
        return 0;
    if (a->csrf && digest_equal(a->csrf, q->caller.csrf))
        return 0;
    return problem_set(p, PROBLEM_CODE_CSRF, "X-Yado-CSRF",
                       "send the csrf value of GET /session with every change");
}

/* ---- what was sent ---- */

static int take_query(json_t *values, const char *query, struct problem *p)
{
    while (query && *query) {
        size_t len = strcspn(query, "&"), name_len = strcspn(query, "=&");
        AUTO_FREE char *name = decode(query, name_len, true);
        AUTO_FREE char *value =
            name_len < len ? decode(query + name_len + 1, len - name_len - 1, true) : strdup("");

        if (!name || !value)
            return problem_set(p, PROBLEM_CODE_MALFORMED, NULL, "the query cannot be decoded");
        if (*name && json_object_set_new(values, name, json_string(value)) < 0)
            return problem_set(p, PROBLEM_CODE_MALFORMED, NULL, "the query is not UTF-8");
        query += len + (query[len] == '&');
    }
    return 0;
}

static const char *header_of(const struct arrival *a, const char *name)
{
    if (!strcmp(name, "Prefer"))
        return a->prefer;
    return !strcmp(name, "Last-Event-ID") ? a->last_event_id : NULL;
}

static const struct parameter *parameter_of(const struct route *route, const char *name,
                                            enum parameter_in in)
{
    for (const struct parameter *one = route->parameters; one->name; one++)
        if (one->in == in && !strcmp(one->name, name))
            return one;
    return NULL;
}

static int take_one(struct request *q, const struct parameter *one, const char *text,
                    struct problem *p)
{
    struct schema_fault fault = {.error = {""}};
    json_t *value;

    if (!text && !one->required)
        return 0;
    if (!text)
        return problem_set(p, PROBLEM_CODE_INVALID, one->name, "'%s' is missing", one->name);
    if (schema_check_text(one->schema, text, &value, &fault) < 0)
        return problem_set(
            p, one->in == PARAMETER_PATH ? PROBLEM_CODE_NOT_FOUND : PROBLEM_CODE_INVALID, one->name,
            "%s", fault.error.text);
    return json_object_set_new(q->parameters, one->name, value) < 0
               ? problem_set(p, PROBLEM_CODE_UNAVAILABLE, NULL, "no memory")
               : 0;
}

static int take_parameters(struct request *q, const struct arrival *a, json_t *in_path,
                           struct problem *p)
{
    json_t *query = json_object(), *value;
    const char *name;
    int r = take_query(query, a->query, p);

    json_object_foreach(query, name,
                        value) if (r == 0 && !parameter_of(q->route, name, PARAMETER_QUERY)) r =
        problem_set(p, PROBLEM_CODE_INVALID, name, "there is no parameter '%.60s' here", name);
    for (const struct parameter *one = q->route->parameters; one->name && r == 0; one++) {
        const char *text = one->in == PARAMETER_HEADER
                               ? header_of(a, one->name)
                               : json_string_value(json_object_get(
                                     one->in == PARAMETER_PATH ? in_path : query, one->name));

        r = take_one(q, one, text, p);
    }
    json_decref(query);
    return r;
}

static int take_body(struct request *q, const struct arrival *a, struct problem *p)
{
    struct schema_fault fault = {.error = {""}};
    const char *type = a->content_type ? a->content_type : "";
    json_error_t why;

    if (a->body_bytes == SIZE_MAX)
        return problem_set(p, PROBLEM_CODE_TOO_LARGE, NULL, "a body has at most 1 MiB");
    if (!q->route->body)
        return a->body_bytes ? problem_set(p, PROBLEM_CODE_MALFORMED, NULL, "there is no body here")
                             : 0;
    if (!a->body_bytes)
        return q->route->body_required
                   ? problem_set(p, PROBLEM_CODE_MALFORMED, NULL, "a body of JSON is missing")
                   : 0;
    if (strncasecmp(type, "application/json", 16) != 0 &&
        !(q->route->merge_patch && !strncasecmp(type, "application/merge-patch+json", 28)))
        return problem_set(p, PROBLEM_CODE_MEDIA_TYPE, "Content-Type", "send application/json%s",
                           q->route->merge_patch ? " or application/merge-patch+json" : "");
    q->body = json_loadb(a->body, a->body_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!q->body)
        return problem_set(p, PROBLEM_CODE_MALFORMED, NULL, "line %d, column %d: %s", why.line,
                           why.column, why.text);
    if (schema_check(q->route->body, q->body, &fault) < 0)
        return problem_set(p, PROBLEM_CODE_INVALID, fault.field, "%s", fault.error.text);
    return 0;
}

/* "wait=N" of Prefer (RFC 7240); other preferences are not for us. */
static void take_prefer(struct request *q, const struct arrival *a)
{
    const char *wait = a->prefer ? strstr(a->prefer, "wait=") : NULL;

    if (wait)
        q->wait_seconds = (unsigned)MIN(strtoul(wait + 5, NULL, 10), (unsigned long)WAIT_MAX);
}

static int check_right(struct request *q, struct problem *p)
{
    const char *id;

    switch (q->route->access) {
    case ACCESS_SERVER:
        return caller_may(q->server, &q->caller, OBJECT_TYPE_SERVER, NULL, q->route->right, p);
    case ACCESS_MACHINE:
        id = json_string_value(json_object_get(q->parameters, "machine"));
        q->machine = id ? machine_find(q->server, id) : NULL;
        if (!q->machine)
            return problem_set(p, PROBLEM_CODE_NOT_FOUND, "machine", "there is no machine %.40s",
                               id ? id : "");
        return caller_may(q->server, &q->caller, OBJECT_TYPE_MACHINE, id, q->route->right, p);
    case ACCESS_NETWORK:
        id = json_string_value(json_object_get(q->parameters, "network"));
        q->network = id ? network_find(q->server, id) : NULL;
        if (!q->network || !(caller_rights(q->server, &q->caller, OBJECT_TYPE_NETWORK, id) &
                             RIGHT_BIT(RIGHT_VIEW)))
            return problem_set(p, PROBLEM_CODE_NOT_FOUND, "network", "there is no network %.40s",
                               id ? id : "");
        return caller_may(q->server, &q->caller, OBJECT_TYPE_NETWORK, id, q->route->right, p);
    default:
        return 0;
    }
}

static int prepare(struct request *q, const struct arrival *a, json_t *in_path, struct problem *p)
{
    int r = identify(q, a, p);

    if (r < 0 && q->route->access != ACCESS_PUBLIC)
        return r;
    if (q->route->access != ACCESS_PUBLIC && (r = check_csrf(q, a, p)) < 0)
        return r;
    r = take_parameters(q, a, in_path, p);
    if (r == 0)
        r = check_right(q, p);
    if (r == 0)
        r = take_body(q, a, p);
    if (r == 0 && q->route->if_match && !a->if_match)
        r = problem_set(p, PROBLEM_CODE_PRECONDITION_REQUIRED, "If-Match",
                        "send the ETag that you read, or * to overwrite");
    if (r == 0 && (q->route->websocket != NULL) != a->websocket &&
        strcmp(q->route->id, "streamEvents") != 0)
        r = problem_set(p, PROBLEM_CODE_MALFORMED, "Upgrade",
                        q->route->websocket ? "this is a WebSocket (RFC 6455)"
                                            : "there is no WebSocket here");
    return r;
}

void route_request(struct server *server, struct connection *connection,
                   const struct arrival *arrival, struct request **ret_request)
{
    struct request *q = calloc(1, sizeof(*q));
    json_t *values = NULL;
    struct problem p;
    bool path_known;
    int r = 0;

    if (!q) {
        connection_answer(connection, &(struct answer){.status = 503});
        return;
    }
    q->server = server;
    q->connection = connection;
    q->secure = arrival->secure;
    q->parameters = json_object();
    snprintf(q->if_match, sizeof(q->if_match), "%s", arrival->if_match ? arrival->if_match : "");
    snprintf(q->if_none_match, sizeof(q->if_none_match), "%s",
             arrival->if_none_match ? arrival->if_none_match : "");
    take_prefer(q, arrival);
    q->route = find(!strcmp(arrival->method, "HEAD") ? "GET" : arrival->method,
                    arrival->path + sizeof(API_PREFIX) - 1, &values, &path_known);
    if (!q->route)
        r = problem_set(&p, path_known ? PROBLEM_CODE_METHOD : PROBLEM_CODE_NOT_FOUND, NULL,
                        "%s %.200s is not an operation; /api/ lists them", arrival->method,
                        arrival->path);
    else
        r = prepare(q, arrival, values, &p);
    json_decref(values);
    if (r < 0)
        reply_problem(q, &p);
    else if (arrival->websocket)
        *ret_request = q;
    else {
        connection_take(connection, q);
        q->route->handle(q);
    }
}
