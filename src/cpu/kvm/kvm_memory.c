/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory for KVM: RAM and ROM ranges of the memory bus become slots of the kernel's own
 * page tables; everything else exits as MMIO. KVM api.rst 4.35 (KVM_SET_USER_MEMORY_REGION),
 * 4.8 (KVM_GET_DIRTY_LOG).
 *
 * A slot that stays the same across a change of the map is left alone, so that other vCPUs which
 * run from it notice nothing. Parts of a range that are not whole pages stay MMIO, which the bus
 * answers from the same store. The dirty log is switched on slot by slot when somebody first asks
 * what changed, since it costs the guest write faults.
 *
 * A20: with the gate closed only addresses 1–2 MiB wrap to 0–1 MiB: what real-mode programs rely
 * on. The kernel has no mask for the other odd mebibytes.
 */
#include "cpu/kvm/kvm_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define LOG_ROOM "kvm"
#include "base/log.h"

#define PAGE_MASK (RAM_PAGE_BYTES - 1ULL)

struct wanted {
    struct kvm_slot *slots;
    unsigned count;
};

static int slot_tell(struct kvm_engine *ke, unsigned id, const struct kvm_slot *slot)
{
    struct ram *ram = bus_ram(ke->engine.config.mem);
    struct kvm_userspace_memory_region kernel = {
        .slot = id,
        .flags =
            (slot->readonly ? KVM_MEM_READONLY : 0) | (slot->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = slot->gpa,
        .memory_size = slot->size_bytes,
        .userspace_addr = (uintptr_t)(ram->host + slot->ram_offset),
    };
    int r = kvm_ioctl(ke->vm_fd, KVM_SET_USER_MEMORY_REGION, &kernel);

    if (r < 0)
        log_error("memory slot at %#llx, %#llx bytes: %s", (unsigned long long)slot->gpa,
                  (unsigned long long)slot->size_bytes, strerror(-r));
    return r;
}

/* Add the whole pages of [gpa, gpa + size) to the list. */
static void want(struct wanted *w, uint64_t gpa, uint64_t size_bytes, uint64_t ram_offset,
                 bool readonly)
{
    uint64_t skip = -gpa & PAGE_MASK;

    if (size_bytes < skip)
        return;
    gpa += skip;
    ram_offset += skip;
    size_bytes = (size_bytes - skip) & ~PAGE_MASK;
    if (!size_bytes || (ram_offset & PAGE_MASK))
        return;
    w->slots[w->count++] = (struct kvm_slot){
        .gpa = gpa, .size_bytes = size_bytes, .ram_offset = ram_offset, .readonly = readonly};
}

/* The part of a range below, or from, an address. */
static void want_range(struct wanted *w, const struct bus_range *range, uint64_t from, uint64_t to,
                       uint64_t shift)
{
    uint64_t base = MAX(range->base, from), end = MIN(range->end, to);

    if (base > end)
        return;
    want(w, base + shift, end - base + 1,
         range->region->ram_offset + range->region_offset + (base - range->base),
         range->region->kind == REGION_ROM);
}

static void want_all(struct wanted *w, const struct bus_view *view, bool a20_off)
{
    for (unsigned i = 0; i < view->count; i++) {
        const struct bus_range *range = &view->ranges[i];

        if (range->region->kind == REGION_IO)
            continue;
        if (a20_off) {
            want_range(w, range, 0, MIB(1) - 1, 0);
            want_range(w, range, 0, MIB(1) - 1, MIB(1));
            want_range(w, range, MIB(2), UINT64_MAX, 0);
        } else {
            want_range(w, range, 0, UINT64_MAX, 0);
        }
    }
}

static bool slot_same(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->gpa == b->gpa && a->size_bytes == b->size_bytes && a->ram_offset == b->ram_offset &&
           a->readonly == b->readonly;
}

static void slot_collect(struct kvm_engine *ke, unsigned id);

static int slots_grow(struct kvm_engine *ke)
{
    unsigned count = ke->slot_count ? ke->slot_count * 2 : 32;
    struct kvm_slot *slots;

    count = MIN(count, ke->slot_max);
    if (count == ke->slot_count)
        return -ENOSPC;
    slots = realloc(ke->slots, count * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + ke->slot_count, 0, (count - ke->slot_count) * sizeof(*slots));
    ke->slots = slots;
    ke->slot_count = count;
    return 0;
}

static int slots_update(struct kvm_engine *ke)
{
    struct bus_view *view = bus_view_get(ke->engine.config.mem);
    struct wanted w = {.slots = calloc((size_t)view->count * 3 + 1, sizeof(*w.slots))};
    int ret = 0;

    if (!w.slots) {
        bus_view_put(view);
        return -ENOMEM;
    }
    pthread_mutex_lock(&ke->slot_lock);
    want_all(&w, view, ke->a20_off);

    /* What both lists have is struck off the wanted one; what only the kernel has goes. */
    for (unsigned id = 0; id < ke->slot_count; id++) {
        struct kvm_slot *have = &ke->slots[id];
        bool keep = false;

        if (!have->size_bytes)
            continue;
        for (unsigned i = 0; i < w.count && !keep; i++) {
            keep = w.slots[i].size_bytes && slot_same(&w.slots[i], have);
            if (keep)
                w.slots[i].size_bytes = 0;
        }
        if (keep)
            continue;
        slot_collect(ke, id);
        have->size_bytes = 0;
        have->logging = false;
        slot_tell(ke, id, have);
    }

    for (unsigned i = 0, id = 0; i < w.count && ret == 0; i++) {
        if (!w.slots[i].size_bytes)
            continue;
        while (id < ke->slot_count && ke->slots[id].size_bytes)
            id++;
        if (id == ke->slot_count && (ret = slots_grow(ke)) < 0)
            break;
        ret = slot_tell(ke, id, &w.slots[i]);
        if (ret == 0)
            ke->slots[id] = w.slots[i];
    }
    pthread_mutex_unlock(&ke->slot_lock);
    free(w.slots);
    bus_view_put(view);
    return ret < 0 ? ret : 0;
}

static void bus_changed(void *ctx)
{
    slots_update(ctx);
}

void kvm_set_a20(struct engine *engine, bool enabled)
{
    struct kvm_engine *ke = CONTAINER_OF(engine, struct kvm_engine, engine);

    pthread_mutex_lock(&ke->slot_lock);
    ke->a20_off = !enabled;
    pthread_mutex_unlock(&ke->slot_lock);
    slots_update(ke);
}

static void pages_dirty(struct ram *ram, uint64_t offset, uint64_t pages)
{
    _Atomic uint8_t *flags = ram_flags(ram, offset);

    for (uint64_t i = 0; i < pages; i++)
        atomic_fetch_or_explicit(&flags[i], RAM_DIRTY_ALL, memory_order_relaxed);
}

/* Move the kernel's dirty log of a slot to the flags of the store. slot_lock is held. */
static void slot_collect(struct kvm_engine *ke, unsigned id)
{
    struct ram *ram = bus_ram(ke->engine.config.mem);
    struct kvm_slot *slot = &ke->slots[id];
    uint64_t pages = slot->size_bytes / RAM_PAGE_BYTES;
    AUTO_FREE uint64_t *bitmap = NULL;
    struct kvm_dirty_log log = {.slot = id};

    if (!slot->logging)
        return;
    bitmap = calloc((pages + 63) / 64, sizeof(*bitmap));
    log.dirty_bitmap = bitmap;
    if (!bitmap || kvm_ioctl(ke->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0) {
        pages_dirty(ram, slot->ram_offset, pages); /* too much is safe, too little is not */
        return;
    }
    for (uint64_t word = 0; word < (pages + 63) / 64; word++)
        for (uint64_t bits = bitmap[word]; bits; bits &= bits - 1) {
            uint64_t page = word * 64 + (uint64_t)__builtin_ctzll(bits);
            pages_dirty(ram, slot->ram_offset + page * RAM_PAGE_BYTES, 1);
        }
}

/* Somebody is about to ask which pages of the store changed. */
static void ram_collect(void *ctx, uint64_t offset, uint64_t len_bytes)
{
    struct kvm_engine *ke = ctx;
    struct ram *ram = bus_ram(ke->engine.config.mem);

    pthread_mutex_lock(&ke->slot_lock);
    for (unsigned id = 0; id < ke->slot_count; id++) {
        struct kvm_slot *slot = &ke->slots[id];

        if (!slot->size_bytes || slot->readonly || slot->ram_offset >= offset + len_bytes ||
            slot->ram_offset + slot->size_bytes <= offset)
            continue;
        if (slot->logging) {
            slot_collect(ke, id);
            continue;
        }
        slot->logging = true;
        if (slot_tell(ke, id, slot) < 0)
            slot->logging = false;
        pages_dirty(ram, slot->ram_offset, slot->size_bytes / RAM_PAGE_BYTES);
    }
    pthread_mutex_unlock(&ke->slot_lock);
}

int kvm_memory_start(struct kvm_engine *ke, struct error *err)
{
    int max = kvm_ioctl_number(ke->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    int r;

    ke->slot_max = max > 0 ? (unsigned)max : 32;
    r = slots_update(ke);
    if (r < 0)
        return error_set(err, r, "KVM refuses the guest's memory: %s", strerror(-r));
    ke->watcher = (struct ram_watcher){.collect = ram_collect, .ctx = ke};
    ram_watch(bus_ram(ke->engine.config.mem), &ke->watcher);
    bus_watch(ke->engine.config.mem, bus_changed, ke);
    return 0;
}

void kvm_memory_stop(struct kvm_engine *ke)
{
    free(ke->slots);
    ke->slots = NULL;
    ke->slot_count = 0;
}
