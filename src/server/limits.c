/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/limits.h"

#include <errno.h>
#include <string.h>

#define LOG_ROOM "limits"
#include "base/log.h"
#include "server/process.h"

#define ANSWER_MS 15000

/* A disk may be called by its path, or by a name in the machine's folder. */
static bool is_same(const struct machine *m, const char *a, const char *b)
{
    AUTO_FREE char *path_a = machine_disk_path(m, a);
    AUTO_FREE char *path_b = machine_disk_path(m, b);

    return path_a && path_b && !strcmp(path_a, path_b);
}

void limits_add(const struct machine *m, const char *file, json_t *disk)
{
    json_t *all = json_object_get(machine_part(m, "resources"), "disks"), *one, *value;
    const char *name;
    size_t i;

    json_array_foreach(all, i, one)
    {
        if (!is_same(m, json_string_value(json_object_get(one, "file")), file))
            continue;
        json_object_foreach(one, name, value) if (strcmp(name, "file") != 0)
            json_object_set(disk, name, value);
    }
}

static void on_limited(void *ctx, int r, json_t *value, const char *message)
{
    (void)ctx;
    (void)value;
    if (r < 0 && r != -EPIPE) /* with its end comes another start */
        log_warning("a disk's limits were not taken: %s", message);
}

void limits_send(struct machine *m)
{
    json_t *disks = json_object_get(m->started, "disk"), *disk;
    size_t i;

    json_array_foreach(disks, i, disk)
    {
        json_t *arguments = json_pack("{s:i}", "number", (int)i);

        if (!arguments)
            return;
        limits_add(m, json_string_value(json_object_get(disk, "file")), arguments);
        process_call(m, "disk-limit", arguments, ANSWER_MS, on_limited, NULL);
    }
}
