/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a saved machine: three parts of bytes that mean something to others (the manifest,
 * the state of the devices, the memory), framed, compressed and checked. docs/saved-state.md has
 * the layout.
 *
 * A file grows under the name PATH.part and gets its own at the end, so PATH is whole or not there.
 * Files that are read may be hostile: every number is bounded before it is used.
 */
#ifndef SAVED_SAVED_H
#define SAVED_SAVED_H

#include <stdatomic.h>

#include "base/error.h"

#define SAVED_MANIFEST_MAX KIB(256)
#define SAVED_DEVICES_MAX MIB(64)
#define SAVED_CHUNK_BYTES MIB(1)

struct saved_out;
struct saved_in;

/* How far a long work has come, for other threads to look at; and whether it is to end early. */
struct saved_progress {
    _Atomic uint64_t done_bytes; /* of the memory */
    atomic_bool cancel;
};

struct saved_part {
    const void *data;
    size_t len_bytes;
};

/* The file's size at most, with memory that nothing can compress. */
uint64_t saved_bytes_max(uint64_t memory_bytes);

/*
 * Begin a file; what an earlier, broken off attempt left under PATH.part is overwritten. -EBUSY
 * with text when another process is at it. Nothing is done to PATH itself.
 */
int saved_create(const char *path, struct saved_out **ret_out, struct error *err);
/*
 * Take the room on the host's disk that a file of size_bytes needs, so that writing cannot fail for
 * want of it. -ENOSPC with text.
 */
int saved_reserve(struct saved_out *out, uint64_t size_bytes, struct error *err);
/*
 * Write all of it, by a few threads, and bring it to stable storage; blocks. Pages of zeroes cost
 * nothing. -ECANCELED when progress says so; after any error saved_write() may be called anew.
 */
int saved_write(struct saved_out *out, const struct saved_part *manifest,
                const struct saved_part *devices, const struct saved_part *memory,
                struct saved_progress *progress, struct error *err);
/* Give a written file its name. */
int saved_commit(struct saved_out *out, struct error *err);
/* What was written, in bytes. */
uint64_t saved_size_bytes(const struct saved_out *out);
const char *saved_path(const struct saved_out *out);
/* Close and free; a file that was not committed goes away. NULL is fine. Always returns NULL. */
struct saved_out *saved_out_free(struct saved_out *out);

/*
 * Open a file and read manifest and devices. -EBADMSG with text when it is no saved machine, was
 * made by a newer version, or is damaged or cut off.
 */
int saved_open(const char *path, struct saved_in **ret_in, struct error *err);
struct saved_part saved_manifest(const struct saved_in *in);
struct saved_part saved_devices(const struct saved_in *in);
/*
 * Fill memory[0, len_bytes) by a few threads; what the file does not hold becomes zero. Blocks; once.
 * -EBADMSG with text, -ECANCELED; memory's contents are then undefined.
 */
int saved_read_memory(struct saved_in *in, uint8_t *memory, uint64_t len_bytes,
                      struct saved_progress *progress, struct error *err);
/* NULL is fine. Always returns NULL. */
struct saved_in *saved_in_free(struct saved_in *in);

#endif
