/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The far end of a machine's control socket (wire/control.h): calls with answers, and events,
 * one JSON object a line, on a libuv loop. The machine may be hostile: lines and the number of
 * unanswered calls are bounded, and what does not fit the protocol ends the connection.
 */
#ifndef WIRE_CHANNEL_H
#define WIRE_CHANNEL_H

#include <jansson.h>
#include <uv.h>

#include "base/error.h"

#define CHANNEL_LINE_MAX MIB(48) /* a screenshot is the longest */
#define CHANNEL_CALLS_MAX 256u

struct channel;

struct channel_peer {
    /* Connected (0) or not (-errno, and the channel is of no use any more). */
    void (*on_open)(void *ctx, int status);
    /* data is the channel's; never NULL. */
    void (*on_event)(void *ctx, const char *name, json_t *data);
    /* The machine has hung up. Every call still open has been answered with -EPIPE before. */
    void (*on_closed)(void *ctx);
    void *ctx;
};

/*
 * r is 0 with the returned value (the channel's, never NULL), or -errno with a line in message.
 * Called once, from the loop, never from within channel_call().
 */
typedef void channel_done(void *ctx, int r, json_t *value, const char *message);

/* Connect to a socket; on_open comes later. -ENAMETOOLONG, -ENOMEM. */
int channel_open(uv_loop_t *loop, const char *path, const struct channel_peer *peer,
                 struct channel **ret_channel);
/*
 * Ask. Takes arguments over (NULL: none). timeout_ms 0: wait as long as it takes. When this fails
 * done is not called: -EBUSY (too many), -ENOMEM, -EPIPE.
 */
int channel_call(struct channel *channel, const char *name, json_t *arguments, unsigned timeout_ms,
                 channel_done *done, void *ctx);
/*
 * Hang up. Open calls are forgotten, without an answer; no function of the peer is called any
 * more. Memory goes when the loop has closed the handles. NULL is fine. Always returns NULL.
 */
struct channel *channel_close(struct channel *channel);
/* The same, when it is known that the machine has ended: open calls are answered with -EPIPE first. */
struct channel *channel_end(struct channel *channel);
/* The process at the other end (SO_PEERCRED), as this process's PID namespace sees it. */
int channel_peer_pid(const struct channel *channel, pid_t *ret_pid);

#endif
