/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/accounts.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "server/stamp.h"

#define FRESH_MS 5000
#define KEPT_MAX 64u
#define GROUPS_MAX 256

static void account_free(struct account *a)
{
    for (unsigned i = 0; i < a->group_count; i++)
        free(a->groups[i]);
    free(a->groups);
    free(a->name);
    free(a);
}

void accounts_free(struct server *server)
{
    while (server->accounts) {
        struct account *a = server->accounts;

        server->accounts = a->next;
        account_free(a);
    }
}

/* What is too old goes, and what is too much. */
static void tidy(struct server *server)
{
    int64_t oldest = stamp_steady_ms() - FRESH_MS;
    unsigned count = 0;

    for (struct account **at = &server->accounts; *at;) {
        struct account *a = *at;

        if (a->asked_ms < oldest || ++count > KEPT_MAX) {
            *at = a->next;
            account_free(a);
        } else {
            at = &a->next;
        }
    }
}

static int take_groups(struct account *a, gid_t primary)
{
    gid_t gids[GROUPS_MAX];
    int count = GROUPS_MAX;

    if (getgrouplist(a->name, primary, gids, &count) < 0)
        count = GROUPS_MAX; /* that many are enough */
    a->groups = calloc((size_t)count + 1, sizeof(*a->groups));
    for (int i = 0; a->groups && i < count; i++) {
        struct group *group = getgrgid(gids[i]);

        if (!group)
            continue;
        a->groups[a->group_count] = strdup(group->gr_name);
        if (!a->groups[a->group_count])
            return -1;
        a->group_count++;
    }
    return a->groups ? 0 : -1;
}

const struct account *account_of(struct server *server, const char *name)
{
    struct account *a;
    struct passwd *found;
    gid_t primary;

    tidy(server);
    for (a = server->accounts; a; a = a->next)
        if (!strcmp(a->name, name))
            return a;
    a = calloc(1, sizeof(*a));
    if (!a || !(a->name = strdup(name))) {
        free(a);
        return NULL;
    }
    a->asked_ms = stamp_steady_ms();
    found = getpwnam(a->name);
    a->known = found != NULL;
    a->uid = found ? found->pw_uid : 0;
    primary = found ? found->pw_gid : 0; /* the answer lies where the next one will */
    if (found && take_groups(a, primary) < 0) {
        account_free(a);
        return NULL;
    }
    a->next = server->accounts;
    server->accounts = a;
    return a;
}

const struct account *account_of_uid(struct server *server, uid_t uid)
{
    struct passwd *found;

    tidy(server);
    for (struct account *a = server->accounts; a; a = a->next)
        if (a->known && a->uid == uid)
            return a;
    found = getpwuid(uid);
    return found ? account_of(server, found->pw_name) : NULL;
}
