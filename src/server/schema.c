/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/schema.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/stamp.h"

#define DEPTH_MAX 16u

struct walk {
    struct schema_fault *fault;
    char path[256];
    unsigned depth;
};

static int check(struct walk *w, const struct schema *schema, json_t *value);

static int wrong(struct walk *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int wrong(struct walk *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(w->fault->error.text, sizeof(w->fault->error.text), fmt, ap);
    va_end(ap);
    snprintf(w->fault->field, sizeof(w->fault->field), "%s", w->path);
    return -EINVAL;
}

/* Go into a member; the length to go back to. "~" and "/" are written as RFC 6901 says. */
static size_t enter(struct walk *w, const char *name)
{
    size_t before = strlen(w->path), at = before;

    if (at + 2 < sizeof(w->path))
        w->path[at++] = '/';
    for (; *name && at + 3 < sizeof(w->path); name++) {
        if (*name == '~' || *name == '/') {
            w->path[at++] = '~';
            w->path[at++] = *name == '~' ? '0' : '1';
        } else {
            w->path[at++] = *name;
        }
    }
    w->path[at] = '\0';
    return before;
}

static unsigned type_of(json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return SCHEMA_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    case JSON_INTEGER:
        return SCHEMA_INTEGER | SCHEMA_NUMBER;
    case JSON_REAL:
        return SCHEMA_NUMBER;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    default:
        return SCHEMA_OBJECT;
    }
}

static const char *type_words(unsigned types)
{
    static const struct {
        unsigned type;
        const char *words;
    } names[] = {{SCHEMA_OBJECT, "an object"}, {SCHEMA_ARRAY, "an array"},
                 {SCHEMA_STRING, "a string"},  {SCHEMA_INTEGER, "a whole number"},
                 {SCHEMA_NUMBER, "a number"},  {SCHEMA_BOOLEAN, "true or false"},
                 {SCHEMA_NULL, "null"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (types & names[i].type)
            return names[i].words;
    return "something else";
}

static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (*text & 0xc0) != 0x80; /* UTF-8: all bytes but the later ones of a character */
    return n;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;
    bool ok;

    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
        return false;
    ok = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return ok;
}

static int check_choice(struct walk *w, const struct schema *schema, const char *text)
{
    char list[384] = "";

    for (size_t i = 0; schema->choices[i]; i++) {
        size_t used = strlen(list);

        if (!strcmp(schema->choices[i], text))
            return 0;
        snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", schema->choices[i]);
    }
    return wrong(w, "'%.40s' is not one of %.380s", text, list);
}

static int check_string(struct walk *w, const struct schema *schema, json_t *value)
{
    const char *text = json_string_value(value);
    size_t length = characters(text);

    if (strlen(text) != json_string_length(value))
        return wrong(w, "a character is NUL");
    if (schema->choices)
        return check_choice(w, schema, text);
    if (length < schema->length_min)
        return wrong(w, "give at least %u character%s", schema->length_min,
                     schema->length_min == 1 ? "" : "s");
    if (schema->length_max && length > schema->length_max)
        return wrong(w, "give at most %u characters", schema->length_max);
    if (schema->pattern && !matches(schema->pattern, text))
        return wrong(w, "'%.60s' does not fit %s", text, schema->pattern);
    if (schema->date_time && stamp_parse(text, &(int64_t){0}) < 0)
        return wrong(w, "'%.60s' is not a time such as 2026-11-27T06:30:00Z", text);
    return 0;
}

static int check_number(struct walk *w, const struct schema *schema, json_t *value)
{
    double n = json_number_value(value);

    /* The same comparison for both kinds; whole numbers compare exactly as such. */
    if (json_is_integer(value)) {
        json_int_t i = json_integer_value(value);

        if (schema->has_minimum && i < schema->minimum)
            return wrong(w, "%lld is less than %lld", (long long)i, schema->minimum);
        if (schema->has_maximum && i > schema->maximum)
            return wrong(w, "%lld is more than %lld", (long long)i, schema->maximum);
        return 0;
    }
    if (schema->has_minimum && n < (double)schema->minimum)
        return wrong(w, "%g is less than %lld", n, schema->minimum);
    if (schema->has_maximum && n > (double)schema->maximum)
        return wrong(w, "%g is more than %lld", n, schema->maximum);
    return 0;
}

static int check_array(struct walk *w, const struct schema *schema, json_t *value)
{
    size_t i, count = json_array_size(value);
    json_t *item;

    if (count < schema->items_min)
        return wrong(w, "give at least %u", schema->items_min);
    if (schema->items_max && count > schema->items_max)
        return wrong(w, "give at most %u", schema->items_max);
    if (!schema->items)
        return 0;
    json_array_foreach(value, i, item)
    {
        char index[24];
        size_t before;
        int r;

        snprintf(index, sizeof(index), "%zu", i);
        before = enter(w, index);
        r = check(w, schema->items, item);
        if (r < 0)
            return r;
        w->path[before] = '\0';
    }
    return 0;
}

static const struct schema *property(const struct schema *schema, const char *name)
{
    for (const struct schema_property *p = schema->properties; p && p->name; p++)
        if (!strcmp(p->name, name))
            return p->schema;
    return NULL;
}

static int check_object(struct walk *w, const struct schema *schema, json_t *value)
{
    const char *name;
    json_t *member;

    json_object_foreach(value, name, member)
    {
        const struct schema *of = property(schema, name);
        size_t before = enter(w, name);
        int r = 0;

        if (of || schema->additional)
            r = check(w, of ? of : schema->additional, member);
        else if (schema->closed)
            r = wrong(w, "there is no '%.60s' here", name);
        if (r < 0)
            return r;
        w->path[before] = '\0';
    }
    for (size_t i = 0; schema->required && schema->required[i]; i++) {
        if (!json_object_get(value, schema->required[i])) {
            enter(w, schema->required[i]);
            return wrong(w, "'%s' is missing", schema->required[i]);
        }
    }
    return 0;
}

static int check_one_of(struct walk *w, const struct schema *schema, json_t *value)
{
    size_t before = strlen(w->path);
    unsigned type = type_of(value);
    int r = -EINVAL;

    for (size_t i = 0; schema->one_of[i]; i++) {
        const struct schema *one = schema->one_of[i];

        w->path[before] = '\0';
        r = check(w, one, value);
        /* Of two that do not fit, the one with the right type says what is wrong. */
        if (r == 0 || (one->types & type))
            return r;
    }
    return r;
}

static int check(struct walk *w, const struct schema *schema, json_t *value)
{
    unsigned type = type_of(value);
    int r = 0;

    if (w->depth == DEPTH_MAX)
        return wrong(w, "nested too deeply");
    if (schema->types && !(schema->types & type))
        return wrong(w, "give %s", type_words(schema->types));
    w->depth++;
    if (schema->one_of)
        r = check_one_of(w, schema, value);
    else if (type == SCHEMA_STRING)
        r = check_string(w, schema, value);
    else if (type & SCHEMA_NUMBER)
        r = check_number(w, schema, value);
    else if (type == SCHEMA_ARRAY)
        r = check_array(w, schema, value);
    else if (type == SCHEMA_OBJECT)
        r = check_object(w, schema, value);
    w->depth--;
    return r;
}

int schema_check(const struct schema *schema, json_t *value, struct schema_fault *ret_fault)
{
    struct walk w = {.fault = ret_fault};

    return check(&w, schema, value);
}

int schema_check_text(const struct schema *schema, const char *text, json_t **ret_value,
                      struct schema_fault *ret_fault)
{
    struct walk w = {.fault = ret_fault};
    json_t *value = NULL;
    char *end;
    int r;

    if (schema->types == SCHEMA_INTEGER) {
        long long n;

        errno = 0;
        n = strtoll(text, &end, 10);
        if (!*text || *end || errno || *text == ' ' || *text == '+')
            return wrong(&w, "'%.60s' is not a whole number", text);
        value = json_integer(n);
    } else if (schema->types == SCHEMA_BOOLEAN) {
        if (strcmp(text, "true") && strcmp(text, "false"))
            return wrong(&w, "'%.60s' is not true or false", text);
        value = json_boolean(*text == 't');
    } else {
        value = json_string(text);
        if (!value)
            return wrong(&w, "the text is not UTF-8");
    }
    r = check(&w, schema, value);
    if (r < 0) {
        json_decref(value);
        return r;
    }
    *ret_value = value;
    return 0;
}

json_t *schema_member(const struct schema *schema, json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    const struct schema *of = property(schema, name);

    if (value)
        return json_incref(value);
    return of && of->default_value ? json_loads(of->default_value, JSON_DECODE_ANY, NULL) : NULL;
}

long long schema_integer(const struct schema *schema, json_t *object, const char *name)
{
    json_t *value = schema_member(schema, object, name);
    long long n = json_integer_value(value);

    json_decref(value);
    return n;
}

bool schema_boolean(const struct schema *schema, json_t *object, const char *name)
{
    json_t *value = schema_member(schema, object, name);
    bool yes = json_is_true(value);

    json_decref(value);
    return yes;
}

int schema_choice(const struct schema *schema, json_t *object, const char *name)
{
    json_t *value = schema_member(schema, object, name);
    const struct schema *of = property(schema, name);
    const char *text = json_string_value(value);
    int choice = -1;

    for (int i = 0; text && of && of->choices && of->choices[i]; i++)
        if (!strcmp(of->choices[i], text))
            choice = i;
    json_decref(value);
    return choice;
}
