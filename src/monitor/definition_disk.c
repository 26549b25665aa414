/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/definition_disk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static const char *const bus_names[] = {[MACHINE_BUS_IDE] = "ide",
                                        [MACHINE_BUS_VIRTIO] = "virtio",
                                        [MACHINE_BUS_SATA] = "sata",
                                        [MACHINE_BUS_SCSI] = "scsi"};

static const struct {
    const char *name;
    size_t offset;
} limit_names[] = {
    {"read-bytes-per-second", offsetof(struct blk_limits, read_bytes)},
    {"write-bytes-per-second", offsetof(struct blk_limits, write_bytes)},
    {"reads-per-second", offsetof(struct blk_limits, reads)},
    {"writes-per-second", offsetof(struct blk_limits, writes)},
};

int definition_parse_bus(const char *text, enum machine_bus *ret_bus, struct error *err)
{
    for (unsigned i = 0; i < ARRAY_LEN(bus_names); i++) {
        if (!strcmp(text, bus_names[i])) {
            *ret_bus = (enum machine_bus)i;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "--disk: bus: '%s' is not one of ide, virtio, sata, scsi", text);
}

static uint64_t *limit_at(struct blk_limits *limits, unsigned n)
{
    return (uint64_t *)((char *)limits + limit_names[n].offset);
}

const char *definition_limit_name(unsigned n)
{
    return n < ARRAY_LEN(limit_names) ? limit_names[n].name : NULL;
}

uint64_t definition_limit_value(const struct blk_limits *limits, unsigned n)
{
    return *(const uint64_t *)((const char *)limits + limit_names[n].offset);
}

static int limit_named(const char *name, size_t len, unsigned *ret_n)
{
    for (unsigned i = 0; i < ARRAY_LEN(limit_names); i++) {
        if (strlen(limit_names[i].name) == len && !memcmp(limit_names[i].name, name, len)) {
            *ret_n = i;
            return 0;
        }
    }
    return -ENOENT;
}

int definition_limit(const char *name, json_t *value, struct blk_limits *limits, struct error *err)
{
    unsigned n;
    int r = limit_named(name, strlen(name), &n);

    if (r < 0)
        return r;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(err, -EINVAL, "%s: give a number, or 0 for no limit", name);
    *limit_at(limits, n) = (uint64_t)json_integer_value(value);
    return 0;
}

/* "NAME=20M" */
static int limit_word(const char *word, struct blk_limits *limits, struct error *err)
{
    const char *equals = strchr(word, '=');
    unsigned n;
    int r = equals ? limit_named(word, (size_t)(equals - word), &n) : -ENOENT;

    if (r == 0 && size_parse(equals + 1, limit_at(limits, n)) < 0)
        r = error_set(err, -EINVAL, "--disk: '%s' is not a number (as 200, 512K or 10M)", word);
    return r;
}

/* What follows the name of the file. */
static int disk_words(char *rest, struct definition_disk *disk, struct error *err)
{
    char *save = NULL;
    int r = 0;

    for (char *word = strtok_r(rest, ",", &save); word && r == 0;
         word = strtok_r(NULL, ",", &save)) {
        if (!strcmp(word, "readonly"))
            disk->readonly = true;
        else if (!strncmp(word, "bus=", 4))
            r = definition_parse_bus(word + 4, &disk->bus, err);
        else
            r = limit_word(word, &disk->limits, err);
        if (r == -ENOENT)
            r = error_set(
                err, -EINVAL,
                "--disk: '%s' is not known; after the file comes bus=ide, virtio, sata or "
                "scsi, readonly, or a limit as read-bytes-per-second=10M (a comma in a "
                "name is written twice)",
                word);
    }
    return r;
}

static int check(struct definition_disk *disk, int r, struct error *err)
{
    if (r == 0 && (!disk->path || !*disk->path))
        r = error_set(err, -EINVAL, "--disk: the name of a file is missing");
    if (r < 0)
        definition_disk_done(disk);
    return r;
}

int definition_disk_parse(const char *text, struct definition_disk *ret_disk, struct error *err)
{
    AUTO_FREE char *rest = NULL;
    size_t len = 0;

    *ret_disk = (struct definition_disk){.path = malloc(strlen(text) + 1)};
    if (!ret_disk->path)
        return -ENOMEM;
    while (*text && (*text != ',' || text[1] == ',')) {
        text += *text == ',';
        ret_disk->path[len++] = *text++;
    }
    ret_disk->path[len] = '\0';
    rest = strdup(text);
    return check(ret_disk, rest ? disk_words(rest, ret_disk, err) : -ENOMEM, err);
}

static int member(const char *key, json_t *value, struct definition_disk *disk, struct error *err)
{
    int r;

    if (!strcmp(key, "bus") && json_is_string(value))
        return definition_parse_bus(json_string_value(value), &disk->bus, err);
    if (!strcmp(key, "readonly") && json_is_boolean(value)) {
        disk->readonly = json_is_true(value);
        return 0;
    }
    if (!strcmp(key, "file") && json_is_string(value)) {
        free(disk->path);
        disk->path = strdup(json_string_value(value));
        return disk->path ? 0 : -ENOMEM;
    }
    r = definition_limit(key, value, &disk->limits, err);
    return r == -ENOENT ? error_set(err, -EINVAL,
                                    "disk: '%s' is not one of \"file\" (string), \"bus\" (string), "
                                    "\"readonly\" (true or false), or a limit as "
                                    "\"read-bytes-per-second\" (number)",
                                    key)
                        : r;
}

int definition_disk_parse_json(json_t *value, struct definition_disk *ret_disk, struct error *err)
{
    const char *key;
    json_t *one;
    int r = 0;

    if (json_is_string(value))
        return definition_disk_parse(json_string_value(value), ret_disk, err);
    if (!json_is_object(value))
        return error_set(err, -EINVAL, "disk: give a string, or an object with \"file\"");
    *ret_disk = (struct definition_disk){.bus = MACHINE_BUS_IDE};
    json_object_foreach(value, key, one)
    {
        r = member(key, one, ret_disk, err);
        if (r < 0)
            break;
    }
    return check(ret_disk, r, err);
}

void definition_disk_done(struct definition_disk *disk)
{
    free(disk->path);
    *disk = (struct definition_disk){0};
}
