/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define LOG_ROOM "store"
#define STORE_VERSION 1

struct store {
    sqlite3 *db;
};

static const char tables[] =
    "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL,"
    " kind TEXT NOT NULL, severity INTEGER NOT NULL, actor TEXT NOT NULL,"
    " object_type TEXT NOT NULL, object TEXT NOT NULL, words TEXT NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX events_object ON events (object, id);"
    "CREATE INDEX events_time ON events (time);"
    "CREATE TABLE tasks (id TEXT PRIMARY KEY, created INTEGER NOT NULL, ended INTEGER,"
    " json TEXT NOT NULL);"
    "CREATE TABLE users (name TEXT PRIMARY KEY, quota TEXT, last_login INTEGER);"
    "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, user TEXT NOT NULL,"
    " hash TEXT NOT NULL UNIQUE, rights INTEGER NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER, last_used INTEGER);"
    "CREATE TABLE sessions (hash TEXT PRIMARY KEY, user TEXT NOT NULL, csrf TEXT NOT NULL,"
    " expires INTEGER NOT NULL, address TEXT NOT NULL);"
    "CREATE TABLE permissions (id TEXT PRIMARY KEY, subject_type INTEGER NOT NULL,"
    " subject TEXT NOT NULL, object_type INTEGER NOT NULL, object TEXT NOT NULL,"
    " rights INTEGER NOT NULL, deny INTEGER NOT NULL);"
    "CREATE TABLE scripts (id TEXT PRIMARY KEY, json TEXT NOT NULL);"
    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, json TEXT NOT NULL, secret TEXT);";

static int user_version(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    int version = -1;

    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

/* WAL survives a crash of the process by itself, and with FULL a crash of the host too. */
static int prepare(sqlite3 *db)
{
    char text[64];
    int rc = sqlite3_exec(db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                          "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
                          NULL, NULL, NULL);

    if (rc != SQLITE_OK || user_version(db) != 0)
        return rc;
    snprintf(text, sizeof(text), "PRAGMA user_version=%d", STORE_VERSION);
    rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, tables, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

int store_open(const char *path, struct store **ret_store, struct error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    int rc, version;

    if (!store)
        return -ENOMEM;
    rc = sqlite3_open_v2(path, &store->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(store->db, 5000);
        rc = prepare(store->db);
    }
    version = rc == SQLITE_OK ? user_version(store->db) : 0;
    if (rc != SQLITE_OK)
        error_set(err, -EIO,
                  "%s cannot be used: %s; move it away, and the server begins a new history", path,
                  store->db ? sqlite3_errmsg(store->db) : "no memory");
    else if (version != STORE_VERSION)
        error_set(err, -EIO, "%s is of version %d, which this Yado does not know", path, version);
    else {
        *ret_store = store;
        return 0;
    }
    store_close(store);
    return -EIO;
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    sqlite3_close(store->db);
    free(store);
    return NULL;
}

static int bind(sqlite3_stmt *statement, const char *format, va_list ap)
{
    int rc = SQLITE_OK;

    for (int i = 0; format[i] && rc == SQLITE_OK; i++) {
        if (format[i] == 'i') {
            rc = sqlite3_bind_int64(statement, i + 1, va_arg(ap, int64_t));
        } else {
            const char *text = va_arg(ap, const char *);

            rc = text ? sqlite3_bind_text(statement, i + 1, text, -1, SQLITE_TRANSIENT)
                      : sqlite3_bind_null(statement, i + 1);
        }
    }
    return rc;
}

static int failed(struct store *store, const char *sql)
{
    log_error("%s: %s", sql, sqlite3_errmsg(store->db));
    return -EIO;
}

int store_run(struct store *store, int64_t *ret_id, const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list ap;
    int rc = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL), r = 0;

    va_start(ap, format);
    if (rc == SQLITE_OK)
        rc = bind(statement, format, ap);
    va_end(ap);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        r = failed(store, sql);
    else if (ret_id)
        *ret_id = sqlite3_last_insert_rowid(store->db);
    sqlite3_finalize(statement);
    return r;
}

int store_query(struct store *store, sqlite3_stmt **ret_statement, const char *sql,
                const char *format, ...)
{
    va_list ap;
    int rc;

    *ret_statement = NULL;
    rc = sqlite3_prepare_v2(store->db, sql, -1, ret_statement, NULL);
    va_start(ap, format);
    if (rc == SQLITE_OK)
        rc = bind(*ret_statement, format, ap);
    va_end(ap);
    return rc == SQLITE_OK ? 0 : failed(store, sql);
}

bool store_next(sqlite3_stmt *statement)
{
    return statement && sqlite3_step(statement) == SQLITE_ROW;
}

void store_done(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
    *statement = NULL;
}

const char *store_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? text : "";
}

int store_changes(const struct store *store)
{
    return sqlite3_changes(store->db);
}

int store_begin(struct store *store)
{
    return store_run(store, NULL, "BEGIN IMMEDIATE", "");
}

int store_end(struct store *store, int r)
{
    int end = store_run(store, NULL, r < 0 ? "ROLLBACK" : "COMMIT", "");

    return r < 0 ? r : end;
}
