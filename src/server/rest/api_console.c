/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/bus.h"
#include "server/folders.h"
#include "server/jail.h"
#include "server/merge.h"
#include "server/process.h"
#include "server/screen.h"
#include "server/stamp.h"

#define ANSWER_MS 15000

/* ---- pictures ---- */

static void on_picture(void *ctx, const uint8_t *png, size_t len_bytes, const struct problem *p)
{
    struct request *q = ctx;
    char digest[65];

    if (!png) {
        reply_problem(q, p);
        return;
    }
    digest_hex(png, len_bytes, digest);
    snprintf(q->etag, sizeof(q->etag), "\"%.16s\"", digest);
    if (*q->if_none_match && strstr(q->if_none_match, q->etag))
        reply_empty(q, 304);
    else
        reply_data(q, 200, "image/png", png, len_bytes);
}

void api_get_screenshot(struct request *q)
{
    screen_get(q->machine, 0, on_picture, q);
}

void api_get_thumbnail(struct request *q)
{
    screen_get(q->machine, (unsigned)request_integer(q, "width", 160), on_picture, q);
}

/* ---- asking the machine ---- */

static void refuse(struct request *q, int r, const char *message)
{
    enum problem_code code = r == -EINVAL ? PROBLEM_CODE_INVALID : PROBLEM_CODE_FAILED;

    reply_error(q, code, NULL, "%s", *message ? message : strerror(-r));
}

static void ask(struct request *q, const char *name, json_t *arguments, channel_done *done)
{
    struct problem p;

    if (process_call(q->machine, name, arguments, ANSWER_MS, done, q) == 0)
        return;
    problem_set(&p, PROBLEM_CODE_STATE, NULL, "%s is %s", q->machine->name,
                machine_state_names[q->machine->state]);
    p.state = (int)q->machine->state;
    reply_problem(q, &p);
}

static void on_empty(void *ctx, int r, json_t *value, const char *message)
{
    (void)value;
    if (r < 0)
        refuse(ctx, r, message);
    else
        reply_empty(ctx, 204);
}

static void on_value(void *ctx, int r, json_t *value, const char *message)
{
    if (r < 0)
        refuse(ctx, r, message);
    else
        reply_json(ctx, 200, json_incref(value));
}

void api_get_screen_text(struct request *q)
{
    ask(q, "screen-text", NULL, on_value);
}

void api_send_keys(struct request *q)
{
    ask(q, "send-keys", json_incref(q->body), on_empty);
}

void api_type_text(struct request *q)
{
    ask(q, "type-text", json_incref(q->body), on_empty);
}

void api_interrupt_machine(struct request *q)
{
    ask(q, "nmi", NULL, on_empty);
}

void api_set_undo_action(struct request *q)
{
    ask(q, "undo", json_incref(q->body), on_empty);
}

/* ---- drives ---- */

/* The definition follows the drive, so that the next start finds the same medium. */
static void media_changed(struct request *q, json_t *file)
{
    const char *drive = request_text(q, "drive");
    json_t *patch = json_pack("{s:O}", drive, file);
    json_t *definition = patch ? merge_patch(q->machine->definition, patch) : NULL;
    struct problem p;

    json_decref(patch);
    if (!definition || machine_redefine(q->machine, definition, &p) < 0) {
        json_decref(definition);
        reply_problem(q, &p);
        return;
    }
    json_decref(definition);
    process_medium(q->machine, drive, file);
    bus_event(q->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_MEDIA_CHANGED,
                              .actor = &q->actor,
                              .about = machine_about(q->machine),
                              .cause = EVENT_CAUSE_REQUEST},
              "the %s of %s %s %s", drive, q->machine->name,
              json_is_string(file) ? "has" : "was emptied",
              json_is_string(file) ? json_string_value(file) : "");
    machine_changed(q->machine);
    reply_machine(q, 200, q->machine);
}

static bool machine_still_there(struct request *q)
{
    const char *id = request_text(q, "machine");

    q->machine = machine_find(q->server, id);
    if (!q->machine)
        reply_error(q, PROBLEM_CODE_NOT_FOUND, NULL, "the machine was removed meanwhile");
    return q->machine != NULL;
}

static void on_inserted(void *ctx, int r, json_t *value, const char *message)
{
    struct request *q = ctx;

    (void)value;
    if (r < 0)
        refuse(q, r, message);
    else if (machine_still_there(q))
        media_changed(q, json_object_get(q->body, "file"));
}

static void on_reached(void *ctx, const struct problem *p)
{
    struct request *q = ctx;

    if (p)
        reply_problem(q, p);
    else if (machine_still_there(q))
        ask(q, "insert",
            json_pack("{s:s, s:O}", "drive", request_text(q, "drive"), "path",
                      json_object_get(q->body, "file")),
            on_inserted);
}

void api_insert_medium(struct request *q)
{
    const char *file = json_string_value(json_object_get(q->body, "file"));
    AUTO_FREE char *real = NULL;
    struct problem p;

    if (folder_resolve(q->server, file, FOLDER_READ, "/file", &real, NULL, &p) < 0) {
        reply_problem(q, &p);
        return;
    }
    if (!request_may_disk(q, real, RIGHT_VIEW))
        return;
    json_object_set_new(q->body, "file", json_string(real));
    if (process_pid(q->machine))
        jail_reach(q->machine, real, on_reached, q);
    else
        media_changed(q, json_object_get(q->body, "file"));
}

static void on_ejected(void *ctx, int r, json_t *value, const char *message)
{
    struct request *q = ctx;

    (void)value;
    if (r < 0)
        refuse(q, r, message);
    else if (machine_still_there(q))
        media_changed(q, json_null());
}

void api_eject_medium(struct request *q)
{
    if (process_pid(q->machine))
        ask(q, "eject",
            json_pack("{s:s, s:b}", "drive", request_text(q, "drive"), "force",
                      request_boolean(q, "force")),
            on_ejected);
    else
        media_changed(q, json_null());
}

/* These are WebSockets; http.c takes them over before a handler is called. */
void api_open_screen(struct request *q)
{
    reply_error(q, PROBLEM_CODE_MALFORMED, "Upgrade", "this is a WebSocket");
}

void api_open_serial(struct request *q)
{
    reply_error(q, PROBLEM_CODE_MALFORMED, "Upgrade", "this is a WebSocket");
}
