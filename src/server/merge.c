/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/merge.h"

#include <stdio.h>

#define DEPTH_MAX 16

static json_t *merge(json_t *target, json_t *patch, int depth)
{
    const char *key;
    json_t *value, *result;

    if (!json_is_object(patch) || depth == DEPTH_MAX)
        return json_deep_copy(patch);
    result = json_is_object(target) ? json_copy(target) : json_object();
    json_object_foreach(patch, key, value)
    {
        if (json_is_null(value))
            json_object_del(result, key);
        else
            json_object_set_new(result, key, merge(json_object_get(result, key), value, depth + 1));
    }
    return result;
}

json_t *merge_patch(json_t *target, json_t *patch)
{
    return merge(target, patch, 0);
}

static void compare(json_t *a, json_t *b, const char *prefix, const char *key, json_t *list)
{
    char path[512];

    if (a && b && json_equal(a, b))
        return;
    snprintf(path, sizeof(path), "%s/%s", prefix, key);
    if (json_is_object(a) && json_is_object(b))
        merge_differences(a, b, path, list);
    else
        json_array_append_new(list, json_string(path));
}

void merge_differences(json_t *a, json_t *b, const char *prefix, json_t *list)
{
    const char *key;
    json_t *value;

    json_object_foreach(a, key, value) compare(value, json_object_get(b, key), prefix, key, list);
    json_object_foreach(b, key, value) if (!json_object_get(a, key))
        compare(NULL, value, prefix, key, list);
}
