/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening UNIX sockets at a path.
 */
#ifndef WIRE_UNIXSOCK_H
#define WIRE_UNIXSOCK_H

#include "base/error.h"

/*
 * Listen at path, for this user alone. A socket that a dead program left there is removed; one
 * that is answered, or another kind of file, is -EADDRINUSE. option names it in the error.
 */
int unixsock_listen(const char *path, const char *option, int *ret_fd, struct error *err);

#endif
