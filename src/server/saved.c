/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/saved.h"

#include <errno.h>
#include <unistd.h>

#include "server/files.h"

#define DEFINITION_FILE "saved.json"

int saved_keep(struct machine *m, struct error *err)
{
    AUTO_FREE char *path = files_join(m->folder, DEFINITION_FILE);

    if (!path)
        return -ENOMEM;
    return files_replace_json(path, m->started ? m->started : m->definition, 0600, err);
}

json_t *saved_definition(const struct machine *m)
{
    AUTO_FREE char *path = files_join(m->folder, DEFINITION_FILE);
    json_t *definition = NULL, *engine = json_object_get(m->definition, "engine");
    struct schema_fault fault;

    if (!path || files_read_json(path, &definition, NULL) < 0 ||
        schema_check(&schema_Definition, definition, &fault) < 0) {
        json_decref(definition);
        return json_deep_copy(m->definition);
    }
    if (engine)
        json_object_set(definition, "engine", engine);
    else
        json_object_del(definition, "engine");
    return definition;
}

void saved_forget(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->folder, DEFINITION_FILE);

    if (path)
        unlink(path);
}
