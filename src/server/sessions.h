/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How callers become known: logins with PAM, cookies, tokens, and the brake on guessing.
 */
#ifndef SERVER_SESSIONS_H
#define SERVER_SESSIONS_H

#include "server/caller.h"

#define SECRET_TEXT 65 /* 32 bytes as hexadecimal digits */

/*
 * Ask PAM (service "yado") in a thread. done comes from the loop with 0 or -EACCES. -ENOMEM.
 */
int pam_ask(struct server *server, const char *user, const char *password,
            void (*done)(void *ctx, int r), void *ctx);

/* Seconds that this name or address has to wait before it may try again; 0: none. */
unsigned throttle_wait(struct server *server, const char *user, const char *address);
void throttle_failed(struct server *server, const char *user, const char *address);
void throttle_succeeded(struct server *server, const char *user, const char *address);
void throttle_free(struct server *server);

/* A new session; the cookie's secret and the CSRF value are written out. */
int session_new(struct server *server, const char *user, const char *address,
                char secret[SECRET_TEXT], struct caller *ret_caller);
/* Who a cookie's secret stands for; -ENOENT. */
int session_find(struct server *server, const char *secret, struct caller *ret_caller);
void session_end(struct server *server, const struct caller *caller);
int sessions_end_user(struct server *server, const char *user);
void sessions_expire(struct server *server);

/* Who a token stands for; -ENOENT. */
int token_find(struct server *server, const char *secret, struct caller *ret_caller);

#endif
