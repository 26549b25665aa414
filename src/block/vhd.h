/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual Hard Disk images: what Virtual PC, Virtual Server, Hyper-V and Azure keep disks in.
 */
#ifndef BLOCK_VHD_H
#define BLOCK_VHD_H

#include "block/blk.h"
#include "block/chain.h"
#include "block/file.h"
#include "block/vhd_format.h"

/*
 * Where a VHD's footer is. Returns 1 when file is a VHD: the footer, and where in the file its
 * end copy begins (UINT64_MAX: that copy is torn, the one at the start is used); 0 when it is
 * something else; -errno with text when it is a damaged VHD.
 */
int vhd_probe(struct blk_file *file, struct vhd_footer *ret_footer, uint64_t *ret_footer_at,
              struct error *err);

/* The header of a dynamic or differencing VHD, checked. */
int vhd_read_header(struct blk_file *file, const struct vhd_footer *footer,
                    struct vhd_header *ret_header, struct error *err);
/* Where the parent of a differencing VHD may be; folder is the child's. Adds to paths. */
int vhd_parent_paths(struct blk_file *file, const struct vhd_header *header, const char *folder,
                     struct parent_paths *paths, struct error *err);

/*
 * Open a VHD after vhd_probe() has returned 1; parent is what a differencing one differs from,
 * NULL for the others. file and parent belong to the blk if 0 is returned. An image whose tables
 * contradict themselves can be opened read-only; what its tables do not give reads as -EIO.
 */
int vhd_open(struct blk_file *file, const struct vhd_footer *footer, uint64_t footer_at,
             bool readonly, struct blk *parent, struct blk **ret_blk, struct error *err);

struct vhd_new {
    enum vhd_type kind;
    uint64_t size_bytes;     /* a multiple of 512, at most VHD_MAX_BYTES; differencing: 0, the
                                parent's */
    uint32_t block_bytes;    /* 0: 2 MiB */
    const char *parent_path; /* of VHD_DIFFERENCING */
};

/* Make an empty image. An existing file is never replaced; at a failure nothing is left behind. */
int vhd_create(const char *path, const struct vhd_new *what, struct error *err);
/* The same into an empty file of any kind; its name says where it is. */
int vhd_format(struct blk_file *file, const struct vhd_new *what, struct error *err);

#endif
