/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD specification 1.0, "Parent Unicode Name" and "Parent Locator Entry". Relative places come
 * before absolute ones, for a chain that was moved together must not fall back to an old copy;
 * the bare name beside the child comes last. Mac aliases are blobs that nobody else can read.
 */
#include "block/vhd_parent.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "block/utf16.h"

/* Digits of "%41"; -1: none. */
static int hex_pair(const char *p)
{
    char digits[3] = {p[0], p[0] ? p[1] : '\0', '\0'}, *end;
    long v = strtol(digits, &end, 16);
    return end == digits + 2 && digits[0] != '-' && digits[0] != '+' && digits[0] != ' ' ? (int)v
                                                                                         : -1;
}

/* RFC 3986 percent signs; an escaped NUL ends the path. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        int c = *s == '%' ? hex_pair(s + 1) : -1;
        *out++ = c < 0 ? *s : (char)c;
        s += c < 0 ? 0 : 2;
    }
    *out = '\0';
}

/* file:///a/b, file://localhost/a/b, and XenServer's file://./b. NULL without memory. */
static char *path_of_url(const char *url, const char *folder)
{
    static const char scheme[] = "file://", local[] = "localhost";
    AUTO_FREE char *path = NULL;
    if (!strncmp(url, scheme, sizeof(scheme) - 1))
        url += sizeof(scheme) - 1;
    if (!strncmp(url, local, sizeof(local) - 1))
        url += sizeof(local) - 1;
    path = strdup(url);
    if (!path)
        return NULL;
    unescape(path);
    return parent_path_for_host(path, folder);
}

static char *path_of_locator(const struct vhd_locator *locator, const uint8_t *data,
                             const char *folder)
{
    AUTO_FREE char *text = NULL;
    switch (locator->code) {
    case VHD_LOCATOR_W2RU:
    case VHD_LOCATOR_W2KU:
        text = utf16_to_utf8(data, locator->data_length, false);
        break;
    case VHD_LOCATOR_WI2R:
    case VHD_LOCATOR_WI2K:
    case VHD_LOCATOR_MACX:
        text = strndup((const char *)data, locator->data_length);
        break;
    }
    if (!text)
        return NULL;
    return locator->code == VHD_LOCATOR_MACX ? path_of_url(text, folder)
                                             : parent_path_for_host(text, folder);
}

/* Add the places of all locators with one code. */
static int add_locators(struct blk_file *file, const struct vhd_header *header, uint32_t code,
                        const char *folder, struct parent_paths *paths)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const struct vhd_locator *l = &header->locators[i];
        if (l->code != code || l->data_length == 0 || l->data_length > VHD_LOCATOR_MAX_BYTES ||
            l->data_offset > INT64_MAX - VHD_LOCATOR_MAX_BYTES)
            continue;
        AUTO_FREE uint8_t *data = malloc(l->data_length);
        if (!data)
            return -ENOMEM;
        int r = file_read(file, data, l->data_length, l->data_offset);
        if (r < 0)
            return r;
        parent_paths_add(paths, path_of_locator(l, data, folder));
    }
    return 0;
}

/* The last part of the parent's name, beside the child. Some writers had the bytes turned, which Latin names show. */
static void add_name(const struct vhd_header *header, bool big_endian, const char *folder,
                     struct parent_paths *paths)
{
    AUTO_FREE char *name =
        utf16_to_utf8(header->parent_name, sizeof(header->parent_name), big_endian);
    const char *last = name;
    for (const char *c = name; c && *c; c++)
        if (*c == '/' || *c == '\\' || *c == ':')
            last = c + 1;
    if (last && *last)
        parent_paths_add(paths, parent_path_for_host(last, folder));
}

int vhd_parent_paths(struct blk_file *file, const struct vhd_header *header, const char *folder,
                     struct parent_paths *paths, struct error *err)
{
    static const uint32_t order[] = {VHD_LOCATOR_W2RU, VHD_LOCATOR_WI2R, VHD_LOCATOR_MACX,
                                     VHD_LOCATOR_W2KU, VHD_LOCATOR_WI2K};
    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        int r = add_locators(file, header, order[i], folder, paths);
        if (r < 0)
            return error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    add_name(header, header->parent_name[0] == 0 || header->parent_name[1] != 0, folder, paths);
    return 0;
}

/* ---- naming a parent ---- */

static void put_url(const char *path, struct vhd_locator_data *data)
{
    static const char plain[] = "-._~/!$&'()*+,;=:@";
    char *out = (char *)data->bytes;
    size_t room = sizeof(data->bytes), n = (size_t)snprintf(out, room, "file://");
    for (; *path && n + 4 < room; path++) {
        unsigned char c = (unsigned char)*path;
        bool alone = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     strchr(plain, c);
        n += (size_t)snprintf(out + n, room - n, alone ? "%c" : "%%%02X", c);
    }
    data->len_bytes = (uint32_t)n;
}

int vhd_parent_describe(const char *child_path, const char *parent_path,
                        const struct vhd_footer *parent_footer, struct vhd_header *header,
                        struct vhd_locator_data data[VHD_LOCATORS_WRITTEN], struct error *err)
{
    AUTO(parent_names_done) struct parent_names names = {0};
    struct stat st;
    int r = parent_names_find(child_path, parent_path, &names, err);
    if (r < 0)
        return r;
    if (stat(names.host, &st) < 0)
        return error_set(err, -errno, "%s cannot be found: %s", names.host, strerror(errno));

    put_url(names.host, &data[2]);
    data[0].len_bytes =
        (uint32_t)utf16_from_utf8(names.relative, false, data[0].bytes, sizeof(data[0].bytes));
    data[1].len_bytes =
        (uint32_t)utf16_from_utf8(names.absolute, false, data[1].bytes, sizeof(data[1].bytes));
    uint8_t name[VHD_NAME_BYTES] = {0};
    if (data[0].len_bytes == 0 || data[1].len_bytes == 0)
        return error_set(err, -EILSEQ, "%s: a name that is not UTF-8 cannot be written in a VHD",
                         names.host);
    /* A name that is too long for its field is left out: the locators have it. */
    if (utf16_from_utf8(strrchr(names.host, '/') + 1, true, name, sizeof(name)) == 0)
        memset(name, 0, sizeof(name));

    static const uint32_t codes[VHD_LOCATORS_WRITTEN] = {VHD_LOCATOR_W2RU, VHD_LOCATOR_W2KU,
                                                         VHD_LOCATOR_MACX};
    memcpy(header->parent_id, parent_footer->unique_id, sizeof(header->parent_id));
    header->parent_time_stamp = (uint32_t)(st.st_mtime - VHD_EPOCH);
    memcpy(header->parent_name, name, sizeof(name));
    memset(header->locators, 0, sizeof(header->locators));
    for (unsigned i = 0; i < VHD_LOCATORS_WRITTEN; i++)
        header->locators[i] =
            (struct vhd_locator){.code = codes[i], .data_length = data[i].len_bytes};
    return 0;
}
