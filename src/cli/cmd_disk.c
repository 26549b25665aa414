/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado disk VERB …`: finds the verb. Each lives in a file disk_*.c; the manual is yado-disk(1).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/disk.h"

const struct disk_verb disk_verbs[] = {
    {"create", "[OPTIONS] FILE [SIZE]",
     "Makes an empty disk; SIZE in bytes, or with K, M, G or T.\n"
     "\n"
     "  --fixed              all of its room now, not as it is needed\n"
     "  --parent FILE        a differencing disk: what it does not have is read from FILE\n"
     "  --vhdx               a VHDX, dynamic, with --fixed or with --parent, up to 64T\n"
     "  --raw                without any format\n"
     "  --linked DEVICE      stands for a whole disk of the host\n"
     "  --block SIZE         size of the blocks it grows by (2M; VHDX: 32M, with a parent 2M)\n",
     disk_create},
    {"info", "[--json] [--parents FOLDER] FILE",
     "Says what a disk is, with its chain of parents.\n", disk_info},
    {"map", "[--json] [--parents FOLDER] FILE", "Lists where each part of a disk lies.\n",
     disk_map},
    {"check", "[--repair] FILE",
     "Checks the structures of a VHD or VHDX. Status 1: something is wrong.\n"
     "\n"
     "  --repair             mend what can be mended\n",
     disk_check},
    {"compare", "[--parents FOLDER] FILE FILE",
     "Status 0: the guest would see the same, 1: it would not.\n", disk_compare},
    {"convert", "[OPTIONS] FROM TO",
     "Copies a disk, with all of its parents, into a new file. Reads raw,\n"
     "VHD, VHDX, qcow2 and VMDK.\n"
     "\n"
     "  --to vhd|vhd-fixed|vhdx|vhdx-fixed|raw  the new file's format (vhd, which is dynamic)\n"
     "  --azure              a fixed VHD of whole MiB, as Azure takes it\n"
     "  --block SIZE         size of the blocks it grows by (2M)\n"
     "  --parents FOLDER     another folder where parents may be\n",
     disk_convert},
    {"resize", "[--shrink] FILE SIZE",
     "Changes the size of a disk; +SIZE makes it that much larger.\n"
     "\n"
     "  --shrink             allow a smaller size; what lies beyond is lost\n",
     disk_resize},
    {"compact", "[--parents FOLDER] FILE",
     "Writes a dynamic or differencing disk anew without what is zero, or the parent's anyway.\n"
     "Needs room for the new file beside the old one.\n",
     disk_compact},
    {"merge", "[--parents FOLDER] FILE",
     "Writes what a differencing disk has into its parent, and removes it. Other children of the\n"
     "parent cannot be used any more. `yado disk convert` merges a chain into a new file.\n",
     disk_merge},
    {"reparent", "[--force] FILE PARENT",
     "Writes down where the parent of a differencing disk is now.\n"
     "\n"
     "  --force              even if it is not the disk that FILE has known\n",
     disk_reparent},
    {"mount", "[OPTIONS] FILE FOLDER",
     "Shows a disk as the file FOLDER/disk until it is unmounted; mount(8) -o loop takes that.\n"
     "\n"
     "  --readonly           nobody may write\n"
     "  --undo keep|commit|discard  keep changes apart, and what becomes of them at the end\n"
     "  --parents FOLDER     another folder where parents may be\n",
     disk_mount},
    {"unmount", "FOLDER", "Ends a mount.\n", disk_unmount},
    {"serve", "[OPTIONS] FILE SOCKET",
     "Serves a disk by NBD on a UNIX socket, until a signal ends it.\n"
     "\n"
     "  --readonly           nobody may write\n"
     "  --undo keep|commit|discard  keep changes apart, and what becomes of them at the end\n"
     "  --once               end when the first client has left\n"
     "  --parents FOLDER     another folder where parents may be\n",
     disk_serve},
    {"bench", "[OPTIONS] FILE",
     "Measures reading, or with --write overwrites the disk.\n"
     "\n"
     "  --write              write; what is on the disk is lost\n"
     "  --random             anywhere, not one after the other\n"
     "  --stride SIZE        from the start of one request to that of the next\n"
     "  --size SIZE          bytes a request (4K)\n"
     "  --depth N            requests at once (32)\n"
     "  --count N            requests in all (75000)\n"
     "  --flush N            flush after every N writes\n"
     "  --json               as a JSON object\n",
     disk_bench},
    {0},
};

static const struct disk_verb *find(const char *name)
{
    for (const struct disk_verb *verb = disk_verbs; verb->name; verb++)
        if (!strcmp(verb->name, name))
            return verb;
    return NULL;
}

int disk_error(const char *verb, int r, const struct error *err)
{
    fprintf(stderr, "yado disk %s: %s\n", verb, *err->text ? err->text : strerror(-r));
    switch (r) {
    case -EIO:
    case -ENOSPC:
    case -EDQUOT:
    case -ENOMEM:
    case -ECANCELED:
        return CLI_FAILED;
    default:
        return CLI_USAGE;
    }
}

int disk_usage(const char *verb, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "yado disk %s: ", verb);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "; see 'yado disk %s --help'\n", verb);
    va_end(ap);
    return CLI_USAGE;
}

int disk_bad_option(const char *verb, char **argv)
{
    return disk_usage(verb, "'%s' is not known, or lacks its value", argv[optind - 1]);
}

int disk_add_parents(const char *verb, struct parent_folders *folders, const char *folder)
{
    if (folders->count == DISK_PARENTS_MAX)
        return disk_usage(verb, "--parents: at most %u folders", DISK_PARENTS_MAX);
    folders->folder[folders->count++] = folder;
    return CLI_OK;
}

void cmd_disk_help(void)
{
    puts("Usage: yado disk COMMAND [ARGUMENTS]\n"
         "\n"
         "Makes, examines and changes disk images while no machine uses them.\n"
         "\n"
         "Commands:");
    for (const struct disk_verb *verb = disk_verbs; verb->name; verb++)
        printf("  %-9s %s\n", verb->name, verb->usage);
    puts("\n'yado disk COMMAND --help' says more; the manual is yado-disk(1).");
}

int cmd_disk(int argc, char **argv)
{
    if (argc < 2) {
        fputs("yado disk: no command given; see 'yado disk --help'\n", stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        cmd_disk_help();
        return CLI_OK;
    }
    const struct disk_verb *verb = find(argv[1]);
    if (!verb) {
        fprintf(stderr, "yado disk: '%s' is not a command; see 'yado disk --help'\n", argv[1]);
        return CLI_USAGE;
    }
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            printf("Usage: yado disk %s %s\n\n%s", verb->name, verb->usage, verb->help);
            return CLI_OK;
        }
    }
    opterr = 0; /* what is wrong we say ourselves, in one line */
    return verb->run(argc - 1, argv + 1);
}
