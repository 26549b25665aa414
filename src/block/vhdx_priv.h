/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the VHDX format share: an open disk.
 */
#ifndef BLOCK_VHDX_PRIV_H
#define BLOCK_VHDX_PRIV_H

#include <pthread.h>

#include "block/vhdx.h"

/* The log's sectors. */
#define VHDX_SECTOR 4096u
/* As many sectors of tables and bitmaps are in memory; what is changed of them is one log entry. */
#define VHDX_CACHE_SECTORS 64u

enum {
    VHDX_NOT_PRESENT = 0,
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_PARTIAL = 7,
};

struct vhdx_cached {
    uint64_t at; /* in the file; 0: empty */
    bool dirty;  /* the file does not have it yet */
    uint8_t bytes[VHDX_SECTOR];
};

struct vhdx {
    struct blk blk;
    struct blk_file *file;
    struct vhdx_disk d;
    uint64_t ratio; /* payload blocks of a chunk */
    bool building;
    bool keep_id; /* its contents keep their id though they change */

    pthread_mutex_t lock; /* all below */
    uint64_t file_bytes;
    struct vhdx_cached *cache;
    struct vhdx_header header;
    bool changing; /* the header says that somebody writes, and that there is a log */
    uint64_t stable_bytes;
    uint32_t log_at, log_tail; /* where the next entry goes; where the last one is */
    uint64_t log_sequence;     /* of the next entry */
};

/* The table's index of a block, and of the bitmap of its chunk. */
static inline uint64_t vhdx_block_index(const struct vhdx *v, uint64_t block)
{
    return block + block / v->ratio;
}

static inline uint64_t vhdx_bitmap_index(const struct vhdx *v, uint64_t block)
{
    return block / v->ratio * (v->ratio + 1) + v->ratio;
}

/* vhdx.c */
/* An image that is not loaded yet; NULL without memory. file stays the caller's. */
struct vhdx *vhdx_alloc(struct blk_file *file, bool readonly);
void vhdx_free(struct vhdx *v, struct blk_file *file);
/* Read what says how the image is laid out, with its log in memory; nothing is written. */
int vhdx_load(struct vhdx *v, struct blk_file *file, struct error *err);
/* The lock is held. An entry of the block table, and room of whole MiB at the file's end. */
int vhdx_set_entry(struct vhdx *v, uint64_t index, uint64_t place, unsigned state);
int vhdx_grow(struct vhdx *v, uint64_t len_bytes, uint64_t *ret_at);

/* vhdx_write.c; the lock is held. */
/* A sector of a table or bitmap, for reading; -EAGAIN if it is not in memory and nowait is set. */
int vhdx_cached(struct vhdx *v, uint64_t at, bool nowait, const uint8_t **ret_bytes);
/* The same, to be changed: it reaches the file with the next vhdx_commit(). */
int vhdx_change(struct vhdx *v, uint64_t at, uint8_t **ret_bytes);
/* Say in the file that it is being written to, before the first change. */
int vhdx_begin(struct vhdx *v);
/* Everything written so far is on stable storage, and so are the changed sectors. */
int vhdx_commit(struct vhdx *v);
/* The file is whole without its log. */
int vhdx_end(struct vhdx *v);
/* Put what the log says into the file, which v->file shows already, and empty it. */
int vhdx_recover(struct vhdx *v, struct blk_file *file, struct error *err);
/* Both headers as they are in memory, one after the other. */
int vhdx_write_headers(struct vhdx *v);

/* vhdx_check.c */
/* What is wrong with an entry of the block table. */
enum vhdx_fault {
    VHDX_OUTSIDE,   /* what it leads to lies outside the file */
    VHDX_OVERLAP,   /* or where something else is */
    VHDX_STATE,     /* its state is none that the disk can have */
    VHDX_NO_BITMAP, /* a block is there in part, and which parts are is not said */
};

struct vhdx_walk {
    /* Called for each; what is not 0 ends the walk. */
    int (*fault)(struct vhdx_walk *walk, uint64_t index, uint64_t entry, enum vhdx_fault fault);
    uint64_t allocated;  /* payload blocks that are there */
    uint64_t used_bytes; /* of the file, up to the end of the last thing that is used */
};
/*
 * Look at all of the table. -EBADMSG: the log, the table or the metadata lie outside the file or
 * over each other. 0, -errno, or what fault() has returned.
 */
int vhdx_walk_table(struct vhdx *v, struct vhdx_walk *walk);
/* Whether all blocks lie within the file, apart from each other and from its structures. */
int vhdx_check_table(struct vhdx *v, struct error *err);

#endif
