/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's terminal while a guest has it: raw, and put back on every way out.
 */
#ifndef MONITOR_TERMINAL_H
#define MONITOR_TERMINAL_H

#include "base/util.h"

/*
 * Let signals that kill the process restore the terminal first. Called before anything else takes
 * such signals (an engine passes on those that are not its own).
 */
void terminal_prepare(void);
/* Make fd raw if it is a terminal that this process is in the foreground of; true if it was done. */
bool terminal_raw(int fd);
/* Put it back as it was; harmless when it is not raw. Async-signal-safe. */
void terminal_restore(void);

#endif
