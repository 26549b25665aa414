/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration device, the interface that SeaBIOS, OVMF, Linux and
 * kvm-unit-tests know. QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
 *
 * Left out: items that the guest may write.
 */
#include "hw/firmware/fw_cfg.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "memory/dma.h"

enum {
    PORT_SELECT = 0,
    PORT_DATA = 1,
    PORT_DMA_HIGH = 4,
    PORT_DMA_LOW = 8,
    ID_TRADITIONAL = 1,
    ID_DMA = 2,
    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
    DMA_BYTES = 16,
    ITEMS_MAX = 96,
    ENTRY_BYTES = 8 + FW_CFG_NAME_BYTES,
    KEY_INVALID = 0xffff,
};

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

struct item {
    uint16_t key;
    char name[FW_CFG_NAME_BYTES]; /* "": no file */
    const uint8_t *data;
    uint8_t *own; /* data, when they are to be freed */
    size_t len_bytes;
    void (*fill)(void *ctx, uint8_t *buf, size_t len_bytes);
    void *ctx;
};

struct fw_cfg {
    struct fw_cfg_env env;
    struct item items[ITEMS_MAX];
    unsigned count, files;
    uint8_t dir[4 + ITEMS_MAX * ENTRY_BYTES];
    uint16_t key; /* selected */
    uint32_t offset;
    uint64_t dma_addr;
};

static struct item *cfg_find(struct fw_cfg *cfg, uint16_t key)
{
    for (unsigned i = 0; i < cfg->count; i++)
        if (cfg->items[i].key == key)
            return &cfg->items[i];
    return NULL;
}

static void cfg_build_dir(struct fw_cfg *cfg)
{
    struct item *dir = cfg_find(cfg, FW_CFG_FILE_DIR);
    uint8_t *at = cfg->dir + 4;
    be32_put(cfg->dir, cfg->files);
    for (unsigned i = 0; i < cfg->count; i++) {
        const struct item *item = &cfg->items[i];
        if (!item->name[0])
            continue;
        be32_put(at, (uint32_t)item->len_bytes);
        be16_put(at + 4, item->key);
        memcpy(at + 8, item->name, FW_CFG_NAME_BYTES);
        at += ENTRY_BYTES;
    }
    dir->len_bytes = (size_t)(at - cfg->dir);
}

/* Put an item in its place; `own` belongs to the item from now on, and is freed on failure. */
static int cfg_put(struct fw_cfg *cfg, struct item item)
{
    struct item *at = NULL;
    if (item.len_bytes > UINT32_MAX)
        goto full;
    for (unsigned i = 0; i < cfg->count && !at; i++)
        if (item.name[0] ? !strcmp(cfg->items[i].name, item.name) : cfg->items[i].key == item.key)
            at = &cfg->items[i];
    if (at) {
        item.key = at->key;
        free(at->own);
    } else {
        if (cfg->count == ITEMS_MAX)
            goto full;
        if (item.name[0])
            item.key = (uint16_t)(FW_CFG_FILE_FIRST + cfg->files++);
        at = &cfg->items[cfg->count++];
    }
    *at = item;
    if (item.name[0])
        cfg_build_dir(cfg);
    return 0;
full:
    free(item.own);
    return -ENOSPC;
}

static int cfg_put_copy(struct fw_cfg *cfg, struct item item, const void *data, size_t len_bytes)
{
    item.own = malloc(len_bytes ? len_bytes : 1);
    if (!item.own)
        return -ENOMEM;
    if (data)
        memcpy(item.own, data, len_bytes);
    else
        memset(item.own, 0, len_bytes);
    item.data = item.own;
    item.len_bytes = len_bytes;
    return cfg_put(cfg, item);
}

int fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const void *data, size_t len_bytes)
{
    return cfg_put_copy(cfg, (struct item){.key = key}, data, len_bytes);
}

int fw_cfg_add_ref(struct fw_cfg *cfg, uint16_t key, const void *data, size_t len_bytes)
{
    return cfg_put(cfg, (struct item){.key = key, .data = data, .len_bytes = len_bytes});
}

int fw_cfg_add_u16(struct fw_cfg *cfg, uint16_t key, uint16_t value)
{
    uint8_t bytes[2];
    le16_put(bytes, value);
    return fw_cfg_add(cfg, key, bytes, sizeof(bytes));
}

int fw_cfg_add_u32(struct fw_cfg *cfg, uint16_t key, uint32_t value)
{
    uint8_t bytes[4];
    le32_put(bytes, value);
    return fw_cfg_add(cfg, key, bytes, sizeof(bytes));
}

int fw_cfg_add_u64(struct fw_cfg *cfg, uint16_t key, uint64_t value)
{
    uint8_t bytes[8];
    le64_put(bytes, value);
    return fw_cfg_add(cfg, key, bytes, sizeof(bytes));
}

static int file_item(const char *name, struct item *ret_item)
{
    struct item item = {.key = 0};
    if (!name[0] || strlen(name) >= FW_CFG_NAME_BYTES)
        return -EINVAL;
    memcpy(item.name, name, strlen(name) + 1);
    *ret_item = item;
    return 0;
}

int fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const void *data, size_t len_bytes)
{
    struct item item;
    int r = file_item(name, &item);
    return r < 0 ? r : cfg_put_copy(cfg, item, data, len_bytes);
}

int fw_cfg_add_file_fn(struct fw_cfg *cfg, const char *name, size_t len_bytes,
                       void (*fill)(void *ctx, uint8_t *buf, size_t len_bytes), void *ctx)
{
    struct item item;
    int r = file_item(name, &item);
    if (r < 0)
        return r;
    item.fill = fill;
    item.ctx = ctx;
    return cfg_put_copy(cfg, item, NULL, len_bytes);
}

static void cfg_select(struct fw_cfg *cfg, uint16_t key)
{
    struct item *item = cfg_find(cfg, key);
    cfg->key = item ? key : KEY_INVALID;
    cfg->offset = 0;
    if (item && item->fill)
        item->fill(item->ctx, item->own, item->len_bytes);
}

/* What is left of the selected item. */
static const uint8_t *cfg_rest(struct fw_cfg *cfg, size_t *ret_len_bytes)
{
    const struct item *item = cfg_find(cfg, cfg->key);
    if (!item || cfg->offset >= item->len_bytes) {
        *ret_len_bytes = 0;
        return NULL;
    }
    *ret_len_bytes = item->len_bytes - cfg->offset;
    return item->data + cfg->offset;
}

static uint8_t cfg_next(struct fw_cfg *cfg)
{
    size_t len_bytes;
    const uint8_t *at = cfg_rest(cfg, &len_bytes);
    if (!at)
        return 0;
    cfg->offset++;
    return *at;
}

/* Past the end of an item there are zeros. */
static int dma_copy(struct fw_cfg *cfg, uint64_t gpa, uint32_t len_bytes)
{
    size_t rest;
    const uint8_t *at = cfg_rest(cfg, &rest);
    uint32_t some = (uint32_t)MIN((size_t)len_bytes, rest);
    const struct dma memory = {.bus = cfg->env.mem}; /* no PCI device, and behind no IOMMU */
    int r = some ? dma_write(&memory, gpa, at, some) : 0;
    if (!r && some < len_bytes)
        r = dma_fill(&memory, gpa + some, 0, len_bytes - some);
    return r;
}

static void cfg_dma(struct fw_cfg *cfg, uint64_t gpa)
{
    uint8_t desc[DMA_BYTES], result[4];
    const struct dma memory = {.bus = cfg->env.mem};
    cfg->dma_addr = 0;
    if (dma_read(&memory, gpa, desc, sizeof(desc)) < 0)
        return; /* nowhere to report it */
    uint32_t control = be32_get(desc), len_bytes = be32_get(desc + 4);
    uint64_t addr = be64_get(desc + 8);
    bool failed = false;
    if (control & DMA_SELECT)
        cfg_select(cfg, control >> 16);
    if (control & DMA_READ)
        failed = dma_copy(cfg, addr, len_bytes) < 0;
    else if (control & DMA_WRITE)
        failed = true;
    if (!failed && control & (DMA_READ | DMA_SKIP)) {
        size_t rest;
        cfg_rest(cfg, &rest);
        cfg->offset += (uint32_t)MIN((size_t)len_bytes, rest);
    }
    be32_put(result, failed ? DMA_ERROR : 0);
    dma_write(&memory, gpa, result, sizeof(result));
}

static uint64_t cfg_read(void *dev, uint64_t offset, unsigned size)
{
    struct fw_cfg *cfg = dev;
    if (offset >= PORT_DMA_HIGH && offset + size <= FW_CFG_PORTS) {
        uint8_t bytes[8];
        uint64_t value = 0;
        be64_put(bytes, DMA_SIGNATURE);
        memcpy(&value, bytes + (offset - PORT_DMA_HIGH), size);
        return value;
    }
    return offset == PORT_DATA && size == 1 ? cfg_next(cfg) : 0;
}

static void cfg_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *cfg = dev;
    if (offset == PORT_SELECT && size == 2) {
        cfg_select(cfg, (uint16_t)value);
    } else if (offset == PORT_DMA_HIGH && size == 4) {
        cfg->dma_addr = (uint64_t)__builtin_bswap32((uint32_t)value) << 32;
    } else if (offset == PORT_DMA_LOW && size == 4) {
        cfg_dma(cfg, cfg->dma_addr | __builtin_bswap32((uint32_t)value));
    }
}

static void cfg_reset(void *dev)
{
    struct fw_cfg *cfg = dev;
    cfg->key = FW_CFG_SIGNATURE;
    cfg->offset = 0;
    cfg->dma_addr = 0;
}

static int cfg_state(void *dev, struct state *s)
{
    struct fw_cfg *cfg = dev;
    state_u16(s, "key", &cfg->key);
    state_u32(s, "offset", &cfg->offset);
    state_u64(s, "dma_addr", &cfg->dma_addr);
    if (state_loading(s) && !state_error(s)) {
        uint32_t offset = cfg->offset;
        cfg_select(cfg, cfg->key);
        cfg->offset = offset;
    }
    return state_error(s);
}

static void cfg_free(void *dev)
{
    struct fw_cfg *cfg = dev;
    for (unsigned i = 0; i < cfg->count; i++)
        free(cfg->items[i].own);
    free(cfg);
}

const struct dev_ops fw_cfg_dev_ops = {
    .name = "fw_cfg", .version = 1, .reset = cfg_reset, .state = cfg_state, .free = cfg_free};

const struct io_ops fw_cfg_io = {
    .name = "fw_cfg", .min_size = 1, .max_size = 4, .read = cfg_read, .write = cfg_write};

int fw_cfg_new(const struct fw_cfg_env *env, struct fw_cfg **ret_cfg)
{
    struct fw_cfg *cfg = calloc(1, sizeof(*cfg));
    if (!cfg)
        return -ENOMEM;
    cfg->env = *env;
    int r = fw_cfg_add(cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    if (!r)
        r = fw_cfg_add_u32(cfg, FW_CFG_ID, ID_TRADITIONAL | ID_DMA);
    if (!r)
        r = fw_cfg_add_ref(cfg, FW_CFG_FILE_DIR, cfg->dir, 4);
    if (r < 0) {
        cfg_free(cfg);
        return r;
    }
    cfg_build_dir(cfg);
    cfg_reset(cfg);
    *ret_cfg = cfg;
    return 0;
}
