/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Diagnostics of a process, one line each, to standard error. Not for answers to the user: those
 * are printed by main files.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped; LOG_WARNING at start. */
void log_set_level(enum log_level level);
/* True when a line of this level would be printed. */
bool log_enabled(enum log_level level);
/* Print one line, "room: text". Thread-safe. */
void log_line(enum log_level level, const char *room, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Each .c file that logs defines LOG_ROOM as a string first. */
#define log_error(...) log_line(LOG_ERROR, LOG_ROOM, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, LOG_ROOM, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, LOG_ROOM, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG))                                                                \
            log_line(LOG_DEBUG, LOG_ROOM, __VA_ARGS__);                                            \
    } while (0)

/*
 * A guest can make a device complain as often as it likes: log_guest() prints the first
 * LOG_GUEST_MAX lines of each place only.
 */
#define LOG_GUEST_MAX 8
#define log_guest(...)                                                                             \
    do {                                                                                           \
        static unsigned log_count_;                                                                \
        if (__atomic_fetch_add(&log_count_, 1, __ATOMIC_RELAXED) < LOG_GUEST_MAX)                  \
            log_debug(__VA_ARGS__);                                                                \
    } while (0)

#endif
