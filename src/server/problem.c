/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    unsigned status;
    const char *title;
} kinds[PROBLEM_CODE_COUNT] = {
    [PROBLEM_CODE_INVALID] = {422, "A value does not fit"},
    [PROBLEM_CODE_MALFORMED] = {400, "The request cannot be understood"},
    [PROBLEM_CODE_UNAUTHENTICATED] = {401, "Nobody knows who you are"},
    [PROBLEM_CODE_CSRF] = {403, "X-Yado-CSRF is missing or wrong"},
    [PROBLEM_CODE_FORBIDDEN] = {403, "You may not do that"},
    [PROBLEM_CODE_NOT_FOUND] = {404, "There is no such thing"},
    [PROBLEM_CODE_METHOD] = {405, "That cannot be done with it"},
    [PROBLEM_CODE_CONFLICT] = {409, "Something stands against it"},
    [PROBLEM_CODE_STATE] = {409, "Not in this state"},
    [PROBLEM_CODE_ADMISSION] = {409, "The host has not enough left"},
    [PROBLEM_CODE_EXISTS] = {409, "It is there already"},
    [PROBLEM_CODE_IN_USE] = {409, "It is in use"},
    [PROBLEM_CODE_QUOTA] = {409, "The quota is used up"},
    [PROBLEM_CODE_PRECONDITION] = {412, "It has changed since you read it"},
    [PROBLEM_CODE_PRECONDITION_REQUIRED] = {428, "If-Match is missing"},
    [PROBLEM_CODE_TOO_LARGE] = {413, "The request is too large"},
    [PROBLEM_CODE_MEDIA_TYPE] = {415, "The body is not JSON"},
    [PROBLEM_CODE_THROTTLED] = {429, "Too many attempts"},
    [PROBLEM_CODE_BUSY] = {409, "Something else is being done with it"},
    [PROBLEM_CODE_FAILED] = {409, "It was tried and did not work"},
    [PROBLEM_CODE_UNAVAILABLE] = {503, "Not now"},
};

int problem_set(struct problem *p, enum problem_code code, const char *field, const char *fmt, ...)
{
    va_list ap;

    *p = (struct problem){.code = code, .state = -1};
    va_start(ap, fmt);
    vsnprintf(p->detail.text, sizeof(p->detail.text), fmt, ap);
    va_end(ap);
    snprintf(p->field, sizeof(p->field), "%s", field ? field : "");
    return -1;
}

unsigned problem_status(enum problem_code code)
{
    return kinds[code].status;
}

/* Text of files and programs may be anything; JSON is UTF-8. */
static json_t *clean_string(const char *text)
{
    json_t *string = json_string(text);
    char ascii[sizeof(((struct error *)NULL)->text)];
    size_t n = 0;

    if (string)
        return string;
    for (; *text && n + 1 < sizeof(ascii); text++)
        ascii[n++] = *text & 0x80 ? '?' : *text;
    ascii[n] = '\0';
    return json_string(ascii);
}

json_t *problem_json(const struct problem *p)
{
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", kinds[p->code].title,
                  "status", (int)kinds[p->code].status, "code", problem_code_names[p->code]);

    if (o && *p->detail.text)
        json_object_set_new(o, "detail", clean_string(p->detail.text));
    if (o && *p->field)
        json_object_set_new(o, "field", clean_string(p->field));
    if (o && p->state >= 0 && p->state < MACHINE_STATE_COUNT)
        json_object_set_new(o, "state", json_string(machine_state_names[p->state]));
    return o;
}

enum problem_code problem_from_errno(int r)
{
    switch (r) {
    case -ENOENT:
        return PROBLEM_CODE_NOT_FOUND;
    case -EEXIST:
        return PROBLEM_CODE_EXISTS;
    case -EBUSY:
    case -ETXTBSY:
        return PROBLEM_CODE_IN_USE;
    case -EINVAL:
        return PROBLEM_CODE_INVALID;
    default:
        return PROBLEM_CODE_FAILED;
    }
}
