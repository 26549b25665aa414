/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/screen.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "server/files.h"
#include "server/process.h"
#include "server/stamp.h"

#define FRESH_MS 2000
#define ANSWER_MS 10000
#define PICTURE_MAX MIB(4)

struct wish {
    struct server *server;
    char id[17];
    unsigned width;
    screen_done *done;
    void *ctx;
};

static void keep(struct machine *m, unsigned width, const uint8_t *png, size_t bytes)
{
    uint8_t *copy = malloc(bytes);

    if (!copy)
        return;
    memcpy(copy, png, bytes);
    free(m->thumbnail.png);
    m->thumbnail = (struct picture){copy, bytes, width, stamp_steady_ms()};
}

static void on_picture(void *ctx, int r, json_t *value, const char *message)
{
    struct wish *wish = ctx;
    struct machine *m = machine_find(wish->server, wish->id);
    json_t *text = json_object_get(value, "png");
    size_t len = json_string_length(text), pad = 0;
    AUTO_FREE uint8_t *png = len ? malloc(len / 4 * 3 + 4) : NULL;
    struct problem p;
    int bytes = -1;

    if (png && len <= INT32_MAX)
        bytes = EVP_DecodeBlock(png, (const uint8_t *)json_string_value(text), (int)len);
    if (r == 0 && bytes > 0) {
        while (pad < 2 && json_string_value(text)[len - 1 - pad] == '=')
            pad++;
        if (m && wish->width)
            keep(m, wish->width, png, (size_t)bytes - pad);
        wish->done(wish->ctx, png, (size_t)bytes - pad, NULL);
    } else {
        problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%s",
                    r < 0 ? message : "the picture makes no sense");
        wish->done(wish->ctx, NULL, 0, &p);
    }
    free(wish);
}

static void from_file(struct machine *m, screen_done *done, void *ctx)
{
    AUTO_FREE char *path = files_join(m->folder, "screen.png");
    AUTO_FREE char *png = NULL;
    struct problem p;
    size_t len;

    if ((m->state == MACHINE_STATE_SAVED || m->state == MACHINE_STATE_RESTORING) && path &&
        files_read(path, PICTURE_MAX, &png, &len, NULL) == 0) {
        done(ctx, (const uint8_t *)png, len, NULL);
        return;
    }
    problem_set(&p, PROBLEM_CODE_STATE, NULL, "%s is %s; it shows nothing", m->name,
                machine_state_names[m->state]);
    p.state = (int)m->state;
    done(ctx, NULL, 0, &p);
}

void screen_get(struct machine *m, unsigned width, screen_done *done, void *ctx)
{
    struct picture *t = &m->thumbnail;
    struct wish *wish;
    json_t *arguments = width ? json_pack("{s:i}", "width", (int)width) : NULL;

    if (!process_pid(m)) {
        json_decref(arguments);
        from_file(m, done, ctx);
        return;
    }
    if (width && t->png && t->width == width && stamp_steady_ms() - t->time_ms < FRESH_MS) {
        json_decref(arguments);
        done(ctx, t->png, t->bytes, NULL);
        return;
    }
    wish = calloc(1, sizeof(*wish));
    if (wish) {
        *wish = (struct wish){.server = m->server, .width = width, .done = done, .ctx = ctx};
        memcpy(wish->id, m->id, sizeof(wish->id));
        if (process_call(m, "screenshot", arguments, ANSWER_MS, on_picture, wish) == 0)
            return;
        free(wish);
    } else {
        json_decref(arguments);
    }
    from_file(m, done, ctx); /* it does not answer yet */
}
