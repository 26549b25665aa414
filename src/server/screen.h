/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures of machines' screens, made by their own processes.
 */
#ifndef SERVER_SCREEN_H
#define SERVER_SCREEN_H

#include "server/machine.h"

/* png is the callee's to read until it returns; NULL with the problem. */
typedef void screen_done(void *ctx, const uint8_t *png, size_t len_bytes, const struct problem *p);

/*
 * A picture width pixels wide, at most two seconds old; width 0: as it is, and new. A machine that
 * is saved has its last one. done comes once, perhaps at once.
 */
void screen_get(struct machine *m, unsigned width, screen_done *done, void *ctx);

#endif
