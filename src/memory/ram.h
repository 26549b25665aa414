/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backing store of everything a guest can fetch from without a device: RAM, ROMs, video
 * memory. One sparse host mapping; parts of it are handed out by offset. What a guest physical
 * address means is said elsewhere (bus.h); two addresses may name the same offset.
 *
 * Each 4 KiB page of the store has a byte of flags. An engine that keeps decoded code from a page
 * marks it RAM_CODE; whoever wants to know what changes clears RAM_DIRTY_x and later looks whether
 * it is set again. Every writer other than an engine's own stores calls ram_wrote().
 */
#ifndef MEMORY_RAM_H
#define MEMORY_RAM_H

#include <stdatomic.h>

#include "base/error.h"

#define RAM_PAGE_SHIFT 12
#define RAM_PAGE_BYTES 4096u

enum ram_flag {
    RAM_CODE = 1,          /* some engine holds decoded code of this page */
    RAM_DIRTY_DISPLAY = 2, /* written since ram_clean(RAM_DIRTY_DISPLAY) */
    RAM_DIRTY_MIGRATE = 4, /* written since ram_clean(RAM_DIRTY_MIGRATE) */
    RAM_DIRTY_ALL = RAM_DIRTY_DISPLAY | RAM_DIRTY_MIGRATE,
};

struct ram {
    uint8_t *host;          /* the mapping; offset 0 is host[0] */
    uint64_t size_bytes;    /* of the mapping */
    uint64_t used_bytes;    /* handed out so far */
    _Atomic uint8_t *flags; /* one byte per page, enum ram_flag */
    struct ram_watcher *watchers;
};

/* Told about events by the thread that causes them; see ram_watch(). */
struct ram_watcher {
    /* Bytes of a page flagged RAM_CODE were written by somebody other than a vCPU. */
    void (*code_written)(void *ctx, uint64_t offset, uint64_t len_bytes);
    /* A RAM_DIRTY flag was cleared: caches that let writes by unseen must be dropped. */
    void (*cleaned)(void *ctx);
    /* ram_clean() is about to look: flags of dirty pages known elsewhere are to be set now. */
    void (*collect)(void *ctx, uint64_t offset, uint64_t len_bytes);
    void *ctx;
    struct ram_watcher *next;
};

/* Reserve address space for size_bytes; pages cost memory when touched. -ENOMEM with text. */
int ram_new(uint64_t size_bytes, struct ram **ret_ram, struct error *err);
/* Unmap and free. NULL is fine. Always returns NULL. */
struct ram *ram_free(struct ram *ram);

/* Hand out size_bytes (rounded up to a page), zeroed. -ENOSPC when the reservation is used up. */
int ram_alloc(struct ram *ram, uint64_t size_bytes, uint64_t *ret_offset);

/* Add a watcher; it lies in the caller's memory and stays as long as ram does. */
void ram_watch(struct ram *ram, struct ram_watcher *watcher);

/* Somebody other than a vCPU wrote [offset, offset + len): set dirty flags, tell code watchers. */
void ram_wrote(struct ram *ram, uint64_t offset, uint64_t len_bytes);

/*
 * For each page of [offset, offset + len): bit n of bitmap is set when the page had `flag`; the
 * flag is cleared. bitmap holds (pages + 7) / 8 bytes. Returns true when any bit is set.
 */
bool ram_clean(struct ram *ram, enum ram_flag flag, uint64_t offset, uint64_t len_bytes,
               uint8_t *bitmap);

static inline _Atomic uint8_t *ram_flags(struct ram *ram, uint64_t offset)
{
    return &ram->flags[offset >> RAM_PAGE_SHIFT];
}

#endif
