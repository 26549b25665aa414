/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new VHD that is in all but its contents the same as another one.
 */
#include "block/vhd_tools.h"

#include <errno.h>
#include <string.h>

#include "block/vhd_parent.h"

static int copy_locators(struct vhd_image *from, struct blk_file *to, struct vhd_header *header,
                         uint64_t *end)
{
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        struct vhd_locator *l = &header->locators[i];
        if (!l->code)
            continue;
        if (l->data_length > VHD_LOCATOR_MAX_BYTES || l->data_offset > INT64_MAX / 2)
            return -EBADMSG;
        uint64_t room = align_up(l->data_length, VHD_SECTOR_BYTES);
        AUTO_FREE uint8_t *data = calloc(1, room ? room : 1);
        if (!data)
            return -ENOMEM;
        int r = file_read(from->file, data, l->data_length, l->data_offset);
        if (r == 0)
            r = file_write(to, data, room, *end);
        if (r < 0)
            return r;
        l->data_offset = *end;
        l->data_space = (uint32_t)room;
        *end += room;
    }
    return 0;
}

int vhd_write_like(struct vhd_image *from, struct blk_file *to)
{
    uint8_t raw[VHD_HEADER_BYTES], unused[VHD_SECTOR_BYTES];
    struct vhd_footer footer = from->footer;
    struct vhd_header header = from->header;
    uint64_t at = VHD_FOOTER_BYTES + VHD_HEADER_BYTES;
    uint32_t block = header.block_bytes;
    uint32_t count = (uint32_t)((footer.current_size_bytes + block - 1) / block);
    uint64_t end = at + align_up(4ull * count, VHD_SECTOR_BYTES);
    int r = 0;
    header.table_offset = at;
    header.max_table_entries = count;
    footer.data_offset = VHD_FOOTER_BYTES;
    memset(unused, 0xff, sizeof(unused));
    for (; r == 0 && at < end; at += sizeof(unused))
        r = file_write(to, unused, sizeof(unused), at);
    if (r == 0 && footer.type == VHD_DIFFERENCING)
        r = copy_locators(from, to, &header, &end);
    if (r == 0) {
        vhd_header_put(&header, raw);
        r = file_write(to, raw, sizeof(raw), VHD_FOOTER_BYTES);
    }
    vhd_footer_put(&footer, raw);
    if (r == 0)
        r = file_write(to, raw, VHD_FOOTER_BYTES, 0);
    return r == 0 ? file_write(to, raw, VHD_FOOTER_BYTES, end) : r;
}
