/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of a VHDX file. Microsoft, [MS-VHDX]: Virtual Hard Disk v2 (VHDX) File Format.
 * All numbers are little-endian.
 */
#ifndef BLOCK_VHDX_FORMAT_H
#define BLOCK_VHDX_FORMAT_H

#include "block/file.h"

#define VHDX_HEADER_BYTES 4096u
#define VHDX_REGIONS_BYTES 65536u
#define VHDX_MIB (1u << 20)
#define VHDX_MAX_BYTES (64ULL << 40)
#define VHDX_ID_BYTES 16u
/* 2.4: a chunk of the disk has one sector bitmap. */
#define VHDX_CHUNK_SECTORS (1ull << 23)
#define VHDX_LOCATOR_MAX 65536u
/* 2.6: the metadata region's table, and the length of its entries. */
#define VHDX_METADATA_TABLE 65536u
#define VHDX_METADATA_ENTRY 32u
/* 2.2.3: the two copies of the region table. */
#define VHDX_REGIONS_1_AT 196608u
#define VHDX_REGIONS_2_AT 262144u

/* Ids of regions and of metadata items, as they lie in the file. */
extern const uint8_t vhdx_region_bat[VHDX_ID_BYTES], vhdx_region_metadata[VHDX_ID_BYTES];
extern const uint8_t vhdx_item_parameters[VHDX_ID_BYTES], vhdx_item_size[VHDX_ID_BYTES],
    vhdx_item_page83[VHDX_ID_BYTES], vhdx_item_logical[VHDX_ID_BYTES],
    vhdx_item_physical[VHDX_ID_BYTES], vhdx_item_locator[VHDX_ID_BYTES];

/* 2.5.1: the state of a payload block that is all there. */
#define VHDX_FULL 6u

/* 2.2.2: the current one of the two. */
struct vhdx_header {
    uint64_t sequence;
    bool second; /* it is the one at 128 KiB */
    uint8_t file_write_id[VHDX_ID_BYTES], data_write_id[VHDX_ID_BYTES], log_id[VHDX_ID_BYTES];
    uint32_t log_bytes;
    uint64_t log_at;
};

/* 2.6: what the metadata say of the disk. */
struct vhdx_disk {
    uint64_t bat_at, bat_bytes, metadata_at, metadata_bytes;
    uint64_t size_bytes;
    uint32_t block_bytes, sector_bytes, physical_bytes;
    bool has_parent, fixed;
    uint8_t page83[VHDX_ID_BYTES];
    uint64_t size_at;    /* the size in the file */
    uint64_t locator_at; /* the parent locator in the file; 0: none */
    uint32_t locator_bytes;
    uint64_t locator_entry_at; /* what leads to it */
};

bool vhdx_probe(const uint8_t *head);
/* Open a file that says it is a VHDX; the caller closes it. -EMEDIUMTYPE or another with text. */
int vhdx_open_file(const char *path, bool readonly, struct blk_file **ret_file, struct error *err);
/* -EBADMSG with text when both are damaged. */
int vhdx_read_header(struct blk_file *file, struct vhdx_header *ret_header, struct error *err);
/* How many of the two are whole. 0 or -errno. */
int vhdx_whole_headers(struct blk_file *file, unsigned *ret_count);
/* Regions and metadata, every number checked. */
int vhdx_read_disk(struct blk_file *file, struct vhdx_disk *ret_disk, struct error *err);
/* Payload blocks of a chunk. */
uint64_t vhdx_chunk_ratio(uint32_t sector_bytes, uint32_t block_bytes);
/* 2.5: entries of the block table of a disk of that size, with those of the sector bitmaps. */
uint64_t vhdx_table_entries(const struct vhdx_disk *disk, uint64_t size_bytes);
/* Castagnoli, as of all of the bytes, those of the checksum itself taken as zero. */
uint32_t vhdx_checksum(const uint8_t *bytes, size_t len_bytes, size_t checksum_at);
int vhdx_damaged(struct error *err, const struct blk_file *file, const char *what);

#endif
