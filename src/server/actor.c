/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/actor.h"

#include <stdio.h>

struct actor actor_system(const char *part)
{
    struct actor actor = {.type = ACTOR_TYPE_SYSTEM};

    snprintf(actor.name, sizeof(actor.name), "%s", part);
    return actor;
}

json_t *actor_json(const struct actor *actor)
{
    json_t *o = json_pack("{s:s, s:s}", "type", actor_type_names[actor->type], "name", actor->name);

    if (o && *actor->address)
        json_object_set_new(o, "address", json_string(actor->address));
    return o;
}

json_t *about_json(const struct about *about)
{
    json_t *o = json_pack("{s:s}", "type", object_type_names[about->type]);

    if (o && about->id)
        json_object_set_new(o, "id", json_string(about->id));
    if (o && about->name)
        json_object_set_new(o, "name", json_string(about->name));
    return o;
}
