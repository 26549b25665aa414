/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <string.h>

#define FIRST_ROOM 1024u

/* Room for len more and a NUL. */
static bool make_room(struct text *t, size_t len)
{
    size_t room = t->room ? t->room : FIRST_ROOM;
    char *more;

    if (t->failed || len >= SIZE_MAX / 4 - t->len) {
        t->failed = true;
        return false;
    }
    while (room <= t->len + len)
        room *= 2;
    if (room == t->room)
        return true;
    more = realloc(t->data, room);
    if (!more) {
        t->failed = true;
        return false;
    }
    t->data = more;
    t->room = room;
    return true;
}

void text_add(struct text *t, const char *data, size_t len)
{
    if (!make_room(t, len))
        return;
    memcpy(t->data + t->len, data, len);
    t->len += len;
}

void text_puts(struct text *t, const char *string)
{
    text_add(t, string, strlen(string));
}

char *text_take(struct text *t)
{
    char *data = t->data;

    if (!make_room(t, 0)) {
        free(data);
        data = NULL;
    } else {
        data = t->data;
        data[t->len] = '\0';
    }
    *t = (struct text){.data = NULL};
    return data;
}
