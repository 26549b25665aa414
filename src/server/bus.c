/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/bus.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/journal.h"
#include "server/stamp.h"

void bus_listen(struct server *server, struct bus_listener *listener)
{
    listener->next = server->listeners;
    server->listeners = listener;
}

void bus_leave(struct server *server, struct bus_listener *listener)
{
    for (struct bus_listener **at = &server->listeners; *at; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            return;
        }
    }
}

void bus_send(struct server *server, const struct bus_message *message)
{
    /* A listener may leave while it hears. */
    for (struct bus_listener *l = server->listeners, *following; l; l = following) {
        following = l->next;
        l->hear(l->ctx, message);
    }
}

static json_t *event_json(const struct event *event, const char *message, int64_t now)
{
    char time[STAMP_TEXT];
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:s}", "time", stamp_format(now, time), "kind",
                  event_kind_names[event->kind], "severity", severity_names[event->severity],
                  "actor", actor_json(event->actor), "object", about_json(&event->about), "cause",
                  event_cause_names[event->cause], "message", message);

    if (o && event->task)
        json_object_set_new(o, "task", json_string(event->task));
    if (o && event->data)
        json_object_set(o, "data", event->data);
    return o;
}

/* What a search looks through, in lower case. */
static char *search_words(const struct event *event, const char *message)
{
    char *words;

    if (asprintf(&words, "%s %s %s %s %s", message, event_kind_names[event->kind],
                 event->actor->name, event->about.name ? event->about.name : "",
                 event->about.id ? event->about.id : "") < 0)
        return NULL;
    for (char *p = words; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return words;
}

static void keep(struct server *server, const struct event *event, json_t *o, const char *message,
                 int64_t now, int64_t *ret_id)
{
    AUTO_FREE char *words = search_words(event, message);
    AUTO_FREE char *text = json_dumps(o, JSON_COMPACT);

    if (words && text)
        store_run(server->store, ret_id,
                  "INSERT INTO events (time, kind, severity, actor, object_type, object, words,"
                  " json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                  "isisssss", now, event_kind_names[event->kind], (int64_t)event->severity,
                  event->actor->name, object_type_names[event->about.type],
                  event->about.id ? event->about.id : "", words, text);
}

void bus_event(struct server *server, const struct event *event, const char *fmt, ...)
{
    struct bus_message told = {.type = BUS_EVENT};
    int64_t now = stamp_now_ms();
    char message[768];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    for (char *p = message; *p; p++) /* also what a guest's name or a program's output brings */
        if ((unsigned char)*p < ' ')
            *p = ' ';
    told.event = event_json(event, message, now);
    if (!told.event) { /* no memory, or text of a program that is not UTF-8 */
        for (char *p = message; *p; p++)
            if (*p & 0x80)
                *p = '?';
        told.event = event_json(event, message, now);
    }
    if (told.event) {
        keep(server, event, told.event, message, now, &told.event_id);
        json_object_set_new(told.event, "id", json_integer(told.event_id));
        journal_event(told.event);
        bus_send(server, &told);
    }
    json_decref(told.event);
    json_decref(event->data);
}
