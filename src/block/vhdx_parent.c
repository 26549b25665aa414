/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * [MS-VHDX] 2.6.2.6, parent locator: keys and values as text, which say what the parent is (the id
 * that its contents had) and where it may be.
 */
#include "block/vhdx_parent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "block/utf16.h"
#include "block/vhdx_log.h"

#define PAIRS_MAX 64u
#define LOCATOR_HEAD 20u
#define PAIR_BYTES 12u

/* ---- reading ---- */

/* "{2dc27766-f623-4200-9d64-115e9bfd4a08}" as it lies in a file. */
static bool parse_id(const char *text, uint8_t id[VHDX_ID_BYTES])
{
    unsigned a, b, c, d[8];
    if (sscanf(text, "{%8x-%4x-%4x-%2x%2x-%2x%2x%2x%2x%2x%2x}", &a, &b, &c, &d[0], &d[1], &d[2],
               &d[3], &d[4], &d[5], &d[6], &d[7]) != 11)
        return false;
    le32_put(id, a);
    le16_put(id + 4, (uint16_t)b);
    le16_put(id + 6, (uint16_t)c);
    for (unsigned i = 0; i < 8; i++)
        id[8 + i] = (uint8_t)d[i];
    return true;
}

static char *locator_text(const uint8_t *locator, uint32_t len, uint32_t at, uint32_t bytes)
{
    return at <= len && bytes <= len - at ? utf16_to_utf8(locator + at, bytes, false) : NULL;
}

static void take_pair(const uint8_t *locator, uint32_t len, const uint8_t *pair, const char *folder,
                      const char *wanted, struct vhdx_parent *parent)
{
    AUTO_FREE char *key = locator_text(locator, len, le32_get(pair), le16_get(pair + 8));
    AUTO_FREE char *value = locator_text(locator, len, le32_get(pair + 4), le16_get(pair + 10));
    if (!key || !value || strcasecmp(key, wanted))
        return;
    if (!strcmp(wanted, "parent_linkage"))
        parent->wanted = parse_id(value, parent->id);
    else
        parent_paths_add(&parent->paths, parent_path_for_host(value, folder));
}

int vhdx_find_parent(struct blk_file *file, const char *folder, struct vhdx_parent *ret_parent,
                     struct error *err)
{
    /* Relative places first, as with VHDs. */
    static const char *const keys[] = {"parent_linkage", "relative_path", "volume_path",
                                       "absolute_win32_path"};
    struct vhdx_parent parent = {.wanted = false};
    struct vhdx_header header;
    struct vhdx_disk disk = {0};
    struct blk_file *replayed;
    int r = vhdx_read_header(file, &header, err);
    if (r == 0)
        r = vhdx_log_replay(file, &header, &replayed, err);
    if (r < 0)
        return r;
    r = vhdx_read_disk(replayed, &disk, err);
    AUTO_FREE uint8_t *locator = calloc(1, disk.locator_bytes + 1);
    if (r == 0 && disk.has_parent) {
        r = locator ? file_read(replayed, locator, disk.locator_bytes, disk.locator_at) : -ENOMEM;
        if (r < 0)
            error_set(err, r, "%s cannot be read: %s", file->name, strerror(-r));
    }
    uint32_t pairs = r == 0 && disk.locator_bytes >= 20
                         ? MIN((uint32_t)le16_get(locator + 18), (disk.locator_bytes - 20) / 12)
                         : 0;
    for (unsigned k = 0; k < ARRAY_LEN(keys); k++)
        for (uint32_t i = 0; i < MIN(pairs, PAIRS_MAX); i++)
            take_pair(locator, disk.locator_bytes, locator + 20 + i * 12, folder, keys[k], &parent);
    if (r == 0 && disk.has_parent && !parent.wanted)
        r = vhdx_damaged(err, file, "it does not say what its parent is");
    if (replayed != file)
        vhdx_log_release(replayed);
    if (r < 0)
        parent_paths_done(&parent.paths);
    else
        *ret_parent = parent;
    return r;
}

/* ---- writing ---- */

/* B04AEFB7-D19E-4A81-B789-25B8E9445913: a disk in the same format. */
static const uint8_t locator_type[VHDX_ID_BYTES] = {0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
                                                    0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13};

static void print_id(const uint8_t *id, char *text, size_t room)
{
    size_t n = (size_t)snprintf(text, room, "{%08x-%04x-%04x-", le32_get(id), le16_get(id + 4),
                                le16_get(id + 6));
    for (unsigned i = 8; i < VHDX_ID_BYTES; i++)
        n += (size_t)snprintf(text + n, room - n, i == 9 ? "%02x-" : "%02x", id[i]);
    snprintf(text + n, room - n, "}");
}

int vhdx_look(const char *path, struct vhdx_header *ret_header, struct vhdx_disk *ret_disk,
              struct error *err)
{
    struct blk_file *file, *replayed;
    struct vhdx_header header;
    int r = vhdx_open_file(path, true, &file, err);
    if (r < 0)
        return r;
    r = vhdx_read_header(file, &header, err);
    if (r == 0)
        r = vhdx_log_replay(file, &header, &replayed, err);
    if (r == 0) {
        r = vhdx_read_disk(replayed, ret_disk, err);
        if (replayed != file)
            vhdx_log_release(replayed);
    }
    file_close(file);
    if (r == 0)
        *ret_header = header;
    return r;
}

int vhdx_parent_describe(const char *child_path, const char *parent_path,
                         const uint8_t parent_id[VHDX_ID_BYTES], uint8_t **ret_locator,
                         uint32_t *ret_len_bytes, struct error *err)
{
    AUTO(parent_names_done) struct parent_names names = {0};
    AUTO_FREE uint8_t *locator = calloc(1, VHDX_LOCATOR_MAX);
    char id[64];
    int r = locator ? parent_names_find(child_path, parent_path, &names, err)
                    : error_set(err, -ENOMEM, "out of memory");
    if (r < 0)
        return r;
    print_id(parent_id, id, sizeof(id));
    const char *pairs[][2] = {{"parent_linkage", id},
                              {"relative_path", names.relative},
                              {"absolute_win32_path", names.absolute}};
    memcpy(locator, locator_type, sizeof(locator_type));
    le16_put(locator + 18, ARRAY_LEN(pairs));
    uint32_t at = LOCATOR_HEAD + PAIR_BYTES * ARRAY_LEN(pairs);
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++) {
        uint8_t *pair = locator + LOCATOR_HEAD + i * PAIR_BYTES;
        for (unsigned k = 0; k < 2; k++) {
            size_t n = utf16_from_utf8(pairs[i][k], false, locator + at,
                                       MIN(VHDX_LOCATOR_MAX - at, (uint32_t)UINT16_MAX));
            if (n == 0)
                return error_set(err, -EILSEQ,
                                 "%s: a name that is too long, or is not UTF-8, cannot be written "
                                 "in a VHDX",
                                 names.host);
            le32_put(pair + 4 * k, at);
            le16_put(pair + 8 + 2 * k, (uint16_t)n);
            at += (uint32_t)n;
        }
    }
    *ret_locator = TAKE_PTR(locator);
    *ret_len_bytes = at;
    return 0;
}
