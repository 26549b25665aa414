/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request on its way: found in the table of operations, checked, handled, answered.
 */
#ifndef SERVER_REST_ROUTE_H
#define SERVER_REST_ROUTE_H

#include "server/caller.h"
#include "server/machine.h"
#include "server/networks.h"
#include "server/tasks.h"

#define API_PREFIX "/api/v1"

struct request;
struct connection;

enum access { ACCESS_PUBLIC, ACCESS_ANY, ACCESS_SERVER, ACCESS_MACHINE, ACCESS_NETWORK };
enum parameter_in { PARAMETER_PATH, PARAMETER_QUERY, PARAMETER_HEADER };

struct parameter {
    const char *name;
    enum parameter_in in;
    bool required;
    const struct schema *schema;
};

struct route {
    const char *method, *path, *id;
    void (*handle)(struct request *q);
    const struct parameter *parameters;
    const struct schema *body;
    bool body_required, merge_patch, if_match;
    enum access access;
    enum right right;
    const char *websocket; /* subprotocol */
};

/*
 * Handlers answer once, by one of the functions below, at once or later; the request is gone
 * then. The caller has the right that the table names; machine is the one in the path.
 */
struct request {
    struct server *server;
    struct connection *connection; /* NULL: the client has gone */
    const struct route *route;
    struct caller caller;
    struct actor actor;
    struct machine *machine;
    struct network *network;
    json_t *parameters; /* of path, query and header, as their schemas say; absent: not given */
    json_t *body;       /* NULL: none */
    char if_match[80], if_none_match[80];
    unsigned wait_seconds; /* Prefer: wait */
    bool secure;           /* by TLS */
    /* For the answer. */
    char etag[80];
    char location[128];
    char cookie[256];
    unsigned retry_after;
    struct task_waiter waiter;
    struct task *task;
    uv_timer_t *timer;
    void *data; /* the handler's own */
};

/* Take value, or its text, over; text NULL: no memory. */
void reply_text(struct request *q, unsigned status, char *json);
void reply_json(struct request *q, unsigned status, json_t *value);
void reply_problem(struct request *q, const struct problem *p);
void reply_empty(struct request *q, unsigned status);
/* data is copied. */
void reply_data(struct request *q, unsigned status, const char *type, const void *data,
                size_t len_bytes);
/* 200 with the machine and its ETag. */
void reply_machine(struct request *q, unsigned status, struct machine *m);
/* 202 (200 when ended is enough) with the task, once it has ended or Prefer: wait is over. */
void reply_task(struct request *q, unsigned status, struct task *task);

/* A problem in one call. */
void reply_error(struct request *q, enum problem_code code, const char *field, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Parameters; NULL or fallback where they were not given. */
const char *request_text(const struct request *q, const char *name);
long long request_integer(const struct request *q, const char *name, long long fallback);
bool request_boolean(const struct request *q, const char *name);
/* Answers with 412 and is false where If-Match names another state than etag. */
bool request_matches(struct request *q, const char *etag);
/* As request_matches(), by what the client was shown of an entry: `etag` in it, or else all of it. */
bool request_matches_entry(struct request *q, json_t *entry);
/* The entry, with its `etag` in it; also the answer's, when it is the only one. Returns entry. */
json_t *request_tag_entry(struct request *q, json_t *entry);
/* The caller's right on a disk: answers and is false where it is missing. */
bool request_may_disk(struct request *q, const char *file, enum right right);

/* ---- route.c: what http.c calls ---- */

/* What a connection has brought of a request. Header values are NULL where they are absent. */
struct arrival {
    const char *method, *path, *query; /* path is not decoded yet */
    const char *authorization, *cookie, *csrf, *content_type, *if_match, *if_none_match, *prefer,
        *last_event_id, *address;
    const char *body;
    size_t body_bytes;
    bool secure;
    bool websocket;
    int peer_uid; /* of a UNIX socket's client; -1: not one */
};

/*
 * Find, check and handle. The answer goes to connection (see http.h). For a WebSocket the handler
 * is not called: *ret_request is what it asked for, or NULL when it has been answered (refused).
 */
void route_request(struct server *server, struct connection *connection,
                   const struct arrival *arrival, struct request **ret_request);
void request_free(struct request *q);

#endif
