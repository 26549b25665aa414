/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/client_priv.h"

#define SOCKET_PATH "/run/yado/api"
#define ANSWER_MAX MIB(64)
#define WAIT_SECONDS 20

int client_new(struct client **ret_client, struct error *err)
{
    const char *server = getenv("YADO_SERVER"), *token = getenv("YADO_TOKEN");
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return -ENOMEM;
    server = server && *server ? server : SOCKET_PATH;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->curl = curl_easy_init();
    if (*server == '/')
        client->socket = strdup(server);
    client->base = strdup(*server == '/' ? "http://localhost" : server);
    client->token = token && *token ? strdup(token) : NULL;
    if (!client->curl || !client->base) {
        client_free(client);
        return -ENOMEM;
    }
    if (*server != '/' && strncmp(server, "https://", 8) != 0) {
        client_free(client);
        return error_set(err, -EINVAL,
                         "YADO_SERVER: '%s' is neither the path of a socket nor https://HOST:PORT",
                         server);
    }
    *ret_client = client;
    return 0;
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    curl_easy_cleanup(client->curl);
    free(client->base);
    free(client->socket);
    free(client->token);
    free(client->data);
    free(client);
    return NULL;
}

/* Server-sent events: lines that begin with "data:" have what is told. */
static void hear_lines(struct client *client)
{
    char *line = client->data, *end;

    while ((end = memchr(line, '\n', client->len - (size_t)(line - client->data)))) {
        *end = '\0';
        if (!strncmp(line, "data: ", 6))
            client->hear(client->hear_ctx, line + 6);
        line = end + 1;
    }
    client->len -= (size_t)(line - client->data);
    memmove(client->data, line, client->len);
}

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
    struct client *client = ctx;
    size_t len = size * count;
    char *more;

    if (client->len + len > ANSWER_MAX)
        return 0;
    more = realloc(client->data, client->len + len + 1);
    if (!more)
        return 0;
    memcpy(more + client->len, data, len);
    client->data = more;
    client->len += len;
    more[client->len] = '\0';
    if (client->hear)
        hear_lines(client);
    return len;
}

static struct curl_slist *headers_of(struct client *client, bool body, const char *if_match)
{
    struct curl_slist *headers = NULL;
    char text[300];

    headers = curl_slist_append(headers, body ? "Content-Type: application/json" : "Content-Type:");
    snprintf(text, sizeof(text), "Prefer: wait=%d", WAIT_SECONDS);
    headers = curl_slist_append(headers, text);
    if (client->token) {
        snprintf(text, sizeof(text), "Authorization: Bearer %.200s", client->token);
        headers = curl_slist_append(headers, text);
    }
    if (if_match) {
        snprintf(text, sizeof(text), "If-Match: %.200s", if_match);
        headers = curl_slist_append(headers, text);
    }
    return headers;
}

static int perform(struct client *client, const char *method, const char *path, const char *body,
                   const char *if_match, long *ret_status, struct error *err)
{
    struct curl_slist *headers = headers_of(client, body != NULL, if_match);
    AUTO_FREE char *url = NULL;
    CURLcode rc;

    if (asprintf(&url, "%s/api/v1%s", client->base, path) < 0) {
        url = NULL;
        curl_slist_free_all(headers);
        return -ENOMEM;
    }
    client->len = 0;
    curl_easy_reset(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (client->socket)
        curl_easy_setopt(client->curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(client->curl, CURLOPT_CUSTOMREQUEST, method);
    if (body)
        curl_easy_setopt(client->curl, CURLOPT_COPYPOSTFIELDS, body);
    else if (!strcmp(method, "POST"))
        curl_easy_setopt(client->curl, CURLOPT_COPYPOSTFIELDS, "");
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    rc = curl_easy_perform(client->curl);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return error_set(err, -EHOSTUNREACH, "%s does not answer: %s; is yadod running?",
                         client->socket ? client->socket : client->base,
                         *client->error ? client->error : curl_easy_strerror(rc));
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, ret_status);
    return 0;
}

int client_call(struct client *client, const char *method, const char *path, json_t *body,
                const char *if_match, long *ret_status, json_t **ret_value, struct error *err)
{
    AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool no_memory = body && !text;
    int r;

    json_decref(body);
    if (no_memory)
        return -ENOMEM;
    r = perform(client, method, path, text, if_match, ret_status, err);
    if (r == 0)
        *ret_value = client->len ? json_loadb(client->data, client->len, 0, NULL) : NULL;
    return r;
}

/* What the server has said against it, with the field where it named one. */
static int refusal(json_t *problem, long status, struct error *err)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *title = json_string_value(json_object_get(problem, "title"));
    const char *field = json_string_value(json_object_get(problem, "field"));

    if (!detail && !title)
        return error_set(err, -EREMOTEIO, "the server answers with status %ld", status);
    return error_set(err, -EREMOTEIO, "%s%s%s", field ? field : "", field ? ": " : "",
                     detail ? detail : title);
}

static const char *member(json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? text : "";
}

/* A task to its end. *value is the task, and becomes what it is then. */
static int wait_for(struct client *client, json_t **value, void (*percent)(void *ctx, int percent),
                    void *ctx, struct error *err)
{
    while (!strcmp(member(*value, "state"), "running")) {
        json_t *done = json_object_get(*value, "percent");
        char path[64];
        long status;
        int r;

        if (percent && done)
            percent(ctx, (int)json_integer_value(done));
        snprintf(path, sizeof(path), "/tasks/%.32s", member(*value, "id"));
        json_decref(*value);
        *value = NULL;
        r = client_call(client, "GET", path, NULL, NULL, &status, value, err);
        if (r < 0)
            return r;
        if (status != 200)
            return refusal(*value, status, err);
    }
    if (!strcmp(member(*value, "state"), "failed"))
        return refusal(json_object_get(*value, "problem"), 0, err);
    if (!strcmp(member(*value, "state"), "cancelled"))
        return error_set(err, -ECANCELED, "it was cancelled");
    return 0;
}

int client_do(struct client *client, const char *method, const char *path, json_t *body,
              const char *if_match, void (*percent)(void *ctx, int percent), void *ctx,
              json_t **ret_value, struct error *err)
{
    json_t *value = NULL;
    long status = 0;
    int r = client_call(client, method, path, body, if_match, &status, &value, err);

    if (r == 0 && (status < 200 || status > 299))
        r = refusal(value, status, err);
    else if (r == 0 && status == 202)
        r = wait_for(client, &value, percent, ctx, err);
    if (r < 0 || !ret_value) {
        json_decref(value);
        return r;
    }
    *ret_value = value;
    return 0;
}

int client_fetch(struct client *client, const char *path, char **ret_data, size_t *ret_len_bytes,
                 struct error *err)
{
    long status;
    int r = perform(client, "GET", path, NULL, NULL, &status, err);

    if (r < 0)
        return r;
    if (status != 200) {
        json_t *problem = client->len ? json_loadb(client->data, client->len, 0, NULL) : NULL;

        r = refusal(problem, status, err);
        json_decref(problem);
        return r;
    }
    *ret_data = TAKE_PTR(client->data);
    *ret_len_bytes = client->len;
    client->len = 0;
    return 0;
}

int client_follow(struct client *client, const char *path,
                  void (*hear)(void *ctx, const char *data), void *ctx, struct error *err)
{
    long status = 0;
    int r;

    client->hear = hear;
    client->hear_ctx = ctx;
    r = perform(client, "GET", path, NULL, NULL, &status, err);
    client->hear = NULL;
    if (r == 0 && status != 200)
        r = refusal(NULL, status, err);
    return r;
}

char *client_escape(struct client *client, const char *text)
{
    char *escaped = curl_easy_escape(client->curl, text, 0), *copy;

    copy = escaped ? strdup(escaped) : NULL;
    curl_free(escaped);
    return copy;
}
