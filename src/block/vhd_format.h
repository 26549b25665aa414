/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of a VHD file as bytes. Microsoft, "Virtual Hard Disk Image Format
 * Specification", version 1.0 of 11 October 2006. All numbers are big-endian.
 */
#ifndef BLOCK_VHD_FORMAT_H
#define BLOCK_VHD_FORMAT_H

#include "base/util.h"

#define VHD_SECTOR_BYTES 512u
#define VHD_FOOTER_BYTES 512u
#define VHD_HEADER_BYTES 1024u
#define VHD_BAT_UNUSED 0xffffffffu
#define VHD_DEFAULT_BLOCK_BYTES (2u << 20)
/* Tools agree on 2040 GiB: 32-bit sector numbers must still reach the last block's end. */
#define VHD_MAX_BYTES (2040ULL << 30)
/* 1 January 2000, 00:00 UTC, in Unix time: when the format's clock begins. */
#define VHD_EPOCH 946684800

enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

struct vhd_footer {
    uint32_t features, version;
    uint64_t data_offset; /* of the dynamic header; all ones: none */
    uint32_t time_stamp;  /* of creation, seconds since VHD_EPOCH */
    char creator[4];
    uint32_t creator_version;
    char creator_os[4];
    uint64_t original_size_bytes, current_size_bytes;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t type; /* enum vhd_type, or what the file says */
    uint8_t unique_id[16];
    uint8_t saved_state;
};

#define VHD_LOCATORS 8
#define VHD_NAME_BYTES 512

/* One way to find the parent of a differencing disk. */
struct vhd_locator {
    uint32_t code;       /* enum vhd_locator_code; 0: none */
    uint32_t data_space; /* of the file: sectors says the book, bytes write all others */
    uint32_t data_length;
    uint64_t data_offset;
};

enum vhd_locator_code {
    VHD_LOCATOR_WI2R = 0x57693272, /* Windows path, 8 bits a character, relative */
    VHD_LOCATOR_WI2K = 0x5769326b, /* … absolute */
    VHD_LOCATOR_W2RU = 0x57327275, /* Windows path in UTF-16LE, relative to the child's folder */
    VHD_LOCATOR_W2KU = 0x57326b75, /* … absolute */
    VHD_LOCATOR_MAC = 0x4d616320,  /* an alias as a blob; nobody else can read it */
    VHD_LOCATOR_MACX = 0x4d616358, /* a file: URL in UTF-8 */
};

struct vhd_header {
    uint64_t table_offset;
    uint32_t version;
    uint32_t max_table_entries;
    uint32_t block_bytes;
    uint8_t parent_id[16];
    uint32_t parent_time_stamp;
    uint8_t parent_name[VHD_NAME_BYTES]; /* UTF-16BE */
    struct vhd_locator locators[VHD_LOCATORS];
};

/* True when the eight bytes that begin every footer are there. */
bool vhd_footer_cookie(const uint8_t *raw);
/* Read a footer of VHD_FOOTER_BYTES. False: no cookie, or a wrong checksum. */
bool vhd_footer_get(const uint8_t *raw, struct vhd_footer *ret_footer);
/* Make the VHD_FOOTER_BYTES of a footer, with its checksum. */
void vhd_footer_put(const struct vhd_footer *footer, uint8_t *raw);

/* Read a dynamic header of VHD_HEADER_BYTES. False: no cookie, or a wrong checksum. */
bool vhd_header_get(const uint8_t *raw, struct vhd_header *ret_header);
void vhd_header_put(const struct vhd_header *header, uint8_t *raw);

/* The geometry that the specification's appendix gives to a disk of that many sectors. */
void vhd_geometry(uint64_t total_sectors, struct vhd_footer *footer);
/* Bytes of the bitmap before a block of data: one bit per sector, in whole sectors. */
uint32_t vhd_bitmap_bytes(uint32_t block_bytes);

#endif
