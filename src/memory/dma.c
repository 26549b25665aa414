/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bus-master access with checks. Each access first walks the whole range over one view and only
 * then moves bytes, so that a failure leaves no half-done work behind.
 */
#include "memory/dma.h"

#include <errno.h>
#include <string.h>

#define SLICES_MAX (1u << 16)

/* The next piece of host memory in a walk over the device's [addr, addr + left). */
struct walk {
    const struct dma *dma;
    const struct bus_view *view;
    const struct bus_range *range;
    bool write;
    uint64_t addr, left;
    uint64_t gpa, run; /* where addr lies, and how many bytes from there on lie together */
};

static bool walk_start(struct walk *w, const struct dma *dma, const struct bus_view *view,
                       uint64_t addr, uint64_t len, bool write)
{
    *w = (struct walk){.dma = dma, .view = view, .write = write, .addr = addr, .left = len};
    if (!dma->map.translate) {
        w->gpa = addr;
        w->run = len;
    }
    /* The last byte must not lie beyond the end of all addresses. */
    return len == 0 || len - 1 <= UINT64_MAX - addr;
}

static bool walk_translate(struct walk *w)
{
    const struct dma_map *map = &w->dma->map;
    uint64_t len;

    if (map->translate(map->ctx, w->dma->requester, w->addr, w->write, &w->gpa, &len) < 0)
        return false;
    w->run = MIN(w->left, len);
    return w->run && w->run - 1 <= UINT64_MAX - w->gpa;
}

/* Step to a piece: false if it is not memory (of a kind that can be written, when asked). */
static bool walk_next(struct walk *w, bool writable, uint64_t *ret_offset, uint64_t *ret_len)
{
    if (!w->run && !walk_translate(w))
        return false;
    if (!w->range || w->gpa < w->range->base || w->gpa > w->range->end)
        w->range = bus_view_find(w->view, w->gpa);
    const struct bus_range *r = w->range;
    if (!r || r->region->kind == REGION_IO || (writable && r->region->kind != REGION_RAM))
        return false;
    uint64_t len = MIN(w->run - 1, r->end - w->gpa) + 1;
    *ret_offset = r->region->ram_offset + r->region_offset + (w->gpa - r->base);
    *ret_len = len;
    w->addr += len;
    w->left -= len;
    w->gpa += len;
    w->run -= len;
    return true;
}

static bool all_memory(const struct dma *dma, const struct bus_view *view, uint64_t addr,
                       uint64_t len, bool write)
{
    struct walk w;
    uint64_t offset, piece;
    if (!walk_start(&w, dma, view, addr, len, write))
        return false;
    while (w.left)
        if (!walk_next(&w, write, &offset, &piece))
            return false;
    return true;
}

static void view_done(struct bus_view **view)
{
    bus_view_put(*view);
}

int dma_read(const struct dma *dma, uint64_t addr, void *buf, uint64_t len_bytes)
{
    AUTO(view_done) struct bus_view *view = bus_view_get(dma->bus);
    if (!all_memory(dma, view, addr, len_bytes, false))
        return -EFAULT;
    struct walk w;
    uint64_t offset, piece;
    walk_start(&w, dma, view, addr, len_bytes, false);
    for (uint8_t *at = buf; w.left; at += piece) {
        /* An IOMMU's tables are the guest's, who may have changed them since the first look. */
        if (!walk_next(&w, false, &offset, &piece))
            return -EFAULT;
        memcpy(at, bus_ram(dma->bus)->host + offset, piece);
    }
    return 0;
}

int dma_write(const struct dma *dma, uint64_t addr, const void *buf, uint64_t len_bytes)
{
    AUTO(view_done) struct bus_view *view = bus_view_get(dma->bus);
    if (!all_memory(dma, view, addr, len_bytes, true))
        return -EFAULT;
    struct walk w;
    uint64_t offset, piece;
    walk_start(&w, dma, view, addr, len_bytes, true);
    for (const uint8_t *at = buf; w.left; at += piece) {
        if (!walk_next(&w, true, &offset, &piece))
            return -EFAULT;
        memcpy(bus_ram(dma->bus)->host + offset, at, piece);
        ram_wrote(bus_ram(dma->bus), offset, piece);
    }
    return 0;
}

int dma_fill(const struct dma *dma, uint64_t addr, uint8_t value, uint64_t len_bytes)
{
    AUTO(view_done) struct bus_view *view = bus_view_get(dma->bus);
    if (!all_memory(dma, view, addr, len_bytes, true))
        return -EFAULT;
    struct walk w;
    uint64_t offset, piece;
    walk_start(&w, dma, view, addr, len_bytes, true);
    while (w.left) {
        if (!walk_next(&w, true, &offset, &piece))
            return -EFAULT;
        memset(bus_ram(dma->bus)->host + offset, value, piece);
        ram_wrote(bus_ram(dma->bus), offset, piece);
    }
    return 0;
}

static int slices_room(struct slices *s)
{
    if (s->count < s->room)
        return 0;
    if (s->count >= SLICES_MAX)
        return -E2BIG;
    unsigned room = s->room ? s->room * 2 : 16;
    struct iovec *iov = realloc(s->iov, room * sizeof(*iov));
    if (!iov)
        return -ENOMEM;
    s->iov = iov;
    uint64_t *ram_offset = realloc(s->ram_offset, room * sizeof(*ram_offset));
    if (!ram_offset)
        return -ENOMEM;
    s->ram_offset = ram_offset;
    s->room = room;
    return 0;
}

/* Pages that follow each other in the device's addresses often do in the host's. */
static bool slices_grow(struct slices *s, unsigned first, uint64_t offset, uint64_t len)
{
    if (s->count == first || s->ram_offset[s->count - 1] + s->iov[s->count - 1].iov_len != offset)
        return false;
    s->iov[s->count - 1].iov_len += len;
    return true;
}

int slices_add(struct slices *s, const struct dma *dma, uint64_t addr, uint64_t len_bytes,
               bool write)
{
    AUTO(view_done) struct bus_view *view = bus_view_get(dma->bus);
    struct walk w;
    uint64_t offset, piece;
    unsigned count = s->count;
    int r = 0;

    if (!walk_start(&w, dma, view, addr, len_bytes, write) || len_bytes > UINT64_MAX - s->len_bytes)
        return -EFAULT;
    while (w.left) {
        if (!walk_next(&w, true, &offset, &piece))
            r = -EFAULT;
        else if (slices_grow(s, count, offset, piece))
            continue;
        else
            r = slices_room(s);
        if (r < 0) {
            s->count = count;
            return r;
        }
        s->iov[s->count].iov_base = bus_ram(dma->bus)->host + offset;
        s->iov[s->count].iov_len = piece;
        s->ram_offset[s->count] = offset;
        s->count++;
    }
    s->len_bytes += len_bytes;
    return 0;
}

void slices_wrote(const struct slices *s, const struct dma *dma, uint64_t len_bytes)
{
    for (unsigned i = 0; i < s->count && len_bytes; i++) {
        uint64_t piece = MIN(len_bytes, (uint64_t)s->iov[i].iov_len);
        ram_wrote(bus_ram(dma->bus), s->ram_offset[i], piece);
        len_bytes -= piece;
    }
}

/* Move bytes between s, from byte `at`, and a buffer. */
static uint64_t slices_copy(const struct slices *s, uint64_t at, uint8_t *to, const uint8_t *from,
                            uint64_t len_bytes)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < s->count && done < len_bytes; i++) {
        if (at >= s->iov[i].iov_len) {
            at -= s->iov[i].iov_len;
            continue;
        }
        uint8_t *host = (uint8_t *)s->iov[i].iov_base + at;
        uint64_t piece = MIN(len_bytes - done, (uint64_t)s->iov[i].iov_len - at);
        if (to)
            memcpy(to + done, host, piece);
        else
            memcpy(host, from + done, piece);
        done += piece;
        at = 0;
    }
    return done;
}

uint64_t slices_get(const struct slices *s, uint64_t at, void *buf, uint64_t len_bytes)
{
    return slices_copy(s, at, buf, NULL, len_bytes);
}

uint64_t slices_put(const struct slices *s, uint64_t at, const void *buf, uint64_t len_bytes)
{
    return slices_copy(s, at, NULL, buf, len_bytes);
}

void slices_done(struct slices *s)
{
    free(s->iov);
    free(s->ram_offset);
    *s = (struct slices){0};
}
