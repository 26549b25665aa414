/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions with yes or no for an answer: check and compare.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "block/image.h"
#include "cli/disk.h"

static void say(void *ctx, const char *text)
{
    printf("%s: %s\n", (const char *)ctx, text);
}

int disk_check(int argc, char **argv)
{
    static const struct option options[] = {{"repair", no_argument, NULL, 'r'}, {0}};
    struct image_verdict verdict;
    struct error err = {""};
    char size[32];
    bool repair = false;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c != 'r')
            return disk_bad_option("check", argv);
        repair = true;
    }
    if (optind + 1 != argc)
        return disk_usage("check", "give one image");
    int r = image_verify(argv[optind], repair, say, argv[optind], &verdict, &err);
    if (r < 0)
        return disk_error("check", r, &err);
    if (verdict.blocks)
        printf("%llu of %llu blocks are in use\n", (unsigned long long)verdict.allocated,
               (unsigned long long)verdict.blocks);
    if (verdict.wasted_bytes)
        printf("%s of the file are not in use; `yado disk compact` gives them back\n",
               size_format(verdict.wasted_bytes, size, sizeof(size)));
    if (verdict.problems == 0)
        puts("no problems were found");
    return verdict.problems > verdict.repaired ? CLI_FAILED : CLI_OK;
}

static int compare(const char *a_path, const char *b_path, const char *const *folders,
                   uint64_t *ret_offset, struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = folders};
    struct blk *a = NULL, *b = NULL;
    struct bar bar;
    int r = blk_open_with(a_path, &options, &a, err);
    if (r == 0)
        r = blk_open_with(b_path, &options, &b, err);
    if (r == 0) {
        bar_begin(&bar, "comparing");
        r = compare_disks(a, b, &bar.progress, ret_offset, err);
        bar_end(&bar);
    }
    blk_close(b);
    blk_close(a);
    return r;
}

int disk_compare(int argc, char **argv)
{
    static const struct option options[] = {{"parents", required_argument, NULL, 'p'}, {0}};
    struct parent_folders folders = {.count = 0};
    struct error err = {""};
    uint64_t offset;
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c != 'p')
            return disk_bad_option("compare", argv);
        status = disk_add_parents("compare", &folders, optarg);
    }
    if (status != CLI_OK)
        return status;
    if (optind + 2 != argc)
        return disk_usage("compare", "give two images");
    int r = compare(argv[optind], argv[optind + 1], folders.folder, &offset, &err);
    if (r < 0) {
        disk_error("compare", r, &err);
        return CLI_USAGE; /* 1 is an answer */
    }
    if (r == 0) {
        puts("the disks are the same");
        return CLI_OK;
    }
    printf("the disks differ at byte %llu\n", (unsigned long long)offset);
    return CLI_FAILED;
}
