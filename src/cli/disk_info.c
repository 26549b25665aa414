/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado disk info` and `yado disk map`: what an image is, and where its parts are. Both make a
 * JSON value; text is the same value for the eye.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/size.h"
#include "block/image.h"
#include "block/vhd_edit.h"
#include "block/vhdx.h"
#include "cli/disk.h"

struct request {
    const char *path;
    bool json;
    struct parent_folders folders;
};

static int parse(int argc, char **argv, struct request *ret)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"parents", required_argument, NULL, 'p'}, {0}};
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c == 'j')
            ret->json = true;
        else if (c == 'p')
            status = disk_add_parents(argv[0], &ret->folders, optarg);
        else
            return disk_bad_option(argv[0], argv);
    }
    if (status == CLI_OK && optind + 1 != argc)
        return disk_usage(argv[0], "give one image");
    ret->path = argv[optind];
    return status;
}

static void add(json_t *object, const char *name, json_t *value)
{
    json_object_set_new(object, name, value);
}

static void add_size(json_t *object, const char *name, uint64_t bytes)
{
    add(object, name, json_integer((json_int_t)bytes));
}

/* Eight hexadecimal digits and so on, in the order of the file's bytes. */
static json_t *id_text(const uint8_t *id)
{
    char text[40];
    size_t n = 0;
    for (unsigned i = 0; i < 16; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    return json_string(text);
}

/* Four letters, as far as they can be printed. */
static json_t *code_text(const char *code)
{
    char text[5] = "";
    for (unsigned i = 0; i < 4; i++)
        text[i] = code[i] >= ' ' && code[i] < 0x7f ? code[i] : '.';
    return json_string(text);
}

static void add_footer(json_t *o, const struct vhd_footer *f)
{
    char text[64];
    time_t created = (time_t)f->time_stamp + VHD_EPOCH;
    struct tm tm;
    snprintf(text, sizeof(text), "%u/%u/%u", f->cylinders, f->heads, f->sectors);
    add(o, "geometry", json_string(text));
    add(o, "unique-id", id_text(f->unique_id));
    add(o, "creator", code_text(f->creator));
    add(o, "creator-os", code_text(f->creator_os));
    snprintf(text, sizeof(text), "%u.%u", f->creator_version >> 16, f->creator_version & 0xffff);
    add(o, "creator-version", json_string(text));
    if (gmtime_r(&created, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        add(o, "created", json_string(text));
    add_size(o, "original-size", f->original_size_bytes);
    add(o, "saved-state", json_boolean(f->saved_state));
}

static void add_paths(json_t *o, const struct parent_paths *paths)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < paths->count; i++)
        json_array_append_new(list, json_string(paths->path[i]));
    add(o, "parent-paths", list);
}

static void add_header(json_t *o, struct vhd_image *image)
{
    AUTO(parent_paths_done) struct parent_paths paths = {.count = 0};
    AUTO_FREE char *folder = folder_of(image->file->name);
    add_size(o, "block-size", image->header.block_bytes);
    if (image->footer.type != VHD_DIFFERENCING)
        return;
    add(o, "parent-id", id_text(image->header.parent_id));
    if (folder)
        (void)vhd_parent_paths(image->file, &image->header, folder, &paths, NULL);
    add_paths(o, &paths);
}

/* What the structures of a VHD say; of something else, nothing. */
static void add_vhd(json_t *o, const char *path)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    if (vhd_image_open(path, true, &image, NULL) < 0)
        return;
    add_footer(o, &image.footer);
    if (image.footer.type != VHD_FIXED)
        add_header(o, &image);
}

static void add_vhdx(json_t *o, const char *path)
{
    struct vhdx_parent parent = {.wanted = false};
    struct vhdx_header header;
    struct vhdx_disk disk;
    struct blk_file *file;
    AUTO_FREE char *folder = folder_of(path);
    if (vhdx_look(path, &header, &disk, NULL) < 0)
        return;
    add_size(o, "block-size", disk.block_bytes);
    add_size(o, "sector-size", disk.sector_bytes);
    add(o, "unique-id", id_text(disk.page83));
    add(o, "contents-id", id_text(header.data_write_id));
    if (!disk.has_parent || !folder || file_open(path, true, &file, NULL) < 0)
        return;
    if (vhdx_find_parent(file, folder, &parent, NULL) == 0) {
        add(o, "parent-id", id_text(parent.id));
        add_paths(o, &parent.paths);
        parent_paths_done(&parent.paths);
    }
    file_close(file);
}

/* Where the disk's own data is, and how much of it there is. */
static int add_allocated(json_t *o, struct blk *blk)
{
    uint64_t own = 0;
    struct blk_extent e;
    for (uint64_t at = 0; at < blk->size_bytes; at += e.len_bytes) {
        int r = blk_map(blk, at, blk->size_bytes - at, &e);
        if (r < 0)
            return r;
        own += !e.zero && e.depth == 0 ? e.len_bytes : 0;
    }
    add_size(o, "allocated", own);
    return 0;
}

static void add_chain(json_t *o, struct blk *blk)
{
    json_t *list = json_array();
    for (struct blk *b = blk; b; b = b->parent)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "file", b->name, "format", b->ops->format));
    add(o, "chain", list);
}

/* The format as the opener calls it, of a disk that could not be opened. */
static json_t *format_text(const struct image_format *format, const struct image_facts *facts)
{
    static const char *const kinds[] = {"fixed", "dynamic", "differencing"};
    bool vhd = !strcmp(format->name, "VHD");
    return json_sprintf("%s-%s", vhd ? "vhd" : "vhdx", kinds[facts->kind]);
}

static int describe(const struct request *request, json_t *o, struct error *err)
{
    struct blk_options options = {.readonly = true, .parent_folders = request->folders.folder};
    const struct image_format *format;
    struct image_facts facts;
    const char *path = request->path;
    struct blk *blk = NULL;
    struct stat st;
    int known = image_format_of(path, &format, err);
    if (known == 0)
        known = format->look(path, &facts, err);
    if (known < 0 && known != -EMEDIUMTYPE)
        return known;
    int r = blk_open_with(path, &options, &blk, err);
    if (r < 0 && known < 0)
        return r;
    add(o, "file", json_string(path));
    add(o, "format", blk ? json_string(blk->ops->format) : format_text(format, &facts));
    add_size(o, "size", blk ? blk->size_bytes : facts.size_bytes);
    if (stat(path, &st) == 0) {
        add_size(o, "file-size", (uint64_t)st.st_size);
        add_size(o, "on-host", (uint64_t)st.st_blocks * 512);
    }
    if (blk)
        r = add_allocated(o, blk);
    if (known == 0) {
        add_vhd(o, path);
        add_vhdx(o, path);
    }
    if (blk)
        add_chain(o, blk);
    else
        add(o, "problem", json_string(err->text));
    blk_close(blk);
    return 0;
}

static bool is_size(const char *name)
{
    size_t len = strlen(name);
    return !strcmp(name, "allocated") || !strcmp(name, "on-host") ||
           (len >= 4 && !strcmp(name + len - 4, "size"));
}

static void print_value(const char *name, json_t *value)
{
    char size[32];
    if (json_is_integer(value) && is_size(name))
        printf("%-16s %s (%lld bytes)\n", name,
               size_format((uint64_t)json_integer_value(value), size, sizeof(size)),
               (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        printf("%-16s %s\n", name, json_is_true(value) ? "yes" : "no");
    else if (json_is_string(value))
        printf("%-16s %s\n", name, json_string_value(value));
}

static void print_text(json_t *o)
{
    const char *name;
    json_t *value, *one;
    size_t i;
    json_object_foreach(o, name, value)
    {
        if (!json_is_array(value))
            print_value(name, value);
        else
            json_array_foreach(value, i, one)
            {
                json_t *file = json_object_get(one, "file");
                printf("%-16s %s%s\n", i ? "" : name, i ? "  on " : "",
                       json_string_value(file ? file : one));
            }
    }
}

int disk_info(int argc, char **argv)
{
    struct request request = {0};
    struct error err = {""};
    int status = parse(argc, argv, &request);
    if (status != CLI_OK)
        return status;
    json_t *o = json_object();
    int r = describe(&request, o, &err);
    if (r < 0)
        status = disk_error("info", r, &err);
    else if (request.json)
        status = json_dumpf(o, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0 ? CLI_OK : CLI_FAILED;
    else
        print_text(o);
    json_decref(o);
    return status;
}

/* ---- map ---- */

static void print_extent(const struct blk_extent *e, uint64_t at, const char *name)
{
    printf("%16" PRIu64 " %16" PRIu64 "  ", at, e->len_bytes);
    if (e->zero)
        puts("zero");
    else if (e->file)
        printf("%s at %" PRIu64 "\n", name, e->file_offset);
    else
        printf("%s, compressed\n", name);
}

static json_t *extent_json(const struct blk_extent *e, uint64_t at)
{
    json_t *o = json_pack("{s:I, s:I, s:b, s:i}", "start", (json_int_t)at, "length",
                          (json_int_t)e->len_bytes, "zero", e->zero, "depth", (int)e->depth);
    if (e->file)
        json_object_set_new(o, "offset", json_integer((json_int_t)e->file_offset));
    return o;
}

static const char *name_at(struct blk *blk, unsigned depth)
{
    while (depth-- && blk->parent)
        blk = blk->parent;
    return blk->name;
}

/* Extents that go on from each other are one. */
static bool joins(const struct blk_extent *a, const struct blk_extent *b)
{
    return a->zero == b->zero &&
           (a->zero || (a->depth == b->depth && a->file == b->file && a->file &&
                        a->file_offset + a->len_bytes == b->file_offset));
}

static int map(struct blk *blk, json_t *list)
{
    struct blk_extent last = {0}, e;
    uint64_t start = 0;
    for (uint64_t at = 0; at <= blk->size_bytes; at += e.len_bytes) {
        bool end = at == blk->size_bytes;
        int r = end ? 0 : blk_map(blk, at, blk->size_bytes - at, &e);
        if (r < 0)
            return r;
        if (!end && at && joins(&last, &e)) {
            last.len_bytes += e.len_bytes;
            continue;
        }
        if (at && list)
            json_array_append_new(list, extent_json(&last, start));
        else if (at)
            print_extent(&last, start, name_at(blk, last.depth));
        if (end)
            break;
        last = e;
        start = at;
    }
    return 0;
}

int disk_map(int argc, char **argv)
{
    struct request request = {0};
    struct error err = {""};
    struct blk *blk;
    int status = parse(argc, argv, &request);
    if (status != CLI_OK)
        return status;
    struct blk_options options = {.readonly = true, .parent_folders = request.folders.folder};
    int r = blk_open_with(request.path, &options, &blk, &err);
    if (r < 0)
        return disk_error("map", r, &err);
    json_t *list = request.json ? json_array() : NULL;
    r = map(blk, list);
    if (r == 0 && list) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        puts("");
    }
    json_decref(list);
    blk_close(blk);
    return r < 0 ? disk_error("map", r, &err) : CLI_OK;
}
