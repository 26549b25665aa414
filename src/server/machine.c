/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is asked of machines, and of their definitions.
 */
#include "server/machine.h"

#include <string.h>

#include "server/files.h"
#include "server/saved.h"

struct machine *machine_find(struct server *server, const char *id)
{
    for (struct machine *m = server->machines; m; m = m->next)
        if (!strcmp(m->id, id))
            return m;
    return NULL;
}

struct machine *machine_find_name(struct server *server, const char *name)
{
    for (struct machine *m = server->machines; m; m = m->next)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}

static json_t *server_part(json_t *definition)
{
    return json_object_get(definition, "server");
}

const char *machine_owner(const struct machine *m)
{
    return json_string_value(json_object_get(server_part(m->definition), "owner"));
}

uint64_t definition_memory_bytes(json_t *definition)
{
    static const char units[] = "KMGT";
    json_t *memory = schema_member(&schema_Definition, definition, "memory");
    const char *text = json_string_value(memory), *unit;
    char *end;
    uint64_t n = text ? strtoull(text, &end, 10) : (uint64_t)json_integer_value(memory);
    unsigned shift = 20;

    if (text && *end && (unit = strchr(units, *end)))
        shift = 10 * (unsigned)(unit - units + 1);
    json_decref(memory);
    return n << shift;
}

char *machine_disk_path(const struct machine *m, const char *file)
{
    return *file == '/' ? strdup(file) : files_join(m->folder, file);
}

static bool definition_uses(const struct machine *m, json_t *definition, const char *path)
{
    json_t *disk, *disks = json_object_get(definition, "disk");
    size_t i;

    json_array_foreach(disks, i, disk)
    {
        AUTO_FREE char *own =
            machine_disk_path(m, json_string_value(json_object_get(disk, "file")));
        AUTO_FREE char *real = own ? realpath(own, NULL) : NULL;

        if (own && !strcmp(real ? real : own, path))
            return true;
    }
    return false;
}

bool machine_uses(const struct machine *m, const char *path)
{
    json_t *saved;
    bool uses;

    if (definition_uses(m, m->definition, path) ||
        (m->started && definition_uses(m, m->started, path)))
        return true;
    if (m->state != MACHINE_STATE_SAVED)
        return false;
    saved = saved_definition(m);
    uses = definition_uses(m, saved, path);
    json_decref(saved);
    return uses;
}

struct machine *machine_using(struct server *server, const char *path, const struct machine *except)
{
    for (struct machine *m = server->machines; m; m = m->next)
        if (m != except && machine_uses(m, path))
            return m;
    return NULL;
}

json_t *machine_part(const struct machine *m, const char *part)
{
    return json_object_get(server_part(m->definition), part);
}

static const struct schema *part_schema(const char *part)
{
    if (!part)
        return &schema_ServerPart;
    return !strcmp(part, "autostart") ? &schema_ServerPart_autostart : &schema_MachineResources;
}

static json_t *part_value(const struct machine *m, const char *part)
{
    return part ? machine_part(m, part) : server_part(m->definition);
}

long long machine_integer(const struct machine *m, const char *part, const char *name)
{
    return schema_integer(part_schema(part), part_value(m, part), name);
}

int machine_choice(const struct machine *m, const char *part, const char *name)
{
    return schema_choice(part_schema(part), part_value(m, part), name);
}
