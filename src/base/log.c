/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static enum log_level log_level_now = LOG_WARNING;

void log_set_level(enum log_level level)
{
    log_level_now = level;
}

bool log_enabled(enum log_level level)
{
    return level <= log_level_now;
}

void log_line(enum log_level level, const char *room, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (!log_enabled(level))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: %s\n", room, text);
}
