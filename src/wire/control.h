/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: one JSON object a line. A request is
 *     {"execute": NAME, "arguments": {…}, "id": N}
 * and its answer {"return": {…}, "id": N} or {"error": {"code": …, "message": …}, "id": N}.
 * "arguments" and "id" may be left out. Answers come in the order of the requests; between them
 * may be events, {"event": NAME, "data": {…}}. yado-run(1) lists the commands and the events.
 *
 * A client may be hostile: lines, clients and unread answers are bounded; who goes beyond is
 * disconnected, and the machine runs on.
 */
#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H

#include <jansson.h>
#include <uv.h>

#include "base/error.h"

#define CONTROL_LINE_MAX MIB(1)
#define CONTROL_UNSENT_MAX MIB(64)
#define CONTROL_CLIENTS_MAX 16u

/*
 * Executes a command. 0 with *ret_value (a new reference; NULL for an empty object), or negative
 * errno with text. arguments is an object, never NULL.
 */
typedef int control_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                            struct error *err);

struct control;

/* Listen at path (see unixsock_listen()); nothing is answered before the loop runs. */
int control_new(uv_loop_t *loop, const char *path, control_execute *execute, void *ctx,
                struct control **ret_control, struct error *err);
/* Disconnect everybody after what could be sent at once, remove the socket. NULL is fine. */
struct control *control_free(struct control *control);

/* Tell every client: {"event": NAME, "data": {…}}. Takes data over; NULL: an empty object. */
void control_event(struct control *control, const char *name, json_t *data);

/* The answer, one line with its newline, to one request; freed with free(). NULL: no memory. */
char *control_answer(const char *line, size_t len_bytes, control_execute *execute, void *ctx);

#endif
