/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine's first serial port. The server is always connected to its socket, keeps the last part
 * of what the guest wrote, and passes bytes between it and whoever is connected.
 */
#ifndef SERVER_CONSOLE_H
#define SERVER_CONSOLE_H

#include "server/machine.h"

#define CONSOLE_KEPT_BYTES KIB(64)

struct console_viewer {
    /* The guest has written; also called with len 0 when the machine has ended. */
    void (*show)(void *ctx, const uint8_t *data, size_t len_bytes);
    void *ctx;
    struct console_viewer *next;
};

void console_open(struct machine *m);
/* The machine has ended: viewers are told, what was written stays until the next start. */
void console_close(struct machine *m);
void console_free(struct machine *m);
/* Look on: what is kept is shown first. -ENOMEM. */
int console_join(struct machine *m, struct console_viewer *viewer);
void console_leave(struct machine *m, struct console_viewer *viewer);
/* Bytes for the guest. Beyond a bound of unsent ones they are dropped. */
void console_type(struct machine *m, const uint8_t *data, size_t len_bytes);
/* Whether the guest has written a text, as far as it is kept. */
bool console_has_text(const struct machine *m, const char *text);

#endif
