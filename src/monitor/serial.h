/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of a serial line: the user's terminal, nothing, a file, or a UNIX socket.
 */
#ifndef MONITOR_SERIAL_H
#define MONITOR_SERIAL_H

#include <uv.h>

#include "base/error.h"
#include "hw/core/chardev.h"

struct serial;

/* The machine's end. All calls come from the loop's thread. */
struct serial_peer {
    size_t (*receive)(void *ctx, const uint8_t *buf, size_t len_bytes); /* bytes it took */
    void (*tx_ready)(void *ctx);
    void (*quit)(void *ctx); /* the user typed the sequence that ends the machine */
    void *ctx;
};

/*
 * spec: "stdio", "null", "file=PATH", "unix=PATH". Files and sockets are opened here, so that an
 * error stops the start; the terminal is touched by serial_start() only.
 */
int serial_new(uv_loop_t *loop, const char *spec, struct serial **ret_serial, struct error *err);
/* Write out what is left, as far as that goes without waiting, and free. NULL is fine. */
struct serial *serial_free(struct serial *serial);
/* What the device is given; its functions may be called by any thread. */
struct chardev serial_chardev(struct serial *serial);
/* Begin to pass bytes on. */
int serial_start(struct serial *serial, const struct serial_peer *peer, struct error *err);

#endif
