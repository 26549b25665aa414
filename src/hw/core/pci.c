/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conventional PCI. PCI Local Bus Specification 3.0: chapter 6 (configuration space), 6.2.5 (base
 * addresses), 6.8 (MSI and MSI-X); PCI-to-PCI bridges are left out, there is one bus.
 */
#include "hw/core/pci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum {
    CFG_VENDOR = 0x00,
    CFG_COMMAND = 0x04,
    CFG_STATUS = 0x06,
    CFG_REVISION = 0x08,
    CFG_CLASS = 0x09,
    CFG_CACHE_LINE = 0x0c,
    CFG_LATENCY = 0x0d,
    CFG_HEADER = 0x0e,
    CFG_BAR0 = 0x10,
    CFG_SUBSYS = 0x2c,
    CFG_ROM = 0x30,
    CFG_CAP_POINTER = 0x34,
    CFG_INT_LINE = 0x3c,
    CFG_INT_PIN = 0x3d,
    CAPS_START = 0x40,
    COMMAND_IO = 0x01,
    COMMAND_MEMORY = 0x02,
    COMMAND_MASTER = 0x04,
    COMMAND_INTX_OFF = 0x400,
    COMMAND_WRITABLE = 0x547, /* and parity response, SERR# enable */
    STATUS_INTX = 0x08,
    STATUS_CAPS = 0x10,
    STATUS_W1C = 0xf900,
    CAP_MSI = 0x05,
    CAP_MSIX = 0x11,
    MSI_ENABLE = 0x01,
    MSI_64 = 0x80,
    MSI_BYTES = 14,
    MSIX_ENABLE = 0x80, /* of the high byte of message control */
    MSIX_MASK_ALL = 0x40,
    MSIX_BYTES = 12,
    MSIX_ENTRY_BYTES = 16,
    MSIX_VECTOR_MASKED = 1,
};

#define MSIX_MAX 2048
#define ROM_ENABLE 1u
#define ROM_BYTES_MIN KIB(2) /* 6.2.5.2: what the register can express */
#define ROM_BYTES_MAX MIB(16)

struct pci_bus {
    struct pci_env env;
    struct pci_dev *devs[256];
};

int pci_bus_new(const struct pci_env *env, struct pci_bus **ret_bus)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return -ENOMEM;
    bus->env = *env;
    *ret_bus = bus;
    return 0;
}

struct pci_bus *pci_bus_free(struct pci_bus *bus)
{
    free(bus);
    return NULL;
}

struct bus *pci_bus_mem(struct pci_bus *bus)
{
    return bus->env.mem;
}

struct bus *pci_bus_pio(struct pci_bus *bus)
{
    return bus->env.pio;
}

static unsigned bar_offset(unsigned n)
{
    return n == PCI_ROM_BAR ? CFG_ROM : CFG_BAR0 + 4 * n;
}

static struct bus *bar_bus(const struct pci_dev *pd, const struct pci_bar *bar)
{
    return bar->io ? pd->bus->env.pio : pd->bus->env.mem;
}

/* The address in a base address register. */
static uint64_t bar_base(const struct pci_dev *pd, unsigned n)
{
    const struct pci_bar *bar = &pd->bars[n];
    uint64_t value = le32_get(pd->config + bar_offset(n));
    if (bar->is64)
        value |= (uint64_t)le32_get(pd->config + bar_offset(n + 1)) << 32;
    return value & ~(bar->region->size_bytes - 1);
}

static bool bar_enabled(const struct pci_dev *pd, unsigned n, uint64_t base)
{
    const struct pci_bar *bar = &pd->bars[n];
    uint16_t command = le16_get(pd->config + CFG_COMMAND);
    if (n == PCI_ROM_BAR && !(pd->config[CFG_ROM] & ROM_ENABLE))
        return false;
    if (!(command & (bar->io ? COMMAND_IO : COMMAND_MEMORY)))
        return false;
    /* A register that is being sized holds all ones, one that was never set holds zero: neither
     * is an address (Linux and SeaBIOS leave decoding on while they look). */
    uint64_t last = base + (bar->region->size_bytes - 1);
    if (!base || last < base)
        return false;
    if (bar->io)
        return last < 0x10000;
    return bar->is64 ? last != UINT64_MAX : last < UINT32_MAX;
}

/* Map what is to be mapped, after any change of configuration space. */
static void pci_update_bars(struct pci_dev *pd)
{
    for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
        struct pci_bar *bar = &pd->bars[n];
        if (!bar->region)
            continue;
        uint64_t base = bar_base(pd, n);
        bool enabled = bar_enabled(pd, n, base);
        if (bar->mapped == enabled && (!enabled || bar->region->base == base))
            continue;
        struct bus *bus = bar_bus(pd, bar);
        bus_begin(bus);
        if (bar->mapped)
            bus_remove(bus, bar->region);
        bar->mapped = false;
        if (enabled) {
            bar->region->base = base;
            bar->mapped = bus_add(bus, bar->region) == 0;
        }
        bus_commit(bus);
    }
}

static void pci_update_intx(struct pci_dev *pd)
{
    bool off = le16_get(pd->config + CFG_COMMAND) & COMMAND_INTX_OFF;
    unsigned pin = pd->config[CFG_INT_PIN];
    if (!pin)
        return;
    if (pd->intx_level)
        pd->config[CFG_STATUS] |= STATUS_INTX;
    else
        pd->config[CFG_STATUS] &= ~STATUS_INTX;
    if (pd->bus->env.intx)
        pd->bus->env.intx(pd->bus->env.intx_ctx, pd->devfn, pin - 1, pd->intx_level && !off);
}

void pci_set_intx(struct pci_dev *pd, bool level)
{
    if (pd->intx_level == level)
        return;
    pd->intx_level = level;
    pci_update_intx(pd);
}

bool pci_bus_master(const struct pci_dev *pd)
{
    return pd->config[CFG_COMMAND] & COMMAND_MASTER;
}

bool pci_msi_enabled(const struct pci_dev *pd)
{
    return pd->msi_cap && pd->config[pd->msi_cap + 2] & MSI_ENABLE;
}

bool pci_msix_enabled(const struct pci_dev *pd)
{
    return pd->msix_cap && pd->config[pd->msix_cap + 3] & MSIX_ENABLE;
}

void pci_msi_notify(struct pci_dev *pd, unsigned n)
{
    /* One vector: n is for devices that number theirs. A message is a memory write, so it needs
     * bus mastering. */
    (void)n;
    if (!pci_msi_enabled(pd) || !pci_bus_master(pd))
        return;
    const uint8_t *cap = pd->config + pd->msi_cap;
    uint64_t addr = le32_get(cap + 4) | (uint64_t)le32_get(cap + 8) << 32;
    msi_send(&pd->bus->env.msi, pd->devfn, addr, le16_get(cap + 12));
}

static bool msix_masked(const struct pci_dev *pd, unsigned n)
{
    return pd->config[pd->msix_cap + 3] & MSIX_MASK_ALL || pd->msix[n].control & MSIX_VECTOR_MASKED;
}

void pci_msix_notify(struct pci_dev *pd, unsigned n)
{
    if (!pci_msix_enabled(pd) || n >= pd->msix_count)
        return;
    if (msix_masked(pd, n) || !pci_bus_master(pd))
        pd->msix_pending[n / 8] |= 1 << n % 8;
    else
        msi_send(&pd->bus->env.msi, pd->devfn, pd->msix[n].addr, pd->msix[n].data);
}

/* Send what became pending while masked. */
static void msix_flush(struct pci_dev *pd)
{
    if (!pci_msix_enabled(pd) || !pci_bus_master(pd))
        return;
    for (unsigned n = 0; n < pd->msix_count; n++) {
        if (!(pd->msix_pending[n / 8] >> n % 8 & 1) || msix_masked(pd, n))
            continue;
        pd->msix_pending[n / 8] &= ~(1 << n % 8);
        msi_send(&pd->bus->env.msi, pd->devfn, pd->msix[n].addr, pd->msix[n].data);
    }
}

/* The BAR of MSI-X: table in its lower half, pending bits in its upper. */
static uint64_t msix_pba(const struct pci_dev *pd)
{
    return pd->msix_region.size_bytes / 2;
}

static uint64_t msix_read(void *dev, uint64_t offset, unsigned size)
{
    struct pci_dev *pd = dev;
    (void)size;
    if (offset >= msix_pba(pd)) {
        uint64_t at = offset - msix_pba(pd);
        uint8_t bytes[4] = {0};
        for (unsigned i = 0; i < 4 && at + i < (pd->msix_count + 7) / 8; i++)
            bytes[i] = pd->msix_pending[at + i];
        return le32_get(bytes);
    }
    unsigned n = (unsigned)(offset / MSIX_ENTRY_BYTES);
    if (n >= pd->msix_count)
        return 0;
    const struct pci_msix_vector *v = &pd->msix[n];
    switch (offset & 12) {
    case 0:
        return (uint32_t)v->addr;
    case 4:
        return v->addr >> 32;
    case 8:
        return v->data;
    default:
        return v->control;
    }
}

static void msix_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_dev *pd = dev;
    unsigned n = (unsigned)(offset / MSIX_ENTRY_BYTES);
    (void)size;
    if (offset >= msix_pba(pd) || n >= pd->msix_count)
        return;
    struct pci_msix_vector *v = &pd->msix[n];
    switch (offset & 12) {
    case 0:
        v->addr = (v->addr & 0xffffffff00000000) | (value & 0xfffffffc);
        break;
    case 4:
        v->addr = (v->addr & 0xffffffff) | value << 32;
        break;
    case 8:
        v->data = (uint32_t)value;
        break;
    default:
        v->control = value & MSIX_VECTOR_MASKED;
        msix_flush(pd);
        break;
    }
}

static const struct io_ops msix_io = {.name = "msix",
                                      .min_size = 4,
                                      .max_size = 4,
                                      .merge_writes = true,
                                      .read = msix_read,
                                      .write = msix_write};

/*
 * 6.3.1.2: firmware runs a ROM only when its header names the device. One that serves several names
 * one of them: make that ours, and keep the image's sum (byte 6 is free for that in iPXE's ROMs).
 */
static void rom_identify(const struct pci_dev *pd, uint8_t *rom, uint64_t len_bytes)
{
    uint64_t at = len_bytes >= ROM_BYTES_MIN ? le16_get(rom + 0x18) : len_bytes;

    if (at + 8 > len_bytes || memcmp(rom + at, "PCIR", 4))
        return;
    for (unsigned i = 0; i < 4; i++) {
        rom[6] = (uint8_t)(rom[6] + rom[at + 4 + i] - pd->config[i]);
        rom[at + 4 + i] = pd->config[i];
    }
}

int pci_add_rom(struct pci_dev *pd, struct region *region, const void *data, uint64_t len_bytes)
{
    struct ram *ram = bus_ram(pd->bus->env.mem);
    uint64_t size = ROM_BYTES_MIN, offset;
    int r;

    if (!len_bytes || len_bytes > ROM_BYTES_MAX)
        return -EINVAL;
    while (size < len_bytes)
        size *= 2;
    r = ram_alloc(ram, size, &offset);
    if (r < 0)
        return r;
    memcpy(ram->host + offset, data, len_bytes);
    rom_identify(pd, ram->host + offset, len_bytes);
    *region = (struct region){.name = pd->name,
                              .size_bytes = size,
                              .priority = 1,
                              .kind = REGION_ROM,
                              .ram_offset = offset};
    pci_add_bar(pd, PCI_ROM_BAR, region, false, false, false);
    return 0;
}

unsigned pci_add_cap(struct pci_dev *pd, uint8_t id, unsigned len)
{
    unsigned at = pd->cap_end;
    pd->cap_end = (uint8_t)align_up(at + len, 4);
    pd->config[at] = id;
    pd->config[at + 1] = pd->config[CFG_CAP_POINTER];
    pd->config[CFG_CAP_POINTER] = (uint8_t)at;
    pd->config[CFG_STATUS] |= STATUS_CAPS;
    return at;
}

void pci_add_msi(struct pci_dev *pd)
{
    pd->msi_cap = (uint8_t)pci_add_cap(pd, CAP_MSI, MSI_BYTES);
    uint8_t *mask = pd->wmask + pd->msi_cap;
    pd->config[pd->msi_cap + 2] = MSI_64;
    mask[2] = MSI_ENABLE;
    le32_put(mask + 4, 0xfffffffc);
    le32_put(mask + 8, 0xffffffff);
    le16_put(mask + 12, 0xffff);
}

int pci_add_msix(struct pci_dev *pd, unsigned n, unsigned count)
{
    if (!count || count > MSIX_MAX)
        return -EINVAL;
    pd->msix = calloc(count, sizeof(*pd->msix));
    pd->msix_pending = calloc((count + 7) / 8, 1);
    if (!pd->msix || !pd->msix_pending)
        return -ENOMEM; /* pci_dev_done() frees the one that was there */
    pd->msix_count = count;
    uint64_t half = 2048;
    while (half < (uint64_t)count * MSIX_ENTRY_BYTES)
        half *= 2;
    pd->msix_region = (struct region){.name = pd->name,
                                      .size_bytes = 2 * half,
                                      .priority = 1,
                                      .kind = REGION_IO,
                                      .ops = &msix_io,
                                      .dev = pd};
    pci_add_bar(pd, n, &pd->msix_region, false, false, false);
    pd->msix_cap = (uint8_t)pci_add_cap(pd, CAP_MSIX, MSIX_BYTES);
    uint8_t *cap = pd->config + pd->msix_cap;
    le16_put(cap + 2, (uint16_t)(count - 1));
    le32_put(cap + 4, n);
    le32_put(cap + 8, (uint32_t)half | n);
    pd->wmask[pd->msix_cap + 3] = MSIX_ENABLE | MSIX_MASK_ALL;
    for (unsigned i = 0; i < count; i++)
        pd->msix[i].control = MSIX_VECTOR_MASKED;
    return 0;
}

void pci_add_bar(struct pci_dev *pd, unsigned n, struct region *region, bool io, bool is64,
                 bool prefetchable)
{
    pd->bars[n] =
        (struct pci_bar){.region = region, .io = io, .is64 = is64, .prefetchable = prefetchable};
    uint64_t mask = ~(region->size_bytes - 1);
    uint32_t type = io ? 1 : (is64 ? 4 : 0) | (prefetchable ? 8 : 0);
    if (n == PCI_ROM_BAR) {
        le32_put(pd->wmask + CFG_ROM, (uint32_t)mask | ROM_ENABLE);
        return;
    }
    le32_put(pd->config + bar_offset(n), type);
    le32_put(pd->wmask + bar_offset(n), (uint32_t)mask);
    if (is64)
        le32_put(pd->wmask + bar_offset(n + 1), (uint32_t)(mask >> 32));
}

int pci_dev_init(struct pci_dev *pd, struct pci_bus *bus, uint8_t devfn, const char *name,
                 const struct pci_ids *ids, unsigned pin)
{
    if (bus->devs[devfn])
        return -EBUSY;
    pd->name = name;
    pd->bus = bus;
    pd->devfn = devfn;
    pd->dma = (struct dma){.bus = bus->env.mem, .map = bus->env.iommu, .requester = devfn};
    pd->cap_end = CAPS_START;
    le16_put(pd->config + CFG_VENDOR, ids->vendor);
    le16_put(pd->config + CFG_VENDOR + 2, ids->device);
    pd->config[CFG_REVISION] = ids->revision;
    pd->config[CFG_CLASS] = (uint8_t)ids->class_code;
    le16_put(pd->config + CFG_CLASS + 1, (uint16_t)(ids->class_code >> 8));
    le16_put(pd->config + CFG_SUBSYS, ids->subsys_vendor);
    le16_put(pd->config + CFG_SUBSYS + 2, ids->subsys);
    pd->config[CFG_INT_PIN] = (uint8_t)pin;
    le16_put(pd->wmask + CFG_COMMAND, COMMAND_WRITABLE);
    le16_put(pd->w1cmask + CFG_STATUS, STATUS_W1C);
    pd->wmask[CFG_CACHE_LINE] = pd->wmask[CFG_LATENCY] = pd->wmask[CFG_INT_LINE] = 0xff;
    bus->devs[devfn] = pd;
    return 0;
}

static void pci_unmap(struct pci_dev *pd)
{
    for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
        struct pci_bar *bar = &pd->bars[n];
        if (bar->region && bar->mapped)
            bus_remove(bar_bus(pd, bar), bar->region);
        bar->mapped = false;
    }
}

void pci_dev_done(struct pci_dev *pd)
{
    if (pd->bus && pd->bus->devs[pd->devfn] == pd) {
        pci_unmap(pd);
        pd->bus->devs[pd->devfn] = NULL;
    }
    free(pd->msix);
    free(pd->msix_pending);
    pd->msix = NULL;
    pd->msix_pending = NULL;
    pd->msix_count = 0;
}

static struct pci_dev *pci_find(struct pci_bus *bus, uint8_t busno, uint8_t devfn)
{
    return busno ? NULL : bus->devs[devfn];
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t busno, uint8_t devfn, unsigned offset,
                         unsigned size)
{
    struct pci_dev *pd = pci_find(bus, busno, devfn);
    uint32_t value = 0;
    if (!pd || offset + size > PCI_CONFIG_BYTES || size > 4)
        return (uint32_t)bytes_mask(UINT64_MAX, size);
    if (pd->config_read && pd->config_read(pd->dev, offset, size, &value))
        return (uint32_t)bytes_mask(value, size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)pd->config[offset + i] << 8 * i;
    return value;
}

static bool overlaps(unsigned offset, unsigned size, unsigned at, unsigned len)
{
    return offset < at + len && at < offset + size;
}

void pci_config_write(struct pci_bus *bus, uint8_t busno, uint8_t devfn, unsigned offset,
                      unsigned size, uint32_t value)
{
    struct pci_dev *pd = pci_find(bus, busno, devfn);
    if (!pd || offset + size > PCI_CONFIG_BYTES || size > 4)
        return;
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> 8 * i);
        pd->config[at] = (pd->config[at] & ~pd->wmask[at]) | (byte & pd->wmask[at]);
        pd->config[at] &= ~(byte & pd->w1cmask[at]);
    }
    if (overlaps(offset, size, CFG_COMMAND, 2) || overlaps(offset, size, CFG_BAR0, 4 * PCI_BARS) ||
        overlaps(offset, size, CFG_ROM, 4))
        pci_update_bars(pd);
    if (overlaps(offset, size, CFG_COMMAND, 2)) {
        pci_update_intx(pd);
        msix_flush(pd);
    }
    if (pd->msix_cap && overlaps(offset, size, pd->msix_cap + 3u, 1))
        msix_flush(pd);
    if (pd->config_written)
        pd->config_written(pd->dev, offset, size);
}

void pci_dev_reset(struct pci_dev *pd)
{
    pci_unmap(pd);
    /* Registers of the header that the guest writes go back to zero; device-specific ones are the
     * device's own business. */
    le16_put(pd->config + CFG_COMMAND, 0);
    pd->config[CFG_STATUS + 1] &= 0x06; /* DEVSEL timing stays */
    pd->config[CFG_CACHE_LINE] = pd->config[CFG_LATENCY] = pd->config[CFG_INT_LINE] = 0;
    for (unsigned at = CFG_BAR0; at < CFG_BAR0 + 4 * PCI_BARS; at++)
        pd->config[at] &= ~pd->wmask[at];
    for (unsigned at = CFG_ROM; at < CFG_ROM + 4; at++)
        pd->config[at] &= ~pd->wmask[at];
    if (pd->msi_cap)
        for (unsigned at = pd->msi_cap; at < pd->msi_cap + (unsigned)MSI_BYTES; at++)
            pd->config[at] &= ~pd->wmask[at];
    if (pd->msix_cap)
        pd->config[pd->msix_cap + 3] &= ~pd->wmask[pd->msix_cap + 3];
    for (unsigned n = 0; n < pd->msix_count; n++)
        pd->msix[n] = (struct pci_msix_vector){.control = MSIX_VECTOR_MASKED};
    if (pd->msix_count)
        memset(pd->msix_pending, 0, (pd->msix_count + 7) / 8);
    pd->intx_level = false;
    pci_update_intx(pd);
}

void pci_dev_state(struct pci_dev *pd, struct state *s)
{
    uint8_t config[PCI_CONFIG_BYTES];
    memcpy(config, pd->config, sizeof(config));
    state_bytes(s, "pci.config", config, sizeof(config));
    state_bool(s, "pci.intx_level", &pd->intx_level);
    for (unsigned n = 0; n < pd->msix_count; n++) {
        char name[32];
        uint8_t entry[MSIX_ENTRY_BYTES];
        snprintf(name, sizeof(name), "pci.msix.%u", n);
        le64_put(entry, pd->msix[n].addr);
        le32_put(entry + 8, pd->msix[n].data);
        le32_put(entry + 12, pd->msix[n].control);
        state_bytes(s, name, entry, sizeof(entry));
        if (state_loading(s) && !state_error(s))
            pd->msix[n] = (struct pci_msix_vector){.addr = le64_get(entry) & ~3ull,
                                                   .data = le32_get(entry + 8),
                                                   .control = entry[12] & MSIX_VECTOR_MASKED};
    }
    if (pd->msix_count)
        state_bytes(s, "pci.msix_pending", pd->msix_pending, (pd->msix_count + 7) / 8);
    if (!state_loading(s) || state_error(s))
        return;
    /* Identity, types of BARs and capabilities are those of this device, whatever the file says:
     * only what somebody can write is taken from it. Bytes past the capabilities may be registers
     * that the device itself changes. */
    for (unsigned at = 0; at < PCI_CONFIG_BYTES; at++) {
        uint8_t mask = pd->wmask[at] | pd->w1cmask[at];
        if (at == CFG_STATUS)
            mask |= STATUS_INTX;
        if (at >= pd->cap_end)
            mask = 0xff;
        pd->config[at] = (pd->config[at] & ~mask) | (config[at] & mask);
    }
    pci_update_bars(pd);
    pci_update_intx(pd);
}
