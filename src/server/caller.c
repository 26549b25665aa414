/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/caller.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/accounts.h"
#include "server/machine.h"
#include "server/settings.h"

/* The group in whose name everybody is. */
#define GROUP_EVERYBODY "everybody"

static bool in_group(const struct caller *caller, const char *name)
{
    if (!strcmp(name, GROUP_EVERYBODY))
        return true;
    for (unsigned i = 0; i < caller->group_count; i++)
        if (!strcmp(caller->groups[i], name))
            return true;
    return false;
}

static bool administers(struct server *server, const struct caller *caller, uid_t uid)
{
    json_t *name, *groups = json_object_get(server->settings, "administrators");
    size_t i;

    /* Root may everything, and who runs the server can change its files anyway. */
    if (uid == 0 || uid == geteuid())
        return true;
    if (!groups)
        return in_group(caller, "yado");
    json_array_foreach(groups, i, name) if (in_group(caller, json_string_value(name))) return true;
    return false;
}

void caller_promote(struct caller *caller)
{
    caller->everywhere = true;
    caller->administrator = (caller->limit & RIGHT_BIT(RIGHT_FULL)) != 0;
}

int caller_fill(struct server *server, struct caller *caller, const char *user)
{
    const struct account *account = account_of(server, user);

    snprintf(caller->user, sizeof(caller->user), "%s", user);
    caller->limit = caller->limit ? caller->limit : RIGHTS_ALL;
    if (!account)
        return -ENOMEM;
    for (unsigned i = 0; i < account->group_count && i < CALLER_GROUPS_MAX; i++) {
        caller->groups[i] = strdup(account->groups[i]);
        if (!caller->groups[i])
            return -ENOMEM;
        caller->group_count++;
    }
    if (account->known && administers(server, caller, account->uid))
        caller_promote(caller);
    /* Full rights on the server are what an administrator has. */
    if (!caller->everywhere &&
        (caller_rights(server, caller, OBJECT_TYPE_SERVER, NULL) & RIGHT_BIT(RIGHT_FULL)))
        caller_promote(caller);
    return 0;
}

void caller_done(struct caller *caller)
{
    for (unsigned i = 0; i < caller->group_count; i++)
        free(caller->groups[i]);
    *caller = (struct caller){0};
}

struct actor caller_actor(const struct caller *caller)
{
    struct actor actor = {.type = ACTOR_TYPE_USER};

    if (caller->method == CALLER_TOKEN) {
        actor.type = ACTOR_TYPE_TOKEN;
        snprintf(actor.name, sizeof(actor.name), "%s/%s", caller->user, caller->token);
    } else {
        snprintf(actor.name, sizeof(actor.name), "%s", caller->user);
    }
    snprintf(actor.address, sizeof(actor.address), "%s", caller->address);
    return actor;
}

/* An entry for a folder holds for what lies in it. */
static bool entry_covers(const struct permission *entry, enum object_type type, const char *id)
{
    size_t length = strlen(entry->object);

    if (entry->object_type == OBJECT_TYPE_SERVER)
        return true;
    if (entry->object_type != type || !id)
        return false;
    if (!strcmp(entry->object, id))
        return true;
    return type == OBJECT_TYPE_DISK && length && !strncmp(entry->object, id, length) &&
           (id[length] == '/' || entry->object[length - 1] == '/');
}

static unsigned expand(unsigned rights)
{
    if (rights & RIGHT_BIT(RIGHT_FULL))
        return RIGHTS_ALL;
    return rights ? rights | RIGHT_BIT(RIGHT_VIEW) : 0;
}

/* What lies with a machine's files goes with the machine. */
static struct machine *machine_of(struct server *server, enum object_type type, const char *id)
{
    if (type == OBJECT_TYPE_MACHINE && id)
        return machine_find(server, id);
    for (struct machine *m = type == OBJECT_TYPE_DISK && id ? server->machines : NULL; m;
         m = m->next) {
        size_t length = strlen(m->files);

        if (!strncmp(m->files, id, length) && id[length] == '/')
            return m;
    }
    return NULL;
}

/* m: the machine that it is, or that it goes with; NULL: none. */
static unsigned rights_of(struct server *server, const struct caller *caller, enum object_type type,
                          const char *id, const struct machine *m)
{
    unsigned allowed = 0, denied = 0;
    const char *owner = m ? machine_owner(m) : NULL;

    if (owner && !strcmp(owner, caller->user))
        allowed = RIGHTS_ALL;
    for (unsigned i = 0; i < server->permission_count; i++) {
        const struct permission *entry = &server->permissions[i];
        bool holds =
            entry_covers(entry, type, id) || (m && entry_covers(entry, OBJECT_TYPE_MACHINE, m->id));

        if (!holds || (entry->group ? !in_group(caller, entry->subject)
                                    : strcmp(entry->subject, caller->user) != 0))
            continue;
        if (entry->deny)
            /* Without seeing it nothing can be done with it. */
            denied |= entry->rights & (RIGHT_BIT(RIGHT_FULL) | RIGHT_BIT(RIGHT_VIEW))
                          ? RIGHTS_ALL
                          : entry->rights | RIGHT_BIT(RIGHT_FULL);
        else
            allowed |= expand(entry->rights);
    }
    return allowed & ~denied & expand(caller->limit);
}

unsigned caller_rights(struct server *server, const struct caller *caller, enum object_type type,
                       const char *id)
{
    if (caller->everywhere)
        return expand(caller->limit);
    return rights_of(server, caller, type, id, machine_of(server, type, id));
}

unsigned caller_machine_rights(const struct caller *caller, const struct machine *m)
{
    if (caller->everywhere)
        return expand(caller->limit);
    return rights_of(m->server, caller, OBJECT_TYPE_MACHINE, m->id, m);
}

int caller_may(struct server *server, const struct caller *caller, enum object_type type,
               const char *id, enum right right, struct problem *p)
{
    unsigned rights = caller_rights(server, caller, type, id);

    if (rights & RIGHT_BIT(right))
        return 0;
    if (type == OBJECT_TYPE_MACHINE && !(rights & RIGHT_BIT(RIGHT_VIEW)))
        return problem_set(p, PROBLEM_CODE_NOT_FOUND, NULL, "there is no machine %.40s", id);
    return problem_set(p, PROBLEM_CODE_FORBIDDEN, NULL,
                       "%s needs the right '%s' on this %s; ask an administrator", caller->user,
                       right_names[right], object_type_names[type]);
}

json_t *rights_json(unsigned rights)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < RIGHT_COUNT; i++)
        if (rights & RIGHT_BIT(i))
            json_array_append_new(array, json_string(right_names[i]));
    return array;
}

unsigned rights_from_json(json_t *array)
{
    unsigned rights = 0;
    json_t *name;
    size_t i;

    json_array_foreach(array, i,
                       name) for (unsigned k = 0; k < RIGHT_COUNT;
                                  k++) if (!strcmp(json_string_value(name), right_names[k]))
        rights |= RIGHT_BIT(k);
    return array ? rights : RIGHTS_ALL;
}
