/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a differencing VHD names its parent.
 */
#ifndef BLOCK_VHD_PARENT_H
#define BLOCK_VHD_PARENT_H

#include "block/vhd.h"

#define VHD_LOCATOR_MAX_BYTES 16384u

/* What a new child writes: two Windows paths, as Hyper-V does, and a URL, as XenServer does. */
#define VHD_LOCATORS_WRITTEN 3u

struct vhd_locator_data {
    uint32_t len_bytes;
    uint8_t bytes[VHD_LOCATOR_MAX_BYTES];
};

/*
 * Fill in the parent's id, time stamp, name and the codes and lengths of header->locators, and
 * the locators' data. The locators' offsets and spaces are the caller's to choose. Paths are those
 * of existing files' folders; err says what cannot be named.
 */
int vhd_parent_describe(const char *child_path, const char *parent_path,
                        const struct vhd_footer *parent_footer, struct vhd_header *header,
                        struct vhd_locator_data data[VHD_LOCATORS_WRITTEN], struct error *err);

#endif
