/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return code;
}

int error_prefix(struct error *err, int code, const char *fmt, ...)
{
    if (err) {
        char head[sizeof(err->text)];
        char whole[2 * sizeof(err->text) + 2];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(head, sizeof(head), fmt, ap);
        va_end(ap);
        snprintf(whole, sizeof(whole), "%s: %s", head, err->text);
        memcpy(err->text, whole, sizeof(err->text) - 1);
        err->text[sizeof(err->text) - 1] = '\0';
    }
    return code;
}
