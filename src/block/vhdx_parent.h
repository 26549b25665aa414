/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a differencing VHDX names its parent, [MS-VHDX] 2.6.2.6.
 */
#ifndef BLOCK_VHDX_PARENT_H
#define BLOCK_VHDX_PARENT_H

#include "block/parent_path.h"
#include "block/vhdx_format.h"

/* What a child knows of its parent. */
struct vhdx_parent {
    bool wanted;
    struct parent_paths paths;
    uint8_t id[VHDX_ID_BYTES]; /* the parent's data write id, when the child was made */
};

/* The parent of an image, of which folder is the folder; paths are the caller's to free. */
int vhdx_find_parent(struct blk_file *file, const char *folder, struct vhdx_parent *ret_parent,
                     struct error *err);

/* What the header and the metadata of an image say, its log replayed. -EMEDIUMTYPE: not a VHDX. */
int vhdx_look(const char *path, struct vhdx_header *ret_header, struct vhdx_disk *ret_disk,
              struct error *err);

/*
 * The locator of a new child: at most VHDX_LOCATOR_MAX bytes, the caller's to free. parent_id: the
 * data write id of the parent. Paths are those of existing files' folders.
 */
int vhdx_parent_describe(const char *child_path, const char *parent_path,
                         const uint8_t parent_id[VHDX_ID_BYTES], uint8_t **ret_locator,
                         uint32_t *ret_len_bytes, struct error *err);

#endif
