/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checking a VHD's structures, and mending those of which there are two.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "block/vhd_priv.h"
#include "block/vhd_tools.h"

struct verify {
    struct vhd vhd; /* its file, header and table */
    struct vhd_footer footer;
    uint64_t footer_at;
    bool repair;
    void (*say)(void *ctx, const char *text);
    void *ctx;
    struct image_verdict verdict;
};

static void PRINTF_LIKE(3, 4) problem(struct verify *v, bool mended, const char *fmt, ...)
{
    char text[256], line[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(line, sizeof(line), "%s%s", text, mended ? ": repaired" : "");
    v->verdict.problems++;
    v->verdict.repaired += mended;
    v->say(v->ctx, line);
}

/* The last byte that a block needs. */
static uint64_t used_end(const struct vhd *vhd)
{
    uint64_t end =
        MAX(vhd->header_at + VHD_HEADER_BYTES, vhd->header.table_offset + 4ull * vhd->block_count);
    for (uint32_t n = 0; n < vhd->block_count; n++) {
        if (vhd->table[n] == VHD_BAT_UNUSED || vhd_bit(vhd->bad, n))
            continue;
        end = MAX(end,
                  vhd_data_offset(vhd, n) + (uint64_t)vhd_block_sectors(vhd, n) * VHD_SECTOR_BYTES);
    }
    return align_up(end, VHD_SECTOR_BYTES);
}

/* Both copies of the footer of a dynamic disk: whole, and the same. */
static int check_footers(struct verify *v)
{
    struct blk_file *file = v->vhd.file;
    uint8_t start[VHD_FOOTER_BYTES], good[VHD_FOOTER_BYTES];
    struct vhd_footer copy;
    bool torn = v->footer_at == UINT64_MAX;
    int r = file_read(file, start, sizeof(start), 0);
    if (r == 0 && !torn)
        r = file_read(file, good, sizeof(good), v->footer_at);
    if (r < 0)
        return r;
    if (torn) {
        uint64_t file_bytes;
        r = file->ops->size(file, &file_bytes);
        uint64_t end = MAX(used_end(&v->vhd), r < 0 ? 0 : align_up(file_bytes, VHD_SECTOR_BYTES));
        if (r == 0 && v->repair)
            r = file_write(file, start, sizeof(start), end);
        if (r == 0 && v->repair)
            r = file->ops->flush(file);
        problem(v, r == 0 && v->repair, "the footer at the end is not whole");
        return r;
    }
    if (!memcmp(start, good, sizeof(good)))
        return 0;
    bool whole = vhd_footer_get(start, &copy);
    if (v->repair) {
        r = file_write(file, good, sizeof(good), 0);
        if (r == 0)
            r = file->ops->flush(file);
    }
    problem(v, r == 0 && v->repair,
            whole ? "the copy of the footer at the start says something else than the footer"
                  : "the copy of the footer at the start is not whole");
    return r;
}

static int drop_block(struct verify *v, uint32_t n)
{
    uint8_t entry[4];
    be32_put(entry, VHD_BAT_UNUSED);
    return file_write(v->vhd.file, entry, sizeof(entry), v->vhd.header.table_offset + 4ull * n);
}

static int check_table(struct verify *v)
{
    struct vhd *vhd = &v->vhd;
    bool inside, apart;
    uint64_t file_bytes;
    int r = vhd->file->ops->size(vhd->file, &file_bytes);
    uint64_t limit = v->footer_at == UINT64_MAX ? file_bytes : v->footer_at;
    if (r == 0)
        r = vhd_check_blocks(vhd, limit, &inside, &apart);
    if (r < 0)
        return r;
    for (uint32_t n = 0; n < vhd->block_count && r == 0; n++) {
        v->verdict.allocated += vhd->table[n] != VHD_BAT_UNUSED && !vhd_bit(vhd->bad, n);
        if (!vhd_bit(vhd->bad, n))
            continue;
        r = v->repair ? drop_block(v, n) : 0;
        problem(v, r == 0 && v->repair, "block %u cannot be at sector %u; its contents are lost", n,
                vhd->table[n]);
    }
    if (!apart)
        problem(v, false, "blocks overlap; copy what is left with `yado disk convert`");
    uint64_t need = used_end(vhd) + VHD_FOOTER_BYTES;
    uint64_t block = vhd->bitmap_bytes + (uint64_t)vhd->block_bytes;
    if (file_bytes > need && file_bytes - need >= block)
        v->verdict.wasted_bytes += file_bytes - need;
    v->verdict.blocks = vhd->block_count;
    return r;
}

static int read_table(struct verify *v)
{
    struct vhd *vhd = &v->vhd;
    uint32_t block = vhd->header.block_bytes;
    vhd->header_at = v->footer.data_offset;
    vhd->blk.size_bytes = v->footer.current_size_bytes;
    vhd->block_bytes = block;
    vhd->bitmap_bytes = vhd_bitmap_bytes(block);
    vhd->block_count = (uint32_t)((v->footer.current_size_bytes + block - 1) / block);
    vhd->differencing = v->footer.type == VHD_DIFFERENCING;
    vhd->table = malloc(4ull * vhd->block_count);
    vhd->bad = calloc((vhd->block_count + 7) / 8, 1);
    if (!vhd->table || !vhd->bad)
        return -ENOMEM;
    int r = file_read(vhd->file, vhd->table, 4ull * vhd->block_count, vhd->header.table_offset);
    for (uint32_t n = 0; n < vhd->block_count; n++)
        vhd->table[n] = be32_get(&vhd->table[n]);
    return r;
}

int vhd_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
               struct image_verdict *ret_verdict, struct error *err)
{
    AUTO(vhd_image_close) struct vhd_image image = {0};
    int r = vhd_image_open(path, !repair, &image, err);
    if (r < 0)
        return r;
    struct verify v = {.footer = image.footer,
                       .footer_at = image.footer_at,
                       .repair = repair,
                       .say = say,
                       .ctx = ctx};
    v.vhd.file = image.file;
    v.vhd.header = image.header;
    if (image.footer.type == VHD_FIXED) {
        if (image.footer.current_size_bytes > image.footer_at)
            problem(&v, false, "the file is shorter than its disk");
    } else {
        r = read_table(&v);
        if (r == 0)
            r = check_table(&v);
        if (r == 0)
            r = check_footers(&v);
    }
    free(v.vhd.table);
    free(v.vhd.bad);
    if (r < 0)
        return error_set(err, r, "%s cannot be %s: %s", path, repair ? "repaired" : "checked",
                         strerror(-r));
    *ret_verdict = v.verdict;
    return 0;
}
