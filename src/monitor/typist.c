/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of key events and a timer. One event every 10 ms: a PS/2 keyboard sends a byte in about
 * 1 ms, and its controller's buffer holds 16.
 */
#include "monitor/typist.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVENT_MS 10

struct key_event {
    enum key key;
    bool down;
};

struct typist {
    uv_loop_t *loop;
    struct machine *machine;
    uv_timer_t timer;
    bool open;
    unsigned at, count;
    struct key_event events[TYPIST_EVENTS_MAX];
};

static void on_timer(uv_timer_t *timer)
{
    struct typist *t = timer->data;

    if (machine_is_paused(t->machine))
        return;
    if (t->count) {
        struct key_event event = t->events[t->at];
        int r;

        machine_lock(t->machine);
        r = machine_key(t->machine, event.key, event.down);
        machine_unlock(t->machine);
        if (r == -EAGAIN) /* the guest does not read: later */
            return;
        t->at = (t->at + 1) % TYPIST_EVENTS_MAX;
        t->count--;
    }
    if (!t->count)
        uv_timer_stop(timer);
}

static void add(struct typist *t, enum key key, bool down)
{
    t->events[(t->at + t->count) % TYPIST_EVENTS_MAX] = (struct key_event){key, down};
    t->count++;
    if (!uv_is_active((uv_handle_t *)&t->timer))
        uv_timer_start(&t->timer, on_timer, 0, EVENT_MS);
}

int typist_chord(struct typist *t, const char *chord, struct error *err)
{
    enum key keys[TYPIST_CHORD_MAX];
    const char *p = chord;
    unsigned count = 0;
    char name[32];

    do {
        size_t len = strcspn(p, "-");

        len += len == 0 && *p; /* a lone minus */
        if (count == TYPIST_CHORD_MAX)
            return error_set(err, -EINVAL, "'%.64s': at most %u keys at once", chord,
                             TYPIST_CHORD_MAX);
        snprintf(name, sizeof(name), "%.*s", (int)MIN(len, sizeof(name) - 1), p);
        keys[count] = key_by_name(len == 1 && *p == '-' ? "minus" : name);
        if (!keys[count])
            return error_set(err, -EINVAL, "'%s' is not the name of a key", name);
        count++;
        p += len;
    } while (*p++ == '-');
    if (TYPIST_EVENTS_MAX - t->count < 2 * count)
        return error_set(err, -EAGAIN, "too many keys are waiting; try later");
    for (unsigned i = 0; i < count; i++)
        add(t, keys[i], true);
    while (count--)
        add(t, keys[count], false);
    return 0;
}

int typist_text(struct typist *t, const char *text, size_t len_bytes, struct error *err)
{
    int shift;

    for (size_t i = 0; i < len_bytes; i++)
        if (!key_by_char(text[i], &shift))
            return error_set(err, -EINVAL, "character %zu (0x%02x) is on no key of a US keyboard",
                             i + 1, (unsigned char)text[i]);
    if (len_bytes > (TYPIST_EVENTS_MAX - t->count) / 4)
        return error_set(err, -EAGAIN, "too many keys are waiting; try later");
    for (size_t i = 0; i < len_bytes; i++) {
        enum key key = key_by_char(text[i], &shift);

        if (shift)
            add(t, KEY_shift, true);
        add(t, key, true);
        add(t, key, false);
        if (shift)
            add(t, KEY_shift, false);
    }
    return 0;
}

int typist_new(uv_loop_t *loop, struct machine *machine, struct typist **ret_typist)
{
    struct typist *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->loop = loop;
    t->machine = machine;
    uv_timer_init(loop, &t->timer);
    t->timer.data = t;
    t->open = true;
    *ret_typist = t;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct typist *t = handle->data;

    t->open = false;
}

struct typist *typist_free(struct typist *t)
{
    if (!t)
        return NULL;
    uv_close((uv_handle_t *)&t->timer, on_closed);
    while (t->open)
        uv_run(t->loop, UV_RUN_NOWAIT);
    free(t);
    return NULL;
}
