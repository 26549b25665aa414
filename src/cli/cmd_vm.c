/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado vm`: the machines of the server.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cli/vm.h"

static void print_machine(json_t *m)
{
    json_t *activity = json_object_get(m, "activity");
    char memory[32];

    printf("%-16s  %-9s  %5.1f%%  %9s  %s\n", remote_text(m, "id"), remote_text(m, "state"),
           json_number_value(json_object_get(activity, "cpu-percent")),
           size_format((uint64_t)json_integer_value(json_object_get(m, "memory-bytes")), memory,
                       sizeof(memory)),
           remote_text(m, "name"));
}

static int vm_list(struct remote *r)
{
    json_t *value = NULL, *m;
    int status = remote_do(r, "GET", "/machines", NULL, NULL, &value);
    size_t i;

    if (status == CLI_OK && r->json) {
        status = remote_print(value);
    } else if (status == CLI_OK) {
        printf("%-16s  %-9s  %6s  %9s  %s\n", "ID", "STATE", "CPU", "MEMORY", "NAME");
        json_array_foreach(json_object_get(value, "machines"), i, m) print_machine(m);
    }
    json_decref(value);
    return status;
}

/* METHOD /machines/ID/what for the machine that the first argument names. */
static int about(struct remote *r, const char *method, const char *what, json_t *body,
                 const char *if_match, json_t **ret_value)
{
    char id[17], path[96];
    int status = remote_machine(r, r->args[0], id);

    if (status != CLI_OK) {
        json_decref(body);
        return status;
    }
    snprintf(path, sizeof(path), "/machines/%s%s", id, what);
    return remote_do(r, method, path, body, if_match, ret_value);
}

static int print_result(struct remote *r, int status, json_t *value)
{
    if (status == CLI_OK && r->json && value)
        status = remote_print(value);
    json_decref(value);
    return status;
}

static int plain(struct remote *r, const char *what, json_t *body)
{
    json_t *value = NULL;
    int status = about(r, "POST", what, body, NULL, &value);

    return print_result(r, status, value);
}

static int vm_show(struct remote *r)
{
    json_t *value = NULL, *reason;
    int status = about(r, "GET", "", NULL, NULL, &value);

    if (status == CLI_OK && r->json)
        return print_result(r, status, value);
    if (status == CLI_OK) {
        print_machine(value);
        reason = json_object_get(value, "reason");
        if (reason)
            printf("reason: %s %s (%s)\n", remote_text(reason, "code"),
                   remote_text(reason, "message"),
                   remote_text(json_object_get(reason, "actor"), "name"));
        remote_print(json_object_get(value, "definition"));
    }
    json_decref(value);
    return status;
}

static int vm_create(struct remote *r)
{
    json_t *definition = json_pack("{s:s}", "name", r->args[0]), *body, *value = NULL;
    uint64_t disk_bytes = 0;
    bool start = false;
    int status = definition ? CLI_OK : CLI_USAGE;

    for (int i = 1; i < r->count && status == CLI_OK; i++) {
        if (!strcmp(r->args[i], "--start")) {
            start = true;
        } else if (!strncmp(r->args[i], "new-disk=", 9)) {
            if (size_parse(r->args[i] + 9, &disk_bytes) < 0)
                status = remote_error(r, CLI_USAGE, "'%s' is not a size", r->args[i] + 9);
        } else {
            status = remote_option(r, definition, r->args[i]);
        }
    }
    body = json_pack("{s:o}", "definition", definition);
    if (disk_bytes)
        json_object_set_new(body, "create-disk",
                            json_pack("{s:I}", "size-bytes", (json_int_t)disk_bytes));
    if (start)
        json_object_set_new(body, "start", json_true());
    if (status != CLI_OK) {
        json_decref(body);
        return status;
    }
    status = remote_do(r, "POST", "/machines", body, NULL, &value);
    if (status == CLI_OK && !r->json)
        puts(remote_text(value, "id"));
    return print_result(r, status, value);
}

static int vm_define(struct remote *r)
{
    json_error_t why;
    json_t *definition = json_load_file(r->args[1], 0, &why);

    if (!definition)
        return remote_error(r, CLI_USAGE, "%s: line %d: %s", r->args[1], why.line, why.text);
    return remote_ask(r, "PUT", "/machines/{machine}", definition, &remote_quiet);
}

static int vm_resources(struct remote *r)
{
    json_t *patch = json_object();
    int status = remote_options(r, 1, patch);

    if (status == CLI_OK)
        return remote_ask(r, "PATCH", "/machines/{machine}/resources", patch, &remote_quiet);
    json_decref(patch);
    return status;
}

static int vm_set(struct remote *r)
{
    json_t *patch = json_object(), *value = NULL;
    int status = CLI_OK;

    for (int i = 1; i < r->count && status == CLI_OK; i++)
        status = remote_option(r, patch, r->args[i]);
    if (status != CLI_OK) {
        json_decref(patch);
        return status;
    }
    status = about(r, "PATCH", "", patch, "*", &value);
    return print_result(r, status, value);
}

static int vm_start(struct remote *r)
{
    return plain(r, "/start", NULL);
}

static int vm_pause(struct remote *r)
{
    return plain(r, "/pause", NULL);
}

static int vm_resume(struct remote *r)
{
    return plain(r, "/resume", NULL);
}

static int vm_save(struct remote *r)
{
    return plain(r, "/save", NULL);
}

static int vm_restore(struct remote *r)
{
    return plain(r, "/restore", NULL);
}

static int vm_discard(struct remote *r)
{
    return plain(r, "/discard", NULL);
}

static int vm_reset(struct remote *r)
{
    return plain(r, "/reset", NULL);
}

static int vm_turn_off(struct remote *r)
{
    return plain(r, "/turn-off", r->count > 1 ? json_pack("{s:s}", "undo", r->args[1]) : NULL);
}

/* [SECONDS] [--force], in any order. */
static int vm_shutdown(struct remote *r)
{
    json_t *body = json_object();
    char *end;

    for (int i = 1; i < r->count; i++) {
        long seconds = strtol(r->args[i], &end, 10);

        if (!strcmp(r->args[i], "--force")) {
            json_object_set_new(body, "force", json_true());
        } else if (*r->args[i] && !*end) {
            json_object_set_new(body, "timeout-seconds", json_integer(seconds));
        } else {
            json_decref(body);
            return remote_error(r, CLI_USAGE, "'%s' is neither a number of seconds nor --force",
                                r->args[i]);
        }
    }
    return plain(r, "/shutdown", body);
}

static int vm_clone(struct remote *r)
{
    json_t *body = json_pack("{s:s}", "name", r->args[1]);

    if (body && r->count > 2)
        json_object_set_new(body, "disks", json_string(r->args[2]));
    return plain(r, "/clone", body);
}

static int vm_nmi(struct remote *r)
{
    return plain(r, "/nmi", NULL);
}

static int vm_undo(struct remote *r)
{
    return remote_ask(r, "PUT", "/machines/{machine}/undo",
                      json_pack("{s:s}", "action", r->args[1]), &remote_quiet);
}

static int vm_text(struct remote *r)
{
    json_t *value = NULL, *line;
    int status = about(r, "GET", "/screen-text", NULL, NULL, &value);
    size_t i;

    if (status == CLI_OK && r->json)
        return print_result(r, status, value);
    json_array_foreach(json_object_get(value, "lines"), i, line) puts(json_string_value(line));
    json_decref(value);
    return status;
}

static int vm_rename(struct remote *r)
{
    return plain(r, "/rename", json_pack("{s:s}", "name", r->args[1]));
}

static int vm_delete(struct remote *r)
{
    bool disks = r->count > 1 && !strcmp(r->args[1], "--disks");
    json_t *value = NULL;
    int status;

    if (r->count > 1 && !disks)
        return remote_error(r, CLI_USAGE, "'%s' is not known; --disks removes them too",
                            r->args[1]);
    status = about(r, "DELETE", disks ? "?disks=true" : "", NULL, NULL, &value);
    return print_result(r, status, value);
}

static int vm_type(struct remote *r)
{
    return plain(r, "/text", json_pack("{s:s}", "text", r->args[1]));
}

static int vm_keys(struct remote *r)
{
    json_t *keys = json_array();

    for (int i = 1; i < r->count; i++)
        json_array_append_new(keys, json_string(r->args[i]));
    return plain(r, "/keys", json_pack("{s:o}", "keys", keys));
}

static int vm_insert(struct remote *r)
{
    return remote_ask(r, "PUT", "/machines/{machine}/media/{}",
                      json_pack("{s:s}", "file", r->args[2]), &remote_quiet);
}

static int vm_eject(struct remote *r)
{
    if (r->count < 3)
        return remote_ask(r, "DELETE", "/machines/{machine}/media/{}", NULL, &remote_quiet);
    if (strcmp(r->args[2], "--force") != 0)
        return remote_error(r, CLI_USAGE, "'%s' is not known; --force ejects a locked medium",
                            r->args[2]);
    return remote_ask(r, "DELETE", "/machines/{machine}/media/{}?force=true", NULL, &remote_quiet);
}

static int vm_screenshot(struct remote *r)
{
    AUTO_FREE char *png = NULL;
    struct error err = {""};
    char id[17], path[96];
    FILE *file;
    size_t len;
    int status = remote_machine(r, r->args[0], id);

    if (status != CLI_OK)
        return status;
    if (r->count > 2)
        snprintf(path, sizeof(path), "/machines/%s/thumbnail?width=%.10s", id, r->args[2]);
    else
        snprintf(path, sizeof(path), "/machines/%s/screenshot", id);
    if (client_fetch(r->client, path, &png, &len, &err) < 0)
        return remote_error(r, CLI_FAILED, "%s", err.text);
    file = fopen(r->args[1], "wbe");
    if (!file)
        return remote_error(r, CLI_FAILED, "%s cannot be written", r->args[1]);
    status = fwrite(png, 1, len, file) == len ? CLI_OK : CLI_FAILED;
    if (fclose(file) != 0 || status != CLI_OK)
        return remote_error(r, CLI_FAILED, "%s cannot be written", r->args[1]);
    return CLI_OK;
}

/* The disk of a definition that is called so, by its path or the name of its file. NULL: none. */
static const char *disk_named(json_t *definition, const char *name)
{
    json_t *disk;
    size_t i;

    json_array_foreach(json_object_get(definition, "disk"), i, disk)
    {
        const char *file = remote_text(disk, "file"), *slash = strrchr(file, '/');

        if (!strcmp(file, name) || (slash && !strcmp(slash + 1, name)))
            return file;
    }
    return NULL;
}

/* The machine's limits, with others for one disk; to be freed. */
static json_t *limits_with(json_t *definition, const char *file, json_t *limits)
{
    json_t *resources = json_object_get(json_object_get(definition, "server"), "resources");
    json_t *all = json_array(), *one;
    size_t i;

    json_array_foreach(json_object_get(resources, "disks"), i,
                       one) if (strcmp(remote_text(one, "file"), file) != 0)
        json_array_append(all, one);
    if (json_object_size(limits)) {
        json_object_set_new(limits, "file", json_string(file));
        json_array_append(all, limits);
    }
    return all;
}

static int vm_limit(struct remote *r)
{
    json_t *machine = NULL, *definition, *limits = json_object();
    int status = remote_options(r, 2, limits);
    const char *file = NULL;

    if (status == CLI_OK)
        status = about(r, "GET", "", NULL, NULL, &machine);
    definition = json_object_get(machine, "definition");
    if (status == CLI_OK && !(file = disk_named(definition, r->args[1])))
        status = remote_error(r, CLI_FAILED, "%s has no disk '%s'", r->args[0], r->args[1]);
    if (status == CLI_OK)
        status = remote_ask(r, "PATCH", "/machines/{machine}/resources",
                            json_pack("{s:o}", "disks", limits_with(definition, file, limits)),
                            &remote_quiet);
    json_decref(limits);
    json_decref(machine);
    return status;
}

static const struct remote_verb verbs[] = {
    {"list", "", "All machines that you may see.", vm_list, 0, 0},
    {"show", "NAME", "One machine, and its definition.", vm_show, 1, 1},
    {"create", "NAME [new-disk=SIZE] [--start] [OPTION=VALUE ...]",
     "Make one; options are those of `yado run`.", vm_create, 1, -1},
    {"set", "NAME OPTION=VALUE ...", "Change its definition; null takes an option away.", vm_set, 2,
     -1},
    {"define", "NAME FILE", "Replace its definition by a file's.", vm_define, 2, 2},
    {"resources", "NAME OPTION=VALUE ...",
     "Change its share of the host at once: cpu-weight, cpu-reserve-percent, cpu-max-percent,\n"
     "        memory-max-bytes, io-weight, disks.",
     vm_resources, 2, -1},
    {"limit", "NAME DISK [LIMIT=N ...]",
     "What a disk may do, at once; nothing: as much as it wants. Limits: read-bytes-per-second,\n"
     "        write-bytes-per-second, reads-per-second, writes-per-second.",
     vm_limit, 2, -1},
    {"start", "NAME", "Turn it on, or continue from its saved state.", vm_start, 1, 1},
    {"pause", "NAME", "Let it stand still.", vm_pause, 1, 1},
    {"resume", "NAME", "Let it go on.", vm_resume, 1, 1},
    {"save", "NAME", "Write its memory to disk and turn it off.", vm_save, 1, 1},
    {"restore", "NAME", "Continue from the saved state.", vm_restore, 1, 1},
    {"discard", "NAME", "Throw the saved state away.", vm_discard, 1, 1},
    {"reset", "NAME", "Press the reset button.", vm_reset, 1, 1},
    {"turn-off", "NAME [keep|commit|discard]", "Cut the power; and what becomes of undo disks.",
     vm_turn_off, 1, 2},
    {"undo", "NAME keep|commit|discard", "What becomes of its undo disks when it is turned off.",
     vm_undo, 2, 2},
    {"shutdown", "NAME [SECONDS] [--force]",
     "Press the power button; wait until the guest is off, or turn it off after the time.",
     vm_shutdown, 1, 3},
    {"nmi", "NAME", "Press the NMI button.", vm_nmi, 1, 1},
    {"clone", "NAME NEW [copy|differencing|none]",
     "Make another with copies of its disks, children of them, or none.", vm_clone, 2, 3},
    {"rename", "NAME NEW", "Give it another name.", vm_rename, 2, 2},
    {"delete", "NAME [--disks]", "Remove it; with --disks the disks in its folder too.", vm_delete,
     1, 2},
    {"keys", "NAME CHORD ...", "Press keys, such as ctrl-alt-delete.", vm_keys, 2, -1},
    {"type", "NAME TEXT", "Type a text.", vm_type, 2, 2},
    {"insert", "NAME cdrom|floppy FILE", "Put an image into a drive.", vm_insert, 3, 3},
    {"eject", "NAME cdrom|floppy [--force]", "Empty a drive.", vm_eject, 2, 3},
    {"serial", "NAME", "Its serial line, here; Ctrl-] ends.", vm_serial, 1, 1},
    {"screen", "NAME [PORT]", "Its screen, for a VNC viewer on this host.", vm_screen, 1, 2},
    {"text", "NAME", "What its screen shows in a text mode.", vm_text, 1, 1},
    {"screenshot", "NAME FILE [WIDTH]", "Write the screen, or a small picture, as a PNG file.",
     vm_screenshot, 2, 3},
    {0},
};

#define ABOUT "Makes, changes and runs the machines of the server."

void cmd_vm_help(void)
{
    remote_help("yado vm", ABOUT, verbs);
}

int cmd_vm(int argc, char **argv)
{
    return remote_main("yado vm", ABOUT, verbs, argc, argv);
}
