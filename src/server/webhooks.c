/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread sends, one event after the other, so that an address that does not answer delays
 * others but never the server. What cannot be sent is tried twice more, after 1 and 4 seconds.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "server/automation.h"
#include "server/bus.h"
#include "server/stamp.h"

#define QUEUE_MAX 1000u
#define SECONDS_MAX 10L
#define RETRIES 2
#define RETRY_SECONDS 1

struct hook {
    char id[17];
    char *url, *secret, *body;
    int status; /* HTTP; 0: no answer */
    char error[CURL_ERROR_SIZE];
    struct hook *next;
};

struct last {
    char id[17];
    int status;
    struct last *next;
};

struct webhooks {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock; /* guards queue, done, count, stop */
    pthread_cond_t wake;
    struct hook *queue, *done;
    unsigned count;
    bool stop;
    uv_async_t async;
    struct last *last; /* the loop's */
};

static void hook_free(struct hook *hook)
{
    if (!hook)
        return;
    free(hook->url);
    free(hook->secret);
    free(hook->body);
    free(hook);
}

static size_t swallow(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    return size * count;
}

static void send_once(struct hook *hook)
{
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    char digest[65], signature[96];
    long status = 0;

    if (!curl)
        return;
    headers =
        curl_slist_append(headers, "Content-Type: application/cloudevents+json; charset=utf-8");
    if (hook->secret) {
        digest_hmac_hex(hook->secret, hook->body, strlen(hook->body), digest);
        snprintf(signature, sizeof(signature), "X-Yado-Signature: sha256=%s", digest);
        headers = curl_slist_append(headers, signature);
    }
    curl_easy_setopt(curl, CURLOPT_URL, hook->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, hook->body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, SECONDS_MAX);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, hook->error);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "yado/" YADO_VERSION);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    hook->status = (int)status;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

static struct hook *take(struct webhooks *w)
{
    struct hook *hook;

    pthread_mutex_lock(&w->lock);
    while (!w->queue && !w->stop)
        pthread_cond_wait(&w->wake, &w->lock);
    hook = w->stop ? NULL : w->queue;
    if (hook) {
        w->queue = hook->next;
        w->count--;
    }
    pthread_mutex_unlock(&w->lock);
    return hook;
}

/* Between two attempts, longer each time; false: there is no time left for another. */
static bool wait_for_retry(struct webhooks *w, int attempt)
{
    struct timespec until;
    bool stop;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_SECONDS * (attempt + 1) * (attempt + 1);
    pthread_mutex_lock(&w->lock);
    while (!w->stop && pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT)
        ; /* more has come to the queue */
    stop = w->stop;
    pthread_mutex_unlock(&w->lock);
    return !stop;
}

static bool is_delivered(const struct hook *hook)
{
    return hook->status >= 200 && hook->status <= 299;
}

static void *run(void *arg)
{
    struct webhooks *w = arg;
    struct hook *hook;

    while ((hook = take(w))) {
        send_once(hook);
        for (int i = 0; i < RETRIES && !is_delivered(hook) && wait_for_retry(w, i); i++)
            send_once(hook);
        pthread_mutex_lock(&w->lock);
        hook->next = w->done;
        w->done = hook;
        pthread_mutex_unlock(&w->lock);
        uv_async_send(&w->async);
    }
    return NULL;
}

static void note_status(struct webhooks *w, const char *id, int status)
{
    struct last *last = w->last;

    while (last && strcmp(last->id, id) != 0)
        last = last->next;
    if (!last) {
        last = calloc(1, sizeof(*last));
        if (!last)
            return;
        snprintf(last->id, sizeof(last->id), "%s", id);
        last->next = w->last;
        w->last = last;
    }
    last->status = status;
}

static void on_done(uv_async_t *async)
{
    struct webhooks *w = async->data;
    struct actor actor = actor_system("webhooks");
    struct hook *done;

    pthread_mutex_lock(&w->lock);
    done = w->done;
    w->done = NULL;
    pthread_mutex_unlock(&w->lock);
    while (done) {
        struct hook *hook = done;
        bool ok = hook->status >= 200 && hook->status <= 299;

        done = hook->next;
        note_status(w, hook->id, hook->status);
        if (!ok)
            bus_event(w->server,
                      &(struct event){.kind = EVENT_KIND_WEBHOOK_FAILED,
                                      .severity = SEVERITY_WARNING,
                                      .actor = &actor,
                                      .about = {OBJECT_TYPE_SERVER, NULL, NULL},
                                      .cause = EVENT_CAUSE_SERVER,
                                      .data = json_pack("{s:s, s:i}", "webhook", hook->id, "status",
                                                        hook->status)},
                      "%.300s did not take an event: %s %d", hook->url,
                      hook->status ? "status" : hook->error, hook->status);
        hook_free(hook);
    }
}

int webhooks_start(struct server *server)
{
    struct webhooks *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    w->server = server;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    uv_async_init(server->loop, &w->async, on_done);
    uv_unref((uv_handle_t *)&w->async);
    w->async.data = w;
    if (pthread_create(&w->thread, NULL, run, w)) {
        uv_close((uv_handle_t *)&w->async, NULL);
        return -EAGAIN;
    }
    server->webhooks = w;
    return 0;
}

static void on_async_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* What is being sent is waited for; that takes at most its time limit. */
void webhooks_stop(struct server *server)
{
    struct webhooks *w = server->webhooks;

    if (!w)
        return;
    server->webhooks = NULL;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (struct hook *hook = w->queue, *next; hook; hook = next)
        next = hook->next, hook_free(hook);
    for (struct hook *hook = w->done, *next; hook; hook = next)
        next = hook->next, hook_free(hook);
    for (struct last *last = w->last, *next; last; last = next)
        next = last->next, free(last);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    uv_close((uv_handle_t *)&w->async, on_async_closed);
}

void webhooks_send(struct server *server, const char *id, const char *url, const char *secret,
                   const char *body)
{
    struct webhooks *w = server->webhooks;
    struct hook *hook = w ? calloc(1, sizeof(*hook)) : NULL, **end;

    if (!hook)
        return;
    snprintf(hook->id, sizeof(hook->id), "%s", id);
    hook->url = strdup(url);
    hook->secret = secret ? strdup(secret) : NULL;
    hook->body = strdup(body);
    pthread_mutex_lock(&w->lock);
    if (hook->url && hook->body && w->count < QUEUE_MAX) {
        for (end = &w->queue; *end; end = &(*end)->next)
            ;
        *end = hook;
        w->count++;
        hook = NULL;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    hook_free(hook);
}

int webhooks_last_status(struct server *server, const char *id)
{
    for (struct last *last = server->webhooks ? server->webhooks->last : NULL; last;
         last = last->next)
        if (!strcmp(last->id, id))
            return last->status;
    return -1;
}
