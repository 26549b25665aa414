/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/rest/quota.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "server/settings.h"
#include "server/stamp.h"

#define FRESH_MS 10000

struct sums {
    long long machines, cpus, memory_bytes, disk_bytes;
};

json_t *quota_of(struct server *server, const char *user)
{
    AUTO(store_done) sqlite3_stmt *rows = NULL;

    store_query(server->store, &rows, "SELECT quota FROM users WHERE name = ?", "s", user);
    return store_next(rows) ? json_loads(store_text(rows, 0), 0, NULL) : NULL;
}

/* Disks and the saved state in a machine's own folder. */
static long long folder_bytes(const struct machine *m)
{
    DIR *folder = opendir(m->files);
    struct dirent *entry;
    long long bytes = 0;
    struct stat st;

    while (folder && (entry = readdir(folder)))
        if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            bytes += (long long)st.st_blocks * 512;
    if (folder)
        closedir(folder);
    return bytes;
}

/* As it is, or to be shown: then what was found a few seconds ago will do. */
static long long own_bytes(struct machine *m, bool exact)
{
    int64_t now = stamp_steady_ms();

    if (exact || !m->own_counted_ms || now - m->own_counted_ms > FRESH_MS) {
        m->own_bytes = folder_bytes(m);
        m->own_counted_ms = now;
    }
    return m->own_bytes;
}

static struct sums sum(struct server *server, const char *user, const struct machine *except,
                       bool exact)
{
    struct sums s = {0};

    for (struct machine *m = server->machines; m; m = m->next) {
        const char *owner = machine_owner(m);

        if (!owner || strcmp(owner, user) != 0)
            continue;
        s.disk_bytes += own_bytes(m, exact);
        if (m == except)
            continue;
        s.machines++;
        s.cpus += schema_integer(&schema_Definition, m->definition, "cpus");
        s.memory_bytes += (long long)m->memory_bytes;
    }
    return s;
}

json_t *quota_used(struct server *server, const char *user)
{
    struct sums s = sum(server, user, NULL, false);

    return json_pack("{s:I, s:I, s:I, s:I}", "machines", (json_int_t)s.machines, "cpus",
                     (json_int_t)s.cpus, "memory-bytes", (json_int_t)s.memory_bytes, "disk-bytes",
                     (json_int_t)s.disk_bytes);
}

bool quota_may_create(struct server *server, const struct caller *caller)
{
    enum { ADMINISTRATORS, QUOTA, EVERYBODY };
    int who = schema_choice(&schema_Settings, server->settings, "create-right");
    json_t *quota = quota_of(server, caller->user);
    bool has = quota != NULL;

    json_decref(quota);
    /* A token that may not change a machine does not make one either. */
    if (!(caller->limit & (RIGHT_BIT(RIGHT_MODIFY) | RIGHT_BIT(RIGHT_FULL))))
        return false;
    return caller->everywhere || who == EVERYBODY || (who == QUOTA && has);
}

static int check_one(json_t *quota, const char *name, long long wanted, const char *owner,
                     struct problem *p)
{
    json_t *limit = json_object_get(quota, name);

    if (!limit || wanted <= (long long)json_integer_value(limit))
        return 0;
    return problem_set(p, PROBLEM_CODE_QUOTA, NULL, "%s would have %lld %s of %lld", owner, wanted,
                       name, (long long)json_integer_value(limit));
}

int quota_check(struct server *server, const char *owner, const struct machine *m,
                json_t *definition, uint64_t disk_bytes, struct problem *p)
{
    json_t *quota = quota_of(server, owner);
    struct sums s = sum(server, owner, m, true);
    int r = 0;

    s.machines++;
    s.cpus += schema_integer(&schema_Definition, definition, "cpus");
    s.memory_bytes += (long long)definition_memory_bytes(definition);
    s.disk_bytes += (long long)disk_bytes;
    if (quota) {
        r = check_one(quota, "machines", s.machines, owner, p);
        if (r == 0)
            r = check_one(quota, "cpus", s.cpus, owner, p);
        if (r == 0)
            r = check_one(quota, "memory-bytes", s.memory_bytes, owner, p);
        if (r == 0)
            r = check_one(quota, "disk-bytes", s.disk_bytes, owner, p);
    }
    json_decref(quota);
    return r;
}
