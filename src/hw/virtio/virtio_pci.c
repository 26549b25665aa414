/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio over PCI: VIRTIO 1.2, section 4.1, as a transitional device. Modern drivers find four
 * structures in BAR 4 through vendor capabilities; legacy ones (0.9.5) use the ports of BAR 0.
 */
#include "hw/virtio/virtio.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define PCI_VENDOR 0x1af4
#define CAP_VENDOR 0x09
#define MODERN_BAR 4
#define LEGACY_BAR 0
#define MSIX_BAR 1
/* Each structure has a page of BAR 4. */
#define PAGE_COMMON 0x0000u
#define PAGE_ISR 0x1000u
#define PAGE_CONFIG 0x2000u
#define PAGE_NOTIFY 0x3000u
#define MODERN_BYTES 0x4000u
#define NOTIFY_MULTIPLIER 4u
#define COMMON_BYTES 0x38u
#define LEGACY_BYTES 128u
/* 2.7.2 of the legacy layout: the used ring begins on a page of its own. */
#define LEGACY_ALIGN 4096u

/* struct virtio_pci_common_cfg, 4.1.4.3 */
enum {
    COMMON_DEVICE_FEATURE_SELECT = 0x00,
    COMMON_DEVICE_FEATURE = 0x04,
    COMMON_DRIVER_FEATURE_SELECT = 0x08,
    COMMON_DRIVER_FEATURE = 0x0c,
    COMMON_CONFIG_VECTOR = 0x10,
    COMMON_NUM_QUEUES = 0x12,
    COMMON_STATUS = 0x14,
    COMMON_GENERATION = 0x15,
    COMMON_QUEUE_SELECT = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_NOTIFY_OFF = 0x1e,
    COMMON_QUEUE_DESC = 0x20,
    COMMON_QUEUE_DRIVER = 0x28,
    COMMON_QUEUE_DEVICE = 0x30,
};

/* The legacy header, 4.1.4.10. */
enum {
    LEGACY_DEVICE_FEATURES = 0,
    LEGACY_DRIVER_FEATURES = 4,
    LEGACY_QUEUE_PFN = 8,
    LEGACY_QUEUE_SIZE = 12,
    LEGACY_QUEUE_SELECT = 14,
    LEGACY_NOTIFY = 16,
    LEGACY_STATUS = 18,
    LEGACY_ISR = 19,
    LEGACY_CONFIG_VECTOR = 20, /* only while MSI-X is enabled */
    LEGACY_QUEUE_VECTOR = 22,
};

/* Types of vendor capabilities. */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

static struct virtqueue *selected(struct virtio *v)
{
    return v->queue_select < v->queue_count ? &v->queues[v->queue_select] : NULL;
}

void virtio_pci_interrupt(struct virtio *v, uint16_t vector, uint8_t isr)
{
    if (pci_msix_enabled(&v->pci)) {
        if (vector != UINT16_MAX)
            pci_msix_notify(&v->pci, vector);
        return;
    }
    v->isr |= isr;
    pci_set_intx(&v->pci, true);
}

static uint8_t read_isr(struct virtio *v)
{
    uint8_t isr = v->isr;
    v->isr = 0;
    pci_set_intx(&v->pci, false);
    return isr;
}

/* A vector that does not exist is not stored, which tells the driver so. */
static uint16_t valid_vector(const struct virtio *v, uint64_t vector)
{
    return vector < v->pci.msix_count ? (uint16_t)vector : UINT16_MAX;
}

/* ---- the device's configuration ---- */

static uint64_t config_read(const struct virtio *v, uint64_t offset, unsigned size)
{
    uint8_t bytes[8] = {0};
    for (unsigned i = 0; i < size; i++)
        if (offset + i < v->config_bytes)
            bytes[i] = v->config[offset + i];
    return le64_get(bytes);
}

static void config_write(struct virtio *v, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset >= v->config_bytes)
        return;
    for (unsigned i = 0; i < size && offset + i < v->config_bytes; i++) {
        uint8_t mask = v->config_wmask[offset + i];
        v->config[offset + i] =
            (uint8_t)((v->config[offset + i] & ~mask) | (value >> (8 * i) & mask));
    }
    if (v->ops->config_written)
        v->ops->config_written(v->dev, (unsigned)offset, size);
}

/* ---- modern registers ---- */

static void common_snapshot(struct virtio *v, uint8_t *b)
{
    const struct virtqueue *q = selected(v);
    unsigned shift = v->feature_select[0] * 32;
    memset(b, 0, COMMON_BYTES + 8);
    le32_put(b + COMMON_DEVICE_FEATURE_SELECT, v->feature_select[0]);
    if (v->feature_select[0] < 2) /* ANY_LAYOUT is a legacy bit */
        le32_put(b + COMMON_DEVICE_FEATURE,
                 (uint32_t)((v->features & ~VIRTIO_F_ANY_LAYOUT) >> shift));
    le32_put(b + COMMON_DRIVER_FEATURE_SELECT, v->feature_select[1]);
    if (v->feature_select[1] < 2)
        le32_put(b + COMMON_DRIVER_FEATURE, (uint32_t)(v->accepted >> v->feature_select[1] * 32));
    le16_put(b + COMMON_CONFIG_VECTOR, v->config_vector);
    le16_put(b + COMMON_NUM_QUEUES, (uint16_t)v->queue_count);
    b[COMMON_STATUS] = v->status;
    b[COMMON_GENERATION] = v->generation;
    le16_put(b + COMMON_QUEUE_SELECT, v->queue_select);
    if (!q)
        return;
    le16_put(b + COMMON_QUEUE_SIZE, q->size);
    le16_put(b + COMMON_QUEUE_VECTOR, q->vector);
    le16_put(b + COMMON_QUEUE_ENABLE, q->enabled);
    le16_put(b + COMMON_QUEUE_NOTIFY_OFF, v->queue_select);
    le64_put(b + COMMON_QUEUE_DESC, q->desc);
    le64_put(b + COMMON_QUEUE_DRIVER, q->avail);
    le64_put(b + COMMON_QUEUE_DEVICE, q->used);
}

static void queue_address(uint64_t *field, bool high, uint64_t value)
{
    *field = high ? (*field & 0xffffffff) | value << 32 : (*field & ~0xffffffffull) | value;
}

static void queue_write(struct virtio *v, struct virtqueue *q, unsigned offset, uint64_t value)
{
    int r;
    if (offset == COMMON_QUEUE_VECTOR) {
        q->vector = valid_vector(v, value);
        return;
    }
    if (q->enabled) /* 4.1.4.3.2: the rest is fixed from then on */
        return;
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        q->size = (uint16_t)value;
        break;
    case COMMON_QUEUE_ENABLE:
        r = value == 1 ? vq_enable(q) : 0;
        if (r < 0)
            virtio_broken(v, r);
        break;
    case COMMON_QUEUE_DESC:
    case COMMON_QUEUE_DESC + 4:
        queue_address(&q->desc, offset & 4, value);
        break;
    case COMMON_QUEUE_DRIVER:
    case COMMON_QUEUE_DRIVER + 4:
        queue_address(&q->avail, offset & 4, value);
        break;
    case COMMON_QUEUE_DEVICE:
    case COMMON_QUEUE_DEVICE + 4:
        queue_address(&q->used, offset & 4, value);
        break;
    }
}

static void common_write(struct virtio *v, unsigned offset, uint64_t value)
{
    switch (offset) {
    case COMMON_DEVICE_FEATURE_SELECT:
        v->feature_select[0] = (uint32_t)value;
        break;
    case COMMON_DRIVER_FEATURE_SELECT:
        v->feature_select[1] = (uint32_t)value;
        break;
    case COMMON_DRIVER_FEATURE:
        if (v->feature_select[1] == 0)
            virtio_set_features(v, (v->accepted & ~0xffffffffull) | value);
        else if (v->feature_select[1] == 1)
            virtio_set_features(v, (v->accepted & 0xffffffff) | value << 32);
        break;
    case COMMON_CONFIG_VECTOR:
        v->config_vector = valid_vector(v, value);
        break;
    case COMMON_STATUS:
        virtio_set_status(v, (uint8_t)value);
        break;
    case COMMON_QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    default:
        if (selected(v))
            queue_write(v, selected(v), offset, value);
    }
}

static uint64_t modern_read(void *dev, uint64_t offset, unsigned size)
{
    struct virtio *v = dev;
    uint8_t common[COMMON_BYTES + 8];
    uint64_t at = offset & 0xfff;
    switch (offset & ~0xfffull) {
    case PAGE_COMMON:
        if (at >= COMMON_BYTES)
            return 0;
        common_snapshot(v, common);
        return bytes_mask(le64_get(common + MIN(at, COMMON_BYTES - 1ull)), size);
    case PAGE_ISR:
        return at == 0 ? read_isr(v) : 0;
    case PAGE_CONFIG:
        return config_read(v, at, size);
    }
    return 0;
}

static void modern_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio *v = dev;
    uint64_t at = offset & 0xfff;
    switch (offset & ~0xfffull) {
    case PAGE_COMMON:
        common_write(v, (unsigned)at, value);
        break;
    case PAGE_CONFIG:
        config_write(v, at, size, value);
        break;
    case PAGE_NOTIFY:
        virtio_notified(v, (unsigned)(at / NOTIFY_MULTIPLIER));
        break;
    }
}

static const struct io_ops modern_io = {
    .name = "virtio",
    .min_size = 1,
    .max_size = 4,
    .read = modern_read,
    .write = modern_write,
};

/* ---- legacy registers ---- */

static unsigned legacy_config_at(const struct virtio *v)
{
    return pci_msix_enabled(&v->pci) ? 24 : 20;
}

static uint64_t legacy_read(void *dev, uint64_t offset, unsigned size)
{
    struct virtio *v = dev;
    const struct virtqueue *q = selected(v);
    if (offset >= legacy_config_at(v))
        return config_read(v, offset - legacy_config_at(v), size);
    switch (offset) {
    case LEGACY_DEVICE_FEATURES:
        return (uint32_t)v->features;
    case LEGACY_DRIVER_FEATURES:
        return (uint32_t)v->accepted;
    case LEGACY_QUEUE_PFN:
        return q && q->enabled ? (uint32_t)(q->desc / LEGACY_ALIGN) : 0;
    case LEGACY_QUEUE_SIZE:
        return q ? q->size_max : 0;
    case LEGACY_QUEUE_SELECT:
        return v->queue_select;
    case LEGACY_STATUS:
        return v->status;
    case LEGACY_ISR:
        return read_isr(v);
    case LEGACY_CONFIG_VECTOR:
        return v->config_vector;
    case LEGACY_QUEUE_VECTOR:
        return q ? q->vector : UINT16_MAX;
    }
    return 0;
}

/* The three parts lie one after the other from a page on. Page 0 means: stop. */
static void legacy_queue(struct virtio *v, struct virtqueue *q, uint32_t pfn)
{
    uint16_t vector = q->vector;
    bool event_idx = q->event_idx, indirect = q->indirect;
    vq_reset(q);
    q->vector = vector;
    q->event_idx = event_idx;
    q->indirect = indirect;
    if (pfn == 0)
        return;
    q->desc = (uint64_t)pfn * LEGACY_ALIGN;
    q->avail = q->desc + 16ull * q->size;
    q->used = align_up(q->avail + 6 + 2ull * q->size, LEGACY_ALIGN);
    int r = vq_enable(q);
    if (r < 0)
        virtio_broken(v, r);
}

static void legacy_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio *v = dev;
    struct virtqueue *q = selected(v);
    if (offset >= legacy_config_at(v)) {
        config_write(v, offset - legacy_config_at(v), size, value);
        return;
    }
    switch (offset) {
    case LEGACY_DRIVER_FEATURES:
        virtio_set_features(v, (uint32_t)value);
        break;
    case LEGACY_QUEUE_PFN:
        if (!q)
            break;
        if (q->enabled) /* a queue in use goes away only with all its requests */
            v->ops->reset(v->dev);
        legacy_queue(v, q, (uint32_t)value);
        break;
    case LEGACY_QUEUE_SELECT:
        v->queue_select = (uint16_t)value;
        break;
    case LEGACY_NOTIFY:
        virtio_notified(v, (unsigned)value);
        break;
    case LEGACY_STATUS:
        virtio_set_status(v, (uint8_t)value);
        break;
    case LEGACY_CONFIG_VECTOR:
        v->config_vector = valid_vector(v, value);
        break;
    case LEGACY_QUEUE_VECTOR:
        if (q)
            q->vector = valid_vector(v, value);
        break;
    }
}

static const struct io_ops legacy_io = {
    .name = "virtio-legacy",
    .min_size = 1,
    .max_size = 4,
    .read = legacy_read,
    .write = legacy_write,
};

/* ---- configuration space ---- */

/* struct virtio_pci_cap, 4.1.4 */
static unsigned add_cap(struct virtio *v, uint8_t type, uint32_t offset, uint32_t len_bytes,
                        unsigned extra)
{
    unsigned at = pci_add_cap(&v->pci, CAP_VENDOR, 16 + extra);
    uint8_t *cap = v->pci.config + at;
    cap[2] = (uint8_t)(16 + extra);
    cap[3] = type;
    cap[4] = MODERN_BAR;
    le32_put(cap + 8, offset);
    le32_put(cap + 12, len_bytes);
    return at;
}

/* 4.1.4.9: what the window names, if it is a place in our registers. */
static bool window_target(const struct virtio *v, uint32_t *ret_offset, uint32_t *ret_size)
{
    const uint8_t *cap = v->pci.config + v->window;
    uint32_t offset = le32_get(cap + 8), size = le32_get(cap + 12);
    if (cap[4] != MODERN_BAR || (size != 1 && size != 2 && size != 4) || offset & (size - 1) ||
        offset >= MODERN_BYTES)
        return false;
    *ret_offset = offset;
    *ret_size = size;
    return true;
}

static bool is_window(const struct virtio *v, unsigned offset)
{
    return offset >= v->window + 16u && offset < v->window + 20u;
}

static void window_written(void *dev, unsigned offset, unsigned size)
{
    struct virtio *v = dev;
    uint32_t at, bytes;
    (void)size;
    if (is_window(v, offset) && window_target(v, &at, &bytes))
        region_write(&v->modern, at, bytes,
                     bytes_mask(le32_get(v->pci.config + v->window + 16), bytes));
}

static bool window_read(void *dev, unsigned offset, unsigned size, uint32_t *ret)
{
    struct virtio *v = dev;
    uint32_t at, bytes;
    if (!is_window(v, offset) || !window_target(v, &at, &bytes))
        return false;
    uint64_t value = region_read(&v->modern, at, bytes);
    *ret = (uint32_t)bytes_mask(value >> (8 * (offset - v->window - 16)), size);
    return true;
}

int virtio_pci_init(struct virtio *v, const struct virtio_env *env, const char *name)
{
    const struct pci_ids ids = {
        .vendor = PCI_VENDOR,
        .device = (uint16_t)(v->ops->id == 2   ? 0x1001 /* 4.1.2.1: transitional numbers */
                             : v->ops->id == 3 ? 0x1003
                             : v->ops->id == 4 ? 0x1005
                             : v->ops->id == 5 ? 0x1002
                             : v->ops->id == 8 ? 0x1004
                                               : 0x1000),
        .subsys_vendor = PCI_VENDOR,
        .subsys = v->ops->id,
        .class_code = v->ops->class_code,
    };
    int r = pci_dev_init(&v->pci, env->pci, env->devfn, name, &ids, 1);
    if (r < 0)
        return r;
    v->pci.dev = v;
    v->modern = (struct region){.name = name,
                                .size_bytes = MODERN_BYTES,
                                .priority = 1,
                                .kind = REGION_IO,
                                .ops = &modern_io,
                                .dev = v};
    v->legacy = v->modern;
    v->legacy.size_bytes = LEGACY_BYTES;
    v->legacy.ops = &legacy_io;
    pci_add_bar(&v->pci, LEGACY_BAR, &v->legacy, true, false, false);
    pci_add_bar(&v->pci, MODERN_BAR, &v->modern, false, false, false);
    r = pci_add_msix(&v->pci, MSIX_BAR, v->queue_count + 1);
    if (r < 0)
        return r;

    add_cap(v, CAP_COMMON, PAGE_COMMON, COMMON_BYTES, 0);
    add_cap(v, CAP_ISR, PAGE_ISR, 1, 0);
    if (v->config_bytes)
        add_cap(v, CAP_DEVICE, PAGE_CONFIG, v->config_bytes, 0);
    unsigned notify = add_cap(v, CAP_NOTIFY, PAGE_NOTIFY, NOTIFY_MULTIPLIER * v->queue_count, 4);
    le32_put(v->pci.config + notify + 16, NOTIFY_MULTIPLIER);
    v->window = (uint8_t)add_cap(v, CAP_PCI, 0, 0, 4);
    v->pci.wmask[v->window + 4] = 0xff;
    memset(v->pci.wmask + v->window + 8, 0xff, 12);
    v->pci.config_written = window_written;
    v->pci.config_read = window_read;
    return 0;
}

void virtio_pci_reset(struct virtio *v)
{
    uint8_t *window = v->pci.config + v->window;
    pci_dev_reset(&v->pci);
    window[4] = MODERN_BAR;
    memset(window + 8, 0, 12);
}
