/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado server`: the server, what it shares out, the disks in its folders (server_disks.c), and who
 * is told about events (server_automation.c).
 */
#include <stdio.h>

#include "cli/server.h"

static int server_status(struct remote *r)
{
    json_t *value = NULL, *one, *https;
    size_t i;
    int status;

    if (r->json)
        return remote_ask(r, "GET", "/server", NULL, NULL);
    status = remote_do(r, "GET", "/server", NULL, NULL, &value);
    if (status != CLI_OK)
        return status;
    https = json_object_get(value, "https");
    printf("%s, version %s, up %lld seconds\n", remote_text(value, "name"),
           remote_text(value, "version"),
           (long long)json_integer_value(json_object_get(value, "uptime-seconds")));
    if (json_is_true(json_object_get(https, "enabled")))
        printf("%s, fingerprint of the certificate (SHA-256):\n%s\n", remote_text(https, "url"),
               remote_text(https, "fingerprint"));
    json_array_foreach(json_object_get(value, "health"), i, one)
        printf("%s: %s\n", remote_text(one, "severity"), remote_text(one, "message"));
    json_decref(value);
    return status;
}

static int server_settings(struct remote *r)
{
    return remote_ask(r, "GET", "/server/settings", NULL, NULL);
}

static int server_set(struct remote *r)
{
    json_t *patch = json_loads(r->args[0], 0, NULL);

    if (!json_is_object(patch)) {
        json_decref(patch);
        return remote_error(r, CLI_USAGE, "'%s' is not a JSON object", r->args[0]);
    }
    return remote_ask(r, "PATCH", "/server/settings", patch, NULL);
}

static int server_rescan(struct remote *r)
{
    return remote_ask(r, "POST", "/server/rescan", NULL, NULL);
}

static int server_stop_machines(struct remote *r)
{
    return remote_ask(r, "POST", "/server/stop-machines", NULL, NULL);
}

static int server_resources(struct remote *r)
{
    static const struct remote_list list = {"machines",
                                            {{"NAME", "name", 20},
                                             {"STATE", "state", 9},
                                             {"CPU %", "activity/cpu-percent", 6},
                                             {"WEIGHT", "resources/cpu-weight", 6},
                                             {"RESERVE %", "resources/cpu-reserve-percent", 9},
                                             {"MAX %", "resources/cpu-max-percent", 6},
                                             {"MEMORY", "memory-bytes", 9},
                                             {"MEMORY MAX", "resources/memory-max-bytes", 0}}};

    return remote_ask(r, "GET", "/resources", NULL, &list);
}

static const struct remote_verb verbs[] = {
    {"status", "", "How the server is.", server_status, 0, 0},
    {"settings", "", "The settings.", server_settings, 0, 0},
    {"set", "JSON", "Change settings: a JSON merge patch.", server_set, 1, 1},
    {"resources", "", "What the host has, and what each machine takes.", server_resources, 0, 0},
    {"rescan", "", "Read edited definition files again.", server_rescan, 0, 0},
    {"stop-machines", "", "Save, shut down or turn off all, as their definitions say.",
     server_stop_machines, 0, 0},
    {"files", "[FOLDER [disk|cdrom|floppy|kernel]]", "What lies in the allowed folders.",
     server_files, 0, 2},
    {"disks", "", "The disk images that you may see, and who uses them.", server_disks, 0, 0},
    {"disk-create", "FILE size-bytes=SIZE|parent=FILE [kind=KIND]",
     "Make a disk: dynamic, fixed, differencing, vhdx, vhdx-fixed, raw.", server_disk_create, 2,
     -1},
    {"disk-info", "FILE", "What a disk is, with its parents.", server_disk_info, 1, 1},
    {"disk-check", "FILE [repair=true]", "Check a disk's structures, and mend them.",
     server_disk_check, 1, 2},
    {"disk-convert", "FILE to=FILE [format=FORMAT]",
     "Copy a disk into a new file: vhd, vhd-fixed, vhdx, vhdx-fixed, raw.", server_disk_convert, 2,
     3},
    {"disk-resize", "FILE size-bytes=SIZE [shrink=true]", "Make a disk larger, or smaller.",
     server_disk_resize, 2, 3},
    {"disk-compact", "FILE", "Write a disk anew without what is zero.", server_disk_compact, 1, 1},
    {"disk-merge", "FILE", "Write a differencing disk into its parent.", server_disk_merge, 1, 1},
    {"disk-delete", "FILE", "Remove an image that no machine uses.", server_disk_delete, 1, 1},
    {"scripts", "", "Programs that are run on events.", server_scripts, 0, 0},
    {"script-add", "PROGRAM KIND[,KIND] [OPTION=VALUE ...]",
     "Run a program on events of these kinds; 'machine.' stands for all of machines.",
     server_script_add, 2, -1},
    {"script-set", "ID PROGRAM KIND[,KIND] [OPTION=VALUE ...]", "Change such an entry.",
     server_script_set, 3, -1},
    {"script-remove", "ID", "Remove such an entry.", server_script_remove, 1, 1},
    {"webhooks", "", "Addresses that are told about events.", server_webhooks, 0, 0},
    {"webhook-add", "URL KIND[,KIND] [OPTION=VALUE ...]",
     "Tell an address about events of these kinds (CloudEvents).", server_webhook_add, 2, -1},
    {"webhook-set", "ID URL KIND[,KIND] [OPTION=VALUE ...]", "Change such an entry.",
     server_webhook_set, 3, -1},
    {"webhook-remove", "ID", "Remove such an entry.", server_webhook_remove, 1, 1},
    {0},
};

#define ABOUT "Looks at the server, changes its settings, and works on disks in its folders."

void cmd_server_help(void)
{
    remote_help("yado server", ABOUT, verbs);
}

int cmd_server(int argc, char **argv)
{
    return remote_main("yado server", ABOUT, verbs, argc, argv);
}
