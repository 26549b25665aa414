/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a header of two sectors is replaced without a moment in which there is none: a copy of the
 * new one is put behind the file with a footer that leads to it; then the footer at the start
 * leads there; then the header's own place is written; then the footers lead back, and the copy is
 * cut off. Each arrow is one flush. A torn step is healed by the other footer, since the end's
 * counts if it is whole, else the start's (VHD specification 1.0, "Hard Disk Footer Format").
 */
#include "block/vhd_edit.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "block/vhd_parent.h"

static int failed(const struct vhd_image *image, int r, struct error *err)
{
    return r < 0 ? error_set(err, r, "%s cannot be changed: %s", image->file->name, strerror(-r))
                 : 0;
}

int vhd_image_open(const char *path, bool readonly, struct vhd_image *ret_image, struct error *err)
{
    struct vhd_image image = {0};
    int r = file_open(path, readonly, &image.file, err);
    if (r < 0)
        return r;
    r = vhd_probe(image.file, &image.footer, &image.footer_at, err);
    if (r == 0)
        r = error_set(err, -EMEDIUMTYPE, "%s is not a VHD", path);
    else if (r > 0 && image.footer.type != VHD_FIXED)
        r = vhd_read_header(image.file, &image.footer, &image.header, err);
    if (r < 0) {
        file_close(image.file);
        return r;
    }
    *ret_image = image;
    return 0;
}

void vhd_image_close(struct vhd_image *image)
{
    image->file = file_close(image->file);
}

/* For changes: both ends must be whole, and no machine's saved memory may depend on the disk. */
static int open_for_change(const char *path, struct vhd_image *ret_image, struct error *err)
{
    struct vhd_image image;
    int r = vhd_image_open(path, false, &image, err);
    if (r < 0)
        return r;
    if (image.footer.saved_state)
        r = error_set(err, -EBUSY,
                      "%s belongs to a machine whose state is saved; start or discard that first",
                      path);
    else if (image.footer_at == UINT64_MAX)
        r = error_set(err, -EBADMSG, "%s has a torn end; mend it with `yado disk check --repair`",
                      path);
    if (r < 0) {
        vhd_image_close(&image);
        return r;
    }
    *ret_image = image;
    return 0;
}

static int put_footer(struct vhd_image *image, const struct vhd_footer *footer, uint64_t header_at,
                      uint64_t at)
{
    uint8_t raw[VHD_FOOTER_BYTES];
    struct vhd_footer f = *footer;
    f.data_offset = header_at;
    vhd_footer_put(&f, raw);
    return file_write(image->file, raw, sizeof(raw), at);
}

static int flush(struct vhd_image *image)
{
    return image->file->ops->flush(image->file);
}

/* The way of the head comment; the last footer goes to end, behind all that is in use. */
static int replace(struct vhd_image *image, const struct vhd_footer *footer,
                   const struct vhd_header *header, uint64_t end)
{
    uint8_t raw[VHD_HEADER_BYTES];
    uint64_t home = image->footer.data_offset, file_bytes;
    int r = image->file->ops->size(image->file, &file_bytes);
    uint64_t copy = r < 0 ? 0 : align_up(MAX(end, file_bytes), VHD_SECTOR_BYTES);
    vhd_header_put(header, raw);
    if (r == 0)
        r = file_write(image->file, raw, sizeof(raw), copy);
    if (r == 0)
        r = put_footer(image, footer, copy, copy + sizeof(raw));
    if (r == 0)
        r = flush(image);
    if (r == 0)
        r = put_footer(image, footer, copy, 0);
    if (r == 0)
        r = flush(image);
    if (r == 0)
        r = file_write(image->file, raw, sizeof(raw), home);
    if (r == 0)
        r = flush(image);
    if (r == 0)
        r = put_footer(image, footer, home, 0);
    if (r == 0)
        r = put_footer(image, footer, home, end);
    if (r == 0)
        r = flush(image);
    if (r == 0)
        r = image->file->ops->truncate(image->file, end + VHD_FOOTER_BYTES);
    return r == 0 ? flush(image) : r;
}

/* ---- size ---- */

static int resize_fixed(struct vhd_image *image, const struct vhd_footer *footer)
{
    uint64_t old = image->footer.current_size_bytes, size = footer->current_size_bytes;
    int r = put_footer(image, footer, UINT64_MAX, size);
    if (r == 0)
        r = flush(image);
    if (r == 0 && size > old)
        r = file_zero(image->file, old, MIN(image->footer_at + VHD_FOOTER_BYTES, size) - old);
    if (r == 0)
        r = image->file->ops->truncate(image->file, size + VHD_FOOTER_BYTES);
    return r == 0 ? flush(image) : r;
}

static int read_table(struct vhd_image *image, uint32_t count, uint32_t **ret_table)
{
    AUTO_FREE uint32_t *table = malloc(4ull * count);
    if (!table)
        return -ENOMEM;
    int r = file_read(image->file, table, 4ull * count, image->header.table_offset);
    for (uint32_t i = 0; i < count; i++)
        table[i] = be32_get(&table[i]);
    if (r == 0)
        *ret_table = TAKE_PTR(table);
    return r;
}

/* Where the table's room ends: at the next thing in the file. */
static uint64_t table_limit(const struct vhd_image *image, const uint32_t *table, uint32_t count)
{
    uint64_t at = image->header.table_offset, limit = image->footer_at;
    if (image->footer.data_offset > at)
        limit = MIN(limit, image->footer.data_offset);
    for (unsigned i = 0; i < VHD_LOCATORS; i++)
        if (image->header.locators[i].code && image->header.locators[i].data_offset > at)
            limit = MIN(limit, image->header.locators[i].data_offset);
    for (uint32_t i = 0; i < count; i++)
        if (table[i] != VHD_BAT_UNUSED && (uint64_t)table[i] * VHD_SECTOR_BYTES > at)
            limit = MIN(limit, (uint64_t)table[i] * VHD_SECTOR_BYTES);
    return limit;
}

/*
 * The old last block may have held more than the disk did, and some writers cut it off there: the
 * whole of it must be zeroes from now on.
 */
static int complete_last_block(struct vhd_image *image, const uint32_t *table, uint32_t count,
                               uint64_t *end, struct error *err)
{
    uint32_t block = image->header.block_bytes;
    uint32_t used = (uint32_t)(image->footer.current_size_bytes % block);
    if (used == 0 || table[count - 1] == VHD_BAT_UNUSED)
        return 0;
    uint64_t data = (uint64_t)table[count - 1] * VHD_SECTOR_BYTES + vhd_bitmap_bytes(block);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = (uint64_t)table[i] * VHD_SECTOR_BYTES;
        if (table[i] != VHD_BAT_UNUSED && at >= data && at < data + block)
            return error_set(err, -EBADMSG,
                             "%s: another block follows its last one too soon; use "
                             "`yado disk compact` first",
                             image->file->name);
    }
    if (data + block > image->footer_at)
        *end = align_up(MAX(*end, data + block), VHD_SECTOR_BYTES);
    uint64_t whole = MIN(data + block, image->footer_at);
    if (whole > data + used)
        return failed(image, file_zero(image->file, data + used, whole - data - used), err);
    return 0;
}

/* Room for the entries of a larger disk: behind the old ones, or the whole table anew. */
static int extend_table(struct vhd_image *image, const uint32_t *table, uint32_t old_count,
                        uint32_t count, struct vhd_header *header, uint64_t *end)
{
    uint64_t limit = table_limit(image, table, old_count), at = header->table_offset;
    bool fits = at + 4ull * count <= limit;
    if (!fits)
        at = align_up(MAX(*end, image->footer_at + VHD_FOOTER_BYTES), VHD_SECTOR_BYTES);
    uint64_t first = fits ? old_count : 0, bytes = align_up(4ull * count, VHD_SECTOR_BYTES);
    if (fits)
        bytes = MIN(bytes, limit - at);
    AUTO_FREE uint8_t *raw = malloc(bytes);
    if (!raw)
        return -ENOMEM;
    memset(raw, 0xff, bytes);
    for (uint32_t i = 0; i < old_count; i++)
        be32_put(raw + 4ull * i, table[i]);
    int r = file_write(image->file, raw + 4 * first, bytes - 4 * first, at + 4 * first);
    if (r == 0 && !fits) {
        header->table_offset = at;
        *end = at + bytes;
    }
    return r == 0 ? flush(image) : r;
}

static int resize_dynamic(struct vhd_image *image, const struct vhd_footer *footer,
                          struct error *err)
{
    struct vhd_header header = image->header;
    uint32_t block = header.block_bytes;
    uint32_t old_count = (uint32_t)((image->footer.current_size_bytes + block - 1) / block);
    uint64_t count = (footer->current_size_bytes + block - 1) / block;
    uint64_t end = image->footer_at;
    AUTO_FREE uint32_t *table = NULL;
    if (count > 1u << 24)
        return error_set(err, -EFBIG, "%s: its blocks of %u bytes are too small for that size",
                         image->file->name, block);
    int r = failed(image, read_table(image, old_count, &table), err);
    if (r < 0)
        return r;
    if (footer->current_size_bytes > image->footer.current_size_bytes) {
        r = complete_last_block(image, table, old_count, &end, err);
        if (r == 0)
            r = failed(image, extend_table(image, table, old_count, (uint32_t)count, &header, &end),
                       err);
    }
    if (r < 0)
        return r;
    header.max_table_entries = (uint32_t)count;
    return failed(image, replace(image, footer, &header, end), err);
}

static int check_size(const struct vhd_image *image, uint64_t size_bytes, bool shrink,
                      struct error *err)
{
    const char *name = image->file->name;
    if (size_bytes == 0 || size_bytes % VHD_SECTOR_BYTES)
        return error_set(err, -EINVAL, "%s: a disk's size is a multiple of 512 bytes", name);
    if (size_bytes > VHD_MAX_BYTES)
        return error_set(err, -EFBIG, "%s: a VHD holds at most 2040 GiB", name);
    if (size_bytes < image->footer.current_size_bytes && !shrink)
        return error_set(err, -ERANGE,
                         "%s is larger now; --shrink cuts it off, and what lies there is lost",
                         name);
    return 0;
}

int vhd_image_resize(struct vhd_image *image, uint64_t size_bytes, bool shrink, struct error *err)
{
    int r = check_size(image, size_bytes, shrink, err);
    if (r < 0 || size_bytes == image->footer.current_size_bytes)
        return r;
    struct vhd_footer footer = image->footer;
    footer.current_size_bytes = size_bytes;
    vhd_geometry(size_bytes / VHD_SECTOR_BYTES, &footer);
    return footer.type == VHD_FIXED ? failed(image, resize_fixed(image, &footer), err)
                                    : resize_dynamic(image, &footer, err);
}

int vhd_resize(const char *path, uint64_t size_bytes, bool shrink, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    int r = open_for_change(path, &image, err);
    return r < 0 ? r : vhd_image_resize(&image, size_bytes, shrink, err);
}

/* ---- parents ---- */

/* The new locators' data goes behind the file: the old must stay until the header is replaced. */
static int append_locators(struct vhd_image *image, const struct vhd_locator_data *data,
                           struct vhd_header *header, uint64_t *ret_end)
{
    uint64_t end = align_up(image->footer_at + VHD_FOOTER_BYTES, VHD_SECTOR_BYTES);
    for (unsigned i = 0; i < VHD_LOCATORS_WRITTEN; i++) {
        struct vhd_locator *l = &header->locators[i];
        l->data_offset = end;
        l->data_space = (uint32_t)align_up(data[i].len_bytes, VHD_SECTOR_BYTES);
        int r = file_write(image->file, data[i].bytes, data[i].len_bytes, end);
        if (r < 0)
            return r;
        end += l->data_space;
    }
    *ret_end = end;
    return flush(image);
}

int vhd_reparent(const char *child_path, const char *parent_path, bool force, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image child = {0}, parent = {0};
    AUTO_FREE struct vhd_locator_data *data = calloc(VHD_LOCATORS_WRITTEN, sizeof(*data));
    uint64_t end;
    if (!data)
        return error_set(err, -ENOMEM, "out of memory");
    int r = open_for_change(child_path, &child, err);
    if (r == 0 && child.footer.type != VHD_DIFFERENCING)
        r = error_set(err, -EINVAL, "%s is not a differencing disk and has no parent", child_path);
    if (r == 0)
        r = vhd_image_open(parent_path, true, &parent, err);
    if (r < 0)
        return r;
    bool same = !memcmp(parent.footer.unique_id, child.header.parent_id, 16);
    if (!same && !force)
        return error_set(err, -EMEDIUMTYPE,
                         "%s is another disk than the one that %s differs from; --force takes it "
                         "if you know that their contents are the same",
                         parent_path, child_path);
    struct vhd_header header = child.header;
    r = vhd_parent_describe(child_path, parent_path, &parent.footer, &header, data, err);
    if (r < 0)
        return r;
    r = append_locators(&child, data, &header, &end);
    if (r == 0)
        r = replace(&child, &child.footer, &header, end);
    return failed(&child, r, err);
}

int vhd_renew_id(struct vhd_image *image, struct error *err)
{
    struct vhd_footer footer = image->footer;
    bool fixed = footer.type == VHD_FIXED;
    int r = vhd_make_id(footer.unique_id);
    /* The end's footer counts: with it the id is changed, without it nothing is. */
    if (r == 0)
        r = put_footer(image, &footer, footer.data_offset, image->footer_at);
    if (r == 0)
        r = flush(image);
    if (r == 0 && !fixed)
        r = put_footer(image, &footer, footer.data_offset, 0);
    if (r == 0)
        r = flush(image);
    if (r == 0)
        image->footer = footer;
    return failed(image, r, err);
}
