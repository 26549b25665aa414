/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store behind all guest memory: one anonymous host mapping, made without reserving swap for
 * it, so that a page costs memory only when the guest touches it.
 */
#include "memory/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Beyond any x86-64 host's user address space; refuses sums that would overflow. */
#define RAM_MAX_BYTES (1ULL << 46)

int ram_new(uint64_t size_bytes, struct ram **ret_ram, struct error *err)
{
    if (size_bytes == 0 || size_bytes > RAM_MAX_BYTES)
        return error_set(err, -EINVAL, "guest memory of %llu MiB is not possible; give less",
                         (unsigned long long)(size_bytes >> 20));
    size_bytes = align_up(size_bytes, RAM_PAGE_BYTES);

    struct ram *ram = calloc(1, sizeof(*ram));
    if (!ram)
        return error_set(err, -ENOMEM, "out of memory");
    ram->size_bytes = size_bytes;
    ram->flags = calloc(size_bytes >> RAM_PAGE_SHIFT, 1);
    ram->host = ram->flags ? mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                           : MAP_FAILED;
    if (ram->host == MAP_FAILED) {
        free((void *)ram->flags);
        free(ram);
        return error_set(err, -ENOMEM,
                         "this host cannot map %llu MiB of guest memory; give the guest less",
                         (unsigned long long)(size_bytes >> 20));
    }
    /* Only a hint: a kernel without transparent huge pages refuses it. */
    (void)madvise(ram->host, size_bytes, MADV_HUGEPAGE);
    *ret_ram = ram;
    return 0;
}

struct ram *ram_free(struct ram *ram)
{
    if (ram) {
        munmap(ram->host, ram->size_bytes);
        free((void *)ram->flags);
        free(ram);
    }
    return NULL;
}

int ram_alloc(struct ram *ram, uint64_t size_bytes, uint64_t *ret_offset)
{
    if (size_bytes > ram->size_bytes - ram->used_bytes)
        return -ENOSPC;
    size_bytes = align_up(size_bytes, RAM_PAGE_BYTES);
    *ret_offset = ram->used_bytes;
    ram->used_bytes += size_bytes;
    return 0;
}

void ram_watch(struct ram *ram, struct ram_watcher *watcher)
{
    watcher->next = ram->watchers;
    ram->watchers = watcher;
}

static void tell_code_written(struct ram *ram, uint64_t offset, uint64_t len_bytes)
{
    for (struct ram_watcher *w = ram->watchers; w; w = w->next)
        if (w->code_written)
            w->code_written(w->ctx, offset, len_bytes);
}

void ram_wrote(struct ram *ram, uint64_t offset, uint64_t len_bytes)
{
    if (offset >= ram->size_bytes || len_bytes == 0)
        return;
    uint64_t end = offset + MIN(len_bytes, ram->size_bytes - offset);
    while (offset < end) {
        uint64_t page_end = MIN(end, (offset | (RAM_PAGE_BYTES - 1)) + 1);
        _Atomic uint8_t *flags = ram_flags(ram, offset);
        /* The store's bytes come first: who sees the flag set must see them. */
        uint8_t have = atomic_load_explicit(flags, memory_order_acquire);
        if ((have & RAM_DIRTY_ALL) != RAM_DIRTY_ALL)
            have = atomic_fetch_or(flags, RAM_DIRTY_ALL);
        if (UNLIKELY(have & RAM_CODE))
            tell_code_written(ram, offset, page_end - offset);
        offset = page_end;
    }
}

bool ram_clean(struct ram *ram, enum ram_flag flag, uint64_t offset, uint64_t len_bytes,
               uint8_t *bitmap)
{
    uint64_t first = offset >> RAM_PAGE_SHIFT;
    uint64_t pages = len_bytes ? ((offset + len_bytes - 1) >> RAM_PAGE_SHIFT) - first + 1 : 0;
    uint64_t limit = ram->size_bytes >> RAM_PAGE_SHIFT;
    bool any = false;

    for (struct ram_watcher *w = ram->watchers; w; w = w->next)
        if (w->collect)
            w->collect(w->ctx, offset, len_bytes);
    memset(bitmap, 0, (pages + 7) / 8);
    for (uint64_t i = 0; i < pages && first + i < limit; i++) {
        _Atomic uint8_t *flags = &ram->flags[first + i];
        if (!(atomic_load_explicit(flags, memory_order_relaxed) & flag))
            continue;
        atomic_fetch_and(flags, (uint8_t)~flag);
        bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
        any = true;
    }
    if (any)
        for (struct ram_watcher *w = ram->watchers; w; w = w->next)
            if (w->cleaned)
                w->cleaned(w->ctx);
    return any;
}
