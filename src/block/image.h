/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work on VHDs and VHDXs that nobody uses, whichever they are. Each can be stopped, or die, at any
 * moment: the disk is as before, or as it shall be, or the same work can be done again.
 *
 * What is no VHD or VHDX is refused (-EMEDIUMTYPE), what belongs to a saved machine too (-EBUSY).
 */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

#include "block/copy.h"

enum image_kind { IMAGE_FIXED, IMAGE_DYNAMIC, IMAGE_DIFFERENCING };

struct image_facts {
    enum image_kind kind;
    bool saved_state; /* the saved memory of a machine depends on it */
    uint64_t size_bytes;
};

struct image_verdict {
    unsigned problems; /* found */
    unsigned repaired;
    uint64_t blocks, allocated; /* of the table */
    uint64_t wasted_bytes;      /* of the file, that nothing leads to */
};

/* What is done differently with each format; all as the functions below. */
struct image_format {
    const char *name;
    int (*look)(const char *path, struct image_facts *ret_facts, struct error *err);
    /* A disk of a parent's format that differs from it; size_bytes 0: the parent's. */
    int (*create_child)(const char *path, const char *parent_path, struct error *err);
    /* An empty disk that is otherwise the same, with the same ids. */
    int (*create_like)(const char *path, const char *like_path, struct error *err);
    int (*renew_id)(const char *path, struct error *err);
    int (*resize)(const char *path, uint64_t size_bytes, bool shrink, struct error *err);
    int (*reparent)(const char *child_path, const char *parent_path, bool force, struct error *err);
    int (*verify)(const char *path, bool repair, void (*say)(void *ctx, const char *text),
                  void *ctx, struct image_verdict *ret_verdict, struct error *err);
};

/* Of a file, by its contents. Another format, or none: -EMEDIUMTYPE. */
int image_format_of(const char *path, const struct image_format **ret_format, struct error *err);

/* An empty disk that differs from a VHD or VHDX, in its format and of its size. */
int image_create_child(const char *path, const char *parent_path, struct error *err);

/*
 * Write a dynamic or differencing disk anew without blocks of zeroes, or without what is the
 * parent's anyway, and without what its file systems do not use (block/freespace.h), and put it in
 * the place of the old one. Its ids stay.
 */
int image_compact(const char *path, const char *const *parent_folders,
                  const struct progress *progress, struct error *err);

/*
 * Write what a differencing disk has into its parent, and remove it. The parent gets a new unique
 * id, since its other children differ from what it was.
 */
int image_merge(const char *path, const char *const *parent_folders,
                const struct progress *progress, struct error *err);

/*
 * Check an image's own structures (not its parent). say(ctx, text) is called for each problem. With
 * repair, what can be mended is. 0 with the verdict, or -errno: it cannot be checked at all.
 */
int image_verify(const char *path, bool repair, void (*say)(void *ctx, const char *text), void *ctx,
                 struct image_verdict *ret_verdict, struct error *err);

#endif
