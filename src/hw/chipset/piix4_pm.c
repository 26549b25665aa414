/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371AB (PIIX4), function 3: power management and system management bus.
 * Intel 82371AB datasheet (290562-001), chapter 7; ACPI specification 1.0b, 4.7.
 *
 * Left out: system management interrupts (DEVACTB has APM events enabled from the start, which
 * tells firmware that SMM is taken care of), device monitors and general purpose outputs (stored,
 * without effect), sleep states other than soft-off (asking for one wakes up at once). The SMBus
 * has no device on it: every transaction ends with no acknowledgement.
 */
#include "hw/chipset/piix4_pm.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

enum {
    CFG_PMBA = 0x40,
    CFG_DEVACTB = 0x58,
    CFG_PMREGMISC = 0x80,
    CFG_SMBBA = 0x90,
    CFG_SMBHSTCFG = 0xd2,
    CFG_SMBREV = 0xd6,
    DEVACTB_APMC_EN = 0x02, /* of its byte 3 */
    SMB_IRQ9 = 0x08,
    SMB_INTERRUPT = 0x0e,
    SMB_ENABLE = 0x01,
};

enum {
    PM_STATUS = 0x00,
    PM_ENABLE = 0x02,
    PM_CONTROL = 0x04,
    PM_TIMER = 0x08,
    PM_GP_STATUS = 0x0c,
    PM_GP_ENABLE = 0x0e,
    PM_GLOBAL_STATUS = 0x18,
    PM_DEVICE_STATUS = 0x1c,
    STS_TIMER = 0x0001,
    STS_GLOBAL = 0x0020,
    STS_POWER_BUTTON = 0x0100,
    STS_RTC = 0x0400,
    STS_WAKE = 0x8000,
    STS_ALL = STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_RTC | STS_WAKE,
    ENABLE_ALL = STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_RTC,
    CONTROL_SCI = 0x0001,
    CONTROL_WRITABLE = 0x1c03,
    CONTROL_SLEEP = 0x2000,
};

enum {
    SMB_STATUS = 0x00,
    SMB_SLAVE_STATUS = 0x01,
    SMB_CONTROL = 0x02,
    SMB_BLOCK = 0x07,
    SMB_STATUS_ERROR = 0x04,
    SMB_STATUS_W1C = 0x1e,
    SMB_CONTROL_INTERRUPT = 0x01,
    SMB_CONTROL_START = 0x40,
    SMB_BLOCK_BYTES = 32,
};

#define TIMER_MASK 0xffffffu
#define TIMER_HALF 0x800000u /* the top bit toggles, and TMROF_STS is set, every so many ticks */

struct piix4_pm {
    struct piix4_pm_env env;
    struct pci_dev pd;
    struct region pm_region, smb_region;
    uint16_t status, enable, control;
    uint16_t gp_status, gp_enable;
    uint8_t other[PIIX4_PM_BYTES]; /* registers without effect */
    uint8_t smb[PIIX4_SMB_BYTES];
    uint8_t smb_block[SMB_BLOCK_BYTES], smb_block_at;
    uint8_t apm[2];
    uint64_t seen_halves; /* half periods of the timer accounted for in `status` */
    struct timer timer;
};

static uint64_t pm_ticks(const struct piix4_pm *pm)
{
    return clock_scale(clock_now_ns(pm->env.clock), PIIX4_PM_TIMER_HZ, NS_PER_SEC);
}

/* Set TMROF_STS if the top bit of the timer has toggled since the last look. */
static void pm_sync(struct piix4_pm *pm)
{
    uint64_t halves = pm_ticks(pm) / TIMER_HALF;
    if (halves != pm->seen_halves)
        pm->status |= STS_TIMER;
    pm->seen_halves = halves;
}

static bool smb_interrupts(const struct piix4_pm *pm)
{
    return pm->smb[SMB_STATUS] & SMB_STATUS_W1C && pm->smb[SMB_CONTROL] & SMB_CONTROL_INTERRUPT &&
           (pm->pd.config[CFG_SMBHSTCFG] & SMB_INTERRUPT) == SMB_IRQ9;
}

static void pm_update(struct piix4_pm *pm)
{
    pm_sync(pm);
    bool sci = pm->control & CONTROL_SCI &&
               (pm->status & pm->enable & ENABLE_ALL || pm->gp_status & pm->gp_enable);
    line_set(&pm->env.sci, sci || smb_interrupts(pm));
    /* The timer is needed only while an enabled overflow has not happened. */
    if (pm->control & CONTROL_SCI && pm->enable & ~pm->status & STS_TIMER) {
        uint64_t tick = (pm->seen_halves + 1) * TIMER_HALF;
        timer_set(&pm->timer, clock_scale(tick, NS_PER_SEC, PIIX4_PM_TIMER_HZ) + 1);
    } else {
        timer_cancel(&pm->timer);
    }
}

static void pm_overflow(void *ctx)
{
    pm_update(ctx);
}

void piix4_pm_power_button(struct piix4_pm *pm)
{
    pm->status |= STS_POWER_BUTTON;
    pm_update(pm);
}

void piix4_pm_gpe(struct piix4_pm *pm, unsigned n)
{
    pm->gp_status |= 1 << (n & 15);
    pm_update(pm);
}

static void pm_write_control(struct piix4_pm *pm, uint16_t value)
{
    pm->control = value & CONTROL_WRITABLE;
    if (!(value & CONTROL_SLEEP))
        return;
    if ((value >> 10 & 7) != PIIX4_SLEEP_S5)
        pm->status |= STS_WAKE;
    else if (pm->env.soft_off)
        pm->env.soft_off(pm->env.ctx);
}

static uint8_t pm_read_byte(struct piix4_pm *pm, unsigned at)
{
    const struct {
        unsigned at;
        uint16_t value;
    } words[] = {{PM_STATUS, pm->status},
                 {PM_ENABLE, pm->enable},
                 {PM_CONTROL, pm->control},
                 {PM_GP_STATUS, pm->gp_status},
                 {PM_GP_ENABLE, pm->gp_enable}};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if ((at & ~1u) == words[i].at)
            return (uint8_t)(words[i].value >> 8 * (at & 1));
    return pm->other[at];
}

static uint64_t pm_read(void *dev, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = dev;
    unsigned at = offset & (PIIX4_PM_BYTES - 1);
    uint64_t value = 0;
    pm_sync(pm);
    if (at >= PM_TIMER && at < PM_TIMER + 4)
        return (pm_ticks(pm) & TIMER_MASK) >> 8 * (at - PM_TIMER);
    for (unsigned i = 0; i < size && at + i < PIIX4_PM_BYTES; i++)
        value |= (uint64_t)pm_read_byte(pm, at + i) << 8 * i;
    return value;
}

static void pm_write_byte(struct piix4_pm *pm, unsigned at, uint8_t byte)
{
    unsigned shift = 8 * (at & 1);
    uint16_t bits = (uint16_t)(byte << shift), keep = (uint16_t)(0xff00 >> shift);
    switch (at & ~1u) {
    case PM_STATUS:
        pm->status &= ~(bits & STS_ALL);
        break;
    case PM_ENABLE:
        pm->enable = ((pm->enable & keep) | bits) & ENABLE_ALL;
        break;
    case PM_CONTROL:
        pm_write_control(pm, (pm->control & keep) | bits);
        break;
    case PM_TIMER:
    case PM_TIMER + 2:
        break;
    case PM_GP_STATUS:
        pm->gp_status &= ~bits;
        break;
    case PM_GP_ENABLE:
        pm->gp_enable = (pm->gp_enable & keep) | bits;
        break;
    case PM_GLOBAL_STATUS ... PM_GLOBAL_STATUS + 2:
    case PM_DEVICE_STATUS ... PM_DEVICE_STATUS + 2:
        pm->other[at] &= ~byte;
        break;
    default:
        pm->other[at] = byte;
        break;
    }
}

static void pm_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    unsigned at = offset & (PIIX4_PM_BYTES - 1);
    pm_sync(pm);
    /* A word write of the control register is one event: sleep type and enable together. */
    if (at == PM_CONTROL && size >= 2) {
        pm_write_control(pm, (uint16_t)value);
    } else {
        for (unsigned i = 0; i < size && at + i < PIIX4_PM_BYTES; i++)
            pm_write_byte(pm, at + i, (uint8_t)(value >> 8 * i));
    }
    pm_update(pm);
}

static uint64_t smb_read(void *dev, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = dev;
    unsigned at = offset & (PIIX4_SMB_BYTES - 1);
    (void)size;
    if (at == SMB_CONTROL)
        pm->smb_block_at = 0; /* a read sets the block pointer back */
    if (at != SMB_BLOCK)
        return pm->smb[at];
    uint8_t byte = pm->smb_block[pm->smb_block_at];
    pm->smb_block_at = (pm->smb_block_at + 1) % SMB_BLOCK_BYTES;
    return byte;
}

static void smb_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    unsigned at = offset & (PIIX4_SMB_BYTES - 1);
    uint8_t byte = (uint8_t)value;
    (void)size;
    switch (at) {
    case SMB_STATUS:
        pm->smb[at] &= ~(byte & SMB_STATUS_W1C);
        break;
    case SMB_SLAVE_STATUS:
        pm->smb[at] &= ~byte;
        break;
    case SMB_CONTROL:
        pm->smb[at] = byte & ~SMB_CONTROL_START;
        if (byte & SMB_CONTROL_START) /* nobody is there to acknowledge */
            pm->smb[SMB_STATUS] |= SMB_STATUS_ERROR;
        break;
    case SMB_BLOCK:
        pm->smb_block[pm->smb_block_at] = byte;
        pm->smb_block_at = (pm->smb_block_at + 1) % SMB_BLOCK_BYTES;
        break;
    default:
        pm->smb[at] = byte;
        break;
    }
    pm_update(pm);
}

static uint64_t apm_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct piix4_pm *)dev)->apm[offset & 1];
}

static void apm_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = dev;
    (void)size;
    pm->apm[offset & 1] = (uint8_t)value;
    if (offset & 1)
        return;
    /* What the SMI handler of a BIOS would do. */
    if (value == PIIX4_ACPI_ENABLE)
        pm->control |= CONTROL_SCI;
    else if (value == PIIX4_ACPI_DISABLE)
        pm->control &= ~CONTROL_SCI;
    pm_update(pm);
}

static const struct io_ops pm_io = {
    .name = "piix4-pm", .min_size = 1, .max_size = 4, .read = pm_read, .write = pm_write};
static const struct io_ops smb_io = {
    .name = "piix4-smb", .min_size = 1, .max_size = 1, .read = smb_read, .write = smb_write};
const struct io_ops piix4_apm_io = {
    .name = "apm", .min_size = 1, .max_size = 1, .read = apm_read, .write = apm_write};

static void block_map(struct piix4_pm *pm, struct region *region, unsigned cfg, bool enabled)
{
    uint64_t base = le16_get(pm->pd.config + cfg) & ~(region->size_bytes - 1);
    struct bus *pio = pci_bus_pio(pm->env.pci);
    if (region->mapped && region->base == base && enabled)
        return;
    bus_remove(pio, region);
    region->base = base;
    if (enabled && base)
        bus_add(pio, region);
}

/* Unlike BARs the blocks have enable bits of their own. */
static void pm_update_maps(struct piix4_pm *pm)
{
    block_map(pm, &pm->pm_region, CFG_PMBA, pm->pd.config[CFG_PMREGMISC] & 1);
    block_map(pm, &pm->smb_region, CFG_SMBBA, pm->pd.config[CFG_SMBHSTCFG] & SMB_ENABLE);
}

uint16_t piix4_pm_base(const struct piix4_pm *pm)
{
    return pm->pm_region.mapped ? (uint16_t)pm->pm_region.base : 0;
}

static void pm_config_written(void *dev, unsigned offset, unsigned size)
{
    struct piix4_pm *pm = dev;
    (void)offset;
    (void)size;
    pm_update_maps(pm);
    pm_update(pm);
}

static void pm_reset(void *dev)
{
    struct piix4_pm *pm = dev;
    uint8_t *config = pm->pd.config;
    pci_dev_reset(&pm->pd);
    for (unsigned at = 0x40; at < PCI_CONFIG_BYTES; at++)
        config[at] = 0;
    config[CFG_PMBA] = config[CFG_SMBBA] = 1;
    config[CFG_DEVACTB + 3] = DEVACTB_APMC_EN;
    config[0x3c] = 9;
    pm_update_maps(pm);
    pm->status = pm->enable = pm->control = pm->gp_status = pm->gp_enable = 0;
    memset(pm->other, 0, sizeof(pm->other));
    memset(pm->smb, 0, sizeof(pm->smb));
    memset(pm->smb_block, 0, sizeof(pm->smb_block));
    pm->smb_block_at = 0;
    pm->apm[0] = pm->apm[1] = 0;
    pm->seen_halves = pm_ticks(pm) / TIMER_HALF;
    pm_update(pm);
}

static int pm_state(void *dev, struct state *s)
{
    struct piix4_pm *pm = dev;
    if (!state_loading(s))
        pm_sync(pm); /* an overflow nobody has looked at yet belongs to what is saved */
    pci_dev_state(&pm->pd, s);
    state_u16(s, "status", &pm->status);
    state_u16(s, "enable", &pm->enable);
    state_u16(s, "control", &pm->control);
    state_u16(s, "gp_status", &pm->gp_status);
    state_u16(s, "gp_enable", &pm->gp_enable);
    state_bytes(s, "other", pm->other, sizeof(pm->other));
    state_bytes(s, "smb", pm->smb, sizeof(pm->smb));
    state_bytes(s, "smb_block", pm->smb_block, sizeof(pm->smb_block));
    state_u8(s, "smb_block_at", &pm->smb_block_at);
    state_bytes(s, "apm", pm->apm, sizeof(pm->apm));
    state_u64(s, "seen_halves", &pm->seen_halves);
    state_check(s, pm->smb_block_at < SMB_BLOCK_BYTES);
    if (state_loading(s) && !state_error(s)) {
        pm_update_maps(pm);
        pm_update(pm);
    }
    return state_error(s);
}

static void pm_free(void *dev)
{
    struct piix4_pm *pm = dev;
    timer_cancel(&pm->timer);
    bus_remove(pci_bus_pio(pm->env.pci), &pm->pm_region);
    bus_remove(pci_bus_pio(pm->env.pci), &pm->smb_region);
    pci_dev_done(&pm->pd);
    free(pm);
}

const struct dev_ops piix4_pm_dev_ops = {
    .name = "piix4-pm", .version = 1, .reset = pm_reset, .state = pm_state, .free = pm_free};

int piix4_pm_new(const struct piix4_pm_env *env, struct piix4_pm **ret_pm)
{
    static const struct pci_ids ids = {.vendor = 0x8086,
                                       .device = 0x7113,
                                       .revision = 3,
                                       .class_code = 0x068000,
                                       .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100};
    struct piix4_pm *pm = calloc(1, sizeof(*pm));
    if (!pm)
        return -ENOMEM;
    pm->env = *env;
    pm->pd.dev = pm;
    pm->pd.config_written = pm_config_written;
    timer_init(&pm->timer, env->clock, pm_overflow, pm);
    int r = pci_dev_init(&pm->pd, env->pci, env->devfn, "piix4-pm", &ids, 1);
    if (r < 0) {
        free(pm);
        return r;
    }
    uint8_t *wmask = pm->pd.wmask;
    le16_put(pm->pd.config + 6, 0x0280);
    memset(wmask + 0x44, 0xff, 0x80 - 0x44); /* monitors and traps */
    le32_put(wmask + CFG_PMBA, 0xffc0);
    wmask[CFG_PMREGMISC] = 1;
    le32_put(wmask + CFG_SMBBA, 0xfff0);
    wmask[CFG_SMBHSTCFG] = 0x0f;
    wmask[CFG_SMBHSTCFG + 1] = wmask[CFG_SMBHSTCFG + 2] = wmask[CFG_SMBHSTCFG + 3] = 0xff;
    pm->pm_region = (struct region){.name = "piix4-pm",
                                    .size_bytes = PIIX4_PM_BYTES,
                                    .dev = pm,
                                    .priority = 1,
                                    .kind = REGION_IO,
                                    .ops = &pm_io};
    pm->smb_region = (struct region){.name = "piix4-smb",
                                     .size_bytes = PIIX4_SMB_BYTES,
                                     .dev = pm,
                                     .priority = 1,
                                     .kind = REGION_IO,
                                     .ops = &smb_io};
    pm_reset(pm);
    *ret_pm = pm;
    return 0;
}
