/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket's commands about disks that come and go.
 */
#include <errno.h>

#include "monitor/commands.h"
#include "monitor/definition.h"

int commands_disk_list(struct commands *c, json_t *args, json_t **ret_value, struct error *err)
{
    struct machine_disk_info info;
    json_t *list = json_array();

    (void)args;
    (void)err;
    for (unsigned n = 0; machine_disk_get(c->machine, n, &info); n++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:I, s:b}", "disk", info.name, "path",
                                        info.path, "format", info.format, "bytes",
                                        (json_int_t)info.size_bytes, "readonly", info.readonly));
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
