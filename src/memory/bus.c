/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address map. Regions hang on a list; from it every change computes a fresh view, a sorted
 * array without overlap, and swaps one pointer. Looking an address up is a binary search in the
 * view and allocates nothing.
 *
 * Who may free an old view? A reader raises `readers` for the few instructions between loading
 * the pointer and having found its range or taken a reference, never while a device runs. A
 * writer swaps the pointer, waits for readers to be seen at zero, and drops the map's reference.
 */
#include "memory/bus.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/bytes.h"

#define BUS_WATCHERS 16

struct bus {
    const char *name;
    uint64_t last; /* the last address */
    struct ram *ram;
    _Atomic(struct bus_view *) view;
    _Atomic unsigned readers;
    struct region *regions; /* the newest first */
    unsigned region_count;
    struct bus_view *spare; /* allocated ahead, so that a commit cannot fail */
    unsigned spare_room;    /* ranges it can hold */
    unsigned depth;         /* of bus_begin() */
    bool changed;
    struct {
        void (*changed)(void *ctx);
        void *ctx;
    } watchers[BUS_WATCHERS];
    unsigned watcher_count;
};

/* What is left in the place of a removed region when there is no memory for a new view. */
static const struct io_ops hole_ops = {.name = "hole", .max_size = 8};
static const struct region hole = {.name = "hole", .kind = REGION_IO, .ops = &hole_ops};

static struct bus_view *view_alloc(unsigned room)
{
    struct bus_view *view = malloc(sizeof(*view) + room * sizeof(view->ranges[0]));
    if (view) {
        view->refs = 1;
        view->count = 0;
    }
    return view;
}

/* n regions have at most 2n ends and so at most 2n - 1 pieces. */
static bool spare_ensure(struct bus *bus, unsigned regions)
{
    unsigned room = 2 * regions + 1;
    if (bus->spare && bus->spare_room >= room)
        return true;
    struct bus_view *spare = view_alloc(room);
    if (!spare)
        return false;
    free(bus->spare);
    bus->spare = spare;
    bus->spare_room = room;
    return true;
}

int bus_new(const char *name, uint64_t size_bytes, struct ram *ram, struct bus **ret_bus)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    struct bus_view *view = view_alloc(0);
    if (!bus || !view) {
        free(bus);
        free(view);
        return -ENOMEM;
    }
    bus->name = name;
    bus->last = size_bytes - 1;
    bus->ram = ram;
    bus->view = view;
    *ret_bus = bus;
    return 0;
}

struct bus *bus_free(struct bus *bus)
{
    if (bus) {
        for (struct region *r = bus->regions, *next; r; r = next) {
            next = r->next;
            r->next = NULL;
            r->mapped = false;
        }
        bus_view_put(bus->view);
        free(bus->spare);
        free(bus);
    }
    return NULL;
}

struct ram *bus_ram(struct bus *bus)
{
    return bus->ram;
}

/* The last address of a region on this bus; false when no byte of it is. */
static bool region_last(const struct bus *bus, const struct region *r, uint64_t *ret_last)
{
    if (r->size_bytes == 0 || r->base > bus->last)
        return false;
    *ret_last = r->size_bytes - 1 > bus->last - r->base ? bus->last : r->base + r->size_bytes - 1;
    return true;
}

/* Which region answers at addr, and up to where no region begins or ends. */
static const struct region *winner_at(const struct bus *bus, uint64_t addr, uint64_t *ret_end)
{
    const struct region *best = NULL;
    uint64_t end = bus->last;
    for (const struct region *r = bus->regions; r; r = r->next) {
        uint64_t last;
        if (!region_last(bus, r, &last) || last < addr)
            continue;
        if (r->base > addr) {
            end = MIN(end, r->base - 1);
            continue;
        }
        end = MIN(end, last);
        if (!best || r->priority > best->priority)
            best = r;
    }
    *ret_end = end;
    return best;
}

static void view_fill(const struct bus *bus, struct bus_view *view)
{
    uint64_t addr = 0;
    for (;;) {
        uint64_t end;
        const struct region *r = winner_at(bus, addr, &end);
        struct bus_range *prev = view->count ? &view->ranges[view->count - 1] : NULL;
        if (r && prev && prev->region == r && prev->end == addr - 1)
            prev->end = end;
        else if (r)
            view->ranges[view->count++] = (struct bus_range){
                .base = addr, .end = end, .region = r, .region_offset = addr - r->base};
        if (end == bus->last)
            return;
        addr = end + 1;
    }
}

static void publish(struct bus *bus, struct bus_view *view)
{
    struct bus_view *old = atomic_exchange(&bus->view, view);
    while (atomic_load(&bus->readers))
        sched_yield();
    bus_view_put(old);
}

static void refresh(struct bus *bus)
{
    if (bus->depth) {
        bus->changed = true;
        return;
    }
    bus->changed = false;
    if (!spare_ensure(bus, bus->region_count))
        return; /* only after a removal: bus_add() made sure; bus_remove() has punched a hole */
    struct bus_view *view = TAKE_PTR(bus->spare);
    view_fill(bus, view);
    publish(bus, view);
    for (unsigned i = 0; i < bus->watcher_count; i++)
        bus->watchers[i].changed(bus->watchers[i].ctx);
}

int bus_add(struct bus *bus, struct region *region)
{
    if (region->mapped)
        return -EBUSY;
    if (region->kind != REGION_IO &&
        (!bus->ram || region->ram_offset > bus->ram->size_bytes ||
         region->size_bytes > bus->ram->size_bytes - region->ram_offset))
        return -EINVAL;
    if (!spare_ensure(bus, bus->region_count + 1))
        return -ENOMEM;
    region->next = bus->regions;
    region->mapped = true;
    bus->regions = region;
    bus->region_count++;
    refresh(bus);
    return 0;
}

void bus_remove(struct bus *bus, struct region *region)
{
    if (!region->mapped)
        return;
    struct region **at = &bus->regions;
    while (*at && *at != region)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = region->next;
    region->next = NULL;
    region->mapped = false;
    bus->region_count--;
    if (!spare_ensure(bus, bus->region_count)) {
        /* No memory: the owner may free the region, so it must at least be out of reach. */
        struct bus_view *view = bus->view;
        for (unsigned i = 0; i < view->count; i++)
            if (view->ranges[i].region == region)
                __atomic_store_n(&view->ranges[i].region, &hole, __ATOMIC_SEQ_CST);
    }
    refresh(bus);
}

void bus_begin(struct bus *bus)
{
    bus->depth++;
}

void bus_commit(struct bus *bus)
{
    assert(bus->depth);
    if (--bus->depth == 0 && bus->changed)
        refresh(bus);
}

void bus_watch(struct bus *bus, void (*changed)(void *ctx), void *ctx)
{
    assert(bus->watcher_count < BUS_WATCHERS);
    bus->watchers[bus->watcher_count].changed = changed;
    bus->watchers[bus->watcher_count].ctx = ctx;
    bus->watcher_count++;
}

struct bus_view *bus_view_get(struct bus *bus)
{
    atomic_fetch_add(&bus->readers, 1);
    struct bus_view *view = atomic_load(&bus->view);
    atomic_fetch_add(&view->refs, 1);
    atomic_fetch_sub(&bus->readers, 1);
    return view;
}

void bus_view_put(struct bus_view *view)
{
    if (view && atomic_fetch_sub(&view->refs, 1) == 1)
        free(view);
}

const struct bus_range *bus_view_find(const struct bus_view *view, uint64_t addr)
{
    const struct bus_range *lo = view->ranges;
    unsigned n = view->count;
    if (n == 0)
        return NULL;
    /* The last range that begins at or below addr, without a branch that could be guessed wrong. */
    while (n > 1) {
        unsigned half = n / 2;
        lo = lo[half].base <= addr ? lo + half : lo;
        n -= half;
    }
    return addr >= lo->base && addr <= lo->end ? lo : NULL;
}

/* A copy of the range that holds addr; false where nothing is mapped. */
static bool lookup(struct bus *bus, uint64_t addr, struct bus_range *ret_range)
{
    atomic_fetch_add(&bus->readers, 1);
    const struct bus_range *range = bus_view_find(atomic_load(&bus->view), addr);
    if (range)
        *ret_range = *range;
    atomic_fetch_sub(&bus->readers, 1);
    return range;
}

static uint64_t load_host(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1:
        return *p;
    case 2: {
        uint16_t v;
        memcpy(&v, p, 2);
        return v;
    }
    case 4: {
        uint32_t v;
        memcpy(&v, p, 4);
        return v;
    }
    default: {
        uint64_t v;
        memcpy(&v, p, 8);
        return v;
    }
    }
}

static void store_host(uint8_t *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *p = (uint8_t)value;
        break;
    case 2: {
        uint16_t v = (uint16_t)value;
        memcpy(p, &v, 2);
        break;
    }
    case 4: {
        uint32_t v = (uint32_t)value;
        memcpy(p, &v, 4);
        break;
    }
    default:
        memcpy(p, &value, 8);
    }
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size)
{
    struct bus_range range;
    if (UNLIKELY(!lookup(bus, addr, &range) || range.end - addr < size - 1)) {
        /* Nothing here, or the access runs over an edge: byte by byte, as the edge divides it. */
        if (size == 1)
            return 0xff;
        uint64_t v = 0;
        for (unsigned i = 0; i < size; i++)
            v |= (addr + i < addr ? 0xff : bus_read(bus, addr + i, 1)) << (8 * i);
        return v;
    }
    uint64_t offset = range.region_offset + (addr - range.base);
    if (range.region->kind == REGION_IO)
        return region_read(range.region, offset, size);
    return load_host(bus->ram->host + range.region->ram_offset + offset, size);
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value)
{
    struct bus_range range;
    if (UNLIKELY(!lookup(bus, addr, &range) || range.end - addr < size - 1)) {
        if (size == 1)
            return;
        for (unsigned i = 0; i < size && addr + i >= addr; i++)
            bus_write(bus, addr + i, 1, value >> (8 * i) & 0xff);
        return;
    }
    const struct region *region = range.region;
    uint64_t offset = range.region_offset + (addr - range.base);
    if (region->kind != REGION_RAM) {
        region_write(region, offset, size, value);
        return;
    }
    store_host(bus->ram->host + region->ram_offset + offset, size, value);
    ram_wrote(bus->ram, region->ram_offset + offset, size);
}

uint64_t region_read(const struct region *region, uint64_t offset, unsigned size)
{
    /* Copies: the device may take its region off the bus, change it and lay it elsewhere. */
    const struct io_ops *ops = region->ops;
    void *dev = region->dev;
    unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : 4;

    if (!ops->read)
        return bytes_mask(UINT64_MAX, size);
    if (LIKELY(size >= min && size <= max))
        return bytes_mask(ops->read(dev, offset, size), size);

    if (size > max) {
        uint64_t v = 0;
        for (unsigned i = 0; i < size; i += max)
            v |= bytes_mask(ops->read(dev, offset + i, max), max) << (8 * i);
        return v;
    }

    unsigned lane = (unsigned)(offset & (min - 1));
    uint64_t v = bytes_mask(ops->read(dev, offset - lane, min), min) >> (8 * lane);
    if (lane + size > min)
        v |= ops->read(dev, offset - lane + min, min) << (8 * (min - lane));
    return bytes_mask(v, size);
}

/* Write the bytes [lane, lane + size) of the min-sized register at offset. */
static void write_lanes(const struct io_ops *ops, void *dev, uint64_t offset, unsigned min,
                        unsigned lane, unsigned size, uint64_t value)
{
    uint64_t mask = bytes_mask(UINT64_MAX, size) << (8 * lane);
    uint64_t old = ops->merge_writes && ops->read ? ops->read(dev, offset, min) : 0;
    ops->write(dev, offset, min, bytes_mask((old & ~mask) | (value << (8 * lane) & mask), min));
}

void region_write(const struct region *region, uint64_t offset, unsigned size, uint64_t value)
{
    const struct io_ops *ops = region->ops;
    void *dev = region->dev;
    if (!ops || !ops->write)
        return;
    unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : 4;

    if (LIKELY(size >= min && size <= max)) {
        ops->write(dev, offset, size, bytes_mask(value, size));
        return;
    }
    if (size > max) {
        for (unsigned i = 0; i < size; i += max)
            ops->write(dev, offset + i, max, bytes_mask(value >> (8 * i), max));
        return;
    }

    unsigned lane = (unsigned)(offset & (min - 1));
    unsigned first = MIN(size, min - lane);
    write_lanes(ops, dev, offset - lane, min, lane, first, value);
    if (first < size)
        write_lanes(ops, dev, offset - lane + min, min, 0, size - first, value >> (8 * first));
}
