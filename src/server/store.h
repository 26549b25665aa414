/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is not in definition files: events, ended tasks, people's rights, tokens and sessions,
 * scripts and webhooks. SQLite in WAL mode, each change on the disk before its call returns.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <sqlite3.h>

#include "base/error.h"

struct store;

/* Open or make the file. A file of a newer Yado, or one that is damaged, is refused with text. */
int store_open(const char *path, struct store **ret_store, struct error *err);
/* NULL is fine. Always returns NULL. */
struct store *store_close(struct store *store);

/*
 * Run a statement for its effect. Each character of format binds a parameter: s text (NULL is
 * null), i int64_t. 0 or -EIO; *ret_id unless NULL: the row's number.
 */
int store_run(struct store *store, int64_t *ret_id, const char *sql, const char *format, ...);
/*
 * Ask. The statement is finished by store_done() (or AUTO(store_done)), whatever happens; between,
 * store_next() is true while there is a row, which sqlite3_column_…() read.
 */
int store_query(struct store *store, sqlite3_stmt **ret_statement, const char *sql,
                const char *format, ...);
bool store_next(sqlite3_stmt *statement);
void store_done(sqlite3_stmt **statement);
/* A column's text, never NULL. */
const char *store_text(sqlite3_stmt *statement, int column);
/* How many rows the last store_run() changed. */
int store_changes(const struct store *store);
/* Several changes as one: begin, then commit (or roll back where r < 0; returns r or -EIO). */
int store_begin(struct store *store);
int store_end(struct store *store, int r);

#endif
