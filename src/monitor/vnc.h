/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's screen, keyboard and mouse for RFB (VNC) viewers.
 */
#ifndef MONITOR_VNC_H
#define MONITOR_VNC_H

#include "base/error.h"
#include "machine/machine.h"

struct vnc;

/* address: "ADDR:PORT", "[ADDR6]:PORT" or "unix:PATH". Listens from here on; -EADDRINUSE with text. */
int vnc_new(const char *address, const char *name, struct vnc **ret_vnc, struct error *err);
/* Begin to serve, by a thread of its own. */
int vnc_start(struct vnc *vnc, struct machine *machine, struct error *err);
/* Disconnect everybody, end the thread, free. NULL is fine. Always returns NULL. */
struct vnc *vnc_free(struct vnc *vnc);

#endif
