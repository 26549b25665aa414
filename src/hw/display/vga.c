/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA: sequencer, CRT, graphics and attribute controllers, DAC; the PCI device around them, which
 * has the identity and the BARs of QEMU's standard VGA, so that its video BIOS and drivers fit.
 * IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA project,
 * "Standard VGA Chipset Reference".
 *
 * Left out: the vertical retrace interrupt (no PC wires it), light pen, feature connector, and the
 * count-by-two and count-by-four clocks of the CRT controller.
 */
#include "hw/display/vga.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/display/vga_priv.h"

enum {
    CRTC_PROTECT = 0x11,
    ROM_BYTES = 0x10000,
};

static const uint8_t seq_mask[SEQ_REGS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff};
static const uint8_t gfx_mask[GFX_REGS] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

/* Lines of the visible picture. */
unsigned vga_lines(const struct vga *vga)
{
    return (vga->crtc[0x12] | (vga->crtc[7] & 2) << 7 | (vga->crtc[7] & 0x40) << 3) + 1u;
}

/* Input status 1: where the beam is, from the programmed timings and the time. */
static uint8_t beam_status(const struct vga *vga)
{
    const uint8_t *c = vga->crtc;
    uint64_t dots = vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT ? 8 : 9;
    uint64_t hz = (vga->misc >> 2 & 3) == 1 ? 28322000 : 25175000;
    if (vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF)
        dots *= 2;
    uint64_t line_ns = (c[0] + 5) * dots * NS_PER_SEC / hz;
    uint64_t total = (c[6] | (c[7] & 1u) << 8 | (c[7] & 0x20u) << 4) + 2;
    uint64_t sync = c[0x10] | (c[7] & 4u) << 6 | (c[7] & 0x80u) << 2;
    uint64_t sync_lines = (c[0x11] - sync) & 15;
    uint64_t at_ns = clock_now_ns(vga->env.clock) % (line_ns * total);
    uint64_t line = at_ns / line_ns;
    bool in_line = at_ns % line_ns * (c[0] + 5u) < line_ns * (c[1] + 1u);
    uint8_t status = 0;
    if (line >= vga_lines(vga) || !in_line)
        status |= 0x01;
    if (line >= sync && line < sync + sync_lines)
        status |= 0x08;
    return status;
}

static void attr_write(struct vga *vga, uint8_t value)
{
    vga->attr_data = !vga->attr_data;
    if (vga->attr_data) {
        vga->attr_index = value & 0x3f;
        return;
    }
    unsigned index = vga->attr_index & 31;
    static const uint8_t masks[5] = {0xef, 0xff, 0x3f, 0x0f, 0x0f};
    if (index < 16)
        vga->attr[index] = value & 0x3f;
    else if (index < 16 + ARRAY_LEN(masks))
        vga->attr[index] = value & masks[index - 16];
}

static void crtc_write(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index & 31;
    if (index > 0x18)
        return;
    if (vga->crtc[CRTC_PROTECT] & 0x80 && index <= 7) {
        /* Only the line compare bit may be changed. */
        if (index == 7)
            vga->crtc[7] = (vga->crtc[7] & ~0x10) | (value & 0x10);
        return;
    }
    vga->crtc[index] = value;
}

static bool dac_8bit(const struct vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
}

static void dac_write(struct vga *vga, uint8_t value)
{
    vga->dac_latch[vga->dac_at++] = dac_8bit(vga) ? value : value & 0x3f;
    if (vga->dac_at < 3)
        return;
    memcpy(vga->dac[vga->dac_write++], vga->dac_latch, 3);
    vga->dac_at = 0;
}

static uint8_t dac_read(struct vga *vga)
{
    uint8_t value = vga->dac[vga->dac_read][vga->dac_at++];
    if (vga->dac_at == 3) {
        vga->dac_at = 0;
        vga->dac_read++;
    }
    return value;
}

/* The CRT controller answers at 0x3dx or 0x3bx: returns the port as in 0x3dx, 0 if not here. */
static unsigned colour_port(const struct vga *vga, unsigned port)
{
    bool mono = port < 0x3c0;
    if (port >= 0x3c0 && port < 0x3d0)
        return port;
    if (mono == !!(vga->misc & MISC_COLOR))
        return 0;
    return mono ? port + 0x20 : port;
}

uint8_t vga_port_read(struct vga *vga, unsigned port)
{
    switch (colour_port(vga, port)) {
    case 0x3c0:
        return vga->attr_index;
    case 0x3c1:
        return (vga->attr_index & 31) < 0x15 ? vga->attr[vga->attr_index & 31] : 0;
    case 0x3c2: /* switch sense: a colour display is connected */
        return 0x10;
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq[vga->seq_index & (SEQ_REGS - 1)];
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_reading ? 3 : 0;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9:
        return dac_read(vga);
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gfx_index;
    case 0x3cf:
        return vga->gfx[vga->gfx_index & (GFX_REGS - 1)];
    case 0x3d4:
        return vga->crtc_index;
    case 0x3d5:
        return vga->crtc[vga->crtc_index & (CRTC_REGS - 1)];
    case 0x3da:
        vga->attr_data = false;
        return beam_status(vga);
    default:
        return 0xff;
    }
}

void vga_port_write(struct vga *vga, unsigned port, uint8_t value)
{
    unsigned index;
    vga->changed = true;
    switch (colour_port(vga, port)) {
    case 0x3c0:
        attr_write(vga, value);
        break;
    case 0x3c2:
        vga->misc = value & ~0x10;
        break;
    case 0x3c4:
        vga->seq_index = value & 7;
        break;
    case 0x3c5:
        index = vga->seq_index & (SEQ_REGS - 1);
        vga->seq[index] = value & seq_mask[index];
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
        vga->dac_read = value;
        vga->dac_at = 0;
        vga->dac_reading = true;
        break;
    case 0x3c8:
        vga->dac_write = value;
        vga->dac_at = 0;
        vga->dac_reading = false;
        break;
    case 0x3c9:
        dac_write(vga, value);
        break;
    case 0x3ce:
        vga->gfx_index = value & 15;
        break;
    case 0x3cf:
        index = vga->gfx_index & (GFX_REGS - 1);
        vga->gfx[index] = value & gfx_mask[index];
        break;
    case 0x3d4:
        vga->crtc_index = value & 31;
        break;
    case 0x3d5:
        crtc_write(vga, value);
        break;
    case 0x3da:
        vga->feature = value & 0x0b;
        break;
    default:
        break;
    }
}

static uint64_t port_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_port_read(dev, VGA_PORTS_BASE + (unsigned)offset);
}

static void port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    vga_port_write(dev, VGA_PORTS_BASE + (unsigned)offset, (uint8_t)value);
}

const struct io_ops vga_port_io = {
    .name = "vga-ports", .min_size = 1, .max_size = 1, .read = port_read, .write = port_write};

static void vga_reset(void *dev)
{
    struct vga *vga = dev;
    pci_dev_reset(&vga->pd);
    vga->misc = vga->feature = 0;
    vga->seq_index = vga->gfx_index = vga->crtc_index = vga->attr_index = 0;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->gfx, 0, sizeof(vga->gfx));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->attr, 0, sizeof(vga->attr));
    memset(vga->dac, 0, sizeof(vga->dac));
    memset(vga->dac_latch, 0, sizeof(vga->dac_latch));
    vga->attr_data = vga->dac_reading = false;
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_at = 0;
    vga->latch = 0;
    vbe_reset(vga);
    /* Of the memory only the planes are cleared: the rest would cost the host its pages. */
    memset(vga->vram, 0, 4 * PLANE_BYTES);
    ram_wrote(vga->ram, vga->vram_offset, 4 * PLANE_BYTES);
    vga->changed = true;
}

static int vga_state(void *dev, struct state *s)
{
    struct vga *vga = dev;
    pci_dev_state(&vga->pd, s);
    state_u8(s, "misc", &vga->misc);
    state_u8(s, "feature", &vga->feature);
    state_u8(s, "seq_index", &vga->seq_index);
    state_bytes(s, "seq", vga->seq, sizeof(vga->seq));
    state_u8(s, "gfx_index", &vga->gfx_index);
    state_bytes(s, "gfx", vga->gfx, sizeof(vga->gfx));
    state_u8(s, "crtc_index", &vga->crtc_index);
    state_bytes(s, "crtc", vga->crtc, sizeof(vga->crtc));
    state_u8(s, "attr_index", &vga->attr_index);
    state_bytes(s, "attr", vga->attr, sizeof(vga->attr));
    state_bool(s, "attr_data", &vga->attr_data);
    state_u8(s, "dac_mask", &vga->dac_mask);
    state_u8(s, "dac_read", &vga->dac_read);
    state_u8(s, "dac_write", &vga->dac_write);
    state_u8(s, "dac_at", &vga->dac_at);
    state_bool(s, "dac_reading", &vga->dac_reading);
    state_bytes(s, "dac_latch", vga->dac_latch, sizeof(vga->dac_latch));
    state_bytes(s, "dac", vga->dac, sizeof(vga->dac));
    state_u32(s, "latch", &vga->latch);
    state_u16(s, "vbe_index", &vga->vbe_index);
    state_bytes(s, "vbe", vga->vbe, sizeof(vga->vbe));
    state_check(s, vga->dac_at < 3 && vbe_valid(vga));
    vga->changed = true;
    return state_error(s);
}

static void vga_free(void *dev)
{
    struct vga *vga = dev;
    pci_dev_done(&vga->pd);
    surface_done(&vga->surface);
    free(vga);
}

const struct dev_ops vga_dev_ops = {
    .name = "vga", .version = 1, .reset = vga_reset, .state = vga_state, .free = vga_free};

static int vga_add_rom(struct vga *vga)
{
    uint64_t offset;
    if (!vga->env.rom)
        return 0;
    if (vga->env.rom_bytes > ROM_BYTES)
        return -EINVAL;
    int r = ram_alloc(vga->ram, ROM_BYTES, &offset);
    if (r < 0)
        return r;
    memcpy(vga->ram->host + offset, vga->env.rom, vga->env.rom_bytes);
    vga->rom = (struct region){.name = "vga-rom",
                               .size_bytes = ROM_BYTES,
                               .priority = 1,
                               .kind = REGION_ROM,
                               .ram_offset = offset};
    pci_add_bar(&vga->pd, PCI_ROM_BAR, &vga->rom, false, false, false);
    return 0;
}

int vga_new(const struct vga_env *env, struct vga **ret_vga)
{
    static const struct pci_ids ids = {.vendor = 0x1234,
                                       .device = 0x1111,
                                       .revision = 2,
                                       .class_code = 0x030000,
                                       .subsys_vendor = 0x1af4,
                                       .subsys = 0x1100};
    struct vga *vga = calloc(1, sizeof(*vga));
    if (!vga)
        return -ENOMEM;
    vga->env = *env;
    vga->mem = pci_bus_mem(env->pci);
    vga->ram = bus_ram(vga->mem);
    int r = pci_dev_init(&vga->pd, env->pci, env->devfn, "vga", &ids, 0);
    if (r < 0) {
        free(vga);
        return r;
    }
    vga->pd.dev = vga;
    r = ram_alloc(vga->ram, VGA_MEMORY_BYTES, &vga->vram_offset);
    if (!r)
        r = vga_add_rom(vga);
    if (r < 0) {
        vga_free(vga);
        return r;
    }
    vga->env.rom = NULL;
    vga->vram = vga->ram->host + vga->vram_offset;
    vga->lfb = (struct region){.name = "vga-lfb",
                               .size_bytes = VGA_MEMORY_BYTES,
                               .priority = 1,
                               .kind = REGION_RAM,
                               .ram_offset = vga->vram_offset};
    vga->mmio = (struct region){.name = "vga-mmio",
                                .size_bytes = 0x1000,
                                .priority = 1,
                                .kind = REGION_IO,
                                .ops = &vga_mmio_io,
                                .dev = vga};
    pci_add_bar(&vga->pd, 0, &vga->lfb, false, false, true);
    pci_add_bar(&vga->pd, 2, &vga->mmio, false, false, false);
    vga_reset(vga);
    *ret_vga = vga;
    return 0;
}
