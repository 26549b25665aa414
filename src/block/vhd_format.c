/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/vhd_format.h"

#include "base/bytes.h"

static const char footer_cookie[8] = {'c', 'o', 'n', 'e', 'c', 't', 'i', 'x'};
static const char header_cookie[8] = {'c', 'x', 's', 'p', 'a', 'r', 's', 'e'};

#define FOOTER_CHECKSUM_AT 64
#define HEADER_CHECKSUM_AT 36
#define LOCATORS_AT 576
#define LOCATOR_BYTES 24

/* The one's complement of the sum of all bytes, those of the checksum itself taken as zero. */
static uint32_t checksum(const uint8_t *raw, unsigned len_bytes, unsigned checksum_at)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < len_bytes; i++)
        if (i < checksum_at || i >= checksum_at + 4)
            sum += raw[i];
    return ~sum;
}

bool vhd_footer_cookie(const uint8_t *raw)
{
    return memcmp(raw, footer_cookie, sizeof(footer_cookie)) == 0;
}

bool vhd_footer_get(const uint8_t *raw, struct vhd_footer *ret_footer)
{
    if (!vhd_footer_cookie(raw) ||
        be32_get(raw + FOOTER_CHECKSUM_AT) != checksum(raw, VHD_FOOTER_BYTES, FOOTER_CHECKSUM_AT))
        return false;
    struct vhd_footer f = {
        .features = be32_get(raw + 8),
        .version = be32_get(raw + 12),
        .data_offset = be64_get(raw + 16),
        .time_stamp = be32_get(raw + 24),
        .creator_version = be32_get(raw + 32),
        .original_size_bytes = be64_get(raw + 40),
        .current_size_bytes = be64_get(raw + 48),
        .cylinders = be16_get(raw + 56),
        .heads = raw[58],
        .sectors = raw[59],
        .type = be32_get(raw + 60),
        .saved_state = raw[84],
    };
    memcpy(f.creator, raw + 28, 4);
    memcpy(f.creator_os, raw + 36, 4);
    memcpy(f.unique_id, raw + 68, 16);
    *ret_footer = f;
    return true;
}

void vhd_footer_put(const struct vhd_footer *footer, uint8_t *raw)
{
    memset(raw, 0, VHD_FOOTER_BYTES);
    memcpy(raw, footer_cookie, sizeof(footer_cookie));
    be32_put(raw + 8, footer->features);
    be32_put(raw + 12, footer->version);
    be64_put(raw + 16, footer->data_offset);
    be32_put(raw + 24, footer->time_stamp);
    memcpy(raw + 28, footer->creator, 4);
    be32_put(raw + 32, footer->creator_version);
    memcpy(raw + 36, footer->creator_os, 4);
    be64_put(raw + 40, footer->original_size_bytes);
    be64_put(raw + 48, footer->current_size_bytes);
    be16_put(raw + 56, footer->cylinders);
    raw[58] = footer->heads;
    raw[59] = footer->sectors;
    be32_put(raw + 60, footer->type);
    memcpy(raw + 68, footer->unique_id, 16);
    raw[84] = footer->saved_state;
    be32_put(raw + FOOTER_CHECKSUM_AT, checksum(raw, VHD_FOOTER_BYTES, FOOTER_CHECKSUM_AT));
}

bool vhd_header_get(const uint8_t *raw, struct vhd_header *ret_header)
{
    if (memcmp(raw, header_cookie, sizeof(header_cookie)) != 0 ||
        be32_get(raw + HEADER_CHECKSUM_AT) != checksum(raw, VHD_HEADER_BYTES, HEADER_CHECKSUM_AT))
        return false;
    struct vhd_header h = {
        .table_offset = be64_get(raw + 16),
        .version = be32_get(raw + 24),
        .max_table_entries = be32_get(raw + 28),
        .block_bytes = be32_get(raw + 32),
        .parent_time_stamp = be32_get(raw + 56),
    };
    memcpy(h.parent_id, raw + 40, sizeof(h.parent_id));
    memcpy(h.parent_name, raw + 64, sizeof(h.parent_name));
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        const uint8_t *entry = raw + LOCATORS_AT + i * LOCATOR_BYTES;
        h.locators[i] = (struct vhd_locator){
            .code = be32_get(entry),
            .data_space = be32_get(entry + 4),
            .data_length = be32_get(entry + 8),
            .data_offset = be64_get(entry + 16),
        };
    }
    *ret_header = h;
    return true;
}

void vhd_header_put(const struct vhd_header *header, uint8_t *raw)
{
    memset(raw, 0, VHD_HEADER_BYTES);
    memcpy(raw, header_cookie, sizeof(header_cookie));
    /* Unused. The specification prints 32 ones; Microsoft's tools write, and want, 64. */
    be64_put(raw + 8, UINT64_MAX);
    be64_put(raw + 16, header->table_offset);
    be32_put(raw + 24, header->version);
    be32_put(raw + 28, header->max_table_entries);
    be32_put(raw + 32, header->block_bytes);
    memcpy(raw + 40, header->parent_id, sizeof(header->parent_id));
    be32_put(raw + 56, header->parent_time_stamp);
    memcpy(raw + 64, header->parent_name, sizeof(header->parent_name));
    for (unsigned i = 0; i < VHD_LOCATORS; i++) {
        uint8_t *entry = raw + LOCATORS_AT + i * LOCATOR_BYTES;
        be32_put(entry, header->locators[i].code);
        be32_put(entry + 4, header->locators[i].data_space);
        be32_put(entry + 8, header->locators[i].data_length);
        be64_put(entry + 16, header->locators[i].data_offset);
    }
    be32_put(raw + HEADER_CHECKSUM_AT, checksum(raw, VHD_HEADER_BYTES, HEADER_CHECKSUM_AT));
}

void vhd_geometry(uint64_t total_sectors, struct vhd_footer *footer)
{
    uint32_t total = (uint32_t)MIN(total_sectors, 65535ull * 16 * 255);
    uint32_t sectors, heads, cylinders_x_heads;

    if (total >= 65535u * 16 * 63) {
        sectors = 255;
        heads = 16;
        cylinders_x_heads = total / sectors;
    } else {
        sectors = 17;
        cylinders_x_heads = total / sectors;
        heads = MAX((cylinders_x_heads + 1023) / 1024, 4u);
        if (cylinders_x_heads >= heads * 1024 || heads > 16) {
            sectors = 31;
            heads = 16;
            cylinders_x_heads = total / sectors;
        }
        if (cylinders_x_heads >= heads * 1024) {
            sectors = 63;
            heads = 16;
            cylinders_x_heads = total / sectors;
        }
    }
    footer->cylinders = (uint16_t)(cylinders_x_heads / heads);
    footer->heads = (uint8_t)heads;
    footer->sectors = (uint8_t)sectors;
}

uint32_t vhd_bitmap_bytes(uint32_t block_bytes)
{
    uint32_t bits = block_bytes / VHD_SECTOR_BYTES;
    return (uint32_t)align_up((bits + 7) / 8, VHD_SECTOR_BYTES);
}
