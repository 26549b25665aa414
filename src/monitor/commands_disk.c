/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's commands about disks that come and go.
 */
#include <errno.h>
#include <string.h>

#include "monitor/commands.h"
#include "monitor/definition.h"

int commands_disk_list(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    struct machine_disk_info info;
    json_t *list = json_array(), *disk;

    (void)args;
    (void)err;
    for (unsigned n = 0; machine_disk_get(c->machine, n, &info); n++) {
        disk =
            json_pack("{s:s, s:s, s:s, s:I, s:b}", "disk", info.name, "path", info.path, "format",
                      info.format, "bytes", (json_int_t)info.size_bytes, "readonly", info.readonly);
        for (unsigned i = 0; definition_limit_name(i); i++)
            if (definition_limit_value(&info.limits, i))
                json_object_set_new(
                    disk, definition_limit_name(i),
                    json_integer((json_int_t)definition_limit_value(&info.limits, i)));
        json_array_append_new(list, disk);
    }
    *ret_value = json_pack("{s:o}", "disks", list);
    return 0;
}

int commands_disk_add(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    const char *bus = json_string_value(json_object_get(args, "bus"));
    struct machine_disk disk = {.path = path,
                                .bus = MACHINE_BUS_SCSI,
                                .readonly = json_is_true(json_object_get(args, "readonly"))};
    char name[16];
    int r = path ? 0 : error_set(err, -EINVAL, "path: give the image");

    if (r == 0 && bus)
        r = definition_parse_bus(bus, &disk.bus, err);
    if (r == 0)
        r = machine_disk_add(c->machine, &disk, name, err);
    if (r == 0)
        *ret_value = json_pack("{s:s}", "disk", name);
    return r;
}

int commands_disk_remove(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    const char *name = json_string_value(json_object_get(args, "disk"));

    (void)ret_value;
    if (!name)
        return error_set(err, -EINVAL, "disk: give its name, as disk-list tells it");
    return machine_disk_remove(c->machine, name, err);
}

int commands_disk_limit(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    json_t *number = json_object_get(args, "number"), *value;
    struct blk_limits limits = {0};
    const char *name;
    int r;

    (void)ret_value;
    if (!number || json_integer_value(number) < 0 ||
        json_integer_value(number) >= MACHINE_DISKS_MAX)
        return error_set(err, -EINVAL, "number: give the disk's place in what disk-list tells");
    json_object_foreach(args, name, value)
    {
        r = strcmp(name, "number") ? definition_limit(name, value, &limits, err) : 0;
        if (r < 0)
            return r;
    }
    r = machine_disk_limit(c->machine, (unsigned)json_integer_value(number), &limits);
    return r == -ENOENT ? error_set(err, r, "number: there are not so many disks") : r;
}
