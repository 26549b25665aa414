/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82441FX PCI and memory controller (PMC) of the 440FX chipset: configuration mechanism 1,
 * programmable attribute map, SMRAM control. Intel 440FX datasheet (290549-001), 3.1 and 3.2.
 * The reset control register at 0xcf9, which lies among the ports of the configuration mechanism,
 * is the PIIX3's (290550-002, 2.5.8.4).
 *
 * Left out: DRAM timing and row boundaries (stored, without effect), the DRAM hole, and system
 * management mode (SMRAM can be opened, but nothing ever enters SMM).
 */
#include "hw/chipset/i440fx.h"

#include <errno.h>

#include "base/bytes.h"

enum {
    CFG_PAM0 = 0x59,
    CFG_SMRAM = 0x72,
    PAM_READ = 1,
    PAM_WRITE = 2,
    SMRAM_BASE = 0x02, /* C_BASE_SEG, hard-wired: 0xa0000 */
    SMRAM_G_ENABLE = 0x08,
    SMRAM_LOCK = 0x10,
    SMRAM_CLOSED = 0x20,
    SMRAM_OPEN = 0x40,
    RCR_CPU = 0x04,
    RCR_HARD = 0x02,
    CONFADD_WRITABLE = 0x00ffffff,
    CONFADD_BYTE = 3, /* reserved */
};

#define CONFADD_ENABLE 0x80000000u
#define SEGMENTS 13
#define HOLE_BASE 0xa0000u
#define HOLE_BYTES 0x20000u
#define MIB1 0x100000u

/* A piece of the attribute map: 0xf0000 (64 KiB), then 16 KiB each from 0xc0000. */
struct segment {
    struct i440fx *bridge;
    uint32_t gpa;
    uint8_t attr;
    struct region region;
};

struct i440fx {
    struct i440fx_env env;
    struct pci_dev pd;
    uint32_t confadd;
    uint8_t rcr;
    struct segment segments[SEGMENTS];
    struct region hole;  /* where video memory goes when there is none */
    struct region smram; /* DRAM behind it */
};

/* A write that the attribute map sends to DRAM while reads go to PCI. */
static void segment_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct segment *seg = dev;
    struct ram *ram = bus_ram(seg->bridge->env.mem);
    uint64_t at = seg->bridge->env.ram_offset + seg->gpa + offset;
    uint8_t bytes[8];
    if (!(seg->attr & PAM_WRITE) || offset + size > seg->region.size_bytes)
        return;
    le64_put(bytes, value);
    memcpy(ram->host + at, bytes, size);
    ram_wrote(ram, at, size);
}

static uint64_t floating_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)offset;
    return bytes_mask(UINT64_MAX, size);
}

static const struct io_ops segment_io = {
    .name = "pam", .min_size = 1, .max_size = 8, .read = floating_read, .write = segment_write};
static const struct io_ops hole_io = {
    .name = "hole", .min_size = 1, .max_size = 8, .read = floating_read};

/* How a segment looks by its attributes. */
static void segment_set(struct segment *seg, uint8_t attr)
{
    const struct i440fx_env *env = &seg->bridge->env;
    struct region *r = &seg->region;
    bool has_bios = seg->gpa >= MIB1 - env->bios_bytes;
    bus_remove(env->mem, r);
    seg->attr = attr;
    if (attr & PAM_READ) {
        r->kind = attr & PAM_WRITE ? REGION_RAM : REGION_ROM;
        r->ram_offset = env->ram_offset + seg->gpa;
        r->ops = NULL;
    } else {
        r->kind = has_bios ? REGION_ROM : REGION_IO;
        r->ram_offset = env->bios_offset + seg->gpa - (MIB1 - env->bios_bytes);
        r->ops = &segment_io;
    }
    bus_add(env->mem, r);
}

/* Attributes of segment n: high nibble of PAM0, then low and high nibbles of PAM1 to PAM6. */
static uint8_t pam_attr(const struct i440fx *bridge, unsigned n)
{
    uint8_t pam = bridge->pd.config[CFG_PAM0 + (n + 1) / 2];
    return (n & 1 ? pam : pam >> 4) & (PAM_READ | PAM_WRITE);
}

static void bridge_update(struct i440fx *bridge)
{
    const struct i440fx_env *env = &bridge->env;
    uint8_t smram = bridge->pd.config[CFG_SMRAM];
    bool open = smram & SMRAM_OPEN && smram & SMRAM_G_ENABLE && !(smram & SMRAM_CLOSED);
    bus_begin(env->mem);
    for (unsigned n = 0; n < SEGMENTS; n++)
        if (pam_attr(bridge, n) != bridge->segments[n].attr)
            segment_set(&bridge->segments[n], pam_attr(bridge, n));
    if (open && !bridge->smram.mapped)
        bus_add(env->mem, &bridge->smram);
    else if (!open)
        bus_remove(env->mem, &bridge->smram);
    bus_commit(env->mem);
}

static void bridge_config_written(void *dev, unsigned offset, unsigned size)
{
    struct i440fx *bridge = dev;
    uint8_t *smram = &bridge->pd.config[CFG_SMRAM];
    if (offset <= CFG_SMRAM && CFG_SMRAM < offset + size) {
        if (*smram & SMRAM_LOCK) { /* until reset */
            *smram &= ~SMRAM_OPEN;
            bridge->pd.wmask[CFG_SMRAM] = SMRAM_CLOSED;
        }
        bridge_update(bridge);
    } else if (offset < CFG_PAM0 + 7 && CFG_PAM0 < offset + size) {
        bridge_update(bridge);
    }
}

/*
 * The register that an access at CONFDATA + offset means. Software that puts the byte into the
 * address and then reads at CONFDATA, as the public kvm-unit-tests do, works on other hosts' bridges;
 * what the chip would give it, the doubleword's first bytes, nobody has a use for.
 */
static unsigned confdata_register(const struct i440fx *bridge, uint64_t offset, unsigned size)
{
    unsigned byte = (bridge->confadd | (unsigned)offset) & CONFADD_BYTE;

    if (byte + size > 4)
        byte = offset & CONFADD_BYTE;
    return (bridge->confadd & 0xfc) | byte;
}

static uint64_t config_read(void *dev, uint64_t offset, unsigned size)
{
    struct i440fx *bridge = dev;
    if (offset < 4) {
        if (size == 4)
            return bridge->confadd & ~(uint32_t)CONFADD_BYTE;
        return offset == 1 && size == 1 ? bridge->rcr : bytes_mask(UINT64_MAX, size);
    }
    unsigned reg = confdata_register(bridge, offset, size);
    if (!(bridge->confadd & CONFADD_ENABLE) || (offset & 3) + size > 4)
        return bytes_mask(UINT64_MAX, size);
    return pci_config_read(bridge->env.pci, bridge->confadd >> 16 & 0xff,
                           bridge->confadd >> 8 & 0xff, reg, size);
}

static void config_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct i440fx *bridge = dev;
    if (offset < 4) {
        if (size == 4) {
            bridge->confadd = (uint32_t)value & (CONFADD_ENABLE | CONFADD_WRITABLE);
        } else if (offset == 1 && size == 1) {
            bool rise = value & RCR_CPU && !(bridge->rcr & RCR_CPU);
            bridge->rcr = value & (RCR_CPU | RCR_HARD);
            if (rise && bridge->env.reset)
                bridge->env.reset(bridge->env.reset_ctx);
        }
        return;
    }
    unsigned reg = confdata_register(bridge, offset, size);
    if (bridge->confadd & CONFADD_ENABLE && (offset & 3) + size <= 4)
        pci_config_write(bridge->env.pci, bridge->confadd >> 16 & 0xff, bridge->confadd >> 8 & 0xff,
                         reg, size, (uint32_t)value);
}

static void bridge_reset(void *dev)
{
    struct i440fx *bridge = dev;
    pci_dev_reset(&bridge->pd);
    bridge->confadd = 0;
    bridge->rcr = 0;
    for (unsigned at = 0x40; at < PCI_CONFIG_BYTES; at++)
        bridge->pd.config[at] = 0;
    /* Bus mastering and memory are hard-wired on. */
    bridge->pd.config[4] = 0x06;
    bridge->pd.config[0x51] = 0x01; /* PMCCFG */
    bridge->pd.config[0x58] = 0x10; /* DRAMT */
    for (unsigned at = 0x60; at < 0x68; at++)
        bridge->pd.config[at] = 0x01; /* DRB */
    bridge->pd.config[CFG_SMRAM] = SMRAM_BASE;
    bridge->pd.wmask[CFG_SMRAM] = SMRAM_G_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN;
    bridge_update(bridge);
}

static int bridge_state(void *dev, struct state *s)
{
    struct i440fx *bridge = dev;
    pci_dev_state(&bridge->pd, s);
    state_u32(s, "confadd", &bridge->confadd);
    state_u8(s, "rcr", &bridge->rcr);
    if (state_loading(s) && !state_error(s)) {
        bridge->confadd &= CONFADD_ENABLE | CONFADD_WRITABLE;
        bridge->pd.config[CFG_SMRAM] |= SMRAM_BASE;
        bridge->pd.wmask[CFG_SMRAM] = SMRAM_CLOSED;
        if (!(bridge->pd.config[CFG_SMRAM] & SMRAM_LOCK))
            bridge->pd.wmask[CFG_SMRAM] |= SMRAM_G_ENABLE | SMRAM_LOCK | SMRAM_OPEN;
        bridge_update(bridge);
    }
    return state_error(s);
}

static void bridge_free(void *dev)
{
    struct i440fx *bridge = dev;
    struct bus *mem = bridge->env.mem;
    bus_begin(mem);
    for (unsigned n = 0; n < SEGMENTS; n++)
        bus_remove(mem, &bridge->segments[n].region);
    bus_remove(mem, &bridge->hole);
    bus_remove(mem, &bridge->smram);
    bus_commit(mem);
    pci_dev_done(&bridge->pd);
    free(bridge);
}

const struct dev_ops i440fx_dev_ops = {.name = "i440fx",
                                       .version = 1,
                                       .reset = bridge_reset,
                                       .state = bridge_state,
                                       .free = bridge_free};

const struct io_ops i440fx_config_io = {
    .name = "pci-config", .min_size = 1, .max_size = 4, .read = config_read, .write = config_write};

static int bridge_map(struct i440fx *bridge)
{
    struct bus *mem = bridge->env.mem;
    for (unsigned n = 0; n < SEGMENTS; n++) {
        struct segment *seg = &bridge->segments[n];
        seg->bridge = bridge;
        seg->gpa = n ? 0xc0000 + (n - 1) * 0x4000 : 0xf0000;
        seg->region = (struct region){.name = "pam",
                                      .base = seg->gpa,
                                      .priority = 1,
                                      .dev = seg,
                                      .size_bytes = n ? 0x4000 : 0x10000};
        segment_set(seg, 0);
        if (!seg->region.mapped)
            return -ENOMEM;
    }
    bridge->hole = (struct region){.name = "video-hole",
                                   .base = HOLE_BASE,
                                   .priority = 1,
                                   .size_bytes = HOLE_BYTES,
                                   .kind = REGION_IO,
                                   .ops = &hole_io};
    bridge->smram = (struct region){.name = "smram",
                                    .base = HOLE_BASE,
                                    .priority = 3,
                                    .size_bytes = HOLE_BYTES,
                                    .kind = REGION_RAM,
                                    .ram_offset = bridge->env.ram_offset + HOLE_BASE};
    return bus_add(mem, &bridge->hole);
}

int i440fx_new(const struct i440fx_env *env, struct i440fx **ret_bridge)
{
    static const struct pci_ids ids = {.vendor = 0x8086,
                                       .device = 0x1237,
                                       .revision = 2,
                                       .class_code = 0x060000,
                                       .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100};
    if (env->bios_bytes > 0x20000 || env->bios_bytes % 0x4000)
        return -EINVAL;
    struct i440fx *bridge = calloc(1, sizeof(*bridge));
    if (!bridge)
        return -ENOMEM;
    bridge->env = *env;
    bridge->pd.dev = bridge;
    bridge->pd.config_written = bridge_config_written;
    int r = pci_dev_init(&bridge->pd, env->pci, PCI_DEVFN(0, 0), "i440fx", &ids, 0);
    if (r < 0) {
        free(bridge);
        return r;
    }
    le16_put(bridge->pd.wmask + 4, 0x0140); /* command: SERR#, parity response */
    for (unsigned at = 0x50; at < PCI_CONFIG_BYTES; at++)
        bridge->pd.wmask[at] = 0xff;
    bus_begin(env->mem);
    r = bridge_map(bridge);
    bus_commit(env->mem);
    if (r < 0) {
        bridge_free(bridge);
        return r;
    }
    bridge_reset(bridge);
    *ret_bridge = bridge;
    return 0;
}
