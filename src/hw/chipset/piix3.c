/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 82371SB (PIIX3), function 0: PCI to ISA bridge with the interrupt steering registers.
 * Intel 82371FB/SB datasheet (290550-002), 2.2.
 *
 * Its other parts are chips of their own here: 8259A with ELCR, 8254, 8237, the IDE function.
 * The reset control register lies with the configuration ports (i440fx.c). Left out: ISA timing,
 * the X-bus chip selects, mouse interrupt on IRQ 12 (MBIRQ) and motherboard DMA (stored only).
 */
#include "hw/chipset/piix3.h"

#include <errno.h>

#include "base/bytes.h"

enum {
    CFG_IORT = 0x4c,
    CFG_XBCS = 0x4e,
    CFG_PIRQ = 0x60,
    CFG_TOM = 0x69,
    CFG_MSTAT = 0x6a,
    CFG_MBIRQ = 0x70,
    CFG_MBDMA = 0x76,
    CFG_DLC = 0x82,
    CFG_SMICNTL = 0xa0,
    PIRQ_DISABLED = 0x80,
    PIRQS = 4,
};

/* IRQs that a PIRQ may be routed to (2.2.9): 3 to 7, 9 to 12, 14, 15. */
#define ROUTABLE 0xdef8u

struct piix3 {
    struct piix3_env env;
    struct pci_dev pd;
    /* Which of the 256 functions drive each PIRQ. */
    uint64_t sources[PIRQS][4];
    uint16_t irqs; /* levels last driven */
};

static bool pirq_level(const struct piix3 *bridge, unsigned n)
{
    const uint64_t *s = bridge->sources[n];
    return s[0] | s[1] | s[2] | s[3];
}

static void bridge_update(struct piix3 *bridge)
{
    uint16_t irqs = 0;
    for (unsigned n = 0; n < PIRQS; n++) {
        uint8_t route = bridge->pd.config[CFG_PIRQ + n];
        if (!(route & PIRQ_DISABLED) && pirq_level(bridge, n))
            irqs |= (uint16_t)(1u << (route & 15) & ROUTABLE);
    }
    uint16_t changed = irqs ^ bridge->irqs;
    bridge->irqs = irqs;
    for (unsigned n = 0; n < 16; n++)
        if (changed >> n & 1)
            bridge->env.irq(bridge->env.ctx, n, irqs >> n & 1);
}

void piix3_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    struct piix3 *bridge = ctx;
    unsigned n = piix3_pirq(devfn >> 3 & 31, pin & 3);
    uint64_t *word = &bridge->sources[n][devfn >> 6 & 3], bit = 1ull << (devfn & 63);
    bool was = pirq_level(bridge, n);
    *word = level ? *word | bit : *word & ~bit;
    if (pirq_level(bridge, n) == was)
        return;
    if (bridge->env.pirq)
        bridge->env.pirq(bridge->env.ctx, n, !was);
    bridge_update(bridge);
}

static void bridge_config_written(void *dev, unsigned offset, unsigned size)
{
    struct piix3 *bridge = dev;
    if (offset < CFG_PIRQ + PIRQS && CFG_PIRQ < offset + size)
        bridge_update(bridge);
}

static void bridge_reset(void *dev)
{
    struct piix3 *bridge = dev;
    uint8_t *config = bridge->pd.config;
    pci_dev_reset(&bridge->pd);
    for (unsigned at = 0x40; at < PCI_CONFIG_BYTES; at++)
        config[at] = 0;
    le16_put(config + 4, 0x0007); /* I/O, memory and bus mastering are hard-wired on */
    config[CFG_IORT] = 0x4d;
    config[CFG_XBCS] = 0x03;
    for (unsigned n = 0; n < PIRQS; n++)
        config[CFG_PIRQ + n] = PIRQ_DISABLED;
    config[CFG_TOM] = 0x02;
    config[CFG_MBIRQ] = config[CFG_MBIRQ + 1] = 0x80;
    config[CFG_MBDMA] = config[CFG_MBDMA + 1] = 0x0c;
    config[CFG_SMICNTL] = 0x08;
    bridge_update(bridge);
}

static int bridge_state(void *dev, struct state *s)
{
    struct piix3 *bridge = dev;
    pci_dev_state(&bridge->pd, s);
    state_bytes(s, "sources", bridge->sources, sizeof(bridge->sources));
    if (state_loading(s) && !state_error(s)) {
        bridge_update(bridge);
        for (unsigned n = 0; n < 16; n++) /* the other end may have been loaded before */
            if (ROUTABLE >> n & 1)
                bridge->env.irq(bridge->env.ctx, n, bridge->irqs >> n & 1);
    }
    return state_error(s);
}

static void bridge_free(void *dev)
{
    struct piix3 *bridge = dev;
    pci_dev_done(&bridge->pd);
    free(bridge);
}

const struct dev_ops piix3_dev_ops = {.name = "piix3",
                                      .version = 1,
                                      .reset = bridge_reset,
                                      .state = bridge_state,
                                      .free = bridge_free};

int piix3_new(const struct piix3_env *env, struct piix3 **ret_bridge)
{
    static const struct pci_ids ids = {.vendor = 0x8086,
                                       .device = 0x7000,
                                       .revision = 0,
                                       .class_code = 0x060100,
                                       .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100};
    struct piix3 *bridge = calloc(1, sizeof(*bridge));
    if (!bridge)
        return -ENOMEM;
    bridge->env = *env;
    bridge->pd.dev = bridge;
    bridge->pd.config_written = bridge_config_written;
    int r = pci_dev_init(&bridge->pd, env->pci, env->devfn, "piix3", &ids, 0);
    if (r < 0) {
        free(bridge);
        return r;
    }
    uint8_t *wmask = bridge->pd.wmask;
    bridge->pd.config[0x0e] = 0x80; /* more functions follow in this slot */
    le16_put(bridge->pd.config + 6, 0x0200);
    le16_put(wmask + 4, 0x0108); /* SERR#, special cycles */
    wmask[CFG_IORT] = wmask[CFG_XBCS] = wmask[CFG_XBCS + 1] = 0xff;
    for (unsigned n = 0; n < PIRQS; n++)
        wmask[CFG_PIRQ + n] = 0x8f;
    wmask[CFG_TOM] = wmask[CFG_MSTAT] = wmask[CFG_MSTAT + 1] = 0xff;
    wmask[CFG_MBIRQ] = wmask[CFG_MBIRQ + 1] = 0xef;
    wmask[CFG_MBDMA] = wmask[CFG_MBDMA + 1] = 0x8f;
    wmask[0x78] = wmask[0x79] = 0xff; /* programmable chip select */
    wmask[CFG_DLC] = 0x0f;
    for (unsigned at = CFG_SMICNTL; at <= 0xae; at++)
        wmask[at] = 0xff;
    bridge_reset(bridge);
    *ret_bridge = bridge;
    return 0;
}
