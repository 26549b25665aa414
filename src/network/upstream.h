/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions of guests to the world's name servers, from ordinary sockets of this process: one for
 * each question, connected, so that nobody but the server that was asked can answer (RFC 5452); by
 * UDP, or by TCP for who asks so (RFC 7766). It takes no question from outside.
 */
#ifndef NETWORK_UPSTREAM_H
#define NETWORK_UPSTREAM_H

#include <netinet/in.h>
#include <uv.h>

#include "base/util.h"

#define UPSTREAM_SERVERS_MAX 4u

struct upstream;

/* An answer; len_bytes 0: there is none. On the loop's thread. */
typedef void upstream_answer(void *ctx, unsigned token, const uint8_t *data, size_t len_bytes);

/* Ask these servers (network order), or with count 0 those of the host's resolv.conf(5), which is
 * read anew for each question. -ENOMEM. */
int upstream_new(uv_loop_t *loop, const struct in_addr *servers, unsigned count,
                 upstream_answer *answer, void *ctx, struct upstream **ret_upstream);
/* Nobody asks any more. Forgets all questions; runs the loop until their handles are closed. NULL is fine. */
struct upstream *upstream_free(struct upstream *u);
/* Ask; answer() is called later, once, or not when it is freed before. False: it cannot be asked.
 * Any thread. */
bool upstream_ask(struct upstream *u, unsigned token, bool tcp, const uint8_t *query,
                  size_t len_bytes);

#endif
