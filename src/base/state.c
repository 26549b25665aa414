/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The saved state as bytes: a magic number, then sections, each with its fields.
 *
 *     file    := "YADOST01" section*
 *     section := u16 name length, u32 version, u64 body length, name, body
 *     body    := field*
 *     field   := u16 name length, u64 value length, name, value
 *
 * Everything is little-endian. The whole framing is checked once when a file is taken in, so that
 * the look-ups that follow need no bounds checks of their own.
 */
#include "base/state.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

#define MAGIC "YADOST01"
#define MAGIC_BYTES 8u
#define SECTION_HEAD_BYTES 14u
#define FIELD_HEAD_BYTES 10u

struct state {
    bool loading;
    int error;
    uint8_t *data;
    size_t len_bytes, room_bytes;
    /* The section entered last: its head, and its body [body, body_end). None: body is 0. */
    size_t head, body, body_end;
    bool missing;  /* loading: the section asked for last is not in the file */
    size_t cursor; /* loading: where the next field is expected, for fields come in order */
};

static void fail(struct state *s, int error)
{
    if (!s->error)
        s->error = error;
}

/* True when sections (and the fields within them), or fields, fill [at, end) exactly. */
static bool frames_fit(const uint8_t *data, size_t at, size_t end, bool sections)
{
    size_t head_bytes = sections ? SECTION_HEAD_BYTES : FIELD_HEAD_BYTES;
    while (at < end) {
        if (end - at < head_bytes)
            return false;
        size_t name_bytes = le16_get(data + at);
        uint64_t len_bytes = le64_get(data + at + head_bytes - 8);
        at += head_bytes;
        if (end - at < name_bytes || end - at - name_bytes < len_bytes)
            return false;
        at += name_bytes;
        if (sections && !frames_fit(data, at, at + len_bytes, false))
            return false;
        at += len_bytes;
    }
    return true;
}

static int state_make(bool loading, size_t room_bytes, struct state **ret_state)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loading = loading;
    s->room_bytes = room_bytes;
    s->data = malloc(room_bytes);
    if (!s->data) {
        free(s);
        return -ENOMEM;
    }
    *ret_state = s;
    return 0;
}

int state_new_save(struct state **ret_state)
{
    struct state *s;
    int r = state_make(false, 4096, &s);
    if (r < 0)
        return r;
    memcpy(s->data, MAGIC, MAGIC_BYTES);
    s->len_bytes = MAGIC_BYTES;
    *ret_state = s;
    return 0;
}

int state_new_load(const void *data, size_t len_bytes, struct state **ret_state)
{
    if (len_bytes < MAGIC_BYTES || memcmp(data, MAGIC, MAGIC_BYTES) != 0)
        return -EBADMSG;
    struct state *s;
    int r = state_make(true, len_bytes, &s);
    if (r < 0)
        return r;
    memcpy(s->data, data, len_bytes);
    s->len_bytes = len_bytes;
    if (!frames_fit(s->data, MAGIC_BYTES, len_bytes, true)) {
        state_free(s);
        return -EBADMSG;
    }
    *ret_state = s;
    return 0;
}

struct state *state_free(struct state *s)
{
    if (s) {
        free(s->data);
        free(s);
    }
    return NULL;
}

const void *state_data(const struct state *s, size_t *ret_len_bytes)
{
    *ret_len_bytes = s->len_bytes;
    return s->data;
}

bool state_loading(const struct state *s)
{
    return s->loading;
}

int state_error(const struct state *s)
{
    return s->error;
}

/* Room for len_bytes more at the end; NULL when there is none. */
static uint8_t *grow(struct state *s, size_t len_bytes)
{
    if (s->room_bytes - s->len_bytes < len_bytes) {
        size_t room_bytes = s->room_bytes * 2;
        while (room_bytes - s->len_bytes < len_bytes)
            room_bytes *= 2;
        uint8_t *data = realloc(s->data, room_bytes);
        if (!data) {
            fail(s, -ENOMEM);
            return NULL;
        }
        s->data = data;
        s->room_bytes = room_bytes;
    }
    uint8_t *at = s->data + s->len_bytes;
    s->len_bytes += len_bytes;
    return at;
}

/* The section of that name, or 0. */
static size_t find_section(const struct state *s, const char *name)
{
    size_t name_bytes = strlen(name);
    for (size_t at = MAGIC_BYTES; at < s->len_bytes;) {
        size_t have = le16_get(s->data + at);
        if (have == name_bytes && !memcmp(s->data + at + SECTION_HEAD_BYTES, name, have))
            return at;
        at += SECTION_HEAD_BYTES + have + le64_get(s->data + at + 6);
    }
    return 0;
}

static int enter_loading(struct state *s, const char *name, uint32_t *version)
{
    size_t at = find_section(s, name);
    s->body = s->body_end = s->cursor = 0;
    s->missing = !at;
    if (!at)
        return -ENOENT;
    *version = le32_get(s->data + at + 2);
    s->body = at + SECTION_HEAD_BYTES + le16_get(s->data + at);
    s->body_end = s->body + le64_get(s->data + at + 6);
    s->cursor = s->body;
    return 0;
}

int state_section(struct state *s, const char *name, uint32_t *version)
{
    if (s->error)
        return s->error;
    if (s->loading)
        return enter_loading(s, name, version);

    size_t name_bytes = strlen(name);
    if (name_bytes > UINT16_MAX || find_section(s, name)) {
        fail(s, -EEXIST);
        return s->error;
    }
    s->head = s->len_bytes;
    uint8_t *at = grow(s, SECTION_HEAD_BYTES + name_bytes);
    if (!at)
        return s->error;
    le16_put(at, (uint16_t)name_bytes);
    le32_put(at + 2, *version);
    le64_put(at + 6, 0);
    memcpy(at + SECTION_HEAD_BYTES, name, name_bytes);
    s->body = s->body_end = s->len_bytes;
    return 0;
}

/* The field of that name in [from, to): the offset of its head, or 0. */
static size_t find_field(const struct state *s, const char *name, size_t from, size_t to)
{
    size_t name_bytes = strlen(name);
    for (size_t at = from; at < to;) {
        size_t have = le16_get(s->data + at);
        if (have == name_bytes && !memcmp(s->data + at + FIELD_HEAD_BYTES, name, have))
            return at;
        at += FIELD_HEAD_BYTES + have + le64_get(s->data + at + 2);
    }
    return 0;
}

static void save_field(struct state *s, const char *name, const void *v, size_t len_bytes)
{
    /* Without a section of its own a walk goes into one without a name. */
    uint32_t version = 0;
    if (!s->body && state_section(s, "", &version) < 0)
        return;
    size_t name_bytes = strlen(name);
    if (name_bytes > UINT16_MAX || find_field(s, name, s->body, s->len_bytes)) {
        fail(s, -EEXIST);
        return;
    }
    uint8_t *at = grow(s, FIELD_HEAD_BYTES + name_bytes + len_bytes);
    if (!at)
        return;
    le16_put(at, (uint16_t)name_bytes);
    le64_put(at + 2, len_bytes);
    memcpy(at + FIELD_HEAD_BYTES, name, name_bytes);
    if (len_bytes)
        memcpy(at + FIELD_HEAD_BYTES + name_bytes, v, len_bytes);
    s->body_end = s->len_bytes;
    le64_put(s->data + s->head + 6, s->body_end - s->body);
}

/* The field of that name in the section entered, or 0. */
static size_t find_loaded(struct state *s, const char *name)
{
    uint32_t version;
    if (!s->body && (s->missing || enter_loading(s, "", &version) < 0))
        return 0;
    size_t at = find_field(s, name, s->cursor, s->body_end);
    return at ? at : find_field(s, name, s->body, s->cursor);
}

static void load_field(struct state *s, const char *name, void *v, size_t len_bytes)
{
    size_t at = find_loaded(s, name);
    if (!at)
        return;
    size_t name_bytes = le16_get(s->data + at);
    if (le64_get(s->data + at + 2) != len_bytes) {
        fail(s, -EBADMSG);
        return;
    }
    s->cursor = at + FIELD_HEAD_BYTES + name_bytes + len_bytes;
    if (len_bytes)
        memcpy(v, s->data + at + FIELD_HEAD_BYTES + name_bytes, len_bytes);
}

void state_string(struct state *s, const char *name, char *v, size_t room_bytes)
{
    if (s->error)
        return;
    if (!s->loading) {
        save_field(s, name, v, strnlen(v, room_bytes - 1));
        return;
    }
    size_t at = find_loaded(s, name);
    if (!at)
        return;
    size_t name_bytes = le16_get(s->data + at);
    uint64_t len_bytes = le64_get(s->data + at + 2);
    const uint8_t *text = s->data + at + FIELD_HEAD_BYTES + name_bytes;
    if (len_bytes >= room_bytes || memchr(text, 0, len_bytes)) {
        fail(s, -EBADMSG);
        return;
    }
    s->cursor = at + FIELD_HEAD_BYTES + name_bytes + len_bytes;
    memcpy(v, text, len_bytes);
    v[len_bytes] = '\0';
}

void state_bytes(struct state *s, const char *name, void *v, size_t len_bytes)
{
    if (s->error)
        return;
    if (s->loading)
        load_field(s, name, v, len_bytes);
    else
        save_field(s, name, v, len_bytes);
}

void state_bool(struct state *s, const char *name, bool *v)
{
    uint8_t byte = *v;
    state_bytes(s, name, &byte, 1);
    state_check(s, byte <= 1);
    if (s->loading && !s->error)
        *v = byte;
}

/* The host is little-endian (base/bytes.h): numbers are their bytes. */
void state_u8(struct state *s, const char *name, uint8_t *v)
{
    state_bytes(s, name, v, sizeof(*v));
}

void state_u16(struct state *s, const char *name, uint16_t *v)
{
    state_bytes(s, name, v, sizeof(*v));
}

void state_u32(struct state *s, const char *name, uint32_t *v)
{
    state_bytes(s, name, v, sizeof(*v));
}

void state_u64(struct state *s, const char *name, uint64_t *v)
{
    state_bytes(s, name, v, sizeof(*v));
}

void state_check(struct state *s, bool ok)
{
    if (s->loading && !ok)
        fail(s, -EBADMSG);
}

void state_timer(struct state *s, const char *name, struct timer *timer)
{
    uint64_t deadline_ns = timer->deadline_ns;
    state_u64(s, name, &deadline_ns);
    if (s->loading && !s->error)
        timer_set(timer, deadline_ns);
}
