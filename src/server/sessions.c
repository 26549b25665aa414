/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/sessions.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <string.h>

#include "server/settings.h"
#include "server/stamp.h"

#define SERVICE_NAME "yado"
#define TOKEN_USED_MS 60000 /* how exact last-used is */

/* ---- PAM ---- */

struct pam_job {
    uv_work_t work;
    char user[65], password[513];
    int result;
    void (*done)(void *ctx, int r);
    void *ctx;
};

/* Every hidden question is the password; others are answered with nothing. */
static int converse(int count, const struct pam_message **messages, struct pam_response **ret,
                    void *ctx)
{
    struct pam_job *job = ctx;
    struct pam_response *answers;

    if (count <= 0 || count > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;
    answers = calloc((size_t)count, sizeof(*answers));
    for (int i = 0; answers && i < count; i++) {
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
            answers[i].resp = strdup(job->password);
        else if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON)
            answers[i].resp = strdup("");
    }
    *ret = answers;
    return answers ? PAM_SUCCESS : PAM_BUF_ERR;
}

static void pam_work(uv_work_t *work)
{
    struct pam_job *job = CONTAINER_OF(work, struct pam_job, work);
    struct pam_conv conversation = {converse, job};
    pam_handle_t *pam = NULL;
    int rc = pam_start(SERVICE_NAME, job->user, &conversation, &pam);

    if (rc == PAM_SUCCESS)
        rc = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (rc == PAM_SUCCESS)
        rc = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    if (pam)
        pam_end(pam, rc);
    job->result = rc == PAM_SUCCESS ? 0 : -EACCES;
}

static void pam_finished(uv_work_t *work, int status)
{
    struct pam_job *job = CONTAINER_OF(work, struct pam_job, work);

    OPENSSL_cleanse(job->password, sizeof(job->password));
    job->done(job->ctx, status < 0 ? -EACCES : job->result);
    free(job);
}

int pam_ask(struct server *server, const char *user, const char *password,
            void (*done)(void *ctx, int r), void *ctx)
{
    struct pam_job *job = calloc(1, sizeof(*job));
    int r;

    if (!job)
        return -ENOMEM;
    snprintf(job->user, sizeof(job->user), "%s", user);
    snprintf(job->password, sizeof(job->password), "%s", password);
    job->done = done;
    job->ctx = ctx;
    r = uv_queue_work(server->loop, &job->work, pam_work, pam_finished);
    if (r < 0)
        free(job);
    return r;
}

/* ---- the brake ---- */

#define THROTTLE_SLOTS 1024u
#define FREE_ATTEMPTS 5u
#define FORGET_MS (15 * 60 * 1000)
#define LONGEST_SECONDS 300u

/* Names and addresses in one table; who is pushed out of it begins anew, at 5 free attempts. */
struct throttle {
    struct {
        char who[72];
        unsigned failures;
        int64_t last_ms;
    } slots[THROTTLE_SLOTS];
};

static unsigned slot_of(const char *who)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (; *who; who++)
        hash = (hash ^ (uint8_t)*who) * 16777619u;
    return hash % THROTTLE_SLOTS;
}

static void key(char *buf, size_t room, char kind, const char *who)
{
    snprintf(buf, room, "%c%s", kind, who);
}

static unsigned wait_of(struct throttle *t, const char *who)
{
    unsigned slot = slot_of(who), over, seconds;
    int64_t passed = stamp_steady_ms() - t->slots[slot].last_ms;

    if (strcmp(t->slots[slot].who, who) != 0 || passed > FORGET_MS ||
        t->slots[slot].failures < FREE_ATTEMPTS)
        return 0;
    over = MIN(t->slots[slot].failures - FREE_ATTEMPTS, 10u);
    seconds = MIN(1u << over, LONGEST_SECONDS);
    return passed >= (int64_t)seconds * 1000 ? 0 : seconds - (unsigned)(passed / 1000);
}

static void failed_of(struct throttle *t, const char *who)
{
    unsigned slot = slot_of(who);

    if (strcmp(t->slots[slot].who, who) != 0 ||
        stamp_steady_ms() - t->slots[slot].last_ms > FORGET_MS)
        t->slots[slot].failures = 0;
    snprintf(t->slots[slot].who, sizeof(t->slots[slot].who), "%s", who);
    t->slots[slot].failures++;
    t->slots[slot].last_ms = stamp_steady_ms();
}

unsigned throttle_wait(struct server *server, const char *user, const char *address)
{
    char who[72];
    unsigned a = 0, b;

    if (!server->throttle)
        return 0;
    key(who, sizeof(who), 'u', user);
    b = wait_of(server->throttle, who);
    if (*address) {
        key(who, sizeof(who), 'a', address);
        a = wait_of(server->throttle, who);
    }
    return MAX(a, b);
}

void throttle_failed(struct server *server, const char *user, const char *address)
{
    char who[72];

    if (!server->throttle)
        server->throttle = calloc(1, sizeof(*server->throttle));
    if (!server->throttle)
        return;
    key(who, sizeof(who), 'u', user);
    failed_of(server->throttle, who);
    if (*address) {
        key(who, sizeof(who), 'a', address);
        failed_of(server->throttle, who);
    }
}

void throttle_succeeded(struct server *server, const char *user, const char *address)
{
    char who[72];

    (void)address; /* one good login says nothing about the other names tried from there */
    key(who, sizeof(who), 'u', user);
    if (server->throttle && !strcmp(server->throttle->slots[slot_of(who)].who, who))
        server->throttle->slots[slot_of(who)].failures = 0;
}

void throttle_free(struct server *server)
{
    free(server->throttle);
    server->throttle = NULL;
}

/* ---- sessions ---- */

int session_new(struct server *server, const char *user, const char *address,
                char secret[SECRET_TEXT], struct caller *ret_caller)
{
    int64_t minutes = settings_integer(server, "session-minutes");
    int r;

    secret_new(secret, 32);
    *ret_caller = (struct caller){.method = CALLER_SESSION,
                                  .expires_ms = stamp_now_ms() + minutes * 60 * 1000};
    secret_new(ret_caller->csrf, 32);
    digest_hex(secret, strlen(secret), ret_caller->secret_hash);
    snprintf(ret_caller->address, sizeof(ret_caller->address), "%s", address);
    r = store_run(server->store, NULL,
                  "INSERT INTO sessions (hash, user, csrf, expires, address)"
                  " VALUES (?, ?, ?, ?, ?)",
                  "sssis", ret_caller->secret_hash, user, ret_caller->csrf, ret_caller->expires_ms,
                  address);
    if (r == 0)
        r = store_run(server->store, NULL,
                      "INSERT INTO users (name, last_login) VALUES (?1, ?2)"
                      " ON CONFLICT (name) DO UPDATE SET last_login = ?2",
                      "si", user, stamp_now_ms());
    return r < 0 ? r : caller_fill(server, ret_caller, user);
}

int session_find(struct server *server, const char *secret, struct caller *ret_caller)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    char hash[65];

    digest_hex(secret, strlen(secret), hash);
    store_query(server->store, &rows,
                "SELECT user, csrf, expires FROM sessions WHERE hash = ? AND expires > ?", "si",
                hash, stamp_now_ms());
    if (!store_next(rows))
        return -ENOENT;
    *ret_caller =
        (struct caller){.method = CALLER_SESSION, .expires_ms = sqlite3_column_int64(rows, 2)};
    memcpy(ret_caller->secret_hash, hash, sizeof(hash));
    snprintf(ret_caller->csrf, sizeof(ret_caller->csrf), "%s", store_text(rows, 1));
    return caller_fill(server, ret_caller, store_text(rows, 0));
}

void session_end(struct server *server, const struct caller *caller)
{
    store_run(server->store, NULL, "DELETE FROM sessions WHERE hash = ?", "s", caller->secret_hash);
}

int sessions_end_user(struct server *server, const char *user)
{
    return store_run(server->store, NULL, "DELETE FROM sessions WHERE user = ?", "s", user);
}

void sessions_expire(struct server *server)
{
    store_run(server->store, NULL, "DELETE FROM sessions WHERE expires < ?", "i", stamp_now_ms());
}

/* ---- tokens ---- */

int token_find(struct server *server, const char *secret, struct caller *ret_caller)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;
    int64_t now = stamp_now_ms();
    char hash[65];

    digest_hex(secret, strlen(secret), hash);
    store_query(server->store, &rows,
                "SELECT id, name, user, rights, last_used FROM tokens"
                " WHERE hash = ? AND (expires IS NULL OR expires > ?)",
                "si", hash, now);
    if (!store_next(rows))
        return -ENOENT;
    *ret_caller = (struct caller){.method = CALLER_TOKEN,
                                  .limit = (unsigned)sqlite3_column_int(rows, 3) & RIGHTS_ALL};
    snprintf(ret_caller->token, sizeof(ret_caller->token), "%s", store_text(rows, 1));
    if (now - sqlite3_column_int64(rows, 4) > TOKEN_USED_MS)
        store_run(server->store, NULL, "UPDATE tokens SET last_used = ? WHERE id = ?", "is", now,
                  store_text(rows, 0));
    return caller_fill(server, ret_caller, store_text(rows, 2));
}
