/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An address space of the machine: guest physical memory, or the 64 KiB of I/O ports. Regions are
 * laid on it; where they overlap the higher priority wins. Readers work on an immutable view;
 * every change makes a new one, so no lock is held on the map while a device runs, and a device
 * may move its own region from within its own write callback.
 */
#ifndef MEMORY_BUS_H
#define MEMORY_BUS_H

#include "base/error.h"
#include "memory/ram.h"

/*
 * Registers of a device. Offsets are from the region's own base: the device does not know where
 * it lives. The bus splits wider accesses into max_size pieces (low part first) and widens
 * narrower ones: a read of min_size is cut, a write is done as read-modify-write only when
 * merge_writes is set, else with the value zero-extended. Sizes are 1, 2, 4 or 8.
 * Accesses are naturally aligned to the size the device sees only if the guest's are.
 */
struct io_ops {
    const char *name;
    uint8_t min_size, max_size; /* 0 means 1 and 4 */
    bool merge_writes;
    uint64_t (*read)(void *dev, uint64_t offset, unsigned size);
    void (*write)(void *dev, uint64_t offset, unsigned size, uint64_t value);
};

enum region_kind {
    REGION_IO,  /* ops are called */
    REGION_RAM, /* store offset, read and write */
    REGION_ROM, /* store offset, read; writes go to ops if given, else are dropped */
};

/* Lies in its owner's struct; to change it, take it off the bus and lay it on again. */
struct region {
    const char *name;
    uint64_t base, size_bytes;
    int priority; /* RAM is 0, devices 1, whatever hides them more */
    enum region_kind kind;
    const struct io_ops *ops; /* REGION_IO, and optional for REGION_ROM writes */
    void *dev;                /* first argument of ops */
    uint64_t ram_offset;      /* REGION_RAM, REGION_ROM */
    bool mapped;              /* kept by the bus */
    struct region *next;      /* kept by the bus */
};

/* One piece of a view: addresses [base, end] belong to region, at region_offset within it. */
struct bus_range {
    uint64_t base, end; /* end is the last address, inclusive */
    const struct region *region;
    uint64_t region_offset;
};

/* An immutable sorted list of ranges without overlap. */
struct bus_view {
    _Atomic unsigned refs;
    unsigned count;
    struct bus_range ranges[];
};

struct bus;

/*
 * An empty address space of size_bytes (0x10000, or the physical address width; 0: all 2^64
 * addresses). ram is the store
 * that RAM and ROM regions refer to; NULL for ports. -ENOMEM.
 */
int bus_new(const char *name, uint64_t size_bytes, struct ram *ram, struct bus **ret_bus);
/* Free; regions still on it are only unlinked. NULL is fine. Always returns NULL. */
struct bus *bus_free(struct bus *bus);

struct ram *bus_ram(struct bus *bus);

/*
 * Lay a region on the bus. A region that does not fit is clipped to the bus; of two with the same
 * priority the one laid last wins. -ENOMEM, -EBUSY when it is on a bus already, -EINVAL when it is memory that
 * the store does not have.
 */
int bus_add(struct bus *bus, struct region *region);
/* Take it off; harmless when it is not on the bus. */
void bus_remove(struct bus *bus, struct region *region);
/* Between bus_begin() and the matching bus_commit() changes are collected; one view is made. */
void bus_begin(struct bus *bus);
void bus_commit(struct bus *bus);

/* changed(ctx) is called after each new view, by the thread that made the change. */
void bus_watch(struct bus *bus, void (*changed)(void *ctx), void *ctx);

/* The present view with a reference taken; never NULL. Any thread. */
struct bus_view *bus_view_get(struct bus *bus);
/* Give a reference back. NULL is fine. */
void bus_view_put(struct bus_view *view);
/* The range that holds addr, or NULL where nothing is mapped. */
const struct bus_range *bus_view_find(const struct bus_view *view, uint64_t addr);

/*
 * Access by address, as a processor does it: size 1, 2, 4 or 8; a store to RAM calls ram_wrote().
 * Where nothing is mapped reads give all ones and writes vanish. Called with the machine lock
 * held when it may reach a device.
 */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

/* The device half of bus_read/bus_write: offset within a REGION_IO (or writes to a REGION_ROM). */
uint64_t region_read(const struct region *region, uint64_t offset, unsigned size);
void region_write(const struct region *region, uint64_t offset, unsigned size, uint64_t value);

#endif
